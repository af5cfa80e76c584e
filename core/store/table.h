/* Numbers by hash, in memory: what gc and verify know of the objects they have seen. Not for threads.
 *
 * Items lie densely, in the order in which they came, and a table of their numbers finds them: 48 to 56 bytes each. */
#ifndef KACHE_STORE_TABLE_H
#define KACHE_STORE_TABLE_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kache_table_item {
	struct kache_hash key;
	uint64_t value;
};

/* Zero-initialise; release frees and zeroes. */
struct kache_table {
	struct kache_table_item *items;
	size_t n, cap;
	uint32_t *slots;		/* of n_slots, a power of two: 1 + index of an item, 0: free */
	size_t n_slots;
};

void kache_table_release(struct kache_table *t);
/* The value of key, entered as `first` where it is new; valid until the next put. */
uint64_t *kache_table_put(struct kache_table *t, const struct kache_hash *key, uint64_t first);
/* NULL where key is not in. */
uint64_t *kache_table_get(const struct kache_table *t, const struct kache_hash *key);
/* Index of its item, SIZE_MAX where key is not in. */
size_t kache_table_find(const struct kache_table *t, const struct kache_hash *key);
#define KACHE_AUTO_TABLE __attribute__((cleanup(kache_table_release)))

#endif
