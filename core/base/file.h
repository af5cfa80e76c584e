/* Files: reading whole ones, creating complete ones, and copying without copying where possible. */
#ifndef KACHE_BASE_FILE_H
#define KACHE_BASE_FILE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Appends the file's bytes to out. KACHE_E_IO (errno), or KACHE_E_TOOBIG (EFBIG) beyond max bytes. Does not wait for what is
 * not a file but a pipe; _waiting does, for what a user names. */
int kache_file_read(const char *path, size_t max, struct kache_buf *out);
int kache_file_read_waiting(const char *path, size_t max, struct kache_buf *out);
/* open(2) with O_CLOEXEC added; mode counts with O_CREAT. musl's open would set the flag once more. */
int kache_open(const char *path, int flags, mode_t mode);
/* All of len, through short writes and EINTR. 0 or KACHE_E_IO. */
int kache_write_all(int fd, const void *data, size_t len);
/* Writes a complete file at path by a temporary name in the same directory and rename; readers see
 * the old file or the new one. Missing parent directories are made. 0 or KACHE_E_IO. */
int kache_file_replace(const char *path, const void *data, size_t len, mode_t mode);
/* mkdir -p; 0 or KACHE_E_IO. Existing directories (also through symlinks) are fine. */
int kache_mkdirs(const char *path, mode_t mode);
/* Adds the names in a directory but "." and "..", in its own order. 0 or KACHE_E_IO (errno). */
struct kache_strs;
int kache_dir_names(const char *path, struct kache_strs *out);
/* The same, each name behind a letter for what it is: f(ile), d(irectory), l(ink), o(ther). */
int kache_dir_entries(const char *path, struct kache_strs *out);
/* A fresh name "<dir>/<prefix><pid>-<counter>", unique among living processes. Fresh memory. */
char *kache_temp_name(const char *dir, const char *prefix);

/* Copies all of from_fd to to_fd (both at offset 0), sharing extents where the file system can
 * (copy_file_range does that on btrfs, XFS and others). 0 or KACHE_E_IO. */
int kache_copy_fd(int from_fd, int to_fd, uint64_t size);

/* What identifies a file's content to us. Times in ns since the epoch. btime is 0 where the file
 * system does not tell it. */
struct kache_stat {
	uint64_t dev, ino, size;
	int64_t mtime, ctime, btime;
	uint32_t mode, nlink;
};
/* statx with the fields above. follow: through a final symlink. 0 or KACHE_E_IO. */
int kache_stat(const char *path, bool follow, struct kache_stat *st);
int kache_stat_in(int dir_fd, const char *name, struct kache_stat *st);	/* fstatat(2), links followed */
int kache_fstat(int fd, struct kache_stat *st);
/* Whether path lies on a file system that gives a directory another time whenever a name appears in it, knows when it was made, and
 * on which nobody but this machine makes a name appear: ext, XFS, btrfs or tmpfs. Not overlayfs: what a directory holds changes
 * with other layers and without its time, and a directory that is written to for the first time is made anew. */
bool kache_fs_keeps_times(const char *path);

#define KACHE_AUTO_FD __attribute__((cleanup(kache_auto_close)))
void kache_auto_close(int *fd);

#endif
