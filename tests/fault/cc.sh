#!/bin/sh
# Whatever is wrong with the cache, the compile of a C file is a plain one: the same object, the same messages but for one
# warning at most, the compiler's exit code.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cc.sh"
need strace

cc_begin bad_days
printf '#include "h.h"\nint f(int unused) { int n; return H; }\n' > x.c
mkdir -p "$XDG_CONFIG_HOME/kache" "$XDG_RUNTIME_DIR"
sleep 0.02
gcc -Wall -MD -c x.c -o plain.o 2> "$T/plain.err"
sed 's/plain\.o/x.o/' plain.d > "$T/plain.d"

compile() { # [COMMAND…]
	rm -f x.o x.d
	"$@" "$KACHE" gcc -Wall -MD -c x.c -o x.o 2> "$T/err"
	status=$?
}
good() { # NAME
	bad=
	test $status = 0 || bad="status $status"
	cmp -s x.o plain.o || bad="$bad object"
	cmp -s x.d "$T/plain.d" || bad="$bad list"
	grep -v '^kache: warning' "$T/err" | cmp -s - "$T/plain.err" || bad="$bad messages"
	test "$(grep -c kache: "$T/err")" -le 1 || bad="$bad warnings"
	ok "$(test -z "$bad"; echo $?)" "$1"
	test -z "$bad" || { echo "# wrong: $bad"; sed 's/^/# /' "$T/err" | head -n 5; }
}
fresh() { chmod -R u+rwX "$KACHE_CACHE_DIR" 2> /dev/null; rm -rf "$KACHE_CACHE_DIR" "$XDG_RUNTIME_DIR/kache" "$T/events.seen"; }
filled() { fresh; compile; }

compile; good "cold"
compile; good "warm"
like "$(events | tail -n 1)" '^hit ' "warm: is a hit"

for kind in blobs entries manifests compilers; do
	for damage in truncated emptied scribbled removed unreadable; do
		filled
		for f in $(find "$KACHE_CACHE_DIR/$kind" -type f); do
			case $damage in
			truncated) truncate -s 20 "$f" ;;
			emptied) : > "$f" ;;
			scribbled) printf 'XXXX' | dd of="$f" bs=1 seek=10 conv=notrunc 2> /dev/null ;;
			removed) rm "$f" ;;
			unreadable) rm "$f"; mkdir "$f" ;;
			esac
		done
		compile; good "$kind $damage"
		compile; good "$kind $damage, again"
	done
done

fresh
echo file > "$KACHE_CACHE_DIR"; compile; good "the cache directory is a file"
rm "$KACHE_CACHE_DIR"
mkdir "$KACHE_CACHE_DIR"; echo 'kache store 999' > "$KACHE_CACHE_DIR/format"; compile; good "a newer store"
fresh
printf '[cache]\nlocal_max_sise = 1\n' > "$XDG_CONFIG_HOME/kache/config.toml"; compile; good "a configuration with a mistake"
rm "$XDG_CONFIG_HOME/kache/config.toml"
(ulimit -n 12; compile; good "few descriptors")
tap_n=$((tap_n + 1))
fresh
KACHE_CACHE_DIR=/proc/nowhere compile; good "a cache directory that can't be"

for e in ENOSPC EIO; do
	for call in write,writev copy_file_range link rename mkdir fork,vfork,clone pipe2 mmap; do
		filled
		rm -rf "$KACHE_CACHE_DIR/entries" "$KACHE_CACHE_DIR/manifests"
		rm -f x.o x.d
		from=1+
		test $call = write,writev && from=8+	# what the compiler says comes first
		# Where kache ends as the compiler, that one has bad days too.
		case $call in fork*|mmap|pipe2) from=1 ;; esac
		strace -qq -o "$T/strace" -e trace=$call -e inject=$call:error=$e:when=$from "$KACHE" gcc -Wall -MD -c x.c -o x.o 2> "$T/err"
		status=$?
		good "$e from $call"
	done
done

# Killed at some moment: the next compile finds nothing that is half done.
for after in 0.005 0.01 0.02 0.03 0.04 0.06; do
	fresh
	timeout -s KILL $after "$KACHE" gcc -Wall -MD -c x.c -o x.o 2> /dev/null
	sleep 0.05
	compile; good "killed after $after s"
	compile; good "killed after $after s, again"
done
compile env PATH="$PATH" KACHE_OBSERVE=off; good "without the observer"

# Ten at once in one directory, and one of them edits nothing.
fresh
pids=
for n in 1 2 3 4 5 6 7 8 9 10; do
	"$KACHE" gcc -Wall -c x.c -o at-once.$n.o 2> /dev/null & pids="$pids $!"
done
for pid in $pids; do wait "$pid"; done
bad=0
for n in 1 2 3 4 5 6 7 8 9 10; do cmp -s at-once.$n.o plain.o || bad=1; done
ok $bad "ten at once"
finish
