/* Opening index.db: schema, damage, and the lock of whoever brings it up to date. */
#include "config.h"
#include "store/index-internal.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { BUSY_MS = 5000, LOCK_TRIES = 40, LOCK_WAIT_US = 25000 };

/* A database of another layout is made anew: the files of the store are all it takes. */
enum { SCHEMA = 3 };
/* files: what is on disk, by kind. sums: number and bytes of the files of a kind, and of the outputs of all entries, kept with
 * the rows themselves: nobody counts a million rows. shards: modification time of a directory when it was read. usage: of every
 * entry, also of those that are not known yet. totals: sums of all events, those too that were pruned. folded: how far which
 * log was read. state: kache_index_state. */
static const char schema[] =
	"DROP TABLE IF EXISTS files; DROP TABLE IF EXISTS shards; DROP TABLE IF EXISTS entries; DROP TABLE IF EXISTS refs;"
	"DROP TABLE IF EXISTS usage; DROP TABLE IF EXISTS events; DROP TABLE IF EXISTS totals; DROP TABLE IF EXISTS folded;"
	"DROP TABLE IF EXISTS sums; DROP TABLE IF EXISTS state;"
	"CREATE TABLE files(kind INTEGER, hash BLOB, size INTEGER, mtime INTEGER, ino INTEGER,"
	" PRIMARY KEY(kind, hash)) WITHOUT ROWID;"
	"CREATE TABLE sums(kind INTEGER PRIMARY KEY, n INTEGER, bytes INTEGER);"
	"INSERT INTO sums VALUES(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0);"
	"CREATE TABLE state(name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;"
	"CREATE TABLE shards(kind INTEGER, shard INTEGER, mtime INTEGER, PRIMARY KEY(kind, shard)) WITHOUT ROWID;"
	"CREATE TABLE entries(id INTEGER PRIMARY KEY, key BLOB UNIQUE, invocation BLOB, crate TEXT, package TEXT, kind TEXT,"
	" target TEXT, profile TEXT, features TEXT, compiler TEXT, created_ms INTEGER, compile_ms INTEGER, size INTEGER);"
	"CREATE INDEX entries_crate ON entries(crate);"
	"CREATE INDEX entries_package ON entries(package);"
	"CREATE TABLE usage(key BLOB PRIMARY KEY, used_ms INTEGER, hits INTEGER) WITHOUT ROWID;"
	"CREATE INDEX usage_used ON usage(used_ms);"
	"CREATE TABLE events(id INTEGER PRIMARY KEY, time_ms INTEGER, result TEXT, reason TEXT, detail TEXT, crate TEXT,"
	" package TEXT, kind TEXT, target TEXT, profile TEXT, root TEXT, key BLOB, invocation BLOB, total_us INTEGER,"
	" compile_us INTEGER, bytes INTEGER, linked_bytes INTEGER, copied_bytes INTEGER, exit_code INTEGER);"
	"CREATE INDEX events_time ON events(time_ms);"
	"CREATE INDEX events_crate ON events(crate);"
	"CREATE INDEX events_package ON events(package);"
	"CREATE TABLE totals(result TEXT, reason TEXT, n INTEGER, compile_us INTEGER, total_us INTEGER,"
	" linked_bytes INTEGER, copied_bytes INTEGER, first_ms INTEGER, PRIMARY KEY(result, reason)) WITHOUT ROWID;"
	"CREATE TABLE folded(ino INTEGER, btime INTEGER, name TEXT, at INTEGER, PRIMARY KEY(ino, btime)) WITHOUT ROWID;"
	"PRAGMA user_version = 3;";

bool kache_index_damaged(int code)
{
	return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

int kache_index_fail(struct kache_index *ix, struct kache_error *err)
{
	int code = ix->db ? sqlite3_errcode(ix->db) : SQLITE_NOMEM;
	const char *text = ix->db ? sqlite3_errmsg(ix->db) : "out of memory";
	int rc = kache_index_damaged(code) ? KACHE_E_CORRUPT : code == SQLITE_BUSY ? KACHE_E_BUSY : KACHE_E_IO;

	return kache_fail(err, rc, "%s/index.db: %s", ix->store->root, text);
}

sqlite3_stmt *kache_index_prepare(struct kache_index *ix, const char *sql)
{
	sqlite3_stmt *st = NULL;

	return sqlite3_prepare_v2(ix->db, sql, -1, &st, NULL) == SQLITE_OK ? st : NULL;
}

void kache_index_finalize(sqlite3_stmt **st)
{
	sqlite3_finalize(*st);
}

int kache_index_exec(struct kache_index *ix, const char *sql)
{
	return sqlite3_exec(ix->db, sql, NULL, NULL, NULL);
}

int64_t kache_index_number(struct kache_index *ix, const char *sql)
{
	KACHE_AUTO_STMT sqlite3_stmt *st = kache_index_prepare(ix, sql);

	return st && sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
}

int64_t kache_index_state(struct kache_index *ix, const char *name)
{
	KACHE_AUTO_STMT sqlite3_stmt *st = kache_index_prepare(ix, "SELECT value FROM state WHERE name=?1");

	if (st)
		kache_index_bind_text(st, 1, name);
	return st && sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
}

int kache_index_set_state(struct kache_index *ix, const char *name, int64_t value)
{
	KACHE_AUTO_STMT sqlite3_stmt *st = kache_index_prepare(ix, "INSERT OR REPLACE INTO state VALUES(?1, ?2)");

	if (!st)
		return SQLITE_ERROR;
	kache_index_bind_text(st, 1, name);
	sqlite3_bind_int64(st, 2, value);
	return sqlite3_step(st) == SQLITE_DONE ? SQLITE_OK : SQLITE_ERROR;
}

void kache_index_bind_text(sqlite3_stmt *st, int at, const char *s)
{
	sqlite3_bind_text(st, at, s ? s : "", -1, SQLITE_TRANSIENT);
}

void kache_index_bind_hash(sqlite3_stmt *st, int at, const struct kache_hash *h)
{
	sqlite3_bind_blob(st, at, h->b, KACHE_HASH_LEN, SQLITE_TRANSIENT);
}

void kache_index_bind_u64(sqlite3_stmt *st, int at, uint64_t v)
{
	sqlite3_bind_int64(st, at, v > INT64_MAX ? INT64_MAX : (int64_t)v);
}

const char *kache_index_text(sqlite3_stmt *st, int at)
{
	const unsigned char *s = sqlite3_column_text(st, at);

	return s ? (const char *)s : "";
}

uint64_t kache_index_u64(sqlite3_stmt *st, int at)
{
	int64_t v = sqlite3_column_int64(st, at);

	return v < 0 ? 0 : (uint64_t)v;
}

bool kache_index_hash(sqlite3_stmt *st, int at, struct kache_hash *out)
{
	const void *p = sqlite3_column_blob(st, at);

	if (!p || sqlite3_column_bytes(st, at) != KACHE_HASH_LEN)
		return false;
	memcpy(out->b, p, KACHE_HASH_LEN);
	return true;
}

static int try_lock(struct kache_store *s)
{
	KACHE_AUTO_FREE char *path = kache_store_file(s, "events/fold.lock");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

	for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return fd;
		if (errno != EWOULDBLOCK && errno != EINTR)
			break;
		usleep(LOCK_WAIT_US);
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Brings the tables into being; SQLITE_OK, or KACHE_E_VERSION for those of a newer kache. */
static int migrate(struct kache_index *ix)
{
	int code = kache_index_exec(ix, "BEGIN IMMEDIATE");
	int64_t version;

	if (code)
		return code;
	version = kache_index_number(ix, "PRAGMA user_version");
	if (version < SCHEMA)
		code = kache_index_exec(ix, schema);
	if (!code)
		code = kache_index_exec(ix, "COMMIT");
	if (code)
		kache_index_exec(ix, "ROLLBACK");
	return code ? code : version > SCHEMA ? KACHE_E_VERSION : SQLITE_OK;
}

/* SQLITE_OK, a code of SQLite, or KACHE_E_VERSION. */
static int open_file(struct kache_index *ix)
{
	KACHE_AUTO_FREE char *path = kache_store_file(ix->store, "index.db");
	int code = sqlite3_open_v2(path, &ix->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	int64_t version;

	if (code)
		return code;
	sqlite3_busy_timeout(ix->db, BUSY_MS);
	/* Whether the switch to WAL works is a matter of speed, so only damage counts here. NORMAL: in WAL
	 * mode a power cut may cost the last commits, never the database. */
	code = kache_index_exec(ix, "PRAGMA journal_mode=WAL");
	if (kache_index_damaged(code))
		return code;
	code = kache_index_exec(ix, "PRAGMA synchronous=NORMAL; SELECT count(*) FROM sqlite_master");
	if (code)
		return code;
	version = kache_index_number(ix, "PRAGMA user_version");
	return version == SCHEMA ? SQLITE_OK : migrate(ix);
}

static void drop_db(struct kache_index *ix)
{
	sqlite3_finalize(ix->used);
	ix->used = NULL;
	sqlite3_close_v2(ix->db);
	ix->db = NULL;
}

bool kache_index_sound(struct kache_index *ix)
{
	KACHE_AUTO_STMT sqlite3_stmt *st = kache_index_prepare(ix, "PRAGMA quick_check(1)");

	return st && sqlite3_step(st) == SQLITE_ROW && !strcmp(kache_index_text(st, 0), "ok");
}

/* A store without write access may still have an index: a copy of it is where we start. */
static void copy_existing(struct kache_index *ix)
{
	/* sqlite.org/uri.html: immutable, since neither WAL nor locks can be had here. */
	KACHE_AUTO_BUF struct kache_buf uri = KACHE_BUF_INIT;
	sqlite3 *from = NULL;
	sqlite3_backup *copy;

	kache_buf_str(&uri, "file:");
	for (const char *p = ix->store->root; *p; p++) {
		if (*p == '%' || *p == '?' || *p == '#')
			kache_buf_fmt(&uri, "%%%02x", (unsigned char)*p);
		else
			kache_buf_ch(&uri, *p);
	}
	kache_buf_str(&uri, "/index.db?immutable=1");
	if (!sqlite3_open_v2(uri.data, &from, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) &&
	    (copy = sqlite3_backup_init(ix->db, "main", from, "main"))) {
		sqlite3_backup_step(copy, -1);
		sqlite3_backup_finish(copy);
	}
	sqlite3_close_v2(from);
}

static int open_memory(struct kache_index *ix, struct kache_error *err)
{
	ix->memory = true;
	for (int attempt = 0; attempt < 2; attempt++) {
		if (sqlite3_open_v2(":memory:", &ix->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL))
			break;
		if (!attempt)
			copy_existing(ix);
		if (!migrate(ix) && kache_index_sound(ix))
			return KACHE_OK;
		drop_db(ix);	/* the copy was of no use: start from nothing */
	}
	return kache_index_fail(ix, err);
}

/* Moves a damaged database out of the way, unless somebody has just done so. */
static void quarantine(struct kache_index *ix)
{
	KACHE_AUTO_FREE char *path = kache_store_file(ix->store, "index.db");
	KACHE_AUTO_FREE char *aside = kache_store_file(ix->store, "index.db.damaged");
	KACHE_AUTO_FREE char *wal = kache_store_file(ix->store, "index.db-wal");
	KACHE_AUTO_FREE char *shm = kache_store_file(ix->store, "index.db-shm");
	KACHE_AUTO_FD int lock = try_lock(ix->store);
	int code = open_file(ix);
	bool still = kache_index_damaged(code) || (!code && !kache_index_sound(ix));

	drop_db(ix);
	if (lock < 0 || !still)
		return;
	if (rename(path, aside) && errno != ENOENT)
		return;
	unlink(wal);
	unlink(shm);
	ix->rebuilt = true;
	kache_warn("%s was damaged; it is moved to %s and made again from the store", path, aside);
}

static int open_any(struct kache_index *ix, struct kache_error *err)
{
	int code;

	if (ix->store->readonly)
		return open_memory(ix, err);
	for (int attempt = 0; attempt < 2; attempt++) {
		code = open_file(ix);
		if (!code)
			return KACHE_OK;
		if (!kache_index_damaged(code))
			break;
		drop_db(ix);
		quarantine(ix);
	}
	if (code == KACHE_E_VERSION)
		kache_warn("%s/index.db is of a newer kache and is left alone", ix->store->root);
	else
		kache_warn("%s/index.db can't be used: %s", ix->store->root, ix->db ? sqlite3_errmsg(ix->db) : sqlite3_errstr(code));
	drop_db(ix);
	return open_memory(ix, err);
}

/* Where somebody else is at it for longer than a moment, what is folded so far serves. */
static int update(struct kache_index *ix, struct kache_error *err)
{
	KACHE_AUTO_FD int lock = ix->memory ? -1 : try_lock(ix->store);
	int rc;

	if (lock < 0 && !ix->memory)
		return KACHE_OK;
	rc = kache_index_fold(ix, err);
	if (!rc)
		rc = kache_index_scan(ix, err);
	ix->current = !rc;
	return rc;
}

static int open_and_update(struct kache_index *ix, struct kache_error *err)
{
	int rc = open_any(ix, err);

	if (!rc)
		rc = update(ix, err);
	if (rc != KACHE_E_CORRUPT || ix->memory)
		return rc;
	/* Damage that only shows when tables are read. */
	drop_db(ix);
	quarantine(ix);
	rc = open_any(ix, err);
	return rc ? rc : update(ix, err);
}

int kache_index_open(struct kache_store *s, struct kache_index **out, bool *rebuilt, struct kache_error *err)
{
	struct kache_index *ix = kache_calloc(1, sizeof *ix);
	int rc;

	*out = NULL;
	ix->store = s;
	rc = open_and_update(ix, err);
	if (rebuilt)
		*rebuilt = ix->rebuilt;
	if (rc)
		kache_index_close(ix);
	else
		*out = ix;
	return rc;
}

bool kache_index_current(const struct kache_index *ix)
{
	return ix->current;
}

void kache_index_close(struct kache_index *ix)
{
	if (!ix)
		return;
	drop_db(ix);
	free(ix);
}
