/* The outermost layer: counts, and knows what the remote is. */
#include "config.h"
#include "remote/layer.h"

#include "base/buf.h"
#include "base/clock.h"

#include <stdlib.h>

enum { BYTES_PER_MS = 131 };	/* 128 KiB/s: what a slow but living line carries */

struct stats {
	struct kache_remote_stats counters;
	struct kache_remote_info info;
	uint64_t timeout_ms;
};

static int count(struct stats *s, int rc)
{
	if (rc == KB_E_TOOBIG)
		atomic_fetch_add(&s->counters.too_big, 1);
	else if (rc < 0 && rc != KB_E_CANCELLED)
		atomic_fetch_add(&s->counters.errors, 1);
	return rc;
}

static int get(struct kache_remote *r, struct kb_key key, struct kb_sink *sink, struct kache_call *call)
{
	struct stats *s = r->ctx;
	int rc = kache_forward_get(r, key, sink, call);

	if (rc == KB_OK)
		atomic_fetch_add(&s->counters.hits, 1);
	else if (rc == KB_MISS)
		atomic_fetch_add(&s->counters.misses, 1);
	return count(s, rc);
}

static int put(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	       struct kache_call *call)
{
	struct stats *s = r->ctx;
	int rc = kache_forward_put(r, key, src, opts, call);

	if (rc == KB_OK) {
		atomic_fetch_add(&s->counters.stored, 1);
		atomic_fetch_add(&s->counters.bytes_out, src->size);
	} else if (rc == KB_EXISTS) {
		atomic_fetch_add(&s->counters.existed, 1);
	}
	return count(s, rc);
}

static int head(struct kache_remote *r, struct kb_key key, struct kb_stat *st, struct kache_call *call)
{
	return count(r->ctx, kache_forward_head(r, key, st, call));
}

static int del(struct kache_remote *r, struct kb_key key, struct kache_call *call)
{
	return count(r->ctx, kache_forward_del(r, key, call));
}

static int list(struct kache_remote *r, struct kb_key prefix, kache_remote_each *each, void *arg, struct kache_call *call)
{
	return count(r->ctx, kache_forward_list(r, prefix, each, arg, call));
}

static int ping(struct kache_remote *r, struct kb_limits *limits, struct kache_call *call)
{
	return count(r->ctx, kache_forward_ping(r, limits, call));
}

static void close_layer(struct kache_remote *r)
{
	struct stats *s = r->ctx;

	free((char *)s->info.url);
	free((char *)s->info.prefix);
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

uint64_t kache_remote_deadline(const struct kache_remote *r, uint64_t bytes)
{
	const struct stats *s = r->ctx;

	return kache_now_mono() + (s->timeout_ms + bytes / BYTES_PER_MS) * 1000000;
}
