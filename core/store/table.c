#include "config.h"
#include "store/table.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

void kache_table_release(struct kache_table *t)
{
	free(t->slots);
	*t = (struct kache_table){ 0 };
}

/* The slot of key, or the free one where it would go. Keys are hashes already: any part of them spreads. */
static struct kache_table_slot *probe(struct kache_table_slot *slots, size_t cap, const struct kache_hash *key)
{
	uint64_t at;

	memcpy(&at, key->b + 8, sizeof at);
	while (slots[at & (cap - 1)].used && !kache_hash_eq(&slots[at & (cap - 1)].key, key))
		at++;
	return &slots[at & (cap - 1)];
}

static void grow(struct kache_table *t)
{
	size_t cap = t->cap ? t->cap * 2 : 256;
	struct kache_table_slot *slots = kache_calloc(cap, sizeof *slots);

	for (size_t i = 0; i < t->cap; i++)
		if (t->slots[i].used)
			*probe(slots, cap, &t->slots[i].key) = t->slots[i];
	free(t->slots);
	t->slots = slots;
	t->cap = cap;
}

uint64_t *kache_table_put(struct kache_table *t, const struct kache_hash *key, uint64_t first)
{
	struct kache_table_slot *slot;

	if (t->n >= t->cap / 2)
		grow(t);
	slot = probe(t->slots, t->cap, key);
	if (!slot->used) {
		*slot = (struct kache_table_slot){ .key = *key, .value = first, .used = true };
		t->n++;
	}
	return &slot->value;
}

uint64_t *kache_table_get(const struct kache_table *t, const struct kache_hash *key)
{
	struct kache_table_slot *slot = t->cap ? probe(t->slots, t->cap, key) : NULL;

	return slot && slot->used ? &slot->value : NULL;
}
