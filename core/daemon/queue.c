/* Uploads. The queue is the files of queue/; what is kept here is which of them are being sent and when those that
 * failed are to be tried again. A daemon that is killed loses nothing: the files stay. */
#include "config.h"
#include "daemon/server.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "daemon/queue-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	UPLOADERS = 4,
	STACK = 512 << 10,
	MOST = 50000,			/* records; the oldest beyond are dropped */
	OLDEST_S = 14 * 24 * 3600,
	RESCAN_MS = 30000,
	FIRST_PAUSE_MS = 2000, LONGEST_PAUSE_MS = 300000
};

struct record {
	struct kache_hash result;
	int64_t mtime;			/* ns */
	bool busy;
	bool foreign;			/* it is for other remotes */
	unsigned failures;
	uint64_t not_before;		/* mono ns */
};

static struct kache_daemon *daemon_;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* over everything below */
static pthread_cond_t changed, done;
static struct record *records;
static size_t n_records;
static struct kache_queue_state state;
static unsigned uploaders;
static bool stopping, look, scanning;
static uint64_t last_scan, pause_until;	/* pause_until: the remote itself is of no use until then */
/* Two uploads of one invocation must not read, change and write its manifest at the same time. */
static pthread_mutex_t manifests[16];
static struct kache_hash remotes_id;	/* records for others are not ours to send */

static struct record *find(const struct kache_hash *h)
{
	for (size_t i = 0; i < n_records; i++)
		if (kache_hash_eq(&records[i].result, h))
			return &records[i];
	return NULL;
}

static int by_hash(const void *a, const void *b)
{
	return memcmp(&((const struct record *)a)->result, &((const struct record *)b)->result, sizeof(struct kache_hash));
}

static int by_age(const void *a, const void *b)
{
	const struct record *x = a, *y = b;

	return x->mtime < y->mtime ? -1 : x->mtime > y->mtime;
}

static void drop(const struct kache_hash *h, const char *why)
{
	KACHE_AUTO_FREE char *path = kache_queue_path(daemon_->store->root, h);
	char hex[KACHE_HEX_LEN + 1];

	unlink(path);
	state.dropped++;
	kache_info("upload of %.12s dropped: %s", kache_hash_hex(h, hex), why);
}

/* The names and ages in queue/; fresh memory. No lock is held: a directory may be slow. */
static struct record *read_directory(size_t *n)
{
	KACHE_AUTO_FREE char *path = kache_store_file(daemon_->store, "queue");
	DIR *dir = opendir(path);
	struct record *v = NULL;
	size_t room = 0;
	struct dirent *d;

	*n = 0;
	while (dir && (d = readdir(dir))) {
		struct kache_hash h;
		struct stat st;

		if (!kache_hash_parse(d->d_name, strlen(d->d_name), &h) || fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (*n == room) {
			room = room ? room * 2 : 64;
			v = kache_realloc(v, room, sizeof *v);
		}
		v[(*n)++] = (struct record){ .result = h, .mtime = st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec };
	}
	if (dir)
		closedir(dir);
	return v;
}

/* Under the lock: what is in v becomes the table; what was known of a record stays known. */
static void merge(struct record *v, size_t n)
{
	int64_t now = kache_now_real();
	size_t kept = 0;

	if (n)
		qsort(v, n, sizeof *v, by_age);
	if (n_records)
		qsort(records, n_records, sizeof *records, by_hash);
	for (size_t i = 0; i < n; i++) {
		const struct record *old = n_records ? bsearch(&v[i], records, n_records, sizeof *records, by_hash) : NULL;

		if (n - i > MOST || (now - v[i].mtime) / 1000000000 > OLDEST_S) {
			drop(&v[i].result, n - i > MOST ? "too many are waiting" : "it has been waiting for two weeks");
			continue;
		}
		if (old)
			v[i] = *old;
		v[kept++] = v[i];
	}
	free(records);
	records = v;
	n_records = kept;
}

static void scan(void)
{
	size_t n;
	struct record *v;

	look = false;
	scanning = true;
	last_scan = kache_now_mono();
	pthread_mutex_unlock(&lock);
	v = read_directory(&n);
	pthread_mutex_lock(&lock);
	merge(v, n);
	scanning = false;
}

static void forget(const struct kache_hash *h)
{
	struct record *r = find(h);

	if (r) {
		*r = records[n_records - 1];
		n_records--;
	}
}

/* ---- sending one ---- */

static enum kache_share_result send_one(const struct kache_hash *result, bool *foreign, uint64_t *bytes,
					struct kache_error *err)
{
	struct kache_share s = {
		.store = daemon_->store, .remote = daemon_->remote, .cancel_fd = daemon_->cancel_fd,
		.level = (unsigned)kache_conf_u64(daemon_->conf, KACHE_CONF_COMPRESSION),
	};
	struct kache_hash invocation, remotes;
	KACHE_AUTO_FREE char *folder = NULL;
	enum kache_share_result r;
	pthread_mutex_t *one;
	int rc = kache_queue_get(s.store->root, result, &invocation, &remotes, &folder);

	if (rc == KACHE_E_NOENT)
		return KACHE_SHARE_NOTHING;
	if (rc) {
		kache_fail(err, rc, "its record in queue/ is damaged");
		return rc == KACHE_E_CORRUPT ? KACHE_SHARE_SKIPPED : KACHE_SHARE_FAILED;
	}
	if (!kache_hash_eq(&remotes, &remotes_id)) {
		*foreign = true;
		return KACHE_SHARE_NOTHING;
	}
	r = kache_share_push(&s, folder, result, bytes, err);
	if (r != KACHE_SHARE_DONE && r != KACHE_SHARE_NOTHING)
		return r;
	one = &manifests[((const unsigned char *)&invocation)[0] % (sizeof manifests / sizeof *manifests)];
	pthread_mutex_lock(one);
	r = kache_share_manifest(&s, folder, &invocation, true, 0, false, true, bytes, err);
	pthread_mutex_unlock(one);
	return r;
}

/* Under the lock. */
static void account(const struct kache_hash *result, enum kache_share_result r, uint64_t bytes, const char *text)
{
	KACHE_AUTO_FREE char *path = kache_queue_path(daemon_->store->root, result);
	struct record *rec = find(result);
	uint64_t pause = FIRST_PAUSE_MS;

	state.bytes += bytes;
	switch (r) {
	case KACHE_SHARE_DONE:
	case KACHE_SHARE_NOTHING:
		state.sent++;
		unlink(path);
		forget(result);
		return;
	case KACHE_SHARE_SKIPPED:
		drop(result, text);
		forget(result);
		return;
	case KACHE_SHARE_CANCELLED:
		break;
	case KACHE_SHARE_FATAL:		/* it would be the same with all others */
		pause_until = kache_now_mono() + (uint64_t)LONGEST_PAUSE_MS * 1000000;
		/* fall through */
	default:
		state.failed++;
		kache_info("upload: %s", text);
	}
	if (!rec)
		return;
	rec->busy = false;
	if (r == KACHE_SHARE_CANCELLED)
		return;
	for (unsigned i = 0; i < rec->failures && pause < LONGEST_PAUSE_MS; i++)
		pause *= 2;
	rec->failures++;
	rec->not_before = kache_now_mono() + (pause < LONGEST_PAUSE_MS ? pause : LONGEST_PAUSE_MS) * 1000000;
}

/* Under the lock: one that may be sent now, or when to look again. */
static struct record *next_record(uint64_t now, uint64_t *when)
{
	uint64_t earliest = last_scan + (uint64_t)RESCAN_MS * 1000000;

	for (size_t i = 0; i < n_records && !(now < pause_until); i++) {
		struct record *r = &records[i];

		if (r->busy || r->foreign)
			continue;
		if (r->not_before <= now)
			return r;
		if (r->not_before < earliest)
			earliest = r->not_before;
	}
	if (now < pause_until && pause_until < earliest)
		earliest = pause_until;
	*when = earliest;
	return NULL;
}

/* Under the lock, which is let go meanwhile. */
static void upload(struct record *r)
{
	const struct kache_hash result = r->result;
	struct kache_error err = { 0, "" };
	enum kache_share_result got;
	uint64_t bytes = 0;
	bool foreign = false;

	r->busy = true;
	state.running++;
	pthread_mutex_unlock(&lock);
	got = send_one(&result, &foreign, &bytes, &err);
	pthread_mutex_lock(&lock);
	state.running--;
	if (!foreign)
		account(&result, got, bytes, err.text);
	else if ((r = find(&result)))
		r->foreign = !(r->busy = false);
	pthread_cond_broadcast(&done);
}

static void *uploader(void *arg)
{
	kache_thread_bulk();
	pthread_mutex_lock(&lock);
	while (!stopping) {
		uint64_t now = kache_now_mono(), when = 0;
		struct record *r = look || now - last_scan >= (uint64_t)RESCAN_MS * 1000000 ? NULL : next_record(now, &when);

		if (r) {
			upload(r);
		} else if (!when) {
			scan();
			pthread_cond_broadcast(&changed);
			pthread_cond_broadcast(&done);
		} else {
			struct timespec until = { .tv_sec = (time_t)(when / 1000000000), .tv_nsec = (long)(when % 1000000000) };

			pthread_cond_timedwait(&changed, &lock, &until);
		}
	}
	uploaders--;
	pthread_cond_broadcast(&done);
	pthread_mutex_unlock(&lock);
	return arg;
}

void kache_queue_start(struct kache_daemon *d)
{
	pthread_condattr_t attr;
	pthread_attr_t small;
	pthread_t thread;

	daemon_ = d;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&changed, &attr);
	pthread_cond_init(&done, &attr);
	pthread_condattr_destroy(&attr);
	for (size_t i = 0; i < sizeof manifests / sizeof *manifests; i++)
		pthread_mutex_init(&manifests[i], NULL);
	if (!d->remote)
		return;
	kache_conf_remote_id(d->conf, &remotes_id);
	look = true;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, STACK);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	pthread_mutex_lock(&lock);
	while (uploaders < UPLOADERS && !pthread_create(&thread, &small, uploader, NULL))
		uploaders++;
	pthread_mutex_unlock(&lock);
	pthread_attr_destroy(&small);
}

void kache_queue_wake(void)
{
	pthread_mutex_lock(&lock);
	look = true;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

/* Under the lock. */
static bool anything_now(void)
{
	uint64_t when;

	return look || scanning || state.running || next_record(kache_now_mono(), &when);
}

void kache_queue_state(struct kache_queue_state *out)
{
	pthread_mutex_lock(&lock);
	*out = state;
	out->waiting = 0;
	for (size_t i = 0; i < n_records; i++)
		out->waiting += !records[i].busy && !records[i].foreign;
	out->blocked = !anything_now();
	pthread_mutex_unlock(&lock);
}

void kache_queue_drain(uint64_t deadline_ns)
{
	const struct timespec until = {
		.tv_sec = (time_t)(deadline_ns / 1000000000), .tv_nsec = (long)(deadline_ns % 1000000000),
	};
	int rc = 0;

	pthread_mutex_lock(&lock);
	while (uploaders && anything_now() && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&done, &lock, &until);
	pthread_mutex_unlock(&lock);
}

void kache_queue_stop(void)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 5;
	pthread_mutex_lock(&lock);
	stopping = true;
	pthread_cond_broadcast(&changed);
	while (uploaders && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&done, &lock, &until);
	pthread_mutex_unlock(&lock);
}
