# Traps for C: a small project, a change that tempts a cache to lie, and what has to come of it. Source after lib.sh.
#
#	cc_begin NAME                  a fresh directory $W with x.c in it, and goes there
#	cc_is EXPECT TEXT ARGUMENT…    runs $cc ARGUMENT… without kache and with it, and compares
#
# Exit status, standard output, standard error, the names and the bytes of all files that were made have to be the same.
# EXPECT says what has to become of the call: "hit", "miss", "failed", "uncached REASON", "passthrough REASON", "any".
# Of files that match $cc_vary, which the compiler makes another way each time, only the names.
# $cc is the compiler; $cc_plain and $cc_kache, where they are set, are the two commands instead; $cc_made is run before files in
# $T/made.plain and $T/made.kache are compared.
# cc_each FUNCTION… runs each with every compiler that is installed. One point for each call.

need gcc g++
export KACHE_DAEMON=off LC_ALL=C
unset CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH SOURCE_DATE_EPOCH GCC_COLORS LANG LANGUAGE MAKEFLAGS
unset CARGO_PKG_NAME OUT_DIR RUSTC
test -f "$builddir/kache-observe.so" || skip_all "C is cached with the observer only"
cc=gcc cxx=g++ cc_plain= cc_kache= cc_made= cc_vary=

cc_begin() {
	cc_name=$1
	W=$T/t.$1.$cc
	rm -rf "$W"
	mkdir -p "$W"
	cd "$W" || exit 99
	printf '#include "h.h"\nint f(void) { return H; }\n' > x.c
	echo '#define H 1' > h.h
}

# What was made since $T/before was written goes to $T/made.NAME.
cc_take() { # plain|kache
	rm -rf "$T/made.$1"
	mkdir "$T/made.$1"
	find . -type f -o -type l -o -type p | sort > "$T/after"
	comm -13 "$T/before" "$T/after" | while read -r cc_file; do
		mkdir -p "$T/made.$1/$(dirname "$cc_file")"
		mv "$cc_file" "$T/made.$1/$cc_file"
	done
}

cc_is() { # EXPECT TEXT ARGUMENT…
	cc_expect=$1 cc_text=$2 cc_bad=
	shift 2
	find . -type f -o -type l -o -type p | sort > "$T/before"
	${cc_plain:-$cc} "$@" > "$T/out.plain" 2> "$T/err.plain"
	cc_status=$?
	cc_take plain
	events > "$T/ignored"
	${cc_kache:-$KACHE $cc} "$@" > "$T/out.kache" 2> "$T/err.kache"
	cc_got=$?
	cc_take kache
	test $cc_status = $cc_got || cc_bad="status $cc_got instead of $cc_status"
	cmp -s "$T/out.plain" "$T/out.kache" || cc_bad="$cc_bad stdout"
	cmp -s "$T/err.plain" "$T/err.kache" || cc_bad="$cc_bad stderr"
	${cc_made:-:}
	diff -r ${cc_vary:+-x "$cc_vary"} "$T/made.plain" "$T/made.kache" > "$T/diff" 2>&1 || cc_bad="$cc_bad files"
	test "$(cd "$T/made.plain" && find . | sort)" = "$(cd "$T/made.kache" && find . | sort)" || cc_bad="$cc_bad names"
	ev=$(events)
	case $cc_expect in
	any) ;;
	*) case $ev in "${cc_expect%% *} "*) ;; *) cc_bad="$cc_bad not-$cc_expect" ;; esac ;;
	esac
	case $cc_expect in *' '*) case $ev in *" ${cc_expect#* } "*) ;; *) cc_bad="$cc_bad not-$cc_expect" ;; esac ;; esac
	ok "$(test -z "$cc_bad"; echo $?)" "$cc $cc_name: $cc_text"
	test -n "$cc_bad" || return 0
	echo "# wrong: $cc_bad"
	echo "# call:  $*"
	printf '%s\n' "$ev" | sed 's/^/# event: /'
	diff "$T/err.plain" "$T/err.kache" | head -n 6 | sed 's/^/# stderr: /'
	head -n 6 "$T/diff" | sed 's/^/# files: /'
}

# The usual beginning: not known, then known.
cc_twice() { # TEXT ARGUMENT…
	cc_what=$1
	shift
	cc_is miss "$cc_what" "$@"
	cc_is hit "$cc_what, again" "$@"
}

cc_each() {
	for cc in gcc clang; do
		command -v $cc > /dev/null || continue
		cxx=g++
		test $cc = gcc || cxx=clang++
		for cc_case in "$@"; do $cc_case; done
	done
	cc=gcc cxx=g++
}
