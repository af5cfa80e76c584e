#!/bin/sh
# The http backend against nginx (plain, WebDAV, basic and bearer authentication, TLS, client certificates, a socket,
# limits, redirects) and against a cache of Bazel's protocol, which tests/lib/servers/bazel-cache plays: it takes into
# /cas/ only what has that SHA-256 and into /ac/ only valid action results, as bazel-remote does.
. "$(dirname "$0")/../lib/lib.sh"
. "$(dirname "$0")/../lib/servers.sh"
. "$(dirname "$0")/../lib/servers/nginx.sh"
need nginx openssl curl
module=$builddir/backends/http/.libs/kache-http.so
test -f "$module" || skip_all "the http backend was left out of this build"
mkdir "$T/modules"
install -m 755 "$module" "$T/modules/kache-http.so"
export KACHE_PLUGIN_PATH="$T/modules" KACHE_REMOTE_RETRIES=0
unset http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY SSL_CERT_FILE
mkstore=$builddir/tests/cli/mkstore

call() { "$builddir/tests/conform/remote-call" "$1" 2>&1 | tee -a "$T/all-output"; }
kit() { runs "the kit: $1" "$builddir/kache-conform" "$module" "${@:2}"; }
sync() { (cd "$T" && KACHE_CACHE_DIR=$T/$1 "$KACHE" sync --all --backend "${@:2}" 2>&1) | tee -a "$T/all-output"; return "${PIPESTATUS[0]}"; }
same() { diff -r "$T/$1/entries" "$T/$2/entries" && diff -r "$T/$1/blobs" "$T/$2/blobs"; }
round() { # round NAME URL: a full store to the server and an empty one from there
	rm -rf "$T/empty"
	runs "$1: push" sync a "$2" --push
	runs "$1: pull" sync empty "$2" --pull
	runs "$1: what comes is what went" same a empty
}
comes_and_goes() { # comes_and_goes NAME URL
	is "$(printf 'get k/a\nput k/a 100000\nget k/a\ndel k/a\nget k/a\n' | call "$2")" "get k/a miss
put k/a ok
get k/a 100000 bytes
del k/a ok
get k/a miss" "$1"
}
refused() { # refused NAME URL REGEX: it can't be opened, and the text says why
	like "$(echo limits | call "$2")" "^open: .*$3" "$1"
}
requests() { grep -c "$2" "$T/$1/access.log"; }
dav=$(nginx_dav)
for i in 1 2 3; do "$mkstore" "$T/a" "package$i" "text$i" >> "$T/ids"; done

# ---- a server that takes PUT and DELETE ----
p=$(server_port)
nginx_start plain "127.0.0.1:$p" "$dav" || skip_all "nginx does not start"
url=http://127.0.0.1:$p
kit "plain" -o url=http://%proxy%/kit --proxy "127.0.0.1:$p" --cap list=off
kit "plain, with subdirectories" -o "url=$url/kit2" -o layout=subdirs --cap list=off --quick
comes_and_goes "objects come and go" "$url/team"
echo 'put k/abcdef 3000000' | call "$url/team" > "$T/out"
runs "below the path of the URL" test -f "$T/plain/files/team/artifacts/k/abcdef"
echo 'put k/abcdef 3000000' | call "$url/team?layout=subdirs" > "$T/out"
runs "or in a directory of two letters" test -f "$T/plain/files/team/artifacts/k/ab/abcdef"
runs "push" sync a "$url/sync" --push
before=$(requests plain '"PUT ')
out=$(sync other "$url/sync" --pull); ok $((! $?)) "a server without listings has nothing to pull all of"
like "$out" "(can't list|list: .*does not take it)" "and that is said"
is "$(requests plain MKCOL)" 0 "nothing was asked of WebDAV where nothing had to be"
like "$(call "dav://127.0.0.1:$p/kit" < /dev/null)" '^$' "dav:// is http://"
like "$(printf 'get k/a\n' | call "http://127.0.0.1:$(server_port)")" "^open: .*127.0.0.1:[0-9]+: can't be connected to" "nobody there"
refused "http to a port that speaks something else" "https://127.0.0.1:$p" 'TLS'
refused "half a pair" "$url?client-key=/dev/null" 'client-cert: is missing'

# ---- WebDAV: collections, listings ----
p=$(server_port)
nginx_start collections "127.0.0.1:$p" "${dav%create_full*}" || exit 99
url=http://127.0.0.1:$p
comes_and_goes "collections are made where they have to be" "$url"
is "$(requests collections MKCOL)" 2 "each once"
mkfifo "$T/to"
call "$url" < "$T/to" > "$T/from" &
caller=$!
exec 8> "$T/to"
answer() { local i; for ((i = 0; i < 400; i++)); do test "$(wc -l < "$T/from")" -ge "$1" && return; sleep 0.05; done; }
echo 'put k/new/r 10' >&8; answer 1
rm -r "$T/collections/files/artifacts"
echo 'put k/new/s 10' >&8; answer 2
exec 8>&-
wait "$caller"
is "$(cat "$T/from")" "put k/new/r ok
put k/new/s ok" "and again when somebody has removed them meanwhile"
like "$(echo 'put q/a 1' | call "$url?webdav=off")" '^put q/a configuration: .*no such place' "but not with webdav=off"
like "$(echo 'put q/a 1' | call "$url/no/such/base")" '^put q/a configuration: .*no such place.*\(option url\)' "nor the URL's own path"
server_stop collections
if nginx_module dav_ext > "$T/out"; then
	p=$(server_port)
	nginx_start listing "127.0.0.1:$p" "${dav%create_full*} dav_ext_methods PROPFIND OPTIONS; location /pages/ { return 200 '<html>'; }" \
		"$(nginx_module dav_ext)" || exit 99
	url=http://127.0.0.1:$p
	mkdir "$T/listing/files/kit" "$T/listing/files/kit2" "$T/listing/files/sp ace"
	kit "WebDAV" -o url=dav://%proxy%/kit --proxy "127.0.0.1:$p"
	kit "WebDAV, with subdirectories" -o "url=dav://127.0.0.1:$p/kit2" -o layout=subdirs --quick
	round "WebDAV" "$url"
	rm -rf "$T/listing/files/artifacts"
	round "WebDAV, with subdirectories" "$url/kit2?layout=subdirs"
	touch "$T/listing/files/kit2/artifacts/INDEX" "$T/listing/files/kit2/artifacts/x~" "$T/listing/files/kit2/artifacts/plainfile"
	rm -rf "$T/empty"
	like "$(sync empty "$url/kit2?layout=subdirs" --pull)" '^pulled 3 .*, 0 failed$' "what is no object of ours is left alone"
	round "a path with a blank" "$url/sp%20ace"
	like "$(sync other "$url/pages" --pull)" 'no WebDAV listings|configuration|not supported' "pages instead of a listing"
	server_stop listing
else
	ok 0 "WebDAV # SKIP nginx has no dav-ext module"
fi

# ---- who may what ----
p=$(server_port); q=$(server_port)
mkdir "$T/auth"
printf 'joe:%s\n' "$(openssl passwd -apr1 'canary p@ss')" > "$T/auth/passwords"
nginx_start auth "127.0.0.1:$p" "$dav
	set \$bad 1;
	if (\$http_authorization = 'Bearer canary-token') { set \$bad 0; }
	if (\$http_x_key = 'canary; key') { set \$bad 0; }
	location /basic/ { auth_basic kache; auth_basic_user_file %T%/passwords; }
	location /bearer/ { if (\$bad) { return 401; } }
	location /mixed/ { limit_except GET { deny all; } }
	location /away/ { return 307 http://127.0.0.1:$q\$request_uri; }
	location /near/ { rewrite ^/near/(.*) /bearer/\$1 redirect; }
	location /round/ { return 302 \$uri; }" || exit 99
nginx_start elsewhere "127.0.0.1:$q" "$dav
	if (\$http_authorization != '') { return 418; }" || exit 99
url=http://127.0.0.1:$p
refused "no user" "$url/basic" 'status 401, the credentials are missing or wrong'
(
	export KACHE_HTTP_PASSWORD='canary p@ss'
	comes_and_goes "basic authentication" "$url/basic?user=joe"
	kit "basic authentication" -o "url=$url/basic" -o user=joe --quick --cap list=off
	comes_and_goes "of the environment" "$(export KACHE_HTTP_USER=joe; echo "$url/basic?user=joe")"
	KACHE_HTTP_PASSWORD=canary-false refused "a wrong password" "$url/basic?user=joe" 'status 401'
	refused "a password alone" "$url/basic" 'user: is missing'
	echo "$tap_n $tap_bad" > "$T/counts"
)
read -r tap_n tap_bad < "$T/counts"
comes_and_goes "of the URL" "http://joe:canary%20p%40ss@127.0.0.1:$p/basic"
refused "and a wrong one there" "http://joe:canary-false@127.0.0.1:$p/basic" 'status 401'
(
	export KACHE_HTTP_TOKEN=canary-token
	comes_and_goes "a bearer token" "$url/bearer"
	kit "a bearer token" -o "url=$url/bearer" --quick --cap list=off
	refused "token and user" "$url/bearer?user=joe" 'token: a server takes either'
	# Redirects: followed for reading, and the token goes no further than to its own server.
	printf 'put k/far 1000\n' | KACHE_HTTP_TOKEN='' call "http://127.0.0.1:$q/away" > "$T/out"
	printf 'put k/near 1000\n' | call "$url/bearer" > "$T/out"
	is "$(echo 'get k/near' | call "$url/near")" "get k/near 1000 bytes" "a redirect on the same server keeps the token"
	is "$(echo 'get k/far' | call "$url/away")" "get k/far 1000 bytes" "one to another server does not take it there"
	like "$(echo 'put k/far 1' | call "$url/away")" '^put k/far configuration: .*status 307.*final URL' "a PUT is not redirected"
	refused "a redirect in a circle" "$url/round" 'redirects too often'
	KACHE_HTTP_TOKEN=canary-false
	refused "a wrong token" "$url/bearer" 'status 401'
	KACHE_HTTP_TOKEN=$(printf 'canary\nX-Evil: 1')
	refused "a token of two lines" "$url/bearer" 'may not hold line breaks'
	echo "$tap_n $tap_bad" > "$T/counts"
)
read -r tap_n tap_bad < "$T/counts"
(
	export KACHE_HTTP_HEADERS='X-Other: 1 | X-Key: canary; key'
	comes_and_goes "headers of one's own" "$url/bearer"
	KACHE_HTTP_HEADERS='canary'
	refused "what is no header" "$url/bearer" "headers: accepted is 'Name: value'"
	echo "$tap_n $tap_bad" > "$T/counts"
)
read -r tap_n tap_bad < "$T/counts"
mkdir -p "$T/auth/files/mixed/artifacts/k"
echo 'put k/here 50000' | call "http://127.0.0.1:$q/mixed" > "$T/out"
cp "$T/elsewhere/files/mixed/artifacts/k/here" "$T/auth/files/mixed/artifacts/k/here"
out=$(printf 'get k/here\nput k/here 9\nget k/here\n' | call "$url/mixed")
like "$out" '^put k/here not allowed: .*status 403, these credentials may not write' "403 for writing only"
is "$(printf '%s\n' "$out" | grep -c '^get k/here 50000 bytes')" 2 "reading goes on"
server_stop auth; server_stop elsewhere

# ---- TLS ----
runs "certificates" nginx_certificates
tls="$dav ssl_certificate $T/server.pem; ssl_certificate_key $T/server.key;"
p=$(server_port)
nginx_start tls "127.0.0.1:$p ssl" "$tls" || exit 99
url=https://localhost:$p
kit "TLS" -o "url=$url/kit" -o "ca-file=$T/ca.pem" --quick --cap list=off
comes_and_goes "an authority of one's own" "$url?ca-file=$T/ca.pem"
SSL_CERT_FILE=$T/ca.pem comes_and_goes "SSL_CERT_FILE" "$url"
KACHE_CA_FILE=$T/ca.pem comes_and_goes "KACHE_CA_FILE" "$url"
comes_and_goes "insecure=true" "$url?insecure=true"
refused "a certificate of nobody known" "$url" 'certificate does not verify'
refused "another authority" "$url?ca-file=$T/other.pem" 'certificate does not verify'
refused "an authority that is not there" "$url?ca-file=$T/none.pem" "ca-file: .*none.pem can't be read"
refused "a certificate for another name" "https://127.0.0.2:$p?ca-file=$T/ca.pem" "(certificate does not verify|can't be connected)"
refused "http where https is spoken" "http://localhost:$p" 'speaks https at this port'
server_stop tls
for version in TLSv1.2 TLSv1.3; do
	p=$(server_port)
	nginx_start "client-$version" "127.0.0.1:$p ssl" "$tls ssl_protocols $version; ssl_client_certificate $T/ca.pem; ssl_verify_client on;" || exit 99
	url="https://localhost:$p?ca-file=$T/ca.pem"
	comes_and_goes "$version: a client certificate" "$url&client-cert=$T/client.pem&client-key=$T/client.key"
	refused "$version: none" "$url" 'wants a client certificate \(option client-cert\)'
	refused "$version: one of another authority" "$url&client-cert=$T/stranger.pem&client-key=$T/stranger.key" 'does not accept the client certificate'
	refused "$version: another's key" "$url&client-cert=$T/client.pem&client-key=$T/stranger.key" 'client certificate or its key'
done
kit "a client certificate" -o "url=https://localhost:$p/kit" -o "ca-file=$T/ca.pem" -o "client-cert=$T/client.pem" -o "client-key=$T/client.key" \
	--quick --cap list=off
cat "$T/client.pem" "$T/client.key" > "$T/both.pem"
comes_and_goes "certificate and key in one file" "$url&client-cert=$T/both.pem"
openssl ec -aes256 -passout pass:canary -in "$T/client.key" -out "$T/locked.key" 2> "$T/out"
refused "a key that wants a passphrase" "$url&client-cert=$T/client.pem&client-key=$T/locked.key" 'client certificate or its key'
server_stop client-TLSv1.2; server_stop client-TLSv1.3

# ---- a socket ----
nginx_start socket "unix:$T/web.sock" "$dav" || exit 99
kit "a socket" -o url=http://localhost/kit -o "unix-socket=$T/web.sock" --quick --cap list=off
comes_and_goes "a socket" "http://localhost?unix-socket=$T/web.sock"
http_proxy=http://127.0.0.1:1 comes_and_goes "past a proxy" "http://any.test?unix-socket=$T/web.sock"
server_stop socket

# ---- servers that say no ----
p=$(server_port)
nginx_start limits "127.0.0.1:$p" "$dav
	location /small/ { client_max_body_size 100k; }
	location /static/ { dav_methods off; }
	location /busy/ { add_header Retry-After 7 always; return 503; }
	location /many/ { return 429; }
	location /full/ { limit_except GET { deny all; } error_page 403 =507 /507; }
	location /broken/ { return 500; }
	location /tea/ { return 418; }" || exit 99
url=http://127.0.0.1:$p
is "$(printf 'put k/a 100000\nput k/a 3000000\nput k/a 4000000\nlimits\nput k/b 200000\nget k/a\n' | call "$url/small" | sed 's/: .*//')" "put k/a ok
put k/a too big
put k/a too big
limits max_object=2999999 writable=1
put k/b too big
get k/a 100000 bytes" "413 is what is too big, and what is larger still is not sent"
is "$(requests limits '"PUT /small')" 3 "as the server's log says"
like "$(printf 'put k/a 1\nput k/a 1\nlimits\nget k/a\n' | call "$url/static" | tr '\n' ' ')" \
	'^put k/a not supported: .*status 405.* put k/a not supported: .* limits max_object=0 writable=0 get k/a miss $' "405: a server for reading"
is "$(requests limits '"PUT /static')" 1 "of which that is asked once"
refused "503" "$url/busy" 'status 503'
refused "429" "$url/many" 'status 429, too many requests'
refused "500" "$url/broken" 'status 500, the server fails'
refused "418" "$url/tea" 'unexpected status 418'
like "$(printf 'put k/a 1\n' | call "$url/full")" '^put k/a no space: .*status 507' "507"

# ---- Bazel's protocol ----
if command -v python3 > /dev/null; then
	b=$(server_port)
	server_start bazel python3 "$srcdir/tests/lib/servers/bazel-cache" "$b"
	server_ready bazel server_listens "$b" || exit 99
	url="http://127.0.0.1:$b"
	kit "Bazel's protocol" -o "url=http://%proxy%" -o layout=bazel --proxy "127.0.0.1:$b" --cap del=off --cap list=off
	is "$(printf 'get k/a\nput k/a 3000000\nget k/a\nput k/b 0\nget k/b\nput k/a 7\nget k/a\n' | call "$url?layout=bazel")" "get k/a miss
put k/a ok
get k/a 3000000 bytes
put k/b ok
get k/b 0 bytes
put k/a ok
get k/a 7 bytes" "objects go into /ac/ and /cas/"
	ac=$(printf artifacts/k/a | sha256sum | cut -c 1-64)
	runs "the action result is named by the SHA-256 of the key" curl -fs --noproxy '*' -o "$T/action" "$url/ac/$ac"
	hash=$(grep -aEo '[0-9a-f]{64}' "$T/action")
	runs "and names the contents" curl -fs --noproxy '*' -o "$T/contents" "$url/cas/$hash"
	is "$(sha256sum < "$T/contents" | cut -c 1-64)" "$hash" "which has that SHA-256"
	like "$(echo 'del k/a' | call "$url?layout=bazel")" '^del k/a not supported: ' "nothing can be deleted"
	curl -fs --noproxy '*' -X POST "$url/forget/$hash" > "$T/out"
	is "$(echo 'get k/a' | call "$url?layout=bazel")" "get k/a miss" "contents that are gone are a miss"
	curl -fs --noproxy '*' -X POST "$url/garbage/$ac" > "$T/out"
	like "$(echo 'get k/a' | call "$url?layout=bazel")" '^get k/a (corrupt|damaged).*no action result' "an action result that is none"
	like "$(sync other "$url?layout=bazel" --pull)" "list: only WebDAV|can't list" "it lists nothing"
	like "$(echo 'put k/a 5' | call "$url")" '^put k/a configuration: .*status 400' "and takes no other layout"
	server_stop bazel
	comes=$(printf 'put k/a 70000\nget k/a\n' | call "http://127.0.0.1:$p/b?layout=bazel")
	is "$comes" "put k/a ok
get k/a 70000 bytes" "a plain server serves this layout too"
else
	ok 0 "Bazel's protocol # SKIP python3 is not installed"
fi

unlike "$(cat "$T/all-output" "$T"/xdg-*/*.log 2> /dev/null)" 'canary' "no secret has been told"
finish
