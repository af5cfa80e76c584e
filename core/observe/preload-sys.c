/* kache-observe.so: sockets, and system calls made by number. Rust's standard library calls statx and
 * others that way where the C library is too old to have them. */
#include "config.h"
#include "observe/preload.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* time.h would bring the prototypes: clock_gettime(2). */
enum { CLOCK_REALTIME = 0, CLOCK_REALTIME_COARSE = 5, CLOCK_TAI = 11 };

/* Interposers are called by others only. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

static void note_socket(long domain, bool good)
{
	if (good && (domain == AF_INET || domain == AF_INET6))
		kache_note_name('N', domain == AF_INET ? "inet" : "inet6");
}

EXPORT int my_socket(int domain, int type, int protocol) NAMED(socket);
EXPORT int my_socket(int domain, int type, int protocol)
{
	int fd = REAL(socket)(domain, type, protocol);

	note_socket(domain, fd >= 0);
	return fd;
}

/* Also in vain: somebody may listen the next time. Where there is not even a name, that is all there is to say. */
static void note_connect(const struct sockaddr *to, size_t len, bool good, int err)
{
	const size_t head = offsetof(struct sockaddr_un, sun_path);
	char path[sizeof ((struct sockaddr_un *)0)->sun_path + 1];

	if (!to || len <= head || len - head >= sizeof path || to->sa_family != AF_UNIX)
		return;
	memcpy(path, (const char *)to + head, len - head);
	path[len - head] = '\0';
	if (!good && *path && (err == ENOENT || err == ENOTDIR))
		kache_note('A', AT_FDCWD, path);
	else
		kache_note_name('N', "unix");
}

EXPORT int my_connect(int fd, const struct sockaddr *to, unsigned len) NAMED(connect);
EXPORT int my_connect(int fd, const struct sockaddr *to, unsigned len)
{
	int result = REAL(connect)(fd, to, len);

	note_connect(to, len, !result, errno);
	return result;
}

/* From then on names stand for other files than the reader of the log would find. */
static void note_other_names(void)
{
	kache_note_name('!', "a program that gives itself other files or another root");
}

EXPORT int my_chroot(const char *path) NAMED(chroot);
EXPORT int my_chroot(const char *path)
{
	note_other_names();
	return REAL(chroot)(path);
}

EXPORT int my_unshare(int flags) NAMED(unshare);
EXPORT int my_unshare(int flags)
{
	note_other_names();
	return REAL(unshare)(flags);
}

EXPORT int my_setns(int fd, int type) NAMED(setns);
EXPORT int my_setns(int fd, int type)
{
	note_other_names();
	return REAL(setns)(fd, type);
}

/* The time of day. Durations are of no matter, and asked for all the time. */
static void note_clock(void)
{
	char program[PATH_ROOM];
	static _Atomic bool noted;

	if (noted || !kache_observing())
		return;
	noted = true;
	if (kache_program(program))	/* else begin() has said it */
		kache_note_name('T', program);
}

EXPORT int my_clock_gettime(int clock, void *out) NAMED(clock_gettime);
EXPORT int my_clock_gettime(int clock, void *out)
{
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI)
		note_clock();
	return REAL(clock_gettime)(clock, out);
}

EXPORT int my_gettimeofday(void *out, void *zone) NAMED(gettimeofday);
EXPORT int my_gettimeofday(void *out, void *zone)
{
	note_clock();
	return REAL(gettimeofday)(out, zone);
}

EXPORT long my_time(long *out) NAMED(time);
EXPORT long my_time(long *out)
{
	note_clock();
	return REAL(time)(out);
}

EXPORT int my_timespec_get(void *out, int base) NAMED(timespec_get);
EXPORT int my_timespec_get(void *out, int base)
{
	note_clock();
	return REAL(timespec_get)(out, base);
}

/* What a call by number does, with which of its arguments. OPEN has its flags at `flags`, and dirfds
 * are at `dirfd` (-1: the working directory), paths at `path`, second ones one or two further. */
enum kind { OPEN, CREAT, OPENAT2, LOOK, ACCESS, READLINK, MKDIR, WRITE, RENAME, LINK, SYMLINK, LIST, SOCKET,
	    CONNECT, CLOCK, HERE, UNSEEN };
struct by_number {
	short number;
	signed char kind, dirfd, path, more;
};
static const struct by_number calls[] = {
#ifdef SYS_open
	{ SYS_open, OPEN, -1, 0, 1 }, { SYS_creat, CREAT, -1, 0, 0 },
	{ SYS_stat, LOOK, -1, 0, 0 }, { SYS_lstat, LOOK, -1, 0, 0 }, { SYS_access, ACCESS, -1, 0, 1 },
	{ SYS_readlink, READLINK, -1, 0, 0 }, { SYS_mkdir, MKDIR, -1, 0, 0 },
	{ SYS_unlink, WRITE, -1, 0, 0 }, { SYS_rmdir, WRITE, -1, 0, 0 },
	{ SYS_rename, RENAME, -1, 0, 1 }, { SYS_link, LINK, -1, 0, 1 }, { SYS_symlink, SYMLINK, -1, 0, 1 },
	{ SYS_getdents, LIST, 0, 0, 0 },
#endif
	{ SYS_openat, OPEN, 0, 1, 2 },
	{ SYS_newfstatat, LOOK, 0, 1, 0 }, { SYS_statx, LOOK, 0, 1, 0 }, { SYS_faccessat, ACCESS, 0, 1, 2 },
	{ SYS_readlinkat, READLINK, 0, 1, 0 }, { SYS_mkdirat, MKDIR, 0, 1, 0 },
	{ SYS_unlinkat, WRITE, 0, 1, 0 }, { SYS_truncate, WRITE, -1, 0, 0 },
	{ SYS_renameat2, RENAME, 0, 1, 3 }, { SYS_linkat, LINK, 0, 1, 3 }, { SYS_symlinkat, SYMLINK, 1, 0, 2 },
#ifdef SYS_renameat
	{ SYS_renameat, RENAME, 0, 1, 3 },
#endif
	{ SYS_getdents64, LIST, 0, 0, 0 },
	{ SYS_getcwd, HERE, 0, 0, 0 },
	{ SYS_clock_gettime, CLOCK, 0, 0, 0 }, { SYS_gettimeofday, CLOCK, -1, 0, 0 },
#ifdef SYS_time
	{ SYS_time, CLOCK, -1, 0, 0 },
#endif
	{ SYS_socket, SOCKET, 0, 0, 0 }, { SYS_connect, CONNECT, 0, 1, 2 },
	{ SYS_execve, UNSEEN, 0, 0, 0 }, { SYS_execveat, UNSEEN, 0, 0, 0 },
	{ SYS_open_by_handle_at, UNSEEN, 0, 0, 0 },
	{ SYS_chroot, UNSEEN, 0, 0, 0 }, { SYS_pivot_root, UNSEEN, 0, 0, 0 }, { SYS_unshare, UNSEEN, 0, 0, 0 },
	{ SYS_setns, UNSEEN, 0, 0, 0 },
#ifdef SYS_io_uring_setup
	{ SYS_io_uring_setup, UNSEEN, 0, 0, 0 },
#endif
#ifdef SYS_openat2
	{ SYS_openat2, OPENAT2, 0, 1, 2 },
#endif
#ifdef SYS_faccessat2
	{ SYS_faccessat2, ACCESS, 0, 1, 2 },
#endif
};

static void note_call(const struct by_number *c, const long *a, long result, const void *caller)
{
	bool good = result >= 0;
	int err = good ? 0 : (int)-result, fd = (int)result;
	int dirfd = c->dirfd < 0 ? AT_FDCWD : (int)a[c->dirfd];
	const char *path = (const char *)a[c->path], *to = (const char *)a[c->more];
	int to_fd = c->dirfd < 0 ? AT_FDCWD : (int)a[c->more - 1];

	if (c->kind <= LOOK)
		kache_note_looker(caller);
	switch ((enum kind)c->kind) {
	case OPEN: kache_note_open(dirfd, path, (int)a[c->more], fd, err); break;
	case CREAT: kache_note_open(dirfd, path, O_CREAT | O_WRONLY | O_TRUNC, fd, err); break;
	case OPENAT2: kache_note_open(dirfd, path, to ? (int)*(const uint64_t *)to : 0, fd, err); break;
	case LOOK: kache_note_look(dirfd, path, good, err); break;
	case ACCESS: kache_note_access(dirfd, path, (int)a[c->more], good, err); break;
	case READLINK: kache_note_readlink(dirfd, path, good, err); break;
	case MKDIR: kache_note_mkdir(dirfd, path, good, err); break;
	case WRITE: kache_note_write(dirfd, path, good); break;
	case LIST: if (good) kache_note('L', (int)a[0], "."); break;
	case RENAME: if (good) kache_note_rename(dirfd, path, to_fd, to); break;
	case LINK: kache_note_link(dirfd, path, to_fd, to, good); break;
	case SYMLINK: if (good) kache_note_symlink(path, dirfd, to); break;
	case SOCKET: note_socket(a[0], good); break;
	case CONNECT: note_connect((const struct sockaddr *)path, (size_t)a[2], good, err); break;
	case CLOCK:
		if (c->dirfd < 0 || a[0] == CLOCK_REALTIME || a[0] == CLOCK_REALTIME_COARSE || a[0] == CLOCK_TAI)
			note_clock();
		break;
	case HERE: kache_note_here(caller); break;
	case UNSEEN: break;
	}
}

static void note_unseen(long number)
{
	switch (number) {
	case SYS_execve: case SYS_execveat:
		kache_note_name('!', "a program started by a bare system call");
		break;
	case SYS_chroot: case SYS_pivot_root: case SYS_unshare: case SYS_setns:
		note_other_names();
		break;
	default:
		kache_note_name('!', "files opened by io_uring or by handle");
		break;
	}
}

EXPORT long my_syscall(long n, long a0, long a1, long a2, long a3, long a4, long a5) NAMED(syscall);
EXPORT long my_syscall(long n, long a0, long a1, long a2, long a3, long a4, long a5)
{
	const struct by_number *call = NULL;
	long args[6] = { a0, a1, a2, a3, a4, a5 }, result;

	/* Locks are by far the most frequent, and need nothing. */
	if (n != SYS_futex && kache_observing())
		for (size_t i = 0; i < sizeof calls / sizeof *calls && !call; i++)
			if (calls[i].number == n)
				call = &calls[i];
	if (call && call->kind == UNSEEN)
		note_unseen(n);
	result = raw(n, a0, a1, a2, a3, a4, a5);
	if (call)
		note_call(call, args, result, CALLER);
	if (result < 0 && result > -4096) {
		errno = (int)-result;
		return -1;
	}
	return result;
}
