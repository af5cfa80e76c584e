#include "config.h"
#include "store/codec.h"

#include "base/err.h"

#include <string.h>

size_t kache_codec_begin(struct kache_buf *b, const char *magic, uint32_t version)
{
	size_t start = b->len;

	kache_buf_add(b, magic, 4);
	kache_buf_u32(b, version);
	return start;
}

void kache_codec_end(struct kache_buf *b, size_t start)
{
	struct kache_hash sum;

	kache_hash_bytes(b->data + start, b->len - start, &sum);
	kache_buf_add(b, sum.b, KACHE_HASH_LEN);
}

int kache_codec_open(struct kache_reader *r, const void *data, size_t len, const char *magic, uint32_t version)
{
	struct kache_hash sum;
	uint32_t found;

	if (len < 8 + KACHE_HASH_LEN || memcmp(data, magic, 4))
		return KACHE_E_CORRUPT;
	kache_reader_init(r, (const char *)data + 4, len - 4 - KACHE_HASH_LEN);
	found = kache_read_u32(r);
	if (found > version)
		return KACHE_E_VERSION;
	kache_hash_bytes(data, len - KACHE_HASH_LEN, &sum);
	if (found != version || memcmp(sum.b, (const char *)data + len - KACHE_HASH_LEN, KACHE_HASH_LEN))
		return KACHE_E_CORRUPT;
	return KACHE_OK;
}

void kache_codec_hash(struct kache_reader *r, struct kache_hash *out)
{
	const void *p = kache_read_raw(r, KACHE_HASH_LEN);

	if (p)
		memcpy(out->b, p, KACHE_HASH_LEN);
	else
		memset(out->b, 0, KACHE_HASH_LEN);
}

uint32_t kache_codec_count(struct kache_reader *r)
{
	uint32_t n = kache_read_u32(r);

	r->bad |= n > (size_t)(r->end - r->p) / 4;
	return r->bad ? 0 : n;
}

void kache_codec_strs(struct kache_reader *r, struct kache_strs *out)
{
	for (uint32_t n = kache_codec_count(r); n && !r->bad; n--)
		kache_strs_take(out, kache_read_string(r));
}
