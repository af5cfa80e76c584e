#!/bin/sh
# What is put in place before cargo asks (docs/internals/prefill.md) has to be what cargo would have got, and cargo has to find it
# fresh: in an empty target directory after each kind of change, in other checkouts, beside other builds, and after accidents.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
export KACHE_PREFILL=1 KACHE_DAEMON=off CARGO_INCREMENTAL=0 RUST_BACKTRACE=0
unset MACRO_WORD

# recorded: waits for the end of what records a command.
recorded() {
	for r_i in $(seq 200); do
		ls "$KACHE_CACHE_DIR"/plans/*.calls > /dev/null 2>&1 || return 0
		sleep 0.05
	done
	echo "# still recording"
	return 1
}
plans() { ls "$KACHE_CACHE_DIR/plans" 2> /dev/null | wc -l; }
# build DIR ARGS…: with an empty target directory, or as it is with keep=1; $fresh and $made say how many units cargo found and made.
keep=
build() {
	b_dir=$1; shift
	test -n "$keep" || rm -rf "${target:-$b_dir/target}"
	(cd "$b_dir" && RUSTC_WRAPPER=$KACHE cargo "$@" -v) > "$T/build.log" 2>&1
	b_status=$?
	fresh=$(grep -c '^ *Fresh ' "$T/build.log")
	made=$(grep -c '^ *Running `.*--crate-name' "$T/build.log")
	recorded
	return $b_status
}
# same DIR NAME: the program says what one of a build without kache says, and nothing is left to do. $ran: what it said.
same() {
	rm -rf "$T/plain"
	(cd "$1" && CARGO_TARGET_DIR="$T/plain" cargo build) > "$T/plain.log" 2>&1
	s_plain=$("$T/plain/debug/app")
	ran=$("${target:-$1/target}/debug/app")
	is "$ran" "$s_plain" "$2: says what it has to"
	(cd "$1" && RUSTC_WRAPPER=$KACHE cargo build -v) > "$T/again.log" 2>&1
	unlike "$(cat "$T/again.log")" '^ *(Compiling|Dirty) ' "$2: nothing is left to do"
	recorded
}

W=$T/w
make_workspace "$W"
# Constants of the package, which no compiler call names.
cat >> "$W/leaf/src/lib.rs" <<-'END'
	pub fn about() -> String { format!("{} {} {}", env!("CARGO_PKG_LICENSE"), env!("CARGO_PKG_README"), env!("CARGO_PKG_AUTHORS")) }
	pub fn other() -> &'static str { option_env!("LEAF_WORD").unwrap_or("none") }
END
sed -i 's/^pub use leaf::text;/pub use leaf::{text, about, other};/' "$W/mid/src/lib.rs"
sed -i 's/println!("{} {} {} {}", /println!("{} {} {} {} {} {}", mid::about(), mid::other(), /' "$W/app/src/main.rs"
sed -i 's/^\[package\]/[package]\nlicense = "MIT"\nauthors.workspace = true/' "$W/leaf/Cargo.toml"
# The same by way of a macro, of which cargo knows nothing.
cat >> "$W/mac/src/lib.rs" <<-'END'
	#[proc_macro]
	pub fn package(_: TokenStream) -> TokenStream {
	    let v = |n: &str| std::env::var(format!("CARGO_PKG_{n}")).unwrap_or_default();
	    format!("{:?}", format!("[{}|{}|{}]", v("DESCRIPTION"), v("README"), v("HOMEPAGE"))).parse().unwrap()
	}
END
echo 'mac = { path = "../mac" }' >> "$W/mid/Cargo.toml"
sed -i 's/^\[package\]/[package]\ndescription = "thing"\nhomepage.workspace = true/' "$W/mid/Cargo.toml"
echo 'pub fn package() -> &'"'"'static str { mac::package!() }' >> "$W/mid/src/inner.rs"
sed -i 's/^mod inner;/pub mod inner;/' "$W/mid/src/lib.rs"
sed -i 's/println!("/println!("{} /; s/mid::about(), /mid::inner::package(), mid::about(), /' "$W/app/src/main.rs"
printf '[workspace.package]\nauthors = ["a"]\nhomepage = "home"\n' >> "$W/Cargo.toml"
(cd "$W" && cargo generate-lockfile -q --offline)
find "$W" -type f -exec touch -d '1 hour ago' {} +

# ---- recorded, and put in place ----
build "$W" build
is "$b_status $fresh $made" "0 0 5" "the first build makes everything"
is "$(plans)" 1 "and leaves one plan"
build "$W" build
is "$b_status $fresh" "0 3" "the next finds all but what comes after the script's run"
is "$made" 1 "which alone is asked for"
unlike "$(cat "$T/build.log")" 'Compiling (leaf|mid|mac) ' "nothing else is compiled"
same "$W" "as before"
like "$(head -n 1 "$W/target/CACHEDIR.TAG")" 'Signature: 8a477f597d28d172789f06886806bc55' "the target directory has its tag"
is "$(find "$W/target" -name '*kache*')" "" "and nothing of ours"
ev=$(events)
build "$W" build
ev=$(events)
is "$(count '^hit lib (leaf|mid) ')" 2 "each unit counts as a hit"
is "$(count '^(miss|uncached|passthrough)')" 0 "and nothing else does"
target=$T/elsewhere
CARGO_TARGET_DIR=$target build "$W" build
is "$fresh $made" "3 1" "in another target directory too"
unset CARGO_TARGET_DIR
build "$W" build --target-dir "$target"
build "$W" build --target-dir "$target"
is "$fresh $made" "3 1" "and in one that an argument names"
target=
for c in "check" "test --no-run" "build --release" "build --target $(rustc -vV | sed -n 's/^host: //p')" "check --tests"; do
	build "$W" $c
	first=$made
	build "$W" $c
	test "$b_status" -eq 0 && test "$fresh" -ge 3 && test "$made" -lt "$first"
	ok $? "cargo $c: $fresh fresh, $made made"
done
if cargo clippy --version > "$T/clippy" 2>&1; then
	build "$W" clippy
	build "$W" clippy
	is "$b_status $fresh" "0 3" "cargo clippy"
fi
(cd "$W/leaf" && rm -rf ../target && RUSTC_WRAPPER=$KACHE cargo build -q) > /dev/null 2>&1; recorded
(cd "$W/leaf" && rm -rf ../target && RUSTC_WRAPPER=$KACHE cargo build -v) > "$T/build.log" 2>&1; recorded
is "$(grep -c '^ *Fresh' "$T/build.log")" 1 "from a member's directory"
n=$(plans)
(cd "$W" && rm -rf target && RUSTC_WRAPPER=$KACHE cargo metadata --format-version 1) > /dev/null 2>&1; recorded
is "$(plans)" "$n" "what compiles nothing is not recorded"

# ---- changes ----
# changed NAME: builds in an empty directory and compares, twice: the second time with the new plan, by which $found units are there.
found=3
changed() {
	build "$W" build
	same "$W" "$1"
	build "$W" build
	is "$b_status $fresh" "0 $found" "$1: found the next time"
	same "$W" "$1, the next time"
}
build "$W" build
make_leaf "$W" 5
cat >> "$W/leaf/src/lib.rs" <<-'END'
	pub fn about() -> String { format!("{} {} {}", env!("CARGO_PKG_LICENSE"), env!("CARGO_PKG_README"), env!("CARGO_PKG_AUTHORS")) }
	pub fn other() -> &'static str { option_env!("LEAF_WORD").unwrap_or("none") }
END
changed "a source"
like "$ran" ' 10 hello ' "it is the new source"
printf 'hallo' > "$W/leaf/src/text.txt"
changed "an included file"
touch -d '2 hours ago' "$W/leaf/src/text.txt"
printf 'HALLO' > "$W/leaf/src/text.txt"; touch -d '2 hours ago' "$W/leaf/src/text.txt"
changed "an included file with an old time"
sed -i 's/MIT/BSD/' "$W/leaf/Cargo.toml"
changed "a constant of the manifest"
like "$ran" '^\[thing\|\|home\] BSD ' "it is the new constant"
sed -i 's/"thing"/"other"/' "$W/mid/Cargo.toml"
changed "a constant of the manifest that a macro reads"
like "$ran" '^\[other\|\|home\] ' "it is the new constant"
echo words > "$W/leaf/README.md"
changed "a README that appears"
like "$ran" ' BSD README.md a ' "it is the new one"
echo words > "$W/mid/README"
changed "a README that a macro asks for"
like "$ran" '^\[other\|README\|home\] ' "it is the new one"
sed -i 's/"home"/"away"/' "$W/Cargo.toml"
changed "a constant of the workspace that a macro reads"
like "$ran" '^\[other\|README\|away\] ' "it is the new one"
sed -i 's/\["a"\]/["b"]/' "$W/Cargo.toml"
changed "a constant of the workspace"
like "$ran" '^\[other\|README\|away\] BSD README.md b ' "they are the new ones"
echo other > "$W/app/word.txt"
changed "what a macro reads"
echo 8 > "$W/app/number.txt"
changed "what the script reads"
like "$ran" ' 8$' "it is the new one"
export LEAF_WORD=one
changed "a variable"
export LEAF_WORD=two
changed "another value of it"
unset LEAF_WORD
changed "no value"
mkdir -p "$W/.cargo"
printf '[env]\nLEAF_WORD = "config"\n' > "$W/.cargo/config.toml"
changed "a variable in cargo's configuration"
printf '[env]\nLEAF_WORD = "again"\n' > "$W/.cargo/config.toml"
changed "another value there"
like "$ran" ' again ' "it is the new one"
printf '[build]\ntarget-dir = "out"\n' > "$W/.cargo/config.toml"
target=$W/out
changed "a target directory that cargo's configuration names"
target=
rm -r "$W/.cargo" "$W/out"
export RUSTFLAGS="--cfg=something"
changed "flags"
unset RUSTFLAGS
printf '[profile.dev]\nopt-level = 1\n' >> "$W/Cargo.toml"
changed "a profile"
printf 'pub mod inner;\npub fn twice() -> u32 { 3 * leaf::number() + inner::extra() }\npub use leaf::{text, about, other};\n' > "$W/mid/src/lib.rs"
changed "a crate in the middle"
mkdir "$W/mid/src/inner"; mv "$W/mid/src/inner.rs" "$W/mid/src/inner/mod.rs"
changed "a module's other place"
printf 'pub fn unused() { let x = 1; }\n' >> "$W/mid/src/lib.rs"
changed "a warning"
build "$W" build
like "$(cat "$T/build.log")" 'unused variable: `x`' "it is shown when its crate is found"

# Both states are stored, and cargo's record in the plan is of one of them: it lists other files than the other.
cp "$W/mid/src/inner/mod.rs" "$T/short.rs"
{ cat "$T/short.rs"; echo 'mod extra; pub fn more() -> u32 { extra::N }'; } > "$T/long.rs"
echo 'pub const N: u32 = 1;' > "$W/mid/src/inner/extra.rs"
sed 's/println!("/println!("{} /; s/mid::about(), /mid::inner::more(), mid::about(), /' "$W/app/src/main.rs" > "$T/more.rs"
cp "$W/app/src/main.rs" "$T/less.rs"
for state in long short; do
	cp "$T/$state.rs" "$W/mid/src/inner/mod.rs"; build "$W" build -p mid
	build "$W" build -p mid
	is "$fresh" 3 "the $state state of a crate"
done
cp "$T/long.rs" "$W/mid/src/inner/mod.rs"; touch -d '1 hour ago' "$W/mid/src/inner/mod.rs"
build "$W" build -p mid
echo 'pub const N: u32 = 2;' > "$W/mid/src/inner/extra.rs"
keep=1
build "$W" build -p mid
keep=
like "$(cat "$T/build.log")" 'Compiling mid ' "cargo knows the files of the state that is there"
cp "$T/more.rs" "$W/app/src/main.rs"
changed "the long state"
like "$ran" ' 2 BSD ' "it is the new one"
cp "$T/less.rs" "$W/app/src/main.rs"
cp "$T/short.rs" "$W/mid/src/inner/mod.rs"

# ---- what cannot be ----
cp "$W/mid/src/lib.rs" "$T/lib.rs"
echo 'pub fn broken( {' >> "$W/mid/src/lib.rs"
build "$W" build
is "$b_status" 101 "an error is one"
build "$W" build
is "$b_status" 101 "the next time, too"
cp "$T/lib.rs" "$W/mid/src/lib.rs"
changed "a repaired error"
mv "$W/app/tests/t.rs" "$T/t.rs"
build "$W" test --no-run
is "$b_status" 0 "a test that is gone"
unlike "$(ls "$W/target/debug/deps")" '^t-' "is not put in place"
mv "$T/t.rs" "$W/app/tests/t.rs"

# ---- other checkouts ----
build "$W" build
cp -a "$W" "$T/w2"; rm -rf "$T/w2/target"
build "$T/w2" build
is "$b_status $fresh $made" "0 3 1" "another checkout is served"
same "$T/w2" "another checkout"
unlike "$(strings -a "$T/w2/target/debug/.fingerprint"/*/* "$T/w2/target/debug/deps"/*.d)" "$W/" "it names nothing of the first"
sed -i 's/{ 5 }/{ 6 }/' "$T/w2/leaf/src/lib.rs"; touch -d '1 hour ago' "$T/w2/leaf/src/lib.rs"
build "$T/w2" build
same "$T/w2" "another state there, older than its outputs"
sed -i 's/{ 5 }/{ 9 }/' "$T/w2/leaf/src/lib.rs"
build "$W" build
same "$W" "the first is as it was"
# A name that leads to one checkout today and to another tomorrow.
ln -sfn "$W" "$T/cur"
aliased() { # DIR: built by that name
	rm -rf "$1/target"
	(cd / && RUSTC_WRAPPER=$KACHE cargo build -q --manifest-path "$T/cur/Cargo.toml") > "$T/build.log" 2>&1
	recorded
	same "$1" "by another name, $2"
}
aliased "$W" "first"
aliased "$W" "again"
ln -sfn "$T/w2" "$T/cur"
aliased "$T/w2" "led elsewhere"
(cd "$T/cur" && rm -rf target && RUSTC_WRAPPER=$KACHE cargo build -q) > /dev/null 2>&1; recorded
same "$T/w2" "from the directory that it leads to"

# ---- build scripts answered ----
export KACHE_BUILD_SCRIPTS=1
build "$W" build
build "$W" build
build "$W" build
is "$b_status $fresh" "0 4" "with scripts answered everything is found"
is "$(grep -c '^ *Running' "$T/build.log")" 0 "and nothing runs"
same "$W" "with scripts answered"
echo 9 > "$W/app/number.txt"
found=4
changed "what an answered script reads"
like "$ran" ' 9$' "it is the new one"
echo 'fn main() { let o = std::env::var("OUT_DIR").unwrap(); std::fs::write(o + "/gen.rs", "pub const GEN: u32 = 77;").unwrap(); println!("cargo:rerun-if-changed=number.txt"); }' > "$W/app/build.rs"
changed "an answered script"
like "$ran" ' 77$' "it is the new one"
# Cargo has to see what changes after such a build.
echo 'fn main() { let o = std::env::var("OUT_DIR").unwrap(); let n = std::fs::read_to_string("number.txt").unwrap(); std::fs::write(o + "/gen.rs", format!("pub const GEN: u32 = {};", n.trim())).unwrap(); println!("cargo:rerun-if-changed=number.txt"); }' > "$W/app/build.rs"
changed "a script that reads again"
echo 12 > "$W/app/number.txt"
keep=1
build "$W" build
keep=
same "$W" "a change after a build that was served"
like "$ran" ' 12$' "cargo has seen it"
unset KACHE_BUILD_SCRIPTS
found=3
build "$W" build
same "$W" "scripts no longer answered"

# ---- later changes in a directory that was served ----
build "$W" build
sed -i 's/{ 5 }/{ 7 }/' "$W/leaf/src/lib.rs"
keep=1
build "$W" build
keep=
same "$W" "a source, at once after a build that was served"
like "$ran" ' 21 ' "cargo has seen it"
# Written while it is being served: newer than cargo's record of the unit, however early.
build "$W" build
build "$W" build
late=$(find "$W/target/debug/.fingerprint" -name 'dep-*' -newermt "@$(awk "BEGIN { printf \"%.9f\", $(date +%s%N) / 1e9 }")" | wc -l)
is "$late" 0 "no record is from the future"
rlib=$(ls "$W"/target/debug/deps/libleaf-*.rmeta); dep=$(ls "$W"/target/debug/.fingerprint/leaf-*/dep-lib-leaf)
test "$dep" -ot "$rlib"; ok $? "a record is older than the outputs"

# ---- accidents ----
plan=$(ls -t "$KACHE_CACHE_DIR"/plans/* | head -n 1)
cp "$plan" "$T/plan"
for damage in "truncate -s 100" "truncate -s 0" "sed -i s/leaf/laef/g"; do
	cp "$T/plan" "$plan"; $damage "$plan"
	build "$W" build
	is "$b_status $fresh" "0 0" "a plan after $damage is none"
	same "$W" "after $damage"
	build "$W" build
	is "$fresh" 3 "and there is a new one"
done
find "$KACHE_CACHE_DIR/blobs" -type f | head -n 3 | xargs rm -f
build "$W" build
is "$b_status" 0 "without some blobs"
same "$W" "without some blobs"
rm -rf "$KACHE_CACHE_DIR/entries"/*
build "$W" build
is "$b_status $fresh" "0 0" "without entries nothing is put in place"
same "$W" "without entries"
build "$W" build
mkdir -p "$W/target/debug"
rm -rf "$W/target"; mkdir -p "$W/target/debug"
if command -v flock > /dev/null; then
	(cd "$W" && flock target/debug/.cargo-lock sleep 3) & holder=$!
	while flock -n "$W/target/debug/.cargo-lock" true; do sleep 0.05; done
	(cd "$W" && RUSTC_WRAPPER=$KACHE cargo build -v) > "$T/build.log" 2>&1 & builder=$!
	sleep 1
	is "$(ls "$W/target/debug/.fingerprint" 2> /dev/null | wc -l)" 0 "a directory that somebody builds in is left alone"
	wait $holder; wait $builder
	recorded
	same "$W" "beside another build"
fi
build "$W" build
rm -rf "$W/target"
(cd "$W" && RUSTC_WRAPPER=$KACHE cargo build -q) > "$T/log1" 2>&1 & one=$!
(cd "$W" && RUSTC_WRAPPER=$KACHE cargo check -q) > "$T/log2" 2>&1 & two=$!
wait $one; s1=$?
wait $two; is "$s1 $?" "0 0" "two commands at once"
recorded
same "$W" "two commands at once"
ro=$KACHE_CACHE_DIR/plans
rm -rf "$ro"; : > "$ro"
build "$W" build
is "$b_status $fresh" "0 0" "no place for plans"
same "$W" "no place for plans"
rm -f "$ro"
build "$W" build

# ---- switches ----
for off in KACHE_PREFILL=0 KACHE_DISABLED=1 KACHE_READONLY=1 KACHE_RECACHE=1; do
	rm -rf "$W/target"
	(cd "$W" && env $off RUSTC_WRAPPER="$KACHE" cargo build -v) > "$T/build.log" 2>&1
	is "$(grep -c '^ *Fresh ' "$T/build.log")" 0 "$off: nothing is put in place"
done
runs "kache purge" "$KACHE" purge
is "$(plans)" 0 "leaves no plan"
runs "kache doctor" "$KACHE" doctor
finish
