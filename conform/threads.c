/* Group threads: the declared model, used to the full. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 8 };

struct worker {
	pthread_t id;
	struct kit *k;
	kb_handle *h;
	unsigned number, rounds, bad;
	char what[KACHE_ERROR_MAX + 64];
};

static void *hammer(void *arg)
{
	struct worker *w = arg;
	unsigned char data[20000];

	for (unsigned i = 0; i < w->rounds; i++) {
		KACHE_AUTO_FREE char *key = kache_asprintf("%st/%u-%u", w->k->prefix, w->number, i % 3);
		size_t n = 1 + (w->number * 7919 + i * 104729) % sizeof data;
		struct kit_source src;
		struct kit_sink s;
		int put, get;

		kit_random(data, n, w->number * 1000 + i);
		kit_source_init(&src, data, n);
		put = kit_put(w->k, w->h, key, &src.kb, 0, NULL);
		kit_sink_init(&s, sizeof data);
		get = kit_get(w->k, w->h, key, &s.kb, NULL);
		if (put != KB_OK || (w->k->caps & KB_CAP_READ_OWN && !(w->k->caps & KB_CAP_MAY_EVICT) && get != KB_OK) ||
		    (get == KB_OK && (s.len != n || memcmp(s.data, data, n)))) {
			w->bad++;
			snprintf(w->what, sizeof w->what, "put %s, get %s, %llu of %zu bytes", kit_status(put), kit_status(get),
				 (unsigned long long)s.len, n);
		}
		kit_sink_release(&s);
	}
	return NULL;
}

/* All read one object while one goes on replacing it: each sees one version, whole. */
struct reader {
	pthread_t id;
	struct kit *k;
	kb_handle *h;
	atomic_bool *over;
	unsigned torn;
};

static void *read_all(void *arg)
{
	struct reader *r = arg;
	KACHE_AUTO_FREE char *key = kache_asprintf("%st/torn", r->k->prefix);

	while (!atomic_load(r->over)) {
		struct kit_sink s;

		kit_sink_init(&s, 1 << 20);
		if (kit_get(r->k, r->h, key, &s.kb, NULL) == KB_OK) {
			r->torn += s.len != 50000;
			for (uint64_t b = 1; b < s.len; b += 997)
				r->torn += s.data[b] != s.data[0];
		}
		kit_sink_release(&s);
	}
	return NULL;
}

static void torn(struct kit *k, kb_handle **handles, unsigned rounds)
{
	struct reader r[THREADS];
	unsigned char *data = kache_alloc(50000);
	atomic_bool over = false;
	unsigned bad = 0;

	if (!(k->caps & KB_CAP_ATOMIC_PUT)) {
		kit_skip("it does not claim atomic puts", "readers never see half of a new object");
		free(data);
		return;
	}
	memset(data, 'a', 50000);
	kit_give(k, "t/torn", data, 50000);
	for (int i = 1; i < THREADS; i++) {
		r[i] = (struct reader){ .k = k, .h = handles[i], .over = &over };
		pthread_create(&r[i].id, NULL, read_all, &r[i]);
	}
	for (unsigned i = 0; i < rounds; i++) {
		memset(data, 'a' + (int)(i % 26), 50000);
		kit_give(k, "t/torn", data, 50000);
	}
	atomic_store(&over, true);
	for (int i = 1; i < THREADS; i++) {
		pthread_join(r[i].id, NULL);
		bad += r[i].torn;
	}
	kit_ok(!bad, "readers never see half of a new object");
	kit_remove(k, "t/torn");
	free(data);
}

void kit_threads(struct kit *k)
{
	unsigned rounds = k->quick ? 10 : 40, bad = 0;
	kb_handle *handles[THREADS];
	struct worker w[THREADS];
	struct kb_limits l;
	const char *model = k->m->be.threads == KB_THREADS_SERIAL ? "one call at a time"
		: k->m->be.threads == KB_THREADS_PER_HANDLE ? "a handle each" : "one handle for all";

	for (int i = 0; i < THREADS; i++) {
		handles[i] = k->h;
		if (i && k->m->be.threads == KB_THREADS_PER_HANDLE && kit_open(k, &handles[i], &l, NULL)) {
			kit_ok(false, "several handles (%s)", kit_text);
			return;
		}
	}
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .k = k, .h = handles[i], .number = i, .rounds = rounds };
		pthread_create(&w[i].id, NULL, hammer, &w[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(w[i].id, NULL);
		bad += w[i].bad;
		if (w[i].bad)
			kit_note("thread %d: %s", i, w[i].what);
	}
	kit_ok(!bad, "%d threads, %s, %u puts and gets each: all right", THREADS, model, rounds);
	torn(k, handles, k->quick ? 10 : 30);
	for (unsigned i = 0; i < THREADS; i++) {
		for (unsigned n = 0; n < 3; n++) {
			KACHE_AUTO_FREE char *key = kache_asprintf("t/%u-%u", i, n);

			kit_remove(k, key);
		}
		if (handles[i] != k->h)
			k->m->be.close(handles[i]);
	}
	kit_ok(kit_absent(k, "t/none"), "and the handle still serves");
}
