/* What the commands ask. */
#include "config.h"
#include "store/index-internal.h"

#include <stdlib.h>
#include <string.h>

static uint64_t number(sqlite3_stmt *q, int column)
{
	return (uint64_t)sqlite3_column_int64(q, column);
}

/* A loop over rows that was left for any other reason than their end, or the caller's wish, has failed. */
static int ended(int code)
{
	return code == SQLITE_DONE || code == SQLITE_ROW ? KACHE_OK : KACHE_E_IO;
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
		"SELECT total(n*(result='hit')), total(n*(result='miss')), total(n*(result='uncached')),"
		" total(n*(result='passthrough')), total(n*(result='failed')), total(n*(result='probe-hit')),"
		" total(n*(result='probe-miss')), total(compile_us*(result IN ('hit','probe-hit')))/1000,"
		" total(compile_us*(result IN ('miss','uncached')))/1000, total(total_us*(result='hit')), total(linked_bytes),"
		" total(copied_bytes), coalesce(min(first_ms),0) FROM %s";
	static const char since[] =
		"(SELECT result, count(*) AS n, sum(compile_us) AS compile_us, sum(total_us) AS total_us,"
		" sum(linked_bytes) AS linked_bytes, sum(copied_bytes) AS copied_bytes, min(time_ms) AS first_ms FROM events"
		" WHERE time_ms>=?1 GROUP BY result)";
	static const char sums[] =
		"SELECT max(n*(kind=3)), max(bytes*(kind=3)), max(n*(kind=2)), max(bytes*(kind=2)), sum(bytes*(kind<3))"
		" FROM sums";
	KACHE_AUTO_FREE char *sql = kache_asprintf(events, since_ms ? since : "totals");
	uint64_t *const e[] = {
		&t->hits, &t->misses, &t->uncached, &t->passthrough, &t->failed, &t->probe_hits, &t->probe_misses,
		&t->saved_ms, &t->spent_ms, &t->hit_us, &t->linked_bytes, &t->copied_bytes, &t->first_ms
	};
	uint64_t *const n[] = { &t->entries, &t->logical_bytes, &t->blobs, &t->blob_bytes, &t->file_bytes };

	*t = (struct kache_index_totals){ 0 };
	if (one_row(x, sql, since_ms ? since_ms : UINT64_MAX, e, 13) || one_row(x, sums, UINT64_MAX, n, 5))
		return KACHE_E_IO;
	return KACHE_OK;
}

int kache_index_reasons(struct kache_index *x, uint64_t since_ms,
			int (*each)(void *, const char *, const char *, uint64_t), void *arg)
{
	static const char since[] =
		"(SELECT result, reason, count(*) AS n FROM events WHERE time_ms>=?1 AND result IN ('uncached','passthrough')"
		" GROUP BY 1, 2)";
	KACHE_AUTO_FREE char *sql = kache_asprintf(
		"SELECT result, CASE reason WHEN '' THEN '?' ELSE reason END r, sum(n) FROM %s"
		" WHERE result IN ('uncached','passthrough') GROUP BY 1, 2 ORDER BY 3 DESC, 2", since_ms ? since : "totals");
	sqlite3_stmt *q = kache_index_prepare(x, sql);
	int code;

	if (!q)
		return KACHE_E_IO;
	if (since_ms)
		sqlite3_bind_int64(q, 1, (int64_t)since_ms);
	while ((code = sqlite3_step(q)) == SQLITE_ROW)
		if (each(arg, kache_index_text(q, 0), kache_index_text(q, 1), number(q, 2)))
			break;
	sqlite3_finalize(q);
	return ended(code);
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
		"package, crate, kind, created_ms DESC", "size DESC, crate", "hits DESC, crate", "used DESC, crate"
	};
	KACHE_AUTO_FREE char *name = crate ? crate_name(crate) : NULL;
	KACHE_AUTO_FREE char *sql = kache_asprintf(
		"SELECT e.key,crate,package,kind,target,profile,features,compiler,size,created_ms,"
		"max(created_ms,ifnull(u.used_ms,0)) AS used,compile_ms,ifnull(u.hits,0) AS hits FROM entries e"
		" LEFT JOIN usage u ON u.key=e.key WHERE kind<>'probe' AND (?1 IS NULL OR crate=?1 OR package=?1) ORDER BY %s",
		order[sort]);
	sqlite3_stmt *q = kache_index_prepare(x, sql);
	int code;

	if (!q)
		return KACHE_E_IO;
	if (name)
		sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
	while ((code = sqlite3_step(q)) == SQLITE_ROW) {
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
	return ended(code);
}

int kache_index_misses(struct kache_index *x, const char *crate,
		       int (*each)(void *, const struct kache_index_event *), void *arg)
{
	KACHE_AUTO_FREE char *name = crate_name(crate);
	sqlite3_stmt *q = kache_index_prepare(
		x, "SELECT result,reason,detail,crate,package,kind,root,key,invocation,time_ms,total_us,compile_us FROM events"
		   " WHERE (crate=?1 OR package=?1) AND kind<>'probe' AND result IN ('miss','uncached','passthrough','failed')"
		   " ORDER BY time_ms DESC, id DESC");
	int code;

	if (!q)
		return KACHE_E_IO;
	sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
	while ((code = sqlite3_step(q)) == SQLITE_ROW) {
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
	return ended(code);
}

int kache_index_invocations(struct kache_index *x, const char *crate, const char *kind,
			    int (*each)(void *, const struct kache_hash *), void *arg)
{
	sqlite3_stmt *q = kache_index_prepare(x, "SELECT invocation FROM entries WHERE crate=?1 AND kind=?2"
						" GROUP BY invocation ORDER BY max(created_ms) DESC");
	struct kache_hash h;
	int code;

	if (!q)
		return KACHE_E_IO;
	sqlite3_bind_text(q, 1, crate, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 2, kind, -1, SQLITE_STATIC);
	while ((code = sqlite3_step(q)) == SQLITE_ROW)
		if (kache_index_hash(q, 0, &h) && each(arg, &h))
			break;
	sqlite3_finalize(q);
	return ended(code);
}

uint64_t kache_index_used(struct kache_index *x, const struct kache_hash *key)
{
	uint64_t used = 0;

	if (!x->used)
		x->used = kache_index_prepare(x, "SELECT used_ms FROM usage WHERE key=?");
	if (!x->used)
		return 0;
	sqlite3_bind_blob(x->used, 1, key->b, KACHE_HASH_LEN, SQLITE_STATIC);
	if (sqlite3_step(x->used) == SQLITE_ROW)
		used = number(x->used, 0);
	sqlite3_reset(x->used);
	return used;
}

uint64_t kache_index_oldest(struct kache_index *x)
{
	/* CROSS: from the least recent use on, of which few are of entries that are gone. */
	return (uint64_t)kache_index_number(x, "SELECT u.used_ms FROM usage u CROSS JOIN entries e ON e.key=u.key"
					       " ORDER BY u.used_ms LIMIT 1");
}

uint64_t kache_index_swept(struct kache_index *x)
{
	return (uint64_t)kache_index_state(x, "swept");
}

void kache_index_set_swept(struct kache_index *x, uint64_t time_ms)
{
	(void)kache_index_set_state(x, "swept", (int64_t)time_ms);
}

int kache_index_packages(struct kache_index *x, int (*each)(void *, const char *), void *arg)
{
	/* From one name to the next by the index on them: as many steps as packages, not as entries. */
	sqlite3_stmt *q = kache_index_prepare(
		x, "WITH RECURSIVE p(name) AS (SELECT min(package) FROM entries UNION ALL"
		   " SELECT (SELECT min(package) FROM entries WHERE package>p.name) FROM p WHERE p.name IS NOT NULL)"
		   " SELECT name FROM p WHERE name IS NOT NULL");
	int code;

	if (!q)
		return KACHE_E_IO;
	while ((code = sqlite3_step(q)) == SQLITE_ROW)
		if (each(arg, kache_index_text(q, 0)))
			break;
	sqlite3_finalize(q);
	return ended(code);
}

int kache_index_of_package(struct kache_index *x, const char *package,
			   int (*each)(void *, const struct kache_hash *, const struct kache_hash *, uint64_t), void *arg)
{
	sqlite3_stmt *q = kache_index_prepare(x, "SELECT key, invocation, size FROM entries WHERE package=?1 AND kind NOT IN ('"
						KACHE_KIND_SCRIPT_RUN "', '" KACHE_KIND_EDITED "') ORDER BY key");
	struct kache_hash key, invocation;
	int code;

	if (!q)
		return KACHE_E_IO;
	sqlite3_bind_text(q, 1, package, -1, SQLITE_STATIC);
	while ((code = sqlite3_step(q)) == SQLITE_ROW)
		if (kache_index_hash(q, 0, &key) && kache_index_hash(q, 1, &invocation) &&
		    each(arg, &key, &invocation, number(q, 2)))
			break;
	sqlite3_finalize(q);
	return ended(code);
}
