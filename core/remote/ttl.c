#include "config.h"
#include "remote/ttl.h"

#include "base/buf.h"
#include "remote/layer.h"

#include <stdlib.h>

struct ttl {
	int64_t seconds;
};

static int put(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	       struct kache_call *call)
{
	const struct ttl *t = r->ctx;
	struct kb_put_opts mine = opts ? *opts : (struct kb_put_opts){ .struct_size = sizeof mine };

	if (!mine.ttl_s)
		mine.ttl_s = t->seconds;
	return kache_forward_put(r, key, src, &mine, call);
}

static void close_layer(struct kache_remote *r)
{
	free(r->ctx);
}

static const struct kache_remote_ops ops = {
	.layer = "ttl", .close = close_layer, .get = kache_forward_get, .put = put, .head = kache_forward_head,
	.del = kache_forward_del, .list = kache_forward_list, .ping = kache_forward_ping,
};

struct kache_remote *kache_remote_ttl(struct kache_remote *next, int64_t ttl_s)
{
	struct ttl *t = kache_calloc(1, sizeof *t);

	t->seconds = ttl_s;
	return kache_layer_new(&ops, next, t);
}
