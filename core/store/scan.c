#include "config.h"
#include "store/scan.h"

#include "base/path.h"
#include "base/strs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_OBJECT = 256 << 20 };

struct scan {
	int (*each)(void *arg, const struct kache_scan_item *item);
	int (*name)(void *arg, const struct kache_hash *hash, uint64_t ino);	/* instead of each: kache_scan_names */
	void *arg;
	struct kache_error *err;
};

struct place {
	const char *dir;
	const struct dirent *entry;
};

static bool gone(int error)
{
	return error == ENOENT || error == ENOTDIR || error == ELOOP;
}

/* Calls item for every name in dir, which is opened without following a symlink. */
static int each_name(struct scan *scan, const char *dir, int (*item)(struct scan *, const struct place *))
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *name;
	int rc = KACHE_OK;

	if (!d) {
		rc = errno == ENOENT ? KACHE_OK : kache_fail_errno(scan->err, "directory %s", dir);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (!rc) {
		errno = 0;
		name = readdir(d);
		if (!name)
			break;
		if (strcmp(name->d_name, ".") && strcmp(name->d_name, ".."))
			rc = item(scan, &(struct place){ dir, name });
	}
	if (!rc && errno)
		rc = kache_fail_errno(scan->err, "directory %s", dir);
	closedir(d);
	return rc;
}

/* 1: there is nothing to tell. */
static int look(struct scan *scan, const char *path, struct kache_scan_item *item)
{
	*item = (struct kache_scan_item){ .what = KACHE_SCAN_FOREIGN, .path = path };
	if (!kache_stat(path, false, &item->st))
		return KACHE_OK;
	return gone(errno) ? 1 : kache_fail_errno(scan->err, "%s", path);
}

static bool object_name(const struct place *p, struct kache_hash *hash)
{
	const char *name = p->entry->d_name;

	return kache_hash_parse(name, strlen(name), hash) && !memcmp(name, kache_path_base(p->dir), 2);
}

static int in_shard(struct scan *scan, const struct place *p)
{
	KACHE_AUTO_FREE char *path = kache_path_join(p->dir, p->entry->d_name);
	struct kache_scan_item item;
	int rc = look(scan, path, &item);

	if (rc)
		return rc == 1 ? KACHE_OK : rc;
	if (S_ISREG(item.st.mode)) {
		if (kache_starts(p->entry->d_name, ".kache-"))
			item.what = KACHE_SCAN_TEMP;
		else if (object_name(p, &item.hash))
			item.what = KACHE_SCAN_OBJECT;
	}
	return scan->each(scan->arg, &item);
}

static int name_in_shard(struct scan *scan, const struct place *p)
{
	struct kache_hash hash;

	if ((p->entry->d_type != DT_REG && p->entry->d_type != DT_UNKNOWN) || !object_name(p, &hash))
		return KACHE_OK;
	return scan->name(scan->arg, &hash, (uint64_t)p->entry->d_ino);
}

static int in_kind(struct scan *scan, const struct place *p)
{
	const char *name = p->entry->d_name;
	KACHE_AUTO_FREE char *path = kache_path_join(p->dir, name);
	struct kache_scan_item item;
	int rc = look(scan, path, &item);

	if (rc)
		return rc == 1 ? KACHE_OK : rc;
	if (S_ISDIR(item.st.mode) && strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2)
		return each_name(scan, path, scan->name ? name_in_shard : in_shard);
	if (scan->name)
		return KACHE_OK;
	if (S_ISREG(item.st.mode) && kache_starts(name, ".kache-"))
		item.what = KACHE_SCAN_TEMP;
	return scan->each(scan->arg, &item);
}

static int in_tmp(struct scan *scan, const struct place *p)
{
	KACHE_AUTO_FREE char *path = kache_path_join(p->dir, p->entry->d_name);
	struct kache_scan_item item;
	int rc = look(scan, path, &item);

	if (rc)
		return rc == 1 ? KACHE_OK : rc;
	if (S_ISREG(item.st.mode))
		item.what = KACHE_SCAN_TEMP;
	return scan->each(scan->arg, &item);
}

int kache_scan(const struct kache_store *s, const char *kind,
	       int (*each)(void *arg, const struct kache_scan_item *item), void *arg, struct kache_error *err)
{
	KACHE_AUTO_FREE char *dir = kache_store_file(s, kind);
	struct scan scan = { .each = each, .arg = arg, .err = err };

	return each_name(&scan, dir, strcmp(kind, "tmp") ? in_kind : in_tmp);
}

int kache_scan_names(const struct kache_store *s, const char *kind,
		     int (*each)(void *arg, const struct kache_hash *hash, uint64_t ino), void *arg, struct kache_error *err)
{
	KACHE_AUTO_FREE char *dir = kache_store_file(s, kind);
	struct scan scan = { .name = each, .arg = arg, .err = err };

	return each_name(&scan, dir, in_kind);
}

static int load(const struct kache_scan_item *item, struct kache_buf *out)
{
	int rc = kache_file_read(item->path, MAX_OBJECT, out);

	if (rc == KACHE_E_TOOBIG)
		return KACHE_E_CORRUPT;
	return rc && gone(errno) ? KACHE_E_NOENT : rc;
}

int kache_scan_entry(const struct kache_scan_item *item, struct kache_entry *out)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	int rc = load(item, &b);

	if (!rc)
		rc = kache_entry_decode(b.data ? b.data : "", b.len, out);
	if (!rc && !kache_hash_eq(&out->key, &item->hash)) {
		kache_entry_release(out);
		rc = KACHE_E_CORRUPT;
	}
	return rc;
}

int kache_scan_manifest(const struct kache_scan_item *item, struct kache_manifest *out)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	int rc = load(item, &b);

	if (!rc)
		rc = kache_manifest_decode(b.data ? b.data : "", b.len, out);
	if (!rc && !kache_hash_eq(&out->invocation, &item->hash)) {
		kache_manifest_release(out);
		rc = KACHE_E_CORRUPT;
	}
	return rc;
}
