# What does not depend on how much is stored: the system calls of a hit, and the files that stats after a build, gc and doctor
# with nothing to do, and the plan of a sync look at, are the same with 50 entries and with 5,000.
. "$(dirname "$0")/../lib/lib.sh"
need rustc strace

SMALL=50 LARGE=5000
cli=$builddir/kache-cli fill=$builddir/bench/scale-fill
rustc=$(rustup which rustc 2> /dev/null || command -v rustc)
mkdir -p "$T/p/out" "$T/remote"
cd "$T/p" || exit 99
echo 'pub fn f() {}' > lib.rs
touch -d '1 hour ago' lib.rs
printf 'version = 3\n\n[[package]]\nname = "scale_0"\nversion = "1.0.0"\nsource = "registry+x"\n' > Cargo.lock
printf '[package]\nname = "p"\nversion = "0.0.0"\n' > Cargo.toml

compile() {
	"$@" "$builddir/kache" "$rustc" --crate-name x --crate-type lib --emit=dep-info,metadata,link --out-dir "$T/p/out" lib.rs
}
traced() { # traced WHAT COMMAND…   its output in $out
	trace=$T/$n.$1
	shift
	out=$(strace -f -o "$trace" "$@" 2>&1)
}
# Objects of the store that were named, and directories of them that were opened.
objects() { grep -cE "\"$T/[0-9]+/(blobs|entries|manifests)/../[0-9a-f]{64}\"" "$T/$1"; }
directories() { grep -cE "\"$T/[0-9]+/(blobs|entries|manifests)(/..)?\", O_RDONLY.*O_DIRECTORY" "$T/$1"; }

for n in $SMALL $LARGE; do
	export KACHE_CACHE_DIR="$T/$n"
	"$fill" "$T/$n" fill $n || exit 99
	compile 2> /dev/null
	"$cli" gc --max-size 1TiB > /dev/null	# the first look at all of the store
	sleep 2.1
	compile 2> /dev/null			# its inputs are old enough to be remembered now
	rm -f out/*
	compile traced hit
	like "$(tail -n 1 "$T/$n/events/current.jsonl")" '"result":"hit"' "$n: a hit"
	"$cli" stats > /dev/null		# and one after gc
	"$fill" "$T/$n" publish $((n * 2)) 5 > /dev/null
	traced stats "$cli" stats
	like "$out" "^ +$((n + 6)) entries, " "$n: what was just built counts"
	traced gc "$cli" gc --max-size 1TiB
	like "$out" "^removed 0 entries, .* $((n + 6)) entries, " "$n: gc has nothing to do"
	traced full "$cli" gc --max-size 1TiB --full
	traced doctor "$cli" doctor
	like "$out" "^ok +space +" "$n: the doctor knows the size"
	traced sync "$cli" sync --push --dry-run --backend "file://$T/remote"
	like "$out" "^would pull 0, push 50 " "$n: one package is to be sent"
done
# Whether two files share a page of inputs.map depends on their inodes, so only how many pages can be looked into does not vary.
calls() { grep '(' "$T/$1.hit" | grep -vc 'pread64('; }
pages() { grep -c 'pread64(' "$T/$1.hit"; }
is "$(calls $LARGE)" "$(calls $SMALL)" "a hit makes the same calls"
for n in $SMALL $LARGE; do
	test "$(pages $n)" -ge 2 && test "$(pages $n)" -le 5
	ok $? "$n: and looks into five pages of inputs.map at most ($(pages $n))"
done
is "$(grep -cE '(flock|fcntl\([0-9]+, F_(OFD_)?SETLKW?|futex)\b' "$T/$LARGE.hit")" 0 "and takes no lock"
for what in stats gc doctor sync; do
	is "$(objects $LARGE.$what)" "$(objects $SMALL.$what)" "$what looks at the same number of files"
	is "$(directories $LARGE.$what)" 0 "and reads no directory of them"
done
is "$(objects $LARGE.gc)" 0 "which for gc is none"
ok "$((10000 > $(objects $LARGE.full)))" "unless it is told to look at all of them"
finish
