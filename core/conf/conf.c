/* Loading: files, then environment, over defaults. */
#include "config.h"
#include "conf/parts.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"
#include "conf/toml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The wrapper explains no setting. */
#ifdef KACHE_HOT
#define HELP(text) ""
#else
#define HELP(text) text
#endif

static const struct kache_option schema[] = {
#define KACHE_OPTION(id, key, env, type, def, values, flags, help) \
	{ key, env, type, def, values, flags, HELP(help) },
#include "conf/options.def"
#undef KACHE_OPTION
};

const struct kache_option *kache_conf_schema(enum kache_conf_id id)
{
	return &schema[id];
}

void kache_conf_forget(struct kache_setting *s)
{
	free(s->owned);
	free(s->origin);
	kache_strs_release(&s->list);
	*s = (struct kache_setting){ 0 };
}

void kache_conf_free(struct kache_conf *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < KACHE_CONF_COUNT; i++)
		kache_conf_forget(&c->v[i]);
	kache_conf_remotes_release(c);
	kache_strs_release(&c->files);
	free(c);
}

static bool in_words(const char *words, const char *text)
{
	size_t len = strlen(text);

	for (const char *p = words; *p; p += strcspn(p, "|"), p += *p == '|')
		if (strcspn(p, "|") == len && !strncmp(p, text, len))
			return true;
	return false;
}

/* "1..19" */
static bool in_range(const char *range, uint64_t n)
{
	char *end;
	uint64_t low = strtoull(range, &end, 10);

	return n >= low && n <= strtoull(end + 2, NULL, 10);
}

static bool whole_number(const char *text, uint64_t *n)
{
	char *end;

	errno = 0;
	*n = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

static char *home_path(const char *text)
{
	const char *home = getenv("HOME");

	if (text[0] == '~' && (text[1] == '/' || !text[1]) && home)
		return kache_path_join(home, text[1] ? text + 2 : "");
	return kache_strdup(text);
}

static void split(struct kache_strs *list, const char *text, char separator)
{
	for (const char *p = text; *p;) {
		const char *end = strchr(p, separator);
		size_t n = end ? (size_t)(end - p) : strlen(p);

		while (n && *p == ' ')
			p++, n--;
		if (n)
			kache_strs_addn(list, p, n);
		p += n + (p[n] == separator);
	}
}

static void set_text(struct kache_setting *s, char *text)
{
	free(s->owned);
	s->text = s->owned = text;
}

static int bad_value(const struct kache_option *o, const struct kache_setting *s, const char *words,
		     struct kache_error *err)
{
	KACHE_AUTO_FREE char *where = s->file ? kache_asprintf("%s:%u: ", s->file, s->line)
				    : kache_asprintf(s->from_env ? "%s: " : "", o->env);

	return kache_fail(err, KACHE_E_INVALID, "%s%s is '%s'; accepted are %s%s", where,
			  o->key ? o->key : o->env, s->text, words ? words : "",
			  o->values ? o->values : "");
}

/* Text into the typed members. */
static int interpret(const struct kache_option *o, struct kache_setting *s, struct kache_error *err)
{
	static const char *const accepted[] = {
		[KACHE_OPT_BOOL] = "true and false",
		[KACHE_OPT_PATH] = "absolute paths",
		[KACHE_OPT_SIZE] = "sizes such as 50GiB, 10GB or 512MiB",
		[KACHE_OPT_UINT] = "whole numbers ",
		[KACHE_OPT_MSEC] = "times such as 500ms or 3s, in milliseconds ",
	};
	const char *words = (size_t)o->type < sizeof accepted / sizeof *accepted ? accepted[o->type] : NULL;
	bool good = true;
	int flag;

	switch (o->type) {
	case KACHE_OPT_BOOL:
		flag = kache_parse_bool(s->text);
		good = flag >= 0;
		s->flag = flag > 0;
		break;
	case KACHE_OPT_SIZE:
		good = !kache_parse_size(s->text, &s->number);
		break;
	case KACHE_OPT_UINT:
		good = whole_number(s->text, &s->number) && in_range(o->values, s->number);
		break;
	case KACHE_OPT_MSEC:
		good = !kache_parse_msec(s->text, &s->number) && in_range(o->values, s->number);
		break;
	case KACHE_OPT_ENUM:
		good = in_words(o->values, s->text);
		break;
	case KACHE_OPT_PATH:
		set_text(s, home_path(s->text));
		good = s->text[0] == '/';
		break;
	case KACHE_OPT_STR:
	case KACHE_OPT_LIST:
		break;
	}
	return good ? KACHE_OK : bad_value(o, s, words, err);
}

/* The first of a list of paths that is none, or NULL. */
static const char *not_a_path(const struct kache_option *o, const struct kache_setting *s)
{
	for (size_t i = 0; o->values && i < s->list.n; i++)
		if (s->list.v[i][0] != '/')
			return s->list.v[i];
	return NULL;
}

static int from_variable(struct kache_conf *c, enum kache_conf_id id, const char *value,
			 struct kache_error *err)
{
	const struct kache_option *o = &schema[id];
	struct kache_setting *s = &c->v[id];

	kache_conf_forget(s);
	set_text(s, kache_strdup(value));
	s->from_env = true;
	if (o->type == KACHE_OPT_LIST)
		split(&s->list, value, strstr(o->env, "PATH") || strstr(o->env, "DIR") ? ':' : ',');
	if (o->type == KACHE_OPT_LIST && not_a_path(o, s))
		return kache_fail(err, KACHE_E_INVALID, "%s: %s holds '%s'; accepted are absolute paths", o->env, o->key,
				  not_a_path(o, s));
	return interpret(o, s, err);
}

/* One walk over the environment, which is long under cargo, in place of a search for each option. */
static int from_environment(struct kache_conf *c, kache_conf_report *report, void *ctx, size_t *problems,
			    struct kache_error *err)
{
	for (char **e = environ; *e; e++) {
		const char *value = strchr(*e, '=');

		if (strncmp(*e, "KACHE_", 6) || !value || !*++value)
			continue;
		for (size_t id = 0; id < KACHE_CONF_COUNT; id++) {
			size_t len = (size_t)(value - 1 - *e);

			if (!schema[id].env || !kache_is_word(schema[id].env, *e, len))
				continue;
			if (!from_variable(c, (enum kache_conf_id)id, value, err))
				break;
			++*problems;
			if (!report)
				return KACHE_E_INVALID;
			report(ctx, err->text);
			break;
		}
	}
	return KACHE_OK;
}

static int problem(struct kache_conf_source *src)
{
	src->problems++;
	if (!src->report)
		return KACHE_E_INVALID;
	src->report(src->ctx, src->err->text);
	return KACHE_OK;
}

const char *kache_conf_nearest(const char *key)
{
	const char *best = NULL;
	size_t distance = strlen(key) / 2 + 1;

	for (size_t i = 0; i < KACHE_CONF_COUNT; i++) {
		size_t d = schema[i].key ? kache_edit_distance(key, schema[i].key) : distance;

		if (d < distance) {
			distance = d;
			best = schema[i].key;
		}
	}
	return best;
}

static int unknown_key(struct kache_conf_source *src, const char *key, unsigned line)
{
	const char *best = kache_conf_nearest(key);

	if (best)
		return kache_fail(src->err, KACHE_E_INVALID, "%s:%u: unknown key %s; did you mean %s?",
				  src->file, line, key, best);
	return kache_fail(src->err, KACHE_E_INVALID, "%s:%u: unknown key %s; `kache config list` shows all",
			  src->file, line, key);
}

char *kache_conf_scalar(const struct kache_toml *v)
{
	if (v->type == KACHE_TOML_STRING && strlen(v->text) != v->len)
		return NULL;
	switch (v->type) {
	case KACHE_TOML_STRING:
		return kache_strdup(v->text);
	case KACHE_TOML_INTEGER:
		return kache_asprintf("%lld", (long long)v->integer);
	case KACHE_TOML_BOOL:
		return kache_strdup(v->integer ? "true" : "false");
	default:
		return NULL;
	}
}

static bool type_fits(enum kache_opt_type want, const struct kache_toml *v)
{
	switch (want) {
	case KACHE_OPT_BOOL:
		return v->type == KACHE_TOML_BOOL;
	case KACHE_OPT_UINT:
		return v->type == KACHE_TOML_INTEGER;
	case KACHE_OPT_SIZE:
		return v->type == KACHE_TOML_STRING || v->type == KACHE_TOML_INTEGER;
	case KACHE_OPT_LIST:
		if (v->type != KACHE_TOML_ARRAY)
			return false;
		for (const struct kache_toml *e = v->child; e; e = e->next)
			if (e->type != KACHE_TOML_STRING || strlen(e->text) != e->len)
				return false;
		return true;
	default:
		return v->type == KACHE_TOML_STRING;
	}
}

/* A path of a list as that file means it: from where it lies. */
static char *listed_path(const char *file, const char *text)
{
	KACHE_AUTO_FREE char *path = home_path(text), *dir = kache_path_dir(file), *real = NULL;

	if (dir[0] != '/')
		real = kache_path_real(dir);
	return kache_path_absolute(real ? real : dir, path);
}

static int from_value(struct kache_conf_source *src, enum kache_conf_id id, const struct kache_toml *v)
{
	static const char *const wanted[] = {
		[KACHE_OPT_BOOL] = "true or false",
		[KACHE_OPT_STR] = "a string",
		[KACHE_OPT_PATH] = "a string",
		[KACHE_OPT_SIZE] = "a string such as \"50GiB\"",
		[KACHE_OPT_UINT] = "a whole number",
		[KACHE_OPT_ENUM] = "a string",
		[KACHE_OPT_LIST] = "an array of strings",
		[KACHE_OPT_MSEC] = "a string such as \"3s\"",
	};
	const struct kache_option *o = &schema[id];
	struct kache_setting *s = &src->c->v[id];

	if (src->project && o->flags & KACHE_OPT_NO_PROJECT)
		return kache_fail(
			src->err, KACHE_E_INVALID,
			"%s:%u: a project file may not set %s; it belongs in the user's file or the environment",
			src->file, v->line, o->key);
	if (v->type == KACHE_TOML_STRING && strlen(v->text) != v->len)
		return kache_fail(src->err, KACHE_E_INVALID, "%s:%u: %s holds a NUL character", src->file,
				  v->line, o->key);
	if (!type_fits(o->type, v))
		return kache_fail(src->err, KACHE_E_INVALID, "%s:%u: %s is of type %s; it wants %s",
				  src->file, v->line, o->key, kache_toml_type_name(v->type),
				  wanted[o->type]);
	kache_conf_forget(s);
	s->file = src->file;
	s->line = v->line;
	if (o->type == KACHE_OPT_LIST) {
		for (const struct kache_toml *e = v->child; e; e = e->next)
			kache_strs_take(&s->list, o->values ? listed_path(src->file, e->text) : home_path(e->text));
		s->text = "";
		return KACHE_OK;
	}
	set_text(s, kache_conf_scalar(v));
	return interpret(o, s, src->err);
}

/* A quoted key may hold dots or NULs, and is then not the key of the schema that it looks like. */
bool kache_conf_plain_key(const struct kache_toml *v)
{
	return !memchr(v->key, '.', v->key_len) && !memchr(v->key, '\0', v->key_len);
}

/* The option of a key below a table's; prefix ends in a dot. */
static size_t option_below(const char *prefix, const char *key)
{
	size_t len = strlen(prefix), id = 0;

	while (id < KACHE_CONF_COUNT && (!schema[id].key || strncmp(schema[id].key, prefix, len) ||
					 strcmp(schema[id].key + len, key)))
		id++;
	return id;
}

static int apply(struct kache_conf_source *src, const struct kache_toml *table, const char *prefix);

/* A key that no option has: a table of options, one for the backend, or a mistake. */
static int apply_other(struct kache_conf_source *src, const struct kache_toml *v, const char *prefix)
{
	KACHE_AUTO_FREE char *key = NULL;

	if (!kache_conf_plain_key(v))
		return kache_fail(src->err, KACHE_E_INVALID, "%s:%u: unknown key \"%s\"", src->file,
				  v->line, v->key);
	if (!strcmp(prefix, "cache.remote.") && v->type != KACHE_TOML_TABLE)
		return kache_conf_remote_pair(src, v);
	if (!strcmp(prefix, "cache.") && !strcmp(v->key, "remotes"))
		return kache_conf_remotes_read(src, v);
	key = kache_asprintf("%s%s%s", prefix, v->key, v->type == KACHE_TOML_TABLE ? "." : "");
	return v->type == KACHE_TOML_TABLE ? apply(src, v, key) : unknown_key(src, key, v->line);
}

/* prefix: the table's key with a dot behind it, "" for the root. */
static int apply(struct kache_conf_source *src, const struct kache_toml *table, const char *prefix)
{
	if (!strcmp(prefix, "cache.") && kache_conf_remotes_begin(src, table) && problem(src))
		return KACHE_E_INVALID;
	for (const struct kache_toml *v = table->child; v; v = v->next) {
		size_t id = kache_conf_plain_key(v) ? option_below(prefix, v->key) : KACHE_CONF_COUNT;
		int rc = id < KACHE_CONF_COUNT ? from_value(src, (enum kache_conf_id)id, v)
					       : apply_other(src, v, prefix);

		if (rc && problem(src))
			return rc;
	}
	return KACHE_OK;
}

static int from_text(struct kache_conf_source *src, const char *text, size_t len)
{
	struct kache_error syntax;
	struct kache_toml *root;
	int rc;

	kache_strs_add(&src->c->files, src->file);
	src->file = src->c->files.v[src->c->files.n - 1];

	if (kache_toml_parse(text, len, &root, &syntax)) {	/* "line N: what" */
		kache_fail(src->err, KACHE_E_INVALID, "%s:%s", src->file, syntax.text + strlen("line "));
		return problem(src);
	}
	rc = apply(src, root, "");
	kache_toml_free(root);
	return rc;
}

/* Sets *found; 0 also where there is no such file. One open(2) tells, for this runs on every compile. */
static int from_file(struct kache_conf_source *src, bool *found)
{
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
	int rc = kache_file_read_waiting(src->file, KACHE_CONF_FILE_MAX, &text);

	*found = true;
	if (!rc)
		return from_text(src, text.data, text.len);
	if (rc == KACHE_E_TOOBIG)
		return kache_fail(src->err, KACHE_E_INVALID, "configuration %s: larger than %d KiB",
				  src->file, KACHE_CONF_FILE_MAX >> 10);
	/* A directory above that can't be searched hides nothing that could be meant for us. */
	*found = errno != ENOENT && errno != ENOTDIR && !(errno == EACCES && access(src->file, F_OK));
	if (!*found)
		return KACHE_OK;
	kache_fail_errno(src->err, "configuration %s", src->file);
	return KACHE_E_INVALID;
}

/* .kache.toml, the nearest upwards. */
static int from_project(struct kache_conf *c, const char *cwd, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf path = KACHE_BUF_INIT;
	size_t n = strlen(cwd);
	bool found;

	while (n && cwd[n - 1] == '/')
		n--;
	for (;;) {
		struct kache_conf_source src = { .c = c, .project = true, .err = err };
		int rc;

		kache_buf_reset(&path);
		kache_buf_add(&path, cwd, n);
		kache_buf_str(&path, "/" KACHE_CONF_PROJECT_FILE);
		src.file = path.data;
		rc = from_file(&src, &found);
		if (rc || found || !n)
			return rc;
		while (n && cwd[n - 1] != '/')
			n--;
		while (n && cwd[n - 1] == '/')
			n--;
	}
}

static char *xdg(const char *variable, const char *fallback, const char *rest)
{
	const char *base = getenv(variable), *home = getenv("HOME");

	if (base && base[0] == '/')	/* XDG Base Directory Specification: relative ones are ignored */
		return kache_path_join(base, rest);
	if (!home || home[0] != '/')
		return NULL;
	return kache_concat(home, "/", fallback, "/", rest, NULL);
}

char *kache_conf_user_file(bool *named)
{
	const char *file = getenv("KACHE_CONFIG");

	*named = file && *file;
	return *named ? kache_strdup(file) : xdg("XDG_CONFIG_HOME", ".config", "kache/config.toml");
}

static int from_files(struct kache_conf *c, const char *cwd, struct kache_error *err)
{
	bool named, found;
	KACHE_AUTO_FREE char *user = kache_conf_user_file(&named);
	struct kache_conf_source src = { .c = c, .file = KACHE_CONF_SYSTEM_FILE, .err = err };

	if (from_file(&src, &found))
		return KACHE_E_INVALID;
	src.file = user;
	if (user && from_file(&src, &found))
		return KACHE_E_INVALID;
	if (named && !found)
		return kache_fail(err, KACHE_E_INVALID, "KACHE_CONFIG: there is no file %s", user);
	return from_project(c, cwd, err);
}

void kache_conf_default(struct kache_conf *c, enum kache_conf_id id)
{
	struct kache_setting *s = &c->v[id];

	kache_conf_forget(s);
	s->text = schema[id].def;
	if (s->text)
		(void)interpret(&schema[id], s, NULL);	/* the table's own values are right */
}

int kache_conf_load(const char *cwd, struct kache_conf **out, struct kache_error *err)
{
	struct kache_conf *c = kache_calloc(1, sizeof *c);
	struct kache_setting *dir = &c->v[KACHE_CONF_CACHE_DIR];
	size_t problems = 0;
	int rc;

	*out = NULL;
	for (size_t id = 0; id < KACHE_CONF_COUNT; id++)
		kache_conf_default(c, (enum kache_conf_id)id);
	rc = from_files(c, cwd, err);
	if (!rc)
		rc = from_environment(c, NULL, NULL, &problems, err);
	if (!rc && !dir->text) {
		set_text(dir, xdg("XDG_CACHE_HOME", ".cache", "kache"));
		if (!dir->text)
			rc = kache_fail(
				err, KACHE_E_INVALID,
				"no cache directory: none of KACHE_CACHE_DIR, XDG_CACHE_HOME, HOME is set");
	}
	if (!rc)
		kache_conf_remotes_settle(c);
	if (rc) {
		kache_conf_free(c);
		return rc;
	}
	*out = c;
	return KACHE_OK;
}

size_t kache_conf_find(const char *key)
{
	return option_below("", key);
}

size_t kache_conf_check_text(const char *file, const char *text, size_t len, bool project,
			     kache_conf_report *report, void *ctx)
{
	struct kache_conf *c = kache_calloc(1, sizeof *c);
	struct kache_error err;
	struct kache_conf_source src = { c, file, project, &err, report, ctx, 0 };

	(void)from_text(&src, text, len);
	kache_conf_free(c);
	return src.problems;
}

size_t kache_conf_check_environment(kache_conf_report *report, void *ctx)
{
	struct kache_conf *c = kache_calloc(1, sizeof *c);
	struct kache_error err;
	size_t problems = 0;

	(void)from_environment(c, report, ctx, &problems, &err);
	kache_conf_free(c);
	return problems;
}

int kache_conf_check_value(enum kache_conf_id id, const char *text, struct kache_error *err)
{
	struct kache_setting s = { .text = text };
	int rc = interpret(&schema[id], &s, err);

	kache_conf_forget(&s);
	return rc;
}

bool kache_conf_bool(const struct kache_conf *c, enum kache_conf_id id)
{
	return c->v[id].flag;
}

uint64_t kache_conf_u64(const struct kache_conf *c, enum kache_conf_id id)
{
	return c->v[id].number;
}

const char *kache_conf_str(const struct kache_conf *c, enum kache_conf_id id)
{
	return c->v[id].text && *c->v[id].text ? c->v[id].text : NULL;
}

const struct kache_strs *kache_conf_list(const struct kache_conf *c, enum kache_conf_id id)
{
	return &c->v[id].list;
}

char *kache_conf_show(const struct kache_conf *c, enum kache_conf_id id)
{
	const struct kache_setting *s = &c->v[id];
	struct kache_buf b = KACHE_BUF_INIT;

	if (schema[id].flags & KACHE_OPT_SECRET && s->text)
		return kache_strdup("***");
	if (schema[id].type == KACHE_OPT_BOOL)
		return kache_strdup(s->flag ? "true" : "false");
	if (schema[id].type != KACHE_OPT_LIST)
		return kache_strdup(s->text ? s->text : "");
	for (size_t i = 0; i < s->list.n; i++)
		kache_buf_fmt(&b, "%s%s", i ? ", " : "", s->list.v[i]);
	return kache_buf_steal(&b);
}

const char *kache_conf_origin(const struct kache_conf *c, enum kache_conf_id id)
{
	struct kache_setting *s = (struct kache_setting *)&c->v[id]; /* a text not made yet does not change the value */

	if (!s->file && !s->from_env)
		return "default";
	if (!s->origin)
		s->origin = s->file ? kache_asprintf("%s:%u", s->file, s->line)
				    : kache_asprintf("environment %s", schema[id].env);
	return s->origin;
}

const char *kache_conf_origin_file(const struct kache_conf *c, enum kache_conf_id id, unsigned *line)
{
	*line = c->v[id].line;
	return c->v[id].file;
}
