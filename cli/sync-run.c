/* Doing a plan: a few threads take jobs, the main thread shows how far they are. */
#include "config.h"
#include "cli/sync.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "conf/conf.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	MAX_THREADS = 64,
	GIVE_UP = 10,			/* failures in a row, none of them final by itself */
	TICK_MS = 200, LINE_EVERY_MS = 5000
};

struct running {
	struct kache_sync *s;
	const struct kache_sync_plan *plan;
	const atomic_int *stop;
	struct kache_sync_totals *totals;
	pthread_mutex_t lock;		/* over everything below, and totals */
	pthread_cond_t finished;	/* a thread has ended */
	size_t next, end, done, living;
	uint64_t weight_done;
	unsigned failures_in_a_row;
	bool terminal, shown;
	uint64_t started, last_line;
};

/* What a job counts for in the progress: its bytes as far as they are known beforehand. */
static uint64_t weight(const struct kache_sync_job *j)
{
	return j->kind == KACHE_SYNC_MANIFEST ? 0 : j->size;
}

static void clear_line(struct running *r)
{
	if (r->shown)
		fputs("\r\033[K", stderr);
	r->shown = false;
}

static void tell(struct running *r, const struct kache_sync_job *j, enum kache_share_result result, const char *text)
{
	static const char *const verbs[] = { "pull", "push", "manifest" };
	char hex[KACHE_HEX_LEN + 1];

	clear_line(r);
	kache_hash_hex(&j->hash, hex);
	if (result == KACHE_SHARE_SKIPPED)
		kache_info("sync: %s %s/%.12s skipped: %s", verbs[j->kind], j->folder, hex, text);
	else
		kache_error_log("sync: %s %s/%.12s: %s", verbs[j->kind], j->folder, hex, text);
}

/* Under the lock. */
static void account(struct running *r, const struct kache_sync_job *j, enum kache_share_result result, uint64_t bytes,
		    const char *text)
{
	struct kache_sync_totals *t = r->totals;

	r->done++;
	r->weight_done += weight(j);
	if (result == KACHE_SHARE_DONE || result == KACHE_SHARE_NOTHING)
		r->failures_in_a_row = 0;
	switch (result) {
	case KACHE_SHARE_DONE:
		t->kind[j->kind].done++;
		t->kind[j->kind].bytes += bytes;
		return;
	case KACHE_SHARE_NOTHING:
		t->kind[j->kind].nothing++;
		return;
	case KACHE_SHARE_CANCELLED:
		t->cancelled = true;
		return;
	case KACHE_SHARE_SKIPPED:
		t->kind[j->kind].skipped++;
		break;
	case KACHE_SHARE_FATAL:
		t->gave_up = true;
		t->kind[j->kind].failed++;
		break;
	case KACHE_SHARE_FAILED:
		t->kind[j->kind].failed++;
		t->gave_up |= ++r->failures_in_a_row >= GIVE_UP;
		break;
	}
	tell(r, j, result, text);
}

static enum kache_share_result one(struct kache_sync *s, const struct kache_sync_job *j, uint64_t *bytes,
				   struct kache_error *err)
{
	switch (j->kind) {
	case KACHE_SYNC_PULL:
		return kache_share_pull(&s->share, j->folder, &j->hash, j->size, bytes, err);
	case KACHE_SYNC_PUSH:
		return kache_share_push(&s->share, j->folder, &j->hash, bytes, err);
	default:
		return kache_share_manifest(&s->share, j->folder, &j->hash, j->remote, j->size, s->pull, s->push, bytes, err);
	}
}

static void *work(void *arg)
{
	struct running *r = arg;

	kache_thread_bulk();
	pthread_mutex_lock(&r->lock);
	while (r->next < r->end && !*r->stop && !r->totals->gave_up && !r->totals->cancelled) {
		const struct kache_sync_job *j = &r->plan->jobs[r->next++];
		struct kache_error err = { 0, "" };
		enum kache_share_result result;
		uint64_t bytes = 0;

		pthread_mutex_unlock(&r->lock);
		result = one(r->s, j, &bytes, &err);
		pthread_mutex_lock(&r->lock);
		account(r, j, result, bytes, err.text);
	}
	r->living--;
	pthread_cond_signal(&r->finished);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* Under the lock. */
static void show(struct running *r, uint64_t total)
{
	uint64_t now = kache_now_mono(), ms = (now - r->started) / 1000000 + 1, rate = r->weight_done * 1000 / ms;
	KACHE_AUTO_FREE char *done = kache_show_size(r->weight_done), *all = kache_show_size(total);
	KACHE_AUTO_FREE char *speed = kache_show_size(rate);

	if (!r->terminal && now - r->last_line < (uint64_t)LINE_EVERY_MS * 1000000)
		return;
	r->last_line = now;
	fprintf(stderr, "%s%zu of %zu, %s of %s, %s/s", r->terminal ? "\r\033[K" : "kache: sync: ", r->done, r->end, done, all,
		speed);
	if (rate && total > r->weight_done)
		fprintf(stderr, ", %" PRIu64 " s left", (total - r->weight_done) / rate + 1);
	if (!r->terminal)
		fputc('\n', stderr);
	fflush(stderr);
	r->shown = r->terminal;
}

static void wait_for_threads(struct running *r, uint64_t total)
{
	pthread_mutex_lock(&r->lock);
	while (r->living) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += TICK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		if (pthread_cond_timedwait(&r->finished, &r->lock, &until))
			show(r, total);
	}
	clear_line(r);
	pthread_mutex_unlock(&r->lock);
}

/* Signals are the main thread's: it is the one that can tell the others. */
static size_t start(struct running *r, pthread_t *threads, unsigned n)
{
	sigset_t all, before;
	size_t started = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r->living = n;
	while (started < n && !pthread_create(&threads[started], NULL, work, r))
		started++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_mutex_lock(&r->lock);
	r->living -= n - started;
	pthread_mutex_unlock(&r->lock);
	return started;
}

static void phase(struct running *r, size_t end, unsigned n, uint64_t total)
{
	pthread_t threads[MAX_THREADS];
	size_t started;

	r->end = end;
	if (r->next >= end)
		return;
	if (n > end - r->next)
		n = (unsigned)(end - r->next);
	started = start(r, threads, n);
	if (!started) {
		r->living = 1;
		work(r);
	}
	wait_for_threads(r, total);
	while (started)
		pthread_join(threads[--started], NULL);
}

void kache_sync_run(struct kache_sync *s, const struct kache_sync_plan *plan, unsigned threads,
		    const atomic_int *stop, struct kache_sync_totals *totals)
{
	struct running r = {
		.s = s, .plan = plan, .stop = stop, .totals = totals, .lock = PTHREAD_MUTEX_INITIALIZER,
		.finished = PTHREAD_COND_INITIALIZER, .terminal = isatty(STDERR_FILENO) == 1, .started = kache_now_mono(),
	};
	uint64_t total = 0;

	r.last_line = r.started;
	if (threads > MAX_THREADS)
		threads = MAX_THREADS;
	for (size_t i = 0; i < plan->n; i++)
		total += weight(&plan->jobs[i]);
	*totals = (struct kache_sync_totals){ 0 };
	phase(&r, plan->n_packs, threads, total);
	/* A manifest may only name what is there: packs are through by now. */
	phase(&r, plan->n, threads, total);
	totals->cancelled |= *stop != 0;
	pthread_cond_destroy(&r.finished);
	pthread_mutex_destroy(&r.lock);
}
