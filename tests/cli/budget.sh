#!/bin/sh
# A hit is cheap by count: system calls, instructions, page faults; no other program, no database; and the wrapper is small. The bounds
# only ever go down (docs/benchmarks.md); what a call costs in time differs from machine to machine and is not tested.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
. "$srcdir/tests/lib/hit.sh"
need strace valgrind
most_calls=112 most_instructions=370000 most_bytes=378880

size=$(wc -c < "$KACHE")
# The bounds are the musl build's; others have another C library in them.
musl=no
grep -q 'HOT_CC.*musl' "$builddir/config.status" && ! grep -q 'fsanitize' "$builddir/config.status" && musl=yes
bound() { # bound VALUE MOST NAME
	if test $musl = no; then
		echo "# $3: $1, with another C library than musl"
	else
		test "$1" -le "$2"
		ok $? "$3: at most $2 ($1)"
	fi
}
bound "$size" $most_bytes "bytes of the wrapper"

# By a name of its own: how long the names of the directories above are counts, too.
install_wrapper "$T/bin"
wrapper=$T/bin/kache

hit_make "$T/w"
last() { tail -n 1 "$KACHE_CACHE_DIR/events/current.jsonl"; }
hit_build "$wrapper" "$T/w"
hit_build "$wrapper" "$T/w"	# what was too young to be remembered is by now
sleep 6	# and directories that were written to have come to rest
hit_build "$wrapper" "$T/w"
hit_build "$wrapper" "$T/w" "strace -f -o $T/trace"
runs "the library is there" test -f "$T/w/target/debug/libhit.rlib"
like "$(last)" '"result":"hit","crate":"hit"' "it was a hit"
bound $(($(hit_calls "$T/trace") - $(hit_levels "$T/w"))) $most_calls "system calls, but for the search of project files"
is "$(hit_programs "$T/trace")" 1 "no program but itself"
unlike "$(grep 'open' "$T/trace")" 'index\.db|\.so"' "no database, no module"

if test $musl = yes; then
	hit_build "$wrapper" "$T/w" "valgrind --tool=callgrind --callgrind-out-file=$T/callgrind --log-file=$T/valgrind"
	like "$(last)" '"result":"hit","crate":"hit"' "a hit again"
	bound "$(sed -n 's/^\(summary\|totals\): //p' "$T/callgrind" | head -n 1)" $most_instructions "instructions"
else
	echo "# instructions are not counted: another C library than musl"
fi
finish
