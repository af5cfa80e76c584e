#!/bin/sh
# A project that CMake configures, with make's files and with ninja's, through CMAKE_<LANG>_COMPILER_LAUNCHER.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"
need cmake

P=$T/project
mkdir -p "$P/src" "$P/inc"
cat > "$P/CMakeLists.txt" <<'EOM'
cmake_minimum_required(VERSION 3.16)
project(p C CXX)
configure_file(inc/conf.h.in conf.h)
add_library(part STATIC src/part.c)
target_include_directories(part PUBLIC inc ${CMAKE_CURRENT_BINARY_DIR})
target_compile_definitions(part PRIVATE PART=1)
add_executable(prog src/main.cc src/other.cc)
target_link_libraries(prog part)
set_target_properties(prog PROPERTIES CXX_STANDARD 17 POSITION_INDEPENDENT_CODE ON)
EOM
echo '#define CONF "@CMAKE_PROJECT_NAME@"' > "$P/inc/conf.h.in"
printf '#ifdef __cplusplus\nextern "C"\n#endif\nint part(void);\n' > "$P/inc/part.h"
printf '#include "part.h"\n#include "conf.h"\nint part(void) { return (int)sizeof(CONF) + PART; }\n' > "$P/src/part.c"
printf '#include <vector>\n#include <cstdio>\n#include "part.h"\nint other();\nint main() { std::vector<int> v{part(), other()}; printf("%%d %%d\\n", v[0], v[1]); }\n' > "$P/src/main.cc"
printf '#include <cassert>\nint other() { assert(__LINE__ > 1); return 7; }\n' > "$P/src/other.cc"

# build NAME GENERATOR CMAKE-ARGUMENT…
build() {
	build_name=$1 build_generator=$2
	shift 2
	rm -rf "$P/build"
	(cmake -G "$build_generator" -S "$P" -B "$P/build" -DCMAKE_BUILD_TYPE=Debug "$@" && cmake --build "$P/build") > "$T/$build_name.log" 2>&1
	is $? 0 "$build_name: builds"
	rm -rf "$T/$build_name"
	mkdir "$T/$build_name"
	(cd "$P/build" && find . -name '*.o' -o -name '*.o.d' -o -name prog -type f -o -name '*.a' | grep -v CompilerId |
		while read -r f; do cp "$f" "$T/$build_name/$(echo "$f" | tr / _)"; done)
	ev=$(events)
}
same() {
	diff -r "$T/plain" "$T/$1" > "$T/diff"; ok $? "$1: the same bytes"
	sed 's/^/# /' "$T/diff" | head -n 5
}

for generator in 'Unix Makefiles' Ninja; do
	case $generator in
	Ninja) command -v ninja > /dev/null || continue ;;
	*) command -v make > /dev/null || continue ;;
	esac
	set -- "-DCMAKE_C_COMPILER_LAUNCHER=$KACHE" "-DCMAKE_CXX_COMPILER_LAUNCHER=$KACHE"
	rm -rf "$KACHE_CACHE_DIR" "$T/events.seen"
	build plain "$generator"
	build cold "$generator" "$@"
	same cold
	is "$(count '^(miss|uncached) object (part.c|main.cc|other.cc) ')" 3 "$generator, cold: three compiles"
	build warm "$generator" "$@"
	build warm "$generator" "$@"
	same warm
	is "$(count '^hit object (part.c|main.cc|other.cc) ')" 3 "$generator, warm: three hits"
	is "$("$P/build/prog")" "3 7" "$generator, warm: the program works"
	cmake --build "$P/build" > "$T/log" 2>&1
	is "$(events)" "" "$generator, warm: nothing is left to do"
	sleep 1	# a time stamp of its own, for make
	echo 'int part(void); /* said */' > "$P/inc/part.h.new"
	printf '#ifdef __cplusplus\nextern "C"\n#endif\n' | cat - "$P/inc/part.h.new" > "$P/inc/part.h"
	cmake --build "$P/build" > "$T/log" 2>&1
	ev=$(events)
	is "$(count '^miss object (part.c|main.cc) ')$(count '^(hit|miss) object other.cc ')" 20 "$generator, a header: its two sources are compiled"
	printf '#ifdef __cplusplus\nextern "C"\n#endif\nint part(void);\n' > "$P/inc/part.h"
done
finish
