/* Writing JSON (RFC 8259) into a buffer. Reading is jansson's, where a program needs it. */
#ifndef KACHE_BASE_JSON_H
#define KACHE_BASE_JSON_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* A quoted string. Bytes that are not UTF-8 become U+FFFD. */
void kache_json_string(struct kache_buf *b, const char *s, size_t len);

/* Members and elements with commas placed by themselves:
 *	kache_json_open(&j, NULL, '{'); kache_json_str(&j, "name", "x"); kache_json_close(&j, '}');
 * name NULL inside arrays. Zero-initialise, set out. Nesting up to 63. */
struct kache_json {
	struct kache_buf *out;
	uint64_t has_member;
	unsigned depth;
};
void kache_json_open(struct kache_json *j, const char *name, char bracket);
void kache_json_close(struct kache_json *j, char bracket);
void kache_json_str(struct kache_json *j, const char *name, const char *value);	/* NULL: null */
void kache_json_u64(struct kache_json *j, const char *name, uint64_t value);
void kache_json_i64(struct kache_json *j, const char *name, int64_t value);
void kache_json_double(struct kache_json *j, const char *name, double value);	/* 3 decimals */
void kache_json_bool(struct kache_json *j, const char *name, bool value);

#endif
