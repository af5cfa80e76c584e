/* kache gc: keeps the store below a size and an age. */
#include "config.h"
#include "cli/cmd.h"
#include "cli/gc-report.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/gc.h"
#include "store/index.h"

#include <string.h>

/* How long a complete look that found nothing is good for, in ms. */
#define SWEEP_MS (UINT64_C(24) * 3600 * 1000)

static int run(int argc, char **argv);
const struct kache_command kache_cmd_gc = {
	"gc", "remove what was not used for longest",
	"usage: kache gc [--max-age DURATION] [--max-size SIZE] [--full] [--dry-run] [--json]\n"
	"\n"
	"  --max-age DURATION  remove entries that were not used for 45s, 30m, 24h or 7d\n"
	"  --max-size SIZE     if the store is larger (500MB, 20GiB), remove entries, least recently\n"
	"                      used first, down to 90 % of it; default: cache.local_max_size\n"
	"  --full              go through all of the store even if its totals say that nothing is to be\n"
	"                      done; otherwise that happens once a day\n"
	"  -n, --dry-run       tell what would go\n"
	"  --json              one JSON object\n",
	run
};

static uint64_t last_used(void *arg, const struct kache_hash *key)
{
	return kache_index_used(arg, key);
}

/* Only leftovers in tmp/ can be there if neither bound is exceeded and nothing was left over a short while ago: to go through a
 * million entries for that would be a waste. */
static bool nothing_due(struct kache_index *x, const struct kache_gc_options *o, struct kache_index_totals *t)
{
	const uint64_t now_ms = (uint64_t)(kache_now_real() / 1000000), swept = kache_index_swept(x);
	uint64_t oldest;

	if (!kache_index_current(x) || !swept || swept > now_ms || now_ms - swept > SWEEP_MS || kache_index_totals(x, 0, t))
		return false;
	if (o->max_size && t->file_bytes > o->max_size)
		return false;
	oldest = o->max_age_s ? kache_index_oldest(x) : 0;
	return !oldest || (oldest < now_ms && now_ms - oldest < o->max_age_s * 1000);
}

static int collect_with(struct kache_store *s, struct kache_index *x, struct kache_gc_options *o, bool full,
			struct kache_gc_report *report, struct kache_error *err)
{
	const uint64_t began = (uint64_t)(kache_now_real() / 1000000);
	struct kache_index_totals t;
	int rc;

	if (!full && nothing_due(x, o, &t)) {
		rc = kache_gc_leftovers(s, o, report, err);
		report->bytes_before = report->bytes_after = t.file_bytes;
		report->entries_left = t.entries;
		return rc;
	}
	o->last_used = last_used;
	o->arg = x;
	rc = kache_gc(s, o, report, err);
	if (!rc && !o->dry_run && !report->blobs_in_grace)
		kache_index_set_swept(x, began);
	return rc;
}

static int collect(struct kache_store *s, struct kache_gc_options *o, bool full, bool json)
{
	struct kache_gc_report report;
	struct kache_index *x = NULL;
	struct kache_error err;
	int rc;

	/* A full disk is a reason for gc and a reason for the index to fail. */
	if (kache_index_open(s, &x, NULL, &err))
		kache_warn("%s; going by when entries were made", err.text);
	rc = x ? collect_with(s, x, o, full, &report, &err) : kache_gc(s, o, &report, &err);
	if (x)
		kache_index_close(x);
	return rc ? kache_cli_fail("%s", err.text) : kache_cli_gc_report(&report, o->dry_run, json);
}

static int run(int argc, char **argv)
{
	struct kache_gc_options o = KACHE_GC_OPTIONS_INIT;
	struct kache_conf *conf;
	struct kache_store *s;
	bool json = false, full = false;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json")) {
			json = true;
		} else if (!strcmp(argv[i], "--dry-run") || !strcmp(argv[i], "-n")) {
			o.dry_run = true;
		} else if (!strcmp(argv[i], "--full")) {
			full = true;
		} else if (!strcmp(argv[i], "--max-age") && i + 1 < argc) {
			if (kache_parse_duration(argv[++i], &o.max_age_s) || !o.max_age_s)
				return kache_cli_usage(&kache_cmd_gc, "--max-age %s: accepted are 45s, 30m, 24h, 7d", argv[i]);
		} else if (!strcmp(argv[i], "--max-size") && i + 1 < argc) {
			if (kache_parse_size(argv[++i], &o.max_size) || !o.max_size)
				return kache_cli_usage(&kache_cmd_gc,
						       "--max-size %s: accepted are 500MB, 20GiB and the like; kache purge removes all",
						       argv[i]);
		} else {
			return kache_cli_usage(&kache_cmd_gc, "unknown argument %s", argv[i]);
		}
	}
	if ((rc = kache_cli_conf(&conf)))
		return rc;
	if (!o.max_size)
		o.max_size = kache_conf_u64(conf, KACHE_CONF_MAX_SIZE);
	if (!(rc = kache_cli_store(conf, false, &s))) {
		rc = collect(s, &o, full, json);
		kache_store_close(s);
	}
	kache_conf_free(conf);
	return rc;
}
