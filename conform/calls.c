/* Calls of the module's slots: each with a deadline, the module's turn, and the watch over it. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"
#include "base/clock.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Thread_local char kit_text[KACHE_ERROR_MAX];

uint64_t kit_now_ms(void)
{
	return kache_now_mono() / 1000000;
}

static unsigned entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

unsigned kit_fds(void)
{
	return entries("/proc/self/fd");
}

unsigned kit_threads_now(void)
{
	return entries("/proc/self/task");
}

void kit_random(unsigned char *out, size_t len, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		out[i] = (unsigned char)(x >> 24);
	}
}

const char *kit_status(int rc)
{
	return kache_status_name(rc);
}

unsigned kit_at_once(const struct kit *k, unsigned wanted)
{
	return k->limits.max_inflight && k->limits.max_inflight < wanted ? k->limits.max_inflight : wanted;
}

size_t kit_size(const struct kit *k, size_t wanted)
{
	return k->limits.max_object && k->limits.max_object < wanted ? (size_t)k->limits.max_object : wanted;
}

/* ---- calls ---- */

struct going {
	struct kache_call c;
	int watch;
};

static void begin(struct kit *k, struct going *g, const struct kit_call *how)
{
	uint64_t now = kache_now_mono(), ms = how && how->ms ? how->ms : KIT_MS;

	kache_call_init(&g->c, how && how->late ? now - 1000000 : now + ms * 1000000, how && how->cancel_fd ? how->cancel_fd : -1);
	kache_host_speaker(k->m->be.name);
	kache_module_enter(k->m, NULL);
	g->watch = kit_watch_begin(g->c.kb.deadline_ns);
}

static int end(struct kit *k, const struct going *g, int rc)
{
	kit_watch_end(g->watch);
	kache_module_leave(k->m);
	kache_host_speaker(NULL);
	snprintf(kit_text, sizeof kit_text, "%s", rc < 0 ? g->c.err.text : "");
	return rc;
}

static struct kb_key key_of(const char *s)
{
	return (struct kb_key){ s, strlen(s) };
}

int kit_get(struct kit *k, kb_handle *h, const char *key, struct kb_sink *sink, const struct kit_call *how)
{
	struct going g;

	begin(k, &g, how);
	return end(k, &g, k->m->be.get(h, key_of(key), sink, &g.c.kb));
}

int kit_put(struct kit *k, kb_handle *h, const char *key, struct kb_source *src, uint32_t flags, const struct kit_call *how)
{
	const struct kb_put_opts opts = { .struct_size = sizeof opts, .flags = flags, .ttl_s = how ? how->ttl_s : 0 };
	struct going g;

	begin(k, &g, how);
	return end(k, &g, k->m->be.put(h, key_of(key), src, &opts, &g.c.kb));
}

int kit_head_of(struct kit *k, kb_handle *h, const char *key, struct kb_stat *st, const struct kit_call *how)
{
	struct going g;

	*st = (struct kb_stat){ .size = UINT64_MAX, .mtime_s = -1, .ttl_s = -1 };
	begin(k, &g, how);
	return end(k, &g, k->m->be.head(h, key_of(key), st, &g.c.kb));
}

int kit_del(struct kit *k, kb_handle *h, const char *key, const struct kit_call *how)
{
	struct going g;

	if (!k->can_del)
		return KB_E_UNSUPPORTED;
	begin(k, &g, how);
	return end(k, &g, k->m->be.del(h, key_of(key), &g.c.kb));
}

int kit_touch(struct kit *k, kb_handle *h, const char *key, const struct kit_call *how)
{
	struct going g;

	begin(k, &g, how);
	return end(k, &g, k->m->be.touch(h, key_of(key), how ? how->ttl_s : 0, &g.c.kb));
}

int kit_list_of(struct kit *k, kb_handle *h, const char *prefix, int (*each)(void *, struct kb_key, const struct kb_stat *),
		void *arg, const struct kit_call *how)
{
	struct going g;

	begin(k, &g, how);
	return end(k, &g, k->m->be.list(h, key_of(prefix), &g.c.kb, each, arg));
}

int kit_batch(struct kit *k, kb_handle *h, struct kb_item *const *items, size_t n, const struct kit_call *how)
{
	struct going g;

	begin(k, &g, how);
	return end(k, &g, k->m->be.batch(h, items, n, &g.c.kb));
}

int kit_ping(struct kit *k, kb_handle *h, struct kb_limits *limits, const struct kit_call *how)
{
	struct going g;

	begin(k, &g, how);
	return end(k, &g, k->m->be.ping(h, limits, &g.c.kb));
}

int kit_open(struct kit *k, kb_handle **h, struct kb_limits *limits, const struct kit_call *how)
{
	struct going g;

	*h = NULL;
	*limits = (struct kb_limits){ .struct_size = sizeof *limits, .caps = k->m->be.caps };
	begin(k, &g, how);
	return end(k, &g, k->m->be.open(k->conf, h, limits, &g.c.kb));
}

/* ---- short forms ---- */

static int give(struct kit *k, const char *key, const void *data, size_t len, uint32_t flags)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%s%s", k->prefix, key);
	struct kit_source s;

	kit_source_init(&s, data, len);
	return kit_put(k, k->h, full, &s.kb, flags, NULL);
}

int kit_give(struct kit *k, const char *key, const void *data, size_t len)
{
	return give(k, key, data, len, 0);
}

int kit_give_if_absent(struct kit *k, const char *key, const void *data, size_t len)
{
	return give(k, key, data, len, KB_PUT_IF_ABSENT);
}

int kit_take(struct kit *k, const char *key, bool wait, char **data, size_t *len)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%s%s", k->prefix, key);
	/* What may be evicted is not waited for: it does not come back. */
	uint64_t until = k->caps & (KB_CAP_MAY_EVICT | KB_CAP_READ_OWN) ? 0 : kit_now_ms() + k->settle_ms;
	struct kit_sink s;
	int rc;

	for (;;) {
		kit_sink_init(&s, UINT64_MAX);
		rc = kit_get(k, k->h, full, &s.kb, NULL);
		if (rc != KB_MISS || !wait || kit_now_ms() >= until)
			break;
		kit_sink_release(&s);
		usleep(100000);
	}
	*data = s.data;
	*len = (size_t)s.len;
	return rc;
}

static bool has_now(struct kit *k, const char *key, const void *data, size_t len, bool *final)
{
	size_t got;
	char *p;
	int rc = kit_take(k, key, true, &p, &got);
	bool same = rc == KB_OK && got == len && (!len || !memcmp(p, data, len));

	free(p);
	/* A replaced object may show its former bytes for a while, where nothing else is promised. */
	*final = same || rc != KB_OK || k->caps & KB_CAP_READ_OWN;
	if (rc == KB_MISS && k->caps & KB_CAP_MAY_EVICT) {
		atomic_fetch_add(&k->evicted, 1);
		return true;
	}
	return same;
}

bool kit_has(struct kit *k, const char *key, const void *data, size_t len)
{
	uint64_t until = kit_now_ms() + k->settle_ms;
	bool final, same;

	atomic_fetch_add(&k->asked, 1);
	while (!(same = has_now(k, key, data, len, &final)) && !final && kit_now_ms() < until)
		usleep(100000);
	return same;
}

bool kit_absent(struct kit *k, const char *key)
{
	uint64_t until = k->caps & KB_CAP_READ_OWN ? 0 : kit_now_ms() + k->settle_ms;
	size_t got;
	char *p;
	int rc;

	for (;;) {
		rc = kit_take(k, key, false, &p, &got);
		free(p);
		if (rc != KB_OK || kit_now_ms() >= until)
			return rc == KB_MISS;
		usleep(100000);
	}
}

void kit_remove(struct kit *k, const char *key)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%s%s", k->prefix, key);

	(void)kit_del(k, k->h, full, NULL);
}
