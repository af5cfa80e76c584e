/* How objects look on a server that takes only small ones. Every object begins with a frame; a small one is the frame
 * and its bytes, a large one is a frame that names its pieces, which have none:
 *
 *	"KCH1", u32 kind (0 whole, 1 pieces), u64 size, 32 bytes BLAKE3 of the content
 *	kind 1: u64 generation, u32 bytes of a piece (the last may have fewer), u32 number of pieces
 *
 * Numbers are little-endian. The pieces of <key> are <key>.c-<generation>-<number>. */
#ifndef KACHE_REMOTE_FRAME_H
#define KACHE_REMOTE_FRAME_H

#include "base/buf.h"
#include "base/hash.h"
#include "kache/backend.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	KACHE_FRAME_WHOLE = 48, KACHE_FRAME_PIECES = 64,	/* bytes of a frame */
	KACHE_FRAME_PIECES_MAX = 4096,
	KACHE_FRAME_BYTES_MAX = 64 << 20,			/* of a whole object or a piece: it is held in memory */
	KACHE_FRAME_NAME_MORE = 3 + 16 + 1 + 4			/* characters of a piece's name beyond the key */
};

struct kache_frame {
	bool pieces;
	uint64_t size, generation;
	struct kache_hash hash;
	uint32_t piece, n;
};

void kache_frame_encode(const struct kache_frame *f, struct kache_buf *out);
/* A whole object as it came from the server. False for what has no frame, or one that does not fit the object. */
bool kache_frame_decode(const struct kache_buf *b, struct kache_frame *f);
/* Fresh memory. */
char *kache_frame_piece_name(struct kb_key key, uint64_t generation, uint32_t i);
bool kache_frame_is_piece(struct kb_key key);

#endif
