#!/bin/sh
# Which files in target/ are one inode with their blobs, and that cargo finds them fresh: what was made from nothing young may be as old
# as a blob, and what comes after something young has to be young, too, which a blob can be in one place at a time.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
export KACHE_INCREMENTAL=never CARGO_INCREMENTAL=0

make_workspace "$T/w"
touch -d 2008-01-01 "$T/date"
linked() { # linked PATTERN…: how many files in target/ each one names that have a blob's inode
	find "$KACHE_CACHE_DIR/blobs" -type f -printf '%i\n' | sort > "$T/blobs"
	for linked_p in "$@"; do
		find "$T/w/target" -path '*/deps/*' -name "$linked_p" -printf '%i\n' | sort -u | join - "$T/blobs" | wc -l
	done | tr '\n' ' '
}
# build NAME PATTERN…: from an empty target directory, and then once more; the links after that in $links
build() {
	name=$1; shift
	rm -rf "$T/w/target"
	kbuild "$T/w" build -p app || show_log
	is "$kb_status" 0 "$name: it builds"
	links=$(linked "$@")
	kbuild "$T/w" build -p app
	is "$ev" "" "$name: and then nothing is to be done"
}

build cold libleaf-*.rlib libapp-*
build warm libleaf-*.rlib libleaf-*.rmeta libmid-*.rlib libmid-*.rmeta libmac-*.so
is "$(count '^(miss|uncached)')" 0 "warm: all hits"
is "$links" "1 1 1 1 1 " "libraries and macros are linked, where nothing young came before"
is "$(find "$T/w/target/debug/deps" -name 'app-*' -type f -perm -100 -links -3 | wc -l)" 1 "the program is the user's own"

# What a build script says is as young as its run.
printf 'fn main() { println!("cargo:rerun-if-changed=build.rs"); }\n' > "$T/w/leaf/build.rs"
echo 'build = "build.rs"' >> "$T/w/leaf/Cargo.toml"
build "a build script, cold" libleaf-*.rmeta
build "a build script" libleaf-*.rlib libleaf-*.rmeta libmid-*.rlib libmid-*.rmeta libmac-*.so
is "$links" "1 1 1 1 1 " "what comes after a build script is linked, too"
runs "but new" test "$(find "$T/w/target/debug/deps" -name 'libmid-*.rmeta')" -nt "$T/w/leaf/build.rs"
in_second() { export CARGO_TARGET_DIR="$T/second"; kbuild "$T/w" build -p app; unset CARGO_TARGET_DIR; }
in_second
is "$kb_status" 0 "in a second target directory"
is "$(find "$T/second/debug/deps" -name 'libmid-*.rmeta' -links 1 | wc -l)" 1 "it is a copy"
is "$(find "$T/second/debug/deps" -name 'libmid-*.rlib' -links +1 | wc -l)" 1 "but for what may be old"
kbuild "$T/w" build -p app
is "$ev" "" "the first one stays fresh"
rm -rf "$T/w/target"
for n in 1 2; do
	kbuild "$T/w" build -p app
	is "$(count '^(miss|uncached)')" 0 "made again, $n: all hits"
done
is "$ev" "" "and then nothing is to be done"
in_second
is "$ev" "" "nor in the second"
# Of two that link the same blobs at the same time one takes a copy.
stale=0
for n in 1 2 3 4 5; do
	rm -rf "$T/w/target" "$T/second"
	(cd "$T/w" && RUSTC_WRAPPER=$KACHE cargo build -q -p app) > "$T/log" 2>&1 &
	pid=$!
	in_second
	wait $pid || stale=1
	events > /dev/null
	kbuild "$T/w" build -p app
	test -z "$ev" || stale=1
	in_second
	test -z "$ev" || stale=1
done
is $stale 0 "two at once leave nothing to be done"
rm -rf "$T/second"

# Where cargo builds everything anew, and the script and what it declares are old, its run may be old as well.
touch -d 2006-07-24 "$T/w/leaf/build.rs"
build "an old script" libleaf-*.rmeta libmid-*.rmeta libmac-*.so
is "$links" "1 1 1 " "what comes after an old script is linked"
runs "and old" test "$(find "$T/w/target/debug/deps" -name 'libmid-*.rmeta')" -ot "$T/date"
in_second
is "$(find "$T/second/debug/deps" -name 'lib*.rmeta' -links -2 | wc -l)" 0 "so that a second target directory has no copy"
in_second
is "$ev" "" "and is fresh"
kbuild "$T/w" build -p app
is "$ev" "" "like the first"
touch "$T/w/leaf/build.rs"
kbuild "$T/w" build -p app -v
is "$(count '^(miss|uncached)')" 0 "the script touched: all hits"
like "$(cat "$T/build.log")" "Running .*build-script-build" "and it is run again"
runs "what comes after it is young" test "$(find "$T/w/target/debug/deps" -name 'libmid-*.rmeta')" -nt "$T/date"
kbuild "$T/w" build -p app
is "$ev" "" "after which nothing is to be done"
in_second
in_second
is "$ev" "" "nor in the second, after its turn"
# Not by another's word than cargo's, nor where something else was there before.
touch -d 2006-07-24 "$T/w/leaf/build.rs"
rm -rf "$T/second" "$T/w/target"
printf '#!/bin/sh\n"%s" "$@"\n' "$KACHE" > "$T/indirect"; chmod +x "$T/indirect"
(cd "$T/w" && RUSTC_WRAPPER=$T/indirect cargo build -q -p app)
runs "called by a script: young" test "$(find "$T/w/target/debug/deps" -name 'libmid-*.rmeta')" -nt "$T/date"
events > /dev/null
kbuild "$T/w" build -p app
is "$ev" "" "called by a script: fresh"
rm -rf "$T/w/target"
mkdir -p "$T/w/target/some-triple/debug/.fingerprint"
kbuild "$T/w" build -p app
runs "beside another target's directory: young" test "$(find "$T/w/target/debug/deps" -name 'libmid-*.rmeta')" -nt "$T/date"
KACHE_LINK=copy; export KACHE_LINK
rm -rf "$T/w/target"
kbuild "$T/w" build -p app
is "$(find "$T/w/target/debug/build" -name output ! -newer "$T/date" | wc -l)" 0 "where nothing is linked a run keeps its time"
unset KACHE_LINK

# What was just compiled is young.
sed -i '/^build/d' "$T/w/leaf/Cargo.toml"
rm "$T/w/leaf/build.rs"
build "without it again" libmid-*.rmeta
is "$links" "1 " "and then it is linked again"
make_leaf "$T/w" 2
kbuild "$T/w" build -p app
is "$(count '^(miss|hit) lib leaf')" 1 "an edit below"
kbuild "$T/w" build -p app
is "$ev" "" "leaves nothing to be done"
is "$("$T/w/target/debug/app")" "4 hello word 7" "and the program has it"
make_leaf "$T/w" 1
kbuild "$T/w" build -p app
is "$(count '^miss')" 0 "the edit taken back: all hits"
kbuild "$T/w" build -p app
is "$ev" "" "which leaves nothing to be done"
is "$("$T/w/target/debug/app")" "2 hello word 7" "and the program is the old one"

# A program that has the name of a build script is the user's all the same.
mkdir "$T/w/app/src/bin"
cp "$T/w/app/src/main.rs" "$T/w/app/src/bin/build-script-mine.rs"
kbuild "$T/w" build -p app
is "$(count '^miss bin build_script_mine')" 1 "a program like a build script"
rm -rf "$T/w/target"
kbuild "$T/w" build -p app
is "$(count '^hit bin build_script_mine')" 1 "a program like a build script: a hit"
is "$(linked 'build_script_mine-*')" "0 " "which is a copy"
rm -r "$T/w/app/src/bin"

# In a check cargo gives metadata another time, which it has noted before: that is no reason to read it.
need strace
kbuild "$T/w" check -p app
kbuild "$T/w" clean
kbuild "$T/w" check -p app
is "$(count '^hit [^ ]+ leaf')" 1 "check: hits"
is "$(linked libleaf-*.rmeta libmid-*.rmeta)" "1 1 " "check: metadata is linked"
kbuild "$T/w" check -p app
is "$ev" "" "check: fresh"
printf '#!/bin/sh\nexec strace -qq -e trace=open,openat -o "%s/traces/$$" "%s" "$@"\n' "$T" "$KACHE" > "$T/traced"
chmod +x "$T/traced"
opened() { # opened PATTERN CARGO-ARGUMENT…: how often calls open such files to read them, in $opens; $ev
	opened_p=$1; shift
	rm -rf "$T/traces"; mkdir "$T/traces"
	(cd "$T/w" && RUSTC_WRAPPER=$T/traced cargo "$@") > "$T/build.log" 2>&1 || show_log
	ev=$(events)
	opens=$(cat "$T/traces"/* | grep -v O_WRONLY | grep -Ec "$opened_p")
}
metadata='\.rmeta"|/blobs/../[0-9a-f]+"'
kbuild "$T/w" clean
opened "$metadata" check -p app
is "$opens" 1 "check: no hit reads metadata, but to copy the user's own"
victim=$(find "$T/w/target/debug/deps" -name 'libmid-*.rmeta' -links +1)
printf X >> "$victim"
kbuild "$T/w" clean
opened "$metadata" check -p app
runs "check: but what was written to is read" test "$opens" -gt 1
is "$(cd "$T/w" && cargo check -q -p app 2>&1)" "" "check: and not handed out"
runs "every blob is what it was" "$builddir/kache-cli" doctor --verify --checksums

# Libraries that were asked for get a second name from cargo once they are there. That is no reason to read them, either.
libraries='/target/debug/deps/lib[a-z]+-[0-9a-f]+\.(rlib|so)"'
kbuild "$T/w" clean
kbuild "$T/w" build
kbuild "$T/w" clean
opened "$libraries" build
is "$opens" 0 "workspace: no hit reads a library"
is "$(count '^(miss|uncached)') $(count '^hit')" "0 5" "workspace: all hits"
is "$(find "$T/w/target/debug" -maxdepth 1 -name 'lib*.rlib' -links +1 | wc -l)" 2 "workspace: which have their second names"
victim=$(find "$T/w/target/debug/deps" -name 'libleaf-*.rlib')
cp "$victim" "$T/leaf.rlib"
cat "$T/leaf.rlib" > "$victim"
touch "$T/w/app/src/main.rs"
opened "$libraries" build
runs "workspace: but what was written to is read" test "$opens" -gt 0
kbuild "$T/w" clean
printf '// more\n' >> "$T/w/leaf/src/lib.rs"
opened '\.rlib"' build
is "$opens" 2 "workspace: what is compiled is read once, to be stored"
is "$(count '^miss lib')" 2 "workspace: which were two"

KACHE_LINK=copy
export KACHE_LINK
build "cache.link = copy" libleaf-*.rlib libleaf-*.rmeta libmac-*.so
is "$links" "0 0 0 " "nothing is linked then"
finish
