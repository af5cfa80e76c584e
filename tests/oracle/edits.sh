#!/bin/sh
# A short run of the oracle on a small workspace: nothing that is handed out differs from what would have been compiled.
. "$(dirname "$0")/../lib/lib.sh"
. "$srcdir/tests/lib/cargo.sh"
need python3 git
make_workspace "$T/w"
for seed in 1 2; do
	out=$(TMPDIR=$T python3 "$srcdir/tests/oracle/oracle.py" "$KACHE" "$T/w" --edits 15 --seed $seed --cargo build --cargo check --cargo 'test --tests' 2>&1)
	like "$out" ' [1-9][0-9]* hits, [1-9][0-9]* artifacts compared, 0 wrong$' "15 edits, seed $seed"
done
# It can tell: a wrapper that hands out what it compiled first for a crate.
mkdir "$T/lies.d"
cat > "$T/lies" <<'EOF'
#!/bin/sh
name=$(printf '%s\n' "$@" | sed -n '/^--crate-name$/{n;p;}')
out=$(printf '%s\n' "$@" | sed -n '/^--out-dir$/{n;p;}')
case $name:$KACHE_CACHE_DIR in leaf:*/store) ;; *) exec "$@" ;; esac
kept=${0}.d/kept
test -d "$kept" && exec cp "$kept"/* "$out"
"$@" && mkdir "$kept" && cp "$out"/*leaf-* "$kept"
EOF
chmod +x "$T/lies"
out=$(TMPDIR=$T python3 "$srcdir/tests/oracle/oracle.py" "$T/lies" "$T/w" --edits 15 --seed 1 2>&1)
like "$out" '^wrong: ' "a cache that lies is found out"

# The same where the compiler's own incremental state has a part in it.
out=$(TMPDIR=$T python3 "$srcdir/tests/oracle/edited.py" "$KACHE" "$T/w" --steps 14 --seed 1 2>&1)
like "$out" ' [1-9][0-9]* hits, [1-9][0-9]* compiled with state, [1-9][0-9]* states stored, 0 wrong$' "14 steps with state"
sed -i 's|/store) ;;|/store) rm -f "$out"/*leaf-* ;;|' "$T/lies"
rm -rf "$T/lies.d"/*
out=$(TMPDIR=$T python3 "$srcdir/tests/oracle/edited.py" "$T/lies" "$T/w" --steps 6 --seed 1 2>&1)
like "$out" '^wrong: ' "a cache that lies is found out there, too"
finish
