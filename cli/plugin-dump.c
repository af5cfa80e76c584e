#include "config.h"
#include "cli/plugin.h"

#include "remote/options.h"

#include <inttypes.h>
#include <string.h>

/* One line, whatever the backend says of itself. */
static void line(struct kache_buf *out, const char *key, const char *value)
{
	kache_buf_fmt(out, "%s=", key);
	for (; value && *value; value++)
		kache_buf_ch(out, (unsigned char)*value < ' ' || *value == 0x7f ? ' ' : *value);
	kache_buf_ch(out, '\n');
}

/* A name as part of a key: with '_' for '-', as shells want it. Fresh memory. */
static char *as_key(const char *name)
{
	char *key = kache_strdup(name);

	for (char *p = key; *p; p++)
		if (*p == '-')
			*p = '_';
	return key;
}

static void option(struct kache_buf *out, const struct kb_opt *o)
{
	static const char *const types[] = {
		[KB_OPT_STR] = "string", [KB_OPT_BOOL] = "bool", [KB_OPT_UINT] = "uint", [KB_OPT_SIZE] = "size",
		[KB_OPT_MSEC] = "milliseconds", [KB_OPT_ENUM] = "enum", [KB_OPT_PATH] = "path",
	};
	const struct { const char *what, *value; } lines[] = {
		{ "type", o->type < sizeof types / sizeof *types ? types[o->type] : "unknown" }, { "default", o->def },
		{ "values", o->type == KB_OPT_ENUM ? o->values : NULL }, { "variable", o->env },
		{ "required", o->flags & KB_OPT_REQUIRED ? "1" : NULL }, { "secret", o->flags & KB_OPT_SECRET ? "1" : NULL },
		{ "help", o->help },
	};

	KACHE_AUTO_FREE char *name = as_key(o->name);

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		KACHE_AUTO_FREE char *key = kache_asprintf("option_%s_%s", name, lines[i].what);

		if (lines[i].value)
			line(out, key, lines[i].value);
	}
	if (o->min || o->max)
		kache_buf_fmt(out, "option_%s_min=%" PRIu64 "\noption_%s_max=%" PRIu64 "\n", name, o->min, name, o->max);
}

void kache_plugin_dump(const struct kache_dropin *d, const struct kache_module *m, struct kache_buf *out)
{
	const struct { const char *key; bool has; } ops[] = {
		{ "has_check", m->be.check != NULL }, { "has_get", true }, { "has_put", true }, { "has_head", m->be.head != NULL },
		{ "has_del", m->be.del != NULL }, { "has_touch", m->be.touch != NULL }, { "has_list", m->be.list != NULL },
		{ "has_batch", m->be.batch != NULL }, { "has_ping", m->be.ping != NULL },
	};
	const struct { const char *key, *value; } texts[] = {
		{ "name", m->be.name }, { "version", m->be.version }, { "summary", d->summary ? d->summary : m->be.summary },
		{ "schemes", d->schemes ? d->schemes : m->be.schemes }, { "path", m->path }, { "registered_by", d->origin },
		{ "threads", kache_plugin_threads(m->be.threads) },
	};
	const char *name;
	uint32_t bit;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		line(out, texts[i].key, texts[i].value);
	kache_buf_fmt(out, "abi_major=%u\nabi_minor=%u\nstruct_size=%u\n", m->be.abi_major, m->be.abi_minor, m->be.struct_size);
	for (size_t i = 0; (name = kache_plugin_cap(i, &bit)); i++) {
		KACHE_AUTO_FREE char *key = as_key(name);

		kache_buf_fmt(out, "cap_%s=%d\n", key, m->be.caps & bit ? 1 : 0);
	}
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		kache_buf_fmt(out, "%s=%d\n", ops[i].key, ops[i].has ? 1 : 0);
	kache_buf_str(out, "options=");
	for (size_t i = 0; i < m->n_opts; i++)
		kache_buf_fmt(out, "%s%s", i ? " " : "", m->opts[i].name);
	kache_buf_ch(out, '\n');
	for (size_t i = 0; i < m->n_opts; i++)
		option(out, &m->opts[i]);
}
