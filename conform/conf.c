/* Group conf: the options that the module declares. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char canary[] = "canary-7f3a9c";

/* The run's own options with one of them set anew (value NULL: taken out). */
static int parse(struct kit *k, const char *key, const char *value, kb_conf **out, struct kache_error *err)
{
	struct kache_conf_pair *pairs = kache_calloc(k->n_pairs + 2, sizeof *pairs);
	struct kache_options_source src = { .pairs = pairs };
	struct kache_url url;
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < k->n_pairs; i++)
		if (!key || strcmp(k->pairs[i].key, key))
			pairs[n++] = k->pairs[i];
	if (key && value)
		pairs[n++] = (struct kache_conf_pair){ .key = (char *)key, .value = (char *)value, .origin = (char *)"the kit" };
	src.n_pairs = n;
	*out = NULL;
	rc = kache_url_parse(k->url, &url, err);
	if (!rc) {
		src.url = &url;
		rc = kache_options_parse(k->m, &src, out, err);
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

static void each_option(struct kit *k, const struct kb_opt *o)
{
	static const char *const wrong[] = {
		[KB_OPT_BOOL] = "perhaps", [KB_OPT_UINT] = "-1", [KB_OPT_SIZE] = "many", [KB_OPT_MSEC] = "soon",
		[KB_OPT_ENUM] = "no-such-value", [KB_OPT_PATH] = "relative/path",
	};
	struct kache_error err = { 0, "" };
	uint64_t number;
	kb_conf *conf;

	kit_ok(o->help && *o->help && !strchr(o->help, '\n'), "option %s has a line of help", o->name);
	if (o->def)
		kit_ok(!kache_option_check(o, o->def, &number), "option %s: its default is a value that it takes", o->name);
	if (o->flags & KB_OPT_REQUIRED) {
		int rc = parse(k, o->name, NULL, &conf, &err);

		kit_ok(rc && strstr(err.text, o->name), "option %s: missing, it is named", o->name);
		kache_options_free(conf);
	}
	if (o->type < sizeof wrong / sizeof *wrong && wrong[o->type]) {
		int rc = parse(k, o->name, wrong[o->type], &conf, &err);

		kit_ok(rc && strstr(err.text, o->name), "option %s: a value that it does not take is refused by name", o->name);
		kache_options_free(conf);
	}
}

/* With a secret that is the canary: nothing that is said may hold it. */
static void each_secret(struct kit *k, const struct kb_opt *o)
{
	struct kache_error err = { 0, "" };
	KACHE_AUTO_FREE char *path = NULL;
	struct kb_limits limits;
	struct kache_call c;
	kb_handle *h = NULL;
	kb_conf *conf, *before = k->conf;
	bool leaked = false;
	char line[4096];
	FILE *f = tmpfile();
	int err_fd = dup(2), rc;

	if (!f || err_fd < 0 || parse(k, o->name, canary, &conf, &err)) {
		kit_ok(!strstr(err.text, canary), "option %s: its value is in no error", o->name);
		return;
	}
	fflush(stderr);
	dup2(fileno(f), 2);
	rc = check(k, conf, &c);
	leaked |= strstr(c.err.text, canary) != NULL;
	if (!rc) {
		const struct kit_call how = { .ms = 5000 };

		k->conf = conf;
		rc = kit_open(k, &h, &limits, &how);
		leaked |= strstr(kit_text, canary) != NULL;
		if (!rc && h)
			k->m->be.close(h);
		k->conf = before;
	}
	dup2(err_fd, 2);
	close(err_fd);
	rewind(f);
	while (fgets(line, sizeof line, f))
		leaked |= strstr(line, canary) != NULL;
	fclose(f);
	kit_ok(!leaked, "option %s: its value is in no error and no log line", o->name);
	kache_options_free(conf);
}

void kit_conf(struct kit *k)
{
	struct kache_error err = { 0, "" };
	struct kache_call c;
	kb_conf *conf;
	unsigned fds;
	int rc;

	for (size_t i = 0; i < k->m->n_opts; i++)
		each_option(k, &k->m->opts[i]);
	for (size_t i = 0; i < k->m->n_opts; i++)
		if (k->m->opts[i].flags & KB_OPT_SECRET)
			each_secret(k, &k->m->opts[i]);
	rc = parse(k, "no-such-option", "1", &conf, &err);
	kit_ok(rc && strstr(err.text, "no-such-option"), "an unknown option is refused by name");
	kache_options_free(conf);
	fds = kit_fds();
	rc = check(k, k->conf, &c);
	kit_ok(rc == KB_OK && kit_fds() == fds, "check takes the options of this run, and opens nothing (%s)", rc ? c.err.text : "ok");
}
