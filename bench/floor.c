/* floorw: a wrapper that merely puts prepared outputs in place and checks nothing. What a build with it
 * takes is what cargo itself takes; nothing that answers through RUSTC_WRAPPER can be faster.
 *
 *	FLOOR_RECORD=dir   run the compiler, keep what it wrote and said
 *	FLOOR_REPLAY=dir   answer from what is kept; fail where nothing is, for that would be no floor
 *	--memory program argument…   run that and print its peak resident memory in KiB
 *	--time program argument…     run that and print nanoseconds: of wall, of processor
 *	--look list from to…         stat each file that a line of list names, then link the outputs: the least that a hit of a C
 *	                             compile can be which looks at what the compiler read
 *
 * dir/<id>/ holds one call's outputs under their own names and `said`: a line "exit files outlen errlen",
 * a line "mode name" per file, then standard output and standard error. The id is a hash of the working
 * directory and the arguments. Where the source is `-` it is a question of a build script: then standard
 * input is hashed too (several questions have one command line, and the asker breaks if nobody reads
 * what it sends), the crate's name is not (autocfg takes a random one in every run), and no files are
 * kept, since only the answer counts. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct text {
	char *data;
	size_t len;
};

struct unit {
	const char *out_dir;
	const char *mark;	/* part of every output's name: cargo's hash, else the crate's name; NULL: no files */
	struct text input;
	char *dir;
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "floorw: %s: %s\n", what, strerror(errno));
	_exit(99);
}

__attribute__((format(printf, 1, 2))) static char *format(const char *pattern, ...)
{
	__builtin_va_list ap;
	char *s;

	__builtin_va_start(ap, pattern);
	if (vasprintf(&s, pattern, ap) < 0)
		_exit(99);
	__builtin_va_end(ap);
	return s;
}

static struct text read_fd(int fd)
{
	struct text t = { NULL, 0 };
	size_t room = 0;
	ssize_t n;

	do {
		if (room - t.len < 4096) {
			room = room ? 2 * room : 16384;
			t.data = realloc(t.data, room);
			if (!t.data)
				fail("memory");
		}
		n = read(fd, t.data + t.len, room - t.len - 1);
		if (n < 0)
			fail("read");
		t.len += (size_t)n;
	} while (n);
	t.data[t.len] = '\0';
	return t;
}

static void put(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0)
			fail("write");
		data += n;
		len -= (size_t)n;
	}
}

/* FNV-1a; the length keeps neighbours apart. */
static uint64_t mix(uint64_t h, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)data[i]) * UINT64_C(0x100000001b3);
	return (h ^ len) * UINT64_C(0x100000001b3);
}

/* The value of an option that is given as "name value" or "name=value"; moves on to the value. */
static const char *value(char **argv, int *i, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len))
		return NULL;
	if (argv[*i][len] == '=')
		return argv[*i] + len + 1;
	return !argv[*i][len] && argv[*i + 1] ? argv[++*i] : NULL;
}

static void parse(struct unit *u, const char *base, char **argv)
{
	char *cwd = getcwd(NULL, 0);
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	const char *v, *crate = NULL, *extra = NULL;

	h = mix(h, cwd ? cwd : "", cwd ? strlen(cwd) : 0);
	for (int i = 1; argv[i]; i++) {
		if ((v = value(argv, &i, "--out-dir"))) {
			u->out_dir = v;
			continue;
		}
		if (value(argv, &i, "-L") || !strncmp(argv[i], "incremental=", 12))
			continue;
		if ((v = value(argv, &i, "--crate-name"))) {
			crate = v;
			continue;
		}
		if (!strncmp(argv[i], "extra-filename=", 15))
			extra = argv[i] + 15;
		if (!strcmp(argv[i], "-") && !u->input.data) {
			u->input = read_fd(STDIN_FILENO);
			h = mix(h, u->input.data, u->input.len);
		}
		h = mix(h, argv[i], strlen(argv[i]));
	}
	if (!u->input.data) {
		u->mark = extra ? extra : crate;
		h = mix(h, crate ? crate : "", crate ? strlen(crate) : 0);
	}
	u->dir = format("%s/%016llx", base, (unsigned long long)h);
	free(cwd);
}

static bool ends(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

/* What nobody changes in place can be one file with the prepared one. */
static void place_link(const char *from, const char *to)
{
	if (link(from, to) && (errno != EEXIST || unlink(to) || link(from, to)))
		fail(to);
}

static void place_copy(const char *from, const char *to, mode_t mode)
{
	char *temp = format("%s.floor", to);
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	ssize_t n;

	if (in < 0 || out < 0)
		fail(in < 0 ? from : temp);
	while ((n = copy_file_range(in, NULL, out, NULL, SSIZE_MAX / 2, 0)) > 0)
		;
	if (n < 0)
		fail(temp);
	close(in);
	close(out);
	if (rename(temp, to))
		fail(to);
	free(temp);
}

static _Noreturn void replay(const struct unit *u)
{
	char *path = format("%s/said", u->dir), *at;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned long code, files, out, err;
	bool mine = getenv("CARGO_PRIMARY_PACKAGE") != NULL;	/* what the user asked for is for the user to change */
	struct text said;

	if (fd < 0)
		fail(path);
	free(path);
	said = read_fd(fd);
	close(fd);
	code = strtoul(said.data, &at, 10);
	files = strtoul(at, &at, 10);
	out = strtoul(at, &at, 10);
	err = strtoul(at, &at, 10);
	for (at++; files--; ) {
		mode_t mode = (mode_t)strtoul(at, &at, 8);
		char *name = at + 1, *end = strchr(name, '\n'), *from, *to;

		*end = '\0';
		from = format("%s/%s", u->dir, name);
		to = format("%s/%s", u->out_dir, name);
		if (!mine && (ends(name, ".rlib") || ends(name, ".rmeta") || ends(name, ".so") || strstr(name, "build_script_")) &&
		    !ends(name, ".d"))
			place_link(from, to);
		else
			place_copy(from, to, mode);
		free(from);
		free(to);
		at = end + 1;
	}
	put(STDOUT_FILENO, at, out);
	put(STDERR_FILENO, at + out, err);
	_exit((int)code);
}

static int run(const struct unit *u, char **argv, int out, int err)
{
	FILE *input = u->input.data ? tmpfile() : NULL;
	int status;
	pid_t pid;

	if (u->input.data) {
		if (!input)
			fail("temporary file");
		put(fileno(input), u->input.data, u->input.len);
		lseek(fileno(input), 0, SEEK_SET);
	}
	pid = fork();
	if (!pid) {
		if (input)
			dup2(fileno(input), STDIN_FILENO);
		dup2(out, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		fail("compiler");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Takes a second name of each output; the first one goes with the target directory. */
static unsigned long keep_files(const struct unit *u, FILE *list)
{
	/* Cargo rebuilds what is older than its dependencies: a linked .rlib counts as older than all. */
	const struct timespec old[2] = { { .tv_sec = 978307200 }, { .tv_sec = 978307200 } };
	DIR *d = u->out_dir && u->mark ? opendir(u->out_dir) : NULL;
	unsigned long n = 0;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		struct stat st;
		char *from, *to;

		if (!strstr(e->d_name, u->mark))
			continue;
		from = format("%s/%s", u->out_dir, e->d_name);
		to = format("%s/%s", u->dir, e->d_name);
		if (!stat(from, &st) && S_ISREG(st.st_mode)) {
			unlink(to);
			if (link(from, to) || (ends(to, ".rlib") && utimensat(AT_FDCWD, to, old, 0)))
				fail(to);
			fprintf(list, "%o %s\n", (unsigned)(st.st_mode & 0777), e->d_name);
			n++;
		}
		free(from);
		free(to);
	}
	if (d)
		closedir(d);
	return n;
}

static _Noreturn void record(const struct unit *u, char **argv)
{
	FILE *out = tmpfile(), *err = tmpfile(), *said;
	struct text outs, errs, list = { NULL, 0 };
	FILE *names = open_memstream(&list.data, &list.len);
	char *path = format("%s/said", u->dir);
	unsigned long files = 0;
	int code;

	if (!out || !err || !names)
		fail("temporary file");
	code = run(u, argv, fileno(out), fileno(err));
	lseek(fileno(out), 0, SEEK_SET);
	lseek(fileno(err), 0, SEEK_SET);
	outs = read_fd(fileno(out));
	errs = read_fd(fileno(err));
	if (mkdir(u->dir, 0777) && errno != EEXIST)
		fail(u->dir);
	if (!code)
		files = keep_files(u, names);
	fclose(names);
	said = fopen(path, "we");
	if (!said)
		fail(path);
	fprintf(said, "%d %lu %zu %zu\n", code, files, outs.len, errs.len);
	fwrite(list.data, 1, list.len, said);
	fwrite(outs.data, 1, outs.len, said);
	fwrite(errs.data, 1, errs.len, said);
	if (fclose(said))
		fail(path);
	put(STDOUT_FILENO, outs.data, outs.len);
	put(STDERR_FILENO, errs.data, errs.len);
	_exit(code);
}

/* From before the fork to the end. A big program takes longer to start another one than this small one does. */
static int print_time(char **argv)
{
	struct timespec from, to;
	struct rusage u;
	int status;
	pid_t pid;

	clock_gettime(CLOCK_MONOTONIC, &from);
	pid = vfork();
	if (!pid) {
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &u) != pid)
		fail(argv[0]);
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("%lld %lld\n", (to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec - from.tv_nsec,
	       (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000LL + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000LL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* What is asked of a big program counts the asker's memory too, so this small one asks. */
static int print_memory(char **argv)
{
	struct rusage usage;
	int status;
	pid_t pid = fork();

	if (!pid) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid || status)
		fail(argv[0]);
	printf("%ld\n", usage.ru_maxrss);
	return 0;
}

static int look(char **argv)
{
	int fd = open(argv[0], O_RDONLY);
	struct stat st;
	char *text;

	if (fd < 0 || fstat(fd, &st))
		fail(argv[0]);
	text = malloc((size_t)st.st_size + 1);
	if (!text || read(fd, text, (size_t)st.st_size) != st.st_size)
		fail(argv[0]);
	text[st.st_size] = '\0';
	for (char *line = text, *next; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		if (stat(line, &st))
			fail(line);
	}
	for (argv++; argv[0] && argv[1]; argv += 2)
		if (link(argv[0], argv[1]))
			fail(argv[1]);
	return 0;
}

int main(int argc, char **argv)
{
	const char *to = getenv("FLOOR_RECORD"), *from = getenv("FLOOR_REPLAY");
	struct unit u = { NULL, NULL, { NULL, 0 }, NULL };

	if (argc > 2 && !strcmp(argv[1], "--memory"))
		return print_memory(argv + 2);
	if (argc > 2 && !strcmp(argv[1], "--time"))
		return print_time(argv + 2);
	if (argc > 2 && !strcmp(argv[1], "--look"))
		return look(argv + 2);
	if (argc < 2 || !to == !from) {
		fputs("floorw: usage: FLOOR_RECORD=dir|FLOOR_REPLAY=dir floorw rustc argument…\n", stderr);
		return 2;
	}
	parse(&u, to ? to : from, argv);
	if (to)
		record(&u, argv);
	replay(&u);
}
