#include "config.h"
#include "cli/cmd.h"

#include "base/clock.h"
#include "base/json.h"
#include "remote/account.h"
#include "store/index.h"

#include <stdlib.h>
#include <string.h>

struct reasons {
	struct kache_buf text;
	struct kache_json *json;
};

static int text_reason(void *arg, const char *result, const char *reason, uint64_t count)
{
	struct reasons *r = arg;

	kache_buf_fmt(&r->text, "  %-12s %-28s %8llu\n", result, reason, (unsigned long long)count);
	return 0;
}

static int json_reason(void *arg, const char *result, const char *reason, uint64_t count)
{
	struct reasons *r = arg;

	kache_json_open(r->json, NULL, '{');
	kache_json_str(r->json, "result", result);
	kache_json_str(r->json, "reason", reason);
	kache_json_u64(r->json, "count", count);
	kache_json_close(r->json, '}');
	return 0;
}

static double rate(const struct kache_index_totals *t)
{
	uint64_t all = t->hits + t->misses + t->uncached;

	return all ? 100.0 * (double)t->hits / (double)all : 0;
}

static void json_remotes(struct kache_json *j, const struct kache_account *a)
{
	kache_json_open(j, "remotes", '[');
	for (size_t i = 0; i < a->n; i++)
		kache_account_write(j, &a->v[i]);
	kache_json_close(j, ']');
}

static void text_remotes(const struct kache_account *a, struct kache_buf *out)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct kache_account_remote *r = &a->v[i];
		KACHE_AUTO_FREE char *in = kache_show_size(r->bytes_in), *sent = kache_show_size(r->bytes_out);

		kache_buf_fmt(out, "Remote        %s: %s\n", r->url, r->state ? r->state : "ok");
		kache_buf_fmt(out, "              %llu hits, %llu misses, %llu stored, %llu errors, %s in, %s out\n",
			      (unsigned long long)r->hits, (unsigned long long)r->misses, (unsigned long long)r->stored,
			      (unsigned long long)r->errors, in, sent);
		if (r->too_big)
			kache_buf_fmt(out, "              %llu too large for it\n", (unsigned long long)r->too_big);
		if (r->last_error)
			kache_buf_fmt(out, "              last error: %s\n", r->last_error);
	}
}

static void print_json(struct kache_index *x, const struct kache_store *s, const struct kache_index_totals *t,
		       const struct kache_account *a, uint64_t since_ms, struct kache_buf *out)
{
	struct kache_json j = { .out = out };
	struct reasons r = { .json = &j };

	kache_json_open(&j, NULL, '{');
	kache_json_str(&j, "store", s->root);
	kache_json_u64(&j, "hits", t->hits);
	kache_json_u64(&j, "misses", t->misses);
	kache_json_u64(&j, "uncached", t->uncached);
	kache_json_u64(&j, "passthrough", t->passthrough);
	kache_json_u64(&j, "failed", t->failed);
	kache_json_u64(&j, "probe_hits", t->probe_hits);
	kache_json_u64(&j, "probe_misses", t->probe_misses);
	kache_json_double(&j, "hit_rate_pct", rate(t));
	kache_json_u64(&j, "time_saved_ms", t->saved_ms);
	kache_json_u64(&j, "compile_time_ms", t->spent_ms);
	kache_json_u64(&j, "hit_time_us", t->hit_us);
	kache_json_u64(&j, "linked_bytes", t->linked_bytes);
	kache_json_u64(&j, "copied_bytes", t->copied_bytes);
	kache_json_u64(&j, "entries", t->entries);
	kache_json_u64(&j, "blobs", t->blobs);
	kache_json_u64(&j, "blob_bytes", t->blob_bytes);
	kache_json_u64(&j, "logical_bytes", t->logical_bytes);
	kache_json_u64(&j, "first_event_ms", t->first_ms);
	kache_json_open(&j, "reasons", '[');
	kache_index_reasons(x, since_ms, json_reason, &r);
	kache_json_close(&j, ']');
	json_remotes(&j, a);
	kache_json_close(&j, '}');
	kache_buf_ch(out, '\n');
}

static void print_text(struct kache_index *x, const struct kache_store *s, const struct kache_index_totals *t,
		       const struct kache_account *a, uint64_t since_ms, struct kache_buf *out)
{
	KACHE_AUTO_FREE char *blobs = kache_show_size(t->blob_bytes), *logical = kache_show_size(t->logical_bytes);
	KACHE_AUTO_FREE char *linked = kache_show_size(t->linked_bytes), *copied = kache_show_size(t->copied_bytes);
	struct reasons r = { .text = KACHE_BUF_INIT };
	uint64_t seconds = t->saved_ms / 1000;

	kache_buf_fmt(out, "Store         %s\n", s->root);
	kache_buf_fmt(out, "              %llu entries, %llu blobs, %s (%s without sharing)\n", (unsigned long long)t->entries,
		      (unsigned long long)t->blobs, blobs, logical);
	kache_buf_fmt(out, "Hits          %llu of %llu, %.1f %%\n", (unsigned long long)t->hits,
		      (unsigned long long)(t->hits + t->misses + t->uncached), rate(t));
	kache_buf_fmt(out, "Misses        %llu\n", (unsigned long long)t->misses);
	if (t->failed)
		kache_buf_fmt(out, "Failed        %llu compiles ended in an error\n", (unsigned long long)t->failed);
	kache_buf_fmt(out, "Probes        %llu answered, %llu asked\n", (unsigned long long)t->probe_hits,
		      (unsigned long long)t->probe_misses);
	kache_buf_fmt(out, "Time saved    %llu h %02llu min %02llu s of compiling\n", (unsigned long long)(seconds / 3600),
		      (unsigned long long)(seconds / 60 % 60), (unsigned long long)(seconds % 60));
	if (t->hits)
		kache_buf_fmt(out, "A hit takes   %.2f ms on average\n", (double)t->hit_us / 1000 / (double)t->hits);
	kache_buf_fmt(out, "Restored      %s linked, %s copied\n", linked, copied);
	kache_index_reasons(x, since_ms, text_reason, &r);
	if (r.text.len) {
		kache_buf_str(out, "Not cached\n");
		kache_buf_add(out, r.text.data, r.text.len);
	}
	kache_buf_release(&r.text);
	text_remotes(a, out);
}

static int run(int argc, char **argv);
const struct kache_command kache_cmd_stats = {
	"stats", "hits, misses, reasons, time saved, sizes",
	"usage: kache stats [--since DURATION] [--json]\n"
	"\n"
	"  --since DURATION   count events of the last 45s, 30m, 24h or 7d only\n"
	"  --json             one JSON object\n",
	run
};

static int run(int argc, char **argv)
{
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT;
	struct kache_index_totals t;
	struct kache_account a;
	struct kache_conf *conf;
	struct kache_store *s;
	struct kache_index *x;
	struct kache_error err;
	uint64_t since = 0, seconds;
	bool json = false, rebuilt;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json")) {
			json = true;
		} else if (!strcmp(argv[i], "--since") && i + 1 < argc) {
			if (kache_parse_duration(argv[++i], &seconds))
				return kache_cli_usage(&kache_cmd_stats, "--since %s: accepted are 45s, 30m, 24h, 7d", argv[i]);
			since = (uint64_t)(kache_now_real() / 1000000) - seconds * 1000;
		} else {
			return kache_cli_usage(&kache_cmd_stats, "unknown argument %s", argv[i]);
		}
	}
	if ((rc = kache_cli_conf(&conf)))
		return rc;
	if ((rc = kache_cli_store(conf, false, &s)))
		return rc;
	if (kache_index_open(s, &x, &rebuilt, &err))
		return kache_cli_fail("%s", err.text);
	rc = kache_index_totals(x, since, &t) ? kache_cli_fail("index of %s can't be read", s->root) : 0;
	if (!rc) {
		kache_account_load(s->root, &a);
		(json ? print_json : print_text)(x, s, &t, &a, since, &out);
		kache_account_release(&a);
		rc = kache_cli_print(&out);
	}
	kache_index_close(x);
	kache_store_close(s);
	kache_conf_free(conf);
	return rc;
}
