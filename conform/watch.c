/* The watch over calls that do not return: far beyond their deadline the run ends, with a point that says so. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { SLOTS = 64, GRACE_S = 10 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t ends[SLOTS];		/* 0: free */

static void *watch(void *arg)
{
	for (;;) {
		uint64_t now;
		bool over = false;

		usleep(500000);
		now = kache_now_mono();
		pthread_mutex_lock(&lock);
		for (int i = 0; i < SLOTS; i++)
			over |= ends[i] && now > ends[i];
		pthread_mutex_unlock(&lock);
		if (over)
			kit_bail("a call returns: one is still busy 10 s after its deadline");
	}
	return arg;
}

void kit_watch_start(void)
{
	pthread_t id;

	if (!pthread_create(&id, NULL, watch, NULL))
		pthread_detach(id);
}

int kit_watch_begin(uint64_t deadline_ns)
{
	uint64_t now = kache_now_mono();
	int slot = 0;

	pthread_mutex_lock(&lock);
	while (slot < SLOTS && ends[slot])
		slot++;
	if (slot < SLOTS)
		ends[slot] = (deadline_ns > now ? deadline_ns : now) + (uint64_t)GRACE_S * 1000000000u;
	pthread_mutex_unlock(&lock);
	return slot;
}

void kit_watch_end(int slot)
{
	pthread_mutex_lock(&lock);
	if (slot < SLOTS)
		ends[slot] = 0;
	pthread_mutex_unlock(&lock);
}
