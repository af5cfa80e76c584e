/* Records of queue/: entries that are to be sent to the remotes. Written by whoever stored the entry (libc
 * only), removed by whoever sent it. A record is a file named by the result key:
 *
 *	kache-queue 1 <invocation key> <remotes> <folder>
 *
 * remotes tells for which ones the entry was made (kache_conf_remote_id): whoever talks to others leaves the record
 * alone. */
#ifndef KACHE_DAEMON_QUEUE_FILE_H
#define KACHE_DAEMON_QUEUE_FILE_H

#include "base/hash.h"

#include <stddef.h>

/* "<root>/queue/<result>", fresh memory. */
char *kache_queue_path(const char *root, const struct kache_hash *result);
/* Puts a record there; one that is there already stays. Makes queue/ if need be. 0 or KACHE_E_IO. */
int kache_queue_put(const char *root, const struct kache_hash *result, const struct kache_hash *invocation,
		    const struct kache_hash *remotes, const char *folder);
/* 0 with *invocation, *remotes and *folder (fresh memory); KACHE_E_NOENT, KACHE_E_CORRUPT, KACHE_E_IO. */
int kache_queue_get(const char *root, const struct kache_hash *result, struct kache_hash *invocation,
		    struct kache_hash *remotes, char **folder);

#endif
