/* The parts of `kache sync`: who takes part, what to do, and doing it. */
#ifndef KACHE_CLI_SYNC_H
#define KACHE_CLI_SYNC_H

#include "base/err.h"
#include "base/hash.h"
#include "base/strs.h"
#include "share/share.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct kache_sync {
	struct kache_share share;	/* its cancel_fd is readable once the user wants to stop */
	bool pull, push, all;
	bool tiers;			/* share.remote stands for several */
	struct kache_strs folders;	/* sorted; those that take part, unless all */
};

/* ---- names (sync-names.c) ---- */

/* The folders of every package in the Cargo.lock that belongs to the manifest (or, where that is NULL, to
 * the working directory): the nearest upwards; with `members` of those that lie in the workspace only. Sorted. */
int kache_sync_lock(const char *manifest_path, bool members, struct kache_strs *folders, struct kache_error *err);

/* ---- the plan (sync-plan.c) ---- */

enum kache_sync_kind { KACHE_SYNC_PULL, KACHE_SYNC_PUSH, KACHE_SYNC_MANIFEST, KACHE_SYNC_KINDS };

struct kache_sync_job {
	enum kache_sync_kind kind;
	struct kache_hash hash;		/* result key, or invocation key of a manifest */
	char *folder;
	uint64_t size;			/* PULL: of the pack; PUSH: of the outputs, not compressed */
	bool remote;			/* MANIFEST: the remote has one */
};

struct kache_sync_plan {
	struct kache_sync_job *jobs;	/* packs first, manifests behind */
	size_t n, n_packs;
	size_t both;			/* packs that are on both sides already */
};
/* Lists the remote and reads the store. */
int kache_sync_plan(struct kache_sync *s, struct kache_sync_plan *out, struct kache_error *err);
void kache_sync_plan_release(struct kache_sync_plan *p);

/* ---- doing it (sync-run.c) ---- */

struct kache_sync_totals {
	struct {
		size_t done, nothing, skipped, failed;
		uint64_t bytes;
	} kind[KACHE_SYNC_KINDS];
	bool cancelled, gave_up;
};
/* Runs all jobs, packs before manifests, by `threads` threads, and shows progress on standard error.
 * Failures are printed as they happen. stop is set from outside to end early. */
void kache_sync_run(struct kache_sync *s, const struct kache_sync_plan *plan, unsigned threads,
		    const atomic_int *stop, struct kache_sync_totals *totals);

#endif
