/* Inside of a remote: the layers and what they need of each other. */
#ifndef KACHE_REMOTE_LAYER_H
#define KACHE_REMOTE_LAYER_H

#include "remote/loader.h"
#include "remote/remote.h"

/* Passes an operation on to the next layer, for those a layer has no opinion on. */
#define REMOTE_OP(name, params, args) int kache_forward_##name params;
#include "remote/ops.def"
#undef REMOTE_OP

struct kache_remote *kache_layer_new(const struct kache_remote_ops *ops, struct kache_remote *next, void *ctx);

/* Each takes ownership of next, and of conf, which lives as long as its handles. */
struct kache_remote *kache_layer_stats(struct kache_remote *next, struct kache_remote_info *info, uint64_t timeout_ms);
struct kache_remote *kache_layer_gate(struct kache_remote *next, const char *prefix, bool writable, uint64_t max_object);
struct kache_remote *kache_layer_retry(struct kache_remote *next, unsigned retries);
/* Where retries are counted. */
void kache_layer_retry_count(struct kache_remote *r, struct kache_remote_stats *stats);
/* Opens the first handle. 0 with *out and *limits, or a negative kb_status; conf is freed then too. */
int kache_layer_backend(struct kache_module *m, kb_conf *conf, struct kb_limits *limits, struct kache_call *call,
			struct kache_remote **out);

#endif
