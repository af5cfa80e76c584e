/* The operations of the fs backend on single objects.
 *
 * A put writes a temporary file beside the object's final name and links or renames it into place, so a
 * reader sees a whole object or none, on local and on network file systems. Nothing is synced: after a
 * power failure an object may be short, which its reader notices by the hash. */
#include "config.h"
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 8 << 20, BUFFER = 256 << 10 };
#define TEMP_PREFIX ".kache~"

int fs_fail(struct kb_call *call, int error, const char *what, struct kb_key key)
{
	static const struct { int error, status; } table[] = {
		{ EACCES, KB_E_AUTH }, { EPERM, KB_E_AUTH }, { EROFS, KB_E_AUTH },
		{ ENOSPC, KB_E_NOSPACE }, { EDQUOT, KB_E_NOSPACE }, { EFBIG, KB_E_TOOBIG },
		{ ENOTDIR, KB_E_CONFIG }, { EISDIR, KB_E_CONFIG }, { ELOOP, KB_E_CONFIG },
		{ ENAMETOOLONG, KB_E_UNSUPPORTED },
	};
	int status = KB_E_TRANSIENT;

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].error == error)
			status = table[i].status;
	return fs_host->fail(call, status, "%s %.*s: %s", what, (int)key.len, key.name, strerror(error));
}

int fs_late(struct kb_call *call)
{
	struct pollfd p = { .fd = call->cancel_fd, .events = POLLIN };
	struct timespec t;

	if (call->cancel_fd >= 0 && poll(&p, 1, 0) > 0)
		return fs_host->fail(call, KB_E_CANCELLED, "cancelled");
	clock_gettime(CLOCK_MONOTONIC, &t);
	if ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec >= call->deadline_ns)
		return fs_host->fail(call, KB_E_TIMEOUT, "the file system took too long");
	return KB_OK;
}

int fs_path(struct kb_call *call, struct kb_key key, char buf[KB_KEY_MAX + 1])
{
	size_t start = 0;

	if (!key.len || key.len > KB_KEY_MAX)
		return fs_host->fail(call, KB_E_BUG, "a key of %zu bytes", key.len);
	for (size_t i = 0; i <= key.len; i++) {
		unsigned char c = i < key.len ? (unsigned char)key.name[i] : '/';

		if (c == '/') {		/* the end of a component, which is not "", "." or ".." */
			size_t len = i - start;

			if (!len || (len <= 2 && !memcmp(key.name + start, "..", len)))
				return fs_host->fail(call, KB_E_BUG, "bad key %.*s", (int)key.len, key.name);
			start = i + 1;
		} else if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-')) {
			return fs_host->fail(call, KB_E_BUG, "byte 0x%02x in a key", c);
		}
	}
	memcpy(buf, key.name, key.len);
	buf[key.len] = '\0';
	return KB_OK;
}

char *fs_temp(const char *path)
{
	const char *slash = strrchr(path, '/');
	int dir = slash ? (int)(slash - path + 1) : 0;
	size_t size = (size_t)dir + sizeof TEMP_PREFIX + 16;
	char *name = malloc(size);
	uint64_t random;

	if (getrandom(&random, sizeof random, 0) != sizeof random) {
		struct timespec t;

		clock_gettime(CLOCK_REALTIME, &t);
		random = (uint64_t)t.tv_nsec << 32 ^ (uint64_t)getpid() << 16 ^ (uint64_t)(uintptr_t)name;
	}
	if (name)
		snprintf(name, size, "%.*s%s%016llx", dir, path, TEMP_PREFIX, (unsigned long long)random);
	return name;
}

int fs_is_temp(const char *name)
{
	return !strncmp(name, TEMP_PREFIX, sizeof TEMP_PREFIX - 1);
}

static int no_shortcut(int error)
{
	return error == EXDEV || error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == EBADF ||
	       error == EPERM;
}

/* File to file within the kernel; extents are shared where the file system can. KB_OK with *left of
 * size not copied, for the portable way to go on. */
static int copy_in_kernel(int from, int to, uint64_t *left, struct kb_call *call, struct kb_key key)
{
	while (*left) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, *left < CHUNK ? (size_t)*left : CHUNK, 0);
		int rc;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !no_shortcut(errno))
			return fs_fail(call, errno, "copying", key);
		if (n <= 0)
			break;
		*left -= (uint64_t)n;
		rc = fs_late(call);
		if (rc)
			return rc;
	}
	return KB_OK;
}

static int read_to_sink(int fd, struct kb_sink *sink, uint64_t left, struct kb_call *call, struct kb_key key)
{
	char *buf = malloc(BUFFER);
	int rc = buf ? KB_OK : fs_host->fail(call, KB_E_LOCAL, "out of memory");

	while (left && !rc) {
		ssize_t n = read(fd, buf, left < BUFFER ? (size_t)left : BUFFER);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = fs_fail(call, errno, "reading", key);
		else if (!n)
			rc = fs_host->fail(call, KB_E_CORRUPT, "%.*s shrinks while it is read", (int)key.len, key.name);
		else
			rc = sink->write(sink, buf, (size_t)n);
		if (n > 0)
			left -= (uint64_t)n;
		if (!rc)
			rc = fs_late(call);
	}
	free(buf);
	return rc;
}

int fs_get(struct kb_handle *h, struct kb_key key, struct kb_sink *sink, struct kb_call *call)
{
	char path[KB_KEY_MAX + 1];
	struct stat st;
	uint64_t left;
	int fd, rc = fs_path(call, key, path);

	if (rc)
		return rc;
	fd = openat(h->dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? KB_MISS : fs_fail(call, errno, "opening", key);
	if (fstat(fd, &st))
		rc = fs_fail(call, errno, "reading", key);
	else if (S_ISDIR(st.st_mode))
		rc = KB_MISS;		/* other names begin with this one */
	else if (!S_ISREG(st.st_mode))
		rc = fs_host->fail(call, KB_E_CORRUPT, "%s is not a regular file", path);
	else if ((uint64_t)st.st_size > sink->limit)
		rc = fs_host->fail(call, KB_E_CORRUPT, "%s has %lld bytes, more than is acceptable", path,
				   (long long)st.st_size);
	left = rc ? 0 : (uint64_t)st.st_size;
	if (!rc)
		rc = sink->begin(sink, left);
	if (!rc && sink->fd >= 0) {
		rc = copy_in_kernel(fd, sink->fd, &left, call, key);
		if (!rc && left && left != (uint64_t)st.st_size) {	/* one way or the other, never both */
			left = (uint64_t)st.st_size;
			rc = lseek(fd, 0, SEEK_SET) ? fs_fail(call, errno, "reading", key) : sink->begin(sink, left);
		}
	}
	if (!rc && left)
		rc = read_to_sink(fd, sink, left, call, key);
	close(fd);
	return rc;
}

static int write_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_from_source(int fd, struct kb_source *src, uint64_t left, struct kb_call *call, struct kb_key key)
{
	char *buf = malloc(BUFFER);
	int rc = buf ? KB_OK : fs_host->fail(call, KB_E_LOCAL, "out of memory");

	while (left && !rc) {
		size_t n = 0;

		if (src->read(src, buf, left < BUFFER ? (size_t)left : BUFFER, &n))
			rc = fs_host->fail(call, KB_E_LOCAL, "the source of %.*s can't be read", (int)key.len, key.name);
		else if (!n)
			rc = fs_host->fail(call, KB_E_LOCAL, "the source of %.*s is shorter than its size", (int)key.len,
					   key.name);
		else if (write_all(fd, buf, n))
			rc = fs_fail(call, errno, "writing", key);
		left -= n;
		if (!rc)
			rc = fs_late(call);
	}
	free(buf);
	return rc;
}

/* The folders of path, which end at its last '/'. */
static int make_folders(struct kb_handle *h, const char *path)
{
	char part[KB_KEY_MAX + 1];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		memcpy(part, path, (size_t)(slash - path));
		part[slash - path] = '\0';
		if (mkdirat(h->dir, part, h->dir_mode)) {
			if (errno != EEXIST)
				return -1;
		} else if (h->exact_mode) {
			(void)!fchmodat(h->dir, part, h->dir_mode, 0);
		}
	}
	return 0;
}

static int create_temp(struct kb_handle *h, const char *path, char **temp)
{
	int fd = -1;

	for (int attempt = 0; attempt < 4 && fd < 0; attempt++) {
		*temp = fs_temp(path);
		if (!*temp) {
			errno = ENOMEM;
			return -1;
		}
		fd = openat(h->dir, *temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, h->file_mode);
		if (fd < 0) {
			int saved = errno;

			free(*temp);
			*temp = NULL;
			errno = saved;
			if (saved == ENOENT ? make_folders(h, path) : saved != EEXIST)
				return -1;
		}
	}
	if (fd >= 0 && h->exact_mode)
		(void)!fchmod(fd, h->file_mode);
	return fd;
}

/* Gives the finished file its name. Creating only is what link does; where there are no hard links
 * (FAT, some network file systems) a look before a rename has to do. */
static int publish(struct kb_handle *h, const char *temp, const char *path, int if_absent, struct kb_call *call,
		   struct kb_key key)
{
	if (if_absent) {
		if (!linkat(h->dir, temp, h->dir, path, 0))
			return KB_OK;
		if (errno == EEXIST)
			return KB_EXISTS;
		if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
			return fs_fail(call, errno, "linking", key);
		if (!faccessat(h->dir, path, F_OK, 0))
			return KB_EXISTS;
	}
	if (renameat(h->dir, temp, h->dir, path))
		return fs_fail(call, errno, "renaming", key);
	return KB_OK;
}

int fs_put(struct kb_handle *h, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	   struct kb_call *call)
{
	const int if_absent = opts && opts->flags & KB_PUT_IF_ABSENT;
	char path[KB_KEY_MAX + 1], *temp = NULL;
	uint64_t left = src->size;
	int fd, rc = fs_path(call, key, path);

	if (rc)
		return rc;
	if (if_absent && !faccessat(h->dir, path, F_OK, AT_SYMLINK_NOFOLLOW))
		return KB_EXISTS;
	if (src->rewind(src))
		return fs_host->fail(call, KB_E_LOCAL, "the source of %s can't be read", path);
	fd = create_temp(h, path, &temp);
	if (fd < 0)
		return fs_fail(call, errno, "creating", key);
	if (src->fd >= 0)
		rc = copy_in_kernel(src->fd, fd, &left, call, key);
	if (!rc && left && left != src->size) {
		left = src->size;
		if (src->rewind(src) || ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET))
			rc = fs_host->fail(call, KB_E_LOCAL, "the source of %s can't be read", path);
	}
	if (!rc && left)
		rc = write_from_source(fd, src, left, call, key);
	if (close(fd) && !rc)	/* network file systems tell of a full disk here */
		rc = fs_fail(call, errno, "writing", key);
	if (!rc)
		rc = publish(h, temp, path, if_absent, call, key);
	unlinkat(h->dir, temp, 0);
	free(temp);
	return rc;
}

int fs_head(struct kb_handle *h, struct kb_key key, struct kb_stat *out, struct kb_call *call)
{
	char path[KB_KEY_MAX + 1];
	struct stat st;
	int rc = fs_path(call, key, path);

	if (rc)
		return rc;
	if (fstatat(h->dir, path, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? KB_MISS : fs_fail(call, errno, "looking for", key);
	if (!S_ISREG(st.st_mode))
		return KB_MISS;
	*out = (struct kb_stat){ .size = (uint64_t)st.st_size, .mtime_s = st.st_mtime, .ttl_s = -1 };
	return KB_OK;
}

int fs_del(struct kb_handle *h, struct kb_key key, struct kb_call *call)
{
	char path[KB_KEY_MAX + 1];
	int rc = fs_path(call, key, path);

	if (rc)
		return rc;
	if (unlinkat(h->dir, path, 0) && errno != ENOENT)
		return fs_fail(call, errno, "removing", key);
	return KB_OK;
}

int fs_touch(struct kb_handle *h, struct kb_key key, int64_t ttl_s, struct kb_call *call)
{
	char path[KB_KEY_MAX + 1];
	int rc = fs_path(call, key, path);

	(void)ttl_s;
	if (rc)
		return rc;
	if (utimensat(h->dir, path, NULL, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? KB_MISS : fs_fail(call, errno, "touching", key);
	return KB_OK;
}
