#!/bin/sh
# Cargo goes on as soon as it is told of a library's metadata. On a hit that is in place, and told of, before the rest is copied; and if
# the rest can't be had after all, nobody is told twice.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
need strace
export KACHE_LINK=copy
mkdir -p "$T/p"
cd "$T/p" || exit 99
printf 'pub fn f() -> u32 { let unused = 1; 1 }\nfn never() {}\n' > x.rs
flags='--crate-name x --crate-type lib --emit=dep-info,metadata,link --error-format=json -C extra-filename=-1'
json=--json=diagnostic-rendered-ansi,artifacts,future-incompat
run() { # run COMMAND…: one compile; what it says in $T/said, one of its lines a message
	rm -rf "$T/out"; mkdir "$T/out"
	"$@" $flags $json --out-dir "$T/out" x.rs 2> "$T/said"
}
results() { (cd "$T/out" && ls -A && cat libx-1.rlib libx-1.rmeta) | cksum; }
last() { tail -n 1 "$KACHE_CACHE_DIR/events/current.jsonl"; }

run rustc
all=$(cat "$T/said")
like "$all" unused "the compiler has something to say"
run "$KACHE" rustc
wanted=$(results)
for n in 1 2; do
	run strace -qq -o "$T/trace" -e trace=rename,write,openat "$KACHE" rustc
	is "$?" 0 "hit $n"
	is "$(cat "$T/said")" "$all" "hit $n: all is told, in the same order"
	is "$(results)" "$wanted" "hit $n: the same outputs"
done
like "$(last)" '"result":"hit"' "they were hits"
order() { # of what is put in place and what is told; the list of dependencies is written where it belongs
	sed -n -e 's/^rename(.*libx-1\.\(r[a-z]*\)") *= 0/\1/p' -e 's/^openat(.*x-1\.d", O_WRONLY|O_CREAT|O_EXCL.*= [0-9]*$/d/p' \
		-e 's/^write(2, .*/told/p' "$T/trace" | tr '\n' ' '
}
is "$(order)" "d rmeta told rlib told " "metadata is in place and told of before the rest"
echo old > "$T/old"
rm -rf "$T/out"; mkdir "$T/out"; cp "$T/old" "$T/out/libx-1.rlib"
strace -qq -o "$T/trace" -e trace=rename,write,openat "$KACHE" rustc $flags $json --out-dir "$T/out" x.rs 2> /dev/null
is "$(order)" "d rmeta rlib told " "where something is replaced, all of it is ready before"
is "$(results)" "$wanted" "and all of it is replaced"

# The disk is full when the rest comes.
fails() { # fails NAME: all renames but the first
	run strace -qq -o "$T/trace" -e trace=rename -e inject=rename:error=ENOSPC:when=2+ "$KACHE" rustc
	is "$?" 0 "$1: a normal compile"
	like "$(last)" '"result":"passthrough".*"reason":"restore-failed"' "$1: which is said in the statistics"
	is "$(cat "$T/said")" "$all" "$1: all is told once"
	is "$(results)" "$wanted" "$1: the outputs are the same"
}
fails "full disk"
# And the compiler fails, too: that has to be heard.
cat > "$T/rustc" <<EOS2
#!/bin/sh
if test -e "$T/broken"; then echo broken >&2; exit 3; fi
exec rustc "\$@"
EOS2
chmod +x "$T/rustc"
run "$KACHE" "$T/rustc"
run "$KACHE" "$T/rustc"
like "$(last)" '"result":"hit"' "another compiler: a hit"
: > "$T/broken"
run strace -qq -o "$T/trace" -e trace=rename -e inject=rename:error=ENOSPC:when=2+ "$KACHE" "$T/rustc"
is "$? $(tail -n 1 "$T/said")" "3 broken" "the compiler fails, too: its message and its exit code"
rm "$T/broken"
printf '%s\n' $flags $json > "$T/args"
flags="@$T/args" json=
run "$KACHE" rustc
run strace -qq -o "$T/trace" -e trace=rename,write,openat "$KACHE" rustc
is "$(order)" "d rmeta rlib told " "an argument file: all is told at the end"
cd "$T" || exit 99

# Cargo, which has started what depends on it by then.
export KACHE_INCREMENTAL=never CARGO_INCREMENTAL=0
make_workspace "$T/w"
kbuild "$T/w" build -p app
cat > "$T/faulty" <<EOS2
#!/bin/sh
case " \$* " in
*" --crate-name leaf "*) exec strace -qq -o "$T/trace" -e trace=rename,link -e inject=rename,link:error=ENOSPC:when=2+ "$KACHE" "\$@" ;;
esac
exec "$KACHE" "\$@"
EOS2
chmod +x "$T/faulty"
rm -rf "$T/w/target"
(cd "$T/w" && RUSTC_WRAPPER=$T/faulty cargo build -p app) > "$T/log" 2>&1 || show_log
is "$(events | grep -c '^passthrough lib leaf restore-failed')" 1 "cargo: a library that can't be put in place"
is "$("$T/w/target/debug/app")" "2 hello word 7" "cargo: the build is right"
kbuild "$T/w" build -p app	# the library is newer than what uses it
kbuild "$T/w" build -p app
is "$kb_status $ev" "0 " "cargo: and after the next one nothing is to be done"
is "$("$T/w/target/debug/app")" "2 hello word 7" "cargo: which is right, too"
finish
