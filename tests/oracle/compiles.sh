#!/bin/sh
# A short run of the oracle for C: nothing that is handed out differs from what would have been compiled.
. "$(dirname "$0")/../lib/lib.sh"
need python3 gcc g++
test -f "$builddir/kache-observe.so" || skip_all "C is cached with the observer only"
for seed in 1 2; do
	out=$(TMPDIR=$T python3 "$srcdir/tests/oracle/cc.py" "$KACHE" --edits 80 --seed $seed --pauses 0.02 2>&1)
	like "$out" ' 80 calls, .* [1-9][0-9]* hits, .* 0 wrong$' "80 edits, seed $seed"
done
# It can tell: a launcher that hands out what a source gave first.
mkdir "$T/lies.d"
cat > "$T/lies" <<'EOF'
#!/bin/sh
test "$1" != stats || { echo '{"hits": 0}'; exit; }
for word; do case $last in -o) object=$word ;; -c) source=$word ;; esac; last=$word; done
kept=$0.d/$(printf '%s' "$source" | tr / _)
test -f "$kept" -a -n "$object" && exec cp "$kept" "$object"
"$@" && cp "$object" "$kept"
EOF
chmod +x "$T/lies"
out=$(TMPDIR=$T python3 "$srcdir/tests/oracle/cc.py" "$T/lies" --edits 40 --seed 1 --pauses 0 --moved 0 2>&1)
like "$out" '^wrong: ' "a cache that lies is found out"
finish
