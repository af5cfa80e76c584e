/* For the targets of framed files (core/store/codec.h). */
#ifndef KACHE_TESTS_FUZZ_FRAME_H
#define KACHE_TESTS_FUZZ_FRAME_H

#include "tests/fuzz/fuzz.h"

#include "base/buf.h"
#include "store/codec.h"

#include <string.h>

static inline void fuzz_frame(struct kache_buf *b, const char *magic, uint32_t version, const void *data,
			      size_t size)
{
	size_t start = kache_codec_begin(b, magic, version);

	kache_buf_add(b, data, size);
	kache_codec_end(b, start);
}

/* Changes one bit, which one depends on salt: the frame is then no frame. */
static inline void fuzz_damage(struct kache_buf *b, size_t salt)
{
	b->data[salt * 31 % b->len] ^= (char)(1 << salt % 8);
}

#endif
