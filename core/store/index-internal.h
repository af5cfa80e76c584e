/* Shared by the index's own files: the open database and short forms of SQLite's calls. */
#ifndef KACHE_STORE_INDEX_INTERNAL_H
#define KACHE_STORE_INDEX_INTERNAL_H

#include "store/index.h"

#include <sqlite3.h>

struct kache_index {
	struct kache_store *store;
	sqlite3 *db;
	bool memory;			/* what is in it will not last */
	bool rebuilt;
	bool current;			/* the update was ours and went through */
	sqlite3_stmt *used;		/* of kache_index_used, which gc calls for every entry */
};

/* Numbers of kinds in the tables files and sums; the last one in sums only: entries that decode, and the bytes of their outputs
 * without sharing. */
enum { KACHE_INDEX_ENTRIES, KACHE_INDEX_MANIFESTS, KACHE_INDEX_BLOBS, KACHE_INDEX_KINDS, KACHE_INDEX_LOGICAL = KACHE_INDEX_KINDS };
extern const char *const kache_index_kinds[KACHE_INDEX_KINDS];

/* NULL on failure, which kache_index_fail then tells. */
sqlite3_stmt *kache_index_prepare(struct kache_index *ix, const char *sql);
/* SQLITE_OK or the code. */
int kache_index_exec(struct kache_index *ix, const char *sql);
/* The database's last failure as an error of ours. */
int kache_index_fail(struct kache_index *ix, struct kache_error *err);
/* True for a code that says that the file is damaged. */
bool kache_index_damaged(int code);
/* First column of the first row, or 0. */
int64_t kache_index_number(struct kache_index *ix, const char *sql);

/* A named number, 0 where it was never set; SQLITE_OK or a code.
 *	scanned	when the last complete look at the directories began, in ns (kache_now_coarse)
 *	swept	when gc last went through all of the store and left nothing over, in ms */
int64_t kache_index_state(struct kache_index *ix, const char *name);
int kache_index_set_state(struct kache_index *ix, const char *name, int64_t value);

void kache_index_bind_text(sqlite3_stmt *st, int at, const char *s);
void kache_index_bind_hash(sqlite3_stmt *st, int at, const struct kache_hash *h);
void kache_index_bind_u64(sqlite3_stmt *st, int at, uint64_t v);
/* Column as text, never NULL; lives until the next step. */
const char *kache_index_text(sqlite3_stmt *st, int at);
uint64_t kache_index_u64(sqlite3_stmt *st, int at);
/* False if the column is not a hash. */
bool kache_index_hash(sqlite3_stmt *st, int at, struct kache_hash *out);

/* The halves of an update, by the holder of the lock: events into rows (index-fold.c), files into rows
 * (index-scan.c). */
int kache_index_fold(struct kache_index *ix, struct kache_error *err);
int kache_index_scan(struct kache_index *ix, struct kache_error *err);

/* ---- one object to its rows (index-take.c) ---- */

struct kache_index_file {
	struct kache_hash hash;
	uint64_t size, ino;
	int64_t mtime;
};

/* Within a transaction. The sums wait in memory until flush, before the commit; after a rollback `sums` is to be zeroed. */
struct kache_taker {
	struct kache_index *ix;
	sqlite3_stmt *find_file, *put_file, *drop_file, *find_entry, *put_entry, *drop_entry, *put_usage, *drop_usage, *add;
	struct { int64_t n, bytes; } sums[KACHE_INDEX_LOGICAL + 1];
	size_t changes;			/* rows since it was last zeroed */
	bool failed;			/* a statement failed: roll back */
};

/* False on failure, which kache_index_fail then tells; release in any case. */
bool kache_taker_init(struct kache_taker *t, struct kache_index *ix);
void kache_taker_release(struct kache_taker *t);
/* file is there, before is what was known of it, or NULL. An entry is read. */
void kache_taker_put(struct kache_taker *t, int kind, const struct kache_index_file *file, const struct kache_index_file *before);
void kache_taker_drop(struct kache_taker *t, int kind, const struct kache_index_file *before);
/* An entry that an event speaks of, with its blobs and the manifest (may be NULL). again: it may have been written anew. */
void kache_taker_entry(struct kache_taker *t, const struct kache_hash *key, const struct kache_hash *invocation, bool again);
void kache_taker_flush(struct kache_taker *t);

void kache_index_finalize(sqlite3_stmt **st);
#define KACHE_AUTO_STMT __attribute__((cleanup(kache_index_finalize)))

#endif
