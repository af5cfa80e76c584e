/* Loading backends: the only user of dlopen in the program.
 *
 * A module is loaded once per process and never unloaded (its threads and those of its libraries may
 * outlive every handle). */
#ifndef KACHE_REMOTE_LOADER_H
#define KACHE_REMOTE_LOADER_H

#include "base/err.h"
#include "kache/backend.h"

#include <stdbool.h>

struct kache_module {
	struct kb_backend be;		/* a copy: zero beyond what the module's header knew */
	struct kb_opt *opts;		/* likewise, each */
	size_t n_opts;
	char *path;
	kb_entry_fn *entry;
	bool busy;			/* see kache_module_enter */
	struct kache_module *next;
};

/* [a-z][a-z0-9-]*, at most 32 characters. */
bool kache_module_name_ok(const char *name);
/* "kache-<name>.so" to a fresh "<name>", or NULL. */
char *kache_module_name(const char *file);
/* May this file be loaded: a regular file named kache-<name>.so that belongs to root or to us and that
 * nobody else may write. 0, KACHE_E_NOENT, or KACHE_E_INVALID saying what to change. */
int kache_module_trust(const char *path, struct kache_error *err);
/* Loads and checks. The module belongs to the process. Thread-safe. KACHE_E_VERSION for another ABI
 * major, KACHE_E_INVALID, KACHE_E_NOENT. */
int kache_module_load(const char *path, struct kache_module **out, struct kache_error *err);

struct kache_call;
/* Around every use of a module's slots: where it takes one call at a time (KB_THREADS_SERIAL), waits for the turn.
 * KB_OK, or why the call waits no longer. call NULL: as long as it takes. */
int kache_module_enter(struct kache_module *m, struct kache_call *call);
void kache_module_leave(struct kache_module *m);

#endif
