#include "config.h"
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void (*kache_oom_handler)(void);

static void *checked(void *p, size_t size)
{
	if (p || !size)
		return p;
	if (kache_oom_handler)
		kache_oom_handler();
	abort();
}

void *kache_alloc(size_t size)
{
	return checked(malloc(size ? size : 1), 1);
}

void *kache_calloc(size_t n, size_t size)
{
	return checked(calloc(n ? n : 1, size ? size : 1), 1);
}

void *kache_realloc(void *p, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		return checked(NULL, 1);
	return checked(realloc(p, total ? total : 1), 1);
}

char *kache_strndup(const char *s, size_t len)
{
	char *copy = kache_alloc(len + 1);

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *kache_strdup(const char *s)
{
	return kache_strndup(s, strlen(s));
}

char *kache_concat(const char *first, ...)
{
	enum { KNOWN = 8 };	/* a path has few parts: each is measured once */
	size_t lens[KNOWN], all = 0, n = 0;
	char *text, *to;
	va_list ap;

	va_start(ap, first);
	for (const char *s = first; s; s = va_arg(ap, const char *)) {
		size_t len = strlen(s);

		if (n < KNOWN)
			lens[n++] = len;
		all += len;
	}
	va_end(ap);
	text = to = kache_alloc(all + 1);
	n = 0;
	va_start(ap, first);
	for (const char *s = first; s; s = va_arg(ap, const char *)) {
		size_t len = n < KNOWN ? lens[n++] : strlen(s);

		memcpy(to, s, len);
		to += len;
	}
	va_end(ap);
	*to = '\0';
	return text;
}

char *kache_asprintf(const char *fmt, ...)
{
	struct kache_buf b = KACHE_BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	kache_buf_vfmt(&b, fmt, ap);
	va_end(ap);
	return kache_buf_steal(&b);
}

void kache_buf_release(struct kache_buf *b)
{
	free(b->data);
	*b = (struct kache_buf)KACHE_BUF_INIT;
}

void kache_buf_reset(struct kache_buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

char *kache_buf_reserve(struct kache_buf *b, size_t more)
{
	size_t need;

	if (__builtin_add_overflow(b->len, more, &need) || __builtin_add_overflow(need, 1, &need))
		return checked(NULL, 1);
	if (need > b->cap) {
		size_t cap = b->cap ? b->cap : 64;

		while (cap < need)
			cap = cap > SIZE_MAX / 2 ? need : cap * 2;
		b->data = kache_realloc(b->data, cap, 1);
		b->cap = cap;
	}
	return b->data + b->len;
}

void kache_buf_add(struct kache_buf *b, const void *data, size_t len)
{
	char *to = kache_buf_reserve(b, len);

	if (len)
		memcpy(to, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void kache_buf_str(struct kache_buf *b, const char *s)
{
	kache_buf_add(b, s, strlen(s));
}

void kache_buf_ch(struct kache_buf *b, char c)
{
	if (b->cap - b->len < 2)
		kache_buf_reserve(b, 1);
	b->data[b->len++] = c;
	b->data[b->len] = '\0';
}

void kache_buf_vfmt(struct kache_buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return;
	kache_buf_reserve(b, (size_t)n);
	vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	b->len += (size_t)n;
}

void kache_buf_fmt(struct kache_buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	kache_buf_vfmt(b, fmt, ap);
	va_end(ap);
}

void kache_buf_decimal(struct kache_buf *b, uint64_t v)
{
	char digits[20], *at = digits + sizeof digits;

	do
		*--at = (char)('0' + v % 10);
	while (v /= 10);
	kache_buf_add(b, at, (size_t)(digits + sizeof digits - at));
}

void kache_buf_trim(struct kache_buf *b)
{
	if (!b->data || b->cap == b->len + 1)
		return;
	b->data = kache_realloc(b->data, b->len + 1, 1);
	b->cap = b->len + 1;
}

char *kache_buf_steal(struct kache_buf *b)
{
	char *data;

	kache_buf_add(b, "", 0);
	data = b->data;
	*b = (struct kache_buf)KACHE_BUF_INIT;
	return data;
}

void kache_buf_u8(struct kache_buf *b, uint8_t v)
{
	kache_buf_add(b, &v, 1);
}

void kache_buf_u32(struct kache_buf *b, uint32_t v)
{
	unsigned char le[4] = { (unsigned char)v, (unsigned char)(v >> 8),
				(unsigned char)(v >> 16), (unsigned char)(v >> 24) };

	kache_buf_add(b, le, 4);
}

void kache_buf_u64(struct kache_buf *b, uint64_t v)
{
	kache_buf_u32(b, (uint32_t)v);
	kache_buf_u32(b, (uint32_t)(v >> 32));
}

void kache_buf_bytes(struct kache_buf *b, const void *data, size_t len)
{
	kache_buf_u32(b, (uint32_t)len);
	kache_buf_add(b, data, len);
}

void kache_buf_text(struct kache_buf *b, const char *s)
{
	kache_buf_bytes(b, s ? s : "", s ? strlen(s) : 0);
}

void kache_reader_init(struct kache_reader *r, const void *data, size_t len)
{
	r->p = data;
	r->end = r->p + len;
	r->bad = 0;
}

const void *kache_read_raw(struct kache_reader *r, size_t len)
{
	const void *at = r->p;

	if (r->bad || (size_t)(r->end - r->p) < len) {
		r->bad = 1;
		return NULL;
	}
	r->p += len;
	return at;
}

uint8_t kache_read_u8(struct kache_reader *r)
{
	const unsigned char *p = kache_read_raw(r, 1);

	return p ? *p : 0;
}

uint32_t kache_read_u32(struct kache_reader *r)
{
	const unsigned char *p = kache_read_raw(r, 4);

	if (!p)
		return 0;
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t kache_read_u64(struct kache_reader *r)
{
	uint64_t low = kache_read_u32(r);

	return low | (uint64_t)kache_read_u32(r) << 32;
}

const char *kache_read_bytes(struct kache_reader *r, size_t *len)
{
	uint32_t n = kache_read_u32(r);
	const char *p = kache_read_raw(r, n);

	*len = p ? n : 0;
	return p ? p : "";
}

char *kache_read_string(struct kache_reader *r)
{
	size_t len;
	const char *p = kache_read_bytes(r, &len);

	if (len && memchr(p, '\0', len)) {
		r->bad = 1;
		len = 0;
	}
	return kache_strndup(p, len);
}

void kache_auto_free(void *pp)
{
	free(*(void **)pp);
}
