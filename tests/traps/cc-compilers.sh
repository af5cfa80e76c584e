#!/bin/sh
# C: which compiler it is, how it is named, and that it may change.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"

# A gcc of our own: links to the real one but for what is to change.
own_gcc() {
	mkdir -p bin
	cat > bin/gcc <<-EOS
		#!/bin/sh
		exec $(command -v $cc) $1 "\$@"
	EOS
	chmod +x bin/gcc
}

scripts() {
	cc_begin scripts
	printf 'int f(void) { return V; }\n' > x.c
	own_gcc -DV=1
	cc_plain="./bin/gcc" cc_kache="$KACHE ./bin/gcc"
	cc_twice "a script in the compiler's place" -c x.c
	own_gcc -DV=2
	cc_is miss "which has changed" -c x.c
	printf '#!/bin/sh\nexec %s -DV=${WORD:-3} "$@"\n' "$(command -v $cc)" > bin/gcc
	cc_twice "a script that goes by a variable" -c x.c
	cc_plain="env WORD=4 ./bin/gcc" cc_kache="env WORD=4 $KACHE ./bin/gcc"
	cc_is miss "which has another value" -c x.c
	printf '#!/bin/sh\nexec %s -DV=$(cat value) "$@"\n' "$(command -v $cc)" > bin/gcc
	echo 5 > value
	cc_twice "a script that reads a file" -c x.c
	echo 6 > value
	cc_is miss "which has changed" -c x.c
	printf '#!/bin/sh\ntest -f flag && set -- -DV=7 "$@"\nexec %s "$@"\n' "$(command -v $cc)" > bin/gcc
	cc_is failed "a script that looks for a file" -c x.c
	touch flag
	cc_is any "which is there" -c x.c
	rm flag
	cc_is failed "and gone" -c x.c
	if command -v git > /dev/null; then
		# By times git knows whether a file has changed.
		printf '#!/bin/sh\nexec %s -DV=\\"$(git describe --always --dirty)\\" "$@"\n' "$(command -v $cc)" > bin/gcc
		printf 'const char *f(void) { return V; }\n' > x.c
		echo one > notes
		(git init -q . && git config user.email t@example.com && git config user.name t && git add notes && git commit -qm 1 &&
			sleep 1.1 && git reset -q) > "$T/git" 2>&1
		cc_twice "a script that asks git" -c x.c
		echo two > notes
		cc_is miss "a file that git knows was changed" -c x.c
		printf 'int f(void) { return V; }\n' > x.c
	fi
	printf '#!/bin/sh\nexec %s -DV=$(date +%%s) "$@"\n' "$(command -v $cc)" > bin/gcc
	"$KACHE" ./bin/gcc -c x.c
	like "$(events | tail -n 1)" '^uncached .* time-macro' "$cc scripts: one that asks what time it is is not cached"
	cc_plain='' cc_kache=''
}

# The compiler proper is another one, and the driver is the same.
exchanged() {
	test $cc = gcc || return 0
	cc_begin exchanged
	mkdir -p lib
	cp "$(gcc -print-prog-name=cc1)" lib/cc1
	cc_is any "-B, a copy of cc1" -B "$W/lib" -c x.c
	cc_is hit "-B, again" -B "$W/lib" -c x.c
	printf '\n' >> lib/cc1
	cc_is miss "cc1 has changed" -B "$W/lib" -c x.c
	cp "$(command -v as)" lib/as
	cc_is miss "an assembler appears" -B "$W/lib" -c x.c
	printf '\n' >> lib/as
	cc_is miss "and changes" -B "$W/lib" -c x.c
	mkdir -p other
	printf '#!/bin/sh\nexec as --execstack "$@"\n' > other/as
	cc_is any "an assembler that is no program" -B "$W/other" -c x.c
	cc_is any "again" -B "$W/other" -c x.c
	chmod +x other/as
	cc_is any "and becomes one" -B "$W/other" -c x.c
	mkdir -p path
	cp "$(command -v as)" path/as
	cc_twice "the assembler along PATH" -c x.c
	cc_plain="env PATH=$W/path:$PATH $cc" cc_kache="env PATH=$W/path:$PATH $KACHE $cc"
	cc_is any "the same by another way" -c x.c
	printf '\n' >> path/as
	cc_is any "which has changed" -c x.c
	case $ev in hit*) ok 1 "$cc exchanged: not a hit" ;; *) ok 0 "$cc exchanged: not a hit" ;; esac
	cc_plain='' cc_kache=''
	echo '*cc1:' > more.specs; echo '+ -DH=9' >> more.specs
	printf 'int f(void) { return H; }\n' > x.c
	cc_twice "a file of specs" -specs=more.specs -c x.c
	echo '*cc1:' > more.specs; echo '+ -DH=8' >> more.specs
	cc_is miss "which has changed" -specs=more.specs -c x.c
}

# Arguments that a script, a file of specs or a configuration file adds, which the command line does not show.
added() {
	cc_begin added
	# what every flag is that puts the name of the output into it
	case $cc in gcc) record=-frecord-gcc-switches ;; clang) record=-frecord-command-line ;; esac
	printf '#!/bin/sh\nexec %s %s "$@"\n' $cc $record > my-$cc
	chmod +x my-$cc
	cc_plain="$W/my-$cc" cc_kache="$KACHE $W/my-$cc"
	cc_twice "a script that adds $record" -c x.c -o a.o
	cc_is any "another object" -c x.c -o b.o
	printf '#!/bin/sh\ncase "$*" in *b.o*) exec %s -DH=3 "$@" ;; esac\nexec %s "$@"\n' $cc $cc > my-$cc
	printf 'int f(void) { return\n#ifdef H\nH;\n#else\n0;\n#endif\n}\n' > x.c
	cc_twice "a script that goes by the name of the object" -c x.c -o a.o
	cc_is any "another object" -c x.c -o b.o
	cc_twice "and by that of the list" -MD -MF a.d -c x.c -o a.o
	cc_is any "another list" -MD -MF b.o.d -c x.c -o a.o
	cc_plain='' cc_kache=''
	if test $cc = gcc; then
		printf '*cc1:\n+ %s\n' $record > more.specs
		cc_is any "specs that add it" -specs=more.specs -c x.c -o a.o
		cc_is any "another object" -specs=more.specs -c x.c -o b.o
		printf 'int included;\n' > my.cfg
		cc_twice "a configuration file of somebody else's" -include my.cfg -c x.c
		return 0
	fi
	printf -- '-DH=5\n' > my.cfg
	cc_twice "a configuration file" --config "$W/my.cfg" -c x.c -o a.o
	printf -- '-DH=6\n' > my.cfg
	cc_is miss "which has changed" --config "$W/my.cfg" -c x.c -o a.o
	printf -- '%s\n' $record > my.cfg
	cc_is any "one that adds $record" --config "$W/my.cfg" -c x.c -o a.o
	cc_is any "another object" --config "$W/my.cfg" -c x.c -o b.o
	printf -- '-save-temps\n' > my.cfg
	cc_is "uncached configuration-file" "one with what is not cached" --config "$W/my.cfg" -c x.c -o a.o
	cc_plain="env CCC_OVERRIDE_OPTIONS=+$record $cc" cc_kache="env CCC_OVERRIDE_OPTIONS=+$record $KACHE $cc"
	cc_is "passthrough unknown-flag" "the variable that changes arguments" -c x.c -o a.o
	cc_plain='' cc_kache=''
}

# A copy of the driver that is replaced in place.
upgraded() {
	test $cc = gcc || return 0
	cc_begin upgraded
	mkdir bin
	cp "$(readlink -f "$(command -v gcc)")" bin/gcc
	# Where it lies now it would not find the rest of itself.
	prefix=GCC_EXEC_PREFIX=$(dirname "$(dirname "$(dirname "$(gcc -print-libgcc-file-name)")")")/
	cc_plain="env $prefix $W/bin/gcc" cc_kache="env $prefix $KACHE $W/bin/gcc"
	cc_twice "a copy of the driver" -c x.c
	printf '\n' >> bin/gcc
	cc_is miss "it was written to" -c x.c
	cc_is hit "it was written to, again" -c x.c
	cp "$(readlink -f "$(command -v gcc)")" bin/new && mv bin/new bin/gcc
	cc_is hit "and is as it was" -c x.c
	cc_plain='' cc_kache=''
}

links() {
	cc_begin links
	mkdir links own
	for name in gcc cc clang g++ x86_64-linux-gnu-gcc; do ln -s "$KACHE" links/$name; done
	cc_kache="env PATH=$W/links:$PATH $cc"
	cc_twice "a link along PATH" -c x.c
	cc_kache="env PATH=$W/links:$PATH $W/links/$cc"
	cc_is hit "a link by its full name" -c x.c
	cc_kache="env PATH=$W/links:$PATH $KACHE $cc"
	cc_is hit "kache, and a link is first along PATH" -c x.c
	cc_kache="env PATH=$W/links:$PATH $KACHE $W/links/$cc"
	cc_is hit "kache and a link" -c x.c
	cc_kache="$KACHE $(command -v $cc)"
	cc_is hit "kache and the compiler by its full name" -c x.c
	cc_kache="$KACHE $KACHE $cc"
	cc_is hit "kache twice" -c x.c
	cp "$KACHE" own/kache
	mkdir links2
	ln -s "$W/own/kache" links2/$cc
	cc_kache="env PATH=$W/links:$W/links2:$PATH $cc"
	cc_is hit "links to two caches" -c x.c
	ln -f "$W/own/kache" links2/$cc
	cc_kache="env PATH=$W/links2:$PATH $W/own/kache $cc"
	cc_is hit "a hard link" -c x.c
	cc_kache=''
	env PATH="$W/links" "$W/links/$cc" -c x.c 2> "$T/err"
	is $? 127 "$cc links: nothing but links along PATH"
	like "$(cat "$T/err")" 'no such compiler' "$cc links: is said"
	mkdir loop
	printf '#!/bin/sh\nexec %s "$@"\n' "$cc" > loop/$cc
	chmod +x loop/$cc
	timeout 20 env PATH="$W/links:$W/loop:/usr/bin:/bin" $cc -c x.c > "$T/err" 2>&1
	is $? 1 "$cc links: a script that comes back to the link ends"
	like "$(cat "$T/err")" 'runs kache again' "$cc links: is said"
	rm -rf links links2 own loop x.o
}

prefixed() {
	cc_begin prefixed
	for name in $(cd /usr/bin && ls | grep -E "^(x86_64-linux-gnu-)?$cc(-[0-9]+)?\$"); do
		cc_plain="$name" cc_kache="$KACHE $name"
		cc_is any "$name" -c x.c
		cc_is hit "$name, again" -c x.c
	done
	cc_plain='' cc_kache=''
}

# What is no compiler, and what stands between us and one.
others() {
	cc_begin others
	printf '#!/bin/sh\necho nonsense\n' > gcc
	chmod +x gcc
	cc_plain=./gcc cc_kache="$KACHE ./gcc"
	cc_is "passthrough unknown-compiler" "what is no compiler" -c x.c
	cc_plain='' cc_kache=''
	if command -v ccache > /dev/null && command -v musl-gcc > /dev/null; then
		mkdir -p cached
		ln -s "$(command -v ccache)" cached/$cc
		export CCACHE_DIR=$T/ccache
		cc_plain="$cc" cc_kache="$KACHE $W/cached/$cc"
		cc_is any "another cache in the compiler's place" -c x.c
		cc_is any "another cache, again" -c x.c
		echo '#define H 12' > h.h
		cc_is any "another cache, a header has changed" -c x.c
		case $ev in hit*) ok 1 "$cc others: not a hit" ;; *) ok 0 "$cc others: not a hit" ;; esac
		unset CCACHE_DIR
		cc_plain='' cc_kache=''
		rm -rf cached
	fi
}

cc_each scripts exchanged added upgraded links prefixed others
finish
