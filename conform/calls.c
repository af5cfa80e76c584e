/* Calls of the module's slots, and the sources and sinks that the points need. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"
#include "base/clock.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char kit_text[KACHE_ERROR_MAX];

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
	return rc >= 0 ? rc == KB_OK ? "ok" : rc == KB_MISS ? "miss" : rc == KB_EXISTS ? "exists" : "unknown" : kache_status_name(rc);
}

/* ---- calls ---- */

static void begin(struct kit *k, struct kache_call *c, const struct kit_call *how)
{
	uint64_t now = kache_now_mono(), ms = how && how->ms ? how->ms : KIT_MS;

	kache_call_init(c, how && how->late ? now - 1000000 : now + ms * 1000000, how && how->cancel_fd ? how->cancel_fd : -1);
	kache_host_speaker(k->m->be.name);
	kache_module_enter(k->m, NULL);
}

static int end(struct kit *k, const struct kache_call *c, int rc)
{
	kache_module_leave(k->m);
	kache_host_speaker(NULL);
	snprintf(kit_text, sizeof kit_text, "%s", rc < 0 ? c->err.text : "");
	return rc;
}

static struct kb_key key_of(const char *s)
{
	return (struct kb_key){ s, strlen(s) };
}

int kit_get(struct kit *k, kb_handle *h, const char *key, struct kb_sink *sink, const struct kit_call *how)
{
	struct kache_call c;

	begin(k, &c, how);
	return end(k, &c, k->m->be.get(h, key_of(key), sink, &c.kb));
}

int kit_put(struct kit *k, kb_handle *h, const char *key, struct kb_source *src, uint32_t flags, const struct kit_call *how)
{
	const struct kb_put_opts opts = { .struct_size = sizeof opts, .flags = flags };
	struct kache_call c;

	begin(k, &c, how);
	return end(k, &c, k->m->be.put(h, key_of(key), src, &opts, &c.kb));
}

int kit_del(struct kit *k, kb_handle *h, const char *key)
{
	struct kache_call c;

	if (!k->can_del)
		return KB_E_UNSUPPORTED;
	begin(k, &c, NULL);
	return end(k, &c, k->m->be.del(h, key_of(key), &c.kb));
}

int kit_open(struct kit *k, kb_handle **h, struct kb_limits *limits, const struct kit_call *how)
{
	struct kache_call c;

	*h = NULL;
	*limits = (struct kb_limits){ .struct_size = sizeof *limits, .caps = k->m->be.caps };
	begin(k, &c, how);
	return end(k, &c, k->m->be.open(k->conf, h, limits, &c.kb));
}

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
	uint64_t until = kit_now_ms() + k->settle_ms;
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

bool kit_has(struct kit *k, const char *key, const void *data, size_t len)
{
	size_t got;
	char *p;
	bool same = kit_take(k, key, true, &p, &got) == KB_OK && got == len && (!len || !memcmp(p, data, len));

	free(p);
	return same;
}

bool kit_absent(struct kit *k, const char *key)
{
	size_t got;
	char *p;
	int rc = kit_take(k, key, false, &p, &got);

	free(p);
	return rc == KB_MISS;
}

void kit_remove(struct kit *k, const char *key)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%s%s", k->prefix, key);

	(void)kit_del(k, k->h, full);
}

/* ---- sources ---- */

static int source_read(struct kb_source *kb, void *buf, size_t len, size_t *got)
{
	struct kit_source *s = (struct kit_source *)kb;
	uint64_t end_at = s->end_at < kb->size ? s->end_at : kb->size;

	*got = 0;
	if (s->at >= s->fail_at)
		return KB_E_LOCAL;
	if (s->at >= end_at) {
		s->past |= s->at > kb->size;
		return KB_OK;
	}
	if (len > end_at - s->at)
		len = (size_t)(end_at - s->at);
	if (s->fail_at - s->at < len)
		len = (size_t)(s->fail_at - s->at);
	if (s->most && len > s->most)
		len = s->most;
	memcpy(buf, s->data + s->at, len);
	s->at += len;
	*got = len;
	return KB_OK;
}

static int source_rewind(struct kb_source *kb)
{
	struct kit_source *s = (struct kit_source *)kb;

	s->at = 0;
	s->rewinds++;
	return KB_OK;
}

void kit_source_init(struct kit_source *s, const void *data, uint64_t size)
{
	*s = (struct kit_source){
		.kb = { .struct_size = sizeof s->kb, .fd = -1, .size = size, .read = source_read, .rewind = source_rewind },
		.data = data, .fail_at = UINT64_MAX, .end_at = UINT64_MAX,
	};
}

/* ---- sinks ---- */

static int sink_begin(struct kb_sink *kb, uint64_t size)
{
	struct kit_sink *s = (struct kit_sink *)kb;

	(void)size;
	s->begins++;
	s->len = 0;
	return s->begin_rc;
}

static int sink_write(struct kb_sink *kb, const void *buf, size_t len)
{
	struct kit_sink *s = (struct kit_sink *)kb;

	s->early |= !s->begins;
	if (s->write_rc)
		return s->write_rc;
	if (len > kb->limit - s->len)
		return KB_E_CORRUPT;
	s->data = kache_realloc(s->data, s->len + len + 1, 1);
	memcpy(s->data + s->len, buf, len);
	s->len += len;
	return KB_OK;
}

void kit_sink_init(struct kit_sink *s, uint64_t limit)
{
	*s = (struct kit_sink){
		.kb = { .struct_size = sizeof s->kb, .fd = -1, .limit = limit, .begin = sink_begin, .write = sink_write },
	};
}

void kit_sink_release(struct kit_sink *s)
{
	free(s->data);
	s->data = NULL;
}
