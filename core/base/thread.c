#define _GNU_SOURCE
#include "config.h"
#include "base/thread.h"

#include <sched.h>

void kache_thread_bulk(void)
{
#ifdef SCHED_BATCH
	const struct sched_param none = { 0 };

	/* On Linux 0 is the thread, not the process. It needs no rights, and where it fails nothing is lost. */
	(void)sched_setscheduler(0, SCHED_BATCH, &none);
#endif
}
