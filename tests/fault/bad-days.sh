#!/bin/sh
# Whatever is wrong with the cache, the compile is a normal one, with one line of warning at most.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/compile.sh"
need strace
warned() { like "$log" "$1" "$2"; }

mkdir -p "$XDG_CONFIG_HOME/kache" "$XDG_RUNTIME_DIR"
printf '[cache]\nlocal_max_sise = "1GB"\n' > "$XDG_CONFIG_HOME/kache/config.toml"
compile
good "unknown key"
warned 'config.toml:2: unknown key cache.local_max_sise; did you mean cache.local_max_size' "unknown key: file, line and the nearest name"
printf '[cache\n' > "$XDG_CONFIG_HOME/kache/config.toml"
rm -rf "$XDG_RUNTIME_DIR/kache"
compile
good "broken configuration"
warned 'config.toml:1: ' "broken configuration: file and line"
compile sh -c '"$@"; "$@"; exit $?' build
is "$(printf '%s\n' "$log" | grep -c kache:)" 1 "two calls of one build warn once"
rm "$XDG_CONFIG_HOME/kache/config.toml"

fresh() { rm -rf "$KACHE_CACHE_DIR" "$XDG_RUNTIME_DIR/kache"; }
fresh
echo file > "$T/cache"
compile
good "cache directory is a file"
warned 'cache' "cache directory is a file: says so"
rm -f "$T/cache"

fresh
mkdir -p "$T/cache"
echo data > "$T/cache/precious"
compile
good "cache directory is somebody else's"
warned 'not a kache store' "somebody else's: says so"
is "$(ls "$T/cache")" precious "somebody else's: nothing is touched"

fresh
mkdir -p "$T/cache"
echo 'kache store 999' > "$T/cache/format"
compile
good "newer store format"
warned 'store format 999' "newer store format: says so"
is "$(ls "$T/cache")" format "newer store format: nothing is touched"

# Errors of the file system, injected into kache alone (not -f): full disk, I/O errors, no more descriptors.
for e in ENOSPC EIO EROFS EDQUOT; do
	for call in open,openat write,writev copy_file_range link rename mkdir; do
		fresh
		compile                     # a sound store first, so that the injection meets the publish
		# Opening fails for the store's own files alone: where kache ends as the compiler, that one opens too.
		only=
		test $call = open,openat && only=$(find "$KACHE_CACHE_DIR" -type f | sed 's/^/-P /')
		rm -rf "$KACHE_CACHE_DIR"/entries/* "$KACHE_CACHE_DIR"/manifests/* "$KACHE_CACHE_DIR"/blobs/*
		rm -rf "$XDG_RUNTIME_DIR/kache"
		when=1+
		test $call = write,writev && when=3+
		test $call = copy_file_range && when=1+
		case $call in link*|rename*|mkdir) when=1+ ;; esac
		log=
		rm -rf "$T/out"; mkdir -p "$T/out"
		# shellcheck disable=SC2086 # words
		log=$(strace -qq -o "$T/strace" $only -e trace=$call -e inject=$call:error=$e:when=$when "$KACHE" rustc --crate-name x \
			--crate-type bin --emit=dep-info,link --out-dir "$T/out" x.rs 2>&1)
		status=$?
		bad=0
		test $status -eq 0 || bad=1
		test "$("$T/out/x" 2>&1)" = one || bad=1
		test "$(printf '%s\n' "$log" | grep -c kache:)" -le 1 || bad=1
		ok $bad "$e from $call: a normal compile"
		test $bad = 0 || printf '%s\n' "$log" | head -n 5 | sed "s/^/# $status /"
	done
done

fresh
compile
cp -a "$KACHE_CACHE_DIR" "$T/sound"
restore() { rm -rf "$KACHE_CACHE_DIR"; cp -a "$T/sound" "$KACHE_CACHE_DIR"; }
# damage KIND: flips a byte in the middle of every file of that kind.
damage() {
	find "$KACHE_CACHE_DIR/$1" -type f | while read -r f; do
		size=$(wc -c < "$f")
		printf '\125' | dd of="$f" bs=1 seek=$((size / 2)) conv=notrunc 2> /dev/null
	done
}
for kind in entries manifests compilers blobs; do
	restore
	damage $kind
	compile
	good "damaged $kind"
	compile
	good "damaged $kind, once more"
	restore
	find "$KACHE_CACHE_DIR/$kind" -type f -exec truncate -s 3 {} +
	compile
	good "truncated $kind"
	restore
	find "$KACHE_CACHE_DIR/$kind" -type f -delete
	compile
	good "missing $kind"
done
restore
head -c 100000 /dev/urandom > "$KACHE_CACHE_DIR/inputs.map"
compile
good "garbage for inputs.map"

compile
echo garbage > "$KACHE_CACHE_DIR/index.db"
log=$("$builddir/kache-cli" stats 2>&1)
is $? 0 "a damaged index is made anew"
like "$log" 'Misses' "and answers"

printf 'fn main() { broken\n' > x.rs
compile
is "$status" 1 "an error of the program keeps its exit code"
like "$log" 'error' "and its message"
is "$(ls "$T/out")" "" "and leaves nothing"
finish
