/* Which backends there are: drop-in files, one per backend (kache-plugins(5)).
 *
 * Looked for in the directories of plugins.path, then in the user's plugins.d, then in the system's. Of two
 * with the same file name the first counts; an empty one disables the backend. In a directory of
 * plugins.path a module needs no drop-in: what it serves is asked of itself. */
#ifndef KACHE_REMOTE_DROPIN_H
#define KACHE_REMOTE_DROPIN_H

#include "base/err.h"
#include "conf/conf.h"
#include "remote/loader.h"

#include <stdbool.h>
#include <stddef.h>

struct kache_dropin {
	char *name;		/* of the backend */
	char *file;		/* "kache-<name>.so" */
	char *module;		/* where that is; NULL: nowhere */
	char *schemes;		/* separated by spaces; NULL: ask the module */
	char *summary;		/* NULL: ask the module */
	char *origin;		/* the drop-in, or the module where it has none */
	bool critical, disabled;
};

struct kache_dropins {
	struct kache_dropin *v;	/* sorted by name */
	size_t n;
};

/* Files that are not right are skipped with a warning. */
void kache_dropins_find(const struct kache_conf *conf, struct kache_dropins *out);
void kache_dropins_release(struct kache_dropins *d);
const struct kache_dropin *kache_dropins_named(const struct kache_dropins *d, const char *name);
/* 0, or what kache_module_load says; KACHE_E_NOENT for a missing module. */
int kache_dropin_load(const struct kache_dropin *d, struct kache_module **out, struct kache_error *err);
/* Loads the backend that serves URLs of this scheme. */
int kache_dropin_load_scheme(const struct kache_conf *conf, const char *scheme, struct kache_module **out,
			     struct kache_error *err);

#endif
