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

# ---- with a server, and the kit's proxy before it: these mostly wait, and so run side by side ----
net=$srcdir/tests/conform/broken-net.c
"$CC" -DSERVER -I"$srcdir/include" -pthread -o "$T/server" "$net" && mkfifo "$T/alive"
ok $? "the server compiles"
"$T/server" < "$T/alive" > "$T/port" &
exec 9> "$T/alive"
for ((i = 0; i < 200; i++)); do test -s "$T/port" && break; sleep 0.05; done
server=127.0.0.1:$(cat "$T/port")
# network BUG GROUP: the kit's output in $T/net-BUG.out, its status at the end of that
network() {
	mkdir -p "$T/net-$1"
	"$CC" -shared -fPIC -fvisibility=hidden -I"$srcdir/include" "-DBUG=$1" -o "$T/net-$1/kache-broken.so" "$net" &&
		timeout 300 "$kit" "$T/net-$1/kache-broken.so" -o url=broken://%proxy% --proxy "$server" --quick --group "$2" 9>&-
	echo "status $?"
}
# found BUG POINT…
found() {
	local bug=$1 point
	shift
	for point; do
		if test "$(tail -n 1 "$T/net-$bug.out")" = "status 1" && grep -Eq "^not ok [0-9]+ - .*($point)" "$T/net-$bug.out"; then
			ok 0 "$bug is found out: $point"
		else
			ok 1 "$bug is found out: $point"
			grep -E '^not ok|^status' "$T/net-$bug.out" | head -n 5 | sed 's/^/# /'
		fi
	done
}
bugs="FORGETS_TIME FORGETS_CANCEL BLAMES_USER TAKES_SHORT TAKES_GARBAGE NEVER_AGAIN BELIEVES_ITSELF NO_SECOND_TRY LEAKS WAITS_FOR_OPEN"
running=
for bug in NONE $bugs; do network "$bug" faults > "$T/net-$bug.out" 2>&1 & running="$running $!"; done
network INHERITS ops > "$T/net-INHERITS.out" 2>&1 & running="$running $!"
# shellcheck disable=SC2086
wait $running
is "$(grep -a '^not ok' "$T/net-NONE.out"; tail -n 1 "$T/net-NONE.out")" "status 0" "a good backend passes with a server that misbehaves"
found FORGETS_TIME 'says nothing: get' 'says nothing: put' 'stalls in the middle of an answer: get' 'one byte a second: get' 'stops reading in the middle of an object: put'
found FORGETS_CANCEL 'a call that waits for a silent server can be cancelled'
found BLAMES_USER 'refuses connections: get' 'refuses connections: put' 'is reset in the middle of an answer: get' 'ends in the middle of an answer: get' 'is reset in the middle of an object: put' 'ends in the middle of an object: put'
found TAKES_SHORT 'is reset in the middle of an answer: get' 'ends in the middle of an answer: get'
found TAKES_GARBAGE 'garbage in place of an answer: get' 'garbage in place of an answer: put'
found NEVER_AGAIN 'afterwards the handle serves again'
found BELIEVES_ITSELF 'is reset in the middle of an object: put' 'ends in the middle of an object: put'
found NO_SECOND_TRY 'connections that end while nobody uses them do no harm'
found LEAKS 'after 60 faults: no descriptors'
found WAITS_FOR_OPEN 'open ends in time without a server'
found INHERITS 'its connections are close-on-exec'
exec 9>&-		# which ends the server
wait

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
