/* inputs.map: a shared table that remembers the content hash of files by their identity, so that
 * nothing is hashed twice. A cache of a cache: deleting it costs time only.
 *
 * Fixed size (KACHE_MAP_SLOTS records of 64 bytes, 16 MiB, and the page of store/boots.h), read and written by system calls: a
 * page fault takes four times as long. Each record carries a check over itself, so a reader that meets a half-written one sees
 * nothing; there are no locks.
 * Identity is (device, inode, birth time, size, mtime, ctime). For files with the blob time ctime is
 * left out, since linking a blob changes it; birth time tells a reused inode number there.
 * What is known of a file that a power cut may have changed is forgotten.
 *
 * The first call opens the map. Threads may share a store. */
#ifndef KACHE_STORE_MAP_H
#define KACHE_STORE_MAP_H

#include "base/file.h"
#include "base/hash.h"
#include "store/boots.h"
#include "store/store.h"

enum { KACHE_MAP_SLOTS = 1 << 18, KACHE_MAP_WAYS = 8, KACHE_MAP_RECORD = 64, KACHE_MAP_PAGE = 4096 };
#define KACHE_MAP_BYTES (KACHE_MAP_SLOTS * KACHE_MAP_RECORD + KACHE_BOOTS_PAGE)

/* False if not known. */
bool kache_map_get(struct kache_store *s, const struct kache_stat *st, struct kache_hash *out);
/* Remembers. The caller vouches that hash is the content of the file as st describes it: either kache
 * itself has just written it, or the next change would have given it another time when it was hashed. */
void kache_map_put(struct kache_store *s, const struct kache_stat *st, const struct kache_hash *hash);
/* The same of a blob that was just given a time of its own (store.h, kache_linking): a link more or less then changes nothing.
 * Also of any file that kache has put in place, with the time that somebody else is going to give it: cargo does that with what it
 * checks. Whoever writes to the file gives it another time. */
void kache_map_put_blob(struct kache_store *s, const struct kache_stat *st, const struct kache_hash *hash);
/* The same of an output that kache has stored, or put in place. later: the time in ns that the caller of the compiler is going to
 * give it, and by which alone it is known then; KACHE_TIME_KEPT: it keeps its time but gets a name more or less, which changes its
 * ctime; 0: neither, or not known. */
#define KACHE_TIME_KEPT INT64_C(-1)
void kache_map_put_output(struct kache_store *s, const struct kache_stat *st, int64_t later, const struct kache_hash *hash);
void kache_map_close(struct kache_store *s);

/* What a file is known by, and the younger of the times in it. */
enum { KACHE_MAP_FIELDS = 6 };
int64_t kache_map_identity(const struct kache_stat *st, uint64_t fields[KACHE_MAP_FIELDS]);

/* The same for many files and directories at once: `state` is a hash of the identities of all of them, and what is remembered is
 * what the caller found out from them. No file's content may be in doubt, so a start of the machine forgets all of these. */
bool kache_map_state(struct kache_store *s, const struct kache_hash *state, struct kache_hash *out);
void kache_map_put_state(struct kache_store *s, const struct kache_hash *state, const struct kache_hash *found);

/* The part of kache_blob_check that is about content: 0 at once where the time is the one of blobs, or the one that this blob was
 * given, and no power cut may have changed it; else it is read, and the answer remembered. */
int kache_map_blob(struct kache_store *s, const char *path, int fd, const struct kache_stat *st, const struct kache_hash *hash);

/* A file whose times are younger than this when it is read may change again within the same time
 * stamp, so its hash is not remembered. Where files are known to get the time of the kernel's clock, the latter: several of
 * its ticks, of which Linux makes at least a hundred a second. */
#define KACHE_MAP_SETTLED INT64_C(2000000000)
#define KACHE_MAP_TICKS INT64_C(50000000)

/* Hash of a file through the map: stat'ed, looked up, else read, hashed and, if settled, remembered.
 * *st gets the stat. 0, KACHE_E_NOENT, KACHE_E_INVALID (not a regular file), KACHE_E_IO, or
 * KACHE_E_BUSY where the file changed while it was read. */
int kache_map_hash(struct kache_store *s, const char *path, struct kache_stat *st, struct kache_hash *out);
/* The same where *st is what stat has just said. */
int kache_map_hash_known(struct kache_store *s, const char *path, const struct kache_stat *st, struct kache_hash *out);

/* What else is known of a file's content: up to 15 bits of each kind, told by a look at all of it. They are remembered with the
 * hash, where that is, so that a file is read for them once. 0, KACHE_E_NOENT, KACHE_E_IO, or KACHE_E_BUSY where the file changed
 * meanwhile. Files larger than max bytes have none. */
enum kache_traits {	/* two, since a record has no room for more */
	KACHE_TRAITS_SOURCE,	/* of C: wrapper/cc-times.c */
	KACHE_TRAITS_OBJECT,	/* of a program or shared object in Rust: wrapper/object.c */
};
typedef unsigned kache_map_look(const char *data, size_t len);
int kache_map_traits(struct kache_store *s, const char *path, enum kache_traits kind, size_t max, kache_map_look *look,
		     unsigned *out);

#endif
