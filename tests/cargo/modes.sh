#!/bin/sh
# Each setting does what the manual says.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"

W=$T/w
make_workspace "$W"
conf() { mkdir -p "$XDG_CONFIG_HOME/kache"; cat > "$XDG_CONFIG_HOME/kache/config.toml"; }
again() { rm -rf "$W/target"; kbuild "$W" build "$@" || show_log; }

KACHE_DISABLED=1 again
is "$ev" "" "KACHE_DISABLED: nothing is recorded"
test ! -d "$KACHE_CACHE_DIR"
ok $? "and no store is made"
again
is "$(count '^miss')" 5 "filled"
KACHE_READONLY=1 again
is "$(count '^hit')" 5 "KACHE_READONLY: hits"
KACHE_READONLY=1 again --release
is "$(count '^passthrough (lib|bin|proc-macro|build-script) .* read-only')" 6 "and stores nothing (the macro for both profiles)"
KACHE_RECACHE=1 again
is "$(count '^miss')" 5 "KACHE_RECACHE: compiles and stores"
again
is "$(count '^hit')" 5 "what was stored again hits"
KACHE_CACHE_EXECUTABLES=false again
is "$(count '^passthrough .* executables-off')" 3 "cache_executables = false: what is linked passes"
is "$(count '^hit lib')" 2 "libraries hit"
KACHE_KEY_SALT=x again
is "$(count '^hit')" 0 "another salt, another cache"
TOKEN=1 KACHE_KEY_ENV=TOKEN again
is "$(count '^hit')" 0 "a declared variable counts"
TOKEN=1 KACHE_KEY_ENV=TOKEN again
is "$(count '^hit')" 5 "by its value"
TOKEN=2 KACHE_KEY_ENV=TOKEN again
is "$(count '^hit')" 0 "another value misses"
KACHE_REMAP=false again
is "$(count '^hit')" 0 "without remapping it is another cache"
KACHE_REMAP=false again
is "$(count '^hit')" 5 "which hits in the same place"
cp -r "$W" "$T/other"
rm -rf "$T/other/target"
KACHE_REMAP=false kbuild "$T/other" build
is "$(count '^hit lib')" 0 "and not in another"
KACHE_OBSERVE=off again
is "$(count '^(hit|miss|uncached)')" 5 "without the observer everything is compiled or hits"
rm -rf "$KACHE_CACHE_DIR" "$T/events.seen"
KACHE_OBSERVE=off again
is "$(count '^uncached .* unobserved-')" 4 "without the observer what it would have to tell is not stored"
is "$("$W/target/debug/app")" "2 hello word 7" "and the program works"

export CARGO_INCREMENTAL=0	# or what passes through is never the same twice
conf <<'EOF'
[cache]
bypass_crates = ["leaf"]
exclude = ["mid/*"]
bypass_env = ["NO_CACHE_TODAY=1"]
bypass_argv = ["panic=abort"]
extra_inputs = ["data/*.json", "schema.sql"]
EOF
again
is "$(count '^passthrough lib leaf bypass-crate')" 1 "bypass_crates"
is "$(count '^passthrough lib mid exclude')" 1 "exclude"
NO_CACHE_TODAY=1 again
is "$(count '^passthrough (bin|proc-macro|build-script) .* bypass-env')" 3 "bypass_env"
again
is "$(count '^hit bin app')" 1 "before the declared file is there"
echo 'create table t' > "$W/app/schema.sql"
again
is "$(count '^hit bin app')" 0 "extra_inputs: a declared file counts"
again
is "$(count '^hit bin app')" 1 "and hits while it stays"
rm "$XDG_CONFIG_HOME/kache/config.toml"
unset CARGO_INCREMENTAL

# Editing: the first builds are cached, then rustc's own incremental compilation takes over.
rm -rf "$KACHE_CACHE_DIR" "$T/events.seen" "$W/target"
kbuild "$W" build
is "$(count '^miss')" 5 "a fresh checkout is cached"
echo '// edited' >> "$W/app/src/main.rs"
kbuild "$W" build
is "$(count '^passthrough bin app incremental')" 1 "an edited crate is compiled incrementally"
rm -rf "$W/target"
kbuild "$W" build
is "$(count '^miss bin app')" 1 "after a clean it is cached"
KACHE_INCREMENTAL=always again
is "$(count '^passthrough .* incremental')" 0 "what hits, hits whatever the policy"
echo '// edited again' >> "$W/app/src/main.rs"
KACHE_INCREMENTAL=always again
is "$(count '^passthrough bin app incremental')" 1 "always: left alone"
is "$(find "$W/target" -name made)" "" "and nothing of it noted"
KACHE_INCREMENTAL=never kbuild "$W" build
echo '// and again' >> "$W/app/src/main.rs"
KACHE_INCREMENTAL=never kbuild "$W" build
is "$(count '^miss bin app')" 1 "never: cached all the same"

# Exit codes and signals are the compiler's.
cat > "$T/rustc" <<'EOF'
#!/bin/sh
case "$*" in *-vV*|*sysroot*) exec rustc "$@" ;; esac
test "$1" != --die || kill -SEGV $$
test "$1" != --wait || sleep 30
exit 42
EOF
chmod +x "$T/rustc"
"$KACHE" "$T/rustc" --frobnicate > /dev/null 2>&1
is $? 42 "exit code of a passthrough"
(cd "$T" && echo 'fn x' > y.rs && "$KACHE" "$T/rustc" --crate-name y --crate-type lib --out-dir "$T/o" y.rs > /dev/null 2>&1)
is $? 42 "exit code of a compile"
finish
