# nginx for tests. Source lib.sh and servers.sh first. Everything of a server lies below $T/NAME.
#   nginx_start NAME LISTEN TEXT [MAIN]   one server; LISTEN as nginx's directive wants it ("127.0.0.1:PORT", "… ssl",
#                                         "unix:PATH"), TEXT goes into its server block (%T% is $T/NAME), MAIN above http
#   nginx_dav                             prints a TEXT: a store that takes PUT and DELETE and makes directories
#   nginx_module NAME                     prints the load_module line of a module (dav_ext, lua); fails if there is none
#   nginx_certificates                    makes an authority ($T/ca.pem), a server's certificate ($T/server.*), and
#                                         those of two clients ($T/client.*, and $T/stranger.* of another authority)
nginx_dav() {
	printf '%s\n' 'root %T%/files;' 'client_body_temp_path %T%/incoming;' 'client_max_body_size 64m;' \
		'dav_methods PUT DELETE MKCOL;' 'create_full_put_path on;'
}

nginx_module() {
	local dir
	dir=$(nginx -V 2>&1 | sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p')
	test -f "$dir/ngx_http_$1_module.so" && echo "load_module $dir/ngx_http_$1_module.so;"
}

nginx_start() {
	local name=$1 listen=$2 dir=$T/$1 user=
	mkdir -p "$dir/files" "$dir/incoming" "$dir/tmp"
	test "$(id -u)" != 0 || user='user root;'
	cat > "$dir/nginx.conf" <<END
${4:-}
$user
daemon off;
master_process off;	# a worker outlives a master that is killed
pid $dir/pid;
error_log stderr warn;
events { worker_connections 512; }
http {
	access_log $dir/access.log;
	client_body_temp_path $dir/tmp/body;
	proxy_temp_path $dir/tmp/proxy;
	fastcgi_temp_path $dir/tmp/fastcgi;
	uwsgi_temp_path $dir/tmp/uwsgi;
	scgi_temp_path $dir/tmp/scgi;
	server {
		listen $listen;
		$(printf '%s\n' "$3" | sed "s,%T%,$dir,g")
	}
}
END
	server_start "$name" nginx -p "$dir" -e stderr -c "$dir/nginx.conf"
	case $listen in
	unix:*) server_ready "$name" test -S "${listen#unix:}" ;;
	*) listen=${listen#*:}; server_ready "$name" server_listens "${listen%% *}" ;;
	esac
}

# nginx_sign NAME SUBJECT AUTHORITY [EXTENSION]
nginx_sign() {
	openssl ecparam -name prime256v1 -genkey -noout -out "$T/$1.key" &&
	openssl req -new -key "$T/$1.key" -subj "/CN=$2" -out "$T/$1.csr" &&
	openssl x509 -req -in "$T/$1.csr" -CA "$T/$3.pem" -CAkey "$T/$3.key" -CAcreateserial -days 2 ${4:+-extfile "$4"} -out "$T/$1.pem"
}
nginx_certificates() {
	local name
	printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' > "$T/san"
	{
		for name in ca other; do
			openssl ecparam -name prime256v1 -genkey -noout -out "$T/$name.key" &&
			openssl req -x509 -new -key "$T/$name.key" -subj "/CN=authority $name" -days 2 -out "$T/$name.pem" || return 1
		done
		nginx_sign server localhost ca "$T/san" && nginx_sign client joe ca && nginx_sign stranger eve other
	} > "$T/openssl.log" 2>&1
}
