/* Waiting inside a call: for a condition or for a time, no longer than the call has, and not once it is cancelled. */
#ifndef KACHE_REMOTE_WAIT_H
#define KACHE_REMOTE_WAIT_H

#include "remote/host.h"

#include <pthread.h>

/* For kache_call_wait. */
void kache_cond_init(pthread_cond_t *c);
/* Under the lock: once around the loop that looks whether what it waits for has happened. KB_OK: look again, else
 * KB_E_CANCELLED or KB_E_TIMEOUT with the text `why`. */
int kache_call_wait(struct kache_call *call, pthread_cond_t *c, pthread_mutex_t *lock, const char *why);
/* Until that time of the monotonic clock. KB_OK, or KB_E_CANCELLED. */
int kache_call_sleep(struct kache_call *call, uint64_t until_ns);

#endif
