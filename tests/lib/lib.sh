# Shared by the shell tests: TAP, a scratch directory, and a kache of this build tree.
# A test sources this file, calls ok/is/like…, and ends with `finish`.
#   $builddir (environment, from make): the build tree.   $T: a fresh scratch directory, removed at the end.

set -u
builddir=${builddir:-$(pwd)}
builddir=$(cd "$builddir" && pwd)
srcdir=${srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
srcdir=$(cd "$srcdir" && pwd)
KACHE=${KACHE:-$builddir/kache}
tap_n=0
tap_bad=0

T=$(mktemp -d "${TMPDIR:-/tmp}/kache-test.XXXXXX") || exit 99
test_end() {
	if command -v servers_end > /dev/null; then servers_end; fi
	chmod -R u+rwX "$T" 2> /dev/null
	rm -rf "$T"
}
trap test_end EXIT
trap 'exit 130' INT TERM

# Nothing of the user's settings reaches a test.
for tap_v in $(env | sed -n 's/^\(KACHE_[A-Z_]*\)=.*/\1/p'); do
	case $tap_v in KACHE_TEST_*) ;; *) unset "$tap_v" ;; esac
done
unset RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_TARGET_DIR CARGO_INCREMENTAL
# A job server that this make does not share with us makes rustc complain.
unset MAKEFLAGS MFLAGS MAKELEVEL CARGO_MAKEFLAGS
export XDG_CONFIG_HOME="$T/xdg-config" XDG_CACHE_HOME="$T/xdg-cache" XDG_RUNTIME_DIR="$T/xdg-run"
mkdir -p "$XDG_RUNTIME_DIR"
export KACHE_CACHE_DIR="$T/cache"
# Events of a build have to be those of its calls, so what comes before them is for the tests of that. KACHE_TEST_PREFILL=1: for all.
export KACHE_PREFILL=${KACHE_TEST_PREFILL:-0}
# A wrapper ends by _exit with everything still in hand; the unit tests look for leaks.
export ASAN_OPTIONS=detect_leaks=0

ok() { # ok STATUS NAME   (STATUS 0 is good)
	tap_n=$((tap_n + 1))
	if test "$1" -eq 0; then echo "ok $tap_n - $2"; else echo "not ok $tap_n - $2"; tap_bad=$((tap_bad + 1)); fi
	return 0
}
is() { # is GOT WANTED NAME
	if test "$1" = "$2"; then ok 0 "$3"; else ok 1 "$3"; printf '# got    %s\n# wanted %s\n' "$1" "$2"; fi
}
like() { # like TEXT EXTENDED-REGEX NAME
	if printf '%s\n' "$1" | grep -Eq -e "$2"; then ok 0 "$3"; else ok 1 "$3"; printf '%s\n' "$1" | head -n 20 | sed 's/^/# got /'; echo "# wanted /$2/"; fi
}
unlike() { # unlike TEXT EXTENDED-REGEX NAME
	if printf '%s\n' "$1" | grep -Eq -e "$2"; then ok 1 "$3"; printf '%s\n' "$1" | grep -E -e "$2" | head -n 5 | sed 's/^/# found /'; else ok 0 "$3"; fi
}
runs() { # runs NAME COMMAND…   good if it exits 0; output is shown when it does not
	runs_name=$1; shift
	if "$@" > "$T/runs.log" 2>&1; then ok 0 "$runs_name"; else ok 1 "$runs_name"; { grep '^not ok' "$T/runs.log"; tail -n 20 "$T/runs.log"; } | sed 's/^/# /'; fi
}
skip_all() { # in CI a missing tool is a failure, elsewhere a visible skip
	if test "${CI:-}" = true; then echo "Bail out! $1 (a skip is a failure in CI)"; exit 1; fi
	echo "1..0 # SKIP $1"; exit 0
}
need() { for need_c in "$@"; do command -v "$need_c" > /dev/null 2>&1 || skip_all "$need_c is not installed"; done; }
# One line per event since the last call, probes aside: "result kind crate reason detail".
events() {
	test -f "$KACHE_CACHE_DIR/events/current.jsonl" || return 0
	events_from=$(cat "$T/events.seen" 2> /dev/null || echo 0)
	tail -n "+$((events_from + 1))" "$KACHE_CACHE_DIR/events/current.jsonl" > "$T/events.new"
	echo $((events_from + $(wc -l < "$T/events.new"))) > "$T/events.seen"
	awk '
		function member(name) {
			if (!match($0, "\"" name "\":\"[^\"]*\"")) return "-"
			return substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 5)
		}
		{ print member("result"), member("kind"), member("crate"), member("reason"), member("detail") }
	' "$T/events.new" | grep -v '^probe' || true
}
# Sets $drop to what makes a command go by the modes of files, which hold nobody up who is root; fails where that can't be had.
drop_rights() {
	drop=
	test "$(id -u)" = 0 || return 0
	drop="setpriv --bounding-set=-dac_override,-dac_read_search"
	$drop true 2> /dev/null
}
# count PATTERN: lines of the last `events` output (in $ev) that match.
count() { printf '%s\n' "$ev" | grep -Ec -e "$1"; }

finish() { echo "1..$tap_n"; test "$tap_bad" -eq 0; exit; }

# install_wrapper DIR: a copy of the wrapper in a new directory, which finds the other programs beside itself.
install_wrapper() {
	mkdir "$1"
	cp "$KACHE" "$1/kache"
	for iw_beside in "$(dirname "$KACHE")"/kache-*; do
		ln -s "$iw_beside" "$1/"
	done
}
