/* Checking a store against itself, and taking out what is wrong. Never runs as part of a build. */
#ifndef KACHE_STORE_VERIFY_H
#define KACHE_STORE_VERIFY_H

#include "store/store.h"

enum kache_problem_kind {
	KACHE_PROBLEM_ENTRY_CORRUPT,	/* does not decode, or is not named by its key */
	KACHE_PROBLEM_BLOB_MISSING,	/* an entry needs it; path is the entry's */
	KACHE_PROBLEM_BLOB_SIZE,	/* other than the entries that need it say */
	KACHE_PROBLEM_BLOB_TIME,	/* neither KACHE_BLOB_TIME nor its own, and the content is another one: written to */
	KACHE_PROBLEM_BLOB_MODE,	/* neither 0644 nor 0755 */
	KACHE_PROBLEM_BLOB_CONTENT,	/* its bytes do not hash to its name */
	KACHE_PROBLEM_MANIFEST_CORRUPT,
	KACHE_PROBLEM_UNREADABLE,
	/* From here on remarks: no harm is done by these. */
	KACHE_PROBLEM_NEWER,		/* written by a newer kache */
	KACHE_PROBLEM_ORPHAN,		/* a blob that no entry needs; of a build under way, or for gc */
	KACHE_PROBLEM_DANGLING,		/* a manifest's set that leads to no entry */
	KACHE_PROBLEM_FOREIGN,		/* a file, directory or symlink that kache did not make */
	KACHE_PROBLEM_KINDS
};

struct kache_problem {
	enum kache_problem_kind kind;
	const char *path;		/* where; valid during the call */
	bool harmful, repaired;
};

struct kache_verify_options {
	bool checksums;			/* read and hash every blob once */
	bool repair;			/* remove what is harmful with the entries that need it; prune manifests */
	unsigned threads;		/* that hash; 0: one per processor, at most 16 */
	void (*each)(void *arg, const struct kache_problem *p);	/* one call per problem; may be NULL */
	void *arg;
};

struct kache_verify_report {
	uint64_t entries, blobs, manifests, blob_bytes, hashed_bytes;
	uint64_t problems, remarks;	/* harmful ones, others */
	uint64_t repaired;		/* problems that are no more */
	uint64_t entries_removed, blobs_removed, manifests_removed;
	uint64_t found[KACHE_PROBLEM_KINDS];
};

/* "blob with wrong content" */
const char *kache_problem_name(enum kache_problem_kind kind);

/* 0 whatever was found; KACHE_E_BUSY where gc or another check is under way (a store that can't be
 * written to has no lock, and is not repaired); KACHE_E_IO. `each` is called by the calling thread. */
int kache_verify(struct kache_store *s, const struct kache_verify_options *o, struct kache_verify_report *report,
		 struct kache_error *err);

#endif
