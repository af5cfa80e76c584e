/* scale-time time COUNT DIRECTORY COMMAND…: runs the command so often, one after the other, each time with an empty DIRECTORY.
 * Prints the median of its wall time in us, the most memory that one had, in KiB, and the median of its processor time in us.
 * scale-time crowd PROCESSES COUNT DIRECTORY COMMAND…: so many processes at once run it so often each, in the directories
 * DIRECTORY/0, DIRECTORY/1 …, which exist; "@" in an argument is the directory. Prints the runs per second of all together, and
 * the median of one run in us.
 * The command's output is thrown away. It has to end with 0. */
#include "config.h"

#include "base/buf.h"
#include "base/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static posix_spawn_file_actions_t quiet;

static void clear(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *item;

	while (d && (item = readdir(d)))
		unlinkat(dirfd(d), item->d_name, 0);
	if (d)
		closedir(d);
}

static uint64_t us(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

/* Wall time in ns. */
static uint64_t run(char **argv, long *kib, uint64_t *cpu_us)
{
	uint64_t began = kache_now_mono(), took;
	struct rusage use;
	int status;
	pid_t pid;

	if (posix_spawnp(&pid, argv[0], &quiet, NULL, argv, environ) || wait4(pid, &status, 0, &use) != pid || status) {
		fprintf(stderr, "scale-time: %s failed\n", argv[0]);
		exit(1);
	}
	took = kache_now_mono() - began;
	if (use.ru_maxrss > *kib)
		*kib = use.ru_maxrss;
	*cpu_us = us(use.ru_utime) + us(use.ru_stime);
	return took;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int time_runs(unsigned count, const char *dir, char **argv)
{
	uint64_t *ns = kache_calloc(count + 1, sizeof *ns), *cpu = kache_calloc(count + 1, sizeof *cpu);
	long kib = 0;

	for (unsigned i = 0; i < count; i++) {
		clear(dir);
		ns[i] = run(argv, &kib, &cpu[i]);
	}
	qsort(ns, count, sizeof *ns, by_value);
	qsort(cpu, count, sizeof *cpu, by_value);
	printf("%.1f %ld %llu\n", (double)ns[count / 2] / 1000, kib, (unsigned long long)cpu[count / 2]);
	free(ns);
	free(cpu);
	return 0;
}

/* The arguments of one of the crowd. */
static char **own(char **argv, const char *dir)
{
	size_t n = 0;
	char **copy;

	while (argv[n])
		n++;
	copy = kache_calloc(n + 1, sizeof *copy);
	for (size_t i = 0; i < n; i++) {
		const char *at = strchr(argv[i], '@');

		copy[i] = at ? kache_asprintf("%.*s%s%s", (int)(at - argv[i]), argv[i], dir, at + 1) : argv[i];
	}
	return copy;
}

static int crowd(unsigned processes, unsigned count, const char *dir, char **argv)
{
	const size_t all = (size_t)processes * count;
	uint64_t *ns = mmap(NULL, all * sizeof *ns, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t began = kache_now_mono(), took;
	int status, bad = 0;

	if (ns == MAP_FAILED)
		return 1;
	for (unsigned p = 0; p < processes; p++) {
		KACHE_AUTO_FREE char *mine = kache_asprintf("%s/%u", dir, p);
		uint64_t cpu;
		char **args;
		long kib = 0;

		if (fork())
			continue;
		args = own(argv, mine);
		for (unsigned i = 0; i < count; i++) {
			clear(mine);
			ns[p * count + i] = run(args, &kib, &cpu);
		}
		_exit(0);
	}
	while (wait(&status) > 0)
		bad |= status;
	took = kache_now_mono() - began;
	qsort(ns, all, sizeof *ns, by_value);
	printf("%.1f %.1f\n", (double)all * 1e9 / (double)took, (double)ns[all / 2] / 1000);
	return bad != 0;
}

int main(int argc, char **argv)
{
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (argc > 4 && !strcmp(argv[1], "time"))
		return time_runs((unsigned)strtoul(argv[2], NULL, 10), argv[3], argv + 4);
	if (argc > 5 && !strcmp(argv[1], "crowd"))
		return crowd((unsigned)strtoul(argv[2], NULL, 10), (unsigned)strtoul(argv[3], NULL, 10), argv[4], argv + 5);
	return 2;
}
