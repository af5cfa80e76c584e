# kache-observe.so under real programs: every interposed function, what survives a hostile process.
. "${srcdir:-.}/tests/lib/lib.sh"
so=$builddir/kache-observe.so
test -f "$so" || skip_all "the observer is not built here"
need gcc
. "$srcdir/tests/lib/observe.sh"

mkdir "$T/w1" && cd "$T/w1" || exit 99
mkdir r w d p s l l/opendir l/fdopendir l/scandir l/nftw l/nftw/sub l/glob real
for f in open open64 openat openat64 syscall fopen freopen rdwr rename renameat renameat2 link symlink after-close; do
	echo x > r/$f
done
for f in stat lstat fstatat statx syscall access faccessat euidaccess o_path canonicalize after-dup; do echo x > p/$f; done
echo x > real/in-link
ln -s ../real s/dir; ln -s nowhere s/readlink; ln -s nowhere s/readlinkat
echo x > w/unlink; echo x > w/truncate; mkdir a; echo x > a/access
for f in true execve execl execle fexecve; do cp /bin/true $f; done
mkdir bin1 bin2; cp /bin/true bin2/spawnp; cp /bin/true bin2/execvp
printf '#!/bin/sh\nexit 0\n' > script; chmod +x script
cat > plugin.c <<'C'
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
int plugin_stat(void) { struct stat st; return stat("p/stat", &st) + 0; }
int plugin_open(void) { int fd = open("r/open", O_RDONLY); return close(fd); }
char *plugin_asks(void) { return getenv("PLUGIN_ASKS"); }
int plugin_gethostname(void) { char room[256]; return gethostname(room, sizeof room); }
int plugin_uname(void) { struct utsname u; return uname(&u); }
int plugin_getuid(void) { return getuid() + 0; }
int plugin_geteuid(void) { return geteuid() + 0; }
char *plugin_getlogin(void) { return getlogin(); }
int plugin_getlogin_r(void) { char room[256]; return getlogin_r(room, sizeof room); }
struct passwd *plugin_getpwuid(void) { return getpwuid(1); }
int plugin_getpwuid_r(void) { struct passwd p, *found; char room[4096]; return getpwuid_r(1, &p, room, sizeof room, &found); }
int plugin_here(void) { char room[4096]; return getcwd(room, sizeof room) != room; }
C
gcc -shared -fPIC -o plugin.so plugin.c
gcc -w -D_GNU_SOURCE -O1 -o calls "$srcdir/tests/lib/observe-calls.c" -ldl || { echo "Bail out! can't build the calls"; exit 1; }

observe ./calls opens
head -n 1 "$T/rec" > "$T/first"; is "$(cat "$T/first")" "B$PWD/calls" "a process begins with its name"
for f in open open64 openat openat64 syscall fopen freopen rdwr; do has "R$PWD/r/$f"; done
for f in open fopen; do has "A$PWD/a/$f"; done
has O/dev/zero "what is neither file nor directory"
for f in creat open fopen; do has "W$PWD/w/$f"; done
has "W$PWD/r/rdwr"
has "L$PWD/."
has "P$PWD/p/o_path"
has "R$PWD/r/after-close" "a log that was closed is opened again"
has "P$PWD/p/after-dup" "a log whose number was taken is opened again"
is "$(cat r/after-close)" x "and nothing is written into what took it"
matches '^R/.*/libc\.so\.6$' "libraries that were loaded at the start"

observe ./calls looks
for f in stat lstat fstatat statx syscall access faccessat euidaccess canonicalize; do has "P$PWD/p/$f"; done
for f in stat access/below syscall realpath opendir; do has "A$PWD/a/$f"; done
for f in readlink readlinkat dir; do has "S$PWD/s/$f"; done
is "$(grep -c "^P$PWD/p/stat\$" "$T/rec")" 1 "a record is written once"

if drop_rights; then
	mkdir u u/dir p/dir
	for f in u/file u/fopen u/access u/syscall u/dir/below p/file p/write p/no-program; do echo x > $f; done
	chmod 000 u/file u/fopen u/access u/syscall u/dir p/dir
	chmod 444 p/file p/write p/no-program
	ln -s loop loop; ln -s ../p/stat s/link
	observe $drop ./calls denials
	for f in file fopen dir access syscall; do has "U$PWD/u/$f" "may not be read: $f"; done
	for f in file dir write no-program; do has "P$PWD/p/$f" "is there, and not what was wanted: $f"; done
	for f in u/dir/below u/dir/asked u/dir/opened loop a/program a/spawned a/socket; do has "A$PWD/$f" "can't be reached: $f"; done
	has "S$PWD/s/link" "a link that was not to be followed"
	is "$(grep -c '^[N!]' "$T/rec")" 0 "nothing else"
	chmod 755 u/dir
fi
echo x > socket
observe ./calls stranger
has Nunix "somebody may listen later"
for how in roots spaces; do
	observe ./calls $how
	matches '^!a program that gives itself other files' "names that would mean something else: $how"
done

observe ./calls lists
for f in opendir fdopendir scandir nftw nftw/sub glob/; do has "L$PWD/l/$f"; done

observe ./calls changes
for f in mkdir mkdirat; do has "D$PWD/d/$f"; done
for f in mkstemp- mkostemps-; do matches "^W$PWD/w/$f[A-Za-z0-9]{6}" "W w/$f"; done
matches "^D$PWD/w/mkdtemp-[A-Za-z0-9]{6}" "D w/mkdtemp"
unlike "$(cat "$T/rec")" 'XXXXXX$' "by the names that they got"
for f in rename renameat renameat2; do has "R$PWD/r/$f"; has "W$PWD/r/$f"; has "W$PWD/w/$f"; done
for f in link symlink unlink truncate; do has "W$PWD/w/$f"; done
has "R$PWD/r/link"
matches "^R$PWD/w/\.\./r/symlink" "the target of a new link"

PATH="$PWD/bin1:$PWD/bin2:$PATH" observe ./calls starts
for f in ./true ./execve ./execl ./execle; do has "X$PWD/$f"; has "B$PWD/${f#./}" "$f reports, also with an environment of its own"; done
has "X$PWD/fexecve"; has "B$PWD/fexecve"
for f in spawnp execvp; do
	has "x$f"; has "A$PWD/bin1/$f"; has "X$PWD/bin2/$f"; has "B$PWD/bin2/$f"
done
has "X$PWD/./gone"; has "F$PWD/./gone" "a failed exec is taken back"
has "X$PWD/calls" "a program that starts itself"
has "X/bin/sh"
has "R$PWD/./script" "a script is read by its shell"

SEEN_GETENV=1 observe ./calls others > "$T/out"
has "R$PWD/./plugin.so"; has ESEEN_GETENV; has ESEEN_SECURE; has Ninet
is "$(cat "$T/out")" "" "the environment does not show the observer"
is "$(grep -c '^C' "$T/rec")" 0 "gmtime is no question for the calendar"
observe ./calls calendar
has Clocaltime "localtime is"
observe ./calls durations
is "$(grep -c '^T' "$T/rec")" 0 "how long something takes is not the time of day"
for how in real coarse day time standard number; do
	observe ./calls clock_$how
	has "T$PWD/calls" "who asks what time it is: $how"
done

observe ./calls looks lists opens
is "$(grep '^K' "$T/rec")" "" "the program itself may look at files"
for how in getcwd getwd name real kernel number; do
	observe ./calls here_$how
	has "H$PWD/calls" "who asks where it is: $how"
done
for how in stat open; do
	observe ./calls plugin_$how
	has "K$PWD/./plugin.so" "a library that looks at files: $how"
	hasnt "H$PWD/./plugin.so" "and does not ask where it is"
done
observe ./calls library_asks
has "GPLUGIN_ASKS=./plugin.so" "a library that asks for a variable"
has EPLUGIN_ASKS
is "$(grep -c '^G' "$T/rec")" 1 "which its program may"
for how in gethostname uname getuid geteuid getlogin getlogin_r getpwuid getpwuid_r; do
	observe ./calls plugin_$how
	has "M$PWD/./plugin.so" "a library that asks which machine this is, or who the user is: $how"
done
observe ./calls plugin_here
has "H$PWD/./plugin.so" "a library that asks where it is"
hasnt "H$PWD/calls" "which its program does not"
hasnt "K$PWD/./plugin.so" "nor looks at files"

LD_PRELOAD="$so" ./calls looks; is $? 0 "without a log it does nothing"
: > "$T/log"
LD_PRELOAD="$so:$PWD/plugin.so" KACHE_OBSERVE_LOG="$T/log" sh -c 'echo "$LD_PRELOAD"' > "$T/out"
is "$(cat "$T/out")" "$PWD/plugin.so" "what else was preloaded stays"

# Full disks: half a log must not be used.
: > "$T/log"
(ulimit -f 0; trap '' XFSZ; LD_PRELOAD=$so KACHE_OBSERVE_LOG=$T/log ./calls looks)
is $? 0 "a program runs on when the log can't be written"
test ! -e "$T/log"; ok $? "and the log is gone"

# Many threads and processes write whole records.
cat > par.c <<'C'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void *run(void *arg) {
	char p[64];
	for (int i = 0; i < 2000; i++) { snprintf(p, sizeof p, "/none/%ld/%d", (long)arg + (i & 1 ? getpid() * 10L : 0), i); access(p, F_OK); }
	return NULL;
}
int main(void) {
	pthread_t t[4];
	fork(); fork();
	for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, run, (void *)i);
	for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
	while (wait(NULL) > 0) ;
	return 0;
}
C
gcc -w -O1 -include sys/wait.h -o par par.c -lpthread
observe ./par; is $? 0 "four processes with four threads each"
is "$(grep -c '^A/none/' "$T/rec")" 32000 "have all their records"
is "$(grep -Evc '^A/none/[0-9]+/[0-9]+$|^[BRE]' "$T/rec")" 0 "whole"
finish
