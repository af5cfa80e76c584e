#!/bin/sh
# Several remotes as one, as sync and compiles see them.
. "$(dirname "$0")/../lib/lib.sh"
CC=${CC:-cc}
need "$CC"
test -f "$builddir/backends/fs/.libs/kache-fs.so" || skip_all "the fs backend was left out of this build"
umask 022
mkdir "$T/m"
install -m 755 "$builddir/backends/fs/.libs/kache-fs.so" "$T/m/kache-fs.so"
export KACHE_PLUGIN_PATH="$T/m"

# A server that takes the connection and then says nothing.
cat > "$T/mute.c" <<'END'
#include "kache/backend.h"
#include <poll.h>
#include <time.h>
static const struct kb_host *host;
struct kb_handle { int x; };
static struct kb_handle the_handle;
static int do_open(const kb_conf *c, kb_handle **h, struct kb_limits *l, struct kb_call *k)
{ (void)c; (void)l; (void)k; *h = &the_handle; return KB_OK; }
static void do_close(kb_handle *h) { (void)h; }
static int silence(struct kb_call *k)
{
	struct pollfd p = { k->cancel_fd, POLLIN, 0 };
	struct timespec t;
	for (;;) {
		if (poll(&p, 1, 10) > 0)
			return host->fail(k, KB_E_CANCELLED, "cancelled");
		clock_gettime(CLOCK_MONOTONIC, &t);
		if ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec >= k->deadline_ns)
			return host->fail(k, KB_E_TIMEOUT, "it says nothing");
	}
}
static int do_get(kb_handle *h, struct kb_key n, struct kb_sink *s, struct kb_call *k)
{ (void)h; (void)n; (void)s; return silence(k); }
static int do_put(kb_handle *h, struct kb_key n, struct kb_source *s, const struct kb_put_opts *o, struct kb_call *k)
{ (void)h; (void)n; (void)s; (void)o; return silence(k); }
static const struct kb_backend mute = {
	.magic = KB_MAGIC, .struct_size = sizeof mute, .abi_major = KB_ABI_MAJOR, .threads = KB_THREADS_PARALLEL,
	.caps = KB_CAP_WRITE, .opt_size = sizeof(struct kb_opt), .name = "mute", .version = "1", .summary = "s",
	.schemes = "mute", .open = do_open, .close = do_close, .get = do_get, .put = do_put,
};
KB_ENTRY(mute) { host = kb_host_arg; return &mute; }
END
# A server that has nothing and takes its time.
cat > "$T/late.c" <<'END'
#include "kache/backend.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
struct kb_handle { int x; };
static struct kb_handle the_handle;
static int do_open(const kb_conf *c, kb_handle **h, struct kb_limits *l, struct kb_call *k)
{ (void)c; (void)l; (void)k; *h = &the_handle; return KB_OK; }
static void do_close(kb_handle *h) { (void)h; }
static int do_get(kb_handle *h, struct kb_key n, struct kb_sink *s, struct kb_call *k)
{ (void)h; (void)n; (void)s; (void)k; return KB_MISS; }
static int do_put(kb_handle *h, struct kb_key n, struct kb_source *s, const struct kb_put_opts *o, struct kb_call *k)
{
	FILE *f;
	(void)h; (void)s; (void)o; (void)k;
	usleep(500000);
	f = fopen(getenv("LATE"), "a");
	if (!f)
		return KB_E_LOCAL;
	fprintf(f, "%.*s\n", (int)n.len, n.name);
	fclose(f);
	return KB_OK;
}
static const struct kb_backend late = {
	.magic = KB_MAGIC, .struct_size = sizeof late, .abi_major = KB_ABI_MAJOR, .threads = KB_THREADS_PARALLEL,
	.caps = KB_CAP_WRITE, .opt_size = sizeof(struct kb_opt), .name = "late", .version = "1", .summary = "s",
	.schemes = "late", .open = do_open, .close = do_close, .get = do_get, .put = do_put,
};
KB_ENTRY(late) { (void)kb_host_arg; return &late; }
END
for m in mute late; do
	"$CC" -shared -fPIC -D_GNU_SOURCE -I"$srcdir/include" -o "$T/m/kache-$m.so" "$T/$m.c" 2> "$T/log" || sed 's/^/# /' "$T/log"
done

for n in 1 2 3; do "$builddir/tests/cli/mkstore" "$T/a" p $n > "$T/log"; done
objects() { find "$T/$1" -type f ! -name '.kache~*' 2> /dev/null | wc -l; }
sync() { KACHE_CACHE_DIR="$T/$1" "$KACHE" sync --all "$2" > "$T/out" 2> "$T/err"; }

export KACHE_BACKEND="file://$T/near file://$T/far"
sync a --push; is $? 0 "push to two remotes"
is "$(objects near) $(objects far)" "$(objects near) $(objects near)" "both have the same"
test "$(objects near)" -ge 3; ok $? "and all of it"
rm -r "$T/near/artifacts"
sync b --pull; is $? 0 "pull"
like "$(cat "$T/out")" '^pulled 3 ' "what only the farther one has"
is "$(find "$T/near" -name '*.tar.zst' | wc -l)" 3 "the nearer one is given it"
rm -r "$T/far/artifacts"
sync c --pull; like "$(cat "$T/out")" '^pulled 3 ' "which is enough the next time"

# one of them is away
export KACHE_BACKEND="file://$T/gone?create=false file://$T/near"
sync d --pull; is $? 0 "pull without the nearer one"
like "$(cat "$T/out")" '^pulled 3 ' "works"
like "$(cat "$T/err")" "^kache: warning: sync: going on without file://$T/gone: .*gone" "and that is said"
KACHE_BACKEND="file://$T/gone?create=false file://$T/gone2?create=false" sync d --pull; is $? 1 "without any it fails"
like "$(cat "$T/err")" "^kache: remote file://$T/gone: " "with the first one's reason"

# one says nothing
cat > "$T/c.toml" <<END
[[cache.remotes]]
url = "mute:"
timeout = "150ms"
retries = 0
[[cache.remotes]]
url = "file://$T/near"
END
export KACHE_CONFIG="$T/c.toml"
unset KACHE_BACKEND
sync e --pull; is $? 0 "pull past one that says nothing"
like "$(cat "$T/out")" '^pulled 3 ' "works too"
printf '[cache]\nlocal_only = true\n' >> "$T/c.toml"
sync e --pull; is $? 1 "local_only"
like "$(cat "$T/err")" "no remote is used, for cache.local_only is set" "leaves none"
KACHE_CONFIG='' KACHE_CACHE_DIR="$T/e" KACHE_LOCAL_ONLY=1 "$KACHE" sync --all --backend "file://$T/near" > "$T/out" 2>&1; is $? 0 "but one that is named"

# compiles
if command -v rustc > /dev/null; then
	unset KACHE_CONFIG
	export KACHE_DAEMON=off KACHE_BACKEND="file://$T/r1 file://$T/r2?mode=ro"
	until_true() { for _ in $(seq 200); do "$@" > /dev/null 2>&1 && return 0; sleep 0.05; done; return 1; }
	r1_has() { test "$(objects r1)" -ge "$1"; }
	compile() { KACHE_CACHE_DIR="$T/$1" "$KACHE" rustc --crate-name x --crate-type lib --emit=dep-info,metadata,link --out-dir "$T" "$T/x.rs"; }
	result() { sed -n 's/.*"result":"\([a-z-]*\)".*/\1/p' "$T/$1/events/current.jsonl" | tail -n 1; }
	echo 'pub fn x() {}' > "$T/x.rs"
	compile s1
	runs "a compile stores in the remote that may be written" until_true r1_has 2
	is "$(objects r2)" 0 "and not in the other"
	mkdir -p "$T/r2"; mv "$T/r1/artifacts" "$T/r2/"
	compile s2
	is "$(result s2)" hit "a hit from the other"
	runs "goes to the first one" until_true r1_has 2
	# The child that looked ends only when what it found has arrived there.
	export LATE="$T/late"
	KACHE_BACKEND="late: file://$T/r2?mode=ro" compile s3
	is "$(result s3)" hit "a hit from behind a slow one"
	late_has() { test "$(wc -l < "$LATE")" -ge 2; }
	runs "goes there all the same" until_true late_has
	like "$(cat "$LATE")" '\.tar\.zst$' "the outputs with it"
	ended() {
		for p in /proc/[0-9]*; do
			tr '\0' ' ' < "$p/cmdline" | grep -q "^[^ ]*kache-daemon --cache-dir $T/" && return 1
		done
		return 0
	}
	runs "then nothing is left running" until_true ended
fi
finish
