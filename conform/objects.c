/* Group objects: what is put comes back. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void sizes(struct kit *k)
{
	static const size_t some[] = { 0, 1, 4095, 4096, 4097, 65536, 1 << 20 };
	unsigned char *data = kache_alloc(1 << 20);

	kit_random(data, 1 << 20, 1);
	for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
		int rc;

		if (k->limits.max_object && some[i] > k->limits.max_object) {
			kit_skip("beyond its limit", "an object of %zu bytes", some[i]);
			continue;
		}
		rc = kit_give(k, "size", data, some[i]);
		kit_ok(rc == KB_OK && kit_has(k, "size", data, some[i]), "an object of %zu bytes (%s%s%s)", some[i], kit_status(rc),
		       rc < 0 ? ": " : "", rc < 0 ? kit_text : "");
		kit_remove(k, "size");
	}
	free(data);
}

static void largest(struct kit *k)
{
	static const char *const names[] = { "an object one byte short of the largest size", "an object of the largest size" };
	uint64_t max = k->limits.max_object;
	unsigned char *data;
	int rc;

	if (!max || max > (64 << 20)) {
		for (int i = 0; i < 2; i++)
			kit_skip(max ? "its limit is large" : "it has no limit", "%s", names[i]);
		kit_skip(max ? "its limit is large" : "it has no limit", "one byte more is too big, and not stored");
		return;
	}
	data = kache_alloc((size_t)max + 1);
	kit_random(data, (size_t)max + 1, 2);
	for (uint64_t i = 0; i < 2; i++) {
		size_t n = (size_t)(max - 1 + i);

		rc = kit_give(k, "largest", data, n);
		kit_ok(rc == KB_OK && kit_has(k, "largest", data, n), "%s, %zu (%s%s%s)", names[i], n, kit_status(rc), rc < 0 ? ": " : "",
		       rc < 0 ? kit_text : "");
		kit_remove(k, "largest");
	}
	rc = kit_give(k, "too-large", data, (size_t)max + 1);
	kit_ok(rc == KB_E_TOOBIG && kit_absent(k, "too-large"), "one byte more is too big, and not stored (%s)", kit_status(rc));
	kit_remove(k, "too-large");
	free(data);
}

static void contents(struct kit *k)
{
	unsigned char all[256];

	for (int i = 0; i < 256; i++)
		all[i] = (unsigned char)i;
	kit_give(k, "bytes", all, sizeof all);
	kit_ok(kit_has(k, "bytes", all, sizeof all), "every byte value");
	kit_give(k, "bytes", "\r\n\r\nEND\r\n$-1\r\n", 15);
	kit_ok(kit_has(k, "bytes", "\r\n\r\nEND\r\n$-1\r\n", 15), "bytes that look like a protocol");
	kit_remove(k, "bytes");
}

static void replacing(struct kit *k)
{
	int rc;

	kit_give(k, "replace", "the first, which is longer", 26);
	rc = kit_give(k, "replace", "second", 6);
	kit_ok(rc == KB_OK && kit_has(k, "replace", "second", 6), "a put replaces what was there (%s)", kit_status(rc));
	rc = kit_give_if_absent(k, "replace", "third", 5);
	if (k->caps & KB_CAP_PUT_IF_ABSENT)
		kit_ok(rc == KB_EXISTS && kit_has(k, "replace", "second", 6), "with IF_ABSENT it does not, and says so (%s)", kit_status(rc));
	else
		kit_ok(rc == KB_OK || rc == KB_EXISTS, "with IF_ABSENT, a hint here, it succeeds (%s)", kit_status(rc));
	kit_remove(k, "replace");
	rc = kit_give_if_absent(k, "fresh", "new", 3);
	kit_ok(rc == KB_OK && kit_has(k, "fresh", "new", 3), "with IF_ABSENT what is not there is stored (%s)", kit_status(rc));
	kit_remove(k, "fresh");
}

static void names(struct kit *k)
{
	char longest[KB_KEY_MAX + 1], other[KB_KEY_MAX + 1];
	size_t n = KB_KEY_MAX - strlen(k->prefix);

	memset(longest, 'k', n);
	for (size_t i = 30; i < n - 1; i += 30)
		longest[i] = '/';
	longest[n] = '\0';
	memcpy(other, longest, n + 1);
	other[n - 1] = 'x';
	kit_give(k, longest, "a", 1);
	kit_give(k, other, "b", 1);
	kit_ok(kit_has(k, longest, "a", 1) && kit_has(k, other, "b", 1), "two names of %d bytes that differ in the last", KB_KEY_MAX);
	kit_remove(k, longest);
	kit_remove(k, other);
	kit_give(k, "a.b_c-d/0.tar.zst", "c", 1);
	kit_ok(kit_has(k, "a.b_c-d/0.tar.zst", "c", 1), "all characters of a name");
	kit_remove(k, "a.b_c-d/0.tar.zst");
	kit_give(k, "x/y", "d", 1);
	kit_give(k, "x/yz", "e", 1);
	kit_ok(kit_has(k, "x/y", "d", 1) && kit_has(k, "x/yz", "e", 1) && kit_absent(k, "x/yzz") && kit_absent(k, "x"),
	       "a name that another begins with, and nothing in between");
	kit_remove(k, "x/y");
	kit_remove(k, "x/yz");
}

static void absent(struct kit *k)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%snothing", k->prefix);
	struct kb_stat st;
	struct kit_sink s;
	int rc;

	kit_sink_init(&s, 1 << 20);
	rc = kit_get(k, k->h, full, &s.kb, NULL);
	kit_ok(rc == KB_MISS && !s.begins, "what is not there is a miss (%s), and the sink is not touched", kit_status(rc));
	kit_sink_release(&s);
	if (k->can_del)
		kit_ok(kit_del(k, k->h, full, NULL) == KB_OK, "removing it is no error");
	else
		kit_skip("no del", "removing it is no error");
	if (k->can_head)
		kit_ok(kit_head_of(k, k->h, full, &st, NULL) == KB_MISS, "head says so too");
	else
		kit_skip("no head", "head says so too");
	if (k->can_touch)
		kit_ok(kit_touch(k, k->h, full, NULL) == KB_MISS, "and touch");
	else
		kit_skip("no touch", "and touch");
}

static void removing(struct kit *k)
{
	if (!k->can_del) {
		kit_skip("no del", "what is removed is gone");
		kit_skip("no del", "and can be put again");
		return;
	}
	kit_give(k, "gone", "x", 1);
	(void)kit_has(k, "gone", "x", 1);
	kit_remove(k, "gone");
	kit_ok(kit_absent(k, "gone"), "what is removed is gone");
	kit_give(k, "gone", "again", 5);
	kit_ok(kit_has(k, "gone", "again", 5), "and can be put again");
	kit_remove(k, "gone");
}

static void telling(struct kit *k)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%stell", k->prefix);
	const struct kit_call touch = { .ttl_s = 600 };
	struct kb_stat st;
	int rc;

	kit_give(k, "tell", "0123456789", 10);
	(void)kit_has(k, "tell", "0123456789", 10);
	if (k->can_head) {
		rc = kit_head_of(k, k->h, full, &st, NULL);
		kit_ok((rc == KB_OK && st.size == 10) || (rc == KB_MISS && k->caps & KB_CAP_MAY_EVICT), "head tells the size (%s, %llu)",
		       kit_status(rc), (unsigned long long)st.size);
	} else {
		kit_skip("no head", "head tells the size");
	}
	if (k->can_touch) {
		rc = kit_touch(k, k->h, full, &touch);
		kit_ok((rc == KB_OK || (rc == KB_MISS && k->caps & KB_CAP_MAY_EVICT)) && kit_has(k, "tell", "0123456789", 10),
		       "touch leaves the bytes alone (%s)", kit_status(rc));
	} else {
		kit_skip("no touch", "touch leaves the bytes alone");
	}
	kit_remove(k, "tell");
}

/* ---- objects that expire ---- */

static bool there(struct kit *k, const char *key)
{
	size_t len;
	char *data;
	int rc = kit_take(k, key, false, &data, &len);

	free(data);
	return rc == KB_OK;
}

static int give_for(struct kit *k, const char *key, int64_t ttl_s)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%s%s", k->prefix, key);
	const struct kit_call how = { .ttl_s = ttl_s };
	struct kit_source s;

	kit_source_init(&s, key, strlen(key));
	return kit_put(k, k->h, full, &s.kb, 0, &how);
}

/* Two that live for two seconds, the life of one is extended, and a third that lives long. */
static void expiring(struct kit *k)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%slonger", k->prefix);
	const struct kit_call touch = { .ttl_s = 600 };
	uint64_t until = kit_now_ms() + 20000;
	int rc;

	if (!(k->caps & KB_CAP_TTL)) {
		kit_skip("it does not let objects expire", "an object with a life of two seconds");
		kit_skip("it does not let objects expire", "is gone after them");
		kit_skip("it does not let objects expire", "one with a longer life is not");
		kit_skip("it does not let objects expire", "nor is one whose life was extended");
		return;
	}
	rc = give_for(k, "long", 3600);
	rc = rc ? rc : give_for(k, "longer", 2);
	rc = rc ? rc : k->can_touch ? kit_touch(k, k->h, full, &touch) : KB_OK;
	rc = rc ? rc : give_for(k, "short", 2);
	kit_ok(rc == KB_OK, "an object with a life of two seconds (%s)", kit_status(rc));
	while (there(k, "short") && kit_now_ms() < until)
		usleep(200000);
	kit_ok(!there(k, "short"), "is gone after them");
	kit_ok(kit_has(k, "long", "long", 4), "one with a longer life is not");
	if (k->can_touch)
		kit_ok(kit_has(k, "longer", "longer", 6), "nor is one whose life was extended");
	else
		kit_skip("no touch", "nor is one whose life was extended");
	kit_remove(k, "long");
	kit_remove(k, "longer");
	kit_remove(k, "short");
}

/* ---- sixteen at once with IF_ABSENT ---- */

enum { RACERS = 16 };

struct racer {
	pthread_t id;
	struct kit *k;
	kb_handle *h;
	pthread_barrier_t *start;
	const char *key;
	unsigned char byte;
	int rc;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	unsigned char data[2000];
	struct kit_source s;

	memset(data, r->byte, sizeof data);
	kit_source_init(&s, data, sizeof data);
	pthread_barrier_wait(r->start);
	r->rc = kit_put(r->k, r->h, r->key, &s.kb, KB_PUT_IF_ABSENT, NULL);
	return NULL;
}

static void run_race(struct racer *r, unsigned n, unsigned *won, unsigned *lost)
{
	pthread_barrier_t start;

	pthread_barrier_init(&start, NULL, n);
	for (unsigned i = 0; i < n; i++) {
		r[i].start = &start;
		pthread_create(&r[i].id, NULL, race, &r[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		pthread_join(r[i].id, NULL);
		*won += r[i].rc == KB_OK;
		*lost += r[i].rc == KB_EXISTS;
	}
	pthread_barrier_destroy(&start);
}

static void racing(struct kit *k)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%srace", k->prefix);
	unsigned n = kit_at_once(k, RACERS), opened = 0, won = 0, lost = 0;
	struct racer r[RACERS];
	struct kb_limits l;
	size_t len;
	char *data = NULL;
	bool whole;
	int rc = KB_OK;

	for (; opened < n && !rc; opened++) {
		r[opened] = (struct racer){ .k = k, .h = k->h, .key = full, .byte = (unsigned char)('a' + opened), .rc = KB_E_BUG };
		if (k->m->be.threads == KB_THREADS_PER_HANDLE)
			rc = kit_open(k, &r[opened].h, &l, NULL);
	}
	if (rc)
		opened--;
	else
		run_race(r, n, &won, &lost);
	for (unsigned i = 0; i < opened; i++)
		if (r[i].h != k->h)
			k->m->be.close(r[i].h);
	if (rc)
		kit_ok(false, "%u handles (%s)", n, kit_text);
	else if (k->caps & KB_CAP_PUT_IF_ABSENT)
		kit_ok(won == 1 && lost == n - 1, "of %u who create the same at once one wins (%u won, %u lost)", n, won, lost);
	else
		kit_ok(won && won + lost == n, "%u who create the same at once all succeed (%u stored, %u found it)", n, won, lost);
	rc = kit_take(k, "race", true, &data, &len);
	whole = rc == KB_MISS ? k->caps & KB_CAP_MAY_EVICT : rc == KB_OK && len == 2000;
	for (size_t i = 1; whole && rc == KB_OK && i < len; i++)
		whole = data[i] == data[0];
	kit_ok(whole, "and what is there is one of theirs, whole");
	free(data);
	kit_remove(k, "race");
}

void kit_objects(struct kit *k)
{
	sizes(k);
	largest(k);
	contents(k);
	replacing(k);
	names(k);
	absent(k);
	removing(k);
	telling(k);
	expiring(k);
	racing(k);
}
