/* Run by tests/cli/observe.sh under the observer: one use of each function that it interposes. Every
 * argument names one group, "<function>", and its paths are below the working directory. */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static char *const no_args[] = { (char *)"true", NULL };

static void reap(pid_t pid)
{
	waitpid(pid, NULL, 0);
}

static void opens(void)
{
	int here = open(".", O_RDONLY | O_DIRECTORY);
	struct stat st;
	int fd, flags = O_RDONLY;
	FILE *f;

	close(open("r/open", O_RDONLY));
	close(open64("r/open64", O_RDONLY));
	close(openat(here, "r/openat", O_RDONLY));
	close(openat64(here, "r/openat64", flags));
	close((int)syscall(SYS_openat, here, "r/syscall", O_RDONLY, 0));
	f = fopen("r/fopen", "r");
	f = freopen("r/freopen", "r", f);
	fclose(f);
	close(open("a/open", O_RDONLY));
	close(open("/dev/zero", O_RDONLY));
	fopen("a/fopen", "r");
	close(creat("w/creat", 0666));
	close(open("w/open", O_WRONLY | O_CREAT, 0666));
	fclose(fopen("w/fopen", "w"));
	close(open("r/rdwr", O_RDWR));
	fd = open("p/o_path", O_PATH);
	/* A program that closes what it does not know, and opens something else in its place. */
	for (int i = 3; i < 300; i++)
		close(i);
	fd = open("r/after-close", O_RDONLY);
	for (int i = 200; i < 300; i++)
		dup2(fd, i);
	stat("p/after-dup", &st);
}

static void looks(void)
{
	struct stat st;
	struct statx stx;
	char out[4096];

	stat("p/stat", &st);
	stat("p/stat", &st);
	lstat("p/lstat", &st);
	fstatat(AT_FDCWD, "p/fstatat", &st, 0);
	statx(AT_FDCWD, "p/statx", 0, STATX_ALL, &stx);
	syscall(SYS_statx, AT_FDCWD, "p/syscall", 0, STATX_ALL, &stx);
	access("p/access", R_OK);
	faccessat(AT_FDCWD, "p/faccessat", R_OK, 0);
	euidaccess("p/euidaccess", R_OK);
	stat("a/stat", &st);
	access("a/access/below", R_OK);
	syscall(SYS_statx, AT_FDCWD, "a/syscall", 0, STATX_ALL, &stx);
	realpath("a/realpath", out);
	opendir("a/opendir");
	readlink("s/readlink", out, sizeof out);
	readlinkat(AT_FDCWD, "s/readlinkat", out, sizeof out);
	realpath("s/dir/in-link", out);
	free(canonicalize_file_name("p/canonicalize"));
}

/* Modes are such that nobody may. */
static void denials(void)
{
	struct sockaddr_un gone = { .sun_family = AF_UNIX, .sun_path = "a/socket" };
	struct stat st;
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	open("u/file", O_RDONLY);
	fopen("u/fopen", "r");
	opendir("u/dir");
	access("u/access", R_OK);
	syscall(SYS_faccessat, AT_FDCWD, "u/syscall", R_OK);
	access("p/file", X_OK);
	access("p/dir", R_OK | W_OK);
	open("p/write", O_WRONLY);
	stat("u/dir/below", &st);
	access("u/dir/asked", R_OK);
	open("u/dir/opened", O_RDONLY);
	stat("loop", &st);
	open("s/link", O_RDONLY | O_NOFOLLOW);
	execl("a/program", "program", NULL);
	execl("p/no-program", "no-program", NULL);
	posix_spawn(&(pid_t){ 0 }, "a/spawned", NULL, NULL, no_args, environ);
	connect(s, (struct sockaddr *)&gone, sizeof gone);
}

static void stranger(void)
{
	struct sockaddr_un there = { .sun_family = AF_UNIX, .sun_path = "socket" };

	connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&there, sizeof there);
}

static void roots(void)
{
	chroot("/nowhere");
}

static void spaces(void)
{
	syscall(SYS_unshare, 0);
}

static int every(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)path, (void)st, (void)kind, (void)where;
	return 0;
}

static void lists(void)
{
	struct dirent **names;
	glob_t g;

	closedir(opendir("l/opendir"));
	closedir(fdopendir(open("l/fdopendir", O_RDONLY | O_DIRECTORY)));
	scandir("l/scandir", &names, NULL, NULL);
	nftw("l/nftw", every, 8, 0);
	glob("l/glob/*.c", 0, NULL, &g);
}

static void changes(void)
{
	char a[] = "w/mkstemp-XXXXXX", b[] = "w/mkostemps-XXXXXX.o", c[] = "w/mkdtemp-XXXXXX";

	mkdir("d/mkdir", 0777);
	mkdirat(AT_FDCWD, "d/mkdirat", 0777);
	mkdtemp(c);
	mkstemp(a);
	mkostemps(b, 2, O_CLOEXEC);
	rename("r/rename", "w/rename");
	renameat(AT_FDCWD, "r/renameat", AT_FDCWD, "w/renameat");
	renameat2(AT_FDCWD, "r/renameat2", AT_FDCWD, "w/renameat2", 0);
	link("r/link", "w/link");
	symlink("../r/symlink", "w/symlink");
	unlink("w/unlink");
	truncate("w/truncate", 0);
}

static void starts(void)
{
	static char *const bare[] = { (char *)"PATH=/nowhere", NULL };
	pid_t pid;

	if (!posix_spawn(&pid, "./true", NULL, NULL, no_args, environ))
		reap(pid);
	if (!posix_spawnp(&pid, "spawnp", NULL, NULL, no_args, bare))
		reap(pid);
	if (!(pid = fork())) {
		execve("./execve", no_args, bare);
		_exit(1);
	}
	reap(pid);
	if (!(pid = vfork())) {
		execv("./gone", no_args);
		execvp("execvp", no_args);
		_exit(1);
	}
	reap(pid);
	if (!(pid = fork())) {
		execl("./execl", "execl", "a", "b", (char *)NULL);
		_exit(1);
	}
	reap(pid);
	if (!(pid = fork())) {
		execle("./execle", "execle", (char *)NULL, bare);
		_exit(1);
	}
	reap(pid);
	if (!(pid = fork())) {
		fexecve(open("fexecve", O_RDONLY), no_args, bare);
		_exit(1);
	}
	reap(pid);
	if (!(pid = fork())) {
		execl("/proc/self/exe", "calls", (char *)NULL);
		_exit(1);
	}
	reap(pid);
	if (system("./script"))
		puts("system failed");
	pclose(popen("exit 0", "r"));
}

static void calendar(void)
{
	struct tm tm;

	localtime_r(&(time_t){ 0 }, &tm);
}

static void durations(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &t);
}

static void clock_real(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
}

static void clock_coarse(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
}

static void clock_day(void)
{
	struct timeval t;

	gettimeofday(&t, NULL);
}

static void clock_time(void)
{
	if (time(NULL) == (time_t)-1)
		puts("no time");
}

static void clock_standard(void)
{
	struct timespec t;

	if (!timespec_get(&t, TIME_UTC))
		puts("no time");
}

static void clock_number(void)
{
	struct timespec t;

	syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
}

static char *volatile here;

static void here_getcwd(void)
{
	char room[4096];

	here = getcwd(room, sizeof room);
}

static void here_getwd(void)
{
	char room[4096], *(*function)(char *);

	/* By name, since linkers warn of it. */
	*(void **)&function = dlsym(RTLD_DEFAULT, "getwd");
	here = function ? function(room) : NULL;
}

static void here_name(void)
{
	free(get_current_dir_name());
}

static void here_real(void)
{
	free(realpath(".", NULL));
}

static void here_kernel(void)
{
	char room[4096];

	here = readlink("/proc/self/cwd", room, sizeof room) > 0 ? room : NULL;
}

static void here_number(void)
{
	char room[4096];

	here = syscall(SYS_getcwd, room, sizeof room) > 0 ? room : NULL;
}

/* A function of the library that others() loads. */
static void ask(const char *name)
{
	void *lib = dlopen("./plugin.so", RTLD_NOW);
	void (*function)(void) = NULL;

	if (lib)
		*(void **)&function = dlsym(lib, name);
	if (function)
		function();
}

static void library_asks(void)
{
	getenv("PROGRAM_ASKS");
	ask("plugin_asks");
}

static void others(void)
{
	void *lib = dlopen("./plugin.so", RTLD_NOW);

	if (lib)
		dlclose(lib);
	getenv("SEEN_GETENV");
	gmtime(&(time_t){ 0 });
	secure_getenv("SEEN_SECURE");
	close(socket(AF_INET, SOCK_STREAM, 0));
	for (char **e = environ; *e; e++)
		if (strstr(*e, "kache-observe") || strstr(*e, "KACHE_OBSERVE"))
			puts("the environment shows the observer");
}

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*run)(void); } groups[] = {
		{ "opens", opens }, { "looks", looks }, { "denials", denials }, { "stranger", stranger }, { "roots", roots }, { "spaces", spaces },
		{ "lists", lists }, { "changes", changes },
		{ "starts", starts }, { "others", others },
		{ "calendar", calendar }, { "durations", durations }, { "clock_real", clock_real }, { "clock_coarse", clock_coarse },
		{ "clock_day", clock_day }, { "clock_time", clock_time }, { "clock_standard", clock_standard },
		{ "clock_number", clock_number },
		{ "here_getcwd", here_getcwd }, { "here_getwd", here_getwd }, { "here_name", here_name }, { "here_real", here_real },
		{ "here_kernel", here_kernel }, { "here_number", here_number },
		{ "library_asks", library_asks },
	};

	for (int i = 1; i < argc; i++) {
		if (!strncmp(argv[i], "plugin_", 7))
			ask(argv[i]);
		for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
			if (!strcmp(argv[i], groups[g].name))
				groups[g].run();
	}
	return 0;
}
