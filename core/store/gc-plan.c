#include "config.h"
#include "store/gc-plan.h"

#include <stdlib.h>
#include <unistd.h>

void kache_gc_release(struct kache_gc *g)
{
	free(g->entries);
	free(g->blobs);
	free(g->refs);
	kache_table_release(&g->keys);
	kache_table_release(&g->by_hash);
}

bool kache_gc_young(const struct kache_gc *g, int64_t time, uint64_t seconds)
{
	int64_t age = g->now - time;

	return seconds && (age < 0 || (uint64_t)age / 1000000000 < seconds);
}

/* By ctime: a temporary that is to become a blob has the blob's old mtime already. */
int kache_gc_temp(void *arg, const struct kache_scan_item *item)
{
	struct kache_gc *g = arg;

	if (item->what != KACHE_SCAN_TEMP || kache_gc_young(g, item->st.ctime, g->o->temp_age_s))
		return KACHE_OK;
	if (g->o->dry_run || !unlink(item->path))
		g->report->temps_removed++;
	return KACHE_OK;
}

/* Room for one more of size bytes each. */
static void *room(void *v, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return v;
	*cap = *cap ? *cap * 2 : 256;
	return kache_realloc(v, *cap, size);
}

static int see_blob(void *arg, const struct kache_scan_item *item)
{
	struct kache_gc *g = arg;
	size_t n = g->by_hash.n;

	if (item->what != KACHE_SCAN_OBJECT)
		return kache_gc_temp(g, item);
	kache_table_put(&g->by_hash, &item->hash, 0);
	if (g->by_hash.n == n)		/* the directory told of it twice */
		return KACHE_OK;
	g->blobs = room(g->blobs, n, &g->cap_blobs, sizeof *g->blobs);
	g->blobs[n] = (struct kache_gc_blob){ .bytes = item->st.size };
	g->report->bytes_before += item->st.size;
	return KACHE_OK;
}

static int see_manifest(void *arg, const struct kache_scan_item *item)
{
	struct kache_gc *g = arg;

	if (item->what != KACHE_SCAN_OBJECT)
		return kache_gc_temp(g, item);
	g->report->bytes_before += item->st.size;
	return KACHE_OK;
}

static void refer(struct kache_gc *g, const struct kache_entry *e)
{
	for (size_t i = 0; i < e->n_outputs; i++) {
		size_t at = e->outputs[i].inline_data ? SIZE_MAX : kache_table_find(&g->by_hash, &e->outputs[i].blob);

		if (at == SIZE_MAX)
			continue;
		g->refs = room(g->refs, g->n_refs, &g->cap_refs, sizeof *g->refs);
		g->refs[g->n_refs++] = (uint32_t)at;
		g->blobs[at].users++;
		g->blobs[at].was_used = true;
	}
}

static int see_entry(void *arg, const struct kache_scan_item *item)
{
	struct kache_gc *g = arg;
	struct kache_entry e;
	struct kache_gc_entry *to;
	size_t n = g->keys.n;
	int rc;

	if (item->what != KACHE_SCAN_OBJECT)
		return kache_gc_temp(g, item);
	if (kache_table_find(&g->keys, &item->hash) != SIZE_MAX)
		return KACHE_OK;
	rc = kache_scan_entry(item, &e);
	if (rc == KACHE_E_NOENT)
		return KACHE_OK;
	if (rc == KACHE_E_IO)
		return kache_fail_errno(g->err, "entry %s", item->path);
	kache_table_put(&g->keys, &item->hash, item->st.mtime > 0 ? (uint64_t)item->st.mtime / 1000000 : 0);
	g->entries = room(g->entries, n, &g->cap_entries, sizeof *g->entries);
	to = &g->entries[n];
	*to = (struct kache_gc_entry){
		.bytes = item->st.size, .ino = item->st.ino, .mtime = item->st.mtime, .first = g->n_refs,
		.doomed = rc == KACHE_E_CORRUPT,
	};
	g->report->bytes_before += item->st.size;
	if (rc)
		return KACHE_OK;
	refer(g, &e);
	to->n = (uint32_t)(g->n_refs - to->first);
	if (g->o->doomed && g->o->doomed(g->o->arg, &e))
		to->doomed = true;
	kache_entry_release(&e);
	return KACHE_OK;
}

/* The last use of every entry, as far as it is known. */
static void learn_use(struct kache_gc *g)
{
	for (size_t i = 0; g->o->last_used && i < g->keys.n; i++) {
		struct kache_table_item *k = &g->keys.items[i];
		uint64_t used = g->o->last_used(g->o->arg, &k->key);

		if (used > k->value && used < INT64_MAX / 1000000)
			k->value = used;
	}
}

struct order {
	uint64_t used_ms;
	uint32_t at;
};

static int by_use(const void *a, const void *b)
{
	const struct order *x = a, *y = b;

	return (x->used_ms > y->used_ms) - (x->used_ms < y->used_ms);
}

static struct order *sort_by_use(const struct kache_gc *g)
{
	struct order *order = kache_calloc(g->keys.n + 1, sizeof *order);

	for (size_t i = 0; i < g->keys.n; i++)
		order[i] = (struct order){ g->keys.items[i].value, (uint32_t)i };
	qsort(order, g->keys.n, sizeof *order, by_use);
	return order;
}

static bool used_within(const struct kache_gc *g, size_t entry, uint64_t seconds)
{
	return kache_gc_young(g, (int64_t)g->keys.items[entry].value * 1000000, seconds);
}

/* Bytes that go with it; marks it. */
static uint64_t doom(struct kache_gc *g, struct kache_gc_entry *e)
{
	uint64_t bytes = e->bytes;

	e->doomed = true;
	for (size_t i = e->first; i < e->first + e->n; i++)
		if (!--g->blobs[g->refs[i]].users)
			bytes += g->blobs[g->refs[i]].bytes;
	return bytes;
}

/* What the store holds once all blobs that nobody needs are gone. Ones within the grace count as gone:
 * they will be, and no entry should fall in their place. */
static uint64_t settled_size(const struct kache_gc *g)
{
	uint64_t bytes = g->report->bytes_before;

	for (size_t i = 0; i < g->by_hash.n; i++)
		if (!g->blobs[i].users)
			bytes -= g->blobs[i].bytes;
	return bytes;
}

static void choose(struct kache_gc *g)
{
	uint64_t size = settled_size(g), target;
	struct order *order;
	bool some = g->o->max_age_s || (g->o->max_size && size > g->o->max_size);

	for (size_t i = 0; i < g->keys.n && !some; i++)
		some = g->entries[i].doomed;
	if (!some)
		return;
	learn_use(g);
	for (size_t i = 0; i < g->keys.n; i++) {
		struct kache_gc_entry *e = &g->entries[i];
		bool old = g->o->max_age_s && !used_within(g, i, g->o->max_age_s);

		if ((e->doomed || old) && !used_within(g, i, g->o->spare_s))
			size -= doom(g, e);
		else
			e->doomed = false;
	}
	if (!g->o->max_size || size <= g->o->max_size)
		return;
	target = g->o->max_size / 100 * g->o->percent + g->o->max_size % 100 * g->o->percent / 100;
	order = sort_by_use(g);
	for (size_t i = 0; i < g->keys.n && size > target; i++) {
		struct kache_gc_entry *e = &g->entries[order[i].at];

		if (!e->doomed && !used_within(g, order[i].at, g->o->spare_s))
			size -= doom(g, e);
	}
	free(order);
}

int kache_gc_plan(struct kache_gc *g)
{
	/* Blobs first: an entry published meanwhile then merely has blobs that were not counted. */
	int rc = kache_scan(g->s, "blobs", see_blob, g, g->err);

	if (!rc)
		rc = kache_scan(g->s, "manifests", see_manifest, g, g->err);
	if (!rc)
		rc = kache_scan(g->s, "entries", see_entry, g, g->err);
	if (!rc)
		choose(g);
	return rc;
}
