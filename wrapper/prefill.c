/* kache-prefill STORE STORE/plans/PID.calls RUSTC: run by the wrapper before it answers cargo's first question, in the environment
 * and directory of that question. PID is cargo's. Ends when the units are in place; a child stays until cargo has ended, to record
 * what was compiled. */
#include "config.h"
#include "wrapper/prefill.h"

#include "base/file.h"
#include "base/path.h"
#include "wrapper/rustc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

static pid_t cargo;

pid_t kache_cargo(void)
{
	return cargo;
}

/* The file that calls are noted in. -1 where there is one already: cargo asks more than once. */
static int begin_calls(const char *path)
{
	int fd = kache_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);

	/* One that nobody holds is left over from another process of that number. */
	if (fd >= 0 && (flock(fd, LOCK_EX | LOCK_NB) || ftruncate(fd, 0))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void await_cargo(void)
{
#ifdef SYS_pidfd_open
	int fd = (int)syscall(SYS_pidfd_open, cargo, 0);
	struct pollfd p = { fd, POLLIN, 0 };

	if (fd >= 0) {
		while (poll(&p, 1, -1) < 0 && errno == EINTR)
			;
		close(fd);
		return;
	}
#endif
	while (!kill(cargo, 0))
		usleep(100000);
}

static bool leave_streams(void)
{
	KACHE_AUTO_FD int null = kache_open("/dev/null", O_RDWR, 0);

	return null >= 0 && dup2(null, 0) >= 0 && dup2(null, 1) >= 0 && dup2(null, 2) >= 0;
}

/* Nothing that somebody waits for is ours any more: neither a pipe nor a directory, nor a lock, nor the terminal. Standard streams
 * have been left before. */
static void step_back(int keep)
{
	for (int fd = 3; fd < 256; fd++)
		if (fd != keep)
			close(fd);
	(void)setsid();
	(void)!chdir("/");
}

int main(int argc, char **argv)
{
	struct kache_command command;
	struct kache_plan plan = { 0 };
	struct kache_store *store;
	KACHE_AUTO_FREE char *dir = NULL;
	int fd;

	if (argc != 4 || kache_store_open(argv[1], false, &store, NULL))
		return 1;
	cargo = (pid_t)strtol(kache_path_base(argv[2]), NULL, 10);
	dir = kache_store_file(store, "plans");
	fd = cargo <= 0 || kache_mkdirs(dir, 0777) ? -1 : begin_calls(argv[2]);
	if (fd < 0)
		return 0;
	if (!kache_command_read(argv[3], &command) || !leave_streams()) {
		unlink(argv[2]);
		return 0;
	}
	if (!kache_plan_get(store, &command.key, &plan))
		kache_prefill_fill(&command, &plan);
	if (!fork()) {
		step_back(fd);
		await_cargo();
		kache_prefill_harvest(store, &command, argv[2], &plan);
		unlink(argv[2]);
		_exit(0);
	}
	return 0;
}
