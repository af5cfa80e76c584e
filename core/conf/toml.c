/* The grammar: tables, keys, values. Strings are in toml-string.c, numbers and times in toml-scalar.c. */
#include "config.h"
#include "conf/toml-parser.h"

#include <stdlib.h>
#include <string.h>

static int value(struct kache_toml_parser *p, struct kache_toml *v, unsigned depth);

int kache_toml_error(struct kache_toml_parser *p, const char *what)
{
	if (!p->failed)
		kache_fail(p->err, KACHE_E_INVALID, "line %u: %s", p->line, what);
	p->failed = true;
	return KACHE_E_INVALID;
}

static struct kache_toml *new_node(struct kache_toml_parser *p, enum kache_toml_type type)
{
	struct kache_toml *v = kache_calloc(1, sizeof *v);

	v->type = type;
	v->line = p->line;
	return v;
}

static void append(struct kache_toml *parent, struct kache_toml *v)
{
	if (parent->last)
		parent->last->next = v;
	else
		parent->child = v;
	parent->last = v;
}

static void skip_space(struct kache_toml_parser *p)
{
	while (p->at < p->end && (*p->at == ' ' || *p->at == '\t'))
		p->at++;
}

static bool newline(struct kache_toml_parser *p)
{
	if (p->at < p->end && *p->at == '\n')
		p->at++;
	else if (p->end - p->at >= 2 && p->at[0] == '\r' && p->at[1] == '\n')
		p->at += 2;
	else
		return false;
	p->line++;
	return true;
}

/* A comment up to the end of its line; control characters are not allowed in it. */
static int comment(struct kache_toml_parser *p)
{
	if (p->at >= p->end || *p->at != '#')
		return KACHE_OK;
	while (p->at < p->end && *p->at != '\n' && !(*p->at == '\r' && p->at + 1 < p->end && p->at[1] == '\n')) {
		unsigned char c = (unsigned char)*p->at++;

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return kache_toml_error(p, "control character in a comment");
	}
	return KACHE_OK;
}

static int end_of_line(struct kache_toml_parser *p)
{
	skip_space(p);
	if (comment(p))
		return KACHE_E_INVALID;
	if (p->at < p->end && !newline(p))
		return kache_toml_error(p, "unexpected text; a line holds one key and value");
	return KACHE_OK;
}

/* White space, line ends and comments, as between the elements of an array. */
static int skip_lines(struct kache_toml_parser *p)
{
	do {
		skip_space(p);
		if (comment(p))
			return KACHE_E_INVALID;
	} while (newline(p));
	return KACHE_OK;
}

static bool bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static int simple_key(struct kache_toml_parser *p, struct kache_buf *out)
{
	const char *from;

	kache_buf_reset(out);
	if (p->at < p->end && (*p->at == '"' || *p->at == '\'')) {
		if (p->end - p->at >= 3 && p->at[1] == *p->at && p->at[2] == *p->at)
			return kache_toml_error(p, "a key can't be a multi-line string");
		return kache_toml_string(p, out);
	}
	from = p->at;
	while (p->at < p->end && bare(*p->at))
		p->at++;
	kache_buf_add(out, from, (size_t)(p->at - from));
	return out->len ? KACHE_OK : kache_toml_error(p, "a key is expected");
}

static struct kache_toml *member(const struct kache_toml *t, const char *key, size_t len)
{
	for (struct kache_toml *v = t->child; v; v = v->next)
		if (v->key_len == len && !memcmp(v->key, key, len))
			return v;
	return NULL;
}

static struct kache_toml *add_member(struct kache_toml *t, struct kache_toml *v, const struct kache_buf *key)
{
	v->key = kache_strndup(key->data, key->len);
	v->key_len = key->len;
	append(t, v);
	return v;
}

static int duplicate(struct kache_toml_parser *p, const struct kache_toml *there)
{
	if (!p->failed)
		kache_fail(p->err, KACHE_E_INVALID, "line %u: %s is defined already, on line %u", p->line,
			   there->key ? there->key : "it", there->line);
	p->failed = true;
	return KACHE_E_INVALID;
}

/* One step of a dotted key: into a table that such keys may open or extend. */
static int step_dotted(struct kache_toml_parser *p, struct kache_toml **table, const struct kache_buf *key)
{
	struct kache_toml *there = member(*table, key->data, key->len);

	if (!there) {
		there = add_member(*table, new_node(p, KACHE_TOML_TABLE), key);
		there->how = KACHE_TOML_DOTTED;
	} else if (there->type != KACHE_TOML_TABLE || there->how == KACHE_TOML_INLINE || there->how == KACHE_TOML_HEADER ||
		   there->how == KACHE_TOML_IMPLICIT) {
		return duplicate(p, there);
	}
	*table = there;
	return KACHE_OK;
}

static int key_value(struct kache_toml_parser *p, struct kache_toml *table, unsigned depth)
{
	KACHE_AUTO_BUF struct kache_buf key = KACHE_BUF_INIT;
	struct kache_toml *v;

	for (;;) {
		if (simple_key(p, &key))
			return KACHE_E_INVALID;
		skip_space(p);
		if (p->at >= p->end || *p->at != '.')
			break;
		p->at++;
		skip_space(p);
		if (++depth > KACHE_TOML_DEPTH)
			return kache_toml_error(p, "key nested too deep");
		if (step_dotted(p, &table, &key))
			return KACHE_E_INVALID;
	}
	if (p->at >= p->end || *p->at != '=')
		return kache_toml_error(p, "'=' is expected after a key");
	p->at++;
	skip_space(p);
	v = member(table, key.data, key.len);
	if (v)
		return duplicate(p, v);
	v = add_member(table, new_node(p, KACHE_TOML_STRING), &key);
	return value(p, v, depth);
}

static int array(struct kache_toml_parser *p, struct kache_toml *v, unsigned depth)
{
	v->type = KACHE_TOML_ARRAY;
	p->at++;
	for (;;) {
		struct kache_toml *item;

		if (skip_lines(p))
			return KACHE_E_INVALID;
		if (p->at < p->end && *p->at == ']')
			break;
		item = new_node(p, KACHE_TOML_STRING);
		append(v, item);
		if (value(p, item, depth) || skip_lines(p))
			return KACHE_E_INVALID;
		if (p->at < p->end && *p->at == ',') {
			p->at++;
			continue;
		}
		if (p->at >= p->end || *p->at != ']')
			return kache_toml_error(p, "',' or ']' is expected in an array");
		break;
	}
	p->at++;
	return KACHE_OK;
}

static void seal(struct kache_toml *t)
{
	t->how = KACHE_TOML_INLINE;
	for (struct kache_toml *v = t->child; v; v = v->next)
		if (v->type == KACHE_TOML_TABLE)
			seal(v);
}

static int inline_table(struct kache_toml_parser *p, struct kache_toml *v, unsigned depth)
{
	v->type = KACHE_TOML_TABLE;
	p->at++;
	skip_space(p);
	if (p->at < p->end && *p->at == '}') {
		p->at++;
		v->how = KACHE_TOML_INLINE;
		return KACHE_OK;
	}
	for (;;) {
		skip_space(p);
		if (key_value(p, v, depth))
			return KACHE_E_INVALID;
		skip_space(p);
		if (p->at < p->end && *p->at == ',') {
			p->at++;
			continue;
		}
		if (p->at >= p->end || *p->at != '}')
			return kache_toml_error(p, "',' or '}' is expected in an inline table, which is on one line");
		break;
	}
	p->at++;
	seal(v);
	return KACHE_OK;
}

static int any_value(struct kache_toml_parser *p, struct kache_toml *v, unsigned depth)
{
	struct kache_buf text = KACHE_BUF_INIT;

	if (depth > KACHE_TOML_DEPTH)
		return kache_toml_error(p, "values nested too deep");
	if (p->at >= p->end || strchr("\r\n#", *p->at))
		return kache_toml_error(p, "a value is expected");
	switch (*p->at) {
	case '[':
		return array(p, v, depth + 1);
	case '{':
		return inline_table(p, v, depth + 1);
	case '"':
	case '\'':
		if (kache_toml_string(p, &text)) {
			kache_buf_release(&text);
			return KACHE_E_INVALID;
		}
		v->type = KACHE_TOML_STRING;
		v->len = text.len;
		v->text = kache_buf_steal(&text);
		return KACHE_OK;
	default:
		return kache_toml_scalar(p, v);
	}
}

static int value(struct kache_toml_parser *p, struct kache_toml *v, unsigned depth)
{
	int rc;

	v->line = p->line;
	v->from = (size_t)(p->at - p->start);
	rc = any_value(p, v, depth);
	v->to = (size_t)(p->at - p->start);
	return rc;
}

/* The table that a header's next name leads to, through the last element of an array of tables. */
static int step_header(struct kache_toml_parser *p, struct kache_toml **table, const struct kache_buf *key)
{
	struct kache_toml *there = member(*table, key->data, key->len);

	if (!there) {
		there = add_member(*table, new_node(p, KACHE_TOML_TABLE), key);
		there->how = KACHE_TOML_IMPLICIT;
	} else if (there->type == KACHE_TOML_ARRAY && there->how == KACHE_TOML_ARRAY_OF_TABLES) {
		there = there->last;
	} else if (there->type != KACHE_TOML_TABLE || there->how == KACHE_TOML_INLINE) {
		return duplicate(p, there);
	}
	*table = there;
	return KACHE_OK;
}

static int open_table(struct kache_toml_parser *p, struct kache_toml **table, const struct kache_buf *key)
{
	struct kache_toml *there = member(*table, key->data, key->len);

	if (there && (there->type != KACHE_TOML_TABLE || there->how != KACHE_TOML_IMPLICIT))
		return duplicate(p, there);
	if (!there)
		there = add_member(*table, new_node(p, KACHE_TOML_TABLE), key);
	there->how = KACHE_TOML_HEADER;
	there->line = p->line;
	*table = there;
	return KACHE_OK;
}

static int open_element(struct kache_toml_parser *p, struct kache_toml **table, const struct kache_buf *key)
{
	struct kache_toml *there = member(*table, key->data, key->len), *element;

	if (there && (there->type != KACHE_TOML_ARRAY || there->how != KACHE_TOML_ARRAY_OF_TABLES))
		return duplicate(p, there);
	if (!there) {
		there = add_member(*table, new_node(p, KACHE_TOML_ARRAY), key);
		there->how = KACHE_TOML_ARRAY_OF_TABLES;
	}
	element = new_node(p, KACHE_TOML_TABLE);
	element->how = KACHE_TOML_HEADER;
	append(there, element);
	*table = element;
	return KACHE_OK;
}

/* *depth: of the table that the following keys go to. */
static int header(struct kache_toml_parser *p, struct kache_toml *root, struct kache_toml **current, unsigned *depth)
{
	KACHE_AUTO_BUF struct kache_buf key = KACHE_BUF_INIT;
	bool element = p->end - p->at >= 2 && p->at[1] == '[';
	struct kache_toml *table = root;
	size_t from = (size_t)(p->at - p->start);
	int rc;

	p->at += 1 + element;
	*depth = 1;
	for (;;) {
		skip_space(p);
		if (simple_key(p, &key))
			return KACHE_E_INVALID;
		skip_space(p);
		if (p->at >= p->end || *p->at != '.')
			break;
		p->at++;
		if (++*depth > KACHE_TOML_DEPTH)
			return kache_toml_error(p, "table nested too deep");
		if (step_header(p, &table, &key))
			return KACHE_E_INVALID;
	}
	for (int i = 0; i <= element; i++)
		if (p->at >= p->end || *p->at++ != ']')
			return kache_toml_error(p, "']' is expected at the end of a table's name");
	rc = element ? open_element(p, &table, &key) : open_table(p, &table, &key);
	if (rc)
		return rc;
	table->from = from;
	table->to = (size_t)(p->at - p->start);
	*current = table;
	return KACHE_OK;
}

int kache_toml_parse(const char *text, size_t len, struct kache_toml **out, struct kache_error *err)
{
	struct kache_toml_parser p = { .line = 1, .err = err };
	struct kache_toml *root, *current;
	unsigned depth = 0;
	int rc;

	*out = NULL;
	p.start = p.at = len ? text : "";
	p.end = p.start + len;
	rc = kache_toml_utf8(&p);
	root = current = new_node(&p, KACHE_TOML_TABLE);
	root->how = KACHE_TOML_HEADER;
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		p.at += 3;
	while (!rc && p.at < p.end) {
		skip_space(&p);
		if (p.at < p.end && *p.at == '[')
			rc = header(&p, root, &current, &depth);
		else if (p.at < p.end && *p.at != '#' && *p.at != '\n' && *p.at != '\r')
			rc = key_value(&p, current, depth);
		if (!rc)
			rc = end_of_line(&p);
	}
	if (rc) {
		kache_toml_free(root);
		return KACHE_E_INVALID;
	}
	*out = root;
	return KACHE_OK;
}

void kache_toml_free(struct kache_toml *t)
{
	while (t) {
		struct kache_toml *next = t->next;

		kache_toml_free(t->child);
		free(t->key);
		free(t->text);
		free(t);
		t = next;
	}
}

struct kache_toml *kache_toml_get(const struct kache_toml *table, const char *key)
{
	return table && table->type == KACHE_TOML_TABLE ? member(table, key, strlen(key)) : NULL;
}

const char *kache_toml_type_name(enum kache_toml_type type)
{
	static const char *const names[] = {
		"table", "array", "string", "integer", "float", "boolean", "date-time", "local date-time", "local date",
		"local time"
	};

	return names[type];
}
