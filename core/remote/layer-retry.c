/* Repeats what failed for a moment, with growing, random pauses, as long as the call's time lasts. */
#include "config.h"
#include "remote/layer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "remote/wait.h"

#include <stdlib.h>

enum { FIRST_PAUSE_MS = 100, LONGEST_PAUSE_MS = 5000 };

struct retry {
	unsigned retries;
	struct kache_remote_stats *stats;
};

/* Between half and all of the pause, so that clients which failed together do not come back together. */
static uint64_t pause_ms(unsigned attempt)
{
	uint64_t full = attempt < 6 ? (uint64_t)FIRST_PAUSE_MS << attempt : LONGEST_PAUSE_MS;
	uint64_t noise = kache_now_mono() * 0x9e3779b97f4a7c15u >> 33;

	if (full > LONGEST_PAUSE_MS)
		full = LONGEST_PAUSE_MS;
	return full / 2 + noise % (full / 2 + 1);
}

/* A body that was damaged on its way may arrive whole the second time; one that lies there damaged does not. */
static unsigned allowed(const struct retry *t, int rc)
{
	switch (rc) {
	case KB_E_TRANSIENT:
	case KB_E_THROTTLED:
	case KB_E_TIMEOUT:
		return t->retries;
	case KB_E_CORRUPT:
		return t->retries ? 1 : 0;
	default:
		return 0;
	}
}

/* Is it to be done again, now? *rc may become KB_E_CANCELLED. */
static bool again(const struct retry *t, struct kache_call *call, int *rc, unsigned attempt, const char *op)
{
	uint64_t ms, now = kache_now_mono();

	if (attempt >= allowed(t, *rc))
		return false;
	ms = *rc == KB_E_THROTTLED && call->kb.retry_after_ms ? call->kb.retry_after_ms : pause_ms(attempt);
	if (now + ms * 1000000 >= call->kb.deadline_ns)
		return false;
	kache_debug("remote: %s: %s; again in %llu ms", op, call->err.text, (unsigned long long)ms);
	if (kache_call_sleep(call, now + ms * 1000000)) {
		*rc = KB_E_CANCELLED;
		return false;
	}
	call->kb.retry_after_ms = 0;
	if (t->stats)
		atomic_fetch_add(&t->stats->retries, 1);
	return true;
}

#define REMOTE_OP(name, params, args) \
	static int retry_##name params \
	{ \
		for (unsigned attempt = 0;; attempt++) { \
			int rc = kache_forward_##name args; \
			if (!again(r->ctx, call, &rc, attempt, #name)) \
				return rc; \
		} \
	}
#include "remote/ops.def"
#undef REMOTE_OP

static void close_layer(struct kache_remote *r)
{
	free(r->ctx);
}

static const struct kache_remote_ops ops = {
	.layer = "retry", .close = close_layer,
#define REMOTE_OP(name, params, args) .name = retry_##name,
#include "remote/ops.def"
#undef REMOTE_OP
};

struct kache_remote *kache_layer_retry(struct kache_remote *next, unsigned retries)
{
	struct retry *t = kache_calloc(1, sizeof *t);

	t->retries = retries;
	return kache_layer_new(&ops, next, t);
}

void kache_layer_retry_count(struct kache_remote *r, struct kache_remote_stats *stats)
{
	((struct retry *)r->ctx)->stats = stats;
}
