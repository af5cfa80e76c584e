#include "config.h"
#include "remote/options.h"

#include "base/buf.h"
#include "base/path.h"
#include "base/strs.h"
#include "remote/loader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const struct kb_opt kache_core_options[] = {
	{ KB_OPT_ENUM, 0, 0, 0, "mode", NULL, "rw", "ro|rw", "KACHE_REMOTE_MODE",
	  "ro: never write to this remote" },
	{ KB_OPT_STR, 0, 0, 0, "prefix", NULL, "artifacts", NULL, NULL,
	  "folder that everything is kept below" },
	{ KB_OPT_MSEC, 0, 1, 3600 * 1000, "timeout", NULL, NULL, NULL, NULL,
	  "time for the beginning of an answer, if there are further remotes to ask" },
	{ KB_OPT_MSEC, 0, 1, 24 * 3600 * 1000, "transfer-timeout", NULL, "30s", NULL, NULL,
	  "time for one operation with its repetitions, beyond what its bytes take at 128 KiB/s" },
	{ KB_OPT_UINT, 0, 0, 20, "retries", NULL, "3", NULL, "KACHE_REMOTE_RETRIES",
	  "repetitions of an operation that fails for a moment" },
	{ KB_OPT_MSEC, 0, 1000, (uint64_t)3650 * 24 * 3600 * 1000, "ttl", NULL, NULL, NULL, NULL,
	  "life of what is put there, on servers that can let objects expire; as 7d" },
	{ KB_OPT_MSEC, 0, 0, 24 * 3600 * 1000, "attempt-timeout", NULL, "0s", NULL, NULL,
	  "time for one attempt of an operation, beyond what its bytes take; 0s: all the time of the operation" },
	{ KB_OPT_MSEC, 0, 0, 24 * 3600 * 1000, "negative-ttl", NULL, "60s", NULL, NULL,
	  "for how long an object that was not there is taken for absent without asking again" },
	{ KB_OPT_UINT, 0, 1, 1024, "max-inflight", NULL, "16", NULL, NULL,
	  "operations at the same time" },
	{ KB_OPT_UINT, 0, 0, 1000000, "rate", NULL, "0", NULL, NULL,
	  "operations begun per second; 0: as many as there are" },
	{ KB_OPT_ENUM, 0, 0, 0, "chunk", NULL, "auto", "auto|off", NULL,
	  "auto: cut objects to pieces where the server takes only small ones" },
	{ KB_OPT_SIZE, 0, 0, 0, "max-object", NULL, NULL, NULL, NULL,
	  "objects larger than this are left out" },
	{ 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};
/* Names that no backend may take for itself, so that they can be given a meaning for all. */
static const char *const set_aside[] = {
	"url", "type", "connect-timeout", "tier",
};

struct value {
	const struct kb_opt *opt;
	char *text;			/* NULL: unset */
	char *origin;
	uint64_t number;
};
struct kb_conf {
	char *url;
	struct value *values;
	size_t n;
};

/* A backend that knows more of it may declare it, and sees to it. */
static bool may_replace(const char *name)
{
	return !strcmp(name, "ttl");
}

static bool replaced(const struct kache_module *m, const struct kb_opt *core)
{
	for (size_t i = 0; i < m->n_opts && may_replace(core->name); i++)
		if (!strcmp(m->opts[i].name, core->name))
			return true;
	return false;
}

bool kache_option_reserved(const char *name)
{
	for (size_t i = 0; i < sizeof set_aside / sizeof *set_aside; i++)
		if (!strcmp(set_aside[i], name))
			return true;
	for (const struct kb_opt *o = kache_core_options; o->name; o++)
		if (!strcmp(o->name, name))
			return !may_replace(o->name);
	return false;
}

static int parse_number(const char *text, uint64_t *out, const char **end)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return KACHE_E_INVALID;
	errno = 0;
	*out = strtoull(text, &stop, 10);
	*end = stop;
	return errno ? KACHE_E_INVALID : KACHE_OK;
}

/* Is text one of "a|b|c"? */
static bool among(const char *values, const char *text)
{
	size_t len = strlen(text);

	for (const char *p = values; p && *p; p += strcspn(p, "|"), p += *p == '|')
		if (strcspn(p, "|") == len && !strncmp(p, text, len))
			return true;
	return false;
}

int kache_option_check(const struct kb_opt *o, const char *text, uint64_t *number)
{
	const char *end = "";
	int rc = KACHE_OK;

	*number = 0;
	switch ((enum kb_opt_type)o->type) {
	case KB_OPT_STR:
		return KACHE_OK;
	case KB_OPT_PATH:
		return *text == '/' || kache_starts(text, "~/") ? KACHE_OK : KACHE_E_INVALID;
	case KB_OPT_ENUM:
		return among(o->values, text) ? KACHE_OK : KACHE_E_INVALID;
	case KB_OPT_BOOL:
		if (!*text || kache_parse_bool(text) < 0)
			return KACHE_E_INVALID;
		*number = (uint64_t)kache_parse_bool(text);
		return KACHE_OK;
	case KB_OPT_UINT:
		rc = parse_number(text, number, &end);
		break;
	case KB_OPT_SIZE:
		rc = kache_parse_size(text, number);
		break;
	case KB_OPT_MSEC:
		rc = kache_parse_msec(text, number);
		break;
	default:
		return KACHE_E_INVALID;
	}
	if (rc || *end)
		return KACHE_E_INVALID;
	return (o->min || o->max) && (*number < o->min || *number > o->max) ? KACHE_E_INVALID : KACHE_OK;
}

char *kache_option_accepts(const struct kb_opt *o)
{
	static const char *const kinds[] = {
		[KB_OPT_STR] = "text", [KB_OPT_BOOL] = "true or false", [KB_OPT_UINT] = "a number",
		[KB_OPT_SIZE] = "a size as 50MB or 1GiB", [KB_OPT_MSEC] = "a time as 500ms or 30s",
		[KB_OPT_PATH] = "an absolute path",
	};
	struct kache_buf b = KACHE_BUF_INIT;

	if (o->type == KB_OPT_ENUM) {
		for (const char *p = o->values ? o->values : ""; *p; p++) {
			if (*p != '|')
				kache_buf_ch(&b, *p);
			else
				kache_buf_str(&b, strchr(p + 1, '|') ? ", " : " or ");
		}
		return kache_buf_steal(&b);
	}
	kache_buf_str(&b, o->type < sizeof kinds / sizeof *kinds ? kinds[o->type] : "a value of a later kache");
	if ((o->min || o->max) && o->type == KB_OPT_MSEC)
		kache_buf_fmt(&b, ", %" PRIu64 "ms to %" PRIu64 "s", o->min, o->max / 1000);
	else if (o->min || o->max)
		kache_buf_fmt(&b, " from %" PRIu64 " to %" PRIu64, o->min, o->max);
	return kache_buf_steal(&b);
}

static struct value *find(const kb_conf *c, const char *name, bool former)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->values[i].opt->name, name) ||
		    (former && c->values[i].opt->alias && !strcmp(c->values[i].opt->alias, name)))
			return &c->values[i];
	return NULL;
}

/* Takes origin over. */
static int set(struct value *v, const char *text, char *origin, struct kache_error *err)
{
	KACHE_AUTO_FREE char *accepts = NULL;

	free(v->origin);
	free(v->text);
	v->text = NULL;
	v->origin = origin;
	if (kache_option_check(v->opt, text, &v->number)) {
		accepts = kache_option_accepts(v->opt);
		return kache_fail(err, KACHE_E_INVALID, "%s: %s = '%s' is not accepted; it takes %s", origin, v->opt->name,
				  v->opt->flags & KB_OPT_SECRET ? "***" : text, accepts);
	}
	if (v->opt->type == KB_OPT_PATH && *text == '~')
		v->text = kache_path_join(getenv("HOME") ? getenv("HOME") : "/", text + 2);
	else
		v->text = kache_strdup(text);
	return KACHE_OK;
}

static int unknown(const kb_conf *c, const char *backend, const char *key, const char *origin, struct kache_error *err)
{
	const char *best = NULL;
	size_t distance = 4;

	for (size_t i = 0; i < sizeof set_aside / sizeof *set_aside; i++)
		if (!strcmp(set_aside[i], key))
			return kache_fail(err, KACHE_E_INVALID, "%s: %s is not supported by this version of kache", origin,
					  key);
	for (size_t i = 0; i < c->n; i++) {
		size_t d = kache_edit_distance(key, c->values[i].opt->name);

		if (d < distance) {
			distance = d;
			best = c->values[i].opt->name;
		}
	}
	if (best)
		return kache_fail(err, KACHE_E_INVALID, "%s: the %s backend has no option '%s'; did you mean '%s'?", origin,
				  backend, key, best);
	return kache_fail(err, KACHE_E_INVALID, "%s: the %s backend has no option '%s' (see kache plugin show %s)", origin,
			  backend, key, backend);
}

static int from_environment(struct value *v, struct kache_error *err)
{
	const char *text = v->opt->env ? getenv(v->opt->env) : NULL;

	if (!text || !*text)
		return KACHE_OK;
	return set(v, text, kache_asprintf("environment %s", v->opt->env), err);
}

static bool is_core(const struct kb_opt *o)
{
	for (const struct kb_opt *core = kache_core_options; core->name; core++)
		if (o == core)
			return true;
	return false;
}

/* The sources from the weakest to the strongest, each over the one before. */
static int gather(kb_conf *c, const char *backend, const struct kache_options_source *src, struct kache_error *err)
{
	struct value *v;
	int rc = KACHE_OK;

	for (size_t i = 0; i < c->n && !rc; i++) {
		v = &c->values[i];
		if (v->opt->def)
			rc = set(v, v->opt->def, kache_strdup("default"), err);
		if (!rc && !is_core(v->opt))
			rc = from_environment(v, err);
	}
	for (size_t i = 0; i < src->n_pairs && !rc; i++) {
		v = find(c, src->pairs[i].key, true);
		rc = v ? set(v, src->pairs[i].value, kache_strdup(src->pairs[i].origin), err)
		       : unknown(c, backend, src->pairs[i].key, src->pairs[i].origin, err);
	}
	for (size_t i = 0; i < c->n && !rc; i++)
		if (is_core(c->values[i].opt))
			rc = from_environment(&c->values[i], err);
	for (size_t i = 0; i < src->url->n_params && !rc; i++) {
		v = find(c, src->url->params[i].key, true);
		rc = v ? set(v, src->url->params[i].value, kache_strdup("URL"), err)
		       : unknown(c, backend, src->url->params[i].key, "URL", err);
	}
	return rc;
}

static int require(const kb_conf *c, const char *backend, struct kache_error *err)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct kb_opt *o = c->values[i].opt;

		if (!(o->flags & KB_OPT_REQUIRED) || c->values[i].text)
			continue;
		return kache_fail(err, KACHE_E_INVALID, "the %s backend needs the option %s: in the URL as ?%s=…, as cache.remote.%s%s%s",
				  backend, o->name, o->name, o->name, o->env ? ", or in " : "", o->env ? o->env : "");
	}
	return KACHE_OK;
}

int kache_options_parse(const struct kache_module *m, const struct kache_options_source *src, kb_conf **out,
			struct kache_error *err)
{
	kb_conf *c = kache_calloc(1, sizeof *c);
	size_t n = 0;
	int rc;

	*out = NULL;
	c->url = kache_strdup(src->url->base);
	for (const struct kb_opt *o = kache_core_options; o->name; o++)
		n++;
	c->values = kache_calloc(n + m->n_opts, sizeof *c->values);
	for (const struct kb_opt *o = kache_core_options; o->name; o++)
		if (!replaced(m, o))
			c->values[c->n++].opt = o;
	for (size_t i = 0; i < m->n_opts; i++)
		c->values[c->n++].opt = &m->opts[i];
	rc = gather(c, m->be.name, src, err);
	if (!rc)
		rc = require(c, m->be.name, err);
	if (rc)
		kache_options_free(c);
	else
		*out = c;
	return rc;
}

void kache_options_free(kb_conf *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++) {
		free(c->values[i].text);
		free(c->values[i].origin);
	}
	free(c->values);
	free(c->url);
	free(c);
}

const char *kache_options_str(const kb_conf *c, const char *name)
{
	const struct value *v;

	if (!strcmp(name, "url"))
		return c->url;
	v = find(c, name, false);
	return v ? v->text : NULL;
}

bool kache_options_core(const kb_conf *c, const char *name)
{
	const struct value *v = find(c, name, false);

	return v && is_core(v->opt);
}

uint64_t kache_options_u64(const kb_conf *c, const char *name)
{
	const struct value *v = find(c, name, false);

	return v && v->text ? v->number : 0;
}

const char *kache_options_origin(const kb_conf *c, const char *name)
{
	const struct value *v = find(c, name, false);

	return !v ? NULL : v->text ? v->origin : "unset";
}
