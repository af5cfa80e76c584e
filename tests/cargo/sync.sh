#!/bin/sh
# A second machine (another cache directory and checkout) has its hits from a shared directory.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
export KACHE_INCREMENTAL=never

test -f "$builddir/backends/fs/.libs/kache-fs.so" || skip_all "the fs backend was left out of this build"
mkdir "$T/modules"
install -m 755 "$builddir/backends/fs/.libs/kache-fs.so" "$T/modules/kache-fs.so"
export KACHE_PLUGIN_PATH="$T/modules"
url=file://$T/shared

make_workspace "$T/one"
kbuild "$T/one" build || show_log
out=$(cd "$T/one" && "$KACHE" sync --push --backend "$url" 2>&1); ok $? "the first machine pushes"
like "$out" '^pulled 0 .*, pushed [1-9][0-9]* .*, 0 failed$' "what it has compiled"

export KACHE_CACHE_DIR="$T/second"
rm -f "$T/events.seen"
make_workspace "$T/elsewhere/two"
out=$(cd "$T/elsewhere/two" && "$KACHE" sync --pull --backend "$url" 2>&1); ok $((! $?)) "without a Cargo.lock there is nothing to go by"
(cd "$T/elsewhere/two" && cargo generate-lockfile) > "$T/log" 2>&1 || sed 's/^/# /' "$T/log"
out=$(cd "$T/elsewhere/two" && "$KACHE" sync --pull --backend "$url" 2>&1); ok $? "the second machine pulls"
like "$out" '^pulled [1-9][0-9]* .*, 0 failed$' "by its Cargo.lock"
kbuild "$T/elsewhere/two" build || show_log
is "$(count '^hit lib (leaf|mid)')" 2 "libraries hit"
is "$(count '^hit (build-script|proc-macro)')" 2 "so do build script and macro"
is "$("$T/elsewhere/two/target/debug/app")" "2 hello word 7" "and it works"
kbuild "$T/elsewhere/two" build
is "$ev" "" "cargo finds the result fresh"

# as in CI: the same path on a fresh machine
export KACHE_CACHE_DIR="$T/third"
rm -rf "$T/events.seen" "$T/one/target"
(cd "$T/one" && "$KACHE" sync --pull --backend "$url") > "$T/log" 2>&1; ok $? "a third machine with the same path"
kbuild "$T/one" build || show_log
is "$(count '^hit')" 5 "hits everything"
is "$(count '^(miss|uncached|passthrough|failed)')" 0 "and compiles nothing"

# What build scripts said is for the machine that they ran on.
export KACHE_CACHE_DIR="$T/fourth" KACHE_BUILD_SCRIPTS=1
rm -rf "$T/events.seen" "$T/one/target"
KACHE_BACKEND=$url kbuild "$T/one" build || show_log
is "$(count '^hit')" 5 "a fourth one has all compiles from there"
is "$(count '^miss script-run')" 1 "and runs the build script"
is "$("$T/one/target/debug/app")" "2 hello word 7" "it works"
"$builddir/kache-cli" daemon stop > "$T/log" 2>&1
entries=$(find "$T/shared" -type f | wc -l)
out=$(cd "$T/one" && "$KACHE" sync --push --backend "$url" 2>&1); ok $? "it pushes"
is "$(find "$T/shared" -type f | wc -l)" "$entries" "nothing new"
rm -f "$KACHE_CACHE_DIR"/index.db*
out=$(cd "$T/one" && "$KACHE" sync --push --backend "$url" 2>&1); ok $? "also where the files tell what there is"
is "$(find "$T/shared" -type f | wc -l)" "$entries" "nothing new"
rm -rf "$T/one/target"
KACHE_BACKEND=$url kbuild "$T/one" build
is "$(count '^hit') $(count '^hit script-run')" "6 1" "all of it here"
finish
