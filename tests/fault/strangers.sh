#!/bin/sh
# Somebody has put links into the store that lead out of it, times of another age, directories and devices in the place of files: builds are
# right, and nothing outside is read as a result, written or removed.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/compile.sh"
mkdir -p "$T/outside"
export KACHE_DAEMON=off
sums() { (cd "$T/outside" && find . -type f | sort | xargs cksum; find . ! -type f | sort); }
outside() { is "$(sums)" "$before" "$1: nothing outside was touched"; }
cli() { "$builddir/kache-cli" "$@" > /dev/null 2>&1; }

compile
good "a store to start from"
cp -a "$T/cache" "$T/sound"
fresh() { rm -rf "$T/cache"; cp -a "$T/sound" "$T/cache"; }
tended() { # tended NAME: what the doctor and gc leave is right too
	cli doctor --verify --checksums --repair
	cli gc --max-size 1MB
	compile
	good "$1"
}

# Every file replaced by a link to a file outside with what a thief would like: another program's bytes, of the same size and time.
for kind in blobs entries manifests compilers; do
	fresh
	rm -rf "$T/outside"
	mkdir -p "$T/outside"
	find "$T/cache/$kind" -type f > "$T/list"
	while read -r f; do
		head -c "$(stat -c %s "$f")" /dev/zero | tr '\0' 'x' > "$T/outside/${f##*/}"
		touch -r "$f" "$T/outside/${f##*/}"
		ln -sf "$T/outside/${f##*/}" "$f"
	done < "$T/list"
	before=$(sums)
	compile
	good "$kind are links"
	compile
	good "$kind were links"
	tended "$kind were links, after the doctor and gc"
	outside "$kind are links"
done

# Single files of the store.
for name in inputs.map events/current.jsonl index.db gc.lock format CACHEDIR.TAG; do
	fresh
	cli stats
	rm -rf "$T/outside"
	mkdir -p "$T/outside"
	test ! -e "$T/cache/$name" || cp "$T/cache/$name" "$T/outside/victim"
	test $name = format || test $name = index.db || echo victim > "$T/outside/victim"
	rm -f "$T/cache/$name"
	ln -s "$T/outside/victim" "$T/cache/$name"
	before=$(sums)
	compile
	good "$name is a link"
	cli stats
	tended "$name was a link"
	case $name in index.db) ;; *) outside "$name is a link" ;; esac
done

# Directories in the place of files, and the other way around.
for kind in blobs entries manifests; do
	fresh
	find "$T/cache/$kind" -type f > "$T/list"
	while read -r f; do rm "$f"; mkdir -p "$f/inner"; done < "$T/list"
	compile
	good "$kind are directories"
	tended "$kind were directories"
	fresh
	rm -rf "$T/cache/$kind"
	echo > "$T/cache/$kind"
	compile
	good "$kind is a file"
	fresh
	find "$T/cache/$kind" -type f > "$T/list"
	while read -r f; do rm "$f"; mkfifo "$f"; done < "$T/list"
	compile
	good "$kind are pipes"
done
fresh
rm "$T/cache/inputs.map"
mkfifo "$T/cache/inputs.map"
compile
good "inputs.map is a pipe"

# The clock of another age.
for age in '10 years ago' '10 years'; do
	fresh
	find "$T/cache/entries" "$T/cache/manifests" "$T/cache/events" "$T/cache/compilers" "$T/cache/inputs.map" -type f -exec touch -d "$age" {} +
	compile
	good "a store of $age"
	cli gc --max-size 100GB
	is $? 0 "$age: gc"
	compile
	good "$age: after gc"
	cli doctor --verify --checksums
	is $? 0 "$age: the store is sound"
	find "$T/cache/blobs" -type f -exec touch -d "$age" {} +
	compile
	good "blobs of $age"
	cli doctor --verify --checksums --repair
	compile
	good "blobs of $age, once more"
	touch -d "$age" x.rs
	compile
	good "a source of $age"
	touch x.rs
done
finish
