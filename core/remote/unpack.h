/* A pack that comes in pieces, taken apart while it comes: who adds the pieces decompresses them, a thread of its own
 * reads the tar, checks and writes. For one thread at a time. */
#ifndef KACHE_REMOTE_UNPACK_H
#define KACHE_REMOTE_UNPACK_H

#include "remote/pack.h"

struct kache_unpack;

/* *sink is called from the other thread and stays valid until the end. NULL: there can't be another thread. */
struct kache_unpack *kache_unpack_new(const struct kache_pack_sink *sink);
/* The next bytes of the pack. Once it is found damaged they are taken and forgotten. */
void kache_unpack_add(struct kache_unpack *u, const void *data, size_t len);
/* All of it was added: waits, frees, and returns what kache_pack_read_tar does. */
int kache_unpack_end(struct kache_unpack *u, struct kache_error *err);
/* Nothing more will come: waits and frees. What was handed to the sink stays with the caller. NULL is fine. */
void kache_unpack_drop(struct kache_unpack *u);

#endif
