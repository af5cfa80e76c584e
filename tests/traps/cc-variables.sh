#!/bin/sh
# C: the variables that compilers go by.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"

with() { # VARIABLE=VALUE…: the next calls have these
	cc_plain="env $* $cc" cc_kache="env $* $KACHE $cc"
}

paths() {
	cc_begin paths
	mkdir one two
	echo '#define H 1' > one/h.h
	echo '#define H 2' > two/h.h
	rm h.h
	for v in CPATH C_INCLUDE_PATH; do
		with $v=one
		cc_twice "$v" -c x.c
		with $v=two
		cc_is miss "$v, another directory" -c x.c
		with $v=two:one
		cc_is miss "$v, both" -c x.c
		with $v=one
		cc_is hit "$v, the first again" -c x.c
		echo '#define H 3' > one/h.h
		cc_is miss "$v, its header has changed" -c x.c
		echo '#define H 1' > one/h.h
		cc_plain='' cc_kache=''
		cc_is failed "without $v" -c x.c
	done
	cp x.c x.cc
	with CPLUS_INCLUDE_PATH=one
	cc_twice "CPLUS_INCLUDE_PATH" -c x.cc
	with CPLUS_INCLUDE_PATH=two
	cc_is miss "CPLUS_INCLUDE_PATH, another directory" -c x.cc
	with CPATH=
	cc_is any "an empty CPATH" -I one -c x.c
	cc_plain='' cc_kache=''
}

others() {
	cc_begin others
	cc_twice "none" -c x.c
	with UNRELATED=1 HOME=/nowhere
	cc_is hit "unrelated ones" -c x.c
	mkdir tmp
	with TMPDIR="$W/tmp"
	cc_is hit "TMPDIR" -c x.c
	echo '#define H 4' > h.h
	cc_is miss "TMPDIR, and a header has changed" -c x.c
	cc_is hit "TMPDIR, again" -c x.c
	mkdir -p tmp/ccproject && cp x.c h.h tmp/ccproject && cd tmp/ccproject || exit 99
	cc_twice "a project among the temporary files" -c x.c
	echo '#define H 5' > h.h
	cc_is miss "whose header has changed" -c x.c
	cd "$W" || exit 99
	with COMPILER_PATH="$W"
	cc_is any "COMPILER_PATH" -c x.c
	with GCC_EXEC_PREFIX="$W/"
	cc_is any "GCC_EXEC_PREFIX" -c x.c
	with LD_LIBRARY_PATH="$W"
	cc_is hit "LD_LIBRARY_PATH, and nothing is there" -c x.c
	if test $cc = gcc; then
		cp "$(ldd "$(gcc -print-prog-name=cc1)" | sed -n 's,.*=> \(/.*libgmp[^ ]*\) .*,\1,p')" "$W"
		cc_is miss "LD_LIBRARY_PATH, and a library of the compiler's is there" -c x.c
		rm "$W"/libgmp*
	fi
	with CCC_OVERRIDE_OPTIONS=+-DH=3
	cc_is any "CCC_OVERRIDE_OPTIONS" -c x.c
	cc_plain='' cc_kache=''
	cc_is hit "none, again" -c x.c
}

# Each job may have a directory of its own for temporary files.
temporary() {
	cc_begin temporary
	mkdir one two
	with TMPDIR="$W/one"
	cc_twice "a directory for temporary files" -c x.c
	rmdir one
	with TMPDIR="$W/two"
	cc_is hit "another one" -c x.c
	mkdir three last
	mv h.h last
	ln -s three one
	with TMPDIR="$W/one"
	cc_is any "one that is searched, too" -I"$W/three" -I"$W/one" -Ilast -c x.c
	rm one
	mkdir one
	echo '#define H 9' > one/h.h
	cc_is miss "and has a header" -I"$W/three" -I"$W/one" -Ilast -c x.c
	cc_plain='' cc_kache=''
}

settings() {
	cc_begin settings
	with KACHE_DISABLED=1
	cc_is any "KACHE_DISABLED" -c x.c
	is "$ev" "" "$cc settings: counts nothing"
	with KACHE_READONLY=1
	cc_is "passthrough read-only" "KACHE_READONLY" -c x.c
	with KACHE_OBSERVE=off
	cc_is "uncached unobserved" "KACHE_OBSERVE=off" -c x.c
	with KACHE_KEY_SALT=1
	cc_twice "a salt" -c x.c
	with KACHE_KEY_SALT=2
	cc_is miss "another salt" -c x.c
	with KACHE_KEY_ENV=DECLARED DECLARED=1
	cc_twice "a declared variable" -c x.c
	with KACHE_KEY_ENV=DECLARED DECLARED=2
	cc_is miss "a declared variable, another value" -c x.c
	cc_plain='' cc_kache=''
	cc_is miss "none of these" -c x.c
	with KACHE_RECACHE=1
	cc_is miss "KACHE_RECACHE" -c x.c
	with KACHE_READONLY=1
	cc_is hit "KACHE_READONLY, and it is known" -c x.c
	cc_plain='' cc_kache=''
}

cc_each paths others temporary settings
finish
