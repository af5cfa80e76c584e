/* Group ops: the process that a backend lives in. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"
#include "base/hash.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct state {
	mode_t mask;
	char *cwd, *locale;
	struct sigaction pipe, term, child;
	uint64_t env;			/* of all variables, in any order: the kit itself takes some away for a while */
};

static uint64_t environment(void)
{
	extern char **environ;
	uint64_t sum = 0;

	for (char **v = environ; *v; v++) {
		struct kache_hash hash;
		uint64_t part;

		kache_hash_bytes(*v, strlen(*v), &hash);
		memcpy(&part, hash.b, sizeof part);
		sum += part;
	}
	return sum;
}

static struct state look(void)
{
	struct state s = { .cwd = getcwd(NULL, 0), .locale = kache_strdup(setlocale(LC_ALL, NULL)), .env = environment() };

	s.mask = umask(0);
	umask(s.mask);
	sigaction(SIGPIPE, NULL, &s.pipe);
	sigaction(SIGTERM, NULL, &s.term);
	sigaction(SIGCHLD, NULL, &s.child);
	return s;
}

static bool same(const struct state *a, const struct state *b)
{
	return a->mask == b->mask && !strcmp(a->cwd ? a->cwd : "", b->cwd ? b->cwd : "") && !strcmp(a->locale, b->locale) &&
	       a->pipe.sa_handler == b->pipe.sa_handler && a->term.sa_handler == b->term.sa_handler &&
	       a->child.sa_handler == b->child.sa_handler && a->env == b->env;
}

static void open_and_close(struct kit *k)
{
	unsigned fds = 0, threads = 0;
	bool good = true;

	for (int i = 0; i < 12; i++) {
		struct kb_limits l;
		kb_handle *h;

		if (kit_open(k, &h, &l, NULL)) {
			good = false;
			kit_note("%s", kit_text);
			break;
		}
		k->m->be.close(h);
		if (i == 3) {
			fds = kit_fds();
			threads = kit_threads_now();
		}
	}
	for (int i = 0; i < 20 && kit_fds() > fds; i++)	/* a proxy's ends close a little later */
		usleep(50000);
	kit_ok(good && kit_fds() <= fds && kit_threads_now() <= threads, "handles can be opened and closed, and leave nothing open");
}

/* A connection to somebody: not a library's own pair of ends for waking itself. */
static bool is_connection(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof peer;

	if (getpeername(fd, (struct sockaddr *)&peer, &len))
		return false;
	return peer.ss_family != AF_UNIX || len > sizeof(sa_family_t);
}

static void inherited(void)
{
	unsigned bad = 0;

	for (int fd = 3; fd < 1024; fd++) {
		int flags = fcntl(fd, F_GETFD);

		bad += flags >= 0 && !(flags & FD_CLOEXEC) && is_connection(fd);
	}
	kit_ok(!bad, "its connections are close-on-exec (%u are not)", bad);
}

static void other_locale(struct kit *k)
{
	const char *before = setlocale(LC_ALL, NULL);
	KACHE_AUTO_FREE char *copy = kache_strdup(before);
	bool turkish = setlocale(LC_ALL, "tr_TR.UTF-8") || setlocale(LC_ALL, "tr_TR");

	if (!turkish)
		setlocale(LC_ALL, "C.UTF-8");
	kit_give(k, "locale-iii", "I", 1);
	kit_ok(kit_has(k, "locale-iii", "I", 1), "it works in another locale (%s)", turkish ? "Turkish" : "C.UTF-8");
	kit_remove(k, "locale-iii");
	setlocale(LC_ALL, copy);
}

static void pinging(struct kit *k)
{
	struct kb_limits l = k->limits;
	struct kache_call c;
	int rc;

	if (!k->m->be.ping) {
		kit_skip("no ping", "ping answers");
		return;
	}
	kache_call_init(&c, UINT64_MAX / 2, -1);
	rc = k->m->be.ping(k->h, &l, &c.kb);
	kit_ok(rc == KB_OK, "ping answers (%s%s%s)", kit_status(rc), rc < 0 ? ": " : "", rc < 0 ? c.err.text : "");
	kit_ok(!(l.caps & ~k->m->be.caps), "and claims nothing that the module does not");
}

static struct state before;

void kit_ops_begin(void)
{
	before = look();
}

void kit_ops(struct kit *k)
{
	struct state after;

	pinging(k);
	open_and_close(k);
	inherited();
	other_locale(k);
	after = look();
	kit_ok(same(&before, &after), "signals, umask, working directory, locale and environment are as before");
	free(before.cwd);
	free(before.locale);
	free(after.cwd);
	free(after.locale);
}
