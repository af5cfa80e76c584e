#!/bin/sh
# Real projects from packages of crates.io, with build systems of their own: plainly, through kache with nothing stored, and again.
# Archives and objects have to be the same to the byte, and what is built again has to hit, each compile of it.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
. "$srcdir/tests/lib/cc.sh"
need make cmake
registry=$CARGO_HOME/registry/src

# get CRATE VERSION PART DIR: a directory of a package, as published; where it can't be had its tests are left out, by name.
get() {
	mkdir -p "$T/get/src"
	: > "$T/get/src/lib.rs"
	printf '[package]\nname = "get"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n[workspace]\n' "$1" "$2" > "$T/get/Cargo.toml"
	rm -f "$T/get/Cargo.lock"
	if ! (cd "$T/get" && CARGO_NET_OFFLINE=false cargo fetch -q) > "$T/get.log" 2>&1; then
		test "${CI:-}" != true || ok 1 "$1 can be had"
		echo "# $1 $2 can't be had: left out"
		return 1
	fi
	cp -r "$registry"/*/"$1-$2"*/"$3" "$4" && chmod -R u+w "$4"
}

# build NAME: what build_NAME made, into $T/NAME; its events into $ev.
build() {
	(cd "$P" && "$2") > "$T/log" 2>&1
	is $? 0 "$project, $1: builds"
	test $tap_bad = 0 || tail -n 5 "$T/log" | sed 's/^/# /'
	rm -rf "$T/$1"
	mkdir "$T/$1"
	(cd "$P" && find . -name '*.o' -o -name '*.a' | grep -v CompilerId | while read -r f; do cp "$f" "$T/$1/$(echo "$f" | tr / _)"; done)
	ev=$(events)
}
same() { diff -r "$T/plain" "$T/$1" > "$T/diff"; ok $? "$project, $1: the same bytes"; head -n 5 "$T/diff" | sed 's/^/# /'; }

# three PROJECT COMPILES FUNCTION: launch is what goes before the compiler.
three() {
	project=$1
	rm -rf "$KACHE_CACHE_DIR" "$T/events.seen"
	launch= build plain "$3"
	launch=$KACHE build cold "$3"
	same cold
	is "$(count '^miss object')" "$2" "$project, cold: so many compiles"
	launch=$KACHE build warm "$3"
	same warm
	is "$(count '^hit object')" "$2" "$project, warm: each of them hits"
	is "$(count '^(miss|uncached) ')" 0 "$project, warm: nothing else is compiled"
	printf '%s\n' "$ev" | grep -E '^(miss|uncached) ' | sed 's/^/# /' | head -n 5
	printf '%s\n' "$ev" | sed -n 's/^passthrough [^ ]* [^ ]* \([^ ]*\).*/\1/p' | sort | uniq -c | sed "s/^/# passed through:/"
}

# moved PROJECT COMPILES FUNCTION: another checkout, with the root of each as base directory. Plainly that is a flag in $map.
moved() {
	project="$1 elsewhere"
	from=$P
	P=$T/another/place/$1
	mkdir -p "$T/another/place"
	cp -r "$from" "$P"
	launch= map=-ffile-prefix-map=$P=. build plain "$3"
	map=
	P=$from
	launch=$KACHE KACHE_BASE_DIR=$P build first "$3"
	P=$T/another/place/$1
	launch=$KACHE KACHE_BASE_DIR=$P build cold "$3"
	same cold
	is "$(count '^hit object')" "$2" "$project: each compile hits"
	is "$(count '^(miss|uncached) ')" 0 "$project: nothing else is compiled"
}
map=

P=$T/zstd
if get librocksdb-sys 6.20.3 zstd "$P"; then
	build_zstd() { make -s -C lib clean && make -s -j2 -C lib libzstd.a CFLAGS=-O0 CC="${launch:+$launch }gcc"; }
	make_compiles=$(make -n -C "$P/lib" libzstd.a 2> /dev/null | grep -c ' -c ')
	three zstd "$make_compiles" build_zstd
fi

P=$T/snappy
if command -v ninja > /dev/null && get librocksdb-sys 6.20.3 snappy "$P"; then
	build_snappy() {
		rm -rf out
		cmake -G Ninja -S . -B out -DSNAPPY_BUILD_TESTS=OFF -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS=$map" \
			${launch:+"-DCMAKE_C_COMPILER_LAUNCHER=$launch" "-DCMAKE_CXX_COMPILER_LAUNCHER=$launch"} || return
		events > "$T/ignored"	# what CMake tries out
		ninja -C out -j2
	}
	three snappy 4 build_snappy
	moved snappy 4 build_snappy
fi

P=$T/libffi
if get libffi-sys 3.3.3 libffi "$P"; then
	build_libffi() {
		rm -rf out
		mkdir out
		cd out || return
		sh ../configure -q --disable-shared --disable-docs --disable-dependency-tracking CC="${launch:+$launch }gcc" CFLAGS='-O1 -g' || return
		events > "$T/ignored"	# what configure tries out
		make -s -j2
	}
	three libffi 10 build_libffi
fi

P=$T/native
mkdir "$P"
if get libz-sys 1.1.31 src/zlib "$T/zlib"; then
	mkdir "$P/src"
	printf '[package]\nname = "native"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\nlibz-sys = { version = "=1.1.31", default-features = false, features = ["static"] }\n[workspace]\n' > "$P/Cargo.toml"
	printf 'fn main() { println!("{}", unsafe { libz_sys::zlibCompileFlags() } != 0); }\n' > "$P/src/main.rs"
	build_native() {
		rm -rf target
		env CARGO_INCREMENTAL=0 ${launch:+RUSTC_WRAPPER="$launch" CC="$launch cc"} cargo build -q --target-dir target && target/debug/native
	}
	(cd "$P" && CARGO_NET_OFFLINE=false cargo fetch -q) > "$T/get.log" 2>&1
	three libz-sys 15 build_native
	cp -r "$P" "$T/native2"
	P=$T/native2 project="libz-sys elsewhere"
	launch=$KACHE build warm build_native
	same warm
	is "$(count '^hit object')" 15 "$project: each compile hits"
fi
finish
