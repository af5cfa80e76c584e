/* Group objects: what is put comes back. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void sizes(struct kit *k)
{
	static const size_t some[] = { 0, 1, 4095, 4096, 4097, 65536, 1000000 };
	unsigned char *data = kache_alloc(1000000);

	kit_random(data, 1000000, 1);
	for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
		int rc;

		if (k->limits.max_object && some[i] > k->limits.max_object)
			continue;
		rc = kit_give(k, "size", data, some[i]);
		kit_ok(rc == KB_OK && kit_has(k, "size", data, some[i]), "an object of %zu bytes (%s%s%s)", some[i], kit_status(rc),
		       rc < 0 ? ": " : "", rc < 0 ? kit_text : "");
		kit_remove(k, "size");
	}
	free(data);
}

static void largest(struct kit *k)
{
	uint64_t max = k->limits.max_object;
	unsigned char *data;
	int rc;

	if (!max || max > (64 << 20)) {
		kit_skip(max ? "its limit is large" : "it has no limit", "an object of the largest size");
		kit_skip(max ? "its limit is large" : "it has no limit", "one byte more is refused");
		return;
	}
	data = kache_alloc((size_t)max + 1);
	kit_random(data, (size_t)max + 1, 2);
	rc = kit_give(k, "largest", data, (size_t)max);
	kit_ok(rc == KB_OK && kit_has(k, "largest", data, (size_t)max), "an object of the largest size, %llu (%s)",
	       (unsigned long long)max, kit_status(rc));
	kit_remove(k, "largest");
	rc = kit_give(k, "too-large", data, (size_t)max + 1);
	kit_ok(rc == KB_E_TOOBIG && kit_absent(k, "too-large"), "one byte more is refused (%s) and not stored", kit_status(rc));
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
	kit_ok(kit_has(k, "x/y", "d", 1) && kit_has(k, "x/yz", "e", 1) && kit_absent(k, "x/") == kit_absent(k, "x/"),
	       "a name that another begins with");
	kit_remove(k, "x/y");
	kit_remove(k, "x/yz");
}

static void absent(struct kit *k)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%snothing", k->prefix);
	struct kit_sink s;
	int rc;

	kit_sink_init(&s, 1 << 20);
	rc = kit_get(k, k->h, full, &s.kb, NULL);
	kit_ok(rc == KB_MISS && !s.begins, "what is not there is a miss (%s), and the sink is not touched", kit_status(rc));
	kit_sink_release(&s);
	if (k->can_del)
		kit_ok(kit_del(k, k->h, full) == KB_OK, "removing it is no error");
	else
		kit_skip("no del", "removing it is no error");
	if (k->can_head) {
		struct kb_stat st;
		struct kache_call c;

		kache_call_init(&c, UINT64_MAX / 2, -1);
		kit_ok(k->m->be.head(k->h, (struct kb_key){ full, strlen(full) }, &st, &c.kb) == KB_MISS, "head says so too");
	} else {
		kit_skip("no head", "head says so too");
	}
}

static void removing(struct kit *k)
{
	if (!k->can_del) {
		kit_skip("no del", "what is removed is gone");
		return;
	}
	kit_give(k, "gone", "x", 1);
	kit_remove(k, "gone");
	kit_ok(kit_absent(k, "gone"), "what is removed is gone");
	kit_give(k, "gone", "again", 5);
	kit_ok(kit_has(k, "gone", "again", 5), "and can be put again");
	kit_remove(k, "gone");
}

static void telling(struct kit *k)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%stell", k->prefix);
	struct kb_stat st = { 0 };
	struct kache_call c;
	int rc;

	kit_give(k, "tell", "0123456789", 10);
	kache_call_init(&c, UINT64_MAX / 2, -1);
	if (k->can_head) {
		rc = k->m->be.head(k->h, (struct kb_key){ full, strlen(full) }, &st, &c.kb);
		kit_ok(rc == KB_OK && st.size == 10, "head tells the size (%s, %llu)", kit_status(rc), (unsigned long long)st.size);
	} else {
		kit_skip("no head", "head tells the size");
	}
	if (k->can_touch) {
		rc = k->m->be.touch(k->h, (struct kb_key){ full, strlen(full) }, 600, &c.kb);
		kit_ok(rc == KB_OK && kit_has(k, "tell", "0123456789", 10), "touch leaves the bytes alone (%s)", kit_status(rc));
	} else {
		kit_skip("no touch", "touch leaves the bytes alone");
	}
	kit_remove(k, "tell");
}

/* ---- sixteen at once with IF_ABSENT ---- */

struct racer {
	pthread_t id;
	struct kit *k;
	kb_handle *h;
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
	r->rc = kit_put(r->k, r->h, r->key, &s.kb, KB_PUT_IF_ABSENT, NULL);
	return NULL;
}

static void racing(struct kit *k)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%srace", k->prefix);
	struct racer r[16];
	unsigned won = 0, lost = 0;
	struct kb_limits l;
	size_t len;
	char *data;
	bool whole;

	for (int i = 0; i < 16; i++) {
		r[i] = (struct racer){ .k = k, .h = k->h, .key = full, .byte = (unsigned char)('a' + i) };
		if (k->m->be.threads == KB_THREADS_PER_HANDLE && kit_open(k, &r[i].h, &l, NULL)) {
			kit_ok(false, "sixteen handles (%s)", kit_text);
			return;
		}
	}
	for (int i = 0; i < 16; i++)
		pthread_create(&r[i].id, NULL, race, &r[i]);
	for (int i = 0; i < 16; i++) {
		pthread_join(r[i].id, NULL);
		won += r[i].rc == KB_OK;
		lost += r[i].rc == KB_EXISTS;
		if (r[i].h != k->h)
			k->m->be.close(r[i].h);
	}
	if (k->caps & KB_CAP_PUT_IF_ABSENT)
		kit_ok(won == 1 && lost == 15, "of sixteen who create the same at once one wins (%u won, %u lost)", won, lost);
	else
		kit_ok(won + lost == 16, "sixteen who create the same at once all succeed (%u stored, %u found it)", won, lost);
	whole = kit_take(k, "race", true, &data, &len) == KB_OK && len == 2000;
	for (size_t i = 1; whole && i < len; i++)
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
	racing(k);
}
