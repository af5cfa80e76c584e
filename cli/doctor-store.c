#include "config.h"
#include "cli/doctor.h"

#include "base/path.h"
#include "store/index.h"
#include "store/map.h"
#include "store/restore.h"
#include "store/scan.h"
#include "store/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The nearest directory upwards that exists. Fresh memory. */
static char *existing(const char *path)
{
	char *at = kache_strdup(path);

	while (access(at, F_OK) && strcmp(at, "/") && strcmp(at, ".")) {
		char *up = kache_path_dir(at);

		free(at);
		at = up;
	}
	return at;
}

static void not_yet(struct kache_doctor *d, const char *root)
{
	KACHE_AUTO_FREE char *up = existing(root);
	struct stat st;

	if (stat(up, &st) || !S_ISDIR(st.st_mode))
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "cache directory", "choose another one with KACHE_CACHE_DIR",
				 "%s can't be made, %s is not a directory", root, up);
	else if (access(up, W_OK | X_OK))
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "cache directory", "choose another one with KACHE_CACHE_DIR",
				 "%s can't be made, %s: %s", root, up, strerror(errno));
	else if (!strcmp(up, root) && kache_store_foreign(root))
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "cache directory", "choose another one with KACHE_CACHE_DIR",
				 "%s is not empty and not a kache store", root);
	else
		kache_doctor_say(d, KACHE_DOCTOR_OK, "cache directory", NULL, "%s (the first build makes it)", root);
}

/* Writes for real: permissions, quotas and full disks all show. */
static int try_write(const struct kache_store *s)
{
	KACHE_AUTO_FREE char *temp = kache_store_temp(s);
	static const char page[4096];
	int rc = kache_file_replace(temp, page, sizeof page, 0600), saved = errno;

	unlink(temp);
	errno = saved;
	return rc;
}

void kache_doctor_directory(struct kache_doctor *d)
{
	const char *root = d->conf ? kache_conf_str(d->conf, KACHE_CONF_CACHE_DIR) : NULL;
	struct kache_error err;
	int rc;

	if (!root)
		return;
	rc = kache_store_open(root, false, &d->store, &err);
	if (rc == KACHE_E_NOENT) {
		not_yet(d, root);
	} else if (rc) {
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "cache directory", NULL, "%s", err.text);
	} else if (try_write(d->store)) {
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "cache directory",
				 errno == ENOSPC || errno == EDQUOT ? "make room, with kache gc --max-size SIZE for one"
								    : "builds use what is in it and store nothing",
				 "%s can't be written to, %s", root, strerror(errno));
	} else {
		kache_doctor_say(d, KACHE_DOCTOR_OK, "cache directory", NULL, "%s (format %d)", root, KACHE_STORE_FORMAT);
	}
}

/* linux/magic.h and statfs(2). */
static const char *filesystem_name(const char *path, char *unknown, size_t size)
{
	static const struct { unsigned long magic; const char *name; } names[] = {
		{ 0xef53, "ext4" }, { 0x58465342, "xfs" }, { 0x9123683e, "btrfs" }, { 0x01021994, "tmpfs" },
		{ 0x794c7630, "overlayfs" }, { 0x2fc12fc1, "zfs" }, { 0xf2f52010, "f2fs" }, { 0xca451a4e, "bcachefs" },
		{ 0x6969, "nfs" }, { 0xff534d42, "cifs" }, { 0xfe534d42, "smb" }, { 0x01021997, "9p" },
		{ 0x65735546, "fuse" }, { 0xf15f, "ecryptfs" }, { 0x52654973, "reiserfs" }, { 0x4d44, "vfat" },
		{ 0x2011bab0, "exfat" },
	};
	struct statfs fs;

	if (statfs(path, &fs))
		return "unknown file system";
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].magic == (unsigned long)(unsigned)fs.f_type)
			return names[i].name;
	snprintf(unknown, size, "file system 0x%lx", (unsigned long)(unsigned)fs.f_type);
	return unknown;
}

static void try_links(const struct kache_store *s, bool *hard, bool *reflink)
{
	KACHE_AUTO_FREE char *a = kache_store_temp(s), *b = kache_store_temp(s), *c = kache_store_temp(s);
	KACHE_AUTO_FD int from = open(a, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	KACHE_AUTO_FD int to = open(c, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	static const char page[4096];

	*hard = *reflink = false;
	if (from >= 0 && to >= 0 && !kache_write_all(from, page, sizeof page)) {
		*hard = !link(a, b);
		*reflink = !ioctl(to, KACHE_FICLONE, from);
	}
	unlink(a);
	unlink(b);
	unlink(c);
}

void kache_doctor_filesystem(struct kache_doctor *d)
{
	char unknown[40];
	const char *name, *policy;
	bool hard, reflink;
	struct stat here, there;

	if (!d->store || d->store->readonly)
		return;
	name = filesystem_name(d->store->root, unknown, sizeof unknown);
	policy = kache_conf_str(d->conf, KACHE_CONF_LINK);
	try_links(d->store, &hard, &reflink);
	if (!strcmp(policy, "reflink") && !reflink)
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "file system", "cache.link = \"auto\" would link",
				 "%s has no reflinks, outputs are copied", name);
	else if (!strcmp(policy, "hardlink") && !hard)
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "file system", NULL, "%s has no hard links, outputs are copied", name);
	else
		kache_doctor_say(d, KACHE_DOCTOR_OK, "file system", NULL, "%s (%s, %s)", name,
				 hard ? "hard links" : "no hard links", reflink ? "reflinks" : "no reflinks");
	if (!stat(".", &here) && !stat(d->store->root, &there) && here.st_dev != there.st_dev)
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "file system", "move the cache directory beside your projects to have links",
				 "the working directory is on another one, outputs are copied");
}

static int add_size(void *arg, const struct kache_scan_item *item)
{
	*(uint64_t *)arg += item->what == KACHE_SCAN_OBJECT ? item->st.size : 0;
	return KACHE_OK;
}

/* As the index sums it up; every file is only looked at where the index is no help, or where they all are to be verified. */
static int used_space(struct kache_doctor *d, uint64_t *used, struct kache_error *err)
{
	static const char *const kinds[] = { "blobs", "entries", "manifests" };
	struct kache_index_totals t;
	struct kache_index *x;
	int rc = KACHE_OK;

	if (!d->verify && !kache_index_open(d->store, &x, NULL, err)) {
		rc = kache_index_totals(x, 0, &t);
		kache_index_close(x);
		if (!rc) {
			*used = t.file_bytes;
			return KACHE_OK;
		}
		rc = KACHE_OK;
	}
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !rc; i++)
		rc = kache_scan(d->store, kinds[i], add_size, used, err);
	return rc;
}

void kache_doctor_space(struct kache_doctor *d)
{
	uint64_t used = 0, free_bytes, max;
	struct kache_error err;
	struct statvfs fs;

	if (!d->store || statvfs(d->store->root, &fs))
		return;
	if (used_space(d, &used, &err)) {
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "space", NULL, "%s", err.text);
		return;
	}
	max = kache_conf_u64(d->conf, KACHE_CONF_MAX_SIZE);
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;

	KACHE_AUTO_FREE char *used_text = kache_show_size(used), *max_text = kache_show_size(max),
			     *free_text = kache_show_size(free_bytes);
	if (free_bytes < (uint64_t)100 << 20)
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "space", "kache gc --max-size SIZE makes some", "%s free, %s used",
				 free_text, used_text);
	else if (!max)
		kache_doctor_say(d, KACHE_DOCTOR_OK, "space", NULL, "%s used without a bound, %s free", used_text, free_text);
	else if (used > max)
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "space", "kache gc makes room", "%s used of %s, %s free", used_text,
				 max_text, free_text);
	else if (max - used > free_bytes)
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "space", "lower cache.local_max_size",
				 "%s used of %s, but only %s free", used_text, max_text, free_text);
	else
		kache_doctor_say(d, KACHE_DOCTOR_OK, "space", NULL, "%s used of %s, %s free", used_text, max_text,
				 free_text);
}

void kache_doctor_map(struct kache_doctor *d)
{
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_stat st;
	const char *wrong = NULL;

	if (!d->store)
		return;
	path = kache_store_file(d->store, "inputs.map");
	if (kache_stat(path, false, &st))
		wrong = errno == ENOENT ? NULL : strerror(errno);
	else if (!S_ISREG(st.mode))
		wrong = "not a regular file";
	else if (st.size && st.size != KACHE_MAP_BYTES)
		wrong = "wrong size";
	if (wrong && d->repair && !unlink(path))
		kache_doctor_say(d, KACHE_DOCTOR_OK, "inputs.map", NULL, "removed (%s), the next build makes it anew", wrong);
	else if (wrong)
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "inputs.map", "remove it, the next build makes it anew", "%s: %s", path, wrong);
	else
		kache_doctor_say(d, KACHE_DOCTOR_OK, "inputs.map", NULL, "sound");
}

static void tell_problem(void *arg, const struct kache_problem *p)
{
	struct kache_doctor *d = arg;

	if (p->harmful)
		kache_doctor_say(d, p->repaired ? KACHE_DOCTOR_OK : KACHE_DOCTOR_BAD, "store",
				 p->repaired ? "removed" : d->repair ? "could not be removed" : "kache doctor --repair removes it",
				 "%s %s", kache_problem_name(p->kind), p->path);
	else if (p->kind == KACHE_PROBLEM_FOREIGN || p->kind == KACHE_PROBLEM_NEWER)
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "store", NULL, "%s, left alone %s", kache_problem_name(p->kind), p->path);
}

static void tell_rest(struct kache_doctor *d, const struct kache_verify_report *r)
{
	unsigned long long orphans = r->found[KACHE_PROBLEM_ORPHAN], dangling = r->found[KACHE_PROBLEM_DANGLING];
	KACHE_AUTO_FREE char *bytes = kache_show_size(r->blob_bytes);

	if (orphans && !d->repair)
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "store", "kache gc --full takes them",
				 "%llu blobs that no entry needs", orphans);
	if (dangling && !d->repair)
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "store", "kache gc --full takes them",
				 "%llu manifests that lead to missing entries", dangling);
	if (d->repair && (r->entries_removed || r->blobs_removed || r->manifests_removed))
		kache_doctor_say(d, KACHE_DOCTOR_OK, "store", NULL, "%llu entries, %llu blobs and %llu manifests removed",
				 (unsigned long long)r->entries_removed, (unsigned long long)r->blobs_removed,
				 (unsigned long long)r->manifests_removed);
	kache_doctor_say(d, KACHE_DOCTOR_OK, "store", NULL, "%llu entries, %llu blobs (%s), %llu manifests looked at%s",
			 (unsigned long long)r->entries, (unsigned long long)r->blobs, bytes,
			 (unsigned long long)r->manifests, d->checksums ? ", contents compared" : "");
}

void kache_doctor_contents(struct kache_doctor *d)
{
	struct kache_verify_options o = {
		.checksums = d->checksums, .repair = d->repair, .each = tell_problem, .arg = d,
	};
	struct kache_verify_report report;
	struct kache_error err;

	if (!d->verify || !d->store)
		return;
	if (kache_verify(d->store, &o, &report, &err))
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "store", NULL, "%s", err.text);
	else
		tell_rest(d, &report);
}

static void drop_index(const struct kache_store *s)
{
	static const char *const files[] = { "index.db", "index.db-wal", "index.db-shm" };

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		KACHE_AUTO_FREE char *path = kache_store_file(s, files[i]);

		unlink(path);
	}
}

/* After the contents, so that it follows a repair. */
void kache_doctor_index(struct kache_doctor *d)
{
	struct kache_index *x = NULL;
	struct kache_error err;
	bool rebuilt;
	int rc;

	if (!d->store)
		return;
	rc = kache_index_open(d->store, &x, &rebuilt, &err);
	if (!rc && d->verify && !kache_index_sound(x)) {
		rc = kache_fail(&err, KACHE_E_CORRUPT, "%s/index.db is damaged", d->store->root);
		if (d->repair) {
			kache_index_close(x);
			drop_index(d->store);
			rc = kache_index_open(d->store, &x, NULL, &err);
			rebuilt = true;
		}
	}
	if (rc)
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "index", "kache doctor --repair makes it anew", "%s", err.text);
	else
		kache_doctor_say(d, KACHE_DOCTOR_OK, "index", NULL, rebuilt ? "was damaged and is made anew" : "opens");
	kache_index_close(x);
}
