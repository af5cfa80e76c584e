/* BLAKE3 (https://github.com/BLAKE3-team/BLAKE3-specs), the one hash of the project. */
#ifndef KACHE_BASE_HASH_H
#define KACHE_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KACHE_HASH_LEN 32
#define KACHE_HEX_LEN 64	/* without the NUL */

struct kache_hash {
	unsigned char b[KACHE_HASH_LEN];
};

/* Incremental hashing; opaque, about 2 KiB, lives on the caller's stack. */
struct kache_hasher {
	_Alignas(8) unsigned char opaque[1920];
};
void kache_hasher_init(struct kache_hasher *h);
void kache_hasher_add(struct kache_hasher *h, const void *data, size_t len);
/* A length-prefixed label and value, so that ("ab","c") and ("a","bc") differ. */
void kache_hasher_field(struct kache_hasher *h, const char *label, const void *value, size_t len);
void kache_hasher_str(struct kache_hasher *h, const char *label, const char *value);
void kache_hasher_end(const struct kache_hasher *h, struct kache_hash *out);

void kache_hash_bytes(const void *data, size_t len, struct kache_hash *out);
/* Hashes from the current offset of fd to its end. *size (may be NULL) gets the bytes read.
 * 0 or KACHE_E_IO. */
int kache_hash_fd(int fd, struct kache_hash *out, uint64_t *size);
/* Opens path (a regular file; anything else is KACHE_E_INVALID) and hashes it. */
int kache_hash_file(const char *path, struct kache_hash *out, uint64_t *size);

bool kache_hash_eq(const struct kache_hash *a, const struct kache_hash *b);
/* Lower-case hex and a NUL into out[KACHE_HEX_LEN + 1]; returns out. */
char *kache_hash_hex(const struct kache_hash *h, char *out);
/* Exactly 64 lower-case hex digits (len given); false otherwise. */
bool kache_hash_parse(const char *hex, size_t len, struct kache_hash *out);

#endif
