#include "config.h"
#include "remote/fill.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/path.h"
#include "base/thread.h"
#include "remote/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	MOST_WAITING = 64,			/* copies */
	GRACE_S = 2
};
#define MOST_BYTES ((uint64_t)512 << 20)	/* of all copies that wait */
#define MOST_SIZE  ((uint64_t)256 << 20)	/* of one */

struct item {
	struct item *next;
	int fd;
	uint64_t size, tiers;
	size_t len;
	char key[];
};

struct kache_fill {
	char *dir;
	kache_fill_put *put;
	kache_fill_drop *drop;
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct item *first, **last, *busy;
	size_t waiting;
	uint64_t bytes;
	bool running, stop;
	pthread_t thread;
	int cancel[2];
};

struct kache_fill *kache_fill_new(const char *dir, kache_fill_put *put, kache_fill_drop *drop, void *arg)
{
	struct kache_fill *f = kache_calloc(1, sizeof *f);
	pthread_condattr_t attr;

	f->dir = kache_strdup(dir);
	f->put = put;
	f->drop = drop;
	f->arg = arg;
	f->last = &f->first;
	f->cancel[0] = f->cancel[1] = -1;
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->changed, &attr);
	pthread_condattr_destroy(&attr);
	return f;
}

static void free_item(struct item *i)
{
	close(i->fd);
	free(i);
}

static void dropped(struct kache_fill *f, uint64_t tiers)
{
	for (size_t t = 0; t < 64; t++)
		if (tiers >> t & 1)
			f->drop(f->arg, t);
}

/* Off the list; under the lock. */
static struct item *take_first(struct kache_fill *f)
{
	struct item *i = f->first;

	f->first = i->next;
	if (!f->first)
		f->last = &f->first;
	f->waiting--;
	return i;
}

static void deliver(struct kache_fill *f, struct item *i)
{
	for (size_t t = 0; t < 64; t++) {
		struct kache_file_source src;

		if (!(i->tiers >> t & 1))
			continue;
		kache_file_source_init(&src, i->fd, i->size);
		if (lseek(i->fd, 0, SEEK_SET) || !f->put(f->arg, t, (struct kb_key){ i->key, i->len }, &src.kb, f->cancel[0]))
			f->drop(f->arg, t);
	}
}

static void *run(void *arg)
{
	struct kache_fill *f = arg;

	kache_thread_bulk();
	pthread_mutex_lock(&f->lock);
	while (!f->stop || f->first) {
		if (!f->first) {
			pthread_cond_wait(&f->changed, &f->lock);
			continue;
		}
		f->busy = take_first(f);
		pthread_mutex_unlock(&f->lock);
		deliver(f, f->busy);
		pthread_mutex_lock(&f->lock);
		f->bytes -= f->busy->size;
		free_item(f->busy);
		f->busy = NULL;
		pthread_cond_broadcast(&f->changed);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* Under the lock. */
static bool start(struct kache_fill *f)
{
	if (f->running)
		return true;
	if (f->cancel[0] < 0 && pipe2(f->cancel, O_CLOEXEC | O_NONBLOCK))
		return false;
	f->running = !pthread_create(&f->thread, NULL, run, f);
	return f->running;
}

void kache_fill_add(struct kache_fill *f, struct kb_key key, int fd, uint64_t size, uint64_t tiers)
{
	struct item *i = kache_calloc(1, sizeof *i + key.len);
	bool room;

	*i = (struct item){ .fd = fd, .size = size, .tiers = tiers, .len = key.len };
	memcpy(i->key, key.name, key.len);
	pthread_mutex_lock(&f->lock);
	room = f->waiting < MOST_WAITING && f->bytes + size <= MOST_BYTES && !f->stop && start(f);
	if (room) {
		*f->last = i;
		f->last = &i->next;
		f->waiting++;
		f->bytes += size;
		pthread_cond_broadcast(&f->changed);
	}
	pthread_mutex_unlock(&f->lock);
	if (!room) {
		free_item(i);
		dropped(f, tiers);
	}
}

void kache_fill_forget(struct kache_fill *f, struct kb_key key)
{
	pthread_mutex_lock(&f->lock);
	for (struct item **at = &f->first; *at;) {
		struct item *i = *at;

		if (i->len != key.len || memcmp(i->key, key.name, key.len)) {
			at = &i->next;
			continue;
		}
		*at = i->next;
		if (f->last == &i->next)
			f->last = at;
		f->waiting--;
		f->bytes -= i->size;
		free_item(i);
	}
	pthread_mutex_unlock(&f->lock);
}

bool kache_fill_wait(struct kache_fill *f, uint64_t deadline_ns)
{
	const struct timespec until = {
		.tv_sec = (time_t)(deadline_ns / 1000000000), .tv_nsec = (long)(deadline_ns % 1000000000)
	};
	bool idle;

	pthread_mutex_lock(&f->lock);
	while ((f->first || f->busy) && pthread_cond_timedwait(&f->changed, &f->lock, &until) != ETIMEDOUT)
		;
	idle = !f->first && !f->busy;
	pthread_mutex_unlock(&f->lock);
	return idle;
}

void kache_fill_free(struct kache_fill *f)
{
	if (!f)
		return;
	if (f->running) {
		if (!kache_fill_wait(f, kache_now_mono() + (uint64_t)GRACE_S * 1000000000))
			(void)!write(f->cancel[1], "x", 1);
		pthread_mutex_lock(&f->lock);
		f->stop = true;
		while (f->first)
			free_item(take_first(f));
		pthread_cond_broadcast(&f->changed);
		pthread_mutex_unlock(&f->lock);
		pthread_join(f->thread, NULL);
	}
	if (f->cancel[0] >= 0) {
		close(f->cancel[0]);
		close(f->cancel[1]);
	}
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f->dir);
	free(f);
}

/* ---- the copy ---- */

static int scratch(const char *dir)
{
	const char *tmp = getenv("TMPDIR");
	KACHE_AUTO_FREE char *path = kache_path_join(dir, "fill-XXXXXX");
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0) {
		free(path);
		path = kache_path_join(tmp && *tmp == '/' ? tmp : "/tmp", "kache-fill-XXXXXX");
		fd = mkostemp(path, O_CLOEXEC);
	}
	if (fd >= 0)
		unlink(path);
	return fd;
}

static void give_up(struct kache_tee *t)
{
	if (t->copy >= 0)
		close(t->copy);
	t->copy = -1;
}

static int tee_begin(struct kb_sink *kb, uint64_t size)
{
	struct kache_tee *t = (struct kache_tee *)kb;

	t->call->kb.deadline_ns = t->full_ns;
	t->size = 0;
	if (t->copy >= 0 && (size > MOST_SIZE || ftruncate(t->copy, 0) || lseek(t->copy, 0, SEEK_SET)))
		give_up(t);
	return t->to->begin(t->to, size);
}

static bool write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

static int tee_write(struct kb_sink *kb, const void *buf, size_t len)
{
	struct kache_tee *t = (struct kache_tee *)kb;
	int rc = t->to->write(t->to, buf, len);

	t->size += len;
	if (t->copy >= 0 && (rc || t->size > MOST_SIZE || !write_all(t->copy, buf, len)))
		give_up(t);
	return rc;
}

void kache_tee_init(struct kache_tee *t, struct kb_sink *to, struct kache_call *call, uint64_t full_ns)
{
	*t = (struct kache_tee){ .kb = *to, .to = to, .call = call, .full_ns = full_ns, .copy = -1 };
	t->kb.struct_size = sizeof t->kb;
	t->kb.begin = tee_begin;
	t->kb.write = tee_write;
}

void kache_tee_copy(struct kache_tee *t, const struct kache_fill *f)
{
	t->copy = scratch(f->dir);
	if (t->copy >= 0)
		t->kb.fd = -1;		/* what goes by the descriptor is not seen here */
}

int kache_tee_take(struct kache_tee *t)
{
	int fd = t->copy;

	t->copy = -1;
	return fd;
}
