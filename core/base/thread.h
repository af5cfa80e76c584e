/* Threads. */
#ifndef KACHE_BASE_THREAD_H
#define KACHE_BASE_THREAD_H

/* The calling thread, and those it will start, do work that nobody waits for call by call: they do not interrupt what
 * runs when they wake (SCHED_BATCH, sched(7)), compilers and local servers above all. Where there is no such thing this
 * does nothing. */
void kache_thread_bulk(void);

#endif
