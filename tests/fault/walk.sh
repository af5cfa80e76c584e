#!/bin/sh
# Every system call of a publish and of a restore fails on its own, the first time and each later one, with an error that it may have: the
# compile is a normal one, what is in the store afterwards serves or is ignored, and the next compile is right.
. "$(dirname "$0")/../lib/lib.sh"
need rustc strace

mkdir -p "$T/p"
cd "$T/p" || exit 99
printf 'pub fn f() -> u32 { 1 }\n' > lib.rs
printf 'fn main() { println!("one"); }\n' > bin.rs
export KACHE_DAEMON=off
kind=lib emit=dep-info,metadata,link json= talk=.
run() { # run COMMAND…: one compile through kache
	rm -rf "$T/out"
	mkdir -p "$T/out"
	"$@" "$KACHE" rustc --crate-name x --crate-type $kind --emit=$emit $json --out-dir "$T/out" $kind.rs > "$T/log" 2>&1
}
results() { (cd "$T/out" && cat ./*x* | cksum && ls -A | tr '\n' ' '); }

# What kache makes, or where it does not take part, what rustc makes, in which paths have their own names.
right() { right_is=$(results); test "$right_is" = "$wanted" || test "$right_is" = "$plain"; }
compare_with() { # a store in $T/cache, $wanted, $plain
	KACHE_saved=$KACHE KACHE=env
	run env
	plain=$(results)
	KACHE=$KACHE_saved
	rm -rf "$T/cache"
	run env
	wanted=$(results)
}

# One error that each call may have: open(2), write(2), link(2), rename(2) … Which one it is makes a difference to link(2) only.
calls='
ENOSPC write,writev,pwrite64 copy_file_range link,linkat rename,renameat mkdir,mkdirat
EIO read,readv statx,newfstatat,fstat fsync,fdatasync getdents64
EMFILE open,openat pipe,pipe2 socket memfd_create
EROFS unlink,unlinkat utimensat chmod,fchmod
EXDEV link,linkat
EMLINK link,linkat
ENOMEM mmap fork,clone,vfork
'
walk() { # walk NAME STORE CALLS: fail each call once
	walk_bad=0 walk_faults=0
	for call in $3; do
		error=${call%%:*} call=${call#*:}
		n=1
		while test $n -le 60; do
			rm -rf "$T/cache"
			test ! -d "$2" || cp -a "$2" "$T/cache"
			rm -rf "$XDG_RUNTIME_DIR/kache"
			run strace -qq -o "$T/strace" -e trace=execve,$call -e inject=$call:error=$error:when=$n
			code=$?
			grep -q INJECTED "$T/strace" || break
			# Where kache ends as the compiler, the compiler's own calls come next, and they are not ours to mend.
			awk '/^execve/ && /= 0$/ { execs++ } /INJECTED/ { exit execs < 2 }' "$T/strace" && break
			n=$((n + 1))
			walk_faults=$((walk_faults + 1))
			why=
			test $code = 0 || why="exit status $code"
			right || why="$why wrong-output"
			test "$(grep -c "$talk" "$T/log")" -le 1 || why="$why too-much-talk"
			test -z "$json" || test "$(grep -c '"emit":"metadata"' "$T/log")" = 1 || why="$why wrong-notice"
			# What was told of must be what stays.
			tail -n 1 "$T/cache/events/current.jsonl" 2> /dev/null | grep -q restore-failed && test "$right_is" != "$wanted" &&
				why="$why two-outputs"
			test "$(find "$T/cache/tmp" -type f 2> /dev/null | wc -l)" -le 1 || why="$why litter-in-the-store"
			run env && right || why="$why wrong-afterwards"
			test -z "$why" && continue
			walk_bad=$((walk_bad + 1))
			echo "# $1: $call failed with $error the $((n - 1)). time:$why"
			grep INJECTED "$T/strace" | head -n 1 | cut -c1-160 | sed 's/^/#   /'
			head -n 3 "$T/log" | sed 's/^/#   /'
		done
	done
	echo "# $1: $walk_faults faults"
	test $walk_faults -gt "$4"
	ok $? "$1: there were calls to fail"
	is $walk_bad 0 "$1: every compile is right"
	runs "$1: the store is sound" "$builddir/kache-cli" doctor --verify --checksums
}
all=$(printf '%s\n' "$calls" | awk 'NF { for (i = 2; i <= NF; i++) print $1 ":" $i }')

compare_with
cp -a "$T/cache" "$T/full"
rm -rf "$T/cache/entries" "$T/cache/manifests" "$T/cache/blobs"
mkdir -p "$T/cache/entries" "$T/cache/manifests" "$T/cache/blobs"
cp -a "$T/cache" "$T/empty"
walk publish "$T/empty" "$all" 50
rm -rf "$T/cache"
walk "the very first" "$T/none" "$(printf '%s\n' "$all" | grep ^ENOSPC)" 20
walk restore "$T/full" "$all" 30

json="--error-format=json --json=artifacts" talk='^[^{]'
compare_with
cp -a "$T/cache" "$T/told"
walk "restore with notices" "$T/told" "$all" 30
json= talk=.

kind=bin emit=dep-info,link
compare_with
cp -a "$T/cache" "$T/program"
walk "restore of a program" "$T/program" "$all" 30
finish
