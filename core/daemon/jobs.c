/* Look-ups: a table of what is being fetched, and the threads that fetch it. */
#include "config.h"
#include "daemon/server.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/wire.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	WORKERS = 24,
	STACK = 512 << 10,
	LINGER_S = 20,		/* an idle worker ends after that */
	TICK_MS = 50,
	PATIENCE_MS = 3000,	/* of an asker that does not say */
	LONGEST = 20		/* an entry may take so many times the patience, as long as bytes flow */
};

struct waiter {
	struct kache_job_waiter w;
	uint64_t until, last_change;	/* mono ns */
	unsigned long long seen;	/* bytes at last_change */
	struct waiter *next;
};

struct job {
	uint16_t op;
	struct kache_hash key;
	char *folder;
	bool running;
	atomic_ullong bytes;		/* that have come so far */
	uint64_t timeout_ms;		/* of the one who asked first */
	struct waiter *waiters;
	struct job *next;
};

static struct kache_daemon *daemon_;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* over everything below */
static pthread_cond_t work, finished;
static struct job *jobs;		/* waiting and running, oldest first */
static unsigned workers, idle;
static bool stopping;

static bool in_store(const struct kache_hash *key)
{
	KACHE_AUTO_FREE char *path = kache_store_path(daemon_->store, "entries", key);
	struct kache_stat st;

	return !kache_stat(path, false, &st);
}

static struct job *find(uint16_t op, const struct kache_hash *key)
{
	for (struct job *j = jobs; j; j = j->next)
		if (j->op == op && kache_hash_eq(&j->key, key))
			return j;
	return NULL;
}

static int status_of(enum kache_share_result r)
{
	switch (r) {
	case KACHE_SHARE_DONE:
		return KACHE_WIRE_OK;
	case KACHE_SHARE_NOTHING:
	case KACHE_SHARE_SKIPPED:
		return KACHE_WIRE_NOTHING;
	default:
		return KACHE_WIRE_FAILED;
	}
}

static struct kache_share share_for(struct job *j)
{
	return (struct kache_share){
		.store = daemon_->store, .remote = daemon_->remote, .cancel_fd = daemon_->cancel_fd, .progress = &j->bytes,
		.level = (unsigned)kache_conf_u64(daemon_->conf, KACHE_CONF_COMPRESSION),
	};
}

static int do_manifest(struct job *j, struct kache_buf *body, struct kache_error *err)
{
	struct kache_share s = share_for(j);
	struct kache_manifest m = { 0 };
	enum kache_share_result r;
	struct kache_hash newest;
	uint64_t bytes = 0;
	bool prefetch;

	s.deadline_ns = kache_now_mono() + j->timeout_ms * 1000000;
	r = kache_share_fetch_manifest(&s, j->folder, &j->key, 0, &m, &bytes, err);
	if (r != KACHE_SHARE_DONE)
		return status_of(r);
	kache_manifest_encode(&m, body);
	prefetch = m.n_sets > 0;
	if (prefetch)
		newest = m.sets[0].result;
	kache_manifest_release(&m);
	/* Its asker will most likely want the newest result next: have it under way. */
	if (prefetch && !in_store(&newest))
		kache_jobs_ask(KACHE_WIRE_ENTRY, &newest, j->folder, NULL);
	return KACHE_WIRE_OK;
}

static int do_entry(struct job *j, struct kache_error *err)
{
	struct kache_share s = share_for(j);
	struct kache_entry e;
	uint64_t bytes = 0;

	if (!kache_entry_get(daemon_->store, &j->key, &e)) {
		kache_entry_release(&e);
		return KACHE_WIRE_OK;
	}
	return status_of(kache_share_pull(&s, j->folder, &j->key, 0, &bytes, err));
}

/* Takes the job out of the table; its waiters are the caller's. Under the lock. */
static struct waiter *detach(struct job *j)
{
	struct waiter *w = j->waiters;
	struct job **at = &jobs;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	j->waiters = NULL;
	return w;
}

static void reply(struct waiter *w, int status, const void *body, size_t len)
{
	while (w) {
		struct waiter *next = w->next;

		kache_server_reply(w->w.fd, status, body, len);
		free(w);
		w = next;
	}
}

static void run(struct job *j)
{
	KACHE_AUTO_BUF struct kache_buf body = KACHE_BUF_INIT;
	struct kache_error err = { 0, "" };
	struct waiter *w;
	int status = j->op == KACHE_WIRE_MANIFEST ? do_manifest(j, &body, &err) : do_entry(j, &err);

	if (status == KACHE_WIRE_FAILED) {
		kache_info("%s %s: %s", j->op == KACHE_WIRE_MANIFEST ? "manifest of" : "entry of", j->folder, err.text);
		kache_buf_reset(&body);
		kache_buf_str(&body, err.text);
	}
	pthread_mutex_lock(&lock);
	w = detach(j);
	pthread_cond_signal(&finished);
	pthread_mutex_unlock(&lock);
	reply(w, status, body.data ? body.data : "", body.len);
	free(j->folder);
	free(j);
}

static struct job *next_job(void)
{
	struct job *j = jobs;

	while (j && j->running)
		j = j->next;
	return j;
}

static void *worker(void *arg)
{
	struct job *j;

	pthread_mutex_lock(&lock);
	for (;;) {
		struct timespec until;
		int rc = 0;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += LINGER_S;
		while (!(j = next_job()) && !stopping && rc != ETIMEDOUT) {
			idle++;
			rc = pthread_cond_timedwait(&work, &lock, &until);
			idle--;
		}
		if (!j || stopping)
			break;
		j->running = true;
		pthread_mutex_unlock(&lock);
		run(j);
		pthread_mutex_lock(&lock);
	}
	workers--;
	pthread_cond_signal(&finished);
	pthread_mutex_unlock(&lock);
	return arg;
}

/* Under the lock. */
static void hire(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	size_t pending = 0;

	for (struct job *j = jobs; j; j = j->next)
		pending += !j->running;
	if (pending <= idle || workers >= WORKERS)
		return;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (!pthread_create(&thread, &attr, worker, NULL))
		workers++;
	pthread_attr_destroy(&attr);
}

static void add_waiter(struct job *j, const struct kache_job_waiter *w)
{
	struct waiter *mine = kache_calloc(1, sizeof *mine);
	uint64_t now = kache_now_mono(), ms = w->stall_ms ? w->stall_ms : PATIENCE_MS;

	mine->w = *w;
	mine->w.stall_ms = ms;
	mine->last_change = now;
	mine->seen = atomic_load(&j->bytes);
	mine->until = now + ms * (j->op == KACHE_WIRE_ENTRY ? LONGEST : 1) * 1000000;
	mine->next = j->waiters;
	j->waiters = mine;
}

void kache_jobs_ask(uint16_t op, const struct kache_hash *key, const char *folder, const struct kache_job_waiter *w)
{
	struct job *j, **end;

	pthread_mutex_lock(&lock);
	j = find(op, key);
	if (!j) {
		j = kache_calloc(1, sizeof *j);
		j->op = op;
		j->key = *key;
		j->folder = kache_strdup(folder);
		j->timeout_ms = w && w->stall_ms ? w->stall_ms : PATIENCE_MS;
		for (end = &jobs; *end; end = &(*end)->next)
			;
		*end = j;
		hire();
		pthread_cond_signal(&work);
	}
	if (w)
		add_waiter(j, w);
	pthread_mutex_unlock(&lock);
}

/* Moves those who have waited long enough from the job to *late. Under the lock. */
static bool sort_out(struct job *j, uint64_t now, struct waiter **late)
{
	unsigned long long bytes = atomic_load(&j->bytes);

	for (struct waiter **at = &j->waiters, *w; (w = *at);) {
		if (bytes != w->seen) {
			w->seen = bytes;
			w->last_change = now;
		}
		if (now < w->until && now - w->last_change < w->w.stall_ms * 1000000) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->next = *late;
		*late = w;
	}
	return j->waiters != NULL;
}

int kache_jobs_tick(void)
{
	struct waiter *late = NULL;
	bool waiting = false;
	uint64_t now;

	pthread_mutex_lock(&lock);
	now = kache_now_mono();		/* not before any waiter's own time */
	for (struct job *j = jobs; j; j = j->next)
		waiting |= sort_out(j, now, &late);
	pthread_mutex_unlock(&lock);
	reply(late, KACHE_WIRE_TIMEOUT, "", 0);
	return waiting ? TICK_MS : -1;
}

size_t kache_jobs_busy(void)
{
	size_t n = 0;

	pthread_mutex_lock(&lock);
	for (struct job *j = jobs; j; j = j->next)
		n++;
	pthread_mutex_unlock(&lock);
	return n;
}

void kache_jobs_start(struct kache_daemon *d)
{
	pthread_condattr_t attr;

	daemon_ = d;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&work, &attr);
	pthread_cond_init(&finished, &attr);
	pthread_condattr_destroy(&attr);
}

void kache_jobs_stop(unsigned ms)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	pthread_mutex_lock(&lock);
	stopping = true;
	pthread_cond_broadcast(&work);
	while (workers && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&finished, &lock, &until);
	pthread_mutex_unlock(&lock);
}
