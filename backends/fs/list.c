/* Listing: a walk below the folder that the prefix names. */
#include "config.h"
#include "fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LITTER_SECONDS = 24 * 3600 };

struct walk {
	struct kb_handle *h;
	struct kb_call *call;
	int (*each)(void *, struct kb_key, const struct kb_stat *);
	void *arg;
	const char *start;		/* what names in the first folder start with */
	size_t start_len;
	unsigned seen;
	char key[KB_KEY_MAX + 1];	/* of the folder being read, ending in '/' but at the top */
};

static int in_alphabet(const char *name)
{
	return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-")] == '\0';
}

static int walk(struct walk *w, size_t len);

static int item(struct walk *w, int dir, size_t len, const char *name)
{
	size_t n = strlen(name);
	struct kb_stat out;
	struct stat st;

	if (!(++w->seen % 256)) {
		int rc = fs_late(w->call);

		if (rc)
			return rc;
	}
	if (!strcmp(name, ".") || !strcmp(name, "..") || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return KB_OK;
	if (fs_is_temp(name)) {	/* of a writer that died long ago */
		if (S_ISREG(st.st_mode) && time(NULL) - st.st_mtime > LITTER_SECONDS)
			unlinkat(dir, name, 0);
		return KB_OK;
	}
	if (!in_alphabet(name) || len + n + 1 > KB_KEY_MAX || strncmp(name, w->start, w->start_len))
		return KB_OK;
	memcpy(w->key + len, name, n + 1);
	if (S_ISREG(st.st_mode)) {
		out = (struct kb_stat){ .size = (uint64_t)st.st_size, .mtime_s = st.st_mtime, .ttl_s = -1 };
		return w->each(w->arg, (struct kb_key){ w->key, len + n }, &out);
	}
	if (S_ISDIR(st.st_mode)) {
		const char *start = w->start;
		size_t start_len = w->start_len;
		int rc;

		memcpy(w->key + len + n, "/", 2);
		w->start = "";
		w->start_len = 0;
		rc = walk(w, len + n + 1);
		w->start = start;
		w->start_len = start_len;
		return rc;
	}
	return KB_OK;
}

static int walk(struct walk *w, size_t len)
{
	const struct kb_key where = { len ? w->key : ".", len ? len : 1 };
	int rc = KB_OK, fd;
	DIR *dir;

	w->key[len] = '\0';
	fd = openat(w->h->dir, len ? w->key : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int saved = errno;

		if (fd >= 0)
			close(fd);
		return saved == ENOENT || saved == ENOTDIR ? KB_OK : fs_fail(w->call, saved, "listing", where);
	}
	rc = fs_late(w->call);
	while (!rc) {
		struct dirent *d;

		errno = 0;
		d = readdir(dir);
		if (!d) {
			if (errno)
				rc = fs_fail(w->call, errno, "listing", where);
			break;
		}
		rc = item(w, fd, len, d->d_name);
	}
	closedir(dir);
	return rc;
}

int fs_list(struct kb_handle *h, struct kb_key prefix, struct kb_call *call,
	    int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg)
{
	struct walk w = { .h = h, .call = call, .each = each, .arg = arg };
	char start[KB_KEY_MAX + 1], path[KB_KEY_MAX + 1];
	size_t folder = prefix.len;
	int rc;

	while (folder && prefix.name[folder - 1] != '/')
		folder--;
	if (prefix.len > KB_KEY_MAX)
		return KB_OK;
	/* "a/b/pre": the folder is a key of its own, the rest starts a name */
	if (folder) {
		rc = fs_path(call, (struct kb_key){ prefix.name, folder - 1 }, path);
		if (rc)
			return rc;
	}
	memcpy(w.key, prefix.name, folder);
	memcpy(start, prefix.name + folder, prefix.len - folder);
	start[prefix.len - folder] = '\0';
	w.start = start;
	w.start_len = prefix.len - folder;
	return walk(&w, folder);
}
