/* From a stored entry to the files and streams of this place, and back. */
#ifndef KACHE_WRAPPER_RESULT_H
#define KACHE_WRAPPER_RESULT_H

#include "wrapper/call.h"
#include "wrapper/run.h"

/* Puts the outputs of e in place and prints its streams. 0, or an error before anything was printed. */
int kache_result_replay(struct kache_call *c, const struct kache_entry *e);

/* What the run left behind, as an entry of the newest set of m, all but its blobs. 0, or KACHE_E_* with *reason and *detail
 * (fresh memory or NULL). */
int kache_result_entry(struct kache_call *c, const struct kache_run *run, const struct kache_manifest *m, struct kache_entry *e,
		       const char **reason, char **detail);
/* Stores it with its blobs. The same. */
int kache_result_publish(struct kache_call *c, const struct kache_run *run, struct kache_manifest *m,
			 const char **reason, char **detail, struct kache_error *err);

#endif
