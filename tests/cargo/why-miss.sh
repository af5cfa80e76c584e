# kache why-miss: names the file, the dependency, the flag and the variable that made a real build miss.
. "$(dirname "$0")/../lib/lib.sh"
. "$(dirname "$0")/../lib/cargo.sh"
why() { "$builddir/kache-cli" why-miss "$@" 2>&1; }
json() { json_text=$1; shift; printf '%s\n' "$json_text" | "$builddir/tests/cli/json-get" "$@"; }
again() { rm -rf "$T/a/target"; kbuild "$T/a" build || show_log; }

make_workspace "$T/a"
again
out=$(why leaf); is $? 0 "a crate that is new"
like "$out" '^miss: new$' "is called new"
like "$out" 'the next time it hits' "and promised a hit"

sed -i.old 's/{ 1 }/{ 2 }/' "$T/a/leaf/src/lib.rs"
again
out=$(why leaf)
like "$out" '^miss: changed, file \{ws\}/leaf/src/lib.rs$' "an edited file"
like "$out" '^  file +\{ws\}/leaf/src/lib.rs$' "is shown"
out=$(why leaf --json)
is "$(json "$out" differences) $(json "$out" differences 0 what) $(json "$out" differences 0 name)" "1 file {ws}/leaf/src/lib.rs" "alone"
test "$(json "$out" differences 0 before)" != "$(json "$out" differences 0 after)"; ok $? "before and after differ"
like "$(why mid)" '^A dependency came out differently' "what uses it is told of the dependency"

# The nearest input set is not always the one before: only the word is new against the first build.
mv "$T/a/leaf/src/lib.rs.old" "$T/a/leaf/src/lib.rs"
printf 'hullo' > "$T/a/leaf/src/text.txt"
again
is "$(json "$(why leaf --json)" differences)" 1 "compared with the nearest stored inputs"
is "$(json "$(why leaf --json)" differences 0 name)" '{ws}/leaf/src/text.txt' "an included file"

export RUSTFLAGS='-C debuginfo=0'
again
out=$(why leaf)
like "$out" '^  component +-C debuginfo$' "a flag"
like "$out" '^Another profile, or other flags' "and what it is about"
unset RUSTFLAGS

MACRO_WORD=one; export MACRO_WORD
again
like "$(why app)" '^  variable +MACRO_WORD$' "a variable that a macro reads"

out=$(why nobody); is $? 1 "a crate without compiles"
like "$out" 'no compile of nobody ' "is said to be one"
finish
