#include "config.h"
#include "store/rehash.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_THREADS = 16 };

struct crew {
	struct kache_rehash *r;
	atomic_size_t next;		/* item that nobody has taken yet */
};

void kache_rehash_add(struct kache_rehash *r, const char *path, const struct kache_hash *hash, uint64_t size)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 256;
		r->items = kache_realloc(r->items, r->cap, sizeof *r->items);
	}
	r->items[r->n++] = (struct kache_rehash_item){ .path = kache_strdup(path), .hash = *hash, .size = size };
}

void kache_rehash_release(struct kache_rehash *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->items[i].path);
	free(r->items);
	*r = (struct kache_rehash){ 0 };
}

static int rehash(struct kache_rehash_item *item)
{
	KACHE_AUTO_FD int fd = open(item->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	uint64_t size = item->size;
	struct kache_hash found;
	struct kache_stat st;

	item->size = 0;
	if (fd < 0)
		return errno == ENOENT ? KACHE_E_NOENT : KACHE_E_IO;
	if (kache_fstat(fd, &st) || !S_ISREG(st.mode) || kache_hash_fd(fd, &found, &item->size))
		return KACHE_E_IO;
	return item->size == size && kache_hash_eq(&found, &item->hash) ? KACHE_OK : KACHE_E_CORRUPT;
}

static void *work(void *arg)
{
	struct crew *crew = arg;
	size_t i;

	while ((i = atomic_fetch_add(&crew->next, 1)) < crew->r->n)
		crew->r->items[i].result = rehash(&crew->r->items[i]);
	return NULL;
}

void kache_rehash_run(struct kache_rehash *r, unsigned threads)
{
	struct crew crew = { .r = r };
	pthread_t ids[MAX_THREADS];
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = 0;

	if (!threads)
		threads = processors > 0 ? (unsigned)processors : 1;
	if (threads > MAX_THREADS)
		threads = MAX_THREADS;
	if (threads > r->n)
		threads = (unsigned)r->n;
	/* The caller works too, alone if no thread can be had. */
	while (n + 1 < threads && !pthread_create(&ids[n], NULL, work, &crew))
		n++;
	work(&crew);
	while (n)
		pthread_join(ids[--n], NULL);
}
