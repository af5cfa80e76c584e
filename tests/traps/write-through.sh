#!/bin/sh
# Files in target/ are links of blobs. Every call of cargo, rustc, the linker and what builds start is looked at: none writes into one,
# or changes its mode or time, with kache and after it has gone, also for root, whom no mode holds up.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
need strace python3
export KACHE_INCREMENTAL=never KACHE_DAEMON=off CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$T/target"
make_workspace "$T/w"
# C code in a static library, as well: the archiver and the linker get to see it.
mkdir -p "$T/w/leaf/native"
printf 'int native_number(void) { return 3; }\n' > "$T/w/leaf/native/n.c"
cat > "$T/w/leaf/build.rs" <<'EOR'
fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    let run = |c: &str, a: &[&str]| assert!(std::process::Command::new(c).args(a).status().unwrap().success());
    run("cc", &["-c", "native/n.c", "-o", &format!("{out}/n.o")]);
    run("ar", &["rcs", &format!("{out}/libn.a"), &format!("{out}/n.o")]);
    println!("cargo:rustc-link-search=native={out}");
    println!("cargo:rustc-link-lib=static=n");
    println!("cargo:rerun-if-changed=native/n.c");
}
EOR
echo 'build = "build.rs"' >> "$T/w/leaf/Cargo.toml"

blob_links() { # the files of target/ whose inode is a blob's
	find "$KACHE_CACHE_DIR/blobs" "$T/target" -type f -links +1 -printf '%i %p\n' 2> /dev/null |
		awk -v store="$KACHE_CACHE_DIR/" '{ path = substr($0, length($1) + 2) } index(path, store) == 1 { blob[$1] = 1; next } { inode[path] = $1 }
			END { for (p in inode) if (inode[p] in blob) print p }'
}
# What is asked for by name belongs to the user; only what it depends on is linked.
# watch NAME COMMAND…: in $T/w, and what it did to links
watch() {
	watch_name=$1; shift
	blob_links > "$T/trace.links"
	(cd "$T/w" && strace -f -y -qq -s 4096 -o "$T/trace" -e trace=open,openat,creat,truncate,ftruncate,fallocate,link,linkat,rename,renameat,renameat2,unlink,unlinkat,chmod,fchmod,fchmodat,chown,lchown,fchownat,utimensat,utime,utimes,setxattr \
		"$@") > "$T/log" 2>&1
	watch_status=$?
	watch_said=$(python3 "$srcdir/tests/traps/write-through.py" "$KACHE_CACHE_DIR" "$T/target" "$T/trace")
	like "$watch_said" ' 0 written through$' "$watch_name: no blob was written through"
	echo "# $watch_name: $(printf '%s\n' "$watch_said" | tail -n 1)"
}
with() { watch "$1" env RUSTC_WRAPPER="$KACHE" cargo $2; is $watch_status 0 "$1: it builds"; }
without() { watch "$1" env RUSTC_WRAPPER= cargo $2; is $watch_status 0 "$1: it builds"; }
leaf() { make_leaf "$T/w" "$1"; }

with "first" "build -p app"
like "$watch_said" ' [1-9][0-9]* links' "there are links"
leaf 2; with "an edit" "build -p app"
leaf 1; with "and back" "build -p app"
rm -rf "$T/target"
with "all from the store" "build -p app --all-targets"
like "$watch_said" ' [1-9][0-9]* links' "there are links again"
leaf 3; with "an edit over links" "build -p app --all-targets"
with "check" "check -p app --all-targets"
with "tests" "test -p app"
with "documentation" "doc --no-deps"
leaf 1
rm -rf "$T/target"
with "all from the store, once more" "build -p app --all-targets"
leaf 4; without "without kache over links" "build -p app --all-targets"
rm -rf "$T/target"
leaf 1; with "all from the store, a third time" "build -p app"
touch "$T/w/leaf/native/n.c"; without "a native library built anew over links" "build -p app"
rm -rf "$T/target"
leaf 1; with "release" "build -p app --release"
rm -rf "$T/target"
with "release from the store" "build -p app --release"
leaf 5; without "release without kache over links" "build -p app --release"
without "clean" clean
log=$("$builddir/kache-cli" doctor --verify --checksums 2>&1)
is $? 0 "every blob is what it was"

# It can tell.
leaf 1; with "all from the store, a last time" "build -p app"
victim=$(find "$T/target" -name 'libleaf*.rlib' -links +1 | head -n 1)
test -n "$victim"; ok $? "a library is a link of a blob"
blob_links > "$T/trace.links"
strace -f -y -qq -s 4096 -o "$T/trace" -e trace=openat,utimensat,rename sh -c 'touch "$1"; echo >> "$1"' sh "$victim"
said=$(python3 "$srcdir/tests/traps/write-through.py" "$KACHE_CACHE_DIR" "$T/target" "$T/trace")
is $? 1 "a program that writes through a link is found out"
like "$said" '^written: .*O_WRONLY' "by its call"
# And what was changed by hand is not handed out.
rm -rf "$T/target"
(cd "$T/w" && RUSTC_WRAPPER=$KACHE cargo build) > "$T/log" 2>&1
is "$("$T/target/debug/app")" "2 hello word 7" "the changed blob was not handed out"
log=$("$builddir/kache-cli" doctor --verify --checksums 2>&1)
is $? 0 "and is gone"

# Changed by hand, and made to look as before: who wants to be told of that, too, has every blob read.
rm -rf "$T/target"
(cd "$T/w" && RUSTC_WRAPPER=$KACHE cargo build) > "$T/log" 2>&1
rm -rf "$T/target"
find "$KACHE_CACHE_DIR/blobs" -type f -size +1k | while read -r blob; do
	printf X | dd of="$blob" bs=1 seek=900 count=1 conv=notrunc 2> /dev/null
	touch -d @1167609600 "$blob"
done
events > "$T/ignored"
(cd "$T/w" && KACHE_VERIFY=1 RUSTC_WRAPPER=$KACHE cargo build) > "$T/log" 2>&1; is $? 0 "a build that has every blob read"
is "$("$T/target/debug/app")" "2 hello word 7" "takes none of those that were changed in secret"
is "$(events | grep -c '^hit bin ')" 0 "the program was linked anew"
log=$("$builddir/kache-cli" doctor --repair --checksums 2>&1); is $? 0 "the doctor removes those that no hit asked for"

# Macros and build scripts are links as well: what linkers do with an output that is there already.
mkdir -p "$T/linkers"
for linker in bfd gold lld mold; do
	cd "$T/linkers" || exit 99
	rm -f x.so kept.so
	echo 'int f(void) { return 1; }' > x.c
	cc -shared -fPIC "-fuse-ld=$linker" -o x.so x.c 2> "$T/log" || continue
	ln x.so kept.so
	before=$(cksum < kept.so)
	echo 'int f(void) { return 2; }' > x.c
	cc -shared -fPIC "-fuse-ld=$linker" -o x.so x.c
	is "$(cksum < kept.so)" "$before" "$linker writes a file of its own"
done
finish
