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
#include <sys/mman.h>
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

struct kache_map {
	const struct record *records;	/* NULL: could not be opened; not tried again */
	int fd;				/* -1: can't be written */
	struct kache_boots boots;
};

static uint64_t check_of(const struct record *r)
{
	uint64_t words[7], sum = UINT64_C(0x9e3779b97f4a7c15);

	memcpy(words, r, sizeof words);
	for (int i = 0; i < 7; i++) {
		sum ^= words[i];
		sum *= UINT64_C(0xff51afd7ed558ccd);
		sum ^= sum >> 32;
	}
	return sum;
}

/* An empty table takes the place of what is there. Nothing is ever cut short in place: others may have it mapped, and
 * would be killed by SIGBUS. Where nothing was there the first of several processes makes it, for what the others would write into
 * theirs is lost: they get -1 and EEXIST. Returns its descriptor or -1. */
static int create(struct kache_store *s, const char *path, bool replace)
{
	const off_t bytes = KACHE_MAP_BYTES;
	KACHE_AUTO_FREE char *temp = kache_store_temp(s);
	int fd = kache_open(temp, O_RDWR | O_CREAT | O_EXCL, 0644), error;
	bool made;

	if (fd < 0)
		return -1;
	/* With its space, where the file system can do that: on tmpfs even reading a hole takes some, and raises SIGBUS
	 * when there is none. */
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
	static const char nothing[KACHE_BOOTS_PAGE];
	KACHE_AUTO_FREE char *path = kache_store_file(s, "inputs.map");
	struct kache_stat st = { 0 };
	const char *page = nothing;
	void *at = MAP_FAILED;
	bool made;
	int fd = open_file(s, path, &st, &made);

	m->fd = -1;
	if (fd >= 0)
		at = mmap(NULL, KACHE_MAP_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	if (at != MAP_FAILED) {
		m->records = at;
		page = (const char *)at + KACHE_MAP_SLOTS * KACHE_MAP_RECORD;
	}
	if (m->records && !s->readonly)
		m->fd = fd;
	else if (fd >= 0)
		close(fd);
	kache_boots_read(page, m->fd, KACHE_MAP_SLOTS * KACHE_MAP_RECORD, st.mtime, made && no_blobs(s), NULL, &m->boots);
}

static void close_map(struct kache_map *m)
{
	if (m->records)
		munmap((void *)(uintptr_t)m->records, KACHE_MAP_BYTES);
	if (m->fd >= 0)
		close(m->fd);
	free(m);
}

static struct kache_map *map_of(struct kache_store *s)
{
	struct kache_map *m = atomic_load_explicit(&s->map, memory_order_acquire), *none = NULL;

	if (m)
		return m;
	m = kache_calloc(1, sizeof *m);
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

enum { ID = 16, IN_PAGE = KACHE_MAP_PAGE / KACHE_MAP_RECORD, PAGES = KACHE_MAP_SLOTS / IN_PAGE };

/* Files of one crate have neighbouring inode numbers on most file systems, and are looked up together: their records lie
 * together, so that not each look-up is a page fault. 64 neighbours share 16 pages, which is what Linux maps at once around
 * a fault, and 4 of them a page: more would crowd it. Within a page the identity chooses the bucket. */
static size_t page_of(const struct kache_stat *st)
{
	enum { TOGETHER = 16 };
	uint64_t mixed = (st->ino >> 6 ^ st->dev << 40) * UINT64_C(0x9e3779b97f4a7c15);	/* Fibonacci hashing, TAOCP 6.4 */
	uint64_t window = mixed >> 32, within = st->ino >> 2 ^ mixed >> 24;

	return window % (PAGES / TOGETHER) * TOGETHER + within % TOGETHER;
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

/* The bucket of a file and its 16-byte identity. NULL without a map. */
static const struct record *bucket(const struct kache_map *m, const struct kache_stat *st, bool blob, unsigned char id[ID])
{
	uint64_t fields[KACHE_MAP_FIELDS];
	struct kache_hash h;

	if (!m->records)
		return NULL;
	identity(st, blob, fields);
	kache_hash_bytes(fields, sizeof fields, &h);
	memcpy(id, h.b, ID);
	return m->records + page_of(st) * IN_PAGE + h.b[16] % (IN_PAGE / KACHE_MAP_WAYS) * KACHE_MAP_WAYS;
}

/* States are each looked up alone: they go anywhere. The other half of the hash keeps them from being taken for files. */
static const struct record *state_bucket(const struct kache_map *m, const struct kache_hash *state, unsigned char id[ID])
{
	uint64_t where;

	if (!m->records)
		return NULL;
	memcpy(&where, state->b, sizeof where);
	memcpy(id, state->b + ID, ID);
	return m->records + where % (KACHE_MAP_SLOTS / KACHE_MAP_WAYS) * KACHE_MAP_WAYS;
}

static bool find_record(const struct record *at, const unsigned char id[ID], int64_t since, struct record *out)
{
	for (int i = 0; at && i < KACHE_MAP_WAYS; i++) {
		if (memcmp(at[i].id, id, ID))
			continue;
		memcpy(out, &at[i], sizeof *out);
		if (!memcmp(out->id, id, ID) && out->check == check_of(out) && out->stamp >= since)
			return true;
	}
	return false;
}

static bool find_hash(const struct record *at, const unsigned char id[ID], int64_t since, struct kache_hash *out)
{
	struct record copy;

	if (!find_record(at, id, since, &copy))
		return false;
	memcpy(out->b, copy.hash, KACHE_HASH_LEN);
	return true;
}

static void put(struct kache_map *m, const struct record *at, const unsigned char id[ID], const unsigned char *hash,
		uint32_t traits)
{
	struct record new = { .stamp = (uint32_t)(kache_now_real() / 1000000000), .traits = traits };
	const struct record *victim = at;

	if (!at || m->fd < 0)
		return;
	for (int i = 0; i < KACHE_MAP_WAYS; i++) {
		if (!memcmp(at[i].id, id, ID)) {
			victim = &at[i];
			break;
		}
		if (at[i].stamp < victim->stamp)
			victim = &at[i];
	}
	memcpy(new.id, id, ID);
	memcpy(new.hash, hash, KACHE_HASH_LEN);
	new.check = check_of(&new);
	/* Not through the mapping: on a full disk that would be the end of this process, and of the build. */
	if (pwrite(m->fd, &new, sizeof new, (off_t)((victim - m->records) * KACHE_MAP_RECORD)) != KACHE_MAP_RECORD)
		kache_debug("inputs.map: %s", strerror(errno));
}

static bool find(struct kache_store *s, const struct kache_stat *st, bool blob, struct kache_hash *out)
{
	unsigned char id[ID];
	struct kache_map *m = map_of(s);
	const struct record *at = bucket(m, st, blob, id);

	/* Before the machine was started the content may have been another one. */
	return find_hash(at, id, kache_boots_doubt(&m->boots, st, blob) / 1000000000, out);
}

static void enter(struct kache_store *s, const struct kache_stat *st, bool blob, const struct kache_hash *hash)
{
	unsigned char id[ID];
	struct kache_map *m = map_of(s);
	const struct record *at = bucket(m, st, blob, id);

	put(m, at, id, hash->b, 0);
}

bool kache_map_get(struct kache_store *s, const struct kache_stat *st, struct kache_hash *out)
{
	return find(s, st, is_blob(st), out);
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

	if (later == KACHE_TIME_KEPT) {
		kache_map_put_blob(s, st, hash);
		return;
	}
	kache_map_put(s, st, hash);
	if (!later)
		return;
	then.mtime = later;
	kache_map_put_blob(s, &then, hash);
}

bool kache_map_state(struct kache_store *s, const struct kache_hash *state, struct kache_hash *out)
{
	unsigned char id[ID];
	struct kache_map *m = map_of(s);
	const struct record *at = state_bucket(m, state, id);

	return find_hash(at, id, m->boots.n ? m->boots.windows[m->boots.n - 1].to / 1000000000 + 1 : 0, out);
}

void kache_map_put_state(struct kache_store *s, const struct kache_hash *state, const struct kache_hash *found)
{
	unsigned char id[ID];
	struct kache_map *m = map_of(s);
	const struct record *at = state_bucket(m, state, id);

	put(m, at, id, found->b, 0);
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

/* What is known of it as it is; or it was put in place with the word that it will have this time, or shares its inode with a blob
 * that has. Where the record lies, or NULL. */
static const struct record *known_record(const struct kache_map *m, const struct kache_stat *st, unsigned char id[ID],
					 struct record *out)
{
	for (int blob = is_blob(st); blob <= 1; blob++) {
		const struct record *at = bucket(m, st, blob, id);

		/* Before the machine was started the content may have been another one. */
		if (find_record(at, id, kache_boots_doubt(&m->boots, st, blob) / 1000000000, out))
			return at;
	}
	return NULL;
}

int kache_map_hash(struct kache_store *s, const char *path, struct kache_stat *st, struct kache_hash *out)
{
	unsigned char id[ID];
	struct record known;
	int rc;

	if (kache_stat(path, true, st))
		return kache_errno_missing() ? KACHE_E_NOENT : KACHE_E_IO;
	if (!S_ISREG(st->mode))
		return KACHE_E_INVALID;
	if (known_record(map_of(s), st, id, &known)) {
		memcpy(out->b, known.hash, KACHE_HASH_LEN);
		return KACHE_OK;
	}
	rc = kache_hash_file(path, out, NULL);
	if (rc)
		return rc;
	if (!same_file(path, st))
		return KACHE_E_BUSY;
	if (settled(path, st))
		kache_map_put(s, st, out);
	return KACHE_OK;
}

int kache_map_traits(struct kache_store *s, const char *path, enum kache_traits kind, size_t max, kache_map_look *look,
		     unsigned *out)
{
	KACHE_AUTO_BUF struct kache_buf data = KACHE_BUF_INIT;
	struct kache_map *m = map_of(s);
	const unsigned shift = 16 * kind;
	const struct record *at;
	struct kache_stat st;
	struct record known;
	unsigned char id[ID];

	*out = 0;
	if (kache_stat(path, true, &st))
		return kache_errno_missing() ? KACHE_E_NOENT : KACHE_E_IO;
	at = known_record(m, &st, id, &known);
	if (at && known.traits >> shift & LOOKED) {
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
	if (at)
		put(m, at, id, known.hash, known.traits | (LOOKED | *out) << shift);
	return KACHE_OK;
}

int kache_map_blob(struct kache_store *s, const char *path, int fd, const struct kache_stat *st, const struct kache_hash *hash)
{
	KACHE_AUTO_FD int own = -1;
	struct kache_map *m = map_of(s);
	const int64_t doubt = kache_boots_doubt(&m->boots, st, true);
	const struct record *at;
	struct kache_hash found;
	unsigned char id[ID];

	if (is_blob(st) && !doubt)
		return KACHE_OK;
	at = bucket(m, st, true, id);
	if (find_hash(at, id, doubt / 1000000000, &found))
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
		put(m, at, id, hash->b, 0);
	return KACHE_OK;
}
