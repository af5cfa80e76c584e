/* The frame that entries and manifests share: a magic, a format version, and a closing BLAKE3. */
#ifndef KACHE_STORE_CODEC_H
#define KACHE_STORE_CODEC_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/strs.h"

/* Starts a frame (magic: four characters) and returns where it starts, for end. */
size_t kache_codec_begin(struct kache_buf *b, const char *magic, uint32_t version);
void kache_codec_end(struct kache_buf *b, size_t start);
/* Checks magic, version and hash, and leaves r over the fields. 0, KACHE_E_CORRUPT, KACHE_E_VERSION. */
int kache_codec_open(struct kache_reader *r, const void *data, size_t len, const char *magic, uint32_t version);
void kache_codec_hash(struct kache_reader *r, struct kache_hash *out);
/* A count of things that take four bytes each at least; 0 where there can't be as many, and then r is bad. */
uint32_t kache_codec_count(struct kache_reader *r);
/* A count, and as many strings, which are added to out. */
void kache_codec_strs(struct kache_reader *r, struct kache_strs *out);

#endif
