#!/bin/sh
# C: precompiled headers, made and used.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"

# x.c takes x.h, which takes y.h. $pch is where the compiler looks for what x.h was made into, $flag makes it look.
pch_begin() {
	cc_begin "$1"
	printf '#ifndef X_H\n#define X_H\n#include <stddef.h>\n#include "y.h"\n#ifndef V\n#define V 1\n#endif\n#endif\n' > x.h
	printf '#pragma once\n#define Y 1\n' > y.h
	printf '#include "x.h"\nint f(void) { return V * 10 + Y; }\n' > x.c
	touch -d '2020-01-01' x.h y.h
	pch=x.h.gch flag=-Winvalid-pch cc_vary=
	case $cc in
	gcc) cc_vary='*.gch' ;;	# addresses of one process are in it
	clang) pch=x.h.pch flag='-include x.h' ;;
	esac
}
# What kache made last, and what the compiler makes.
keep() {
	test ! -f "$T/made.kache/$pch" || cp -p "$T/made.kache/$pch" .
	sleep 0.02
}
made() { $cc "$@" -x c-header x.h -o $pch; sleep 0.02; }

create() {
	pch_begin create
	cc_twice "a header" -x c-header x.h -o $pch
	cc_is miss "with -c" -x c-header -c x.h -o $pch
	keep
	cc_is any "what was restored is good" $flag -c x.c
	rm $pch
	cc_is miss "other flags" -O2 -x c-header x.h -o $pch
	cc_is miss "another macro" -DV=2 -x c-header x.h -o $pch
	cc_is miss "as C++" -x c++-header x.h -o $pch
	cc_twice "with a list of dependencies" -MD -MF x.d -x c-header x.h -o $pch
	printf '#pragma once\n#define Y 2\n' > y.h
	touch -d '2020-01-01' y.h
	cc_is miss "a header in it was edited, same size and time" -x c-header x.h -o $pch
	keep
	cc_is any "and is what counts" $flag -c x.c
	rm $pch
	printf '#pragma once\n#define Y 1\n' > y.h
	touch -d '2020-01-01' y.h
	cc_is hit "and back" -x c-header x.h -o $pch
	echo '#error no' > y.h
	cc_is failed "a header that is wrong" -x c-header x.h -o $pch
	printf '#define Y 1\nconst char *now = __TIME__;\n' > y.h
	"$KACHE" $cc -x c-header x.h -o $pch
	is "$(events)" "uncached object x.h time-macro -" "$cc create: the time is in it"
}

# No -c, no -o, no -x: the name says it all.
by_name() {
	pch_begin by_name
	cc_vary='*.gch'
	mkdir d
	cp x.h y.h d
	cc_is any "a header and nothing else" x.h
	cc_twice "a header in a directory" d/x.h
	cc_twice "-c of a header" -c -Wall d/x.h
	cc_is "passthrough precompiled-header" "-S of a header" -S x.h
	cc_is "passthrough link" "two headers" x.h y.h
	cc_is "passthrough preprocess" "-E of a header" -E x.h
	echo 'int f(void);' | "$KACHE" $cc -x c-header - -o in.gch > "$T/out" 2>&1
	is "$(events)" "passthrough other - standard-input -" "$cc by_name: a header from standard input"
}

# Which one is used, and whether one is.
use() {
	pch_begin use
	cc_twice "there is none" $flag -c x.c
	made -DV=2
	test $cc = gcc || rm x.h.pch
	test $cc = clang || { cc_is any "one for other macros" $flag -c x.c; }
	made
	cc_twice "there is one" $flag -c x.c
	sed -i 's/V 1/V 3/' x.h
	made
	cc_twice "made anew from what has changed" $flag -c x.c
	sed -i 's/V 3/V 4/' x.h
	touch -d '2020-01-01' x.h
	cc_is any "the header has changed, and it was not made anew" $flag -c x.c
	rm $pch
	cc_is miss "it is gone" $flag -c x.c
	made
	cc_is any "and back" $flag -c x.c
	cc_is any "other flags than it was made with" $flag -O2 -c x.c
	cc_is any "again" $flag -O2 -c x.c
	echo 'rubbish' > $pch
	cc_is any "rubbish in its place" $flag -c x.c
	: > $pch
	cc_is any "nothing in it" $flag -c x.c
	rm $pch
	cc_is any "it is gone again" $flag -c x.c
}

# One that appears is taken, though nothing else has changed.
appears() {
	pch_begin appears
	cc_twice "the header" $flag -c x.c
	sed -i 's/V 1/V 7/' x.h
	made
	cp -p $pch other
	rm $pch
	sed -i 's/V 7/V 1/' x.h
	touch -d '2020-01-01' x.h
	cc_is any "the header again" $flag -c x.c
	mv other $pch
	cc_is any "made from something else, appears" $flag -c x.c
	mkdir inc
	mv x.h y.h inc
	cc_is any "it lies where no header is" -Iinc $flag -c x.c
	rm $pch
	cc_is any "the directory has none" -Iinc $flag -c x.c
	cc_is any "likewise" -Iinc $flag -c x.c
	cp inc/x.h .
	made -Iinc
	mv $pch inc
	rm x.h
	cc_is any "now it has one" -Iinc $flag -c x.c
}

# One that can't be read is passed over, and taken once it can. root reads everything, unless told not to.
unreadable() {
	pch_begin unreadable
	drop_rights || return 0
	cc_plain="$drop $cc" cc_kache="$drop $KACHE $cc"
	sed -i 's/V 1/V 8/' x.h
	made
	sed -i 's/V 8/V 1/' x.h
	touch -d '2020-01-01' x.h
	chmod 000 $pch
	cc_is any "one that can't be read" -include x.h -c x.c
	cc_is any "again" -include x.h -c x.c
	chmod 644 $pch
	sleep 0.02
	cc_is any "and then can" -include x.h -c x.c
	cc_plain='' cc_kache=''
}

# gcc takes the first that fits of a directory, in whatever order that has them.
several() {
	test $cc = gcc || return 0
	pch_begin several
	mkdir x.h.gch
	gcc -x c-header x.h -o x.h.gch/plain
	gcc -x c-header -O2 x.h -o x.h.gch/fast
	sleep 0.02
	cc_twice "one of two" $flag -c x.c
	cc_twice "the other" $flag -O2 -c x.c
	cc_is any "none of them" $flag -DNULL=0 -O1 -c x.c
	sed -i 's/V 1/V 5/' x.h
	gcc -x c-header -O2 x.h -o x.h.gch/fast
	sleep 0.02
	cc_is miss "one has changed" $flag -O2 -c x.c
	rm x.h.gch/fast
	cc_is any "and is gone" $flag -O2 -c x.c
	rm -r x.h.gch
	test "$(stat -f -c %T /dev/shm 2> /dev/null)" = tmpfs || return 0
	one=$(mktemp -d /dev/shm/kache-test.XXXXXX) two=$(mktemp -d /dev/shm/kache-test.XXXXXX)
	gcc -x c-header x.h -o 5.gch
	sed -i 's/V 5/V 6/' x.h
	gcc -x c-header x.h -o 6.gch
	for name in 5 6; do cp $name.gch "$one/$name"; done
	for name in 6 5; do cp $name.gch "$two/$name"; done
	ln -s "$one" x.h.gch
	sleep 0.02
	cc_twice "both fit" $flag -c x.c
	rm x.h.gch
	ln -s "$two" x.h.gch
	cc_is any "in another order" $flag -c x.c
	rm -r "$one" "$two"
}

# clang refuses one whose headers have other times than they had.
times() {
	test $cc = clang || return 0
	pch_begin times
	cc_twice "made" -x c-header x.h -o $pch
	keep
	cc_twice "used" $flag -c x.c
	touch -d '2020-01-02' y.h
	cc_is failed "a header was touched" $flag -c x.c
	cc_is miss "so it is made anew" -x c-header x.h -o $pch
	keep
	cc_is miss "and good again" $flag -c x.c
	touch -d '2020-01-01' y.h
	cc_is failed "the old time for the new one" $flag -c x.c
	cc_is hit "the old one is known" -x c-header x.h -o $pch
	keep
	cc_is hit "and what it makes" $flag -c x.c
	echo '/* longer */' >> y.h
	touch -d '2020-01-01' y.h
	cc_is failed "another size" $flag -c x.c
	rm y.h
	cc_is failed "a header is gone" $flag -c x.c
}

no_times() {
	test $cc = clang || return 0
	pch_begin no_times
	set -- -Xclang -fno-pch-timestamp
	cc_twice "made without times" "$@" -x c-header x.h -o $pch
	keep
	cc_twice "used" "$@" $flag -c x.c
	cc_twice "used without the flag" $flag -c x.c
	touch -d '2020-01-02' y.h x.h
	cc_is hit "the headers were touched" "$@" -x c-header x.h -o $pch
	cc_is hit "used" "$@" $flag -c x.c
	cc_is any "used without the flag" $flag -c x.c
	printf '#pragma once\n#define Y 3\n' > y.h
	cc_is miss "a header has changed, same size" "$@" $flag -c x.c
	cc_is miss "made anew" "$@" -x c-header x.h -o $pch
	keep
	cc_is any "and used" "$@" $flag -c x.c
	printf '#pragma once\n#define Y 3\n#undef V\n#define V 5\n' > y.h
	touch -d '2020-01-02' y.h
	cc_is failed "a header has changed, another size" "$@" $flag -c x.c
	cc_is miss "made anew once more" "$@" -x c-header x.h -o $pch
	keep
	cc_is miss "and used again" "$@" $flag -c x.c
	cc_is any "by another name" "$@" -include-pch $pch -c x.c
	cp -p $pch other
	sleep 0.02
	cc_twice "which nobody could know" "$@" -include-pch other -c x.c
	printf '#pragma once\n#define Y 4\n' > y.h
	clang "$@" -x c-header x.h -o other
	sleep 0.02
	cc_is miss "and has changed" "$@" -include-pch other -c x.c
}

# One on top of another, which has to be the same one.
chained() {
	test $cc = clang || return 0
	pch_begin chained
	made
	echo '#define Z V' > z.h
	touch -d '2020-01-01' z.h $pch
	printf 'int f(void) { return Z; }\n' > z.c
	cc_twice "on top of another" -include-pch $pch -x c-header z.h -o z.pch
	cp -p "$T/made.kache/z.pch" . 2> /dev/null
	sleep 0.02
	cc_twice "used" -include-pch z.pch -c z.c
	touch -d '2020-01-02' $pch
	cc_is failed "the one below was touched" -include-pch z.pch -c z.c
	cc_is miss "and made anew on top of that" -include-pch $pch -x c-header z.h -o z.pch
	cp -p "$T/made.kache/z.pch" . 2> /dev/null
	sleep 0.02
	cc_is miss "is good" -include-pch z.pch -c z.c
}

# As CMake calls them.
cmake_like() {
	pch_begin cmake_like
	printf '#include "%s/x.h"\n' "$W" > cmake_pch.hxx
	: > cmake_pch.hxx.cxx
	touch -d '2020-01-01' cmake_pch.hxx cmake_pch.hxx.cxx
	hxx=$W/cmake_pch.hxx
	mv x.c x.cc
	cc_plain=$cxx cc_kache="$KACHE $cxx"
	case $cc in
	gcc)
		pch=cmake_pch.hxx.gch
		set -- -Winvalid-pch -include "$hxx"
		cc_twice "made" -Winvalid-pch -x c++-header -include "$hxx" -MD -MT "$pch" -MF "$pch.d" -o "$pch" -c "$hxx.cxx" ;;
	clang)
		pch=cmake_pch.hxx.pch
		set -- -Winvalid-pch -Xclang -include-pch -Xclang "$hxx.pch" -Xclang -include -Xclang "$hxx"
		cc_twice "made" -Winvalid-pch -Xclang -emit-pch -Xclang -include -Xclang "$hxx" -fpch-instantiate-templates \
			-x c++-header -MD -MT "$pch" -MF "$pch.d" -o "$pch" -c "$hxx.cxx" ;;
	esac
	keep
	cc_twice "used" "$@" -MD -MT x.o -MF x.o.d -o x.o -c x.cc
	sed -i 's/V 1/V 9/' x.h
	cc_is any "a header has changed" "$@" -MD -MT x.o -MF x.o.d -o x.o -c x.cc
	cc_plain='' cc_kache=''
	cc_is "passthrough xclang" "-emit-pch of no header" -Xclang -emit-pch -c x.cc
}

cc_each create by_name use appears unreadable several times no_times chained cmake_like
finish
