/* What wants doing now and then: folding events into the index, gc, and the account of the remotes. */
#include "config.h"
#include "daemon/server.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/thread.h"
#include "remote/account.h"
#include "store/gc.h"
#include "store/index.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FOLD_S = 30, GC_S = 300, ACCOUNT_MS = 1000 };

static struct kache_daemon *daemon_;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake;
static pthread_t thread;
static bool stopping, running;
static uint64_t folds, gcs, gc_freed;	/* under the lock */

static uint64_t last_used(void *arg, const struct kache_hash *key)
{
	return kache_index_used(arg, key);
}

static void collect(struct kache_index *x, uint64_t max)
{
	struct kache_gc_options o = KACHE_GC_OPTIONS_INIT;
	struct kache_gc_report report;
	struct kache_error err;

	o.max_size = max;
	o.last_used = last_used;
	o.arg = x;
	if (kache_gc(daemon_->store, &o, &report, &err)) {
		kache_info("gc: %s", err.text);
		return;
	}
	pthread_mutex_lock(&lock);
	gcs++;
	gc_freed += report.bytes_freed;
	pthread_mutex_unlock(&lock);
}

/* True if something has been appended to the events since the last time. */
static bool events_grew(void)
{
	static off_t size = -1;
	static struct timespec time;
	KACHE_AUTO_FREE char *path = kache_store_file(daemon_->store, "events/current.jsonl");
	struct stat st;

	if (stat(path, &st) || (st.st_size == size && st.st_mtim.tv_sec == time.tv_sec && st.st_mtim.tv_nsec == time.tv_nsec))
		return false;
	size = st.st_size;
	time = st.st_mtim;
	return size > 0;
}

static void fold(bool with_gc)
{
	uint64_t max = kache_conf_u64(daemon_->conf, KACHE_CONF_MAX_SIZE);
	struct kache_index_totals totals;
	struct kache_index *x;
	struct kache_error err;

	if (kache_index_open(daemon_->store, &x, NULL, &err)) {
		kache_info("index: %s", err.text);
		return;
	}
	pthread_mutex_lock(&lock);
	folds++;
	pthread_mutex_unlock(&lock);
	if (with_gc && max && !kache_index_totals(x, 0, &totals) && totals.blob_bytes > max)
		collect(x, max);
	kache_index_close(x);
}

static void *upkeep(void *arg)
{
	uint64_t last_fold = kache_now_mono(), last_gc = 0;

	kache_thread_bulk();	/* builds go first */
	pthread_mutex_lock(&lock);
	while (!stopping) {
		struct timespec until;
		uint64_t now;
		bool gc;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += ACCOUNT_MS / 1000;
		pthread_cond_timedwait(&wake, &lock, &until);
		if (stopping)
			break;
		pthread_mutex_unlock(&lock);
		now = kache_now_mono();
		if (daemon_->remote)
			kache_account_save(daemon_->remote, daemon_->store->root);
		gc = !last_gc || now - last_gc > (uint64_t)GC_S * 1000000000;
		if (now - last_fold > (uint64_t)FOLD_S * 1000000000 && events_grew()) {
			last_fold = now;
			if (gc)
				last_gc = now;
			fold(gc);
		}
		pthread_mutex_lock(&lock);
	}
	pthread_mutex_unlock(&lock);
	return arg;
}

void kache_upkeep_start(struct kache_daemon *d)
{
	pthread_condattr_t attr;

	daemon_ = d;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&wake, &attr);
	pthread_condattr_destroy(&attr);
	running = !pthread_create(&thread, NULL, upkeep, NULL);
}

void kache_upkeep_stop(void)
{
	pthread_mutex_lock(&lock);
	stopping = true;
	pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
	if (running)
		pthread_join(thread, NULL);
	if (daemon_->remote)
		kache_account_save(daemon_->remote, daemon_->store->root);
}

void kache_upkeep_status(struct kache_daemon *d, struct kache_buf *out)
{
	struct kache_json j = { .out = out };
	struct kache_queue_state q;

	kache_queue_state(&q);
	kache_json_open(&j, NULL, '{');
	kache_json_u64(&j, "pid", (uint64_t)getpid());
	kache_json_str(&j, "version", PACKAGE_VERSION);
	kache_json_str(&j, "cache_dir", d->store->root);
	kache_json_u64(&j, "uptime_s", (kache_now_mono() - d->started_mono) / 1000000000);
	kache_json_u64(&j, "lookups", kache_jobs_busy());
	kache_json_open(&j, "queue", '{');
	kache_json_u64(&j, "waiting", q.waiting);
	kache_json_u64(&j, "running", q.running);
	kache_json_bool(&j, "blocked", q.blocked && q.waiting);
	kache_json_u64(&j, "sent", q.sent);
	kache_json_u64(&j, "failed", q.failed);
	kache_json_u64(&j, "dropped", q.dropped);
	kache_json_u64(&j, "bytes", q.bytes);
	kache_json_close(&j, '}');
	pthread_mutex_lock(&lock);
	kache_json_u64(&j, "folds", folds);
	kache_json_u64(&j, "gc_runs", gcs);
	kache_json_u64(&j, "gc_bytes_freed", gc_freed);
	pthread_mutex_unlock(&lock);
	kache_json_open(&j, "remotes", '[');
	if (d->remote)
		kache_account_json(d->remote, &j);
	kache_json_close(&j, ']');
	kache_json_close(&j, '}');
	kache_buf_ch(out, '\n');
}
