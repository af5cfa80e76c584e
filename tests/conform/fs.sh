#!/bin/sh
# The fs backend in the kit, alone and by sixteen processes at once.
. "$(dirname "$0")/../lib/lib.sh"
module=$builddir/backends/fs/.libs/kache-fs.so
test -f "$module" || skip_all "the fs backend was left out of this build"
mkdir "$T/shared"
runs "the kit" "$builddir/kache-conform" "$module" -o "url=file://$T/shared"
is "$(find "$T/shared" -type f | wc -l | tr -d ' ')" 0 "which leaves no file behind"
for i in 1 2 3 4; do "$builddir/kache-conform" "$module" -o "url=file://$T/shared" --quick > "$T/kit.$i" 2>&1 & done
wait
is "$(grep -l '^not ok' "$T"/kit.* | wc -l | tr -d ' ')" 0 "four kits on one directory at once"
is "$(tail -q -n 1 "$T"/kit.* | sort -u)" "$(tail -n 1 "$T/kit.1")" "all of them to the end"
finish
