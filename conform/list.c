/* Group list: listings, and several items in one call. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct seen {
	struct kit *k;
	char **names;			/* without the run's prefix */
	size_t n, cap;
	size_t stop_after;
	uint64_t size;			/* that every object has; 0: of its name, as those of edges */
	bool foreign, wrong_size;
};

static int each(void *arg, struct kb_key key, const struct kb_stat *st)
{
	struct seen *s = arg;
	size_t skip = strlen(s->k->prefix);

	if (key.len <= skip || key.len > KB_KEY_MAX || memcmp(key.name, s->k->prefix, skip)) {
		s->foreign = true;
		return 0;
	}
	s->wrong_size |= st && st->size != (s->size ? s->size : key.len - skip);
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 64;
		s->names = kache_realloc(s->names, s->cap, sizeof *s->names);
	}
	s->names[s->n++] = kache_strndup(key.name + skip, key.len - skip);
	return s->stop_after && s->n >= s->stop_after ? 77 : 0;
}

static int listing(struct kit *k, const char *prefix, size_t stop_after, uint64_t size, struct seen *out)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%s%s", k->prefix, prefix);
	const struct kit_call how = { .ms = 60000 };

	*out = (struct seen){ .k = k, .stop_after = stop_after, .size = size };
	return kit_list_of(k, k->h, full, each, out, &how);
}

static void release(struct seen *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->names[i]);
	free(s->names);
	s->names = NULL;
	s->n = 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts; how many different names there are. */
static size_t distinct(struct seen *s)
{
	size_t n = 0;

	if (s->n)
		qsort(s->names, s->n, sizeof *s->names, by_text);
	for (size_t i = 0; i < s->n; i++)
		n += !i || strcmp(s->names[i], s->names[i - 1]);
	return n;
}

/* Are all that were seen among the wanted, which are sorted, and (unless some may have gone) the reverse? */
static bool matches(struct seen *s, const char *const *wanted, bool evicts)
{
	size_t n = 0, found = distinct(s);

	while (wanted[n])
		n++;
	for (size_t i = 0; i < s->n; i++)
		if (!bsearch(&s->names[i], wanted, n, sizeof *wanted, by_text))
			return false;
	return !s->foreign && (found == n || evicts);
}

/* Looks again for a while where the store takes its time. */
static bool exactly(struct kit *k, const char *prefix, const char *const *wanted)
{
	uint64_t until = kit_now_ms() + k->settle_ms;

	for (;;) {
		struct seen s;
		int rc = listing(k, prefix, 0, 0, &s);
		bool good = rc == KB_OK && matches(&s, wanted, k->caps & KB_CAP_MAY_EVICT) && !s.wrong_size;

		if (!good && kit_now_ms() >= until)
			kit_note("%s, %zu names%s%s%s", kit_status(rc), s.n, s.foreign ? ", some outside the prefix" : "",
				 s.wrong_size ? ", with wrong sizes" : "", s.n ? ", one of them:" : "");
		if (!good && kit_now_ms() >= until && s.n)
			kit_note("    %s", s.names[s.n - 1]);
		release(&s);
		if (good || kit_now_ms() >= until)
			return good;
		usleep(200000);
	}
}

static void edges(struct kit *k)
{
	static const char *const all[] = { "l/a", "l/ab", "l/b/c", "l/b/d", "l/b0" };
	static const struct { const char *prefix, *what, *wanted[6]; } cases[] = {
		{ "", "everything of this run", { "l/a", "l/ab", "l/b/c", "l/b/d", "l/b0" } },
		{ "l/", "everything below a prefix, once or more, and nothing else", { "l/a", "l/ab", "l/b/c", "l/b/d", "l/b0" } },
		{ "l", "a prefix without its slash", { "l/a", "l/ab", "l/b/c", "l/b/d", "l/b0" } },
		{ "l/a", "a prefix that ends in the middle of a name, and is one", { "l/a", "l/ab" } },
		{ "l/b", "one that is a folder and begins a name", { "l/b/c", "l/b/d", "l/b0" } },
		{ "l/b/", "a deeper one", { "l/b/c", "l/b/d" } },
		{ "l/ab", "a whole name", { "l/ab" } },
		{ "l/abc", "a name and more is empty, and no error", { NULL } },
		{ "l/zzz/y", "one that nothing begins with likewise", { NULL } },
	};
	enum { N = sizeof all / sizeof *all };
	struct seen s;
	int rc;

	for (size_t i = 0; i < N; i++)
		kit_give(k, all[i], all[i], strlen(all[i]));
	for (size_t i = 0; i < N; i++)
		(void)kit_has(k, all[i], all[i], strlen(all[i]));
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		kit_ok(exactly(k, cases[i].prefix, cases[i].wanted), "%s", cases[i].what);
	rc = listing(k, "l/", 2, 0, &s);
	kit_ok((rc == 77 && s.n == 2) || (s.n < 2 && k->caps & KB_CAP_MAY_EVICT), "what the callback returns ends it, and is returned (%d after %zu)",
	       rc, s.n);
	release(&s);
	for (size_t i = 0; i < N; i++)
		kit_remove(k, all[i]);
	if (k->can_del)
		kit_ok(exactly(k, "l/", cases[8].wanted), "what is removed is listed no more");
	else
		kit_skip("no del", "what is removed is listed no more");
}

/* More than any server puts on one page. */
static void pages(struct kit *k)
{
	size_t n = k->quick ? 120 : 1100, found = 0;
	uint64_t until;
	bool stored = true, good;
	struct seen s;
	int rc;

	for (size_t i = 0; i < n && stored; i++) {
		KACHE_AUTO_FREE char *name = kache_asprintf("p/%04zu", i);

		stored = kit_give(k, name, "x", 1) == KB_OK;
	}
	until = kit_now_ms() + k->settle_ms;
	for (;;) {
		rc = listing(k, "p/", 0, 1, &s);
		found = distinct(&s);
		good = stored && rc == KB_OK && !s.foreign && !s.wrong_size && (found == n || (found < n && k->caps & KB_CAP_MAY_EVICT));
		release(&s);
		if (good || kit_now_ms() >= until)
			break;
		usleep(200000);
	}
	kit_ok(good, "%zu objects are all listed (%s%s%s, %zu)", n, kit_status(rc), rc < 0 ? ": " : "", rc < 0 ? kit_text : "", found);
	for (size_t i = 0; i < n; i++) {
		KACHE_AUTO_FREE char *name = kache_asprintf("p/%04zu", i);

		kit_remove(k, name);
	}
}

/* ---- batches ---- */

enum { ITEMS = 20 };

struct items {
	struct kb_item item[2 * ITEMS], *list[2 * ITEMS];
	struct kit_source src[2 * ITEMS];
	struct kit_sink dst[2 * ITEMS];
	char name[2 * ITEMS][96];
	size_t n;			/* of each half: the first is stored, the second is not */
};

static void set_op(struct items *b, size_t i, enum kb_op op)
{
	struct kb_item *item = &b->item[i];

	kit_sink_release(&b->dst[i]);
	kit_sink_init(&b->dst[i], 1000);
	kit_source_init(&b->src[i], b->name[i], strlen(b->name[i]));
	*item = (struct kb_item){ .struct_size = sizeof *item, .op = op, .status = KB_E_BUG, .key = { b->name[i], strlen(b->name[i]) },
				  .st = { .size = UINT64_MAX, .mtime_s = -1, .ttl_s = -1 },
				  .src = op == KB_OP_PUT ? &b->src[i].kb : NULL, .dst = op == KB_OP_GET ? &b->dst[i].kb : NULL };
	b->list[i] = item;
}

/* What item i has to say, which is there or not. */
static bool item_good(const struct kit *k, const struct items *b, size_t i, bool there)
{
	const struct kb_item *item = &b->item[i];
	size_t len = strlen(b->name[i]);

	if (item->status == KB_MISS && k->caps & KB_CAP_MAY_EVICT && item->op != KB_OP_PUT && item->op != KB_OP_DEL)
		return true;
	if (item->op == KB_OP_PUT || item->op == KB_OP_DEL)
		return item->status == KB_OK;
	if (!there)
		return item->status == KB_MISS && !b->dst[i].begins;
	if (item->op == KB_OP_GET)
		return item->status == KB_OK && b->dst[i].len == len && !memcmp(b->dst[i].data, b->name[i], len);
	return item->status == KB_OK && item->st.size == len;
}

static void one_batch(struct kit *k, struct items *b, size_t n, bool half_missing, const char *what)
{
	int rc = kit_batch(k, k->h, b->list, n, NULL);
	size_t bad = n;

	for (size_t i = 0; i < n; i++)
		if (!item_good(k, b, i, !half_missing || i < b->n))
			bad = i;
	kit_ok(rc == KB_OK && bad == n, "%s (%s%s%s%s)", what, kit_status(rc), rc < 0 ? ": " : "", rc < 0 ? kit_text : "",
	       rc == KB_OK && bad < n ? ", but one of its items is wrong" : "");
	if (bad < n)
		kit_note("item %zu of %zu: %s", bad, n, kit_status(b->item[bad].status));
}

static void batches(struct kit *k)
{
	struct items *b = kache_calloc(1, sizeof *b);
	unsigned most = k->limits.max_batch;

	b->n = most && most < 2 * ITEMS ? most / 2 : ITEMS;
	if (!b->n)
		b->n = 1;
	for (size_t i = 0; i < 2 * b->n; i++)
		snprintf(b->name[i], sizeof b->name[i], "%sb/%zu", k->prefix, i);
	for (size_t i = 0; i < b->n; i++)
		set_op(b, i, KB_OP_PUT);
	one_batch(k, b, b->n, false, "a batch of puts");
	for (size_t i = 0; i < 2 * b->n; i++)
		set_op(b, i, KB_OP_GET);
	one_batch(k, b, 2 * b->n, true, "a batch of gets, half of which are misses");
	for (size_t i = 0; i < 2 * b->n; i++)
		set_op(b, i, KB_OP_HEAD);
	if (k->can_head)
		one_batch(k, b, 2 * b->n, true, "a batch of heads, likewise");
	else
		kit_skip("no head", "a batch of heads, likewise");
	for (size_t i = 0; i < 2 * b->n; i++)
		set_op(b, i, i % 3 == 0 ? KB_OP_PUT : i % 3 == 1 || !k->can_head ? KB_OP_GET : KB_OP_HEAD);
	one_batch(k, b, 2 * b->n, true, "all of them in one batch");
	for (size_t i = 0; i < 2 * b->n; i++)
		set_op(b, i, KB_OP_DEL);
	if (k->can_del) {
		one_batch(k, b, 2 * b->n, true, "a batch of removals, some of nothing");
		for (size_t i = 0; i < 2 * b->n; i++)
			set_op(b, i, KB_OP_GET);
		b->n = 0;
		one_batch(k, b, 2, true, "after which they are gone");
	} else {
		kit_skip("no del", "a batch of removals, some of nothing");
	}
	for (size_t i = 0; i < 2 * ITEMS; i++) {
		kit_sink_release(&b->dst[i]);
		if (*b->name[i])
			(void)kit_del(k, k->h, b->name[i], NULL);
	}
	free(b);
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
