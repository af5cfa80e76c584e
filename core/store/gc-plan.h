/* Inside gc: what is there, and which entries go. Shared by gc.c and gc-plan.c only. */
#ifndef KACHE_STORE_GC_PLAN_H
#define KACHE_STORE_GC_PLAN_H

#include "store/gc.h"
#include "store/scan.h"
#include "store/table.h"

struct kache_gc_entry {
	struct kache_hash key;
	uint64_t used_ms, bytes;	/* last use or creation; size of the entry's own file */
	uint64_t ino;
	int64_t mtime;
	size_t first, n;		/* its blobs in kache_gc.refs */
	bool doomed;
};

struct kache_gc_blob {
	uint64_t bytes;
	size_t users;			/* entries that stay and need it */
	bool was_used;			/* by an entry that was there at first */
};

struct kache_gc {
	struct kache_store *s;
	const struct kache_gc_options *o;
	struct kache_gc_report *report;
	struct kache_error *err;
	int64_t now;			/* ns since the epoch */
	struct kache_gc_entry *entries;
	size_t n_entries, cap_entries;
	struct kache_gc_blob *blobs;
	size_t n_blobs, cap_blobs;
	size_t *refs;			/* indexes into blobs */
	size_t n_refs, cap_refs;
	struct kache_table by_hash;	/* index into blobs */
	struct kache_table doomed;	/* entries that go */
	struct kache_table needed;	/* blobs of entries that are there after the removals */
};

/* Surveys the store, fills bytes_before and marks the entries that go. */
int kache_gc_plan(struct kache_gc *g);
void kache_gc_release(struct kache_gc *g);
/* Whether a time (ns) is less than that many seconds ago. A time to come is young: the clock is not
 * to be trusted then. */
bool kache_gc_young(const struct kache_gc *g, int64_t time, uint64_t seconds);
/* Whether the entries that go now were the last that needed this blob. */
bool kache_gc_bereft(const struct kache_gc *g, const struct kache_hash *blob);

#endif
