#!/bin/sh
# The S3 backend against MinIO and versitygw: path and host style, TLS, public and temporary credentials, rights,
# parts, pages, clocks.
. "$(dirname "$0")/../lib/lib.sh"
. "$(dirname "$0")/../lib/servers.sh"
. "$(dirname "$0")/../lib/servers/s3.sh"
need curl openssl cc
module=$builddir/backends/s3/.libs/kache-s3.so
test -f "$module" || skip_all "the s3 backend was left out of this build"
server_program minio > /dev/null || skip_all "minio is not installed (tests/lib/get-servers)"
server_program versitygw > /dev/null || skip_all "versitygw is not installed (tests/lib/get-servers)"
mkdir "$T/modules"
install -m 755 "$module" "$T/modules/kache-s3.so"
export KACHE_PLUGIN_PATH="$T/modules" KACHE_REMOTE_RETRIES=0
mkstore=$builddir/tests/cli/mkstore

as_root() { AWS_ACCESS_KEY_ID=$s3_access AWS_SECRET_ACCESS_KEY=$s3_secret "$@"; }
kit() { runs "the kit: $1" as_root "$builddir/kache-conform" "$module" "${@:2}"; }
sync() { (cd "$T" && KACHE_CACHE_DIR=$T/$1 "$KACHE" sync --all --backend "${@:2}" 2>&1) | tee -a "$T/all-output"; return "${PIPESTATUS[0]}"; }
call() { "$builddir/tests/conform/remote-call" "$1" 2>&1 | tee -a "$T/all-output"; }
same() { diff -r "$T/$1/entries" "$T/$2/entries" && diff -r "$T/$1/blobs" "$T/$2/blobs"; }
# round NAME URL [OPTION...]: a full store to the server and an empty one from there. As root.
round() {
	rm -rf "$T/empty"
	runs "$1: push" as_root sync a "$2" --push
	runs "$1: pull" as_root sync empty "$2" --pull
	runs "$1: what comes is what went" same a empty
}
public_read() {	# ENDPOINT BUCKET
	printf '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::%s"]},{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:GetObject"],"Resource":["arn:aws:s3:::%s/*"]}]}' "$2" "$2" > "$T/policy"
	s3_call PUT "$1/$2?policy=" "$T/policy"
}

for i in 1 2 3 4 5; do "$mkstore" "$T/a" "package$i" "text$i" >> "$T/ids"; done

# ---- MinIO ----
p=$(server_port)
minio_start minio "$p" MINIO_DOMAIN=localhost || skip_all "minio does not start"
e=http://127.0.0.1:$p
runs "a bucket" s3_call PUT "$e/bucket"
url="s3://bucket/team?endpoint=$e"
kit "MinIO" -o url=s3://bucket/kit -o "endpoint=$e"
kit "MinIO, in parts" -o url=s3://bucket/kit -o "endpoint=$e" -o multipart-threshold=1 --group objects --group streams
kit "MinIO, bucket in the host's name" -o url=s3://bucket/kit -o "endpoint=http://localhost:$p" -o style=virtual --quick
kit "MinIO, unsigned bodies with MD5" -o url=s3://bucket/kit -o "endpoint=$e" -o unsigned-payload=always -o content-md5=true --quick --group objects
kit "MinIO, behind a bad network" -o url=s3://bucket/kit -o endpoint=http://%proxy% --proxy "127.0.0.1:$p" --group faults
round "MinIO" "$url"
runs "below the prefix of the URL" s3_call GET "$e/bucket?list-type=2&prefix=team%2Fartifacts%2Fpackage1%2F"
is "$(grep -o '<Key>[^<]*</Key>' "$T/runs.log" | wc -l | tr -d ' ')" 1 "lies what was pushed"
out=$(printf 'put k/large 12000001\nget k/large\n' | as_root call "$url&part-size=5MiB&multipart-threshold=5MiB")
is "$out" "put k/large ok
get k/large 12000001 bytes" "an object in three parts"
like "$(s3_call GET "$e/bucket?list-type=2&prefix=team%2Fartifacts%2Fk%2F")" 'ETag>[^<]*-3[^<]*</ETag' "which the server has put together"
out=$(as_root sync b "$url&region=eu-west-1" --pull); ok $? "MinIO takes any region"
out=$(KACHE_S3_BUCKET=bucket KACHE_S3_ENDPOINT=$e KACHE_S3_ACCESS_KEY=$s3_access KACHE_S3_SECRET_KEY=$s3_secret sync c s3: --pull --dry-run)
like "$out" '^would pull 0' "everything by variables"

# ---- what is wrong ----
out=$(AWS_SECRET_ACCESS_KEY=canary-wrong AWS_ACCESS_KEY_ID=$s3_access sync b "$url"); ok $((! $?)) "a wrong secret key"
like "$out" 'signature does not match: the secret key is wrong \(option secret-key\)' "is named"
out=$(AWS_SECRET_ACCESS_KEY=canary-wrong AWS_ACCESS_KEY_ID=nobody sync b "$url"); ok $((! $?)) "an unknown access key"
like "$out" 'does not know the access key \(option access-key\)' "too"
out=$(as_root sync b "s3://none?endpoint=$e"); ok $((! $?)) "a bucket that is not there"
like "$out" 'bucket none: there is no such bucket \(option bucket\)' "too"
out=$(sync b "$url&access-key=x"); ok $((! $?)) "half a pair of keys"
like "$out" 'secret-key' "says which"
out=$(as_root sync b "s3://bucket?endpoint=https://127.0.0.1:$p"); like "$out" 'TLS' "https to a server without it"
out=$(as_root sync b "s3://bucket?endpoint=http://127.0.0.1:$(server_port)"); like "$out" "can't be connected" "nobody there"

# ---- rights ----
out=$(sync b "$url&anonymous=true" --pull); ok $((! $?)) "anonymous, in a private bucket"
like "$out" 'access denied' "is denied"
runs "a public bucket" public_read "$e" bucket
rm -rf "$T/b"; out=$(sync b "$url&anonymous=true" --pull); ok $? "anonymous, in a public one"
like "$out" '^pulled 5 ' "reads"
(
	s3_read_only "$e" bucket || echo "# no temporary credentials"
	test -n "$AWS_SESSION_TOKEN"; ok $? "temporary credentials that may only read"
	rm -rf "$T/b"; out=$(sync b "$url" --pull); ok $? "with the session token they pull"
	like "$out" '^pulled 5 ' "everything"
	"$mkstore" "$T/new" another text >> "$T/ids"
	out=$(sync new "$url" --push); ok $((! $?)) "a push fails"
	like "$out" 'access denied; they may not write' "and says why"
	out=$(echo limits | call "$url"); like "$out" 'writable=0' "as does a ping"
	export AWS_SESSION_TOKEN=canary-token
	out=$(sync b "$url"); ok $((! $?)) "a wrong session token"
	like "$out" '(session-token|access-key|access denied)' "names the option"
	echo "$tap_n $tap_bad" > "$T/counts"
)
read -r tap_n tap_bad < "$T/counts"
out=$(echo limits | as_root call "$url"); like "$out" 'writable=1' "the root may write"
like "$(s3_call GET "$e/bucket/team/kache-sentinel" 2>&1)" 'NoSuchKey' "and no ping has left anything"
# A role, which MinIO gives to everybody who asks.
cat > "$T/profiles" <<END
[default]
aws_access_key_id = $s3_access
aws_secret_access_key = $s3_secret
[profile ci]
role_arn = arn:aws:iam::1:role/any
source_profile = default
END
rm -rf "$T/b"
out=$(export AWS_CONFIG_FILE=$T/profiles AWS_ENDPOINT_URL_STS=$e; sync b "$url&profile=ci" --pull); ok $? "the role of a profile"
like "$out" '^pulled 5 ' "reads"

# Whoever may not list is told of absent objects as of forbidden ones.
sed 's,bucket/\*,bucket/elsewhere,' "$T/policy" > "$T/policy2"
runs "a bucket whose objects can't be read" s3_call PUT "$e/bucket?policy=" "$T/policy2"
out=$(printf 'get k/none\n' | call "$url&anonymous=true"); like "$out" 'not allowed: .*s3:ListBucket' "a get is denied there"
sed 's,bucket/\*,bucket/team/kache-sentinel,' "$T/policy" > "$T/policy2"
runs "but for the sentinel" s3_call PUT "$e/bucket?policy=" "$T/policy2"
runs "which is there" s3_call PUT "$e/bucket/team/kache-sentinel" @x
out=$(printf 'get k/none\n' | call "$url&anonymous=true"); is "$out" "get k/none miss" "what is denied then counts as absent"

# ---- clocks ----
cat > "$T/clock.c" <<'END'
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
time_t time(time_t *t)
{
	struct timespec now;

	syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
	now.tv_sec += 3600;
	if (t)
		*t = now.tv_sec;
	return now.tv_sec;
}
END
runs "a clock that is an hour ahead" cc -shared -fPIC -o "$T/clock.so" "$T/clock.c"
rm -rf "$T/b"
out=$(export LD_PRELOAD=$T/clock.so; as_root sync b "$url" --pull); ok $? "does not matter"
like "$out" '^pulled 5 ' "after one refusal"
server_stop minio

# ---- TLS ----
runs "a certificate" s3_certificate
p=$(server_port)
minio_start tls "$p" || exit 99
e=https://localhost:$p
AWS_CA_BUNDLE=$T/ca.pem s3_call PUT "$e/secure" > "$T/out"; ok $? "a bucket behind TLS"
url="s3://secure?endpoint=$e"
kit "MinIO with TLS" -o url=s3://secure -o "endpoint=$e" -o "ca-file=$T/ca.pem" --quick
round "TLS, own authority" "$url&ca-file=$T/ca.pem"
out=$(AWS_CA_BUNDLE=$T/ca.pem as_root sync d "$url" --pull); ok $? "AWS_CA_BUNDLE will do"
out=$(as_root sync d "$url&insecure=true" --pull); ok $? "insecure=true too"
out=$(as_root sync d "$url" --pull); ok $((! $?)) "without it the certificate does not verify"
like "$out" '(certificate|ca-file)' "and that is said"
out=$(as_root sync d "$url&ca-file=$T/none.pem" --pull); like "$out" "ca-file.*can't be read" "an authority's file that is not there"
server_stop tls

# ---- versitygw ----
p=$(server_port)
versitygw_start gateway "$p" --region eu-central-1 || exit 99
e=http://127.0.0.1:$p
export AWS_REGION=eu-central-1
runs "a bucket of the other server" s3_call PUT "$e/bucket"
url="s3://bucket/team?endpoint=$e"
kit "versitygw" -o url=s3://bucket/kit -o "endpoint=$e" --cap put-if-absent=off
# It looks whether an object is there, and then puts one together: two may win.
kit "versitygw, in parts" -o url=s3://bucket/kit -o "endpoint=$e" -o multipart-threshold=1 --cap put-if-absent=off --group objects --group streams
unlike "$(s3_call GET "$e/bucket?uploads=")" '<UploadId>' "no upload is left half done"
round "versitygw" "$url"
unset AWS_REGION
out=$(as_root sync d "$url&region=us-east-1" --pull); ok $? "a wrong region is put right"
out=$(printf 'put k/large 12000001\nget k/large\n' | as_root call "$url&part-size=5MiB&multipart-threshold=5MiB")
is "$out" "put k/large ok
get k/large 12000001 bytes" "an object in parts"
AWS_REGION=eu-central-1 public_read "$e" bucket > "$T/out"; ok $? "public"
rm -rf "$T/b"; out=$(sync b "$url&anonymous=true" --pull); like "$out" '^pulled 5 ' "anonymous"
out=$(AWS_SECRET_ACCESS_KEY=canary-wrong AWS_ACCESS_KEY_ID=$s3_access sync b "$url"); like "$out" 'secret key is wrong' "a wrong secret key"
out=$(as_root sync b "s3://none?endpoint=$e"); like "$out" 'there is no such bucket' "a bucket that is not there"
server_stop gateway

p=$(server_port)
versitygw_start domain "$p" --virtual-domain localhost || exit 99
AWS_REGION=us-east-1 s3_call PUT "http://bucket.localhost:$p/" > "$T/out"; ok $? "a bucket by its host's name"
round "versitygw, bucket in the host's name" "s3://bucket/x?endpoint=http://localhost:$p&style=virtual"

unlike "$(cat "$T/all-output" "$T"/xdg-*/*.log 2> /dev/null)" 'canary' "no secret has been told"
finish
