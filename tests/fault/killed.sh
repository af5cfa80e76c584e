#!/bin/sh
# kache is killed at every step of a publish and of a restore; what remains is whole or not there.
. "$(dirname "$0")/../lib/lib.sh"
need rustc strace

mkdir -p "$T/p"
cd "$T/p" || exit 99
printf 'pub fn f() -> u32 { 1 }\n' > x.rs
export XDG_RUNTIME_DIR="$T/xdg-run"
run() { # run COMMAND…: one compile of a library through kache
	"$@" "$KACHE" rustc --crate-name x --crate-type lib --emit=dep-info,metadata,link --out-dir "$T/out" x.rs > "$T/log" 2>&1
}
results() { (cd "$T/out" && ls libx.rlib libx.rmeta x.d > /dev/null && cat libx.rlib libx.rmeta | cksum); }
clean() { rm -rf "$T/out"; mkdir -p "$T/out"; }

clean
run env
wanted=$(results)
like "$wanted" '^[0-9]+ [0-9]+$' "a compile to compare with"
rm -rf "$T/cache"
clean
run env
rm -rf "$T/cache/entries" "$T/cache/manifests" "$T/cache/blobs"
mkdir -p "$T/cache/entries" "$T/cache/manifests" "$T/cache/blobs"
cp -a "$T/cache" "$T/empty"

# Each system call that changes the store or the output directory, first to last occurrence.
sweep() { # sweep NAME BASE-STORE
	sweep_bad=0 sweep_kills=0
	for call in open,openat write,writev rename link unlink utimensat mkdir copy_file_range chmod; do
		n=1
		while :; do
			rm -rf "$T/cache"
			cp -a "$2" "$T/cache"
			clean
			run strace -qq -o "$T/strace" -e trace=$call -e inject=$call:signal=KILL:when=$n
			code=$?
			test $code -ge 128 || break
			sweep_kills=$((sweep_kills + 1))
			# What the killed one left must serve or be ignored, twice over.
			for again in 1 2; do
				clean
				run env || sweep_bad=$((sweep_bad + 1))
				test "$(results)" = "$wanted" || { sweep_bad=$((sweep_bad + 1)); echo "# $1: $call $n: wrong result"; }
				find "$T/out" -name '.kache-*' | grep -q . && { sweep_bad=$((sweep_bad + 1)); echo "# $1: $call $n: litter"; }
			done
			n=$((n + 1))
			test $n -le 40 || break
		done
	done
	echo "# $1: killed $sweep_kills times"
	test $sweep_kills -gt 5
	ok $? "$1: there were moments to be killed at"
	is "$sweep_bad" 0 "$1: every rebuild is right"
}
sweep publish "$T/empty"
rm -rf "$T/cache"
cp -a "$T/empty" "$T/cache"
clean
run env
cp -a "$T/cache" "$T/full"
sweep restore "$T/full"
finish
