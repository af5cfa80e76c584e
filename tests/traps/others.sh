#!/bin/sh
# Traps: what the linker finds by itself, unstable ways of cargo and of macros, wrappers upon wrappers, homes behind links, and what a
# build leaves behind when it is stopped.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
. "$srcdir/tests/lib/traps.sh"

# The C library's start files and the linker itself, in directories that are searched first.
trap_begin start_files
echo 'fn main() { println!("x"); }' > "$W/src/main.rs"
mkdir "$W/early" "$W/late"
crt=$(cc -print-file-name=Scrt1.o)
cp "$crt" "$W/late/"
trap_env="CARGO_ENCODED_RUSTFLAGS=$(printf -- '-Clink-arg=-B%s/early/\037-Clink-arg=-B%s/late/' "$W" "$W")"
trap_is miss start_files "first"
trap_is hit start_files "a start file of its own"
echo 'int trap_start;' > "$T/c.c"
cc -c "$T/c.c" -o "$T/c.o" && ld -r "$crt" "$T/c.o" -o "$W/late/Scrt1.o"; unseen
trap_is miss start_files "which was replaced"
cp "$crt" "$W/early/"; unseen
trap_is miss start_files "one that is found earlier"
rm "$W/early/Scrt1.o"; unseen
trap_is hit start_files "and gone"

trap_begin linker_below
echo 'fn main() { println!("x"); }' > "$W/src/main.rs"
mkdir "$W/bin"
printf '#!/bin/sh\nexec %s "$@"\n' "$(cc -print-prog-name=ld)" > "$W/bin/ld"; chmod +x "$W/bin/ld"
trap_env="CARGO_ENCODED_RUSTFLAGS=$(printf -- '-Clink-arg=-B%s/bin/\037-Clink-arg=-fuse-ld=bfd' "$W")"
cp "$W/bin/ld" "$W/bin/ld.bfd"
trap_is any linker_below "first"
printf '#!/bin/sh\nexec %s --defsym=trap_x=1 "$@"\n' "$(cc -print-prog-name=ld)" > "$W/bin/ld.bfd"; unseen
trap_is miss linker_below "the linker that the compiler driver starts"

trap_begin library_path
mkdir "$W/one" "$W/two"
for i in one two; do
	echo "int trap_answer(void) { return $(test $i = one && echo 1 || echo 2); }" > "$T/n.c"
	cc -c "$T/n.c" -o "$T/n.o" && ar crsD "$W/$i/libtrapn.a" "$T/n.o"
done
# Not by an attribute: then rustc itself would look for it.
printf 'extern "C" { fn trap_answer() -> i32; }\nfn main() { println!("{}", unsafe { trap_answer() }); }\n' > "$W/src/main.rs"
printf '[build]\nrustflags = ["-Clink-arg=-ltrapn"]\n' > "$W/config"; mkdir "$W/.cargo"; mv "$W/config" "$W/.cargo/config.toml"
trap_env="LIBRARY_PATH=$W/one"
trap_is miss library_path "first"
trap_env="LIBRARY_PATH=$W/two"; unseen
trap_is miss library_path "another LIBRARY_PATH"
trap_env="LIBRARY_PATH=$W/one"; unseen
trap_is hit library_path "and back"
trap_env=; unseen
trap_is miss library_path "and none, which is an error"

# What a macro tells the compiler that it depends on.
trap_begin tracked
for tracked in 'tracked::path("list")' 'tracked_path::path("list")'; do
	for feature in proc_macro_tracked_path track_path; do
		printf '#![feature(%s)]\nextern crate proc_macro; #[proc_macro] pub fn m(t: proc_macro::TokenStream) -> proc_macro::TokenStream { proc_macro::%s; t }\n' $feature "$tracked" > "$T/m.rs"
		RUSTC_BOOTSTRAP=1 rustc --crate-type proc-macro --emit=metadata --out-dir "$T" "$T/m.rs" > "$T/log" 2>&1 && break 2
	done
done
trap_dependency mac "#![feature($feature)]
use proc_macro::TokenStream;
#[proc_macro] pub fn m(_: TokenStream) -> TokenStream { proc_macro::$tracked; let n = std::fs::read_dir(\"list\").unwrap().count(); format!(\"{n}usize\").parse().unwrap() }" '[lib]
proc-macro = true'
echo 'fn main() { println!("{}", mac::m!()); }' > "$W/src/main.rs"
mkdir "$W/list"; touch "$W/list/a"
trap_env="RUSTC_BOOTSTRAP=1"
trap_is miss tracked "first"
trap_is hit tracked "a directory that a macro has the compiler track"
touch "$W/list/b"; unseen
trap_is miss tracked "which has one file more"
rm "$W/list/b"; unseen
trap_is hit tracked "and one less"

# Unstable ways of cargo: the same crate with them and without.
trap_begin cargo_unstable
trap_dependency dep 'pub fn v() -> u32 { 1 }'
echo 'fn main() { println!("{}", dep::v()); }' > "$W/src/main.rs"
trap_env="RUSTC_BOOTSTRAP=1"
trap_is miss cargo_unstable "first"
for trap_cargo in "-Zchecksum-freshness build" "-Zbinary-dep-depinfo build" "-Zno-embed-metadata build" build; do
	trap_is any cargo_unstable "$trap_cargo"
	sed -i 's/{ 1 }/{ 2 }/' "$W/dep/src/lib.rs"
	trap_is any dep "$trap_cargo, an edit"
	sed -i 's/{ 2 }/{ 1 }/' "$W/dep/src/lib.rs"
	trap_is any dep "$trap_cargo, and back"
done

trap_begin coverage
trap_dependency dep 'pub fn v() -> u32 { 1 }'
echo 'fn main() { println!("{}", dep::v()); }' > "$W/src/main.rs"
trap_env="RUSTFLAGS=-Cinstrument-coverage LLVM_PROFILE_FILE=$T/trap.profraw"
trap_is miss coverage "first"
trap_is hit dep "again"
sed -i 's/{ 1 }/{ 2 }/' "$W/dep/src/lib.rs"
trap_is miss dep "an edit"
trap_env=; trap_is miss dep "and without"

# Wrappers upon wrappers. cargo gives the wrapper the other one as the compiler.
trap_begin wrappers
trap_dependency dep 'pub fn v() -> u32 { 1 }'
echo 'fn main() { println!("{} {} {}", dep::v(), cfg!(on), cfg!(off)); }' > "$W/src/main.rs"
printf '#!/bin/sh\nexec "$@"\n' > "$W/thin"
printf '#!/bin/sh\necho "note: from the wrapper" >&2\nexec "$@" --cfg on\n' > "$W/adds"
chmod +x "$W/thin" "$W/adds"
trap_is miss wrappers "first"
trap_env="RUSTC_WORKSPACE_WRAPPER=$KACHE"; trap_is any wrappers "kache for the workspace, too"
trap_env="RUSTC_WORKSPACE_WRAPPER=$W/thin"; trap_is any wrappers "a wrapper for the workspace"
trap_env="RUSTC_WORKSPACE_WRAPPER=$W/adds"; trap_is any wrappers "one that adds to the call"
sed -i 's/--cfg on/--cfg off/' "$W/adds"; unseen
trap_is any wrappers "and something else now"
printf '#!/bin/sh\nexec rustc "$@"\n' > "$W/instead"; chmod +x "$W/instead"
trap_env="RUSTC=$W/instead"; trap_is any wrappers "a program in the place of rustc"
printf '#!/bin/sh\nexec rustc "$@" --cfg on\n' > "$W/instead"; chmod +x "$W/instead"; unseen
trap_is any wrappers "which now adds to the call"
printf '#!/bin/sh\nexec rustc "$@" --cfg off\n' > "$W/instead"; chmod +x "$W/instead"; unseen
trap_is any wrappers "and something else"
trap_env=; trap_is hit wrappers "and none"

# A cargo home behind a link, and one that is elsewhere.
trap_begin homes
if command -v git > /dev/null; then
	mkdir -p "$T/home.1"
	ln -sfn home.1 "$T/home"
	# file!() there is a name that does not depend on the machine; what it leads to does not concern a program.
	trap_git_dependency dep 'pub fn v() -> bool { file!().ends_with("/src/lib.rs") }'
	echo 'fn main() { println!("{}", dep::v()); }' > "$W/src/main.rs"
	trap_env="CARGO_NET_OFFLINE=false CARGO_HOME=$T/home"
	(cd "$W" && env $trap_env cargo generate-lockfile) > "$T/lock" 2>&1
	trap_is any homes "a home behind a link"
	trap_env="CARGO_NET_OFFLINE=false CARGO_HOME=$T/home.1"; unseen
	trap_is any homes "and by its own name"
	mkdir "$T/home.2"; ln -sfn home.2 "$T/home"
	trap_env="CARGO_NET_OFFLINE=false CARGO_HOME=$T/home"; unseen
	trap_is any homes "the link leads to another one"
fi

# A panic tells of files that are there, seen from where the crate is built.
trap_begin backtrace
trap_dependency dep 'pub fn v(n: usize) -> u32 { if n > 0 { panic!("trap") } else { 1 } }'
echo 'fn main() { println!("{}", dep::v(std::env::args().count())); }' > "$W/src/main.rs"
trap_is miss backtrace "first"
trap_is hit dep "a place where it panics"
said=$(cd "$W" && "$T/kache.clean/debug/backtrace" 2>&1)
place=$(printf '%s\n' "$said" | sed -n 's/^thread .*panicked at \(.*\):[0-9]*:[0-9]*:$/\1/p')
ok "$(cd "$W" && test -f "$place"; echo $?)" "backtrace: the place is there ($place)"

# Nobody is kept waiting, and nothing is left behind.
trap_begin stopped
trap_dependency slow 'pub fn v() -> u32 { 1 }' 'build = "build.rs"'
echo 'fn main() { println!("cargo:rerun-if-changed=build.rs"); }' > "$W/slow/build.rs"
echo 'fn main() { println!("{}", slow::v()); }' > "$W/src/main.rs"
mkdir "$T/remote"
start=$(date +%s)
said=$(cd "$W" && KACHE_DAEMON=auto KACHE_BACKEND="file://$T/remote" RUSTC_WRAPPER=$KACHE CARGO_TARGET_DIR=$T/piped timeout 60 cargo build 2>&1 | cat)
like "$said" 'Finished' "stopped: a build into a pipe"
test $(($(date +%s) - start)) -lt 50; ok $? "stopped: the pipe is closed with it, the daemon does not hold it"
"$builddir/kache-cli" daemon stop > "$T/daemon" 2>&1
# A compiler that takes its time, to be interrupted with the whole group, as a terminal does.
# (It has to be a rustc for kache: its own copy of the proxy would be one of rustup, so a macro takes the time.)
mkdir -p "$T/wait/src" "$T/out"
echo 'extern crate proc_macro; #[proc_macro] pub fn m(t: proc_macro::TokenStream) -> proc_macro::TokenStream { std::fs::write("begun", "").unwrap(); std::thread::sleep(std::time::Duration::from_secs(60)); t }' > "$T/wait/m.rs"
echo 'slow::m!(); pub fn f() {}' > "$T/wait/l.rs"
(cd "$T/wait" && rustc --crate-name slow --crate-type proc-macro m.rs --out-dir "$T/wait") > "$T/log" 2>&1
for signal in INT TERM KILL; do
	rm -f "$T/wait/begun"
	(cd "$T/wait" && exec setsid "$KACHE" rustc --crate-name l --crate-type lib --emit=dep-info,metadata,link --out-dir "$T/out" --extern slow="$T/wait/libslow.so" l.rs) > "$T/log" 2>&1 &
	stopped_pid=$!
	for _ in $(seq 100); do test -e "$T/wait/begun" && break; sleep 0.1; done
	test -e "$T/wait/begun"; ok $? "stopped: $signal comes while the compiler is at work"
	group=$(ps -o pgid= -p $stopped_pid | tr -d ' ')
	test -n "$group" && test "$group" != "$(ps -o pgid= -p $$ | tr -d ' ')" && kill -$signal -"$group"
	wait $stopped_pid
	stopped_status=$?
	test $stopped_status -ne 0; ok $? "stopped: $signal ends it ($stopped_status)"
	sleep 0.5
	is "$(ps -eo pgid=,stat= | awk -v g="$group" '$1 == g && $2 !~ /^Z/' | wc -l)" 0 "stopped: $signal leaves no compiler behind"
	is "$(ls -A "$T/out")" "" "stopped: $signal leaves no output behind"
done
log=$("$builddir/kache-cli" doctor --verify --checksums 2>&1)
is $? 0 "stopped: which is sound"

# The job server's own troubles are not kept; what is only called so is.
trap_begin jobserver
echo 'fn main() { println!("1"); }' > "$W/src/main.rs"
trap_is miss jobserver "first"
trap_is hit jobserver "a crate of that name"
finish
