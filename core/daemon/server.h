/* The daemon: one per cache directory and user, started on demand. Everything it does can be lost at any moment:
 * what has to last lies in the store and in queue/.
 *
 *	server.c   the socket, connections, the end: one thread, which never blocks on anything but poll
 *	jobs.c     look-ups on the remotes, by worker threads; whoever wants the same waits for the same job
 *	queue.c    uploads: files in queue/ name entries to send, by uploader threads
 *	upkeep.c   folding events, gc, the remotes' counters: one thread, now and then
 *
 * Lock order: none of the parts calls into another with its own lock held. */
#ifndef KACHE_DAEMON_SERVER_H
#define KACHE_DAEMON_SERVER_H

#include "base/err.h"
#include "base/hash.h"
#include "conf/conf.h"
#include "remote/remote.h"
#include "share/share.h"
#include "store/store.h"

#include <stdatomic.h>
#include <stdbool.h>

/* What all parts see. */
struct kache_daemon {
	const struct kache_conf *conf;
	struct kache_store *store;
	struct kache_remote *remote;	/* NULL: none is configured */
	struct kache_hash fingerprint;
	int cancel_fd, cancel_write;	/* a pipe; readable once transfers have to end */
	uint64_t started_mono;
	int64_t started_real;
	atomic_bool stopping;
};

/* ---- server.c ---- */
struct kache_server_options {
	int listen_fd;			/* -1: serve_fd alone */
	int serve_fd;			/* one connection whose end is the server's; -1: none */
	uint64_t idle_ms;		/* without work and connections for so long: the end */
};
/* Serves until idle, told to stop, or signalled. */
void kache_server_run(struct kache_daemon *d, const struct kache_server_options *o);
/* From any thread: a reply for a connection, which then is the server's again. */
void kache_server_reply(int fd, int status, const void *body, size_t len);

/* ---- jobs.c ---- */
struct kache_job_waiter {
	int fd;
	uint64_t stall_ms;		/* gives up when nothing has come for so long */
};
void kache_jobs_start(struct kache_daemon *d);
/* Joins or starts the job; the waiter gets its reply from there. key and folder as in wire.h. */
void kache_jobs_ask(uint16_t op, const struct kache_hash *key, const char *folder, const struct kache_job_waiter *w);
/* Replies TIMEOUT to those whose patience is over. Returns ms until the next look, -1: nobody waits. */
int kache_jobs_tick(void);
size_t kache_jobs_busy(void);
/* Waits for running jobs, up to ms. */
void kache_jobs_stop(unsigned ms);

/* ---- queue.c ---- */
void kache_queue_start(struct kache_daemon *d);
/* There may be something new. */
void kache_queue_wake(void);
struct kache_queue_state {
	size_t waiting, running;	/* records; being sent */
	bool blocked;			/* all that wait have failed and wait for another try */
	uint64_t sent, failed, dropped, bytes;	/* since the start */
};
void kache_queue_state(struct kache_queue_state *out);
/* Sends what is there, until it is gone, all of it failed or the time is over. */
void kache_queue_drain(uint64_t deadline_ns);
void kache_queue_stop(void);

/* ---- upkeep.c ---- */
void kache_upkeep_start(struct kache_daemon *d);
void kache_upkeep_stop(void);
/* JSON of everything worth knowing, for KACHE_WIRE_STATUS. */
void kache_upkeep_status(struct kache_daemon *d, struct kache_buf *out);

#endif
