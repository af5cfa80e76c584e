#!/bin/sh
# Traps: checkouts that move, links in the way, odd names, target directories that share, and what others do to them.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
. "$srcdir/tests/lib/traps.sh"

message() { # a program that says where it panics, and warns
	trap_dependency dep 'pub fn place() -> &'"'"'static str { file!() }
pub fn fails() { let unused = 1; panic!("here"); }'
	cat > "$W/src/main.rs" <<-'EOF'
		fn main() {
		    println!("{} {}", file!(), dep::place());
		    let _ = std::panic::catch_unwind(|| dep::fails());
		}
	EOF
}

trap_begin moved
message
trap_is miss moved "first"
mkdir "$T/other place"; cp -r "$W" "$T/other place/"; trap_first=$W; W="$T/other place/t.moved"
unseen
trap_is hit dep "a copy elsewhere"
echo 'pub fn fails() {} pub fn place() -> u32 { 7 }' > "$W/dep/src/lib.rs"
trap_is miss dep "changed there"
W=$trap_first; unseen
trap_is hit dep "and not here"
mv "$W" "$T/there"; W=$T/there; unseen
trap_is hit moved "a checkout that was renamed"

trap_begin linked
message
trap_is miss linked "first"
mv "$W" "$T/real"; ln -s "$T/real" "$W"; unseen
trap_is any linked "a checkout behind a link"
rm "$W"; mkdir "$T/real2"; cp -r "$T/real/." "$T/real2/"; sed -i 's/here/there/' "$T/real2/dep/src/lib.rs"; ln -s "$T/real2" "$W"; unseen
trap_is miss dep "the link leads to another one"

trap_begin linked_target
echo 'fn main() { println!("1"); }' > "$W/src/main.rs"
trap_is miss linked_target "first"
rm -rf "$T/kache.kept"; mkdir -p "$T/disk"; ln -s "$T/disk" "$T/kache.kept"
trap_is hit linked_target "a target directory behind a link"
echo 'fn main() { println!("2"); }' > "$W/src/main.rs"
trap_is miss linked_target "and a change"

trap_begin long
trap_long=$(printf '%0100d' 0 | tr 0 d)
mkdir -p "$W/src/$trap_long/$trap_long"
printf '#[path = "%s/%s/m.rs"] mod m;\nfn main() { println!("{}", m::v()); }\n' "$trap_long" "$trap_long" > "$W/src/main.rs"
echo 'pub fn v() -> u32 { 1 }' > "$W/src/$trap_long/$trap_long/m.rs"
trap_is miss long "first"
trap_is hit long "a long path"
echo 'pub fn v() -> u32 { 2 }' > "$W/src/$trap_long/$trap_long/m.rs"
trap_is miss long "and a change there"

# cargo itself does not take these; rustc does.
trap_begin strange
trap_strange=$T/$(printf 'caf\351')
if mkdir "$trap_strange" 2> /dev/null; then
	for i in 1 2 1; do
		echo "fn main() { println!(\"$i\"); }" > "$trap_strange/m.rs"
		(cd "$trap_strange" && "$KACHE" rustc --crate-name m --crate-type bin --emit=dep-info,link --out-dir . m.rs) > "$T/log" 2>&1
		is "$("$trap_strange/m")" $i "strange: a path that is not UTF-8, $i"
		(cd "$trap_strange" && "$KACHE" rustc --crate-name m --crate-type bin --emit=dep-info,link --out-dir "$T" "$trap_strange/m.rs") > "$T/log" 2>&1
		is "$?" 1 "strange: the compiler's own error for one that it is told"
	done
fi

# Two target directories that have the same blobs.
trap_begin shared
trap_dependency dep 'pub fn v() -> u32 { 1 }'
echo 'fn main() { println!("{}", dep::v()); }' > "$W/src/main.rs"
trap_is miss shared "first"
cp -rl "$T/kache.clean" "$T/linked.copy"
chmod -R u+w "$T/kache.kept"
for f in "$T"/kache.kept/debug/deps/libdep-*.rlib "$T"/kache.kept/debug/shared; do strip --strip-debug "$f" 2> /dev/null || objcopy --strip-debug "$f"; done
trap_is hit shared "after the files of one were stripped"
"$KACHE" doctor --verify --checksums > "$T/doctor" 2>&1
ok $? "shared: and the store is sound"
echo 'pub fn v() -> u32 { 2 }' > "$W/dep/src/lib.rs"
(cd "$W" && CARGO_TARGET_DIR=$T/kache.kept cargo build) > "$T/log" 2>&1
is "$("$T/kache.kept/debug/shared")" 2 "shared: without the wrapper over restored files"
is "$("$T/linked.copy/debug/shared")" 1 "shared: a hard-linked copy of the directory stays as it was"
"$KACHE" doctor --verify --checksums > "$T/doctor" 2>&1
ok $? "shared: the store is sound"
trap_is miss dep "with it again"

# Both at once.
trap_begin at_once
trap_dependency dep 'pub fn v() -> u32 { 1 }'
echo 'fn main() { println!("{}", dep::v()); }' > "$W/src/main.rs"
for i in 1 2 3 4; do
	(cd "$W" && RUSTC_WRAPPER=$KACHE CARGO_TARGET_DIR=$T/once.$i cargo build > "$T/once.log.$i" 2>&1; "$T/once.$i/debug/at_once" > "$T/once.said.$i") &
	trap_jobs="${trap_jobs:-} $!"
done
wait $trap_jobs
is "$(cat "$T"/once.said.*)" "1
1
1
1" "at_once: four builds of one project at the same time"
trap_is hit dep "and what they left"

# Times.
trap_begin clocks
trap_dependency dep 'pub fn v() -> u32 { 30 }'
echo 'fn main() { println!("{}", dep::v()); }' > "$W/src/main.rs"
find "$W" -type f -exec touch -d '2035-05-05' {} +
trap_is any clocks "sources of the future"
find "$W" -type f -exec touch -d '1980-01-01' {} +
unseen; trap_is any clocks "sources of the past"
echo 'pub fn v() -> u32 { 31 }' > "$W/dep/src/lib.rs"; touch -d '1980-01-01' "$W/dep/src/lib.rs"
unseen; trap_is miss dep "an edit with the time of before"

# A tree that is not the last one: branches.
trap_begin branches
trap_dependency dep 'pub fn v() -> u32 { 40 }'
echo 'fn main() { println!("{}", dep::v()); }' > "$W/src/main.rs"
trap_is miss branches "first"
cp -r "$W" "$T/branch.a"; echo 'pub fn v() -> u32 { 41 }' > "$W/dep/src/lib.rs"; cp -r "$W" "$T/branch.b"
trap_is miss dep "another branch"
sleep 1; cp "$T/branch.a/dep/src/lib.rs" "$W/dep/src/lib.rs"
trap_is hit dep "and back"
sleep 1; cp "$T/branch.b/dep/src/lib.rs" "$W/dep/src/lib.rs"
trap_is hit dep "and forth"
finish
