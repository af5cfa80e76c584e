/* Each layer of a remote by itself, above a scripted backend. */
#include "config.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "remote/layer.h"
#include "remote/stream.h"
#include "tap.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the backend: answers by a script, or keeps objects in memory ---- */

enum { OBJECTS = 64, SCRIPT = 64 };

struct fake {
	pthread_mutex_t lock;
	int script[SCRIPT];		/* what the next calls return */
	unsigned n_script, calls;
	unsigned hold_ms;
	unsigned busy, most_busy;
	uint64_t last_deadline;
	struct {
		char *name, *data;
		size_t len;
	} objects[OBJECTS];
	uint64_t max_object;
	uint32_t retry_after_ms;
};

static int enter(struct fake *f, struct kache_call *call)
{
	int rc = KB_OK;

	pthread_mutex_lock(&f->lock);
	f->busy++;
	if (f->busy > f->most_busy)
		f->most_busy = f->busy;
	if (f->calls < f->n_script)
		rc = f->script[f->calls];
	f->calls++;
	f->last_deadline = call->kb.deadline_ns;
	call->kb.retry_after_ms = f->retry_after_ms;
	pthread_mutex_unlock(&f->lock);
	if (f->hold_ms)
		usleep(f->hold_ms * 1000);
	return rc;
}

static int leave(struct fake *f, int rc, struct kache_call *call)
{
	pthread_mutex_lock(&f->lock);
	f->busy--;
	pthread_mutex_unlock(&f->lock);
	return rc < 0 ? kache_call_fail(call, rc, "scripted %s", kache_status_name(rc)) : rc;
}

static int slot(const struct fake *f, struct kb_key key)
{
	for (int i = 0; i < OBJECTS; i++)
		if (f->objects[i].name && strlen(f->objects[i].name) == key.len && !memcmp(f->objects[i].name, key.name, key.len))
			return i;
	return -1;
}

static int fake_get(struct kache_remote *r, struct kb_key key, struct kb_sink *sink, struct kache_call *call)
{
	struct fake *f = r->ctx;
	int rc = enter(f, call), i;

	pthread_mutex_lock(&f->lock);
	i = slot(f, key);
	if (!rc)
		rc = i < 0 ? KB_MISS : sink->begin(sink, f->objects[i].len);
	if (!rc)
		rc = sink->write(sink, f->objects[i].data, f->objects[i].len);
	pthread_mutex_unlock(&f->lock);
	return leave(f, rc, call);
}

static int fake_put(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
		    struct kache_call *call)
{
	struct fake *f = r->ctx;
	int rc = enter(f, call), i;
	size_t got;

	(void)opts;
	pthread_mutex_lock(&f->lock);
	i = slot(f, key);
	for (int k = 0; i < 0 && k < OBJECTS; k++)
		if (!f->objects[k].name)
			i = k;
	if (!rc && f->max_object && src->size > f->max_object)
		rc = KB_E_TOOBIG;
	if (!rc && i >= 0) {
		free(f->objects[i].name);
		free(f->objects[i].data);
		f->objects[i].name = kache_strndup(key.name, key.len);
		f->objects[i].data = kache_alloc(src->size + 1);
		f->objects[i].len = 0;
		src->rewind(src);
		while (f->objects[i].len < src->size &&
		       !src->read(src, f->objects[i].data + f->objects[i].len, src->size - f->objects[i].len, &got) && got)
			f->objects[i].len += got;
	}
	pthread_mutex_unlock(&f->lock);
	return leave(f, rc, call);
}

static int fake_head(struct kache_remote *r, struct kb_key key, struct kb_stat *st, struct kache_call *call)
{
	int rc = enter(r->ctx, call);

	if (!rc)
		rc = slot(r->ctx, key) < 0 ? KB_MISS : KB_OK;
	*st = (struct kb_stat){ .size = 1 };
	return leave(r->ctx, rc, call);
}

static int fake_del(struct kache_remote *r, struct kb_key key, struct kache_call *call)
{
	struct fake *f = r->ctx;
	int rc = enter(f, call), i = slot(f, key);

	if (!rc && i >= 0) {
		free(f->objects[i].name);
		f->objects[i].name = NULL;
		free(f->objects[i].data);
		f->objects[i].data = NULL;
	}
	return leave(f, rc, call);
}

static int fake_list(struct kache_remote *r, struct kb_key prefix, kache_remote_each *each, void *arg, struct kache_call *call)
{
	struct fake *f = r->ctx;
	int rc = enter(f, call);

	(void)prefix;
	for (int i = 0; !rc && i < OBJECTS; i++)
		if (f->objects[i].name)
			rc = each(arg, (struct kb_key){ f->objects[i].name, strlen(f->objects[i].name) }, NULL);
	return leave(f, rc, call);
}

static int fake_ping(struct kache_remote *r, struct kb_limits *limits, struct kache_call *call)
{
	(void)limits;
	return leave(r->ctx, enter(r->ctx, call), call);
}

static void fake_close(struct kache_remote *r)
{
	struct fake *f = r->ctx;

	for (int i = 0; i < OBJECTS; i++) {
		free(f->objects[i].name);
		free(f->objects[i].data);
	}
	memset(f->objects, 0, sizeof f->objects);
}

static const struct kache_remote_ops fake_ops = {
	.layer = "fake", .close = fake_close, .get = fake_get, .put = fake_put, .head = fake_head, .del = fake_del,
	.list = fake_list, .ping = fake_ping,
};

static struct fake fake;

static struct kache_remote *backend(const int *script, unsigned n)
{
	fake = (struct fake){ .lock = PTHREAD_MUTEX_INITIALIZER, .n_script = n };
	if (n)
		memcpy(fake.script, script, n * sizeof *script);
	return kache_layer_new(&fake_ops, NULL, &fake);
}
#define BACKEND(...) backend((const int[]){ __VA_ARGS__ }, sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int))

/* ---- asking ---- */

static struct kache_call call;
static struct kache_buf got;

static void fresh_call(unsigned ms)
{
	kache_call_init(&call, kache_now_mono() + (uint64_t)ms * 1000000, -1);
}

static struct kb_key key_of(const char *s)
{
	return (struct kb_key){ s, strlen(s) };
}

static int ask(struct kache_remote *r, const char *key)
{
	struct kache_mem_sink sink;

	fresh_call(2000);
	kache_mem_sink_init(&sink, &got, 64 << 20);
	return kache_remote_get(r, key_of(key), &sink.kb, &call);
}

static int give(struct kache_remote *r, const char *key, const void *data, size_t len, uint32_t flags)
{
	const struct kb_put_opts opts = { .struct_size = sizeof opts, .flags = flags };
	struct kache_mem_source src;

	fresh_call(2000);
	kache_mem_source_init(&src, data, len);
	return kache_remote_put(r, key_of(key), &src.kb, &opts, &call);
}

static uint64_t clock_now = 1000000000;

static uint64_t test_clock(void)
{
	return clock_now;
}

static void pass(unsigned s)
{
	clock_now += (uint64_t)s * 1000000000;
}

/* ---- breaker ---- */

static struct kache_health health;

static struct kache_remote *with_breaker(struct kache_remote *next)
{
	health = (struct kache_health){ .lock = PTHREAD_MUTEX_INITIALIZER, .clock = test_clock };
	return kache_layer_breaker(next, &health, "test:");
}

static void breaker(void)
{
	struct kache_remote *r = with_breaker(BACKEND(KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT, KB_MISS, KB_E_TRANSIENT,
						      KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT, KB_E_TRANSIENT));

	for (int i = 0; i < 5; i++)
		ask(r, "k");
	ok(health.state == KACHE_HEALTH_OK, "four failures and an answer leave the breaker closed");
	for (int i = 0; i < 5; i++)
		ask(r, "k");
	ok(health.state == KACHE_HEALTH_GIVEN_UP && health.outages == 1, "five in a row open it");
	ok(ask(r, "k") == KB_E_TRANSIENT && fake.calls == 10, "then nothing reaches the backend");
	ok(strstr(call.err.text, "left alone for") && strstr(call.err.text, "scripted transient"), "and the text says why: %s", call.err.text);
	pass(8);
	ok(ask(r, "k") == KB_E_TRANSIENT && fake.calls == 11, "after the pause one call tries");
	ok(ask(r, "k") == KB_E_TRANSIENT && fake.calls == 11, "it failed: closed again");
	pass(8);
	ask(r, "k");
	ok(fake.calls == 11, "for longer this time");
	pass(10);
	ok(ask(r, "k") == KB_MISS && health.state == KACHE_HEALTH_OK, "an answer ends the outage");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_TIMEOUT));
	ask(r, "k");
	ok(health.state == KACHE_HEALTH_GIVEN_UP, "one look-up that took all its time is enough");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_THROTTLED, KB_E_THROTTLED, KB_E_THROTTLED, KB_E_THROTTLED, KB_E_THROTTLED));
	fake.retry_after_ms = 60000;
	for (int i = 0; i < 5; i++)
		ask(r, "k");
	pass(40);
	ask(r, "k");
	ok(fake.calls == 5, "a server that says when is left alone until then");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_OK, KB_E_AUTH));
	give(r, "a", "x", 1, 0);
	give(r, "b", "x", 1, 0);
	ok(health.writes_disabled && health.state == KACHE_HEALTH_OK, "a refused write stops writes");
	ok(give(r, "c", "x", 1, 0) < 0 && fake.calls == 2, "which reach the backend no more");
	ok(ask(r, "a") == KB_OK, "while reads go on");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_AUTH));
	ask(r, "k");
	ok(health.state == KACHE_HEALTH_DISABLED, "refused credentials stop everything");
	pass(400);
	ok(ask(r, "k") == KB_MISS && health.state == KACHE_HEALTH_OK, "until somebody may have mended them");
	kache_remote_close(r);

	r = with_breaker(BACKEND(KB_E_TOOBIG, KB_E_CORRUPT, KB_E_LOCAL, KB_E_CANCELLED, KB_E_TOOBIG, KB_E_LOCAL));
	for (int i = 0; i < 6; i++)
		give(r, "k", "x", 1, 0);
	ok(health.state == KACHE_HEALTH_OK, "what is not the remote's fault does not count");
	kache_remote_close(r);
}

/* ---- negative ---- */

static void negative(void)
{
	struct kache_remote *r = kache_layer_negative(backend(NULL, 0), 60000, test_clock);
	struct kb_stat st;

	ask(r, "k");
	ok(ask(r, "k") == KB_MISS && fake.calls == 1, "a miss is remembered");
	ok(kache_remote_head(r, key_of("k"), &st, &call) == KB_MISS && fake.calls == 1, "for head too");
	ok(ask(r, "other") == KB_MISS && fake.calls == 2, "by its name");
	give(r, "k", "data", 4, 0);
	ok(ask(r, "k") == KB_OK && got.len == 4, "a put of our own ends it");
	ask(r, "late");
	give(r->next, "late", "data", 4, 0);
	ok(ask(r, "late") == KB_MISS, "what others put is not seen at once");
	pass(61);
	ok(ask(r, "late") == KB_OK, "but after a minute");
	kache_remote_close(r);

	r = kache_layer_negative(BACKEND(KB_E_CORRUPT, KB_E_TRANSIENT), 60000, test_clock);
	ask(r, "bad");
	pass(1800);
	ok(ask(r, "bad") == KB_MISS && fake.calls == 1, "a damaged object is left alone for an hour");
	pass(1900);
	ok(ask(r, "bad") == KB_E_TRANSIENT, "not longer");
	ok(ask(r, "bad") == KB_MISS && fake.calls == 3, "an error is not remembered");
	kache_remote_close(r);

	r = kache_layer_negative(backend(NULL, 0), 0, test_clock);
	ask(r, "k");
	ask(r, "k");
	ok(fake.calls == 2, "a time of zero remembers nothing");
	kache_remote_close(r);
}

/* ---- coalesce and limit: several threads ---- */

struct thread {
	pthread_t id;
	struct kache_remote *r;
	const char *key;
	bool put;
	int rc;
};

static void *thread_main(void *arg)
{
	const struct kb_put_opts opts = { .struct_size = sizeof opts, .flags = KB_PUT_IF_ABSENT };
	struct kache_buf b = KACHE_BUF_INIT;
	struct kache_mem_sink sink;
	struct kache_mem_source src;
	struct kache_call own;
	struct thread *t = arg;

	kache_call_init(&own, kache_now_mono() + 5000000000u, -1);
	kache_mem_sink_init(&sink, &b, 1 << 20);
	kache_mem_source_init(&src, "data", 4);
	t->rc = t->put ? kache_remote_put(t->r, key_of(t->key), &src.kb, &opts, &own)
		       : kache_remote_get(t->r, key_of(t->key), &sink.kb, &own);
	kache_buf_release(&b);
	return NULL;
}

static unsigned together(struct kache_remote *r, const char *key, bool put, unsigned n, int rc)
{
	struct thread t[16];
	unsigned same = 0;

	for (unsigned i = 0; i < n; i++) {
		t[i] = (struct thread){ .r = r, .key = key, .put = put };
		pthread_create(&t[i].id, NULL, thread_main, &t[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		pthread_join(t[i].id, NULL);
		same += t[i].rc == rc;
	}
	return same;
}

static void coalesce(void)
{
	struct kache_remote *r = kache_layer_coalesce(backend(NULL, 0));

	fake.hold_ms = 100;
	ok(together(r, "k", false, 8, KB_MISS) == 8 && fake.calls < 8, "threads that want the same absent object ask once (%u)", fake.calls);
	fake.calls = 0;
	ok(together(r, "k", true, 8, KB_EXISTS) >= 1 && fake.calls < 8, "of those that store the same most have nothing to do");
	fake.hold_ms = 0;
	ok(together(r, "k", false, 8, KB_OK) == 8, "all that want an object get it");
	kache_remote_close(r);
	r = kache_layer_coalesce(BACKEND(KB_E_TIMEOUT, KB_MISS, KB_MISS, KB_MISS, KB_MISS, KB_MISS, KB_MISS, KB_MISS));
	fake.hold_ms = 50;
	ok(together(r, "k", false, 8, KB_MISS) >= 1, "one thread's lack of time is not the others' answer");
	kache_remote_close(r);
}

static void limit(void)
{
	struct kache_remote *r = kache_layer_limit(backend(NULL, 0), 3, 0);
	int pipe_fd[2];
	uint64_t began;
	struct thread t = { .r = r, .key = "k" };

	fake.hold_ms = 20;
	ok(together(r, "k", false, 12, KB_MISS) == 12 && fake.most_busy == 3, "no more than three at the same time, and all in the end");
	kache_remote_close(r);

	r = kache_layer_limit(backend(NULL, 0), 1, 0);
	fake.hold_ms = 400;
	t.r = r;
	pthread_create(&t.id, NULL, thread_main, &t);
	usleep(50000);
	if (!pipe(pipe_fd) && write(pipe_fd[1], "x", 1) == 1) {
		struct kb_stat st;

		kache_call_init(&call, kache_now_mono() + 5000000000u, pipe_fd[0]);
		ok(kache_remote_head(r, key_of("k"), &st, &call) == KB_E_CANCELLED, "who waits for a place can be cancelled");
		kache_call_init(&call, kache_now_mono() + 50000000u, -1);
		ok(kache_remote_head(r, key_of("k"), &st, &call) == KB_E_TIMEOUT, "and waits no longer than it has time");
	}
	pthread_join(t.id, NULL);
	kache_remote_close(r);

	r = kache_layer_limit(backend(NULL, 0), 8, 50);
	began = kache_now_mono();
	for (int i = 0; i < 6; i++)
		ask(r, "k");
	ok(kache_now_mono() - began >= 95000000, "a rate of 50 a second spaces six calls over a tenth");
	fresh_call(1);
	kache_remote_close(r);
}

/* ---- attempt, retry ---- */

static void attempts(void)
{
	struct kache_remote *retry, *r = kache_layer_attempt(backend(NULL, 0), 500);
	struct kache_remote_stats counted = { 0 };
	uint64_t before;

	before = kache_now_mono();
	ask(r, "k");
	ok(fake.last_deadline >= before && fake.last_deadline <= kache_now_mono() + 500000000, "an attempt has its own time");
	ok(call.kb.deadline_ns > fake.last_deadline, "and the call keeps its own");
	kache_remote_close(r);

	retry = kache_layer_retry(BACKEND(KB_E_TRANSIENT, KB_E_TRANSIENT, KB_MISS), 3);
	kache_layer_retry_count(retry, &counted);
	ok(ask(retry, "k") == KB_MISS && fake.calls == 3 && atomic_load(&counted.retries) == 2, "what fails for a moment is repeated");
	kache_remote_close(retry);
	retry = kache_layer_retry(BACKEND(KB_E_AUTH), 3);
	ok(ask(retry, "k") == KB_E_AUTH && fake.calls == 1, "what will not change is not");
	kache_remote_close(retry);
	retry = kache_layer_retry(BACKEND(KB_E_THROTTLED, KB_OK), 3);
	fake.retry_after_ms = 60000;
	ok(ask(retry, "k") == KB_E_THROTTLED && fake.calls == 1, "a pause that does not fit the time is not begun");
	kache_remote_close(retry);
}

/* ---- chunk ---- */

static int count_each(void *arg, struct kb_key key, const struct kb_stat *st)
{
	(void)key;
	(void)st;
	++*(int *)arg;
	return 0;
}

static int objects(void)
{
	int n = 0;

	for (int i = 0; i < OBJECTS; i++)
		n += fake.objects[i].name != NULL;
	return n;
}

static struct kache_remote *small_backend(void)
{
	struct kache_remote *b = backend(NULL, 0);

	fake.max_object = 1000;
	return kache_layer_chunk(b, 1000);
}

static int piece(int skip)
{
	for (int i = 0; i < OBJECTS; i++)
		if (fake.objects[i].name && strstr(fake.objects[i].name, ".c-") && !skip--)
			return i;
	return -1;
}

static void chunks(void)
{
	static const size_t sizes[] = { 0, 1, 951, 952, 953, 999, 1000, 1001, 5000, 20000 };
	struct kache_remote *r;
	char *data = kache_alloc(20000);
	struct kb_stat st;
	int n = 0, bad = 0, i;

	for (i = 0; i < 20000; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		r = small_backend();
		bad += give(r, "a/object", data, sizes[k], 0) != KB_OK || ask(r, "a/object") != KB_OK || got.len != sizes[k] ||
		       (sizes[k] && memcmp(got.data, data, sizes[k]));
		bad += kache_remote_head(r, key_of("a/object"), &st, &call) != KB_OK || st.size != sizes[k];
		fresh_call(1000);
		n = 0;
		bad += kache_remote_list(r, key_of(""), count_each, &n, &call) != KB_OK || n != 1;
		bad += kache_remote_del(r, key_of("a/object"), &call) != KB_OK || objects();
		kache_remote_close(r);
	}
	ok(!bad, "objects of all sizes around the limit come back, count as one, and go without a trace");

	r = small_backend();
	give(r, "k", data, 5000, 0);
	i = piece(2);
	free(fake.objects[i].name);
	fake.objects[i].name = NULL;
	ok(ask(r, "k") == KB_MISS, "an evicted piece makes it a miss");
	ok(slot(&fake, key_of("k")) < 0, "and removes what names it");
	kache_remote_close(r);
	r = small_backend();
	give(r, "k", data, 5000, 0);
	i = piece(1);
	fake.objects[i].data[7] ^= 1;
	ok(ask(r, "k") == KB_E_CORRUPT && !got.len, "a flipped bit in a piece delivers nothing");
	kache_remote_close(r);

	r = small_backend();
	give(r, "k", data, 100, 0);
	fake.objects[slot(&fake, key_of("k"))].data[60] ^= 1;
	ok(ask(r, "k") == KB_E_CORRUPT, "nor in a whole one");
	give(r->next, "k", "something else", 14, 0);
	ok(ask(r, "k") == KB_E_CORRUPT, "what is not framed is not taken for an object");
	kache_remote_close(r);

	/* A second writer that dies before its frame is written. */
	r = small_backend();
	give(r, "k", data, 3000, 0);
	fake.n_script = fake.calls + 3;
	fake.script[fake.calls] = fake.script[fake.calls + 1] = KB_OK;
	fake.script[fake.calls + 2] = KB_E_TRANSIENT;
	ok(give(r, "k", data + 100, 3000, 0) == KB_E_TRANSIENT, "a put that breaks off fails");
	ok(ask(r, "k") == KB_OK && got.len == 3000 && !memcmp(got.data, data, 3000), "and the old object is still there");
	ok(give(r, "k", data, (size_t)20000, 0) == KB_OK, "a good one replaces it");
	kache_remote_close(r);
	free(data);
}

int main(void)
{
	kache_log_level = KACHE_LOG_ERROR;
	breaker();
	negative();
	coalesce();
	limit();
	attempts();
	chunks();
	kache_buf_release(&got);
	return done();
}
