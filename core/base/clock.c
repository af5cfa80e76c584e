#include "config.h"
#include "base/clock.h"

#include <stdlib.h>	/* tells whose C library it is */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int64_t get(clockid_t id)
{
	struct timespec t;

#if !defined __GLIBC__ && defined __linux__ && defined __x86_64__
	/* The wrapper's few questions cost less than to find the vDSO, and two page faults for it. */
	syscall(SYS_clock_gettime, id, &t);
#else
	clock_gettime(id, &t);
#endif
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
