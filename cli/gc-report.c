#include "config.h"
#include "cli/gc-report.h"

#include "base/buf.h"
#include "base/json.h"
#include "cli/cmd.h"

static void print_json(const struct kache_gc_report *r, bool dry_run, struct kache_buf *out)
{
	struct kache_json j = { .out = out };

	kache_json_open(&j, NULL, '{');
	kache_json_bool(&j, "dry_run", dry_run);
	kache_json_u64(&j, "entries_removed", r->entries_removed);
	kache_json_u64(&j, "blobs_removed", r->blobs_removed);
	kache_json_u64(&j, "manifests_removed", r->manifests_removed);
	kache_json_u64(&j, "sets_removed", r->sets_removed);
	kache_json_u64(&j, "leftovers_removed", r->temps_removed);
	kache_json_u64(&j, "bytes_before", r->bytes_before);
	kache_json_u64(&j, "bytes_freed", r->bytes_freed);
	kache_json_u64(&j, "bytes_after", r->bytes_after);
	kache_json_u64(&j, "entries_left", r->entries_left);
	kache_json_close(&j, '}');
	kache_buf_ch(out, '\n');
}

static void print_text(const struct kache_gc_report *r, bool dry_run, struct kache_buf *out)
{
	KACHE_AUTO_FREE char *freed = kache_show_size(r->bytes_freed), *after = kache_show_size(r->bytes_after);

	kache_buf_fmt(out, "%s %llu entries, %llu blobs, %llu manifests", dry_run ? "would remove" : "removed",
		      (unsigned long long)r->entries_removed, (unsigned long long)r->blobs_removed,
		      (unsigned long long)r->manifests_removed);
	if (r->temps_removed)
		kache_buf_fmt(out, ", %llu leftovers", (unsigned long long)r->temps_removed);
	kache_buf_fmt(out, " (%s); %llu entries, %s left\n", freed, (unsigned long long)r->entries_left, after);
}

int kache_cli_gc_report(const struct kache_gc_report *r, bool dry_run, bool json)
{
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT;

	(json ? print_json : print_text)(r, dry_run, &out);
	return kache_cli_print(&out);
}
