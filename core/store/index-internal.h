/* Shared by core/store/index*.c; nobody else includes this. */
#ifndef KACHE_STORE_INDEX_INTERNAL_H
#define KACHE_STORE_INDEX_INTERNAL_H

#include "store/index.h"

#include <sqlite3.h>

struct kache_index {
	struct kache_store *store;
	sqlite3 *db;
};

/* Runs statements without results. 0 or KACHE_E_IO with err. */
int kache_index_exec(struct kache_index *x, const char *sql, struct kache_error *err);
int kache_index_fail(struct kache_index *x, struct kache_error *err, const char *what);
sqlite3_stmt *kache_index_prepare(struct kache_index *x, const char *sql);
/* Events into rows (index-fold.c), entry files into rows (index-scan.c). */
int kache_index_fold(struct kache_index *x, struct kache_error *err);
int kache_index_scan(struct kache_index *x, struct kache_error *err);
const char *kache_index_text(sqlite3_stmt *q, int column);	/* "" for NULL */
bool kache_index_hash(sqlite3_stmt *q, int column, struct kache_hash *out);

#endif
