#!/bin/sh
# C: what is on the command line.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"

defines() {
	cc_begin defines
	printf '#ifndef V\n#define V 0\n#endif\nint f(void) { return V; }\n' > x.c
	cc_twice "nothing defined" -c x.c
	cc_is miss "-DV=1" -DV=1 -c x.c
	cc_is miss "-D V=2" -D V=2 -c x.c
	cc_is miss "-UV after it" -DV=1 -UV -c x.c
	cc_is miss "-UV before it" -UV -DV=1 -c x.c
	cc_is hit "-DV=1, again" -DV=1 -c x.c
	cc_is miss "-Wp,-DV=3" -Wp,-DV=3 -c x.c
	cc_is hit "-Wp,-DV=3, again" -Wp,-DV=3 -c x.c
	printf -- '-DV=5 -O2\n' > args
	cc_twice "a response file" @args -c x.c
	printf -- '-DV=6 -O2\n' > args
	cc_is miss "which has changed" @args -c x.c
	printf -- '-DV=6 @more\n' > args
	echo '-O1' > more
	cc_is miss "which names another" @args -c x.c
	echo '-O3' > more
	cc_is miss "which has changed in turn" @args -c x.c
}

code() {
	cc_begin code
	for flag in -O2 -Os -g -g3 -fPIC -m32 -mavx2 -ffast-math -fno-inline -std=c99 -fsanitize=undefined -fstack-protector-all -pg \
		-ffunction-sections; do
		cc_is any "$flag" $flag -c x.c
		cc_is any "$flag, again" $flag -c x.c
	done
	cc_is miss "none of these" -c x.c
	cc_is hit "-O2 is still known" -O2 -c x.c
	cc_is miss "two in one order" -O1 -O3 -c x.c
	cc_is miss "and in the other" -O3 -O1 -c x.c
	cc_twice "-march=native" -march=native -O2 -c x.c
}

debug() {
	cc_begin debug
	mkdir a b
	cp x.c h.h a
	cp x.c h.h b
	cc_twice "with the name of the directory" -g -c x.c
	cd a || exit 99
	cc_is miss "the same in another directory" -g -c x.c
	cd ../b || exit 99
	cc_is miss "and in a third" -g -c x.c
	cd .. || exit 99
	ln -s "$W" link
	cc_plain="env PWD=$W/link $cc" cc_kache="env PWD=$W/link $KACHE $cc"
	cc_is miss "the directory by the name that PWD gives it" -g -c x.c
	cc_plain="env PWD=/nowhere $cc" cc_kache="env PWD=/nowhere $KACHE $cc"
	cc_is hit "a PWD that is wrong" -g -c x.c
	cc_plain='' cc_kache=''
	rm link
}

maps() {
	cc_begin maps
	printf 'const char *f(void) { return __FILE__; }\n' > x.c
	for kind in file macro debug; do
		cc_twice "-f$kind-prefix-map" -g "-f$kind-prefix-map=$W=/one" -c "$W/x.c"
		cc_is miss "-f$kind-prefix-map, another value" -g "-f$kind-prefix-map=$W=/two" -c "$W/x.c"
		cc_is miss "-f$kind-prefix-map, another prefix" -g "-f$kind-prefix-map=$W/=/two" -c "$W/x.c"
	done
}

languages() {
	cc_begin languages
	printf 'int f(void) { return sizeof(\x27a\x27); }\n' > x.c
	cc_twice "as C" -c x.c
	cc_twice "as C++" -x c++ -c x.c
	cp x.c y.cc
	cc_is miss "as C++ by its name" -c y.cc -o x.o
	cc_is miss "as C in spite of its name" -x c -c y.cc -o x.o
	cp x.c z.i
	cc_twice "preprocessed already" -c z.i
	printf '#include <vector>\n#include "h.h"\nint f() { std::vector<int> v(H); return v.size(); }\n' > x.cc
	cc_plain="$cxx" cc_kache="$KACHE $cxx"
	cc_twice "$cxx with a header of the standard library" -std=c++17 -c x.cc
	echo '#define H 2' > h.h
	cc_is miss "$cxx, its own header changed" -std=c++17 -c x.cc
	cc_plain='' cc_kache=''
}

from() { # FILE COMMAND…
	from_file=$1
	shift
	"$@" < "$from_file"
}

# What is not cached, by its name.
named() {
	cc_begin named
	printf 'int main(void) { return 0; }\n' > m.c
	cc_is "passthrough link" "linking" m.c -o prog
	cc_is "passthrough several-sources" "two sources" -c x.c m.c
	cc_is "passthrough preprocess" "-E" -E x.c
	cc_is "passthrough dependencies-only" "-M" -M x.c
	cc_is "passthrough syntax-only" "-fsyntax-only" -fsyntax-only x.c
	cc_is "passthrough query" "--version" --version
	cc_is "passthrough save-temps" "-save-temps" -save-temps -c x.c
	cc_is "passthrough unknown-flag" "a flag that nobody knows" -fmade-up -c x.c
	cc_is "passthrough special-file" "-include of a pipe" -include /dev/stdin -c m.c < h.h
	cc_is "passthrough output-not-a-file" "/dev/null" -c x.c -o /dev/null
	cc_is any "no source" -c
	test -c /dev/null; ok $? "$cc named: /dev/null is still there"
}

# The source comes from standard input.
standard_input() {
	cc_begin standard_input
	mv x.c source
	cc_plain="from source $cc" cc_kache="from source $KACHE $cc"
	cc_twice "a source from standard input" -g -x c -c - -o x.o
	cc_is hit "the name of the object by itself" -g -x c -c -
	echo 'int g(void) { return 2; }' >> source
	cc_is miss "another source" -g -x c -c - -o x.o
	echo '#define H 4' > h.h
	cc_is miss "a header of it has changed" -g -x c -c - -o x.o
	cc_is any "as something else" -x assembler -c - -o x.o
	echo 'int bad' > source
	cc_is failed "a source that is wrong" -x c -c - -o x.o
	: > source
	cc_twice "an empty source" -x c -c - -o x.o
	echo 'const char *now(void) { return __TIMESTAMP__; }' > source
	"$KACHE" $cc -x c -c - -o x.o < source
	is "$(events)" "uncached object - time-macro -" "$cc standard_input: the time in it"
	rm x.o
	# more than is read for a key
	awk 'BEGIN { for (i = 0; i < 300000; i++) print "/* a comment that is there to be long, and nothing else: " i " */" }' > source
	echo 'int last(void) { return 3; }' >> source
	cc_is "passthrough standard-input" "a source that is too long" -x c -c - -o x.o
	cc_plain='' cc_kache=''
	printf 'int f(int a) { return a; }\n' > x.c
	cc_is "passthrough standard-input" "a file that is named like standard input" -include - -c x.c
	test $cc = clang || return 0
	: > -
	printf 'f:100:10\n 1: 10\n' > prof
	cc_plain="from prof $cc" cc_kache="from prof $KACHE $cc"
	cc_is "passthrough standard-input" "a profile from standard input" -O2 -fprofile-sample-use=- -c x.c
	cc_plain='' cc_kache=''
}

# Words for clang's front end, for LLVM, for the preprocessor and the assembler.
handed_on() {
	cc_begin handed_on
	cc_twice "-Xassembler" -Xassembler --noexecstack -c x.c
	cc_is any "-Xassembler, another word" -Xassembler --execstack -c x.c
	cc_twice "-Xpreprocessor" -Xpreprocessor -DH2=2 -c x.c
	cc_is miss "-Xpreprocessor, another word" -Xpreprocessor -DH2=3 -c x.c
	test $cc = clang || return 0
	printf 'int g(int *a, int n) { int s = 0; for (int i = 0; i < n; i++) s += a[i]; return s; }\n' > x.c
	cc_twice "-Xclang -target-feature" -O2 -Xclang -target-feature -Xclang +avx2 -c x.c
	cc_is miss "-Xclang -target-feature, another one" -O2 -Xclang -target-feature -Xclang -sse4.1 -c x.c
	cc_twice "-Xclang -include" -Xclang -include -Xclang h.h -c x.c
	echo '#define H 2' > h.h
	cc_is miss "-Xclang -include of what has changed" -Xclang -include -Xclang h.h -c x.c
	cc_twice "-Xclang -disable-llvm-passes" -O2 -Xclang -disable-llvm-passes -c x.c
	cc_twice "-mllvm" -O2 -mllvm -force-vector-width=8 -c x.c
	cc_is miss "-mllvm, another word" -O2 -mllvm -force-vector-width=2 -c x.c
	cc_is "passthrough mllvm" "-mllvm -stats" -O2 -mllvm -stats -c x.c
	cc_is "passthrough xclang" "-Xclang -load" -Xclang -load -Xclang ./none.so -c x.c
	cc_is "passthrough xclang" "-Xclang -include of nothing" -c x.c -Xclang -include
}

# Objective-C is built into clang.
objective_c() {
	test $cc = clang || return 0
	cc_begin objective_c
	printf '#include "h.h"\n@interface A { int x; }\n@end\nint f(void) { return H; }\n' > x.m
	cc_twice "Objective-C" -c x.m
	echo '#define H 2' > h.h
	cc_is miss "a header has changed" -c x.m
	cc_is any "#import" -include h.h -x objective-c -c x.m
	cp x.m x.mm
	cc_twice "Objective-C++" -c x.mm -o x.o
	cp x.m y.c
	cc_is failed "not as C" -c y.c
	cc_is miss "by -x" -x objective-c -c y.c
}

# The sanitizer's list of what to ignore.
ignorelist() {
	test $cc = clang || return 0
	cc_begin ignorelist
	printf 'int f(int a, int b) { return a / b; }\nint g(int a) { return a << 40; }\n' > x.c
	echo 'fun:f' > list
	cc_twice "-fsanitize-ignorelist" -fsanitize=undefined -fsanitize-ignorelist=list -c x.c
	echo 'fun:g' > list
	cc_is miss "which has changed" -fsanitize=undefined -fsanitize-ignorelist=list -c x.c
}

cc_each defines code debug maps languages named standard_input handed_on objective_c ignorelist
finish
