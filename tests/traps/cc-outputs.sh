#!/bin/sh
# C: where outputs go, and those beside the object.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"

places() {
	cc_begin places
	mkdir a b
	cc_is miss "into the directory" -c x.c
	cc_is hit "by another name" -c x.c -o y.o
	cc_is hit "elsewhere" -c x.c -o a/x.o
	cc_is hit "elsewhere, joined" -c x.c -ob/x.o
	cc_is hit "by its full name" -c x.c -o "$W/a/z.o"
	cc_is failed "where there is no directory" -c x.c -o none/x.o
	cc_is miss "assembly" -S x.c
	cc_is hit "assembly, elsewhere" -S x.c -o a/x.s
	cp x.c a; cp x.c b; echo '#define H 1' > a/h.h; echo '#define H 2' > b/h.h
	cd a || exit 99
	cc_is miss "one object of that name" -c x.c
	cd ../b || exit 99
	cc_is miss "and one in another directory" -c x.c
	cd ../a || exit 99
	cc_is hit "the first again" -c x.c
}

# Where ".." lies behind a link, the text of a path leads elsewhere.
behind_links() {
	cc_begin behind_links
	mkdir -p far/away
	ln -s far/away near
	cc_is miss "into the directory" -c x.c -o x.o
	cc_is hit "behind a link" -c x.c -o near/x.o
	cc_is hit "above what a link leads to" -c x.c -o near/../x.o
	test -f "$T/made.kache/far/x.o"; ok $? "$cc behind_links: and nowhere else"
	cc_is any "with a list" -MD -c x.c -o near/../x.o
	cc_is any "with a list, again" -MD -c x.c -o near/../x.o
	cc_is any "with a file beside it" --coverage -frandom-seed=1 -c x.c -o near/../x.o
	cc_is any "with a file beside it, again" --coverage -frandom-seed=1 -c x.c -o near/../x.o
	mkdir far/inc
	mv h.h far/inc
	echo '#define H 2' > h.h
	cc_twice "a path of headers behind a link" -Inear/../inc -iquote near/../inc -c far/../x.c
	echo '#define H 3' > far/inc/h.h
	cc_is any "one of them has changed" -Inear/../inc -iquote near/../inc -c far/../x.c
	rm h.h
	cc_is miss "and the nearest is gone" -Inear/../inc -iquote near/../inc -c far/../x.c
}

# An old object may be linked to others, or be a link itself.
over() {
	cc_begin over
	sleep 0.1	# what was written in this tick may change again within it
	"$KACHE" $cc -c x.c
	cp x.o kept.o; ln kept.o other.o; ln -f kept.o x.o
	echo '#define H 2' > h.h
	sleep 0.1
	"$KACHE" $cc -c x.c
	echo '#define H 1' > h.h
	"$KACHE" $cc -c x.c
	cmp -s x.o kept.o; ok $? "$cc over: the right object"
	cp x.o before.o
	echo '#define H 2' > h.h
	"$KACHE" $cc -c x.c
	ev=$(events)
	is "$(count '^hit ')" 2 "$cc over: two of these were hits"
	cmp -s other.o before.o; ok $? "$cc over: what was linked to the old one is as it was"
	$cc -c x.c -o plain.o
	cmp -s x.o plain.o; ok $? "$cc over: the newest is right"
	echo spoilt > x.o
	"$KACHE" $cc -c x.c
	cmp -s x.o plain.o; ok $? "$cc over: what is written into an object does not reach the store"
	(umask 077; "$KACHE" $cc -c x.c -o private.o)
	is "$(stat -c %a private.o)" 600 "$cc over: the umask counts"
	test x.o -nt x.c && test x.o -nt h.h; ok $? "$cc over: an object is newer than its sources"
	mkfifo pipe
	"$KACHE" $cc -c x.c -o pipe & pid=$!
	cat pipe > got.o; wait $pid
	test -p pipe; ok $? "$cc over: a pipe stays a pipe"
	rm pipe
	ln -s target.o link.o
	"$KACHE" $cc -c x.c -o link.o; ok $? "$cc over: an object that is a link"
}

lists() {
	cc_begin lists
	mkdir out
	cc_twice "-MD" -MD -c x.c
	cc_twice "-MD -o" -MD -c x.c -o out/x.o
	cc_twice "-MMD -o" -MMD -c x.c -o out/x.c.o
	cc_is hit "-MD -MF" -MD -MF out/list -c x.c -o out/x.o
	cc_is hit "-MD -MF, elsewhere" -MD -MF list -c x.c -o out/x.o
	cc_twice "-MD -MT" -MD -MT 'a b' -c x.c -o out/x.o
	cc_is miss "-MD -MT, another target" -MD -MT 'a c' -c x.c -o out/x.o
	cc_is miss "-MD -MQ" -MD -MQ 'a$b' -c x.c -o out/x.o
	cc_twice "-MD -MP" -MD -MP -c x.c -o out/x.o
	cc_twice "-MMD -MP -MF -MT -MQ" -MMD -MP -MF deps -MT one -MQ 'two$' -c x.c -o out/x.o
	cc_twice "-Wp,-MD" -Wp,-MD,out/.x.d -c x.c -o out/x.o
	cc_twice "-Wp,-MMD" -Wp,-MMD,out/.x.d -c x.c -o out/x.o
	cc_is miss "another object in the list" -MD -c x.c -o out/y.o
	cc_is hit "-MD -o, again" -MD -c x.c -o out/x.o
	cc_is hit "-MD -MT, another object" -MD -MT 'a b' -MF out/x.d -c x.c -o out/z.o
	echo '#define H 2 /* the list stays the same */' > h.h
	cc_is miss "a header has changed" -MD -c x.c -o out/x.o
	mkdir inc
	mv h.h inc
	cc_is miss "a header has moved" -MD -Iinc -c x.c -o out/x.o
	cc_is "passthrough dependency-flags" "-MF -" -MD -MF - -c x.c
	cc_is "passthrough output-not-a-file" "-MF /dev/null" -MD -MF /dev/null -Iinc -c x.c
	mkdir 'a dir'
	mv inc/h.h 'a dir/h$.h'
	printf '#include "h$.h"\nint f(void) { return H; }\n' > 'x y.c'
	cc_twice "names that make has to be told with care" -MD '-Ia dir' -c 'x y.c' -o 'x y.o'
	cc_is any "-MF without -MD" -MF list '-Ia dir' -c 'x y.c'
	cc_is any "-S -MD" -S -MD '-Ia dir' -c 'x y.c'
	cc_is any "-S -MD, again" -S -MD '-Ia dir' -c 'x y.c'
}

# The variables that ask for a list: it is appended to by each compile.
variables() {
	test $cc = gcc || return 0
	cc_begin variables
	cc_twice "not asked for" -c x.c
	cc_plain="env DEPENDENCIES_OUTPUT=deps $cc" cc_kache="env DEPENDENCIES_OUTPUT=deps $KACHE $cc"
	cc_is "uncached side-output" "DEPENDENCIES_OUTPUT" -c x.c
	cc_is "uncached side-output" "DEPENDENCIES_OUTPUT, again" -c x.c
	cc_plain="env SUNPRO_DEPENDENCIES=deps $cc" cc_kache="env SUNPRO_DEPENDENCIES=deps $KACHE $cc"
	cc_is "uncached side-output" "SUNPRO_DEPENDENCIES" -c x.c
	# Who the compiler is has to be asked for with a new store.
	cc_plain="env SUNPRO_DEPENDENCIES=deps $cc" cc_kache="env SUNPRO_DEPENDENCIES=deps KACHE_CACHE_DIR=$T/new $KACHE $cc"
	cc_is any "what is asked before leaves nothing there" -MD -MF list -c x.c
	cc_plain='' cc_kache=''
}

# Likewise where such a file lies beside the object, and a flag that leaves others there: what they held before would come back.
appended() {
	cc_begin appended
	case $cc in gcc) set -- DEPENDENCIES_OUTPUT=log ;; clang) set -- CC_PRINT_OPTIONS=1 CC_PRINT_OPTIONS_FILE=log ;; esac
	env "$@" "$KACHE" $cc --coverage -frandom-seed=1 -c x.c
	like "$(events)" '^uncached .* side-output' "$cc appended: a file that is appended to is not kept"
	wc -l < log > "$T/one"
	env "$@" "$KACHE" $cc --coverage -frandom-seed=1 -c x.c
	is "$(wc -l < log)" "$(($(cat "$T/one") * 2))" "$cc appended: and is appended to"
	test $cc = clang || return 0
	CC_PRINT_PROC_STAT=1 "$KACHE" $cc -c x.c > "$T/out"
	like "$(events)" '^uncached .* side-output' "$cc appended: how long it took is nobody else's"
}

beside() {
	cc_begin beside
	mkdir out a
	cc_twice "--coverage" --coverage -frandom-seed=1 -c x.c -o out/x.o
	test -f "$T/made.kache/out/x.gcno"; ok $? "$cc beside: with its .gcno"
	cc_is miss "--coverage, another object" --coverage -frandom-seed=1 -c x.c -o out/y.o
	cc_is miss "--coverage, elsewhere" --coverage -frandom-seed=1 -c x.c -o a/x.o
	cc_is hit "--coverage, again" --coverage -frandom-seed=1 -c x.c -o out/x.o
	cp x.c h.h a
	cd a || exit 99
	cc_is miss "--coverage in another directory" --coverage -frandom-seed=1 -c x.c -o x.o
	cd .. || exit 99
	cc_twice "-gsplit-dwarf" -g -gsplit-dwarf -c x.c -o out/x.o
	test -f "$T/made.kache/out/x.dwo"; ok $? "$cc beside: with its .dwo"
	cc_is miss "-gsplit-dwarf, another object" -g -gsplit-dwarf -c x.c -o out/y.o
	echo '#define H 3' > h.h
	cc_is miss "-gsplit-dwarf, a header has changed" -g -gsplit-dwarf -c x.c -o out/x.o
	cc_is any "-fstack-usage" -fstack-usage -c x.c -o out/x.o
	cc_is any "-fstack-usage, again" -fstack-usage -c x.c -o out/x.o
	cc_twice "-flto" -O2 -flto -frandom-seed=1 -c x.c -o out/x.o
	cc_is any "-frecord-gcc-switches" -frecord-gcc-switches -c x.c -o out/x.o
	cc_is any "-frecord-gcc-switches, again" -frecord-gcc-switches -c x.c -o out/x.o
	cc_is any "-frecord-gcc-switches, another object" -frecord-gcc-switches -c x.c -o out/y.o
}

# What the optimizer has to say: beside the object, or as messages.
records() {
	cc_begin records
	mkdir out a
	printf 'static int g(int a) { return a * a; }\nint f(int *a, int n) { int s = 0; for (int i = 0; i < n; i++) s += g(a[i]); return s; }\n' > x.c
	case $cc in
	gcc)
		cc_vary='*.json.gz'	# with addresses of one process
		set -- -fopt-info-all -fopt-info-vec=out/said -fdump-tree-optimized -fdump-rtl-expand ;;
	clang)
		set -- '-Rpass=.*' '-Rpass-missed=.*' -foptimization-record-file=out/own.yaml ;;
	esac
	for flag in -fsave-optimization-record "$@"; do
		cc_twice "$flag" -O3 $flag -c x.c -o out/x.o
	done
	cc_is miss "another object" -O3 -fsave-optimization-record -c x.c -o out/y.o
	cc_is miss "in another directory" -O3 -fsave-optimization-record -c x.c -o a/x.o
	test "$(find "$T/made.kache" -type f | wc -l)" = 2; ok $? "$cc records: with a record of its own"
	cc_vary=
	case $cc in
	gcc) cc_is "uncached side-output" "a file elsewhere" -O3 -fopt-info-vec=a/said -c x.c -o out/x.o ;;
	clang) cc_is "uncached side-output" "a file elsewhere" -O3 -foptimization-record-file=a/own.yaml -c x.c -o out/x.o ;;
	esac
	"$KACHE" $cc -ftime-report -c x.c -o out/x.o 2> "$T/err"
	is "$(events)" "passthrough other x.c report -ftime-report" "$cc records: how long it took is not kept"
	rm out/x.o
	test $cc = gcc || cc_is "passthrough compilation-database" "-MJ" -MJ x.json -c x.c -o out/x.o
}

# clang's profiles: from counters, and from samples.
clang_profile() {
	test $cc = clang || return 0
	cc_begin clang_profile
	printf 'int g(int);\nint f(int n) { int s = 2; if (n > 3) s = g(n); return s; }\n' > x.c
	printf 'f:100:10\n 1: 10\n' > samples
	cc_twice "-fprofile-sample-use" -O2 -fprofile-sample-use=samples -c x.c
	printf 'f:900:90\n 1: 90\n' > samples
	cc_is miss "which has changed" -O2 -fprofile-sample-use=samples -c x.c
	command -v llvm-profdata > /dev/null || return 0
	printf 'f\n24\n2\n100\n1\n\n' > counts
	llvm-profdata merge counts -o x.profdata || return 0
	cc_twice "-fprofile-instr-use" -O2 -fprofile-instr-use=x.profdata -c x.c
	printf 'f\n24\n2\n100\n99\n\n' > counts
	llvm-profdata merge counts -o x.profdata
	sleep 0.02
	cc_is miss "which has changed" -O2 -fprofile-instr-use=x.profdata -c x.c
	mkdir dir
	mv x.profdata dir/default.profdata
	cc_twice "-fprofile-use of a directory" -O2 -fprofile-use=dir -c x.c
}

profile() {
	test $cc = gcc || return 0
	cc_begin profile
	printf 'int f(int n) { int s = 0; for (int i = 0; i < n; i++) s += i; return s; }\n' > x.c
	printf 'int f(int); int main(int c, char **v) { return f(c * 1000) < 0; }\n' > m.c
	cc_is any "-fprofile-use without a profile" -O2 -fprofile-use -c x.c -o x.o
	$cc -O2 -fprofile-generate -c x.c -o x.o && $cc -fprofile-generate m.c x.o -o prog && ./prog
	rm -f x.o m-prog.gcda prog-m.gcda prog
	cc_twice "-fprofile-use" -O2 -fprofile-use -c x.c -o x.o
	$cc -O2 -fprofile-generate -c x.c -o x.o && $cc -fprofile-generate m.c x.o -o prog && ./prog 1 2 3
	rm -f x.o prog-m.gcda prog
	cc_is miss "the profile has changed" -O2 -fprofile-use -c x.c -o x.o
}

cc_each places behind_links over lists variables appended beside records clang_profile profile
finish
