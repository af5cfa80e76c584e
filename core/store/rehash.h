/* Hashing many files with several threads. */
#ifndef KACHE_STORE_REHASH_H
#define KACHE_STORE_REHASH_H

#include "base/hash.h"

struct kache_rehash_item {
	char *path;
	struct kache_hash hash;		/* that it should have */
	uint64_t size;			/* that was read */
	int result;			/* 0, KACHE_E_CORRUPT, KACHE_E_NOENT, KACHE_E_IO */
};

/* Zero-initialise. */
struct kache_rehash {
	struct kache_rehash_item *items;
	size_t n, cap;
};
void kache_rehash_add(struct kache_rehash *r, const char *path, const struct kache_hash *hash, uint64_t size);
/* Fills the results; threads 0: one per processor, at most 16. Returns when all is done. */
void kache_rehash_run(struct kache_rehash *r, unsigned threads);
void kache_rehash_release(struct kache_rehash *r);

#endif
