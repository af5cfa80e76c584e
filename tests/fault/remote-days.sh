#!/bin/sh
# Bad days of a remote, as a build sees them: whatever is wrong with it, the compile ends as it would without a cache,
# stats and doctor say what to mend, and no secret appears anywhere.
. "$(dirname "$0")/../lib/lib.sh"
. "$(dirname "$0")/../lib/servers.sh"
. "$(dirname "$0")/../lib/servers/redis.sh"
need rustc python3 redis-server openssl
mkdir "$T/modules" "$T/p"
for b in fs redis http s3; do
	test -f "$builddir/backends/$b/.libs/kache-$b.so" || skip_all "the $b backend was left out of this build"
	install -m 755 "$builddir/backends/$b/.libs/kache-$b.so" "$T/modules/"
done
export KACHE_PLUGIN_PATH="$T/modules" KACHE_REMOTE_TIMEOUT=1s
cd "$T/p" || exit 99
stop_daemons() { for d in "$T"/c.*; do KACHE_CACHE_DIR=$d "$KACHE" daemon stop > /dev/null 2>&1; done; }
test_end() { stop_daemons; servers_end; umount "$T/c.disk" "$T/disk" 2> /dev/null; chmod -R u+rwX "$T" 2> /dev/null; rm -rf "$T"; }

# compile NAME: one library named so, with what it says in the file; its event is in $ev, what was said in $T/log
compile() {
	printf 'pub fn %s() -> &%sstatic str { "%s" }\n' "$1" "'" "$1" > "$1.rs"
	rm -rf "$T/out" && mkdir "$T/out"
	"$KACHE" rustc --crate-name "$1" --crate-type lib --emit=dep-info,metadata,link --out-dir "$T/out" "$1.rs" > "$T/log" 2>&1
	code=$?
	cat "$T/log" >> "$T/said"
	test -s "$T/out/lib$1.rlib" || code="$code, nothing made"
	ev=$(sed -n 's/.*"result":"\([a-z-]*\)".*"crate":"'"$1"'".*/\1/p' "$KACHE_CACHE_DIR/events/current.jsonl" | tail -n 1)
}
queue_empty() { test -z "$(ls "$KACHE_CACHE_DIR/queue")"; }
until_true() { for _ in $(seq 200); do "$@" > /dev/null 2>&1 && return 0; sleep 0.05; done; return 1; }
stats_say() { "$KACHE" stats | grep -Eq -e "$1"; }
# day NAME URL REGEX: a compile on such a day is a miss; stats comes to say REGEX, so does doctor; one warning at most
day() {
	export KACHE_CACHE_DIR="$T/c.$1" KACHE_BACKEND="$2"
	compile "$1"
	is "$code/$ev" "0/miss" "$1: the build goes on"
	ok "$(test "$(grep -c . "$T/log")" -le 1; echo $?)" "$1: with one warning at most"
	compile "$1_again"
	is "$code/$ev" "0/miss" "$1: and on"
	if ! until_true stats_say "$3"; then ok 1 "$1: stats says so"; "$KACHE" stats | tail -n 4 | sed 's/^/# /'; else ok 0 "$1: stats says so"; fi
	out=$("$KACHE" doctor 2>&1); status=$?
	ps -eo args >> "$T/said"
	printf '%s\n' "$out" >> "$T/said"
	like "$out" "$3" "$1: so does doctor"
	ok $((status == 0)) "$1: by its exit status too"
	"$KACHE" daemon stop > /dev/null 2>&1
}

server() { # server MODE: starts it; its port is in $p
	p=$(server_port)
	server_start "$1" python3 "$srcdir/tests/lib/servers/bad-server.py" "$1" "$p" "$T/connections.$1"
	server_ready "$1" server_listens "$p"
	: > "$T/connections.$1"
}

# ---- nobody, nothing, nonsense ----
day refused "redis://127.0.0.1:$(server_port)" '[Cc]onnection refused'
server hole
day hole "redis://127.0.0.1:$p" 'does not answer in time'
ok $(($(grep -c x "$T/connections.hole") > 12)) "a black hole is left alone after a few tries"
server garbage
day garbage "redis://127.0.0.1:$p" "does not speak Redis's protocol"
server reset
day reset "http://127.0.0.1:$p" 'closed the connection'
server busy
day busy "http://127.0.0.1:$p" 'status 503'
server throttle
day throttle "http://127.0.0.1:$p" 'status 429'
server stall
day stall "http://127.0.0.1:$p" 'does not answer in time|in the middle'

# ---- rights ----
p=$(server_port)
cat > "$T/acl" <<'END'
user default off
user reader on >canary-reader ~* &* +@all -@write -set -setex -getex +acl
END
redis_tcp rights "$p" --aclfile "$T/acl" || skip_all "redis-server does not start"
day wrong "redis://reader:canary-wrong@127.0.0.1:$p" 'user or password is wrong \(options user, password\)'
export KACHE_CACHE_DIR="$T/c.readonly" KACHE_BACKEND="redis://reader:canary-reader@127.0.0.1:$p"
compile readonly
is "$code/$ev" "0/miss" "read-only: the build goes on"
out=$("$KACHE" doctor 2>&1); like "$out" 'read-only|not written' "doctor tells that it is read-only"
"$KACHE" daemon stop > /dev/null 2>&1
keys="access-key=canary-id&secret-key=canary-secret"
day nobody "s3://bucket/x?endpoint=http://127.0.0.1:$(server_port)&$keys" "can't be connected to"
server s3-nobucket
day bucket "s3://bucket/x?endpoint=http://127.0.0.1:$p&$keys" 'there is no such bucket \(option bucket\)'
server s3-expired
day expired "s3://bucket/x?endpoint=http://127.0.0.1:$p&$keys&session-token=canary-token" 'the session token has expired \(option session-token\)'
server no-put
export KACHE_CACHE_DIR="$T/c.put" KACHE_BACKEND="http://127.0.0.1:$p"
compile put
is "$code/$ev" "0/miss" "403 on put only: the build goes on"
until_true stats_say '403'
out=$("$KACHE" stats); like "$out" 'status 403, these credentials may not write \(mode = "ro"' "stats tells"
out=$("$KACHE" doctor 2>&1); like "$out" 'writes disabled by the last build.*status 403, these credentials may not write' "doctor too"
"$KACHE" daemon stop > /dev/null 2>&1

# ---- a clock that is an hour behind the server's: corrected, so that this is a day like any other ----
server s3-skew
export KACHE_BACKEND="s3://bucket/x?endpoint=http://127.0.0.1:$p&$keys" KACHE_CACHE_DIR="$T/c.skew"
compile skewed
is "$code/$ev" "0/miss" "clock: the first build"
until_true queue_empty
"$KACHE" daemon stop > /dev/null 2>&1
export KACHE_CACHE_DIR="$T/c.skew2"
compile skewed
is "$code/$ev" "0/hit" "clock: the next one hits"

# ---- a certificate that does not verify ----
if test_certificates; then
	p=$(server_port)
	redis_run tls --port 0 --tls-port "$p" --tls-cert-file "$T/server.pem" --tls-key-file "$T/server.key" --tls-ca-cert-file "$T/ca.pem" --tls-auth-clients no
	server_ready tls server_listens "$p"
	day certificate "rediss://localhost:$p" 'its certificate does not verify'
fi

# ---- a full server ----
p=$(server_port)
redis_tcp full "$p" --maxmemory 1mb --maxmemory-policy noeviction
export KACHE_CACHE_DIR="$T/c.full" KACHE_BACKEND="redis://127.0.0.1:$p"
compile full
is "$code/$ev" "0/miss" "full: the build goes on"
if until_true stats_say 'its memory is full \(maxmemory\)'; then ok 0 "full: stats says so"; else ok 1 "full: stats says so"; "$KACHE" stats | tail -n 3 | sed 's/^/# /'; fi
ok "$(test -n "$(ls "$T/c.full/queue")"; echo $?)" "full: what could not be sent waits"
"$KACHE" daemon stop > /dev/null 2>&1

# ---- a server that restarts ----
p=$(server_port)
redis_tcp restart "$p"
export KACHE_CACHE_DIR="$T/c.restart" KACHE_BACKEND="redis://127.0.0.1:$p"
compile before
is "$code/$ev" "0/miss" "restart: before"
until_true queue_empty
server_stop restart
compile while_down
is "$code/$ev" "0/miss" "restart: while it is down"
redis_tcp restart "$p"
"$KACHE" daemon restart
runs "restart: what waited is sent when it is back" until_true queue_empty
is "$(redis-cli -p "$p" dbsize | tr -d '\r')" 2 "restart: a pack and a manifest"

# ---- damaged objects ----
mkdir "$T/shared"
export KACHE_BACKEND="file://$T/shared" KACHE_CACHE_DIR="$T/c.first"
compile damaged
until_true sh -c "test -n \"\$(find '$T/shared' -name '*.tar.zst')\""
until_true queue_empty
pack=$(find "$T/shared" -name '*.tar.zst' -path '*damaged*')
manifest=$(find "$T/shared/artifacts/_m" -type f -path '*damaged*')
good=$(cksum < "$pack")
for how in flipped truncated empty foreign; do
	cp "$pack" "$T/pack.good"
	case $how in
	flipped) printf '\377' | dd of="$pack" bs=1 seek=$(($(stat -c %s "$pack") / 2)) conv=notrunc 2> "$T/dd" ;;
	truncated) truncate -s $(($(stat -c %s "$pack") / 2)) "$pack" ;;
	empty) : > "$pack" ;;
	foreign) echo 'something else' > "$pack" ;;
	esac
	export KACHE_CACHE_DIR="$T/c.$how"
	compile damaged
	is "$code/$ev" "0/miss" "$how pack: compiled, not used"
	mended() { test "$(cksum < "$pack")" = "$good" || { test -s "$pack" && zstd -qt "$pack" 2> "$T/zstd"; }; }
	runs "$how pack: a good one takes its place" until_true mended
	"$KACHE" daemon stop > /dev/null 2>&1
	out=$("$KACHE" doctor --verify --checksums 2>&1); like "$out" 'store|blob' "$how pack: the store"
	unlike "$out" 'damaged|missing blob' "$how pack: is sound"
	cp "$T/pack.good" "$pack"
done
cp "$manifest" "$T/manifest.good"
for how in garbage empty truncated; do
	case $how in
	garbage) head -c 3000 /dev/urandom > "$manifest" ;;
	empty) : > "$manifest" ;;
	truncated) head -c 100 "$T/manifest.good" > "$manifest" ;;
	esac
	export KACHE_CACHE_DIR="$T/c.manifest.$how"
	compile damaged
	is "$code/$ev" "0/miss" "$how manifest: compiled, not used"
	"$KACHE" daemon stop > /dev/null 2>&1
	cp "$T/manifest.good" "$manifest"
done
export KACHE_CACHE_DIR="$T/c.last"
compile damaged
is "$code/$ev" "0/hit" "after all that, the good ones hit"

# ---- a full disk on either side ----
small() { # small DIR SIZE: an empty file system of that size
	mkdir "$1" && mount -t tmpfs -o "size=$2" tmpfs "$1" 2> /dev/null
}
if small "$T/c.disk" 600k && small "$T/disk" 4k; then
	export KACHE_BACKEND="file://$T/disk" KACHE_CACHE_DIR="$T/c.remotedisk"
	compile disk
	is "$code/$ev" "0/miss" "full disk there: the build goes on"
	runs "full disk there: stats says so" until_true stats_say '[Nn]o space'
	is "$(find "$T/disk" -type f -path '*artifacts*' -size +0 | wc -l)" 0 "full disk there: nothing half-written stays"
	"$KACHE" daemon stop > /dev/null 2>&1
	export KACHE_BACKEND="file://$T/shared" KACHE_CACHE_DIR="$T/c.disk"
	compile disk
	is "$code" 0 "full disk here: before it is full"
	head -c 1M /dev/zero > "$T/c.disk/fill" 2> /dev/null
	compile damaged
	is "$code" 0 "full disk here: the build goes on"
	ok "$(test "$(grep -c . "$T/log")" -le 1; echo $?)" "full disk here: with one warning at most"
	"$KACHE" daemon stop > /dev/null 2>&1
else
	echo "# small file systems can't be mounted here"
fi

# ---- two hundred at once ----
# Patience enough for a machine that has more to do than this.
export KACHE_CACHE_DIR="$T/c.crowd" KACHE_REMOTE_TIMEOUT=60s
crowd=
for i in $(seq 200); do
	(mkdir -p "$T/crowd/$i" && "$KACHE" rustc --crate-name damaged --crate-type lib --emit=dep-info,metadata,link --out-dir "$T/crowd/$i" damaged.rs > "$T/crowd/$i.log" 2>&1; echo $? >> "$T/codes") &
	crowd="$crowd $!"
done
wait $crowd
is "$(sort "$T/codes" | uniq -c | tr -s ' ')" " 200 0" "two hundred compiles at once"
is "$(cat "$T"/crowd/*.log | sort | uniq -c | head -n 3)" "" "say nothing"
is "$(cat "$T"/crowd/*/libdamaged.rlib | wc -c)" $((200 * $(stat -c %s "$T/crowd/1/libdamaged.rlib"))) "and all have their library"
stop_daemons

# ---- no secret anywhere ----
is "$(grep -rl 'canary-' "$T"/c.* "$T/said" 2> /dev/null | wc -l)" 0 "no password in logs, records, accounts, messages"
finish
