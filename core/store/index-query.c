/* What the commands ask. */
#include "config.h"
#include "store/index-internal.h"

#include <stdlib.h>
#include <string.h>

static uint64_t number(sqlite3_stmt *q, int column)
{
	return (uint64_t)sqlite3_column_int64(q, column);
}

static int one_row(struct kache_index *x, const char *sql, uint64_t since_ms, uint64_t *const *out, int n)
{
	sqlite3_stmt *q = kache_index_prepare(x, sql);
	int rc = KACHE_E_IO;

	if (q && since_ms != UINT64_MAX)
		sqlite3_bind_int64(q, 1, (int64_t)since_ms);
	if (q && sqlite3_step(q) == SQLITE_ROW) {
		for (int i = 0; i < n; i++)
			*out[i] = number(q, i);
		rc = KACHE_OK;
	}
	sqlite3_finalize(q);
	return rc;
}

int kache_index_totals(struct kache_index *x, uint64_t since_ms, struct kache_index_totals *t)
{
	static const char events[] =
		"SELECT total(result='hit'), total(result='miss'), total(result='uncached'), total(result='passthrough'),"
		" total(result='failed'), total(result='probe-hit'), total(result='probe-miss'),"
		" total(CASE WHEN result IN ('hit','probe-hit') THEN compile_us ELSE 0 END)/1000,"
		" total(CASE WHEN result IN ('miss','uncached') THEN compile_us ELSE 0 END)/1000,"
		" total(CASE WHEN result='hit' THEN total_us ELSE 0 END), total(linked), total(copied),"
		" coalesce(min(time_ms),0) FROM events WHERE time_ms>=?";
	static const char entries[] = "SELECT count(*) FROM entries";
	static const char blobs[] = "SELECT count(*), total(size) FROM (SELECT blob, max(size) size FROM refs GROUP BY blob)";
	static const char logical[] = "SELECT total(size) FROM entries";
	uint64_t *const e[] = {
		&t->hits, &t->misses, &t->uncached, &t->passthrough, &t->failed, &t->probe_hits, &t->probe_misses,
		&t->saved_ms, &t->spent_ms, &t->hit_us, &t->linked_bytes, &t->copied_bytes, &t->first_ms
	};
	uint64_t *const n[] = { &t->entries }, *const b[] = { &t->blobs, &t->blob_bytes }, *const l[] = { &t->logical_bytes };

	*t = (struct kache_index_totals){ 0 };
	if (one_row(x, events, since_ms, e, 13) || one_row(x, entries, UINT64_MAX, n, 1) ||
	    one_row(x, blobs, UINT64_MAX, b, 2) || one_row(x, logical, UINT64_MAX, l, 1))
		return KACHE_E_IO;
	return KACHE_OK;
}

int kache_index_reasons(struct kache_index *x, uint64_t since_ms,
			int (*each)(void *, const char *, const char *, uint64_t), void *arg)
{
	sqlite3_stmt *q = kache_index_prepare(x, "SELECT result, coalesce(reason,'?'), count(*) n FROM events WHERE time_ms>=?"
					      " AND result IN ('uncached','passthrough') GROUP BY 1,2 ORDER BY n DESC, 2");

	if (!q)
		return KACHE_E_IO;
	sqlite3_bind_int64(q, 1, (int64_t)since_ms);
	while (sqlite3_step(q) == SQLITE_ROW)
		if (each(arg, kache_index_text(q, 0), kache_index_text(q, 1), number(q, 2)))
			break;
	sqlite3_finalize(q);
	return KACHE_OK;
}

/* Crate names have '_' where package names may have '-'. */
static char *crate_name(const char *name)
{
	char *copy = kache_strdup(name);

	for (char *p = copy; *p; p++)
		if (*p == '-')
			*p = '_';
	return copy;
}

int kache_index_entries(struct kache_index *x, const char *crate, enum kache_index_sort sort,
			int (*each)(void *, const struct kache_index_entry *), void *arg)
{
	static const char *const order[] = {
		"package, crate, kind, created_ms DESC", "size DESC, crate", "hits DESC, crate", "used_ms DESC, crate"
	};
	KACHE_AUTO_FREE char *name = crate ? crate_name(crate) : NULL;
	KACHE_AUTO_FREE char *sql = kache_asprintf(
		"SELECT key,crate,package,kind,target,profile,features,compiler,size,created_ms,used_ms,compile_ms,hits"
		" FROM entries WHERE kind<>'probe' AND (?1 IS NULL OR crate=?1 OR package=?1) ORDER BY %s", order[sort]);
	sqlite3_stmt *q = kache_index_prepare(x, sql);

	if (!q)
		return KACHE_E_IO;
	if (name)
		sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
	while (sqlite3_step(q) == SQLITE_ROW) {
		struct kache_index_entry e = {
			.crate = kache_index_text(q, 1), .package = kache_index_text(q, 2), .kind = kache_index_text(q, 3),
			.target = kache_index_text(q, 4), .profile = kache_index_text(q, 5), .features = kache_index_text(q, 6),
			.compiler = kache_index_text(q, 7), .size = number(q, 8), .created_ms = number(q, 9),
			.used_ms = number(q, 10), .compile_ms = number(q, 11), .hits = number(q, 12),
		};

		if (!kache_index_hash(q, 0, &e.key) || each(arg, &e))
			break;
	}
	sqlite3_finalize(q);
	return KACHE_OK;
}

int kache_index_misses(struct kache_index *x, const char *crate,
		       int (*each)(void *, const struct kache_index_event *), void *arg)
{
	KACHE_AUTO_FREE char *name = crate_name(crate);
	sqlite3_stmt *q = kache_index_prepare(
		x, "SELECT result,reason,detail,crate,package,kind,root,key,invocation,time_ms,total_us,compile_us FROM events"
		   " WHERE (crate=?1 OR package=?1) AND result IN ('miss','uncached','passthrough','failed')"
		   " ORDER BY time_ms DESC, rowid DESC");

	if (!q)
		return KACHE_E_IO;
	sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
	while (sqlite3_step(q) == SQLITE_ROW) {
		struct kache_index_event e = {
			.result = kache_index_text(q, 0), .reason = kache_index_text(q, 1), .detail = kache_index_text(q, 2),
			.crate = kache_index_text(q, 3), .package = kache_index_text(q, 4), .kind = kache_index_text(q, 5),
			.root = kache_index_text(q, 6), .time_ms = number(q, 9), .total_us = number(q, 10),
			.compile_us = number(q, 11),
		};

		e.has_key = kache_index_hash(q, 7, &e.key);
		e.has_invocation = kache_index_hash(q, 8, &e.invocation);
		if (each(arg, &e))
			break;
	}
	sqlite3_finalize(q);
	return KACHE_OK;
}

int kache_index_invocations(struct kache_index *x, const char *crate, const char *kind,
			    int (*each)(void *, const struct kache_hash *), void *arg)
{
	sqlite3_stmt *q = kache_index_prepare(x, "SELECT invocation FROM entries WHERE crate=?1 AND kind=?2 ORDER BY created_ms DESC");
	struct kache_hash h;

	if (!q)
		return KACHE_E_IO;
	sqlite3_bind_text(q, 1, crate, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 2, kind, -1, SQLITE_STATIC);
	while (sqlite3_step(q) == SQLITE_ROW)
		if (kache_index_hash(q, 0, &h) && each(arg, &h))
			break;
	sqlite3_finalize(q);
	return KACHE_OK;
}

uint64_t kache_index_used(struct kache_index *x, const struct kache_hash *key)
{
	sqlite3_stmt *q = kache_index_prepare(x, "SELECT max(used_ms, created_ms) FROM entries WHERE key=?");
	uint64_t used = 0;

	if (!q)
		return 0;
	sqlite3_bind_blob(q, 1, key->b, KACHE_HASH_LEN, SQLITE_STATIC);
	if (sqlite3_step(q) == SQLITE_ROW)
		used = number(q, 0);
	sqlite3_finalize(q);
	return used;
}
