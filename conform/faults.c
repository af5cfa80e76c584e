/* Group faults: the server behind a proxy that refuses, stalls, cuts and lies. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CALL_MS = 1500, SLACK_MS = 250 + 1000, SIZE = 200000, MANY = 60, QUIET_US = 300000 };

static bool passing(int rc)
{
	return rc == KB_E_TRANSIENT || rc == KB_E_TIMEOUT || rc == KB_E_CORRUPT || rc == KB_E_THROTTLED;
}

struct fault_case {
	enum kit_fault fault;
	const char *name;
	bool up;			/* it concerns what is sent: put fails, and get may do well */
};

static const struct fault_case cases[] = {
	{ KIT_REFUSE, "the server refuses connections", false },
	{ KIT_BLACK_HOLE, "the server takes a connection and says nothing", false },
	{ KIT_STALL, "the server stalls in the middle of an answer", false },
	{ KIT_RESET, "the connection is reset in the middle of an answer", false },
	{ KIT_CUT, "the connection ends in the middle of an answer", false },
	{ KIT_SLOW, "one byte a second", false },
	{ KIT_GARBAGE, "garbage in place of an answer", false },
	{ KIT_STALL_UP, "the server stops reading in the middle of an object", true },
	{ KIT_RESET_UP, "the connection is reset in the middle of an object", true },
	{ KIT_CUT_UP, "the connection ends in the middle of an object", true },
};

static size_t size_here(const struct kit *k)
{
	return k->limits.max_object && k->limits.max_object < SIZE ? (size_t)k->limits.max_object : SIZE;
}

static void one(struct kit *k, kb_handle *h, const struct fault_case *f, const char *key, const unsigned char *data, size_t n)
{
	const struct kit_call how = { .ms = CALL_MS };
	struct kit_source src;
	struct kit_sink s;
	uint64_t began, took;
	int rc;

	kit_proxy_set(f->fault, true);
	began = kit_now_ms();
	kit_sink_init(&s, UINT64_MAX);
	rc = kit_get(k, h, key, &s.kb, &how);
	took = kit_now_ms() - began;
	kit_ok((passing(rc) || (f->up && rc == KB_OK)) && took < CALL_MS + SLACK_MS, "%s: get %s (%s, after %llu ms)", f->name,
	       f->up ? "ends in time" : "fails for now", kit_status(rc), (unsigned long long)took);
	kit_sink_release(&s);
	began = kit_now_ms();
	kit_source_init(&src, data, n);
	rc = kit_put(k, h, key, &src.kb, 0, &how);
	took = kit_now_ms() - began;
	/* A short answer to a put may have got through before the fault: then it is stored. */
	kit_ok((passing(rc) || (rc == KB_OK && !f->up)) && took < CALL_MS + SLACK_MS, "%s: put %s (%s)", f->name,
	       f->up ? "fails for now" : "ends in time", kit_status(rc));
	kit_proxy_set(KIT_PASS, true);
	kit_sink_init(&s, UINT64_MAX);
	rc = kit_get(k, h, key, &s.kb, NULL);
	kit_ok(rc == KB_OK && s.len == n && !memcmp(s.data, data, n), "%s: afterwards the handle serves again (%s%s%s)", f->name,
	       kit_status(rc), rc < 0 ? ": " : "", rc < 0 ? kit_text : "");
	kit_sink_release(&s);
}

/* Servers and what stands before them end connections that nobody uses; that is no error of the next call. */
static void between(struct kit *k, kb_handle *h, const char *key, const unsigned char *data, size_t n)
{
	struct kit_sink s;
	int rc = KB_OK;

	kit_proxy_set(KIT_CLOSE_BETWEEN, true);
	for (int i = 0; i < 3 && !rc; i++) {
		kit_sink_init(&s, UINT64_MAX);
		rc = kit_get(k, h, key, &s.kb, NULL);
		rc = rc ? rc : s.len == n && !memcmp(s.data, data, n) ? KB_OK : KB_E_CORRUPT;
		kit_sink_release(&s);
		usleep(QUIET_US);
	}
	kit_ok(rc == KB_OK, "connections that end while nobody uses them do no harm (%s%s%s)", kit_status(rc), rc < 0 ? ": " : "",
	       rc < 0 ? kit_text : "");
	kit_proxy_set(KIT_PASS, true);
}

static void cancelling(struct kit *k, kb_handle *h, const char *key)
{
	struct kit_call how = { .ms = 20000 };
	uint64_t began;
	struct kit_sink s;
	int pair[2], rc;
	pid_t pid;

	if (pipe(pair))
		return;
	kit_proxy_set(KIT_BLACK_HOLE, true);
	pid = fork();
	if (!pid) {
		usleep(300000);
		(void)!write(pair[1], "x", 1);
		_exit(0);
	}
	how.cancel_fd = pair[0];
	began = kit_now_ms();
	kit_sink_init(&s, UINT64_MAX);
	rc = kit_get(k, h, key, &s.kb, &how);
	kit_ok(rc == KB_E_CANCELLED && kit_now_ms() - began < 300 + SLACK_MS, "a call that waits for a silent server can be cancelled (%s)",
	       kit_status(rc));
	kit_sink_release(&s);
	close(pair[0]);
	close(pair[1]);
	kit_proxy_set(KIT_PASS, true);
}

static void many(struct kit *k, kb_handle *h, const char *key)
{
	static const enum kit_fault some[] = { KIT_RESET, KIT_CUT, KIT_GARBAGE, KIT_REFUSE };
	const struct kit_call how = { .ms = 400 };
	unsigned fds = 0, threads = 0;
	struct kit_sink s;
	int rc;

	for (int i = 0; i < MANY; i++) {
		kit_proxy_set(some[(size_t)i % (sizeof some / sizeof *some)], true);
		kit_sink_init(&s, UINT64_MAX);
		(void)kit_get(k, h, key, &s.kb, &how);
		kit_sink_release(&s);
		if (i == 9) {
			fds = kit_fds();
			threads = kit_threads_now();
		}
	}
	kit_proxy_set(KIT_PASS, true);
	usleep(100000);
	kit_sink_init(&s, UINT64_MAX);
	rc = kit_get(k, h, key, &s.kb, NULL);
	kit_sink_release(&s);
	/* Its connection, and the proxy's two ends of that. */
	kit_ok(rc == KB_OK && kit_fds() <= fds + 8 && kit_threads_now() <= threads, "after %d faults: no descriptors or threads more than before (%u, %u)",
	       MANY, kit_fds(), kit_threads_now());
}

void kit_faults(struct kit *k)
{
	KACHE_AUTO_FREE char *key = kache_asprintf("%sfault", k->prefix);
	unsigned char *data = kache_alloc(SIZE);
	size_t n = size_here(k);
	struct kb_limits l;
	kb_handle *h;
	int rc;

	if (!k->proxy) {
		kit_skip("no --proxy", "faults");
		free(data);
		return;
	}
	kit_random(data, n, 4);
	kit_give(k, "fault", data, n);
	/* A handle of its own, opened while everything is well. */
	rc = kit_open(k, &h, &l, NULL);
	kit_ok(rc == KB_OK, "through the proxy it opens (%s%s%s)", kit_status(rc), rc ? ": " : "", rc ? kit_text : "");
	for (size_t i = 0; !rc && i < sizeof cases / sizeof *cases; i++)
		one(k, h, &cases[i], key, data, n);
	if (!rc) {
		between(k, h, key, data, n);
		cancelling(k, h, key);
		many(k, h, key);
		k->m->be.close(h);
	}
	kit_proxy_set(KIT_REFUSE, true);
	if (!rc) {
		const struct kit_call how = { .ms = CALL_MS };
		uint64_t began = kit_now_ms();

		rc = kit_open(k, &h, &l, &how);
		kit_ok(rc == KB_OK || (rc < 0 && kit_now_ms() - began < CALL_MS + SLACK_MS), "open ends in time without a server (%s)",
		       kit_status(rc));
		if (!rc)
			k->m->be.close(h);
	}
	kit_proxy_set(KIT_PASS, true);
	kit_remove(k, "fault");
	free(data);
}
