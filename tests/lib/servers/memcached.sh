# memcached servers for tests; source servers.sh first.
#   memcached_tcp NAME PORT ARGUMENT…        listens on 127.0.0.1:PORT
#   memcached_unix NAME SOCKET ARGUMENT…     on a socket
#   memcached_sasl NAME PORT USER PASSWORD   TCP with SASL; fails where the server or saslpasswd2 has none
memcached_run() { server_start "$1" memcached -u "$(id -un)" -U 0 "${@:2}"; }

memcached_tcp() {
	memcached_run "$1" -l 127.0.0.1 -p "$2" "${@:3}"
	server_ready "$1" server_listens "$2"
}

memcached_unix() {
	memcached_run "$1" -s "$2" "${@:3}"
	server_ready "$1" test -S "$2"
}

memcached_sasl() {
	local name=$1 port=$2 user=$3 password=$4 dir=$T/sasl-$1
	server_program saslpasswd2 > /dev/null || return 1
	mkdir -p "$dir"
	printf 'mech_list: plain\nsasldb_path: %s/db\n' "$dir" > "$dir/memcached.conf"
	printf '%s' "$password" | saslpasswd2 -p -c -f "$dir/db" -a memcached -u kache.test "$user" || return 1
	SASL_CONF_PATH=$dir memcached_run "$name" -S -l 127.0.0.1 -p "$port"
	server_ready "$name" server_listens "$port"
}
