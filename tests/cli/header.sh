#!/bin/sh
# kache/backend.h: every dialect, every layout, and the examples in kache-backend(3).
. "$(dirname "$0")/../lib/lib.sh"
CC=${CC:-cc} CXX=${CXX:-c++}
need "$CC"
warn="-Wall -Wextra -Wpedantic -Wpadded -Wshadow -Werror -I$srcdir/include"
printf '#include "kache/backend.h"\nint main(void) { return 0; }\n' > "$T/t.c"
cp "$T/t.c" "$T/t.cc"
for std in c99 c11 c17; do
	runs "compiles as $std" "$CC" -std=$std $warn -Wstrict-prototypes -c -o "$T/t.o" "$T/t.c"
done
if command -v "$CXX" > "$T/log" 2>&1; then
	runs "compiles as C++11" "$CXX" -std=c++11 $warn -c -o "$T/t.o" "$T/t.cc"
else
	ok 0 "compiles as C++11 # SKIP no $CXX"
fi
is "$(grep -c '^# *include' "$srcdir/include/kache/backend.h")" 2 "includes stddef.h and stdint.h only"

# offsets never change within ABI 1
cat > "$T/layout.c" <<'END'
#include "kache/backend.h"
#define AT(type, field, p64, p32) _Static_assert(offsetof(struct type, field) == (sizeof(void *) == 8 ? p64 : p32), #type "." #field)
AT(kb_key, len, 8, 4);
AT(kb_stat, mtime_s, 8, 8); AT(kb_stat, ttl_s, 16, 16);
AT(kb_call, deadline_ns, 8, 8); AT(kb_call, cancel_fd, 16, 16); AT(kb_call, retry_after_ms, 20, 20);
AT(kb_source, fd, 4, 4); AT(kb_source, size, 8, 8); AT(kb_source, read, 16, 16); AT(kb_source, rewind, 24, 20);
AT(kb_sink, fd, 4, 4); AT(kb_sink, limit, 8, 8); AT(kb_sink, begin, 16, 16); AT(kb_sink, write, 24, 20);
AT(kb_opt, flags, 4, 4); AT(kb_opt, min, 8, 8); AT(kb_opt, max, 16, 16); AT(kb_opt, name, 24, 24);
AT(kb_opt, alias, 32, 28); AT(kb_opt, def, 40, 32); AT(kb_opt, values, 48, 36); AT(kb_opt, env, 56, 40); AT(kb_opt, help, 64, 44);
AT(kb_host, abi_minor, 4, 4); AT(kb_host, kache_version, 8, 8); AT(kb_host, conf_str, 16, 12); AT(kb_host, conf_u64, 24, 16);
AT(kb_host, fail, 32, 20); AT(kb_host, log, 40, 24);
AT(kb_limits, caps, 4, 4); AT(kb_limits, max_inflight, 8, 8); AT(kb_limits, max_batch, 12, 12); AT(kb_limits, max_object, 16, 16);
AT(kb_put_opts, flags, 4, 4); AT(kb_put_opts, ttl_s, 8, 8);
AT(kb_item, op, 4, 4); AT(kb_item, status, 8, 8); AT(kb_item, flags, 12, 12); AT(kb_item, key, 16, 16); AT(kb_item, st, 32, 24);
AT(kb_item, src, 56, 48); AT(kb_item, dst, 64, 52);
AT(kb_backend, struct_size, 4, 4); AT(kb_backend, abi_major, 8, 8); AT(kb_backend, abi_minor, 10, 10);
AT(kb_backend, threads, 12, 12); AT(kb_backend, caps, 16, 16); AT(kb_backend, opt_size, 20, 20); AT(kb_backend, name, 24, 24);
AT(kb_backend, version, 32, 28); AT(kb_backend, summary, 40, 32); AT(kb_backend, schemes, 48, 36); AT(kb_backend, opts, 56, 40);
AT(kb_backend, check, 64, 44); AT(kb_backend, open, 72, 48); AT(kb_backend, close, 80, 52); AT(kb_backend, get, 88, 56);
AT(kb_backend, put, 96, 60); AT(kb_backend, head, 104, 64); AT(kb_backend, del, 112, 68); AT(kb_backend, touch, 120, 72);
AT(kb_backend, list, 128, 76); AT(kb_backend, batch, 136, 80); AT(kb_backend, ping, 144, 84);
_Static_assert(KB_OK == 0 && KB_MISS == 1 && KB_EXISTS == 2 && KB_E_TRANSIENT == -10 && KB_E_THROTTLED == -11 &&
	KB_E_TIMEOUT == -12 && KB_E_CANCELLED == -13 && KB_E_AUTH == -20 && KB_E_CONFIG == -21 && KB_E_UNSUPPORTED == -22 &&
	KB_E_TOOBIG == -30 && KB_E_NOSPACE == -31 && KB_E_CORRUPT == -40 && KB_E_LOCAL == -50 && KB_E_BUG == -99, "status");
_Static_assert(KB_OPT_STR == 0 && KB_OPT_BOOL == 1 && KB_OPT_UINT == 2 && KB_OPT_SIZE == 3 && KB_OPT_MSEC == 4 &&
	KB_OPT_ENUM == 5 && KB_OPT_PATH == 6 && KB_OP_GET == 1 && KB_OP_TOUCH == 5, "types and operations");
_Static_assert(KB_THREADS_SERIAL == 1000 && KB_THREADS_PER_HANDLE == 2000 && KB_THREADS_PARALLEL == 3000, "threads");
END
runs "the layout is that of ABI 1" "$CC" -std=c11 -I"$srcdir/include" -fsyntax-only "$T/layout.c"

# The example of the manual: compiled as it stands, loaded, and used.
sed -n '/^=for example begin/,/^=for example end/p' "$srcdir/docs/man/kache-backend.3.pod" | grep -v '^=' | sed 's/^ //' > "$T/dir.c"
mkdir "$T/m"
runs "the manual's example compiles" "$CC" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -I"$srcdir/include" -shared -fPIC \
	-fvisibility=hidden -Wl,-z,defs -o "$T/m/kache-dir.so" "$T/dir.c"
chmod 755 "$T/m/kache-dir.so"
is "$(nm -D --defined-only "$T/m/kache-dir.so" | awk '{ print $3 }')" kache_backend_1 "exports its entry and nothing else"
export KACHE_PLUGIN_PATH="$T/m"
like "$("$KACHE" plugin list 2>&1)" '^dir +dir ' "is found"
mkdir "$T/objects"
"$builddir/tests/cli/mkstore" "$T/a" demo one > "$T/key"
out=$(KACHE_CACHE_DIR=$T/a "$KACHE" sync --all --push --backend "dir:?path=$T/objects"); ok $? "and takes a push"
like "$out" 'pushed 1 ' "of one entry"
out=$(KACHE_CACHE_DIR=$T/a "$KACHE" sync --all --push --backend "dir:?path=$T/objects"); like "$out" 'pushed 0 .* 1 on both sides' "once"
out=$(KACHE_CACHE_DIR=$T/b "$KACHE" sync --all --pull --backend "dir:?path=$T/objects" 2>&1); like "$out" "the dir backend can't list" "it can't list, and pull says so"
finish
