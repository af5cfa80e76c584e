#include "config.h"
#include "store/index-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INDEX_VERSION 1
#define SET_VERSION "PRAGMA user_version=1"

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS entries(key BLOB PRIMARY KEY, invocation BLOB, crate TEXT, package TEXT, kind TEXT,"
	" target TEXT, profile TEXT, features TEXT, compiler TEXT, size INTEGER, created_ms INTEGER, compile_ms INTEGER,"
	" hits INTEGER DEFAULT 0, used_ms INTEGER DEFAULT 0, seen INTEGER DEFAULT 0) WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS entries_crate ON entries(crate);"
	"CREATE TABLE IF NOT EXISTS refs(entry BLOB, blob BLOB, size INTEGER, PRIMARY KEY(entry, blob)) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS events(time_ms INTEGER, result TEXT, reason TEXT, detail TEXT, crate TEXT, package TEXT,"
	" kind TEXT, root TEXT, key BLOB, invocation BLOB, total_us INTEGER, compile_us INTEGER, linked INTEGER, copied INTEGER);"
	"CREATE INDEX IF NOT EXISTS events_time ON events(time_ms);"
	"CREATE INDEX IF NOT EXISTS events_crate ON events(crate, time_ms);"
	"CREATE TABLE IF NOT EXISTS folded(inode INTEGER PRIMARY KEY, offset INTEGER);";

int kache_index_fail(struct kache_index *x, struct kache_error *err, const char *what)
{
	return kache_fail(err, KACHE_E_IO, "index of %s: %s: %s", x->store->root, what, sqlite3_errmsg(x->db));
}

int kache_index_exec(struct kache_index *x, const char *sql, struct kache_error *err)
{
	if (sqlite3_exec(x->db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return KACHE_OK;
	return kache_index_fail(x, err, "statement");
}

sqlite3_stmt *kache_index_prepare(struct kache_index *x, const char *sql)
{
	sqlite3_stmt *q = NULL;

	return sqlite3_prepare_v2(x->db, sql, -1, &q, NULL) == SQLITE_OK ? q : NULL;
}

const char *kache_index_text(sqlite3_stmt *q, int column)
{
	const char *text = (const char *)sqlite3_column_text(q, column);

	return text ? text : "";
}

bool kache_index_hash(sqlite3_stmt *q, int column, struct kache_hash *out)
{
	if (sqlite3_column_bytes(q, column) != KACHE_HASH_LEN)
		return false;
	memcpy(out->b, sqlite3_column_blob(q, column), KACHE_HASH_LEN);
	return true;
}

static int open_db(struct kache_index *x, const char *path, struct kache_error *err)
{
	static const char pragmas[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA temp_store=MEMORY;";
	sqlite3_stmt *q;
	int version = -1;

	if (sqlite3_open_v2(path, &x->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
		return kache_index_fail(x, err, "open");
	sqlite3_busy_timeout(x->db, 5000);
	if (kache_index_exec(x, pragmas, err))
		return KACHE_E_CORRUPT;
	q = kache_index_prepare(x, "PRAGMA user_version");
	if (q && sqlite3_step(q) == SQLITE_ROW)
		version = sqlite3_column_int(q, 0);
	sqlite3_finalize(q);
	if (version > INDEX_VERSION)
		return kache_fail(err, KACHE_E_CORRUPT, "index of %s is of a newer version", x->store->root);
	if (kache_index_exec(x, schema, err) || kache_index_exec(x, SET_VERSION, err))
		return KACHE_E_CORRUPT;
	return KACHE_OK;
}

static void set_aside(const char *path)
{
	static const char *const parts[] = { "-wal", "-shm" };
	KACHE_AUTO_FREE char *aside = kache_asprintf("%s.damaged", path);

	if (rename(path, aside))
		unlink(path);
	for (size_t i = 0; i < 2; i++) {
		KACHE_AUTO_FREE char *part = kache_asprintf("%s%s", path, parts[i]);

		unlink(part);
	}
}

static int bring_up(struct kache_index *x, const char *path, struct kache_error *err)
{
	int rc = open_db(x, path, err);

	if (!rc)
		rc = kache_index_fold(x, err);
	if (!rc)
		rc = kache_index_scan(x, err);
	return rc;
}

int kache_index_open(struct kache_store *s, struct kache_index **out, bool *rebuilt, struct kache_error *err)
{
	struct kache_index *x = kache_calloc(1, sizeof *x);
	KACHE_AUTO_FREE char *path = s->readonly ? kache_strdup(":memory:") : kache_store_file(s, "index.db");
	int rc, code;

	*out = NULL;
	if (rebuilt)
		*rebuilt = false;
	x->store = s;
	rc = bring_up(x, path, err);
	code = sqlite3_errcode(x->db) & 0xff;
	if (rc && (rc == KACHE_E_CORRUPT || code == SQLITE_CORRUPT || code == SQLITE_NOTADB)) {
		sqlite3_close(x->db);
		x->db = NULL;
		set_aside(path);
		if (rebuilt)
			*rebuilt = true;
		rc = bring_up(x, path, err);
	}
	if (rc) {
		kache_index_close(x);
		return rc;
	}
	*out = x;
	return KACHE_OK;
}

void kache_index_close(struct kache_index *x)
{
	if (!x)
		return;
	sqlite3_close(x->db);
	free(x);
}
