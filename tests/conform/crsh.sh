#!/bin/sh
# The crsh backend with helpers of our own: a directory served by a program in Python.
. "$(dirname "$0")/../lib/lib.sh"
need python3 install
module=$builddir/backends/crsh/.libs/kache-crsh.so
test -f "$module" || skip_all "the crsh backend was left out of this build"
mkdir "$T/modules" "$T/bin" "$T/store"
install -m 755 "$module" "$T/modules/kache-crsh.so"
install -m 755 "$srcdir/tests/lib/servers/crsh-helper.py" "$T/bin/ccache-storage-dir"
export KACHE_PLUGIN_PATH="$T/modules" KACHE_REMOTE_RETRIES=0 PATH="$T/bin:$PATH"
# Helpers outlive those who start them: each is ended here.
servers_end() {
	cat "$T"/*/starts 2> /dev/null | while read -r pid; do
		grep -aq ccache-storage-dir "/proc/$pid/cmdline" 2> /dev/null && kill -KILL "$pid"
	done
}
call() { "$builddir/tests/conform/remote-call" "$1" 2>&1; }
starts() { wc -l < "$T/$1/starts" | tr -d ' '; }
settings="idle-timeout=30s"
url="crsh:dir:$T/store"

is "$(call "$url?$settings" <<'END'
get k/a
put k/a 0
get k/a
put k/a 3000000
get k/a
del k/a
get k/a
del k/a
END
)" "get k/a miss
put k/a ok
get k/a 0 bytes
put k/a ok
get k/a 3000000 bytes
del k/a ok
get k/a miss
del k/a ok" "objects come and go"
is "$(starts store)" 1 "by one helper"
call "$url?$settings" < /dev/null
is "$(starts store)" 1 "that serves the next process too"
like "$(cat "$T/store/settings")" "^url dir:$T/store$" "it is given its URL"
like "$(cat "$T/store/settings")" '^descriptors *$' "and no descriptors"
is "$(stat -c %a "$XDG_RUNTIME_DIR/kache-crsh")" 700 "its socket is in a directory of one's own"
like "$(echo 'put k/x 5' | call "$url?$settings"; ls "$T/store/objects")" '^[0-9a-f]{64}$' "names are hashes"

runs "the kit" "$builddir/kache-conform" "$module" -o "url=$url" -o idle-timeout=30s
runs "the kit: with exists" "$builddir/kache-conform" "$module" -o "url=$url" -o idle-timeout=30s -o "attributes=caps=0,1,2"

# a helper that dies
kill -KILL "$(tail -n 1 "$T/store/starts")"
is "$(printf 'put k/b 10\nget k/b\n' | call "$url?$settings&attributes=caps=0,1,2")" "put k/b ok
get k/b 10 bytes" "one that was killed, and left its socket, is started again"
mkfifo "$T/to"
call "$url?$settings" < "$T/to" > "$T/from" &
caller=$!
exec 8> "$T/to"
answer() { i=0; while test $i -lt 400 && test "$(wc -l < "$T/from")" -lt "$1"; do sleep 0.05; i=$((i + 1)); done; }
echo 'put k/c 10' >&8; answer 1
before=$(starts store)
kill_helpers() { while read -r pid; do grep -aq ccache-storage-dir "/proc/$pid/cmdline" 2> /dev/null && kill -KILL "$pid"; done < "$T/store/starts"; }
kill_helpers
echo 'put k/d 10' >&8; answer 2
echo 'get k/d' >&8; answer 3
exec 8>&-
wait "$caller"
is "$(cat "$T/from")" "put k/c ok
put k/d ok
get k/d 10 bytes" "during a connection too, and nobody notices"
is "$(starts store)" $((before + 1)) "by one more start"

# many at once
kill_helpers
before=$(starts store)
for i in 1 2 3 4 5 6 7 8; do printf 'put m/%s 1000\nget m/%s\n' $i $i | call "$url?$settings" > "$T/many.$i" & done
wait
is "$(cat "$T"/many.* | grep -c ' 1000 bytes$')" 8 "eight processes at once"
is "$(starts store)" $((before + 1)) "start one helper"

# idle
mkdir "$T/idle"
call "crsh:dir:$T/idle?idle-timeout=1s" < /dev/null
pid=$(tail -n 1 "$T/idle/starts")
i=0; while kill -0 "$pid" 2> /dev/null && test $i -lt 400; do sleep 0.05; i=$((i + 1)); done
ok "$(test $i -lt 400; echo $?)" "an idle helper ends"

# settings
mkdir "$T/set"
KACHE_CRSH_ATTRIBUTES='token=canary%20one layout=flat' call "crsh:dir:$T/set?$settings&query=sig%3Dcanary%26v%3D1" < /dev/null
is "$(grep -v descr "$T/set/settings")" "url dir:$T/set?sig=canary&v=1
attribute token is canary one
attribute layout is flat" "attributes and query reach the helper"
is "$(ls "$XDG_RUNTIME_DIR/kache-crsh" | grep -c canary)" 0 "and no name of a file"

# helpers that misbehave
bad() { # bad ATTRIBUTES COMMANDS
	mkdir -p "$T/bad"
	printf '%b' "$2" | call "crsh:dir:$T/bad?$settings&timeout=2s&attributes=$1"
}
like "$(bad version=2 '')" '^open: .*speaks version 2 of the protocol, not 1' "another version"
like "$(bad caps= '')" "^open: .*can't get, put and remove" "no capabilities"
like "$(bad start=exit '')" '^open: .*ccache-storage-dir ended as soon as it was started' "one that ends at once"
like "$(bad put=error:disk%20on%20fire 'put k/a 10\n')" '^put k/a transient: the helper says: disk on fire' "an error is passed on"
like "$(bad get=error:HTTP%20status%20403 '')" '^open: .*the helper says: HTTP status 403' "one of the server's"
like "$(bad put=error:HTTP%20status%20403 'put k/a 10\n')" '^put k/a (auth|denied).*: the helper says: HTTP status 403' "which says that one may not"
out=$(bad put=error:with%20secretcanary%20in%20it%20token=secretcanary 'put k/a 10\n'); unlike "$out" secretcanary "a secret in a message is not shown"
like "$out" '^put k/a transient: .*holds a secret' "but said to be there"
like "$(bad put=noop 'put k/a 10\n')" '^put k/a unsupported: the helper does not store' "one that stores nothing"
like "$(bad put=garbage 'put k/a 10\nput k/b 10\n')" '^put k/a transient: .*does not keep to the protocol' "garbage"
like "$(bad remove=close 'del k/a\n')" '^del k/a transient: .*closed the connection' "a closed connection"
like "$(bad put=hang 'put k/a 10\n')" '^put k/a timeout' "one that hangs"
like "$(bad caps=0,2%20get=cut 'get k/a\n')" '^get k/a transient: .*closed the connection' "half a value"
like "$(bad caps=0,2%20get=hang 'get k/a\n')" '^get k/a timeout' "no value"

# which program
like "$(call "crsh:nosuch://host" < /dev/null)" '^open: .*helper: there is no ccache-storage-nosuch in .*PATH' "no helper for a scheme"
is "$(printf 'put k/a 1\n' | call "crsh:other:$T/store?$settings&helper=ccache-storage-dir")" "put k/a ok" "one by its name"
is "$(printf 'put k/a 1\n' | call "crsh:other:$T/store?$settings&helper=$T/bin/ccache-storage-dir")" "put k/a ok" "by its path"
cp "$T/bin/ccache-storage-dir" "$T/bin/open-to-all"; chmod 777 "$T/bin/open-to-all"
like "$(call "$url?helper=$T/bin/open-to-all" < /dev/null)" '^open: .*others may change it' "not one that others may change"
cp "$T/bin/ccache-storage-dir" "$T/bin/plain"; chmod 644 "$T/bin/plain"
like "$(call "$url?helper=$T/bin/plain" < /dev/null)" "^open: .*can't be executed" "nor one that can't be executed"
printf '#!/no/such/interpreter\n' > "$T/bin/broken"; chmod 755 "$T/bin/broken"
like "$(call "$url?helper=$T/bin/broken" < /dev/null)" '^open: .*broken: No such file' "nor one without its interpreter"
like "$(call "$url?helper=a/b" < /dev/null)" '^open: .*neither an absolute path nor' "nor a relative path"
like "$(call "crsh:host/path" < /dev/null)" '^open: .*crsh: is followed by the URL' "a URL without one for the helper"
mkdir "$T/project"
printf '[cache.remote]\nurl = "crsh:dir:/tmp"\n' > "$T/project/.kache.toml"
out=$(cd "$T/project" && "$KACHE" config check 2>&1); ok $((! $?)) "a project's file can't make one run"
like "$out" 'cache.remote' "and it is told why"

# a helper that somebody else has started
mkdir "$T/own"
CRSH_IPC_ENDPOINT=$T/own/s CRSH_URL=dir:$T/own CRSH_NUM_ATTR=0 CRSH_IDLE_TIMEOUT=60 "$T/bin/ccache-storage-dir" &
i=0; while ! test -S "$T/own/s" && test $i -lt 400; do sleep 0.05; i=$((i + 1)); done
is "$(printf 'put k/a 20\nget k/a\n' | call "crsh://$T/own/s" | tail -n 1)" "get k/a 20 bytes" "a socket by its path"
like "$(call "crsh://$T/own/none" < /dev/null)" '^open: .*no helper listens on' "nobody there"
like "$(call "crsh://$T/own/s?attributes=a=b" < /dev/null)" '^open: .*attributes: for a helper that is started' "attributes for nobody"

# sync
"$builddir/tests/cli/mkstore" "$T/cache1" my_app one > "$T/out"
like "$(KACHE_CACHE_DIR=$T/cache1 "$KACHE" sync --all --push --backend "$url?$settings" 2>&1)" '^pulled 0 .*, pushed 1 .*, 0 failed$' "sync --push"
finish
