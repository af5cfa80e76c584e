#!/bin/sh
# Traps: programs that a compile starts, and variables that nobody asks the C library for.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
. "$srcdir/tests/lib/traps.sh"

script() { printf '#!/bin/sh\n%s\n' "$2" > "$1"; chmod +x "$1"; }
answers() { # NAME NUMBER: an object with a function that gives it
	echo "int trap_answer(void) { return $2; }" > "$T/n.c"
	cc -c "$T/n.c" -o "$W/$1.o"
}
linked() {
	answers one 1; answers two 2
	printf 'extern "C" { fn trap_answer() -> i32; }\nfn main() { println!("{}", unsafe { trap_answer() }); }\n' > "$W/src/main.rs"
}

# A shell goes by a variable without asking for it.
trap_begin linker_script
linked
script "$W/link-cc" 'exec cc "$@" "$TRAP_OBJECT"'
trap_env="CARGO_ENCODED_RUSTFLAGS=-Clinker=$W/link-cc TRAP_OBJECT=$W/one.o"; trap_is miss linker_script "first"
trap_is hit linker_script "a script that links"
trap_env="CARGO_ENCODED_RUSTFLAGS=-Clinker=$W/link-cc TRAP_OBJECT=$W/two.o"; unseen
trap_is miss linker_script "with another variable"
trap_env="CARGO_ENCODED_RUSTFLAGS=-Clinker=$W/link-cc TRAP_OBJECT=$W/one.o"; unseen
trap_is hit linker_script "and as before"

trap_begin linker_below
linked
mkdir "$W/bin"
script "$W/bin/ld.bfd" "exec $(cc -print-prog-name=ld) \"\$@\" \"\$TRAP_OBJECT\""
flags="CARGO_ENCODED_RUSTFLAGS=$(printf -- '-Clink-arg=-B%s/bin/\037-Clink-arg=-fuse-ld=bfd' "$W")"
trap_env="$flags TRAP_OBJECT=$W/one.o"; trap_is miss linker_below "first"
trap_env="$flags TRAP_OBJECT=$W/two.o"; unseen
trap_is miss linker_below "a script that the compiler driver starts, with another variable"

trap_begin compiler_script
echo 'fn main() { println!("{}", cfg!(on)); }' > "$W/src/main.rs"
script "$W/compile" 'exec rustc "$@" $TRAP_FLAGS'
trap_env="RUSTC=$W/compile"; trap_is any compiler_script "first"
trap_env="RUSTC=$W/compile TRAP_FLAGS=--cfg=on"; unseen
trap_is any compiler_script "a script in the place of rustc, with another variable"
trap_env="RUSTC=$W/compile TRAP_FLAGS=--cfg=on KACHE_OBSERVE=off"; unseen
trap_is any compiler_script "unobserved"
trap_env="RUSTC=$W/compile KACHE_OBSERVE=off"; unseen
trap_is any compiler_script "unobserved, and without"

trap_begin shell
macro 'String::from_utf8(std::process::Command::new("sh").args(["-c", "echo $TRAP_ANY"]).output().unwrap().stdout).unwrap()'
trap_is miss shell "first"
trap_env="TRAP_ANY=1"; unseen
trap_is miss shell "a variable of a shell's that a macro starts"
trap_env=; unseen
trap_is hit shell "and without"

# Started by the C library: the macro itself does not have the environment.
trap_begin system
macro 'let c = std::ffi::CString::new("test -n \"$TRAP_ANY\"").unwrap(); (unsafe { system(c.as_ptr()) } == 0).to_string()' \
	'extern "C" { fn system(c: *const std::ffi::c_char) -> i32; }'
trap_is miss system "first"
trap_env="TRAP_ANY=1"; unseen
trap_is miss system "the same by system(3)"

# A compiler asks for each variable, but may tell where it is.
trap_begin tells_place
echo 'int x;' > "$W/x.c"
macro 'String::from_utf8(std::process::Command::new("cc").args(["-E", "-g", "x.c"]).output().unwrap().stdout).unwrap()'
trap_is any tells_place "first"
mv "$W" "$T/there"; W=$T/there; unseen
trap_is any tells_place "a compiler that a macro starts, in another directory"

trap_begin asks_date
macro 'String::from_utf8(std::process::Command::new("date").args(["+%s%N"]).output().unwrap().stdout).unwrap().len().to_string()'
trap_is miss asks_date "first"
unseen
trap_is miss asks_date "a program that tells what time it is"

trap_begin asks_whoami
macro 'std::process::Command::new("whoami").output().unwrap().stdout.len().to_string()'
trap_is miss asks_whoami "first"
unseen
trap_is miss asks_whoami "a program that tells who the user is"

# What git looks at counts by its content: by times it knows whether that has changed.
trap_begin asks_git
if command -v git > /dev/null; then
	macro 'String::from_utf8(std::process::Command::new("git").args(["describe", "--always", "--dirty"]).output().unwrap().stdout).unwrap()'
	trap_env="CARGO_NET_OFFLINE=true"
	echo one > "$W/notes"
	(cd "$W" && cargo generate-lockfile --offline && git init -q . && git config user.email t@example.com && git config user.name t &&
		git add . && git commit -qm 1 && sleep 1.1 && git reset -q) > "$T/git" 2>&1
	trap_is any asks_git "first"
	trap_is any asks_git "a macro that asks git, again"
	echo two > "$W/notes"; unseen
	trap_is any asks_git "a file that git knows was changed"
fi

# Who starts programs has what it takes to walk over all variables, and some do.
command='std::process::Command::new("true").status().unwrap();'
trap_begin command
macro "$command \"x\".into()"
trap_is miss command "first"
trap_begin command_only
macro "if std::path::Path::new(\"never\").exists() { $command } \"x\".into()"
trap_is miss command_only "first"
trap_env="TRAP_ANY=1"; unseen
trap_is "$(test "$(uname -m)" = x86_64 && echo hit || echo any)" command_only "a macro that could start a program, with another variable"

walks() { # NAME BODY [ITEMS]
	trap_begin "$1"
	macro "if std::path::Path::new(\"never\").exists() { $command } $2" "${3:-}"
	trap_is miss "$1" "first"
	trap_env="TRAP_ANY=1"; unseen
	trap_is miss "$1" "a variable among all"
}
walks walks_all 'std::env::vars().filter(|v| v.0 == "TRAP_ANY").map(|v| v.1).collect()'
walks walks_all_raw 'std::env::vars_os().filter(|v| v.0 == "TRAP_ANY").count().to_string()'
walks walks_by_address 'F.iter().map(|f| f().filter(|v| v.0 == "TRAP_ANY").count()).sum::<usize>().to_string()' \
	'static F: &[fn() -> std::env::VarsOs] = &[std::env::vars_os];'
walks walks_directly 'let mut n = 0; unsafe { let mut e = environ; while !(*e).is_null() { n += std::ffi::CStr::from_ptr(*e).to_bytes().starts_with(b"TRAP_ANY=") as i32; e = e.add(1); } } n.to_string()' \
	'extern "C" { static environ: *const *const std::ffi::c_char; }'
walks walks_after_command 'std::process::Command::new("true").env("A", "1").get_envs().count().to_string() + &std::env::vars_os().any(|v| v.0 == "TRAP_ANY").to_string()'

# The same where all is optimized.
trap_begin walks_optimized
macro "if std::path::Path::new(\"never\").exists() { $command } std::env::vars_os().filter(|v| v.0 == \"TRAP_ANY\").count().to_string()"
printf '[profile.dev.build-override]\nopt-level = 3\n' >> "$W/Cargo.toml"
trap_is miss walks_optimized "first"
trap_env="TRAP_ANY=1"; unseen
trap_is miss walks_optimized "a variable among all"

# Cargo has its own variables, and what it tells depends on no other.
trap_begin asks_cargo
macro 'let o = std::process::Command::new(std::env::var("CARGO").unwrap()).args(["config", "get", "--format=env", "-Zunstable-options", "http.user-agent"]).env("RUSTC_BOOTSTRAP", "1").output().unwrap(); String::from_utf8_lossy(&o.stdout).into_owned()'
trap_env="CARGO_HTTP_USER_AGENT=one"; trap_is miss asks_cargo "first"
trap_env="CARGO_HTTP_USER_AGENT=one TRAP_ANY=1"; unseen
trap_is hit asks_cargo "a macro that asks cargo, with another variable"
trap_env="CARGO_HTTP_USER_AGENT=two"; unseen
trap_is miss asks_cargo "and one of cargo's"
finish
