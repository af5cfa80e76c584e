# kache stats and list: what they count, as text and as JSON, and that they know their options.
. "$(dirname "$0")/../lib/lib.sh"

mkstore=$builddir/tests/cli/mkstore
kc() { "$builddir/kache-cli" "$@" 2>&1; }
json() { json_text=$1; shift; printf '%s\n' "$json_text" | "$builddir/tests/cli/json-get" "$@"; }
now=$(date +%s)
event() { printf '%s\n' "$1" >> "$KACHE_CACHE_DIR/events/current.jsonl"; }

out=$(kc stats); is $? 1 "no store yet: exit 1"
like "$out" "^kache: no cache at .* yet$" "and it says so"

one=$("$mkstore" "$KACHE_CACHE_DIR" alpha_lib 1); "$mkstore" "$KACHE_CACHE_DIR" alpha_lib 2 > "$T/two"; "$mkstore" "$KACHE_CACHE_DIR" beta 3 > "$T/three"
event "{\"result\":\"hit\",\"crate\":\"alpha_lib\",\"kind\":\"lib\",\"key\":\"$one\",\"time_ms\":${now}000,\"compile_us\":90000000,\"total_us\":1500,\"linked_bytes\":2048}"
event "{\"result\":\"hit\",\"crate\":\"alpha_lib\",\"kind\":\"lib\",\"key\":\"$one\",\"time_ms\":$((now - 7200))000,\"compile_us\":30000000,\"total_us\":500}"
event "{\"result\":\"miss\",\"reason\":\"new\",\"crate\":\"beta\",\"kind\":\"lib\",\"key\":\"$(cat "$T/three")\",\"time_ms\":${now}000,\"compile_us\":20000}"
for i in 1 2 3; do event "{\"result\":\"passthrough\",\"reason\":\"incremental\",\"crate\":\"gamma\",\"kind\":\"lib\",\"time_ms\":${now}000}"; done
event "{\"result\":\"uncached\",\"reason\":\"network\",\"detail\":\"a socket\",\"crate\":\"delta\",\"kind\":\"lib\",\"time_ms\":${now}000}"
event "{\"result\":\"probe-hit\",\"kind\":\"probe\",\"time_ms\":${now}000}"
event 'torn'

out=$(kc stats); is $? 0 "stats"
like "$out" '^Hits +2 of 4, 50\.0 %$' "hit rate"
like "$out" '^Misses +1$' "misses"
like "$out" '^Probes +1 answered, 0 asked$' "probes apart"
like "$out" '^Time saved +0 h 02 min 00 s' "time saved"
like "$out" '^ +3 entries, 4 blobs' "entries, and blobs once each"
like "$out" '^  passthrough +incremental +3$' "reasons by name"
like "$out" '^  uncached +network +1$' "each of them"
test "$(printf '%s\n' "$out" | wc -l)" -le 24; ok $? "one screen"
out=$(kc stats --json); is $? 0 "stats --json"
is "$(json "$out" hits) $(json "$out" misses) $(json "$out" uncached) $(json "$out" passthrough) $(json "$out" entries)" "2 1 1 3 3" "same numbers"
is "$(json "$out" time_saved_ms) $(json "$out" linked_bytes)" "120000 2048" "sums"
is "$(json "$out" reasons 0 reason) $(json "$out" reasons 0 count) $(json "$out" reasons 1 reason)" "incremental 3 network" "reasons, most frequent first"
out=$(kc stats --since 1h --json)
is "$(json "$out" hits) $(json "$out" time_saved_ms) $(json "$out" entries)" "1 90000 3" "--since counts what happened since then"

out=$(kc list); is $? 0 "list"
is "$(printf '%s\n' "$out" | grep -c '^alpha_lib ')" 2 "an entry a line"
like "$out" '^beta +lib +debug ' "with kind and profile"
like "$out" '^3 entries$' "and their number"
out=$(kc list --json)
is "$(json "$out") $(json "$out" 0 crate) $(json "$out" 2 crate)" "3 alpha_lib beta" "list --json, by name"
out=$(kc list --sort hits --json)
is "$(json "$out" 0 key) $(json "$out" 0 hits) $(json "$out" 0 used_ms)" "$one 2 ${now}000" "by hits, with last use"
out=$(kc list alpha-lib --no-pager); is $? 0 "one crate, under its package's spelling"
like "$out" "^  key +$one$" "in detail"
unlike "$out" beta "and nothing else"
out=$(kc list nobody); is $? 1 "an unknown crate"
like "$out" '^kache: no entries of nobody$' "is said to be one"
is "$(json "$(kc list nobody --json)")" 0 "as JSON it is an empty array"

for args in 'stats --what' 'stats extra' 'stats --since' 'stats --since soon' 'list --sort' 'list --sort beauty' 'list a b' 'list --what' \
	'why-miss' 'why-miss a b' 'why-miss --what'; do
	# shellcheck disable=SC2086
	out=$(kc $args); is $? 2 "$args: usage"
	like "$out" "^kache ${args%% *}: .*kache ${args%% *} --help\\)$" "  and one line"
	is "$(printf '%s\n' "$out" | wc -l)" 1 "  only"
done

# A damaged index costs its history and nothing else, and is told once.
echo garbage > "$KACHE_CACHE_DIR/index.db"
out=$(kc list beta); is $? 0 "a damaged index is made again"
like "$out" "^kache: warning: $KACHE_CACHE_DIR/index.db was damaged" "with a warning"
like "$out" '^beta \(lib\)' "and answers"
test -e "$KACHE_CACHE_DIR/index.db.damaged"; ok $? "the damaged one is kept aside"
out=$(kc stats --json); is "$(json "$out" hits) $(json "$out" entries)" "2 3" "once, and nothing is lost that is still in the event log"
out=$(kc why-miss nobody); is $? 1 "nothing on record"
like "$out" '^kache: no compile of nobody that was not a hit is on record$' "is said so"

# What is deep inside shows when doctor looks.
printf 'ZZZZZZZZZZZZZZZZ' | dd of="$KACHE_CACHE_DIR/index.db" bs=1 seek=$(($(wc -c < "$KACHE_CACHE_DIR/index.db") - 4096)) conv=notrunc 2> /dev/null
out=$(kc doctor --verify); like "$out" 'index +' "doctor looks at the index"
kc doctor --repair > /dev/null
out=$(kc doctor --verify); like "$out" 'index +opens' "and --repair makes it anew"
out=$(kc stats --json); is "$(json "$out" entries)" 3 "which then answers"
finish
