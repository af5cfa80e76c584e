/* zstd for small things that are held in memory: remote manifests. */
#ifndef KACHE_REMOTE_SQUEEZE_H
#define KACHE_REMOTE_SQUEEZE_H

#include "base/buf.h"

/* Appends one zstd frame with its content size. */
void kache_squeeze(const void *data, size_t len, int level, struct kache_buf *out);
/* The other way: appends what the frame holds, at most max bytes. Data that is no zstd frame is taken
 * as it is. 0, KACHE_E_CORRUPT or KACHE_E_TOOBIG. */
int kache_unsqueeze(const void *data, size_t len, size_t max, struct kache_buf *out);

#endif
