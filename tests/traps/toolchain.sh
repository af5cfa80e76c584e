#!/bin/bash
# Traps: a toolchain that changes below its path, and rustup, which chooses one.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
export KACHE_DAEMON=off

sysroot=$(rustc --print sysroot)
tc=$T/tc
# A copy first: links to the files of the toolchain itself would change their ctime, under compilers that other tests are running.
# Of the copy there are hard links, for nothing below is changed in place.
mkdir "$T/base"
for part in bin lib libexec etc; do test ! -e "$sysroot/$part" || cp -a --reflink=auto "$sysroot/$part" "$T/base/"; done
clone() { cp -al "$T/base" "$1" 2> /dev/null || { rm -rf "$1"; cp -a "$T/base" "$1"; }; }
clone "$tc"
target=$("$tc/bin/rustc" -vV | sed -n 's/^host: //p')
std=$tc/lib/rustlib/$target/lib
# other FILE: another content under the same name, of the same size and time, in an inode of its own
other() {
	cp -p "$1" "$T/copy" && rm -f "$1" && cp -p "$T/copy" "$1" && chmod u+w "$1" &&
		python3 - "$1" <<-'END'
			import os, sys
			path = sys.argv[1]
			st = os.stat(path)
			with open(path, "r+b") as f:
			    # the last bytes of the file: debugging sections or padding, so that it still works
			    f.seek(-1, 2)
			    last = f.read(1)
			    f.seek(-1, 2)
			    f.write(bytes([last[0] ^ 1]))
			os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
		END
	rm -f "$T/copy"
}
echo 'pub fn f() -> u32 { 1 }' > "$T/l.rs"
# one EXPECT TEXT [VARIABLE=VALUE…]: compiles, with $rustc, and looks at what became of it
one() {
	local expect=$1 text=$2 status
	shift 2
	mkdir -p "$T/o"
	(cd "$T" && env "$@" "$KACHE" "$rustc" --crate-name l --crate-type lib --emit=dep-info,metadata,link --out-dir o l.rs) > "$T/log" 2>&1
	status=$?
	ev=$(events)
	test $status = 0 || expect="failed ($(head -n 1 "$T/log"))"
	is "$(printf '%s\n' "$ev" | cut -d' ' -f1 | head -n 1)" "$expect" "$text"
}

rustc=$tc/bin/rustc
events > "$T/ignored"
one miss "a toolchain"
one hit "again"
other "$tc/bin/rustc"
one miss "its driver's program is replaced"
one hit "and again"
other "$(echo "$tc"/lib/librustc_driver-*.so)"
one miss "the compiler's library is replaced"
one hit "and again"
other "$(echo "$std"/libstd-*.rlib)"
one miss "the standard library is replaced"
one hit "and again"
echo x > "$std/libextra-0.rlib"
one miss "there is one library more"
rm "$std/libextra-0.rlib"
one hit "and is not"
mv "$tc" "$T/moved"
rustc=$T/moved/bin/rustc
one hit "the whole toolchain elsewhere"
ln -s moved "$T/tc"
rustc=$tc/bin/rustc
one hit "or by a link"

# rustup's proxy is asked which one it would run; its answer counts, not its own file.
proxy=$(command -v rustc)
if command -v rustup > /dev/null && test "$(readlink -f "$proxy")" != "$(readlink -f "$sysroot/bin/rustc")"; then
	rustc=$proxy
	one hit "the proxy chooses what the copy was in the beginning"
	one hit "the other toolchain by RUSTUP_TOOLCHAIN" RUSTUP_TOOLCHAIN="$T/moved"
	other "$(echo "$T/moved/lib/rustlib/$target/lib"/libcore-*.rlib)"
	one miss "whose library is replaced" RUSTUP_TOOLCHAIN="$T/moved"
	one hit "and without the variable"
	sed -i 's/{ 1 }/{ 2 }/' "$T/l.rs"
	one miss "another source"
	printf '[toolchain]\npath = "%s"\n' "$T/moved" > "$T/rust-toolchain.toml"
	one miss "a file in the directory chooses the other"
	rm "$T/rust-toolchain.toml"
	one hit "and is gone"
else
	echo "# rustc is no proxy of rustup here: its part is left out"
fi
# A toolchain that is updated while it compiles: what comes of it belongs to neither.
mkdir -p "$T/slow"
echo 'extern crate proc_macro; #[proc_macro] pub fn m(t: proc_macro::TokenStream) -> proc_macro::TokenStream { std::fs::remove_file(std::env::var("BEGUN").unwrap()).unwrap(); while std::path::Path::new(&std::env::var("GO").unwrap()).exists() { std::thread::sleep(std::time::Duration::from_millis(20)) } t }' > "$T/slow/m.rs"
echo 'slow::m!(); pub fn f() {}' > "$T/slow/l.rs"
clone "$T/up"
(cd "$T/slow" && "$T/up/bin/rustc" --crate-name slow --crate-type proc-macro m.rs) > "$T/log" 2>&1
touch "$T/slow.begun" "$T/slow.go"
export BEGUN="$T/slow.begun" GO="$T/slow.go"
slow() {
	(cd "$T/slow" && "$KACHE" "$T/up/bin/rustc" --crate-name l --crate-type lib --emit=dep-info,metadata,link --out-dir o --extern slow=libslow.so l.rs) > "$T/log" 2>&1
}
mkdir -p "$T/slow/o"
slow & slow_pid=$!
for ((i = 0; i < 200; i++)); do test -e "$BEGUN" || break; sleep 0.05; done
echo x > "$T/up/lib/rustlib/$target/lib/libnewer-0.rlib"
rm "$GO"
wait $slow_pid
is $? 0 "a toolchain that is updated while it compiles"
ev=$(events)
like "$ev" '^uncached lib l compiler-changed ' "is not believed"

# A standard library that cargo builds from the toolchain's sources, which somebody edits.
if test -f "$sysroot/lib/rustlib/src/rust/library/core/src/lib.rs" && test -x "$sysroot/bin/cargo"; then
	clone "$T/std"
	mkdir -p "$T/b/src"
	printf '[package]\nname = "b"\nversion = "0.1.0"\nedition = "2021"\n' > "$T/b/Cargo.toml"
	printf '#![no_std]\npub fn v() -> u32 { 1 }\n' > "$T/b/src/lib.rs"
	build_std() { # EXPECT TEXT: what becomes of core
		rm -rf "$T/b/target"
		(cd "$T/b" && PATH=$T/std/bin:$PATH RUSTC_BOOTSTRAP=1 RUSTC_WRAPPER=$KACHE cargo -Zbuild-std=core build --target "$target") > "$T/log" 2>&1
		is $? 0 "build-std: $2"
		ev=$(events)
		is "$(printf '%s\n' "$ev" | awk '$3 == "core" { print $1 }')" "$1" "build-std: $2: $1"
	}
	build_std miss "the first time"
	build_std hit "again"
	core=$T/std/lib/rustlib/src/rust/library/core/src/lib.rs
	cp "$core" "$T/core.rs"; rm "$core"
	(cat "$T/core.rs"; echo '#[stable(feature = "rust1", since = "1.0.0")] #[allow(missing_docs)] pub const KACHE_TRAP: u32 = 7;') > "$core"
	echo 'pub fn w() -> u32 { core::KACHE_TRAP }' >> "$T/b/src/lib.rs"
	build_std miss "its source is edited"
else
	echo "# the toolchain has no rust-src: building the standard library is left out"
fi
finish
