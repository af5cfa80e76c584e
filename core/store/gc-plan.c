#include "config.h"
#include "store/gc-plan.h"

#include <stdlib.h>

void kache_gc_release(struct kache_gc *g)
{
	free(g->entries);
	free(g->blobs);
	free(g->refs);
	kache_table_release(&g->by_hash);
	kache_table_release(&g->doomed);
	kache_table_release(&g->needed);
}

bool kache_gc_young(const struct kache_gc *g, int64_t time, uint64_t seconds)
{
	int64_t age = g->now - time;

	return seconds && (age < 0 || (uint64_t)age / 1000000000 < seconds);
}

bool kache_gc_bereft(const struct kache_gc *g, const struct kache_hash *blob)
{
	const uint64_t *at = kache_table_get(&g->by_hash, blob);

	return at && g->blobs[*at].was_used && !g->blobs[*at].users;
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

	if (item->what != KACHE_SCAN_OBJECT)
		return KACHE_OK;
	g->blobs = room(g->blobs, g->n_blobs, &g->cap_blobs, sizeof *g->blobs);
	g->blobs[g->n_blobs] = (struct kache_gc_blob){ .bytes = item->st.size };
	kache_table_put(&g->by_hash, &item->hash, g->n_blobs++);
	g->report->bytes_before += item->st.size;
	return KACHE_OK;
}

static int see_manifest(void *arg, const struct kache_scan_item *item)
{
	struct kache_gc *g = arg;

	if (item->what == KACHE_SCAN_OBJECT)
		g->report->bytes_before += item->st.size;
	return KACHE_OK;
}

static void refer(struct kache_gc *g, const struct kache_entry *e)
{
	for (size_t i = 0; i < e->n_outputs; i++) {
		uint64_t *at = e->outputs[i].inline_data ? NULL : kache_table_get(&g->by_hash, &e->outputs[i].blob);

		if (!at)
			continue;
		g->refs = room(g->refs, g->n_refs, &g->cap_refs, sizeof *g->refs);
		g->refs[g->n_refs++] = *at;
		g->blobs[*at].users++;
		g->blobs[*at].was_used = true;
	}
}

static int see_entry(void *arg, const struct kache_scan_item *item)
{
	struct kache_gc *g = arg;
	struct kache_entry e;
	struct kache_gc_entry *to;
	uint64_t used;
	int rc;

	if (item->what != KACHE_SCAN_OBJECT)
		return KACHE_OK;
	rc = kache_scan_entry(item, &e);
	if (rc == KACHE_E_NOENT)
		return KACHE_OK;
	if (rc == KACHE_E_IO)
		return kache_fail_errno(g->err, "entry %s", item->path);
	g->entries = room(g->entries, g->n_entries, &g->cap_entries, sizeof *g->entries);
	to = &g->entries[g->n_entries++];
	*to = (struct kache_gc_entry){
		.key = item->hash, .bytes = item->st.size, .ino = item->st.ino, .mtime = item->st.mtime,
		.used_ms = item->st.mtime > 0 ? (uint64_t)item->st.mtime / 1000000 : 0,
		.first = g->n_refs, .doomed = rc == KACHE_E_CORRUPT,
	};
	used = g->o->last_used ? g->o->last_used(g->o->arg, &item->hash) : 0;
	if (used > to->used_ms && used < INT64_MAX / 1000000)
		to->used_ms = used;
	g->report->bytes_before += item->st.size;
	if (rc)
		return KACHE_OK;
	refer(g, &e);
	to->n = g->n_refs - to->first;
	if (g->o->doomed && g->o->doomed(g->o->arg, &e))
		to->doomed = true;
	kache_entry_release(&e);
	return KACHE_OK;
}

static int by_use(const void *a, const void *b)
{
	const struct kache_gc_entry *x = a, *y = b;

	return (x->used_ms > y->used_ms) - (x->used_ms < y->used_ms);
}

static bool used_within(const struct kache_gc *g, const struct kache_gc_entry *e, uint64_t seconds)
{
	return kache_gc_young(g, (int64_t)e->used_ms * 1000000, seconds);
}

/* Bytes that go with e; marks it. */
static uint64_t doom(struct kache_gc *g, struct kache_gc_entry *e)
{
	uint64_t bytes = e->bytes;

	e->doomed = true;
	kache_table_put(&g->doomed, &e->key, 0);
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

	for (size_t i = 0; i < g->n_blobs; i++)
		if (!g->blobs[i].users)
			bytes -= g->blobs[i].bytes;
	return bytes;
}

static void choose(struct kache_gc *g)
{
	uint64_t size = settled_size(g), target;

	for (size_t i = 0; i < g->n_entries; i++) {
		struct kache_gc_entry *e = &g->entries[i];
		bool old = g->o->max_age_s && !used_within(g, e, g->o->max_age_s);

		if ((e->doomed || old) && !used_within(g, e, g->o->spare_s))
			size -= doom(g, e);
		else
			e->doomed = false;
	}
	if (!g->o->max_size || size <= g->o->max_size)
		return;
	target = g->o->max_size / 100 * g->o->percent + g->o->max_size % 100 * g->o->percent / 100;
	for (size_t i = 0; i < g->n_entries && size > target; i++)
		if (!g->entries[i].doomed && !used_within(g, &g->entries[i], g->o->spare_s))
			size -= doom(g, &g->entries[i]);
}

int kache_gc_plan(struct kache_gc *g)
{
	/* Blobs first: an entry published meanwhile then merely has blobs that were not counted. */
	int rc = kache_scan(g->s, "blobs", see_blob, g, g->err);

	if (!rc)
		rc = kache_scan(g->s, "manifests", see_manifest, g, g->err);
	if (!rc)
		rc = kache_scan(g->s, "entries", see_entry, g, g->err);
	if (rc)
		return rc;
	if (g->n_entries)
		qsort(g->entries, g->n_entries, sizeof *g->entries, by_use);
	choose(g);
	return KACHE_OK;
}
