/* toml-decoder [FILE]: reads TOML and prints it as the tagged JSON of the toml-test suite
 * (https://github.com/toml-lang/toml-test); exit status 1 and a message for what is not TOML 1.0.
 * toml-decoder FILE EXPECTED.json: compares instead of printing. */
#include "config.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "conf/toml.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const tags[] = {
	[KACHE_TOML_STRING] = "string", [KACHE_TOML_INTEGER] = "integer", [KACHE_TOML_FLOAT] = "float",
	[KACHE_TOML_BOOL] = "bool", [KACHE_TOML_DATETIME] = "datetime", [KACHE_TOML_LOCAL_DATETIME] = "datetime-local",
	[KACHE_TOML_LOCAL_DATE] = "date-local", [KACHE_TOML_LOCAL_TIME] = "time-local",
};

/* Dates and times in one spelling: T and Z, no zeros at the end of a fraction. */
static void add_time(struct kache_buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '.') {
			size_t n = strspn(s + 1, "0123456789");
			size_t keep = n;

			while (keep && s[keep] == '0')
				keep--;
			kache_buf_add(b, s, keep ? keep + 1 : 0);
			s += n;
		} else {
			kache_buf_ch(b, *s == ' ' || *s == 't' ? 'T' : *s == 'z' ? 'Z' : *s);
		}
	}
}

static double number(const struct kache_toml *v)
{
	return strtod(v->text, NULL);
}

static void scalar(struct kache_buf *b, const struct kache_toml *v)
{
	switch (v->type) {
	case KACHE_TOML_STRING:
		kache_buf_add(b, v->text, v->len);
		break;
	case KACHE_TOML_INTEGER:
		kache_buf_fmt(b, "%lld", (long long)v->integer);
		break;
	case KACHE_TOML_FLOAT:
		if (isnan(number(v)))
			kache_buf_str(b, "nan");
		else
			kache_buf_fmt(b, "%.17g", number(v));
		break;
	case KACHE_TOML_BOOL:
		kache_buf_str(b, v->integer ? "true" : "false");
		break;
	default:
		add_time(b, v->text);
	}
}

static void print(struct kache_buf *b, const struct kache_toml *v)
{
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;

	if (v->type != KACHE_TOML_TABLE && v->type != KACHE_TOML_ARRAY) {
		scalar(&text, v);
		kache_buf_fmt(b, "{\"type\":\"%s\",\"value\":", tags[v->type]);
		kache_json_string(b, text.data ? text.data : "", text.len);
		kache_buf_ch(b, '}');
		return;
	}
	kache_buf_ch(b, v->type == KACHE_TOML_TABLE ? '{' : '[');
	for (const struct kache_toml *e = v->child; e; e = e->next) {
		if (v->type == KACHE_TOML_TABLE) {
			kache_json_string(b, e->key, e->key_len);
			kache_buf_ch(b, ':');
		}
		print(b, e);
		kache_buf_str(b, e->next ? "," : "");
	}
	kache_buf_ch(b, v->type == KACHE_TOML_TABLE ? '}' : ']');
}

/* jansson reads no NUL in names: U+FFFF stands in for it, on both sides. */
static const char stand_in[] = "\xef\xbf\xbf";

static char *without_nul(const char *s, size_t len)
{
	struct kache_buf b = KACHE_BUF_INIT;

	for (size_t i = 0; i < len; i++)
		kache_buf_add(&b, s[i] ? s + i : stand_in, s[i] ? 1 : 3);
	return kache_buf_steal(&b);
}

static bool same_scalar(const struct kache_toml *v, const char *type, const char *value)
{
	KACHE_AUTO_BUF struct kache_buf got = KACHE_BUF_INIT, wanted = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *text = NULL;

	if (strcmp(type, tags[v->type]))
		return false;
	scalar(&got, v);
	switch (v->type) {
	case KACHE_TOML_FLOAT:
		return isnan(number(v)) ? !!strstr(value, "nan") : strtod(value, NULL) == number(v);
	case KACHE_TOML_STRING:
	case KACHE_TOML_INTEGER:
	case KACHE_TOML_BOOL:
		text = without_nul(got.data, got.len);
		return !strcmp(text, value);
	default:
		add_time(&wanted, value);
		return !strcmp(got.data, wanted.data);
	}
}

static json_t *member(json_t *object, const struct kache_toml *v)
{
	KACHE_AUTO_FREE char *name = without_nul(v->key, v->key_len);

	return json_object_get(object, name);
}

static bool same(const struct kache_toml *v, json_t *wanted)
{
	json_t *type = json_object_get(wanted, "type"), *value = json_object_get(wanted, "value");
	const struct kache_toml *e = v->child;
	size_t n = 0;

	if (v->type == KACHE_TOML_ARRAY) {
		for (; e; e = e->next)
			if (!same(e, json_array_get(wanted, n++)))
				return false;
		return json_is_array(wanted) && n == json_array_size(wanted);
	}
	if (v->type == KACHE_TOML_TABLE) {
		for (; e; e = e->next, n++)
			if (!same(e, member(wanted, e)))
				return false;
		return json_is_object(wanted) && n == json_object_size(wanted);
	}
	return json_is_string(type) && json_is_string(value) &&
	       same_scalar(v, json_string_value(type), json_string_value(value));
}

static int compare(const struct kache_toml *root, const char *file)
{
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
	json_error_t err;
	json_t *wanted;
	bool good;

	if (kache_file_read(file, 1 << 24, &text)) {
		perror(file);
		return 2;
	}
	for (char *p = text.data; (p = strchr(p, '\\')) && p[1]; p += 2)
		if (!strncmp(p, "\\u0000", 6))
			memcpy(p, "\\uffff", 6);
	wanted = json_loads(text.data, 0, &err);

	if (!wanted) {
		fprintf(stderr, "%s:%d: %s\n", file, err.line, err.text);
		return 2;
	}
	good = same(root, wanted);
	json_decref(wanted);
	if (!good)
		fprintf(stderr, "%s: differs\n", file);
	return good ? 0 : 2;
}

int main(int argc, char **argv)
{
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT, out = KACHE_BUF_INIT;
	struct kache_toml *root;
	struct kache_error err;
	int status = 0;

	if (kache_file_read(argc > 1 ? argv[1] : "/dev/stdin", 1 << 24, &text)) {
		perror(argc > 1 ? argv[1] : "standard input");
		return 2;
	}
	if (kache_toml_parse(text.data, text.len, &root, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	if (argc > 2) {
		status = compare(root, argv[2]);
	} else {
		print(&out, root);
		puts(out.data);
	}
	kache_toml_free(root);
	return status;
}
