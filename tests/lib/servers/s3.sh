# S3 servers for tests. Source lib.sh and servers.sh first. Both keep their buckets below $T/NAME.
#   minio_start NAME PORT [VARIABLE=VALUE...]   MinIO; TLS with the certificate of s3_certificate if $T/certs is there
#   versitygw_start NAME PORT [ARGUMENT...]     versitygw; TLS if the arguments say so
#   s3_certificate                              makes an authority ($T/ca.pem) and a server's certificate ($T/certs)
#   s3_call METHOD URL [BODY]                   a signed request (see tests/conform/s3-call.c) with the root's keys
#   s3_read_only ENDPOINT BUCKET                sets the environment's keys to temporary ones that may only read (MinIO)
s3_access=rootkey s3_secret=canary-root-secret
export AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=$T/none AWS_SHARED_CREDENTIALS_FILE=$T/none
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE AWS_REGION AWS_DEFAULT_REGION AWS_ENDPOINT_URL \
	AWS_ENDPOINT_URL_S3 AWS_CA_BUNDLE AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY

minio_start() {
	local name=$1 port=$2 certs=
	shift 2
	if test -d "$T/certs"; then certs=$T/certs; else certs=$T/$name-certs; mkdir -p "$certs"; fi
	mkdir -p "$T/$name"
	server_start "$name" env HOME="$T" MINIO_ROOT_USER="$s3_access" MINIO_ROOT_PASSWORD="$s3_secret" MINIO_UPDATE=off MINIO_BROWSER=off \
		"$@" "$(server_program minio)" server --quiet --certs-dir "$certs" --address "127.0.0.1:$port" "$T/$name"
	server_ready "$name" s3_answers "$port" "/minio/health/cluster"
}

versitygw_start() {
	local name=$1 port=$2
	shift 2
	mkdir -p "$T/$name" "$T/$name-users"
	server_start "$name" env ROOT_ACCESS_KEY="$s3_access" ROOT_SECRET_KEY="$s3_secret" "$(server_program versitygw)" --quiet --keep-alive \
		--port "127.0.0.1:$port" --iam-dir "$T/$name-users" "$@" posix "$T/$name"
	server_ready "$name" server_listens "$port"
}

s3_answers() {
	curl -fs --noproxy '*' -o "$T/answer" "http://127.0.0.1:$1$2" || curl -fsk --noproxy '*' -o "$T/answer" "https://127.0.0.1:$1$2"
}

s3_certificate() {
	mkdir -p "$T/certs"
	printf 'subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1\n' > "$T/san"
	{
		openssl ecparam -name prime256v1 -genkey -noout -out "$T/ca.key" &&
		openssl req -x509 -new -key "$T/ca.key" -subj "/CN=test authority" -days 2 -out "$T/ca.pem" &&
		openssl ecparam -name prime256v1 -genkey -noout -out "$T/certs/private.key" &&
		openssl req -new -key "$T/certs/private.key" -subj /CN=localhost -out "$T/server.csr" &&
		openssl x509 -req -in "$T/server.csr" -CA "$T/ca.pem" -CAkey "$T/ca.key" -CAcreateserial -days 2 -extfile "$T/san" \
			-out "$T/certs/public.crt"
	} > "$T/openssl.log" 2>&1
}

s3_call() {
	AWS_ACCESS_KEY_ID=$s3_access AWS_SECRET_ACCESS_KEY=$s3_secret "$builddir/tests/conform/s3-call" "$@"
}

# AssumeRole with a policy that narrows what the root may do.
s3_read_only() {
	local policy answer
	policy='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::'$2'","arn:aws:s3:::'$2'/*"]}]}'
	policy=$(printf %s "$policy" | sed 's/{/%7B/g; s/}/%7D/g; s/"/%22/g; s/:/%3A/g; s/,/%2C/g; s/\[/%5B/g; s/]/%5D/g; s/\*/%2A/g; s,/,%2F,g')
	answer=$(S3_CALL_SERVICE=sts s3_call POST "$1/" "@Action=AssumeRole&DurationSeconds=3600&Policy=$policy&Version=2011-06-15") || return 1
	s3_take AWS_ACCESS_KEY_ID AccessKeyId "$answer"
	s3_take AWS_SECRET_ACCESS_KEY SecretAccessKey "$answer"
	s3_take AWS_SESSION_TOKEN SessionToken "$answer"
}
s3_take() { export "$1=$(printf '%s' "$3" | sed -n "s,.*<$2>\\([^<]*\\)</$2>.*,\\1,p")"; }
