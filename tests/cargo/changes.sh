#!/bin/sh
# What changes the outcome is a miss, and changing it back is a hit.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
export KACHE_INCREMENTAL=never

W=$T/w
make_workspace "$W"
kbuild "$W" build || show_log
app() { "$W/target/debug/app"; }
rebuild() { rm -rf "$W/target"; kbuild "$W" build || show_log; }

printf 'world' > "$W/leaf/src/text.txt"
rebuild
is "$(app)" "2 world word 7" "an included file"
printf 'hello' > "$W/leaf/src/text.txt"
rebuild
is "$(app)" "2 hello word 7" "and back"
is "$(count '^miss')" 0 "back is a hit"

touch -r "$W/leaf/src/text.txt" "$T/stamp"
printf 'HELLO' > "$W/leaf/src/text.txt"
touch -r "$T/stamp" "$W/leaf/src/text.txt"
rebuild
is "$(app)" "2 HELLO word 7" "same size, same time, other content"

printf 'WORD' > "$W/app/word.txt"
rebuild
is "$(app)" "2 HELLO WORD 7" "a file that a macro reads behind the compiler's back"
export MACRO_WORD=s
rebuild
is "$(app)" "2 HELLO WORDs 7" "a variable that a macro reads"
unset MACRO_WORD
rebuild
is "$(app)" "2 HELLO WORD 7" "unset again"

printf '8' > "$W/app/number.txt"
rebuild
is "$(app)" "2 HELLO WORD 8" "generated code under the same path"

printf 'pub fn number() -> u32 { 3 }\npub fn text() -> &%sstatic str { include_str!("text.txt") }\n' "'" > "$W/leaf/src/lib.rs"
rebuild
is "$(app)" "6 HELLO WORD 8" "a source two crates down"

mkdir -p "$W/mid/src/inner"
echo 'pub fn extra() -> u32 { 0 }' > "$W/mid/src/inner/mod.rs"
rm -rf "$W/target"
kbuild "$W" build
ok $((kb_status == 0)) "a second file for a module is an error, not a hit"
like "$(cat "$T/build.log")" "E0761" "the compiler's own error"
rm -rf "$W/mid/src/inner"
rebuild
is "$(app)" "6 HELLO WORD 8" "gone again, hit again"

RUSTFLAGS="--cfg frob" kbuild "$W" build
is "$(count '^hit lib')" 0 "other flags miss"
export RUSTFLAGS="-D warnings"
printf 'pub fn number() -> u32 { let unused = 1; 3 }\npub fn text() -> &%sstatic str { include_str!("text.txt") }\n' "'" > "$W/leaf/src/lib.rs"
unset RUSTFLAGS
rebuild
like "$(cat "$T/build.log")" "unused variable" "a warning is shown on a miss"
rebuild
like "$(cat "$T/build.log")" "unused variable" "and on a hit"
is "$(count '^hit lib leaf')" 1 "it was a hit"
export RUSTFLAGS="-D warnings"
rm -rf "$W/target"
kbuild "$W" build
ok $((kb_status == 0)) "a warning that became an error is an error"
unset RUSTFLAGS

make_workspace "$W"
cp -r "$W" "$T/moved"
kbuild "$T/moved" build
is "$("$T/moved/target/debug/app")" "2 hello word 7" "a moved checkout"
printf 'other' > "$T/moved/app/word.txt"
rm -rf "$T/moved/target"
kbuild "$T/moved" build
is "$("$T/moved/target/debug/app")" "2 hello other 7" "with a file of its own for the macro"
finish
