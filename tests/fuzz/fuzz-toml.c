/* TOML: reading never fails in another way than with a line, values know where they stand, and an edit
 * of what can be read can be read and has the value. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "base/buf.h"
#include "conf/conf.h"
#include "conf/edit.h"
#include "conf/toml.h"

#include <string.h>

static void walk(const struct kache_toml *v, const char *text, size_t len, unsigned lines, unsigned depth)
{
	FUZZ_CHECK(depth <= 3 * KACHE_TOML_DEPTH);
	FUZZ_CHECK(v->line >= 1 && v->line <= lines);
	FUZZ_CHECK(v->from <= v->to && v->to <= len);
	if (v->type == KACHE_TOML_STRING)
		FUZZ_CHECK(v->to - v->from >= 2 && text[v->from] == text[v->to - 1] && v->text &&
			   !v->text[v->len]);
	for (const struct kache_toml *e = v->child; e; e = e->next) {
		FUZZ_CHECK(v->type != KACHE_TOML_TABLE || (e->key && !e->key[e->key_len]));
		FUZZ_CHECK(e->next || v->last == e);
		walk(e, text, len, lines, depth + 1);
	}
}

static void edit(const char *text, size_t len, const char *key)
{
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *table = kache_strndup(key, strcspn(key, "."));
	struct kache_toml *root;
	struct kache_error err;
	const struct kache_toml *v;
	int rc = kache_toml_edit(text, len, key, "\"new\"", &out, &err);

	if (rc) {	/* only a name that is taken by something else is a reason */
		FUZZ_CHECK(rc == KACHE_E_INVALID &&
			   (strstr(err.text, "is a table") || strstr(err.text, "is no table")));
		return;
	}
	FUZZ_CHECK(!kache_toml_parse(out.data, out.len, &root, &err));
	v = kache_toml_get(root, table);
	for (key += strlen(table) + 1; v && strchr(key, '.'); key = strchr(key, '.') + 1) {
		KACHE_AUTO_FREE char *name = kache_strndup(key, strcspn(key, "."));

		v = kache_toml_get(v, name);
	}
	v = kache_toml_get(v, key);
	FUZZ_CHECK(v && v->type == KACHE_TOML_STRING && !strcmp(v->text, "new"));
	kache_toml_free(root);
}

static void problem(void *ctx, const char *text)
{
	FUZZ_CHECK(!strncmp(text, "f:", 2) && !strchr(text, '\n'));
	++*(size_t *)ctx;
}

bool fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	unsigned lines = 1;
	size_t problems = 0;
	struct kache_toml *root;
	struct kache_error err = { 0 };

	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	FUZZ_CHECK(kache_conf_check_text("f", text, size, size & 1, problem, &problems) == problems);
	fuzz_accepted = !kache_toml_parse(text, size, &root, &err);
	if (!fuzz_accepted) {
		char *end;
		unsigned long line = strncmp(err.text, "line ", 5) ? 0 : strtoul(err.text + 5, &end, 10);

		FUZZ_CHECK(!root && problems == 1);
		FUZZ_CHECK(line >= 1 && line <= lines && end[0] == ':' && end[1] == ' ' && end[2]);
		return 0;
	}
	walk(root, text, size, lines, 0);
	kache_toml_free(root);
	edit(text, size, "cache.link");
	edit(text, size, "cache.remote.url");
	edit(text, size, "a.b");
	edit(text, size, "a.b.c");
	return 0;
}
