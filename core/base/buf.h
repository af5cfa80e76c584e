/* Growing byte buffer, and allocation that cannot return NULL. */
#ifndef KACHE_BASE_BUF_H
#define KACHE_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* Allocation: on exhaustion the handler runs (the wrapper's handler runs the real compiler), and if
 * it returns or none is set, the process aborts. Sizes are checked for overflow. */
extern void (*kache_oom_handler)(void);
void *kache_alloc(size_t size);
void *kache_calloc(size_t n, size_t size);
void *kache_realloc(void *p, size_t n, size_t size);
char *kache_strdup(const char *s);
char *kache_strndup(const char *s, size_t len);
/* All strings up to the first NULL, one behind the other, in fresh memory. */
char *kache_concat(const char *first, ...) __attribute__((sentinel));
/* printf into fresh memory; the caller frees. kache_concat does the same for strings at a tenth of the cost. */
char *kache_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* data is always NUL-terminated once anything was added; len does not count that NUL.
 * Zero-initialise to start (KACHE_BUF_INIT); kache_buf_release frees and makes it reusable. */
struct kache_buf {
	char *data;
	size_t len, cap;
};
#define KACHE_BUF_INIT { NULL, 0, 0 }

void kache_buf_release(struct kache_buf *b);
/* Empties and keeps the memory. */
void kache_buf_reset(struct kache_buf *b);
/* Room for `more` bytes beyond len; returns where they go. */
char *kache_buf_reserve(struct kache_buf *b, size_t more);
void kache_buf_add(struct kache_buf *b, const void *data, size_t len);
void kache_buf_str(struct kache_buf *b, const char *s);
void kache_buf_ch(struct kache_buf *b, char c);
void kache_buf_fmt(struct kache_buf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void kache_buf_vfmt(struct kache_buf *b, const char *fmt, va_list ap);
/* In decimal. */
void kache_buf_decimal(struct kache_buf *b, uint64_t v);
/* Gives back what is reserved and not used. */
void kache_buf_trim(struct kache_buf *b);
/* Hands the NUL-terminated memory to the caller, who frees it; never NULL. */
char *kache_buf_steal(struct kache_buf *b);

/* Little-endian serialisation. Strings and byte runs are a u32 length and the bytes. */
void kache_buf_u8(struct kache_buf *b, uint8_t v);
void kache_buf_u32(struct kache_buf *b, uint32_t v);
void kache_buf_u64(struct kache_buf *b, uint64_t v);
void kache_buf_bytes(struct kache_buf *b, const void *data, size_t len);
void kache_buf_text(struct kache_buf *b, const char *s);	/* the bytes of a string; NULL as "" */

/* Reader over bytes of unknown honesty: after any read past the end `bad` is set, and every read
 * from then on gives 0, NULL or "". Check `bad` once, at the end. */
struct kache_reader {
	const unsigned char *p, *end;
	int bad;
};
void kache_reader_init(struct kache_reader *r, const void *data, size_t len);
uint8_t kache_read_u8(struct kache_reader *r);
uint32_t kache_read_u32(struct kache_reader *r);
uint64_t kache_read_u64(struct kache_reader *r);
/* Points into the reader's memory. */
const void *kache_read_raw(struct kache_reader *r, size_t len);
const char *kache_read_bytes(struct kache_reader *r, size_t *len);
/* Fresh NUL-terminated copy, which the caller frees; bad if it holds a NUL. Never NULL. */
char *kache_read_string(struct kache_reader *r);

/* For lone locals: KACHE_AUTO_FREE char *p = …; KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT; */
void kache_auto_free(void *pp);
#define KACHE_AUTO_FREE __attribute__((cleanup(kache_auto_free)))
#define KACHE_AUTO_BUF __attribute__((cleanup(kache_buf_release)))

#endif
