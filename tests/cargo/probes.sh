#!/bin/sh
# Questions that cargo and build scripts ask the compiler are answered from the cache, also where the answer
# is no, and asked again where it could differ.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"

mkdir -p "$T/p/out"
cd "$T/p" || exit 99
last() { tail -n 1 "$KACHE_CACHE_DIR/events/current.jsonl"; }
ask() { # ask ARGUMENTS…: standard output in $T/o, error in $T/e, exit code in $code
	"$KACHE" rustc "$@" > "$T/o" 2> "$T/e"
	code=$?
}
twice() { # twice NAME CODE ARGUMENTS…
	name=$1 want=$2
	shift 2
	if test -n "${feed:-}"; then printf '%s' "$feed" > "$T/in"; else : > "$T/in"; fi
	ask "$@" < "$T/in"
	is "$code" "$want" "$name: exit code"
	cp "$T/o" "$T/o1"; cp "$T/e" "$T/e1"
	rm -rf out/*
	ask "$@" < "$T/in"
	like "$(last)" '"result":"probe-hit"' "$name: answered from the cache"
	is "$code" "$want" "$name: same exit code"
	cmp -s "$T/o" "$T/o1" && cmp -s "$T/e" "$T/e1"
	ok $? "$name: same output"
}
twice "version" 0 -vV
twice "print" 0 - --crate-name ___ --print=file-names --crate-type bin --print=sysroot --print=cfg
export OUT_DIR="$T/p/out" CARGO_PKG_NAME=probe
echo 'pub fn f() {}' > "$T/good.rs"
echo '#![feature(no_such_feature_at_all)] pub fn f() {}' > "$T/bad.rs"
twice "a probe that compiles" 0 --edition=2021 --crate-name=probe --crate-type=lib --emit=metadata --out-dir "$OUT_DIR" "$T/good.rs"
test -f out/libprobe.rmeta; ok $? "its output is there"
is "$(ls out)" libprobe.rmeta "and nothing else"
twice "a probe that fails" 1 --edition=2021 --crate-name=probe --crate-type=lib --emit=metadata --out-dir "$OUT_DIR" "$T/bad.rs"
is "$(ls out)" "" "and leaves nothing"
feed='pub fn g() -> u32 { 3 }'
twice "source on standard input" 0 --crate-name probe --crate-type=lib --emit=llvm-ir --out-dir "$OUT_DIR" -
test -f out/probe.ll; ok $? "its output is there"
twice "output on standard output" 0 --crate-name probe --crate-type=lib --emit=metadata -o - -
test -s "$T/o"; ok $? "is the metadata"
feed='pub fn g() { broken }'
twice "an error on standard input" 1 --crate-name probe --crate-type=lib --emit=llvm-ir --out-dir "$OUT_DIR" -

# What changes the answer.
echo 'pub fn f( {}' > "$T/good.rs"
ask --edition=2021 --crate-name=probe --crate-type=lib --emit=metadata --out-dir "$OUT_DIR" "$T/good.rs"
is "$code" 1 "another source, another answer"
echo '#![feature(never_type)] pub fn f() {}' > "$T/bad.rs"
ask --crate-name=probe --crate-type=lib --emit=metadata --out-dir "$OUT_DIR" "$T/bad.rs"
stable=$code
RUSTC_BOOTSTRAP=1 ask --crate-name=probe --crate-type=lib --emit=metadata --out-dir "$OUT_DIR" "$T/bad.rs"
is "$code" 0 "RUSTC_BOOTSTRAP, another answer (it was $stable)"

# Failed compiles that are no probes are never stored.
unset OUT_DIR
mkdir -p "$T/p/lib"
for i in 1 2; do ask --crate-name=probe --crate-type=lib --emit=metadata --out-dir "$T/p/lib" "$T/good.rs"; done
like "$(last)" '"result":"failed"' "an error of a crate is compiled each time"
finish
