/* What the parsers of compilers' arguments have in common: for ccargs.c and nvccargs.c only. */
#ifndef KACHE_KEY_CCPARTS_H
#define KACHE_KEY_CCPARTS_H

#include "key/ccargs.h"

#include "base/buf.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

/* The first reason counts. */
static inline void refuse(struct kache_cc_args *a, const char *why, const char *detail)
{
	if (a->why)
		return;
	a->why = why;
	a->detail = detail ? kache_strdup(detail) : NULL;
}

static inline void part(struct kache_cc_args *a, const char *label, const char *value)
{
	a->parts = kache_realloc(a->parts, a->n_parts + 1, sizeof *a->parts);
	a->parts[a->n_parts++] = (struct kache_cc_part){ kache_strdup(label), kache_strdup(value), KACHE_CC_TEXT };
}

static inline void set(char **slot, const char *value)
{
	free(*slot);
	*slot = kache_strdup(value);
}

static inline bool in_list(const char *const *list, const char *s)
{
	for (; *list; list++)
		if (!strcmp(*list, s))
			return true;
	return false;
}

static inline bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

/* "dir/name.c" with another end; without its directory where that is to be the current one. */
static inline char *with_end(const char *path, bool here, const char *end)
{
	const char *base = kache_path_base(path), *dot = strrchr(base, '.'), *from = here ? base : path;

	return kache_asprintf("%.*s%s", (int)((dot && dot != base ? dot : base + strlen(base)) - from), from, end);
}

#endif
