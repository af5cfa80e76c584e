/* kache-observe.so: the file system. Each interposer calls the real function and records afterwards,
 * from what came of it. */
#include "config.h"
#include "observe/preload.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Interposers are called by others only. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* GLIBC's glob.h and ftw.h would bring the prototypes. */
enum { FLAG_FTW_D = 1, FLAG_FTW_DNR = 2, FLAG_FTW_NS = 3, FLAG_FTW_DP = 5, FLAG_FTW_CHDIR = 4 };

EXPORT int my_open(const char *path, int flags, unsigned mode) NAMED(open);
EXPORT int my_open(const char *path, int flags, unsigned mode)
{
	int fd = REAL(open)(path, flags, mode);

	kache_note_looker(CALLER);
	kache_note_open(AT_FDCWD, path, flags, fd, errno);
	return fd;
}
ALIAS(int, open64, open, (const char *, int, unsigned));

EXPORT int my_openat(int dirfd, const char *path, int flags, unsigned mode) NAMED(openat);
EXPORT int my_openat(int dirfd, const char *path, int flags, unsigned mode)
{
	int fd = REAL(openat)(dirfd, path, flags, mode);

	kache_note_looker(CALLER);
	kache_note_open(dirfd, path, flags, fd, errno);
	return fd;
}
ALIAS(int, openat64, openat, (int, const char *, int, unsigned));

EXPORT int my_open_2(const char *path, int flags) NAMED(__open_2);
EXPORT int my_open_2(const char *path, int flags)
{
	int fd = REAL(__open_2)(path, flags);

	kache_note_looker(CALLER);
	kache_note_open(AT_FDCWD, path, flags, fd, errno);
	return fd;
}
ALIAS(int, __open64_2, __open_2, (const char *, int));

EXPORT int my_openat_2(int dirfd, const char *path, int flags) NAMED(__openat_2);
EXPORT int my_openat_2(int dirfd, const char *path, int flags)
{
	int fd = REAL(__openat_2)(dirfd, path, flags);

	kache_note_looker(CALLER);
	kache_note_open(dirfd, path, flags, fd, errno);
	return fd;
}
ALIAS(int, __openat64_2, __openat_2, (int, const char *, int));

EXPORT int my_creat(const char *path, unsigned mode) NAMED(creat);
EXPORT int my_creat(const char *path, unsigned mode)
{
	int fd = REAL(creat)(path, mode);

	kache_note_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, fd, errno);
	return fd;
}
ALIAS(int, creat64, creat, (const char *, unsigned));

static void note_stream(const char *path, const char *mode, FILE *f)
{
	int flags = mode[0] == 'r' ? 0 : mode[0] == 'w' ? O_CREAT | O_TRUNC : O_CREAT;

	flags |= strchr(mode, '+') ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;
	kache_note_open(AT_FDCWD, path, flags, f ? fileno(f) : -1, errno);
}

EXPORT void *my_fopen(const char *path, const char *mode) NAMED(fopen);
EXPORT void *my_fopen(const char *path, const char *mode)
{
	FILE *f = REAL(fopen)(path, mode);

	kache_note_looker(CALLER);
	note_stream(path, mode, f);
	return f;
}
ALIAS(void *, fopen64, fopen, (const char *, const char *));

EXPORT void *my_freopen(const char *path, const char *mode, void *old) NAMED(freopen);
EXPORT void *my_freopen(const char *path, const char *mode, void *old)
{
	FILE *f = REAL(freopen)(path, mode, old);

	note_stream(path, mode, f);
	return f;
}
ALIAS(void *, freopen64, freopen, (const char *, const char *, void *));

/* Functions that look at one path and give 0 or -1. */
#define LOOK(name, args, call, dirfd, path) \
	EXPORT int my_##name args NAMED(name); \
	EXPORT int my_##name args \
	{ \
		int result = REAL(name) call; \
		kache_note_looker(CALLER); \
		kache_note_look(dirfd, path, !result, errno); \
		return result; \
	}
LOOK(stat, (const char *path, void *st), (path, st), AT_FDCWD, path)
LOOK(lstat, (const char *path, void *st), (path, st), AT_FDCWD, path)
LOOK(fstatat, (int dirfd, const char *path, void *st, int flags), (dirfd, path, st, flags), dirfd, path)
LOOK(statx, (int dirfd, const char *path, int flags, unsigned mask, void *st),
     (dirfd, path, flags, mask, st), dirfd, path)
LOOK(__xstat, (int version, const char *path, void *st), (version, path, st), AT_FDCWD, path)
LOOK(__lxstat, (int version, const char *path, void *st), (version, path, st), AT_FDCWD, path)
LOOK(__fxstatat, (int version, int dirfd, const char *path, void *st, int flags),
     (version, dirfd, path, st, flags), dirfd, path)
ALIAS(int, stat64, stat, (const char *, void *));
ALIAS(int, lstat64, lstat, (const char *, void *));
ALIAS(int, fstatat64, fstatat, (int, const char *, void *, int));
ALIAS(int, __xstat64, __xstat, (int, const char *, void *));
ALIAS(int, __lxstat64, __lxstat, (int, const char *, void *));
ALIAS(int, __fxstatat64, __fxstatat, (int, int, const char *, void *, int));

#define ACCESS(name, args, call, dirfd) \
	EXPORT int my_##name args NAMED(name); \
	EXPORT int my_##name args \
	{ \
		int result = REAL(name) call; \
		kache_note_access(dirfd, path, mode, !result, errno); \
		return result; \
	}
ACCESS(access, (const char *path, int mode), (path, mode), AT_FDCWD)
ACCESS(faccessat, (int dirfd, const char *path, int mode, int flags), (dirfd, path, mode, flags), dirfd)
ACCESS(euidaccess, (const char *path, int mode), (path, mode), AT_FDCWD)
ALIAS(int, eaccess, euidaccess, (const char *, int));

void kache_note_readlink(int dirfd, const char *path, bool good, int err)
{
	if (good)
		kache_note('S', dirfd, path);
	else
		kache_note_look(dirfd, path, err == EINVAL, err);	/* EINVAL: there, and no link */
}

/* The kernel's links to the working directory of a process and to its program. */
static bool is_place(const char *path)
{
	const size_t len = path && has_prefix(path, "/proc/") ? strlen(path) : 0;

	return len > 4 && (!strcmp(path + len - 4, "/cwd") || !strcmp(path + len - 4, "/exe"));
}

#define READLINK(name, args, call, dirfd) \
	EXPORT long my_##name args NAMED(name); \
	EXPORT long my_##name args \
	{ \
		long result = REAL(name) call; \
		if (is_place(path)) \
			kache_note_here(CALLER); \
		kache_note_readlink(dirfd, path, result >= 0, errno); \
		return result; \
	}
READLINK(readlink, (const char *path, char *out, size_t size), (path, out, size), AT_FDCWD)
READLINK(readlinkat, (int dirfd, const char *path, char *out, size_t size), (dirfd, path, out, size), dirfd)
READLINK(__readlink_chk, (const char *path, char *out, size_t size, size_t room),
	 (path, out, size, room), AT_FDCWD)
READLINK(__readlinkat_chk, (int dirfd, const char *path, char *out, size_t size, size_t room),
	 (dirfd, path, out, size, room), dirfd)

/* The links that were followed on the way to a real path; the C library reads them unseen. */
static void note_links(const char *given)
{
	char path[RECORD_ROOM], next[RECORD_ROOM];
	size_t len = kache_absolute(path, AT_FDCWD, given), at = 0;

	for (int left = 40; len && left;) {
		size_t end = at + 1, rest, to;
		char saved;
		long n;

		if (at >= len)
			return;
		while (end < len && path[end] != '/')
			end++;
		saved = path[end];
		path[end] = '\0';
		n = RAW4(SYS_readlinkat, AT_FDCWD, path, next, PATH_ROOM);
		if (n > 0)
			kache_note('S', AT_FDCWD, path);
		path[end] = saved;
		if (n <= 0) {
			at = end;
			continue;
		}
		rest = len - end;
		to = next[0] == '/' ? 0 : at + 1;
		if (to + (size_t)n + rest >= sizeof path)
			return;
		memmove(path + to + n, path + end, rest + 1);
		memcpy(path + to, next, (size_t)n);
		len = to + (size_t)n + rest;
		at = 0;		/* again from the start: "..", and links within the target */
		left--;
	}
}

static void note_real(const char *path, const char *real)
{
	char absolute[RECORD_ROOM];

	kache_note_look(AT_FDCWD, path, real, errno);
	if (!path || !real || !kache_observing())
		return;
	if (kache_absolute(absolute, AT_FDCWD, path) && strcmp(absolute, real))
		note_links(path);
}

#define REALPATH(name, args, call) \
	EXPORT char *my_##name args NAMED(name); \
	EXPORT char *my_##name args \
	{ \
		char *result = REAL(name) call; \
		kache_note_here(CALLER); \
		note_real(path, result); \
		return result; \
	}
REALPATH(realpath, (const char *path, char *out), (path, out))
REALPATH(__realpath_chk, (const char *path, char *out, size_t room), (path, out, room))
REALPATH(canonicalize_file_name, (const char *path), (path))

static void note_list(int dirfd, const char *path, bool good, int err)
{
	if (good)
		kache_note('L', dirfd, path);
	else
		kache_note_try(dirfd, path, err == ENOTDIR, err == ENOTDIR ? 0 : err);
}

EXPORT void *my_opendir(const char *path) NAMED(opendir);
EXPORT void *my_opendir(const char *path)
{
	void *dir = REAL(opendir)(path);

	note_list(AT_FDCWD, path, dir, errno);
	return dir;
}

EXPORT void *my_fdopendir(int fd) NAMED(fdopendir);
EXPORT void *my_fdopendir(int fd)
{
	void *dir = REAL(fdopendir)(fd);

	if (dir)
		kache_note('L', fd, ".");
	return dir;
}

EXPORT int my_scandir(const char *path, void *out, void *select, void *compare) NAMED(scandir);
EXPORT int my_scandir(const char *path, void *out, void *select, void *compare)
{
	int n = REAL(scandir)(path, out, select, compare);

	note_list(AT_FDCWD, path, n >= 0, errno);
	return n;
}
ALIAS(int, scandir64, scandir, (const char *, void *, void *, void *));

EXPORT int my_scandirat(int dirfd, const char *path, void *out, void *select, void *compare) NAMED(scandirat);
EXPORT int my_scandirat(int dirfd, const char *path, void *out, void *select, void *compare)
{
	int n = REAL(scandirat)(dirfd, path, out, select, compare);

	note_list(dirfd, path, n >= 0, errno);
	return n;
}
ALIAS(int, scandirat64, scandirat, (int, const char *, void *, void *, void *));

static __thread nftw_fn *walker __attribute__((tls_model("initial-exec")));

static int walk(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	if (kind == FLAG_FTW_D || kind == FLAG_FTW_DP)
		kache_note('L', AT_FDCWD, path);
	else
		kache_note_look(AT_FDCWD, path, kind != FLAG_FTW_NS, 0);
	return walker(path, st, kind, where);
}

EXPORT int my_nftw(const char *path, nftw_fn *f, int fds, int flags) NAMED(nftw);
EXPORT int my_nftw(const char *path, nftw_fn *f, int fds, int flags)
{
	nftw_fn *outer = walker;
	int result;

	if (flags & FLAG_FTW_CHDIR)
		kache_note_name('!', "nftw with FTW_CHDIR");
	walker = f;
	result = REAL(nftw)(path, walk, fds, flags);
	walker = outer;
	if (result < 0)
		kache_note_look(AT_FDCWD, path, false, errno);
	return result;
}
ALIAS(int, nftw64, nftw, (const char *, nftw_fn *, int, int));

EXPORT int my_ftw(const char *path, void *f, int fds) NAMED(ftw);
EXPORT int my_ftw(const char *path, void *f, int fds)
{
	kache_note_name('!', "ftw");
	return REAL(ftw)(path, f, fds);
}
ALIAS(int, ftw64, ftw, (const char *, void *, int));

EXPORT void *my_fts_open(char *const *paths, int options, void *compare) NAMED(fts_open);
EXPORT void *my_fts_open(char *const *paths, int options, void *compare)
{
	kache_note_name('!', "fts_open");
	return REAL(fts_open)(paths, options, compare);
}
ALIAS(void *, fts64_open, fts_open, (char *const *, int, void *));

/* A wildcard in the last component lists one directory; elsewhere it lists many. */
EXPORT int my_glob(const char *pattern, int flags, void *err, void *out) NAMED(glob);
EXPORT int my_glob(const char *pattern, int flags, void *err, void *out)
{
	int result = REAL(glob)(pattern, flags, err, out);
	size_t wild = strcspn(pattern, "*?[{~\\"), dir = wild;
	char path[PATH_ROOM];

	if (!pattern[wild]) {
		kache_note_look(AT_FDCWD, pattern, !result, ENOENT);
		return result;
	}
	while (dir && pattern[dir - 1] != '/')
		dir--;
	if (strchr(pattern + wild, '/') || pattern[wild] == '~' || dir >= sizeof path) {
		kache_note_name('!', "glob over several directories");
		return result;
	}
	memcpy(path, pattern, dir);
	path[dir] = '\0';
	kache_note('L', AT_FDCWD, dir ? path : ".");
	return result;
}
ALIAS(int, glob64, glob, (const char *, int, void *, void *));

/* A file that moves takes its content along; if it is older than this run, that content is read. */
void kache_note_rename(int old_fd, const char *old, int new_fd, const char *new)
{
	struct stat st;

	if (!kache_observing())
		return;
	if (!RAW4(SYS_newfstatat, new_fd, new, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode))
		kache_note('R', old_fd, old);
	kache_note('W', old_fd, old);
	kache_note('W', new_fd, new);
}

EXPORT int my_rename(const char *old, const char *new) NAMED(rename);
EXPORT int my_rename(const char *old, const char *new)
{
	int result = REAL(rename)(old, new);

	if (!result)
		kache_note_rename(AT_FDCWD, old, AT_FDCWD, new);
	return result;
}

EXPORT int my_renameat(int old_fd, const char *old, int new_fd, const char *new) NAMED(renameat);
EXPORT int my_renameat(int old_fd, const char *old, int new_fd, const char *new)
{
	int result = REAL(renameat)(old_fd, old, new_fd, new);

	if (!result)
		kache_note_rename(old_fd, old, new_fd, new);
	return result;
}

EXPORT int my_renameat2(int old_fd, const char *old, int new_fd, const char *new, unsigned flags) NAMED(renameat2);
EXPORT int my_renameat2(int old_fd, const char *old, int new_fd, const char *new, unsigned flags)
{
	int result = REAL(renameat2)(old_fd, old, new_fd, new, flags);

	if (!result)
		kache_note_rename(old_fd, old, new_fd, new);
	return result;
}

void kache_note_link(int old_fd, const char *old, int new_fd, const char *new, bool good)
{
	if (!good)
		return;
	kache_note('R', old_fd, old);
	kache_note('W', new_fd, new);
}

EXPORT int my_link(const char *old, const char *new) NAMED(link);
EXPORT int my_link(const char *old, const char *new)
{
	int result = REAL(link)(old, new);

	kache_note_link(AT_FDCWD, old, AT_FDCWD, new, !result);
	return result;
}

EXPORT int my_linkat(int old_fd, const char *old, int new_fd, const char *new, int flags) NAMED(linkat);
EXPORT int my_linkat(int old_fd, const char *old, int new_fd, const char *new, int flags)
{
	int result = REAL(linkat)(old_fd, old, new_fd, new, flags);

	kache_note_link(old_fd, old, new_fd, new, !result);
	return result;
}

/* The link is ours; what is read through it later is not. */
void kache_note_symlink(const char *target, int dirfd, const char *path)
{
	char full[RECORD_ROOM];
	size_t len = strlen(target);
	struct stat st;

	if (!kache_observing())
		return;
	kache_note('W', dirfd, path);
	if (target[0] != '/') {
		size_t at = kache_absolute(full, dirfd, path);

		while (at && full[at - 1] != '/')
			at--;
		if (!at || at + len >= sizeof full)
			return;
		memcpy(full + at, target, len + 1);
		target = full;
	}
	if (RAW4(SYS_newfstatat, AT_FDCWD, target, &st, 0))
		kache_note('A', AT_FDCWD, target);
	else
		kache_note(S_ISREG(st.st_mode) ? 'R' : 'P', AT_FDCWD, target);
}

EXPORT int my_symlink(const char *target, const char *path) NAMED(symlink);
EXPORT int my_symlink(const char *target, const char *path)
{
	int result = REAL(symlink)(target, path);

	if (!result)
		kache_note_symlink(target, AT_FDCWD, path);
	return result;
}

EXPORT int my_symlinkat(const char *target, int dirfd, const char *path) NAMED(symlinkat);
EXPORT int my_symlinkat(const char *target, int dirfd, const char *path)
{
	int result = REAL(symlinkat)(target, dirfd, path);

	if (!result)
		kache_note_symlink(target, dirfd, path);
	return result;
}

void kache_note_mkdir(int dirfd, const char *path, bool good, int err)
{
	if (good)
		kache_note('D', dirfd, path);
	else if (err == EEXIST)
		kache_note('P', dirfd, path);
}

EXPORT int my_mkdir(const char *path, unsigned mode) NAMED(mkdir);
EXPORT int my_mkdir(const char *path, unsigned mode)
{
	int result = REAL(mkdir)(path, mode);

	kache_note_mkdir(AT_FDCWD, path, !result, errno);
	return result;
}

EXPORT int my_mkdirat(int dirfd, const char *path, unsigned mode) NAMED(mkdirat);
EXPORT int my_mkdirat(int dirfd, const char *path, unsigned mode)
{
	int result = REAL(mkdirat)(dirfd, path, mode);

	kache_note_mkdir(dirfd, path, !result, errno);
	return result;
}

EXPORT char *my_mkdtemp(char *path) NAMED(mkdtemp);
EXPORT char *my_mkdtemp(char *path)
{
	char *result = REAL(mkdtemp)(path);

	kache_note_mkdir(AT_FDCWD, path, result, 0);
	return result;
}

void kache_note_write(int dirfd, const char *path, bool good)
{
	if (good)
		kache_note('W', dirfd, path);
}

/* Functions that change one path; `good` tells from `result`. */
#define WRITE(name, args, call, dirfd, good) \
	EXPORT int my_##name args NAMED(name); \
	EXPORT int my_##name args \
	{ \
		int result = REAL(name) call; \
		kache_note_write(dirfd, path, good); \
		return result; \
	}
WRITE(rmdir, (const char *path), (path), AT_FDCWD, !result)
WRITE(remove, (const char *path), (path), AT_FDCWD, !result)
WRITE(unlink, (const char *path), (path), AT_FDCWD, !result)
WRITE(unlinkat, (int dirfd, const char *path, int flags), (dirfd, path, flags), dirfd, !result)
WRITE(truncate, (const char *path, long size), (path, size), AT_FDCWD, !result)
WRITE(mkstemp, (char *path), (path), AT_FDCWD, result >= 0)
WRITE(mkostemp, (char *path, int flags), (path, flags), AT_FDCWD, result >= 0)
WRITE(mkstemps, (char *path, int suffix), (path, suffix), AT_FDCWD, result >= 0)
WRITE(mkostemps, (char *path, int suffix, int flags), (path, suffix, flags), AT_FDCWD, result >= 0)
ALIAS(int, truncate64, truncate, (const char *, long));
ALIAS(int, mkstemp64, mkstemp, (char *));
ALIAS(int, mkostemp64, mkostemp, (char *, int));
ALIAS(int, mkstemps64, mkstemps, (char *, int));
ALIAS(int, mkostemps64, mkostemps, (char *, int, int));
