/* The local store: a directory of blobs, entries and manifests. Files are the truth; everything else
 * (index.db, inputs.map) can be thrown away.
 *
 *	CACHEDIR.TAG format blobs/ab/<hash> entries/ab/<result key> manifests/ab/<invocation key>
 *	inputs.map events/ index.db tmp/
 *
 * Any number of processes may use one store. No function here waits for a lock. */
#ifndef KACHE_STORE_STORE_H
#define KACHE_STORE_STORE_H

#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "store/entry.h"
#include "store/manifest.h"

#include <time.h>

#define KACHE_STORE_FORMAT 1
/* Modification time of a blob, in seconds since the epoch: 2007-01-01T00:00:00Z. Old, so that
 * cargo takes a linked blob for older than anything that was just made, but not older than the sources of a registry, to which it
 * gives a time in 2006; constant, so that a written-to blob shows. One that is shared with
 * a single output may have that one's time, see kache_linking; a blob with a time that nobody remembers is read. */
#define KACHE_BLOB_TIME 1167609600
#define KACHE_BLOB_TIME_NS (INT64_C(1000000000) * KACHE_BLOB_TIME)
extern const struct timespec kache_blob_times[2];	/* access and modification, for utimensat(2) */

struct kache_store {
	char *root;
	bool readonly;		/* nothing can or may be written */
	bool verify;		/* blobs are hashed each time, not taken for good by size and time */
	_Atomic(struct kache_map *) map;	/* opened on first use; see store/map.h */
};

/* Opens root. Creates it where `create` is set and it is missing. A store that can't be written to
 * opens with readonly set. KACHE_E_VERSION for a newer format, KACHE_E_INVALID for a directory that
 * is something else, KACHE_E_UNSUPPORTED for a network file system (unless KACHE_FORCE_NETWORK=1). */
int kache_store_open(const char *root, bool create, struct kache_store **out, struct kache_error *err);
void kache_store_close(struct kache_store *s);
/* Whether what lies in a store's directory under this name is the store's. */
bool kache_store_owns(const char *name, const struct kache_stat *st);
/* Whether a directory without a format file has things in it that are not of a store: somebody else's, where none is made. What
 * is of a store is what a build left that went on while its store was removed. */
bool kache_store_foreign(const char *root);

/* "<root>/<kind>/ab/<hash>", fresh memory; kind is "blobs", "entries" or "manifests". */
char *kache_store_path(const struct kache_store *s, const char *kind, const struct kache_hash *h);
/* "<root>/<name>", fresh memory. */
char *kache_store_file(const struct kache_store *s, const char *name);
/* A fresh name in tmp/, fresh memory. */
char *kache_store_temp(const struct kache_store *s);

/* Whether an output and its blob may be one inode. */
enum kache_linking {
	KACHE_LINKING_NOT,
	KACHE_LINKING_OLD,	/* with the time of blobs, in any number of places */
	KACHE_LINKING_YOUNG,	/* as new as the compiler would have made it: only where the store alone names the blob */
};

/* Blobs. put_file: hashes the file and puts its content in, by hard link where that may be (the file
 * then shares its inode and gets the blob's mode and, if old, its time), else by copy (reflink where possible).
 * put_temp: takes over a complete file in tmp/ whose hash is known to be right.
 * Blobs have mode 0644, those of programs (exec, or a file with an x bit) 0755, since both may be linked.
 * A blob that exists already is only marked as used, so that gc spares it. */
int kache_blob_put_file(struct kache_store *s, const char *path, enum kache_linking linking, struct kache_hash *hash,
			uint64_t *size, struct kache_error *err);
int kache_blob_put_temp(struct kache_store *s, const char *temp, bool exec, const struct kache_hash *hash,
			struct kache_error *err);
/* Opens a blob for reading after checking size and time; a blob that fails is removed and counted as
 * KACHE_E_CORRUPT. KACHE_E_NOENT if there is none. */
int kache_blob_open(struct kache_store *s, const struct kache_hash *hash, uint64_t size, int *fd);
/* Whether the file at path, as st describes it, may be handed out as that blob: its size, its time, and where a power cut may
 * have changed it, its content. fd: opened for reading, or -1 to open path where need be; its offset is at the start afterwards.
 * 0; KACHE_E_CORRUPT (the file is then removed); KACHE_E_IO where its content is wanted and can't be read. */
int kache_blob_check(struct kache_store *s, const char *path, int fd, const struct kache_stat *st,
		     const struct kache_hash *hash, uint64_t size);
/* Reads the whole blob and compares its hash. 0, KACHE_E_NOENT, KACHE_E_CORRUPT, KACHE_E_IO. */
int kache_blob_verify(struct kache_store *s, const struct kache_hash *hash, uint64_t size);

/* Entries. get: KACHE_E_NOENT, KACHE_E_CORRUPT (the file is then removed). put: all its blobs must be
 * in already. */
int kache_entry_get(struct kache_store *s, const struct kache_hash *key, struct kache_entry *out);
int kache_entry_put(struct kache_store *s, const struct kache_entry *e, struct kache_error *err);
int kache_entry_remove(struct kache_store *s, const struct kache_hash *key);

/* Manifests. put replaces; update merges with what is there now and puts. Two writers at once may
 * lose one input set, which costs a later miss and nothing else. */
int kache_manifest_get(struct kache_store *s, const struct kache_hash *invocation, struct kache_manifest *out);
int kache_manifest_put(struct kache_store *s, const struct kache_manifest *m, struct kache_error *err);
int kache_manifest_update(struct kache_store *s, struct kache_manifest *m, struct kache_error *err);

/* Calls each for every well-named file of that kind; stops and returns its value if it is not 0. */
int kache_store_walk(struct kache_store *s, const char *kind,
		     int (*each)(void *arg, const struct kache_hash *h, const char *path, const struct kache_stat *st),
		     void *arg);

/* Appends one line to events/current.jsonl in one write(2). line ends in '\n'. */
int kache_store_event(struct kache_store *s, const char *line, size_t len);

#endif
