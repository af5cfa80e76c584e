#!/bin/sh
# What a hit takes for unchanged by the stamps of files and directories: each project is known so well that only stamps are looked at,
# and then something changes that they have to tell.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"

# first/ is looked through before second/, which has the headers.
make_project() {
	cc_begin "$1"
	mkdir first second later
	printf '#include <a.h>\n#include <b.h>\n#include <c.h>\nint f(void) { return A + 10 * B + 100 * C; }\n' > x.c
	echo '#define A 1' > second/a.h
	echo '#define B 2' > second/b.h
	echo '#define C 3' > second/c.h
	touch first/other.h
	"prepare_$1"
	touch -d '1 hour ago' x.c second/*.h
}
call() { cc_is "$1" "$2" -Ifirst -Isecond -c x.c -o x.o; }
in_project() { cc_name=$1; cd "$T/t.$1.$cc" || exit 99; }

prepare_appears() { :; }
change_appears() { echo '#define A 7' > first/a.h; }
prepare_moved_in() { echo '#define A 7' > later/a.h; }
change_moved_in() { mv later/a.h first/a.h; }
prepare_linked_in() { echo '#define A 7' > later/a.h; }
change_linked_in() { ln later/a.h first/a.h; }
prepare_dangling() { ln -s ../later/a.h first/a.h; }
change_dangling() { echo '#define A 7' > later/a.h; }
prepare_time_back() { :; }
change_time_back() { touch -r first later/stamp; echo '#define A 7' > first/a.h; touch -r later/stamp first; }
prepare_other_directory() { mkdir later/first; echo '#define A 7' > later/first/a.h; touch -r first later/first; }
change_other_directory() { mv first gone; mv later/first first; }
prepare_behind_link() { mkdir later/one later/two; rmdir gone 2> /dev/null; mv first later/one/first; ln -s later/one/first first; mkdir later/two/first; echo '#define A 7' > later/two/first/a.h; }
change_behind_link() { rm first; ln -s later/two/first first; }
prepare_directory_gone() { rm -r first; }
change_directory_gone() { mkdir first; echo '#define A 7' > first/a.h; }
prepare_edited() { :; }
change_edited() { echo '#define A 7' > second/a.h; touch -d '1 hour ago' second/a.h; }
prepare_exchanged() { :; }
change_exchanged() { echo '#define C 1' > later/c.h; mv second/a.h later/a.h; sed 's/C/A/' second/c.h > second/a.h; touch -r later/a.h second/a.h; }
prepare_removed() { cp second/a.h later/a.h; echo '#define A 1 /* third */' > later/b.h; }
change_removed() { rm second/a.h; mkdir first/a.h; cp later/b.h second/a.h; }
all="appears moved_in linked_in dangling time_back other_directory behind_link directory_gone edited exchanged removed"

stamps() {
	for p in $all; do make_project "$p"; done
	sleep 0.02
	for p in $all; do in_project "$p"; call miss "new"; done
	sleep 5.5	# until what was written has come to rest
	for p in $all; do
		in_project "$p"
		call hit "looked at"
		call hit "known by stamps"
	done
	case $(stat -f -c %T .) in
	ext2/ext3 | xfs | btrfs | tmpfs)
		in_project appears
		if command -v strace > /dev/null; then
			strace -f -o "$T/trace" "$KACHE" $cc -Ifirst -Isecond -c x.c -o x.o
			is "$(grep -c 'first/[abc]\.h"' "$T/trace")" 0 "$cc: its directory tells what is not in there"
			events > "$T/ignored"
			rm x.o
		fi ;;
	*) echo "# directories tell nothing on this file system" ;;
	esac
	for p in $all; do
		in_project "$p"
		"change_$p"
		call miss "changed"
		call hit "changed, again"
	done
	in_project appears
	rm first/a.h
	call hit "as it was"
	echo '#define A 7' > first/a.h
	call hit "and back"
}
cc_each stamps
finish
