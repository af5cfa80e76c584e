#!/bin/sh
# What every file keeps to: calls that are ruled out, line length, headers that compile alone, no place of
# one machine in the tree.
. "$(dirname "$0")/../lib/lib.sh"
need cc
cd "$srcdir" || exit 99

sources=$(find core wrapper cli backends include -name '*.c' -o -name '*.h')
is "$(grep -nE '(^|[^a-z_])(system|strcpy|strcat|sprintf|strtok|gets|atoi|rand) *\(' $sources | grep -vE '^[^:]*:[0-9]+:[ \t]*(/?\*|//)')" "" "no call that is ruled out"
is "$(grep -nE '(^|[^a-z_.>])(open|openat) *\([^)]*O_' $sources | grep -vE 'O_CLOEXEC|kache_open|preload' )" "" "every open closes on exec"
is "$(for f in $sources; do expand -t8 "$f" | awk -v f="$f" 'length($0) > 132 && !/"/ { print f ":" NR ": " length($0) }'; done)" "" "no line is much too long, but for messages"
is "$(grep -rnE '/(root|work|home/[a-z]+)/' core wrapper cli backends include bench docs examples plugins.d bootstrap README.md .ci 2> /dev/null |
	grep -vE '/home/(u|user|you|me)/|example' | head -n 5)" "" "no place of one machine"
is "$(grep -rnE '\b(TODO|FIXME|XXX)\b' core wrapper cli backends include bench | head -n 5)" "" "nothing is left for later by its own word"

cflags=$(sed -n 's/^BLAKE3_CFLAGS = //p; ' "$builddir/Makefile")
bad=
for h in $(find core wrapper cli -name '*.h'); do
	case $h in core/observe/preload.h) continue ;; esac
	# shellcheck disable=SC2086
	cc -std=gnu17 -D_GNU_SOURCE -fsyntax-only -Wall -Werror -Icore -Iinclude -I. -I"$builddir" $cflags -x c "$h" 2> "$T/err" ||
		bad="$bad $h: $(head -n 1 "$T/err")"
done
is "$bad" "" "each header compiles alone"
finish
