/* Numbers, booleans, dates and times of TOML. */
#include "config.h"
#include "conf/toml-parser.h"

#include <string.h>

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "dd:dd" patterns: 'd' a digit, anything else itself. */
static bool shape(const char *s, const char *pattern)
{
	for (; *pattern; s++, pattern++)
		if (*pattern == 'd' ? !digit(*s) : *s != *pattern)
			return false;
	return true;
}

static int two(const char *s)
{
	return (s[0] - '0') * 10 + s[1] - '0';
}

static bool good_date(const char *s)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int year = two(s) * 100 + two(s + 2), month = two(s + 5), day = two(s + 8);
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	if (month < 1 || month > 12 || day < 1)
		return false;
	return day <= days[month - 1] + (month == 2 && leap);
}

/* hh:mm:ss with a fraction; returns its length or 0 (RFC 3339, section 5.6; 60 is a leap second). */
static size_t time_length(const char *s)
{
	size_t n = 8;

	if (!shape(s, "dd:dd:dd") || two(s) > 23 || two(s + 3) > 59 || two(s + 6) > 60)
		return 0;
	if (s[n] == '.') {
		if (!digit(s[n + 1]))
			return 0;
		for (n++; digit(s[n]); n++)
			;
	}
	return n;
}

static bool good_offset(const char *s)
{
	if ((s[0] == 'Z' || s[0] == 'z') && !s[1])
		return true;
	return (s[0] == '+' || s[0] == '-') && shape(s + 1, "dd:dd") && !s[6] && two(s + 1) <= 23 && two(s + 4) <= 59;
}

/* True if s is a date or time of some kind; v gets which. */
static bool date_time(const char *s, struct kache_toml *v)
{
	size_t n;

	if (shape(s, "dd:dd:")) {
		v->type = KACHE_TOML_LOCAL_TIME;
		n = time_length(s);
		return n && !s[n];
	}
	if (!shape(s, "dddd-dd-dd") || !good_date(s))
		return false;
	if (!s[10]) {
		v->type = KACHE_TOML_LOCAL_DATE;
		return true;
	}
	if (s[10] != 'T' && s[10] != 't' && s[10] != ' ')
		return false;
	n = time_length(s + 11);
	if (!n)
		return false;
	v->type = s[11 + n] ? KACHE_TOML_DATETIME : KACHE_TOML_LOCAL_DATETIME;
	return !s[11 + n] || good_offset(s + 11 + n);
}

/* Digits of a base with single underscores between them; the digits alone go to out. */
static const char *digits(const char *s, int base, struct kache_buf *out)
{
	bool last_digit = false;

	for (;; s++) {
		bool good = base == 16 ? digit(*s) || ((*s | 32) >= 'a' && (*s | 32) <= 'f' && *s != '\0')
				       : *s >= '0' && *s < '0' + base;

		if (good) {
			kache_buf_ch(out, *s);
			last_digit = true;
		} else if (*s == '_' && last_digit) {
			last_digit = false;
		} else {
			break;
		}
	}
	return last_digit ? s : NULL;
}

static bool prefixed(const char *s, struct kache_toml *v)
{
	int base = s[1] == 'x' ? 16 : s[1] == 'o' ? 8 : 2;
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	const char *end = digits(s + 2, base, &b);
	uint64_t n = 0;

	if (!end || *end || s[2] == '_')
		return false;
	for (size_t i = 0; i < b.len; i++) {
		char c = b.data[i];
		uint64_t d = (uint64_t)(digit(c) ? c - '0' : (c | 32) - 'a' + 10);

		if (n > ((uint64_t)INT64_MAX - d) / (uint64_t)base)
			return false;
		n = n * (uint64_t)base + d;
	}
	v->type = KACHE_TOML_INTEGER;
	v->integer = (int64_t)n;
	return true;
}

static bool decimal_integer(const struct kache_buf *b, struct kache_toml *v)
{
	bool minus = b->data[0] == '-';
	uint64_t n = 0, most = (uint64_t)INT64_MAX + minus;

	for (const char *p = b->data + (minus || b->data[0] == '+'); *p; p++) {
		uint64_t d = (uint64_t)(*p - '0');

		if (n > (most - d) / 10)
			return false;
		n = n * 10 + d;
	}
	v->type = KACHE_TOML_INTEGER;
	v->integer = minus ? (int64_t)(0 - n) : (int64_t)n;
	return true;
}

static void floating(struct kache_buf *b, struct kache_toml *v)
{
	v->type = KACHE_TOML_FLOAT;
	v->len = b->len;
	v->text = kache_buf_steal(b);
}

static bool number(const char *s, struct kache_toml *v)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	const char *start;
	bool is_float = false;

	if (*s == '0' && (s[1] == 'x' || s[1] == 'o' || s[1] == 'b'))
		return prefixed(s, v);
	if (*s == '+' || *s == '-')
		kache_buf_ch(&b, *s++);
	if (!strcmp(s, "inf") || !strcmp(s, "nan")) {
		kache_buf_str(&b, s);
		floating(&b, v);
		return true;
	}
	start = s;
	s = digits(s, 10, &b);
	if (!s || (*start == '0' && digit(start[1])) || *start == '_' || (*start == '0' && start[1] == '_'))
		return false;
	if (*s == '.') {
		is_float = true;
		kache_buf_ch(&b, '.');
		if (!digit(s[1]) || !(s = digits(s + 1, 10, &b)))
			return false;
	}
	if (*s == 'e' || *s == 'E') {
		is_float = true;
		kache_buf_ch(&b, 'e');
		s++;
		if (*s == '+' || *s == '-')
			kache_buf_ch(&b, *s++);
		if (!digit(*s) || !(s = digits(s, 10, &b)))
			return false;
	}
	if (*s)
		return false;
	if (!is_float)
		return decimal_integer(&b, v);
	floating(&b, v);
	return true;
}

int kache_toml_scalar(struct kache_toml_parser *p, struct kache_toml *v)
{
	const char *from = p->at;
	KACHE_AUTO_FREE char *word = NULL;
	size_t len;

	while (p->at < p->end && *p->at && !strchr(" \t\r\n,]}#=", *p->at))
		p->at++;
	/* One space may stand between date and time. */
	if (p->at - from == 10 && from[4] == '-' && p->end - p->at >= 4 && *p->at == ' ' && digit(p->at[1]) &&
	    digit(p->at[2]) && p->at[3] == ':')
		for (p->at++; p->at < p->end && *p->at && !strchr(" \t\r\n,]}#=", *p->at); p->at++)
			;
	len = (size_t)(p->at - from);
	word = kache_strndup(from, len);
	if (!strcmp(word, "true") || !strcmp(word, "false")) {
		v->type = KACHE_TOML_BOOL;
		v->integer = *word == 't';
		return KACHE_OK;
	}
	if (date_time(word, v)) {
		v->text = kache_strndup(from, len);
		v->len = len;
		return KACHE_OK;
	}
	if (len && number(word, v))
		return KACHE_OK;
	return kache_toml_error(p, "not a value; strings want quotes");
}
