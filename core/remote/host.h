/* What kache offers to backends: the one struct kb_host, and the call record behind each struct kb_call. */
#ifndef KACHE_REMOTE_HOST_H
#define KACHE_REMOTE_HOST_H

#include "base/err.h"
#include "kache/backend.h"

#include <stdbool.h>
#include <stdint.h>

/* One call of one operation. kb is first: kb_host.fail gets from it to err. */
struct kache_call {
	struct kb_call kb;
	struct kache_error err;		/* text of the last failure, set with every status < 0 */
	bool unasked;			/* the answer is not the remote's: remembered, shared, or its turn did not come */
};

extern const struct kb_host kache_host;

/* deadline_ns: CLOCK_MONOTONIC; cancel_fd: -1 for none. */
void kache_call_init(struct kache_call *c, uint64_t deadline_ns, int cancel_fd);
/* A failure that the host itself finds; returns status. */
int kache_call_fail(struct kache_call *c, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* "timeout", "no-space" … for any value of enum kb_status; "unknown" for others. */
const char *kache_status_name(int status);

/* Name that goes before what a backend logs in this thread; NULL: "backend". */
void kache_host_speaker(const char *name);

#endif
