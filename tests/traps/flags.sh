#!/bin/sh
# Traps: flags, profiles, editions, features, lints, from every place that they can come from.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
. "$srcdir/tests/lib/traps.sh"

plain_main() { echo 'fn main() { println!("{} {}", cfg!(debug_assertions), cfg!(on)); }' > "$W/src/main.rs"; }

trap_begin rustflags
plain_main
trap_is miss rustflags "first"
trap_env="RUSTFLAGS=--cfg=on"; trap_is miss rustflags "RUSTFLAGS"
trap_env="CARGO_ENCODED_RUSTFLAGS=--cfg=on"; trap_is hit rustflags "the same, encoded"
trap_env="CARGO_BUILD_RUSTFLAGS=--cfg=on"; trap_is hit rustflags "and by the configuration's variable"
trap_env=; mkdir "$W/.cargo"; printf '[build]\nrustflags = ["--cfg=on"]\n' > "$W/.cargo/config.toml"
trap_is hit rustflags "and in a file"
printf '[build]\nrustflags = ["--cfg=off"]\n' > "$W/.cargo/config.toml"
trap_is miss rustflags "which changes"
rm -r "$W/.cargo"
trap_is hit rustflags "and goes"

trap_begin profiles
echo 'fn main() { let v: Vec<u8> = std::env::args().map(|a| a.len() as u8).collect(); println!("{} {}", cfg!(debug_assertions), std::panic::catch_unwind(|| v[0].wrapping_add(1) > 0).is_ok()); }' > "$W/src/main.rs"
trap_is miss profiles "first"
for trap_line in 'opt-level = 1' 'debug = 0' 'debug-assertions = false' 'overflow-checks = false' 'lto = "thin"' 'panic = "abort"' 'codegen-units = 1' 'strip = true' 'rpath = true'; do
	sed -i '/^\[profile.dev\]/,$d' "$W/Cargo.toml"
	printf '[profile.dev]\n%s\n' "$trap_line" >> "$W/Cargo.toml"
	trap_is miss profiles "$trap_line"
done
sed -i '/^\[profile.dev\]/,$d' "$W/Cargo.toml"
trap_is hit profiles "and back"
trap_cargo="build --release"; trap_run="$T/none"
trap_run='sh -c $CARGO_TARGET_DIR/release/profiles'
trap_is miss profiles "a release"

trap_begin dependency_profile
trap_dependency dep 'pub fn v() -> bool { cfg!(debug_assertions) }'
echo 'fn main() { println!("{}", dep::v()); }' > "$W/src/main.rs"
trap_is miss dependency_profile "first"
printf '[profile.dev.package.dep]\ndebug-assertions = false\n' >> "$W/Cargo.toml"
trap_is miss dep "a profile for one dependency"

trap_begin editions
printf 'macro_rules! m { ($e:expr) => { $e } }\nfn main() { println!("{} {}", m!(1), std::mem::size_of_val(&|| ())); }\n' > "$W/src/main.rs"
trap_is miss editions "first"
sed -i 's/"2021"/"2018"/' "$W/Cargo.toml"
trap_is miss editions "an edition"
sed -i 's/"2018"/"2021"/' "$W/Cargo.toml"
trap_is hit editions "and back"

trap_begin features
printf '[features]\non = []\n' >> "$W/Cargo.toml"
echo 'fn main() { println!("{}", cfg!(feature = "on")); }' > "$W/src/main.rs"
trap_is miss features "first"
trap_cargo="build --features on"; trap_is miss features "a feature"
trap_cargo="build"; trap_is hit features "and without"
printf 'two = []\n' >> "$W/Cargo.toml"
trap_is any features "one more that is off"

trap_begin feature_of_dependency
trap_dependency dep 'pub fn v() -> bool { cfg!(feature = "x") }' '[features]
x = []'
echo 'fn main() { println!("{}", dep::v()); }' > "$W/src/main.rs"
trap_is miss feature_of_dependency "first"
sed -i 's,^dep = .*,dep = { path = "dep"\, features = ["x"] },' "$W/Cargo.toml"
trap_is miss dep "a feature of a dependency"

trap_begin lints
echo 'fn main() { let unused = 1; println!("x"); }' > "$W/src/main.rs"
trap_is miss lints "first, with a warning"
trap_is hit lints "which is said again"
printf '[lints.rust]\nunused_variables = "allow"\n' >> "$W/Cargo.toml"
trap_is miss lints "a lint that is allowed"
sed -i 's/"allow"/"deny"/' "$W/Cargo.toml"
trap_is miss lints "and denied, which is an error"
sed -i '/^\[lints.rust\]/,$d' "$W/Cargo.toml"
trap_env="RUSTFLAGS=-Dwarnings"; trap_is miss lints "denied by a flag"
trap_env="RUSTFLAGS=--cap-lints=allow"; trap_is miss lints "capped"
trap_env=; trap_is hit lints "and back"

trap_begin crate_types
printf '[lib]\ncrate-type = ["rlib", "cdylib", "staticlib"]\n' >> "$W/Cargo.toml"
echo '#[no_mangle] pub extern "C" fn trap_value() -> i32 { 1 }' > "$W/src/lib.rs"
echo 'fn main() { println!("{}", crate_types::trap_value()); }' > "$W/src/main.rs"
trap_is miss crate_types "first"
sed -i 's/{ 1 }/{ 2 }/' "$W/src/lib.rs"
trap_is miss crate_types "a source of several crate types"
is "$(cd "$T/kache.clean/debug" && ls libcrate_types.*)" "$(cd "$T/plain.clean/debug" && ls libcrate_types.*)" "crate_types: all of them are there"
sed -i 's/"rlib", "cdylib", "staticlib"/"rlib"/' "$W/Cargo.toml"
trap_is miss crate_types "fewer of them"

trap_begin check_cfg
printf '[lints.rust]\nunexpected_cfgs = { level = "warn", check-cfg = ["cfg(known)"] }\n' >> "$W/Cargo.toml"
printf '#[cfg(known)] fn a() {}\n#[cfg(other)] fn b() {}\nfn main() { println!("x"); }\n' > "$W/src/main.rs"
trap_is miss check_cfg "first"
sed -i 's/cfg(known)"/cfg(known)", "cfg(other)"/' "$W/Cargo.toml"
trap_is miss check_cfg "a cfg that is expected now"

trap_begin unstable
echo 'fn main() { println!("x"); }' > "$W/src/main.rs"
trap_is miss unstable "first"
printf '#![feature(never_type)]\nfn main() { println!("x"); }\n' > "$W/src/main.rs"
trap_is miss unstable "an unstable feature is an error"
trap_env="RUSTC_BOOTSTRAP=1"; trap_is miss unstable "and is none with RUSTC_BOOTSTRAP"
trap_env=; trap_is miss unstable "but again without"
finish
