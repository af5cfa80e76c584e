#!/bin/sh
# What puts units in place before cargo asks, and what records a command after it: each of their system calls fails on its own, the first
# time and each later one, and either is killed at any of them. The build is right, and so is each that follows.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
need cargo strace
export KACHE_PREFILL=1 KACHE_DAEMON=off KACHE_BUILD_SCRIPTS=1 CARGO_INCREMENTAL=0

# The wrapper looks beside itself for the program that is to fail.
install_wrapper "$T/bin"
rm "$T/bin/kache-prefill"
cat > "$T/bin/kache-prefill" <<-END
	#!/bin/sh
	# The tracer stands aside (-D) and holds nothing open, or who waits for this program would wait for all that it leaves behind.
	# Cargo asks twice; the second time there is nothing left to put in place.
	test -z "\$FAULT" -o -e "$T/strace" || exec strace -D -f -qq -o "$T/strace" -e trace=\${FAULT%%:*} -e inject=\$FAULT "$builddir/kache-prefill" "\$@" > /dev/null 2>&1
	exec "$builddir/kache-prefill" "\$@"
END
chmod +x "$T/bin/kache-prefill"

# Until nobody records any more, nor is looked at.
settled() {
	for s_i in $(seq 200); do
		ps -eo args | grep -qE "^([^ ]*/)?(strace .*$T/strace|kache-prefill $KACHE_CACHE_DIR) " || return 0
		sleep 0.02
	done
	echo "# something stays behind"
	return 1
}
build() { # build COMMAND…
	(cd "$W" && "$@" RUSTC_WRAPPER="$T/bin/kache" cargo build -v) > "$T/log" 2>&1
}
right() { test "$("$W/target/debug/app" 2> /dev/null)" = "$wanted"; }
left_to_do() { grep -cE '^ *(Compiling|Dirty) ' "$T/log"; }
begin() { # begin STORE: as after a checkout, with what was stored then
	rm -rf "$W/target" "$KACHE_CACHE_DIR"
	cp -a "$1" "$KACHE_CACHE_DIR"
}

W=$T/w
make_workspace "$W"
find "$W" -type f -exec touch -d '1 hour ago' {} +
# Until the lock file is there, the script's run stored and all of it recorded.
for i in 1 2 3 4 5 6; do
	rm -rf "$W/target"
	build env
	settled
	test "$(left_to_do)" != 0 || break
	sleep 1
done
wanted=$("$W/target/debug/app")
cp -a "$KACHE_CACHE_DIR" "$T/full"
begin "$T/full"
build env
settled
is "$(left_to_do)" 0 "without a fault cargo finds everything in place"
like "$wanted" . "and it runs"

try() { # try NAME FAULT: whether there was a call to fail
	begin "$T/full"
	rm -f "$T/strace"
	build env FAULT="$2"
	code=$?
	why=
	settled || why=" something-stays-behind"
	grep -aqE 'INJECTED|killed by SIGKILL' "$T/strace" || return 1
	faults=$((faults + 1))
	test $code = 0 || why="$why exit-status-$code"
	right || why="$why wrong-program"
	test "$(grep -c '^kache: ' "$T/log")" -le 1 || why="$why too-much-talk"
	# Where a record could not be written cargo makes the unit, and the next time what needs it.
	build env && build env && right && test "$(left_to_do)" = 0 || why="$why something-left-to-do"
	rm -rf "$W/target"
	build env && right || why="$why wrong-afterwards"
	settled
	test -z "$why" && return 0
	bad=$((bad + 1))
	echo "# $1:$why"
	grep -aE 'INJECTED|killed' "$T/strace" | head -n 2 | cut -c1-160 | sed 's/^/#   /'
	head -n 3 "$T/log" | sed 's/^/#   /'
	return 0
}

faults=0 bad=0
for call in write:ENOSPC rename:ENOSPC mkdir:ENOSPC link:EMLINK link:EXDEV pwrite64:ENOSPC read:EIO statx:EIO getdents64:EIO \
	openat:EMFILE open:EMFILE unlink:EROFS utimensat:EROFS fork:EAGAIN mmap:ENOMEM flock:ENOLCK execve:EACCES; do
	for n in 1 2 3 4 5 6 8 10 13 16 20 25 30 40; do
		try "${call%:*} failed with ${call#*:} the $n. time" "${call%:*}:error=${call#*:}:when=$n" || break
	done
done
echo "# before cargo asks: $faults faults"
test $faults -gt 30
ok $? "there were calls to fail"
is $bad 0 "every build is right"

faults=0 bad=0
for call in write rename link mkdir openat unlink utimensat; do
	for n in 1 2 3 4 5 6 8 10 13 16 20 25 30; do
		try "killed at $call the $n. time" "$call:signal=KILL:when=$n" || break
	done
done
echo "# before cargo asks: killed $faults times"
test $faults -gt 15
ok $? "there were moments to be killed at"
is $bad 0 "every build is right that lost it"
runs "the store is sound" "$builddir/kache-cli" doctor --verify --checksums
finish
