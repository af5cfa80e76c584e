/* index.db: what the files of a store say, in SQLite, for commands that count, sort and search.
 * Derived: deleting it loses statistics' history and nothing else. Never on the hot path.
 *
 * One thread per index; any number of processes may have one open, and one at a time brings it up to date
 * under a lock that dies with it (events/fold.lock). */
#ifndef KACHE_STORE_INDEX_H
#define KACHE_STORE_INDEX_H

#include "store/store.h"

struct kache_index;

/* Opens and brings it up to date: folds events/ in with the entries that they speak of, and looks for what else came or went.
 * The latter is done every time for stores of up to ten thousand files, after removals by gc, and for larger ones once in a
 * while: two seconds later for every thousand files. While another process does that, what is there already serves. A damaged
 * index is set aside as index.db.damaged and made anew, with one warning; *rebuilt (may be NULL) tells. A store that can't be
 * written to gets an index in memory, which starts from a copy of index.db; so does one whose index is of a newer kache, which
 * is left alone. 0 or KACHE_E_* with err. s must outlive the index. */
int kache_index_open(struct kache_store *s, struct kache_index **out, bool *rebuilt, struct kache_error *err);
void kache_index_close(struct kache_index *x);
/* False where another process was at it, so that the newest events may be missing. */
bool kache_index_current(const struct kache_index *x);
/* Looks at all of the database. */
bool kache_index_sound(struct kache_index *x);

struct kache_index_totals {
	uint64_t hits, misses, uncached, passthrough, failed, probe_hits, probe_misses;
	uint64_t saved_ms;		/* compile time that hits did not spend */
	uint64_t spent_ms;		/* that misses did */
	uint64_t hit_us;		/* wrapper time of all hits */
	uint64_t linked_bytes, copied_bytes;
	uint64_t entries, blobs, blob_bytes, logical_bytes;
	uint64_t file_bytes;		/* of blobs, entries and manifests, as gc counts */
	uint64_t first_ms;		/* time of the oldest event counted, 0: none */
};
/* Events since since_ms (0: all); entries and blobs always all. */
int kache_index_totals(struct kache_index *x, uint64_t since_ms, struct kache_index_totals *out);

/* The functions below return 0 or KACHE_E_IO, also after some calls of each.
 *
 * Named reasons of uncached and passthrough calls, most frequent first. Stops if each returns nonzero. */
int kache_index_reasons(struct kache_index *x, uint64_t since_ms,
			int (*each)(void *arg, const char *result, const char *reason, uint64_t count), void *arg);

struct kache_index_entry {
	struct kache_hash key;
	const char *crate, *package, *kind, *target, *profile, *features, *compiler;
	uint64_t size, created_ms, used_ms, compile_ms, hits;
};
enum kache_index_sort { KACHE_SORT_NAME, KACHE_SORT_SIZE, KACHE_SORT_HITS, KACHE_SORT_AGE };
/* Entries, all or of one crate or package (either name; '-' is '_'). Probes are left out. */
int kache_index_entries(struct kache_index *x, const char *crate, enum kache_index_sort sort,
			int (*each)(void *arg, const struct kache_index_entry *e), void *arg);

struct kache_index_event {
	const char *result, *reason, *detail, *crate, *package, *kind, *root;
	struct kache_hash key, invocation;
	bool has_key, has_invocation;
	uint64_t time_ms, total_us, compile_us;
};
/* Events of a crate or package that are neither hits nor probes, newest first. */
int kache_index_misses(struct kache_index *x, const char *crate,
		       int (*each)(void *arg, const struct kache_index_event *e), void *arg);
/* Invocation keys of stored entries of that crate and kind, newest entry first. */
int kache_index_invocations(struct kache_index *x, const char *crate, const char *kind,
			    int (*each)(void *arg, const struct kache_hash *invocation), void *arg);
/* Time of an entry's last use in ms as events tell, 0 if not known. */
uint64_t kache_index_used(struct kache_index *x, const struct kache_hash *key);
/* That of the entry that was used least recently, 0 if there is none. */
uint64_t kache_index_oldest(struct kache_index *x);
/* When gc last went through all of the store and left nothing over, in ms; 0: never. */
uint64_t kache_index_swept(struct kache_index *x);
void kache_index_set_swept(struct kache_index *x, uint64_t time_ms);

/* Names of the packages that have entries, each once, in order. */
int kache_index_packages(struct kache_index *x, int (*each)(void *arg, const char *package), void *arg);
/* The entries of one, by its exact name, probes too, but no runs of build scripts. size: of the outputs. */
int kache_index_of_package(struct kache_index *x, const char *package,
			   int (*each)(void *arg, const struct kache_hash *key, const struct kache_hash *invocation, uint64_t size),
			   void *arg);

#endif
