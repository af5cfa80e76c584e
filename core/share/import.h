/* A pack of the remote that becomes an entry of the store: it is unpacked into the store's tmp/ while it comes. Nothing
 * is in the store before all of it has come and was right. */
#ifndef KACHE_SHARE_IMPORT_H
#define KACHE_SHARE_IMPORT_H

#include "remote/pack.h"
#include "share/share.h"

struct kache_import;

/* For one kache_remote_get, and to be ended by keep or drop. *s and *result stay valid that long. */
struct kache_import *kache_import_new(struct kache_share *s, const struct kache_hash *result);
/* Starts over with each `begin`, as a call that is tried again does. A pack that is found damaged takes the rest of its
 * bytes all the same: keep tells. */
struct kb_sink *kache_import_sink(struct kache_import *im);
/* All has come: into the store with it. *bytes grows by what has come. KACHE_E_CORRUPT: the pack is damaged. */
int kache_import_keep(struct kache_import *im, uint64_t *bytes, struct kache_error *err);
/* It will not come; nothing of it is left. */
void kache_import_drop(struct kache_import *im);

/* The distinct blobs of an entry; fresh memory. */
struct kache_pack_blob *kache_share_blobs(const struct kache_entry *e, size_t *n);

#endif
