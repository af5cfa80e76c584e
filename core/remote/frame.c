#include "config.h"
#include "remote/frame.h"

#include <inttypes.h>
#include <string.h>

static const char magic[4] = "KCH1";

void kache_frame_encode(const struct kache_frame *f, struct kache_buf *out)
{
	kache_buf_add(out, magic, sizeof magic);
	kache_buf_u32(out, f->pieces);
	kache_buf_u64(out, f->size);
	kache_buf_add(out, &f->hash, sizeof f->hash);
	if (f->pieces) {
		kache_buf_u64(out, f->generation);
		kache_buf_u32(out, f->piece);
		kache_buf_u32(out, f->n);
	}
}

bool kache_frame_decode(const struct kache_buf *b, struct kache_frame *f)
{
	struct kache_reader r;
	const void *m, *hash;
	uint32_t kind;

	*f = (struct kache_frame){ 0 };
	kache_reader_init(&r, b->data ? b->data : "", b->len);
	m = kache_read_raw(&r, sizeof magic);
	kind = kache_read_u32(&r);
	f->size = kache_read_u64(&r);
	hash = kache_read_raw(&r, sizeof f->hash);
	f->pieces = kind == 1;
	if (f->pieces) {
		f->generation = kache_read_u64(&r);
		f->piece = kache_read_u32(&r);
		f->n = kache_read_u32(&r);
	}
	if (r.bad || memcmp(m, magic, sizeof magic) || kind > 1)
		return false;
	memcpy(&f->hash, hash, sizeof f->hash);
	if (!f->pieces)
		return b->len - KACHE_FRAME_WHOLE == f->size;
	if (b->len != KACHE_FRAME_PIECES || !f->piece || f->piece > KACHE_FRAME_BYTES_MAX || !f->n || f->n > KACHE_FRAME_PIECES_MAX)
		return false;
	return f->size > (uint64_t)f->piece * (f->n - 1) && f->size <= (uint64_t)f->piece * f->n;
}

char *kache_frame_piece_name(struct kb_key key, uint64_t generation, uint32_t i)
{
	return kache_asprintf("%.*s.c-%016" PRIx64 "-%" PRIu32, (int)key.len, key.name, generation, i);
}

/* The number of characters of `set` at the end of the first len. */
static size_t tail(const char *s, size_t len, const char *set)
{
	size_t n = 0;

	while (n < len && s[len - 1 - n] && strchr(set, s[len - 1 - n]))
		n++;
	return n;
}

bool kache_frame_is_piece(struct kb_key key)
{
	size_t len = key.len, digits = tail(key.name, len, "0123456789");

	len -= digits;
	if (!digits || !len || key.name[len - 1] != '-')
		return false;
	len--;
	if (tail(key.name, len, "0123456789abcdef") != 16)
		return false;
	len -= 16;
	return len > 3 && !memcmp(key.name + len - 3, ".c-", 3);
}
