#include "config.h"
#include "store/table.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

void kache_table_release(struct kache_table *t)
{
	free(t->items);
	free(t->slots);
	*t = (struct kache_table){ 0 };
}

/* The slot of key, or the free one where it would go. Keys are hashes already: any part of them spreads. */
static uint32_t *probe(const struct kache_table *t, const struct kache_hash *key)
{
	uint64_t at;
	uint32_t *slot;

	memcpy(&at, key->b + 8, sizeof at);
	while (*(slot = &t->slots[at & (t->n_slots - 1)]) && !kache_hash_eq(&t->items[*slot - 1].key, key))
		at++;
	return slot;
}

static void grow(struct kache_table *t)
{
	t->n_slots = t->n_slots ? t->n_slots * 2 : 512;
	free(t->slots);
	t->slots = kache_calloc(t->n_slots, sizeof *t->slots);
	for (size_t i = 0; i < t->n; i++)
		*probe(t, &t->items[i].key) = (uint32_t)i + 1;
}

uint64_t *kache_table_put(struct kache_table *t, const struct kache_hash *key, uint64_t first)
{
	uint32_t *slot;

	if (t->n >= t->n_slots / 2)
		grow(t);
	slot = probe(t, key);
	if (*slot)
		return &t->items[*slot - 1].value;
	if (t->n == UINT32_MAX - 1)	/* 170 GB of items: no store is that large */
		abort();
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 256;
		t->items = kache_realloc(t->items, t->cap, sizeof *t->items);
	}
	t->items[t->n] = (struct kache_table_item){ .key = *key, .value = first };
	*slot = (uint32_t)++t->n;
	return &t->items[t->n - 1].value;
}

size_t kache_table_find(const struct kache_table *t, const struct kache_hash *key)
{
	return t->n_slots ? (size_t)*probe(t, key) - 1 : SIZE_MAX;
}

uint64_t *kache_table_get(const struct kache_table *t, const struct kache_hash *key)
{
	size_t at = kache_table_find(t, key);

	return at == SIZE_MAX ? NULL : &t->items[at].value;
}
