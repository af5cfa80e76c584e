/* All configured remotes as one, nearest first.
 *
 * A look-up asks one after the other until one has the object; those before it that lack it and may be written get it
 * too, in the background. What is stored goes to every one that may be written. One that can't be reached is left
 * out for a while and does not fail what another one can do. Each is opened when it is first needed. */
#ifndef KACHE_REMOTE_TIERS_H
#define KACHE_REMOTE_TIERS_H

#include "remote/remote.h"

enum { KACHE_TIERS_MAX = 16 };

struct kache_tier_state {
	const char *url, *backend;	/* url: without secrets; owned by the remote */
	const char *name;		/* as configured, or NULL */
	const char *state;		/* "ok", "not reached yet", "given up", "disabled", "writes disabled" */
	char last_error[KACHE_ERROR_MAX];	/* "" for none */
	int64_t last_error_s;		/* since the epoch */
	struct kache_remote_stats *stats;	/* NULL: not opened yet */
	uint64_t filled, not_filled;	/* objects of later remotes that were put there, or could not be */
};

/* The configured remotes as one. Nothing is connected to yet; URLs and options that can be told to be wrong
 * without that are KACHE_E_INVALID or what loading a backend says. conf has to live as long as *out, which is for
 * kache_remote_close. */
int kache_tiers_open(const struct kache_conf *conf, struct kache_remote **out, struct kache_error *err);
/* Of what kache_tiers_open made. Any thread. */
size_t kache_tiers_count(const struct kache_remote *r);
void kache_tiers_info(const struct kache_remote *r, size_t i, struct kache_tier_state *out);
/* Until everything is where a look-up wants it to be, or the deadline. True: it is. */
bool kache_tiers_settle(struct kache_remote *r, uint64_t deadline_ns);

#endif
