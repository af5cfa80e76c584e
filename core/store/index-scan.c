/* From the files of the store to the index: what is there that no event told of, and what is gone.
 *
 * Every build changes most of the 256 directories of a kind, so looking at those that changed is looking at all. A large store
 * is therefore scanned now and then only; what is new in between is known by its events (index-take.c). Something was removed:
 * whoever removes things leaves the time of it on gc.lock, and the next update scans.
 *
 * A directory is only read again if its modification time changed, or was so young when it was read that it may have changed
 * within the same tick. Objects come to their names by link or rename only, so another content is another inode, and a directory
 * tells those itself: only what is new is asked for its size. */
#include "config.h"
#include "store/index-internal.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SMALL = 10000,			/* files: looked at every time */
	PER_SECOND = 500,		/* of more: two seconds between scans for each thousand, under one percent of the time */
	COMMIT = 50000,			/* rows in one transaction */
	FIRST_CACHE_KIB = 65536		/* rows of a first scan come in no order that all their indexes like */
};
#define SETTLED INT64_C(2000000000)

struct files {
	struct kache_index_file *v;
	size_t n, cap;
};

struct scanner {
	struct kache_index *ix;
	struct kache_taker take;
	sqlite3_stmt *known, *put_shard;
};

static void release_files(struct files *f)
{
	free(f->v);
}

static void add_file(struct files *f, const struct kache_index_file *one)
{
	if (f->n == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 64;
		f->v = kache_realloc(f->v, f->cap, sizeof *f->v);
	}
	f->v[f->n++] = *one;
}

static int by_hash(const void *a, const void *b)
{
	const struct kache_index_file *x = a, *y = b;

	return memcmp(x->hash.b, y->hash.b, KACHE_HASH_LEN);
}

/* Names and inode numbers, and an open directory for more; NULL if there is none. */
static DIR *read_disk(const char *path, unsigned shard, struct files *out)
{
	DIR *d = opendir(path);
	struct dirent *item;

	while (d && (item = readdir(d))) {
		struct kache_index_file one = { .ino = (uint64_t)item->d_ino };

		if ((item->d_type == DT_REG || item->d_type == DT_UNKNOWN) &&
		    kache_hash_parse(item->d_name, strlen(item->d_name), &one.hash) && one.hash.b[0] == shard)
			add_file(out, &one);
	}
	if (out->n)
		qsort(out->v, out->n, sizeof *out->v, by_hash);
	return d;
}

static void read_known(struct scanner *s, int kind, unsigned shard, struct files *out)
{
	struct kache_hash low, high;
	int code;

	memset(low.b, 0, sizeof low.b);
	memset(high.b, 0xff, sizeof high.b);
	low.b[0] = high.b[0] = (unsigned char)shard;
	sqlite3_bind_int(s->known, 1, kind);
	kache_index_bind_hash(s->known, 2, &low);
	kache_index_bind_hash(s->known, 3, &high);
	while ((code = sqlite3_step(s->known)) == SQLITE_ROW) {
		struct kache_index_file one = { .size = kache_index_u64(s->known, 1), .mtime = sqlite3_column_int64(s->known, 2),
						.ino = (uint64_t)sqlite3_column_int64(s->known, 3) };

		if (kache_index_hash(s->known, 0, &one.hash))
			add_file(out, &one);
	}
	s->take.failed |= code != SQLITE_DONE;
	sqlite3_reset(s->known);
}

/* before: what is known of it, or NULL. */
static void look(struct scanner *s, int kind, int dir, const struct kache_index_file *disk, const struct kache_index_file *before)
{
	struct kache_index_file f = *disk;
	char hex[KACHE_HEX_LEN + 1];
	struct stat st;

	if (fstatat(dir, kache_hash_hex(&f.hash, hex), &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode)) {
		if (before)
			kache_taker_drop(&s->take, kind, before);
		return;
	}
	f.size = (uint64_t)st.st_size;
	f.ino = (uint64_t)st.st_ino;	/* overlayfs may tell another one than its directory does */
	f.mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	if (!before || f.size != before->size || f.mtime != before->mtime || f.ino != before->ino)
		kache_taker_put(&s->take, kind, &f, before);
}

static void compare(struct scanner *s, int kind, int dir, const struct files *disk, const struct files *known)
{
	size_t i = 0, k = 0;

	while ((i < disk->n || k < known->n) && !s->take.failed) {
		int order = i == disk->n ? 1 : k == known->n ? -1 : by_hash(&disk->v[i], &known->v[k]);

		if (order > 0) {
			kache_taker_drop(&s->take, kind, &known->v[k++]);
		} else if (order < 0) {
			look(s, kind, dir, &disk->v[i++], NULL);
		} else {
			if (disk->v[i].ino != known->v[k].ino)
				look(s, kind, dir, &disk->v[i], &known->v[k]);
			i++;
			k++;
		}
	}
}

static void scan_shard(struct scanner *s, int kind, unsigned shard, int64_t seen)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/%s/%02x", s->ix->store->root, kache_index_kinds[kind], shard);
	__attribute__((cleanup(release_files))) struct files disk = { NULL, 0, 0 };
	__attribute__((cleanup(release_files))) struct files known = { NULL, 0, 0 };
	int64_t now = kache_now_coarse();
	struct kache_stat st = { .mtime = 0 };
	DIR *d = NULL;

	if (kache_stat(path, false, &st) || !S_ISDIR(st.mode))
		st.mtime = 1;	/* not there: no directory is that old */
	if (st.mtime == seen)
		return;
	if (st.mtime != 1)
		d = read_disk(path, shard, &disk);
	read_known(s, kind, shard, &known);
	compare(s, kind, d ? dirfd(d) : -1, &disk, &known);
	if (d)
		closedir(d);
	sqlite3_bind_int(s->put_shard, 1, kind);
	sqlite3_bind_int(s->put_shard, 2, (int)shard);
	sqlite3_bind_int64(s->put_shard, 3, st.mtime < now - SETTLED ? st.mtime : 0);
	s->take.failed |= sqlite3_step(s->put_shard) != SQLITE_DONE;
	sqlite3_reset(s->put_shard);
}

static bool prepare(struct scanner *s)
{
	s->known = kache_index_prepare(s->ix, "SELECT hash, size, mtime, ino FROM files WHERE kind=?1 AND hash BETWEEN ?2 AND ?3"
					      " ORDER BY hash");
	s->put_shard = kache_index_prepare(s->ix, "INSERT OR REPLACE INTO shards VALUES(?1, ?2, ?3)");
	return kache_taker_init(&s->take, s->ix) && s->known && s->put_shard;
}

static void finish(struct scanner *s)
{
	sqlite3_finalize(s->known);
	sqlite3_finalize(s->put_shard);
	kache_taker_release(&s->take);
}

static void read_seen(struct scanner *s, int64_t seen[KACHE_INDEX_KINDS][256])
{
	KACHE_AUTO_STMT sqlite3_stmt *q = kache_index_prepare(s->ix, "SELECT kind, shard, mtime FROM shards");

	memset(seen, 0, sizeof(int64_t) * KACHE_INDEX_KINDS * 256);
	while (q && sqlite3_step(q) == SQLITE_ROW) {
		unsigned kind = (unsigned)sqlite3_column_int(q, 0), shard = (unsigned)sqlite3_column_int(q, 1);

		if (kind < KACHE_INDEX_KINDS && shard < 256)
			seen[kind][shard] = sqlite3_column_int64(q, 2);
	}
}

/* Not all in one transaction: a first scan may be of millions, and what was done is done if it is killed. */
static void commit_some(struct scanner *s)
{
	if (s->take.failed || s->take.changes < COMMIT)
		return;
	s->take.changes = 0;
	kache_taker_flush(&s->take);
	s->take.failed |= kache_index_exec(s->ix, "COMMIT; BEGIN IMMEDIATE") != SQLITE_OK;
}

static bool due(struct kache_index *ix, int64_t now)
{
	int64_t scanned = kache_index_state(ix, "scanned");
	int64_t files = kache_index_number(ix, "SELECT sum(n) FROM sums WHERE kind<3");
	KACHE_AUTO_FREE char *lock = kache_store_file(ix->store, "gc.lock");
	struct kache_stat st;

	if (!scanned || scanned > now || files <= SMALL || now - scanned > files / PER_SECOND * 1000000000)
		return true;
	return !kache_stat(lock, false, &st) && st.mtime >= scanned;
}

static int scan_all(struct scanner *s, int64_t began, struct kache_error *err)
{
	int64_t seen[KACHE_INDEX_KINDS][256];
	int rc = KACHE_OK;

	read_seen(s, seen);
	if (!prepare(s) || kache_index_exec(s->ix, "BEGIN IMMEDIATE"))
		return kache_index_fail(s->ix, err);
	for (int kind = 0; kind < KACHE_INDEX_KINDS && !s->take.failed; kind++) {
		for (unsigned shard = 0; shard < 256 && !s->take.failed; shard++) {
			scan_shard(s, kind, shard, seen[kind][shard]);
			commit_some(s);
		}
	}
	kache_taker_flush(&s->take);
	if (s->take.failed || kache_index_set_state(s->ix, "scanned", began) || kache_index_exec(s->ix, "COMMIT")) {
		rc = kache_index_fail(s->ix, err);
		kache_index_exec(s->ix, "ROLLBACK");
	}
	return rc;
}

int kache_index_scan(struct kache_index *ix, struct kache_error *err)
{
	struct scanner s = { .ix = ix };
	int64_t began = kache_now_coarse();
	int rc;

	if (!due(ix, began))
		return KACHE_OK;
	if (!kache_index_state(ix, "scanned")) {
		KACHE_AUTO_FREE char *sql = kache_asprintf("PRAGMA cache_size=-%d", FIRST_CACHE_KIB);

		kache_index_exec(ix, sql);
	}
	rc = scan_all(&s, began, err);
	finish(&s);
	return rc;
}
