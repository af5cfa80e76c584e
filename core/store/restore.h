/* Putting stored outputs in place: all or nothing (but for what somebody waits for), never through an existing file. */
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
	bool placed;
	int from;			/* the blob that will be copied, or -1 */
	char *temp;
};

/* In this order: looks whether all of it can be had, and writes nothing; r[].there tells what will be replaced, which is
 * refused where it is neither a regular file nor a symlink (KACHE_E_UNSUPPORTED). Blobs that are to be copied stay open;
 * those behind the first KACHE_RESTORE_HELD are looked at by _prepare, since a script may have left thousands. */
enum { KACHE_RESTORE_HELD = 16 };
int kache_restore_check(struct kache_store *s, struct kache_restore *r, size_t n, enum kache_link_policy policy);
/* Puts one of them in place before others, for somebody who waits for it. */
int kache_restore_first(struct kache_store *s, struct kache_restore *r, enum kache_link_policy policy);
/* Prepares the others under temporary names beside their destinations: nothing there has changed yet, but that there may be lists
 * of dependencies where nothing was. */
int kache_restore_prepare(struct kache_store *s, struct kache_restore *r, size_t n, enum kache_link_policy policy);
/* Renames all of it, or with the error of one of these removes it; returns that, or its own. What was put in place
 * is entered in inputs.map. Wanted in any case. */
int kache_restore_finish(struct kache_store *s, struct kache_restore *r, size_t n, enum kache_link_policy policy, int prepared);
/* All of it, none before the others. */
int kache_restore_all(struct kache_store *s, struct kache_restore *r, size_t n, enum kache_link_policy policy);

#endif
