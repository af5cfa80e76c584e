/* Leaves a remote alone that has failed several times in a row, and says so once. After a pause one call may try
 * again; the pause doubles as long as that fails. What will not get better by itself (credentials, settings, a backend
 * that breaks its contract) stops it at once; a refused write stops writes only. */
#include "config.h"
#include "remote/layer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "remote/wait.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

enum {
	FAILURES = 5,			/* in a row; a look-up that took all its time counts for all of them */
	FIRST_PAUSE_S = 5, LONGEST_PAUSE_S = 300
};

struct breaker {
	struct kache_health *health;
	pthread_cond_t changed;
	const char *who;		/* the remote's URL */
	unsigned failures, pauses;
	uint64_t until, writes_until;	/* mono ns */
	int status, write_status;	/* of the call that stopped all, or writes */
	bool trial, write_trial;	/* one call is finding out */
	char write_error[KACHE_ERROR_MAX];	/* why writes are stopped: last_error may be of a read */
};

/* What a call that got through is: the one that finds out whether the remote, or writing, works again. */
struct pass {
	bool write, trial, write_trial;
	unsigned failures;		/* of this call, if it is a patient one */
};

static uint64_t now(const struct breaker *b)
{
	return b->health->clock ? b->health->clock() : kache_now_mono();
}

/* Who has a lot to move repeats what may pass, and so has to know where nothing will. */
static int refuse(struct breaker *b, struct kache_call *call, uint64_t until, int status, const char *why)
{
	uint64_t t = now(b), s = until > t ? (until - t) / 1000000000 + 1 : 1;

	call->unasked = true;
	return kache_call_fail(call, b->health->patient ? status : KB_E_TRANSIENT, "left alone for %llu s after: %s", (unsigned long long)s, why);
}

/* Who has a lot to move waits for the first trial, instead of losing all of it to a server that restarts. */
static bool worth_waiting(const struct breaker *b)
{
	return b->health->patient && b->health->state == KACHE_HEALTH_GIVEN_UP && b->pauses == 1;
}

/* May this call go through? */
static int before(struct breaker *b, struct pass *p, struct kache_call *call)
{
	const struct kache_health *h = b->health;
	int rc = KB_OK;

	call->unasked = false;
	pthread_mutex_lock(&b->health->lock);
	while (!rc && worth_waiting(b) && (b->trial || now(b) < b->until))
		rc = kache_call_wait(call, &b->changed, &b->health->lock, h->last_error);
	p->trial = h->state != KACHE_HEALTH_OK;
	p->write_trial = p->write && h->writes_disabled;
	if (!rc && p->trial && (b->trial || now(b) < b->until))
		rc = refuse(b, call, b->until, b->status, h->last_error);
	else if (!rc && p->write_trial && (b->write_trial || now(b) < b->writes_until))
		rc = refuse(b, call, b->writes_until, b->write_status, b->write_error);
	if (!rc) {	/* only now: a trial that was refused would never end */
		b->trial |= p->trial;
		b->write_trial |= p->write_trial;
	}
	pthread_mutex_unlock(&b->health->lock);
	return rc;
}

static void note_error(struct breaker *b, const char *text)
{
	snprintf(b->health->last_error, sizeof b->health->last_error, "%s", text);
	b->health->last_error_s = kache_now_real() / 1000000000;
}

/* Clients that failed together are not to come back together. */
static uint64_t end_of_pause(const struct breaker *b, uint64_t pause_s)
{
	uint64_t noise = (now(b) * 0x9e3779b97f4a7c15u >> 40) % 1000;

	return now(b) + pause_s * 1000000000 + pause_s * noise * 250000;
}

static void open_for(struct breaker *b, enum kache_health_state state, int status, uint64_t pause_s, const char *text)
{
	if (b->health->state == KACHE_HEALTH_OK) {
		b->health->outages++;
		kache_warn("remote %s: %s; leaving it alone for a while", b->who, text);
	}
	b->health->state = state;
	b->status = status;
	b->until = end_of_pause(b, pause_s);
}

static void count(struct breaker *b, const struct pass *p, unsigned weight, uint32_t retry_after_ms, const char *text)
{
	uint64_t pause = FIRST_PAUSE_S;

	/* What was under way when the others failed tells nothing new: only a trial makes the pause longer. */
	if (b->health->state != KACHE_HEALTH_OK && !p->trial)
		return;
	b->failures += weight;
	if (b->failures < FAILURES && b->health->state == KACHE_HEALTH_OK)
		return;
	for (unsigned i = 0; i < b->pauses && pause < LONGEST_PAUSE_S; i++)
		pause *= 2;
	b->pauses++;
	if (retry_after_ms / 1000 > pause)
		pause = retry_after_ms / 1000;
	open_for(b, KACHE_HEALTH_GIVEN_UP, KB_E_TRANSIENT, pause < LONGEST_PAUSE_S ? pause : LONGEST_PAUSE_S, text);
}

/* Will the server be ready only when this call's time is over? Then each further call would be in vain as well. */
static bool too_late(const struct kache_call *call)
{
	return kache_now_mono() + (uint64_t)call->kb.retry_after_ms * 1000000 >= call->kb.deadline_ns;
}

static void stop_writes(struct breaker *b, int status, const char *text)
{
	if (!b->health->writes_disabled)
		kache_warn("remote %s: %s; nothing more is sent for a while", b->who, text);
	b->health->writes_disabled = true;
	b->write_status = status;
	b->writes_until = end_of_pause(b, LONGEST_PAUSE_S);
	snprintf(b->write_error, sizeof b->write_error, "%s", text);
}

static void recovered(struct breaker *b, const struct pass *p)
{
	if (b->health->state == KACHE_HEALTH_DISABLED && !p->trial)
		return;		/* begun before, and luckier: the reason has not gone away */
	if (b->health->state != KACHE_HEALTH_OK)
		kache_info("remote %s: works again", b->who);
	b->health->state = KACHE_HEALTH_OK;
	b->failures = b->pauses = 0;
}

static void written(struct breaker *b)
{
	if (b->health->writes_disabled)
		kache_info("remote %s: can be written again", b->who);
	b->health->writes_disabled = false;
}

static void judge(struct breaker *b, const struct pass *p, struct kache_call *call, int rc)
{
	const char *text = call->err.text;

	switch (rc) {
	case KB_E_TRANSIENT:
		count(b, p, 1, 0, text);
		break;
	case KB_E_THROTTLED:
		count(b, p, call->kb.retry_after_ms && too_late(call) ? FAILURES : 1, call->kb.retry_after_ms, text);
		break;
	case KB_E_TIMEOUT:	/* a build that waits for a look-up is to lose its time once */
		count(b, p, p->write ? 2 : FAILURES, 0, text);
		break;
	case KB_E_AUTH:
		/* Reads may still be allowed, and it is there to say no. */
		if (p->write && b->health->state != KACHE_HEALTH_DISABLED) {
			recovered(b, p);
			stop_writes(b, rc, text);
		} else {
			open_for(b, KACHE_HEALTH_DISABLED, rc, LONGEST_PAUSE_S, text);
		}
		break;
	case KB_E_NOSPACE:
		recovered(b, p);
		stop_writes(b, rc, text);
		break;
	case KB_E_CONFIG:
	case KB_E_BUG:
		open_for(b, KACHE_HEALTH_DISABLED, rc, LONGEST_PAUSE_S, text);
		break;
	case KB_E_CANCELLED:
	case KB_E_LOCAL:
	case KB_E_UNSUPPORTED:
		break;		/* says nothing of the remote */
	default:
		recovered(b, p);
		if (p->write && rc >= 0)
			written(b);
	}
}

static int after(struct breaker *b, const struct pass *p, struct kache_call *call, int rc)
{
	pthread_mutex_lock(&b->health->lock);
	if (p->trial)
		b->trial = false;
	if (p->write_trial)
		b->write_trial = false;
	if (!call->unasked) {
		if (rc < 0 && rc != KB_E_CANCELLED && rc != KB_E_LOCAL && rc != KB_E_TOOBIG && rc != KB_E_UNSUPPORTED)
			note_error(b, call->err.text);
		judge(b, p, call, rc);
	}
	if (p->trial)
		pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->health->lock);
	return rc;
}

/* Is a patient call to be made again? It is one of those that make the outage known, and then waits for its end. */
static bool again(struct breaker *b, struct pass *p, const struct kache_call *call, int rc)
{
	bool yes;

	if ((rc != KB_E_TRANSIENT && rc != KB_E_THROTTLED) || call->unasked || ++p->failures > FAILURES)
		return false;
	pthread_mutex_lock(&b->health->lock);
	yes = b->health->patient && b->pauses <= 1;
	pthread_mutex_unlock(&b->health->lock);
	return yes;
}

static const bool writes[KACHE_REMOTE_OPS] = {
	[KACHE_REMOTE_put] = true, [KACHE_REMOTE_del] = true,
};

#define REMOTE_OP(name, params, args) \
	static int breaker_##name params \
	{ \
		struct pass p = { .write = writes[KACHE_REMOTE_##name] }; \
		int rc; \
		do { \
			rc = before(r->ctx, &p, call); \
			if (rc) \
				return rc; \
			rc = after(r->ctx, &p, call, kache_forward_##name args); \
		} while (again(r->ctx, &p, call, rc)); \
		return rc; \
	}
#include "remote/ops.def"
#undef REMOTE_OP

static void close_layer(struct kache_remote *r)
{
	struct breaker *b = r->ctx;

	pthread_cond_destroy(&b->changed);
	free(b);
}

static const struct kache_remote_ops ops = {
	.layer = "breaker", .close = close_layer,
#define REMOTE_OP(name, params, args) .name = breaker_##name,
#include "remote/ops.def"
#undef REMOTE_OP
};

struct kache_remote *kache_layer_breaker(struct kache_remote *next, struct kache_health *health, const char *who)
{
	struct breaker *b = kache_calloc(1, sizeof *b);

	kache_cond_init(&b->changed);
	b->health = health;
	b->who = who;
	return kache_layer_new(&ops, next, b);
}
