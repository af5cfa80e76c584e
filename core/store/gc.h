/* Making room: least recently used entries go first, then what only they needed.
 *
 * Safe beside running builds and at any moment's death. Entries go before manifests' sets, those before
 * blobs, so that what is left never leads to something that gc removed; what a killed run leaves over
 * the next one takes. A publisher marks every blob it counts on (ctime), and gc leaves blobs alone that
 * were touched within the grace. Whoever still loses a blob to gc compiles. */
#ifndef KACHE_STORE_GC_H
#define KACHE_STORE_GC_H

#include "store/store.h"

struct kache_gc_options {
	uint64_t max_size;	/* bytes; 0: no bound */
	unsigned percent;	/* of max_size to go down to, once it is exceeded */
	uint64_t max_age_s;	/* since the last use; 0: no bound */
	uint64_t spare_s;	/* entries used or created, and manifests written, so recently stay */
	uint64_t grace_s;	/* blobs whose inode changed so recently, or since gc began, stay */
	bool at_once;		/* no grace for blobs that only the entries needed that go now */
	uint64_t temp_age_s;	/* leftovers of writers younger than this stay */
	bool dry_run;		/* report what would go, touch nothing, take no lock */
	/* Last use of an entry in ms since the epoch, 0 if not known; NULL: never known. The time of the
	 * entry's file counts where it is later. */
	uint64_t (*last_used)(void *arg, const struct kache_hash *entry);
	/* Entries that go whatever their age and the sizes, unless spared; NULL: none. */
	bool (*doomed)(void *arg, const struct kache_entry *entry);
	void *arg;
};
#define KACHE_GC_OPTIONS_INIT { .percent = 90, .spare_s = 300, .grace_s = 600, .temp_age_s = 3600 }

/* Bytes are sizes of files: entries, manifests, and each blob once. */
struct kache_gc_report {
	uint64_t entries_removed, blobs_removed, manifests_removed, sets_removed, temps_removed;
	uint64_t bytes_before, bytes_after, bytes_freed;
	uint64_t entries_left;
	uint64_t blobs_in_grace;	/* that no entry needs and that stay for now */
};

/* 0; KACHE_E_BUSY where another gc or repair is under way; KACHE_E_IO. The report tells what was done
 * in any case. */
int kache_gc(struct kache_store *s, const struct kache_gc_options *o, struct kache_gc_report *report,
	     struct kache_error *err);

/* The part that is cheap however large the store is: leftovers in tmp/ alone. Only temps_removed is told. */
int kache_gc_leftovers(struct kache_store *s, const struct kache_gc_options *o, struct kache_gc_report *report,
		       struct kache_error *err);

/* The lock of all who remove things from a store other than their own leftovers: gc.lock, held by an
 * open file and gone with its holder. *fd is to be closed. 0, KACHE_E_BUSY, KACHE_E_IO. */
int kache_gc_lock(const struct kache_store *s, int *fd, struct kache_error *err);
/* By its holder, before the first removal and after the last one: the lock's time tells the index to look at the store again. */
void kache_gc_mark(int fd);

#endif
