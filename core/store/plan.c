#include "config.h"
#include "store/plan.h"

#include "base/clock.h"
#include "base/path.h"
#include "store/codec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PLAN_FORMAT = 1, MOST_UNITS = 1 << 16, MOST_BYTES = 256 << 20, UNUSED_DAYS = 30 };

char *kache_plan_path(const struct kache_store *s, const struct kache_hash *key)
{
	char hex[KACHE_HEX_LEN + 1];

	return kache_concat(s->root, "/plans/", kache_hash_hex(key, hex), NULL);
}

void kache_plan_unit_release(struct kache_plan_unit *u)
{
	free(u->record);
	free(u->out_dir);
	free(u->cwd);
	free(u->manifest);
	free(u->program);
	free(u->alias);
	kache_strs_release(&u->argv);
	kache_strs_release(&u->set);
	kache_strs_release(&u->unset);
	for (size_t i = 0; i < u->n_files; i++) {
		free(u->files[i].name);
		free(u->files[i].data);
	}
	free(u->files);
	free(u->needs);
	*u = (struct kache_plan_unit){ 0 };
}

void kache_plan_release(struct kache_plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		kache_plan_unit_release(&p->units[i]);
	free(p->units);
	free(p->root);
	free(p->target);
	*p = (struct kache_plan){ 0 };
}

bool kache_plan_is_seal(const struct kache_plan_file *f)
{
	return f->len == 16 && strspn(f->data, "0123456789abcdef") == 16;
}

/* ---- as bytes ---- */

static void put_strs(struct kache_buf *b, const struct kache_strs *s)
{
	kache_buf_u32(b, (uint32_t)s->n);
	for (size_t i = 0; i < s->n; i++)
		kache_buf_text(b, s->v[i]);
}

void kache_plan_encode(const struct kache_plan *p, struct kache_buf *b)
{
	size_t start = kache_codec_begin(b, "KPLN", PLAN_FORMAT);

	kache_buf_text(b, p->root);
	kache_buf_text(b, p->target);
	kache_buf_u32(b, (uint32_t)p->n);
	for (size_t i = 0; i < p->n; i++) {
		const struct kache_plan_unit *u = &p->units[i];

		kache_buf_add(b, u->result.b, KACHE_HASH_LEN);
		kache_buf_text(b, u->record);
		kache_buf_text(b, u->out_dir);
		kache_buf_text(b, u->cwd);
		kache_buf_text(b, u->manifest);
		kache_buf_add(b, u->manifest_hash.b, KACHE_HASH_LEN);
		kache_buf_u8(b, u->here);
		kache_buf_u8(b, u->absent);
		kache_buf_text(b, u->program);
		kache_buf_text(b, u->alias);
		put_strs(b, &u->argv);
		put_strs(b, &u->set);
		put_strs(b, &u->unset);
		kache_buf_u32(b, (uint32_t)u->n_files);
		for (size_t k = 0; k < u->n_files; k++) {
			kache_buf_text(b, u->files[k].name);
			kache_buf_bytes(b, u->files[k].data, u->files[k].len);
		}
		kache_buf_u32(b, (uint32_t)u->n_needs);
		for (size_t k = 0; k < u->n_needs; k++)
			kache_buf_u32(b, u->needs[k]);
	}
	kache_codec_end(b, start);
}

/* A name within the record, and no way out of it. */
static bool is_name(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/');
}

static void read_files(struct kache_reader *r, struct kache_plan_unit *u)
{
	uint32_t n = kache_codec_count(r);

	u->files = kache_calloc(n + 1, sizeof *u->files);
	for (; u->n_files < n && !r->bad; u->n_files++) {
		struct kache_plan_file *f = &u->files[u->n_files];
		const char *data;

		f->name = kache_read_string(r);
		r->bad |= !is_name(f->name);
		data = kache_read_bytes(r, &f->len);
		f->data = kache_strndup(data ? data : "", data ? f->len : 0);
	}
}

static void read_unit(struct kache_reader *r, struct kache_plan_unit *u, size_t index)
{
	uint32_t n;

	kache_codec_hash(r, &u->result);
	u->record = kache_read_string(r);
	u->out_dir = kache_read_string(r);
	u->cwd = kache_read_string(r);
	u->manifest = kache_read_string(r);
	kache_codec_hash(r, &u->manifest_hash);
	u->here = kache_read_u8(r) != 0;
	u->absent = kache_read_u8(r);
	u->program = kache_read_string(r);
	u->alias = kache_read_string(r);
	r->bad |= strchr(u->program, '/') || strchr(u->alias, '/');
	kache_codec_strs(r, &u->argv);
	kache_codec_strs(r, &u->set);
	kache_codec_strs(r, &u->unset);
	read_files(r, u);
	n = kache_codec_count(r);
	u->needs = kache_calloc(n + 1, sizeof *u->needs);
	for (; u->n_needs < n && !r->bad; u->n_needs++) {
		u->needs[u->n_needs] = kache_read_u32(r);
		r->bad |= u->needs[u->n_needs] >= index;
	}
	r->bad |= !u->argv.n;
}

int kache_plan_decode(const void *data, size_t len, struct kache_plan *p)
{
	struct kache_reader r;
	uint32_t n;
	int rc = kache_codec_open(&r, data, len, "KPLN", PLAN_FORMAT);

	*p = (struct kache_plan){ 0 };
	if (rc)
		return rc;
	p->root = kache_read_string(&r);
	p->target = kache_read_string(&r);
	n = kache_codec_count(&r);
	r.bad |= n > MOST_UNITS;
	if (!r.bad) {
		p->units = kache_calloc(n + 1, sizeof *p->units);
		for (; p->n < n && !r.bad; p->n++)
			read_unit(&r, &p->units[p->n], p->n);
	}
	return r.bad || r.p != r.end ? KACHE_E_CORRUPT : KACHE_OK;
}

/* ---- places ---- */

/* Whether a path that is found at `at` in text may be one: what comes before begins a path, what comes behind goes on with one or
 * ends it. */
static bool is_path_at(const char *text, const char *at, size_t len)
{
	const char before = at == text ? '\0' : at[-1];

	return (!before || strchr("=:,;' \"", before)) && strchr("/:,;' \"", at[len]);
}

char *kache_plan_pack(const char *text, const char *root, const char *target)
{
	const struct { const char *dir; char token; } dirs[] = { { target, KACHE_PLAN_TARGET }, { root, KACHE_PLAN_ROOT } };
	struct kache_buf b = KACHE_BUF_INIT;

	if (strchr(text, KACHE_PLAN_TARGET) || strchr(text, KACHE_PLAN_ROOT))
		return NULL;
	for (const char *at = text; *at;) {
		size_t i = 0, len = 0;

		for (; i < 2; i++) {
			len = strlen(dirs[i].dir);
			if (!strncmp(at, dirs[i].dir, len) && is_path_at(text, at, len))
				break;
		}
		kache_buf_ch(&b, i < 2 ? dirs[i].token : *at);
		at += i < 2 ? len : 1;
	}
	return kache_buf_steal(&b);
}

char *kache_plan_unpack(const char *text, const char *root, const char *target)
{
	struct kache_buf b = KACHE_BUF_INIT;

	for (; *text; text++) {
		if (*text == KACHE_PLAN_TARGET || *text == KACHE_PLAN_ROOT)
			kache_buf_str(&b, *text == KACHE_PLAN_TARGET ? target : root);
		else
			kache_buf_ch(&b, *text);
	}
	return kache_buf_steal(&b);
}

/* ---- in the store ---- */

int kache_plan_get(struct kache_store *s, const struct kache_hash *key, struct kache_plan *p)
{
	KACHE_AUTO_FREE char *path = kache_plan_path(s, key);
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	int rc;

	*p = (struct kache_plan){ 0 };
	if (kache_file_read(path, MOST_BYTES, &b))
		return errno == ENOENT ? KACHE_E_NOENT : KACHE_E_IO;
	rc = kache_plan_decode(b.data ? b.data : "", b.len, p);
	if (!rc) {
		(void)utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW);
		return KACHE_OK;
	}
	kache_plan_release(p);
	unlink(path);
	return rc;
}

struct used {
	char *path;
	int64_t mtime;
	uint64_t size;
};

static int later_first(const void *a, const void *b)
{
	const struct used *x = a, *y = b;

	return (x->mtime < y->mtime) - (x->mtime > y->mtime);
}

/* Removes what has not been used for long, and of too many, or too much, the longest unused; never the last. */
static void prune(struct kache_store *s)
{
	const int64_t month = INT64_C(1000000000) * 86400 * UNUSED_DAYS;
	KACHE_AUTO_FREE char *dir = kache_store_file(s, "plans");
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	struct used *plans;
	uint64_t bytes = 0;
	size_t n = 0;

	if (kache_dir_names(dir, &names))
		return;
	plans = kache_calloc(names.n + 1, sizeof *plans);
	for (size_t i = 0; i < names.n; i++) {
		char *path = kache_path_join(dir, names.v[i]);
		struct kache_hash key;
		struct kache_stat st;

		/* Of what is no plan too: a command that nobody records any more. */
		if (kache_stat(path, false, &st) || (kache_now_real() - st.mtime > month && !unlink(path)) ||
		    !kache_hash_parse(names.v[i], strlen(names.v[i]), &key))
			free(path);
		else
			plans[n++] = (struct used){ path, st.mtime, st.size };
	}
	qsort(plans, n, sizeof *plans, later_first);
	for (size_t i = 0; i < n; i++) {
		bytes += plans[i].size;
		if (i && (i >= KACHE_PLANS || bytes > KACHE_PLANS_BYTES))
			unlink(plans[i].path);
		free(plans[i].path);
	}
	free(plans);
}

int kache_plan_put(struct kache_store *s, const struct kache_hash *key, const struct kache_plan *p)
{
	KACHE_AUTO_FREE char *path = kache_plan_path(s, key), *format = kache_store_file(s, "format");
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	/* Who comes after the end of a build must not bring back a store that has been removed since. */
	if (access(format, F_OK))
		return KACHE_E_IO;
	kache_plan_encode(p, &b);
	if (kache_file_replace(path, b.data, b.len, 0600))
		return KACHE_E_IO;
	prune(s);
	return KACHE_OK;
}

char *kache_plan_calls(const struct kache_store *s, long pid)
{
	char digits[24] = "", *at = digits + sizeof digits - 1;

	/* A hit asks for this name. */
	do
		*--at = (char)('0' + pid % 10);
	while (pid /= 10);
	return kache_concat(s->root, "/plans/", at, ".calls", NULL);
}
