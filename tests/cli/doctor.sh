# kache doctor: names what is wrong with the set-up and with the store, and repairs the store.
. "$(dirname "$0")/../lib/lib.sh"

mkstore=$builddir/tests/cli/mkstore
mkdir -p "$T/bin" "$T/work/deep/er" "$T/cargo-home"
export CARGO_HOME=$T/cargo-home
for p in cargo rustc kache; do printf '#!/bin/sh\n' > "$T/bin/$p"; chmod +x "$T/bin/$p"; done
export PATH="$T/bin:$PATH"
unset CARGO_BUILD_RUSTC_WRAPPER
cd "$T/work/deep/er" || exit 99
doctor() { "$builddir/kache-cli" doctor "$@" 2>&1; }
all() { find "$KACHE_CACHE_DIR/$1" -type f | sort; }

out=$(doctor); is $? 0 "before the first build"
like "$out" "^ok  cache directory  $KACHE_CACHE_DIR \(the first build makes it\)$" "the cache directory"
test ! -e "$KACHE_CACHE_DIR"; ok $? "is not made"
like "$out" '^ok  configuration    loads$' "configuration"
like "$out" "^ok  cargo            $T/bin/cargo$" "cargo"
like "$out" "^--  wrapper          .*: kache init; or export RUSTC_WRAPPER=kache" "no wrapper: what to do"
like "$out" "^ok  clock" "clock"

# Where cargo looks for its wrapper, in its order.
out=$(RUSTC_WRAPPER=kache doctor); like "$out" "^ok  wrapper +$T/bin/kache, by RUSTC_WRAPPER$" "by variable"
out=$(RUSTC_WRAPPER=sccache CARGO_BUILD_RUSTC_WRAPPER=kache doctor); is $? 1 "somebody else's wrapper"
like "$out" "^!!  wrapper +RUSTC_WRAPPER is sccache: set it to kache$" "is named"
out=$(CARGO_BUILD_RUSTC_WRAPPER=/nowhere/kache doctor); is $? 1 "a kache that is not there"
like "$out" "^!!  wrapper +CARGO_BUILD_RUSTC_WRAPPER is /nowhere/kache, which is not found: " "is named"
printf '[build]\njobs = 2\nrustc-wrapper = "kache"\n' > "$CARGO_HOME/config.toml"
out=$(doctor); like "$out" "^ok  wrapper +$T/bin/kache, by $CARGO_HOME/config.toml:3$" "by cargo's home"
mkdir -p "$T/work/.cargo"; printf 'build.rustc-wrapper = "../bin/kache"\n' > "$T/work/.cargo/config.toml"
out=$(doctor); like "$out" "^ok  wrapper +$T/work/../bin/kache, by $T/work/.cargo/config.toml:1$" "by a file above, whose paths are relative to it"
out=$(RUSTC_WRAPPER='' doctor); is $? 1 "switched off by an empty variable"
printf 'build = [' > "$T/work/.cargo/config.toml"
out=$(doctor); like "$out" "^--  wrapper +$T/work/.cargo/config.toml: line 1" "a file that does not parse is told"
rm -r "$T/work/.cargo"

out=$(PATH=/nonexistent doctor); is $? 1 "without tools"
like "$out" '^!!  rustc  +not found along PATH: install Rust' "rustc is missing"
out=$(KACHE_MAX_SIZE=lots doctor); is $? 1 "a configuration that is wrong"
like "$out" '^!!  configuration .*lots' "is named"
out=$(KACHE_CACHE_DIR=$T/bin doctor); is $? 1 "somebody else's directory"
echo data > "$T/data"
out=$(KACHE_CACHE_DIR=$T/data/cache doctor); is $? 1 "a directory that can't be made"
like "$out" "^!!  cache directory .*$T/data" "says why"

for n in 1 2 3 4; do "$mkstore" "$KACHE_CACHE_DIR" "crate$n" $n > /dev/null; done
out=$(doctor --verify); is $? 0 "a sound store"
like "$out" "^ok  cache directory  $KACHE_CACHE_DIR \(format 1\)$" "format"
like "$out" '^ok  file system +.* \((no )?hard links, (no )?reflinks\)$' "links"
like "$out" '^ok  space +.* used of 46\.6 GiB|^--  space' "space"
like "$out" '^ok  store +4 entries, [0-9]+ blobs \(.*\), 4 manifests looked at$' "counts"
is "$(find "$KACHE_CACHE_DIR/tmp" -type f | wc -l)" 0 "no litter"

# A byte of a blob turns, its time does not: only checksums tell.
blob=$(all blobs | head -n 1)
printf X | dd of="$blob" bs=1 count=1 conv=notrunc 2> /dev/null; touch -d @1167609600 "$blob"
doctor --verify > /dev/null; is $? 0 "a wrong byte"
out=$(doctor --checksums); is $? 1 "shows by its checksum"
like "$out" "^!!  store +blob with wrong content $blob: kache doctor --repair removes it$" "named"
entry=$(all entries | tail -n 1); echo rubbish > "$entry"
ln -s / "$KACHE_CACHE_DIR/blobs/root"
out=$(doctor --checksums --json); is $? 1 "a corrupt entry too"
like "$out" '^\{"ok":false,"checks":\[\{"name":"configuration","level":"ok","text":"loads","advice":null\}' "as JSON"
like "$out" '"name":"store","level":"problem","text":"corrupt entry [^"]*","advice":"' "with the problem"
out=$(doctor --repair --checksums); is $? 0 "repaired"
like "$out" "^--  store +not a file of kache, left alone $KACHE_CACHE_DIR/blobs/root$" "foreign things stay"
test ! -e "$entry" && test ! -e "$blob"; ok $? "the rest is gone"
out=$(doctor --checksums); is $? 0 "and sound again"
like "$out" '^ok  store +[23] entries' "what was good is left"
rm "$KACHE_CACHE_DIR/blobs/root"

rm -f "$KACHE_CACHE_DIR/inputs.map"; echo short > "$KACHE_CACHE_DIR/inputs.map"
doctor > /dev/null; is $? 1 "inputs.map of a wrong size"
doctor --repair > /dev/null; is $? 0 "is repaired"
test ! -e "$KACHE_CACHE_DIR/inputs.map"; ok $? "away"
echo 'kache store 99' > "$KACHE_CACHE_DIR/format"
out=$(doctor --verify --repair); is $? 1 "a newer store"
like "$out" '^!!  cache directory .*format 99' "is left alone"

# Remotes.
rm "$KACHE_CACHE_DIR/format"; export KACHE_CACHE_DIR="$T/cache2"
like "$(doctor)" '^ok  remote +none is configured$' "no remote"
like "$(KACHE_BACKEND=file:///x KACHE_LOCAL_ONLY=1 doctor)" '^ok  remote +none is used, for cache.local_only is set \(environment KACHE_LOCAL_ONLY\)$' "none on purpose"
if test -f "$builddir/backends/fs/.libs/kache-fs.so"; then
	mkdir "$T/modules"
	install -m 755 "$builddir/backends/fs/.libs/kache-fs.so" "$T/modules/kache-fs.so"
	export KACHE_PLUGIN_PATH="$T/modules"
	export KACHE_BACKEND="file://$T/remote file://$T/absent?create=false"
	out=$(doctor); is $? 1 "a remote that is not there"
	like "$out" "^ok  remote +file://$T/remote, may be written, opened in [0-9.]+ ms, answers in [0-9.]+ ms$" "one is well"
	like "$out" "^!!  remote +file://$T/absent: .*absent.*: .*environment KACHE_BACKEND" "one is named, and where it comes from"
	is "$(find "$T/remote" -type f | wc -l)" 0 "nothing is stored"
	out=$(KACHE_BACKEND="file://$T/remote?mode=ro" doctor); is $? 0 "a read-only one"
	like "$out" "^ok  remote +file://$T/remote, read-only, " "is told"
	out=$(KACHE_BACKEND="file://$T/remote?shar=all" doctor); is $? 1 "a wrong option"
	like "$out" "^!!  remote +URL: the fs backend has no option 'shar'; did you mean 'share'" "is named"
	out=$(KACHE_BACKEND="nosuch://u:secret@host/" doctor)
	like "$out" '^!!  remote +no backend serves nosuch: URLs' "so is a backend that is not installed"
	unlike "$out" 'u:secret' "and no password is shown"
	unset KACHE_BACKEND
	printf '[[cache.remotes]]\nname = "office"\nurl = "file://%s/remote"\n' "$T" > "$T/c.toml"
	like "$(KACHE_CONFIG=$T/c.toml doctor)" "^ok  remote +office \(file://$T/remote\), " "a name is used"
	unset KACHE_PLUGIN_PATH
fi

for args in --fast extra; do out=$(doctor $args); is $? 2 "$args: usage"; done
finish
