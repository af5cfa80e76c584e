#!/bin/sh
# C: what is in a source that no list of headers tells.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"

# Without SOURCE_DATE_EPOCH the plain compile itself is another one each second: what counts is that none is stored.
times() {
	cc_begin times
	for macro in __DATE__ __TIME__ __TIMESTAMP__; do
		printf 'const char *f(void) { return %s; }\n' $macro > x.c
		touch -d '2020-01-01' x.c
		cc_expect='uncached time-macro'
		test $macro != __TIMESTAMP__ || cc_is "$cc_expect" "$macro" -c x.c
		events > "$T/ignored"
		"$KACHE" $cc -c x.c
		like "$(events)" "^uncached object x.c time-macro" "$cc times: $macro is not cached"
		rm x.o
	done
	printf '#define P(a, b) a##b\nconst char *f(void) { return P(__DA, TE__); }\n' > x.c
	events > "$T/ignored"
	"$KACHE" $cc -c x.c
	like "$(events)" "^uncached object x.c time-macro" "$cc times: nor where its name was pasted together"
	printf '#define P(a, b) a##b\nconst char *f(void) { return P(__TIME, STAMP__); }\n' > x.c
	"$KACHE" $cc -c x.c
	like "$(events)" "^uncached object x.c time-macro" "$cc times: likewise __TIMESTAMP__"
	rm -f x.o
	printf '#include "h.h"\nconst char *f(void) { return NOW; }\n' > x.c
	printf '#define NOW __DATE__\n' > h.h
	"$KACHE" $cc -c x.c
	like "$(events)" "^uncached object x.c time-macro" "$cc times: nor where a header has it"
	rm -f x.o
	printf '/* __DATE__ */\nconst char *f(void) { return "__TIME__"; }\n' > x.c
	cc_twice "named in a comment and in a text" -c x.c
}

# The compiler warns where the file is younger than the source, so the answer lies in the times of both.
pragma_times() {
	cc_begin pragma_times
	for text in '#pragma GCC dependency "list"' '_Pragma("GCC dependency \\"list\\"")' \
		'#define P(x) _Pragma(#x)\nP(GCC /* x */ \\\n dependency "list")'; do
		printf "$text\nint x;\n" > x.c
		echo text > list
		touch -d '2010-01-01' list
		touch -d '2015-01-01' x.c
		cc_is 'uncached time-pragma' "$(printf "$text" | tr "\n" " ")" -c x.c
		touch -d '2020-01-01' list
		cc_is 'uncached time-pragma' "and the file is younger" -c x.c
	done
	printf '/* the dependency of GCC */\nint dependency;\n' > x.c
	cc_twice "the words for something else" -c x.c
	echo '#pragma GCC dependency "list"' > h.h
	printf '#include "h.h"\nint x;\n' > x.c
	cc_is 'uncached time-pragma' "a header has it" -c x.c
	cc_is 'uncached time-pragma' "as it was known to have" -c x.c
}

epoch() {
	cc_begin epoch
	printf 'const char *f(void) { return __DATE__ __TIME__; }\n' > x.c
	cc_plain="env SOURCE_DATE_EPOCH=1000000000 $cc" cc_kache="env SOURCE_DATE_EPOCH=1000000000 $KACHE $cc"
	# clang 14 does not know the variable, and uses the clock.
	if test $cc = gcc; then
		cc_twice "__DATE__ of SOURCE_DATE_EPOCH" -c x.c
		cc_plain="env SOURCE_DATE_EPOCH=1100000000 $cc" cc_kache="env SOURCE_DATE_EPOCH=1100000000 $KACHE $cc"
		cc_is miss "another SOURCE_DATE_EPOCH" -c x.c
	else
		events > "$T/ignored"
		SOURCE_DATE_EPOCH=1000000000 "$KACHE" $cc -c x.c
		like "$(events)" "^(uncached object x.c time-macro|miss object x.c )" "$cc epoch: __DATE__ and SOURCE_DATE_EPOCH"
		rm -f x.o
	fi
	cc_plain='' cc_kache=''
	events > "$T/ignored"
	"$KACHE" $cc -c x.c
	like "$(events)" "^uncached object x.c time-macro" "$cc epoch: without it, not cached"
}

incbin() {
	cc_begin incbin
	printf '__asm__(".incbin \\"data\\"");\nint x;\n' > x.c
	echo one > data
	cc_twice ".incbin" -c x.c
	echo two > data
	cc_is miss ".incbin of what has changed" -c x.c
	printf '__asm__(".inc" "bin" " \\"data\\"");\nint x;\n' > x.c
	cc_twice ".incbin in pieces" -c x.c
	echo six > data
	cc_is miss ".incbin in pieces, of what has changed" -c x.c
	printf '#define S(x) #x\n#define C(a, b) S(.a##b "data")\n__asm__(C(inc, bin));\nint x;\n' > x.c
	cc_twice ".incbin pasted" -c x.c
	echo ten > data
	cc_is miss ".incbin pasted, of what has changed" -c x.c
	mkdir first
	printf '__asm__(".incbin \\"blob\\"");\nint x;\n' > x.c
	echo one > blob
	if test $cc = gcc; then
		cc_twice ".incbin along the path" -Wa,-Ifirst -c x.c
		echo two > first/blob
		cc_is any "another one appears along the path" -Wa,-Ifirst -c x.c
		rm blob
		cc_is miss "and is the only one" -Wa,-Ifirst -c x.c
		echo one > blob
		cc_is any "and no longer is" -Wa,-Ifirst -c x.c
	fi
}

assembler() {
	cc_begin assembler
	printf '.include "i.inc"\n' > x.s
	printf '#include "h.h"\n.include "i.inc"\n.long H\n' > y.S
	echo '.long 1' > i.inc
	cc_twice "assembler with .include" -c x.s
	cc_twice "preprocessed assembler with .include" -c y.S
	cc_twice "preprocessed assembler with a list" -MD -c y.S -o y.o
	cc_twice "preprocessed assembler with debug information" -g -c y.S
	echo '.long 2' > i.inc
	cc_is miss "what is included has changed" -c x.s
	cc_is miss "and for preprocessed assembler" -c y.S
	echo '#define H 2' > h.h
	cc_is miss "its header has changed" -c y.S
	cc_twice "-x assembler" -x assembler -c x.s
	cc_is any "-x assembler-with-cpp" -x assembler-with-cpp -c x.s
}

embed() {
	cc_begin embed
	echo one > data
	printf 'char x[] = {\n#embed "data"\n};\n' > x.c
	cc_is any "#embed" -c x.c
	cc_is any "#embed, again" -c x.c
	echo two > data
	cc_is any "#embed of what has changed" -c x.c
}

names() {
	cc_begin names
	printf 'const char *f(void) { return __FILE__; }\n' > x.c
	mkdir d
	cp x.c d/x.c
	cc_twice "__FILE__" -c x.c
	cc_is miss "the same by another name" -c ./x.c
	cc_is miss "the same by its full name" -c "$W/x.c"
	cc_is miss "in another directory" -c d/x.c -o x.o
	cc_is hit "and the first again" -c x.c
}

# Files outside of any project, and those that are another one for everybody.
strange() {
	cc_begin strange
	printf '#include "/proc/self/status.h"\n' > x.c
	cc_is failed "a header that is not there" -c x.c
	printf 'char x[] =\n#include "/proc/self/comm"\n;\n' > x.c
	cc_is failed "one's own name" -c x.c
	printf '__asm__(".incbin \\"/proc/self/cmdline\\"");\nint x;\n' > x.c
	events > "$T/ignored"
	"$KACHE" $cc -c x.c
	like "$(events)" '^(uncached|failed) ' "$cc strange: one's own arguments"
	rm -f x.o
	mkfifo pipe
	printf '#include "pipe"\nint y;\n' > x.c
	(echo 'int p;' > pipe) &
	"$KACHE" $cc -c x.c > "$T/ignored" 2>&1
	like "$(events)" '^(uncached|failed) ' "$cc strange: a pipe"
	cat pipe > "$T/ignored" & echo > pipe
	wait
	rm -f x.o pipe
	echo "int z;" > x.c
	cc_twice "-pipe" -pipe -c x.c
}

cc_each strange times pragma_times epoch incbin assembler embed names
finish
