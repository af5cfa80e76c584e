/* Who a compiler is: by content, remembered in the store by file identity (compilers/<hash>), so that a hit costs a handful
 * of stats. The memo is local; what enters keys is the same on every machine. */
#ifndef KACHE_WRAPPER_MEMO_H
#define KACHE_WRAPPER_MEMO_H

#include "wrapper/call.h"

/* Files whose identity a memo stands on, and what it says of them. */
struct kache_memo {
	struct kache_strs watched;
	struct kache_compiler compiler;
	bool proxy;			/* rustup's: the real compiler depends on the directory */
};

void kache_memo_release(struct kache_memo *m);
/* Where the memo of what h holds lies, fresh memory. */
char *kache_memo_path(const struct kache_store *s, struct kache_hasher *h);
/* False where it is missing, damaged, or any file it stands on has changed; *m is then empty. */
bool kache_memo_read(const char *path, struct kache_memo *m);
void kache_memo_write(struct kache_store *s, const char *path, const struct kache_memo *m);

/* Whether a program begins with "#!". */
bool kache_memo_is_script(const char *program);
/* The identity of a file, zeros where there is none. */
void kache_memo_stat(struct kache_buf *b, const char *path);
/* The content of one file into the identity. 0 or an error with errno; a directory counts as nothing. */
int kache_memo_content(struct kache_store *s, struct kache_hasher *h, const char *name, const char *path);
/* Hashes files on all processors, for kache_memo_content to find them known. A toolchain has half a gigabyte, for which the first
 * compile with a new store waits. */
void kache_memo_ahead(struct kache_store *s, const struct kache_strs *paths);
/* The same in a process of its own, for what the caller does meanwhile; -1 where there is none. _end waits for it. */
pid_t kache_memo_begin(struct kache_store *s, const struct kache_strs *paths);
void kache_memo_end(pid_t pid);
/* Variables by which gcc and clang append to a file that others write as well, wherever it lies, or say how long they took. */
extern const char *const kache_memo_silenced[];
/* Standard output of a short run of the compiler without those, in the C locale, NUL-terminated. 0, or KACHE_E_* where it fails. */
int kache_memo_ask(const char *const *argv, struct kache_buf *out);
/* The shared libraries that the dynamic linker loads for a program (ldd's way); none for a static one. */
void kache_memo_libraries(const char *program, struct kache_strs *out);

#endif
