# Servers for tests: on loopback ports of their own, started here, stopped at the end. Source lib.sh first.
#   server_port                    prints a port nobody listens on
#   server_start NAME COMMAND…     runs it in the background; its output is in $T/NAME.log
#   server_ready NAME COMMAND…     waits until COMMAND succeeds; fails after 20 s or when the server has ended
#   server_listens PORT            succeeds once something accepts on 127.0.0.1:PORT
#   server_stop NAME [SIGNAL]      stops one and waits for it
#   server_program NAME…           prints the path of the first that is installed (also those of get-servers)
PATH=$PATH:/usr/sbin:/sbin
server_tools=${KACHE_TEST_TOOLS:-${HOME:-/root}/.cache/kache-test-tools}/bin
server_pids=$T/server-pids
: > "$server_pids"

server_listens() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

server_port() {
	local port
	while :; do
		port=$((RANDOM % 20000 + 12000))
		# A lock file keeps tests that run at the same time apart.
		server_listens "$port" && continue
		mkdir "${TMPDIR:-/tmp}/kache-test-port.$port" 2> /dev/null || continue
		echo "$port" >> "$T/server-ports"
		echo "$port"
		return
	done
}

server_start() {
	local name=$1
	shift
	"$@" > "$T/$name.log" 2>&1 < /dev/null &
	echo "$name $!" >> "$server_pids"
}

server_pid() { sed -n "s/^$1 //p" "$server_pids" | tail -n 1; }

server_ready() {
	local name=$1 pid i
	shift
	pid=$(server_pid "$name")
	for ((i = 0; i < 400; i++)); do
		"$@" > /dev/null 2>&1 && return 0
		kill -0 "$pid" 2> /dev/null || break
		sleep 0.05
	done
	echo "# $name does not answer; the end of its log:"
	tail -n 20 "$T/$name.log" | sed 's/^/# /'
	return 1
}

server_stop() {
	local pid
	pid=$(server_pid "$1")
	test -n "$pid" || return 0
	kill "-${2:-TERM}" "$pid" 2> /dev/null
	wait "$pid" 2> /dev/null
	sed -i "/^$1 $pid\$/d" "$server_pids"
}

servers_end() {
	local name pid
	while read -r name pid; do kill -CONT "$pid" 2> /dev/null; kill -KILL "$pid" 2> /dev/null; wait "$pid" 2> /dev/null; done < "$server_pids"
	while read -r pid; do rmdir "${TMPDIR:-/tmp}/kache-test-port.$pid"; done < "$T/server-ports"
} 2> /dev/null

server_program() {
	local name
	for name; do
		command -v "$name" && return 0
		test -x "$server_tools/$name" && echo "$server_tools/$name" && return 0
	done
	return 1
}
