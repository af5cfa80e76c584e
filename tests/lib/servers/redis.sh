# Redis servers for tests; source servers.sh first.
#   redis_run NAME ARGUMENT…        a server that keeps nothing on disk
#   redis_tcp NAME PORT ARGUMENT…   likewise, on 127.0.0.1:PORT, waited for
redis_run() {
	mkdir -p "$T/$1.d"
	server_start "$1" redis-server --bind 127.0.0.1 --save '' --appendonly no --dir "$T/$1.d" "${@:2}"
}
redis_tcp() {
	redis_run "$1" --port "$2" "${@:3}"
	server_ready "$1" server_listens "$2"
}
# A certificate authority and a certificate of localhost in $T: ca.pem, server.pem, server.key.
test_certificates() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=kache-test-ca \
		-keyout "$T/ca.key" -out "$T/ca.pem" > /dev/null 2>&1 &&
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout "$T/server.key" \
		-out "$T/server.csr" > /dev/null 2>&1 &&
	printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' > "$T/san" &&
	openssl x509 -req -in "$T/server.csr" -CA "$T/ca.pem" -CAkey "$T/ca.key" -CAcreateserial -days 2 -extfile "$T/san" \
		-out "$T/server.pem" > /dev/null 2>&1
}
