/* Entry files into rows: new ones are read, vanished ones dropped. */
#include "config.h"
#include "store/index-internal.h"

#include <stdlib.h>
#include <string.h>

struct scan {
	struct kache_index *x;
	sqlite3_stmt *known, *entry, *ref;
	int rc;
};

static void put_text(sqlite3_stmt *q, int at, const char *s)
{
	sqlite3_bind_text(q, at, s, -1, SQLITE_TRANSIENT);
}

static int add_refs(struct scan *s, const struct kache_entry *e)
{
	for (size_t i = 0; i < e->n_outputs; i++) {
		if (e->outputs[i].role == KACHE_ROLE_DEPINFO)
			continue;
		sqlite3_reset(s->ref);
		sqlite3_bind_blob(s->ref, 1, e->key.b, KACHE_HASH_LEN, SQLITE_TRANSIENT);
		sqlite3_bind_blob(s->ref, 2, e->outputs[i].blob.b, KACHE_HASH_LEN, SQLITE_TRANSIENT);
		sqlite3_bind_int64(s->ref, 3, (int64_t)e->outputs[i].size);
		if (sqlite3_step(s->ref) != SQLITE_DONE)
			return KACHE_E_IO;
	}
	return KACHE_OK;
}

static int add_entry(struct scan *s, const struct kache_entry *e)
{
	const char *texts[] = { e->crate, e->package, e->kind, e->target, e->profile, e->features, e->compiler };

	sqlite3_reset(s->entry);
	sqlite3_bind_blob(s->entry, 1, e->key.b, KACHE_HASH_LEN, SQLITE_TRANSIENT);
	sqlite3_bind_blob(s->entry, 2, e->invocation.b, KACHE_HASH_LEN, SQLITE_TRANSIENT);
	for (int i = 0; i < 7; i++)
		put_text(s->entry, i + 3, texts[i]);
	sqlite3_bind_int64(s->entry, 10, (int64_t)kache_entry_size(e));
	sqlite3_bind_int64(s->entry, 11, (int64_t)e->created_ms);
	sqlite3_bind_int64(s->entry, 12, (int64_t)e->compile_ms);
	return sqlite3_step(s->entry) == SQLITE_DONE ? add_refs(s, e) : KACHE_E_IO;
}

static int see(void *arg, const struct kache_hash *h, const char *path, const struct kache_stat *st)
{
	struct scan *s = arg;
	struct kache_entry e;

	(void)path;
	(void)st;
	sqlite3_reset(s->known);
	sqlite3_bind_blob(s->known, 1, h->b, KACHE_HASH_LEN, SQLITE_TRANSIENT);
	if (sqlite3_step(s->known) != SQLITE_DONE)
		return s->rc = KACHE_E_IO;
	if (sqlite3_changes(s->x->db) || kache_entry_get(s->x->store, h, &e))
		return 0;
	s->rc = add_entry(s, &e);
	kache_entry_release(&e);
	return s->rc;
}

int kache_index_scan(struct kache_index *x, struct kache_error *err)
{
	/* A counter that tells this scan's entries from those that only earlier scans saw. */
	static const char begin[] = "BEGIN IMMEDIATE; UPDATE entries SET seen=0;";
	static const char end[] =
		"DELETE FROM refs WHERE entry IN (SELECT key FROM entries WHERE seen=0);"
		"DELETE FROM entries WHERE seen=0;"
		"UPDATE entries SET hits=(SELECT count(*) FROM events v WHERE v.key=entries.key AND v.result IN ('hit','probe-hit')),"
		" used_ms=max(used_ms, created_ms, coalesce((SELECT max(time_ms) FROM events v WHERE v.key=entries.key),0))"
		" WHERE seen=2;"
		"COMMIT;";
	struct scan s = { .x = x };

	if (kache_index_exec(x, begin, err))
		return KACHE_E_IO;
	s.known = kache_index_prepare(x, "UPDATE entries SET seen=1 WHERE key=?");
	s.entry = kache_index_prepare(x, "INSERT OR REPLACE INTO entries(key,invocation,crate,package,kind,target,profile,"
				      "features,compiler,size,created_ms,compile_ms,seen) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,2)");
	s.ref = kache_index_prepare(x, "INSERT OR REPLACE INTO refs VALUES(?,?,?)");
	if (!s.known || !s.entry || !s.ref)
		s.rc = KACHE_E_IO;
	else
		kache_store_walk(x->store, "entries", see, &s);
	sqlite3_finalize(s.known);
	sqlite3_finalize(s.entry);
	sqlite3_finalize(s.ref);
	if (s.rc) {
		kache_index_fail(x, err, "entries");
		sqlite3_exec(x->db, "ROLLBACK", NULL, NULL, NULL);
		return s.rc;
	}
	return kache_index_exec(x, end, err);
}
