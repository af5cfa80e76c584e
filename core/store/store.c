#include "config.h"
#include "store/store.h"

#include "base/path.h"
#include "base/strs.h"
#include "store/map.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

static const char format_text[] = "kache store 1\n";
/* https://bford.info/cachedir/ */
static const char cachedir_tag[] =
	"Signature: 8a477f597d28d172789f06886806bc55\n"
	"# This directory holds build artifacts that kache can make again.\n";

char *kache_store_file(const struct kache_store *s, const char *name)
{
	return kache_path_join(s->root, name);
}

/* Network file systems have neither the link nor the mmap semantics that a store relies on.
 * Magic numbers: linux/magic.h and statfs(2). */
static bool network_fs(const char *root)
{
	static const unsigned long magic[] = {
		0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x5346414f, 0x00c36400,
	};
	struct kache_stat st;
	struct statfs fs;

	/* What lies on a block device of this machine has its number, all else has 0 (Documentation/admin-guide/devices.txt). To be
	 * told how full ext4 is takes ten times as long. */
	if ((!kache_stat(root, true, &st) && st.dev >> 32) || statfs(root, &fs))
		return false;
	for (size_t i = 0; i < sizeof magic / sizeof *magic; i++)
		if ((unsigned long)(unsigned)fs.f_type == magic[i])
			return true;
	return false;
}

static int check_format(struct kache_store *s, const char *text, struct kache_error *err)
{
	unsigned long version;
	char *end;

	if (!kache_starts(text, "kache store "))
		return kache_fail(err, KACHE_E_INVALID, "%s/format is not of a kache store; choose another cache directory",
				  s->root);
	version = strtoul(text + strlen("kache store "), &end, 10);
	if (*end != '\n' || !version)
		return kache_fail(err, KACHE_E_INVALID, "%s/format is damaged; remove the directory to start afresh",
				  s->root);
	if (version > KACHE_STORE_FORMAT)
		return kache_fail(err, KACHE_E_VERSION,
				  "%s has store format %lu, this kache knows up to %d; upgrade kache or choose another cache directory",
				  s->root, version, KACHE_STORE_FORMAT);
	return KACHE_OK;
}

bool kache_store_owns(const char *name, const struct kache_stat *st)
{
	static const char *const dirs[] = { "blobs", "compilers", "entries", "events", "manifests", "plans", "queue", "tmp" };
	static const char *const files[] = {
		"CACHEDIR.TAG", "format", "inputs.map", "gc.lock", "index.db*", ".kache-*", "daemon.*", "remotes.json",
	};

	if (S_ISDIR(st->mode))
		for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
			if (!strcmp(name, dirs[i]))
				return true;
	if (S_ISREG(st->mode) || S_ISSOCK(st->mode))
		for (size_t i = 0; i < sizeof files / sizeof *files; i++)
			if (kache_glob(files[i], name))
				return true;
	return false;
}

/* Directories that a user may have by the same name, and of two of which a purge takes all. */
static bool strange_within(const char *name, const char *path)
{
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	struct kache_hash h;
	bool strange = false;

	if (strcmp(name, "compilers") && strcmp(name, "plans") && strcmp(name, "queue"))
		return false;
	(void)kache_dir_names(path, &names);
	for (size_t i = 0; i < names.n; i++)
		strange |= !kache_hash_parse(names.v[i], strlen(names.v[i]), &h) && !kache_starts(names.v[i], ".kache-") &&
			   !kache_glob("*.calls", names.v[i]);
	return strange;
}

bool kache_store_foreign(const char *root)
{
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	bool found = false;

	(void)kache_dir_names(root, &names);
	for (size_t i = 0; i < names.n && !found; i++) {
		KACHE_AUTO_FREE char *path = kache_path_join(root, names.v[i]);
		struct kache_stat st;

		found = !kache_stat(path, false, &st) && (!kache_store_owns(names.v[i], &st) || strange_within(names.v[i], path));
	}
	return found;
}

static int create(struct kache_store *s, struct kache_error *err)
{
	static const char *const dirs[] = { "blobs", "entries", "manifests", "events", "tmp" };
	KACHE_AUTO_FREE char *tag = kache_path_join(s->root, "CACHEDIR.TAG");
	KACHE_AUTO_FREE char *format = kache_path_join(s->root, "format");

	if (kache_mkdirs(s->root, 0777))
		return kache_fail_errno(err, "cache directory %s can't be made", s->root);
	if (kache_store_foreign(s->root))
		return kache_fail(err, KACHE_E_INVALID, "%s is not empty and not a kache store; choose another cache directory",
				  s->root);
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		KACHE_AUTO_FREE char *path = kache_path_join(s->root, dirs[i]);

		if (mkdir(path, 0777) && errno != EEXIST)
			return kache_fail_errno(err, "cache directory %s", path);
	}
	/* The format file comes last: what lacks it is not a store yet. */
	if (kache_file_replace(tag, cachedir_tag, sizeof cachedir_tag - 1, 0644) ||
	    kache_file_replace(format, format_text, sizeof format_text - 1, 0644))
		return kache_fail_errno(err, "cache directory %s", s->root);
	return KACHE_OK;
}

int kache_store_open(const char *root, bool may_create, struct kache_store **out, struct kache_error *err)
{
	struct kache_store *s = kache_calloc(1, sizeof *s);
	KACHE_AUTO_FREE char *format = kache_path_join(root, "format");
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
	const char *force = getenv("KACHE_FORCE_NETWORK");
	int rc;

	*out = NULL;
	s->root = kache_strdup(root);
	rc = kache_file_read(format, 4096, &text);
	if (rc && errno == ENOENT && may_create) {
		rc = create(s, err);
		/* What looked foreign may have become a store between the two looks: somebody else has just made it. */
		if (rc == KACHE_E_INVALID && !kache_file_read(format, 4096, &text))
			rc = check_format(s, text.data, err);
	}
	else if (rc && errno == ENOENT)
		rc = kache_fail(err, KACHE_E_NOENT, "no cache at %s yet", root);
	else if (rc)
		rc = kache_fail_errno(err, "cache directory %s can't be read", root);
	else
		rc = check_format(s, text.data, err);
	if (!rc && network_fs(root) && !(force && kache_parse_bool(force) == 1))
		rc = kache_fail(err, KACHE_E_UNSUPPORTED,
				"%s is on a network file system; keep the store on a local one and share it with `kache sync --backend file://…` (KACHE_FORCE_NETWORK=1 overrides)",
				root);
	if (rc) {
		kache_store_close(s);
		return rc;
	}
	s->readonly = access(root, W_OK) != 0;
	*out = s;
	return KACHE_OK;
}

void kache_store_close(struct kache_store *s)
{
	if (!s)
		return;
	kache_map_close(s);
	free(s->root);
	free(s);
}

char *kache_store_path(const struct kache_store *s, const char *kind, const struct kache_hash *h)
{
	char hex[KACHE_HEX_LEN + 1], shard[] = "/00/";

	kache_hash_hex(h, hex);
	memcpy(shard + 1, hex, 2);
	return kache_concat(s->root, "/", kind, shard, hex, NULL);
}

char *kache_store_temp(const struct kache_store *s)
{
	KACHE_AUTO_FREE char *dir = kache_path_join(s->root, "tmp");

	return kache_temp_name(dir, "");
}

int kache_store_event(struct kache_store *s, const char *line, size_t len)
{
	KACHE_AUTO_FREE char *path = kache_path_join(s->root, "events/current.jsonl");
	KACHE_AUTO_FD int fd = -1;

	if (s->readonly)
		return KACHE_E_IO;
	fd = kache_open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0644);
	if (fd < 0)
		return KACHE_E_IO;
	/* One write: a record is there whole or not at all but for a full disk, which readers forgive. */
	return write(fd, line, len) == (ssize_t)len ? KACHE_OK : KACHE_E_IO;
}

static int walk_shard(const char *dir, int (*each)(void *, const struct kache_hash *, const char *,
						   const struct kache_stat *), void *arg)
{
	DIR *d = opendir(dir);
	struct dirent *item;
	int rc = 0;

	while (d && !rc && (item = readdir(d))) {
		KACHE_AUTO_FREE char *path = NULL;
		struct kache_hash h;
		struct kache_stat st;

		if (!kache_hash_parse(item->d_name, strlen(item->d_name), &h))
			continue;
		path = kache_path_join(dir, item->d_name);
		if (!kache_stat(path, false, &st) && S_ISREG(st.mode))
			rc = each(arg, &h, path, &st);
	}
	if (d)
		closedir(d);
	return rc;
}

int kache_store_walk(struct kache_store *s, const char *kind,
		     int (*each)(void *arg, const struct kache_hash *h, const char *path, const struct kache_stat *st),
		     void *arg)
{
	int rc = 0;

	for (unsigned shard = 0; shard < 256 && !rc; shard++) {
		KACHE_AUTO_FREE char *dir = kache_asprintf("%s/%s/%02x", s->root, kind, shard);

		rc = walk_shard(dir, each, arg);
	}
	return rc;
}
