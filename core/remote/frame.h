/* How objects look on a server that takes only small ones. A small one lies there as it is. A large one is cut to pieces,
 * and its name leads to a frame:
 *
 *	"KCH1", u32 kind (1), u64 size, 32 bytes BLAKE3 of the content
 *	u64 generation, u32 bytes of a piece (the last may have fewer), u32 number of pieces
 *
 * Numbers are little-endian. The pieces of <key> are <key>.c-<generation>-<number>. A small object that begins like a frame
 * is cut to pieces too (to one, that is), so what begins so and has the size of a frame is one. */
#ifndef KACHE_REMOTE_FRAME_H
#define KACHE_REMOTE_FRAME_H

#include "base/buf.h"
#include "base/hash.h"
#include "kache/backend.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	KACHE_FRAME_SIZE = 64, KACHE_FRAME_MAGIC = 4,		/* bytes */
	KACHE_FRAME_PIECES_MAX = 4096,
	KACHE_FRAME_BYTES_MAX = 64 << 20,			/* of a piece: it is held in memory */
	KACHE_FRAME_NAME_MORE = 3 + 16 + 1 + 4			/* characters of a piece's name beyond the key */
};

struct kache_frame {
	bool pieces;			/* false: no frame, the object itself; but for size the rest is 0 */
	uint64_t size, generation;
	struct kache_hash hash;
	uint32_t piece, n;
};

void kache_frame_encode(const struct kache_frame *f, struct kache_buf *out);
/* What came from the server. False for what is no frame; then f is that of the object itself. */
bool kache_frame_decode(const void *data, size_t len, struct kache_frame *f);
/* Whether an object's first bytes (as many as there are of KACHE_FRAME_MAGIC) are those of a frame. */
bool kache_frame_begins(const void *data, size_t len);
/* Fresh memory. */
char *kache_frame_piece_name(struct kb_key key, uint64_t generation, uint32_t i);
bool kache_frame_is_piece(struct kb_key key);

#endif
