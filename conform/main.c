/* kache-conform: does a backend keep the contract of kache/backend.h? Prints TAP. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "base/strs.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static const struct {
	const char *name, *what;
	void (*run)(struct kit *);
	bool needs_handle;
} groups[] = {
	{ "abi", "the module as a shared object", kit_abi, false },
	{ "conf", "the options that it declares", kit_conf, false },
	{ "objects", "what is put comes back", kit_objects, true },
	{ "streams", "sources, sinks, deadlines, cancellation", kit_streams, true },
	{ "list", "listings and batches", kit_list, true },
	{ "threads", "the declared thread model", kit_threads, true },
	{ "faults", "a server that misbehaves (with --proxy)", kit_faults, true },
	{ "ops", "the process that it lives in", kit_ops, true },
};
enum { GROUPS = sizeof groups / sizeof *groups };

static const struct {
	const char *name;
	uint32_t cap;			/* 0: a slot */
} caps[] = {
	{ "write", KB_CAP_WRITE }, { "atomic-put", KB_CAP_ATOMIC_PUT }, { "put-if-absent", KB_CAP_PUT_IF_ABSENT },
	{ "read-own", KB_CAP_READ_OWN }, { "ttl", KB_CAP_TTL }, { "may-evict", KB_CAP_MAY_EVICT },
	{ "list", 0 }, { "head", 0 }, { "del", 0 }, { "batch", 0 }, { "touch", 0 },
};

static unsigned points, failed;
static const char *group = "";

bool kit_ok(bool good, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %u - %s: ", good ? "" : "not ", ++points, group);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	failed += !good;
	return good;
}

void kit_bail(const char *what)
{
	printf("not ok %u - %s: %s\nBail out! nothing more can be asked of it\n", ++points, group, what);
	fflush(stdout);
	_exit(1);
}

void kit_skip(const char *why, const char *fmt, ...)
{
	va_list ap;

	printf("ok %u - %s: ", ++points, group);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(" # SKIP %s\n", why);
	fflush(stdout);
}

void kit_note(const char *fmt, ...)
{
	va_list ap;

	fputs("# ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static const char usage[] =
"usage: kache-conform MODULE [-o KEY=VALUE]… [options]\n"
"\n"
"Checks whether a backend keeps the contract of kache/backend.h, on the real server that the\n"
"options name, and prints the outcome as TAP. What it stores there it removes again.\n"
"\n"
"  -o KEY=VALUE         an option of the backend; url is the remote's URL\n"
"  --group NAME         only this group (several times for several)\n"
"  --cap NAME=off       take the backend as one that can't do this\n"
"  --proxy HOST:PORT    where the server is; %proxy% in the options' values becomes the address of\n"
"                       a proxy before it, which makes the faults of the group faults\n"
"  --settle DURATION    how long the store may take to show what was put (5s)\n"
"  --quick              fewer objects and rounds\n"
"  --list               name the groups and end\n"
"\n"
"Exit status: 0 if every point holds, 1 if not, 2 for a usage error.\n";

static int fail(int status, const char *fmt, ...)
{
	va_list ap;

	fputs("kache-conform: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}

struct arguments {
	struct kache_strs options;	/* key=value */
	bool wanted[GROUPS];
	bool any_group;
	struct kache_strs off;
};

static int take_group(struct arguments *a, const char *name)
{
	for (int i = 0; i < GROUPS; i++) {
		if (!strcmp(groups[i].name, name)) {
			a->wanted[i] = a->any_group = true;
			return 0;
		}
	}
	return fail(2, "--group %s: see --list", name);
}

static int take_cap(struct arguments *a, const char *text)
{
	const char *equals = strchr(text, '=');

	for (size_t i = 0; equals && !strcmp(equals, "=off") && i < sizeof caps / sizeof *caps; i++) {
		if (strlen(caps[i].name) == (size_t)(equals - text) && !strncmp(caps[i].name, text, (size_t)(equals - text))) {
			kache_strs_add(&a->off, caps[i].name);
			return 0;
		}
	}
	return fail(2, "--cap %s: accepted is NAME=off, NAME one of write, atomic-put, put-if-absent, read-own, ttl, may-evict, list, head, del, batch, touch",
		    text);
}

static int parse(int argc, char **argv, struct kit *k, struct arguments *a)
{
	static const struct option longs[] = {
		{ "group", required_argument, NULL, 'g' }, { "cap", required_argument, NULL, 'c' },
		{ "proxy", required_argument, NULL, 'p' }, { "settle", required_argument, NULL, 's' },
		{ "quick", no_argument, NULL, 'q' }, { "list", no_argument, NULL, 'l' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	uint64_t seconds;
	int c, rc = 0;

	while (!rc && (c = getopt_long(argc, argv, "o:h", longs, NULL)) != -1) {
		switch (c) {
		case 'o':
			if (!strchr(optarg, '='))
				return fail(2, "-o %s: accepted is KEY=VALUE", optarg);
			kache_strs_add(&a->options, optarg);
			break;
		case 'g': rc = take_group(a, optarg); break;
		case 'c': rc = take_cap(a, optarg); break;
		case 'p': k->proxy = optarg; break;
		case 's':
			if (kache_parse_duration(optarg, &seconds) || seconds > 3600)
				return fail(2, "--settle %s: accepted are 5s, 30s, 2m", optarg);
			k->settle_ms = (unsigned)seconds * 1000;
			break;
		case 'q': k->quick = true; break;
		case 'l':
			for (int i = 0; i < GROUPS; i++)
				printf("%-8s %s\n", groups[i].name, groups[i].what);
			exit(0);
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			return 2;
		}
	}
	if (!rc && optind != argc - 1)
		rc = fail(2, "one MODULE is wanted (see --help)");
	if (!rc)
		k->path = argv[optind];
	return rc;
}

/* %proxy% in a value; fresh memory. */
static char *expand(const char *value, const char *address)
{
	const char *mark = address ? strstr(value, "%proxy%") : NULL;

	return mark ? kache_asprintf("%.*s%s%s", (int)(mark - value), value, address, mark + 7) : kache_strdup(value);
}

static int options(struct kit *k, const struct arguments *a)
{
	KACHE_AUTO_FREE char *address = NULL;

	if (k->proxy) {
		unsigned port = kit_proxy_start(k->proxy);

		if (!port)
			return fail(2, "--proxy %s: accepted is HOST:PORT of the server", k->proxy);
		address = kache_asprintf("127.0.0.1:%u", port);
	}
	k->proxy_unused = true;
	k->pairs = kache_calloc(a->options.n + 1, sizeof *k->pairs);
	for (size_t i = 0; i < a->options.n; i++) {
		const char *text = a->options.v[i], *equals = strchr(text, '=');
		char *key = kache_strndup(text, (size_t)(equals - text)), *value = expand(equals + 1, address);

		if (strstr(equals, "%proxy%"))
			k->proxy_unused = false;

		if (!strcmp(key, "url")) {
			k->url = value;
			free(key);
		} else {
			k->pairs[k->n_pairs++] = (struct kache_conf_pair){ .key = key, .value = value, .origin = kache_strdup("-o") };
		}
	}
	if (k->proxy && k->proxy_unused)
		return fail(2, "--proxy %s: no -o has %%proxy%% in its value, which stands for the proxy's address", k->proxy);
	return 0;
}

/* 0, 1 with a point that does not hold, or 2 for options that are not accepted. */
static int load(struct kit *k, const struct arguments *a)
{
	struct kache_options_source src = { .pairs = k->pairs, .n_pairs = k->n_pairs };
	const struct kb_backend *b;
	struct kache_error err;
	struct kache_url url;
	int rc;

	group = "load";
	if (kache_module_load(k->path, &k->m, &err)) {
		kit_ok(false, "kache takes it: %s", err.text);
		printf("1..%u\n", points);
		return 1;
	}
	b = &k->m->be;
	k->can_list = b->list && !kache_strs_has(&a->off, "list");
	k->can_head = b->head && !kache_strs_has(&a->off, "head");
	k->can_del = b->del && !kache_strs_has(&a->off, "del");
	k->can_batch = b->batch && !kache_strs_has(&a->off, "batch");
	k->can_touch = b->touch && !kache_strs_has(&a->off, "touch");
	if (!k->url)
		k->url = kache_asprintf("%.*s:", (int)strcspn(b->schemes, " "), b->schemes);
	rc = kache_url_parse(k->url, &url, &err);
	if (!rc) {
		src.url = &url;
		rc = kache_options_parse(k->m, &src, &k->conf, &err);
		kache_url_release(&url);
	}
	return rc ? fail(2, "%s", err.text) : 0;
}

static void effective(struct kit *k, const struct arguments *a)
{
	k->caps = k->limits.caps;
	for (size_t i = 0; i < sizeof caps / sizeof *caps; i++)
		if (caps[i].cap && kache_strs_has(&a->off, caps[i].name))
			k->caps &= ~caps[i].cap;
}

static bool open_it(struct kit *k, const struct arguments *a)
{
	int rc;

	group = "open";
	rc = kit_open(k, &k->h, &k->limits, NULL);
	if (!kit_ok(rc == KB_OK && k->h, "it opens (%s%s%s)", kit_status(rc), rc ? ": " : "", rc ? kit_text : ""))
		return false;
	kit_ok(!(k->limits.caps & ~k->m->be.caps), "a handle claims nothing that the module does not");
	effective(k, a);
	kit_note("%s %s, limits: object %llu, in flight %u; write %d, atomic %d, if-absent %d, ttl %d, evicts %d", k->m->be.name,
		 k->m->be.version, (unsigned long long)k->limits.max_object, k->limits.max_inflight, !!(k->caps & KB_CAP_WRITE),
		 !!(k->caps & KB_CAP_ATOMIC_PUT), !!(k->caps & KB_CAP_PUT_IF_ABSENT), !!(k->caps & KB_CAP_TTL),
		 !!(k->caps & KB_CAP_MAY_EVICT));
	return kit_ok(k->caps & KB_CAP_WRITE, "and may write: without that little can be shown");
}

/* What has to happen while there is one thread, and then what starts others. */
static int prepare(struct kit *k, struct arguments *a)
{
	KACHE_AUTO_FREE char *full = kache_path_real(k->path);
	struct kache_error err;
	uint64_t random = 0;
	int rc;

	signal(SIGPIPE, SIG_DFL);	/* a backend has to live with that */
	if (full)
		k->path = kache_strdup(full);
	if (full && (!a->any_group || a->wanted[0]) && !kache_module_trust(full, &err))
		kit_probe(k);
	kit_watch_start();
	rc = options(k, a);
	kit_ops_begin();
	if (getrandom(&random, sizeof random, 0) != sizeof random)
		random = kache_now_mono();
	snprintf(k->prefix, sizeof k->prefix, "conform-%016llx/", (unsigned long long)random);
	return rc;
}

static void finish(struct kit *k)
{
	unsigned asked = atomic_load(&k->asked), evicted = atomic_load(&k->evicted);

	if (k->h)
		k->m->be.close(k->h);
	kit_proxy_stop();
	if (k->h && k->caps & KB_CAP_MAY_EVICT)
		kit_note("evicted: %u of %u objects that were looked for (%.1f %%)", evicted, asked, asked ? 100.0 * evicted / asked : 0.0);
	printf("1..%u\n", points);
	if (failed)
		printf("# %u of %u points do not hold\n", failed, points);
}

int main(int argc, char **argv)
{
	static struct kit k = { .settle_ms = 5000 };
	struct arguments a = { 0 };
	bool opened = false, tried = false;
	int rc = parse(argc, argv, &k, &a);

	if (!rc)
		rc = prepare(&k, &a);
	if (!rc)
		rc = load(&k, &a);
	if (rc)
		return rc;
	for (int i = 0; i < GROUPS; i++) {
		if (a.any_group && !a.wanted[i])
			continue;
		if (groups[i].needs_handle && !tried) {
			tried = true;
			opened = open_it(&k, &a);
		}
		group = groups[i].name;
		if (!groups[i].needs_handle || opened)
			groups[i].run(&k);
	}
	finish(&k);
	return failed != 0;
}
