/* From a stored entry to the files and streams of this place, and back. */
#ifndef KACHE_WRAPPER_RESULT_H
#define KACHE_WRAPPER_RESULT_H

#include "wrapper/call.h"
#include "wrapper/run.h"

#include <stdbool.h>
#include <stdint.h>

/* May an output of this role be one inode with its blob (docs/internals/keying.md, "Restore")? *old: 1 or 0, whether everything that
 * the unit was made from is as old as a blob; -1 before the first question. */
bool kache_result_may_link(const struct kache_call *c, uint32_t role, int *old);
/* Puts the outputs of e in place and prints its streams. 0, or an error before anything was printed. */
int kache_result_replay(struct kache_call *c, const struct kache_entry *e);

/* Stores what the run left behind under the newest set of m. 0, or KACHE_E_* with *reason and *detail
 * (fresh memory or NULL). */
int kache_result_publish(struct kache_call *c, const struct kache_run *run, struct kache_manifest *m,
			 const char **reason, char **detail, struct kache_error *err);

#endif
