#!/bin/sh
# Traps: answered runs of build scripts (`cache.build_scripts`), each with something that the next run would say or leave differently.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
. "$srcdir/tests/lib/traps.sh"
need musl-gcc
export KACHE_BUILD_SCRIPTS=1
trap_kind=script-run

# script NAME <<BODY: a package whose build script has that body, with what it needs most, and whose program says what it made of it.
script() {
	trap_begin "$1"
	printf 'build = "build.rs"\n' >> "$W/Cargo.toml"
	{
		printf '#[allow(unused)]\nuse std::{env, fs, path::Path, process::Command};\n#[allow(unused)]\nfn said(c: &mut Command) -> String { '
		printf 'String::from_utf8(c.output().unwrap().stdout).unwrap().trim().to_string() }\n#[allow(unused)]\nfn main() {\n'
		printf '    let out = env::var("OUT_DIR").unwrap();\n    let tell = |s: &str| println!("cargo:rustc-env=TOLD={s}");\n'
		printf '    println!("cargo:rerun-if-changed=build.rs");\n'
		cat
		echo '}'
	} > "$W/build.rs"
	echo 'fn main() { println!("{:?}", option_env!("TOLD")); }' > "$W/src/main.rs"
}
# From an empty target directory, since cargo doesn't ask again what the script has not declared.
script_is() { # EXPECT TEXT
	rm -rf "$T"/plain.* "$T"/kache.*
	trap_is "$1" build_script_build "$2"
}
why() { is "$(count "^uncached script-run [^ ]+ $1")" 2 "$trap_name: $1"; }

script file <<'BODY'
    println!("cargo:rerun-if-changed=v");
    tell(&fs::read_to_string("v").unwrap());
BODY
printf 1 > "$W/v"
script_is miss "first"
script_is hit "again"
printf 2 > "$W/v"
script_is miss "a declared file changed"
printf 1 > "$W/v"
script_is hit "and back"
sed -i 's/let tell/let  tell/' "$W/build.rs"
script_is miss "the script itself"

script undeclared <<'BODY'
    tell(&fs::read_to_string("v").unwrap());
BODY
printf 1 > "$W/v"
script_is miss "first"
touch -d '2020-01-01' "$W/v"
script_is hit "an older time"
printf 2 > "$W/v"; touch -d '2020-01-01' "$W/v"
script_is miss "a file that it does not declare, of the same size and time"

script declared_only <<'BODY'
    println!("cargo:rerun-if-changed=tree");
    println!("cargo::rerun-if-env-changed=TRAP_DECLARED");
BODY
mkdir -p "$W/tree/deep"; printf 1 > "$W/tree/deep/v"
script_is miss "first"
script_is hit "again"
printf 2 > "$W/tree/deep/v"
script_is miss "a file below a declared directory that it does not read"
touch "$W/tree/deep/new"
script_is miss "a new one"
trap_env=TRAP_DECLARED=1
script_is miss "a declared variable that it does not read"
rm -r "$W/tree"
script_is miss "a declared directory that is gone"
script_is hit "and still gone"

script nothing_declared <<'BODY'
    tell("x");
BODY
sed -i '/rerun-if-changed=build.rs/d' "$W/build.rs"
script_is miss "a script of the workspace that says nothing"
why undeclared-inputs

script variable <<'BODY'
    tell(&env::var("TRAP_V").unwrap_or_default());
BODY
trap_env=TRAP_V=1
script_is miss "first"
trap_env="TRAP_V=1 TRAP_OTHER=1"
script_is hit "another variable is of no matter to one that starts nothing"
trap_env=TRAP_V=2
script_is miss "a variable that it reads"
trap_env=
script_is miss "unset"
trap_env="CI=1"
script_is any "and CI"

script walker <<'BODY'
    tell(&env::vars().filter(|(k, _)| k.starts_with("TRAP_")).map(|(k, v)| k + &v).collect::<String>());
BODY
trap_env=TRAP_A=1
script_is miss "first"
trap_env=TRAP_B=1
script_is miss "one that walks over all variables"
trap_env=TRAP_A=1
script_is hit "and back"

script tool <<'BODY'
    tell(&Command::new("./tool").output().map_or("none".into(), |o| String::from_utf8(o.stdout).unwrap().replace('\n', "")));
BODY
printf '#!/bin/sh\necho one\n' > "$W/tool"
script_is miss "first"
script_is hit "a program that may not be run"
chmod +x "$W/tool"
script_is miss "and then may"

script shell <<'BODY'
    tell(&said(Command::new("sh").args(["-c", "echo $TRAP_S $CI; cat v"])));
BODY
printf 1 > "$W/v"
trap_env=TRAP_S=1
script_is miss "first"
script_is hit "again"
trap_env=TRAP_S=2
script_is miss "a variable that a shell reads"
trap_env="TRAP_S=2 CI=1"
script_is miss "also one that is noise to compilers"
printf 2 > "$W/v"
script_is miss "a file that a program reads"

script listing <<'BODY'
    tell(&fs::read_dir("parts").unwrap().count().to_string());
BODY
mkdir "$W/parts"; touch "$W/parts/1"
script_is miss "first"
script_is hit "again"
touch "$W/parts/2"
script_is miss "a directory that it lists"

script looks <<'BODY'
    tell(&fs::metadata("v").unwrap().len().to_string());
BODY
printf 1 > "$W/v"
script_is miss "first"
script_is hit "again"
printf 2 > "$W/v"
script_is miss "a file that it only looks at"

script made <<'BODY'
    Command::new("make").args(["-s", &format!("{out}/v")]).env("DIR", &out).status().unwrap();
    tell(&fs::read_to_string(format!("{out}/v")).unwrap().trim());
BODY
printf '$(DIR)/v: made\n\tcp made $@\nmade: from\n\tcp from made\n' > "$W/Makefile"
printf 1 > "$W/from"; printf 1 > "$W/made"
touch -d '2020-01-01' "$W/from"; touch -d '2020-01-02' "$W/made"
script_is miss "make, first"
script_is hit "again"
printf 2 > "$W/from"
script_is miss "what make only looks at the time of"

script appears <<'BODY'
    tell(if Path::new("sub/here").exists() { "yes" } else { "no" });
BODY
script_is miss "first"
script_is hit "again"
mkdir "$W/sub"; touch "$W/sub/here"
script_is miss "what it looked for in vain is there"
rm "$W/sub/here"
script_is any "and gone"

script link <<'BODY'
    tell(fs::read_link("l").unwrap().to_str().unwrap());
BODY
touch "$W/a" "$W/b"; ln -s a "$W/l"
script_is miss "first"
script_is hit "again"
ln -sf b "$W/l"
script_is miss "where a link leads"

script program <<'BODY'
    tell(&said(&mut Command::new("trap-tool")));
BODY
mkdir "$W/bin1" "$W/bin2"
printf '#!/bin/sh\necho one\n' > "$W/bin2/trap-tool"; chmod +x "$W/bin2/trap-tool"
trap_env="PATH=$W/bin1:$W/bin2:$PATH"
script_is miss "first"
script_is hit "again"
printf '#!/bin/sh\necho two\n' > "$W/bin2/trap-tool"
script_is miss "a program that it runs"
printf '#!/bin/sh\necho three\n' > "$W/bin1/trap-tool"; chmod +x "$W/bin1/trap-tool"
script_is miss "one of its name earlier along PATH"

script clock <<'BODY'
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    tell(if now > 1_000_000_000 { "late" } else { "early" });
BODY
script_is miss "what time it is"
why time-of-day

script stopwatch <<'BODY'
    let t = std::time::Instant::now();
    tell(if t.elapsed().as_secs() > 100 { "slow" } else { "fast" });
BODY
script_is miss "first"
script_is hit "how long something takes is of no matter"

script date <<'BODY'
    tell(&said(Command::new("date").arg("+%Y")));
BODY
script_is miss "a program that asks for the time"
why time-of-day

script elsewhere <<'BODY'
    fs::write("side", "x").unwrap();
    tell("x");
BODY
script_is miss "a file outside of OUT_DIR"
why side-output
runs "$trap_name: is written each time" test -f "$W/side"

script remover <<'BODY'
    fs::write("old", "x").unwrap();
    fs::remove_file("old").unwrap();
    tell("x");
BODY
mkdir "$T/temporary"
trap_env="TMPDIR=$T/temporary"	# all of this lies in the usual one
script_is miss "a file that it removes, whoever made it"
why side-output

script network <<'BODY'
    tell(if std::net::TcpListener::bind("127.0.0.1:0").is_ok() { "up" } else { "down" });
BODY
script_is miss "the network"
why network

script static_child <<'BODY'
    tell(&said(&mut Command::new("./tool")));
BODY
printf '#include <stdio.h>\nint main(void) { FILE *f = fopen("v", "r"); int c = fgetc(f); putchar(c); return 0; }\n' > "$W/tool.c"
musl-gcc -static -o "$W/tool" "$W/tool.c"
printf 1 > "$W/v"
script_is miss "a program that can't be observed"
why unobserved-process
printf 2 > "$W/v"
script_is miss "and what it reads"

script kernel <<'BODY'
    tell(if fs::read_to_string("/proc/uptime").unwrap().len() > 3 { "up" } else { "down" });
BODY
script_is miss "a file of the kernel"
why special-file

script outputs <<'BODY'
    println!("cargo:rerun-if-changed=n");
    let n = fs::read_to_string("n").unwrap();
    fs::create_dir_all(format!("{out}/a b/100%/c%2Fd")).unwrap();
    fs::write(format!("{out}/gen.rs"), format!("pub const N: u32 = {n};")).unwrap();
    fs::write(format!("{out}/a b/100%/c%2Fd/e"), &n).unwrap();
    fs::write(format!("{out}/.hidden"), "").unwrap();
    fs::write(format!("{out}/run"), "#!/bin/sh\necho ran\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(format!("{out}/run"), fs::Permissions::from_mode(0o755)).unwrap();
    println!("cargo:rustc-env=TOLD=x");
BODY
cat > "$W/src/main.rs" <<'EOF2'
include!(concat!(env!("OUT_DIR"), "/gen.rs"));
fn main() {
    let run = std::process::Command::new(concat!(env!("OUT_DIR"), "/run")).output().unwrap();
    println!("{} {} {} {}", N, include_str!(concat!(env!("OUT_DIR"), "/a b/100%/c%2Fd/e")), String::from_utf8(run.stdout).unwrap(),
        std::path::Path::new(concat!(env!("OUT_DIR"), "/.hidden")).exists());
}
EOF2
printf 1 > "$W/n"
script_is miss "first"
script_is hit "files, directories, programs, in another OUT_DIR"
printf 2 > "$W/n"
trap_is miss build_script_build "over what an earlier run has left"
is "$(count '^passthrough script-run [^ ]+ output-directory-not-empty')" 1 "$trap_name: which may be an input"
printf 1 > "$W/n"
script_is hit "and back"
is "$(find "$T/kache.clean" -path '*/out/*' -type f -links +1 | wc -l)" 0 "$trap_name: nothing in OUT_DIR is shared"
for blob in $(find "$KACHE_CACHE_DIR/blobs" -type f -size -2); do
	chmod u+w "$blob"; printf 'garbage' > "$blob"
done
script_is any "damaged blobs"
script_is hit "and mended"

script empty_directory <<'BODY'
    fs::create_dir(format!("{out}/empty")).unwrap();
BODY
script_is miss "an empty directory"
why output-empty-directory

script link_out <<'BODY'
    std::os::unix::fs::symlink("build.rs", format!("{out}/l")).unwrap();
BODY
script_is miss "a link in OUT_DIR"
why output-not-a-file

script place_in_file <<'BODY'
    fs::write(format!("{out}/data"), "x").unwrap();
    fs::write(format!("{out}/gen.rs"), format!("pub const F: &str = \"{out}/data\";")).unwrap();
BODY
printf 'include!(concat!(env!("OUT_DIR"), "/gen.rs"));\nfn main() { println!("{F} {}", std::fs::read_to_string(F).unwrap()); }\n' > "$W/src/main.rs"
script_is miss "a file that names OUT_DIR is of one place"
script_is hit "and good for that"

script place_in_text <<'BODY'
    println!("cargo:rustc-env=TOLD={out}/data");
    println!("cargo:rustc-link-search=native={out}");
BODY
script_is miss "first"
script_is hit "what it prints names the OUT_DIR of now"

script place_glued <<'BODY'
    println!("cargo:rustc-env=TOLD=x{out}");
BODY
script_is miss "first"
script_is hit "also where it can't be told from the text around it"

script warns <<'BODY'
    println!("cargo:warning=one");
    eprintln!("two");
    println!("cargo:warning=three");
BODY
script_is miss "first"
script_is hit "warnings are there again"

script fails <<'BODY'
    println!("cargo:rerun-if-changed=v");
    if Path::new("v").exists() { std::process::exit(3); }
BODY
touch "$W/v"
script_is miss "a script that fails"
script_is miss "fails again"
rm "$W/v"
script_is any "until it does not"

script panics <<'BODY'
    if env::var("TRAP_P").is_ok() { panic!("TRAP_P is set"); }
BODY
trap_env=TRAP_P=1
script_is miss "a script that panics"

# Questions to the compiler go by way of kache, which is static: what they read counts for the script.
script probe <<'BODY'
    let ok = Command::new(env::var("RUSTC_WRAPPER").ok().filter(|w| !w.is_empty()).unwrap_or("env".into()))
        .arg(env::var("RUSTC").unwrap()).args(["--crate-name", "p", "--crate-type", "lib", "--emit=metadata", "--out-dir", &out, "probe.rs"])
        .stderr(std::process::Stdio::null()).status().unwrap().success();
    let _ = fs::remove_file(format!("{out}/libp.rmeta"));
    tell(if ok { "yes" } else { "no" });
BODY
echo 'include!("inner.rs"); const _: () = assert!(option_env!("TRAP_Q").is_none());' > "$W/probe.rs"
echo 'pub fn f() {}' > "$W/inner.rs"
script_is miss "first"
script_is hit "again"
echo 'pub fn f() { syntax error' > "$W/inner.rs"
script_is miss "what a question includes"
echo 'pub fn f() {}' > "$W/inner.rs"
script_is hit "and back"
trap_env=TRAP_Q=1
script_is miss "a variable that it asks for"

script version <<'BODY'
    let v = said(Command::new(env::var("RUSTC_WRAPPER").ok().filter(|w| !w.is_empty()).unwrap_or("env".into())).arg(env::var("RUSTC").unwrap()).arg("-V"));
    tell(&(v + &said(Command::new(env::var("RUSTC").unwrap()).arg("-V"))));
BODY
script_is miss "first"
script_is hit "the compiler's version"

script compile <<'BODY'
    let cc = env::var("TRAP_CC").unwrap_or("cc".into());
    let mut words = cc.split(' ');
    let ok = Command::new(words.next().unwrap()).args(words).args(["-c", "x.c", "-o", &format!("{out}/x.o")]).status().unwrap().success();
    tell(if ok { "compiled" } else { "not" });
BODY
printf '#include "x.h"\nint x(void) { return X; }\n' > "$W/x.c"
echo '#define X 1' > "$W/x.h"
for trap_cc in "cc" "$KACHE cc" "$KACHE $(command -v cc)"; do
	trap_env=
	# With blanks in it, it can't go by trap_env.
	export TRAP_CC="$trap_cc"
	echo '#define X 1' > "$W/x.h"
	script_is any "a header, first, $(basename "${trap_cc%% *}")"
	script_is hit "again"
	echo '#define X nothing' > "$W/x.h"
	script_is miss "a header of what it compiles"
done
unset TRAP_CC

script asks_modified <<'BODY'
    tell(&format!("{:?}", fs::metadata("v").unwrap().modified()));
BODY
touch -d '2020-01-01' "$W/v"
script_is miss "when a file was changed"
script_is hit "again"
touch -d '2021-01-01' "$W/v"
script_is miss "and was touched"

# As the rustix crate does, by whose name it is known.
script bare_calls <<'BODY'
    tell(&rustix::fs::size("v").to_string());
BODY
mkdir -p "$W/rustix/src"
printf '[package]\nname = "rustix"\nversion = "0.1.0"\nedition = "2021"\n' > "$W/rustix/Cargo.toml"
printf '[build-dependencies]\nrustix = { path = "rustix" }\n' >> "$W/Cargo.toml"
cat > "$W/rustix/src/lib.rs" <<'R'
mod backend {
	pub mod fs {
		#[inline(never)]
		pub fn open(path: &std::ffi::CStr) -> isize {
			let mut fd: isize = 2;	// SYS_open
			unsafe { std::arch::asm!("syscall", inlateout("rax") fd, in("rdi") path.as_ptr(), in("rsi") 0, in("rdx") 0,
				lateout("rcx") _, lateout("r11") _) };
			fd
		}
	}
}
pub mod fs {
	pub fn size(path: &str) -> u64 {
		use std::os::fd::FromRawFd;
		let fd = crate::backend::fs::open(&std::ffi::CString::new(path).unwrap());
		let mut text = String::new();
		std::io::Read::read_to_string(&mut unsafe { std::fs::File::from_raw_fd(fd as i32) }, &mut text).unwrap() as u64
	}
}
R
if test "$(uname -m)" = x86_64; then
	printf 1 > "$W/v"
	script_is miss "what nobody sees"
	why unobserved-calls
	printf 12 > "$W/v"
	script_is miss "is not handed out"
fi

trap_begin metadata
trap_dependency dep 'pub fn f() {}' 'links = "trapdep"
build = "build.rs"'
echo 'fn main() { println!("cargo:rerun-if-changed=v"); println!("cargo:word={}", std::fs::read_to_string("v").unwrap()); }' > "$W/dep/build.rs"
printf one > "$W/dep/v"
sed -i 's/^edition.*/&\nbuild = "build.rs"/' "$W/Cargo.toml"
printf 'fn main() { println!("cargo:rerun-if-changed=build.rs"); println!("cargo:rustc-env=TOLD={}", std::env::var("DEP_TRAPDEP_WORD").unwrap()); }\n' > "$W/build.rs"
echo 'fn main() { println!("{:?}", option_env!("TOLD")); }' > "$W/src/main.rs"
script_is miss "first"
script_is hit "again"
printf two > "$W/dep/v"
script_is miss "what a dependency's script says"

script feature <<'BODY'
    tell(if env::var("CARGO_FEATURE_ON").is_ok() { "on" } else { "off" });
BODY
printf '[features]\non = []\n' >> "$W/Cargo.toml"
script_is miss "first"
trap_cargo="build --features on"
script_is miss "a feature"
trap_cargo=build
script_is hit "and back"
trap_cargo="build --release"
trap_run="$T/plain.kept/release/feature"
script_is miss "another profile"
trap_cargo="build"; trap_run=

script itself <<'BODY'
    let exe = env::current_exe().unwrap();
    tell(&format!("{} {}", exe.parent().unwrap().parent() == Path::new(&out).parent().unwrap().parent(), env::args().count()));
BODY
script_is miss "where it is"
script_is hit "again"

# ---- without kache, and where it does not work ----
script without <<'BODY'
    println!("cargo:rerun-if-changed=v");
    tell(&fs::read_to_string("v").unwrap());
BODY
printf 1 > "$W/v"
kbuild "$W" build
starter=$(find "$W/target" -name build-script-build)
is "$(cd "$W" && cargo build 2> "$T/log"; cargo run -q)" 'Some("1")' "$trap_name: a build without kache after one with it"
sleep 1; printf 2 > "$W/v"
is "$(cd "$W" && cargo build 2> "$T/log"; cargo run -q)" 'Some("2")' "$trap_name: which runs the script again"
printf 3 > "$W/v"
said() { (cd "$W" && env OUT_DIR="$T" RUSTC_WRAPPER="$1" "$starter" < /dev/null 2>&1 | tail -n 1); }
is "$(said "")" "cargo:rustc-env=TOLD=3" "$trap_name: run by hand"
is "$(said /nowhere/kache)" "cargo:rustc-env=TOLD=3" "$trap_name: kache is gone"
is "$(said sccache)" "cargo:rustc-env=TOLD=3" "$trap_name: another wrapper"
is "$(said "$KACHE")" "cargo:rustc-env=TOLD=3" "$trap_name: by kache, but not by cargo"
is "$(KACHE_CACHE_DIR=/proc/nothing said "$KACHE")" "cargo:rustc-env=TOLD=3" "$trap_name: no store"
is "$(KACHE_BUILD_SCRIPTS=0 said "$KACHE")" "cargo:rustc-env=TOLD=3" "$trap_name: switched off"
is "$(cd "$W" && "$starter" extra < /dev/null > /dev/null 2>&1; echo $?)" 101 "$trap_name: without OUT_DIR it fails as it would"
export KACHE_BUILD_SCRIPTS=0
kbuild "$W" build
rm -rf "$W/target"
kbuild "$W" build
is "$(find "$W/target" -name '*.real' | wc -l) $(count ' script-run ')" "0 0" "$trap_name: nothing of it where it is switched off"
finish
