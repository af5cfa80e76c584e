# For tests of the observer. Needs $so, the library.
observe() { # observe COMMAND…   records into $T/log, and as lines into $T/rec
	: > "$T/log"
	# A failed assignment before a function call would leak, so env does it.
	env LD_PRELOAD="$so" KACHE_OBSERVE_LOG="$T/log" "$@"
	observe_status=$?
	tr '\0' '\n' < "$T/log" > "$T/rec"
	return $observe_status
}
has() { # has RECORD [NAME]
	grep -Fxq -e "$1" "$T/rec"; ok $? "${2:-record ${1#"$PWD"}}"
}
hasnt() { # hasnt RECORD [NAME]
	! grep -Fxq -e "$1" "$T/rec"; ok $? "${2:-no record $1}"
}
matches() { # matches EXTENDED-REGEX NAME
	grep -Eq -e "$1" "$T/rec"; ok $? "$2"
}
