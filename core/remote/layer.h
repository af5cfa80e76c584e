/* Inside of a remote: the layers and what they need of each other. */
#ifndef KACHE_REMOTE_LAYER_H
#define KACHE_REMOTE_LAYER_H

#include "remote/loader.h"
#include "remote/remote.h"

/* Passes an operation on to the next layer, for those a layer has no opinion on. */
#define REMOTE_OP(name, params, args) int kache_forward_##name params;
#include "remote/ops.def"
#undef REMOTE_OP

enum { KACHE_REMOTE_BYTES_PER_MS = 131 };	/* 128 KiB/s: what a slow but living line carries */

/* A number per operation. */
enum {
#define REMOTE_OP(name, params, args) KACHE_REMOTE_##name,
#include "remote/ops.def"
#undef REMOTE_OP
	KACHE_REMOTE_OPS
};

struct kache_remote *kache_layer_new(const struct kache_remote_ops *ops, struct kache_remote *next, void *ctx);

/* Each takes ownership of next, and of conf, which lives as long as its handles. */
struct kache_remote *kache_layer_stats(struct kache_remote *next, struct kache_remote_info *info, uint64_t timeout_ms);
struct kache_remote *kache_layer_gate(struct kache_remote *next, const char *prefix, bool writable, uint64_t max_object);
struct kache_remote *kache_layer_retry(struct kache_remote *next, unsigned retries);
struct kache_remote *kache_layer_breaker(struct kache_remote *next, struct kache_health *health, const char *who);
/* ttl_ms 0: misses are not remembered. clock: for tests, else NULL. */
struct kache_remote *kache_layer_negative(struct kache_remote *next, uint64_t ttl_ms, uint64_t (*clock)(void));
struct kache_remote *kache_layer_coalesce(struct kache_remote *next);
/* most: bytes of the largest object that the backend takes. writable: what is of no use is removed. */
struct kache_remote *kache_layer_chunk(struct kache_remote *next, uint64_t most, bool writable);
/* per_second 0: no rate. */
struct kache_remote *kache_layer_limit(struct kache_remote *next, unsigned most, unsigned per_second);
/* timeout_ms of one attempt, 0: all the time there is. */
struct kache_remote *kache_layer_attempt(struct kache_remote *next, uint64_t timeout_ms);
/* Where retries are counted. */
void kache_layer_retry_count(struct kache_remote *r, struct kache_remote_stats *stats);
/* Opens the first handle. 0 with *out and *limits, or a negative kb_status; conf is freed then too. */
int kache_layer_backend(struct kache_module *m, kb_conf *conf, struct kb_limits *limits, struct kache_call *call,
			struct kache_remote **out);

#endif
