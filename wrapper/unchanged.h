/* A set of inputs that was found to hold, recognized by the file system's own stamps: one look-up in inputs.map for all of its
 * files together, and one stat of a directory for all the places below it where nothing may be. What is in the target directory
 * is left out: that is new in each build from nothing, when all else is as it was. docs/internals/keying.md, "Unchanged". */
#ifndef KACHE_WRAPPER_UNCHANGED_H
#define KACHE_WRAPPER_UNCHANGED_H

#include "wrapper/call.h"

/* Whether the stamps of a set tell of this input. */
bool kache_stamps_tell(uint32_t kind, const char *name);

/* What the stamps of a set's files and directories are. */
struct kache_stamps {
	struct kache_hash id;
	bool told;		/* id is one: every file is there, and nothing is where nothing may be */
	bool settled;		/* none so young that it may change within the same stamp */
	bool supposed;		/* directories that were not looked at are taken for missing, as their parents tell; */
	bool wrong;		/* but that is not so */
};

/* Whether all that the stamps of now tell of was found to hold when it had them. */
bool kache_stamps_known(struct kache_call *c, const struct kache_manifest *m, const struct kache_input_set *set,
			struct kache_stamps *now);
/* The set holds, as was found after `before` had been read: remembered, if nothing has changed since. */
void kache_stamps_remember(struct kache_call *c, const struct kache_manifest *m, const struct kache_input_set *set,
			   const struct kache_stamps *before);

#endif
