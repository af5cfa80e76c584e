#!/bin/sh
# A project that make builds: with CC="kache cc" and with links along PATH, clean, again, after an edit. Every object and the
# program are those of a build without kache, and make finds nothing to do afterwards.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"
need make ar

P=$T/project
mkdir -p "$P/lib" "$P/inc" "$P/src"
cat > "$P/Makefile" <<'EOM'
CFLAGS = -O2 -g -Wall -Wextra -Iinc
CXXFLAGS = $(CFLAGS) -std=c++17
objects = src/main.o src/say.o src/low.o
prog: $(objects) lib/libsum.a
	$(CXX) -o $@ $(objects) -Llib -lsum
lib/libsum.a: lib/sum.o
	rm -f $@ && ar crsD $@ lib/sum.o
%.o: %.c
	$(CC) $(CFLAGS) -MD -MP -c -o $@ $<
%.o: %.cc
	$(CXX) $(CXXFLAGS) -MMD -c -o $@ $<
%.o: %.S
	$(CC) $(CFLAGS) -c -o $@ $<
clean:
	rm -f prog lib/*.o lib/*.a lib/*.d src/*.o src/*.d
-include src/*.d lib/*.d
EOM
printf '#ifndef SUM_H\n#define SUM_H\n#ifdef __cplusplus\nextern "C"\n#endif\nint sum(int a, int b);\n#endif\n' > "$P/inc/sum.h"
printf '#include "sum.h"\nstatic int unused_one(int n) { return n; }\nint sum(int a, int b) { return a + b; }\n' > "$P/lib/sum.c"
printf '#include <string>\n#include <iostream>\nvoid say(const std::string &s) { std::cout << s << std::endl; }\n' > "$P/src/say.cc"
printf '#include <string>\n#include "sum.h"\nvoid say(const std::string &);\nextern "C" int low(void);\nint main() { say(std::to_string(sum(1, low()))); }\n' > "$P/src/main.cc"
printf '.globl low\nlow:\n\tmov $41, %%eax\n\tret\n.section .note.GNU-stack,"",@progbits\n' > "$P/src/low.S"
test "$(uname -m)" = x86_64 || skip_all "the assembler part is x86-64's"

# build NAME MAKE-ARGUMENT…: what came out into $T/NAME, the messages beside it
build() {
	build_name=$1
	shift
	(cd "$P" && make "$@") > "$T/$build_name.out" 2> "$T/$build_name.err"
	is $? 0 "$build_name: make is content"
	rm -rf "$T/$build_name"
	mkdir "$T/$build_name"
	cp "$P"/prog "$P"/src/*.o "$P"/src/*.d "$P"/lib/*.o "$P"/lib/*.d "$T/$build_name"
	ev=$(events)
}
same() { # NAME: as the plain build
	diff -r "$T/plain" "$T/$1" > "$T/diff"; ok $? "$1: the same bytes"
	sed 's/^/# /' "$T/diff" | head -n 5
	is "$(cat "$T/$1.err")" "$(cat "$T/plain.err")" "$1: the same messages"
}
clean() { (cd "$P" && make clean) > /dev/null; }
launcher="CC=$KACHE gcc"
launcherxx="CXX=$KACHE g++"

build plain CC=gcc CXX=g++
grep -q unused_one "$T/plain.err"; ok $? "the plain build has something to say"
clean
build cold "$launcher" "$launcherxx"
same cold
is "$(count '^miss object')" 4 "cold: four misses"
is "$(count '^passthrough other .* link')" 1 "cold: the link is counted"
clean
build warm "$launcher" "$launcherxx"
same warm
is "$(count '^hit object')$(count '^miss')" 40 "warm: four hits"
(cd "$P" && make "$launcher" "$launcherxx") > "$T/log" 2>&1
like "$(cat "$T/log")" 'is up to date' "warm: make finds nothing to do"
is "$("$P/prog")" 42 "warm: the program works"

sed -i 's/a + b/a + b + 1/' "$P/lib/sum.c"
(cd "$P" && make "$launcher" "$launcherxx") > "$T/log" 2>&1
is "$("$P/prog")" 43 "edited: the program is another one"
ev=$(events)
is "$(count '^miss object sum.c')$(count '^hit')" 10 "edited: one miss, and make asked for nothing else"
sed -i 's/int sum(int a, int b);/int sum(int a, int b); \/\* said \*\//' "$P/inc/sum.h"
clean
build plain CC=gcc CXX=g++
clean
build header "$launcher" "$launcherxx"
same header
is "$(count '^miss object (sum.c|main.cc)')$(count '^hit object (say.cc|low.S)')" 22 "a header: two misses, two hits"

mkdir "$T/links"
for name in gcc g++; do ln -s "$KACHE" "$T/links/$name"; done
clean
PATH=$T/links:$PATH build linked CC=gcc CXX=g++
same linked
is "$(count '^hit object')" 4 "links along PATH: four hits"
clean
PATH=$T/links:$PATH build jobs -j3 CC=gcc CXX=g++
same jobs
is "$(count '^hit object')" 4 "three at once: four hits"
out=$("$KACHE" stats --json)
like "$out" '"hits":' "stats count them"
like "$("$KACHE" why-miss sum.c 2>&1)" 'sum.h|sum.c' "why-miss names what has changed"
like "$(cd "$P" && "$KACHE" explain -- gcc -O2 -g -Wall -Wextra -Iinc -MD -MP -c -o lib/sum.o lib/sum.c)" 'now +hit' "explain says that it hits"
like "$(cd "$P" && "$KACHE" explain -- gcc a.o -o prog)" 'passes through: link' "explain says what passes through"
finish
