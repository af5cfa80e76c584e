/* The outermost layer: counts, and knows what the remote is. */
#include "config.h"
#include "remote/layer.h"

#include "base/buf.h"
#include "base/clock.h"

#include <stdlib.h>
#include <sys/stat.h>

struct stats {
	struct kache_remote_stats counters;
	struct kache_remote_info info;
	struct kache_health health;
	uint64_t timeout_ms;
};

static atomic_ullong *counter_of(struct kache_remote_stats *c, int rc)
{
	switch (rc) {
	case KB_E_TRANSIENT:
	case KB_E_THROTTLED:
		return &c->passing;
	case KB_E_TIMEOUT:
		return &c->timeouts;
	case KB_E_AUTH:
		return &c->refused;
	case KB_E_NOSPACE:
		return &c->no_space;
	case KB_E_CORRUPT:
		return &c->corrupt;
	case KB_E_LOCAL:
		return &c->local;
	default:
		return &c->other;
	}
}

static int count(struct stats *s, const struct kache_call *call, int rc)
{
	struct kache_remote_stats *c = &s->counters;

	if (rc == KB_E_CANCELLED)
		return rc;
	if (rc == KB_E_TOOBIG) {
		atomic_fetch_add(&c->too_big, 1);
	} else if (call->unasked) {
		atomic_fetch_add(rc < 0 ? &c->held_back : &c->spared, 1);
	} else if (rc < 0) {
		atomic_fetch_add(&c->errors, 1);
		atomic_fetch_add(counter_of(c, rc), 1);
	}
	return rc;
}

static void took(atomic_ullong *n, atomic_ullong *us, uint64_t began, const struct kache_call *call, int rc)
{
	if (rc < 0 || call->unasked)
		return;
	atomic_fetch_add(n, 1);
	atomic_fetch_add(us, (kache_now_mono() - began) / 1000);
}

/* A sink that counts on its way to the caller's. What goes by the descriptor is counted by its size. */
struct counted {
	struct kb_sink kb;
	struct kb_sink *to;
	uint64_t bytes;
};

static int counted_begin(struct kb_sink *kb, uint64_t size)
{
	struct counted *c = (struct counted *)kb;

	c->bytes = 0;
	return c->to->begin(c->to, size);
}

static int counted_write(struct kb_sink *kb, const void *buf, size_t len)
{
	struct counted *c = (struct counted *)kb;

	c->bytes += len;
	return c->to->write(c->to, buf, len);
}

static uint64_t received(const struct counted *c)
{
	struct stat st;

	if (c->bytes || c->kb.fd < 0)
		return c->bytes;
	return fstat(c->kb.fd, &st) ? 0 : (uint64_t)st.st_size;
}

static int get(struct kache_remote *r, struct kb_key key, struct kb_sink *sink, struct kache_call *call)
{
	struct counted c = { .kb = *sink, .to = sink };
	struct stats *s = r->ctx;
	uint64_t began = kache_now_mono();
	int rc;

	c.kb.begin = counted_begin;
	c.kb.write = counted_write;
	call->unasked = false;
	rc = kache_forward_get(r, key, &c.kb, call);
	took(&s->counters.get_n, &s->counters.get_us, began, call, rc);
	if (rc == KB_OK) {
		atomic_fetch_add(&s->counters.hits, 1);
		atomic_fetch_add(&s->counters.bytes_in, received(&c));
	}
	if (rc == KB_MISS)
		atomic_fetch_add(&s->counters.misses, 1);
	return count(s, call, rc);
}

static int put(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	       struct kache_call *call)
{
	struct stats *s = r->ctx;
	uint64_t began = kache_now_mono();
	int rc;

	call->unasked = false;
	rc = kache_forward_put(r, key, src, opts, call);
	took(&s->counters.put_n, &s->counters.put_us, began, call, rc);
	if (rc == KB_OK) {
		atomic_fetch_add(&s->counters.stored, 1);
		atomic_fetch_add(&s->counters.bytes_out, src->size);
	} else if (rc == KB_EXISTS) {
		atomic_fetch_add(&s->counters.existed, 1);
	}
	return count(s, call, rc);
}

static int head(struct kache_remote *r, struct kb_key key, struct kb_stat *st, struct kache_call *call)
{
	return count(r->ctx, call, kache_forward_head(r, key, st, call));
}

static int del(struct kache_remote *r, struct kb_key key, struct kache_call *call)
{
	return count(r->ctx, call, kache_forward_del(r, key, call));
}

static int list(struct kache_remote *r, struct kb_key prefix, kache_remote_each *each, void *arg, struct kache_call *call)
{
	return count(r->ctx, call, kache_forward_list(r, prefix, each, arg, call));
}

static int ping(struct kache_remote *r, struct kb_limits *limits, struct kache_call *call)
{
	return count(r->ctx, call, kache_forward_ping(r, limits, call));
}

static void close_layer(struct kache_remote *r)
{
	struct stats *s = r->ctx;

	free((char *)s->info.url);
	free((char *)s->info.prefix);
	pthread_mutex_destroy(&s->health.lock);
	free(s);
}

static const struct kache_remote_ops ops = {
	.layer = "stats", .close = close_layer, .get = get, .put = put, .head = head, .del = del, .list = list, .ping = ping,
};

struct kache_remote *kache_layer_stats(struct kache_remote *next, struct kache_remote_info *info, uint64_t timeout_ms)
{
	struct stats *s = kache_calloc(1, sizeof *s);

	s->info = *info;
	s->timeout_ms = timeout_ms;
	pthread_mutex_init(&s->health.lock, NULL);
	return kache_layer_new(&ops, next, s);
}

const struct kache_remote_info *kache_remote_info(const struct kache_remote *r)
{
	return &((const struct stats *)r->ctx)->info;
}

struct kache_remote_stats *kache_remote_stats(const struct kache_remote *r)
{
	return &((struct stats *)r->ctx)->counters;
}

struct kache_health *kache_remote_health(const struct kache_remote *r)
{
	return &((struct stats *)r->ctx)->health;
}

void kache_remote_patient(struct kache_remote *r)
{
	struct kache_health *h = kache_remote_health(r);

	pthread_mutex_lock(&h->lock);
	h->patient = true;
	pthread_mutex_unlock(&h->lock);
}

const char *kache_remote_state(const struct kache_remote *r)
{
	struct kache_health *h = kache_remote_health(r);
	const char *state;

	pthread_mutex_lock(&h->lock);
	state = h->state == KACHE_HEALTH_GIVEN_UP ? "given up" : h->state == KACHE_HEALTH_DISABLED ? "disabled"
	      : h->writes_disabled ? "writes disabled" : "ok";
	pthread_mutex_unlock(&h->lock);
	return state;
}

uint64_t kache_remote_deadline(const struct kache_remote *r, uint64_t bytes)
{
	const struct stats *s = r->ctx;

	return kache_now_mono() + (s->timeout_ms + bytes / KACHE_REMOTE_BYTES_PER_MS) * 1000000;
}
