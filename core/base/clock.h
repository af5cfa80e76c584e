/* Clocks. All values in nanoseconds. */
#ifndef KACHE_BASE_CLOCK_H
#define KACHE_BASE_CLOCK_H

#include <stdint.h>

int64_t kache_now_real(void);		/* since the epoch */
/* The kernel's coarse clock, which stamps files on most kernels: it lags behind kache_now_real by up
 * to a tick, so only this one may be compared with a file's times. */
int64_t kache_now_coarse(void);
uint64_t kache_now_mono(void);		/* for durations and deadlines */
uint64_t kache_now_boot(void);		/* since the machine was started, sleep included */

#endif
