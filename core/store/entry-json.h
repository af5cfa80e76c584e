/* Entries as JSON: the meta.json of a pack. Carries every field, so that the entry which comes out is
 * the entry that went in. Not part of the wrapper. */
#ifndef KACHE_STORE_ENTRY_JSON_H
#define KACHE_STORE_ENTRY_JSON_H

#include "base/err.h"
#include "store/entry.h"

#define KACHE_ENTRY_JSON_FORMAT 1

/* Appends the JSON text. Bytes that are not UTF-8 are kept (as base64). */
void kache_entry_to_json(const struct kache_entry *e, struct kache_buf *out);
/* 0; KACHE_E_VERSION for a newer format; KACHE_E_CORRUPT for anything that is not an entry in all its
 * parts (err names the member). *e needs release only after 0. */
int kache_entry_from_json(const char *text, size_t len, struct kache_entry *e, struct kache_error *err);

#endif
