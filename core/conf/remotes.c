/* Which remotes there are: [cache.remote], [[cache.remotes]], or what a variable names.
 *
 * Options belong to the remote that they stand with, for they may be credentials: whoever names a remote,
 * by a later file or a variable, starts afresh and gets none of another one's. */
#include "config.h"
#include "conf/parts.h"

#include "base/buf.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

static void release_pairs(struct kache_conf_pair *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].key);
		free(v[i].value);
		free(v[i].origin);
	}
	free(v);
}

static void release_remotes(struct kache_remotes *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].url);
		free(r->v[i].name);
		free(r->v[i].origin);
		release_pairs(r->v[i].options, r->v[i].n_options);
	}
	free(r->v);
	*r = (struct kache_remotes){ 0 };
}

/* No remote of a file any more, and nothing of what went with it. */
static void start_afresh(struct kache_conf *c)
{
	static const enum kache_conf_id own[] = {
		KACHE_CONF_REMOTE_URL, KACHE_CONF_REMOTE_TYPE, KACHE_CONF_REMOTE_MODE, KACHE_CONF_REMOTE_RETRIES,
	};

	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (c->v[own[i]].file)
			kache_conf_default(c, own[i]);
	release_pairs(c->remote, c->n_remote);
	c->remote = NULL;
	c->n_remote = 0;
	release_remotes(&c->tiers);
	c->tiers_file = NULL;
}

void kache_conf_remotes_release(struct kache_conf *c)
{
	start_afresh(c);
	release_remotes(&c->remotes);
}

/* ---- files ---- */

static struct kache_toml *named(const struct kache_toml *table, const char *key)
{
	return table && table->type == KACHE_TOML_TABLE ? kache_toml_get(table, key) : NULL;
}

/* "s3": the start of a URL. */
static bool scheme_ok(const char *text, size_t len)
{
	return len && *text >= 'a' && *text <= 'z' && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+.-") == len;
}

/* What says which remote it is: url or type, and not both. `of` may be NULL. */
static int check_named(struct kache_conf_source *src, const struct kache_toml *of, const char *key)
{
	const struct kache_toml *url = named(of, "url"), *type = named(of, "type");

	if (url && type)
		return kache_fail(src->err, KACHE_E_INVALID, "%s:%u: %s.type beside the url of line %u; one of them says what the remote is",
				  src->file, type->line, key, url->line);
	if (type && type->type == KACHE_TOML_STRING && !scheme_ok(type->text, type->len))
		return kache_fail(src->err, KACHE_E_INVALID, "%s:%u: %s.type is '%s'; accepted is what a URL begins with, such as s3",
				  src->file, type->line, key, type->text);
	return KACHE_OK;
}

/* The first key of [cache.remote] that says something of one remote; NULL: none. */
static const struct kache_toml *about_one(const struct kache_toml *remote)
{
	const struct kache_toml *v = remote && remote->type == KACHE_TOML_TABLE ? remote->child : NULL;

	for (; v; v = v->next) {
		KACHE_AUTO_FREE char *key = kache_asprintf("cache.remote.%s", v->key);
		size_t id = kache_conf_find(key);

		if (id == KACHE_CONF_COUNT || id == KACHE_CONF_REMOTE_URL || id == KACHE_CONF_REMOTE_TYPE)
			return v;
	}
	return NULL;
}

int kache_conf_remotes_begin(struct kache_conf_source *src, const struct kache_toml *cache)
{
	const struct kache_toml *remote = kache_toml_get(cache, "remote"), *tiers = kache_toml_get(cache, "remotes");
	const struct kache_toml *one = about_one(remote);
	bool names = named(remote, "url") || named(remote, "type");
	struct kache_conf *c = src->c;

	if (src->project)
		return KACHE_OK;	/* told for each key */
	if (tiers && one)
		return kache_fail(src->err, KACHE_E_INVALID,
				  "%s:%u: cache.remote.%s beside the [[cache.remotes]] of line %u; a single remote is [cache.remote], several are [[cache.remotes]] alone",
				  src->file, one->line, one->key, tiers->line);
	if (one && !names && c->tiers_file)
		return kache_fail(src->err, KACHE_E_INVALID,
				  "%s:%u: cache.remote.%s without a url, beside the [[cache.remotes]] of %s:%u",
				  src->file, one->line, one->key, c->tiers_file, c->tiers_line);
	if (tiers || names)
		start_afresh(c);
	return check_named(src, remote, "cache.remote");
}

static int bad_option(struct kache_conf_source *src, const struct kache_toml *v, const char *table)
{
	return kache_fail(src->err, KACHE_E_INVALID, "%s:%u: %s.%s wants a string, a whole number, true or false", src->file,
			  v->line, table, v->key);
}

/* Takes value over. */
static void set_pair(struct kache_conf_pair **pairs, size_t *n, const char *key, char *value, char *origin)
{
	for (size_t i = 0; i < *n; i++) {
		struct kache_conf_pair *p = &(*pairs)[i];

		if (strcmp(p->key, key))
			continue;
		free(p->value);
		free(p->origin);
		p->value = value;
		p->origin = origin;
		return;
	}
	*pairs = kache_realloc(*pairs, *n + 1, sizeof **pairs);
	(*pairs)[(*n)++] = (struct kache_conf_pair){ kache_strdup(key), value, origin };
}

int kache_conf_remote_pair(struct kache_conf_source *src, const struct kache_toml *v)
{
	char *value;

	if (src->project)
		return kache_fail(src->err, KACHE_E_INVALID, "%s:%u: a project file may not set cache.remote.%s", src->file,
				  v->line, v->key);
	value = kache_conf_scalar(v);
	if (!value)
		return bad_option(src, v, "cache.remote");
	set_pair(&src->c->remote, &src->c->n_remote, v->key, value, kache_asprintf("%s:%u", src->file, v->line));
	return KACHE_OK;
}

/* Takes text, an option's value or part of the remote itself, over. */
static void set_key(struct kache_conf_remote *r, const char *key, char *text, char *origin)
{
	char *type = NULL;

	if (!strcmp(key, "url") || !strcmp(key, "type")) {
		if (*key == 't')
			text = kache_asprintf("%s:", type = text);
		free(type);
		r->url = text;
		r->origin = origin;
	} else if (!strcmp(key, "name")) {
		r->name = text;
		free(origin);
	} else {
		set_pair(&r->options, &r->n_options, key, text, origin);
	}
}

static int read_tier(struct kache_conf_source *src, const struct kache_toml *table)
{
	struct kache_remotes *tiers = &src->c->tiers;
	struct kache_conf_remote *r;
	int rc = check_named(src, table, "cache.remotes");

	if (!rc && !named(table, "url") && !named(table, "type"))
		rc = kache_fail(src->err, KACHE_E_INVALID, "%s:%u: a table of cache.remotes needs a url, or a type with options",
				src->file, table->line);
	if (rc)
		return rc;
	tiers->v = kache_realloc(tiers->v, tiers->n + 1, sizeof *tiers->v);
	r = &tiers->v[tiers->n++];
	*r = (struct kache_conf_remote){ 0 };
	for (const struct kache_toml *v = table->child; v; v = v->next) {
		bool text = !strcmp(v->key, "url") || !strcmp(v->key, "type") || !strcmp(v->key, "name");
		char *value = kache_conf_scalar(v);

		if (!value || !kache_conf_plain_key(v) || (text && (v->type != KACHE_TOML_STRING || !*value))) {
			free(value);
			return text ? kache_fail(src->err, KACHE_E_INVALID, "%s:%u: cache.remotes.%s wants a string", src->file,
						 v->line, v->key)
				    : bad_option(src, v, "cache.remotes");
		}
		set_key(r, v->key, value, kache_asprintf("%s:%u", src->file, v->line));
	}
	return KACHE_OK;
}

int kache_conf_remotes_read(struct kache_conf_source *src, const struct kache_toml *v)
{
	struct kache_conf *c = src->c;
	int rc = KACHE_OK;

	if (src->project)
		return kache_fail(src->err, KACHE_E_INVALID, "%s:%u: a project file may not set cache.remotes", src->file, v->line);
	if (v->type != KACHE_TOML_ARRAY)
		return kache_fail(src->err, KACHE_E_INVALID, "%s:%u: cache.remotes is an array of tables, each of them [[cache.remotes]]",
				  src->file, v->line);
	c->tiers_file = src->file;
	c->tiers_line = v->line;
	for (const struct kache_toml *t = v->child; t && !rc; t = t->next) {
		if (t->type != KACHE_TOML_TABLE)
			return kache_fail(src->err, KACHE_E_INVALID, "%s:%u: cache.remotes is an array of tables, each of them [[cache.remotes]]",
					  src->file, t->line);
		rc = read_tier(src, t);
	}
	if (rc)
		release_remotes(&c->tiers);
	return rc;
}

/* ---- which are in force ---- */

static struct kache_conf_remote *add(struct kache_conf *c, char *url, char *origin)
{
	struct kache_remotes *r = &c->remotes;

	r->v = kache_realloc(r->v, r->n + 1, sizeof *r->v);
	r->v[r->n] = (struct kache_conf_remote){ .url = url, .origin = origin };
	return &r->v[r->n++];
}

/* Several URLs with blanks between them: nearest first. */
static void from_urls(struct kache_conf *c, enum kache_conf_id id)
{
	const char *text = c->v[id].text;

	for (text += strspn(text, " \t\n"); *text; text += strspn(text, " \t\n")) {
		size_t n = strcspn(text, " \t\n");

		add(c, kache_strndup(text, n), kache_strdup(kache_conf_origin(c, id)));
		text += n;
	}
}

/* A URL, or what follows a scheme's "//". */
static void from_server(struct kache_conf *c, enum kache_conf_id id, const char *scheme)
{
	const char *text = c->v[id].text;
	bool url = strstr(text, "://") || !strncmp(text, "unix:", 5);

	add(c, url ? kache_strdup(text) : kache_asprintf("%s://%s", scheme, text), kache_strdup(kache_conf_origin(c, id)));
}

static void from_redis(struct kache_conf *c, enum kache_conf_id id)
{
	from_server(c, id, *c->v[id].text == '/' ? "unix" : "redis");
}

static void from_memcached(struct kache_conf *c, enum kache_conf_id id)
{
	from_server(c, id, *c->v[id].text == '/' ? "memcached+unix" : "memcached");
}

static void from_bucket(struct kache_conf *c, enum kache_conf_id id)
{
	struct kache_conf_remote *r = add(c, kache_asprintf("s3://%s", c->v[id].text), kache_strdup(kache_conf_origin(c, id)));

	if (c->v[KACHE_CONF_S3_PREFIX].text)
		set_pair(&r->options, &r->n_options, "prefix", kache_strdup(c->v[KACHE_CONF_S3_PREFIX].text),
			 kache_strdup(kache_conf_origin(c, KACHE_CONF_S3_PREFIX)));
}

/* The first one that is set counts. */
static const struct {
	enum kache_conf_id id;
	void (*use)(struct kache_conf *c, enum kache_conf_id id);
} variables[] = {
	{ KACHE_CONF_REMOTE_URL, from_urls },
	{ KACHE_CONF_REDIS, from_redis },
	{ KACHE_CONF_MEMCACHED, from_memcached },
	{ KACHE_CONF_S3_BUCKET, from_bucket },
};

static void add_options(struct kache_conf_remote *r, const struct kache_conf_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		set_pair(&r->options, &r->n_options, pairs[i].key, kache_strdup(pairs[i].value), kache_strdup(pairs[i].origin));
}

/* What files say of [cache.remote] for a key that is a setting. */
static void add_setting(const struct kache_conf *c, enum kache_conf_id id, struct kache_conf_remote *r)
{
	if (c->v[id].file)
		set_pair(&r->options, &r->n_options, kache_conf_schema(id)->key + strlen("cache.remote."),
			 kache_strdup(c->v[id].text), kache_strdup(kache_conf_origin(c, id)));
}

static void from_tables(struct kache_conf *c)
{
	enum kache_conf_id id = c->v[KACHE_CONF_REMOTE_TYPE].text ? KACHE_CONF_REMOTE_TYPE : KACHE_CONF_REMOTE_URL;

	for (size_t i = 0; i < c->tiers.n; i++) {
		const struct kache_conf_remote *tier = &c->tiers.v[i];
		struct kache_conf_remote *r = add(c, kache_strdup(tier->url), kache_strdup(tier->origin));

		r->name = tier->name ? kache_strdup(tier->name) : NULL;
		add_setting(c, KACHE_CONF_REMOTE_MODE, r);
		add_setting(c, KACHE_CONF_REMOTE_RETRIES, r);
		add_options(r, tier->options, tier->n_options);
	}
	if (!c->tiers.n && kache_conf_str(c, id)) {
		struct kache_conf_remote *r = add(c, kache_asprintf("%s%s", c->v[id].text, id == KACHE_CONF_REMOTE_TYPE ? ":" : ""),
						  kache_strdup(kache_conf_origin(c, id)));

		add_setting(c, KACHE_CONF_REMOTE_MODE, r);
		add_setting(c, KACHE_CONF_REMOTE_RETRIES, r);
		add_options(r, c->remote, c->n_remote);
	}
}

void kache_conf_remotes_settle(struct kache_conf *c)
{
	size_t i = 0;

	while (i < sizeof variables / sizeof *variables && !c->v[variables[i].id].from_env)
		i++;
	if (i < sizeof variables / sizeof *variables)
		start_afresh(c);
	if (c->v[KACHE_CONF_LOCAL_ONLY].flag)
		return;
	if (i < sizeof variables / sizeof *variables)
		variables[i].use(c, variables[i].id);
	else
		from_tables(c);
}

/* ---- reading ---- */

size_t kache_conf_remote(const struct kache_conf *c, const struct kache_conf_pair **out)
{
	*out = c->remote;
	return c->n_remote;
}

size_t kache_conf_remotes(const struct kache_conf *c, const struct kache_conf_remote **out)
{
	*out = c->remotes.v;
	return c->remotes.n;
}

bool kache_conf_has_remote(const struct kache_conf *c)
{
	return c->remotes.n > 0;
}

void kache_conf_remote_id(const struct kache_conf *c, struct kache_hash *out)
{
	static const char *const names[] = { "bucket", "endpoint", "prefix", "path" };
	const char *endpoint = getenv("KACHE_S3_ENDPOINT");
	struct kache_hasher h;

	kache_hasher_init(&h);
	for (size_t i = 0; i < c->remotes.n; i++) {
		const struct kache_conf_remote *r = &c->remotes.v[i];

		kache_hasher_str(&h, "url", r->url);
		if (endpoint && !strncmp(r->url, "s3:", 3))
			kache_hasher_str(&h, "endpoint of s3", endpoint);
		for (size_t k = 0; k < r->n_options; k++)
			for (size_t m = 0; m < sizeof names / sizeof *names; m++)
				if (!strcmp(r->options[k].key, names[m]))
					kache_hasher_str(&h, r->options[k].key, r->options[k].value);
	}
	kache_hasher_end(&h, out);
}
