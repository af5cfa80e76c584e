#!/bin/sh
# Traps: files that the compiler reads, and files that it does not find yet.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
. "$srcdir/tests/lib/traps.sh"

# A cache that lies is found out.
trap_begin liar
echo 'fn main() { println!("one"); }' > "$W/src/main.rs"
cat > "$T/lies" <<'EOF'
#!/bin/sh
out=$(printf '%s\n' "$@" | sed -n '/^--out-dir$/{n;p;}')
case " $* " in *" --crate-name liar "*) ;; *) exec "$@" ;; esac
test -d "${0%/*}/kept.lies" && exec cp "${0%/*}/kept.lies/." "$out" -r
"$@" && mkdir "${0%/*}/kept.lies" && cp "$out"/liar-* "${0%/*}/kept.lies"
EOF
chmod +x "$T/lies"
out=$(KACHE=$T/lies trap_is any liar "first"); like "$out" '^ok' "liar: the truth at first"
echo 'fn main() { println!("two"); }' > "$W/src/main.rs"
out=$(KACHE=$T/lies trap_is any liar "second"); like "$out" 'wrong: differs-kept differs-clean' "liar: and is found out then"
rm -f "$T/events.seen"

trap_begin included
echo 'fn main() { println!("{} {}", include_str!("inc.txt"), include_bytes!("inc.bin").len()); }' > "$W/src/main.rs"
printf one > "$W/src/inc.txt"; printf 1 > "$W/src/inc.bin"
trap_is miss included "first"
trap_is hit included "again"
touch -r "$W/src/inc.txt" "$T/stamp"; printf two > "$W/src/inc.txt"; touch -r "$T/stamp" "$W/src/inc.txt"
trap_is any included "same size, time put back: as cargo sees it"
unseen; trap_is any included "the same in an empty directory"
printf 12 > "$W/src/inc.bin"
trap_is miss included "another file of it"
printf 1 > "$W/src/inc.bin"
trap_is hit included "and back"

trap_begin macro_include
echo 'macro_rules! inc { ($x:literal) => { include_str!($x) } } fn main() { println!("{}", inc!("deep.txt")); }' > "$W/src/main.rs"
printf a > "$W/src/deep.txt"
trap_is miss macro_include "first"
printf b > "$W/src/deep.txt"
trap_is miss macro_include "a file included by a macro"

trap_begin code
printf 'include!("part.rs");\nfn main() { println!("{}", part()); }\n' > "$W/src/main.rs"
echo 'fn part() -> u32 { 1 }' > "$W/src/part.rs"
trap_is miss code "first"
echo 'fn part() -> u32 { 2 }' > "$W/src/part.rs"
trap_is miss code "included code"

trap_begin docs
printf '#![deny(missing_docs)]\n#![doc = include_str!("../R.md")]\n' > "$W/src/lib.rs"
echo 'fn main() {}' > "$W/src/main.rs"
echo text > "$W/R.md"
trap_is miss docs "first"
rm "$W/R.md"
trap_is miss docs "documentation that is gone"
echo text > "$W/R.md"
trap_is hit docs "and there again"

trap_begin paths
printf '#[path = "elsewhere.rs"] mod m;\nfn main() { println!("{}", m::v()); }\n' > "$W/src/main.rs"
echo 'pub fn v() -> u32 { 1 }' > "$W/src/elsewhere.rs"
trap_is miss paths "first"
echo 'pub fn v() -> u32 { 2 }' > "$W/other.rs"
ln -sf ../other.rs "$W/src/elsewhere.rs"
trap_is miss paths "a file that became a link to another one"
echo 'pub fn v() -> u32 { 3 }' > "$W/other.rs"
trap_is miss paths "what the link leads to"

trap_begin climbs
printf '#[path = "../sub/../inc/m.rs"] mod m;\nfn main() { println!("{}", m::v()); }\n' > "$W/src/main.rs"
mkdir -p "$W/a/deep" "$W/a/inc" "$W/b/deep" "$W/b/inc"
echo 'pub fn v() -> u32 { 1 }' > "$W/a/inc/m.rs"
echo 'pub fn v() -> u32 { 2 }' > "$W/b/inc/m.rs"
ln -s a/deep "$W/sub"
trap_is any climbs "through a link and up again"
trap_is any climbs "again"
ln -sfn b/deep "$W/sub"
unseen	# cargo looks for another file than rustc reads
trap_is any climbs "the link leads elsewhere"

trap_begin shadow
printf 'mod foo;\nfn main() { println!("{}", foo::v()); }\n' > "$W/src/main.rs"
echo 'pub fn v() -> u32 { 1 }' > "$W/src/foo.rs"
trap_is miss shadow "first"
mkdir "$W/src/foo"; echo 'pub fn v() -> u32 { 2 }' > "$W/src/foo/mod.rs"
trap_is any shadow "a second file for a module, as cargo sees it"
unseen; trap_is miss shadow "is an error, not a hit"
rm "$W/src/foo.rs"
trap_is miss shadow "and takes its place"

# Projects that lie where temporary files do, and have names like those, or a name of cargo's home.
for name in ccache rustcproject cc12ab34 registry; do
	trap_begin "$name"
	mv "$W" "$T/$name"; W=$T/$name
	trap_env="TMPDIR=$T"
	printf 'mod foo;\nfn main() { println!("{}", foo::v()); }\n' > "$W/src/main.rs"
	echo 'pub fn v() -> u32 { 1 }' > "$W/src/foo.rs"
	trap_is miss $name "first"
	mkdir "$W/src/foo"; echo 'pub fn v() -> u32 { 2 }' > "$W/src/foo/mod.rs"
	unseen; trap_is miss $name "a second file for a module is an error, not a hit"
done

# And one that lies in memory, below a directory of devices.
if mem=$(mktemp -d /dev/shm/kache-test.XXXXXX 2> /dev/null); then
	trap_begin in_memory
	mv "$W" "$mem/"; W=$mem/$(basename "$W")
	trap_dependency mac '#[proc_macro] pub fn m(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
	format!("{:?}", std::fs::read_to_string("tpl.txt").unwrap()).parse().unwrap() }' '[lib]
proc-macro = true'
	printf 'mod foo;\nfn main() { println!("{} {}", foo::v(), mac::m!()); }\n' > "$W/src/main.rs"
	echo 'pub fn v() -> u32 { 1 }' > "$W/src/foo.rs"
	echo one > "$W/tpl.txt"
	trap_is miss in_memory "first"
	echo two > "$W/tpl.txt"; unseen
	trap_is miss in_memory "what a macro reads has changed"
	mkdir "$W/src/foo"; echo 'pub fn v() -> u32 { 2 }' > "$W/src/foo/mod.rs"
	unseen
	trap_is miss in_memory "a second file for a module is an error, not a hit"
	rm -rf "$mem"
fi

trap_begin empty_module
printf 'mod foo { pub mod bar; }\nfn main() { println!("{}", foo::bar::v()); }\n' > "$W/src/main.rs"
mkdir "$W/src/foo"; echo 'pub fn v() -> u32 { 1 }' > "$W/src/foo/bar.rs"
trap_is miss empty_module "first"
mkdir "$W/src/foo/bar"; mv "$W/src/foo/bar.rs" "$W/src/foo/bar/mod.rs"
trap_is any empty_module "a module's file that moved"

trap_begin quick
echo 'fn main() { println!("one"); }' > "$W/src/main.rs"
trap_is miss quick "first"
echo 'fn main() { println!("two"); }' > "$W/src/main.rs"; touch -d '2030-01-01' "$W/src/main.rs"
trap_is miss quick "an edit with a time in the future"
echo 'fn main() { println!("six"); }' > "$W/src/main.rs"; touch -d '2030-01-01' "$W/src/main.rs"
unseen; trap_is miss quick "another one with the same time and size"

trap_begin twins
trap_dependency a 'pub fn v() -> u32 { 1 }'
trap_dependency b 'pub fn v() -> u32 { 1 }'
echo 'fn main() { println!("{} {}", a::v(), b::v()); }' > "$W/src/main.rs"
trap_is miss twins "first"
echo 'pub fn v() -> u32 { 2 }' > "$W/b/src/lib.rs"
trap_is miss twins "one of two crates that were the same"
trap_is hit a "the other one stays"

trap_begin odd_names
mkdir "$W/src/a b"
printf '#[path = "a b/c: d.rs"] mod m;\nfn main() { println!("{} {}", m::v(), include_str!("a b/e#f.txt")); }\n' > "$W/src/main.rs"
echo 'pub fn v() -> u32 { 1 }' > "$W/src/a b/c: d.rs"; printf x > "$W/src/a b/e#f.txt"
trap_is miss odd_names "first"
trap_is hit odd_names "blanks and colons in names"
printf y > "$W/src/a b/e#f.txt"
trap_is miss odd_names "one of them changed"

trap_begin comment
trap_dependency b 'pub fn v() -> u32 { line!() }'
trap_dependency a 'pub fn v() -> u32 { b::v() }' '[dependencies]
b = { path = "../b" }'
echo 'fn main() { println!("{} {}", a::v(), std::panic::catch_unwind(|| b::v()).unwrap()); }' > "$W/src/main.rs"
trap_is miss comment "first"
echo '// more' >> "$W/b/src/lib.rs"
trap_is miss b "a comment below, which leaves the crate's hash as it is"
printf '// above\n%s\n' "$(cat "$W/b/src/lib.rs")" > "$W/b/src/lib.rs"
trap_is miss b "a comment above, which moves the lines"

# Files that change while the compiler runs: what it has read is no longer what is there when it ends.
mkdir "$T/edited" && cd "$T/edited" || exit 99
echo 'extern crate proc_macro; #[proc_macro] pub fn wait(_: proc_macro::TokenStream) -> proc_macro::TokenStream { std::thread::sleep(std::time::Duration::from_millis(1500)); Default::default() }' > p.rs
rustc --crate-name p --crate-type proc-macro --out-dir . p.rs
slow() { "$KACHE" rustc --crate-name e --crate-type bin --emit=dep-info,link --out-dir . -C prefer-dynamic --extern p=libp.so e.rs > log 2>&1; }
# edited TEXT FILE COMMAND: COMMAND edits FILE in the middle of a compile; the next one must give what it has become
edited() {
	printf 'p::wait!();\nmod m;\nfn main() { println!("{} {}", m::V, include_str!("t.txt")); }\n' > e.rs
	printf 'pub const V: u32 = 1;\n' > m.rs
	printf 1 > t.txt
	touch -d '2 days ago' e.rs m.rs t.txt
	rm -rf "$KACHE_CACHE_DIR"
	slow &
	sleep 0.6
	eval "$3"
	wait $!
	slow
	rustc --crate-name e --crate-type bin --out-dir plain -C prefer-dynamic --extern p=libp.so e.rs > log 2>&1
	is "$(LD_LIBRARY_PATH=$(rustc --print target-libdir) ./e)" "$(LD_LIBRARY_PATH=$(rustc --print target-libdir) ./plain/e)" "edited: $1"
}
mkdir -p plain
edited "a module" m.rs 'printf "pub const V: u32 = 2;\n" > m.rs'
edited "a module, and its time set back" m.rs 'touch -r m.rs ref; printf "pub const V: u32 = 3;\n" > m.rs; touch -r ref m.rs'
edited "a module, which another file takes the place of" m.rs 'printf "pub const V: u32 = 4;\n" > new; touch -r m.rs new; mv new m.rs'
edited "an included text" t.txt 'printf 5 > t.txt'
edited "the root" e.rs 'sed -i "s/{} {}/{}-{}/" e.rs'
edited "a module that gets a directory beside it" m.rs 'mkdir -p m; echo "pub const V: u32 = 6;" > m/mod.rs; rm m.rs'
rm -rf m
edited "a module that comes and goes" m.rs 'cp -p m.rs was; printf "pub const V: u32 = 7;\n" > m.rs; sleep 0.1; cp -p was m.rs'

finish
