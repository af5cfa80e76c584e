/* Changing one value of a TOML text and leaving every other byte as it is. */
#ifndef KACHE_CONF_EDIT_H
#define KACHE_CONF_EDIT_H

#include "base/buf.h"
#include "base/err.h"

/* Sets key ("cache.remote.url": two or more bare names) to value, which is TOML. A value that is
 * there is replaced in place; else the key goes behind the last one of its table, and a missing table
 * to the end. The new text goes to out, which is empty. 0; or KACHE_E_INVALID with "line N: …" where
 * text or value is not TOML, or "…" where something else than a table has the name of a table. */
int kache_toml_edit(const char *text, size_t len, const char *key, const char *value, struct kache_buf *out,
		    struct kache_error *err);
/* A basic string with its quotes and escapes, appended to out. s has to be UTF-8. */
void kache_toml_quote(struct kache_buf *out, const char *s);

#endif
