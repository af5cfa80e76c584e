#!/bin/sh
# Traps: procedural macros, which read what they like.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
. "$srcdir/tests/lib/traps.sh"

trap_begin reads_file
macro 'std::fs::read_to_string("tpl.txt").unwrap_or_else(|_| "none".into())'
trap_is miss reads_file "first, without its file"
printf one > "$W/tpl.txt"; unseen
trap_is miss reads_file "the file is there now"
printf two > "$W/tpl.txt"; unseen
trap_is miss reads_file "and has changed"
rm "$W/tpl.txt"; unseen
trap_is hit reads_file "and is gone again"

trap_begin reads_above
mkdir -p "$W/a/deep" "$W/b/deep"
printf one > "$W/a/tpl.txt"
printf two > "$W/b/tpl.txt"
ln -s a/deep "$W/sub"
macro 'std::fs::read_to_string("sub/../tpl.txt").unwrap()'
trap_is miss reads_above "through a link and up again"
unseen
trap_is hit reads_above "again"
ln -sfn b/deep "$W/sub"; unseen
trap_is miss reads_above "the link leads elsewhere"

# What may not be read makes a macro do something else.
trap_begin denied
if drop_rights; then
	trap_drop=$drop
	printf one > "$W/tpl.txt"
	chmod 000 "$W/tpl.txt"
	macro 'std::fs::read_to_string("tpl.txt").unwrap_or_default()'
	trap_is any denied "a file that may not be read"
	unseen
	trap_is any denied "again"
	chmod 644 "$W/tpl.txt"; unseen
	trap_is any denied "and then may"

	trap_begin no_entry
	trap_drop=$drop
	mkdir "$W/closed"
	touch "$W/closed/tpl.txt"
	chmod 000 "$W/closed"
	macro 'format!("{}", std::path::Path::new("closed/tpl.txt").exists())'
	trap_is any no_entry "a directory that may not be entered"
	unseen
	trap_is any no_entry "again"
	chmod 755 "$W/closed"; unseen
	trap_is any no_entry "and then may"
fi

# A program that is not there, or is none.
trap_begin starts_program
macro 'std::process::Command::new("./tool").output().map_or_else(|_| "none".into(), |o| String::from_utf8(o.stdout).unwrap())'
trap_is any starts_program "one that is not there"
unseen
trap_is any starts_program "again"
printf '#!/bin/sh\necho one\n' > "$W/tool"; unseen
trap_is any starts_program "it may not be run"
chmod +x "$W/tool"; unseen
trap_is any starts_program "and then may"

trap_begin lists_directory
mkdir "$W/tpl"
macro 'let mut v: Vec<_> = std::fs::read_dir("tpl").unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect(); v.sort(); v.join(",")'
touch "$W/tpl/a"
trap_is miss lists_directory "first"
touch "$W/tpl/b"; unseen
trap_is miss lists_directory "a file more in a directory"
rm "$W/tpl/b"; unseen
trap_is hit lists_directory "and one less"
mv "$W/tpl/a" "$W/tpl/c"; unseen
trap_is miss lists_directory "another name"

trap_begin lists_kinds
mkdir "$W/tpl"
macro 'let mut v: Vec<_> = std::fs::read_dir("tpl").unwrap().map(|e| e.unwrap()).filter(|e| e.file_type().unwrap().is_dir()).map(|e| e.file_name().into_string().unwrap()).collect(); v.sort(); v.join(",")'
touch "$W/tpl/a"
trap_is miss lists_kinds "first"
rm "$W/tpl/a"; mkdir "$W/tpl/a"; unseen
trap_is miss lists_kinds "a directory in the place of a file"
rmdir "$W/tpl/a"; ln -s . "$W/tpl/a"; unseen
trap_is miss lists_kinds "a link in its place"
rm "$W/tpl/a"; touch "$W/tpl/a"; unseen
trap_is hit lists_kinds "the file again"

trap_begin asks_existence
macro 'format!("{}", std::path::Path::new("flag").exists())'
trap_is miss asks_existence "first"
touch "$W/flag"; unseen
trap_is miss asks_existence "a file that need only be there"
rm "$W/flag"; mkdir "$W/flag"; unseen
trap_is any asks_existence "a directory in its place"

trap_begin asks_size
macro 'std::fs::metadata("data").map_or(0, |m| m.len()).to_string()'
trap_is miss asks_size "first"
printf 12345 > "$W/data"; unseen
trap_is miss asks_size "a file whose size is asked for"
printf 123 > "$W/data"; unseen
trap_is miss asks_size "which has changed"
printf 54321 > "$W/data"; unseen
trap_is hit asks_size "and its content only"

# What a site is told of its embedded files: rust-embed and include_dir ask for it.
trap_begin asks_modified
macro 'format!("{:?}", std::fs::metadata("data").ok().map(|m| m.modified().unwrap()))'
touch -d '2020-01-01' "$W/data"
trap_is miss asks_modified "when a file was changed"
unseen
trap_is hit asks_modified "again"
touch -d '2021-01-01' "$W/data"; unseen
trap_is miss asks_modified "and was touched"

trap_begin asks_mtime
macro '{ use std::os::unix::fs::MetadataExt; std::fs::metadata("data").map_or(0, |m| m.mtime_nsec()).to_string() }'
touch -d '2020-01-01 10:00:00.25' "$W/data"
trap_is miss asks_mtime "the same by the system's name for it"
touch -d '2020-01-01 10:00:00.75' "$W/data"; unseen
trap_is miss asks_mtime "in the same second"

# Many macros find out by this crate what theirs is called, and it remembers manifests by their times.
trap_begin asks_manifest
macro 'proc_macro_crate::look()'
mkdir -p "$W/proc-macro-crate/src"
printf '[package]\nname = "proc-macro-crate"\nversion = "0.1.0"\nedition = "2021"\n' > "$W/proc-macro-crate/Cargo.toml"
printf '[dependencies]\nproc-macro-crate = { path = "../proc-macro-crate" }\n' >> "$W/mac/Cargo.toml"
echo 'pub fn look() -> String { format!("{}", std::fs::metadata("Cargo.toml").unwrap().modified().is_ok()) }' > "$W/proc-macro-crate/src/lib.rs"
touch -d '2020-01-01' "$W/Cargo.toml"
trap_is miss asks_manifest "when a manifest was changed"
touch -d '2021-01-01' "$W/Cargo.toml"; unseen
trap_is hit asks_manifest "is of no matter"

trap_begin asks_created
macro 'format!("{:?}", std::fs::File::open("data").unwrap().metadata().unwrap().created().ok())'
echo one > "$W/data"
trap_is miss asks_created "when a file was made"
cp "$W/data" "$W/other"; touch -r "$W/data" "$W/other"; mv "$W/other" "$W/data"; unseen
trap_is any asks_created "and made again"

trap_begin asks_accessed
macro 'format!("{:?}", std::fs::metadata("data").unwrap().accessed().ok())'
touch -a -d '2030-01-01' "$W/data"
trap_is miss asks_accessed "when a file was read"
unseen
touch -a -d '2031-01-01' "$W/data"
trap_is miss asks_accessed "and again"

trap_begin asks_mode
macro '{ use std::os::unix::fs::PermissionsExt; format!("{:o}", std::fs::metadata("data").unwrap().permissions().mode()) }'
echo one > "$W/data"
trap_is miss asks_mode "who may read a file"
chmod go-r "$W/data"; unseen
trap_is miss asks_mode "and others may not"

trap_begin asks_clock
macro '{ let t = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(); (t / 1000000).to_string() }'
trap_is miss asks_clock "what time it is"
unseen
trap_is miss asks_clock "and again"

trap_begin asks_host
macro 'extern "C" { fn gethostname(to: *mut u8, len: usize) -> i32; } let mut b = [0u8; 256]; unsafe { gethostname(b.as_mut_ptr(), 255) }; b.iter().position(|c| *c == 0).unwrap().to_string()'
trap_is miss asks_host "on which machine it is"
unseen
trap_is miss asks_host "and again"

trap_begin asks_user
macro 'extern "C" { fn getuid() -> u32; } unsafe { getuid() }.to_string()'
trap_is miss asks_user "on who builds"
unseen
trap_is miss asks_user "and again"

# As the rustix crate does, by whose name it is known.
trap_begin bare_calls
macro 'rustix::opens("data").to_string()'
mkdir -p "$W/rustix/src"
printf '[package]\nname = "rustix"\nversion = "0.1.0"\nedition = "2021"\n' > "$W/rustix/Cargo.toml"
printf '[dependencies]\nrustix = { path = "../rustix" }\n' >> "$W/mac/Cargo.toml"
cat > "$W/rustix/src/lib.rs" <<'R'
pub fn opens(path: &str) -> bool {
	let path = std::ffi::CString::new(path).unwrap();
	let mut fd: isize = 2;	// SYS_open
	unsafe { std::arch::asm!("syscall", inlateout("rax") fd, in("rdi") path.as_ptr(), in("rsi") 0, in("rdx") 0,
		lateout("rcx") _, lateout("r11") _) };
	fd >= 0
}
R
if test "$(uname -m)" = x86_64; then
	trap_is miss bare_calls "a file that nobody sees it open"
	touch "$W/data"; unseen
	trap_is miss bare_calls "and is there now"
fi

trap_begin asks_duration
macro '{ let t = std::time::Instant::now(); (t.elapsed().as_secs() / 1000).to_string() }'
trap_is miss asks_duration "how long it took"
unseen
trap_is hit asks_duration "is of no matter"

# Directories stand as tokens in keys, so that other checkouts hit: unless their names may be in what was made.
moves() { moved=$(mktemp -d "$T/elsewhere.XXXXXX"); mv "$W" "$moved/"; W=$moved/$(basename "$W"); unseen; }
trap_begin asks_directory
macro 'std::env::current_dir().unwrap().display().to_string()'
trap_is miss asks_directory "where it is"
unseen
trap_is hit asks_directory "again"
moves
trap_is miss asks_directory "and elsewhere"

trap_begin asks_process
macro 'std::fs::read_link("/proc/self/cwd").unwrap().display().to_string()'
trap_is miss asks_process "where it is, of the kernel"
moves
trap_is miss asks_process "and elsewhere"

trap_begin asks_child
macro 'String::from_utf8(std::process::Command::new("/bin/pwd").output().unwrap().stdout).unwrap()'
trap_is miss asks_child "where it is, of a program"
moves
trap_is miss asks_child "and elsewhere"

trap_begin asks_real_name
macro 'std::fs::canonicalize("Cargo.toml").unwrap().display().to_string().len().to_string()'
trap_is miss asks_real_name "how long its name is"
moves
trap_is miss asks_real_name "and elsewhere"

# With more room for zeros than there is in the whole file.
trap_begin asks_arguments
macro 'static mut ROOM: [u8; 1 << 26] = [0; 1 << 26]; unsafe { std::ptr::read_volatile(&raw const ROOM[5]) };
	std::env::args().skip_while(|a| a != "--out-dir").nth(1).unwrap()'
for dir in one other; do
	said=$(cd "$W" && RUSTC_WRAPPER=$KACHE CARGO_TARGET_DIR=$T/kache.$dir cargo run 2> "$T/log")
	is "$said" "$T/kache.$dir/debug/deps" "asks_arguments: what the compiler was told, in target directory $dir"
done

# What says nothing to a compiler may be all that a macro wants.
trap_begin asks_for_noise
macro '["CI", "TERM", "TZ"].map(|v| std::env::var(v).unwrap_or_default()).join(",")'
trap_env="TERM=one"
trap_is miss asks_for_noise "a variable that is noise"
unseen
trap_is hit asks_for_noise "again"
for env in CI=1 TERM=two TZ=UTC; do
	trap_env="TERM=one $env"; unseen
	trap_is miss asks_for_noise "${env%=*}"
done

# Cargo names the sources of a package outside the workspace by their whole names. Span::local_file is as old as Rust 1.88.
if test "$(rustc --version | sed -E 's/^rustc 1\.([0-9]+).*/\1/')" -ge 88; then
	trap_begin asks_source
	macro 'proc_macro::Span::call_site().local_file().unwrap().display().to_string()'
	top=$W
	mkdir -p "$top/app/src" "$top/dep/src"
	mv "$top/src/main.rs" "$top/dep/src/lib.rs"
	sed -i 's/.*/pub fn v() -> \&'"'static"' str { mac::m!() }/' "$top/dep/src/lib.rs"
	echo 'fn main() { println!("{}", dep::v()); }' > "$top/app/src/main.rs"
	sed 's/asks_source/dep/; s,"mac","../mac",' "$top/Cargo.toml" > "$top/dep/Cargo.toml"
	sed 's,^mac = .*,dep = { path = "../dep" },' "$top/Cargo.toml" > "$top/app/Cargo.toml"
	rm "$top/Cargo.toml"
	W=$top/app
	trap_is miss dep "where its source lies"
	unseen
	trap_is hit dep "again"
	moved=$(mktemp -d "$T/elsewhere.XXXXXX"); mv "$top" "$moved/"; W=$moved/$(basename "$top")/app; unseen
	trap_is miss dep "and elsewhere"
fi

# What was stripped has no symbols to tell.
trap_begin stripped
macro 'format!("{:?} {}", std::fs::metadata("data").ok().map(|m| m.modified().unwrap()), std::env::current_dir().unwrap().display())'
printf '[profile.dev]\nstrip = true\n' >> "$W/Cargo.toml"
touch -d '2020-01-01' "$W/data"
trap_is miss stripped "when a file was changed, and where"
unseen
trap_is hit stripped "again"
touch -d '2021-01-01' "$W/data"; unseen
trap_is miss stripped "and was touched"
moves
trap_is miss stripped "and elsewhere"

# rustc loads a macro by its name without links.
trap_begin through_link
macro 'std::env::current_dir().unwrap().display().to_string()'
mkdir "$T/real.target"; ln -s real.target "$T/link.target"
for n in 1 2; do
	said=$(cd "$W" && RUSTC_WRAPPER=$KACHE CARGO_TARGET_DIR=$T/link.target cargo run 2> "$T/log")
	is "$said" "$W" "through_link: where it is, in a target directory behind a link, $n"
	rm -rf "$T"/real.target/*
	moves
done

# Without cargo, where it lies elsewhere, and behind a link.
trap_begin named
macro 'std::env::vars().filter(|(n, _)| n == "TRAP_MACRO").map(|(_, v)| v).collect::<String>()'
(cd "$W" && mkdir real.macros out && ln -s real.macros macros && rustc --edition 2021 --crate-type proc-macro --crate-name mac --extern proc_macro mac/src/lib.rs \
	--out-dir macros) || exit 99
for value in one two; do
	(cd "$W" && TRAP_MACRO=$value "$KACHE" rustc --edition 2021 --crate-name named --emit=dep-info,link src/main.rs \
		--extern mac=macros/libmac.so --out-dir out)
	is "$("$W/out/named")" $value "named: a macro that the call names, $value"
done

trap_begin asks_nothing
macro '"x".to_string()'
trap_is miss asks_nothing "what does not ask"
moves
trap_is hit asks_nothing "hits elsewhere"

trap_begin asks_link
macro 'std::path::Path::new("data").is_symlink().to_string()'
printf 12345 > "$W/data"
trap_is miss asks_link "first"
mv "$W/data" "$W/moved"; ln -s moved "$W/data"; unseen
trap_is miss asks_link "a link to the same"
rm "$W/data"; mv "$W/moved" "$W/data"; unseen
trap_is hit asks_link "the file again"

trap_begin reads_link
macro 'format!("{:?}", std::fs::read_link("to").ok())'
ln -s a "$W/to"
trap_is miss reads_link "first"
ln -sf b "$W/to"; unseen
trap_is miss reads_link "a link that leads elsewhere"

trap_begin reads_variable
macro 'std::env::var("TRAP_MACRO").unwrap_or_default()'
trap_is miss reads_variable "first"
trap_env="TRAP_MACRO=1"; unseen
trap_is miss reads_variable "a variable that a macro reads"
trap_env="TRAP_MACRO=2"; unseen
trap_is miss reads_variable "another value"
trap_env=; unseen
trap_is hit reads_variable "unset again"

trap_begin reads_all_variables
macro 'std::env::vars().filter(|v| v.0.starts_with("TRAP_")).map(|v| v.1).collect()'
trap_is miss reads_all_variables "first"
trap_env="TRAP_ANY=1"; unseen
trap_is miss reads_all_variables "a variable among all of them"

trap_begin macro_changed
macro '"one".into()'
trap_is miss macro_changed "first"
sed -i 's/one/two/' "$W/mac/src/lib.rs"
trap_is miss macro_changed "the macro itself"
sed -i 's/two/one/' "$W/mac/src/lib.rs"
trap_is hit macro_changed "and back"

trap_begin macro_dependency
macro 'low::word().into()'
mkdir -p "$W/low/src"
printf '[package]\nname = "low"\nversion = "0.1.0"\nedition = "2021"\n' > "$W/low/Cargo.toml"
echo 'pub fn word() -> &'"'"'static str { "one" }' > "$W/low/src/lib.rs"
printf '[dependencies]\nlow = { path = "../low" }\n' >> "$W/mac/Cargo.toml"
trap_is miss macro_dependency "first"
sed -i 's/one/two/' "$W/low/src/lib.rs"
trap_is miss macro_dependency "a library that only the macro uses"

trap_begin runs_program
macro 'String::from_utf8(std::process::Command::new("sh").args(["-c", "cat prog.txt"]).output().unwrap().stdout).unwrap()'
printf one > "$W/prog.txt"
trap_is any runs_program "first"
printf two > "$W/prog.txt"; unseen
trap_is any runs_program "a file that a program reads which the macro runs"

trap_begin macro_speaks
macro 'eprintln!("heard from the macro"); "x".into()'
trap_is miss macro_speaks "first"
trap_is any macro_speaks "what a macro says is said again"
# Files that a macro leaves behind would not be there after a hit.
trap_begin writes_files
macro 'let args: Vec<String> = std::env::args().collect(); let at = args.iter().position(|a| a == "--out-dir").unwrap(); std::fs::write(format!("{}/side.txt", args[at + 1]), "x").unwrap(); "x".into()'
trap_is any writes_files "first"
unseen; trap_is any writes_files "a file in the output directory"
test -f "$T/kache.clean/debug/deps/side.txt"; ok $? "writes_files: it is there"
sed -i 's,let args.*"x").unwrap();,std::fs::write("side.txt"\, "x").unwrap();,' "$W/mac/src/lib.rs"
trap_is miss writes_files "a file beside the source"
rm -rf "$W/side.txt" "$T"/*.kept
(cd "$W" && RUSTC_WRAPPER=$KACHE CARGO_TARGET_DIR=$T/kache.kept cargo build) > "$T/log" 2>&1
test -f "$W/side.txt"; ok $? "writes_files: it is there"
finish
