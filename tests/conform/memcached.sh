#!/bin/sh
# The memcached backend against real servers: TCP, socket, several, SASL, password file, limits, TTL.
. "$(dirname "$0")/../lib/lib.sh"
. "$(dirname "$0")/../lib/servers.sh"
. "$(dirname "$0")/../lib/servers/memcached.sh"
need memcached
module=$builddir/backends/memcached/.libs/kache-memcached.so
test -f "$module" || skip_all "the memcached backend was left out of this build"
mkdir "$T/modules"
install -m 755 "$module" "$T/modules/kache-memcached.so"
export KACHE_PLUGIN_PATH="$T/modules" KACHE_REMOTE_RETRIES=0

call() { "$builddir/tests/conform/remote-call" "$1" 2>&1; }
lines() { local i; for ((i = 1; i <= $1; i++)); do echo "$2 k/$i ${3:-}"; done; }
kit() { runs "the kit: $1" "$builddir/kache-conform" "$module" "${@:2}"; }
# One command and its answer, in the text protocol.
ask() {
	exec 9<> "/dev/tcp/127.0.0.1/$1"
	printf '%s\r\nquit\r\n' "$2" >&9
	tr -d '\r' <&9
	exec 9>&-
}
items() { ask "$1" stats | sed -n 's/^STAT curr_items //p'; }

# one server
port=$(server_port); memcached_tcp one "$port" || skip_all "memcached does not start"
url=memcached://127.0.0.1:$port
is "$(call "$url" <<'END'
get k/a
put k/a 0
get k/a
put k/a 100000
get k/a
del k/a
get k/a
del k/a
END
)" "get k/a miss
put k/a ok
get k/a 0 bytes
put k/a ok
get k/a 100000 bytes
del k/a ok
get k/a miss
del k/a ok" "objects come and go"
out=$(printf 'put k/large 5000000\nget k/large\n' | call "$url")
like "$out" '^get k/large 5000000 bytes$' "one of more than an item holds travels in pieces"
like "$(ask "$port" 'mg kache:artifacts/k/large s')" '^HD s' "and lies under its own name"
kit text -o "url=$url"
kit binary -o "url=$url" -o protocol=binary
for protocol in text binary; do
	kit "faults, $protocol" --group faults --proxy "127.0.0.1:$port" -o url=memcached://%proxy% -o "protocol=$protocol"
done

# what fits into an item fits, and what does not is not sent
for size in 512k 1m 2m 8m; do
	p=$(server_port); memcached_tcp "size-$size" "$p" -m 256 -I "$size"
	for protocol in text binary; do
		u="memcached://127.0.0.1:$p?protocol=$protocol&chunk=off"
		max=$(echo limits | call "$u" | sed -n 's/.*max_object=\([0-9]*\).*/\1/p')
		is "$(printf 'put %s %s\nget %s\nput %s %s\nget %s\n' k/x "$max" k/x k/x $((max + 1)) k/x | call "$u" | sed 's/: .*//')" "put k/x ok
get k/x $max bytes
put k/x too big
get k/x $max bytes" "-I $size: learned, $max bytes fit, with the $protocol protocol"
	done
	server_stop "size-$size"
done

# TTL
printf 'put k/day 10 86400\nput k/year 10 31536000\nput k/ever 10\n' | call "$url" > "$T/out"
ttl() { ask "$port" "mg kache:artifacts/$1 t" | sed -n 's/^HD t//p'; }
# The server's clock ticks once a second, so it may say a second more than it was told.
about() { local left; left=$(ttl "$1"); test "$left" -gt $(($2 - 600)) && test "$left" -lt $(($2 + 60)); }
about k/day 86400; ok $? "a TTL of a day"
about k/year 31536000; ok $? "of a year, which the server wants as a date"
is "$(ttl k/ever)" -1 "none"
echo 'put k/set 10' | call "$url?ttl=5000000&protocol=binary" > "$T/out"
about k/set 5000000; ok $? "one of the settings, in the binary protocol"

# something else under our name
exec 9<> "/dev/tcp/127.0.0.1/$port"
printf 'set kache:artifacts/k/alien 0 0 30\r\nfrom some other program........\r\nset kache:artifacts/k/tiny 0 0 1\r\nx\r\nquit\r\n' >&9
like "$(tr -d '\r' <&9)" STORED "another program stores something under a name of ours"
exec 9>&-
is "$(printf 'get k/alien\nget k/tiny\nput k/alien 5\nget k/alien\n' | call "$url" | grep -v warning)" "get k/alien miss
get k/tiny miss
put k/alien ok
get k/alien 5 bytes" "which is a miss, until it is replaced"

# restart during a connection
mkfifo "$T/to"
call "$url" < "$T/to" > "$T/from" &
caller=$!
exec 8> "$T/to"
answer() { local i; for ((i = 0; i < 400; i++)); do test "$(wc -l < "$T/from")" -ge "$1" && return; sleep 0.05; done; }
echo 'put k/r 10' >&8; answer 1
server_stop one; memcached_tcp one "$port" 8>&-
echo 'put k/s 10' >&8; answer 2
echo 'get k/s' >&8; answer 3
exec 8>&-
wait "$caller"
is "$(cat "$T/from")" "put k/r ok
put k/s ok
get k/s 10 bytes" "a restart of the server is not noticed"

# a socket
memcached_unix sock "$T/m.sock"
for u in "memcached://$T/m.sock" "memcached+unix://$T/m.sock"; do
	is "$(printf 'put k/a 3000000\nget k/a\n' | call "$u" | tail -n 1)" "get k/a 3000000 bytes" "${u%%:*} with a socket"
done
kit socket -o "url=memcached://$T/m.sock"

# three servers
ports=; list=
for i in 1 2 3; do
	p=$(server_port); memcached_tcp "n$i" "$p"
	ports="$ports $p"; list=$list,127.0.0.1:$p
done
url3=memcached://${list#,}
kit "three servers" -o "url=$url3"
lines 90 del | call "$url3" > "$T/out"
for p in $ports; do ask "$p" flush_all > "$T/out"; done
lines 90 put 100 | call "$url3" > "$T/out"
is "$(grep -c ' ok$' "$T/out")" 90 "ninety objects on three servers"
set -- $ports
share=$(lines 90 get | call "memcached://127.0.0.1:$2" | grep -c ' 100 bytes$')
is "$((share > 10 && share < 50))" 1 "of which each has a share ($share)"
before=$(lines 90 get | call "memcached://127.0.0.1:$1,127.0.0.1:$3" | grep -c ' 100 bytes$')
is "$before" $((90 - share)) "and which stay where they are when the list has one server less"
server_stop n2
for ((i = 1; i <= 90; i++)); do echo "get k/$i" | call "$url3"; done | grep '^get' > "$T/out"
is "$(grep -c ' 100 bytes$' "$T/out")" $((90 - share)) "a server that dies takes its share only"
is "$(grep -c "transient: .*127.0.0.1:$2: Connection refused" "$T/out")" "$share" "which fails, naming it"
memcached_tcp n2 "$2"
lines 90 get | call "$url3" > "$T/out"
is "$(grep -c ' miss$' "$T/out")" "$share" "and is missing when it is back"
kill -STOP "$(server_pid n3)"
out=$(echo limits | call "$url3"); like "$out" '^limits max_object=' "a server that hangs does not keep the others from being used"
kill -CONT "$(server_pid n3)"
server_stop n1; server_stop n2; server_stop n3
like "$(echo limits | call "$url3")" '^open: .*127.0.0.1.*Connection refused' "without any it can't be opened"

# no memory
p=$(server_port); memcached_tcp full "$p" -M -m 16
lines 40 put 900000 | call "memcached://127.0.0.1:$p" > "$T/out"
like "$(cat "$T/out")" '^put k/[0-9]+ no space: .*[Oo]ut of memory' "a full server that drops nothing (-M)"
like "$(lines 40 get | call "memcached://127.0.0.1:$p")" '^get k/1 900000 bytes$' "keeps what it has"
lines 40 put 900000 | call "memcached://127.0.0.1:$p?protocol=binary" > "$T/out"
like "$(cat "$T/out")" '^put k/[0-9]+ no space: ' "in the binary protocol too"

# SASL
p=$(server_port)
if memcached -h | grep -q -- '-S' && memcached_sasl sasl "$p" joe 'canary pass'; then
	u="memcached://127.0.0.1:$p"
	export KACHE_MEMCACHED_PASSWORD='canary pass'
	is "$(printf 'put k/a 3000000\nget k/a\n' | call "$u?user=joe@kache.test" | tail -n 1)" "get k/a 3000000 bytes" "SASL"
	kit SASL -o "url=$u" -o user=joe@kache.test
	like "$(call "$u?user=joe@kache.test&protocol=text" < /dev/null)" '^open: .*(no answer|closed|password: |blanks)' "not in the text protocol"
	like "$(call "memcached://127.0.0.1:$port?user=joe@kache.test" < /dev/null)" '^open: .*user: .*has no log-in of this kind' "a server without SASL"
	export KACHE_MEMCACHED_PASSWORD='canary false'
	out=$(call "$u?user=joe@kache.test" < /dev/null)
	like "$out" '^open: .*does not let user joe@kache.test in with this password' "a wrong password"
	unlike "$out" canary "which is not shown"
	unset KACHE_MEMCACHED_PASSWORD
	like "$(call "$u?protocol=binary" < /dev/null)" '^open: .*wants a user and a password' "none"
	like "$(call "$u?user=joe" < /dev/null)" '^open: .*password: missing' "a user alone"
else
	ok 0 "SASL # SKIP this memcached or saslpasswd2 is missing"
fi

# a password file
p=$(server_port)
echo 'ann:canary' > "$T/passwords"
if memcached_tcp file "$p" -Y "$T/passwords"; then
	u="memcached://127.0.0.1:$p"
	export KACHE_MEMCACHED_PASSWORD=canary
	is "$(printf 'put k/a 3000000\nget k/a\n' | call "$u?user=ann&protocol=text" | tail -n 1)" "get k/a 3000000 bytes" "password file"
	kit "password file" -o "url=$u" -o user=ann -o protocol=text
	KACHE_MEMCACHED_PASSWORD=canary-false
	out=$(call "$u?user=ann&protocol=text" < /dev/null)
	like "$out" '^open: .*does not let user ann in with this password' "a wrong password"
	unlike "$out" canary "which is not shown"
	unset KACHE_MEMCACHED_PASSWORD
	like "$(call "$u" < /dev/null)" '^open: .*wants a user and a password' "none"
else
	ok 0 "password file # SKIP this memcached has none"
fi

# sync
"$builddir/tests/cli/mkstore" "$T/store" my_app one > "$T/out"
"$builddir/tests/cli/mkstore" "$T/store" serde two > "$T/out"
like "$(KACHE_CACHE_DIR=$T/store "$KACHE" sync --all --push --backend "$url" 2>&1)" '^pulled 0 .*, pushed 2 .*, 0 failed$' "sync --push"
like "$(KACHE_CACHE_DIR=$T/store "$KACHE" sync --all --push --backend "$url" 2>&1)" 'pushed 2 .*, 0 failed$|2 on both sides' "again"
like "$(KACHE_CACHE_DIR=$T/other "$KACHE" sync --all --pull --backend "$url" 2>&1)" "can't list what it has" "a pull says that it can't"
finish
