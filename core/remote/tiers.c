#include "config.h"
#include "remote/tiers.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/path.h"
#include "remote/fill.h"
#include "remote/layer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	HOLD_S = 30,			/* one that could not be opened is left alone for so long */
	SLICE_MS = 50			/* how often a thread that waits for another's opening looks for its cancellation */
};

struct tier {
	const struct kache_conf_remote *which;
	struct kache_remote_hints hints;
	pthread_mutex_t lock;
	pthread_cond_t opened;
	bool opening;
	struct kache_remote *remote;	/* set once */
	/* of the last opening that failed */
	int status;
	uint64_t until, budget;		/* mono ns; UINT64_MAX: for ever. How much time it had */
	char error[KACHE_ERROR_MAX];
	int64_t error_s;
	atomic_ullong filled, not_filled;
};

struct tiers {
	const struct kache_conf *conf;
	struct kache_remote_stats *stats;	/* of the whole */
	struct kache_fill *fill;
	size_t n;
	struct tier v[];
};

/* ---- opening ---- */

/* May an opening be tried, with so much time? One that ran out of time may be, by who has more of it. */
static bool worth_a_try(const struct tier *t, uint64_t now, uint64_t budget)
{
	return !t->status || now >= t->until || (t->status == KB_E_TIMEOUT && budget / 2 > t->budget);
}

static void note_failure(struct tier *t, int status, uint64_t budget, const char *text)
{
	bool for_good = status == KB_E_CONFIG || status == KB_E_AUTH || status == KB_E_UNSUPPORTED || status == KB_E_BUG;

	t->status = status;
	t->budget = budget;
	t->until = for_good ? UINT64_MAX : kache_now_mono() + (uint64_t)HOLD_S * 1000000000;
	snprintf(t->error, sizeof t->error, "%s", text);
	t->error_s = kache_now_real() / 1000000000;
}

/* Under the lock, which is released meanwhile. */
static int open_now(struct tiers *ts, struct tier *t, uint64_t budget, struct kache_call *call)
{
	struct kache_remote *r;
	struct kache_error err;
	int status;

	t->opening = true;
	pthread_mutex_unlock(&t->lock);
	(void)kache_remote_open_one(ts->conf, t->which, call, &r, &status, &err);
	pthread_mutex_lock(&t->lock);
	t->opening = false;
	if (r)
		t->status = KB_OK;
	else if (status != KB_E_CANCELLED)
		note_failure(t, status, budget, err.text);
	t->remote = r;
	pthread_cond_broadcast(&t->opened);
	return r ? KB_OK : kache_call_fail(call, status, "%s", err.text);
}

/* Under the lock. False: no time left, or cancelled. */
static bool wait_for_opening(struct tier *t, const struct kache_call *call)
{
	uint64_t now = kache_now_mono(), next = now + (uint64_t)SLICE_MS * 1000000;
	struct pollfd p = { .fd = call->kb.cancel_fd, .events = POLLIN };
	struct timespec until;

	if (now >= call->kb.deadline_ns || poll(&p, 1, 0) > 0)
		return false;
	next = next < call->kb.deadline_ns ? next : call->kb.deadline_ns;
	until = (struct timespec){ .tv_sec = (time_t)(next / 1000000000), .tv_nsec = (long)(next % 1000000000) };
	pthread_cond_timedwait(&t->opened, &t->lock, &until);
	return true;
}

/* The remote of a tier, opened if need be. KB_OK, or an error with its text in call. */
static int reach(struct tiers *ts, struct tier *t, struct kache_call *call, struct kache_remote **out)
{
	uint64_t now = kache_now_mono(), budget = call->kb.deadline_ns > now ? call->kb.deadline_ns - now : 0;
	int rc = KB_OK;

	pthread_mutex_lock(&t->lock);
	while (!t->remote && t->opening && !rc)
		if (!wait_for_opening(t, call))
			rc = kache_call_fail(call, KB_E_TIMEOUT, "remote %s is still being opened", t->hints.url);
	if (!rc && !t->remote)
		rc = worth_a_try(t, now, budget) ? open_now(ts, t, budget, call) : kache_call_fail(call, t->status, "%s", t->error);
	*out = t->remote;
	pthread_mutex_unlock(&t->lock);
	return rc;
}

/* ---- operations ---- */

static void begin_call(const struct kache_call *whole, uint64_t deadline_ns, struct kache_call *mine)
{
	kache_call_init(mine, deadline_ns < whole->kb.deadline_ns ? deadline_ns : whole->kb.deadline_ns, whole->kb.cancel_fd);
}

/* What a tier says ends the whole: it is about this side, not about that remote. */
static bool final(int rc)
{
	return rc == KB_E_LOCAL || rc == KB_E_CANCELLED;
}

/* Of several failures the first is told, and whose it is. */
static void keep_error(const struct tiers *ts, size_t i, struct kache_call *whole, const struct kache_call *mine, int *first,
		       int rc)
{
	if (*first < 0 && !final(rc))
		return;
	*first = rc;
	if (ts->n == 1 || kache_starts(mine->err.text, "remote "))
		whole->err = mine->err;
	else
		kache_call_fail(whole, rc, "remote %s: %s", ts->v[i].hints.url, mine->err.text);
	whole->kb.retry_after_ms = mine->kb.retry_after_ms;
}

static int finish(struct tiers *ts, int rc)
{
	unsigned long long retries = 0;

	for (size_t i = 0; i < ts->n; i++) {
		struct tier *t = &ts->v[i];

		pthread_mutex_lock(&t->lock);
		if (t->remote)
			retries += atomic_load(&kache_remote_stats(t->remote)->retries);
		pthread_mutex_unlock(&t->lock);
	}
	atomic_store(&ts->stats->retries, retries);
	return rc;
}

/* When this tier's answer has to begin, for there to be time for the ones behind it. */
static uint64_t look_until(const struct tiers *ts, size_t i, const struct kache_call *call)
{
	uint64_t now = kache_now_mono(), all = call->kb.deadline_ns > now ? call->kb.deadline_ns - now : 0;
	uint64_t mine = ts->v[i].hints.timeout_ms * 1000000;

	if (i + 1 == ts->n)
		return call->kb.deadline_ns;
	return now + (mine && mine < all ? mine : mine ? all : all / 2);
}

static int get(struct kache_remote *r, struct kb_key key, struct kb_sink *sink, struct kache_call *call)
{
	struct tiers *ts = r->ctx;
	uint64_t lacking = 0;		/* those that would take a copy */
	int first = KB_MISS;

	for (size_t i = 0; i < ts->n; i++) {
		struct kache_remote *tier;
		struct kache_call mine;
		struct kache_tee tee;
		int rc;

		begin_call(call, look_until(ts, i, call), &mine);
		kache_tee_init(&tee, sink, &mine, call->kb.deadline_ns);
		rc = reach(ts, &ts->v[i], &mine, &tier);
		if (!rc && lacking)
			kache_tee_copy(&tee, ts->fill);
		if (!rc)
			rc = kache_remote_get(tier, key, &tee.kb, &mine);
		if (rc == KB_OK && tee.copy >= 0)
			kache_fill_add(ts->fill, key, kache_tee_take(&tee), tee.size, lacking);
		if (tee.copy >= 0)
			close(kache_tee_take(&tee));
		if (rc == KB_OK)
			return finish(ts, KB_OK);
		if (rc < 0)
			keep_error(ts, i, call, &mine, &first, rc);
		if (final(rc))
			break;
		if (rc == KB_MISS && kache_remote_info(tier)->writable)
			lacking |= (uint64_t)1 << i;
	}
	return finish(ts, first);
}

static int head(struct kache_remote *r, struct kb_key key, struct kb_stat *st, struct kache_call *call)
{
	struct tiers *ts = r->ctx;
	int first = KB_MISS;

	for (size_t i = 0; i < ts->n; i++) {
		struct kache_remote *tier;
		struct kache_call mine;
		int rc;

		begin_call(call, look_until(ts, i, call), &mine);
		rc = reach(ts, &ts->v[i], &mine, &tier);
		if (!rc)
			rc = kache_remote_head(tier, key, st, &mine);
		if (rc == KB_OK)
			return finish(ts, KB_OK);
		if (rc < 0)
			keep_error(ts, i, call, &mine, &first, rc);
		if (final(rc))
			break;
	}
	return finish(ts, first);
}

/* Those that may be written, as far as that is known now. */
static bool may_write(struct tier *t)
{
	bool may;

	pthread_mutex_lock(&t->lock);
	may = t->remote ? kache_remote_info(t->remote)->writable : t->hints.writable;
	pthread_mutex_unlock(&t->lock);
	return may;
}

static uint64_t own_deadline(const struct tier *t, uint64_t bytes)
{
	return kache_now_mono() + (t->hints.transfer_ms + bytes / KACHE_REMOTE_BYTES_PER_MS) * 1000000;
}

static int put(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	       struct kache_call *call)
{
	struct tiers *ts = r->ctx;
	size_t taken = 0, had = 0;
	int first = KB_OK;

	for (size_t i = 0; i < ts->n; i++) {
		struct tier *t = &ts->v[i];
		struct kache_remote *tier;
		struct kache_call mine;
		int rc;

		if (!may_write(t))
			continue;
		begin_call(call, own_deadline(t, src->size), &mine);
		rc = reach(ts, t, &mine, &tier);
		if (!rc && !kache_remote_info(tier)->writable)
			continue;	/* known only now */
		if (!rc && (taken || had || first) && src->rewind(src))
			rc = kache_call_fail(&mine, KB_E_LOCAL, "the object can't be read again");
		if (!rc)
			rc = kache_remote_put(tier, key, src, opts, &mine);
		taken += rc == KB_OK;
		had += rc == KB_EXISTS;
		if (rc < 0)
			keep_error(ts, i, call, &mine, &first, rc);
		if (final(rc))
			return finish(ts, rc);
	}
	if (!taken && !had && !first)
		first = kache_call_fail(call, KB_E_AUTH, "no remote may be written");
	return finish(ts, taken ? KB_OK : had ? KB_EXISTS : first);
}

static int del(struct kache_remote *r, struct kb_key key, struct kache_call *call)
{
	struct tiers *ts = r->ctx;
	int first = KB_OK;
	bool any = false;

	kache_fill_forget(ts->fill, key);
	for (size_t i = 0; i < ts->n; i++) {
		struct kache_remote *tier;
		struct kache_call mine;
		int rc;

		if (!may_write(&ts->v[i]))
			continue;
		any = true;
		begin_call(call, own_deadline(&ts->v[i], 0), &mine);
		rc = reach(ts, &ts->v[i], &mine, &tier);
		if (!rc)
			rc = kache_remote_del(tier, key, &mine);
		if (rc < 0)
			keep_error(ts, i, call, &mine, &first, rc);
		if (final(rc))
			break;
	}
	return finish(ts, any ? first : kache_call_fail(call, KB_E_AUTH, "no remote may be written"));
}

struct listing {
	kache_remote_each *each;
	void *arg;
	int stopped;
};

static int listed(void *arg, struct kb_key key, const struct kb_stat *st)
{
	struct listing *l = arg;

	l->stopped = l->each(l->arg, key, st);
	return l->stopped;
}

/* An object that several have is told several times. */
static int list(struct kache_remote *r, struct kb_key prefix, kache_remote_each *each, void *arg, struct kache_call *call)
{
	struct listing l = { .each = each, .arg = arg };
	struct tiers *ts = r->ctx;
	bool any = false;
	int first = KB_OK;

	for (size_t i = 0; i < ts->n; i++) {
		struct kache_remote *tier;
		struct kache_call mine;
		int rc;

		if (!ts->v[i].hints.can_list)
			continue;
		begin_call(call, call->kb.deadline_ns, &mine);
		rc = reach(ts, &ts->v[i], &mine, &tier);
		if (!rc)
			rc = kache_remote_list(tier, prefix, listed, &l, &mine);
		if (l.stopped)
			return finish(ts, rc);
		any |= rc == KB_OK;
		if (rc < 0)
			keep_error(ts, i, call, &mine, &first, rc);
		if (final(rc))
			return finish(ts, rc);
	}
	if (!any && !first)
		first = kache_call_fail(call, KB_E_UNSUPPORTED, "no remote can list what it has");
	return finish(ts, any ? KB_OK : first);
}

/* Well if one is. What one may write, all together may. */
static int ping(struct kache_remote *r, struct kb_limits *limits, struct kache_call *call)
{
	struct kb_limits one = *limits;
	struct tiers *ts = r->ctx;
	bool any = false;
	int first = KB_OK;

	for (size_t i = 0; i < ts->n; i++) {
		struct kache_remote *tier;
		struct kache_call mine;
		int rc;

		begin_call(call, look_until(ts, i, call), &mine);
		rc = reach(ts, &ts->v[i], &mine, &tier);
		if (!rc)
			rc = kache_remote_ping(tier, &one, &mine);
		if (rc == KB_OK) {
			if (!any)
				*limits = one;
			limits->caps |= one.caps & KB_CAP_WRITE;
			limits->max_object = limits->max_object > one.max_object ? limits->max_object : one.max_object;
			any = true;
		} else if (rc < 0) {
			keep_error(ts, i, call, &mine, &first, rc);
		}
		if (final(rc))
			break;
	}
	return finish(ts, any ? KB_OK : first);
}

static void close_layer(struct kache_remote *r)
{
	struct tiers *ts = r->ctx;

	kache_fill_free(ts->fill);
	for (size_t i = 0; i < ts->n; i++) {
		struct tier *t = &ts->v[i];

		kache_remote_close(t->remote);
		free(t->hints.url);
		pthread_cond_destroy(&t->opened);
		pthread_mutex_destroy(&t->lock);
	}
	free(ts);
}

static const struct kache_remote_ops ops = {
	.layer = "tiers", .close = close_layer, .get = get, .put = put, .head = head, .del = del, .list = list, .ping = ping,
};

/* ---- copies for nearer remotes ---- */

static bool fill_one(void *arg, size_t i, struct kb_key key, struct kb_source *src, int cancel_fd)
{
	const struct kb_put_opts opts = { .struct_size = sizeof opts, .flags = KB_PUT_IF_ABSENT };
	struct tiers *ts = arg;
	struct kache_call call;

	/* Its remote is open, for it said that it lacks the object. */
	kache_call_init(&call, own_deadline(&ts->v[i], src->size), cancel_fd);
	if (kache_remote_put(ts->v[i].remote, key, src, &opts, &call) < 0)
		return false;
	atomic_fetch_add(&ts->v[i].filled, 1);
	return true;
}

static void not_filled(void *arg, size_t i)
{
	atomic_fetch_add(&((struct tiers *)arg)->v[i].not_filled, 1);
}

/* ---- the whole ---- */

static void init_tier(struct tier *t, const struct kache_conf_remote *which, const struct kache_remote_hints *hints)
{
	pthread_condattr_t attr;

	t->which = which;
	t->hints = *hints;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->opened, &attr);
	pthread_condattr_destroy(&attr);
}

static struct kache_remote *whole(struct tiers *ts)
{
	struct kache_remote_info info = { .backend = ts->n == 1 ? ts->v[0].hints.backend : "tiers", .prefix = kache_strdup("") };
	struct kache_buf url = KACHE_BUF_INIT;
	struct kache_remote *r;
	uint64_t timeout = 0;

	for (size_t i = 0; i < ts->n; i++) {
		const struct kache_remote_hints *h = &ts->v[i].hints;

		kache_buf_fmt(&url, "%s%s", i ? ", " : "", h->url);
		info.writable |= h->writable;
		info.can_list |= h->can_list;
		info.can_head |= h->can_head;
		timeout += h->transfer_ms;
	}
	info.url = kache_buf_steal(&url);
	r = kache_layer_stats(kache_layer_new(&ops, NULL, ts), &info, timeout);
	ts->stats = kache_remote_stats(r);
	return r;
}

int kache_tiers_open(const struct kache_conf *conf, struct kache_remote **out, struct kache_error *err)
{
	const struct kache_conf_remote *which;
	size_t n = kache_conf_remotes(conf, &which);
	KACHE_AUTO_FREE char *scratch = kache_path_join(kache_conf_str(conf, KACHE_CONF_CACHE_DIR), "tmp");
	struct tiers *ts;

	*out = NULL;
	if (!n)
		return kache_remote_none(conf, err);
	if (n > KACHE_TIERS_MAX)
		return kache_fail(err, KACHE_E_INVALID, "%s: %zu remotes are more than the %d that can be used together",
				  which[0].origin, n, KACHE_TIERS_MAX);
	ts = kache_calloc(1, sizeof *ts + n * sizeof ts->v[0]);
	ts->conf = conf;
	ts->fill = kache_fill_new(scratch, fill_one, not_filled, ts);
	for (; ts->n < n; ts->n++) {
		struct kache_remote_hints hints;
		int rc = kache_remote_check(conf, &which[ts->n], &hints, err);

		if (rc) {
			kache_remote_close(kache_layer_new(&ops, NULL, ts));
			return rc;
		}
		init_tier(&ts->v[ts->n], &which[ts->n], &hints);
	}
	*out = whole(ts);
	return KACHE_OK;
}

static struct tiers *tiers_of(const struct kache_remote *r)
{
	return r->next->ctx;
}

size_t kache_tiers_count(const struct kache_remote *r)
{
	return tiers_of(r)->n;
}

void kache_tiers_info(const struct kache_remote *r, size_t i, struct kache_tier_state *out)
{
	struct tier *t = &tiers_of(r)->v[i];

	*out = (struct kache_tier_state){
		.url = t->hints.url, .backend = t->hints.backend, .name = t->which->name, .state = "not reached yet",
		.filled = atomic_load(&t->filled), .not_filled = atomic_load(&t->not_filled),
	};
	pthread_mutex_lock(&t->lock);
	snprintf(out->last_error, sizeof out->last_error, "%s", t->error);
	out->last_error_s = t->error_s;
	if (t->remote) {
		struct kache_health *h = kache_remote_health(t->remote);

		out->state = kache_remote_state(t->remote);
		out->stats = kache_remote_stats(t->remote);
		pthread_mutex_lock(&h->lock);
		if (h->last_error[0]) {
			snprintf(out->last_error, sizeof out->last_error, "%s", h->last_error);
			out->last_error_s = h->last_error_s;
		}
		pthread_mutex_unlock(&h->lock);
	} else if (t->status) {
		out->state = t->until == UINT64_MAX ? "disabled" : "given up";
	}
	pthread_mutex_unlock(&t->lock);
}

bool kache_tiers_settle(struct kache_remote *r, uint64_t deadline_ns)
{
	return kache_fill_wait(tiers_of(r)->fill, deadline_ns);
}
