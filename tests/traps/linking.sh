#!/bin/sh
# Traps: native libraries, search paths, linkers and their scripts, profile data.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
. "$srcdir/tests/lib/traps.sh"
need ar

native() { # native DIR VALUE: a static library there
	mkdir -p "$1"
	echo "int trap_answer(void) { return $2; }" > "$T/n.c"
	rm -f "$1/libtrapn.a"
	cc -c "$T/n.c" -o "$T/n.o" && ar crsD "$1/libtrapn.a" "$T/n.o"
}
user() { printf '%s\nextern "C" { fn trap_answer() -> i32; }\nfn main() { println!("{}", unsafe { trap_answer() }); }\n' "$1" > "$W/src/main.rs"; }
script() { printf 'build = "build.rs"\n' >> "$W/Cargo.toml"; printf 'fn main() { println!("cargo:rerun-if-changed=build.rs"); %s }\n' "$1" > "$W/build.rs"; }

trap_begin static_library
native "$W/lib" 1
script "println!(\"cargo:rustc-link-search=native=$W/lib\"); println!(\"cargo:rustc-link-lib=static=trapn\");"
user ''
trap_is miss static_library "first"
trap_is hit static_library "again"
native "$W/lib" 2; unseen
trap_is miss static_library "a library that was replaced"
native "$W/lib" 1; unseen
trap_is hit static_library "and back"

trap_begin link_attribute
native "$W/lib" 1
script "println!(\"cargo:rustc-link-search=native=$W/lib\");"
user '#[link(name = "trapn", kind = "static")]'
trap_is miss link_attribute "first"
native "$W/lib" 2; unseen
trap_is miss link_attribute "a library that only the source names"

trap_begin search_order
native "$W/late" 1; mkdir "$W/early"
script "println!(\"cargo:rustc-link-search=native=$W/early\"); println!(\"cargo:rustc-link-search=native=$W/late\"); println!(\"cargo:rustc-link-lib=static=trapn\");"
user ''
trap_is miss search_order "first"
native "$W/early" 2; unseen
trap_is miss search_order "a library earlier on the path"
rm "$W/early/libtrapn.a"; unseen
trap_is hit search_order "and gone"

trap_begin two_down
native "$W/lib" 1
trap_dependency sys 'extern "C" { fn trap_answer() -> i32; } pub fn get() -> i32 { unsafe { trap_answer() } }' 'build = "build.rs"'
printf 'fn main() { println!("cargo:rustc-link-search=native=%s/lib"); println!("cargo:rustc-link-lib=static=trapn"); println!("cargo:rerun-if-changed=%s/lib/libtrapn.a"); }\n' "$W" "$W" > "$W/sys/build.rs"
echo 'fn main() { println!("{}", sys::get()); }' > "$W/src/main.rs"
trap_is miss two_down "first"
native "$W/lib" 2
trap_is miss sys "native code of a dependency"

trap_begin shared_library
mkdir "$W/lib"
echo 'int trap_answer(void) { return 1; }' > "$T/n.c"; cc -shared -fPIC "$T/n.c" -o "$W/lib/libtrapn.so"
script "println!(\"cargo:rustc-link-search=native=$W/lib\"); println!(\"cargo:rustc-link-lib=dylib=trapn\");"
user ''
trap_env="LD_LIBRARY_PATH=$W/lib"
trap_is miss shared_library "first"
echo 'int trap_answer(void) { return 2; } int more;' > "$T/n.c"; cc -shared -fPIC "$T/n.c" -o "$W/lib/libtrapn.so"; unseen
trap_is miss shared_library "a shared library that was replaced"

trap_begin linker
mkdir "$W/bin"
echo 'fn main() { println!("x"); }' > "$W/src/main.rs"
printf '#!/bin/sh\nexec %s "$@"\n' "$(command -v cc)" > "$W/bin/ld-one"; chmod +x "$W/bin/ld-one"
trap_env="CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=$W/bin/ld-one RUSTFLAGS=-Clinker=$W/bin/ld-one"
trap_is miss linker "first"
trap_is hit linker "a linker of its own"
printf '#!/bin/sh\n# other\nexec %s "$@"\n' "$(command -v cc)" > "$W/bin/ld-one"; unseen
trap_is miss linker "which has changed"
printf '#!/bin/sh\nexit 1\n' > "$W/bin/ld-one"; unseen
trap_is miss linker "and fails now"

trap_begin linker_script
echo 'fn main() { println!("x"); }' > "$W/src/main.rs"
echo 'trap_symbol = 1;' > "$W/more.ld"
trap_env="RUSTFLAGS=-Clink-arg=-Wl,-T,$W/more.ld"
trap_is miss linker_script "first"
trap_is hit linker_script "again"
echo 'trap_symbol = 2;' > "$W/more.ld"; unseen
trap_is miss linker_script "a script edited in place"

trap_begin link_arguments
echo 'fn main() { println!("x"); }' > "$W/src/main.rs"
script 'println!("cargo:rustc-link-arg=-Wl,--defsym=trap_a=1");'
trap_is miss link_arguments "first"
sed -i 's/trap_a=1/trap_a=2/' "$W/build.rs"
trap_is miss link_arguments "an argument of a build script for the linker"

trap_begin same_bytes
trap_dependency dep 'pub fn v() -> Vec<u8> { vec![1, 2] }'
echo 'fn main() { println!("{:?}", dep::v()); }' > "$W/src/main.rs"
trap_is miss same_bytes "first"
cp "$T/kache.clean/debug/same_bytes" "$T/linked"
trap_is hit same_bytes "again"
cmp "$T/kache.clean/debug/same_bytes" "$T/linked" > "$T/cmp" 2>&1
ok $? "same_bytes: a restored program is what was linked, byte for byte"
ok "$(test -x "$T/kache.clean/debug/same_bytes"; echo $?)" "same_bytes: and may be run"

trap_begin dylibs
trap_dependency dep '#[no_mangle] pub extern "C" fn trap_plugin() -> i32 { 1 }' '[lib]
crate-type = ["cdylib", "rlib"]'
echo 'fn main() { println!("{}", dep::trap_plugin()); }' > "$W/src/main.rs"
trap_is miss dylibs "first"
sed -i 's/{ 1 }/{ 2 }/' "$W/dep/src/lib.rs"
trap_is miss dep "a cdylib"

# Where the libraries lie is written down as seen from the program, and its directory is a token in the key.
trap_begin rpath
echo 'fn main() { println!("found"); }' > "$W/src/main.rs"
for dir in kache.one kache.two/further/down; do
	said=$(cd "$W" && RUSTFLAGS="-C rpath -C prefer-dynamic" RUSTC_WRAPPER=$KACHE CARGO_TARGET_DIR=$T/$dir cargo build 2> "$T/log" &&
		env -u LD_LIBRARY_PATH "$T/$dir/debug/rpath" 2>&1)
	is "$said" found "rpath: the standard library, from $dir"
done
finish
