/* All configured remotes as one. */
#ifndef KACHE_REMOTE_TIERS_H
#define KACHE_REMOTE_TIERS_H

#include "remote/remote.h"

struct kache_tier_state {
	const char *url, *backend;	/* url: without secrets; owned by the remote */
	const char *state;		/* "ok", "not reached yet", "given up", "disabled", "writes disabled" */
	char last_error[KACHE_ERROR_MAX];	/* "" for none */
	int64_t last_error_s;		/* since the epoch */
	struct kache_remote_stats *stats;	/* NULL: not opened yet */
};

/* Opens the configured remotes as one. *out is for kache_remote_close. */
int kache_tiers_open(const struct kache_conf *conf, struct kache_remote **out, struct kache_error *err);
size_t kache_tiers_count(const struct kache_remote *r);
void kache_tiers_info(const struct kache_remote *r, size_t i, struct kache_tier_state *out);

#endif
