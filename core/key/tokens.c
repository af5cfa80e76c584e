#include "config.h"
#include "key/tokens.h"

#include "base/path.h"

#include <stdlib.h>
#include <string.h>

void kache_tokens_release(struct kache_tokens *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->t[i].name);
		free(t->t[i].path);
		free(t->t[i].remap);
	}
	t->n = 0;
}

void kache_tokens_add(struct kache_tokens *t, const char *name, const char *path, const char *remap, bool key)
{
	size_t len = path ? strlen(path) : 0, at = 0;

	while (len > 1 && path[len - 1] == '/')
		len--;
	if (len < 2 || path[0] != '/' || t->n == KACHE_TOKENS_MAX)
		return;
	for (size_t i = 0; i < t->n; i++)
		if (kache_is_word(t->t[i].path, path, len))
			return;
	/* Stable among equals in length, so that the first spelling of a name stays the first. */
	while (at < t->n && strlen(t->t[at].path) >= len)
		at++;
	memmove(&t->t[at + 1], &t->t[at], (t->n - at) * sizeof t->t[0]);
	t->t[at] = (struct kache_token){
		.name = kache_strdup(name), .path = kache_strndup(path, len),
		.remap = remap ? kache_strdup(remap) : NULL, .key = key,
	};
	t->n++;
}

char *kache_tokens_path(const struct kache_tokens *t, const char *path)
{
	const char *rest;

	for (size_t i = 0; i < t->n; i++) {
		if (!t->t[i].key || !kache_path_below(path, t->t[i].path, &rest))
			continue;
		return kache_concat("{", t->t[i].name, *rest ? "}/" : "}", rest, NULL);
	}
	return kache_strdup(path);
}

char *kache_tokens_expand(const struct kache_tokens *t, const char *path)
{
	size_t len;

	if (path[0] != '{')
		return kache_strdup(path);
	len = strcspn(path, "}");
	for (size_t i = 0; i < t->n; i++)
		if (path[len] && kache_is_word(t->t[i].name, path + 1, len - 1))
			return kache_concat(t->t[i].path, path + len + 1, NULL);
	return NULL;
}

static bool path_char(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '-' || c == '.' || c >= 0x80;
}

static bool ends_with(const char *text, size_t at, const char *end)
{
	size_t n = strlen(end);

	return at >= n && !memcmp(text + at - n, end, n);
}

/* Is what ends before text + at a change of colour (SGR, ECMA-48 8.3.117), as it is or in JSON? */
static bool after_colour(const char *text, size_t at)
{
	if (!at || text[--at] != 'm')
		return false;
	while (at && ((text[at - 1] >= '0' && text[at - 1] <= '9') || text[at - 1] == ';'))
		at--;
	return ends_with(text, at, "\033[") || ends_with(text, at, "\\u001b[");
}

/* Or the end of a line, a tab and the like in JSON (RFC 8259, section 7)? */
static bool after_escape(const char *text, size_t at)
{
	size_t slashes = 0;

	if (!at || !strchr("bfnrt", text[at - 1]))
		return false;
	while (slashes + 1 < at && text[at - 2 - slashes] == '\\')
		slashes++;
	return slashes % 2;
}

/* Does needle (a directory) stand at text + at, as a whole component run? */
static bool stands_at(const char *text, size_t len, size_t at, const char *needle, size_t n)
{
	if (len - at < n || memcmp(text + at, needle, n))
		return false;
	if (at && (path_char((unsigned char)text[at - 1]) || text[at - 1] == '/') && !after_colour(text, at) &&
	    !after_escape(text, at))
		return false;
	return at + n == len || !path_char((unsigned char)text[at + n]);
}

void kache_tokens_value(const struct kache_tokens *t, const char *text, size_t len, struct kache_buf *out)
{
	for (size_t at = 0; at < len;) {
		bool found = false;

		for (size_t i = 0; i < t->n && text[at] == '/' && !found; i++) {
			size_t n = strlen(t->t[i].path);

			if (!t->t[i].key || !stands_at(text, len, at, t->t[i].path, n))
				continue;
			kache_buf_ch(out, '{');
			kache_buf_str(out, t->t[i].name);
			kache_buf_ch(out, '}');
			at += n;
			found = true;
		}
		if (!found)
			kache_buf_ch(out, text[at++]);
	}
	kache_buf_add(out, "", 0);
}

void kache_tokens_remap_args(const struct kache_tokens *t, struct kache_strs *args)
{
	for (size_t i = t->n; i-- > 0;)
		if (t->t[i].remap)
			kache_strs_take(args, kache_asprintf("--remap-path-prefix=%s=%s", t->t[i].path, t->t[i].remap));
}

/* One spelling that pack looks for. */
struct needle {
	char *text;
	size_t len;
	const char *name;	/* of the marker, or the replacement for localize */
};
struct needles {
	struct needle v[3 * KACHE_TOKENS_MAX];
	size_t n;
};

/* How a path is spelled in a line. */
enum form { FORM_RAW, FORM_JSON, FORM_MAKE };

static enum form form_of_line(enum kache_text kind, char first)
{
	if (kind == KACHE_TEXT_DEPINFO)
		return first == '#' ? FORM_RAW : FORM_MAKE;
	return first == '{' ? FORM_JSON : FORM_RAW;
}

/* FORM_JSON: as inside a JSON string (RFC 8259, section 7). FORM_MAKE: as rustc writes dep-info. */
static char *escaped(const char *s, enum form form)
{
	const char *const special = form == FORM_JSON ? "\"\\" : form == FORM_MAKE ? " " : "";
	struct kache_buf b = KACHE_BUF_INIT;

	for (;;) {
		size_t plain = strcspn(s, special);

		kache_buf_add(&b, s, plain);
		s += plain;
		if (!*s)
			return kache_buf_steal(&b);
		kache_buf_ch(&b, '\\');
		kache_buf_ch(&b, *s++);
	}
}

static void add_needle(struct needles *v, const char *text, const char *name, enum form how)
{
	char *form = escaped(text, how);
	size_t at = v->n, len = strlen(form);

	while (at > 0 && v->v[at - 1].len < len)	/* longest first */
		at--;
	memmove(&v->v[at + 1], &v->v[at], (v->n - at) * sizeof v->v[0]);
	v->v[at] = (struct needle){ form, len, name };
	v->n++;
}

static void release_needles(struct needles *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->v[i].text);
}

static const struct needle *find(const struct needles *v, const char *text, size_t len, size_t at)
{
	for (size_t i = 0; i < v->n; i++)
		if (text[at] == v->v[i].text[0] && stands_at(text, len, at, v->v[i].text, v->v[i].len))
			return &v->v[i];
	return NULL;
}

/* {"$message_type":"artifact","artifact":"<out-dir>/<file>","emit":"link"}; older compilers leave
 * the first member out. Returns the offset of the path in the line, or 0. */
static size_t artifact_path(const char *line, size_t len)
{
	static const char key[] = "\"artifact\":\"";
	const char *at;

	if (!len || line[0] != '{')
		return 0;
	at = memmem(line, len < 64 ? len : 64, key, sizeof key - 1);
	return at ? (size_t)(at - line) + sizeof key - 1 : 0;
}

static void pack_line(const struct needles *v, const char *out_dir, const char *line, size_t len, struct kache_buf *out)
{
	size_t at = 0, artifact = artifact_path(line, len);

	if (artifact && out_dir) {
		KACHE_AUTO_FREE char *dir = escaped(out_dir, FORM_JSON);
		size_t n = strlen(dir);

		if (len - artifact > n && !memcmp(line + artifact, dir, n) && (!n || line[artifact + n] == '/')) {
			kache_buf_add(out, line, artifact);
			kache_buf_str(out, "\001out\002");
			at = artifact + n;
		}
	}
	while (at < len) {
		const struct needle *hit = find(v, line, len, at);

		if (hit) {
			kache_buf_fmt(out, "\001%s\002", hit->name);
			at += hit->len;
		} else {
			kache_buf_ch(out, line[at++]);
		}
	}
}

static size_t line_length(const char *text, size_t len)
{
	const char *end = memchr(text, '\n', len);

	return end ? (size_t)(end - text) + 1 : len;
}

bool kache_text_pack(const struct kache_tokens *t, enum kache_text kind, const char *out_dir, const char *text,
		     size_t len, struct kache_buf *out)
{
	struct needles v[3] = { { .n = 0 }, { .n = 0 }, { .n = 0 } };

	kache_buf_add(out, "", 0);
	if (memchr(text, 1, len) || memchr(text, 2, len))
		return false;
	for (size_t i = 0; i < t->n; i++) {
		for (enum form f = FORM_RAW; f <= FORM_MAKE; f++) {
			add_needle(&v[f], t->t[i].path, t->t[i].name, f);
			if (t->t[i].remap)
				add_needle(&v[f], t->t[i].remap, t->t[i].name, f);
		}
	}
	for (size_t at = 0; at < len;) {
		size_t n = line_length(text + at, len - at);

		pack_line(&v[form_of_line(kind, text[at])], out_dir, text + at, n, out);
		at += n;
	}
	for (enum form f = FORM_RAW; f <= FORM_MAKE; f++)
		release_needles(&v[f]);
	return true;
}

/* The directory of a marker's name; NULL if unknown. */
static const char *directory(const struct kache_tokens *t, const char *out_dir, const char *name, size_t len)
{
	if (len == 3 && !memcmp(name, "out", 3))
		return out_dir ? out_dir : "";
	for (size_t i = 0; i < t->n; i++)
		if (kache_is_word(t->t[i].name, name, len))
			return t->t[i].path;
	return NULL;
}

bool kache_text_unpack(const struct kache_tokens *t, enum kache_text kind, const char *out_dir, const char *text,
		       size_t len, struct kache_buf *out)
{
	enum form form = FORM_RAW;
	bool start = true;

	kache_buf_reserve(out, len);
	kache_buf_add(out, "", 0);
	if (!len || !memchr(text, 1, len)) {
		kache_buf_add(out, text, len);
		return true;
	}
	for (size_t at = 0; at < len;) {
		KACHE_AUTO_FREE char *spelled = NULL;
		size_t line = line_length(text + at, len - at);
		const char *mark = memchr(text + at, 1, line), *end, *dir;
		bool marked = mark != NULL;
		size_t plain = marked ? (size_t)(mark - text) - at : line;

		if (start)	/* a marker at the very start of a line is a path, not JSON */
			form = form_of_line(kind, text[at]);
		kache_buf_add(out, text + at, plain);
		at += plain;
		start = !marked;
		if (!marked)
			continue;
		end = memchr(text + at, 2, len - at);
		dir = end ? directory(t, out_dir, text + at + 1, (size_t)(end - text) - at - 1) : NULL;
		if (!dir)
			return false;
		spelled = escaped(dir, form);
		kache_buf_str(out, spelled);
		at = (size_t)(end - text) + 1;
	}
	return true;
}

void kache_text_localize(const struct kache_tokens *t, const char *text, size_t len, struct kache_buf *out)
{
	struct needles v = { .n = 0 };
	KACHE_AUTO_STRS struct kache_strs dirs = { NULL, 0, 0 };

	for (size_t i = 0; i < t->n; i++) {
		enum form form = form_of_line(KACHE_TEXT_STREAM, len ? text[0] : 0);
		char *dir = escaped(t->t[i].path, form);

		kache_strs_take(&dirs, dir);
		if (t->t[i].remap)
			add_needle(&v, t->t[i].remap, dir, form);
	}
	for (size_t at = 0; at < len;) {
		const struct needle *hit = find(&v, text, len, at);

		if (hit) {
			kache_buf_str(out, hit->name);
			at += hit->len;
		} else {
			kache_buf_ch(out, text[at++]);
		}
	}
	kache_buf_add(out, "", 0);
	release_needles(&v);
}
