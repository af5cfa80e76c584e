/* At most so many operations at the same time, and so many begun per second. Below the retry layer: a sleeping
 * repetition holds no place. */
#include "config.h"
#include "remote/layer.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

enum { SLICE_MS = 50 };

struct limit {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	unsigned most, busy;
	uint64_t interval_ns, next_ns;	/* between two beginnings; 0: no rate */
};

static bool cancelled(const struct kache_call *call)
{
	struct pollfd p = { .fd = call->kb.cancel_fd, .events = POLLIN };

	return p.fd >= 0 && poll(&p, 1, 0) > 0;
}

/* Under the lock: this operation's turn by the rate, taken now and waited for afterwards. */
static int take_turn(struct limit *l, struct kache_call *call, uint64_t *at)
{
	uint64_t now = kache_now_mono();

	*at = now;
	if (!l->interval_ns)
		return KB_OK;
	if (l->next_ns > now)
		*at = l->next_ns;
	if (*at >= call->kb.deadline_ns)
		return kache_call_fail(call, KB_E_THROTTLED, "the rate that is set for this remote does not allow it in time");
	l->next_ns = *at + l->interval_ns;
	return KB_OK;
}

static int sleep_until(uint64_t at, struct kache_call *call)
{
	for (;;) {
		struct pollfd p = { .fd = call->kb.cancel_fd, .events = POLLIN };
		uint64_t now = kache_now_mono();

		if (now >= at)
			return KB_OK;
		if (poll(&p, 1, (int)((at - now) / 1000000 + 1)) > 0)
			return kache_call_fail(call, KB_E_CANCELLED, "cancelled");
	}
}

static int enter(struct limit *l, struct kache_call *call)
{
	uint64_t at;
	int rc = KB_OK;

	pthread_mutex_lock(&l->lock);
	while (!rc && l->busy >= l->most) {
		uint64_t until = kache_now_mono() + (uint64_t)SLICE_MS * 1000000;
		struct timespec t;

		if (until > call->kb.deadline_ns)
			until = call->kb.deadline_ns;
		t = (struct timespec){ .tv_sec = (time_t)(until / 1000000000u), .tv_nsec = (long)(until % 1000000000u) };
		pthread_cond_timedwait(&l->freed, &l->lock, &t);
		if (l->busy < l->most)
			break;
		if (cancelled(call))
			rc = kache_call_fail(call, KB_E_CANCELLED, "cancelled");
		else if (kache_now_mono() >= call->kb.deadline_ns)
			rc = kache_call_fail(call, KB_E_TIMEOUT, "%u operations are under way and none ended in time", l->most);
	}
	if (!rc)
		rc = take_turn(l, call, &at);
	if (!rc)
		l->busy++;
	pthread_mutex_unlock(&l->lock);
	if (rc)
		return rc;
	rc = sleep_until(at, call);
	if (rc) {
		pthread_mutex_lock(&l->lock);
		l->busy--;
		pthread_cond_signal(&l->freed);
		pthread_mutex_unlock(&l->lock);
	}
	return rc;
}

static int leave(struct limit *l, int rc)
{
	pthread_mutex_lock(&l->lock);
	l->busy--;
	pthread_cond_signal(&l->freed);
	pthread_mutex_unlock(&l->lock);
	return rc;
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

	pthread_cond_destroy(&l->freed);
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
	pthread_condattr_t attr;

	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->freed, &attr);
	pthread_condattr_destroy(&attr);
	l->most = most ? most : 1;
	l->interval_ns = per_second ? 1000000000u / per_second : 0;
	return kache_layer_new(&ops, next, l);
}
