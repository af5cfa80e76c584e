#!/bin/sh
# Traps: variables of the environment, and what build scripts tell and write.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
. "$srcdir/tests/lib/traps.sh"

trap_begin env_macro
echo 'fn main() { println!("{} {:?}", env!("TRAP_A"), option_env!("TRAP_B")); }' > "$W/src/main.rs"
trap_env="TRAP_A=1"; trap_is miss env_macro "first"
trap_env="TRAP_A=2"; trap_is miss env_macro "env! with another value"
trap_env="TRAP_A=2 TRAP_B=x"; trap_is miss env_macro "option_env! that is set now"
trap_env="TRAP_A=2 TRAP_B="; trap_is miss env_macro "and empty"
trap_env="TRAP_A=2"; trap_is hit env_macro "and unset again"
trap_env=; trap_is miss env_macro "env! that is unset is an error"

trap_begin env_dependency
trap_dependency dep 'pub fn v() -> Option<&'"'"'static str> { option_env!("TRAP_DEEP") }'
echo 'fn main() { println!("{:?}", dep::v()); }' > "$W/src/main.rs"
trap_is miss env_dependency "first"
trap_env="TRAP_DEEP=1"; trap_is miss dep "a variable of a dependency"
trap_is hit dep "again"

trap_begin package_variables
printf 'description = "one"\n' >> "$W/Cargo.toml"
echo 'fn main() { println!("{} {} {}", env!("CARGO_PKG_DESCRIPTION"), env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_VERSION_PATCH")); }' > "$W/src/main.rs"
trap_is miss package_variables "first"
sed -i 's/"one"/"two"/' "$W/Cargo.toml"
trap_is miss package_variables "a description"
sed -i 's/0.1.0/0.1.1/' "$W/Cargo.toml"
trap_is miss package_variables "a version"

trap_begin script_env
printf 'build = "build.rs"\n' >> "$W/Cargo.toml"
echo 'fn main() { println!("cargo:rerun-if-changed=v"); println!("cargo:rustc-env=FROM={}", std::fs::read_to_string("v").unwrap()); }' > "$W/build.rs"
printf 1 > "$W/v"
echo 'fn main() { println!("{}", env!("FROM")); }' > "$W/src/main.rs"
trap_is miss script_env "first"
printf 2 > "$W/v"
trap_is miss script_env "rustc-env of a build script"
printf 1 > "$W/v"
trap_is hit script_env "and back"

trap_begin script_cfg
printf 'build = "build.rs"\n' >> "$W/Cargo.toml"
echo 'fn main() { println!("cargo:rerun-if-changed=v"); println!("cargo:rustc-check-cfg=cfg(on)"); if std::path::Path::new("v").exists() { println!("cargo:rustc-cfg=on"); } }' > "$W/build.rs"
echo 'fn main() { println!("{}", cfg!(on)); }' > "$W/src/main.rs"
trap_is miss script_cfg "first"
touch "$W/v"
trap_is miss script_cfg "a cfg of a build script"
rm "$W/v"
trap_is hit script_cfg "and back"

trap_begin generated
printf 'build = "build.rs"\n' >> "$W/Cargo.toml"
cat > "$W/build.rs" <<'EOF'
fn main() {
    println!("cargo:rerun-if-changed=n");
    let out = std::env::var("OUT_DIR").unwrap();
    std::fs::create_dir_all(format!("{out}/deep")).unwrap();
    std::fs::write(format!("{out}/gen.rs"), format!("pub const N: u32 = {};", std::fs::read_to_string("n").unwrap())).unwrap();
    std::fs::write(format!("{out}/deep/data"), std::fs::read_to_string("n").unwrap()).unwrap();
}
EOF
printf 1 > "$W/n"
printf 'include!(concat!(env!("OUT_DIR"), "/gen.rs"));\nfn main() { println!("{} {}", N, include_str!(concat!(env!("OUT_DIR"), "/deep/data"))); }\n' > "$W/src/main.rs"
trap_is miss generated "first"
printf 2 > "$W/n"
trap_is miss generated "other generated code under the same path"
trap_is hit generated "again"
sed -i 's/N: u32 = {};/N: u32 = {};\\nfn idle() {{}}/' "$W/build.rs"
trap_is miss generated "a warning about it names the file that is there"
printf 2 > "$W/n"
trap_is hit generated "and does from the store"

trap_begin out_dir_value
printf 'build = "build.rs"\n' >> "$W/Cargo.toml"
echo 'fn main() { println!("cargo:rerun-if-changed=build.rs"); }' > "$W/build.rs"
echo 'fn main() { let d = env!("OUT_DIR"); let t = std::env::var("CARGO_TARGET_DIR").unwrap(); println!("{}", d.starts_with(&t)); }' > "$W/src/main.rs"
trap_is any out_dir_value "a program that knows its OUT_DIR is not given another one's"

trap_begin manifest_dir
echo 'fn main() { println!("{}", std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("here").exists()); }' > "$W/src/main.rs"
touch "$W/here"
trap_is miss manifest_dir "first"
cp -r "$W" "$T/elsewhere"; trap_first=$W
W=$T/elsewhere; rm -rf "$T"/*.kept "$trap_first/here"
trap_is any manifest_dir "a program that knows where it was compiled, elsewhere"
W=$trap_first

trap_begin script_new_file
printf 'build = "build.rs"\n' >> "$W/Cargo.toml"
cat > "$W/build.rs" <<'EOF'
fn main() {
    let n = std::fs::read_dir("parts").unwrap().count();
    let out = std::env::var("OUT_DIR").unwrap();
    std::fs::write(format!("{out}/n.rs"), format!("const N: usize = {n};")).unwrap();
}
EOF
mkdir "$W/parts"; touch "$W/parts/1"
printf 'include!(concat!(env!("OUT_DIR"), "/n.rs"));\nfn main() { println!("{N}"); }\n' > "$W/src/main.rs"
trap_is miss script_new_file "first"
touch "$W/parts/2"
trap_is miss script_new_file "a file more for a build script that counts them"
finish
