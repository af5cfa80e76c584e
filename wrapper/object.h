/* What a program or shared object in Rust may ask in a way that the observer can't tell. Rust's standard library is linked into
 * each, so who calls a function of it has that among its symbols. What is optimized may have the smallest of them
 * (MetadataExt::mtime) inlined. */
#ifndef KACHE_WRAPPER_OBJECT_H
#define KACHE_WRAPPER_OBJECT_H

#include "store/store.h"

#include <stdbool.h>

enum {
	KACHE_WALKS_VARIABLES = 1,	/* std::env::vars */
	KACHE_ASKS_CLOCK = 2,		/* SystemTime::now */
	KACHE_ASKS_STATUS = 4,		/* when a file was changed, and its mode */
	KACHE_ASKS_ACCESS = 8,		/* when it was last read, or its status changed */
	KACHE_ASKS_ARGUMENTS = 16,	/* of the process; a macro's name the directories of a compile */
	KACHE_ASKS_SOURCE = 32,		/* where a source lies */
	KACHE_CALLS_KERNEL = 64,	/* without the C library, as the rustix crate does */
	KACHE_STRIPPED = 128,		/* and says little: the clock and the status by a text of the standard library's */
	KACHE_ASKS_BIRTH = 256,		/* when a file was made */
	KACHE_STARTS_PROGRAMS = 512,	/* std::process::Command, and what the C library has */
};

/* Which of these it may do. What can't be read may do everything. */
unsigned kache_object_traits(struct kache_store *s, const char *path);

#endif
