/* At most so many operations at the same time, and so many begun per second; who came first goes first. Below the
 * retry layer: a sleeping repetition holds no place. */
#include "config.h"
#include "remote/layer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "remote/wait.h"

#include <stdlib.h>

struct waiter {
	pthread_cond_t turn;
	bool granted;
	struct waiter *next;
};

struct limit {
	pthread_mutex_t lock;
	unsigned most, busy;
	struct waiter *first, **last;
	uint64_t interval_ns, next_ns;	/* between two beginnings; 0: no rate */
};

static void dequeue(struct limit *l, const struct waiter *w)
{
	struct waiter **at = &l->first;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	if (l->last == &w->next)
		l->last = at;
}

/* Under the lock. Hands the place on to the first who waits, so that nobody slips in before it. */
static void give_back(struct limit *l)
{
	struct waiter *w = l->first;

	if (!w) {
		l->busy--;
		return;
	}
	dequeue(l, w);
	w->granted = true;
	pthread_cond_signal(&w->turn);
}

/* Under the lock: a place. */
static int take_place(struct limit *l, struct kache_call *call)
{
	struct waiter w = { .granted = false };
	int rc = KB_OK;

	if (l->busy < l->most) {
		l->busy++;
		return KB_OK;
	}
	kache_cond_init(&w.turn);
	*l->last = &w;
	l->last = &w.next;
	while (!w.granted && !rc)
		rc = kache_call_wait(call, &w.turn, &l->lock, "its turn did not come in time: too many operations are under way (max-inflight)");
	if (rc)
		dequeue(l, &w);
	pthread_cond_destroy(&w.turn);
	return rc;
}

/* Under the lock: when this operation may begin by the rate; taken now and waited for afterwards. */
static int take_turn(struct limit *l, struct kache_call *call, uint64_t *at)
{
	*at = kache_now_mono();
	if (!l->interval_ns)
		return KB_OK;
	if (l->next_ns > *at)
		*at = l->next_ns;
	if (*at >= call->kb.deadline_ns) {
		call->unasked = true;
		return kache_call_fail(call, KB_E_THROTTLED, "the rate that is set for this remote does not allow it in time");
	}
	l->next_ns = *at + l->interval_ns;
	return KB_OK;
}

static int leave(struct limit *l, int rc)
{
	pthread_mutex_lock(&l->lock);
	give_back(l);
	pthread_mutex_unlock(&l->lock);
	return rc;
}

static int enter(struct limit *l, struct kache_call *call)
{
	uint64_t at = 0;
	int rc;

	call->unasked = false;
	pthread_mutex_lock(&l->lock);
	rc = take_place(l, call);
	if (!rc) {
		rc = take_turn(l, call, &at);
		if (rc)
			give_back(l);
	}
	pthread_mutex_unlock(&l->lock);
	if (rc)
		return rc;
	rc = kache_call_sleep(call, at);
	return rc ? leave(l, rc) : KB_OK;
}

#define REMOTE_OP(name, params, args) \
	static int limit_##name params \
	{ \
		int rc = enter(r->ctx, call); \
		return rc ? rc : leave(r->ctx, kache_forward_##name args); \
	}
#include "remote/ops.def"
#undef REMOTE_OP

static void close_layer(struct kache_remote *r)
{
	struct limit *l = r->ctx;

	pthread_mutex_destroy(&l->lock);
	free(l);
}

static const struct kache_remote_ops ops = {
	.layer = "limit", .close = close_layer,
#define REMOTE_OP(name, params, args) .name = limit_##name,
#include "remote/ops.def"
#undef REMOTE_OP
};

struct kache_remote *kache_layer_limit(struct kache_remote *next, unsigned most, unsigned per_second)
{
	struct limit *l = kache_calloc(1, sizeof *l);

	pthread_mutex_init(&l->lock, NULL);
	l->last = &l->first;
	l->most = most ? most : 1;
	l->interval_ns = per_second ? 1000000000u / per_second : 0;
	return kache_layer_new(&ops, next, l);
}
