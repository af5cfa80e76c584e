/* Group list: listings, and several items in one call. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct seen {
	struct kit *k;
	char **names;			/* without the run's prefix */
	size_t n, cap;
	size_t stop_after;
	bool foreign;
};

static int each(void *arg, struct kb_key key, const struct kb_stat *st)
{
	struct seen *s = arg;
	size_t skip = strlen(s->k->prefix);

	(void)st;
	if (key.len <= skip || memcmp(key.name, s->k->prefix, skip)) {
		s->foreign = true;
		return 0;
	}
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 64;
		s->names = kache_realloc(s->names, s->cap, sizeof *s->names);
	}
	s->names[s->n++] = kache_strndup(key.name + skip, key.len - skip);
	return s->stop_after && s->n >= s->stop_after ? 77 : 0;
}

static int listing(struct kit *k, const char *prefix, size_t stop_after, struct seen *out)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%s%s", k->prefix, prefix);
	struct kache_call c;
	int rc;

	*out = (struct seen){ .k = k, .stop_after = stop_after };
	kache_call_init(&c, UINT64_MAX / 2, -1);
	rc = k->m->be.list(k->h, (struct kb_key){ full, strlen(full) }, &c.kb, each, out);
	snprintf(kit_text, sizeof kit_text, "%s", rc < 0 ? c.err.text : "");
	return rc;
}

static void release(struct seen *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->names[i]);
	free(s->names);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t distinct(struct seen *s)
{
	size_t n = 0;

	if (s->n)
		qsort(s->names, s->n, sizeof *s->names, by_text);
	for (size_t i = 0; i < s->n; i++)
		n += !i || strcmp(s->names[i], s->names[i - 1]);
	return n;
}

static bool exactly(struct kit *k, const char *prefix, const char *const *wanted)
{
	struct seen s;
	size_t n = 0;
	bool good = listing(k, prefix, 0, &s) == KB_OK && !s.foreign;

	while (wanted[n])
		n++;
	good = good && distinct(&s) == n;
	for (size_t i = 0, at = 0; good && i < n; i++) {
		while (at < s.n && strcmp(s.names[at], wanted[i]) < 0)
			at++;
		good = at < s.n && !strcmp(s.names[at], wanted[i]);
	}
	release(&s);
	return good;
}

static void edges(struct kit *k)
{
	static const char *const all[] = { "l/a", "l/ab", "l/b/c", "l/b/d" };
	static const char *const none[] = { NULL };
	struct seen s;
	int rc;

	for (size_t i = 0; i < 4; i++)
		kit_give(k, all[i], all[i], strlen(all[i]));
	for (size_t i = 0; i < 4; i++)
		(void)kit_has(k, all[i], all[i], strlen(all[i]));
	kit_ok(exactly(k, "l/", (const char *const[]){ "l/a", "l/ab", "l/b/c", "l/b/d", NULL }), "everything below a prefix, once or more, and nothing else");
	kit_ok(exactly(k, "l/a", (const char *const[]){ "l/a", "l/ab", NULL }), "a prefix that ends in the middle of a name");
	kit_ok(exactly(k, "l/b/", (const char *const[]){ "l/b/c", "l/b/d", NULL }), "a deeper one");
	kit_ok(exactly(k, "l/zzz", none), "one that nothing begins with is empty, and no error");
	rc = listing(k, "l/", 2, &s);
	kit_ok(rc == 77 && s.n == 2, "what the callback returns ends it, and is returned (%d after %zu)", rc, s.n);
	release(&s);
	for (size_t i = 0; i < 4; i++)
		kit_remove(k, all[i]);
}

static void pages(struct kit *k)
{
	size_t n = k->quick ? 120 : 1100;
	bool stored = true;
	struct seen s;
	int rc;

	for (size_t i = 0; i < n && stored; i++) {
		KACHE_AUTO_FREE char *name = kache_asprintf("p/%04zu", i);

		stored = kit_give(k, name, "x", 1) == KB_OK;
	}
	rc = listing(k, "p/", 0, &s);
	kit_ok(stored && rc == KB_OK && distinct(&s) == n && !s.foreign, "%zu objects are all listed (%s%s%s)", n, kit_status(rc),
	       rc < 0 ? ": " : "", rc < 0 ? kit_text : "");
	release(&s);
	for (size_t i = 0; i < n; i++) {
		KACHE_AUTO_FREE char *name = kache_asprintf("p/%04zu", i);

		kit_remove(k, name);
	}
}

static void batches(struct kit *k)
{
	enum { N = 20 };
	struct kb_item items[2 * N], *list[2 * N];
	struct kit_source src[N];
	struct kit_sink dst[2 * N];
	char names[2 * N][80];
	struct kache_call c;
	bool good = true;
	int rc;

	kache_call_init(&c, UINT64_MAX / 2, -1);
	for (int i = 0; i < 2 * N; i++) {
		snprintf(names[i], sizeof names[i], "%sb/%d", k->prefix, i);
		kit_sink_init(&dst[i], 1000);
		items[i] = (struct kb_item){ .struct_size = sizeof items[i], .op = KB_OP_GET, .status = KB_E_BUG,
					     .key = { names[i], strlen(names[i]) }, .dst = &dst[i].kb };
		list[i] = &items[i];
	}
	for (int i = 0; i < N; i++) {
		kit_source_init(&src[i], names[i], strlen(names[i]));
		items[i].op = KB_OP_PUT;
		items[i].src = &src[i].kb;
	}
	rc = k->m->be.batch(k->h, list, N, &c.kb);
	for (int i = 0; i < N; i++)
		good = good && items[i].status == KB_OK;
	kit_ok(rc == KB_OK && good, "a batch of puts (%s)", kit_status(rc));
	for (int i = 0; i < N; i++)
		items[i].op = KB_OP_GET;
	rc = k->m->be.batch(k->h, list, 2 * N, &c.kb);
	good = rc == KB_OK;
	for (int i = 0; i < 2 * N; i++)
		good = good && items[i].status == (i < N ? KB_OK : KB_MISS) &&
		       (i >= N || (dst[i].len == strlen(names[i]) && !memcmp(dst[i].data, names[i], dst[i].len)));
	kit_ok(good, "a batch of gets, half of which are misses (%s)", kit_status(rc));
	for (int i = 0; i < 2 * N; i++) {
		kit_sink_release(&dst[i]);
		(void)kit_del(k, k->h, names[i]);
	}
}

void kit_list(struct kit *k)
{
	if (k->can_list) {
		edges(k);
		pages(k);
	} else {
		kit_skip("no list", "listings");
	}
	if (k->can_batch)
		batches(k);
	else
		kit_skip("no batch", "batches");
}
