/* Inside gc: what is there, and which entries go. Shared by gc.c and gc-plan.c only. */
#ifndef KACHE_STORE_GC_PLAN_H
#define KACHE_STORE_GC_PLAN_H

#include "store/gc.h"
#include "store/scan.h"
#include "store/table.h"

/* Beside kache_gc.keys, which has its key, and its last use or creation in ms. */
struct kache_gc_entry {
	uint64_t bytes;			/* size of the entry's own file */
	uint64_t ino;
	int64_t mtime;
	size_t first;			/* its blobs in kache_gc.refs */
	uint32_t n;
	bool doomed;
};

/* Beside kache_gc.by_hash, which has its name. */
struct kache_gc_blob {
	uint64_t bytes;
	uint32_t users;			/* entries that stay and need it */
	bool was_used;			/* by an entry that was there at first */
	bool needed;			/* by an entry that came since */
};

struct kache_gc {
	struct kache_store *s;
	const struct kache_gc_options *o;
	struct kache_gc_report *report;
	struct kache_error *err;
	int lock;			/* gc.lock, -1 in a dry run */
	bool marked;			/* something was removed: see kache_gc_mark */
	int64_t now;			/* ns since the epoch */
	struct kache_table keys;	/* of entries; value: last use in ms */
	struct kache_gc_entry *entries;
	size_t cap_entries;
	struct kache_table by_hash;	/* blobs; the value is not used */
	struct kache_gc_blob *blobs;
	size_t cap_blobs;
	uint32_t *refs;			/* indexes into blobs */
	size_t n_refs, cap_refs;
};

/* Of a kache_scan with a struct kache_gc: a writer's leftover that is old enough goes. */
int kache_gc_temp(void *gc, const struct kache_scan_item *item);
/* Surveys the store, fills bytes_before, removes leftovers beside objects, and marks the entries that go. */
int kache_gc_plan(struct kache_gc *g);
void kache_gc_release(struct kache_gc *g);
/* Whether a time (ns) is less than that many seconds ago. A time to come is young: the clock is not
 * to be trusted then. */
bool kache_gc_young(const struct kache_gc *g, int64_t time, uint64_t seconds);

#endif
