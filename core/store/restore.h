/* Putting stored outputs in place: all or nothing, never through an existing file. */
#ifndef KACHE_STORE_RESTORE_H
#define KACHE_STORE_RESTORE_H

#include "store/store.h"

/* FICLONE of linux/fs.h (ioctl_ficlone(2)), which musl's headers do not have. */
#define KACHE_FICLONE 0x40049409

enum kache_link_policy { KACHE_LINK_AUTO, KACHE_LINK_REFLINK, KACHE_LINK_HARDLINK, KACHE_LINK_COPY };

static inline bool kache_links(enum kache_link_policy policy)
{
	return policy == KACHE_LINK_AUTO || policy == KACHE_LINK_HARDLINK;
}

struct kache_restore {			/* one output to be put in place */
	const struct kache_output *output;
	const char *path;		/* where, absolute or relative to the cwd */
	const char *data;		/* KACHE_ROLE_DEPINFO: the text with this place's paths */
	size_t len;
	bool clear;			/* what is there may go before the new file comes */
	int64_t later;			/* as in kache_map_put_output */
	enum kache_linking linking;	/* the rules of keying.md allow a hard link here */
	/* filled by kache_restore_all */
	bool linked, retimed, young;	/* one inode with its blob, which gets another time; which is that of now */
	bool there;			/* something was */
	char *temp;
};

/* Prepares everything under temporary names beside its destination: nothing there has changed yet, and r[].there tells
 * what will be replaced. Destinations that are neither regular files nor symlinks are refused (KACHE_E_UNSUPPORTED). */
int kache_restore_prepare(struct kache_store *s, struct kache_restore *r, size_t n, enum kache_link_policy policy);
/* Renames all of it, or with the error of the preparation removes it; returns that, or its own. What was put in place
 * is entered in inputs.map. */
int kache_restore_finish(struct kache_store *s, struct kache_restore *r, size_t n, enum kache_link_policy policy, int prepared);
/* Both. */
int kache_restore_all(struct kache_store *s, struct kache_restore *r, size_t n, enum kache_link_policy policy);

#endif
