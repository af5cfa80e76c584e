/* Names to addresses, for no longer than a call has time. */
#ifndef KACHE_BACKENDS_RESOLVE_H
#define KACHE_BACKENDS_RESOLVE_H

#include "kache/backend.h"

#include <netdb.h>

/* Until `until` (CLOCK_MONOTONIC, ns; at most the call's deadline) or cancel_fd. KB_OK, and *out is for freeaddrinfo;
 * else KB_E_TRANSIENT, _TIMEOUT, _CANCELLED or _LOCAL, and *why says what failed. Sets no text in call. */
int resolve_name(const char *host, const char *port, uint64_t until, const struct kb_call *call, struct addrinfo **out,
		 const char **why);

#endif
