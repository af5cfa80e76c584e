/* Tokens: names that stand for this machine's directories, in keys, in stored text and in what the
 * compiler is told to write into its outputs.
 *
 *	kind	key form	compiler sees (remap)	the directory
 *	ws	{ws}		/proc/self/cwd		working directory of workspace members
 *	pkg	{pkg}		/kache/src/NAME-VER	package outside workspace and registry
 *	target	{target}	/kache/target		profile directory: target/debug
 *	cargo	{cargo}		/kache/cargo		cargo home
 *	sysroot	{sysroot}	-			the toolchain
 *	base	{base0} …	/kache/base0 …		paths.base_dirs
 *
 * Longest directory first, on component boundaries. A kind may have two spellings (as given, and with
 * symlinks resolved); expansion uses the first. */
#ifndef KACHE_KEY_TOKENS_H
#define KACHE_KEY_TOKENS_H

#include "base/buf.h"
#include "base/strs.h"

#include <stdbool.h>

enum { KACHE_TOKENS_MAX = 24 };

struct kache_token {
	char *name;		/* "ws" */
	char *path;		/* absolute, no trailing slash */
	char *remap;		/* NULL: the compiler is not told */
	bool key;		/* stands in keys; else only in text */
};
struct kache_tokens {
	struct kache_token t[KACHE_TOKENS_MAX];	/* longest path first */
	size_t n;
};

void kache_tokens_release(struct kache_tokens *t);
/* Ignores "/" , NULL, relative paths and a spelling that is there already. remap may be NULL. */
void kache_tokens_add(struct kache_tokens *t, const char *name, const char *path, const char *remap, bool key);

/* "{ws}/src/lib.rs" of an absolute path, or a copy; fresh memory. */
char *kache_tokens_path(const struct kache_tokens *t, const char *path);
/* The other way, NULL if the token has no directory here; fresh memory. */
char *kache_tokens_expand(const struct kache_tokens *t, const char *path);
/* Like kache_tokens_path for a text with any number of paths in it (an argument, a variable's value). */
void kache_tokens_value(const struct kache_tokens *t, const char *text, size_t len, struct kache_buf *out);

/* --remap-path-prefix=FROM=TO arguments, shortest FROM first, since rustc takes the last that fits. */
void kache_tokens_remap_args(const struct kache_tokens *t, struct kache_strs *args);

/* Streams and dep-info, stored with markers (byte 0x01, name, 0x02) for directories. Lines that begin
 * with '{' are JSON and get JSON-escaped paths; rules of dep-info get a backslash before a space. pack
 * turns both this place's directories and the compiler's remapped names into markers; unpack writes this
 * place's directories. out_dir is the text of --out-dir, for artifact notifications; it may be NULL.
 * pack fails (false) if the text holds bytes 0x01 or 0x02; unpack fails on an unknown marker. */
enum kache_text { KACHE_TEXT_STREAM, KACHE_TEXT_DEPINFO };
bool kache_text_pack(const struct kache_tokens *t, enum kache_text kind, const char *out_dir, const char *text,
		     size_t len, struct kache_buf *out);
bool kache_text_unpack(const struct kache_tokens *t, enum kache_text kind, const char *out_dir, const char *text,
		       size_t len, struct kache_buf *out);
/* Remapped names to this place's directories: what the person at the terminal gets to read on a miss. */
void kache_text_localize(const struct kache_tokens *t, const char *text, size_t len, struct kache_buf *out);

#endif
