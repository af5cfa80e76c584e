/* The account of the remotes: what they did for this cache directory, kept over the life of processes in
 * <root>/remotes.json. Written by the daemon (and by children that serve one build), read by stats and doctor. */
#ifndef KACHE_REMOTE_ACCOUNT_H
#define KACHE_REMOTE_ACCOUNT_H

#include "base/json.h"
#include "remote/remote.h"

#include <stdbool.h>
#include <stdint.h>

/* Adds what has been counted since the last time to the file, if anything.
 * One thread per process. Processes at the same time may lose each other's counts, nothing else. */
void kache_account_save(struct kache_remote *r, const char *root);
/* An object per remote with what this process has counted, into an open array. Any thread. */
void kache_account_json(struct kache_remote *r, struct kache_json *j);

struct kache_account_remote {
	char *url;
	uint64_t hits, misses, stored, existed, retries, too_big, errors, bytes_in, bytes_out;
	char *last_error;		/* NULL: none */
	int64_t last_error_s;		/* since the epoch */
	char *state;			/* "ok", "given up", "disabled", "writes disabled", "not reached yet" */
};
/* One remote as an object, into an open array. */
void kache_account_write(struct kache_json *j, const struct kache_account_remote *r);

struct kache_account {
	int64_t since_s;		/* of the oldest count */
	struct kache_account_remote *v;
	size_t n;
};
/* An empty one where there is no file, or one that can't be read. */
void kache_account_load(const char *root, struct kache_account *out);
void kache_account_release(struct kache_account *a);

#endif
