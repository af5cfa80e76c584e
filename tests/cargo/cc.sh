#!/bin/sh
# C in a cargo build: as the cc crate calls RUSTC_WRAPPER, and by links along PATH, which the linker of rustc meets too.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
export KACHE_INCREMENTAL=never KACHE_DAEMON=off
test -f "$builddir/kache-observe.so" || skip_all "C is cached with the observer only"
unset CC CXX

W=$T/w
mkdir -p "$W/src" "$W/native"
printf '[package]\nname = "w"\nversion = "0.1.0"\nedition = "2021"\nbuild = "build.rs"\n' > "$W/Cargo.toml"
cat > "$W/build.rs" <<'EOR'
use std::{env, path::PathBuf, process::Command};
fn main() {
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    let object = out.join("native.o");
    let compiler = env::var("CC").unwrap_or("cc".into());
    let mut command = match env::var("RUSTC_WRAPPER") {
        Ok(wrapper) if env::var("PLAIN").is_err() => { let mut c = Command::new(wrapper); c.arg(&compiler); c }
        _ => Command::new(&compiler),
    };
    command.args(["-O0", "-ffunction-sections", "-fdata-sections", "-fPIC", "-g", "-fno-omit-frame-pointer", "-m64"]);
    command.args(["-I", "native", "-Wall", "-Wextra", "-o"]).arg(&object).args(["-c", "native/native.c"]);
    assert!(command.status().unwrap().success());
    let library = out.join("libnative.a");
    let _ = std::fs::remove_file(&library);
    assert!(Command::new("ar").arg("crsD").arg(&library).arg(&object).status().unwrap().success());
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static=native");
    println!("cargo:rerun-if-changed=native");
    println!("cargo:rerun-if-env-changed=CC");
}
EOR
printf '#include "native.h"\nint native(void) { return NATIVE; }\n' > "$W/native/native.c"
echo '#define NATIVE 1' > "$W/native/native.h"
echo 'extern "C" { fn native() -> i32; } fn main() { println!("{}", unsafe { native() }); }' > "$W/src/main.rs"
again() { rm -rf "$W/target"; kbuild "$W" build "$@" || show_log; }

again
is "$(count '^miss object native.c')" 1 "the cc crate's way: a miss"
is "$("$W/target/debug/w")" 1 "the program"
again
is "$(count '^hit object native.c')$(count '^(miss|uncached) ')" 10 "again: everything hits"
again --target-dir "$T/elsewhere"
is "$(count '^hit object native.c')" 1 "in another target directory too"
rm -rf "$T/elsewhere"
echo '#define NATIVE 2' > "$W/native/native.h"
again
is "$(count '^miss object native.c')" 1 "its header was edited: a miss"
is "$("$W/target/debug/w")" 2 "the program"
again
is "$("$W/target/debug/w") $(count '^hit ')$(count '^miss')" "2 30" "again: hits"
like "$("$KACHE" list 2>&1)" 'native.c +object' "list shows the object"

# Links named like compilers: build scripts come upon them, and so does rustc, for linking.
mkdir "$T/links"
for name in cc gcc; do ln -s "$KACHE" "$T/links/$name"; done
PATH=$T/links:$PATH
export PLAIN=1
again
is "$(count '^hit object native.c')" 1 "a link along PATH: the object hits"
is "$(count '^uncached')" 0 "what rustc links by it is cached"
again
is "$(count '^hit bin w')$(count '^(miss|uncached)')" 10 "and hits"
is "$("$W/target/debug/w")" 2 "the program"
finish
