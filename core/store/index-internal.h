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
};

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

void kache_index_finalize(sqlite3_stmt **st);
#define KACHE_AUTO_STMT __attribute__((cleanup(kache_index_finalize)))

#endif
