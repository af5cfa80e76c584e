/* A scripted backend for tests of single layers. For inclusion once per test. */
#ifndef KACHE_TESTS_LAYERS_FAKE_H
#define KACHE_TESTS_LAYERS_FAKE_H

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
	char order[16];			/* of gets: first letters of their keys */
	uint64_t last_deadline, bytes_out;	/* bytes_out: what gets have sent */
	int64_t last_ttl;
	struct {
		char *name, *data;
		size_t len;
	} objects[OBJECTS];
	uint64_t max_object;
	uint32_t retry_after_ms;
	bool unasked;			/* what the layers below say of a failure */
	void (*meanwhile)(void);	/* happens once: during the call of that number, or the next */
	unsigned meanwhile_at;
};

static int enter(struct fake *f, struct kache_call *call)
{
	void (*meanwhile)(void);
	unsigned hold_ms;
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
	call->unasked = f->unasked;
	hold_ms = f->hold_ms;
	meanwhile = f->calls >= f->meanwhile_at ? f->meanwhile : NULL;
	if (meanwhile)
		f->meanwhile = NULL;
	pthread_mutex_unlock(&f->lock);
	if (meanwhile)
		meanwhile();
	if (hold_ms)
		usleep(hold_ms * 1000);
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
	size_t n;

	pthread_mutex_lock(&f->lock);
	n = strlen(f->order);
	if (n + 1 < sizeof f->order)
		f->order[n] = *key.name;
	i = slot(f, key);
	if (!rc)
		rc = i < 0 ? KB_MISS : sink->begin(sink, f->objects[i].len);
	if (!rc)
		rc = sink->write(sink, f->objects[i].data, f->objects[i].len);
	f->bytes_out += rc ? 0 : f->objects[i].len;
	pthread_mutex_unlock(&f->lock);
	return leave(f, rc, call);
}

static int fake_put(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
		    struct kache_call *call)
{
	struct fake *f = r->ctx;
	int rc = enter(f, call), i;
	size_t got;

	pthread_mutex_lock(&f->lock);
	f->last_ttl = opts ? opts->ttl_s : 0;
	i = slot(f, key);
	if (!rc && i >= 0 && opts && opts->flags & KB_PUT_IF_ABSENT)
		rc = KB_EXISTS;
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
	struct fake *f = r->ctx;
	int rc = enter(f, call), i;

	pthread_mutex_lock(&f->lock);
	i = slot(f, key);
	if (!rc && i < 0)
		rc = KB_MISS;
	else if (!rc)
		*st = (struct kb_stat){ .size = f->objects[i].len, .mtime_s = 1, .ttl_s = -1 };
	pthread_mutex_unlock(&f->lock);
	return leave(f, rc, call);
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
		if (f->objects[i].name) {
			const struct kb_stat st = { .size = f->objects[i].len, .mtime_s = 1, .ttl_s = -1 };

			rc = each(arg, (struct kb_key){ f->objects[i].name, strlen(f->objects[i].name) }, &st);
		}
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

__attribute__((unused))
static uint64_t test_clock(void)
{
	return clock_now;
}

__attribute__((unused))
static void pass(unsigned s)
{
	clock_now += (uint64_t)s * 1000000000;
}

#endif
