#!/bin/sh
# C: which files count, also those that are not there.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"

edited() {
	cc_begin edited
	cc_twice "a small file" -c x.c -o x.o
	echo '#define H 2' > h.h
	cc_twice "a header was edited" -c x.c -o x.o
	echo '#define H 1' > h.h
	cc_is hit "and back" -c x.c -o x.o
	printf '#include "h.h"\nint f(void) { return H + 1; }\n' > x.c
	cc_is miss "the source was edited" -c x.c -o x.o
	echo '#error no' > h.h
	cc_is failed "a header that is no longer right" -c x.c -o x.o
	printf '#include "h.h"\nint f(void) { return 1 }\n' > x.c
	cc_is failed "a source that is no longer right" -c x.c -o x.o
	cc_is failed "is compiled each time" -c x.c -o x.o
}

# The same size within the same second, and the old time put back.
quick() {
	cc_begin quick
	touch -d '2020-01-01' h.h
	cc_is miss "an old header" -c x.c
	cc_is hit "an old header, again" -c x.c
	echo '#define H 3' > h.h
	touch -d '2020-01-01' h.h
	cc_is miss "other content, same size and same time" -c x.c
	for n in 4 5 6 7; do
		echo "#define H $n" > h.h
		cc_is any "edited in a hurry: $n" -c x.c
	done
}

appears() {
	cc_begin appears
	mkdir one two
	mv h.h two
	cc_twice "found in the second directory" -Ione -Itwo -c x.c
	echo '#define H 7' > one/h.h
	cc_is miss "one appears earlier on the path" -Ione -Itwo -c x.c
	rm one/h.h
	cc_is hit "and is gone" -Ione -Itwo -c x.c
	echo '#define H 8' > h.h
	cc_is miss "one appears beside the source" -Ione -Itwo -c x.c
	rm h.h
	cc_is hit "which is gone as well" -Ione -Itwo -c x.c
	rmdir one
	cc_is any "a directory of the path is gone" -Ione -Itwo -c x.c
	mkdir one
	echo '#define H 9' > one/h.h
	cc_is miss "and comes back with a header" -Ione -Itwo -c x.c
}

late_directory() {
	cc_begin late_directory
	cc_twice "a directory of the path is missing" -Ilate -I. -c x.c
	mkdir late
	cc_is any "it is there and empty" -Ilate -I. -c x.c
	echo '#define H 5' > late/h.h
	mv h.h away
	cc_is any "it has the header" -Ilate -I. -c x.c
	mv away h.h
	cc_is any "and so has the source's directory" -Ilate -I. -c x.c
}

has_include() {
	cc_begin has_include
	cat > x.c <<-'EOS'
		#if __has_include("opt.h")
		int f(void) { return 1; }
		#else
		int f(void) { return 2; }
		#endif
	EOS
	cc_twice "__has_include of what is not there" -Iinc -c x.c
	mkdir inc
	echo > inc/opt.h
	cc_is miss "it appears" -Iinc -c x.c
	echo '/* other */' > inc/opt.h
	cc_is any "it changes, which is not asked for" -Iinc -c x.c
	rm inc/opt.h
	cc_is any "it is gone" -Iinc -c x.c
}

order() {
	cc_begin order
	mkdir one two
	echo '#define H 1' > one/h.h
	echo '#define H 2' > two/h.h
	rm h.h
	cc_is miss "-I one -I two" -Ione -Itwo -c x.c
	cc_is miss "-I two -I one" -Itwo -Ione -c x.c
	cc_is hit "-I one -I two, again" -Ione -Itwo -c x.c
	cc_is miss "-isystem one -I two" -isystem one -Itwo -c x.c
	cc_is miss "-iquote two -I one" -iquote two -Ione -c x.c
	cc_is miss "-idirafter" -idirafter one -Itwo -c x.c
}

symlinks() {
	cc_begin symlinks
	mkdir v1 v2
	echo '#define H 1' > v1/h.h
	echo '#define H 2' > v2/h.h
	rm h.h
	ln -s v1 now
	cc_twice "through a linked directory" -Inow -c x.c
	rm now; ln -s v2 now
	cc_is miss "the link leads elsewhere" -Inow -c x.c
	ln -s v1/h.h h.h
	cc_is miss "a linked header" -c x.c
	rm h.h; ln -s v2/h.h h.h
	cc_is miss "which leads elsewhere" -c x.c
	rm h.h; ln -s nowhere.h h.h
	cc_is failed "and nowhere" -c x.c
	echo '#define H 3' > nowhere.h
	cc_is miss "where then a file appears" -c x.c
}

includes() {
	cc_begin includes
	mkdir gen
	printf 'int g(void) { return G; }\n' > x.c
	echo '#define G 1' > gen/pre.h
	cc_twice "-include" -include gen/pre.h -c x.c
	echo '#define G 2' > gen/pre.h
	cc_is miss "-include of what has changed" -include gen/pre.h -c x.c
	cc_twice "-imacros" -imacros gen/pre.h -c x.c
	echo '#define G 3' > gen/pre.h
	cc_is miss "-imacros of what has changed" -imacros gen/pre.h -c x.c
	printf '#define NAME "gen/pre.h"\n#include NAME\nint g(void) { return G; }\n' > x.c
	cc_twice "the name is a macro" -c x.c
	echo '#define G 4' > gen/pre.h
	cc_is miss "and what it names has changed" -c x.c
	echo '#include_next <stdio.h>' > gen/stdio.h
	printf '#include <stdio.h>\nint g(void) { return EOF; }\n' > x.c
	cc_twice "#include_next" -Igen -c x.c
	echo '#include <pre.h>' > gen/stdio.h
	echo '#define EOF 4' > gen/pre.h
	cc_is miss "a wrapper header has changed" -Igen -c x.c
}

counter() {
	cc_begin counter
	printf '#include "h.h"\nint a = __COUNTER__, b = __COUNTER__;\n' > x.c
	echo '' > h.h
	cc_twice "__COUNTER__" -c x.c
	echo 'int c = __COUNTER__;' > h.h
	cc_is miss "used in a header too" -c x.c
}

absolute() {
	cc_begin absolute
	printf '#include "%s/h.h"\nint f(void) { return H; }\n' "$W" > x.c
	cc_twice "a header by its full name" -c x.c
	echo '#define H 6' > h.h
	cc_is miss "which has changed" -c "$W/x.c"
	cc_is hit "a source by its full name" -c "$W/x.c"
}

# While the compiler runs, what it has read already is exchanged for something that is older than the compile.
meanwhile() {
	cc_begin meanwhile
	mkdir v1 v2 list
	echo '#define H 1' > v1/h.h
	echo '#define H 2' > v2/h.h
	rm h.h
	cat > x.cc <<-'EOS'
		#include "h.h"
		constexpr int slow() { int s = 0; for (int i = 0; i < 1200000; i++) s += i & 1; return s; }
		constexpr int x = slow();
		int f() { return H + x; }
	EOS
	case $cc in gcc) set -- -fconstexpr-loop-limit=9999999 -fconstexpr-ops-limit=999999999 ;; clang) set -- -fconstexpr-steps=999999999 ;; esac
	sleep 0.02
	for way in link directory; do
		rm -rf now
		case $way in
		link) ln -s v1 now ;;
		directory) mkdir now; echo '#define H 1' > now/h.h ;;
		esac
		sleep 0.02
		cc_kache="meanwhile_$way"
		cc_is "uncached input-changed" "another $way, made while it is compiled" "$@" -Inow -c x.cc
		cc_kache=''
	done
}
meanwhile_link() {
	"$KACHE" $cc "$@" &
	sleep 0.35
	ln -sfn v2 now
	wait $!
}
meanwhile_directory() {
	rm -rf v3
	cp -r v2 v3
	sleep 0.02
	"$KACHE" $cc "$@" &
	sleep 0.35
	mv now old && mv v3 now
	rm -rf old
	wait $!
}

# What a removed or unreadable input comes to is the compiler's business.
gone() {
	cc_begin gone
	cc_twice "all there" -c x.c
	mv h.h away
	cc_is failed "a header is gone" -c x.c
	mv away h.h
	cc_is hit "and back" -c x.c
	mv x.c away
	cc_is "passthrough source-not-a-file" "the source is gone" -c x.c
}

# "sub/.." is where that lies which sub leads to.
climbs() {
	cc_begin climbs
	mkdir -p a/deep a/inc b/deep b/inc
	mv h.h a/inc
	echo '#define H 2' > b/inc/h.h
	ln -s a/deep sub
	cc_twice "through a link and up again" -Isub/../inc -c x.c
	ln -sfn b/deep sub
	cc_is miss "the link leads elsewhere" -Isub/../inc -c x.c
	ln -sfn a/deep sub
	cc_is hit "and back" -Isub/../inc -c x.c
	rm sub
	mkdir sub inc
	echo '#define H 3' > inc/h.h
	cc_is miss "a directory in the link's place" -Isub/../inc -c x.c
	mv sub kept
	ln -s b/deep sub
	cc_is hit "a link in the directory's place" -Isub/../inc -c x.c
}

# Of two directories that are one, only the first is searched.
same_directory() {
	cc_begin same_directory
	mkdir two last
	mv h.h last
	ln -s two one
	cc_twice "a link to a directory of the path" -Itwo -Ione -Ilast -c x.c
	rm one
	mkdir one
	echo '#define H 4' > one/h.h
	cc_is miss "a directory of its own, with a header" -Itwo -Ione -Ilast -c x.c
	mv one kept
	ln -s two one
	cc_is hit "the link again" -Itwo -Ione -Ilast -c x.c
	# A directory of the system stays in its place, whatever else names it.
	rm one
	mkdir one other
	cp last/h.h one
	echo '#define H 5' > other/h.h
	cc_twice "found in the first directory" -Ione -Iother -isystem last -c x.c
	mv one kept2
	ln -s last one
	cc_is miss "which is one of the system's now" -Ione -Iother -isystem last -c x.c
}

# What may not be looked at is not there for clang, until it may. gcc takes offence at some of it.
denied() {
	cc_begin denied
	drop_rights || return 0
	cc_plain="$drop $cc" cc_kache="$drop $KACHE $cc"
	mkdir -p closed/inc open
	echo '#define H 2' > closed/inc/h.h
	mv h.h open
	chmod 000 closed
	cc_is any "a directory of the path that can't be reached" -Iclosed/inc -Iopen -c x.c
	cc_is any "again" -Iclosed/inc -Iopen -c x.c
	chmod 755 closed
	cc_is any "and then can" -Iclosed/inc -Iopen -c x.c
	printf '#if __has_include("closed/inc/h.h")\nint f(void) { return 1; }\n#endif\n' > x.c
	chmod 000 closed
	cc_is any "asked for, and can't be reached" -c x.c
	cc_is any "again" -c x.c
	chmod 755 closed
	cc_is any "and then can" -c x.c
	printf '#include "h.h"\nint f(void) { return H; }\n' > x.c
	mkdir shut
	cc_twice "a directory that has no such header" -Ishut -Iopen -c x.c
	chmod 000 shut
	cc_is any "which may not be entered any more" -Ishut -Iopen -c x.c
	chmod 755 shut
	cc_is any "and then may" -Ishut -Iopen -c x.c
	ln -s loop loop
	cc_is any "links that lead in circles" -Iloop -Iopen -c x.c
	cc_is any "again" -Iloop -Iopen -c x.c
	cc_plain='' cc_kache=''
}

# Of two headers with the same content and #pragma once clang takes the second where it is another file, gcc where it has another time.
copies() {
	cc_begin copies
	mkdir one two
	printf '#pragma once\nstatic int once = 1;\n' > one/h.h
	touch -d 2020-01-01 one/h.h
	printf '#include "one/h.h"\n#include "two/h.h"\n' > x.c
	for copies_how in 'ln -s ../one/h.h' 'ln one/h.h'; do
		$copies_how two/h.h
		cc_twice "taken once, $copies_how" -c x.c
		rm two/h.h
		cp one/h.h two/h.h
		cc_is failed "a copy with another time" -c x.c
		rm two/h.h
		cp -p one/h.h two/h.h
		cc_is any "a copy with the same time" -c x.c
		rm two/h.h
		$copies_how two/h.h
		cc_is hit "one of them again" -c x.c
		rm two/h.h one/h.h
		printf '#pragma once\nstatic int once = 2;\n' > one/h.h
		touch -d 2020-01-01 one/h.h
	done
}

cc_each copies edited quick appears late_directory has_include order symlinks climbs same_directory denied includes counter absolute meanwhile gone
finish
