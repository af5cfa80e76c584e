#!/bin/sh
# A remote on bad days: passing failures, refusals, stalls, and a user who stops it.
. "$(dirname "$0")/../lib/lib.sh"
CC=${CC:-cc}
need "$CC"
umask 022
mkdir "$T/m"
export KACHE_PLUGIN_PATH="$T/m"
cat > "$T/moody.c" <<'END'
#include "kache/backend.h"
#include <poll.h>
#include <string.h>
#include <time.h>
static const struct kb_host *host;
struct kb_handle { const kb_conf *conf; };
static struct kb_handle the_handle;
static unsigned calls;
static int do_open(const kb_conf *c, kb_handle **h, struct kb_limits *l, struct kb_call *k)
{
	(void)l; (void)k;
	the_handle.conf = c;
	*h = &the_handle;
	return KB_OK;
}
static void do_close(kb_handle *h) { (void)h; }
static int do_get(kb_handle *h, struct kb_key n, struct kb_sink *s, struct kb_call *k)
{ (void)h; (void)n; (void)s; (void)k; return KB_MISS; }
/* Waits as a stalled server makes one wait: until the deadline or the cancel descriptor says stop. */
static int stall(struct kb_call *k)
{
	struct pollfd p = { k->cancel_fd, POLLIN, 0 };
	struct timespec t;
	for (;;) {
		if (poll(&p, 1, 10) > 0)
			return host->fail(k, KB_E_CANCELLED, "cancelled");
		clock_gettime(CLOCK_MONOTONIC, &t);
		if ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec >= k->deadline_ns)
			return host->fail(k, KB_E_TIMEOUT, "it stalls");
	}
}
/* Away for two seconds from the tenth call on. */
static int restarting(void)
{
	static struct timespec since;
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	if (calls == 10)
		since = t;
	return since.tv_sec && t.tv_sec - since.tv_sec < 2;
}
static int do_put(kb_handle *h, struct kb_key n, struct kb_source *s, const struct kb_put_opts *o, struct kb_call *k)
{
	const char *mood = host->conf_str(h->conf, "mood");
	(void)n; (void)s; (void)o;
	calls++;
	if (!strcmp(mood, "transient"))
		return calls <= 2 ? host->fail(k, KB_E_TRANSIENT, "not just now") : KB_OK;
	if (!strcmp(mood, "throttled")) {
		k->retry_after_ms = 1;
		return calls <= 3 ? host->fail(k, KB_E_THROTTLED, "slow down") : KB_OK;
	}
	if (!strcmp(mood, "down"))
		return host->fail(k, KB_E_TRANSIENT, "down");
	if (!strcmp(mood, "restart"))
		return restarting() ? host->fail(k, KB_E_TRANSIENT, "connection refused") : KB_OK;
	if (!strcmp(mood, "auth"))
		return host->fail(k, KB_E_AUTH, "403\nwith a second line");
	return stall(k);
}
static const struct kb_opt opts[] = {
	{ KB_OPT_ENUM, 0, 0, 0, "mood", NULL, "down", "transient|throttled|down|restart|auth|stall", NULL, "what happens" },
	{ KB_OPT_STR, KB_OPT_SECRET, 0, 0, "password", NULL, NULL, NULL, NULL, "a secret" },
	{ 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};
static const struct kb_backend moody = {
	.magic = KB_MAGIC, .struct_size = sizeof moody, .abi_major = KB_ABI_MAJOR, .threads = KB_THREADS_SERIAL,
	.caps = KB_CAP_WRITE, .opt_size = sizeof opts[0], .name = "moody", .version = "1", .summary = "s", .schemes = "moody",
	.opts = opts, .open = do_open, .close = do_close, .get = do_get, .put = do_put,
};
KB_ENTRY(moody) { host = kb_host_arg; return &moody; }
END
"$CC" -shared -fPIC -D_GNU_SOURCE -I"$srcdir/include" -o "$T/m/kache-moody.so" "$T/moody.c" 2> "$T/log" || sed 's/^/# /' "$T/log"
for n in $(seq 60); do
	"$builddir/tests/cli/mkstore" "$KACHE_CACHE_DIR" p $n > "$T/log"
done
push() { "$KACHE" sync --all --push --backend "moody:?$1" ${2:-} > "$T/out" 2> "$T/err"; }

push mood=transient --json; is $? 0 "failures that pass are repeated"
like "$(cat "$T/out")" '"pushed":\{"planned":60,"done":60,.*"retries":2,"complete":true' "and counted"
push mood=throttled --json; is $? 0 "so is a slow-down"
like "$(cat "$T/out")" '"retries":3,' "after the time the server wants"
push 'mood=restart&retries=1' --json; is $? 0 "a server that restarts is waited for"
like "$(cat "$T/out")" '"pushed":\{"planned":60,"done":60,.*"complete":true' "and nothing is lost"
push 'mood=down&retries=1'; is $? 1 "a server that is down fails it"
like "$(cat "$T/out")" 'pushed 0 .* [12][0-9] failed; gave up$' "after ten objects in a row, not after all"
is "$(grep -c 'sync: push p/' "$T/err")" "$(sed 's/.* \([0-9]*\) failed.*/\1/' "$T/out")" "each is named"
push mood=auth; is $? 1 "a refusal"
like "$(cat "$T/out")" ' 1?[0-9] failed; gave up$' "ends it at once"
like "$(cat "$T/err")" 'sync: push p/[0-9a-f]{12}: 403 with a second line$' "in one line"
push 'mood=stall&transfer-timeout=100ms' ; is $? 1 "a stalled server"
like "$(cat "$T/err")" ': it stalls$' "is left at the deadline"
push 'mood=nice&password=hunter2'; like "$(cat "$T/err")" "mood = 'nice' is not accepted; it takes transient, throttled, down, restart, auth or stall" "a bad value"
push 'password=hunter2&mood=auth'; unlike "$(cat "$T/err" "$T/out")" hunter2 "secrets stay out of messages"
"$KACHE" sync --all --push --backend 'moody://user:hunter2@host/x?mood=auth' > "$T/out" 2>&1; unlike "$(cat "$T/out")" hunter2 "also those before the host"

# Interrupted in the middle of a stalled transfer.
for signal in INT TERM; do
	# A shell's background jobs ignore SIGINT; env -u does not undo that, a fresh default does.
	(exec env --default-signal=INT "$KACHE" sync --all --push --backend 'moody:?mood=stall&transfer-timeout=10m' > "$T/out" 2> "$T/err") &
	pid=$!
	for i in $(seq 100); do		# until the transfers have begun: their files have no name, their threads show
		test "$(ls "/proc/$pid/task" 2> /dev/null | wc -l)" -gt 2 && break
		sleep 0.05
	done
	kill -$signal "$pid"
	wait "$pid"; status=$?
	is "$status" "$(test $signal = INT && echo 130 || echo 143)" "SIG$signal ends it, and the shell sees that"
	is "$(find "$KACHE_CACHE_DIR/tmp" -type f | wc -l | tr -d ' ')" 0 "no litter"
done
finish
