#include "config.h"
#include "store/entry-json.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OUTPUTS = 4096 };

/* A field that is added to these structs has to be carried here too. */
_Static_assert(sizeof(void *) != 8 || (sizeof(struct kache_entry) == 192 && sizeof(struct kache_output) == 64),
	       "struct kache_entry has changed: write and read the new field in this file");

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* RFC 4648, 4 */
static char *base64(const char *data, size_t len)
{
	struct kache_buf b = KACHE_BUF_INIT;
	const unsigned char *p = (const unsigned char *)data;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < len ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < len ? p[i + 2] : 0);

		kache_buf_ch(&b, alphabet[v >> 18]);
		kache_buf_ch(&b, alphabet[v >> 12 & 63]);
		kache_buf_ch(&b, i + 1 < len ? alphabet[v >> 6 & 63] : '=');
		kache_buf_ch(&b, i + 2 < len ? alphabet[v & 63] : '=');
	}
	return kache_buf_steal(&b);
}

static bool unbase64(const char *s, size_t len, struct kache_buf *out)
{
	if (len % 4)
		return false;
	for (size_t i = 0; i < len; i += 4) {
		uint32_t v = 0;
		int pad = 0;

		for (size_t k = 0; k < 4; k++) {
			const char *at = s[i + k] && s[i + k] != '=' ? strchr(alphabet, s[i + k]) : NULL;

			if (!at && (s[i + k] != '=' || i + 4 < len || k < 2))
				return false;
			if (at && pad)
				return false;
			pad += !at;
			v = v << 6 | (at ? (uint32_t)(at - alphabet) : 0);
		}
		kache_buf_ch(out, (char)(v >> 16));
		if (pad < 2)
			kache_buf_ch(out, (char)(v >> 8 & 255));
		if (pad < 1)
			kache_buf_ch(out, (char)(v & 255));
	}
	return true;
}

/* A string, or {"base64": "…"} where JSON has no string for these bytes. */
static json_t *bytes(const char *data, size_t len)
{
	json_t *s = json_stringn(data ? data : "", len);
	KACHE_AUTO_FREE char *coded = NULL;

	if (s)
		return s;
	coded = base64(data, len);
	return json_pack("{s:s}", "base64", coded);
}

static json_t *hash(const struct kache_hash *h)
{
	char hex[KACHE_HEX_LEN + 1];

	return json_string(kache_hash_hex(h, hex));
}

static void put_text(json_t *o, const char *name, const char *s)
{
	json_object_set_new(o, name, bytes(s, s ? strlen(s) : 0));
}

static void put_number(json_t *o, const char *name, uint64_t v)
{
	json_object_set_new(o, name, json_integer((json_int_t)v));
}

static json_t *output(const struct kache_output *o)
{
	json_t *j = json_object();

	put_text(j, "name", o->name);
	put_number(j, "role", o->role);
	put_number(j, "mode", o->mode);
	put_number(j, "size", o->size);
	if (o->inline_data)
		json_object_set_new(j, "data", bytes(o->inline_data, o->size));
	else
		json_object_set_new(j, "blob", hash(&o->blob));
	return j;
}

/* The hash of all members in their canonical spelling. Blobs have theirs; this guards the rest. */
static bool checksum(const json_t *j, struct kache_hash *out)
{
	KACHE_AUTO_FREE char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);

	if (text)
		kache_hash_bytes(text, strlen(text), out);
	return text != NULL;
}

void kache_entry_to_json(const struct kache_entry *e, struct kache_buf *out)
{
	json_t *j = json_object(), *outputs = json_array();
	struct kache_hash sum;
	char *text;

	put_number(j, "format", KACHE_ENTRY_JSON_FORMAT);
	json_object_set_new(j, "key", hash(&e->key));
	json_object_set_new(j, "invocation", hash(&e->invocation));
	put_text(j, "crate", e->crate);
	put_text(j, "package", e->package);
	put_text(j, "kind", e->kind);
	put_text(j, "target", e->target);
	put_text(j, "profile", e->profile);
	put_text(j, "features", e->features);
	put_text(j, "compiler", e->compiler);
	put_number(j, "created_ms", e->created_ms);
	put_number(j, "compile_ms", e->compile_ms);
	json_object_set_new(j, "exit_code", json_integer(e->exit_code));
	put_number(j, "width", e->width);
	json_object_set_new(j, "stdout", bytes(e->out, e->out_len));
	json_object_set_new(j, "stderr", bytes(e->err, e->err_len));
	for (size_t i = 0; i < e->n_outputs; i++)
		json_array_append_new(outputs, output(&e->outputs[i]));
	json_object_set_new(j, "outputs", outputs);
	if (checksum(j, &sum))
		json_object_set_new(j, "check", hash(&sum));
	text = json_dumps(j, JSON_INDENT(1));
	if (text)
		kache_buf_str(out, text);
	kache_buf_ch(out, '\n');
	free(text);
	json_decref(j);
}

/* Reading: the first member that is not as it should be is noted, and all else gives zeros. */
struct reading {
	const char *wrong;
};

static char *get_bytes(struct reading *r, const json_t *o, const char *name, size_t *len)
{
	const json_t *v = json_object_get(o, name), *coded = json_object_get(v, "base64");
	struct kache_buf b = KACHE_BUF_INIT;

	if (json_is_string(v))
		kache_buf_add(&b, json_string_value(v), json_string_length(v));
	else if (!json_is_string(coded) || !unbase64(json_string_value(coded), json_string_length(coded), &b))
		r->wrong = r->wrong ? r->wrong : name;
	*len = b.len;
	return kache_buf_steal(&b);
}

static char *get_text(struct reading *r, const json_t *o, const char *name)
{
	size_t len;
	char *s = get_bytes(r, o, name, &len);

	if (strlen(s) != len && !r->wrong)
		r->wrong = name;
	return s;
}

static uint64_t get_number(struct reading *r, const json_t *o, const char *name, uint64_t max)
{
	const json_t *v = json_object_get(o, name);

	if (json_is_integer(v) && json_integer_value(v) >= 0 && (uint64_t)json_integer_value(v) <= max)
		return (uint64_t)json_integer_value(v);
	r->wrong = r->wrong ? r->wrong : name;
	return 0;
}

static void get_hash(struct reading *r, const json_t *o, const char *name, struct kache_hash *out)
{
	const json_t *v = json_object_get(o, name);

	if (!json_is_string(v) || !kache_hash_parse(json_string_value(v), json_string_length(v), out))
		r->wrong = r->wrong ? r->wrong : name;
}

static void get_output(struct reading *r, const json_t *j, struct kache_output *o)
{
	size_t len;

	o->name = get_text(r, j, "name");
	o->role = (uint32_t)get_number(r, j, "role", KACHE_ROLE_EXE);
	o->mode = (uint32_t)get_number(r, j, "mode", 0777);
	o->size = get_number(r, j, "size", INT64_MAX);
	if (o->role == KACHE_ROLE_DEPINFO) {
		o->inline_data = get_bytes(r, j, "data", &len);
		if (len != o->size && !r->wrong)
			r->wrong = "size";
	} else {
		get_hash(r, j, "blob", &o->blob);
	}
	/* The name becomes a path in somebody's output directory. */
	if (!r->wrong && (!*o->name || strchr(o->name, '/') || !strcmp(o->name, ".") || !strcmp(o->name, "..")))
		r->wrong = "name";
}

static void get_entry(struct reading *r, const json_t *j, struct kache_entry *e)
{
	const json_t *outputs = json_object_get(j, "outputs"), *code = json_object_get(j, "exit_code");

	get_hash(r, j, "key", &e->key);
	get_hash(r, j, "invocation", &e->invocation);
	e->crate = get_text(r, j, "crate");
	e->package = get_text(r, j, "package");
	e->kind = get_text(r, j, "kind");
	e->target = get_text(r, j, "target");
	e->profile = get_text(r, j, "profile");
	e->features = get_text(r, j, "features");
	e->compiler = get_text(r, j, "compiler");
	e->created_ms = get_number(r, j, "created_ms", INT64_MAX);
	e->compile_ms = get_number(r, j, "compile_ms", INT64_MAX);
	e->width = (uint32_t)get_number(r, j, "width", UINT32_MAX);
	e->out = get_bytes(r, j, "stdout", &e->out_len);
	e->err = get_bytes(r, j, "stderr", &e->err_len);
	if (json_is_integer(code) && json_integer_value(code) >= INT32_MIN && json_integer_value(code) <= INT32_MAX)
		e->exit_code = (int32_t)json_integer_value(code);
	else if (!r->wrong)
		r->wrong = "exit_code";
	if ((!json_is_array(outputs) || json_array_size(outputs) > MAX_OUTPUTS) && !r->wrong)
		r->wrong = "outputs";
	for (size_t i = 0; !r->wrong && i < json_array_size(outputs); i++)
		get_output(r, json_array_get(outputs, i), kache_entry_add_output(e));
}

int kache_entry_from_json(const char *text, size_t len, struct kache_entry *e, struct kache_error *err)
{
	json_error_t problem;
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
	struct kache_hash claimed, found;
	struct reading r = { NULL };
	uint64_t format;

	*e = (struct kache_entry){ 0 };
	if (!j)
		return kache_fail(err, KACHE_E_CORRUPT, "meta.json:%d: %s", problem.line, problem.text);
	format = get_number(&r, j, "format", INT64_MAX);
	if (!r.wrong && format > KACHE_ENTRY_JSON_FORMAT) {
		json_decref(j);
		return kache_fail(err, KACHE_E_VERSION, "meta.json has format %llu, this kache knows up to %d; upgrade kache",
				  (unsigned long long)format, KACHE_ENTRY_JSON_FORMAT);
	}
	if (!r.wrong && format < 1)
		r.wrong = "format";
	get_hash(&r, j, "check", &claimed);
	json_object_del(j, "check");
	if (!r.wrong && (!checksum(j, &found) || !kache_hash_eq(&found, &claimed)))
		r.wrong = "check";
	if (!r.wrong)
		get_entry(&r, j, e);
	json_decref(j);
	if (!r.wrong)
		return KACHE_OK;
	kache_entry_release(e);
	return kache_fail(err, KACHE_E_CORRUPT, "meta.json: '%s' is missing or wrong", r.wrong);
}
