#!/bin/sh
# A hit is cheap by count: at most 120 system calls for 20 inputs and 5 dependencies, no other program, no
# database; and the wrapper is small.
. "$(dirname "$0")/../lib/lib.sh"
need rustc strace

size=$(wc -c < "$KACHE")
# The bounds are the musl build's; others have another C library in them.
musl=no
grep -q 'HOT_CC.*musl' "$builddir/config.status" && ! grep -q 'fsanitize' "$builddir/config.status" && musl=yes
if test $musl = yes; then
	test "$size" -lt 409600
	ok $? "the wrapper has less than 400 KiB ($size bytes)"
fi
rustc=$(rustup which rustc 2> /dev/null || command -v rustc)
mkdir -p "$T/p/src" "$T/p/target/debug/deps"
cd "$T/p" || exit 99
deps=$T/p/target/debug/deps
set --
for d in 1 2 3 4 5; do
	echo "pub fn d$d() {}" > src/d$d.rs
	"$KACHE" "$rustc" --crate-name d$d --crate-type lib --emit=dep-info,metadata,link --out-dir "$deps" src/d$d.rs
	set -- "$@" --extern "d$d=$deps/libd$d.rmeta"
done
for i in $(seq 19); do echo "mod m$i;"; echo "pub fn f() {}" > src/m$i.rs; done > src/lib.rs
for d in 1 2 3 4 5; do echo "pub fn u$d() { d$d::d$d() }"; done >> src/lib.rs
externs="$*"
compile() {
	# shellcheck disable=SC2086 # the paths of this test have no blanks
	"$@" "$KACHE" "$rustc" --crate-name hit --edition 2021 --crate-type lib --emit=dep-info,metadata,link \
		--error-format=json --json=artifacts -L "dependency=$deps" $externs --out-dir "$deps" src/lib.rs 2> /dev/null
}
touch -d '1 hour ago' src/*.rs
compile env
compile env	# what was too young to be remembered is by now
sleep 3
compile env
rm -f "$deps"/*hit*
compile strace -f -o "$T/trace"
runs "the library is there" test -f "$deps/libhit.rlib"
like "$(tail -n 1 "$KACHE_CACHE_DIR/events/current.jsonl")" '"result":"hit"' "it was a hit"
calls=$(grep -c '(' "$T/trace")
if test $musl = no; then
	echo "# $calls system calls, with another C library than musl"
else
	test "$calls" -le 120
	ok $? "at most 120 system calls ($calls)"
fi
is "$(grep -cE '^[0-9]+ +(execve|fork|vfork|clone3?)\(' "$T/trace")" 1 "no program but itself"
unlike "$(grep 'open' "$T/trace")" 'index\.db|\.so"' "no database, no module"
finish
