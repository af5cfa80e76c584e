#!/bin/sh
# What a hit of rustc takes for unchanged by the stamps of files and directories: each project is known so well that no module's
# directory is looked for any more, and then one is there, which rustc refuses (E0761).
. "$(dirname "$0")/../lib/lib.sh"
need rustc
export KACHE_INCREMENTAL=never KACHE_DAEMON=off

# m.rs has a module itself, whose directory is one that is there.
make_project() {
	rm -rf "$T/$1"
	mkdir -p "$T/$1/src/m" "$T/$1/later"
	cd "$T/$1" || exit 99
	printf 'mod a;\nmod m;\npub fn f() -> u32 { a::v() + m::v() }\n' > src/lib.rs
	printf 'pub fn v() -> u32 { 1 } // %s\n' "$1" > src/a.rs
	printf 'mod n;\npub fn v() -> u32 { n::v() }\n' > src/m.rs
	printf 'pub fn v() -> u32 { 2 }\n' > src/m/n.rs
	"prepare_$1"
	find . -type f -exec touch -d '1 hour ago' {} +
}
compile() { # compile [COMMAND…]: through kache, run by that command
	rm -rf out
	mkdir out
	"$@" "$KACHE" rustc --crate-name p --edition 2021 --crate-type lib --emit=dep-info,metadata --out-dir out src/lib.rs > "$T/log" 2>&1
}
# call EXPECT NAME: hit, miss or failed
call() {
	compile
	status=$?
	got=$(events | cut -d ' ' -f 1)
	case $1 in
	failed) test $status != 0 && test "$got" = failed ;;
	*) test $status = 0 && test "$got" = "$1" && test -f out/libp.rmeta ;;
	esac
	ok $? "$p: $2: $1" || echo "# got $got, status $status"
}
module() { mkdir -p "$1" && echo 'pub fn v() -> u32 { 7 }' > "$1/mod.rs"; }

prepare_appears() { :; }
change_appears() { module src/a; }
undo_appears() { rm -r src/a; }
prepare_below() { :; }
change_below() { module src/m/n; }
undo_below() { rm -r src/m/n; }
prepare_beside_files() { :; }
change_beside_files() { module src/m; }
undo_beside_files() { rm src/m/mod.rs; }
prepare_moved_in() { module later/a; }
change_moved_in() { mv later/a src/a; }
undo_moved_in() { mv src/a later/a; }
prepare_was_there() { mkdir src/a; echo text > src/a/notes; }
change_was_there() { module src/a; }
undo_was_there() { rm src/a/mod.rs; }
prepare_was_empty() { mkdir src/a; }
change_was_empty() { module src/a; }
undo_was_empty() { rm src/a/mod.rs; }
prepare_dangling() { ln -s ../later/a src/a; }
change_dangling() { module later/a; }
undo_dangling() { rm -r later/a; }
prepare_time_back() { :; }
change_time_back() { touch -r src later/stamp; module src/a; touch -r later/stamp src; }
undo_time_back() { rm -r src/a; }
prepare_behind_link() { mkdir one two; mv src one/src; cp -a one/src two/src; module two/src/a; ln -s one/src src; }
change_behind_link() { ln -sfn two/src src; }
undo_behind_link() { ln -sfn one/src src; }
prepare_exchanged() { cp -a src later/src; module later/src/a; touch -r src later/src; }
change_exchanged() { mv src gone; mv later/src src; }
undo_exchanged() { mv src later/src; mv gone src; }
prepare_young() { mkdir src/a; module src/Aa; printf 'mod Aa;\npub fn g() -> u32 { Aa::v() }\n' >> src/lib.rs; echo text > src/a/notes; }
all="appears below beside_files moved_in was_there was_empty dangling time_back behind_link exchanged young"

for p in $all; do make_project "$p"; done
sleep 0.02
for p in $all; do cd "$T/$p" && call miss "new"; done
sleep 5.5	# until what was written has come to rest
for p in $all; do
	cd "$T/$p" || exit 99
	call hit "looked at"
	call hit "supposed, or found to be otherwise"
	call hit "known by stamps"
done
case $(stat -f -c %T "$T") in
ext2/ext3 | xfs | btrfs | tmpfs)
	if command -v strace > /dev/null; then
		p=appears
		cd "$T/$p" || exit 99
		compile strace -f -o "$T/trace"
		like "$(events)" '^hit' "a hit under strace"
		is "$(grep -c 'stat.*\(src/a\|/mod\.rs\)"' "$T/trace")" 0 "the directory of a module is not looked for"
		is "$(grep -c 'stat.*src/m\.rs"' "$T/trace")" 1 "the module's file is, once"
	fi ;;
*) echo "# directories tell nothing on this file system" ;;
esac
for p in $all; do
	test $p = young && continue
	cd "$T/$p" || exit 99
	"change_$p"
	call failed "with a directory"
	"undo_$p"
	call hit "as it was"
done
# One that was written to a moment ago, in a directory that is at rest and has another place where nothing may be.
p=young
cd "$T/$p" || exit 99
touch src/a/more
call hit "looked at, while it is young"
call hit "and again"
module src/a
call failed "with a module"
# A directory that comes, and is at rest before anything is in it.
p=appears
cd "$T/$p" && mkdir src/a
call hit "an empty directory"
sleep 5.5
for i in 1 2 3 4; do call hit "at rest, $i"; done
module src/a
call failed "and no longer empty"
finish
