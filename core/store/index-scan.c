/* From the files of the store to the index: what is there, and what entries say.
 *
 * A directory is only read again if its modification time changed, or was so young when it was read that
 * it may have changed within the same tick. */
#include "config.h"
#include "store/index-internal.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ENTRIES, MANIFESTS, BLOBS, KINDS, MAX_ENTRY = 256 << 20 };
static const char *const kind_names[KINDS] = { "entries", "manifests", "blobs" };
#define SETTLED INT64_C(2000000000)

struct file {
	struct kache_hash hash;
	uint64_t size, ino;
	int64_t mtime;
};
struct files {
	struct file *v;
	size_t n, cap;
};

struct scanner {
	struct kache_index *ix;
	sqlite3_stmt *put_file, *drop_file, *known, *put_shard, *put_entry, *put_ref, *drop_refs, *drop_entry, *drop_usage;
	bool failed;
};

static void release_files(struct files *f)
{
	free(f->v);
}

static void add_file(struct files *f, const struct file *one)
{
	if (f->n == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 64;
		f->v = kache_realloc(f->v, f->cap, sizeof *f->v);
	}
	f->v[f->n++] = *one;
}

static int by_hash(const void *a, const void *b)
{
	return memcmp(((const struct file *)a)->hash.b, ((const struct file *)b)->hash.b, KACHE_HASH_LEN);
}

static void step(struct scanner *s, sqlite3_stmt *st)
{
	if (sqlite3_step(st) != SQLITE_DONE)
		s->failed = true;
	sqlite3_reset(st);
}

static void read_disk(const char *path, unsigned shard, struct files *out)
{
	DIR *d = opendir(path);
	struct dirent *item;

	while (d && (item = readdir(d))) {
		struct file one = { .size = 0 };
		struct stat st;

		if (!kache_hash_parse(item->d_name, strlen(item->d_name), &one.hash) || one.hash.b[0] != shard ||
		    fstatat(dirfd(d), item->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
			continue;
		one.size = (uint64_t)st.st_size;
		one.ino = (uint64_t)st.st_ino;
		one.mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
		add_file(out, &one);
	}
	if (d)
		closedir(d);
	if (out->n)
		qsort(out->v, out->n, sizeof *out->v, by_hash);
}

static void read_known(struct scanner *s, unsigned kind, unsigned shard, struct files *out)
{
	struct kache_hash low, high;
	int code;

	memset(low.b, 0, sizeof low.b);
	memset(high.b, 0xff, sizeof high.b);
	low.b[0] = high.b[0] = (unsigned char)shard;
	sqlite3_bind_int(s->known, 1, (int)kind);
	kache_index_bind_hash(s->known, 2, &low);
	kache_index_bind_hash(s->known, 3, &high);
	while ((code = sqlite3_step(s->known)) == SQLITE_ROW) {
		struct file one = { .size = kache_index_u64(s->known, 1), .mtime = sqlite3_column_int64(s->known, 2),
				    .ino = kache_index_u64(s->known, 3) };

		if (kache_index_hash(s->known, 0, &one.hash))
			add_file(out, &one);
	}
	s->failed |= code != SQLITE_DONE;
	sqlite3_reset(s->known);
}

static void forget_entry(struct scanner *s, const struct kache_hash *key, bool usage)
{
	kache_index_bind_hash(s->drop_refs, 1, key);
	step(s, s->drop_refs);
	kache_index_bind_hash(s->drop_entry, 1, key);
	step(s, s->drop_entry);
	if (usage) {
		kache_index_bind_hash(s->drop_usage, 1, key);
		step(s, s->drop_usage);
	}
}

static void put_entry(struct scanner *s, const struct kache_entry *e)
{
	const char *texts[] = { e->crate, e->package, e->kind, e->target, e->profile, e->features, e->compiler };
	sqlite3_int64 id;
	int at = 1;

	kache_index_bind_hash(s->put_entry, at++, &e->key);
	kache_index_bind_hash(s->put_entry, at++, &e->invocation);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		kache_index_bind_text(s->put_entry, at++, texts[i]);
	kache_index_bind_u64(s->put_entry, at++, e->created_ms);
	kache_index_bind_u64(s->put_entry, at++, e->compile_ms);
	kache_index_bind_u64(s->put_entry, at, kache_entry_size(e));
	step(s, s->put_entry);
	id = sqlite3_last_insert_rowid(s->ix->db);
	for (size_t i = 0; i < e->n_outputs && !s->failed; i++) {
		if (e->outputs[i].role == KACHE_ROLE_DEPINFO)
			continue;
		sqlite3_bind_int64(s->put_ref, 1, id);
		kache_index_bind_hash(s->put_ref, 2, &e->outputs[i].blob);
		step(s, s->put_ref);
	}
}

/* Damaged entries are in no list; verify is what speaks of them. */
static void read_entry(struct scanner *s, const struct kache_hash *key)
{
	KACHE_AUTO_FREE char *path = kache_store_path(s->ix->store, "entries", key);
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_entry e;

	forget_entry(s, key, false);
	if (kache_file_read(path, MAX_ENTRY, &b) || kache_entry_decode(b.data ? b.data : "", b.len, &e))
		return;
	if (kache_hash_eq(&e.key, key))
		put_entry(s, &e);
	kache_entry_release(&e);
}

static void put_file(struct scanner *s, unsigned kind, const struct file *f)
{
	sqlite3_bind_int(s->put_file, 1, (int)kind);
	kache_index_bind_hash(s->put_file, 2, &f->hash);
	kache_index_bind_u64(s->put_file, 3, f->size);
	sqlite3_bind_int64(s->put_file, 4, f->mtime);
	sqlite3_bind_int64(s->put_file, 5, (sqlite3_int64)f->ino);
	step(s, s->put_file);
	if (kind == ENTRIES)
		read_entry(s, &f->hash);
}

static void drop_file(struct scanner *s, unsigned kind, const struct kache_hash *h)
{
	sqlite3_bind_int(s->drop_file, 1, (int)kind);
	kache_index_bind_hash(s->drop_file, 2, h);
	step(s, s->drop_file);
	if (kind == ENTRIES)
		forget_entry(s, h, true);
}

static void compare(struct scanner *s, unsigned kind, const struct files *disk, const struct files *known)
{
	size_t i = 0, k = 0;

	while ((i < disk->n || k < known->n) && !s->failed) {
		int order = i == disk->n ? 1 : k == known->n ? -1 : by_hash(&disk->v[i], &known->v[k]);

		if (order > 0) {
			drop_file(s, kind, &known->v[k++].hash);
		} else if (order < 0) {
			put_file(s, kind, &disk->v[i++]);
		} else {
			const struct file *a = &disk->v[i++], *b = &known->v[k++];

			if (a->size != b->size || a->mtime != b->mtime || (sqlite3_int64)a->ino != (sqlite3_int64)b->ino)
				put_file(s, kind, a);
		}
	}
}

static void scan_shard(struct scanner *s, unsigned kind, unsigned shard, int64_t seen)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/%s/%02x", s->ix->store->root, kind_names[kind], shard);
	__attribute__((cleanup(release_files))) struct files disk = { NULL, 0, 0 };
	__attribute__((cleanup(release_files))) struct files known = { NULL, 0, 0 };
	int64_t now = kache_now_coarse();
	struct kache_stat st = { .mtime = 0 };

	if (kache_stat(path, false, &st) || !S_ISDIR(st.mode))
		st.mtime = 1;	/* not there: no directory is that old */
	if (st.mtime == seen)
		return;
	if (st.mtime != 1)
		read_disk(path, shard, &disk);
	read_known(s, kind, shard, &known);
	compare(s, kind, &disk, &known);
	sqlite3_bind_int(s->put_shard, 1, (int)kind);
	sqlite3_bind_int(s->put_shard, 2, (int)shard);
	sqlite3_bind_int64(s->put_shard, 3, st.mtime < now - SETTLED ? st.mtime : 0);
	step(s, s->put_shard);
}

static bool prepare(struct scanner *s)
{
	const struct { sqlite3_stmt **st; const char *sql; } all[] = {
		{ &s->put_file, "INSERT OR REPLACE INTO files VALUES(?1, ?2, ?3, ?4, ?5)" },
		{ &s->drop_file, "DELETE FROM files WHERE kind=?1 AND hash=?2" },
		{ &s->known, "SELECT hash, size, mtime, ino FROM files WHERE kind=?1 AND hash BETWEEN ?2 AND ?3 ORDER BY hash" },
		{ &s->put_shard, "INSERT OR REPLACE INTO shards VALUES(?1, ?2, ?3)" },
		{ &s->put_entry, "INSERT INTO entries(key, invocation, crate, package, kind, target, profile, features, compiler,"
				 " created_ms, compile_ms, size) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)" },
		{ &s->put_ref, "INSERT OR IGNORE INTO refs VALUES(?1, ?2)" },
		{ &s->drop_refs, "DELETE FROM refs WHERE entry=(SELECT id FROM entries WHERE key=?1)" },
		{ &s->drop_entry, "DELETE FROM entries WHERE key=?1" },
		{ &s->drop_usage, "DELETE FROM usage WHERE key=?1" },
	};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (!(*all[i].st = kache_index_prepare(s->ix, all[i].sql)))
			return false;
	return true;
}

static void finish(struct scanner *s)
{
	sqlite3_stmt *all[] = { s->put_file, s->drop_file, s->known, s->put_shard, s->put_entry, s->put_ref, s->drop_refs,
				s->drop_entry, s->drop_usage };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		sqlite3_finalize(all[i]);
}

static void read_seen(struct scanner *s, int64_t seen[KINDS][256])
{
	KACHE_AUTO_STMT sqlite3_stmt *q = kache_index_prepare(s->ix, "SELECT kind, shard, mtime FROM shards");

	memset(seen, 0, sizeof(int64_t) * KINDS * 256);
	while (q && sqlite3_step(q) == SQLITE_ROW) {
		unsigned kind = (unsigned)sqlite3_column_int(q, 0), shard = (unsigned)sqlite3_column_int(q, 1);

		if (kind < KINDS && shard < 256)
			seen[kind][shard] = sqlite3_column_int64(q, 2);
	}
}

int kache_index_scan(struct kache_index *ix, struct kache_error *err)
{
	struct scanner s = { .ix = ix };
	int64_t seen[KINDS][256];
	int rc = KACHE_OK;

	read_seen(&s, seen);
	if (!prepare(&s) || kache_index_exec(ix, "BEGIN IMMEDIATE")) {
		rc = kache_index_fail(ix, err);
		finish(&s);
		return rc;
	}
	for (unsigned kind = 0; kind < KINDS && !s.failed; kind++)
		for (unsigned shard = 0; shard < 256 && !s.failed; shard++)
			scan_shard(&s, kind, shard, seen[kind][shard]);
	if (s.failed || kache_index_exec(ix, "COMMIT")) {
		rc = kache_index_fail(ix, err);
		kache_index_exec(ix, "ROLLBACK");
	}
	finish(&s);
	return rc;
}
