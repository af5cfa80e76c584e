#include "config.h"
#include "base/json.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <string.h>

/* What needs no escape, in bytes. */
static size_t plain_length(const unsigned char *p, const unsigned char *end)
{
	const unsigned char *at = p;
	size_t n;

	while (at < end && *at >= 0x20 && *at != '"' && *at != '\\') {
		n = *at < 0x80 ? 1 : kache_utf8_length(at, (size_t)(end - at));
		if (!n)
			break;
		at += n;
	}
	return (size_t)(at - p);
}

void kache_json_string(struct kache_buf *b, const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s, *end = p + len;

	kache_buf_ch(b, '"');
	for (;;) {
		size_t n = plain_length(p, end);

		kache_buf_add(b, p, n);
		p += n;
		if (p == end)
			break;
		if (*p == '"' || *p == '\\') {
			kache_buf_ch(b, '\\');
			kache_buf_ch(b, (char)*p);
		} else if (*p == '\n') {
			kache_buf_str(b, "\\n");
		} else if (*p < 0x20) {
			kache_buf_fmt(b, "\\u%04x", *p);
		} else {
			kache_buf_str(b, "\\ufffd");
		}
		p++;
	}
	kache_buf_ch(b, '"');
}

static void begin(struct kache_json *j, const char *name)
{
	uint64_t bit = (uint64_t)1 << j->depth;

	if (j->has_member & bit)
		kache_buf_ch(j->out, ',');
	j->has_member |= bit;
	if (name) {
		kache_json_string(j->out, name, strlen(name));
		kache_buf_ch(j->out, ':');
	}
}

void kache_json_open(struct kache_json *j, const char *name, char bracket)
{
	begin(j, name);
	kache_buf_ch(j->out, bracket);
	j->depth++;
	j->has_member &= ~((uint64_t)1 << j->depth);
}

void kache_json_close(struct kache_json *j, char bracket)
{
	j->depth--;
	kache_buf_ch(j->out, bracket);
}

void kache_json_str(struct kache_json *j, const char *name, const char *value)
{
	begin(j, name);
	if (value)
		kache_json_string(j->out, value, strlen(value));
	else
		kache_buf_str(j->out, "null");
}

void kache_json_u64(struct kache_json *j, const char *name, uint64_t value)
{
	begin(j, name);
	kache_buf_decimal(j->out, value);
}

void kache_json_i64(struct kache_json *j, const char *name, int64_t value)
{
	begin(j, name);
	kache_buf_fmt(j->out, "%" PRId64, value);
}

void kache_json_double(struct kache_json *j, const char *name, double value)
{
	begin(j, name);
	kache_buf_fmt(j->out, "%.3f", value);
}

void kache_json_bool(struct kache_json *j, const char *name, bool value)
{
	begin(j, name);
	kache_buf_str(j->out, value ? "true" : "false");
}
