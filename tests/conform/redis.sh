#!/bin/sh
# The redis backend against real servers: TCP, socket, TLS, users and rights, limits, TTL, restarts, cluster, sentinel.
. "$(dirname "$0")/../lib/lib.sh"
. "$(dirname "$0")/../lib/servers.sh"
. "$(dirname "$0")/../lib/servers/redis.sh"
need redis-server redis-cli openssl
module=$builddir/backends/redis/.libs/kache-redis.so
test -f "$module" || skip_all "the redis backend was left out of this build"
mkdir "$T/modules"
install -m 755 "$module" "$T/modules/kache-redis.so"
export KACHE_PLUGIN_PATH="$T/modules" KACHE_REMOTE_RETRIES=0
mkstore=$builddir/tests/cli/mkstore

kit() { runs "the kit: $1" "$builddir/kache-conform" "$module" "${@:2}"; }
call() { "$builddir/tests/conform/remote-call" "$1" 2>&1 | tee -a "$T/all-output"; }
sync() { KACHE_CACHE_DIR=$T/$1 "$KACHE" sync --all --backend "${@:2}" 2>&1 | tee -a "$T/all-output"; return "${PIPESTATUS[0]}"; }
for i in 1 2 3 4 5; do "$mkstore" "$T/a" "package$i" "text$i" > "$T/ids"; done

# ---- one server ----
p=$(server_port)
s=$T/redis.sock
redis_tcp one "$p" --unixsocket "$s" || skip_all "redis-server does not start"
kit "TCP" -o "url=redis://127.0.0.1:$p" -o max-value=1MB
kit "behind a bad network" -o url=redis://%proxy%/3 --proxy "127.0.0.1:$p" --group faults
kit "a socket" -o "url=unix://$s" --quick
kit "no batches" -o "url=redis+unix://$s" --quick --cap batch=off --group list
out=$(sync a "redis://127.0.0.1:$p/1" --push); ok $? "push"
like "$out" 'pushed 5 ' "everything went"
out=$(sync b "redis://127.0.0.1:$p/1" --pull); ok $? "pull"
runs "what comes is what went" diff -r "$T/a/entries" "$T/b/entries"
is "$(redis-cli -p "$p" -n 1 dbsize | tr -d '\r')" 10 "five packs and five manifests, in database 1"
is "$(redis-cli -p "$p" dbsize | tr -d '\r')" 0 "and none elsewhere"

# larger than max-value: cut to pieces
out=$(printf 'put k/large 5000001\nget k/large\n' | call "redis://127.0.0.1:$p/2?max-value=1MB")
is "$out" "put k/large ok
get k/large 5000001 bytes" "an object in pieces"
like "$(redis-cli -p "$p" -n 2 --scan)" 'k/large\.c-[0-9a-f]{16}-5' "of which there are several"

# ttl
printf 'put k/short 10\n' | call "redis://127.0.0.1:$p/3?ttl=1h" > "$T/out"
like "$(redis-cli -p "$p" -n 3 ttl artifacts/k/short)" '^3[56][0-9][0-9]' "a ttl is set"
redis-cli -p "$p" -n 3 expire artifacts/k/short 100 > "$T/out"
printf 'get k/short\n' | call "redis://127.0.0.1:$p/3?ttl=1h" > "$T/out"
like "$(redis-cli -p "$p" -n 3 ttl artifacts/k/short)" '^3[56][0-9][0-9]' "and begun anew by a read"

# a server that restarts
out=$(sync c "redis://127.0.0.1:$p/1" --pull --dry-run); like "$out" '^would pull 5' "listing"
server_stop one
out=$(sync c "redis://127.0.0.1:$p/1" --pull); ok $((! $?)) "a server that is gone"
like "$out" "127.0.0.1:$p: Connection refused" "is named"

# ---- users and rights ----
p=$(server_port)
cat > "$T/acl" <<'END'
user default off
user full on >canary-pass ~* &* +@all
user reader on >canary-read ~* +get +mget +exists +strlen +scan +ping +select +hello +client|setname +acl|dryrun
END
redis_tcp acl "$p" --aclfile "$T/acl"
kit "a user" -o "url=redis://full@127.0.0.1:$p" -o password=canary-pass --quick
out=$(sync a "redis://full:canary-pass@127.0.0.1:$p" --push); ok $? "a password in the URL"
printf 'canary-pass\n' > "$T/password"
out=$(KACHE_REDIS_USER=full KACHE_REDIS_PASSWORD_FILE=$T/password sync d "redis://127.0.0.1:$p" --pull); like "$out" '^pulled 5' "in a file"
out=$(sync d "redis://full:canary-wrong@127.0.0.1:$p" --pull); like "$out" 'user or password is wrong' "a wrong password is named"
out=$(sync d "redis://127.0.0.1:$p" --pull); like "$out" 'a password is wanted' "none"
out=$(sync e "redis://reader:canary-read@127.0.0.1:$p" --pull); like "$out" '^pulled 5' "who may only read pulls"
out=$(sync a "redis://reader:canary-read@127.0.0.1:$p" --push); ok $((! $?)) "but does not push"
like "$out" 'is read-only' "and is told why"
unlike "$(cat "$T/all-output")" 'canary-' "no password is shown"

# ---- a full server ----
p=$(server_port)
redis_tcp full "$p" --maxmemory 3mb --maxmemory-policy noeviction
out=$(printf 'put k/a 900000\nput k/b 900000\nput k/c 900000\nput k/d 900000\nput k/e 900000\n' | call "redis://127.0.0.1:$p")
like "$out" 'its memory is full \(maxmemory\)' "a full server says so"
like "$out" 'put k/a ok' "and keeps what it has"

# ---- TLS ----
if test_certificates; then
	p=$(server_port)
	redis_run tls --port 0 --tls-port "$p" --tls-cert-file "$T/server.pem" --tls-key-file "$T/server.key" --tls-ca-cert-file "$T/ca.pem" --tls-auth-clients optional
	server_ready tls server_listens "$p"
	kit "TLS" -o "url=rediss://localhost:$p" -o "ca-file=$T/ca.pem" --quick
	kit "TLS, behind a bad network" -o url=rediss://%proxy% -o "ca-file=$T/ca.pem" --proxy "127.0.0.1:$p" --group faults
	out=$(sync f "rediss://127.0.0.1:$p?ca-file=$T/ca.pem" --pull); ok $? "by address"
	out=$(sync f "rediss://localhost:$p" --pull); like "$out" 'its certificate does not verify' "a certificate that does not verify"
	out=$(sync f "rediss://localhost:$p?ca-file=$T/ca.pem&sni=elsewhere.example" --pull); like "$out" 'its certificate does not verify: hostname mismatch' "nor one of another host"
	out=$(sync f "rediss://localhost:$p?insecure=true" --pull); ok $? "unless that is asked for"
	out=$(sync f "rediss://localhost:$p?cert=$T/server.pem&key=$T/server.key&ca-file=$T/ca.pem" --pull); ok $? "a client's certificate"
else
	ok 1 "certificates for the test"
fi

# ---- cluster ----
nodes=
for i in 1 2 3; do
	while p=$(server_port); do test $((p + 10000)) -lt 65000 && ! server_listens $((p + 10000)) && break; done
	redis_tcp "node$i" "$p" --cluster-enabled yes --cluster-config-file "$T/node$i.conf" --cluster-node-timeout 2000
	nodes="$nodes 127.0.0.1:$p"
done
# shellcheck disable=SC2086
redis-cli --cluster create $nodes --cluster-yes > "$T/cluster.log" 2>&1
server_ready node1 sh -c "redis-cli -p $p cluster info | grep -q cluster_state:ok"
seeds=$(echo $nodes | tr ' ' ',')
kit "a cluster" -o "url=redis-cluster://$seeds" --quick
out=$(sync a "redis-cluster://127.0.0.1:$p" --push); like "$out" 'pushed 5 ' "push by one of its nodes"
out=$(sync g "redis-cluster://$seeds" --pull); like "$out" '^pulled 5' "pull"
used=0
for n in $nodes; do test "$(redis-cli -p "${n#*:}" dbsize | tr -d '\r')" = 0 || used=$((used + 1)); done
is "$used" 3 "each node has a share"
out=$(sync a "redis://127.0.0.1:$p" --push); like "$out" 'part of a cluster; use redis-cluster://' "a plain URL is told"
out=$(sync a "redis-cluster://127.0.0.1:$p/1" --push); like "$out" 'a cluster has database 0 only' "a database too"

# ---- sentinel ----
p=$(server_port) q=$(server_port) w=$(server_port)
redis_tcp master "$p"
redis_tcp replica "$q" --replicaof 127.0.0.1 "$p"
printf 'port %s\nbind 127.0.0.1\nsentinel monitor team 127.0.0.1 %s 1\nsentinel down-after-milliseconds team 500\nsentinel failover-timeout team 2000\n' "$w" "$p" > "$T/sentinel.conf"
server_start sentinel redis-server "$T/sentinel.conf" --sentinel
server_ready sentinel server_listens "$w"
server_ready sentinel sh -c "redis-cli -p $w sentinel replicas team | grep -q ^flags"
url=redis-sentinel://127.0.0.1:$w/team
kit "by a sentinel" -o "url=$url" --quick --group objects
out=$(sync a "$url" --push); like "$out" 'pushed 5 ' "push to the master"
server_ready replica sh -c "test \$(redis-cli -p $q dbsize) -ge 10"
server_stop master KILL
server_ready sentinel sh -c "redis-cli -p $w sentinel get-master-addr-by-name team | grep -q $q"
out=$(KACHE_REMOTE_RETRIES=5 sync h "$url" --pull); like "$out" '^pulled 5' "pull from the one that took over"
out=$(sync h "redis-sentinel://127.0.0.1:$w/nobody" --pull); like "$out" 'knows? no master named nobody' "a name that nobody has"
finish
