/* What every call of a compiler has, whatever the language: a beginning, the user's rules, an event, and the
 * way out of every doubt. */
#include "config.h"
#include "wrapper/call.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "wrapper/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct kache_hash *kache_prefilling;

const char *kache_env(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "";
}

const char *kache_call_begin(struct kache_call *c, char **argv, struct kache_error *err)
{
	c->argv = argv;
	c->started_us = (uint64_t)(kache_now_real() / 1000);
	c->started_ms = c->started_us / 1000;
	err->text[0] = '\0';
	c->cwd = getcwd(NULL, 0);
	if (!c->cwd)
		return "no-working-directory";
	if (kache_conf_load(c->cwd, &c->conf, err))
		return "configuration";
	kache_log_level = (enum kache_log_level)kache_log_parse(kache_conf_str(c->conf, KACHE_CONF_LOG));
	return kache_conf_bool(c->conf, KACHE_CONF_DISABLED) ? "disabled" : NULL;
}

int kache_call_store(struct kache_call *c, struct kache_error *err)
{
	int rc = kache_store_open(kache_conf_str(c->conf, KACHE_CONF_CACHE_DIR), true, &c->store, err);

	if (!rc)
		c->store->verify = kache_conf_bool(c->conf, KACHE_CONF_VERIFY);
	return rc;
}

enum kache_link_policy kache_call_link_policy(const struct kache_call *c)
{
	static const char *const policies[] = { "auto", "reflink", "hardlink", "copy" };
	const char *given = kache_conf_str(c->conf, KACHE_CONF_LINK);
	size_t i = 0;

	while (i + 1 < sizeof policies / sizeof *policies && strcmp(policies[i], given))
		i++;
	return (enum kache_link_policy)i;
}

bool kache_call_read_input(struct kache_call *c)
{
	enum { MOST = 16 << 20 };
	ssize_t n;

	if (isatty(STDIN_FILENO))
		return false;
	kache_buf_add(&c->input, "", 0);
	while ((n = read(STDIN_FILENO, kache_buf_reserve(&c->input, 65536), 65536)) > 0 || (n < 0 && errno == EINTR)) {
		if (n > 0)
			c->input.len += (size_t)n;
		if (c->input.len > MOST)
			return false;
	}
	return n == 0;
}

/* Standard input that was read for the key has to be there again, with what was left of it. */
static void put_input_back(struct kache_call *c)
{
	FILE *copy = tmpfile();
	bool good = copy && !kache_write_all(fileno(copy), c->input.data, c->input.len);
	char rest[65536];
	ssize_t n;

	while (good && ((n = read(STDIN_FILENO, rest, sizeof rest)) > 0 || (n < 0 && errno == EINTR)))
		good = n < 0 || !kache_write_all(fileno(copy), rest, (size_t)n);
	if (good && !lseek(fileno(copy), 0, SEEK_SET))
		dup2(fileno(copy), STDIN_FILENO);
}

void kache_call_exec(struct kache_call *c)
{
	if (c->input.data)
		put_input_back(c);
	kache_report_hand_on(c->argv[0]);
	execvp(c->argv[0], c->argv);
	kache_error_log("%s: %s", c->argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

void kache_call_event(struct kache_call *c, const char *result, const char *reason, const char *detail)
{
	KACHE_AUTO_BUF struct kache_buf line = KACHE_BUF_INIT;
	const uint64_t now = (uint64_t)(kache_now_real() / 1000);
	struct kache_event *e = &c->event;

	if (!c->store)
		return;
	e->result = result;
	e->reason = reason;
	e->detail = detail;
	e->crate = c->unit;
	e->package = c->package;
	e->kind = c->kind;
	e->profile = c->profile;
	e->root = c->cwd;
	e->target = c->target ? c->target : c->compiler.host;
	e->time_ms = c->started_ms;
	e->total_us = now > c->started_us ? now - c->started_us : 0;	/* unless the clock was set back */
	kache_event_encode(e, &line);
	(void)kache_store_event(c->store, line.data, line.len);
	kache_debug("%s %s%s%s%s%s", result, c->unit ? c->unit : "-", reason ? ": " : "", reason ? reason : "",
		    detail ? " " : "", detail ? detail : "");
}

void kache_call_passthrough(struct kache_call *c, const char *reason, const char *detail)
{
	kache_call_event(c, "passthrough", reason, detail);
	kache_call_exec(c);
}

static bool matches_any(const struct kache_strs *patterns, const char *s)
{
	for (size_t i = 0; s && i < patterns->n; i++)
		if (kache_glob(patterns->v[i], s))
			return true;
	return false;
}

static bool variable_set(const char *rule)
{
	size_t len = strcspn(rule, "=");
	KACHE_AUTO_FREE char *name = kache_strndup(rule, len);
	const char *value = getenv(name);

	return value && (!rule[len] || !strcmp(value, rule + len + 1));
}

const char *kache_call_bypassed(struct kache_call *c, const char *source, const struct kache_strs *words, bool executable,
				const char **detail)
{
	const struct kache_conf *f = c->conf;
	const struct kache_strs *env = kache_conf_list(f, KACHE_CONF_BYPASS_ENV);
	const struct kache_strs *argv = kache_conf_list(f, KACHE_CONF_BYPASS_ARGV);

	*detail = c->unit;
	if (matches_any(kache_conf_list(f, KACHE_CONF_BYPASS_CRATES), c->unit))
		return "bypass-crate";
	*detail = source;
	if (source) {
		KACHE_AUTO_FREE char *full = kache_path_absolute(c->cwd, source);

		if (matches_any(kache_conf_list(f, KACHE_CONF_EXCLUDE), source) ||
		    matches_any(kache_conf_list(f, KACHE_CONF_EXCLUDE), full))
			return "exclude";
	}
	for (size_t i = 0; i < words->n; i++) {
		*detail = words->v[i];
		if (matches_any(argv, *detail))
			return "bypass-argv";
	}
	for (size_t i = 0; i < env->n; i++) {
		*detail = env->v[i];
		if (variable_set(env->v[i]))
			return "bypass-env";
	}
	*detail = NULL;
	return executable && !kache_conf_bool(f, KACHE_CONF_EXECUTABLES) ? "executables-off" : NULL;
}

void kache_uncached(char **argv, const char *reason)
{
	static struct kache_call call;
	struct kache_call *c = &call;

	c->argv = argv;
	c->started_us = (uint64_t)(kache_now_real() / 1000);
	c->started_ms = c->started_us / 1000;
	c->cwd = getcwd(NULL, 0);
	c->kind = "other";
	if (c->cwd && !kache_conf_load(c->cwd, &c->conf, NULL) && !kache_conf_bool(c->conf, KACHE_CONF_DISABLED))
		(void)kache_store_open(kache_conf_str(c->conf, KACHE_CONF_CACHE_DIR), true, &c->store, NULL);
	kache_call_passthrough(c, reason, kache_path_base(argv[0]));
}
