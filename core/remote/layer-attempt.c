/* Gives one attempt only part of the time, so that another can still be made; and tells of each attempt in the
 * log. Innermost but for the backend. */
#include "config.h"
#include "remote/layer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>

struct attempt {
	uint64_t ns;			/* 0: all the time there is */
};

static int trace(const char *op, struct kb_key key, uint64_t began, const struct kache_call *call, int rc)
{
	if (kache_log_level >= KACHE_LOG_TRACE)
		kache_trace("remote: %s %.*s: %s%s%s, %" PRIu64 " us", op, (int)key.len, key.name, kache_status_name(rc),
			    rc < 0 ? ": " : "", rc < 0 ? call->err.text : "", (kache_now_mono() - began) / 1000);
	return rc;
}

/* The end of this attempt; extra: for the bytes that it moves. */
static uint64_t shorten(const struct attempt *a, struct kache_call *call, uint64_t bytes)
{
	uint64_t end = call->kb.deadline_ns, now = kache_now_mono();
	uint64_t ns = a->ns + bytes / KACHE_REMOTE_BYTES_PER_MS * 1000000;

	if (a->ns && now + ns < end)
		call->kb.deadline_ns = now + ns;
	return end;
}

#define ATTEMPT(op, what, bytes, ...) do { \
	uint64_t began = kache_now_mono(), end = shorten(r->ctx, call, bytes); \
	int rc = kache_forward_##op(__VA_ARGS__); \
	call->kb.deadline_ns = end; \
	return trace(#op, what, began, call, rc); \
} while (0)

static int get(struct kache_remote *r, struct kb_key key, struct kb_sink *sink, struct kache_call *call)
{
	ATTEMPT(get, key, 0, r, key, sink, call);
}

static int put(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	       struct kache_call *call)
{
	ATTEMPT(put, key, src->size, r, key, src, opts, call);
}

static int head(struct kache_remote *r, struct kb_key key, struct kb_stat *st, struct kache_call *call)
{
	ATTEMPT(head, key, 0, r, key, st, call);
}

static int del(struct kache_remote *r, struct kb_key key, struct kache_call *call)
{
	ATTEMPT(del, key, 0, r, key, call);
}

static int list(struct kache_remote *r, struct kb_key prefix, kache_remote_each *each, void *arg, struct kache_call *call)
{
	uint64_t began = kache_now_mono();	/* a listing is as long as it is */

	return trace("list", prefix, began, call, kache_forward_list(r, prefix, each, arg, call));
}

static int ping(struct kache_remote *r, struct kb_limits *limits, struct kache_call *call)
{
	ATTEMPT(ping, ((struct kb_key){ "", 0 }), 0, r, limits, call);
}

static void close_layer(struct kache_remote *r)
{
	free(r->ctx);
}

static const struct kache_remote_ops ops = {
	.layer = "attempt", .close = close_layer, .get = get, .put = put, .head = head, .del = del, .list = list, .ping = ping,
};

struct kache_remote *kache_layer_attempt(struct kache_remote *next, uint64_t timeout_ms)
{
	struct attempt *a = kache_calloc(1, sizeof *a);

	a->ns = timeout_ms * 1000000;
	return kache_layer_new(&ops, next, a);
}
