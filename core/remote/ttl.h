/* A layer that gives what is put a life, where the caller says none. */
#ifndef KACHE_REMOTE_TTL_H
#define KACHE_REMOTE_TTL_H

#include "remote/remote.h"

/* Takes ownership of next. */
struct kache_remote *kache_remote_ttl(struct kache_remote *next, int64_t ttl_s);

#endif
