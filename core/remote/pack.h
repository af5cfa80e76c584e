/* Packs: what one entry needs, as one object of a remote.
 *
 * A pack is an ordinary tar, compressed by zstd (`tar -tf` and `zstd -d` read it):
 *	meta.json	first; what the entry is, and which blobs with which sizes it needs
 *	blobs/<hash>	each of those once, named by its BLAKE3
 * and nothing else. This part knows tar, names, sizes and hashes. What meta.json says, and where the
 * bytes come from or go to, is the caller's: the store is not seen from here. */
#ifndef KACHE_REMOTE_PACK_H
#define KACHE_REMOTE_PACK_H

#include "base/err.h"
#include "base/hash.h"

#include <stddef.h>
#include <stdint.h>

#define KACHE_PACK_META_MAX  (64u << 20)	/* bytes of meta.json */
#define KACHE_PACK_BLOBS_MAX 4096u
#define KACHE_PACK_WINDOW_LOG 23	/* 8 MiB: how far back zstd may refer */
#define KACHE_PACK_SIZE_MAX  ((uint64_t)16 << 30)	/* bytes of all blobs of a pack */

struct kache_pack_blob {
	struct kache_hash hash;
	uint64_t size;
};

struct kache_pack_source {
	const char *meta;
	size_t meta_len;
	const struct kache_pack_blob *blobs;	/* each hash once */
	size_t n_blobs;
	/* Opens a blob of exactly that size; the writer closes *fd. */
	int (*open)(void *arg, const struct kache_pack_blob *blob, int *fd, struct kache_error *err);
	void *arg;
};

/* Writes the pack to fd from its offset on. level: zstd's, 1..19. The same content gives the same bytes. */
int kache_pack_write(const struct kache_pack_source *src, unsigned level, int fd, struct kache_error *err);

struct kache_pack_sink {
	/* Looks at meta.json and says which blobs must follow (fresh memory; the reader frees it). */
	int (*meta)(void *arg, const char *meta, size_t len, struct kache_pack_blob **blobs, size_t *n,
		    struct kache_error *err);
	/* An empty file for a blob; the reader writes and closes *fd. Not called for a blob twice. */
	int (*begin)(void *arg, const struct kache_pack_blob *blob, int *fd, struct kache_error *err);
	/* The blob is complete, its size and hash are right, its file is closed. Not called if not. */
	int (*end)(void *arg, const struct kache_pack_blob *blob, struct kache_error *err);
	void *arg;
};

/* The next bytes of a tar, valid until the next call; none at its end. Anything but KACHE_OK ends the reading. */
typedef int kache_pack_more(void *arg, const void **data, size_t *len);
/* Reads the tar of a pack, which is trusted in nothing: names, types, sizes, hashes, order, repetitions and
 * completeness are checked. What was handed to `end` before a failure stays with the caller.
 * KACHE_E_CORRUPT, KACHE_E_TOOBIG, KACHE_E_IO, or what a callback of the sink returned. unpack.h decompresses. */
int kache_pack_read_tar(kache_pack_more *more, void *arg, const struct kache_pack_sink *sink, struct kache_error *err);

#endif
