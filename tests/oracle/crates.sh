#!/bin/sh
# The oracle on crates from crates.io: tests/oracle/crates.sh [-b BUILD] [-e EDITS] [-s SEED] [-r RESULTS] [-c COMMAND]… CRATE…
#
# CRATE is name, name@version, or several with + between them: a workspace of them, in which each uses the others as they are there.
# Needs the network for what cargo has not downloaded yet. Development dependencies are left out. -r: a line per crate is added.
builddir=. edits=50 seed=1 results= commands=
while getopts b:e:s:r:c: option; do
	case $option in
	b) builddir=$OPTARG ;;
	e) edits=$OPTARG ;;
	s) seed=$OPTARG ;;
	r) results=$OPTARG ;;
	c) commands="$commands --cargo '$OPTARG'" ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
oracle=$(cd "$(dirname "$0")" && pwd)/oracle.py
kache=$(cd "$builddir" && pwd)/kache
T=$(mktemp -d "${TMPDIR:-/tmp}/kache-crates.XXXXXX") || exit 99
trap 'chmod -R u+w "$T"; rm -rf "$T"' EXIT
trap 'exit 130' INT TERM
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
unset RUSTC_WRAPPER RUSTFLAGS CARGO_TARGET_DIR

# get CRATE DIR: its sources, as published but for the development dependencies
get() {
	case $1 in *@*) get_version="=${1#*@}" ;; *) get_version='*' ;; esac
	get_name=${1%%@*}
	rm -rf "$T/get"
	mkdir -p "$T/get/src"
	echo > "$T/get/src/lib.rs"
	printf '[package]\nname = "get"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "%s"\n[workspace]\n' "$get_name" \
		"$get_version" > "$T/get/Cargo.toml"
	(cd "$T/get" && cargo fetch -q) || return
	get_version=$(sed -n "/^name = \"$get_name\"\$/{n;s/^version = \"\\(.*\\)\"/\\1/p;}" "$T/get/Cargo.lock" | tail -n 1)
	cp -r "$registry"/*/"$get_name-$get_version" "$2" || return
	chmod -R u+w "$2"
	rm -f "$2/Cargo.toml.orig" "$2/Cargo.lock"
	python3 - "$2/Cargo.toml" <<'PY'
import re, sys
s = open(sys.argv[1]).read()
s = re.sub(r'(?ms)^\[(target\.[^\n]*\.)?dev-dependencies[^\n]*\]\n.*?(?=^\[|\Z)', '', s)
s = re.sub(r'(?ms)^\[\[(bench|test|example)\]\]\n.*?(?=^\[|\Z)', '', s)
s = re.sub(r'(?m)^\[workspace\]\n', '', s)
open(sys.argv[1], 'w').write(s)
PY
}

status=0
for crate in "$@"; do
	case $crate in
	*+*)
		project=$T/$crate
		mkdir -p "$project"
		members=$(echo "$crate" | tr + ' ')
		printf '[workspace]\nresolver = "2"\nmembers = ["*"]\nexclude = ["target"]\n[patch.crates-io]\n' > "$project/Cargo.toml"
		for member in $members; do
			get "$member" "$project/${member%%@*}" || { echo "$crate: $member can't be had"; status=1; continue 2; }
			printf '%s = { path = "%s" }\n' "${member%%@*}" "${member%%@*}" >> "$project/Cargo.toml"
		done
		;;
	*)
		get "$crate" "$T/${crate%%@*}" || { echo "$crate can't be had"; status=1; continue; }
		project=$T/${crate%%@*}-$get_version
		mv "$T/${crate%%@*}" "$project"
		printf '\n[workspace]\n' >> "$project/Cargo.toml"
		;;
	esac
	(cd "$project" && cargo fetch -q) || { echo "$crate: its dependencies can't be had"; status=1; continue; }
	eval "TMPDIR=\$T python3 \"\$oracle\" \"\$kache\" \"\$project\" --edits $edits --seed $seed $commands" \
		"${results:+--results \"\$results\"}" || status=1
done
exit $status
