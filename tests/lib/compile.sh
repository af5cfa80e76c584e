# For tests that compile one program through kache whatever the cache is like. Source after lib.sh: it makes $T/p with x.rs, a program
# that says "one", and goes there.

need rustc
mkdir -p "$T/p" "$T/out"
cd "$T/p" || exit 99
printf 'fn main() { println!("one"); }\n' > x.rs

# compile [COMMAND…]: through kache, run by that command, output in $T/out; $log has what was said, $status the exit code.
compile() {
	rm -rf "$T/out"
	mkdir -p "$T/out"
	log=$("$@" "$KACHE" rustc --crate-name x --crate-type bin --emit=dep-info,link --out-dir "$T/out" x.rs 2>&1)
	status=$?
}
good() { # good NAME: exit 0, the program works, at most one line of talk
	is "$status" 0 "$1: the compile succeeds"
	is "$("$T/out/x" 2>&1)" one "$1: the program is right"
	test "$(printf '%s\n' "$log" | grep -c kache:)" -le 1
	ok $? "$1: one line of warning at most"
}
