#include "config.h"
#include "remote/squeeze.h"

#include "base/err.h"

#include <stdint.h>
#include <string.h>
#include <zstd.h>

void kache_squeeze(const void *data, size_t len, int level, struct kache_buf *out)
{
	size_t bound = ZSTD_compressBound(len);
	size_t n = ZSTD_compress(kache_buf_reserve(out, bound), bound, data, len, level);

	/* Only a lack of memory is left as a reason; plain bytes are understood too. */
	if (ZSTD_isError(n)) {
		kache_buf_add(out, data, len);
		return;
	}
	out->len += n;
	out->data[out->len] = '\0';
}

int kache_unsqueeze(const void *data, size_t len, size_t max, struct kache_buf *out)
{
	static const unsigned char magic[4] = { 0x28, 0xb5, 0x2f, 0xfd };	/* RFC 8878, 3.1.1 */
	unsigned long long size;
	size_t n;

	if (len < sizeof magic || memcmp(data, magic, sizeof magic)) {
		if (len > max)
			return KACHE_E_TOOBIG;
		kache_buf_add(out, data, len);
		return KACHE_OK;
	}
	size = ZSTD_getFrameContentSize(data, len);
	if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN)
		return KACHE_E_CORRUPT;
	if (size > max)
		return KACHE_E_TOOBIG;
	n = ZSTD_decompress(kache_buf_reserve(out, (size_t)size), (size_t)size, data, len);
	if (ZSTD_isError(n) || n != size)
		return KACHE_E_CORRUPT;
	out->len += n;
	out->data[out->len] = '\0';
	return KACHE_OK;
}
