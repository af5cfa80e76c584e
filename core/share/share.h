/* Sharing results through a remote: entries as packs, manifests, and what they are called there. The one place
 * that knows both the store and the remote; `kache sync` and the daemon are its users.
 *
 * Layout of a remote, below its prefix: <folder>/<result key>.tar.zst are packs, _m/<folder>/<invocation key>
 * manifests (zstd). What comes from there is checked in form and meaning before it enters the store. */
#ifndef KACHE_SHARE_SHARE_H
#define KACHE_SHARE_SHARE_H

#include "base/err.h"
#include "base/hash.h"
#include "remote/remote.h"
#include "store/store.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct kache_share {
	struct kache_store *store;
	struct kache_remote *remote;
	unsigned level;			/* zstd's */
	int cancel_fd;			/* readable once it is time to stop; -1: none */
	atomic_ullong *progress;	/* grows with the bytes of a pull as they come; NULL: nobody looks */
	uint64_t deadline_ns;		/* CLOCK_MONOTONIC, for all operations; 0: the remote's own time for each */
};

enum kache_share_result {
	KACHE_SHARE_DONE, KACHE_SHARE_NOTHING,	/* moved; there was nothing to move */
	KACHE_SHARE_SKIPPED,			/* too large for the remote, incomplete here, gone there: err says */
	KACHE_SHARE_FAILED, KACHE_SHARE_CANCELLED,
	KACHE_SHARE_FATAL			/* failed, and so will all others */
};

/* The folder of a package's objects: its name in the alphabet of keys. Two packages may share one; what
 * is in it is named by hashes. Fresh memory. */
char *kache_share_folder(const char *package);
/* "<folder>/<hash>.tar.zst", "_m/<folder>/<hash>"; fresh memory. */
char *kache_share_pack_key(const char *folder, const struct kache_hash *h);
char *kache_share_manifest_key(const char *folder, const struct kache_hash *h);

/* All below may run in any number of threads at once. *bytes grows by what travelled; err is set with
 * SKIPPED, FAILED and FATAL.
 *
 * An entry of the remote into the store; size: of the pack, if known, for the time it may take. */
enum kache_share_result kache_share_pull(struct kache_share *s, const char *folder, const struct kache_hash *result,
					 uint64_t size, uint64_t *bytes, struct kache_error *err);
/* An entry of the store to the remote. */
enum kache_share_result kache_share_push(struct kache_share *s, const char *folder, const struct kache_hash *result,
					 uint64_t *bytes, struct kache_error *err);
/* The remote's manifest: DONE with *m, NOTHING if there is none (*m is empty then). */
enum kache_share_result kache_share_fetch_manifest(struct kache_share *s, const char *folder,
						   const struct kache_hash *invocation, uint64_t size,
						   struct kache_manifest *m, uint64_t *bytes, struct kache_error *err);
/* Makes the manifests of both sides know of each other's sets, as far as their entries are in the store: the
 * store's where pull is set, the remote's where push is. remote: the remote may have one. */
enum kache_share_result kache_share_manifest(struct kache_share *s, const char *folder,
					     const struct kache_hash *invocation, bool remote, uint64_t size, bool pull,
					     bool push, uint64_t *bytes, struct kache_error *err);
/* Until when one operation that moves so many bytes may take. */
uint64_t kache_share_deadline(const struct kache_share *s, uint64_t bytes);
/* What a negative kb_status means for one transfer. */
enum kache_share_result kache_share_judge(int status);

#endif
