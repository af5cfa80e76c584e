/* Blobs: contents named by their hash. */
#include "config.h"
#include "store/store.h"

#include "base/path.h"
#include "store/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const struct timespec kache_blob_times[2] = {
	{ .tv_sec = KACHE_BLOB_TIME }, { .tv_sec = KACHE_BLOB_TIME },
};

static int check_content(const char *path, const struct kache_hash *hash)
{
	KACHE_AUTO_FD int fd = kache_open(path, O_RDONLY, 0);
	struct kache_hash found;

	if (fd < 0 || kache_hash_fd(fd, &found, NULL))
		return KACHE_E_IO;
	return kache_hash_eq(&found, hash) ? KACHE_OK : KACHE_E_CORRUPT;
}

int kache_blob_check(struct kache_store *s, const char *path, int fd, const struct kache_stat *st,
		     const struct kache_hash *hash, uint64_t size)
{
	int rc = KACHE_E_CORRUPT;

	if (S_ISREG(st->mode) && st->size == size)
		rc = s->verify ? check_content(path, hash) : kache_map_blob(s, path, fd, st, hash);
	if (rc == KACHE_E_CORRUPT && !s->readonly)
		unlink(path);
	return rc;
}

/* An existing sound blob is stamped, whose ctime then tells gc that somebody has just counted on it; its modification time may be
 * somebody's. False if there is none, also where gc was faster. */
static bool reuse(struct kache_store *s, const char *path, const struct kache_hash *hash, uint64_t size)
{
	const struct timespec stamp[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_OMIT } };
	struct kache_stat st;

	return !kache_stat(path, false, &st) && !kache_blob_check(s, path, -1, &st, hash, size) &&
	       (!utimensat(AT_FDCWD, path, stamp, AT_SYMLINK_NOFOLLOW) || errno != ENOENT);
}

/* Links a finished file (right time, right mode) to its blob name. */
static int publish(struct kache_store *s, const char *temp, const struct kache_hash *hash, uint64_t size,
		   struct kache_error *err)
{
	KACHE_AUTO_FREE char *path = kache_store_path(s, "blobs", hash);
	int saved;

	for (int attempt = 0; attempt < 3; attempt++) {
		if (!link(temp, path))
			return KACHE_OK;
		if (errno == ENOENT) {
			KACHE_AUTO_FREE char *dir = kache_path_dir(path);

			if (kache_mkdirs(dir, 0777))
				break;
			continue;
		}
		if (errno != EEXIST)
			break;
		if (reuse(s, path, hash, size))
			return KACHE_OK;
		if (unlink(path) && errno != ENOENT)	/* written through or torn: out with it */
			break;
	}
	saved = errno;
	kache_fail_errno(err, "blob %s", path);
	errno = saved;
	return KACHE_E_IO;
}

/* young: it keeps its time, which is remembered. */
static int put_temp(struct kache_store *s, const char *temp, bool exec, bool young, const struct kache_hash *hash,
		    struct kache_error *err)
{
	struct kache_stat st;
	int rc;

	if (chmod(temp, exec ? 0755 : 0644) || (!young && utimensat(AT_FDCWD, temp, kache_blob_times, 0)) ||
	    kache_stat(temp, false, &st))
		rc = kache_fail_errno(err, "temporary file %s", temp);
	else
		rc = publish(s, temp, hash, st.size, err);
	if (!rc && young)
		kache_map_put_blob(s, &st, hash);
	unlink(temp);
	return rc;
}

int kache_blob_put_temp(struct kache_store *s, const char *temp, bool exec, const struct kache_hash *hash,
			struct kache_error *err)
{
	return put_temp(s, temp, exec, false, hash, err);
}

/* A link of the compiler's own output becomes the blob: no byte is copied, one inode serves both. */
static int put_by_link(struct kache_store *s, const char *path, bool exec, bool young, const struct kache_hash *hash,
		       uint64_t size, struct kache_error *err)
{
	KACHE_AUTO_FREE char *temp = kache_store_temp(s);
	KACHE_AUTO_FREE char *blob = kache_store_path(s, "blobs", hash);

	if (reuse(s, blob, hash, size))
		return KACHE_OK;
	if (link(path, temp))
		return KACHE_E_IO;
	return put_temp(s, temp, exec, young, hash, err);
}

static int put_by_copy(struct kache_store *s, int from, bool exec, const struct kache_hash *hash,
		       uint64_t size, struct kache_error *err)
{
	KACHE_AUTO_FREE char *temp = kache_store_temp(s);
	KACHE_AUTO_FREE char *blob = kache_store_path(s, "blobs", hash);
	KACHE_AUTO_FD int to = -1;

	if (reuse(s, blob, hash, size))
		return KACHE_OK;
	to = kache_open(temp, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (to < 0)
		return kache_fail_errno(err, "temporary file %s", temp);
	if (lseek(from, 0, SEEK_SET) || kache_copy_fd(from, to, size)) {
		kache_fail_errno(err, "temporary file %s", temp);
		unlink(temp);
		return KACHE_E_IO;
	}
	return kache_blob_put_temp(s, temp, exec, hash, err);
}

int kache_blob_put_file(struct kache_store *s, const char *path, enum kache_linking linking, struct kache_hash *hash,
			uint64_t *size, struct kache_error *err)
{
	KACHE_AUTO_FD int fd = kache_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	struct kache_stat st;
	bool exec;

	if (fd < 0 || kache_fstat(fd, &st))
		return kache_fail_errno(err, "%s", path);
	if (!S_ISREG(st.mode))
		return kache_fail(err, KACHE_E_INVALID, "%s is not a regular file", path);
	exec = st.mode & 0100;
	if (kache_hash_fd(fd, hash, size))
		return kache_fail_errno(err, "%s", path);
	if (*size != st.size)
		return kache_fail(err, KACHE_E_BUSY, "%s changes while it is read", path);
	if (linking != KACHE_LINKING_NOT &&
	    put_by_link(s, path, exec, linking == KACHE_LINKING_YOUNG, hash, *size, err) == KACHE_OK)
		return KACHE_OK;
	return put_by_copy(s, fd, exec, hash, *size, err);
}

int kache_blob_open(struct kache_store *s, const struct kache_hash *hash, uint64_t size, int *out)
{
	KACHE_AUTO_FREE char *path = kache_store_path(s, "blobs", hash);
	KACHE_AUTO_FD int fd = kache_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	struct kache_stat st;
	int rc;

	if (fd < 0)
		return errno == ENOENT ? KACHE_E_NOENT : KACHE_E_IO;
	if (kache_fstat(fd, &st))
		return KACHE_E_IO;
	rc = kache_blob_check(s, path, fd, &st, hash, size);
	if (rc)
		return rc;
	*out = fd;
	fd = -1;
	return KACHE_OK;
}

int kache_blob_verify(struct kache_store *s, const struct kache_hash *hash, uint64_t size)
{
	KACHE_AUTO_FD int fd = -1;
	struct kache_hash found;
	uint64_t n;
	int rc = kache_blob_open(s, hash, size, &fd);

	if (rc)
		return rc;
	if (kache_hash_fd(fd, &found, &n))
		return KACHE_E_IO;
	return n == size && kache_hash_eq(&found, hash) ? KACHE_OK : KACHE_E_CORRUPT;
}
