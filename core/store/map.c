#include "config.h"
#include "store/map.h"

#include "base/clock.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct record {
	unsigned char id[16];
	unsigned char hash[KACHE_HASH_LEN];
	uint32_t stamp;			/* seconds; the oldest of a bucket gives way */
	uint32_t traits;		/* kache_map_traits(): two bytes for each kind */
	uint64_t check;
};
_Static_assert(sizeof(struct record) == KACHE_MAP_RECORD, "record size is part of the file format");

enum { LOOKED = 0x8000 };	/* among the bits of a kind: the others are known */
enum {
	ID = 16,
	BUCKET = KACHE_MAP_WAYS * KACHE_MAP_RECORD,
	IN_PAGE = KACHE_MAP_PAGE / BUCKET, PAGES = KACHE_MAP_SLOTS * KACHE_MAP_RECORD / KACHE_MAP_PAGE,
};

struct bucket {
	struct record ways[KACHE_MAP_WAYS];
};
_Static_assert(sizeof(struct bucket) == BUCKET, "buckets lie one after another");

struct kache_map {
	int fd;				/* -1: could not be opened; not tried again */
	bool writable;
	struct kache_boots boots;
	atomic_uint stamp;	/* of new records: when the first was made, in s; 0 before */
	/* The page that was read last: files that are looked up together lie together. One thread at a time. */
	atomic_flag page_taken;
	size_t page_number;		/* PAGES: none */
	struct bucket page[IN_PAGE];
};

/* Each step maps the sum one to one, so words that differ in one place never have the same; the multipliers are those of
 * MurmurHash3's 64-bit finalizer (Appleby, public domain). Against accidents: who writes to the store needs no tricks. */
static uint64_t mix(uint64_t sum, uint64_t factor, const uint64_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sum ^= words[i];
		sum *= factor;
		sum ^= sum >> 32;
	}
	return sum;
}

static uint64_t check_of(const struct record *r)
{
	uint64_t words[7];

	memcpy(words, r, sizeof words);
	return mix(UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xff51afd7ed558ccd), words, 7);
}

/* An empty table takes the place of what is there. Where nothing was there the first of several processes makes it, for what the
 * others would write into theirs is lost: they get -1 and EEXIST. Returns its descriptor or -1. */
static int create(struct kache_store *s, const char *path, bool replace)
{
	const off_t bytes = KACHE_MAP_BYTES;
	KACHE_AUTO_FREE char *temp = kache_store_temp(s);
	int fd = kache_open(temp, O_RDWR | O_CREAT | O_EXCL, 0644), error;
	bool made;

	if (fd < 0)
		return -1;
	/* With its space, where the file system can do that: what is written here and there would lie in thousands of pieces. */
	made = (!fallocate(fd, 0, 0, bytes) || errno == EOPNOTSUPP || errno == ENOSYS) && !ftruncate(fd, bytes) &&
	       !(replace ? rename(temp, path) : link(temp, path));
	error = errno;
	if (!made || !replace)
		unlink(temp);
	if (made)
		return fd;
	close(fd);
	errno = error;
	return -1;
}

/* -1 and ENOENT where there is none, or, with *other set, one of another format. */
static int open_whole(struct kache_store *s, const char *path, struct kache_stat *st, bool *other)
{
	int fd = kache_open(path, (s->readonly ? O_RDONLY : O_RDWR) | O_NOFOLLOW, 0);

	*other = fd >= 0 && (kache_fstat(fd, st) || !S_ISREG(st->mode) || st->size != KACHE_MAP_BYTES);
	if (!*other)
		return fd;
	close(fd);
	*st = (struct kache_stat){ 0 };
	errno = ENOENT;
	return -1;
}

/* The table, made where it has to be. *made: it is new. */
static int open_file(struct kache_store *s, const char *path, struct kache_stat *st, bool *made)
{
	bool other;
	int fd = open_whole(s, path, st, &other);

	*made = false;
	if (fd >= 0 || errno != ENOENT || s->readonly)
		return fd;
	fd = create(s, path, other);
	*made = fd >= 0;
	return *made || errno != EEXIST ? fd : open_whole(s, path, st, &other);
}

static bool no_blobs(struct kache_store *s)
{
	KACHE_AUTO_FREE char *path = kache_store_file(s, "blobs");
	DIR *dir = opendir(path);
	struct dirent *d;
	bool none = true;

	if (!dir)
		return errno == ENOENT;
	while (none && (d = readdir(dir)))
		none = d->d_name[0] == '.';
	closedir(dir);
	return none;
}

static void open_map(struct kache_store *s, struct kache_map *m)
{
	KACHE_AUTO_FREE char *path = kache_store_file(s, "inputs.map");
	const off_t boots_at = KACHE_MAP_SLOTS * KACHE_MAP_RECORD;
	char boots[KACHE_BOOTS_USED] = { 0 };
	struct kache_stat st = { 0 };
	bool made;

	atomic_init(&m->stamp, 0);
	atomic_flag_clear(&m->page_taken);
	m->page_number = PAGES;
	m->fd = open_file(s, path, &st, &made);
	m->writable = m->fd >= 0 && !s->readonly;
	if (m->fd >= 0 && pread(m->fd, boots, sizeof boots, boots_at) != (ssize_t)sizeof boots)
		memset(boots, 0, sizeof boots);
	kache_boots_read(boots, m->writable ? m->fd : -1, boots_at, st.mtime, made && no_blobs(s), NULL, &m->boots);
}

static void close_map(struct kache_map *m)
{
	if (m->fd >= 0)
		close(m->fd);
	free(m);
}

static struct kache_map *map_of(struct kache_store *s)
{
	struct kache_map *m = atomic_load_explicit(&s->map, memory_order_acquire), *none = NULL;

	if (m)
		return m;
	m = kache_alloc(sizeof *m);
	open_map(s, m);
	if (atomic_compare_exchange_strong(&s->map, &none, m))
		return m;
	close_map(m);	/* another thread was faster */
	return none;
}

void kache_map_close(struct kache_store *s)
{
	struct kache_map *m = atomic_exchange(&s->map, NULL);

	if (m)
		close_map(m);
}

static bool is_blob(const struct kache_stat *st)
{
	return st->mtime == KACHE_BLOB_TIME_NS;
}

/* Files of one crate have neighbouring inode numbers on most file systems, and are looked up together: their records lie in one
 * page, so that not each look-up is a system call. All states that a file was in are in one bucket. */
static size_t bucket_of(const struct kache_stat *st)
{
	enum { NEIGHBOURS = 4 };	/* as a power of two; more would crowd the page */
	/* Fibonacci hashing, TAOCP 6.4 */
	uint64_t mixed = (st->ino >> NEIGHBOURS ^ st->dev << 40) * UINT64_C(0x9e3779b97f4a7c15);

	return (mixed >> 32) % PAGES * IN_PAGE + (st->ino ^ mixed >> 24) % IN_PAGE;
}

/* blob: it is one, whose change time tells of links only. */
static int64_t identity(const struct kache_stat *st, bool blob, uint64_t fields[KACHE_MAP_FIELDS])
{
	int64_t ctime = blob && st->btime ? 0 : st->ctime;

	fields[0] = st->dev;
	fields[1] = st->ino;
	fields[2] = st->size;
	fields[3] = (uint64_t)st->mtime;
	fields[4] = (uint64_t)st->btime;
	fields[5] = (uint64_t)ctime;
	return st->mtime > ctime ? st->mtime : ctime;
}

int64_t kache_map_identity(const struct kache_stat *st, uint64_t fields[KACHE_MAP_FIELDS])
{
	return identity(st, is_blob(st), fields);
}

/* What is looked for: a state of a file, or of many. */
struct wanted {
	unsigned char id[ID];
	int64_t since;		/* in seconds: what was remembered before may not be so any more */
};

/* Before the machine was started the content may have been another one. */
static void want(const struct kache_map *m, const struct kache_stat *st, bool blob, struct wanted *w)
{
	uint64_t fields[KACHE_MAP_FIELDS], id[2];

	identity(st, blob, fields);
	id[0] = mix(UINT64_C(0x2545f4914f6cdd1d), UINT64_C(0xff51afd7ed558ccd), fields, KACHE_MAP_FIELDS);
	id[1] = mix(UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xc4ceb9fe1a85ec53), fields, KACHE_MAP_FIELDS);
	memcpy(w->id, id, ID);
	w->since = kache_boots_doubt(&m->boots, st, blob) / 1000000000;
}

/* States of many are each looked up alone: they go anywhere. The other half of the hash keeps them from being taken for files. */
static size_t want_state(const struct kache_map *m, const struct kache_hash *state, struct wanted *w)
{
	uint64_t where;

	memcpy(&where, state->b, sizeof where);
	memcpy(w->id, state->b + ID, ID);
	w->since = m->boots.n ? m->boots.windows[m->boots.n - 1].to / 1000000000 + 1 : 0;
	return where % (PAGES * IN_PAGE);
}

/* Index of the first of n that is there, or n. */
static size_t search(const struct bucket *b, const struct wanted *w, size_t n, struct record *out)
{
	for (size_t k = 0; k < n; k++)
		for (int i = 0; i < KACHE_MAP_WAYS; i++) {
			if (memcmp(b->ways[i].id, w[k].id, ID))
				continue;
			*out = b->ways[i];
			if (out->check == check_of(out) && out->stamp >= w[k].since)
				return k;
		}
	return n;
}

static bool read_bucket(const struct kache_map *m, size_t at, struct bucket *out)
{
	return pread(m->fd, out, BUCKET, (off_t)at * BUCKET) == BUCKET;
}

/* What the page says that was read last may be old, which is no harm: it is so for ever. Only what it does not say is read anew. */
static size_t search_page(struct kache_map *m, size_t at, const struct wanted *w, size_t n, struct record *out)
{
	const struct bucket *b = &m->page[at % IN_PAGE];
	size_t k = m->page_number == at / IN_PAGE ? search(b, w, n, out) : n;

	if (k < n)
		return k;
	m->page_number = PAGES;
	if (pread(m->fd, m->page, KACHE_MAP_PAGE, (off_t)(at / IN_PAGE) * KACHE_MAP_PAGE) != KACHE_MAP_PAGE)
		return n;
	m->page_number = at / IN_PAGE;
	return search(b, w, n, out);
}

static size_t find_record(struct kache_map *m, size_t at, const struct wanted *w, size_t n, struct record *out)
{
	struct bucket own;

	if (m->fd < 0)
		return n;
	if (atomic_flag_test_and_set(&m->page_taken))
		return read_bucket(m, at, &own) ? search(&own, w, n, out) : n;
	n = search_page(m, at, w, n, out);
	atomic_flag_clear(&m->page_taken);
	return n;
}

static bool find_hash(struct kache_map *m, size_t at, const struct wanted *w, struct kache_hash *out)
{
	struct record copy;

	if (find_record(m, at, w, 1, &copy))
		return false;
	memcpy(out->b, copy.hash, KACHE_HASH_LEN);
	return true;
}

/* The same state of the file gives way, else the oldest. */
static size_t victim(const struct bucket *b, const unsigned char id[ID])
{
	size_t oldest = 0;

	for (size_t i = 0; i < KACHE_MAP_WAYS; i++) {
		if (!memcmp(b->ways[i].id, id, ID))
			return i;
		if (b->ways[i].stamp < b->ways[oldest].stamp)
			oldest = i;
	}
	return oldest;
}

/* It orders records by age, and tells them from those before a power cut. */
static uint32_t stamp_of(struct kache_map *m)
{
	if (!atomic_load_explicit(&m->stamp, memory_order_relaxed))
		atomic_store_explicit(&m->stamp, (unsigned)(kache_now_real() / 1000000000), memory_order_relaxed);
	return atomic_load_explicit(&m->stamp, memory_order_relaxed);
}

static void put(struct kache_map *m, size_t at, const unsigned char id[ID], const unsigned char *hash, uint32_t traits)
{
	struct record new = { .stamp = stamp_of(m), .traits = traits };
	struct bucket b;
	size_t way;

	if (!m->writable || !read_bucket(m, at, &b))
		return;
	way = victim(&b, id);
	memcpy(new.id, id, ID);
	memcpy(new.hash, hash, KACHE_HASH_LEN);
	new.check = check_of(&new);
	if (pwrite(m->fd, &new, sizeof new, (off_t)(at * BUCKET + way * KACHE_MAP_RECORD)) != KACHE_MAP_RECORD) {
		kache_debug("inputs.map: %s", strerror(errno));
		return;
	}
	if (atomic_flag_test_and_set(&m->page_taken))
		return;
	if (m->page_number == at / IN_PAGE)
		m->page[at % IN_PAGE].ways[way] = new;
	atomic_flag_clear(&m->page_taken);
}

static void enter(struct kache_store *s, const struct kache_stat *st, bool blob, const struct kache_hash *hash)
{
	struct kache_map *m = map_of(s);
	struct wanted w;

	want(m, st, blob, &w);
	put(m, bucket_of(st), w.id, hash->b, 0);
}

/* What is known of it as it is; or it was put in place with the word that it will have this time, or shares its inode with a blob
 * that has. */
static bool known_record(struct kache_map *m, const struct kache_stat *st, struct wanted *found, struct record *out)
{
	struct wanted w[2];
	size_t n = 0, k;

	for (int blob = is_blob(st); blob <= 1; blob++)
		want(m, st, blob, &w[n++]);
	k = find_record(m, bucket_of(st), w, n, out);
	if (k < n)
		*found = w[k];
	return k < n;
}

bool kache_map_get(struct kache_store *s, const struct kache_stat *st, struct kache_hash *out)
{
	struct record known;
	struct wanted w;

	if (!known_record(map_of(s), st, &w, &known))
		return false;
	memcpy(out->b, known.hash, KACHE_HASH_LEN);
	return true;
}

void kache_map_put(struct kache_store *s, const struct kache_stat *st, const struct kache_hash *hash)
{
	enter(s, st, is_blob(st), hash);
}

void kache_map_put_blob(struct kache_store *s, const struct kache_stat *st, const struct kache_hash *hash)
{
	enter(s, st, true, hash);
}

void kache_map_put_output(struct kache_store *s, const struct kache_stat *st, int64_t later, const struct kache_hash *hash)
{
	struct kache_stat then = *st;

	if (later && later != KACHE_TIME_KEPT)
		then.mtime = later;
	enter(s, &then, later || is_blob(st), hash);
}

bool kache_map_state(struct kache_store *s, const struct kache_hash *state, struct kache_hash *out)
{
	struct kache_map *m = map_of(s);
	struct wanted w;
	const size_t at = want_state(m, state, &w);

	return find_hash(m, at, &w, out);
}

void kache_map_put_state(struct kache_store *s, const struct kache_hash *state, const struct kache_hash *found)
{
	struct kache_map *m = map_of(s);
	struct wanted w;
	const size_t at = want_state(m, state, &w);

	put(m, at, w.id, found->b, 0);
}

static bool same_file(const char *path, const struct kache_stat *st)
{
	struct kache_stat now;

	return !kache_stat(path, true, &now) && now.ino == st->ino && now.dev == st->dev && now.size == st->size &&
	       now.mtime == st->mtime && now.ctime == st->ctime;
}

/* Whether the next to write to it would give it another time. Birth times tell that an inode of ext has room for nanoseconds. */
static bool settled(const char *path, const struct kache_stat *st)
{
	const int64_t age = kache_now_coarse() - (st->mtime > st->ctime ? st->mtime : st->ctime);

	if (age > KACHE_MAP_SETTLED)
		return true;
	return age > KACHE_MAP_TICKS && st->btime && st->ctime % 1000000000 && kache_fs_keeps_times(path);
}

int kache_map_hash_known(struct kache_store *s, const char *path, const struct kache_stat *st, struct kache_hash *out)
{
	int rc;

	if (!S_ISREG(st->mode))
		return KACHE_E_INVALID;
	if (kache_map_get(s, st, out))
		return KACHE_OK;
	rc = kache_hash_file(path, out, NULL);
	if (rc)
		return rc;
	if (!same_file(path, st))
		return KACHE_E_BUSY;
	if (settled(path, st))
		kache_map_put(s, st, out);
	return KACHE_OK;
}

int kache_map_hash(struct kache_store *s, const char *path, struct kache_stat *st, struct kache_hash *out)
{
	if (kache_stat(path, true, st))
		return kache_errno_missing() ? KACHE_E_NOENT : KACHE_E_IO;
	return kache_map_hash_known(s, path, st, out);
}

int kache_map_traits(struct kache_store *s, const char *path, enum kache_traits kind, size_t max, kache_map_look *look,
		     unsigned *out)
{
	KACHE_AUTO_BUF struct kache_buf data = KACHE_BUF_INIT;
	struct kache_map *m = map_of(s);
	const unsigned shift = 16 * kind;
	struct kache_stat st;
	struct record known;
	struct wanted w;
	bool found;

	*out = 0;
	if (kache_stat(path, true, &st))
		return kache_errno_missing() ? KACHE_E_NOENT : KACHE_E_IO;
	found = known_record(m, &st, &w, &known);
	if (found && known.traits >> shift & LOOKED) {
		*out = known.traits >> shift & (LOOKED - 1);
		return KACHE_OK;
	}
	if (st.size > max)
		return KACHE_OK;
	if (kache_file_read(path, max, &data))
		return KACHE_E_IO;
	*out = data.len ? look(data.data, data.len) & (LOOKED - 1) : 0;
	if (!same_file(path, &st))
		return KACHE_E_BUSY;
	if (found)
		put(m, bucket_of(&st), w.id, known.hash, known.traits | (LOOKED | *out) << shift);
	return KACHE_OK;
}

int kache_map_blob(struct kache_store *s, const char *path, int fd, const struct kache_stat *st, const struct kache_hash *hash)
{
	KACHE_AUTO_FD int own = -1;
	struct kache_map *m = map_of(s);
	const int64_t doubt = kache_boots_doubt(&m->boots, st, true);
	struct kache_hash found;
	struct wanted w;

	if (is_blob(st) && !doubt)
		return KACHE_OK;
	want(m, st, true, &w);
	if (find_hash(m, bucket_of(st), &w, &found))
		return kache_hash_eq(&found, hash) ? KACHE_OK : KACHE_E_CORRUPT;
	if (fd < 0)
		fd = own = kache_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0 || kache_hash_fd(fd, &found, NULL) || lseek(fd, 0, SEEK_SET))
		return KACHE_E_IO;
	if (!kache_hash_eq(&found, hash)) {
		kache_debug("%s is not what was stored", path);
		return KACHE_E_CORRUPT;
	}
	if (is_blob(st) || kache_now_coarse() - st->mtime > KACHE_MAP_SETTLED)
		put(m, bucket_of(st), w.id, hash->b, 0);
	return KACHE_OK;
}
