/* kache plugin: which backends there are, and what each takes. */
#include "config.h"
#include "cli/cmd.h"
#include "cli/plugin.h"

#include "base/buf.h"
#include "base/json.h"
#include "remote/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

extern const struct kache_command kache_cmd_plugin;

const char *kache_plugin_threads(uint32_t threads)
{
	return threads == KB_THREADS_SERIAL ? "serial" : threads == KB_THREADS_PER_HANDLE ? "per handle" : "parallel";
}

const char *kache_plugin_cap(size_t n, uint32_t *bit)
{
	static const struct { uint32_t bit; const char *name; } caps[] = {
		{ KB_CAP_WRITE, "write" }, { KB_CAP_ATOMIC_PUT, "atomic-put" }, { KB_CAP_PUT_IF_ABSENT, "put-if-absent" },
		{ KB_CAP_READ_OWN, "read-own" }, { KB_CAP_TTL, "ttl" }, { KB_CAP_MAY_EVICT, "may-evict" }, { KB_CAP_FD, "fd" },
	};

	if (n >= sizeof caps / sizeof *caps)
		return NULL;
	*bit = caps[n].bit;
	return caps[n].name;
}

/* ---- list ---- */

static void list_json(const struct kache_dropin *d, const struct kache_module *m, const char *problem, struct kache_json *j)
{
	kache_json_open(j, NULL, '{');
	kache_json_str(j, "name", d->name);
	kache_json_bool(j, "usable", m != NULL);
	kache_json_str(j, "problem", problem);
	kache_json_bool(j, "disabled", d->disabled);
	kache_json_bool(j, "critical", d->critical);
	kache_json_str(j, "schemes", d->schemes ? d->schemes : m ? m->be.schemes : NULL);
	kache_json_str(j, "summary", d->summary ? d->summary : m ? m->be.summary : NULL);
	kache_json_str(j, "version", m ? m->be.version : NULL);
	kache_json_str(j, "module", d->module);
	kache_json_str(j, "origin", d->origin);
	kache_json_close(j, '}');
}

static void list_text(const struct kache_dropin *d, const struct kache_module *m, const char *problem, struct kache_buf *b)
{
	const char *schemes = d->schemes ? d->schemes : m ? m->be.schemes : "-";
	const char *summary = d->summary ? d->summary : m ? m->be.summary : "";

	if (problem)
		kache_buf_fmt(b, "%-12s %-20s %s: %s\n", d->name, schemes, d->disabled ? "disabled" : "not usable", problem);
	else
		kache_buf_fmt(b, "%-12s %-20s %s\n", d->name, schemes, summary);
}

static int list(bool json)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_json j = { .out = &b };
	struct kache_dropins all;
	struct kache_conf *conf;
	bool critical = false;
	int status = kache_cli_conf(&conf);

	if (status)
		return status;
	kache_dropins_find(conf, &all);
	if (json)
		kache_json_open(&j, NULL, '[');
	for (size_t i = 0; i < all.n; i++) {
		const struct kache_dropin *d = &all.v[i];
		struct kache_module *m = NULL;
		struct kache_error err;
		const char *problem = kache_dropin_load(d, &m, &err) ? err.text : NULL;

		critical |= problem && d->critical && !d->disabled;
		if (json)
			list_json(d, m, problem, &j);
		else
			list_text(d, m, problem, &b);
	}
	if (json) {
		kache_json_close(&j, ']');
		kache_buf_ch(&b, '\n');
	}
	kache_dropins_release(&all);
	kache_conf_free(conf);
	status = kache_cli_print(&b);
	return status ? status : critical ? KACHE_EXIT_FAILED : KACHE_EXIT_OK;
}

/* ---- show ---- */

static void show_option(const struct kb_opt *o, struct kache_buf *b)
{
	KACHE_AUTO_FREE char *accepts = kache_option_accepts(o);

	kache_buf_fmt(b, "  %-16s %s\n", o->name, o->help ? o->help : "");
	kache_buf_fmt(b, "  %-16s %s%s%s", "", accepts, o->def ? "; default " : "", o->def ? o->def : "");
	if (o->flags & KB_OPT_REQUIRED)
		kache_buf_str(b, "; required");
	if (o->flags & KB_OPT_SECRET)
		kache_buf_str(b, "; secret");
	if (o->env)
		kache_buf_fmt(b, "; variable %s", o->env);
	if (o->alias)
		kache_buf_fmt(b, "; formerly %s", o->alias);
	kache_buf_ch(b, '\n');
}

static void show_text(const struct kache_dropin *d, const struct kache_module *m, struct kache_buf *b)
{
	const char *cap;
	uint32_t bit;

	kache_buf_fmt(b, "%s %s: %s\n", m->be.name, m->be.version, m->be.summary);
	kache_buf_fmt(b, "  schemes          %s\n", m->be.schemes);
	kache_buf_fmt(b, "  module           %s (owner and mode are as they should be)\n", m->path);
	kache_buf_fmt(b, "  registered by    %s\n", d->origin);
	kache_buf_fmt(b, "  ABI              %u.%u\n", m->be.abi_major, m->be.abi_minor);
	kache_buf_fmt(b, "  threads          %s\n", kache_plugin_threads(m->be.threads));
	kache_buf_str(b, "  capabilities    ");
	for (size_t i = 0; (cap = kache_plugin_cap(i, &bit)); i++)
		if (m->be.caps & bit)
			kache_buf_fmt(b, " %s", cap);
	kache_buf_fmt(b, "\n  operations       get put%s%s%s%s%s%s\n", m->be.head ? " head" : "", m->be.del ? " del" : "",
		      m->be.touch ? " touch" : "", m->be.list ? " list" : "", m->be.batch ? " batch" : "",
		      m->be.ping ? " ping" : "");
	kache_buf_str(b, m->n_opts ? "\nIts options:\n" : "\nIt has no options of its own.\n");
	for (size_t i = 0; i < m->n_opts; i++)
		show_option(&m->opts[i], b);
	kache_buf_str(b, "\nOptions of every backend:\n");
	for (const struct kb_opt *o = kache_core_options; o->name; o++)
		show_option(o, b);
}

static void json_option(const struct kb_opt *o, struct kache_json *j)
{
	KACHE_AUTO_FREE char *accepts = kache_option_accepts(o);

	kache_json_open(j, NULL, '{');
	kache_json_str(j, "name", o->name);
	kache_json_str(j, "accepts", accepts);
	kache_json_str(j, "default", o->def);
	kache_json_bool(j, "required", o->flags & KB_OPT_REQUIRED);
	kache_json_bool(j, "secret", o->flags & KB_OPT_SECRET);
	kache_json_str(j, "env", o->env);
	kache_json_str(j, "help", o->help);
	kache_json_close(j, '}');
}

static void show_json(const struct kache_dropin *d, const struct kache_module *m, struct kache_buf *b)
{
	struct kache_json j = { .out = b };

	kache_json_open(&j, NULL, '{');
	kache_json_str(&j, "name", m->be.name);
	kache_json_str(&j, "version", m->be.version);
	kache_json_str(&j, "summary", m->be.summary);
	kache_json_str(&j, "schemes", m->be.schemes);
	kache_json_str(&j, "module", m->path);
	kache_json_str(&j, "origin", d->origin);
	kache_json_u64(&j, "abi_major", m->be.abi_major);
	kache_json_u64(&j, "abi_minor", m->be.abi_minor);
	kache_json_str(&j, "threads", kache_plugin_threads(m->be.threads));
	kache_json_open(&j, "options", '[');
	for (size_t i = 0; i < m->n_opts; i++)
		json_option(&m->opts[i], &j);
	kache_json_close(&j, ']');
	kache_json_open(&j, "common_options", '[');
	for (const struct kb_opt *o = kache_core_options; o->name; o++)
		json_option(o, &j);
	kache_json_close(&j, ']');
	kache_json_close(&j, '}');
	kache_buf_ch(b, '\n');
}

static int unknown_plugin(const struct kache_dropins *all, const char *name)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	for (size_t i = 0; i < all->n; i++)
		kache_buf_fmt(&b, "%s%s", i ? ", " : "", all->v[i].name);
	return kache_cli_fail("plugin: no backend '%s'; there are: %s", name, b.len ? b.data : "none");
}

enum form { TEXT, JSON, DUMP };

static int show(const char *name, enum form form)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	const struct kache_dropin *d;
	struct kache_dropins all;
	struct kache_conf *conf;
	struct kache_module *m;
	struct kache_error err;
	int status = kache_cli_conf(&conf);

	if (status)
		return status;
	kache_dropins_find(conf, &all);
	d = kache_dropins_named(&all, name);
	if (!d) {
		status = unknown_plugin(&all, name);
	} else if (kache_dropin_load(d, &m, &err)) {
		status = kache_cli_fail("plugin: %s", err.text);
	} else {
		static void (*const forms[])(const struct kache_dropin *, const struct kache_module *, struct kache_buf *) = {
			[TEXT] = show_text, [JSON] = show_json, [DUMP] = kache_plugin_dump,
		};

		forms[form](d, m, &b);
		status = kache_cli_print(&b);
	}
	kache_dropins_release(&all);
	kache_conf_free(conf);
	return status;
}

static int test(const char *what)
{
	struct kache_conf *conf;
	int status = kache_cli_conf(&conf);

	if (status)
		return status;
	status = kache_plugin_test(conf, what);
	kache_conf_free(conf);
	return status;
}

static int run(int argc, char **argv)
{
	const char *words[2] = { NULL, NULL };
	bool json = false;
	size_t n = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (argv[i][0] == '-')
			return kache_cli_usage(&kache_cmd_plugin, "unknown option %s", argv[i]);
		else if (n == 2)
			return kache_cli_usage(&kache_cmd_plugin, "unexpected argument %s", argv[i]);
		else
			words[n++] = argv[i];
	}
	if (!n)
		return kache_cli_usage(&kache_cmd_plugin, "say list, show NAME, dump NAME or test NAME");
	if (!strcmp(words[0], "list"))
		return n == 1 ? list(json) : kache_cli_usage(&kache_cmd_plugin, "unexpected argument %s", words[1]);
	if (json && strcmp(words[0], "show"))
		return kache_cli_usage(&kache_cmd_plugin, "--json goes with list and show");
	if (!strcmp(words[0], "show"))
		return n == 2 ? show(words[1], json ? JSON : TEXT) : kache_cli_usage(&kache_cmd_plugin, "show needs a name");
	if (!strcmp(words[0], "dump"))
		return n == 2 ? show(words[1], DUMP) : kache_cli_usage(&kache_cmd_plugin, "dump needs a name");
	if (!strcmp(words[0], "test"))
		return n == 2 ? test(words[1]) : kache_cli_usage(&kache_cmd_plugin, "test needs a name or a URL");
	return kache_cli_usage(&kache_cmd_plugin, "no action '%s'; there are list, show, dump and test", words[0]);
}

const struct kache_command kache_cmd_plugin = {
	.name = "plugin",
	.summary = "backends that were found, their options, and a trial of remotes",
	.usage =
"Usage: kache plugin list [--json]\n"
"       kache plugin show NAME [--json]\n"
"       kache plugin dump NAME\n"
"       kache plugin test NAME|URL\n"
"\n"
"list   every backend: its URL schemes, and why it can't be used where it can't\n"
"show   one backend: module, abilities, and its options\n"
"dump   the same for scripts: key=value lines\n"
"test   store one small object on a remote, read it back and delete it; NAME is a\n"
"       configured remote's or its backend's\n"
"\n"
"list exits with 1 if a backend that is marked critical can't be used.\n",
	.run = run,
};
