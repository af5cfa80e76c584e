#include "config.h"
#include "base/file.h"

#include "base/err.h"
#include "base/path.h"
#include "base/strs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/vfs.h>
#endif

void kache_auto_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static int read_whole(const char *path, int flags, size_t max, struct kache_buf *out)
{
	KACHE_AUTO_FD int fd = kache_open(path, O_RDONLY | O_NOCTTY | flags, 0);
	enum { FIRST = 64 << 10 };	/* nearly all of what is read */
	size_t start = out->len, room = FIRST;
	struct kache_stat st;

	if (fd < 0)
		return KACHE_E_IO;
	for (;;) {
		char *to = kache_buf_reserve(out, room);
		ssize_t n = read(fd, to, room);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return KACHE_E_IO;
		out->len += (size_t)n;
		out->data[out->len] = '\0';
		if (out->len - start > max) {
			errno = EFBIG;
			return KACHE_E_TOOBIG;
		}
		/* A short read of a regular file is its end: one system call saved on small files. */
		if ((size_t)n < room) {
			kache_buf_trim(out);
			return KACHE_OK;
		}
		/* The rest at once, and a byte that tells its end; what grows meanwhile, or tells no size, by and by. */
		if (room == FIRST && !kache_fstat(fd, &st) && st.size >= out->len - start && st.size - (out->len - start) < max)
			room = (size_t)st.size - (out->len - start) + 1;
		else if (room < 1 << 20)
			room *= 4;
	}
}

int kache_file_read(const char *path, size_t max, struct kache_buf *out)
{
	return read_whole(path, O_NONBLOCK, max, out);
}

int kache_file_read_waiting(const char *path, size_t max, struct kache_buf *out)
{
	return read_whole(path, 0, max, out);
}

int kache_open(const char *path, int flags, mode_t mode)
{
	return openat(AT_FDCWD, path, flags | O_CLOEXEC, mode);
}

int kache_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return KACHE_E_IO;
		p += n;
		len -= (size_t)n;
	}
	return KACHE_OK;
}

int kache_mkdirs(const char *path, mode_t mode)
{
	KACHE_AUTO_FREE char *copy = kache_strdup(path);

	if (!mkdir(copy, mode) || errno == EEXIST)
		return KACHE_OK;
	if (errno != ENOENT)
		return KACHE_E_IO;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) && errno != EEXIST)
			return KACHE_E_IO;
		*p = '/';
	}
	return mkdir(copy, mode) && errno != EEXIST ? KACHE_E_IO : KACHE_OK;
}

/* Some file systems leave it to stat. */
static char kind_of(DIR *d, const struct dirent *item)
{
	struct stat st;

	switch (item->d_type) {
	case DT_REG: return 'f';
	case DT_DIR: return 'd';
	case DT_LNK: return 'l';
	case DT_UNKNOWN: break;
	default: return 'o';
	}
	if (fstatat(dirfd(d), item->d_name, &st, AT_SYMLINK_NOFOLLOW))
		return 'o';
	return S_ISREG(st.st_mode) ? 'f' : S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : 'o';
}

static int read_dir(const char *path, bool kinds, struct kache_strs *out)
{
	DIR *d = opendir(path);
	struct dirent *item;

	if (!d)
		return KACHE_E_IO;
	while ((item = readdir(d))) {
		if (!strcmp(item->d_name, ".") || !strcmp(item->d_name, ".."))
			continue;
		if (kinds)
			kache_strs_take(out, kache_concat((char[]){ kind_of(d, item), '\0' }, item->d_name, NULL));
		else
			kache_strs_add(out, item->d_name);
	}
	closedir(d);
	return KACHE_OK;
}

int kache_dir_names(const char *path, struct kache_strs *out)
{
	return read_dir(path, false, out);
}

int kache_dir_entries(const char *path, struct kache_strs *out)
{
	return read_dir(path, true, out);
}

/* The C library asks the kernel each time. A child is another process. */
static _Atomic pid_t known_pid;

static void forget_pid(void)
{
	known_pid = 0;
}

static pid_t own_pid(void)
{
	static _Atomic bool told;	/* twice does no harm */
	pid_t pid = known_pid;

	if (pid)
		return pid;
	pid = getpid();
	if (told || !pthread_atfork(NULL, NULL, forget_pid)) {
		told = true;
		known_pid = pid;
	}
	return pid;
}

char *kache_temp_name(const char *dir, const char *prefix)
{
	static unsigned counter;
	struct kache_buf b = KACHE_BUF_INIT;

	kache_buf_str(&b, dir);
	kache_buf_ch(&b, '/');
	kache_buf_str(&b, prefix);
	kache_buf_decimal(&b, (uint64_t)own_pid());
	kache_buf_ch(&b, '-');
	kache_buf_decimal(&b, __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED));
	return kache_buf_steal(&b);
}

int kache_file_replace(const char *path, const void *data, size_t len, mode_t mode)
{
	KACHE_AUTO_FREE char *dir = kache_path_dir(path);
	KACHE_AUTO_FREE char *tmp = kache_temp_name(dir, ".kache-");
	KACHE_AUTO_FD int fd = kache_open(tmp, O_WRONLY | O_CREAT | O_EXCL, mode);
	int saved;

	if (fd < 0 && errno == ENOENT) {
		if (kache_mkdirs(dir, 0777))
			return KACHE_E_IO;
		fd = kache_open(tmp, O_WRONLY | O_CREAT | O_EXCL, mode);
	}
	if (fd < 0 && errno == EEXIST) {	/* litter of a dead process with our number */
		unlink(tmp);
		fd = kache_open(tmp, O_WRONLY | O_CREAT | O_EXCL, mode);
	}
	if (fd < 0)
		return KACHE_E_IO;
	if (!kache_write_all(fd, data, len) && !rename(tmp, path))
		return KACHE_OK;
	saved = errno;
	unlink(tmp);
	errno = saved;
	return KACHE_E_IO;
}

/* On its own, for its stack. */
__attribute__((noinline))
static int copy_by_hand(int from_fd, int to_fd, uint64_t size)
{
	char chunk[64 * 1024];

	while (size) {
		ssize_t n = read(from_fd, chunk, sizeof chunk);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (!n)
				errno = EIO;	/* shorter than it said it was */
			return KACHE_E_IO;
		}
		if ((uint64_t)n > size)
			n = (ssize_t)size;
		if (kache_write_all(to_fd, chunk, (size_t)n))
			return KACHE_E_IO;
		size -= (uint64_t)n;
	}
	return KACHE_OK;
}

int kache_copy_fd(int from_fd, int to_fd, uint64_t size)
{
	enum { LITTLE = 8192 };

	/* copy_file_range takes six times as long for a page or two, and no file system shares less than a block. */
	if (size <= LITTLE)
		return copy_by_hand(from_fd, to_fd, size);
#ifdef SYS_copy_file_range
	while (size) {
		ssize_t n = syscall(SYS_copy_file_range, from_fd, NULL, to_fd, NULL,
				    (size_t)(size > 1u << 30 ? 1u << 30 : size), 0u);

		if (n <= 0)
			break;
		size -= (uint64_t)n;
	}
#endif
	/* Another file system, or a kernel that can't: offsets are where we stopped. */
	return size ? copy_by_hand(from_fd, to_fd, size) : KACHE_OK;
}

#if defined __linux__ && defined SYS_statx
/* linux/stat.h as of Linux 4.11 (statx(2)); musl-gcc has neither that header nor a wrapper. */
struct statx_time {
	int64_t sec;
	uint32_t nsec;
	int32_t pad;
};
struct statx_buf {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, pad;
	uint64_t ino, size, blocks, attributes_mask;
	struct statx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t spare[14];
};
enum { KSTATX_BASIC = 0x7ff, KSTATX_BTIME = 0x800, KAT_EMPTY_PATH = 0x1000, KAT_FORCE_SYNC = 0x2000 };

static int64_t ns(const struct statx_time *t)
{
	return t->sec * 1000000000 + t->nsec;
}

static int do_stat(int fd, const char *path, int flags, struct kache_stat *st)
{
	struct statx_buf b;

	/* A compiler that opens a file sees what another host has just written over NFS, while stat(2) may tell for a minute how it
	 * was before. Local file systems take no notice of the flag. */
	if (syscall(SYS_statx, fd, path, flags | KAT_FORCE_SYNC, KSTATX_BASIC | KSTATX_BTIME, &b))
		return KACHE_E_IO;
	*st = (struct kache_stat){
		.dev = (uint64_t)b.dev_major << 32 | b.dev_minor,
		.ino = b.ino,
		.size = b.size,
		.mtime = ns(&b.mtime),
		.ctime = ns(&b.ctime),
		.btime = b.mask & KSTATX_BTIME ? ns(&b.btime) : 0,
		.mode = b.mode,
		.nlink = b.nlink,
	};
	return KACHE_OK;
}

int kache_fstat(int fd, struct kache_stat *st)
{
	return do_stat(fd, "", KAT_EMPTY_PATH, st);
}
#else
static void fill(const struct stat *s, struct kache_stat *st)
{
	*st = (struct kache_stat){
		.dev = (uint64_t)s->st_dev,
		.ino = (uint64_t)s->st_ino,
		.size = (uint64_t)s->st_size,
#ifdef __APPLE__
		.mtime = s->st_mtimespec.tv_sec * 1000000000LL + s->st_mtimespec.tv_nsec,
		.ctime = s->st_ctimespec.tv_sec * 1000000000LL + s->st_ctimespec.tv_nsec,
#else
		.mtime = s->st_mtim.tv_sec * 1000000000LL + s->st_mtim.tv_nsec,
		.ctime = s->st_ctim.tv_sec * 1000000000LL + s->st_ctim.tv_nsec,
#endif
		.mode = (uint32_t)s->st_mode,
		.nlink = (uint32_t)s->st_nlink,
	};
}

static int do_stat(int fd, const char *path, int flags, struct kache_stat *st)
{
	struct stat s;

	if (fstatat(fd, path, &s, flags))
		return KACHE_E_IO;
	fill(&s, st);
	return KACHE_OK;
}

int kache_fstat(int fd, struct kache_stat *st)
{
	struct stat s;

	if (fstat(fd, &s))
		return KACHE_E_IO;
	fill(&s, st);
	return KACHE_OK;
}
#endif

int kache_stat(const char *path, bool follow, struct kache_stat *st)
{
	return do_stat(AT_FDCWD, path, follow ? 0 : AT_SYMLINK_NOFOLLOW, st);
}

int kache_stat_in(int dir_fd, const char *name, struct kache_stat *st)
{
	return do_stat(dir_fd, name, 0, st);
}

/* Numbers of linux/magic.h. */
bool kache_fs_keeps_times(const char *path)
{
#ifdef __linux__
	static const unsigned long ext = 0xef53, xfs = 0x58465342, btrfs = 0x9123683e, tmpfs = 0x01021994;
	struct statfs fs;
	unsigned long type;

	if (statfs(path, &fs))
		return false;
	type = (unsigned long)fs.f_type;
	return type == ext || type == xfs || type == btrfs || type == tmpfs;
#else
	(void)path;
	return false;
#endif
}
