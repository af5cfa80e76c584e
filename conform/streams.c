/* Group streams: sources and sinks that stop, fail, or give little at a time; deadlines and cancellation. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 300000, SLACK_MS = 250 + 750 };	/* the contract's 250 ms, and what a busy machine takes */

static size_t size_here(const struct kit *k)
{
	return k->limits.max_object && k->limits.max_object < SIZE ? (size_t)k->limits.max_object : SIZE;
}

static void sources(struct kit *k, const unsigned char *data, size_t n)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%sstream", k->prefix);
	struct kit_source s;
	int rc;

	kit_source_init(&s, data, n);
	s.most = 777;
	rc = kit_put(k, k->h, full, &s.kb, 0, NULL);
	kit_ok(rc == KB_OK && kit_has(k, "stream", data, n), "a source that gives little at a time (%s)", kit_status(rc));
	kit_ok(!s.past, "it does not read beyond the size");

	kit_source_init(&s, data + 1, n - 1);
	s.at = 100;		/* somebody has read from it before */
	rc = kit_put(k, k->h, full, &s.kb, 0, NULL);
	kit_ok(rc == KB_OK && kit_has(k, "stream", data + 1, n - 1), "a source is rewound first (%s)", kit_status(rc));

	kit_source_init(&s, data, n);
	s.fail_at = n / 2;
	rc = kit_put(k, k->h, full, &s.kb, 0, NULL);
	kit_ok(rc < 0 && kit_has(k, "stream", data + 1, n - 1), "a source that fails midway is an error (%s), and the old object stays",
	       kit_status(rc));
	kit_ok(rc == KB_E_LOCAL, "which is said to be the host's own (%s)", kit_status(rc));
	kit_source_init(&s, data, n);
	s.end_at = n - 1;
	rc = kit_put(k, k->h, full, &s.kb, 0, NULL);
	kit_ok(rc < 0 && kit_has(k, "stream", data + 1, n - 1), "a source that is shorter than its size likewise (%s)", kit_status(rc));
	kit_remove(k, "stream");

	kit_source_init(&s, data, n);
	s.fail_at = n / 2;
	(void)kit_put(k, k->h, full, &s.kb, 0, NULL);
	kit_source_init(&s, data, n);
	s.end_at = 10;
	(void)kit_put(k, k->h, full, &s.kb, 0, NULL);
	if (k->can_del)
		kit_ok(kit_absent(k, "stream"), "where there was none, nothing is visible afterwards");
	else
		kit_skip("no del", "where there was none, nothing is visible afterwards");
}

static void sinks(struct kit *k, const unsigned char *data, size_t n)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%ssink", k->prefix);
	struct kit_sink s;
	int rc;

	kit_give(k, "sink", data, n);
	(void)kit_has(k, "sink", data, n);	/* until it is there */
	kit_sink_init(&s, UINT64_MAX);
	rc = kit_get(k, k->h, full, &s.kb, NULL);
	kit_ok(rc == KB_OK && s.begins >= 1 && !s.early, "begin comes before the first byte");
	kit_sink_release(&s);
	kit_sink_init(&s, UINT64_MAX);
	s.begin_rc = KB_E_LOCAL;
	rc = kit_get(k, k->h, full, &s.kb, NULL);
	kit_ok(rc == KB_E_LOCAL, "what begin returns is returned (%s)", kit_status(rc));
	kit_sink_release(&s);
	kit_sink_init(&s, UINT64_MAX);
	s.write_rc = KB_E_LOCAL;
	rc = kit_get(k, k->h, full, &s.kb, NULL);
	kit_ok(rc == KB_E_LOCAL, "what write returns is returned (%s)", kit_status(rc));
	kit_sink_release(&s);
	kit_sink_init(&s, n - 1);
	rc = kit_get(k, k->h, full, &s.kb, NULL);
	kit_ok(rc == KB_E_CORRUPT, "an object beyond the limit is damaged (%s)", kit_status(rc));
	kit_sink_release(&s);
	kit_sink_init(&s, n);
	rc = kit_get(k, k->h, full, &s.kb, NULL);
	kit_ok(rc == KB_OK && s.len == n && !memcmp(s.data, data, n), "one of just the limit is not, and the handle still serves (%s)",
	       kit_status(rc));
	kit_sink_release(&s);
	kit_remove(k, "sink");
}

static void time_and_cancel(struct kit *k, const unsigned char *data, size_t n)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%slate", k->prefix);
	const struct kit_call late = { .late = true };
	struct kit_call cancel = { .ms = 10000 };
	struct kit_source src;
	struct kit_sink s;
	uint64_t began;
	int pair[2], rc;

	kit_give(k, "late", data, n);
	began = kit_now_ms();
	kit_sink_init(&s, UINT64_MAX);
	rc = kit_get(k, k->h, full, &s.kb, &late);
	kit_ok((rc == KB_E_TIMEOUT || rc == KB_OK) && kit_now_ms() - began < SLACK_MS, "get with its deadline passed ends at once (%s)",
	       kit_status(rc));
	kit_sink_release(&s);
	began = kit_now_ms();
	kit_source_init(&src, data, n);
	rc = kit_put(k, k->h, full, &src.kb, 0, &late);
	kit_ok((rc == KB_E_TIMEOUT || rc == KB_OK) && kit_now_ms() - began < SLACK_MS, "so does put (%s)", kit_status(rc));
	if (pipe(pair) || write(pair[1], "x", 1) != 1)
		return;
	cancel.cancel_fd = pair[0];
	began = kit_now_ms();
	kit_sink_init(&s, UINT64_MAX);
	rc = kit_get(k, k->h, full, &s.kb, &cancel);
	kit_ok((rc == KB_E_CANCELLED || rc == KB_OK) && kit_now_ms() - began < SLACK_MS, "a cancelled get ends at once (%s)", kit_status(rc));
	kit_sink_release(&s);
	began = kit_now_ms();
	kit_source_init(&src, data, n);
	rc = kit_put(k, k->h, full, &src.kb, 0, &cancel);
	kit_ok((rc == KB_E_CANCELLED || rc == KB_OK) && kit_now_ms() - began < SLACK_MS, "so does put (%s)", kit_status(rc));
	close(pair[0]);
	close(pair[1]);
	rc = kit_give(k, "late", data, n);
	kit_ok(rc == KB_OK && kit_has(k, "late", data, n), "and the handle still serves (%s)", kit_status(rc));
	kit_remove(k, "late");
}

/* A file on both sides: what reflinks and copies within the kernel are made of. */
static void files(struct kit *k, const unsigned char *data, size_t n)
{
	KACHE_AUTO_FREE char *full = kache_asprintf("%sfile", k->prefix);
	char name[] = "/tmp/kache-conform-XXXXXX";
	struct kit_source src;
	struct kit_sink s;
	int fd = mkstemp(name), rc;

	unlink(name);
	if (fd < 0 || write(fd, data, n) != (ssize_t)n || lseek(fd, 0, SEEK_SET)) {
		kit_skip("no temporary file", "a source with a file");
		return;
	}
	kit_source_init(&src, data, n);
	src.kb.fd = fd;
	rc = kit_put(k, k->h, full, &src.kb, 0, NULL);
	kit_ok(rc == KB_OK && kit_has(k, "file", data, n), "a source with a file (%s)", kit_status(rc));
	kit_ok(lseek(fd, 0, SEEK_CUR) >= 0, "which is left open");
	kit_sink_init(&s, UINT64_MAX);
	rc = kit_get(k, k->h, full, &s.kb, NULL);
	kit_ok(rc == KB_OK && s.len == n, "a sink without one (%s)", kit_status(rc));
	kit_sink_release(&s);
	close(fd);
	kit_remove(k, "file");
}

void kit_streams(struct kit *k)
{
	unsigned char *data = kache_alloc(SIZE);
	size_t n = size_here(k);

	kit_random(data, SIZE, 3);
	sources(k, data, n);
	sinks(k, data, n);
	files(k, data, n);
	time_and_cancel(k, data, n);
	free(data);
}
