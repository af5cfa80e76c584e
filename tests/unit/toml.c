/* TOML: where errors are, what the tree knows, and what an edit leaves alone. The meaning of each
 * construct is proved by the toml-test suite (tests/unit/toml-suite.sh). */
#include "config.h"

#include "conf/edit.h"
#include "conf/toml.h"
#include "base/buf.h"
#include "tap.h"

static void errors(void)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "a = 1\nb = \n", "line 2: a value is expected" },
		{ "a = 1\n\n\nb = yes\n", "line 4: not a value; strings want quotes" },
		{ "a = \"x\n", "line 1: string without an end on its line" },
		{ "a = \"\"\"\n\nx", "line 3: string without an end" },
		{ "a = \"\\q\"", "line 1: no such escape" },
		{ "a = \"\\ud800\"", "line 1: not a Unicode character" },
		{ "\n[a]\n[a]\n", "line 3: a is defined already, on line 2" },
		{ "a.b = 1\na.b.c = 2\n", "line 2: b is defined already, on line 1" },
		{ "a = {b = 1}\n[a.c]\n", "line 2: a is defined already, on line 1" },
		{ "a = [\n1,\n2\n3]", "line 4: ',' or ']' is expected in an array" },
		{ "a = 1 b = 2", "line 1: unexpected text; a line holds one key and value" },
		{ "a 1", "line 1: '=' is expected after a key" },
		{ "= 1", "line 1: a key is expected" },
		{ "[a\n", "line 1: ']' is expected at the end of a table's name" },
		{ "a = 1\r\nb = 2\rc = 3", "line 2: unexpected text; a line holds one key and value" },
		{ "a = 1\n# \x01\n", "line 2: control character in a comment" },
		{ "a = 1\n\n# \xc3\x28\n", "line 3: not UTF-8" },
		{ "a = 9223372036854775808", "line 1: not a value; strings want quotes" },
		{ "a = 2023-02-29", "line 1: not a value; strings want quotes" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct kache_error err = { 0 };
		struct kache_toml *root;

		if (!kache_toml_parse(cases[i].text, strlen(cases[i].text), &root, &err))
			kache_toml_free(root);
		if (!ok(!strcmp(err.text, cases[i].error), "%s", cases[i].error))
			printf("# got '%s'\n", err.text);
	}
}

static void tree(void)
{
	static const char text[] = "# c\n[cache] # d\nlink = \"copy\"\nlist = [\n 1,\n 2 ]\n\n[[x]]\n[[x]]\ny.z = 1979-05-27\n";
	struct kache_toml *root, *cache, *link, *list, *x, *z;
	struct kache_error err;

	is_int(kache_toml_parse(text, strlen(text), &root, &err), 0, "a document is read");
	cache = kache_toml_get(root, "cache");
	link = kache_toml_get(cache, "link");
	list = kache_toml_get(cache, "list");
	x = kache_toml_get(root, "x");
	z = kache_toml_get(kache_toml_get(x->last, "y"), "z");
	is_int(cache->line, 2, "a table has its header's line");
	ok(!strncmp(text + cache->from, "[cache]", cache->to - cache->from) && cache->to - cache->from == 7, "and its bytes");
	is_str(link->text, "copy", "a string");
	is_int(link->line, 3, "has its line");
	ok(link->to - link->from == 6 && !strncmp(text + link->from, "\"copy\"", 6), "and its bytes");
	is_int(list->child->next->line, 6, "elements have their own lines");
	ok(text[list->to - 1] == ']' && text[list->from] == '[', "an array has its bytes");
	is_int(x->how, KACHE_TOML_ARRAY_OF_TABLES, "[[x]] makes an array of tables");
	is_str(z->text, "1979-05-27", "a date is kept as it is written");
	is_int(z->line, 10, "dotted keys know their line");
	ok(!kache_toml_get(root, "none") && !kache_toml_get(link, "x"), "what is not there is NULL");
	kache_toml_free(root);
}

static int nested(const char *open, size_t n)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_toml *root = NULL;
	struct kache_error err;
	int rc;

	kache_buf_str(&b, *open == '.' ? "a" : "a = ");
	for (size_t i = 0; i < n; i++)
		kache_buf_str(&b, open);
	rc = kache_toml_parse(b.data, b.len, &root, &err);
	kache_toml_free(root);
	return !rc ? 0 : strstr(err.text, "too deep") ? 2 : 1;
}

static void depth(void)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_toml *root = NULL;
	struct kache_error err;

	is_int(nested("[", 100000), 2, "arrays nested without end are refused");
	is_int(nested("{a=", 100000), 2, "so are inline tables");
	is_int(nested("{a.a.a.a.a=[", 100000), 2, "and mixtures with dotted keys");
	is_int(nested(".a", 100000), 2, "and dotted keys");
	is_int(nested("[", 100), 1, "a hundred levels are read");
	for (int i = 0; i < 100; i++)
		kache_buf_str(&b, i ? ".a" : "[a");
	kache_buf_str(&b, "]\n");
	is_int(kache_toml_parse(b.data, b.len, &root, &err), 0, "also in a header");
	kache_toml_free(root);
	is_int(kache_toml_parse(NULL, 0, &root, &err), 0, "nothing is an empty document");
	kache_toml_free(root);
	is_int(kache_toml_parse("a=\"\0\"", 5, &root, &err), KACHE_E_INVALID, "a NUL is no text");
	is_int(kache_toml_parse("a=1\0", 4, &root, &err), KACHE_E_INVALID, "nor is one behind a value");
}

static void edits(void)
{
	static const struct {
		const char *name, *from, *key, *value, *to;
	} cases[] = {
		{ "an empty file gets the table", "", "a.b", "1", "[a]\nb = 1\n" },
		{ "a value is replaced where it stands", "[a] # x\n  b  =  2 # old\nc=3", "a.b", "1", "[a] # x\n  b  =  1 # old\nc=3" },
		{ "also one of many lines", "[a]\nb = [\n 1, # x\n 2\n]\nc=3\n", "a.b", "[]", "[a]\nb = []\nc=3\n" },
		{ "also a dotted one", "a.b = 2\n", "a.b", "1", "a.b = 1\n" },
		{ "also an inline one", "a = { c = 1, b = 2 }\n", "a.b", "1", "a = { c = 1, b = 1 }\n" },
		{ "a key goes behind the last of its table", "[a]\nc = 3 # x\n\n# d\n[d]\n", "a.b", "1",
		  "[a]\nc = 3 # x\nb = 1\n\n# d\n[d]\n" },
		{ "which may be a dotted one", "[a]\nc.d.e = 3\n[d]\n", "a.b", "1", "[a]\nc.d.e = 3\nb = 1\n[d]\n" },
		{ "or behind the header", "[a] # x\n[d]\n", "a.b", "1", "[a] # x\nb = 1\n[d]\n" },
		{ "also at the end of a file without a last line end", "[a]\nc = 3", "a.b", "1", "[a]\nc = 3\nb = 1\n" },
		{ "not into a table below", "[a]\nc = 3\n[a.x]\nd = 4\n", "a.b", "1", "[a]\nc = 3\nb = 1\n[a.x]\nd = 4\n" },
		{ "a missing table goes to the end", "[a]\nc = 3\n", "x.y.b", "1", "[a]\nc = 3\n\n[x.y]\nb = 1\n" },
		{ "so does one that only its children have named", "[a.x]\nc = 3\n", "a.b", "1", "[a.x]\nc = 3\n\n[a]\nb = 1\n" },
		{ "dotted keys are continued as such", "a.c = 3\nd = 4\n", "a.b", "1", "a.c = 3\na.b = 1\nd = 4\n" },
		{ "also below a header", "[a]\nx.c = 3\nd = 4\n", "a.x.b", "1", "[a]\nx.c = 3\nx.b = 1\nd = 4\n" },
		{ "an inline table is continued inside", "a = { c = 3 }\n", "a.b", "1", "a = { c = 3, b = 1 }\n" },
		{ "also an empty one", "a = {}\n", "a.x.b", "1", "a = { x.b = 1 }\n" },
		{ "line ends stay of their kind", "[a]\r\nc = 3\r\n", "a.b", "1", "[a]\r\nc = 3\r\nb = 1\r\n" },
		{ "a multi-line string is stepped over", "[a]\nc = '''\n[a]\n'''\n[d]\n", "a.b", "1", "[a]\nc = '''\n[a]\n'''\nb = 1\n[d]\n" },
		{ "a value is not made a table", "a = 1\n", "a.b", "1", NULL },
		{ "nor a table a value", "[a.b]\n", "a.b", "1", NULL },
		{ "nor an array of tables", "[[a.b]]\n", "a.b", "1", NULL },
		{ "what is no TOML is not touched", "a = \n", "a.b", "1", NULL },
		{ "a value that is no TOML is not written", "", "a.b", "x", NULL },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT;
		struct kache_error err = { 0 };
		int rc = kache_toml_edit(cases[i].from, strlen(cases[i].from), cases[i].key, cases[i].value, &out, &err);

		if (cases[i].to)
			is_str(rc ? err.text : out.data, cases[i].to, cases[i].name);
		else
			ok(rc == KACHE_E_INVALID && *err.text, "%s", cases[i].name);
	}
}

static void quoting(void)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	kache_toml_quote(&b, "a\"b\\c\n\x7f");
	is_str(b.data, "\"a\\\"b\\\\c\\u000a\\u007f\"", "strings are quoted");
}

int main(void)
{
	errors();
	tree();
	depth();
	edits();
	quoting();
	return done();
}
