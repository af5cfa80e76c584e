/* Input of the fuzz targets for command lines: one argument per line, and after an empty line the text of a file that some of
 * them name. */
#ifndef KACHE_FUZZ_ARGS_H
#define KACHE_FUZZ_ARGS_H

#include "tests/fuzz/memory.h"

#include "base/buf.h"
#include "base/strs.h"

#include <stdlib.h>
#include <string.h>

/* Adds the lines to args, even an empty one while there are less than `least`; writes the text to the target's file. */
static inline void fuzz_read_args(const char *text, size_t len, size_t least, struct kache_strs *args)
{
	fuzz_file();
	while (len) {
		const char *eol = memchr(text, '\n', len);
		size_t n = eol ? (size_t)(eol - text) : len;

		if (!n && args->n >= least)
			break;
		kache_strs_addn(args, text, n);
		text += n + !!eol;
		len -= n + !!eol;
	}
	fuzz_write(len ? text + 1 : "", len ? len - 1 : 0);
}

static inline void fuzz_replace_arg(struct kache_strs *args, size_t i, char *now)
{
	free(args->v[i]);
	args->v[i] = now;
}

/* Every @file becomes the target's. */
static inline void fuzz_name_at_files(struct kache_strs *args)
{
	for (size_t i = 0; i < args->n; i++)
		if (args->v[i][0] == '@')
			fuzz_replace_arg(args, i, kache_concat("@", fuzz_file(), NULL));
}

#endif
