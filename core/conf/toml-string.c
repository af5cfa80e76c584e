/* Strings of TOML: basic, literal, and the multi-line form of both. */
#include "config.h"
#include "conf/toml-parser.h"

#include "base/utf8.h"

#include <string.h>

int kache_toml_utf8(struct kache_toml_parser *p)
{
	unsigned line = p->line;

	for (const char *at = p->at; at < p->end;) {
		size_t n = kache_utf8_length((const unsigned char *)at, (size_t)(p->end - at));

		if (!n) {
			p->line = line;
			return kache_toml_error(p, "not UTF-8");
		}
		line += *at == '\n';
		at += n;
	}
	return KACHE_OK;
}

static void add_utf8(struct kache_buf *out, uint32_t c)
{
	if (c < 0x80) {
		kache_buf_ch(out, (char)c);
	} else if (c < 0x800) {
		kache_buf_ch(out, (char)(0xc0 | c >> 6));
		kache_buf_ch(out, (char)(0x80 | (c & 63)));
	} else if (c < 0x10000) {
		kache_buf_ch(out, (char)(0xe0 | c >> 12));
		kache_buf_ch(out, (char)(0x80 | (c >> 6 & 63)));
		kache_buf_ch(out, (char)(0x80 | (c & 63)));
	} else {
		kache_buf_ch(out, (char)(0xf0 | c >> 18));
		kache_buf_ch(out, (char)(0x80 | (c >> 12 & 63)));
		kache_buf_ch(out, (char)(0x80 | (c >> 6 & 63)));
		kache_buf_ch(out, (char)(0x80 | (c & 63)));
	}
}

static int unicode(struct kache_toml_parser *p, int digits, struct kache_buf *out)
{
	uint32_t c = 0;

	for (int i = 0; i < digits; i++) {
		static const char hex[] = "0123456789abcdefABCDEF";
		const char *d = p->at < p->end && *p->at ? strchr(hex, *p->at) : NULL;

		if (!d)
			return kache_toml_error(p, "\\u takes four hexadecimal digits, \\U eight");
		c = c << 4 | (uint32_t)(d - hex < 16 ? d - hex : d - hex - 6);
		p->at++;
	}
	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return kache_toml_error(p, "not a Unicode character");
	add_utf8(out, c);
	return KACHE_OK;
}

/* A backslash at the end of a line takes the white space behind it away. */
static int continuation(struct kache_toml_parser *p)
{
	const char *look = p->at;

	while (look < p->end && (*look == ' ' || *look == '\t'))
		look++;
	if (look >= p->end || !(*look == '\n' || (*look == '\r' && look + 1 < p->end && look[1] == '\n')))
		return kache_toml_error(p, "no such escape");
	p->at = look;
	while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')) {
		if (*p->at == '\r' && (p->at + 1 >= p->end || p->at[1] != '\n'))
			return kache_toml_error(p, "carriage return without a line feed");
		p->line += *p->at++ == '\n';
	}
	return KACHE_OK;
}

static int escape(struct kache_toml_parser *p, bool multi, struct kache_buf *out)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	const char *known;

	p->at++;
	if (p->at >= p->end)
		return kache_toml_error(p, "string without an end");
	known = *p->at ? strchr(from, *p->at) : NULL;
	if (known) {
		kache_buf_ch(out, to[known - from]);
		p->at++;
		return KACHE_OK;
	}
	if (*p->at == 'u' || *p->at == 'U')
		return unicode(p, *p->at++ == 'u' ? 4 : 8, out);
	return multi ? continuation(p) : kache_toml_error(p, "no such escape");
}

/* Characters that are neither escape nor quote: a run of ordinary ones, or a special one. */
static int plain(struct kache_toml_parser *p, bool multi, struct kache_buf *out)
{
	const char *from = p->at;
	unsigned char c = (unsigned char)*p->at;

	while (p->at < p->end && (unsigned char)*p->at >= 0x20 && *p->at != 0x7f && !strchr("\"'\\", *p->at))
		p->at++;
	if (p->at > from) {
		kache_buf_add(out, from, (size_t)(p->at - from));
		return KACHE_OK;
	}
	if (c == '\n' || c == '\r') {
		if (!multi)
			return kache_toml_error(p, "string without an end on its line");
		if (c == '\r' && (p->at + 1 >= p->end || p->at[1] != '\n'))
			return kache_toml_error(p, "carriage return without a line feed");
		if (c == '\n')
			p->line++;
	} else if ((c < 0x20 && c != '\t') || c == 0x7f) {
		return kache_toml_error(p, "control character in a string");
	}
	kache_buf_ch(out, (char)c);
	p->at++;
	return KACHE_OK;
}

static size_t quotes(const struct kache_toml_parser *p, char quote)
{
	size_t n = 0;

	while (p->at + n < p->end && p->at[n] == quote)
		n++;
	return n;
}

int kache_toml_string(struct kache_toml_parser *p, struct kache_buf *out)
{
	char quote = *p->at;
	size_t n = quotes(p, quote);
	bool multi = n >= 3;

	kache_buf_reset(out);
	kache_buf_add(out, "", 0);
	if (n == 2) {
		p->at += 2;
		return KACHE_OK;
	}
	p->at += multi ? 3 : 1;
	if (multi && p->at < p->end && *p->at == '\r' && p->at + 1 < p->end && p->at[1] == '\n')
		p->at++;
	if (multi && p->at < p->end && *p->at == '\n') {	/* the first line end does not count */
		p->at++;
		p->line++;
	}
	while (p->at < p->end) {
		if (*p->at == quote) {
			n = quotes(p, quote);
			if (!multi) {
				p->at++;
				return KACHE_OK;
			}
			if (n > 5)
				return kache_toml_error(p, "too many quotes");
			for (size_t i = 0; i < (n >= 3 ? n - 3 : n); i++)
				kache_buf_ch(out, quote);
			p->at += n;
			if (n >= 3)
				return KACHE_OK;
		} else if (*p->at == '\\' && quote == '"') {
			if (escape(p, multi, out))
				return KACHE_E_INVALID;
		} else if (plain(p, multi, out)) {
			return KACHE_E_INVALID;
		}
	}
	return kache_toml_error(p, "string without an end");
}
