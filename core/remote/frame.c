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
	kache_buf_u64(out, f->generation);
	kache_buf_u32(out, f->piece);
	kache_buf_u32(out, f->n);
}

bool kache_frame_begins(const void *data, size_t len)
{
	return len >= sizeof magic && !memcmp(data, magic, sizeof magic);
}

bool kache_frame_decode(const void *data, size_t len, struct kache_frame *f)
{
	struct kache_frame got = { .pieces = true };
	struct kache_reader r;
	const void *hash;
	bool good;

	*f = (struct kache_frame){ .size = len };
	if (len != KACHE_FRAME_SIZE || !kache_frame_begins(data, len))
		return false;
	kache_reader_init(&r, data, len);
	(void)kache_read_raw(&r, sizeof magic);
	good = kache_read_u32(&r) == 1;
	got.size = kache_read_u64(&r);
	hash = kache_read_raw(&r, sizeof got.hash);
	got.generation = kache_read_u64(&r);
	got.piece = kache_read_u32(&r);
	got.n = kache_read_u32(&r);
	if (r.bad || !good || !got.piece || got.piece > KACHE_FRAME_BYTES_MAX || !got.n || got.n > KACHE_FRAME_PIECES_MAX ||
	    got.size <= (uint64_t)got.piece * (got.n - 1) || got.size > (uint64_t)got.piece * got.n)
		return false;
	memcpy(&got.hash, hash, sizeof got.hash);
	*f = got;
	return true;
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
