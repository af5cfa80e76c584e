/* kache.conf(5) describes each setting of the table, with its type and default, and no other. */
#include "config.h"

#include "base/buf.h"
#include "base/file.h"
#include "conf/conf.h"
#include "tap.h"

static const char *bool_word(const char *text)
{
	return kache_parse_bool(text) ? "true" : "false";
}

/* "=item C<key>, C<VARIABLE>\n\nSwitch. Default C<true>. Not in a project's file.\n" */
static char *wanted(const struct kache_option *o)
{
	static const char *const types[] = {
		[KACHE_OPT_BOOL] = "Switch",
		[KACHE_OPT_STR] = "Text",
		[KACHE_OPT_PATH] = "Path",
		[KACHE_OPT_SIZE] = "Size",
		[KACHE_OPT_UINT] = "Whole number ",
		[KACHE_OPT_ENUM] = "One of ",
		[KACHE_OPT_LIST] = "List",
		[KACHE_OPT_MSEC] = "Time",
	};
	struct kache_buf b = KACHE_BUF_INIT;

	kache_buf_str(&b, "\n=item ");
	if (o->key)
		kache_buf_fmt(&b, "C<%s>%s", o->key, o->env ? ", " : "");
	if (o->env)
		kache_buf_fmt(&b, "C<%s>", o->env);
	kache_buf_fmt(&b, "\n\n%s", types[o->type]);
	if (o->type == KACHE_OPT_LIST && o->values)
		kache_buf_fmt(&b, " of %s", o->values);
	if (o->type == KACHE_OPT_UINT)
		kache_buf_str(&b, o->values);
	for (const char *v = o->type == KACHE_OPT_ENUM ? o->values : ""; *v;) {
		size_t n = strcspn(v, "|");

		kache_buf_fmt(&b, "C<%.*s>%s", (int)n, v, v[n] ? ", " : "");
		v += n + (v[n] == '|');
	}
	kache_buf_ch(&b, '.');
	if (o->def)
		kache_buf_fmt(&b, " Default C<%s>.", o->type == KACHE_OPT_BOOL ? bool_word(o->def) : o->def);
	if (o->flags & KACHE_OPT_NO_PROJECT)
		kache_buf_str(&b, " Not in a project's file.");
	kache_buf_ch(&b, '\n');
	return kache_buf_steal(&b);
}

int main(void)
{
	const char *srcdir = getenv("srcdir");
	KACHE_AUTO_FREE char *file = kache_asprintf("%s/docs/man/kache.conf.5.pod", srcdir ? srcdir : ".");
	KACHE_AUTO_BUF struct kache_buf page = KACHE_BUF_INIT;
	size_t items = 0;

	if (kache_file_read(file, 1 << 20, &page)) {
		perror(file);
		return 99;
	}
	for (size_t i = 0; i < KACHE_CONF_COUNT; i++) {
		const struct kache_option *o = kache_conf_schema((enum kache_conf_id)i);
		KACHE_AUTO_FREE char *text = wanted(o);

		if (!ok(strstr(page.data, text) != NULL, "the page has %s", o->key ? o->key : o->env))
			printf("# wanted %.*s\n# and %s", (int)strcspn(text + 1, "\n"), text + 1,
			       strstr(text, "\n\n") + 2);
	}
	for (const char *p = page.data; (p = strstr(p, "\n=item C<")); p++)
		items++;
	is_int(items, KACHE_CONF_COUNT, "and nothing else");
	return done();
}
