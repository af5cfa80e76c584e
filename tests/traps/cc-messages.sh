#!/bin/sh
# C: what the compiler says, and how it ends.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"

warnings() {
	cc_begin warnings
	printf '#include "h.h"\nint f(int unused) { int n = H; return 1; }\n' > x.c
	cc_twice "-Wall" -Wall -Wextra -c x.c
	grep -q warning "$T/err.kache"; ok $? "$cc warnings: are replayed"
	cc_is miss "without -Wall" -c x.c
	cc_is failed "-Werror" -Wall -Wextra -Werror -c x.c
	cc_is failed "-Werror, again" -Wall -Wextra -Werror -c x.c
	cc_is miss "-w" -Wall -w -c x.c
	cc_is any "-fdiagnostics-color=always" -fdiagnostics-color=always -Wall -c x.c
	cc_is hit "-fdiagnostics-color=always, again" -fdiagnostics-color=always -Wall -c x.c
	cc_is hit "-Wall, again" -Wall -Wextra -c x.c
	printf '#include "h.h"\n#warning look\nint f(void) { return 1; }\n' > x.c
	cc_twice "#warning" -c x.c
	cc_is failed "#warning and -Werror" -Werror -c x.c
	printf 'int f(void) { return 1; }\n#pragma message "hello"\n' > x.c
	cc_twice "#pragma message" -c x.c
	printf '#include <stdio.h>\nint f(void) { char b[2]; return sprintf(b, "%%s", "long"); }\n' > x.c
	cc_is any "what only an optimiser sees" -O2 -Wall -c x.c
	cc_is any "what only an optimiser sees, again" -O2 -Wall -c x.c
}

unused() {
	cc_begin unused
	cc_twice "flags of the linker" -L. -lm -Wl,-z,now -pie -c x.c
}

locales() {
	locale -a 2> /dev/null | grep -qi 'C.utf' || return 0
	cc_begin locales
	printf 'int f(void) { return undeclared_but; int g; }\n' > y.c
	printf 'int f(int a) { int n; return a; }\n' > x.c
	cc_twice "the C locale" -Wall -c x.c
	cc_plain="env LC_ALL=C.UTF-8 $cc" cc_kache="env LC_ALL=C.UTF-8 $KACHE $cc"
	cc_is miss "another locale, and there are messages" -Wall -c x.c
	cc_is hit "another locale, again" -Wall -c x.c
	cc_is miss "another locale, and there are none" -c x.c
	cc_plain='' cc_kache=''
	cc_is hit "none in the C locale either" -c x.c
	cc_is hit "the C locale, again" -Wall -c x.c
}

# On a terminal messages have colours, and a pipe does not change that.
colours() {
	command -v script > /dev/null || return 0
	cc_begin colours
	printf 'int f(int a) { int n; return a; }\n' > x.c
	on_terminal() { TERM=xterm script -qec "$*" /dev/null | tr -d '\r'; }
	sleep 0.02
	"$KACHE" $cc -Wall -c x.c 2> "$T/grey"
	on_terminal "$KACHE $cc -Wall -c x.c" > "$T/colour.1"
	on_terminal "$KACHE $cc -Wall -c x.c" > "$T/colour.2"
	ev=$(events)
	is "$(count '^miss ')$(count '^hit ')" 21 "$cc colours: one entry with, one without"
	grep -q "$(printf '\033')" "$T/colour.1"; ok $? "$cc colours: on a terminal"
	cmp -s "$T/colour.1" "$T/colour.2"; ok $? "$cc colours: replayed"
	grep -q "$(printf '\033')" "$T/grey"; test $? = 1; ok $? "$cc colours: not elsewhere"
	$cc -g -O2 -Wall -c x.c -o plain.o 2> "$T/none"
	on_terminal "$KACHE $cc -g -O2 -Wall -c x.c" > "$T/none"
	cmp -s x.o plain.o; ok $? "$cc colours: are not in the object"
	events > "$T/none"
	"$KACHE" $cc -c x.c 2> "$T/none"
	on_terminal "$KACHE $cc -c x.c" > "$T/none"
	ev=$(events)
	is "$(count '^hit ')" 1 "$cc colours: an entry without messages serves both"
}

crash() {
	cc_begin crash
	printf '#!/bin/sh\nkill -9 $$\n' > gcc
	chmod +x gcc
	"$KACHE" ./gcc -c x.c -o x.o 2> "$T/err"
	is $? 137 "$cc crash: a compiler that is killed"
	printf '#!/bin/sh\nexit 77\n' > gcc
	"$KACHE" ./gcc -c x.c -o x.o 2> "$T/err"
	is $? 77 "$cc crash: an exit code that no compiler has"
	"$KACHE" ./no-such-dir/gcc -c x.c 2> "$T/err"
	is $? 127 "$cc crash: no such compiler"
	"$KACHE" no-such-gcc -c x.c 2> "$T/err"
	is $? 127 "$cc crash: none along PATH"
}

cc_each warnings unused locales colours crash
finish
