/* The innermost layer: handles and thread models of a module, and what it says. */
#include "config.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "remote/layer.h"
#include "tap.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct kb_handle {
	atomic_int busy;
};

static atomic_int opened, closed, busy, most_busy, misused;
static int hold_ms, answer, open_answer, open_from;	/* open_answer: for all handles from that one on */
static bool serial;
static atomic_bool hold;			/* calls stay in the module */

static int mod_open(const kb_conf *conf, kb_handle **out, struct kb_limits *limits, struct kb_call *c)
{
	(void)conf;
	(void)limits;
	(void)c;
	misused += serial && busy;
	if (opened >= open_from && open_answer)
		return open_answer;
	*out = kache_calloc(1, sizeof **out);
	opened++;
	return KB_OK;
}

static void mod_close(kb_handle *h)
{
	misused += serial && busy;
	closed++;
	free(h);
}

static int mod_del(kb_handle *h, struct kb_key key, struct kb_call *c)
{
	int now = ++busy, most = most_busy;

	(void)key;
	(void)c;
	misused += atomic_fetch_add(&h->busy, 1) > 0;
	while (now > most && !atomic_compare_exchange_weak(&most_busy, &most, now))
		;
	do
		usleep((useconds_t)(hold ? 1 : hold_ms) * 1000);
	while (hold);
	h->busy--;
	busy--;
	return answer;
}

static struct kache_module module = {
	.be = { .name = "scripted", .version = "1", .open = mod_open, .close = mod_close, .del = mod_del },
};

static struct kache_remote *start(uint32_t threads)
{
	struct kb_limits limits;
	struct kache_remote *r;
	struct kache_call call;

	module.be.threads = threads;
	serial = threads == KB_THREADS_SERIAL;
	opened = closed = most_busy = misused = 0;
	hold_ms = answer = open_answer = open_from = 0;
	kache_call_init(&call, kache_now_mono() + 1000000000, -1);
	if (kache_layer_backend(&module, NULL, &limits, &call, &r)) {
		printf("Bail out! %s\n", call.err.text);
		exit(99);
	}
	return r;
}

struct thread {
	pthread_t id;
	struct kache_remote *r;
	unsigned ms;
	int cancel_fd, rc;
	struct kache_call call;
};

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	kache_call_init(&t->call, kache_now_mono() + (uint64_t)t->ms * 1000000, t->cancel_fd);
	t->rc = kache_remote_del(t->r, (struct kb_key){ "k", 1 }, &t->call);
	return NULL;
}

static void begin(struct thread *t, struct kache_remote *r, unsigned ms, int cancel_fd)
{
	*t = (struct thread){ .r = r, .ms = ms, .cancel_fd = cancel_fd };
	pthread_create(&t->id, NULL, thread_main, t);
}

static int end(struct thread *t)
{
	pthread_join(t->id, NULL);
	return t->rc;
}

/* Waits until `n` calls are in the module; on a busy machine the threads of many take their time to get there. */
static void await_busy(int n)
{
	for (int ms = 0; busy < n && ms < 20000; ms++)
		usleep(1000);
}

static unsigned together(struct kache_remote *r, unsigned n)
{
	struct thread t[64];
	unsigned good = 0;

	for (unsigned i = 0; i < n; i++)
		begin(&t[i], r, 10000, -1);
	for (unsigned i = 0; i < n; i++)
		good += end(&t[i]) == KB_OK;
	return good;
}

static void models(void)
{
	struct kache_remote *r = start(KB_THREADS_PER_HANDLE), *other;
	struct thread t, second;

	hold_ms = 10;
	ok(together(r, 40) == 40 && !misused && opened > 1 && opened <= 32, "per handle: one call per handle, several handles");
	open_answer = KB_E_TRANSIENT;
	open_from = opened;
	ok(together(r, (unsigned)opened) == (unsigned)opened, "handles are used again");
	kache_remote_close(r);
	ok(opened == closed, "and all are closed");

	r = start(KB_THREADS_PARALLEL);
	hold = true;
	begin(&t, r, 10000, -1);
	begin(&second, r, 10000, -1);
	await_busy(2);
	hold = false;
	ok(end(&t) == KB_OK && end(&second) == KB_OK && opened == 1 && most_busy == 2, "parallel: many calls on one handle");
	kache_remote_close(r);

	r = start(KB_THREADS_SERIAL);
	hold_ms = 2;
	other = NULL;
	begin(&t, r, 10000, -1);
	usleep(500);
	{
		struct kb_limits limits;
		struct kache_call call;

		kache_call_init(&call, kache_now_mono() + 5000000000u, -1);
		kache_layer_backend(&module, NULL, &limits, &call, &other);
	}
	end(&t);
	ok(other && together(r, 10) == 10 && most_busy == 1 && !misused, "serial: one call at a time");
	begin(&t, r, 10000, -1);
	usleep(500);
	kache_remote_close(other);
	end(&t);
	ok(!misused, "over all remotes of the module, opening and closing included");
	kache_remote_close(r);
}

/* Who waits for its turn does so within its time. */
static void waiting(uint32_t threads, unsigned holders, const char *what)
{
	struct kache_remote *r = start(threads);
	struct thread t[32], late, gone;
	int fds[2];

	hold = true;
	for (unsigned i = 0; i < holders; i++)
		begin(&t[i], r, 60000, -1);
	await_busy((int)holders);
	if (pipe(fds) || write(fds[1], "x", 1) != 1)
		return;
	begin(&late, r, 50, -1);
	begin(&gone, r, 5000, fds[0]);
	ok(end(&late) == KB_E_TIMEOUT && late.call.unasked, "%s: who waits too long gives up: %s", what, late.call.err.text);
	ok(end(&gone) == KB_E_CANCELLED, "%s: and can be cancelled", what);
	ok(busy == (int)holders, "%s: while the others are still at it", what);
	hold = false;
	for (unsigned i = 0; i < holders; i++)
		end(&t[i]);
	ok(together(r, 4) == 4, "%s: and the next ones go on", what);
	kache_remote_close(r);
	close(fds[0]);
	close(fds[1]);
}

static int tell(struct kache_remote *r, struct kache_call *call, unsigned ms)
{
	kache_call_init(call, kache_now_mono() + (uint64_t)ms * 1000000, -1);
	return kache_remote_del(r, (struct kb_key){ "k", 1 }, call);
}

static void statuses(void)
{
	struct kache_remote *r = start(KB_THREADS_PER_HANDLE);
	struct kache_call call;
	struct thread t;

	answer = KB_E_NOSPACE;
	ok(tell(r, &call, 1000) == KB_E_NOSPACE && !strcmp(call.err.text, "no space"), "an error without a text gets one");
	answer = 77;
	ok(tell(r, &call, 1000) == KB_E_BUG && strstr(call.err.text, "scripted 1"), "an unknown status is a bug: %s", call.err.text);
	kache_remote_close(r);
	r = start(KB_THREADS_PER_HANDLE);
	open_from = 1;
	open_answer = KB_E_AUTH;
	hold = true;
	begin(&t, r, 60000, -1);
	await_busy(1);
	ok(tell(r, &call, 1000) == KB_E_AUTH, "a further handle that does not open is the failure of the call that wanted it");
	hold = false;
	ok(end(&t) == KB_OK && together(r, 1) == 1, "and of no other");
	kache_remote_close(r);
}

/* Standard error goes to a file meanwhile. */
static void overstaying(void)
{
	struct kache_remote *r = start(KB_THREADS_PARALLEL);
	FILE *log = tmpfile();
	int saved = dup(STDERR_FILENO);
	struct kache_call call;
	char text[256] = "";

	if (!log || saved < 0)
		return;
	kache_log_level = KACHE_LOG_WARN;
	fflush(stderr);
	dup2(fileno(log), STDERR_FILENO);
	hold_ms = 300;
	tell(r, &call, 10);
	tell(r, &call, 10);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(log);
	ok(fgets(text, sizeof text, log) && strstr(text, "scripted 1: del returned") && strstr(text, "after its time"),
	   "a backend that does not keep to its time is named");
	ok(!fgets(text, sizeof text, log), "once");
	fclose(log);
	kache_remote_close(r);
}

int main(void)
{
	kache_log_level = KACHE_LOG_ERROR;
	models();
	waiting(KB_THREADS_SERIAL, 1, "serial");
	waiting(KB_THREADS_PER_HANDLE, 32, "per handle");
	statuses();
	overstaying();
	return done();
}
