#include "config.h"
#include "wrapper/unchanged.h"

#include "base/clock.h"
#include "store/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where a build writes right now a directory has another stamp for each call: no use in going by it. Never less than
 * KACHE_MAP_SETTLED. */
static const int64_t calm = INT64_C(5) * 1000000000;

/* From so many inputs on, opening directories pays. */
enum { MANY = 100 };
enum { DIRS = 64, STATE = 16 << 10 };

/* A directory that is searched, or below which something is not. */
struct dir {
	const char *path;	/* the beginning of a place below it */
	size_t len;
	struct kache_stat st;
	bool there;		/* st is of it */
	bool gone;		/* it is not there itself, and so nothing below it */
	bool asked;		/* whether its stamp stands for all of it: */
	bool stands;
};

struct reader {
	struct kache_call *c;
	struct kache_stamps *out;
	struct kache_hasher id;
	size_t len;
	int64_t now;
	bool thorough, many;
	struct kache_strs paths;	/* that dirs point into */
	size_t n, last, files;
	const char *file_dir;	/* the beginning of the last file's path, */
	size_t file_dir_len;
	int file_dir_fd;	/* and its directory, once there was a second file in it; else -1 */
	uint64_t dev;		/* the file system that was asked about last */
	bool asked, keeps;
	unsigned char state[STATE];	/* not hashed yet: much at once takes less time */
	struct dir dirs[DIRS];
};

static bool keeps_times(struct reader *r, const char *path, uint64_t dev)
{
	if (!r->asked || r->dev != dev)
		r->keeps = kache_fs_keeps_times(path);
	r->asked = true;
	r->dev = dev;
	return r->keeps;
}

static void flush(struct reader *r)
{
	kache_hasher_add(&r->id, r->state, r->len);
	r->len = 0;
}

static void note(struct reader *r, size_t index, const struct kache_stat *st)
{
	uint64_t fields[1 + KACHE_MAP_FIELDS] = { index };
	int64_t youngest = kache_map_identity(st, fields + 1);

	if (r->len + sizeof fields > STATE)
		flush(r);
	memcpy(r->state + r->len, fields, sizeof fields);
	r->len += sizeof fields;
	if (r->now - youngest <= KACHE_MAP_SETTLED)
		r->out->settled = false;
}

static void close_dir(struct reader *r)
{
	if (r->file_dir_fd >= 0)
		close(r->file_dir_fd);
	r->file_dir_fd = -1;
}

/* Headers come many of one directory in a row: the way there is then gone once. */
static int stat_file(struct reader *r, const char *path, struct kache_stat *st)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (!len || !slash[1] || len != r->file_dir_len || memcmp(path, r->file_dir, len)) {
		close_dir(r);
		r->file_dir = path;
		r->file_dir_len = len;
	} else if (r->file_dir_fd < 0) {
		KACHE_AUTO_FREE char *dir = kache_strndup(path, len);

		r->file_dir_fd = kache_open(dir, O_PATH | O_DIRECTORY, 0);
	}
	return r->file_dir_fd < 0 ? kache_stat(path, true, st) : kache_stat_in(r->file_dir_fd, slash + 1, st);
}

static bool note_file(struct reader *r, size_t index, const char *path)
{
	struct kache_stat st;
	struct kache_hash h;

	if ((r->many ? stat_file(r, path, &st) : kache_stat(path, true, &st)) || !S_ISREG(st.mode))
		return false;
	/* Of a checkout that was never looked at nothing is remembered, so the rest need not be asked. */
	if (!r->files++ && !kache_map_get(r->c->store, &st, &h))
		return false;
	note(r, index, &st);
	return true;
}

/* A directory, looked at once. NULL where there is no room for it. */
static struct dir *dir_of(struct reader *r, const char *path, size_t len)
{
	KACHE_AUTO_FREE char *dir = NULL;
	struct dir *d;

	for (size_t k = 0; k < r->n; k++) {
		d = &r->dirs[(r->last + k) % r->n];
		if (d->len == len && !memcmp(d->path, path, len)) {
			r->last = (size_t)(d - r->dirs);
			return d;
		}
	}
	if (!len || r->n == DIRS)
		return NULL;
	dir = kache_strndup(path, len);
	r->last = r->n++;
	d = &r->dirs[r->last];
	*d = (struct dir){ .path = path, .len = len };
	d->there = !kache_stat(dir, true, &d->st);
	d->gone = !d->there && kache_errno_missing();
	return d;
}

/* Whether its stamp stands for all that is not in it; it is noted then. */
static bool stands(struct reader *r, size_t index, struct dir *d)
{
	const struct kache_stat *st = &d->st;

	if (d->there && S_ISDIR(st->mode) && r->now - (st->mtime > st->ctime ? st->mtime : st->ctime) > calm) {
		KACHE_AUTO_FREE char *dir = kache_strndup(d->path, d->len);

		d->stands = keeps_times(r, dir, st->dev);
		if (d->stands)
			note(r, index, st);
	}
	d->asked = true;
	return d->stands;
}

/* Where a directory is does not depend on what comes and goes in it. */
static bool note_real(struct reader *r, size_t index, const char *path)
{
	const struct dir *d = dir_of(r, path, strlen(path));
	struct kache_stat own;
	const struct kache_stat *st = d ? &d->st : &own;

	if (d ? !d->there : kache_stat(path, true, &own))
		return false;
	note(r, index, &(struct kache_stat){ .dev = st->dev, .ino = st->ino, .btime = st->btime });
	return S_ISDIR(st->mode);
}

/* A link to nowhere is as good as nothing, but what it leads to may appear without the directory being told. */
static bool note_absent(struct reader *r, size_t index, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct dir *d = NULL;
	struct stat st;

	if (slash && slash[1] && strcmp(slash, "/..") && strcmp(slash, "/."))
		d = dir_of(r, path, (size_t)(slash - path));
	if (d && d->gone)
		return true;
	if (!d || !(d->asked ? d->stands : stands(r, index, d)))
		return stat(path, &st) && kache_errno_missing();
	return !r->thorough || (lstat(path, &st) && errno == ENOENT);
}

void kache_stamps_read(struct kache_call *c, const struct kache_manifest *m, const struct kache_input_set *set, bool thorough,
		       struct kache_stamps *out)
{
	struct reader r;

	memset(&r, 0, offsetof(struct reader, state));
	r.c = c;
	r.out = out;
	r.now = kache_now_coarse();
	r.thorough = thorough;
	r.many = set->n >= MANY;
	r.file_dir_fd = -1;
	*out = (struct kache_stamps){ .told = true, .settled = true };
	kache_hasher_init(&r.id);
	kache_hasher_add(&r.id, set->result.b, KACHE_HASH_LEN);
	/* What has a stamp of just now was never remembered: in a new target directory that is the first library that comes. */
	for (size_t i = 0; i < set->n && out->told && out->settled; i++) {
		const struct kache_input *in = &set->inputs[i];
		const char *name = m->names[in->name];
		char *path = NULL;

		if (in->kind > KACHE_INPUT_ABSENT && in->kind != KACHE_INPUT_REAL)
			continue;
		if (name[0] == '{') {
			name = path = kache_tokens_expand(&c->tokens, name);
			if (path)
				kache_strs_take(&r.paths, path);
		}
		out->told = name && (in->kind == KACHE_INPUT_FILE ? note_file(&r, i, name)
				     : in->kind == KACHE_INPUT_REAL ? note_real(&r, i, name) : note_absent(&r, i, name));
	}
	close_dir(&r);
	flush(&r);
	kache_hasher_end(&r.id, &out->id);
	kache_strs_release(&r.paths);
}

bool kache_stamps_known(struct kache_call *c, const struct kache_input_set *set, const struct kache_stamps *now)
{
	struct kache_hash result;

	return now->told && now->settled && kache_map_state(c->store, &now->id, &result) && kache_hash_eq(&result, &set->result);
}

void kache_stamps_remember(struct kache_call *c, const struct kache_manifest *m, const struct kache_input_set *set,
			   const struct kache_stamps *before)
{
	struct kache_stamps after;

	if (!before->told || !before->settled)
		return;
	kache_stamps_read(c, m, set, true, &after);
	if (after.told && after.settled && kache_hash_eq(&before->id, &after.id))
		kache_map_put_state(c->store, &after.id, &set->result);
}
