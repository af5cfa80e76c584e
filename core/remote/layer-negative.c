/* Remembers for a while what is not there, so that a build which asks twice is told at once; and what arrived
 * damaged, so that nobody downloads it again and again. A fixed table: what does not fit overwrites. */
#include "config.h"
#include "remote/layer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS = 4096, DAMAGED_MS = 3600000 };

struct negative {
	pthread_mutex_t lock;
	uint64_t ttl_ns;
	uint64_t (*clock)(void);
	struct {
		struct kache_hash key;
		uint64_t until;		/* mono ns; 0: empty */
	} slots[SLOTS];
};

static size_t slot_of(struct kb_key key, struct kache_hash *h)
{
	size_t i;

	kache_hash_bytes(key.name, key.len, h);
	memcpy(&i, h, sizeof i);
	return i % SLOTS;
}

static uint64_t now(const struct negative *n)
{
	return n->clock ? n->clock() : kache_now_mono();
}

static bool known(struct negative *n, struct kb_key key)
{
	struct kache_hash h;
	size_t i = slot_of(key, &h);
	bool yes;

	pthread_mutex_lock(&n->lock);
	yes = n->slots[i].until > now(n) && kache_hash_eq(&n->slots[i].key, &h);
	pthread_mutex_unlock(&n->lock);
	return yes;
}

/* until 0 forgets. */
static void set(struct negative *n, struct kb_key key, uint64_t ns)
{
	struct kache_hash h;
	size_t i = slot_of(key, &h);

	pthread_mutex_lock(&n->lock);
	if (ns) {
		n->slots[i].key = h;
		n->slots[i].until = now(n) + ns;
	} else if (kache_hash_eq(&n->slots[i].key, &h)) {
		n->slots[i].until = 0;
	}
	pthread_mutex_unlock(&n->lock);
}

static int learn(struct negative *n, struct kb_key key, int rc)
{
	if (rc == KB_MISS && n->ttl_ns)
		set(n, key, n->ttl_ns);
	else if (rc == KB_E_CORRUPT)
		set(n, key, (uint64_t)DAMAGED_MS * 1000000);
	return rc;
}

static int get(struct kache_remote *r, struct kb_key key, struct kb_sink *sink, struct kache_call *call)
{
	return known(r->ctx, key) ? KB_MISS : learn(r->ctx, key, kache_forward_get(r, key, sink, call));
}

static int head(struct kache_remote *r, struct kb_key key, struct kb_stat *st, struct kache_call *call)
{
	return known(r->ctx, key) ? KB_MISS : learn(r->ctx, key, kache_forward_head(r, key, st, call));
}

static int put(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	       struct kache_call *call)
{
	int rc = kache_forward_put(r, key, src, opts, call);

	if (rc >= 0)
		set(r->ctx, key, 0);
	return rc;
}

static int list(struct kache_remote *r, struct kb_key prefix, kache_remote_each *each, void *arg, struct kache_call *call)
{
	return kache_forward_list(r, prefix, each, arg, call);
}

static void close_layer(struct kache_remote *r)
{
	struct negative *n = r->ctx;

	pthread_mutex_destroy(&n->lock);
	free(n);
}

static const struct kache_remote_ops ops = {
	.layer = "negative", .close = close_layer, .get = get, .put = put, .head = head, .del = kache_forward_del, .list = list,
	.ping = kache_forward_ping,
};

struct kache_remote *kache_layer_negative(struct kache_remote *next, uint64_t ttl_ms, uint64_t (*clock)(void))
{
	struct negative *n = kache_calloc(1, sizeof *n);

	pthread_mutex_init(&n->lock, NULL);
	n->ttl_ns = ttl_ms * 1000000;
	n->clock = clock;
	return kache_layer_new(&ops, next, n);
}
