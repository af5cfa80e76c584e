# kache-observe.so under rustc, the C driver and linkers, and what the reader makes of their logs.
. "${srcdir:-.}/tests/lib/lib.sh"
so=$builddir/kache-observe.so
test -f "$so" || skip_all "the observer is not built here"
need rustc gcc
. "$srcdir/tests/lib/observe.sh"
# rustup's proxy is bypassed by kache too.
sysroot=$(rustc --print sysroot) || skip_all "rustc does not run"
rustc=$sysroot/bin/rustc

seen() { # seen COMMAND…   records, and leaves what the reader says in $T/rec
	observe "$@" || return
	"$builddir/tests/lib/observe-read" "$T/log" > "$T/rec"
}

mkdir "$T/crate" && cd "$T/crate" || exit 99
mkdir src tpl out; echo one > tpl/x.txt
cat > mac.rs <<'R'
extern crate proc_macro;
#[proc_macro]
pub fn look(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
	let text = std::fs::read_to_string("tpl/x.txt").unwrap();
	let n = std::fs::read_dir("tpl").unwrap().count();
	let v = std::env::var("SECRET_ENV").unwrap_or_default();
	let there = std::path::Path::new("tpl/later.txt").exists();
	let all = std::env::vars().filter(|(k, _)| k.contains("OBSERVE") || k == "LD_PRELOAD").count();
	format!("{:?}", (text, n, v, there, all)).parse().unwrap()
}
R
printf 'mod foo;\npub fn f() -> (&%sstatic str, usize, &%sstatic str, bool, usize) { mac::look!() }\n' "'" "'" > src/lib.rs
echo 'pub fn g() {}' > src/foo.rs
echo 'fn main() { println!("{:?}", dep::f()); }' > src/main.rs

seen "$rustc" --edition 2021 --crate-name mac --crate-type proc-macro mac.rs --out-dir out
is $? 0 "a procedural macro compiles"
has "read $PWD/mac.rs"
has "write $PWD/out/libmac.so"
hasnt "read $PWD/out/libmac.so" "an output is no input"
unlike "$(cat "$T/rec")" '^blind' "every program reported"

SECRET_ENV=s seen "$rustc" --edition 2021 --crate-name dep --crate-type lib src/lib.rs --out-dir out --extern mac=out/libmac.so
is $? 0 "a library that uses it compiles"
has "read $PWD/src/lib.rs"; has "read $PWD/src/foo.rs"
has "absent $PWD/src/foo/mod.rs" "a module file that would shadow"
has "read $PWD/tpl/x.txt" "a file read by the macro"
has "list $PWD/tpl" "a directory listed by the macro"
has "absent $PWD/tpl/later.txt" "a file missed by the macro"
has "env SECRET_ENV" "a variable read by the macro"
has "read $PWD/out/libmac.so" "the macro itself"
has "program $rustc"
unlike "$(cat "$T/rec")" '^(blind|network|exec)' "nothing else was started"
unlike "$(grep ^absent "$T/rec")" '/(rmeta|rustc)[A-Za-z0-9]{6}(/|$)' "nothing of its own temporary directories"

seen "$rustc" --edition 2021 --crate-name app src/main.rs --out-dir out --extern dep=out/libdep.rlib -L out -C linker=cc
is $? 0 "a program is linked"
is "$(./out/app)" '("one\n", 1, "s", false, 0)' "the macro saw the environment without the observer"
has "read $PWD/out/libdep.rlib"
matches '^read .*crt1\.o$' "start files of the C library"
matches '^read .*/libc\.so$' "the linker script of the C library"
matches '^read .*/libgcc_s\.so' "libgcc_s"
matches '^read .*/libstd-[0-9a-f]*\.rlib$' "the standard library"
matches '^search cc$' "the C driver was searched"
matches '^exec .*/cc$' "and found"
matches '^program .*/collect2$' "collect2"
matches '^program .*(ld|lld|ld\.(bfd|gold|lld))$' "the linker"
matches '^write .*/out/app$' "the program"
matches '^absent .*/libc\.(so|a)$' "vain look-ups of libraries"
unlike "$(cat "$T/rec")" '^blind' "every program reported"
unlike "$(grep -E '^(read|absent|present|list|link)' "$T/rec")" '/\.\.?(/|$)|//|/$|rustc[A-Za-z0-9]{6}(/|$)' "paths are tidy, and none is temporary"

for ld in bfd gold lld; do
	command -v ld.$ld > /dev/null 2>&1 || continue
	echo 'int main(void) { return 0; }' > c.c
	seen gcc -fuse-ld=$ld -o c c.c -lm; is $? 0 "gcc links with $ld"
	matches '^program .*/cc1$' "$ld: the compiler proper"
	matches '^program .*as$' "$ld: the assembler"
	matches "^program .*$ld\$" "$ld: the linker"
	matches '^read .*/libm\.so' "$ld: a library"
	matches '^read .*crt1\.o$' "$ld: start files"
	unlike "$(cat "$T/rec")" '^blind' "$ld: every program reported"
done
if command -v clang > /dev/null 2>&1; then
	echo '#include <stdio.h>' > h.c
	seen clang -c h.c -o h.o; is $? 0 "clang compiles"
	has "read /usr/include/stdio.h"
	unlike "$(cat "$T/rec")" '^blind' "clang: every program reported"
fi

# Programs that can't report.
echo 'int main(void) { return 0; }' > s.c
if gcc -static -o static s.c 2> /dev/null; then
	seen sh -c './static; :'; like "$(cat "$T/rec")" "^blind $PWD/static did not report" "a static program is noticed"
	printf '#!%s\n' "$PWD/static" > script; chmod +x script
	seen sh -c './script; :'; like "$(cat "$T/rec")" "^blind $PWD/script did not report" "also as an interpreter"
	PATH="$PWD:$PATH" seen sh -c 'exec static'; like "$(cat "$T/rec")" '^blind' "also along PATH"
	seen ./static; like "$(cat "$T/rec")" '^blind no program reported' "also alone"
fi
seen env -i /bin/sh -c '/bin/true; :'; is $? 0 "an empty environment"
unlike "$(cat "$T/rec")" '^blind' "does not shake the observer off"
matches '^program .*/true$' "nor for what is started then"
finish
