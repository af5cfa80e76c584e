/* Group streams: sources and sinks that stop, fail, or give little at a time; deadlines and cancellation. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 300000, SLACK_MS = 250 + 1000 };	/* the contract's 250 ms, and what a busy machine takes */

/* ---- sources ---- */

static void good_sources(struct kit *k, const char *full, const unsigned char *data, size_t n)
{
	struct kit_source s;
	int rc;

	kit_source_init(&s, data, n);
	s.most = 777;
	rc = kit_put(k, k->h, full, &s.kb, 0, NULL);
	kit_ok(rc == KB_OK && kit_has(k, "stream", data, n), "a source that gives little at a time (%s)", kit_status(rc));
	kit_ok(!s.past, "it does not read on after the end");
	kit_source_init(&s, data + 1, n - 1);
	s.at = 100;		/* somebody has read from it before */
	rc = kit_put(k, k->h, full, &s.kb, 0, NULL);
	kit_ok(rc == KB_OK && kit_has(k, "stream", data + 1, n - 1), "a source is rewound first (%s)", kit_status(rc));
}

/* Leaves what it found: `old`, of n - 1 bytes, or nothing where there was none. */
static void bad_sources(struct kit *k, const char *full, const unsigned char *data, size_t n)
{
	static const struct { const char *name; bool fails; size_t at; } cases[] = {
		{ "a source that fails at once", true, 0 }, { "a source that fails midway", true, 2 },
		{ "a source that is empty", false, 0 }, { "a source that ends midway", false, 2 },
		{ "a source that is a byte shorter than its size", false, 1 },
	};
	struct kit_source s;
	int rc;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t at = cases[i].at == 2 ? n / 2 : cases[i].at == 1 ? n - 1 : 0;

		for (int old = 1; old >= 0; old--) {
			if (!old) {
				if (!k->can_del) {
					kit_skip("no del", "%s: nothing is visible where there was none", cases[i].name);
					continue;
				}
				kit_remove(k, "stream");
				(void)kit_absent(k, "stream");
			}
			kit_source_init(&s, data, n);
			*(cases[i].fails ? &s.fail_at : &s.end_at) = at;
			rc = kit_put(k, k->h, full, &s.kb, 0, NULL);
			kit_ok(rc == KB_E_LOCAL && (old ? kit_has(k, "stream", data + 1, n - 1) : kit_absent(k, "stream")),
			       "%s: the host's own trouble (%s), and %s", cases[i].name, kit_status(rc),
			       old ? "the old object stays" : "nothing is visible where there was none");
		}
		kit_give(k, "stream", data + 1, n - 1);
	}
}

/* ---- sinks ---- */

static void sinks(struct kit *k, const char *full, const unsigned char *data, size_t n)
{
	static const struct { const char *name; int begin, write; bool late; } cases[] = {
		{ "what begin returns is returned", KB_E_NOSPACE, 0, false },
		{ "what the first write returns is returned", 0, KB_E_NOSPACE, false },
		{ "what a later write returns is returned", 0, KB_E_LOCAL, true },
	};
	struct kit_sink s;
	int rc;

	kit_sink_init(&s, UINT64_MAX);
	rc = kit_get(k, k->h, full, &s.kb, NULL);
	kit_ok(rc == KB_OK && s.begins >= 1 && !s.early, "begin comes before the first byte (%s)", kit_status(rc));
	kit_sink_release(&s);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		kit_sink_init(&s, UINT64_MAX);
		s.begin_rc = cases[i].begin;
		s.write_rc = cases[i].write;
		s.refuse_at = cases[i].late ? n / 2 : 0;
		rc = kit_get(k, k->h, full, &s.kb, NULL);
		kit_ok(rc == (cases[i].begin ? cases[i].begin : cases[i].write), "%s (%s)", cases[i].name, kit_status(rc));
		kit_sink_release(&s);
	}
	kit_sink_init(&s, n - 1);
	rc = kit_get(k, k->h, full, &s.kb, NULL);
	kit_ok(rc == KB_E_CORRUPT && !s.over, "an object beyond the limit is damaged (%s), and no more than the limit is written",
	       kit_status(rc));
	kit_sink_release(&s);
	kit_sink_init(&s, n);
	rc = kit_get(k, k->h, full, &s.kb, NULL);
	kit_ok(rc == KB_OK && s.len == n && !memcmp(s.data, data, n), "one of just the limit is not, and the handle still serves (%s)",
	       kit_status(rc));
	kit_sink_release(&s);
}

/* ---- files on both sides: what reflinks and copies within the kernel are made of ---- */

static bool file_is(int fd, const unsigned char *data, size_t n)
{
	unsigned char *p = kache_alloc(n + 1);
	bool same = pread(fd, p, n + 1, 0) == (ssize_t)n && !memcmp(p, data, n);

	free(p);
	return same;
}

static void files(struct kit *k, const char *full, const unsigned char *data, size_t n)
{
	FILE *in = tmpfile(), *out = tmpfile();
	struct kit_source src;
	struct kit_sink s;
	int rc;

	if (!in || !out || write(fileno(in), data, n) != (ssize_t)n || write(fileno(out), "left over", 9) != 9) {
		kit_skip("no temporary file", "files on both sides");
		goto end;
	}
	kit_source_init(&src, data, n);
	src.kb.fd = fileno(in);		/* its offset is at the end */
	rc = kit_put(k, k->h, full, &src.kb, 0, NULL);
	kit_ok(rc == KB_OK && kit_has(k, "stream", data, n), "a source with a file (%s)", kit_status(rc));
	kit_ok(file_is(fileno(in), data, n), "which is left open, and as it was");
	kit_sink_init(&s, UINT64_MAX);
	s.kb.fd = fileno(out);
	rc = kit_get(k, k->h, full, &s.kb, NULL);
	kit_ok(rc == KB_OK && (s.len ? s.len == n && !memcmp(s.data, data, n) && file_is(fileno(out), data, 0) : file_is(fileno(out), data, n)),
	       "a sink with one: the bytes go there or to write, not to both (%s)", kit_status(rc));
	kit_ok(lseek(fileno(out), 0, SEEK_CUR) >= 0, "which is left open");
	kit_sink_release(&s);
end:
	if (in)
		fclose(in);
	if (out)
		fclose(out);
}

/* ---- time: every slot, called when it is too late already ---- */

struct timed {
	struct kit *k;
	const char *full;
	const unsigned char *data;
	size_t n;
};

static int call_get(const struct timed *t, const struct kit_call *how)
{
	struct kit_sink s;
	int rc;

	kit_sink_init(&s, UINT64_MAX);
	rc = kit_get(t->k, t->k->h, t->full, &s.kb, how);
	kit_sink_release(&s);
	return rc;
}

static int call_put(const struct timed *t, const struct kit_call *how)
{
	struct kit_source s;

	kit_source_init(&s, t->data, t->n);
	return kit_put(t->k, t->k->h, t->full, &s.kb, 0, how);
}

static int call_head(const struct timed *t, const struct kit_call *how)
{
	struct kb_stat st;

	return kit_head_of(t->k, t->k->h, t->full, &st, how);
}

static int call_del(const struct timed *t, const struct kit_call *how)
{
	return kit_del(t->k, t->k->h, t->full, how);
}

static int call_touch(const struct timed *t, const struct kit_call *how)
{
	return kit_touch(t->k, t->k->h, t->full, how);
}

static int nothing(void *arg, struct kb_key key, const struct kb_stat *st)
{
	(void)arg;
	(void)key;
	(void)st;
	return 0;
}

static int call_list(const struct timed *t, const struct kit_call *how)
{
	return kit_list_of(t->k, t->k->h, t->k->prefix, nothing, NULL, how);
}

static int call_batch(const struct timed *t, const struct kit_call *how)
{
	struct kb_item item = { .struct_size = sizeof item, .op = KB_OP_GET, .status = KB_E_BUG, .key = { t->full, strlen(t->full) } };
	struct kb_item *const items[] = { &item };
	struct kit_sink s;
	int rc;

	kit_sink_init(&s, UINT64_MAX);
	item.dst = &s.kb;
	rc = kit_batch(t->k, t->k->h, items, 1, how);
	kit_sink_release(&s);
	return rc ? rc : item.status;
}

static int call_ping(const struct timed *t, const struct kit_call *how)
{
	struct kb_limits l = t->k->limits;

	return kit_ping(t->k, t->k->h, &l, how);
}

/* Strict: what moves bytes has to give up. The others may also have their answer at hand. */
static const struct {
	const char *name;
	int (*call)(const struct timed *, const struct kit_call *);
	bool strict;
} slots[] = {
	{ "get", call_get, true }, { "put", call_put, true }, { "head", call_head, false }, { "touch", call_touch, false },
	{ "list", call_list, true }, { "batch", call_batch, false }, { "ping", call_ping, false }, { "del", call_del, false },
};

static bool has_slot(const struct kit *k, size_t i)
{
	const bool has[] = { true, true, k->can_head, k->can_touch, k->can_list, k->can_batch, k->m->be.ping, k->can_del };

	return has[i];
}

static void too_late(struct kit *k, const struct timed *t, const struct kit_call *how, int wanted, const char *when)
{
	for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
		uint64_t began = kit_now_ms(), took;
		int rc;

		if (!has_slot(k, i)) {
			kit_skip("the slot is empty", "%s %s", slots[i].name, when);
			continue;
		}
		rc = slots[i].call(t, how);
		took = kit_now_ms() - began;
		kit_ok((rc == wanted || (rc >= 0 && !slots[i].strict)) && took < SLACK_MS, "%s %s (%s, %llu ms)", slots[i].name, when,
		       kit_status(rc), (unsigned long long)took);
	}
}

static void time_and_cancel(struct kit *k, const unsigned char *data, size_t n)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%slate", k->prefix);
	const struct timed t = { k, full, data, n };
	const struct kit_call late = { .late = true };
	struct kit_call cancel = { .ms = 10000 };
	int pair[2], rc;

	kit_give(k, "late", data, n);
	too_late(k, &t, &late, KB_E_TIMEOUT, "with its deadline passed ends at once");
	if (pipe(pair) || write(pair[1], "x", 1) != 1) {
		kit_skip("no pipe", "cancellation");
		return;
	}
	kit_give(k, "late", data, n);
	cancel.cancel_fd = pair[0];
	too_late(k, &t, &cancel, KB_E_CANCELLED, "when it is cancelled ends at once");
	kit_ok(read(pair[0], &(char){ 0 }, 1) == 1, "what cancels is looked at, not read");
	close(pair[0]);
	close(pair[1]);
	rc = kit_give(k, "late", data, n);
	kit_ok(rc == KB_OK && kit_has(k, "late", data, n), "and the handle still serves (%s)", kit_status(rc));
	kit_remove(k, "late");
}

void kit_streams(struct kit *k)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%sstream", k->prefix);
	unsigned char *data = kache_alloc(SIZE);
	size_t n = kit_size(k, SIZE);

	kit_random(data, SIZE, 3);
	good_sources(k, full, data, n);
	bad_sources(k, full, data, n);
	files(k, full, data, n);
	sinks(k, full, data, n);
	kit_remove(k, "stream");
	time_and_cancel(k, data, n);
	free(data);
}
