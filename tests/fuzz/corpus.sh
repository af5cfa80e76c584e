#!/bin/sh
# Every fuzz target gets through its seeds, their beginnings and small changes of them.
. "${srcdir:-.}/tests/lib/lib.sh"

for seeds in "$srcdir"/tests/fuzz/corpus/*; do
	name=${seeds##*/}
	# A backend that was left out has no parser either.
	case $name in
	s3*) test -f "$builddir/backends/s3/.libs/kache-s3.so" || continue ;;
	resp) test -f "$builddir/backends/redis/.libs/kache-redis.so" || continue ;;
	memcached) test -f "$builddir/backends/memcached/.libs/kache-memcached.so" || continue ;;
	dav|action) test -f "$builddir/backends/http/.libs/kache-http.so" || continue ;;
	esac
	"$builddir/tests/fuzz/fuzz-$name" "$seeds" > "$T/log" 2>&1
	status=$?
	like "$(tail -n 1 "$T/log")" '^1\.\.[1-9]' "$name: the whole corpus is run"
	ok $status "$name: nothing fails"
	test $status -eq 0 || tail -n 5 "$T/log" | sed 's/^#* */# /'
done
finish
