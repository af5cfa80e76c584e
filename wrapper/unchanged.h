/* A set of inputs that was found to hold, recognized by the file system's own stamps: one look-up in inputs.map for all of its
 * files together, and one stat of a directory for all the places below it where nothing may be. docs/internals/keying.md,
 * "Unchanged". */
#ifndef KACHE_WRAPPER_UNCHANGED_H
#define KACHE_WRAPPER_UNCHANGED_H

#include "wrapper/call.h"

/* What the stamps of a set's files and directories are. */
struct kache_stamps {
	struct kache_hash id;
	bool told;		/* id is one: every file is there, and nothing is where nothing may be */
	bool settled;		/* none so young that it may change within the same stamp */
};

/* thorough: also looks at each place below a directory whose stamp stands for it. */
void kache_stamps_read(struct kache_call *c, const struct kache_manifest *m, const struct kache_input_set *set, bool thorough,
		       struct kache_stamps *out);
/* Whether files and absent places of the set were found to hold when they had these stamps. */
bool kache_stamps_known(struct kache_call *c, const struct kache_input_set *set, const struct kache_stamps *now);
/* The set holds, as was found after `before` had been read: remembered, if nothing has changed since. */
void kache_stamps_remember(struct kache_call *c, const struct kache_manifest *m, const struct kache_input_set *set,
			   const struct kache_stamps *before);

#endif
