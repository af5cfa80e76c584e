# kache gc: removes what was not used for longest, tells the same beforehand, and knows its options.
. "$(dirname "$0")/../lib/lib.sh"

mkstore=$builddir/tests/cli/mkstore
gc() { "$builddir/kache-cli" gc "$@" 2>&1; }
entries() { find "$KACHE_CACHE_DIR/entries" -type f | wc -l; }
member() { printf '%s\n' "$1" | sed -n "s/.*\"$2\":\([0-9a-z]*\).*/\1/p"; }
age() { # age KEY TIME; the index has the time at which it met the entry
	find "$KACHE_CACHE_DIR/entries" -name "$1" -exec touch -d "$2" {} +
	rm -f "$KACHE_CACHE_DIR"/index.db*
}

out=$(gc); is $? 1 "no store yet: exit 1"
like "$out" "^kache: no cache at $KACHE_CACHE_DIR yet$" "and it says so"

old=$("$mkstore" "$KACHE_CACHE_DIR" alpha 1); mid=$("$mkstore" "$KACHE_CACHE_DIR" beta 2); new=$("$mkstore" "$KACHE_CACHE_DIR" gamma 3)
age "$old" '10 days ago'; age "$mid" '2 days ago'
is "$(entries)" 3 "three entries"
out=$(gc); is $? 0 "below the bounds"
like "$out" '^removed 0 entries, 0 blobs, 0 manifests \(0 B\); 3 entries, .* left$' "nothing goes"

out=$(gc --max-age 7d --dry-run); is $? 0 "dry run"
like "$out" '^would remove 1 entries' "tells"
is "$(entries)" 3 "and does nothing"
out=$(gc --max-age 7d --json); is $? 0 "by age"
is "$(member "$out" entries_removed) $(member "$out" entries_left) $(member "$out" dry_run)" "1 2 false" "what is too old goes"
test ! -e "$KACHE_CACHE_DIR/entries/$(printf %.2s "$old")/$old"; ok $? "the oldest"

# A hit makes an old entry young.
printf '{"result":"hit","key":"%s","time_ms":%s000}\n' "$mid" "$(date +%s)" >> "$KACHE_CACHE_DIR/events/current.jsonl"
out=$(gc --max-age 24h --json)
is "$(member "$out" entries_removed)" 0 "an entry that was used is kept"
out=$(gc --max-size 1 --json); is $? 0 "by size"
is "$(entries)" 2 "what was used or made just now is kept whatever the size"
age "$new" '1 hour ago'
KACHE_MAX_SIZE=1 gc > /dev/null
is "$(entries)" 1 "the configured size counts"
test -e "$KACHE_CACHE_DIR/entries/$(printf %.2s "$mid")/$mid"; ok $? "the least recently used went"

for args in --what '--max-age' '--max-age 7x' '--max-age 0s' '--max-size 0' '--max-size -1' 'extra'; do
	# shellcheck disable=SC2086
	out=$(gc $args); is $? 2 "$args: usage"
	like "$out" '^kache gc: .*kache gc --help' "  and one line"
done

# Entries can't be listed: no blob goes.
blobs=$(find "$KACHE_CACHE_DIR/blobs" -type f | wc -l)
mv "$KACHE_CACHE_DIR/entries" "$T/away"; : > "$KACHE_CACHE_DIR/entries"
out=$(gc --full); is $? 1 "entries can't be read"
like "$out" '^kache: directory .*entries: ' "named"
is "$(find "$KACHE_CACHE_DIR/blobs" -type f | wc -l)" "$blobs" "no blob is lost"
finish
