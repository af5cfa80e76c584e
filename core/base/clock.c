#include "config.h"
#include "base/clock.h"

#include <time.h>

static int64_t get(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t kache_now_real(void)
{
	return get(CLOCK_REALTIME);
}

int64_t kache_now_coarse(void)
{
#ifdef CLOCK_REALTIME_COARSE
	return get(CLOCK_REALTIME_COARSE);
#else
	return get(CLOCK_REALTIME);
#endif
}

uint64_t kache_now_mono(void)
{
	return (uint64_t)get(CLOCK_MONOTONIC);
}

uint64_t kache_now_boot(void)
{
#ifdef CLOCK_BOOTTIME
	return (uint64_t)get(CLOCK_BOOTTIME);
#else
	return kache_now_mono();
#endif
}
