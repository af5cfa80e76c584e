#!/bin/sh
# Two stores exchange their results through a directory.
. "$(dirname "$0")/../lib/lib.sh"
need zstd tar

mkstore=$builddir/tests/cli/mkstore
mkdir "$T/modules" "$T/project" "$T/project/sub"
test -f "$builddir/backends/fs/.libs/kache-fs.so" || skip_all "the fs backend was left out of this build"
install -m 755 "$builddir/backends/fs/.libs/kache-fs.so" "$T/modules/kache-fs.so"
export KACHE_PLUGIN_PATH="$T/modules"
remote=$T/remote
url=file://$remote
cat > "$T/project/Cargo.lock" <<'END'
version = 4

[[package]]
name = "my-app"
version = "0.1.0"
dependencies = [
 "serde",
]

[[package]]
name = "serde"
version = "1.0.0"
source = "registry"
END

sync() { sync_dir=$1; shift; (cd "$T/project/sub" && KACHE_CACHE_DIR=$T/$sync_dir "$KACHE" sync --backend "$url" "$@"); }
count() { find "$1" -type f 2> /dev/null | wc -l | tr -d ' '; }
same() { diff -r "$T/$1/entries" "$T/$2/entries" && diff -r "$T/$1/blobs" "$T/$2/blobs" && diff -r "$T/$1/manifests" "$T/$2/manifests"; }

a1=$("$mkstore" "$T/a" my_app one)
"$mkstore" "$T/a" serde one > "$T/out"
"$mkstore" "$T/a" Other one > "$T/out"

# --dry-run
out=$(sync a --dry-run); ok $? "dry run"
like "$out" "^push my_app/$a1 [0-9]+$" "names what would travel"
like "$out" '^would pull 0, push 2 ' "and how much"
ok "$(count "$remote/artifacts")" "but nothing has moved"

out=$(sync a --dry-run --workspace)
like "$out" '^would pull 0, push 1 ' "--workspace leaves out what comes from a registry"
sync a --all --workspace > "$T/out" 2>&1; is $? 2 "--all and --workspace exclude each other"

# push and pull, limited to the lock
out=$(sync a); ok $? "push"
like "$out" '^pulled 0 .*, pushed 2 .*, 0 on both sides already, 2 manifests updated, 0 failed$' "two packages of Cargo.lock went, the third did not"
out=$(sync b); ok $? "pull into an empty store"
like "$out" '^pulled 2 .*, pushed 0 .*, 0 failed$' "gets both"
is "$(grep -c '^{"result":"stored",.*"package":.*"key":".*"invocation":"' "$T/b/events/current.jsonl")" 2 "and the index is told"
out=$(sync a --all); like "$out" 'pushed 1 .* 2 on both sides already, 1 manifests' "--all takes the rest"
out=$(sync b --all --pull); like "$out" '^pulled 1 ' "in both directions"
runs "both stores hold the same" same a b
out=$(sync b --all); like "$out" '^pulled 0 .*, pushed 0 .*, 3 on both sides already, 0 manifests updated' "and then there is nothing to do"
is "$(stat -c '%a %Y' "$(find "$T/b/blobs" -type f -perm -100)")" "755 1167609600" "a program's blob has its mode and time"

# the format
pack=$remote/artifacts/my_app/$a1.tar.zst
is "$(zstd -dc "$pack" | tar -tf - | head -n 1)" meta.json "a pack is a tar with meta.json first"
is "$(zstd -dc "$pack" | tar -tf - | wc -l | tr -d ' ')" 3 "and the blobs behind it"
like "$(zstd -dc "$pack" | tar -xOf - meta.json)" '"package": "my_app"' "in plain JSON"
is "$(ls "$remote/artifacts")" "_m
my_app
other
serde" "one folder a package, in lower case"

# both have news of one invocation
"$mkstore" "$T/a" my_app two one > "$T/out"
"$mkstore" "$T/b" my_app xthree one > "$T/out"
sync a > "$T/out"; sync b > "$T/out"; out=$(sync a); ok $? "three rounds"
runs "manifests of one invocation are united" same a b
out=$(sync a); like "$out" 'pulled 0 .* pushed 0 .* 0 manifests updated' "and rest then"

# JSON
out=$(sync c --pull --all --json); ok $? "--json"
like "$out" '^\{"dry_run":false,"in_both":0,"pulled":\{"planned":5,"done":5,"unchanged":0,"skipped":0,"failed":0,"bytes":[1-9]' "counts"

# a pack that was damaged, one that is another's, one that is no pack
size=$(stat -c %s "$pack")
good=$T/good.tar.zst; cp "$pack" "$good"
printf 'x' | dd of="$pack" bs=1 seek=$((size / 2)) conv=notrunc 2> "$T/log"
out=$(sync d --pull 2> "$T/err"); ok $((! $?)) "a damaged pack makes the command fail"
like "$(cat "$T/err")" "sync: pull my_app/$(echo "$a1" | cut -c 1-12): (pack|meta.json)" "and is named"
like "$out" ', 1 failed$' "counted"
ok "$(test ! -e "$T/d/entries/$(echo "$a1" | cut -c 1-2)/$a1"; echo $?)" "its entry is not in the store"
is "$(count "$T/d/tmp")" 0 "and tmp is empty"
sync d --pull --allow-partial > "$T/out" 2>&1; ok $? "--allow-partial forgives"
head -c $((size - 20)) "$good" > "$pack"
sync d --pull > "$T/out" 2> "$T/err"; ok $((! $?)) "a pack that was cut short fails"
cp "$remote/artifacts/serde/"*.tar.zst "$pack"
sync d --pull > "$T/out" 2> "$T/err"; like "$(cat "$T/err")" 'another entry than the pack' "a pack under another's name"
cp "$good" "$pack"
out=$(sync d --pull); like "$out" '^pulled 1 ' "the good one is taken afterwards"

# a manifest that lies
m=$(find "$remote/artifacts/_m/serde" -type f)
cp "$m" "$T/manifest"
cp "$(find "$remote/artifacts/_m/other" -type f)" "$m"
sync e --pull > "$T/out" 2> "$T/err"; ok $((! $?)) "a manifest under another's name fails"
like "$(cat "$T/err")" 'manifest serde/.* of another invocation' "and is named"
echo rubbish > "$m"
sync e --pull > "$T/out" 2> "$T/err"; like "$(cat "$T/err")" "remote's manifest is damaged" "rubbish too"
cp "$T/manifest" "$m"

# what is incomplete here does not travel
a9=$("$mkstore" "$T/a" serde nine)
blob=$(grep -rl 'rlib of serde nine' "$T/a/blobs"); chmod u+w "$blob"; rm "$blob"
out=$(sync a 2> "$T/err"); ok $? "a missing blob does not fail the rest"
like "$out" ', 1 skipped, 0 failed$' "it is counted"
ok "$(test ! -e "$remote/artifacts/serde/$a9.tar.zst"; echo $?)" "and not pushed"

# settings
out=$(sync a "--backend=$url?mode=ro" --push 2>&1); like "$out" "^kache: sync: file://.* is read-only$" "mode=ro refuses a push"
out=$(sync a "--backend=$url?prefix=q/r" --push); ok $? "another prefix"
ok "$(test -d "$remote/q/r/my_app"; echo $?)" "is another folder"
out=$(sync f "--backend=$url?prefix=../x" 2>&1); like "$out" "^kache: URL: prefix = '../x' is not accepted" "a prefix can't lead out"
out=$(sync f "--backend=$url?max-object=1" --push 2>&1); like "$out" 'no cache at' "a push needs a store"
out=$(sync a "--backend=$url?max-object=1&prefix=s" --push); like "$out" '[1-9] skipped' "max-object leaves out what is larger"
out=$(sync a "--backend=$url?modus=ro" 2>&1); like "$out" "no option 'modus'; did you mean 'mode'" "unknown options are refused"
out=$(sync a "--backend=$url?tier=5" 2>&1); like "$out" 'tier is not supported' "and those of later versions"
out=$(sync a "--backend=$url?transfer-timeout=soon" 2>&1); like "$out" "transfer-timeout = 'soon' is not accepted; it takes a time as 500ms" "and bad values"
out=$(sync a --backend zz://b 2>&1); like "$out" 'no backend serves zz: URLs; installed ones serve: .*file' "and unknown schemes"
out=$(cd "$T" && "$KACHE" sync --backend "$url" 2>&1); like "$out" 'no Cargo.lock in .* give --all' "outside a project it says what to do"
out=$("$KACHE" sync --all 2>&1); like "$out" 'no remote is configured' "without a remote too"
"$KACHE" sync --bogus > "$T/out" 2>&1; is $? 2 "usage errors exit with 2"
out=$("$KACHE" sync --backend "$url" --manifest-path "$T/project/Cargo.toml" 2>&1); like "$out" 'manifest-path .*No such file' "--manifest-path has to exist"
: > "$T/project/Cargo.toml"
out=$(cd / && KACHE_CACHE_DIR=$T/g "$KACHE" sync --pull --backend "$url" --manifest-path "$T/project/Cargo.toml"); like "$out" '^pulled [1-9]' "and then finds the lock"
finish
