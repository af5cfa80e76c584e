/* What a program or shared object is made of, by the names of its symbols. */
#ifndef KACHE_WRAPPER_ELF_H
#define KACHE_WRAPPER_ELF_H

#include <stdbool.h>
#include <stddef.h>

/* Looks through the dynamic symbols of a 64-bit little-endian ELF image for undefined ones whose name
 * holds one of the words (NULL-terminated). What can't be read counts as yes. */
bool kache_elf_imports(const void *image, size_t len, const char *const *words);

/* Calls each for every name in the static symbol table, which only objects that were not stripped have. False without one that
 * can be read; some names may have been told before that was seen. */
bool kache_elf_symbols(const void *image, size_t len, void (*each)(const char *name, void *arg), void *arg);

/* Whether code refers to a function whose name holds one of the words, or to an import of which that is so, other than such a
 * function itself and functions whose names hold a word of `but`. What can't be told counts as yes: other processors than x86-64,
 * no symbol table, addresses that lie elsewhere than in the global offset table. */
bool kache_elf_refers(const void *image, size_t len, const char *const *functions, const char *const *imports,
		      const char *const *but);

#endif
