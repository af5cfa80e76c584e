#!/bin/sh
# Includes point one way (docs/architecture.md), and programs hold nothing they must not.
. "$(dirname "$0")/../lib/lib.sh"
cd "$srcdir" || exit 99

# allowed FOLDER REGEX: every #include "…" of ours in FOLDER matches the regex.
allowed() {
	found=$(grep -nE '^#[[:space:]]*include "' "$1"/*.c "$1"/*.h "$1"/*.def 2> /dev/null |
		grep -vE "include \"(config\.h|($2)/[a-z0-9-]*\.(h|def))\"")
	is "$found" "" "$1 includes $2"
}
allowed core/base 'base'
allowed core/conf 'conf|base'
allowed core/key 'key|base'
allowed core/observe 'observe|base'
allowed core/store 'store|base|conf'
allowed core/remote 'remote|base|conf|kache'
allowed core/share 'share|daemon|store|remote|base|conf|kache'
allowed wrapper 'wrapper|base|conf|key|observe|store|daemon'
allowed core/daemon 'daemon|share|store|remote|base|conf'

is "$(grep -lE '^#[[:space:]]*include <sqlite3.h>' -r core wrapper cli backends | grep -v '^core/store/index')" "" "sqlite3.h only in core/store/index*"
is "$(grep -lE '\b(dlopen|dlmopen) *\(' -r core wrapper cli backends --include='*.c' | grep -vE '^core/remote/loader.c|^core/observe/preload')" "" "dlopen only in core/remote/loader.c"
is "$(grep -nE '#include "(store/index|kache/|remote/)' wrapper/*.[ch])" "" "the wrapper knows no index and no backend"
is "$(grep -nE '#include "(base|conf|store|key|remote)/' backends/*/*.[ch])" "" "backends know nothing of core"

if command -v nm > /dev/null && ! grep -q fsanitize "$builddir/config.status"; then
	unlike "$(nm "$builddir/hot/wrapper/rustc.o" "$builddir"/hot/core/store/*.o 2> /dev/null)" 'sqlite3|dlopen|curl_|archive_' "the wrapper needs no library but libc and BLAKE3"
	for so in "$builddir"/backends/*/.libs/kache-*.so; do
		test -e "$so" || continue
		is "$(nm -D --defined-only "$so" | awk '{ print $3 }' | grep -v '^_')" kache_backend_1 "$(basename "$so") exports one symbol"
	done
fi
finish
