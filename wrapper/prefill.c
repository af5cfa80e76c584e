/* kache-prefill STORE STORE/plans/PID.calls RUSTC: run by the wrapper before it answers cargo's first question, in the environment
 * and directory of that question. PID is cargo's. Ends when the units are in place; a child stays until cargo has ended, to record
 * what was compiled. */
#include "config.h"
#include "wrapper/prefill.h"

#include "base/file.h"
#include "base/path.h"
#include "conf/conf.h"
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

/* Who wants nothing looked up, or nothing stored, wants none of this. */
static bool is_wanted(const struct kache_store *store)
{
	KACHE_AUTO_FREE char *cwd = getcwd(NULL, 0);
	struct kache_conf *conf;

	return !store->readonly && cwd && !kache_conf_load(cwd, &conf, NULL) && !kache_conf_bool(conf, KACHE_CONF_READONLY) &&
	       !kache_conf_bool(conf, KACHE_CONF_RECACHE);
}

int main(int argc, char **argv)
{
	struct kache_command command;
	struct kache_plan plan = { 0 };
	struct kache_store *store;
	KACHE_AUTO_FREE char *dir = NULL;
	int fd, null;

	if (argc != 4 || kache_store_open(argv[1], false, &store, NULL))
		return 1;
	cargo = (pid_t)strtol(kache_path_base(argv[2]), NULL, 10);
	if (cargo <= 0 || !is_wanted(store) || !kache_command_read(argv[3], &command))
		return 0;
	null = kache_open("/dev/null", O_RDWR, 0);
	for (fd = 0; fd < 3; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			return 1;
	dir = kache_store_file(store, "plans");
	fd = kache_mkdirs(dir, 0777) ? -1 : begin_calls(argv[2]);
	if (fd < 0)
		return 0;
	if (!kache_plan_get(store, &command.key, &plan))
		kache_prefill_fill(&command, &plan);
	else
		kache_plan_release(&plan);
	if (!fork()) {
		step_back(fd);
		await_cargo();
		kache_prefill_harvest(store, &command, argv[2], &plan);
		unlink(argv[2]);
		_exit(0);
	}
	return 0;
}
