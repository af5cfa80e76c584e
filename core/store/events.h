/* One record per compiler call, as a line of JSON in events/. Written by the wrapper, folded into
 * index.db by the commands. */
#ifndef KACHE_STORE_EVENTS_H
#define KACHE_STORE_EVENTS_H

#include "base/buf.h"
#include "base/hash.h"

#include <stdint.h>

/* result: "hit", "miss" (compiled and stored), "uncached" (compiled, could not be stored),
 * "passthrough" (not looked up), "failed" (the compiler said no), "probe-hit", "probe-miss"; and, of no compiler call,
 * "stored" (came from a remote).
 * Members of the JSON line are the field names here; absent or zero ones are left out.
 * key and invocation as hex. */
struct kache_event {
	const char *result;
	const char *reason;		/* named reason of uncached and passthrough, "what changed" of a miss */
	const char *detail;		/* the flag, file or variable that the reason is about */
	const char *crate, *package, *kind, *target, *profile;
	const char *root;		/* working directory of the call */
	const struct kache_hash *key, *invocation;
	uint64_t time_ms;		/* start, ms since the epoch */
	uint64_t total_us;		/* wall time of the wrapper */
	uint64_t compile_us;		/* of the compiler: now on a miss, saved on a hit */
	uint64_t bytes;			/* of outputs */
	uint64_t linked_bytes, copied_bytes;
	int exit_code;
};
void kache_event_encode(const struct kache_event *e, struct kache_buf *out);

#endif
