#!/bin/sh
# What became of crates that are being edited is there again when their sources come back, with a branch of git or else, and only where
# it is what the compiler would make.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
need git
export CARGO_INCREMENTAL=1

W=$T/w
make_workspace "$W"
printf 'target\n' > "$W/.gitignore"
export GIT_CONFIG_GLOBAL="$T/gitconfig" GIT_CONFIG_NOSYSTEM=1
printf '[user]\n\tname = t\n\temail = t@example.com\n[init]\n\tdefaultBranch = main\n' > "$GIT_CONFIG_GLOBAL"
app="$W/target/debug/app"
to() { git -C "$W" switch -q "$@"; }
entries() { "$KACHE" list --json | grep -o "\"kind\":\"$1\"" | wc -l; }
edited() { entries edited; }
save() { git -C "$W" commit -qam more; }
# said TEXT NAME: builds, and the program says that.
said() {
	kbuild "$W" build || show_log
	is "$("$app" 2>&1)" "$1" "$2"
}
hits() { is "$(count '^hit')" "$1" "$2"; }

(cd "$W" && cargo generate-lockfile --offline && git init -q . && git add . && git commit -qm 1) > "$T/git" 2>&1
ok $? "a repository"
said "2 hello word 7" "the first branch"
is "$(count '^miss')" 5 "is stored"
to -c feature
make_leaf "$W" 2
printf 'mod inner;\npub fn twice() -> u32 { let two = 2; 2 * leaf::number() + inner::extra() }\npub use leaf::text;\n' > "$W/mid/src/lib.rs"
said "4 hello word 7" "edited on another one"
is "$(count '^passthrough (lib|bin) [a-z]+ incremental')" 3 "with the compiler's own state"
make_leaf "$W" 3
said "6 hello word 7" "and again"
is "$(count '^passthrough (lib|bin) [a-z]+ incremental')" 3 "the same"
is "$(edited)" 0 "nothing of it is stored while the branch stays"
git -C "$W" commit -qam 2
to main
said "2 hello word 7" "back on the first branch"
hits 3 "all is there"
is "$(edited)" 3 "and what was left is stored"
to feature
said "6 hello word 7" "on the other one"
hits 3 "all is there, too"
like "$(cat "$T/build.log")" 'unused variable: `two`' "with what the compiler said"
kbuild "$W" build
is "$ev" "" "and cargo finds it fresh"
for n in 1 2; do
	to main
	said "2 hello word 7" "to and fro"
	hits 3 "to and fro: all is there"
	to feature
	said "6 hello word 7" "to and fro"
	hits 3 "to and fro: all is there"
done
is "$(edited)" 3 "and nothing is stored again"
make_leaf "$W" 20
said "40 hello word 7" "edited, not committed"
git -C "$W" stash -q
said "6 hello word 7" "stashed"
hits 3 "what was committed is there"
git -C "$W" stash pop -q
said "40 hello word 7" "and taken out again"
hits 3 "what was stashed, too"
git -C "$W" checkout -q .
said "6 hello word 7" "undone"
make_leaf "$W" 21
said "42 hello word 7" "edited"
git -C "$W" stash -q
to main
to feature
git -C "$W" stash pop -q
touch "$W/mid/src/lib.rs"
said "42 hello word 7" "all of it written anew, as it was"
hits 3 "nothing is compiled"
kbuild "$W" build
is "$ev" "" "and cargo finds it fresh"
echo 'pub fn wrong() -> u32 { "" }' >> "$W/leaf/src/lib.rs"
kbuild "$W" build
ok $((!$?)) "an edit that does not compile"
git -C "$W" checkout -q .
said "6 hello word 7" "is undone"
make_leaf "$W" 21
said "42 hello word 7" "the one before it"
hits 3 "is there"
git -C "$W" checkout -q .

# What can't be kept.
make_leaf "$W" 4
said "8 hello word 7" "another edit"
save
printf 'x' >> "$app"		# one file with what is noted
to main
said "2 hello word 7" "while a product was written to"
to feature
said "8 hello word 7" "what was written to is not handed out"
is "$(count '^hit lib') $(count '^hit bin') $(count '^passthrough bin app')" "2 0 1" "it alone is compiled"
to main
said "2 hello word 7" "away"
MACRO_WORD=s
export MACRO_WORD
to feature
said "8 hello words 7" "another variable"
is "$(count '^hit lib') $(count '^hit bin')" "2 0" "counts"
unset MACRO_WORD
printf '8' > "$W/app/number.txt"
said "8 hello word 8" "another answer of the build script"
save
to main
said "2 hello word 7" "away"
to feature
printf '9' > "$W/app/number.txt"
said "8 hello word 9" "and another one"
is "$(count '^hit lib') $(count '^hit bin')" "2 0" "counts"
printf '8' > "$W/app/number.txt"
said "8 hello word 8" "the one of before"
hits 1 "is there"
make_leaf "$W" 5
said "10 hello word 8" "one more edit"
save
notes=0
for file in "$W"/target/debug/incremental/kache-*/made; do
	printf 'x' | dd of="$file" bs=1 seek=60 conv=notrunc 2> "$T/dd"
	notes=$((notes + 1))
done
is "$notes" 3 "notes"
before=$(edited)
to main
said "2 hello word 7" "which are damaged"
to feature
said "10 hello word 8" "it is built"
is "$(edited)" "$before" "and nothing was stored"
hits 0 "so nothing is there"

# Neither branch nor commit, and another state.
to --detach
make_leaf "$W" 6
said "12 hello word 8" "no branch"
make_leaf "$W" 5
said "10 hello word 8" "as before"
hits 3 "from the store"
make_leaf "$W" 7
said "14 hello word 8" "edited"
rm -rf "$W/target"
make_leaf "$W" 5
said "10 hello word 8" "in a new target directory"
is "$(count '^hit (lib|bin) (leaf|mid|app)')" 0 "nothing that was made with state"
is "$(count '^miss')" 3 "but what is stored as it should be"

# Where kache may not write.
make_leaf "$W" 8
said "16 hello word 8" "edited"
make_leaf "$W" 9
to -c fourth
KACHE_READONLY=1 said "18 hello word 8" "with a store that may not be written to"
to -c fifth
make_leaf "$W" 10
said "20 hello word 8" "and one that may"

# The other things that cargo makes of it.
for what in check "test --no-run"; do
	rm -rf "$W/target"
	make_leaf "$W" 1
	kbuild "$W" $what
	make_leaf "$W" 2
	to -c "one-${what%% *}"
	kbuild "$W" $what
	is "$(count '^hit')" 0 "$what: edited"
	n=$(count 'passthrough .* incremental')
	make_leaf "$W" 3
	to -c "two-${what%% *}"
	kbuild "$W" $what
	make_leaf "$W" 2
	kbuild "$W" $what
	is "$(count '^hit')" "$n" "$what: there again"
	test "$n" -ge 3
	ok $? "$what: for all of it ($n)"
	kbuild "$W" $what
	is "$ev" "" "$what: fresh"
done

# A second working tree, whose .git is a file.
git -C "$W" stash -q
git -C "$W" worktree add -q "$T/w2" -b tree
W=$T/w2 app=$T/w2/target/debug/app
said "10 hello word 8" "a second working tree"
make_leaf "$W" 11
said "22 hello word 8" "edited"
to -c tree2
make_leaf "$W" 12
said "24 hello word 8" "on two branches"
make_leaf "$W" 11
said "22 hello word 8" "and back"
hits 3 "from the store"

# Without git.
rm "$W/.git"
make_leaf "$W" 13
said "26 hello word 8" "without git"
is "$(count '^passthrough (lib|bin) [a-z]+ incremental')" 3 "the compiler's own state serves"
make_leaf "$W" 11
said "22 hello word 8" "undone"
hits 3 "what was there is there"
make_leaf "$W" 13
said "26 hello word 8" "and done again"
hits 3 "what was undone, too"

# None of it leaves the machine.
test "$(edited)" -gt 0
ok $? "there is some"
if test -f "$builddir/backends/fs/.libs/kache-fs.so"; then
	url="file://$T/shared"
	(cd "$W" && "$KACHE" sync --push --backend "$url") > "$T/sync" 2>&1
	ok $? "a sync"
	(cd "$W" && "$KACHE" sync --push --all --backend "$url") > "$T/sync" 2>&1
	ok $? "and one of all that there is"
	rm -rf "$KACHE_CACHE_DIR" "$T/events.seen"
	(cd "$W" && "$KACHE" sync --pull --all --backend "$url") > "$T/sync" 2>&1
	ok $? "and back"
	is "$(edited)" 0 "brings nothing that was made with state"
	test "$(entries lib)" -gt 3
	ok $? "but the rest"
else
	echo "# the fs backend was left out of this build"
fi
finish
