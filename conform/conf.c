/* Group conf: the options that the module declares. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char canary[] = "canary-7f3a9c";

static bool is_it(const struct kb_opt *o, const char *key)
{
	return !strcmp(o->name, key) || (o->alias && !strcmp(o->alias, key));
}

static void without(struct kache_url *u, const struct kb_opt *o)
{
	for (size_t i = 0; i < u->n_params;) {
		if (!is_it(o, u->params[i].key)) {
			i++;
			continue;
		}
		free(u->params[i].key);
		free(u->params[i].value);
		u->params[i] = u->params[--u->n_params];
	}
}

/* The run's own options, of which o (if any) is given as `key` anew; value NULL: it is taken out. */
static int parse(struct kit *k, const char *text_of_url, const struct kb_opt *o, const char *value, kb_conf **out,
		 struct kache_error *err)
{
	struct kache_conf_pair *pairs = kache_calloc(k->n_pairs + 2, sizeof *pairs);
	KACHE_AUTO_FREE char *env = o && o->env && getenv(o->env) ? kache_strdup(getenv(o->env)) : NULL;
	struct kache_options_source src = { .pairs = pairs };
	struct kache_url url;
	int rc;

	for (size_t i = 0; i < k->n_pairs; i++)
		if (!o || !is_it(o, k->pairs[i].key))
			pairs[src.n_pairs++] = k->pairs[i];
	if (o && value)
		pairs[src.n_pairs++] = (struct kache_conf_pair){ .key = (char *)o->name, .value = (char *)value, .origin = (char *)"the kit" };
	*out = NULL;
	rc = kache_url_parse(text_of_url, &url, err);
	if (!rc) {
		if (o)
			without(&url, o);
		if (env)
			unsetenv(o->env);
		src.url = &url;
		rc = kache_options_parse(k->m, &src, out, err);
		if (env)
			setenv(o->env, env, 1);
		kache_url_release(&url);
	}
	free(pairs);
	return rc;
}

static int check(struct kit *k, const kb_conf *conf, struct kache_call *c)
{
	kache_call_init(c, UINT64_MAX, -1);
	return k->m->be.check ? k->m->be.check(conf, &c->kb) : KB_OK;
}

/* A value is refused, before anything is opened, in words that name the option. */
static void refused(struct kit *k, const struct kb_opt *o, const char *value, const char *what)
{
	struct kache_error err = { 0, "" };
	kb_conf *conf;
	int rc = parse(k, k->url, o, value, &conf, &err);

	kit_ok(rc && strstr(err.text, o->name), "option %s: %s", o->name, what);
	kache_options_free(conf);
}

static void bounds(struct kit *k, const struct kb_opt *o)
{
	const char *unit = o->type == KB_OPT_MSEC ? "ms" : o->type == KB_OPT_SIZE ? "B" : "";
	KACHE_AUTO_FREE char *low = kache_asprintf("%" PRIu64 "%s", o->min - 1, unit);
	KACHE_AUTO_FREE char *high = kache_asprintf("%" PRIu64 "%s", o->max + 1, unit);

	kit_ok(o->min <= o->max, "option %s: its bounds are in order", o->name);
	if (o->min)
		refused(k, o, low, "less than its least is refused by name");
	if (o->max && o->max < UINT64_MAX)
		refused(k, o, high, "more than its most is refused by name");
}

static void each_option(struct kit *k, const struct kb_opt *o)
{
	static const char *const wrong[] = {
		[KB_OPT_BOOL] = "perhaps", [KB_OPT_UINT] = "-1", [KB_OPT_SIZE] = "many", [KB_OPT_MSEC] = "soon",
		[KB_OPT_ENUM] = "no-such-value", [KB_OPT_PATH] = "relative/path",
	};
	uint64_t number;

	kit_ok(o->help && *o->help && !strchr(o->help, '\n'), "option %s has a line of help", o->name);
	kit_ok(kache_module_name_ok(o->name) && !kache_option_reserved(o->name) && !(o->alias && kache_option_reserved(o->alias)),
	       "option %s: its name is none of kache's own", o->name);
	for (const struct kb_opt *p = k->m->opts; p < o; p++)
		if (is_it(p, o->name) || (o->alias && is_it(p, o->alias)))
			kit_ok(false, "option %s is declared once", o->name);
	if (o->type == KB_OPT_ENUM)
		kit_ok(o->values && *o->values, "option %s says which values it takes", o->name);
	if (o->def)
		kit_ok(!kache_option_check(o, o->def, &number), "option %s: its default is a value that it takes", o->name);
	if (o->flags & KB_OPT_REQUIRED)
		refused(k, o, NULL, "missing, it is named");
	if (o->type < sizeof wrong / sizeof *wrong && wrong[o->type])
		refused(k, o, wrong[o->type], "a value that it does not take is refused by name");
	if ((o->min || o->max) && (o->type == KB_OPT_UINT || o->type == KB_OPT_SIZE || o->type == KB_OPT_MSEC))
		bounds(k, o);
}

/* ---- secrets ---- */

/* Everything that the host's log gets goes to a file between these two, down to the finest level. */
struct capture {
	FILE *f;
	int stderr_fd;
	enum kache_log_level level;
};

static bool capture(struct capture *c)
{
	c->f = tmpfile();
	c->stderr_fd = dup(STDERR_FILENO);
	if (!c->f || c->stderr_fd < 0)
		return false;
	fflush(stderr);
	dup2(fileno(c->f), STDERR_FILENO);
	c->level = kache_log_level;
	kache_log_level = KACHE_LOG_TRACE;
	return true;
}

static bool captured(struct capture *c)
{
	bool leaked = false;
	char line[4096];

	fflush(stderr);
	kache_log_level = c->level;
	dup2(c->stderr_fd, STDERR_FILENO);
	close(c->stderr_fd);
	rewind(c->f);
	while (fgets(line, sizeof line, c->f))
		leaked |= strstr(line, canary) != NULL;
	fclose(c->f);
	return leaked;
}

static bool has_canary(void)
{
	return strstr(kit_text, canary) != NULL;
}

/* What a backend says while it uses these options: in check, and where it knocks at the server's door. */
static bool leaks(struct kit *k, kb_conf *conf)
{
	KACHE_AUTO_FREE char *key = kache_asprintf("%ssecret", k->prefix);
	const struct kit_call how = { .ms = 3000 };
	kb_conf *before = k->conf;
	struct kit_source src;
	struct kit_sink sink;
	struct kb_limits l;
	struct kache_call c;
	kb_handle *h;
	bool leaked;
	int rc = check(k, conf, &c);

	leaked = strstr(c.err.text, canary) != NULL;
	if (rc)
		return leaked;
	k->conf = conf;
	rc = kit_open(k, &h, &l, &how);
	leaked |= has_canary();
	if (!rc && h) {
		kit_sink_init(&sink, 1 << 20);
		(void)kit_get(k, h, key, &sink.kb, &how);
		leaked |= has_canary();
		kit_sink_release(&sink);
		kit_source_init(&src, "x", 1);
		rc = kit_put(k, h, key, &src.kb, 0, &how);
		leaked |= has_canary();
		if (rc >= 0)
			(void)kit_del(k, h, key, &how);
		if (k->m->be.ping)
			(void)kit_ping(k, h, &l, &how);
		leaked |= has_canary();
		k->m->be.close(h);
	}
	k->conf = before;
	return leaked;
}

static void tell_nothing(struct kit *k, const char *url, const struct kb_opt *o, const char *what)
{
	struct kache_error err = { 0, "" };
	struct capture c;
	bool leaked;
	kb_conf *conf;

	if (parse(k, url, o, canary, &conf, &err)) {
		kit_ok(!strstr(err.text, canary), "%s is in no error", what);
		return;
	}
	if (!capture(&c)) {
		kit_skip("no temporary file", "%s is in no error and no log line", what);
		kache_options_free(conf);
		return;
	}
	leaked = leaks(k, conf);
	leaked |= captured(&c);
	kit_ok(!leaked, "%s is in no error and no log line", what);
	kache_options_free(conf);
}

/* The same for a password in the URL, which not every backend takes: none may repeat it. */
static void password_of_url(struct kit *k)
{
	const char *host = strstr(k->url, "://"), *at;
	KACHE_AUTO_FREE char *url = NULL;

	if (!host || !host[3] || host[3] == '/') {
		kit_skip("no server in the URL", "a password in the URL is in no error and no log line");
		return;
	}
	host += 3;
	at = memchr(host, '@', strcspn(host, "/?#"));
	url = kache_asprintf("%.*suser:%s@%s", (int)(host - k->url), k->url, canary, at ? at + 1 : host);
	tell_nothing(k, url, NULL, "a password in the URL");
}

void kit_conf(struct kit *k)
{
	static const struct kb_opt unknown = { .name = "no-such-option" };
	struct kache_call c;
	unsigned fds;
	int rc;

	for (size_t i = 0; i < k->m->n_opts; i++)
		each_option(k, &k->m->opts[i]);
	for (size_t i = 0; i < k->m->n_opts; i++) {
		if (k->m->opts[i].flags & KB_OPT_SECRET) {
			KACHE_AUTO_FREE char *what = kache_asprintf("option %s: its value", k->m->opts[i].name);

			tell_nothing(k, k->url, &k->m->opts[i], what);
		}
	}
	password_of_url(k);
	refused(k, &unknown, "1", "which is none, is refused by name");
	fds = kit_fds();
	rc = check(k, k->conf, &c);
	kit_ok(rc == KB_OK && kit_fds() == fds, "check takes the options of this run, and opens nothing (%s)", rc ? c.err.text : "ok");
}
