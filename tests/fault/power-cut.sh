#!/bin/sh
# The power goes right after a build, and what had not been synced is lost in all ways: the next builds are right.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
export KACHE_DAEMON=off KACHE_INCREMENTAL=never CARGO_INCREMENTAL=0
cut=$builddir/tests/fault/power-cut

make_workspace "$T/w"
build() { rm -rf "$T/w/target"; kbuild "$T/w" build --all-targets; }
sums() { (cd "$T/w/target/debug" && find . -name '*.rlib' -o -name '*.rmeta' -o -name '*.so' -o -type f -perm -100 ! -name '*.so' | sort | xargs cksum); }

build
is $kb_status 0 "a build to compare with"
wanted=$(sums)
cp -a --reflink=auto "$T/cache" "$T/whole"
build
all=$(count '^hit')
is "$(count '^(miss|uncached)')" 0 "warm: all of it hits"

for how in keep blobs zero cut empty lost 1 2 3 4 5 6; do
	rm -rf "$T/cache"
	cp -a --reflink=auto "$T/whole" "$T/cache"
	said=$("$cut" "$T/cache" $how) || ok $? "$how: the power goes"
	echo "# $how: $said"
	: > "$T/events.seen"
	for round in first second; do
		build || show_log
		bad=0
		test $kb_status = 0 || bad=1
		test "$(sums)" = "$wanted" || bad=1
		test "$(kbuild "$T/w" build --all-targets && grep -c Compiling "$T/build.log")" = 0 || bad=1
		unlike "$(cat "$T/build.log")" 'kache:' "$how, $round build: nothing is said"
		ok $bad "$how, $round build: it is what it was"
	done
	build
	case $how in
	keep) is "$(count '^hit')" "$all" "keep: and all of it hits" ;;
	*) is "$(count '^(miss|uncached)')" 0 "$how: then all of it hits" ;;
	esac
	runs "$how: the doctor puts it in order" "$builddir/kache-cli" doctor --verify --checksums --repair
	runs "$how: and finds nothing more" "$builddir/kache-cli" doctor --verify --checksums
done
finish
