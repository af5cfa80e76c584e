#include "config.h"
#include "remote/unpack.h"

#include "base/buf.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <zstd.h>

enum { SLOTS = 4, SLOT = 128 << 10 };	/* what is decompressed and was not looked at yet: enough for both to go on */

struct kache_unpack {
	const struct kache_pack_sink *sink;

	/* Of who adds. */
	ZSTD_DCtx *z;
	bool damaged;			/* cannot be decompressed */
	bool in_frame;			/* there should be more */
	bool unwanted;			/* the reader is done */
	size_t filled;			/* bytes of the slot behind the used ones */

	/* Between the two. The `used` slots from `first` on are the reader's. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool complete, aborted;		/* nothing more comes: all has, or it is for nothing */
	bool done;			/* the reader wants no more */
	bool lent;			/* it is busy with the first */
	unsigned first, used;
	size_t lens[SLOTS];
	char *slots;

	/* Of the reader, until it is joined. */
	pthread_t thread;
	int rc;
	struct kache_error err;
};

/* ---- the thread that reads ---- */

static int more(void *arg, const void **data, size_t *len)
{
	struct kache_unpack *u = arg;
	int rc = KACHE_OK;

	pthread_mutex_lock(&u->lock);
	if (u->lent) {
		u->first = (u->first + 1) % SLOTS;
		u->used--;
		u->lent = false;
		pthread_cond_signal(&u->changed);
	}
	while (!u->used && !u->complete && !u->aborted)
		pthread_cond_wait(&u->changed, &u->lock);
	*len = 0;
	if (u->aborted) {
		rc = KACHE_E_REMOTE;
	} else if (u->used) {
		*data = u->slots + (size_t)u->first * SLOT;
		*len = u->lens[u->first];
		u->lent = true;
	}
	pthread_mutex_unlock(&u->lock);
	return rc;
}

static void *read_tar(void *arg)
{
	struct kache_unpack *u = arg;

	u->rc = kache_pack_read_tar(more, u, u->sink, &u->err);
	pthread_mutex_lock(&u->lock);
	u->done = true;
	pthread_cond_signal(&u->changed);
	pthread_mutex_unlock(&u->lock);
	return NULL;
}

/* ---- the one who adds ---- */

/* Gives the slot that is being filled to the reader, and waits until there is another. */
static void publish(struct kache_unpack *u)
{
	pthread_mutex_lock(&u->lock);
	u->lens[(u->first + u->used) % SLOTS] = u->filled;
	u->used++;
	u->filled = 0;
	pthread_cond_signal(&u->changed);
	while (u->used == SLOTS && !u->done)
		pthread_cond_wait(&u->changed, &u->lock);
	u->unwanted = u->done;
	pthread_mutex_unlock(&u->lock);
}

/* Where the next bytes go. The reader moves `first` on and `used` down, so their sum is ours. */
static ZSTD_outBuffer room(struct kache_unpack *u)
{
	unsigned at;

	pthread_mutex_lock(&u->lock);
	at = (u->first + u->used) % SLOTS;
	pthread_mutex_unlock(&u->lock);
	return (ZSTD_outBuffer){ u->slots + (size_t)at * SLOT, SLOT, u->filled };
}

void kache_unpack_add(struct kache_unpack *u, const void *data, size_t len)
{
	ZSTD_inBuffer in = { data, len, 0 };
	bool full = false;		/* there may be more where that came from */

	while (!u->damaged && !u->unwanted && (in.pos < in.size || full)) {
		ZSTD_outBuffer out = room(u);
		size_t left;

		left = ZSTD_decompressStream(u->z, &out, &in);
		u->damaged = ZSTD_isError(left);
		u->in_frame = left != 0;
		u->filled = out.pos;
		full = out.pos == out.size && left;
		if (out.pos == out.size)
			publish(u);
	}
}

static void join(struct kache_unpack *u, bool complete)
{
	pthread_mutex_lock(&u->lock);
	u->complete = complete;
	u->aborted = !complete;
	pthread_cond_signal(&u->changed);
	pthread_mutex_unlock(&u->lock);
	pthread_join(u->thread, NULL);
}

static void release(struct kache_unpack *u)
{
	ZSTD_freeDCtx(u->z);
	pthread_cond_destroy(&u->changed);
	pthread_mutex_destroy(&u->lock);
	free(u->slots);
	free(u);
}

int kache_unpack_end(struct kache_unpack *u, struct kache_error *err)
{
	int rc;

	if (u->filled && !u->unwanted)
		publish(u);
	join(u, true);
	rc = u->rc;
	if (u->damaged || (u->in_frame && !u->unwanted))
		rc = kache_fail(err, KACHE_E_CORRUPT, "pack: not a compressed tar, damaged, or not all of it");
	else if (rc && err)
		*err = u->err;
	release(u);
	return rc;
}

void kache_unpack_drop(struct kache_unpack *u)
{
	if (!u)
		return;
	join(u, false);
	release(u);
}

struct kache_unpack *kache_unpack_new(const struct kache_pack_sink *sink)
{
	struct kache_unpack *u = kache_calloc(1, sizeof *u);
	sigset_t all, old;
	bool running;

	u->sink = sink;
	u->z = ZSTD_createDCtx();
	u->slots = kache_alloc((size_t)SLOTS * SLOT);
	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->changed, NULL);
	/* A hostile frame could ask for a window of gigabytes. */
	running = u->z && !ZSTD_isError(ZSTD_DCtx_setParameter(u->z, ZSTD_d_windowLogMax, KACHE_PACK_WINDOW_LOG));
	sigfillset(&all);	/* signals are for the threads that wait for them */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	running = running && !pthread_create(&u->thread, NULL, read_tar, u);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (running)
		return u;
	release(u);
	return NULL;
}
