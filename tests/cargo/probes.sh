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

# autocfg's questions have names at random.
feed='pub fn g() -> u32 { 4 }'
autocfg() { # autocfg NAME [ARGUMENT…]
	printf '%s' "$feed" > "$T/in"
	ask --crate-name "$@" --crate-type=lib --out-dir "$OUT_DIR" --emit=llvm-ir - < "$T/in"
}
autocfg autocfg_0123456789abcdef_0
like "$(last)" '"result":"probe-miss"' "autocfg: asked first"
is "$code $(ls out)" "0 autocfg_0123456789abcdef_0.ll" "autocfg: the file has the name"
cp out/*.ll "$T/first.ll"; rm out/*
autocfg autocfg_fedcba9876543210_0
like "$(last)" '"result":"probe-hit"' "autocfg: with another name it is answered"
is "$code $(ls out)" "0 autocfg_fedcba9876543210_0.ll" "autocfg: its file has the other name"
runs "autocfg: and is the same" cmp out/autocfg_fedcba9876543210_0.ll "$T/first.ll"
rm out/*
autocfg autocfg_fedcba9876543210_1
like "$(last)" '"result":"probe-miss"' "autocfg: the next one is another"
feed='pub fn g() -> u32 { 5 }'
autocfg autocfg_0000000000000000_0
like "$(last)" '"result":"probe-miss"' "autocfg: another source is another"
feed='pub fn g() -> u32 { broken }'
for name in autocfg_1111111111111111_2 autocfg_2222222222222222_2; do rm -f out/*; autocfg $name; done
is "$code $(ls out)" "1 " "autocfg: what does not compile leaves nothing"
like "$(last)" '"result":"probe-hit"' "autocfg: and is answered, too"
feed='pub fn g() -> &'"'"'static str { concat!(module_path!(), "!") }'
for name in autocfg_123456789abcdef_0 autocfg_0123456789abcdeff_0 autocfg_0123456789abcdeg_0 autocfg_0123456789abcdef_ xautocfg_0123456789abcdef_0; do
	rm -f out/*
	autocfg $name
	runs "$name is a name like others" grep -q "$name" "out/$name.ll"
done
rm -f out/*
printf '%s' "$feed" > "$T/in"
ask --crate-name=autocfg_4444444444444444_0 --crate-type=lib --out-dir "$OUT_DIR" --emit=llvm-ir - < "$T/in"
is "$(ls out)" autocfg_4444444444444444_0.ll "one word is as good as two"
runs "one word is as good as two: the name is all questions'" grep -q autocfg_0000000000000000_0 out/*.ll
ask --crate-name=autocfg_5555555555555555_0 --crate-type=lib --emit=llvm-ir -o - - < "$T/in"
runs "on standard output there is no other name" grep -q autocfg_5555555555555555_0 "$T/o"
rm -f out/*
autocfg autocfg_6666666666666666_0 -C extra-filename=-x
is "$(ls out)" autocfg_6666666666666666_0-x.ll "nor with something behind the name"
rm -f out/*
autocfg autocfg_3333333333333333_0 -o "$T/named.ll"
runs "where the file is named, too" grep -q autocfg_3333333333333333_0 "$T/named.ll"

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
