/* kache-prefill: serves a cargo command in a new target directory before it asks, and records what such commands compile
 * (docs/internals/prefill.md). */
#ifndef KACHE_WRAPPER_PREFILL_H
#define KACHE_WRAPPER_PREFILL_H

#include "store/plan.h"

/* A cargo command: where it works, and what it is known by. */
struct kache_command {
	int64_t started;		/* when cargo was; what is older it has read as it is */
	char *rustc;			/* as cargo calls it */
	char *root;			/* directory of Cargo.lock */
	char *target;			/* target directory, or NULL: a configuration file of cargo's says where that is */
	struct kache_hash key;
};

/* wrapper/prefill-command.c: the command of the process kache_cargo(), whose environment and directory are ours. False: none that
 * compiles, or one whose settings can't be told. */
bool kache_command_read(const char *rustc, struct kache_command *out);
/* Whether cargo has read the file as it is: what somebody has changed meanwhile it may have read before that. */
bool kache_command_settled(const struct kache_command *c, const char *path);

/* wrapper/prefill-fill.c: puts the plan's units in place, as far as they hit, with cargo's records of them. */
void kache_prefill_fill(const struct kache_command *c, const struct kache_plan *plan);

/* wrapper/prefill-harvest.c: after the end of cargo, makes the command's plan of the calls that were noted in that file, and of the
 * old plan (n may be 0), which it takes units out of. */
void kache_prefill_harvest(struct kache_store *s, const struct kache_command *c, const char *calls, struct kache_plan *old);

#endif
