#include "config.h"
#include "remote/wait.h"

#include "base/clock.h"

#include <poll.h>
#include <time.h>

enum { SLICE_MS = 50 };		/* a condition can't be polled together with a descriptor */

void kache_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

static int unasked(struct kache_call *call, int status, const char *why)
{
	call->unasked = true;
	return kache_call_fail(call, status, "%s", why);
}

static int cancelled(struct kache_call *call, int wait_ms)
{
	struct pollfd p = { .fd = call->kb.cancel_fd, .events = POLLIN };	/* poll ignores fd -1 */

	return poll(&p, 1, wait_ms) > 0 ? unasked(call, KB_E_CANCELLED, "cancelled") : KB_OK;
}

int kache_call_wait(struct kache_call *call, pthread_cond_t *c, pthread_mutex_t *lock, const char *why)
{
	uint64_t now = kache_now_mono(), until = now + (uint64_t)SLICE_MS * 1000000;
	struct timespec t;
	int rc = cancelled(call, 0);

	if (rc)
		return rc;
	if (now >= call->kb.deadline_ns)
		return unasked(call, KB_E_TIMEOUT, why);
	if (until > call->kb.deadline_ns)
		until = call->kb.deadline_ns;
	t = (struct timespec){ .tv_sec = (time_t)(until / 1000000000u), .tv_nsec = (long)(until % 1000000000u) };
	pthread_cond_timedwait(c, lock, &t);
	return KB_OK;
}

int kache_call_sleep(struct kache_call *call, uint64_t until_ns)
{
	for (;;) {
		uint64_t now = kache_now_mono(), ms = now < until_ns ? (until_ns - now) / 1000000 + 1 : 0;
		int rc = ms ? cancelled(call, ms < 60000 ? (int)ms : 60000) : KB_OK;

		if (rc || !ms)
			return rc;
	}
}
