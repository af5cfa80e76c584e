/* rustc's dep-info (.d) files: Makefile rules, then "file:" lines, then "# env-dep:" comments. */
#ifndef KACHE_KEY_DEPINFO_H
#define KACHE_KEY_DEPINFO_H

#include "base/strs.h"

#include <stdbool.h>
#include <stddef.h>

struct kache_depinfo {
	struct kache_strs files;	/* as written, unescaped; sorted, unique */
	struct kache_strs env_set;	/* "NAME=value", unescaped */
	struct kache_strs env_unset;	/* "NAME" */
};
/* 0, or KACHE_E_INVALID for text that is no dep-info (then nothing needs release). */
int kache_depinfo_parse(const char *text, size_t len, struct kache_depinfo *out);
void kache_depinfo_release(struct kache_depinfo *d);

#endif
