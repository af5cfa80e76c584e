#!/bin/sh
# Many cargo builds at once on one store, of projects that share most of their crates, while gc takes away what it can and the doctor looks
# through the store: every build is right. CROWD is how many (default: 16).
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
export KACHE_INCREMENTAL=never CARGO_INCREMENTAL=0
crowd=${CROWD:-16}

make_workspace "$T/w"
(cd "$T/w" && cargo generate-lockfile -q)
i=1
while test $i -le 4; do
	cp -r "$T/w" "$T/p$i"
	make_leaf "$T/p$i" $i
	i=$((i + 1))
done

# crowd ROUND: all at once; each in a target directory of its own
crowd() {
	rm -f "$T/stop"
	( removed=0 runs=0
	while test ! -e "$T/stop"; do
		n=$("$builddir/tests/fault/gc-now" "$KACHE_CACHE_DIR" 1000000) && removed=$((removed + n)) runs=$((runs + 1))
		sleep 0.1
	done
	echo "$removed $runs" > "$T/gc" ) &
	gc=$!
	( while test ! -e "$T/stop"; do "$builddir/kache-cli" doctor --verify > /dev/null 2>&1; sleep 0.3; done ) &
	doctor=$!
	jobs=
	i=1
	while test $i -le "$crowd"; do
		p=$((i % 4 + 1))
		( cd "$T/p$p" && RUSTC_WRAPPER=$KACHE CARGO_TARGET_DIR=$T/target.$i cargo build -j1 > "$T/log.$i" 2>&1
		echo $? > "$T/status.$i" ) &
		jobs="$jobs $!"
		i=$((i + 1))
	done
	wait $jobs
	touch "$T/stop"
	wait $gc $doctor
	bad=0 i=1
	while test $i -le "$crowd"; do
		p=$((i % 4 + 1))
		test "$(cat "$T/status.$i")" = 0 && test "$("$T/target.$i/debug/app")" = "$((2 * p)) hello word 7" ||
			{ bad=$((bad + 1)); echo "# build $i:"; tail -n 5 "$T/log.$i" | sed 's/^/#   /'; }
		grep -q 'kache:' "$T/log.$i" && { bad=$((bad + 1)); grep 'kache:' "$T/log.$i" | head -n 2 | sed 's/^/# says /'; }
		i=$((i + 1))
	done
	is $bad 0 "$1: $crowd builds at once are right"
	read -r removed runs < "$T/gc"
	echo "# $1: gc ran $runs times and took $removed entries"
	test "$runs" -gt 0 && test "$removed" -gt 0
	ok $? "$1: gc was there"
	rm -rf "$T"/target.*
}
crowd "an empty store"
crowd "what is left"
runs "the store is sound" "$builddir/kache-cli" doctor --verify --checksums
is "$(find "$KACHE_CACHE_DIR/tmp" -type f | wc -l)" 0 "and nothing lies about"
for p in 1 2 3 4; do
	kbuild "$T/p$p" build
	rm -rf "$T/p$p/target"
	kbuild "$T/p$p" build
	is "$(count '^(miss|uncached)')" 0 "project $p: and it serves"
	test "$(count '^(miss|uncached)')" = 0 || show_log
done
"$builddir/kache-cli" daemon stop > /dev/null 2>&1
finish
