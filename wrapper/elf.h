/* One question to a shared object: does it use any of these symbols of others? */
#ifndef KACHE_WRAPPER_ELF_H
#define KACHE_WRAPPER_ELF_H

#include <stdbool.h>
#include <stddef.h>

/* Looks through the dynamic symbols of a 64-bit little-endian ELF image for undefined ones whose name
 * holds one of the words (NULL-terminated). What can't be read counts as yes. */
bool kache_elf_imports(const void *image, size_t len, const char *const *words);

#endif
