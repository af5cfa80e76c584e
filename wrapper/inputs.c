#include "config.h"
#include "wrapper/inputs.h"

#include "base/path.h"
#include "base/row.h"
#include "store/map.h"
#include "wrapper/unchanged.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static void zero(struct kache_hash *h)
{
	memset(h->b, 0, KACHE_HASH_LEN);
}

static int file_now(struct kache_call *c, const char *path, struct kache_hash *out)
{
	struct kache_stat st;

	return kache_map_hash(c->store, path, &st, out);
}

/* Names, and what each is, which who lists a directory is told as well. What is in the files is another input. sorted: whatever
 * order the directory has them in. */
static int list_now(const char *path, bool sorted, struct kache_hash *out)
{
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	struct kache_hasher h;

	if (kache_dir_entries(path, &names))
		return kache_errno_missing() ? KACHE_E_NOENT : KACHE_E_IO;
	if (sorted)
		kache_strs_sort(&names);
	kache_hasher_init(&h);
	for (size_t i = 0; i < names.n; i++)
		kache_hasher_str(&h, "name", names.v[i]);
	kache_hasher_end(&h, out);
	return KACHE_OK;
}

static void env_now(struct kache_call *c, const char *name, bool tokens, struct kache_hash *out)
{
	const char *value = getenv(name);
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	if (!value) {
		zero(out);
		return;
	}
	if (tokens)
		kache_tokens_value(&c->tokens, value, strlen(value), &b);
	else
		kache_buf_str(&b, value);
	kache_hash_bytes(b.data ? b.data : "", b.len, out);
}

/* Whether it begins with one of the words, of which there may be none. */
static bool begins(const char *words, const char *variable)
{
	for (const char *w = words; *w; w += strcspn(w, " "), w += *w == ' ')
		if (!strncmp(variable, w, strcspn(w, " ")))
			return true;
	return !*words;
}

static void environ_now(struct kache_call *c, const char *words, bool tokens, struct kache_hash *out)
{
	KACHE_AUTO_STRS struct kache_strs all = { NULL, 0, 0 };
	struct kache_hasher h;

	for (char **e = environ; *e; e++) {
		KACHE_AUTO_FREE char *name = kache_strndup(*e, strcspn(*e, "="));
		KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

		if (kache_env_noise(name) || !begins(words, name))
			continue;
		if (tokens)
			kache_tokens_value(&c->tokens, *e, strlen(*e), &b);
		kache_strs_add(&all, tokens ? b.data : *e);
	}
	kache_strs_sort(&all);
	kache_hasher_init(&h);
	for (size_t i = 0; i < all.n; i++)
		kache_hasher_str(&h, "env", all.v[i]);
	kache_hasher_end(&h, out);
}

static int program_now(struct kache_call *c, const char *name, struct kache_hash *out)
{
	KACHE_AUTO_FREE char *path = kache_path_search(name, NULL);
	struct kache_hash content;
	struct kache_hasher h;
	int rc;

	if (!path)
		return KACHE_E_NOENT;
	rc = file_now(c, path, &content);
	if (rc)
		return rc;
	kache_hasher_init(&h);
	kache_hasher_str(&h, "path", path);
	kache_hasher_field(&h, "content", content.b, KACHE_HASH_LEN);
	kache_hasher_end(&h, out);
	return KACHE_OK;
}

static int link_now(struct kache_call *c, const char *path, struct kache_hash *out)
{
	char target[4096];
	ssize_t n = readlink(path, target, sizeof target);
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	if (n < 0 || n == (ssize_t)sizeof target)
		return errno == ENOENT ? KACHE_E_NOENT : KACHE_E_IO;
	kache_tokens_value(&c->tokens, target, (size_t)n, &b);
	kache_hash_bytes(b.data, b.len, out);
	return KACHE_OK;
}

/* By both its names: what was compiled here may hold either. */
static int place_now(const char *path, struct kache_hash *out)
{
	KACHE_AUTO_FREE char *real = kache_path_real(path);
	struct kache_hasher h;

	if (!real)
		return KACHE_E_NOENT;
	kache_hasher_init(&h);
	kache_hasher_str(&h, "path", path);
	kache_hasher_str(&h, "real", real);
	kache_hasher_end(&h, out);
	return KACHE_OK;
}

/* The text of where a directory is, with the token that its name has, also where links lead to what that stands for. */
static char *real_name(struct kache_call *c, const char *name, const char *real)
{
	size_t len = name[0] == '{' ? strcspn(name, "}") + 1 : 0;
	KACHE_AUTO_FREE char *token = kache_strndup(name, len);
	KACHE_AUTO_FREE char *dir = len ? kache_tokens_expand(&c->tokens, token) : NULL;
	KACHE_AUTO_FREE char *top = dir ? kache_path_real(dir) : NULL;
	const char *rest;

	if (top && kache_path_below(real, top, &rest))
		return kache_concat(token, *rest ? "/" : "", rest, NULL);
	return kache_tokens_path(&c->tokens, real);
}

/* A compiler drops one of two directories on its path that are the same, and "a/.." is wherever b is that a leads to. */
static int real_now(struct kache_call *c, const char *name, const char *path, struct kache_hash *out)
{
	KACHE_AUTO_FREE char *real = NULL, *text = NULL;
	struct stat st;

	if (stat(path, &st) || !S_ISDIR(st.st_mode))
		return KACHE_E_NOENT;
	real = kache_path_real(path);
	if (!real)
		return KACHE_E_NOENT;
	text = real_name(c, name, real);
	kache_hash_bytes(text, strlen(text), out);
	return KACHE_OK;
}

static int time_now(const char *path, struct kache_hash *out)
{
	struct stat st;
	int64_t second;

	if (stat(path, &st))
		return KACHE_E_NOENT;
	second = st.st_mtime;
	kache_hash_bytes(&second, sizeof second, out);
	return KACHE_OK;
}

static int status_now(const char *path, bool birth, struct kache_hash *out)
{
	struct kache_stat st;
	uint64_t told[2] = { 0 };

	if (kache_stat(path, true, &st))
		return KACHE_E_NOENT;
	told[0] = birth ? 0 : st.mode;
	told[1] = (uint64_t)(birth ? st.btime : st.mtime);
	kache_hash_bytes(told, sizeof told, out);
	return KACHE_OK;
}

/* For each file the first of them that it is, or is as old as. */
static int same_now(struct kache_call *c, const char *names, bool by_time, struct kache_hash *out)
{
	struct { uint64_t dev, ino; int64_t second; } seen[256];
	unsigned char first[256];
	size_t n = 0;

	for (const char *at = names; at; at = at ? at + 2 : NULL) {
		const char *end = strstr(at, "//");
		KACHE_AUTO_FREE char *name = kache_strndup(at, end ? (size_t)(end - at) : strlen(at));
		KACHE_AUTO_FREE char *path = kache_tokens_expand(&c->tokens, name);
		struct stat st;

		if (!path || n == sizeof first || stat(path, &st))
			return KACHE_E_NOENT;
		seen[n].dev = st.st_dev;
		seen[n].ino = st.st_ino;
		seen[n].second = st.st_mtime;
		for (first[n] = 0; first[n] < n; first[n]++)
			if (by_time ? seen[n].second == seen[first[n]].second
				    : seen[n].dev == seen[first[n]].dev && seen[n].ino == seen[first[n]].ino)
				break;
		n++;
		at = end;
	}
	kache_hash_bytes(first, n, out);
	return KACHE_OK;
}

static int path_now(struct kache_call *c, uint32_t kind, const char *name, const char *path, struct kache_hash *out)
{
	struct stat st;
	bool link;

	switch (kind) {
	case KACHE_INPUT_FILE:
		return file_now(c, path, out);
	case KACHE_INPUT_LIST:
		return list_now(path, true, out);
	case KACHE_INPUT_ORDER:
		return list_now(path, false, out);
	case KACHE_INPUT_TIME:
		return time_now(path, out);
	case KACHE_INPUT_STATUS:
	case KACHE_INPUT_BIRTH:
		return status_now(path, kind == KACHE_INPUT_BIRTH, out);
	case KACHE_INPUT_LINK:
		return link_now(c, path, out);
	case KACHE_INPUT_PLACE:
		return place_now(path, out);
	case KACHE_INPUT_REAL:
		return real_now(c, name, path, out);
	case KACHE_INPUT_ABSENT:	/* a dangling link is as good as nothing, but not what may not be entered */
		zero(out);
		out->b[0] = !stat(path, &st) ? KACHE_ABSENT_THERE
			    : kache_errno_missing() ? KACHE_ABSENT : KACHE_ABSENT_CLOSED;
		return KACHE_OK;
	default:
		if (lstat(path, &st))
			return KACHE_E_NOENT;
		link = S_ISLNK(st.st_mode);
		if (link && stat(path, &st))
			return KACHE_E_NOENT;
		zero(out);
		out->b[0] = S_ISDIR(st.st_mode) ? 'd' : 'f';
		out->b[2] = link;
		/* Who asks may have asked for these. Times are another thing in each checkout: STATUS has them. */
		if (S_ISREG(st.st_mode)) {
			const uint64_t size = (uint64_t)st.st_size;

			out->b[1] = (st.st_mode & 0100) != 0;
			memcpy(out->b + 8, &size, sizeof size);
		}
		return KACHE_OK;
	}
}

int kache_input_now(struct kache_call *c, uint32_t kind, const char *name, struct kache_hash *out)
{
	KACHE_AUTO_FREE char *path = NULL;

	switch (kind) {
	case KACHE_INPUT_ENV:
	case KACHE_INPUT_ENV_TOKEN:
		env_now(c, name, kind == KACHE_INPUT_ENV_TOKEN, out);
		return KACHE_OK;
	case KACHE_INPUT_ENVIRON:
	case KACHE_INPUT_ENVIRON_TOKEN:
		environ_now(c, name, kind == KACHE_INPUT_ENVIRON_TOKEN, out);
		return KACHE_OK;
	case KACHE_INPUT_PROGRAM:
		return program_now(c, name, out);
	case KACHE_INPUT_SAME_FILE:
	case KACHE_INPUT_SAME_TIME:
		return same_now(c, name, kind == KACHE_INPUT_SAME_TIME, out);
	default:
		path = kache_tokens_expand(&c->tokens, name);
		return path ? path_now(c, kind, name, path, out) : KACHE_E_NOENT;
	}
}

/* Sets of one manifest share most inputs, so each (name, kind) is looked at once. */
struct known {
	uint32_t kind;
	int rc;
	struct kache_hash hash;
	const struct kache_input *said;	/* of several sets: what one of them says, */
	bool disputed;			/* and whether another says something else */
};

/* What is looked at while a manifest is gone through. */
struct look {
	struct kache_call *c;
	const struct kache_manifest *m;
	struct known *memo;	/* by name */
	struct kache_row row;
};

static int file_in_row(struct look *l, const char *name, struct kache_hash *out)
{
	KACHE_AUTO_FREE char *path = kache_tokens_expand(&l->c->tokens, name);
	struct kache_stat st;

	if (!path || kache_row_stat(&l->row, path, &st))
		return KACHE_E_NOENT;
	return kache_map_hash_known(l->c->store, path, &st, out);
}

static int now(struct look *l, const struct kache_input *in, struct kache_hash *out)
{
	struct known *k = &l->memo[in->name];
	const char *name = l->m->names[in->name];

	if (k->kind != in->kind) {
		k->kind = in->kind;
		if (in->kind == KACHE_INPUT_FILE)
			k->rc = file_in_row(l, name, &k->hash);
		else
			k->rc = kache_input_now(l->c, in->kind, name, &k->hash);
	}
	*out = k->hash;
	return k->rc;
}

/* Notes which inputs the sets of a manifest say different things about: they are what tells one set from another. */
static void find_disputed(struct look *l)
{
	for (size_t i = 0; i < l->m->n_sets; i++)
		for (size_t k = 0; k < l->m->sets[i].n; k++) {
			const struct kache_input *in = &l->m->sets[i].inputs[k];
			struct known *known = &l->memo[in->name];

			if (!known->said)
				known->said = in;
			else if (known->said->kind != in->kind || !kache_hash_eq(&known->said->hash, &in->hash))
				known->disputed = true;
		}
}

/* Index of the first input of the set that is not as it was, or s->n. */
static size_t first_changed(struct look *l, const struct kache_input_set *s,
			    bool (*wanted)(const struct look *l, const struct kache_input *in))
{
	size_t i = 0;

	for (; i < s->n; i++) {
		const struct kache_input *in = &s->inputs[i];
		struct kache_hash h;

		if (wanted(l, in) && (now(l, in, &h) || !kache_hash_eq(&h, &in->hash)))
			break;
	}
	return i;
}

static bool any(const struct look *l, const struct kache_input *in)
{
	(void)l;
	(void)in;
	return true;
}

static bool disputed(const struct look *l, const struct kache_input *in)
{
	return l->memo[in->name].disputed;
}

/* What the stamps of files and directories say nothing of. */
static bool unstamped(const struct look *l, const struct kache_input *in)
{
	return !kache_stamps_tell(in->kind, l->m->names[in->name]);
}

/* The same with all that saves looking. */
static size_t check(struct look *l, const struct kache_input_set *s)
{
	struct kache_stamps stamps;
	size_t i = l->m->n_sets > 1 ? first_changed(l, s, disputed) : s->n;

	if (i < s->n)
		return i;
	if (kache_stamps_known(l->c, l->m, s, &stamps))
		return first_changed(l, s, unstamped);
	i = first_changed(l, s, any);
	if (i == s->n)
		kache_stamps_remember(l->c, l->m, s, &stamps);
	return i;
}

int kache_inputs_match(struct kache_call *c, const struct kache_manifest *m, size_t *index, char **changed)
{
	KACHE_AUTO_FREE struct known *memo = kache_calloc(m->n_names, sizeof *memo);
	struct look look = { .c = c, .m = m, .memo = memo, .row = KACHE_ROW_INIT };
	int rc = KACHE_E_NOENT;

	*changed = NULL;
	if (m->n_sets > 1)
		find_disputed(&look);
	for (size_t i = 0; i < m->n_sets && rc; i++) {
		const struct kache_input_set *s = &m->sets[i];
		size_t k = check(&look, s);

		if (k == s->n) {
			*index = i;
			kache_auto_free(changed);
			*changed = NULL;
			rc = KACHE_OK;
		} else if (!i) {
			*changed = kache_asprintf("%s %s", kache_input_kind_name(s->inputs[k].kind),
						  m->names[s->inputs[k].name]);
		}
	}
	kache_row_end(&look.row);
	return rc;
}

static bool own_variable(const char *name)
{
	static const char *const own[] = { "CARGO_PKG_*", "CARGO_MANIFEST_*", "CARGO_CRATE_NAME", "CARGO_BIN_NAME", "OUT_DIR" };

	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (kache_glob(own[i], name))
			return true;
	return false;
}

/* What is in target/ has a time that cargo goes by. */
static bool lasting_file(const char *name)
{
	static const char *const below[] = { "{sysroot}/", "{target}/", "/usr/", "/lib/", "/lib64/", "/etc/" };

	for (size_t i = 0; i < sizeof below / sizeof *below; i++)
		if (kache_starts(name, below[i]))
			return true;
	return kache_call_immutable(name);
}

void kache_inputs_note(struct kache_call *c, const struct kache_manifest *m, const struct kache_input_set *set)
{
	c->lasting = c->lang->linking && kache_call_immutable(kache_env("CARGO_MANIFEST_DIR"));
	for (size_t i = 0; i < set->n && c->lasting; i++) {
		const uint32_t kind = set->inputs[i].kind;
		const char *name = m->names[set->inputs[i].name];

		if (kind == KACHE_INPUT_FILE)
			c->lasting = lasting_file(name);
		else if (kind == KACHE_INPUT_ENV || kind == KACHE_INPUT_ENV_TOKEN)
			c->lasting = own_variable(name);
	}
}

void kache_inputs_result(const struct kache_manifest *m, const struct kache_hash *invocation,
			 const struct kache_input_set *set, struct kache_hash *out)
{
	kache_manifest_result(m, invocation, set, out);
}
