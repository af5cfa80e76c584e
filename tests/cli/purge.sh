# kache purge: one crate or all, and nothing that is not a store.
. "$(dirname "$0")/../lib/lib.sh"

mkstore=$builddir/tests/cli/mkstore
purge() { "$builddir/kache-cli" purge "$@" 2>&1; }
count() { find "$KACHE_CACHE_DIR/$1" -type f | wc -l; }

for n in 1 2 3; do "$mkstore" "$KACHE_CACHE_DIR" my_crate $n > /dev/null; done
"$mkstore" "$KACHE_CACHE_DIR" other 4 > /dev/null
is "$(count entries)" 4 "four entries"
out=$(purge --crate-name my-crate); is $? 0 "one crate, written with a dash"
like "$out" '^removed 3 entries' "its entries go"
is "$(count entries) $(count manifests)" "1 1" "the others stay"
blobs=$(count blobs)
test "$blobs" -gt 0; ok $? "with their blobs"
out=$(purge --crate-name my_crate --json); is $? 0 "once more"
like "$out" '"entries_removed":0,.*"entries_left":1' "nothing is left of it"

printf '{"result":"hit"}\n' > "$KACHE_CACHE_DIR/events/current.jsonl"
"$builddir/kache-cli" stats > /dev/null
mkdir -p "$KACHE_CACHE_DIR/compilers"; echo memo > "$KACHE_CACHE_DIR/compilers/0"
echo mine > "$KACHE_CACHE_DIR/mine"
mkdir "$T/outside"; echo precious > "$T/outside/0"
ln -s "$T/outside" "$KACHE_CACHE_DIR/entries/zz"; ln -s "$T/outside/0" "$KACHE_CACHE_DIR/events/x.jsonl"
out=$(purge); is $? 0 "all"
like "$out" '; 0 entries, 0 B left$' "nothing is left"
is "$(count entries) $(count manifests) $(count blobs)" "0 0 0" "of anything"
is "$(find "$KACHE_CACHE_DIR" -name 'index.db*' | wc -l)" 0 "nor of the index"
test ! -e "$KACHE_CACHE_DIR/events/current.jsonl"; ok $? "nor of the events"
test ! -e "$KACHE_CACHE_DIR/compilers/0"; ok $? "nor of what is known of compilers"
is "$(cat "$T/outside/0")" precious "symlinks are not followed"
is "$(cat "$KACHE_CACHE_DIR/mine")" mine "foreign files stay"
"$mkstore" "$KACHE_CACHE_DIR" again 9 > /dev/null; ok $? "the store goes on"

mkdir -p "$T/home/entries/aa"; echo letter > "$T/home/entries/aa/letter"
out=$(KACHE_CACHE_DIR=$T/home purge); is $? 1 "a directory that is no store"
like "$out" '^kache: no cache at ' "is refused"
is "$(cat "$T/home/entries/aa/letter")" letter "and left alone"

for args in --all extra '--crate-name'; do
	# shellcheck disable=SC2086
	out=$(purge $args); is $? 2 "$args: usage"
done
finish
