#!/bin/sh
# A workspace is built cold and then restored: in place, at another path, into another target directory.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"

make_workspace "$T/one"
kbuild "$T/one" build || show_log
ok $kb_status "cold build"
is "$(count '^miss')" 5 "every unit is stored" 
is "$(count '^(uncached|passthrough)')" 0 "nothing is left out"
test "$(count '^miss')" = 5 || show_log
is "$("$T/one/target/debug/app")" "2 hello word 7" "the program works"
cp "$T/one/target/debug/app" "$T/app.cold"

rm -rf "$T/one/target"
kbuild "$T/one" build
is "$(count '^hit')" 5 "in place: every unit hits"
is "$(count '^(miss|uncached|passthrough|failed)')" 0 "and nothing else happens"
test "$(count '^hit')" = 5 || show_log
is "$("$T/one/target/debug/app")" "2 hello word 7" "the restored program works"
runs "byte for byte the same program" cmp "$T/app.cold" "$T/one/target/debug/app"
kbuild "$T/one" build
is "$ev" "" "the next build calls no compiler"

make_workspace "$T/some where/two"
kbuild "$T/some where/two" build
is "$(count '^hit lib (leaf|mid)')" 2 "another path: libraries hit"
is "$(count '^hit (build-script|proc-macro)')" 2 "so do build script and macro"
is "$("$T/some where/two/target/debug/app")" "2 hello word 7" "the program works"
unlike "$(cat "$T/some where/two/target/debug/deps/"*.d)" "$T/one" "dep-info names this place"
kbuild "$T/some where/two" build
is "$ev" "" "the next build there calls no compiler"

CARGO_TARGET_DIR=$T/elsewhere kbuild "$T/one" build
is "$(count '^hit')" 5 "another target directory: every unit hits"
test "$(count '^hit')" = 5 || show_log
CARGO_TARGET_DIR=$T/elsewhere kbuild "$T/one" build
is "$ev" "" "and is fresh"

for mode in check test "build --release"; do
	rm -rf "$T/one/target"
	kbuild "$T/one" $mode || show_log
	ok $kb_status "cargo $mode, cold"
	rm -rf "$T/one/target"
	kbuild "$T/one" $mode || show_log
	is "$(count '^(miss|uncached|passthrough|failed)')" 0 "cargo $mode, warm: only hits"
	test "$(count '^(miss|uncached|passthrough|failed)')" = 0 || show_log
	kbuild "$T/one" $mode
	is "$ev" "" "cargo $mode: then fresh"
done
finish
