/* Numbers by hash, in memory: what gc and verify know of the objects they have seen. Not for threads. */
#ifndef KACHE_STORE_TABLE_H
#define KACHE_STORE_TABLE_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise; release frees and zeroes. */
struct kache_table {
	struct kache_table_slot *slots;
	size_t n, cap;
};

struct kache_table_slot {
	struct kache_hash key;
	uint64_t value;
	bool used;
};

void kache_table_release(struct kache_table *t);
/* The value of key, entered as `first` where it is new; valid until the next put. */
uint64_t *kache_table_put(struct kache_table *t, const struct kache_hash *key, uint64_t first);
/* NULL where key is not in. */
uint64_t *kache_table_get(const struct kache_table *t, const struct kache_hash *key);
#define KACHE_AUTO_TABLE __attribute__((cleanup(kache_table_release)))

#endif
