#!/bin/sh
# C: checkouts at several paths that share what does not depend on the path (paths.base_dirs), and what must not be shared.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"

cc_unmapped=

# Two checkouts of one project, a/ and b/, with a build directory each. $cc_plain gets what kache adds.
checkouts() { # NAME
	cc_begin "$1"
	for place in a much-longer-than-that/b; do
		mkdir -p $place/src $place/include $place/build
		printf '#include "h.h"\n#include <stdio.h>\nint f(void) { return H; }\n' > $place/src/x.c
		echo '#define H 1' > $place/include/h.h
		echo 'base_dirs = ["."]' | sed '1i [paths]' > $place/.kache.toml
	done
	A=$W/a B=$W/much-longer-than-that/b
}

go() { # DIRECTORY
	cd "$1/build" || exit 99
	root=$1
	cc_plain=$cc
	test -n "$cc_unmapped" || cc_plain="$cc -ffile-prefix-map=$1=."
}

both() { # TEXT ARGUMENT…: @ in them stands for the checkout
	both_text=$1
	shift
	go "$A"
	cc_is miss "$both_text" $(printf '%s\n' "$@" | sed "s|@|$A|g")
	go "$B"
	cc_is hit "$both_text, in the other checkout" $(printf '%s\n' "$@" | sed "s|@|$B|g")
}

alone() { # TEXT ARGUMENT…: what the other checkout must not get
	alone_text=$1
	shift
	go "$A"
	cc_is miss "$alone_text" $(printf '%s\n' "$@" | sed "s|@|$A|g")
	cc_is hit "$alone_text, again" $(printf '%s\n' "$@" | sed "s|@|$A|g")
	go "$B"
	cc_is miss "$alone_text, in the other checkout" $(printf '%s\n' "$@" | sed "s|@|$B|g")
	go "$A"
	cc_is hit "$alone_text, and the first once more" $(printf '%s\n' "$@" | sed "s|@|$A|g")
}

# Where gcc breaks a line goes by the length of the names.
unfold() {
	find "$T/made.plain" "$T/made.kache" -name '*.d' -exec perl -0pi -e 's/\\\n//g; s/ +/ /g' {} +
}

names() {
	checkouts names
	both "relative names" -I../include -c ../src/x.c
	both "full names" -I@/include -c @/src/x.c -o @/build/y.o
	both "debug information" -g -I@/include -c @/src/x.c
	cc_made=unfold
	both "a list" -MD -I@/include -c @/src/x.c
	both "a list with a target" -MMD -MT x.o -MF x.d -I@/include -c @/src/x.c
	cc_made=
	both "several kinds" -iquote @/include -isystem @/none -include @/include/h.h -c @/src/x.c
	like "$("$KACHE" explain -- $cc -I"$B/include" -c ../src/x.c)" "^added +-ffile-prefix-map=$B=\\.\$" "$cc names: explain tells what is added"
	go "$B"
	echo '#define H 2' > "$B/include/h.h"
	cc_is miss "a header is another one there" -I../include -c ../src/x.c
	go "$A"
	cc_is hit "and here as it was" -I../include -c ../src/x.c
	mkdir "$B/early"
	go "$A"
	cc_is miss "a directory that is not there" -I@/early -I../include -c ../src/x.c
	cc_is miss "by its name" -I"$A/early" -I../include -c ../src/x.c
	echo '#define H 3' > "$B/early/h.h"
	go "$B"
	cc_is miss "and there it holds a header" -I"$B/early" -I../include -c ../src/x.c
	cc_plain=
}

file_names() {
	checkouts file_names
	for place in "$A" "$B"; do
		printf '#include "h.h"\nconst char *f(void) { return __FILE__; }\nint n = sizeof __FILE__;\n' > $place/src/x.c
		echo 'const char *g(void) { return __builtin_FILE(); }' >> $place/src/x.c
	done
	both "__FILE__" -I@/include -c @/src/x.c
	both "with debug information" -g -I@/include -c @/src/x.c
	cc_plain=
}

messages() {
	checkouts messages
	for place in "$A" "$B"; do
		printf '#include "h.h"\nint f(void) { int unused; return H; }\n' > $place/src/x.c
	done
	both "a warning names this checkout" -Wall -I@/include -c @/src/x.c
	cc_plain=
}

# The name of the place in what is compiled, or in what says how.
held() {
	checkouts held
	alone "in a definition" "-DWHERE=\"@\"" -I../include -c ../src/x.c
	for place in "$A" "$B"; do
		printf '#define H 1\n#define WHERE "%s"\n' $place > $place/include/h.h
	done
	alone "in a header that was made there" -I../include -c ../src/x.c
	checkouts held_all
	for place in "$A" "$B"; do
		printf '#include "%s/include/h.h"\nint f(void) { return H; }\n' "$A" > $place/src/x.c
	done
	alone "in an include of one of them in both" -c ../src/x.c
	checkouts held_env
	export CPATH="$A/include"
	alone "in a variable, for both" -c ../src/x.c
	unset CPATH
	checkouts held_map
	cc_plain=$cc
	cd "$A/build" || exit 99
	cc_is miss "in the new name that the user gave" -ffile-prefix-map="$A=$A/x" -g -I../include -c ../src/x.c
	cd "$B/build" || exit 99
	cc_is miss "and there" -ffile-prefix-map="$B=$A/x" -g -I../include -c ../src/x.c
	cc_plain=
}

mapped() {
	checkouts mapped
	cd "$A/build" || exit 99
	cc_plain=$cc
	cc_is miss "the user's own map" -ffile-prefix-map="$A=/src" -g -I../include -c ../src/x.c
	cd "$B/build" || exit 99
	cc_is hit "in the other checkout" -ffile-prefix-map="$B=/src" -g -I../include -c ../src/x.c
	cc_is miss "to another name" -ffile-prefix-map="$B=/usr" -g -I../include -c ../src/x.c
	cc_plain=
}

# What lies beside a checkout is another thing beside another one.
beside() {
	checkouts beside
	mkdir "$W/common" "$W/much-longer-than-that/common"
	echo '#define H 1' > "$W/common/c.h"
	echo '#define H 1' > "$W/much-longer-than-that/common/c.h"
	for place in "$A" "$B"; do
		printf '#include "../../common/c.h"\nint f(void) { return H; }\n' > $place/src/x.c
	done
	alone "by way of the source" -c ../src/x.c
	checkouts beside_path
	mv "$W/a/include" "$W/include"
	mv "$B/include" "$W/much-longer-than-that"
	alone "by way of an argument" -I../../include -c ../src/x.c
}

# Without a base directory, and with what can't be looked through, each place has its own.
apart() {
	checkouts apart
	cc_unmapped=1
	alone "optimized at link time" -flto -frandom-seed=1 -I@/include -c @/src/x.c
	alone "compressed" -g -gz -I@/include -c @/src/x.c
	cc_unmapped=
	rm "$A/.kache.toml" "$B/.kache.toml"
	cd "$A/build" || exit 99
	cc_plain=$cc
	cc_is miss "no base directory" -I../include -c ../src/x.c
	cd "$B/build" || exit 99
	cc_is miss "in the other checkout" -I../include -c ../src/x.c
	export KACHE_BASE_DIR="$W/none"
	cc_is hit "one that has nothing to do with it" -I../include -c ../src/x.c
	export KACHE_BASE_DIR="$B" KACHE_REMAP=0
	cc_is hit "not wanted" -I../include -c ../src/x.c
	unset KACHE_BASE_DIR KACHE_REMAP
	cc_plain=
}

# One checkout by two names, and a name that comes to mean another.
linked() {
	checkouts linked
	rm "$A/.kache.toml" "$B/.kache.toml"
	ln -s a "$W/now"
	echo '#define H 4' | tee "$A/include/h.h" > "$B/include/h.h"
	export KACHE_BASE_DIR="$W/now"
	cd "$W/now/build" || exit 99
	cc_plain="$cc -ffile-prefix-map=$W/now=. -ffile-prefix-map=$A=."
	cc_is miss "behind a link" -g -I"$W/now/include" -c "$W/now/src/x.c"
	cc_is hit "by its real name" -g -I"$A/include" -c "$W/now/src/x.c"
	ln -sfn much-longer-than-that/b "$W/now"
	cd "$W/now/build" || exit 99
	cc_plain="$cc -ffile-prefix-map=$W/now=. -ffile-prefix-map=$B=."
	cc_is any "the link leads to the other one" -g -I"$W/now/include" -c "$W/now/src/x.c"
	echo '#define H 5' > "$B/include/h.h"
	cc_is miss "where a header is edited" -g -I"$W/now/include" -c "$W/now/src/x.c"
	unset KACHE_BASE_DIR
	cc_plain=
}

# A build script's directory has another name in each target directory.
build_scripts() {
	checkouts build_scripts
	rm "$A/.kache.toml" "$B/.kache.toml"
	export CARGO_MANIFEST_DIR="$W"
	mkdir -p "$A/out/gen" "$B/out/gen"
	for place in "$A" "$B"; do echo '#define H 1' > "$place/out/gen/h.h"; done
	cd "$W" || exit 99
	cp a/src/x.c x.c
	rm h.h
	export OUT_DIR="$A/out"
	cc_plain="$cc -ffile-prefix-map=$OUT_DIR=/kache/out"
	cc_is miss "what a build script made" -g -I"$OUT_DIR/gen" -c x.c -o "$OUT_DIR/x.o"
	export OUT_DIR="$B/out"
	cc_plain="$cc -ffile-prefix-map=$OUT_DIR=/kache/out"
	cc_is hit "in another target directory" -g -I"$OUT_DIR/gen" -c x.c -o "$OUT_DIR/x.o"
	echo '#define H 2' > "$OUT_DIR/gen/h.h"
	cc_is miss "where it made something else" -g -I"$OUT_DIR/gen" -c x.c -o "$OUT_DIR/x.o"
	unset OUT_DIR CARGO_MANIFEST_DIR
	cc_plain=
}

# gcc puts the way to the object into the name of its profile, with "#" for "/".
profiles() {
	cc_unmapped=1
	checkouts profiles
	for place in "$A" "$B"; do
		mkdir "$place/out"
		go "$place"
		cc_is any "asks for its profile, $(basename "$place")" -frandom-seed=1 -fprofile-generate=../out -I../include -c ../src/x.c -o x.o
		cc_is any "has none, $(basename "$place")" -O2 -Wmissing-profile -fprofile-use=../out -I../include -c ../src/x.c -o x.o
	done
	cc_unmapped=
	test $cc = gcc || return 0
	echo 'int f(void); int main(void) { return f() - 1; }' > "$T/main.c"
	gcc -fprofile-generate=../out -I../include -c ../src/x.c -o x.o
	gcc -fprofile-generate "$T/main.c" x.o -o p
	./p
	is "$(find ../out -name '*#x.gcda' | wc -l)" 1 "$cc profiles: one was made"
	rm -f p x.o main.gcda
	cc_is any "has one" -O2 -Wmissing-profile -fprofile-use=../out -I../include -c ../src/x.c -o x.o
}

cc_each names profiles file_names messages held mapped beside apart linked build_scripts
finish
