/* What differs between two calls of the compiler, as far as the store remembers them. */
#ifndef KACHE_CLI_MISS_H
#define KACHE_CLI_MISS_H

#include "store/manifest.h"

#include <stdbool.h>

#include <stddef.h>

struct kache_difference {
	const char *what;	/* "component", or the kind of an input: "file", "variable" … */
	char *name;		/* path, variable, or label of the component */
	char *before, *after;	/* NULL: was not there */
};
/* Changed ones first, then those that only the newer call has, then those that only the older one had,
 * then what cargo derives from the others. */
struct kache_differences {
	struct kache_difference *v;
	size_t n, cap;
};
void kache_differences_release(struct kache_differences *d);

/* The set that leads to result against the one of the others in m that differs least. False if m does not
 * have result, or nothing beside it. */
bool kache_miss_inputs(const struct kache_manifest *m, const struct kache_hash *result, struct kache_differences *out);
/* Two descriptions of calls, see struct kache_manifest. */
void kache_miss_components(const char *then, const char *now, struct kache_differences *out);
/* A sentence on what the first difference means and what to do, or NULL. */
const char *kache_miss_advice(const struct kache_differences *d);

#endif
