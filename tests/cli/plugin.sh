#!/bin/sh
# Which backends are found, trusted and loaded; tiny wrong modules are compiled here.
. "$(dirname "$0")/../lib/lib.sh"
CC=${CC:-cc}
need "$CC"
umask 022
mkdir -p "$T/m" "$XDG_CONFIG_HOME/kache/plugins.d"
export KACHE_PLUGIN_PATH="$T/m"

# module NAME [-Dwhat]…: compiles a backend that does nothing, wrong in the way that is asked for
cat > "$T/module.c" <<'END'
#include "kache/backend.h"
#ifndef NAME
#define NAME "tiny"
#endif
#ifndef MAJOR
#define MAJOR KB_ABI_MAJOR
#endif
#ifndef MAGIC
#define MAGIC KB_MAGIC
#endif
#ifndef SIZE
#define SIZE sizeof(struct kb_backend)
#endif
#ifndef OPEN
#define OPEN do_open
#endif
#ifndef OPTION
#define OPTION "servers"
#endif
#ifndef DEFAULT
#define DEFAULT "4"
#endif
#ifndef THREADS
#define THREADS KB_THREADS_SERIAL
#endif
static const struct kb_opt opts[] = {
	{ KB_OPT_UINT, KB_OPT_REQUIRED, 1, 64, OPTION, NULL, DEFAULT, NULL, "TINY_SERVERS", "how many" },
	{ 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};
int do_open(const kb_conf *c, kb_handle **h, struct kb_limits *l, struct kb_call *k);
int do_open(const kb_conf *c, kb_handle **h, struct kb_limits *l, struct kb_call *k)
{ (void)c; (void)h; (void)l; (void)k; return STATUS; }
static void do_close(kb_handle *h) { (void)h; }
static int do_get(kb_handle *h, struct kb_key n, struct kb_sink *s, struct kb_call *k)
{ (void)h; (void)n; (void)s; (void)k; return KB_MISS; }
static int do_put(kb_handle *h, struct kb_key n, struct kb_source *s, const struct kb_put_opts *o, struct kb_call *k)
{ (void)h; (void)n; (void)s; (void)o; (void)k; return KB_OK; }
static const struct kb_backend backend = {
	.magic = MAGIC, .struct_size = SIZE, .abi_major = MAJOR, .abi_minor = KB_ABI_MINOR, .threads = THREADS,
	.opt_size = sizeof opts[0], .name = NAME, .version = "7", .summary = "a test", .schemes = "tiny tinys", .opts = opts,
	.open = OPEN, .close = do_close, .get = do_get, .put = do_put,
};
#if defined OTHER_MAJOR
KB_EXPORT const struct kb_backend *OTHER_MAJOR(const struct kb_host *);
const struct kb_backend *OTHER_MAJOR(const struct kb_host *h) { (void)h; return &backend; }
#elif !defined NO_ENTRY
KB_ENTRY(tiny) { (void)kb_host_arg; return RETURN; }
#endif
END
module() {
	rm -f "$T"/m/*; module_name=$1; shift
	"$CC" -shared -fPIC -I"$srcdir/include" -DSTATUS=KB_E_BUG -DRETURN='&backend' "$@" -o "$T/m/kache-$module_name.so" "$T/module.c" 2> "$T/cc.log" ||
		{ sed 's/^/# /' "$T/cc.log"; }
}
refused() { # refused NAME REGEX MODULE [-D…]
	refused_name=$1; refused_regex=$2; shift 2
	module "$@"
	out=$("$KACHE" plugin list 2>&1)
	like "$out" "^tiny .* not usable: .*kache-tiny.so.*$refused_regex" "$refused_name"
}

module tiny
like "$("$KACHE" plugin list 2>&1)" '^tiny +tiny tinys +a test$' "a good module in the plugin path is found without a drop-in"
out=$("$KACHE" plugin show tiny 2>&1)
like "$out" 'a number from 1 to 64; default 4; required; variable TINY_SERVERS' "and its options are shown"
like "$out" 'operations +get put$' "and its operations"

refused "a newer ABI" 'was built for backend ABI 2, this kache speaks 1; upgrade kache' tiny -DOTHER_MAJOR=kache_backend_2
refused "an older ABI" 'was built for backend ABI 0, this kache speaks 1; rebuild the backend' tiny -DOTHER_MAJOR=kache_backend_0
refused "no entry" 'is not a kache backend: it has no symbol kache_backend_1' tiny -DNO_ENTRY
refused "wrong magic" 'wrong magic' tiny -DMAGIC=1
refused "another major in the table" 'says backend ABI 2' tiny -DMAJOR=2
refused "a short table" 'struct_size is too small' tiny -DSIZE=60
refused "no table" 'declined to start' tiny -DRETURN=NULL
refused "another name" 'calls itself other' tiny '-DNAME="other"'
refused "a missing operation" 'open, close, get or put is missing' tiny -DOPEN=NULL
refused "an unknown thread model" 'thread model' tiny -DTHREADS=1
refused "an option that is kache's" 'option timeout belongs to kache' tiny '-DOPTION="timeout"'
refused "an option set aside" 'option rate belongs to kache' tiny '-DOPTION="rate"'
refused "a bad option name" 'name is not of' tiny '-DOPTION="Ser vers"'
refused "a default out of range" 'default of option servers' tiny '-DDEFAULT="65"'

# a longer table than ours: the host takes what it knows
module tiny '-DSIZE=sizeof(struct kb_backend)+8'
like "$("$KACHE" plugin list 2>&1)" '^tiny +tiny tinys +a test$' "a module of a later minor version works"

# the entry of a library the module is linked to is not the module's
module tiny; mv "$T/m/kache-tiny.so" "$T/libborrowed.so"
echo 'int unused;' > "$T/empty.c"
"$CC" -shared -fPIC -o "$T/m/kache-tiny.so" "$T/empty.c" -Wl,--no-as-needed "$T/libborrowed.so" -Wl,-rpath,"$T"
like "$("$KACHE" plugin list 2>&1)" 'not usable: .*not its own but of a library' "an entry that a library lends is refused"

echo 'not a library' > "$T/m/kache-tiny.so"
like "$("$KACHE" plugin list 2>&1)" 'not usable: .*can.t be loaded' "a file that is no library"

# trust
module tiny; chmod g+w "$T/m/kache-tiny.so"
like "$("$KACHE" plugin list 2>&1)" 'not usable: .*may be written by others \(mode 775\)' "a module the group may write is not loaded"
if test "$(id -u)" = 0; then
	chmod g-w "$T/m/kache-tiny.so"; chown 12345 "$T/m/kache-tiny.so"
	like "$("$KACHE" plugin list 2>&1)" 'belongs to user 12345; a backend belongs to root or to you' "nor one of another user"
fi
module tiny; mv "$T/m/kache-tiny.so" "$T/m/kache-Tiny.so"
unlike "$("$KACHE" plugin list 2>&1)" '[Tt]iny' "a file with another kind of name is not a module"

# opening
module tiny
out=$("$KACHE" sync --all --backend tiny://x 2>&1); like "$out" '^kache: remote tiny://x: backend bug' "a backend without a word about its error"
module tiny -DSTATUS=-777
out=$("$KACHE" sync --all --backend tiny://x 2>&1); like "$out" 'tiny 7 returned the unknown status -777' "an unknown status is the backend's bug"
module tiny -DSTATUS=KB_OK
out=$("$KACHE" sync --all --backend tiny://x 2>&1); like "$out" 'tiny 7 opened nothing' "and so is a handle that is none"
out=$("$KACHE" sync --all --backend 'tiny://x?servers=65' 2>&1); like "$out" "servers = '65' is not accepted; it takes a number from 1 to 64" "options are checked against the schema"
out=$(TINY_SERVERS=many "$KACHE" sync --all --backend tiny://x 2>&1); like "$out" "^kache: environment TINY_SERVERS: servers = 'many'" "also from the environment"
module tiny '-DDEFAULT=NULL'
out=$("$KACHE" sync --all --backend tiny://x 2>&1); like "$out" 'needs the option servers: .*servers=.*TINY_SERVERS' "what is required has to be there"

# drop-ins
module tiny
printf 'file = "kache-tiny.so"\nschemes = "zz"\nsummary = "renamed"\n' > "$T/m/tiny.conf"
like "$("$KACHE" plugin list 2>&1)" '^tiny +zz +renamed$' "a drop-in beside the module counts"
rm "$T/m/tiny.conf"; mkdir "$T/n"; mv "$T/m/kache-tiny.so" "$T/n/"
printf 'file = "kache-gone.so"\n' > "$XDG_CONFIG_HOME/kache/plugins.d/gone.conf"
like "$("$KACHE" plugin list 2>&1)" '^gone .*not usable: .*plugins.d/gone.conf names kache-gone.so, which is neither in' "a drop-in without its module"
"$KACHE" plugin list > "$T/out" 2>&1; is $? 0 "is no failure"
printf 'file = "kache-gone.so"\ncritical = true\n' > "$XDG_CONFIG_HOME/kache/plugins.d/gone.conf"
"$KACHE" plugin list > "$T/out" 2>&1; is $? 1 "unless it is critical"
: > "$XDG_CONFIG_HOME/kache/plugins.d/gone.conf"
like "$("$KACHE" plugin list 2>&1)" '^gone .*disabled: .*is empty' "an empty drop-in disables"
bad_dropin() { printf '%b' "$2" > "$XDG_CONFIG_HOME/kache/plugins.d/gone.conf"; like "$("$KACHE" plugin list 2>&1)" "$3" "$1"; }
bad_dropin "an unknown key" 'file = "kache-gone.so"\nschema = "x"\n' "gone.conf:2: no key 'schema'"
bad_dropin "a wrong type" 'file = 3\n' 'gone.conf:1: file takes a string'
bad_dropin "a path instead of a file name" 'file = "/tmp/kache-gone.so"\n' "it takes 'kache-gone.so'"
bad_dropin "no file" 'summary = "x"\n' 'the key file is missing'
bad_dropin "no TOML" 'file = \n' 'gone.conf: line 1'
chmod g+w "$XDG_CONFIG_HOME/kache/plugins.d/gone.conf"
like "$("$KACHE" plugin list 2>&1)" 'gone.conf may be written by others' "a drop-in the group may write"
rm "$XDG_CONFIG_HOME/kache/plugins.d/gone.conf"

# the command
out=$("$KACHE" plugin show nothing 2>&1); is $? 1 "show of an unknown backend fails"
like "$out" "no backend 'nothing'; there are:" "and says which there are"
"$KACHE" plugin > "$T/out" 2>&1; is $? 2 "no action is a usage error"
"$KACHE" plugin lsit > "$T/out" 2>&1; is $? 2 "and so is an unknown one"
export KACHE_PLUGIN_PATH="$T/n"
like "$("$KACHE" plugin list --json)" '"name":"tiny","usable":true,"problem":null,"disabled":false' "list --json"
like "$("$KACHE" plugin show tiny --json)" '"options":\[\{"name":"servers","accepts":"a number from 1 to 64","default":"4"' "show --json"

# dump
out=$("$KACHE" plugin dump tiny); is $? 0 "dump"
unlike "$out" '^[^=]*$' "has key=value lines only"
for want in name=tiny version=7 'schemes=tiny tinys' "path=$T/n/kache-tiny.so" abi_major=1 threads=serial cap_write=0 cap_put_if_absent=0 has_put=1 has_list=0 \
	options=servers option_servers_type=uint option_servers_default=4 option_servers_min=1 option_servers_variable=TINY_SERVERS option_servers_required=1; do
	printf '%s\n' "$out" | grep -qxF "$want"; ok $? "with $want"
done
"$KACHE" plugin dump nothing > "$T/out" 2>&1; is $? 1 "dump of an unknown backend fails"
"$KACHE" plugin dump > "$T/out" 2>&1; is $? 2 "dump without a name is a usage error"
"$KACHE" plugin dump tiny --json > "$T/out" 2>&1; is $? 2 "so is --json"

# test
if test -f "$builddir/backends/fs/.libs/kache-fs.so"; then
	install -m 755 "$builddir/backends/fs/.libs/kache-fs.so" "$T/n/kache-fs.so"
	out=$("$KACHE" plugin test "file://$T/remote" 2>&1); is $? 0 "test of a URL"
	is "$(printf '%s\n' "$out" | sed 's/ .*//' | tr '\n' ' ')" "open ping put head get delete get " "goes through all steps"
	unlike "$out" failed "none fails"
	like "$out" '^put +ok, [0-9.]+ [mu]?s, 4096 bytes$' "with its time"
	is "$(find "$T/remote" -type f | wc -l)" 0 "nothing stays there"
	out=$("$KACHE" plugin test "file://$T/remote?mode=ro" 2>&1); is $? 1 "read-only"
	like "$out" "^kache: plugin: file://$T/remote is read-only, .*nothing was stored there$" "is said"
	out=$("$KACHE" plugin test "file://$T/gone?create=false" 2>&1); is $? 1 "a remote that is not there"
	like "$out" "^open +failed after .*: remote file://$T/gone: " "fails at its opening"
	out=$("$KACHE" plugin test fs 2>&1); is $? 1 "a backend without a remote"
	like "$out" "no configured remote is 'fs' or uses that backend; give a URL$" "is told"
	like "$(KACHE_BACKEND="file://$T/remote" "$KACHE" plugin test fs 2>&1)" "^open +ok, .*, file://$T/remote$" "with one it is tested"
	printf '[[cache.remotes]]\nurl = "tiny:"\n[[cache.remotes]]\nname = "office"\nurl = "file://%s/remote"\n' "$T" > "$T/c.toml"
	like "$(KACHE_CONFIG=$T/c.toml "$KACHE" plugin test office 2>&1)" "^open +ok, .*, file://$T/remote$" "also by its name"
	mkdir -p "$T/remote/artifacts"; chmod 555 "$T/remote/artifacts"
	if test "$(id -u)" != 0; then
		"$KACHE" plugin test "file://$T/remote" > "$T/out" 2>&1; is $? 1 "a directory that can't be written"
	fi
	chmod 755 "$T/remote/artifacts"
fi
"$KACHE" plugin test > "$T/out" 2>&1; is $? 2 "test without a name is a usage error"
finish
