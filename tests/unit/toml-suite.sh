#!/bin/sh
# The TOML reader agrees with the official toml-test suite on what is TOML 1.0 and what it means.
# The suite's folder (the one that holds valid/ and invalid/) is $TOML_TEST_DIR, else where
# tests/lib/get-toml-test put it.
. "${srcdir:-.}/tests/lib/lib.sh"

suite=${TOML_TEST_DIR:-$HOME/.cache/kache-test-tools/toml-test}
test -d "$suite/valid" && test -d "$suite/invalid" ||
	skip_all "toml-test is not there; get it with tests/lib/get-toml-test, or set TOML_TEST_DIR"
decoder=$builddir/tests/unit/toml-decoder

cd "$suite" || exit 99
if test -f files-toml-1.0.0; then
	grep '\.toml$' files-toml-1.0.0 > "$T/files"
else
	find valid invalid -name '*.toml' | sort > "$T/files"
fi

valid=0 invalid=0
: > "$T/bad"
while read -r file; do
	case $file in
	valid/*)
		valid=$((valid + 1))
		"$decoder" "$file" "${file%.toml}.json" > /dev/null 2> "$T/err" || echo "$file: $(cat "$T/err")" >> "$T/bad"
		;;
	invalid/*)
		invalid=$((invalid + 1))
		"$decoder" "$file" > /dev/null 2> "$T/err"
		status=$?
		last=$(($(wc -l < "$file") + 1))
		if test $status -ne 1; then
			echo "$file: exit status $status" >> "$T/bad"
		elif ! awk -v last=$last 'NR > 1 || !/^line [0-9]+: ./ || $2 + 0 < 1 || $2 + 0 > last { bad = 1 } END { exit NR == 1 && !bad ? 0 : 1 }' "$T/err"; then
			echo "$file: not one line with a line number: $(cat "$T/err")" >> "$T/bad"
		fi
		;;
	esac
done < "$T/files"

sed 's/^/# /' "$T/bad"
echo "# $valid valid and $invalid invalid files"
test $valid -gt 100; ok $? "the suite has valid files"
test $invalid -gt 100; ok $? "the suite has invalid files"
grep -q '^valid' "$T/bad"; test $? -eq 1; ok $? "each valid file is read as it means"
grep -q '^invalid' "$T/bad"; test $? -eq 1; ok $? "each invalid file is refused with one line that names a line"
finish
