#include "config.h"
#include "cli/cmd.h"

#include "base/clock.h"
#include "base/json.h"
#include "store/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct listing {
	struct kache_buf out;
	struct kache_json json;
	uint64_t count, now_ms;
	bool detail;
};

static char *age(uint64_t now_ms, uint64_t then_ms)
{
	uint64_t s = then_ms && then_ms < now_ms ? (now_ms - then_ms) / 1000 : 0;

	if (s < 120)
		return kache_asprintf("%llus", (unsigned long long)s);
	if (s < 7200)
		return kache_asprintf("%llum", (unsigned long long)(s / 60));
	if (s < 172800)
		return kache_asprintf("%lluh", (unsigned long long)(s / 3600));
	return kache_asprintf("%llud", (unsigned long long)(s / 86400));
}

static int text_entry(void *arg, const struct kache_index_entry *e)
{
	struct listing *l = arg;
	KACHE_AUTO_FREE char *size = kache_show_size(e->size);
	KACHE_AUTO_FREE char *created = age(l->now_ms, e->created_ms), *used = age(l->now_ms, e->used_ms);
	char hex[KACHE_HEX_LEN + 1];

	l->count++;
	if (!l->detail) {
		kache_buf_fmt(&l->out, "%-30s %-12s %-8s %10s %6llu %8s %8s\n", e->crate, e->kind, e->profile, size,
			      (unsigned long long)e->hits, created, used);
		return 0;
	}
	kache_buf_fmt(&l->out, "%s (%s) of package %s\n  key       %s\n", e->crate, e->kind, e->package,
		      kache_hash_hex(&e->key, hex));
	kache_buf_fmt(&l->out, "  target    %s %s\n  features  %s\n  compiler  %s\n", e->target, e->profile,
		      *e->features ? e->features : "-", e->compiler);
	kache_buf_fmt(&l->out, "  size      %s\n  compiled  in %.2f s, %s ago\n  hits      %llu, used %s ago\n", size,
		      (double)e->compile_ms / 1000, created, (unsigned long long)e->hits, used);
	return 0;
}

static int json_entry(void *arg, const struct kache_index_entry *e)
{
	struct listing *l = arg;
	char hex[KACHE_HEX_LEN + 1];

	l->count++;
	kache_json_open(&l->json, NULL, '{');
	kache_json_str(&l->json, "key", kache_hash_hex(&e->key, hex));
	kache_json_str(&l->json, "crate", e->crate);
	kache_json_str(&l->json, "package", e->package);
	kache_json_str(&l->json, "kind", e->kind);
	kache_json_str(&l->json, "target", e->target);
	kache_json_str(&l->json, "profile", e->profile);
	kache_json_str(&l->json, "features", e->features);
	kache_json_str(&l->json, "compiler", e->compiler);
	kache_json_u64(&l->json, "size", e->size);
	kache_json_u64(&l->json, "hits", e->hits);
	kache_json_u64(&l->json, "created_ms", e->created_ms);
	kache_json_u64(&l->json, "used_ms", e->used_ms);
	kache_json_u64(&l->json, "compile_ms", e->compile_ms);
	kache_json_close(&l->json, '}');
	return 0;
}

/* Through a pager on a terminal: KACHE_PAGER, PAGER, less; "cat" or "" is none. */
static int show(const struct kache_buf *b, bool pager)
{
	const char *program = getenv("KACHE_PAGER");
	FILE *p;

	program = program ? program : getenv("PAGER");
	program = program ? program : "less -FRX";
	if (!pager || !isatty(STDOUT_FILENO) || !*program || !strcmp(program, "cat"))
		return kache_cli_print(b);
	fflush(stdout);
	p = popen(program, "we");
	if (!p)
		return kache_cli_print(b);
	(void)!fwrite(b->data, 1, b->len, p);
	return pclose(p) == 127 << 8 ? kache_cli_print(b) : KACHE_EXIT_OK;
}

static int run(int argc, char **argv);
const struct kache_command kache_cmd_list = {
	"list", "stored entries, or one crate in detail",
	"usage: kache list [CRATE] [--sort name|size|hits|age] [--json] [--no-pager]\n"
	"\n"
	"  CRATE        show the entries of this crate or package in detail\n"
	"  --sort BY    name (default), size, hits, or age (last use first)\n"
	"  --json       one JSON array\n"
	"  --no-pager   do not page on a terminal\n",
	run
};

static int list(const char *crate, enum kache_index_sort sort, bool json, bool pager)
{
	struct listing l = { .now_ms = (uint64_t)(kache_now_real() / 1000000), .detail = crate != NULL };
	struct kache_conf *conf;
	struct kache_store *s;
	struct kache_index *x;
	struct kache_error err;
	int rc;

	if ((rc = kache_cli_conf(&conf)) || (rc = kache_cli_store(conf, false, &s)))
		return rc;
	if (kache_index_open(s, &x, NULL, &err))
		return kache_cli_fail("%s", err.text);
	l.json.out = &l.out;
	if (json)
		kache_json_open(&l.json, NULL, '[');
	else if (!crate)
		kache_buf_fmt(&l.out, "%-30s %-12s %-8s %10s %6s %8s %8s\n", "CRATE", "KIND", "PROFILE", "SIZE", "HITS", "CREATED",
			      "USED");
	rc = kache_index_entries(x, crate, sort, json ? json_entry : text_entry, &l);
	if (json) {
		kache_json_close(&l.json, ']');
		kache_buf_ch(&l.out, '\n');
	} else if (!crate) {
		kache_buf_fmt(&l.out, "%llu entries\n", (unsigned long long)l.count);
	}
	if (rc)
		rc = kache_cli_fail("index of %s can't be read", s->root);
	else if (crate && !l.count && !json)
		rc = kache_cli_fail("no entries of %s", crate);
	else
		rc = show(&l.out, pager && !json);
	kache_buf_release(&l.out);
	kache_index_close(x);
	kache_store_close(s);
	kache_conf_free(conf);
	return rc;
}

static int run(int argc, char **argv)
{
	static const char *const sorts[] = { "name", "size", "hits", "age" };
	const char *crate = NULL;
	bool json = false, pager = true;
	int sort = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json")) {
			json = true;
		} else if (!strcmp(argv[i], "--no-pager")) {
			pager = false;
		} else if (!strcmp(argv[i], "--sort") && i + 1 < argc) {
			for (sort = 0, i++; sort < 4 && strcmp(sorts[sort], argv[i]); sort++)
				;
			if (sort == 4)
				return kache_cli_usage(&kache_cmd_list, "--sort %s: accepted are name, size, hits, age", argv[i]);
		} else if (argv[i][0] != '-' && !crate) {
			crate = argv[i];
		} else {
			return kache_cli_usage(&kache_cmd_list, "unknown argument %s", argv[i]);
		}
	}
	return list(crate, (enum kache_index_sort)sort, json, pager);
}
