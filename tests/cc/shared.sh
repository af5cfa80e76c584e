#!/bin/sh
# What one machine compiled another one gets from a remote, object, list and messages; unless a header differs there.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"
calls() { events | grep -v '^stored '; }	# what came from a remote is counted by itself

cc_begin shared
printf '#include "h.h"\nint f(int unused) { int n; return H; }\n' > x.c
export KACHE_BACKEND="file://$T/remote" KACHE_DAEMON=off
mkdir "$T/remote"
sleep 0.02
"$KACHE" gcc -Wall -MD -c x.c -o x.o 2> "$T/err.1"
"$KACHE" sync --push --all > "$T/sync" 2>&1; is $? 0 "pushed"
cp x.o x.d "$T"
rm x.o x.d

export KACHE_CACHE_DIR=$T/cache2
rm -f "$T/events.seen"
"$KACHE" gcc -Wall -MD -c x.c -o x.o 2> "$T/err.2"
is "$(calls)" "hit object x.c remote -" "the other machine hits"
cmp -s x.o "$T/x.o" && cmp -s x.d "$T/x.d"; ok $? "object and list are the same"
is "$(cat "$T/err.2")" "$(cat "$T/err.1")" "and so are the messages"
rm x.o
"$KACHE" gcc -Wall -MD -c x.c -o x.o 2> "$T/err.2"
is "$(calls)" "hit object x.c - -" "from then on locally"

export KACHE_CACHE_DIR=$T/cache3
rm -f "$T/events.seen" x.o
echo '#define H 2' > h.h
sleep 0.02
"$KACHE" gcc -Wall -MD -c x.c -o x.o 2> "$T/err.3"
like "$(calls)" '^miss object x.c' "a third with another header does not"
gcc -Wall -c x.c -o plain.o 2> "$T/err.3"
cmp -s x.o plain.o; ok $? "and has the right object"

export KACHE_CACHE_DIR=$T/cache4
rm -f "$T/events.seen"
echo '#define H 1' > h.h
"$KACHE" sync --pull --all > "$T/sync" 2>&1; is $? 0 "pulled"
unset KACHE_BACKEND
sleep 0.02
"$KACHE" gcc -Wall -MD -c x.c -o x.o 2> "$T/err.4"
is "$(calls)" "hit object x.c - -" "what was pulled hits without a remote"
cmp -s x.o "$T/x.o"; ok $? "with the same object"
finish
