#!/bin/bash
# Traps: calls of rustc as they can be, beyond what cargo makes of them. Each is made by rustc, then twice by kache, in the
# same place and without other names for it: status, both streams and every file have to be the same, to the byte.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
export KACHE_REMAP=false KACHE_DAEMON=off RUST_BACKTRACE=0
rustc=$(rustc --print sysroot)/bin/rustc

# begin NAME: a fresh place. Calls are made in $W/o, sources are beside it.
begin() { W=$T/$1; mkdir -p "$W/o"; cd "$W" || exit 99; }
files() { find . -type f -printf '%P %m\n' -exec sha256sum {} + | sort; find . -mindepth 1 ! -type f -printf '%P %y\n' | sort; }
# made WHAT COMMAND…: runs it in a directory o as it was before, and keeps what came of it in $W/WHAT.*
made() {
	local what=$1
	shift
	rm -rf "$W/o"
	if test -d "$W/before"; then cp -a "$W/before" "$W/o"; else mkdir "$W/o"; fi
	(cd "$W/o" && "$@") > "$W/$what.out" 2> "$W/$what.err" < "${input:-/dev/null}"
	echo "$?" > "$W/$what.status"
	# Threads and temporary directories have numbers and names of their own in each run.
	sed -i -E "s/^(thread '[^']*') \([0-9]+\)/\1/" "$W/$what.err"
	(cd "$W/o" && files) | sed -E 's,(rustc|rmeta)[A-Za-z0-9]{6}([/ ]),TEMP\2,' | sort > "$W/$what.files"
}
# same EXPECT TEXT ARGUMENT…: hit (of the second), new (a miss, then a hit), pass (never
# stored), any; -names: without the bytes of files (rustc is
# asked for dep-info in any case, and what is asked for is in the crate's hash)
same() {
	local expect=$1 text=$2 bad='' ev what
	shift 2
	made plain "${before[@]}" "$rustc" "$@"
	events > "$T/ignored"
	made first "${before[@]}" "$KACHE" "$rustc" "$@"
	made again "${before[@]}" "$KACHE" "$rustc" "$@"
	ev=$(events)
	case $expect in *-names) sed -i -E 's/^[0-9a-f]{64} //' "$W"/*.files ;; esac
	for what in out err status files; do
		cmp -s "$W/plain.$what" "$W/first.$what" || bad="$bad first:$what"
		cmp -s "$W/plain.$what" "$W/again.$what" || bad="$bad again:$what"
	done
	case $expect in
	hit*) test "$(count '^hit ')" -gt 0 || bad="$bad no-hit" ;;
	new) test "$(printf '%s\n' "$ev" | cut -d' ' -f1 | tr '\n' ' ')" = "miss hit " || bad="$bad not-new" ;;
	pass) test "$(count '^(hit|miss) ')" = 0 || bad="$bad stored" ;;
	esac
	ok "$(test -z "$bad"; echo $?)" "$text"
	test -n "$bad" || return 0
	echo "# wrong:$bad"
	for what in out err status files; do
		diff "$W/plain.$what" "$W/first.$what" | head -n 4 | sed "s/^/# first $what: /"
		diff "$W/plain.$what" "$W/again.$what" | head -n 4 | sed "s/^/# again $what: /"
	done
	printf '%s\n' "$ev" | head -n 4 | sed 's/^/# event: /'
}
before=(env)
lib=(--crate-name l --crate-type lib --out-dir . ../l.rs)
emit=--emit=dep-info,metadata,link

begin outputs
echo 'pub fn f() -> u32 { let unused = 1; 2 }' > l.rs
same hit "a library" "${lib[@]}" "$emit"
same any "without an output directory" --crate-name l --crate-type lib ../l.rs "$emit"
same any "with one that is not there" --crate-name l --crate-type lib ../l.rs "$emit" --out-dir new/dir
same hit-names "without --emit" "${lib[@]}"
same any "-o" "${lib[@]}" -o some.rlib
same any "--emit=kind=path" "${lib[@]}" --emit=link=x.rlib,metadata=y.rmeta,dep-info=z.d
same any "two --emit" "${lib[@]}" --emit=link --emit=dep-info
same any "dep-info on standard output" "${lib[@]}" --emit=dep-info=-
same any "an object on standard output" "${lib[@]}" --emit=obj -o -
same any "all kinds at once" "${lib[@]}" --emit=asm,llvm-bc,llvm-ir,mir,obj,metadata,link,dep-info
same any "several codegen units" "${lib[@]}" --emit=obj -C codegen-units=2
same hit "a name that is longer" "${lib[@]}" "$emit" -C extra-filename=-abc -C metadata=x
same any "save-temps" "${lib[@]}" "$emit" -C save-temps
same any "split debug information, packed" "${lib[@]}" "$emit" -g -C split-debuginfo=packed
same any "split debug information, unpacked" "${lib[@]}" "$emit" -g -C split-debuginfo=unpacked
same hit "this processor" "${lib[@]}" "$emit" -C target-cpu=native
same any "names of files are asked for, too" "${lib[@]}" "$emit" --print=file-names
same any "native libraries as well" --crate-name l --crate-type staticlib ../l.rs --print=native-static-libs
mkdir before; echo old > before/libl.rlib; chmod 444 before/libl.rlib
made again "$KACHE" "$rustc" "${lib[@]}" "$emit"
is "$(cat "$W/again.status")$(grep 'libl.rlib [0-9]' "$W/again.files")" "0libl.rlib 644" "an output that is there and read-only is replaced"
rm -rf before; mkdir -p before/libl.rlib
same any "an output that is a directory" "${lib[@]}" "$emit"
rm -rf before

begin kinds
echo 'fn main() { println!("{}", std::env::args().count()); }' > m.rs
echo '#[no_mangle] pub extern "C" fn value() -> i32 { 1 }' > c.rs
same any "a program" --crate-name m --out-dir . ../m.rs "$emit"
same any "a test of it" --crate-name m --test --out-dir . ../m.rs "$emit"
for kind in cdylib staticlib dylib rlib; do same any "a $kind" --crate-name c --crate-type $kind --out-dir . ../c.rs "$emit"; done
same any "three kinds at once" --crate-name c --crate-type rlib --crate-type cdylib,staticlib --out-dir . ../c.rs "$emit"
echo 'extern crate proc_macro; #[proc_macro] pub fn p(t: proc_macro::TokenStream) -> proc_macro::TokenStream { t }' > p.rs
same any "a macro" --crate-name p --crate-type proc-macro --out-dir . ../p.rs "$emit"
printf '#![crate_name = "zed"]\n#![crate_type = "staticlib"]\n' > z.rs
same any "name and kind in the source" --out-dir . ../z.rs
sed -i 's/"zed"/"zee"/' z.rs
same any "another name in it" --out-dir . ../z.rs

begin diagnostics
printf 'pub fn f() { let unused_variable_with_a_long_name = "and a long value, so that the line is wide enough to be cut at the end of a terminal"; }\n' > l.rs
for format in human short json; do same hit "$format" "${lib[@]}" "$emit" --error-format=$format; done
same hit "with colours" "${lib[@]}" "$emit" --color=always
same hit "json with rendered text" "${lib[@]}" "$emit" --error-format=json --json=diagnostic-rendered-ansi,artifacts,future-incompat
same hit "40 columns" "${lib[@]}" "$emit" --diagnostic-width=40
same any "140 columns" "${lib[@]}" "$emit" --diagnostic-width=140
same any "40 again" "${lib[@]}" "$emit" --diagnostic-width=40
same any "denied" "${lib[@]}" "$emit" -D warnings
same hit "allowed" "${lib[@]}" "$emit" -A warnings
same hit "capped" "${lib[@]}" "$emit" --cap-lints=allow
echo 'pub fn f() -> u32 { "text" }' > l.rs
same any "an error" "${lib[@]}" "$emit"
echo 'pub fn f() -> u32 { 1 }' > l.rs
same hit "and after it is mended" "${lib[@]}" "$emit"

begin odd
echo 'pub fn f() {}' > l.rs
same pass "no argument"
same any "--version" --version
same any "-vV" -vV
same pass "--help" --help
same pass "a flag that there is not" --frobnicate "${lib[@]}"
same pass "a codegen option that there is not" -C frobnicate=1 "${lib[@]}"
same any "a value that is none" -C opt-level=9 "${lib[@]}"
same pass "two inputs" "${lib[@]}" ../l.rs
same any "an input that is not there" --crate-name l --crate-type lib ../none.rs
same any "an edition that there is not" "${lib[@]}" --edition=1999
same any "a target that there is not" "${lib[@]}" --target=none-none-none
same any "a library that there is not" "${lib[@]}" -l static=none_such
same any-names "a dependency that there is not" "${lib[@]}" --extern none=libnone.rlib
same any "an unstable flag" "${lib[@]}" -Z time-passes
before=(env RUSTC_BOOTSTRAP=1)
same any "that is allowed" "${lib[@]}" -Z treat-err-as-bug=1
same any "one that writes files" "${lib[@]}" -Z dump-mir=all
before=(env)
echo 'pub fn f() -> u32 { "text" }' > l.rs
before=(env RUSTC_BOOTSTRAP=1 RUSTC_ICE=0)
same pass "a compiler that crashes" "${lib[@]}" "$emit" -Z treat-err-as-bug=1
before=(env)
echo 'pub fn f() {}' > l.rs
input=$W/l.rs
same any "a source on standard input" --crate-name l --crate-type lib --out-dir . - "$emit"
echo 'pub fn f() -> u32 { 3 }' > l.rs
same any "another one there" --crate-name l --crate-type lib --out-dir . - "$emit"
input=

begin arguments
echo '#[cfg(a)] pub fn a() {} #[cfg(b)] pub fn b() {} pub fn f() {}' > l.rs
printf '%s\n' --crate-name l --crate-type lib --out-dir . ../l.rs "$emit" > args
same any "arguments in a file" @../args
printf '%s\n' --cfg a >> args
same any "that changes" @../args
printf '%s\n' @../args --cfg b > more
same any "that names another" @../more
same any "that is not there" @../none
for ((i = 0; i < 30000; i++)); do printf -- '--cfg\nmany%d\n' $i; done > many
mapfile -t many < many
same hit "sixty thousand arguments" "${lib[@]}" "$emit" "${many[@]}"
same any "an empty argument" "${lib[@]}" ''
same any "an argument that is not UTF-8" "${lib[@]}" --cfg $'x="\377"'
same hit "a cfg with a line break" "${lib[@]}" "$emit" --cfg $'x="a\nb"'
for name in 'a b' 'a: b' '$HOME' 'a\b' '#a' "a'b" 'a"b' $'a\nb' $'\303\274' '-a'; do
	mkdir -p "$W/$name"
	printf 'mod inner; pub const T: &str = include_str!("t x");\n' > "$W/$name/l.rs"
	echo 'pub fn f() {}' > "$W/$name/inner.rs"
	echo one > "$W/$name/t x"
	case $name in *$'\n'*) expect=any ;; *) expect=hit ;; esac	# dep-info has no way to write it
	same $expect "a directory called $(printf %q "$name")" --crate-name l --crate-type lib --out-dir . "../$name/l.rs" "$emit"
	echo two > "$W/$name/t x"
	same any "and a file changes there" --crate-name l --crate-type lib --out-dir . "../$name/l.rs" "$emit"
done

begin streams
echo 'pub fn f() { let unused = 1; }' > l.rs
closed() { local how=$1; shift; case $how in in) "$@" <&- ;; out) "$@" >&- ;; err) "$@" 2>&- ;; all) "$@" <&- >&- 2>&- ;; esac; }
for how in in out err all; do
	before=(closed $how)
	same any "closed: $how" "${lib[@]}" "$emit"
done
before=(env RUSTC_LOG=rustc_metadata=info)
same any "RUSTC_LOG" "${lib[@]}" "$emit"
before=(env)

# Files that arguments name and that are replaced in place. The profiles tell of one function other counts each.
begin named_files
echo '#[no_mangle] pub extern "C" fn hot(a: u32) -> u32 { if a > 3 { a * 2 } else { 7 } }' > l.rs
for i in 1 2; do
	cp "$srcdir/tests/traps/profile-$i.profdata" p.profdata
	same any "profile $i" "${lib[@]}" "$emit" --emit=llvm-ir -C codegen-units=1 -C opt-level=2 -C profile-use="$W/p.profdata"
	like "$(cat "$W/again.err")" "up to ${i}00 count" "which is the one that counts"
done
same any "profile-generate" "${lib[@]}" "$emit" -C profile-generate="$W/o"
same any "coverage" "${lib[@]}" "$emit" -C instrument-coverage
echo '#![feature(no_core)] #![no_core]' > l.rs
before=(env RUSTC_BOOTSTRAP=1)
RUSTC_BOOTSTRAP=1 "$rustc" --print target-spec-json -Z unstable-options > mine.json
same any "a target of one's own" "${lib[@]}" --emit=dep-info,metadata,llvm-ir --target ../mine.json -Z unstable-options
sed -i 's/"cpu": "x86-64"/"cpu": "x86-64-v3"/' mine.json
same any "which is edited in place" "${lib[@]}" --emit=dep-info,metadata,llvm-ir --target ../mine.json -Z unstable-options
before=(env RUSTC_BOOTSTRAP=1 RUST_TARGET_PATH="$W")
same any "and found along RUST_TARGET_PATH" "${lib[@]}" --emit=dep-info,metadata,llvm-ir --target mine -Z unstable-options
sed -i 's/"cpu": "x86-64-v3"/"cpu": "x86-64-v2"/' mine.json
same any "and edited again" "${lib[@]}" --emit=dep-info,metadata,llvm-ir --target mine -Z unstable-options
before=(env)

# Variables that rustc reads, and those that a user names.
begin counted
echo 'pub fn f() {}' > l.rs
same new "no variable" "${lib[@]}" "$emit" -g
for v in RUSTC_BOOTSTRAP=1 RUSTC_BOOTSTRAP=l RUSTC_FORCE_RUSTC_VERSION=1.2.3 RUSTC_OVERRIDE_VERSION_STRING=1.2.3 LLVM_OVERRIDE_PRODUCER=x RUST_TARGET_PATH=/none; do
	before=(env $v)
	same new "$v" "${lib[@]}" "$emit" -g
done
before=(env KACHE_KEY_SALT=s)
same new "a salt" "${lib[@]}" "$emit" -g
before=(env KACHE_KEY_ENV=MINE,YOURS MINE=1)
same new "a variable of the user's choice" "${lib[@]}" "$emit" -g
before=(env KACHE_KEY_ENV=MINE,YOURS MINE=2)
same new "its other value" "${lib[@]}" "$emit" -g
before=(env KACHE_KEY_ENV=MINE,YOURS)
same new "and none" "${lib[@]}" "$emit" -g
before=(env MINE=2)
same hit "which nobody else sees" "${lib[@]}" "$emit" -g
before=(env)

# Incremental compiles go on where rustc left off.
begin incremental
export KACHE_INCREMENTAL=never
echo 'pub fn f() -> u32 { 1 }' > l.rs
mkdir before
"$rustc" --crate-name l --crate-type lib l.rs "$emit" -C incremental="$W/before/inc" --out-dir before > log 2>&1
ok $? "an incremental compile"
echo 'pub fn f() -> u32 { 2 }' > l.rs
(cd before && "$KACHE" "$rustc" "${lib[@]}" "$emit" -C incremental="$W/before/inc") > log 2>&1
ok $? "goes on with kache"
"$rustc" --crate-name l --crate-type lib l.rs "$emit" -C incremental="$W/before/inc" --out-dir before > log 2>&1
ok $? "and without it"

# What is no rustc, or is called in another way.
begin programs
echo 'pub fn f() {}' > l.rs
is "$("$KACHE" /bin/echo --crate-name x)" "--crate-name x" "a program that is no rustc is run"
"$KACHE" /bin/sh -c 'exit 42' rustc; is $? 42 "with its status"
"$KACHE" "$T/none/rustc" "${lib[@]}" > out 2> err; is $? 127 "one that is not there"
like "$(cat err)" 'none/rustc' "is named"
{ "$KACHE" /bin/sh -c 'kill -9 $$' rustc; } > out 2>&1; is $? 137 "one that is killed"
ln -s "$rustc" "$W/rustc"
rustc=./../rustc
same any "a relative link to rustc" "${lib[@]}" "$emit"
finish
