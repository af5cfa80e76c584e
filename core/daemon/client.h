/* The asking side of the daemon: finding it, starting it, one request at a time. Used by the wrapper and the
 * commands; needs nothing but libc. Nothing here waits beyond a deadline (CLOCK_MONOTONIC, ns). */
#ifndef KACHE_DAEMON_CLIENT_H
#define KACHE_DAEMON_CLIENT_H

#include "base/err.h"
#include "daemon/wire.h"

#include <stdbool.h>

struct kache_client_options {
	const char *root;		/* the cache directory, whose daemon it is */
	const char *program;		/* kache-daemon; NULL: none is started */
	const char *const *files;	/* configuration files that the daemon reads, ended by NULL */
	bool start;			/* start one that is missing or stale */
	bool own;			/* no daemon: a child of this process, which ends with it */
};

struct kache_client {
	struct kache_client_options o;
	struct kache_hash fingerprint;
	int fd;				/* -1: not connected */
	bool child;			/* fd leads to a child of ours */
};

/* What a daemon has to agree with: its program, its configuration files, and the environment that its
 * remotes and their credentials may come from. */
void kache_client_fingerprint(const struct kache_client_options *o, struct kache_hash *out);
/* Remembers o (whose strings have to outlive c); connects to nothing. */
void kache_client_init(struct kache_client *c, const struct kache_client_options *o);
void kache_client_release(struct kache_client *c);
/* Asks and waits; connects, and starts the daemon, as needed. r->fingerprint is filled in unless `any`. Returns
 * an enum kache_wire_status with *body (appended to), or KACHE_E_NOENT (nobody there), KACHE_E_BUSY (no
 * answer in time), KACHE_E_IO, KACHE_E_INVALID with err. */
int kache_client_ask(struct kache_client *c, struct kache_wire_request *r, bool any, uint64_t deadline_ns,
		     struct kache_buf *body, struct kache_error *err);
/* Asks without waiting for the answer (KACHE_WIRE_QUEUED). 0, or as above. */
int kache_client_tell(struct kache_client *c, struct kache_wire_request *r, uint64_t deadline_ns, struct kache_error *err);

/* Address of <root>/daemon.sock for bind and connect, also where the path is too long for one: *dir_fd is then
 * open and to be closed afterwards, else -1. */
struct sockaddr_un;
int kache_daemon_address(const char *root, struct sockaddr_un *out, int *dir_fd);

#endif
