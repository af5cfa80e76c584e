/* Inside kache-observe.so only: the recorder (preload.c) and what the interposers share.
 * Nothing here allocates, locks or touches errno, so that it may run before main, inside malloc, in
 * vfork children and in signal handlers. */
#ifndef KACHE_OBSERVE_PRELOAD_H
#define KACHE_OBSERVE_PRELOAD_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

struct stat;
struct dirent;
struct FTW;
struct sockaddr;

/* The kernel's limit on a path; a recorded one may be a cwd plus a path. */
enum { PATH_ROOM = 4096, RECORD_ROOM = 2 * PATH_ROOM + 4 };

/* Interposers carry the C library's names by an asm label: that spares them the headers' prototypes
 * (variadic open, fortified and 64-bit redirections). LP64 Linux only: there a variadic integer
 * argument travels like a named one, and the 64-bit names are the plain functions. */
#define EXPORT __attribute__((visibility("default")))
#define NAMED(name) __asm__(#name)
#define ALIAS(ret, name, target, args) EXPORT ret alias_##name args NAMED(name) __attribute__((alias(#target)))

typedef int nftw_fn(const char *, const struct stat *, int, struct FTW *);

/* Newer than many systems: there nobody may find them here either. */
#if __GLIBC_PREREQ(2, 39)
#define REALS_2_39(X) \
	X(int, pidfd_spawn, (int *, const char *, const void *, const void *, char *const *, char *const *)) \
	X(int, pidfd_spawnp, (int *, const char *, const void *, const void *, char *const *, char *const *))
#else
#define REALS_2_39(X)
#endif

/* Every function that is passed on to the next library: result, name, arguments. */
#define REALS(X) \
	X(int, open, (const char *, int, unsigned)) \
	X(int, openat, (int, const char *, int, unsigned)) \
	X(int, __open_2, (const char *, int)) \
	X(int, __openat_2, (int, const char *, int)) \
	X(int, creat, (const char *, unsigned)) \
	X(void *, fopen, (const char *, const char *)) \
	X(void *, freopen, (const char *, const char *, void *)) \
	X(int, stat, (const char *, void *)) \
	X(int, lstat, (const char *, void *)) \
	X(int, fstatat, (int, const char *, void *, int)) \
	X(int, statx, (int, const char *, int, unsigned, void *)) \
	X(int, __xstat, (int, const char *, void *)) \
	X(int, __lxstat, (int, const char *, void *)) \
	X(int, __fxstatat, (int, int, const char *, void *, int)) \
	X(int, access, (const char *, int)) \
	X(int, faccessat, (int, const char *, int, int)) \
	X(int, euidaccess, (const char *, int)) \
	X(long, readlink, (const char *, char *, size_t)) \
	X(long, readlinkat, (int, const char *, char *, size_t)) \
	X(long, __readlink_chk, (const char *, char *, size_t, size_t)) \
	X(long, __readlinkat_chk, (int, const char *, char *, size_t, size_t)) \
	X(char *, realpath, (const char *, char *)) \
	X(char *, getcwd, (char *, size_t)) \
	X(char *, __getcwd_chk, (char *, size_t, size_t)) \
	X(char *, getwd, (char *)) \
	X(char *, get_current_dir_name, (void)) \
	X(int, gethostname, (char *, size_t)) \
	X(int, __gethostname_chk, (char *, size_t, size_t)) \
	X(int, getdomainname, (char *, size_t)) \
	X(int, __getdomainname_chk, (char *, size_t, size_t)) \
	X(int, uname, (void *)) \
	X(unsigned, getuid, (void)) X(unsigned, geteuid, (void)) \
	X(char *, getlogin, (void)) X(int, getlogin_r, (char *, size_t)) \
	X(void *, getpwuid, (unsigned)) X(int, getpwuid_r, (unsigned, void *, char *, size_t, void *)) \
	X(char *, __realpath_chk, (const char *, char *, size_t)) \
	X(char *, canonicalize_file_name, (const char *)) \
	X(void *, opendir, (const char *)) \
	X(void *, fdopendir, (int)) \
	X(int, scandir, (const char *, void *, void *, void *)) \
	X(int, scandirat, (int, const char *, void *, void *, void *)) \
	X(int, nftw, (const char *, nftw_fn *, int, int)) \
	X(int, ftw, (const char *, void *, int)) \
	X(void *, fts_open, (char *const *, int, void *)) \
	X(int, glob, (const char *, int, void *, void *)) \
	X(int, rename, (const char *, const char *)) \
	X(int, renameat, (int, const char *, int, const char *)) \
	X(int, renameat2, (int, const char *, int, const char *, unsigned)) \
	X(int, link, (const char *, const char *)) \
	X(int, linkat, (int, const char *, int, const char *, int)) \
	X(int, symlink, (const char *, const char *)) \
	X(int, symlinkat, (const char *, int, const char *)) \
	X(int, mkdir, (const char *, unsigned)) \
	X(int, mkdirat, (int, const char *, unsigned)) \
	X(char *, mkdtemp, (char *)) \
	X(int, rmdir, (const char *)) \
	X(int, remove, (const char *)) \
	X(int, unlink, (const char *)) \
	X(int, unlinkat, (int, const char *, int)) \
	X(int, truncate, (const char *, long)) \
	X(int, mkstemp, (char *)) \
	X(int, mkostemp, (char *, int)) \
	X(int, mkstemps, (char *, int)) \
	X(int, mkostemps, (char *, int, int)) \
	X(char *, getenv, (const char *)) \
	X(char *, secure_getenv, (const char *)) \
	X(int, execve, (const char *, char *const *, char *const *)) \
	X(int, execvpe, (const char *, char *const *, char *const *)) \
	X(int, fexecve, (int, char *const *, char *const *)) \
	X(int, execveat, (int, const char *, char *const *, char *const *, int)) \
	X(int, posix_spawn, (int *, const char *, const void *, const void *, char *const *, char *const *)) \
	X(int, posix_spawnp, (int *, const char *, const void *, const void *, char *const *, char *const *)) \
	REALS_2_39(X) \
	X(int, posix_spawn_file_actions_addopen, (void *, int, const char *, int, unsigned)) \
	X(int, system, (const char *)) \
	X(void *, popen, (const char *, const char *)) \
	X(void *, localtime, (const long *)) \
	X(void *, localtime_r, (const long *, void *)) \
	X(int, dlclose, (void *)) \
	X(void *, dlmopen, (long, const char *, int)) \
	X(void, _exit, (int)) \
	X(int, clock_gettime, (int, void *)) \
	X(int, gettimeofday, (void *, void *)) \
	X(long, time, (long *)) \
	X(int, timespec_get, (void *, int)) \
	X(int, chroot, (const char *)) \
	X(int, unshare, (int)) \
	X(int, setns, (int, int)) \
	X(int, socket, (int, int, int)) \
	X(int, connect, (int, const struct sockaddr *, unsigned)) \
	X(long, syscall, (long, long, long, long, long, long, long))

enum real {
#define REAL_ENUM(ret, name, args) F_##name,
	REALS(REAL_ENUM)
#undef REAL_ENUM
	F_COUNT
};
#define REAL_TYPE(ret, name, args) typedef ret fn_##name args;
REALS(REAL_TYPE)
#undef REAL_TYPE
/* The next library's function of that name. */
void *kache_real(enum real which);
#define REAL(name) ((fn_##name *)kache_real(F_##name))

/* True if this process records; starts the recorder at the first call. */
bool kache_observing(void);

/* Records once per process; a NULL or empty path, or one that can't be made absolute, is dealt with. */
void kache_note(char type, int dirfd, const char *path);
/* The same, for names that are no paths (E, C, N, !). */
void kache_note_name(char type, const char *name);
/* Records always (X, F; x and f with kache_event_name). */
void kache_event(char type, int dirfd, const char *path);
void kache_event_name(char type, const char *name);
/* dirfd and path as "<absolute>" into out[RECORD_ROOM - 1]; its length, or 0. */
size_t kache_absolute(char *out, int dirfd, const char *path);

/* The path of this process's program into out[PATH_ROOM]; its length, or 0. */
size_t kache_program(char *out);

/* A look at path: P if it is there, A if it is not or can't be reached. err is errno of the failure. */
void kache_note_look(int dirfd, const char *path, bool good, int err);
/* The same where reading was wanted: U if that is not allowed. */
void kache_note_try(int dirfd, const char *path, bool good, int err);
/* An open: fd is what it gave (errno if negative). */
void kache_note_open(int dirfd, const char *path, int flags, int fd, int err);
void kache_note_rename(int old_fd, const char *old, int new_fd, const char *new);
void kache_note_link(int old_fd, const char *old, int new_fd, const char *new, bool good);
void kache_note_symlink(const char *target, int dirfd, const char *path);
/* An access: P, A, or U if a file may not be read. */
void kache_note_access(int dirfd, const char *path, int mode, bool good, int err);
/* A readlink: S, or P if it is there and no link. */
void kache_note_readlink(int dirfd, const char *path, bool good, int err);
/* A mkdir: D, or P if it was there. */
void kache_note_mkdir(int dirfd, const char *path, bool good, int err);
/* A write to, or removal of, path. */
void kache_note_write(int dirfd, const char *path, bool good);
/* An interposer's caller looked at a file or opened one (K), or asked for a variable (G), both for shared objects only; it asked
 * where it is, by the working directory or by a name without links (H). */
#define CALLER __builtin_return_address(0)
void kache_note_looker(const void *caller);
void kache_note_asker(const void *caller, const char *variable);
void kache_note_here(const void *caller);
/* R for each shared library that is loaded now. */
void kache_note_libraries(void);

/* What children need to report too, as environment strings. */
extern char kache_log_var[], kache_preload_var[];
#define KACHE_LOG_VAR "KACHE_OBSERVE_LOG="
#define KACHE_PRELOAD_VAR "LD_PRELOAD="
const char *kache_preload_path(void);

/* Environment of a child: `given` itself is left alone. Room for ordinary ones is here, for larger
 * ones it is mapped; kache_child_release gives that back if the exec fails. */
struct child_env {
	char *slots[512];
	void *mapped;
	size_t mapped_size;
};
char *const *kache_child_env(struct child_env *room, char *const *given);
void kache_child_release(struct child_env *room);

static inline bool has_prefix(const char *s, const char *prefix)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return false;
	return true;
}

/* The system call itself: result, or -errno. */
#if defined __x86_64__
static inline long raw(long n, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall" : "=a"(result)
			 : "0"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined __aarch64__
static inline long raw(long n, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}
#else
static inline long raw(long n, long a, long b, long c, long d, long e, long f)
{
	int saved = errno;
	long result = REAL(syscall)(n, a, b, c, d, e, f);

	if (result == -1)
		result = -errno;
	errno = saved;
	return result;
}
#endif
#define RAW1(n, a) raw((n), (long)(a), 0, 0, 0, 0, 0)
#define RAW2(n, a, b) raw((n), (long)(a), (long)(b), 0, 0, 0, 0)
#define RAW3(n, a, b, c) raw((n), (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define RAW4(n, a, b, c, d) raw((n), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

#endif
