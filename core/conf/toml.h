/* TOML 1.0 (https://toml.io/en/v1.0.0), read into a tree whose values know their lines. */
#ifndef KACHE_CONF_TOML_H
#define KACHE_CONF_TOML_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kache_toml_type {
	KACHE_TOML_TABLE, KACHE_TOML_ARRAY, KACHE_TOML_STRING, KACHE_TOML_INTEGER, KACHE_TOML_FLOAT, KACHE_TOML_BOOL,
	KACHE_TOML_DATETIME, KACHE_TOML_LOCAL_DATETIME, KACHE_TOML_LOCAL_DATE, KACHE_TOML_LOCAL_TIME
};

/* How a table came to be decides what may still be added to it (TOML 1.0, "Table"), and where its
 * members stand in the text. */
enum kache_toml_how {
	KACHE_TOML_IMPLICIT = 1,	/* named only on the way to a deeper header */
	KACHE_TOML_HEADER,		/* [name] or [[name]]; also the root */
	KACHE_TOML_DOTTED,		/* by dotted keys */
	KACHE_TOML_INLINE,		/* { ... } */
	KACHE_TOML_ARRAY_OF_TABLES
};

struct kache_toml {
	enum kache_toml_type type;
	unsigned char how;		/* enum kache_toml_how; 0 for what is neither table nor array of tables */
	unsigned line;			/* where the value, or the table's header, stands; from 1 */
	size_t from, to;		/* its bytes in the text: of a value, or of a header (0, 0: neither) */
	char *key;			/* in a table: the key, NUL-terminated, key_len bytes (it may hold NULs) */
	size_t key_len;
	char *text;			/* strings: the bytes; dates, times: as written; floats: for strtod; len bytes and a NUL */
	size_t len;
	int64_t integer;		/* also 0 or 1 for booleans */
	struct kache_toml *child;	/* members or elements, in the order of the file */
	struct kache_toml *next;
	struct kache_toml *last;	/* of child */
};

enum { KACHE_TOML_DEPTH = 128 };	/* deepest nesting that is read */

/* Parses len bytes. 0 and a tree to free; or KACHE_E_INVALID with err "line N: what". */
int kache_toml_parse(const char *text, size_t len, struct kache_toml **out, struct kache_error *err);
void kache_toml_free(struct kache_toml *t);
/* Member of a table, or NULL. */
struct kache_toml *kache_toml_get(const struct kache_toml *table, const char *key);
const char *kache_toml_type_name(enum kache_toml_type type);

#endif
