#!/bin/sh
# The daemon: started on demand, one per cache directory, replaced when settings change, resumed after a kill; a build
# goes on whatever becomes of it.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/servers.sh"
need rustc python3
test -f "$builddir/backends/fs/.libs/kache-fs.so" || skip_all "the fs backend was left out of this build"
mkdir "$T/modules" "$T/p" "$T/remote"
install -m 755 "$builddir/backends/fs/.libs/kache-fs.so" "$T/modules/kache-fs.so"
export KACHE_PLUGIN_PATH="$T/modules" KACHE_BACKEND="file://$T/remote"
cd "$T/p" || exit 99

# compile NAME TEXT: one library; its event is in $ev
compile() {
	printf '%s\n' "$2" > "$1.rs"
	rm -rf "$T/out" && mkdir "$T/out"
	"$KACHE" rustc --crate-name "$1" --crate-type lib --emit=dep-info,metadata,link --out-dir "$T/out" "$1.rs" > "$T/log" 2>&1
	code=$?
	ev=$(sed -n 's/.*"result":"\([a-z-]*\)".*"crate":"'"$1"'".*/\1/p' "$KACHE_CACHE_DIR/events/current.jsonl" | tail -n 1)
}
remote_objects() { find "$T/remote" -type f ! -name '.kache~*' | wc -l; }
until_true() { # until_true COMMAND…: at most ten seconds
	for _ in $(seq 200); do "$@" > /dev/null 2>&1 && return 0; sleep 0.05; done
	return 1
}
objects_are() { test "$(remote_objects)" -ge "$1"; }
queue_empty() { test -z "$(ls "$KACHE_CACHE_DIR/queue" 2> /dev/null)"; }
daemon_pid() { "$KACHE" daemon status --json | sed -n 's/.*"pid":\([0-9]*\).*/\1/p'; }
end_daemon() { KACHE_CACHE_DIR=$1 "$KACHE" daemon stop > /dev/null 2>&1; }
# In place of servers.sh's: daemons outlive their starter.
servers_end() { for d in "$T"/cache*; do end_daemon "$d"; done; }

out=$("$KACHE" daemon status 2>&1); ok $((! $?)) "no daemon yet"
like "$out" "^no daemon is running for $T/cache" "and status says so"
compile a 'pub fn a() {}'
is "$code/$ev" "0/miss" "a compile with a remote"
runs "started a daemon" "$KACHE" daemon status
pid=$(daemon_pid)
runs "which sends pack and manifest" until_true objects_are 2
runs "and clears the queue" until_true queue_empty
compile b 'pub fn b() {}'
is "$(daemon_pid)" "$pid" "the next compile asks the same daemon"
until_true objects_are 4

# another machine
export KACHE_CACHE_DIR="$T/cache2"
compile a 'pub fn a() {}'
is "$code/$ev" "0/hit" "an empty cache directory has a hit from the remote"
like "$(cat "$KACHE_CACHE_DIR/events/current.jsonl")" '"reason":"remote"' "which counts as the remote's"
runs "the artifact is there" test -s "$T/out/liba.rlib"
end_daemon "$T/cache2"
compile a 'pub fn a() {}'
is "$code/$ev" "0/hit" "the next one is local"
out=$("$KACHE" daemon status 2>&1); ok $((! $?)) "and starts no daemon"
out=$("$KACHE" stats)
like "$out" "^Remote +file://$T/remote: ok" "stats knows the remote"
like "$out" '^ +2 hits, ' "and its hits: a manifest and a pack"

# without a daemon
rm -rf "$T/cache3"
export KACHE_CACHE_DIR="$T/cache3"
KACHE_DAEMON=off compile b 'pub fn b() {}'
is "$code/$ev" "0/hit" "KACHE_DAEMON=off: a child answers"
before=$(remote_objects)
KACHE_DAEMON=off compile c 'pub fn c() {}'
is "$code/$ev" "0/miss" "and sends what is new"
runs "in the background" until_true objects_are $((before + 2))
out=$("$KACHE" daemon status 2>&1); ok $((! $?)) "no daemon runs"

# killed with work to do
export KACHE_CACHE_DIR="$T/cache"
pid=$(daemon_pid)
kill -STOP "$pid"
before=$(remote_objects)
started=$(date +%s)
compile d 'pub fn d() {}'
is "$code/$ev" "0/miss" "a stuck daemon: the compile goes on"
like "$(cat "$T/log")" '^kache: warning: remote cache: the daemon does not answer in time; going on with the local one' "with one warning"
is "$(wc -l < "$T/log")" 1 "and no other"
KACHE_DAEMON=require compile r 'pub fn r() {}'
is "$code/$ev" "0/miss" "also where the daemon is required"
like "$(cat "$T/log")" '^kache: warning: remote cache: the daemon does not answer in time \(cache.daemon is require\); going on with the local one$' "which says so each time"
runs "the breaker is noted" test -f "$T/cache/daemon.down"
compile e 'pub fn e() {}'
is "$code/$ev/$(wc -l < "$T/log")" "0/miss/0" "the next compile does not ask it again"
kill -KILL "$pid"
kill -CONT "$pid" 2> /dev/null
is "$(ls "$T/cache/queue" | wc -l)" 3 "killed, it leaves their records"
rm "$T/cache/daemon.down"
compile f 'pub fn f() {}'
is "$code/$ev" "0/miss" "the next compile starts another"
runs "which sends those of the dead one too" until_true objects_are $((before + 8))
runs "until none is left" until_true queue_empty

# other settings
pid=$(daemon_pid)
mkdir "$T/other"
KACHE_BACKEND="file://$T/other" compile g 'pub fn g() {}'
is "$code/$ev" "0/miss" "a compile with another remote"
is "$(daemon_pid)" "$pid" "leaves a young daemon alone"
runs "and is served by a child of its own" until_true test -d "$T/other/artifacts"
is "$(remote_objects)" "$((before + 8))" "nothing of it went to the first remote"

# many at once
rm -rf "$T/cache4"
export KACHE_CACHE_DIR="$T/cache4"
printf 'pub fn many() {}\n' > many.rs
for i in $(seq 24); do
	(mkdir -p "$T/many/$i" && "$KACHE" rustc --crate-name many --crate-type lib --emit=link --out-dir "$T/many/$i" many.rs; echo $? >> "$T/codes") > /dev/null 2>&1 &
done
wait
is "$(sort "$T/codes" | uniq -c | tr -s ' ')" " 24 0" "24 compiles at once find or start one daemon"
is "$(grep -c ' begins ' "$T/cache4/daemon.log")" 1 "one"

# what is not of ours on the socket
cat > "$T/garbage.py" <<'PY'
import os, socket, struct, sys
path = sys.argv[1]
def talk(data):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(path)
    s.sendall(data)
    got = b""
    try:
        while len(got) < 12:
            piece = s.recv(4096)
            if not piece:
                break
            got += piece
    except OSError:
        pass
    s.close()
    return struct.unpack("<H", got[6:8])[0] if len(got) >= 12 else None
head = lambda version, op, n, ms: b"KCHD" + struct.pack("<HHII", version, op, n, ms) + bytes(32)
print(talk(b"GET / HTTP/1.1\r\n\r\n"), talk(head(1, 6, 4000000000, 0)), talk(head(2, 6, 36, 0) + bytes(36)),
      talk(head(1, 99, 36, 0) + bytes(36)), talk(head(1, 2, 36 + 2, 0) + bytes(32) + struct.pack("<I", 2) + b"/."),
      talk(head(1, 6, 36, 0) + bytes(36) + b"more"), talk(head(1, 6, 36, 0) + bytes(36)))
PY
is "$(python3 "$T/garbage.py" "$T/cache4/daemon.sock")" "7 7 6 7 7 7 0" "garbage is turned away by name, a good request is answered"
is "$(stat -c %a "$T/cache4/daemon.sock")" 600 "the socket is its owner's"

# by command
runs "stop" "$KACHE" daemon stop
out=$("$KACHE" daemon stop); ok $? "stop again is no error"
like "$out" 'no daemon is running' "and says why"
runs "start" "$KACHE" daemon start
pid=$(daemon_pid)
runs "start again" "$KACHE" daemon start
is "$(daemon_pid)" "$pid" "keeps it"
runs "restart" "$KACHE" daemon restart
out=$(daemon_pid)
ok $((out == pid)) "is another process"
like "$("$KACHE" daemon log)" ' begins ' "log"
is "$("$KACHE" daemon log -n 1 | wc -l)" 1 "log -n 1"
"$KACHE" daemon stop
KACHE_DAEMON_IDLE=1 "$KACHE" daemon start
pid=$(daemon_pid)
runs "one without work ends by itself" until_true sh -c "! kill -0 $pid"
like "$("$KACHE" daemon log -n 3)" ' ends$' "in good order"
"$KACHE" daemon bogus > /dev/null 2>&1; is $? 2 "an unknown verb is a usage error"

# a service
out=$(PATH="$builddir:$PATH" "$KACHE" daemon install 2>&1); ok $? "install"
unit=$XDG_CONFIG_HOME/systemd/user/kache-daemon.service
like "$(cat "$unit")" "^ExecStart=\"$builddir/kache\" daemon run\$" "writes a unit"
like "$(cat "$unit")" "^Environment=\"KACHE_CACHE_DIR=$T/cache4\"\$" "for this cache directory"
out=$("$KACHE" daemon uninstall 2>&1); ok $? "uninstall"
ok "$(test ! -e "$unit"; echo $?)" "removes it"

# a path that is too long for a socket address
long=$T/cache5/$(printf 'x%.0s' $(seq 120))
mkdir -p "$long"
export KACHE_CACHE_DIR="$long"
compile h 'pub fn h() {}'
is "$code/$ev" "0/miss" "a very long cache directory"
runs "has its daemon too" "$KACHE" daemon status
"$KACHE" daemon stop
finish
