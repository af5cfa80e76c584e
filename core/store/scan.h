/* Looking at every file of a store, the ones that do not belong there too. Unlike kache_store_walk it
 * fails where a directory can't be read: who removes things must know what it has not seen. */
#ifndef KACHE_STORE_SCAN_H
#define KACHE_STORE_SCAN_H

#include "store/store.h"

enum kache_scan_what {
	KACHE_SCAN_OBJECT,	/* a regular file <kind>/ab/<hash> */
	KACHE_SCAN_TEMP,	/* a regular file of a writer: .kache-*, and any file in tmp */
	KACHE_SCAN_FOREIGN	/* everything else; symlinks are never followed */
};

struct kache_scan_item {
	enum kache_scan_what what;
	const char *path;
	struct kache_hash hash;	/* of an object */
	struct kache_stat st;	/* of the file itself */
};

/* Calls each for what lies in "blobs", "entries", "manifests" or "tmp", or another directory of the store,
 * where only the temporaries are of interest; stops and returns its value if it is not 0. What vanishes
 * meanwhile is skipped. KACHE_E_IO with err. */
int kache_scan(const struct kache_store *s, const char *kind,
	       int (*each)(void *arg, const struct kache_scan_item *item), void *arg, struct kache_error *err);

/* Only the names of objects, and the inode numbers that their directories tell (which overlayfs may see otherwise): no file is
 * looked at. Fails like kache_scan. */
int kache_scan_names(const struct kache_store *s, const char *kind,
		     int (*each)(void *arg, const struct kache_hash *hash, uint64_t ino), void *arg, struct kache_error *err);

/* Reads and decodes an entry or manifest without touching the file. 0, KACHE_E_NOENT, KACHE_E_CORRUPT
 * (also for one that is not named by its key), KACHE_E_VERSION, KACHE_E_IO. */
int kache_scan_entry(const struct kache_scan_item *item, struct kache_entry *out);
int kache_scan_manifest(const struct kache_scan_item *item, struct kache_manifest *out);

#endif
