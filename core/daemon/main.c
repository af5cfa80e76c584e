/* kache-daemon: started by wrappers and by `kache daemon`, not by hand.
 *
 *	kache-daemon --cache-dir DIR [--ready FD]   the daemon of DIR; FD is closed once it answers
 *	kache-daemon --cache-dir DIR --serve FD     serves the one connection FD, sends what is queued, ends */
#include "config.h"
#include "daemon/server.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "daemon/client.h"
#include "remote/account.h"
#include "remote/tiers.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_WAIT_MS = 15000, DRAIN_S = 120, GRACE_MS = 2000, LOG_MAX = 4 << 20, BACKLOG = 128 };

struct arguments {
	const char *root;
	int ready_fd, serve_fd;
};

/* -1 for what is no descriptor's number. */
static int descriptor(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	return *text && !*end && n > 2 && n < 1 << 20 ? (int)n : -1;
}

static int parse(int argc, char **argv, struct arguments *a)
{
	*a = (struct arguments){ .ready_fd = -1, .serve_fd = -1 };
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--cache-dir"))
			a->root = argv[i + 1];
		else if (!strcmp(argv[i], "--ready"))
			a->ready_fd = descriptor(argv[i + 1]);
		else if (!strcmp(argv[i], "--serve"))
			a->serve_fd = descriptor(argv[i + 1]);
		else
			return -1;
	}
	return a->root && *a->root == '/' && argc % 2 ? 0 : -1;
}

/* What a daemon logs is read later, so each line says when. Beyond its size the log starts anew and the old one
 * stays beside it. */
static void set_up_log(const char *root)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/daemon.log", root), *old = kache_asprintf("%s/daemon.log.1", root);
	struct stat st, mine;

	kache_log_times = true;
	if (fstat(STDERR_FILENO, &mine) || stat(path, &st) || st.st_ino != mine.st_ino || st.st_size < LOG_MAX)
		return;
	if (!rename(path, old)) {
		KACHE_AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		if (fd >= 0)
			dup2(fd, STDERR_FILENO);
	}
}

/* The lock of the one daemon of a directory, gone with its holder. One that is ending may still have it. */
static int take_lock(const char *root, unsigned wait_ms)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/daemon.lock", root);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct sockaddr_un address;
	int dir, probe;

	for (unsigned ms = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB); ms += 10) {
		const struct timespec pause = { .tv_nsec = 10000000 };
		bool answered = false;

		if (ms >= wait_ms) {
			close(fd);
			return -1;
		}
		/* Somebody was quicker: fine. */
		probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (!kache_daemon_address(root, &address, &dir)) {
			answered = !connect(probe, (struct sockaddr *)&address, sizeof address);
			if (dir >= 0)
				close(dir);
		}
		close(probe);
		if (answered) {
			close(fd);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return fd;
}

/* Only the holder of the lock binds, so what lies there is a dead daemon's. */
static int listen_at(const char *root)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/daemon.sock", root);
	struct sockaddr_un address;
	mode_t before;
	int dir, fd, rc;

	unlink(path);
	if (kache_daemon_address(root, &address, &dir))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	before = umask(0177);
	rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, BACKLOG);
	umask(before);
	if (dir >= 0)
		close(dir);
	if (rc && fd >= 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void fingerprint(struct kache_hash *out)
{
	const char *files[] = { KACHE_CONF_SYSTEM_FILE, NULL, NULL };
	KACHE_AUTO_FREE char *self = kache_path_real("/proc/self/exe");
	struct kache_client_options o = { .program = self, .files = files };
	KACHE_AUTO_FREE char *user = NULL;
	bool named;

	user = kache_conf_user_file(&named);
	files[1] = user;
	kache_client_fingerprint(&o, out);
}

/* Who sends what was made for certain remotes: one process at a time, gone with its holder. A daemon waits for a
 * child to finish; a child leaves it to whoever is at it. -1: somebody else is. */
static int take_queue(const struct kache_daemon *d, bool wait)
{
	KACHE_AUTO_FREE char *path = NULL;
	char hex[KACHE_HEX_LEN + 1];
	struct kache_hash id;
	int fd;

	kache_conf_remote_id(d->conf, &id);
	path = kache_asprintf("%s/tmp/queue.%.16s.lock", d->store->root, kache_hash_hex(&id, hex));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	for (unsigned tries = wait ? 100 : 1; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB); ) {
		const struct timespec pause = { .tv_nsec = 10000000 };

		if (!--tries) {
			close(fd);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return fd;
}

static void serve(struct kache_daemon *d, const struct kache_server_options *o, int lock)
{
	kache_jobs_start(d);
	if (lock >= 0) {
		(void)take_queue(d, true);	/* sending something twice would do no harm */
		kache_queue_start(d);
		kache_upkeep_start(d);
	}
	kache_server_run(d, o);
}

/* The end of the daemon: first nobody finds it any more, then what is under way is let finish for a while, then
 * it is cut off. */
static void finish(struct kache_daemon *d, int listen_fd)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/daemon.sock", d->store->root);

	if (listen_fd >= 0) {
		unlink(path);
		close(listen_fd);
	}
	kache_jobs_stop(GRACE_MS);
	if (d->remote)
		(void)kache_tiers_settle(d->remote, kache_now_mono() + (uint64_t)GRACE_MS * 1000000);
	(void)!write(d->cancel_write, "x", 1);
	kache_queue_stop();
	kache_upkeep_stop();
}

static int run_daemon(struct kache_daemon *d, const struct arguments *a)
{
	struct kache_server_options o = {
		.serve_fd = -1, .listen_fd = -1, .idle_ms = kache_conf_u64(d->conf, KACHE_CONF_DAEMON_IDLE) * 1000,
	};
	int lock = take_lock(a->root, LOCK_WAIT_MS);

	if (lock < 0)
		return 0;
	o.listen_fd = listen_at(a->root);
	if (o.listen_fd < 0) {
		kache_error_log("%s/daemon.sock: %s", a->root, strerror(errno));
		return 1;
	}
	kache_info("daemon %ld of %s begins (kache %s)", (long)getpid(), a->root, PACKAGE_VERSION);
	if (a->ready_fd >= 0)
		close(a->ready_fd);
	serve(d, &o, lock);
	finish(d, o.listen_fd);
	kache_info("daemon %ld ends", (long)getpid());
	return 0;
}

/* For a build without a daemon: answer it, and when it has its answers send what it has made, unless another
 * such child, or a daemon, is at it. What is under way then ends before the process does. */
static int run_child(struct kache_daemon *d, const struct arguments *a)
{
	const struct kache_server_options o = { .serve_fd = a->serve_fd, .listen_fd = -1 };
	uint64_t until;
	int lock;

	serve(d, &o, -1);
	until = kache_now_mono() + (uint64_t)DRAIN_S * 1000000000;
	lock = d->remote ? take_queue(d, false) : -1;
	if (lock >= 0) {
		kache_queue_start(d);
		kache_queue_drain(until);
		/* What came meanwhile from those who found the lock taken. */
		kache_queue_wake();
		kache_queue_drain(until);
		kache_queue_stop();
	}
	kache_jobs_stop(GRACE_MS);
	if (d->remote) {
		(void)kache_tiers_settle(d->remote, until);	/* what it found in a farther remote goes to the nearer ones */
		kache_account_save(d->remote, a->root);
	}
	return 0;
}

static int prepare(struct kache_daemon *d, const char *root, struct kache_error *err)
{
	struct kache_conf *conf;
	int pair[2], rc = kache_conf_load("/", &conf, err);

	if (rc)
		return rc;
	kache_log_level = (enum kache_log_level)kache_log_parse(kache_conf_str(conf, KACHE_CONF_LOG));
	if (kache_log_level < KACHE_LOG_INFO)
		kache_log_level = KACHE_LOG_INFO;
	d->conf = conf;
	d->started_mono = kache_now_mono();
	d->started_real = kache_now_real();
	fingerprint(&d->fingerprint);
	rc = kache_store_open(root, true, &d->store, err);
	if (rc)
		return rc;
	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK))
		return kache_fail_errno(err, "pipe");
	d->cancel_fd = pair[0];
	d->cancel_write = pair[1];
	if (kache_conf_has_remote(conf))
		rc = kache_tiers_open(conf, &d->remote, err);
	return rc;
}

int main(int argc, char **argv)
{
	static struct kache_daemon d;
	struct kache_error err;
	struct arguments a;
	int status;

	if (parse(argc, argv, &a)) {
		fputs("kache-daemon is started by kache: see kache-daemon(1)\n", stderr);
		return 2;
	}
	/* Many threads wait and few work: their heaps may be shared. */
	mallopt(M_ARENA_MAX, 2);
	umask(022);
	set_up_log(a.root);
	if (a.ready_fd >= 0)
		fcntl(a.ready_fd, F_SETFD, FD_CLOEXEC);
	if (a.serve_fd >= 0)
		fcntl(a.serve_fd, F_SETFD, FD_CLOEXEC);
	if (prepare(&d, a.root, &err)) {
		kache_error_log("daemon: %s", err.text);
		if (!d.conf || !d.store)
			return 1;
		/* Without its remotes it still folds events and does gc. */
		d.remote = NULL;
	}
	status = a.serve_fd >= 0 ? run_child(&d, &a) : run_daemon(&d, &a);
	/* Threads that hang in a backend die with the process. */
	fflush(NULL);
	_exit(status);
}
