#!/bin/sh
# CMake's precompiled headers, with both compilers: target_precompile_headers, and a target that uses another one's.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"
need cmake make

P=$T/project
mkdir -p "$P"
cat > "$P/CMakeLists.txt" <<'EOM'
cmake_minimum_required(VERSION 3.16)
project(p C CXX)
add_library(part STATIC part.c)
target_precompile_headers(part PRIVATE part.h)
add_library(first STATIC first.cc)
target_precompile_headers(first PRIVATE <vector> own.h)
add_executable(prog main.cc)
target_precompile_headers(prog REUSE_FROM first)
target_link_libraries(prog first part)
EOM
printf '#ifdef __cplusplus\nextern "C"\n#endif\nint part(void);\n' > "$P/part.h"
printf '#include "part.h"\n#define OWN 5\nint first();\n' > "$P/own.h"
printf 'int part(void) { return 1; }\n' > "$P/part.c"
printf 'int first() { return OWN; }\n' > "$P/first.cc"
printf '#include <cstdio>\nint main() { std::vector<int> v{part(), first()}; printf("%%d %%d\\n", v[0], v[1]); }\n' > "$P/main.cc"

build() { # NAME CMAKE-ARGUMENT…
	build_name=$1
	shift
	test $# = 0 || cmake -S "$P" -B "$P/build" -DCMAKE_BUILD_TYPE=Debug "$@" > "$T/$build_name.log" 2>&1
	cmake --build "$P/build" >> "$T/$build_name.log" 2>&1
	is $? 0 "$cc, $build_name: builds"
	rm -rf "$T/$build_name"
	mkdir "$T/$build_name"
	(cd "$P/build" && find . -name '*.cc.o' -o -name '*.c.o' -o -name prog -type f | grep -v CompilerId |
		while read -r f; do cp "$f" "$T/$build_name/$(echo "$f" | tr / _)"; done)
	ev=$(events)
}
same() {
	diff -r "$T/plain" "$T/$1" > "$T/diff"; ok $? "$cc, $1: the same bytes"
	sed 's/^/# /' "$T/diff" | head -n 5
	is "$("$P/build/prog")" "1 5" "$cc, $1: the program works"
}
hits() { # TEXT
	is "$(count '^hit object (part.c|main.cc|first.cc) ')$(count '^hit object cmake_pch.hx?x?.cx?x? ')" 32 "$cc, $1"
}

project() {
	rm -rf "$P/build" "$KACHE_CACHE_DIR" "$T/events.seen"
	set -- "-DCMAKE_C_COMPILER=$cc" "-DCMAKE_CXX_COMPILER=$cxx"
	build plain "$@"
	rm -rf "$P/build"
	set -- "$@" "-DCMAKE_C_COMPILER_LAUNCHER=$KACHE" "-DCMAKE_CXX_COMPILER_LAUNCHER=$KACHE"
	build cold "$@"
	same cold
	# clang knows headers by their times, and CMake writes some of them anew
	cmake --build "$P/build" --target clean > "$T/log" 2>&1
	build cleaned
	same cleaned
	cmake --build "$P/build" --target clean > "$T/log" 2>&1
	build again
	same again
	hits "again: everything is known"
	cmake --build "$P/build" > "$T/log" 2>&1
	is "$(events)" "" "$cc, again: nothing is left to do"
	set -- "$@" "-DCMAKE_CXX_FLAGS=-Wall" "-DCMAKE_C_FLAGS=-Wall"
	test $cc = gcc ||
		set -- "$@" "-DCMAKE_CXX_FLAGS=-Xclang -fno-pch-timestamp" "-DCMAKE_C_FLAGS=-Xclang -fno-pch-timestamp"
	for name in flags fresh new; do
		rm -rf "$P/build"
		build $name "$@"
		same $name
	done
	hits "new: also in a directory that is configured anew"
	sleep 1	# a time stamp of its own, for make
	printf '#include "part.h"\n#define OWN 6\nint first();\n' > "$P/own.h"
	build edited
	is "$("$P/build/prog")" "1 6" "$cc, edited: the header counts"
	printf '#include "part.h"\n#define OWN 5\nint first();\n' > "$P/own.h"
}

cc_each project
finish
