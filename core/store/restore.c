#include "config.h"
#include "store/restore.h"

#include "base/path.h"
#include "store/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static char *temp_beside(const char *path)
{
	KACHE_AUTO_FREE char *dir = kache_path_dir(path);

	return kache_temp_name(dir, ".kache-");
}

static int open_temp(struct kache_restore *r, mode_t mode)
{
	int fd = kache_open(r->temp, O_WRONLY | O_CREAT | O_EXCL, mode);

	if (fd < 0 && errno == EEXIST && !unlink(r->temp))
		fd = kache_open(r->temp, O_WRONLY | O_CREAT | O_EXCL, mode);
	return fd;
}

/* Where nothing is, a list of dependencies is written in its place: compilers do so as well, and nobody reads one before they are
 * done. */
static bool in_place(const struct kache_restore *r)
{
	return r->output->role == KACHE_ROLE_DEPINFO && !r->there;
}

static int prepare_text(struct kache_restore *r)
{
	KACHE_AUTO_FD int fd = -1;

	if (in_place(r)) {
		fd = kache_open(r->path, O_WRONLY | O_CREAT | O_EXCL, 0666);
		r->temp = fd < 0 ? NULL : kache_strdup(r->path);	/* what we did not make is not ours to remove */
	} else {
		r->temp = temp_beside(r->path);
		fd = open_temp(r, 0666);
	}
	return fd < 0 || kache_write_all(fd, r->data, r->len) ? KACHE_E_IO : KACHE_OK;
}

static int prepare_copy(struct kache_store *s, struct kache_restore *r, enum kache_link_policy policy)
{
	KACHE_AUTO_FD int from = r->from;
	KACHE_AUTO_FD int to = -1;
	int rc = from < 0 ? kache_blob_open(s, &r->output->blob, r->output->size, &from) : KACHE_OK;

	r->from = -1;
	if (rc)
		return rc;
	/* The kernel takes the umask off, as it did for the compiler. */
	r->temp = temp_beside(r->path);
	to = open_temp(r, r->output->mode & 0100 ? 0777 : 0666);
	if (to < 0)
		return KACHE_E_IO;
	if (policy == KACHE_LINK_REFLINK && !ioctl(to, KACHE_FICLONE, from))
		return KACHE_OK;
	return kache_copy_fd(from, to, r->output->size);
}

/* A link appears whole, so it is made when everything else is ready. What is checked here is that the
 * blob is sound. */
static int check_link(struct kache_store *s, struct kache_restore *r)
{
	KACHE_AUTO_FREE char *blob = kache_store_path(s, "blobs", &r->output->blob);
	struct kache_hash known;
	struct kache_stat st;
	int rc;

	if (kache_stat(blob, false, &st))
		return errno == ENOENT ? KACHE_E_NOENT : KACHE_E_IO;
	rc = kache_blob_check(s, blob, -1, &st, &r->output->blob, r->output->size);
	if (rc)
		return rc;
	if ((r->output->mode & 0100) != (st.mode & 0100))
		return KACHE_E_UNSUPPORTED;
	r->young = r->linking == KACHE_LINKING_YOUNG;
	r->retimed = r->young || st.mtime != KACHE_BLOB_TIME_NS;
	if (r->retimed && st.nlink != 1)
		return KACHE_E_UNSUPPORTED;
	r->linked = true;
	if (!r->retimed && !kache_map_get(s, &st, &known))
		kache_map_put(s, &st, &r->output->blob);
	return KACHE_OK;
}

/* A link that only the blob is besides becomes as new as a file just made, or old again. Where somebody else has linked the blob at
 * the same time it would get that time there, too, so it goes again. */
static bool retime(const char *path, bool young)
{
	static const struct timespec now[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_NOW } };
	struct kache_stat st;

	if (!kache_stat(path, false, &st) && st.nlink == 2 &&
	    !utimensat(AT_FDCWD, path, young ? now : kache_blob_times, AT_SYMLINK_NOFOLLOW))
		return true;
	unlink(path);
	return false;
}

/* By the final name where that is free, else over what is there. KACHE_E_UNSUPPORTED: a copy will do. */
static int place_link(struct kache_store *s, struct kache_restore *r)
{
	KACHE_AUTO_FREE char *blob = kache_store_path(s, "blobs", &r->output->blob);

	if (!link(blob, r->path))
		return !r->retimed || retime(r->path, r->young) ? KACHE_OK : KACHE_E_UNSUPPORTED;
	if (errno != EEXIST)	/* EXDEV, EMLINK, EPERM */
		return KACHE_E_UNSUPPORTED;
	r->temp = temp_beside(r->path);
	if (link(blob, r->temp) && (errno != EEXIST || unlink(r->temp) || link(blob, r->temp)))
		return KACHE_E_UNSUPPORTED;
	if (r->retimed && !retime(r->temp, r->young))
		return KACHE_E_UNSUPPORTED;
	if (rename(r->temp, r->path))
		return KACHE_E_IO;
	unlink(r->temp);	/* rename(2) does nothing at all between two links of one inode */
	free(r->temp);
	r->temp = NULL;
	return KACHE_OK;
}

static int check(struct kache_store *s, struct kache_restore *r, enum kache_link_policy policy, bool hold)
{
	struct stat st;
	int rc;

	r->there = !lstat(r->path, &st);
	if (r->there && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return KACHE_E_UNSUPPORTED;
	if (r->output->role == KACHE_ROLE_DEPINFO)
		return KACHE_OK;
	if (r->linking != KACHE_LINKING_NOT && kache_links(policy)) {
		rc = check_link(s, r);
		if (rc != KACHE_E_UNSUPPORTED)
			return rc;
	}
	return hold ? kache_blob_open(s, &r->output->blob, r->output->size, &r->from) : KACHE_OK;
}

static int prepare(struct kache_store *s, struct kache_restore *r, enum kache_link_policy policy)
{
	if (r->placed || r->linked)
		return KACHE_OK;
	return r->output->role == KACHE_ROLE_DEPINFO ? prepare_text(r) : prepare_copy(s, r, policy);
}

static int place(struct kache_store *s, struct kache_restore *r, enum kache_link_policy policy)
{
	int rc;

	if (r->linked) {
		rc = place_link(s, r);
		if (rc != KACHE_E_UNSUPPORTED)
			return rc;
		free(r->temp);
		r->temp = NULL;
		r->linked = r->retimed = r->young = false;
		rc = prepare_copy(s, r, policy);
		if (rc)
			return rc;
	}
	/* ext4 writes a file out at once that is renamed over another (ext4(5), auto_da_alloc). */
	if (r->there && r->clear)
		unlink(r->path);
	if (!in_place(r) && rename(r->temp, r->path))
		return KACHE_E_IO;
	free(r->temp);
	r->temp = NULL;
	return KACHE_OK;
}

/* What has another time now, in its place: a rename is a change, too. Links that kept theirs were remembered before. */
static void remember(struct kache_store *s, const struct kache_restore *r)
{
	struct kache_stat st;

	if (r->output->role == KACHE_ROLE_DEPINFO || (r->linked && !r->retimed) || kache_stat(r->path, false, &st))
		return;
	/* That it is a link more or less of a blob changes the ctime, too. */
	kache_map_put_output(s, &st, r->later ? r->later : r->young ? KACHE_TIME_KEPT : 0, &r->output->blob);
}

static int finish(struct kache_store *s, struct kache_restore *r, enum kache_link_policy policy)
{
	int rc = r->placed ? KACHE_OK : place(s, r, policy);

	if (!rc && !r->placed)
		remember(s, r);
	r->placed = !rc;
	return rc;
}

int kache_restore_check(struct kache_store *s, struct kache_restore *r, size_t n, enum kache_link_policy policy)
{
	int rc = KACHE_OK;

	for (size_t i = 0; i < n; i++) {
		r[i].temp = NULL;
		r[i].from = -1;
		r[i].linked = r[i].retimed = r[i].young = r[i].there = r[i].placed = false;
		rc = rc ? rc : check(s, &r[i], policy, i < KACHE_RESTORE_HELD);
	}
	return rc;
}

int kache_restore_first(struct kache_store *s, struct kache_restore *r, enum kache_link_policy policy)
{
	int rc = prepare(s, r, policy);

	return rc ? rc : finish(s, r, policy);
}

int kache_restore_prepare(struct kache_store *s, struct kache_restore *r, size_t n, enum kache_link_policy policy)
{
	int rc = KACHE_OK;

	for (size_t i = 0; i < n && !rc; i++)
		rc = prepare(s, &r[i], policy);
	return rc;
}

int kache_restore_finish(struct kache_store *s, struct kache_restore *r, size_t n, enum kache_link_policy policy, int prepared)
{
	int rc = prepared;

	for (size_t i = 0; i < n && !rc; i++)
		rc = finish(s, &r[i], policy);
	for (size_t i = 0; i < n; i++) {
		if (r[i].from >= 0)
			close(r[i].from);
		if (!r[i].temp)
			continue;
		unlink(r[i].temp);
		free(r[i].temp);
		r[i].temp = NULL;
	}
	return rc;
}

int kache_restore_all(struct kache_store *s, struct kache_restore *r, size_t n, enum kache_link_policy policy)
{
	int rc = kache_restore_check(s, r, n, policy);

	return kache_restore_finish(s, r, n, policy, rc ? rc : kache_restore_prepare(s, r, n, policy));
}
