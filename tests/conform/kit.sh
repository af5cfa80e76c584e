#!/bin/sh
# The kit itself: a good backend passes, each of many broken ones fails at the point that is about its fault.
. "$(dirname "$0")/../lib/lib.sh"
CC=${CC:-$(sed -n 's/^CC = //p' "$builddir/Makefile" | cut -d' ' -f1)}
need "$CC"
kit=$builddir/kache-conform
build() { # build NAME FLAG…
	mkdir -p "$T/$1"
	"$CC" -shared -fPIC -fvisibility=hidden -pthread -I"$srcdir/include" "${@:2}" -o "$T/$1/kache-broken.so" "$srcdir/tests/conform/broken.c" 2> "$T/cc.log" ||
		{ sed 's/^/# /' "$T/cc.log"; return 1; }
}
build good && runs "a good backend passes" "$kit" "$T/good/kache-broken.so" -o url=broken:x --quick

# fails BUG POINT: that point does not hold, and the kit's status says so
fails() {
	build "$1" "-DBUG_$1" || { ok 1 "$1 compiles"; return; }
	timeout 120 "$kit" "$T/$1/kache-broken.so" -o url=broken:x --quick --settle 1s > "$T/out" 2>&1
	code=$?
	if test $code -ne 0 && grep -Eq "^not ok [0-9]+ - .*$2" "$T/out"; then ok 0 "$1 is found out"; else ok 1 "$1 is found out"; grep '^not ok' "$T/out" | head -n 5 | sed 's/^/# /'; fi
}
fails LOSES_LAST_BYTE 'an object of 4096 bytes'
fails STOPS_AT_NUL 'every byte value'
fails MISS_IS_ERROR 'what is not there is a miss'
fails BEGINS_ON_MISS 'the sink is not touched'
fails IGNORES_IF_ABSENT 'IF_ABSENT it does not'
fails RACES_IF_ABSENT 'sixteen who create|winner|whole'
fails VISIBLE_ON_ERROR 'fails midway|shorter than its size'
fails KEEPS_PART 'shorter than its size|nothing is visible'
fails NO_REWIND 'a source is rewound first'
fails IGNORES_SINK 'what (the first|a later) write returns is returned'
fails IGNORES_LIMIT 'an object beyond the limit is damaged'
fails TORN 'readers never see half'
fails INVENTS 'everything below a prefix'
fails FORGETS_STOP 'what the callback returns ends it'
fails SLOW_TO_END 'its deadline passed ends at once'
fails IGNORES_CANCEL 'get when it is cancelled ends at once'
fails LISTS_ON 'list with its deadline passed ends at once'
fails HANGS 'a call returns'
fails LEAKS_FD 'leave nothing open'
fails DEL_MISSING_FAILS 'removing it is no error'
fails WRONG_SIZE 'head tells the size'
fails UNKNOWN_STATUS 'what is not there is a miss'
fails SECRET_IN_LOG 'its value is in no error and no log'
build BAD_DEFAULT -DBUG_BAD_DEFAULT && "$kit" "$T/BAD_DEFAULT/kache-broken.so" -o url=broken:x > "$T/out" 2>&1; is $? 1 "BAD_DEFAULT does not even load"
like "$(cat "$T/out")" 'count' "its option is named"
fails NO_HELP 'has a line of help'
fails TWO_SYMBOLS 'exports its entry and nothing else'
fails THREAD_AT_ENTRY 'its entry opens nothing and starts nothing'
fails CHANGES_UMASK 'umask, working directory'
fails CLAIMS_MORE 'claims nothing that the module does not'

# its own arguments
"$kit" > "$T/out" 2>&1; is $? 2 "no module is a usage error"
"$kit" "$T/good/kache-broken.so" -o nonsense > "$T/out" 2>&1; is $? 2 "so is an option without a value"
"$kit" "$T/good/kache-broken.so" --group nonsense > "$T/out" 2>&1; is $? 2 "and an unknown group"
"$kit" "$T/good/kache-broken.so" -o url=broken:x -o colour=blue > "$T/out" 2>&1; is $? 2 "an option that the backend has not"
like "$(cat "$T/out")" 'colour' "is named"
"$kit" /nowhere/kache-none.so > "$T/out" 2>&1; is $? 1 "a module that is not there"
out=$("$kit" "$T/good/kache-broken.so" -o url=broken:x --quick --cap list=off --group list); like "$out" '^ok .*SKIP no list' "--cap list=off leaves listings out, visibly"
is "$("$kit" --list | wc -l | tr -d ' ')" 8 "--list names the groups"
finish
