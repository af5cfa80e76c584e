/* backends/crsh: URLs, settings, messages, and what it makes of a helper that misbehaves. The helper is a child
 * of the test; what it does follows from the name of the object, whose hash it knows. */
#include "config.h"
#include "tap.h"

#include "../../backends/crsh/crsh.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const struct kb_backend *kb_builtin_crsh(const struct kb_host *);

static const struct kb_backend *be;
static char said[300];

/* ---- the host ---- */

struct kb_conf { const char *url, *helper, *attributes, *query; uint64_t idle; };

static const char *conf_str(const kb_conf *c, const char *name)
{
	return !strcmp(name, "url") ? c->url : !strcmp(name, "helper") ? c->helper
	     : !strcmp(name, "attributes") ? c->attributes : !strcmp(name, "query") ? c->query : NULL;
}

static uint64_t conf_u64(const kb_conf *c, const char *name)
{
	return !strcmp(name, "idle-timeout") ? c->idle : 0;
}

static int fail(struct kb_call *call, int status, const char *fmt, ...)
{
	va_list ap;

	(void)call;
	va_start(ap, fmt);
	vsnprintf(said, sizeof said, fmt, ap);
	va_end(ap);
	return status;
}

static void host_log(int level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
}

static const struct kb_host host = { sizeof host, KB_ABI_MINOR, "test", conf_str, conf_u64, fail, host_log };

static struct kb_call *call_for(double seconds)
{
	static struct kb_call call;

	call = (struct kb_call){ sizeof call, 0, crsh_now() + (uint64_t)(seconds * 1e9), -1, 0 };
	return &call;
}
#define CALL call_for(60)

static struct kb_key key(const char *name)
{
	return (struct kb_key){ name, strlen(name) };
}

/* ---- sources and sinks ---- */

struct source { struct kb_source kb; size_t at, really; };

static int src_read(struct kb_source *kb, void *buf, size_t len, size_t *got)
{
	struct source *s = (struct source *)kb;
	size_t left = s->really - s->at;

	*got = len < left ? len : left;
	memset(buf, 'x', *got);
	s->at += *got;
	return KB_OK;
}

static int src_rewind(struct kb_source *kb)
{
	((struct source *)kb)->at = 0;
	return KB_OK;
}

static int put_of(kb_handle *h, const char *name, size_t size, size_t really, uint32_t flags)
{
	struct source s = { { sizeof s.kb, -1, size, src_read, src_rewind }, 0, really };
	struct kb_put_opts opts = { sizeof opts, flags, 0 };

	return be->put(h, key(name), &s.kb, &opts, CALL);
}

struct sink { struct kb_sink kb; char got[64]; size_t len; int begun; };

static int sink_begin(struct kb_sink *kb, uint64_t size)
{
	struct sink *s = (struct sink *)kb;

	(void)size;
	s->begun++;
	s->len = 0;
	return KB_OK;
}

static int sink_write(struct kb_sink *kb, const void *buf, size_t len)
{
	struct sink *s = (struct sink *)kb;

	for (size_t i = 0; i < len && s->len < sizeof s->got - 1; i++)
		s->got[s->len++] = ((const char *)buf)[i];
	s->got[s->len] = '\0';
	return KB_OK;
}

static struct sink sink;

static int get_in(kb_handle *h, const char *name, struct kb_call *call)
{
	sink = (struct sink){ .kb = { sizeof sink.kb, -1, 1000, sink_begin, sink_write } };
	return be->get(h, key(name), &sink.kb, call);
}

static int good(kb_handle *h)
{
	return get_in(h, "good", CALL) == KB_OK && !strcmp(sink.got, "hello");
}

/* ---- the helper ---- */

static const struct {
	const char *name;
	int status;			/* that get of it is to have */
	bool end;			/* the connection is closed behind it */
	size_t len;
	const char *reply;
} scripts[] = {
	{ "good", KB_OK, false, 14, "\0\5\0\0\0\0\0\0\0hello" },
	{ "none", KB_MISS, false, 1, "\1" },
	{ "error", KB_E_TRANSIENT, false, 7, "\2\5wrong" },
	{ "silent-error", KB_E_TRANSIENT, false, 2, "\2\0" },
	{ "auth", KB_E_AUTH, false, 17, "\2\017403: Forbidden!" },
	{ "garbage", KB_E_TRANSIENT, false, 5, "\7\7\7\7\7" },
	{ "huge", KB_E_TRANSIENT, false, 9, "\0\377\377\377\377\377\377\377\377" },
	{ "large", KB_E_CORRUPT, false, 9, "\0\351\3\0\0\0\0\0\0" },
	{ "cut", KB_E_TRANSIENT, true, 12, "\0\5\0\0\0\0\0\0\0hel" },
	{ "cut-size", KB_E_TRANSIENT, true, 4, "\0\5\0\0" },
	{ "cut-error", KB_E_TRANSIENT, true, 5, "\2\5wro" },
	{ "close", KB_E_TRANSIENT, true, 0, "" },
	{ "more", KB_OK, false, 16, "\0\5\0\0\0\0\0\0\0hello??" },
	{ "bye", KB_OK, true, 14, "\0\5\0\0\0\0\0\0\0hello" },
	{ "stall", KB_E_TIMEOUT, false, 12, "\0\5\0\0\0\0\0\0\0hel" },
	{ "mute", KB_E_TIMEOUT, false, 0, "" },
};
enum { SCRIPTS = sizeof scripts / sizeof *scripts };

static void receive(int fd, void *to, size_t len)
{
	for (ssize_t n; len; len -= (size_t)n, to = (char *)to + n) {
		n = recv(fd, to, len, 0);
		if (n <= 0)
			_exit(0);
	}
}

static void say(int fd, const void *data, size_t len)
{
	if (len && send(fd, data, len, MSG_NOSIGNAL) < 0)
		_exit(0);
}

static void trickle(int fd)
{
	say(fd, "\0\200\1\0\0\0\0\0\0", 9);
	for (;; nanosleep(&(struct timespec){ 0, 20000000 }, NULL))
		say(fd, "x", 1);
}

static void answer(int fd, const unsigned char *asked, int nth)
{
	unsigned char name[CRSH_KEY];

	crsh_key(key("trickle"), name, CALL);
	if (!memcmp(asked, name, sizeof name))
		trickle(fd);
	crsh_key(key("first-only"), name, CALL);
	if (!memcmp(asked, name, sizeof name)) {
		if (nth > 1)
			_exit(0);
		say(fd, scripts[0].reply, scripts[0].len);
		return;
	}
	for (size_t i = 0; i < SCRIPTS; i++) {
		crsh_key(key(scripts[i].name), name, CALL);
		if (memcmp(asked, name, sizeof name))
			continue;
		say(fd, scripts[i].reply, scripts[i].len);
		if (scripts[i].end)
			_exit(0);
		return;
	}
	say(fd, "\1", 1);
}

static void serve(int fd)
{
	unsigned char op, len, asked[255], flags;
	char block[1000];
	uint64_t size;

	say(fd, "\1\1\0", 3);
	for (int nth = 1;; nth++) {
		receive(fd, &op, 1);
		receive(fd, &len, 1);
		receive(fd, asked, len);
		if (op == CRSH_PUT) {
			receive(fd, &flags, 1);
			receive(fd, &size, sizeof size);
			for (size_t n; size; size -= n)
				receive(fd, block, n = size < sizeof block ? (size_t)size : sizeof block);
			say(fd, flags & CRSH_OVERWRITE ? "\0" : "\1", 1);
		} else if (op == CRSH_REMOVE) {
			say(fd, "\1", 1);
		} else {
			answer(fd, asked, nth);
		}
	}
}

static pid_t start_helper(const char *path, const char *greeting, size_t len)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	if (strlen(path) >= sizeof sa.sun_path)
		exit(99);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (s < 0 || bind(s, (struct sockaddr *)&sa, sizeof sa) || listen(s, 50))
		exit(99);
	pid = fork();
	if (pid) {
		close(s);
		return pid;
	}
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int c = accept(s, NULL, NULL);

		if (!fork()) {
			alarm(120);
			close(s);
			if (!greeting)
				serve(c);
			say(c, greeting, len);
			_exit(0);
		}
		close(c);
	}
}

/* ---- tests ---- */

static void test_urls(void)
{
	static const struct { kb_conf conf; const char *scheme, *url, *socket; } table[] = {
		{ { .url = "crsh:https://host/x" }, "https", "https://host/x", NULL },
		{ { .url = "crsh:redis+unix:///run/s", .query = "db=1" }, "redis+unix", "redis+unix:///run/s?db=1", NULL },
		{ { .url = "crsh:///run/a%20b" }, NULL, NULL, "/run/a b" },
		{ { .url = "crsh:/run/s" }, NULL, NULL, "/run/s" },
	};
	static const kb_conf bad[] = {
		{ .url = "crsh:" }, { .url = "crsh:host/x" }, { .url = "crsh:1x://host" }, { .url = "crsh://host/x" },
		{ .url = "crsh:a/b://x" }, { .url = "crsh:/run/%00" }, { .url = "redis://x" },
		{ .url = "crsh:a://b", .helper = "x/y" }, { .url = "crsh:a://b", .helper = "x y" }, { .url = "crsh:/s", .helper = "/bin/x" },
		{ .url = "crsh:a://b", .attributes = "canary" }, { .url = "crsh:a://b", .attributes = "=canary" },
		{ .url = "crsh:a://b", .attributes = "a=canary%0" }, { .url = "crsh:a://b", .attributes = "a=canary%00" },
		{ .url = "crsh:/s", .attributes = "a=canary" }, { .url = "crsh:/s", .query = "canary" },
	};
	struct crsh_settings s;

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		ok(!crsh_settings_read(&table[i].conf, &s, CALL) && !strcmp(s.url ? s.url : "", table[i].url ? table[i].url : "") &&
		   !strcmp(s.scheme ? s.scheme : "", table[i].scheme ? table[i].scheme : "") &&
		   !strcmp(s.socket ? s.socket : "", table[i].socket ? table[i].socket : ""), "%s", table[i].conf.url);
		crsh_settings_release(&s);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		*said = '\0';
		ok(be->check(&bad[i], CALL) == KB_E_CONFIG && *said && !strstr(said, "canary"), "%s is refused: %s", bad[i].url, said);
	}
}

static void test_attributes(void)
{
	kb_conf conf = { .url = "crsh:https://joe:canary@host/x", .attributes = "  a=b\tc=%20d%25= e=", .query = "sig=abc", .idle = 1500 };
	struct crsh_settings s;

	is_int(crsh_settings_read(&conf, &s, CALL), KB_OK, "attributes");
	ok(s.n_attributes == 3 && !strcmp(s.attributes[0].value, "b") && !strcmp(s.attributes[1].key, "c") &&
	   !strcmp(s.attributes[1].value, " d%=") && !strcmp(s.attributes[2].value, ""), "are taken apart and decoded");
	is_int(s.idle_s, 2, "seconds are rounded up");
	ok(!crsh_tells(&s, "nothing of b in it") && crsh_tells(&s, "x sig=abc") && crsh_tells(&s, "https://joe:canary@h"),
	   "secrets are known");
	crsh_settings_release(&s);
	conf.attributes = "token=long-enough";
	ok(!crsh_settings_read(&conf, &s, CALL) && crsh_tells(&s, "bad long-enough"), "and those of attributes");
	crsh_settings_release(&s);
}

static void test_messages(void)
{
	static const struct { const char *text; int status; } table[] = {
		{ "HTTP status 403", KB_E_AUTH }, { "401 Unauthorized", KB_E_AUTH }, { "Access Denied", KB_E_AUTH },
		{ "status=413", KB_E_TOOBIG }, { "429", KB_E_THROTTLED }, { "503 Slow Down", KB_E_THROTTLED },
		{ "507 Insufficient Storage", KB_E_NOSPACE }, { "dial 10.0.0.1:4031", KB_E_TRANSIENT }, { "10.0.0.403", KB_E_TRANSIENT },
		{ "port:403", KB_E_TRANSIENT }, { "4031", KB_E_TRANSIENT }, { "", KB_E_TRANSIENT }, { "reset", KB_E_TRANSIENT },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		is_int(crsh_message_status(table[i].text), table[i].status, table[i].text);
}

static void test_keys(void)
{
	static const char *const bad[] = { "", "..", "a/../b", "/a", "a/", "a//b", "./a", "A", "a b", "a\n" };
	unsigned char a[CRSH_KEY], b[CRSH_KEY];
	char longest[KB_KEY_MAX + 2];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		is_int(crsh_key(key(bad[i]), a, CALL), KB_E_BUG, "a bad key");
	memset(longest, 'k', sizeof longest);
	longest[KB_KEY_MAX + 1] = '\0';
	is_int(crsh_key(key(longest), a, CALL), KB_E_BUG, "a key too long");
	longest[KB_KEY_MAX] = '\0';
	is_int(crsh_key(key(longest), a, CALL), KB_OK, "the longest key");
	longest[KB_KEY_MAX - 1] = 'l';
	ok(!crsh_key(key(longest), b, CALL) && memcmp(a, b, sizeof a), "and its neighbour differ");
	/* printf 'kache\0ping' | sha256sum */
	ok(!crsh_key(key("ping"), a, CALL) && a[0] == 0x79 && a[31] == 0xdb, "names stay what they are");
}

static void test_gets(kb_handle *h)
{
	for (size_t i = 0; i < SCRIPTS; i++) {
		bool slow = scripts[i].status == KB_E_TIMEOUT;
		int rc = get_in(h, scripts[i].name, call_for(slow ? 0.2 : 60));

		is_int(rc, scripts[i].status, scripts[i].name);
		ok(good(h), "and the next answer is the right one");
	}
	is_int(get_in(h, "trickle", call_for(0.2)), KB_E_TIMEOUT, "a byte now and then");
	ok(good(h), "and the next answer is the right one");
	ok(get_in(h, "first-only", CALL) == KB_OK && get_in(h, "first-only", CALL) == KB_OK,
	   "a connection that ends when it is used again is replaced");
}

static void test_cancel(kb_handle *h)
{
	static const char *const slow[] = { "mute", "stall", "trickle" };
	int fds[2];

	if (pipe(fds) || write(fds[1], "x", 1) != 1)
		exit(99);
	for (size_t i = 0; i < 3; i++) {
		struct kb_call *call = CALL;

		call->cancel_fd = fds[0];
		is_int(get_in(h, slow[i], call), KB_E_CANCELLED, "cancelled");
	}
	is_int(get_in(h, "good", call_for(-1)), KB_E_TIMEOUT, "a deadline that has passed");
	ok(good(h), "and the next answer is the right one");
	close(fds[0]);
	close(fds[1]);
}

static void test_puts(kb_handle *h)
{
	is_int(put_of(h, "x", 300000, 300000, 0), KB_OK, "put");
	is_int(put_of(h, "x", 0, 0, 0), KB_OK, "of nothing");
	is_int(put_of(h, "x", 3, 3, KB_PUT_IF_ABSENT), KB_EXISTS, "of what is there");
	is_int(put_of(h, "x", 300000, 100000, 0), KB_E_LOCAL, "of a source that ends early");
	ok(good(h), "and the next answer is the right one");
	is_int(be->del(h, key("x"), CALL), KB_OK, "del of nothing");
}

static void test_greetings(const char *dir)
{
	static const struct { const char *greeting; size_t len; int status; } table[] = {
		{ "\2\1\0", 3, KB_E_UNSUPPORTED }, { "\1\1\1", 3, KB_E_UNSUPPORTED }, { "\1\0", 2, KB_E_UNSUPPORTED },
		{ "\1\5\0", 3, KB_E_TRANSIENT }, { "", 0, KB_E_TRANSIENT },
	};
	struct kb_limits limits = { .struct_size = sizeof limits };
	char path[200], url[230];
	kb_conf conf = { .url = url };
	kb_handle *h;

	snprintf(path, sizeof path, "%s/g", dir);
	snprintf(url, sizeof url, "crsh://%s", path);
	is_int(be->open(&conf, &h, &limits, CALL), KB_E_TRANSIENT, "nobody listens");
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		pid_t pid = start_helper(path, table[i].greeting, table[i].len);

		is_int(be->open(&conf, &h, &limits, CALL), table[i].status, said);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		unlink(path);
	}
}

int main(void)
{
	struct kb_limits limits = { .struct_size = sizeof limits };
	char *dir = tap_dir(), path[200], url[230];
	kb_conf conf = { .url = url };
	kb_handle *h;
	pid_t helper;

	be = kb_builtin_crsh(&host);
	limits.caps = be->caps;
	snprintf(path, sizeof path, "%s/s", dir);
	snprintf(url, sizeof url, "crsh://%s", path);
	test_urls();
	test_attributes();
	test_messages();
	test_keys();
	helper = start_helper(path, NULL, 0);
	if (be->open(&conf, &h, &limits, CALL))
		exit(99);
	is_int(be->ping(h, &limits, CALL), KB_OK, "ping");
	test_gets(h);
	test_cancel(h);
	test_puts(h);
	be->close(h);
	kill(helper, SIGKILL);
	waitpid(helper, NULL, 0);
	unlink(path);
	test_greetings(dir);
	rmdir(dir);
	free(dir);
	return done();
}
