/* kache gc: keeps the store below a size and an age. */
#include "config.h"
#include "cli/cmd.h"
#include "cli/gc-report.h"

#include "base/log.h"
#include "store/gc.h"
#include "store/index.h"

#include <string.h>

static int run(int argc, char **argv);
const struct kache_command kache_cmd_gc = {
	"gc", "remove what was not used for longest",
	"usage: kache gc [--max-age DURATION] [--max-size SIZE] [--dry-run] [--json]\n"
	"\n"
	"  --max-age DURATION  remove entries that were not used for 45s, 30m, 24h or 7d\n"
	"  --max-size SIZE     if the store is larger (500MB, 20GiB), remove entries, least recently\n"
	"                      used first, down to 90 % of it; default: cache.local_max_size\n"
	"  -n, --dry-run       tell what would go\n"
	"  --json              one JSON object\n",
	run
};

static uint64_t last_used(void *arg, const struct kache_hash *key)
{
	return kache_index_used(arg, key);
}

static int collect(struct kache_store *s, struct kache_gc_options *o, bool json)
{
	struct kache_gc_report report;
	struct kache_index *x = NULL;
	struct kache_error err;
	int rc;

	/* A full disk is a reason for gc and a reason for the index to fail. */
	if (kache_index_open(s, &x, NULL, &err))
		kache_warn("%s; going by when entries were made", err.text);
	if (x) {
		o->last_used = last_used;
		o->arg = x;
	}
	rc = kache_gc(s, o, &report, &err);
	if (x)
		kache_index_close(x);
	return rc ? kache_cli_fail("%s", err.text) : kache_cli_gc_report(&report, o->dry_run, json);
}

static int run(int argc, char **argv)
{
	struct kache_gc_options o = KACHE_GC_OPTIONS_INIT;
	struct kache_conf *conf;
	struct kache_store *s;
	bool json = false;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json")) {
			json = true;
		} else if (!strcmp(argv[i], "--dry-run") || !strcmp(argv[i], "-n")) {
			o.dry_run = true;
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
		rc = collect(s, &o, json);
		kache_store_close(s);
	}
	kache_conf_free(conf);
	return rc;
}
