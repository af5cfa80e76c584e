/* One object of the store to its rows, and the sums over them. For both halves of an update: events name what is new, the scan
 * of directories finds the rest. */
#include "config.h"
#include "store/index-internal.h"

#include "store/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const kache_index_kinds[KACHE_INDEX_KINDS] = { "entries", "manifests", "blobs" };

static void step(struct kache_taker *t, sqlite3_stmt *st)
{
	if (sqlite3_step(st) != SQLITE_DONE)
		t->failed = true;
	sqlite3_reset(st);
	t->changes++;
}

static void count(struct kache_taker *t, int kind, int64_t n, int64_t bytes)
{
	t->sums[kind].n += n;
	t->sums[kind].bytes += bytes;
}

static void forget_entry(struct kache_taker *t, const struct kache_hash *key)
{
	sqlite3_int64 id = 0;
	int code;

	kache_index_bind_hash(t->find_entry, 1, key);
	code = sqlite3_step(t->find_entry);
	if (code == SQLITE_ROW) {
		id = sqlite3_column_int64(t->find_entry, 0);
		count(t, KACHE_INDEX_LOGICAL, -1, -sqlite3_column_int64(t->find_entry, 1));
	}
	t->failed |= code != SQLITE_ROW && code != SQLITE_DONE;
	sqlite3_reset(t->find_entry);
	if (code != SQLITE_ROW)
		return;
	sqlite3_bind_int64(t->drop_entry, 1, id);
	step(t, t->drop_entry);
}

static void put_entry(struct kache_taker *t, const struct kache_entry *e, int64_t mtime)
{
	const char *texts[] = { e->crate, e->package, e->kind, e->target, e->profile, e->features, e->compiler };
	uint64_t size = kache_entry_size(e);
	int at = 1;

	kache_index_bind_hash(t->put_entry, at++, &e->key);
	kache_index_bind_hash(t->put_entry, at++, &e->invocation);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		kache_index_bind_text(t->put_entry, at++, texts[i]);
	kache_index_bind_u64(t->put_entry, at++, e->created_ms);
	kache_index_bind_u64(t->put_entry, at++, e->compile_ms);
	kache_index_bind_u64(t->put_entry, at, size);
	step(t, t->put_entry);
	count(t, KACHE_INDEX_LOGICAL, 1, size > INT64_MAX ? INT64_MAX : (int64_t)size);
	/* That it came here is its first use, as gc sees it too. */
	kache_index_bind_hash(t->put_usage, 1, &e->key);
	kache_index_bind_u64(t->put_usage, 2, mtime > 0 ? (uint64_t)mtime / 1000000 : 0);
	step(t, t->put_usage);
}

static bool load_entry(struct kache_taker *t, const struct kache_hash *key, struct kache_entry *e)
{
	KACHE_AUTO_FREE char *path = kache_store_path(t->ix->store, "entries", key);
	const struct kache_scan_item item = { .what = KACHE_SCAN_OBJECT, .path = path, .hash = *key };

	return !kache_scan_entry(&item, e);
}

static void put_file(struct kache_taker *t, int kind, const struct kache_index_file *f, const struct kache_index_file *before)
{
	sqlite3_bind_int(t->put_file, 1, kind);
	kache_index_bind_hash(t->put_file, 2, &f->hash);
	kache_index_bind_u64(t->put_file, 3, f->size);
	sqlite3_bind_int64(t->put_file, 4, f->mtime);
	sqlite3_bind_int64(t->put_file, 5, (sqlite3_int64)f->ino);
	step(t, t->put_file);
	count(t, kind, before ? 0 : 1, (int64_t)f->size - (before ? (int64_t)before->size : 0));
}

/* Damaged entries are in no list; verify is what speaks of them. Without an inode they are looked at again by the next scan. */
static bool take_entry(struct kache_taker *t, const struct kache_index_file *file, const struct kache_index_file *before,
		       struct kache_entry *e)
{
	struct kache_index_file f = *file;
	bool good = load_entry(t, &f.hash, e);

	forget_entry(t, &f.hash);
	if (good)
		put_entry(t, e, f.mtime);
	else
		f.ino = 0;
	put_file(t, KACHE_INDEX_ENTRIES, &f, before);
	return good;
}

void kache_taker_put(struct kache_taker *t, int kind, const struct kache_index_file *file, const struct kache_index_file *before)
{
	struct kache_entry e;

	if (kind != KACHE_INDEX_ENTRIES)
		put_file(t, kind, file, before);
	else if (take_entry(t, file, before, &e))
		kache_entry_release(&e);
}

void kache_taker_drop(struct kache_taker *t, int kind, const struct kache_index_file *before)
{
	sqlite3_bind_int(t->drop_file, 1, kind);
	kache_index_bind_hash(t->drop_file, 2, &before->hash);
	step(t, t->drop_file);
	count(t, kind, -1, -(int64_t)before->size);
	if (kind != KACHE_INDEX_ENTRIES)
		return;
	forget_entry(t, &before->hash);
	kache_index_bind_hash(t->drop_usage, 1, &before->hash);
	step(t, t->drop_usage);
}

static bool known(struct kache_taker *t, int kind, const struct kache_hash *h, struct kache_index_file *out)
{
	int code;

	sqlite3_bind_int(t->find_file, 1, kind);
	kache_index_bind_hash(t->find_file, 2, h);
	code = sqlite3_step(t->find_file);
	if (code == SQLITE_ROW)
		*out = (struct kache_index_file){ .hash = *h, .size = kache_index_u64(t->find_file, 0),
						  .mtime = sqlite3_column_int64(t->find_file, 1),
						  .ino = (uint64_t)sqlite3_column_int64(t->find_file, 2) };
	t->failed |= code != SQLITE_ROW && code != SQLITE_DONE;
	sqlite3_reset(t->find_file);
	return code == SQLITE_ROW;
}

/* True if the object is there and is not as it was known; else its rows are right already. */
static bool changed(struct kache_taker *t, int kind, const struct kache_hash *h, const struct kache_index_file *before,
		    struct kache_index_file *now)
{
	KACHE_AUTO_FREE char *path = kache_store_path(t->ix->store, kache_index_kinds[kind], h);
	struct kache_stat st;

	if (kache_stat(path, false, &st)) {
		if (before && errno == ENOENT)
			kache_taker_drop(t, kind, before);
		return false;
	}
	*now = (struct kache_index_file){ .hash = *h, .size = st.size, .ino = st.ino, .mtime = st.mtime };
	return S_ISREG(st.mode) && !(before && before->size == st.size && before->ino == st.ino && before->mtime == st.mtime);
}

static void take(struct kache_taker *t, int kind, const struct kache_hash *h)
{
	struct kache_index_file before, now;
	bool had = known(t, kind, h, &before);

	/* What a blob is, it stays. */
	if ((kind != KACHE_INDEX_BLOBS || !had) && changed(t, kind, h, had ? &before : NULL, &now))
		put_file(t, kind, &now, had ? &before : NULL);
}

void kache_taker_entry(struct kache_taker *t, const struct kache_hash *key, const struct kache_hash *invocation, bool again)
{
	struct kache_index_file before, now;
	bool had = known(t, KACHE_INDEX_ENTRIES, key, &before);
	struct kache_entry e;

	if (had && !again)
		return;
	if (invocation)
		take(t, KACHE_INDEX_MANIFESTS, invocation);
	if (!changed(t, KACHE_INDEX_ENTRIES, key, had ? &before : NULL, &now) ||
	    !take_entry(t, &now, had ? &before : NULL, &e))
		return;
	for (size_t i = 0; i < e.n_outputs; i++)
		if (!e.outputs[i].inline_data)
			take(t, KACHE_INDEX_BLOBS, &e.outputs[i].blob);
	kache_entry_release(&e);
}

void kache_taker_flush(struct kache_taker *t)
{
	for (int kind = 0; kind <= KACHE_INDEX_LOGICAL; kind++) {
		if (!t->sums[kind].n && !t->sums[kind].bytes)
			continue;
		sqlite3_bind_int(t->add, 1, kind);
		sqlite3_bind_int64(t->add, 2, t->sums[kind].n);
		sqlite3_bind_int64(t->add, 3, t->sums[kind].bytes);
		step(t, t->add);
	}
	memset(t->sums, 0, sizeof t->sums);
}

struct sql {
	sqlite3_stmt **st;
	const char *text;
};
enum { STATEMENTS = 9 };

static void statements(struct kache_taker *t, struct sql all[STATEMENTS])
{
	const struct sql list[STATEMENTS] = {
		{ &t->find_file, "SELECT size, mtime, ino FROM files WHERE kind=?1 AND hash=?2" },
		{ &t->put_file, "INSERT OR REPLACE INTO files VALUES(?1, ?2, ?3, ?4, ?5)" },
		{ &t->drop_file, "DELETE FROM files WHERE kind=?1 AND hash=?2" },
		{ &t->find_entry, "SELECT id, size FROM entries WHERE key=?1" },
		{ &t->put_entry, "INSERT INTO entries(key, invocation, crate, package, kind, target, profile, features, compiler,"
				 " created_ms, compile_ms, size) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)" },
		{ &t->drop_entry, "DELETE FROM entries WHERE id=?1" },
		{ &t->put_usage, "INSERT OR IGNORE INTO usage VALUES(?1, ?2, 0)" },
		{ &t->drop_usage, "DELETE FROM usage WHERE key=?1" },
		{ &t->add, "UPDATE sums SET n=n+?2, bytes=bytes+?3 WHERE kind=?1" },
	};

	memcpy(all, list, sizeof list);
}

bool kache_taker_init(struct kache_taker *t, struct kache_index *ix)
{
	struct sql all[STATEMENTS];

	*t = (struct kache_taker){ .ix = ix };
	statements(t, all);
	for (size_t i = 0; i < STATEMENTS; i++)
		if (!(*all[i].st = kache_index_prepare(ix, all[i].text)))
			return false;
	return true;
}

void kache_taker_release(struct kache_taker *t)
{
	struct sql all[STATEMENTS];

	statements(t, all);
	for (size_t i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(*all[i].st);
}
