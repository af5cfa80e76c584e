/* The tree knows where each value stands; an edit is one insertion or replacement at such a place. */
#include "config.h"
#include "conf/edit.h"

#include "conf/toml.h"

#include <string.h>

struct change {
	size_t from, to;		/* bytes of the old text that go */
	struct kache_buf text;		/* what comes in their place */
};

void kache_toml_quote(struct kache_buf *out, const char *s)
{
	kache_buf_ch(out, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			kache_buf_fmt(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			kache_buf_fmt(out, "\\u%04x", c);
		else
			kache_buf_ch(out, *s);
	}
	kache_buf_ch(out, '"');
}

static size_t later(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* End of what stands under the table's own header, or was made by its dotted keys. Tables with
 * headers of their own stand elsewhere. */
static size_t end_of_members(const struct kache_toml *t)
{
	size_t end = t->to;

	for (const struct kache_toml *v = t->child; v; v = v->next) {
		if (v->how == KACHE_TOML_DOTTED)
			end = later(end, end_of_members(v));
		else if (v->how != KACHE_TOML_HEADER && v->how != KACHE_TOML_IMPLICIT &&
			 v->how != KACHE_TOML_ARRAY_OF_TABLES)
			end = later(end, v->to);
	}
	return end;
}

static const char *line_end(const char *text, size_t len)
{
	const char *n = len ? memchr(text, '\n', len) : NULL;

	return n && n > text && n[-1] == '\r' ? "\r\n" : "\n";
}

/* "key = value" as a line of its own behind the line that holds the byte before `at`. */
static void add_line(struct change *c, const char *text, size_t len, size_t at, const char *key,
		     const char *value)
{
	const char *n = at < len ? memchr(text + at, '\n', len - at) : NULL;
	const char *end = line_end(text, len);

	c->from = c->to = n ? (size_t)(n - text) + 1 : len;
	if (c->from && text[c->from - 1] != '\n')
		kache_buf_str(&c->text, end);
	kache_buf_fmt(&c->text, "%s = %s%s", key, value, end);
}

static void add_table(struct change *c, const char *text, size_t len, const char *key, const char *value)
{
	const char *leaf = strrchr(key, '.') + 1, *end = line_end(text, len);

	c->from = c->to = len;
	if (len && text[len - 1] != '\n')
		kache_buf_str(&c->text, end);
	kache_buf_fmt(&c->text, "%s[%.*s]%s%s = %s%s", len ? end : "", (int)(leaf - 1 - key), key, end,
		      leaf, value, end);
}

static void add_inline(struct change *c, const char *text, const struct kache_toml *t, const char *key,
		       const char *value)
{
	size_t at = t->to - 1;

	c->to = at;
	while (text[at - 1] == ' ' || text[at - 1] == '\t')
		at--;
	c->from = at;
	kache_buf_fmt(&c->text, "%s%s = %s ", t->child ? ", " : " ", key, value);
}

/* Where the change goes: down the tables that are there. */
static int locate(const struct kache_toml *root, const char *text, size_t len, const char *key,
		  const char *value, struct change *c, struct kache_error *err)
{
	const struct kache_toml *t = root, *owner = root;	/* owner: the last on the way with a header */
	const char *rest = key, *below = key;	/* the key as seen from t, and from owner */

	for (;;) {
		KACHE_AUTO_FREE char *name = kache_strndup(rest, strcspn(rest, "."));
		const struct kache_toml *v = kache_toml_get(t, name);
		bool leaf = !strchr(rest, '.');

		if (v && leaf) {
			if (v->type == KACHE_TOML_TABLE || v->how)
				return kache_fail(err, KACHE_E_INVALID, "%s is a table", key);
			c->from = v->from;
			c->to = v->to;
			kache_buf_str(&c->text, value);
			return KACHE_OK;
		}
		if (v && (v->type != KACHE_TOML_TABLE))
			return kache_fail(err, KACHE_E_INVALID, "line %u: %s is no table", v->line, name);
		if (!v || leaf)
			break;
		t = v;
		rest = strchr(rest, '.') + 1;
		if (t->how == KACHE_TOML_HEADER) {
			owner = t;
			below = rest;
		}
	}
	if (t->how == KACHE_TOML_INLINE)
		add_inline(c, text, t, rest, value);
	else if (t->how == KACHE_TOML_DOTTED && !strchr(rest, '.'))
		add_line(c, text, len, end_of_members(t), below, value);
	else if (t->how == KACHE_TOML_HEADER && owner == t && !strchr(rest, '.') && t != root)
		add_line(c, text, len, end_of_members(t), rest, value);
	else
		add_table(c, text, len, key, value);
	return KACHE_OK;
}

int kache_toml_edit(const char *text, size_t len, const char *key, const char *value, struct kache_buf *out,
		    struct kache_error *err)
{
	struct change c = { 0 };
	struct kache_toml *root;
	int rc = kache_toml_parse(text, len, &root, err);

	if (rc)
		return rc;
	rc = locate(root, text, len, key, value, &c, err);
	kache_toml_free(root);
	if (!rc) {
		kache_buf_add(out, text, c.from);
		kache_buf_add(out, c.text.data, c.text.len);
		kache_buf_add(out, text + c.to, len - c.to);
	}
	kache_buf_release(&c.text);
	if (!rc)
		rc = kache_toml_parse(out->data, out->len, &root, err);
	if (!rc)
		kache_toml_free(root);
	return rc;
}
