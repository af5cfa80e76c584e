#!/bin/sh
# C code two crates down: arguments and direct dependency of the program stay byte-identical.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
export KACHE_INCREMENTAL=never

W=$T/w
mkdir -p "$W/s/src" "$W/m/src" "$W/b/src"
printf '[workspace]\nmembers = ["s", "m", "b"]\nresolver = "2"\n' > "$W/Cargo.toml"
for c in s m b; do printf '[package]\nname = "%s"\nversion = "0.1.0"\nedition = "2021"\n' $c > "$W/$c/Cargo.toml"; done
printf 'build = "build.rs"\n' >> "$W/s/Cargo.toml"
printf '[dependencies]\ns = { path = "../s" }\n' >> "$W/m/Cargo.toml"
printf '[dependencies]\nm = { path = "../m" }\n' >> "$W/b/Cargo.toml"
cat > "$W/s/build.rs" <<'EOF'
use std::process::Command;
fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    assert!(Command::new("cc").args(["-c", "c.c", "-o"]).arg(format!("{out}/c.o")).status().unwrap().success());
    let _ = std::fs::remove_file(format!("{out}/libc_part.a"));
    assert!(Command::new("ar").args(["crsD"]).arg(format!("{out}/libc_part.a")).arg(format!("{out}/c.o")).status().unwrap().success());
    println!("cargo:rustc-link-search=native={out}");
    println!("cargo:rustc-link-lib=static=c_part");
    println!("cargo:rerun-if-changed=c.c");
}
EOF
echo 'int answer(void) { return 1; }' > "$W/s/c.c"
echo 'extern "C" { fn answer() -> i32; } pub fn get() -> i32 { unsafe { answer() } }' > "$W/s/src/lib.rs"
echo 'pub fn get() -> i32 { s::get() }' > "$W/m/src/lib.rs"
echo 'fn main() { println!("{}", m::get()); }' > "$W/b/src/main.rs"

kbuild "$W" build || show_log
is "$("$W/target/debug/b")" 1 "built"
rm -rf "$W/target"
kbuild "$W" build
is "$(count '^(miss|uncached)')" 0 "restored"
test "$(count '^(miss|uncached)')" = 0 || show_log
is "$("$W/target/debug/b")" 1 "the restored program"
echo 'int answer(void) { return 2; }' > "$W/s/c.c"
rm -rf "$W/target"
kbuild "$W" build
is "$("$W/target/debug/b")" 2 "other C code, other program"
echo 'int answer(void) { return 3; }' > "$W/s/c.c"
kbuild "$W" build
is "$("$W/target/debug/b")" 3 "also without a clean"

# Another linker in front on PATH; a linker script edited in place; a variable that cc reads.
mkdir -p "$T/bin"
printf '#!/bin/sh\nexec %s "$@"\n' "$(command -v cc)" > "$T/bin/cc"
chmod +x "$T/bin/cc"
rebuild() { rm -rf "$W/target"; kbuild "$W" build || show_log; }
rebuild
is "$(count '^hit bin b')" 1 "before: a hit"
PATH="$T/bin:$PATH" rebuild
is "$(count '^hit bin b')" 0 "another cc in front is another linker"
rebuild
is "$(count '^hit bin b')" 1 "gone again, hit again"
mkdir -p "$T/empty"
LIBRARY_PATH="$T/empty" rebuild
is "$(count '^hit bin b')" 0 "LIBRARY_PATH counts"
export RUSTFLAGS="-C link-arg=-Wl,-T,$T/v.ld"
echo 'foo = 1;' > "$T/v.ld"
rebuild
rebuild
is "$(count '^hit bin b')" 1 "with a linker script: a hit"
echo 'foo = 2;' > "$T/v.ld"
rebuild
is "$(count '^hit bin b')" 0 "the script edited in place: a miss"
finish
