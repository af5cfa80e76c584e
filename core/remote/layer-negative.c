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
	struct slot {
		struct kache_hash key;
		uint64_t until;		/* mono ns; 0: empty */
		bool damaged;		/* it is there, but not what it should be */
		uint32_t changes;	/* to any of its keys: a look-up that began before one may be out of date */
	} slots[SLOTS];
};

/* A key and its slot, as they were when the operation began. */
struct place {
	struct kache_hash key;
	struct slot *slot;
	uint32_t changes;
};

static uint64_t now(const struct negative *n)
{
	return n->clock ? n->clock() : kache_now_mono();
}

static bool known(struct negative *n, struct kb_key key, struct place *p)
{
	size_t i;
	bool yes;

	kache_hash_bytes(key.name, key.len, &p->key);
	memcpy(&i, &p->key, sizeof i);
	p->slot = &n->slots[i % SLOTS];
	pthread_mutex_lock(&n->lock);
	p->changes = p->slot->changes;
	yes = p->slot->until > now(n) && kache_hash_eq(&p->slot->key, &p->key);
	pthread_mutex_unlock(&n->lock);
	return yes;
}

static int learn(struct negative *n, const struct place *p, int rc)
{
	uint64_t ns = rc == KB_MISS ? n->ttl_ns : rc == KB_E_CORRUPT ? (uint64_t)DAMAGED_MS * 1000000 : 0;

	if (!ns)
		return rc;
	pthread_mutex_lock(&n->lock);
	if (p->slot->changes == p->changes) {
		p->slot->key = p->key;
		p->slot->until = now(n) + ns;
		p->slot->damaged = rc == KB_E_CORRUPT;
	}
	pthread_mutex_unlock(&n->lock);
	return rc;
}

static int remembered(struct kache_call *call)
{
	call->unasked = true;
	return KB_MISS;
}

/* After a change by ourselves. */
static int forget(struct negative *n, struct kb_key key, int rc)
{
	/* After these two it may have arrived. After "exists" what is damaged still is. */
	bool changed = rc >= 0 || rc == KB_E_TIMEOUT || rc == KB_E_TRANSIENT;
	struct place p;

	if (!changed)
		return rc;
	known(n, key, &p);
	pthread_mutex_lock(&n->lock);
	p.slot->changes++;
	if (kache_hash_eq(&p.slot->key, &p.key) && !(rc == KB_EXISTS && p.slot->damaged))
		p.slot->until = 0;
	pthread_mutex_unlock(&n->lock);
	return rc;
}

static int get(struct kache_remote *r, struct kb_key key, struct kb_sink *sink, struct kache_call *call)
{
	struct place p;

	return known(r->ctx, key, &p) ? remembered(call) : learn(r->ctx, &p, kache_forward_get(r, key, sink, call));
}

static int head(struct kache_remote *r, struct kb_key key, struct kb_stat *st, struct kache_call *call)
{
	struct place p;

	return known(r->ctx, key, &p) ? remembered(call) : learn(r->ctx, &p, kache_forward_head(r, key, st, call));
}

static int put(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	       struct kache_call *call)
{
	return forget(r->ctx, key, kache_forward_put(r, key, src, opts, call));
}

static int del(struct kache_remote *r, struct kb_key key, struct kache_call *call)
{
	return forget(r->ctx, key, kache_forward_del(r, key, call));
}

static void close_layer(struct kache_remote *r)
{
	struct negative *n = r->ctx;

	pthread_mutex_destroy(&n->lock);
	free(n);
}

static const struct kache_remote_ops ops = {
	.layer = "negative", .close = close_layer, .get = get, .put = put, .head = head, .del = del,
	.list = kache_forward_list, .ping = kache_forward_ping,
};

struct kache_remote *kache_layer_negative(struct kache_remote *next, uint64_t ttl_ms, uint64_t (*clock)(void))
{
	struct negative *n = kache_calloc(1, sizeof *n);

	pthread_mutex_init(&n->lock, NULL);
	n->ttl_ns = ttl_ms * 1000000;
	n->clock = clock;
	return kache_layer_new(&ops, next, n);
}
