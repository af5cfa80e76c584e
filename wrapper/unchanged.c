#include "config.h"
#include "wrapper/unchanged.h"

#include "base/clock.h"
#include "base/row.h"
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

enum { DIRS = 64, STATE = 4 << 10 };

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
	const struct kache_manifest *m;
	const struct kache_input_set *set;
	struct kache_stamps *out;
	struct kache_hasher id;
	size_t len;
	int64_t now;
	bool thorough;
	struct kache_strs paths;	/* that dirs point into */
	size_t n, last;
	struct kache_row row;
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

static bool note_file(struct reader *r, size_t index, const char *path)
{
	struct kache_stat st;

	if (kache_row_stat(&r->row, path, &st) || !S_ISREG(st.mode))
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

/* Whether its stamp stands for all that is not in it; it is noted then, once. */
static bool stands(struct reader *r, size_t index, struct dir *d)
{
	const struct kache_stat *st = &d->st;

	if (d->asked)
		return d->stands;
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

/* Inputs come by name, so what is in the same directory comes right before or after. */
static bool alone(const struct reader *r, size_t index)
{
	const char *name = r->m->names[r->set->inputs[index].name];
	const char *slash = strrchr(name, '/');
	const size_t len = slash ? (size_t)(slash - name) + 1 : 0;

	for (size_t k = index ? index - 1 : 1; k <= index + 1 && k < r->set->n; k += 2) {
		const char *other = r->m->names[r->set->inputs[k].name];

		/* The last character differs as a rule, and all before it are the same. */
		if (strlen(other) >= len && len && other[len - 1] == '/' && !memcmp(other, name, len))
			return false;
	}
	return true;
}

/* A module's directory: missing as a rule, and as long as the stamp of the directory that it would be in says so. */
static bool supposed_gone(struct reader *r, size_t index, const char *path, size_t len)
{
	struct dir *d;
	size_t up = len;

	while (up && path[up - 1] != '/')
		up--;
	if (!r->out->supposed || up < 2 || !alone(r, index))
		return false;
	d = dir_of(r, path, up - 1);
	if (!d || !stands(r, index, d))
		return false;
	if (r->thorough) {
		KACHE_AUTO_FREE char *dir = kache_strndup(path, len);
		struct stat st;

		r->out->wrong = r->out->wrong || !lstat(dir, &st) || errno != ENOENT;
	}
	return true;
}

/* A link to nowhere is as good as nothing, but what it leads to may appear without the directory being told. */
static bool note_absent(struct reader *r, size_t index, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct dir *d = NULL;
	struct stat st;

	if (slash && !strcmp(slash, "/mod.rs") && supposed_gone(r, index, path, (size_t)(slash - path)))
		return true;
	if (slash && slash[1] && strcmp(slash, "/..") && strcmp(slash, "/."))
		d = dir_of(r, path, (size_t)(slash - path));
	if (d && d->gone)
		return true;
	if (!d || !stands(r, index, d))
		return stat(path, &st) && kache_errno_missing();
	return !r->thorough || (lstat(path, &st) && errno == ENOENT);
}

static bool noted(uint32_t kind, const char *name)
{
	return (kind <= KACHE_INPUT_ABSENT || kind == KACHE_INPUT_REAL) && !kache_starts(name, "{target}/");
}

bool kache_stamps_tell(uint32_t kind, const char *name)
{
	/* Which files are one, or as old, follows from what each of them is. */
	if (kind == KACHE_INPUT_SAME_FILE || kind == KACHE_INPUT_SAME_TIME)
		return !strstr(name, "{target}/");
	return noted(kind, name);
}

/* suppose: as kache_stamps.supposed. thorough: also looks at each place that the stamp of a directory stands for. */
static void read_stamps(struct kache_call *c, const struct kache_manifest *m, const struct kache_input_set *set, bool suppose,
			bool thorough, struct kache_stamps *out)
{
	struct reader r;

	memset(&r, 0, offsetof(struct reader, state));
	r.c = c;
	r.m = m;
	r.set = set;
	r.out = out;
	r.now = kache_now_coarse();
	r.thorough = thorough;
	r.row = (struct kache_row)KACHE_ROW_INIT;
	*out = (struct kache_stamps){ .told = true, .settled = true, .supposed = suppose };
	kache_hasher_init(&r.id);
	kache_hasher_add(&r.id, set->result.b, KACHE_HASH_LEN);
	kache_hasher_add(&r.id, suppose ? "?" : "!", 1);
	/* What has a stamp of just now was never remembered. */
	for (size_t i = 0; i < set->n && out->told && out->settled; i++) {
		const struct kache_input *in = &set->inputs[i];
		const char *name = m->names[in->name];
		char *path = NULL;

		if (!noted(in->kind, name))
			continue;
		if (name[0] == '{') {
			name = path = kache_tokens_expand(&c->tokens, name);
			if (path)
				kache_strs_take(&r.paths, path);
		}
		out->told = name && (in->kind == KACHE_INPUT_FILE ? note_file(&r, i, name)
				     : in->kind == KACHE_INPUT_REAL ? note_real(&r, i, name) : note_absent(&r, i, name));
	}
	kache_row_end(&r.row);
	flush(&r);
	kache_hasher_end(&r.id, &out->id);
	kache_strs_release(&r.paths);
}

/* What is remembered of stamps in the place of a result: that what was supposed with them is wrong. */
static const struct kache_hash not_so = { { 1 } };

static bool look_up(struct kache_call *c, const struct kache_stamps *now, struct kache_hash *known)
{
	return now->told && now->settled && kache_map_state(c->store, &now->id, known);
}

bool kache_stamps_known(struct kache_call *c, const struct kache_manifest *m, const struct kache_input_set *set,
			struct kache_stamps *now)
{
	struct kache_hash known;
	bool found;

	read_stamps(c, m, set, true, false, now);
	found = look_up(c, now, &known);
	if (found && kache_hash_eq(&known, &not_so)) {
		read_stamps(c, m, set, false, false, now);
		found = look_up(c, now, &known);
	}
	return found && kache_hash_eq(&known, &set->result);
}

void kache_stamps_remember(struct kache_call *c, const struct kache_manifest *m, const struct kache_input_set *set,
			   const struct kache_stamps *before)
{
	struct kache_stamps after;

	if (!before->told || !before->settled)
		return;
	read_stamps(c, m, set, before->supposed, true, &after);
	if (after.told && after.settled && kache_hash_eq(&before->id, &after.id))
		kache_map_put_state(c->store, &after.id, after.wrong ? &not_so : &set->result);
}
