/* Which packages take part. */
#include "config.h"
#include "cli/sync.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"
#include "conf/toml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LOCK = 64 << 20 };

/* The nearest Cargo.lock from dir upwards, or NULL; fresh memory. */
static char *find_lock(const char *dir)
{
	KACHE_AUTO_FREE char *at = kache_strdup(dir);

	for (;;) {
		char *lock = kache_path_join(at, "Cargo.lock"), *up;

		if (!access(lock, F_OK))
			return lock;
		free(lock);
		if (!strcmp(at, "/"))
			return NULL;
		up = kache_path_dir(at);
		free(at);
		at = up;
	}
}

static int read_lock(const char *path, bool members, struct kache_strs *folders, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
	const struct kache_toml *packages;
	struct kache_error why;
	struct kache_toml *doc;

	if (kache_file_read(path, MAX_LOCK, &text))
		return kache_fail_errno(err, "%s", path);
	if (kache_toml_parse(text.data ? text.data : "", text.len, &doc, &why))
		return kache_fail(err, KACHE_E_INVALID, "%s: %s", path, why.text);
	packages = kache_toml_get(doc, "package");
	for (const struct kache_toml *p = packages ? packages->child : NULL; p; p = p->next) {
		const struct kache_toml *name = p->type == KACHE_TOML_TABLE ? kache_toml_get(p, "name") : NULL;

		/* What comes from a registry or repository has a source; what lies in the workspace has none. */
		if (members && p->type == KACHE_TOML_TABLE && kache_toml_get(p, "source"))
			continue;
		if (name && name->type == KACHE_TOML_STRING)
			kache_strs_take(folders, kache_share_folder(name->text));
	}
	kache_toml_free(doc);
	return KACHE_OK;
}

int kache_sync_lock(const char *manifest_path, bool members, struct kache_strs *folders, struct kache_error *err)
{
	/* What cargo asks of the compiler before it knows of packages is filed under these names. */
	static const char *const always[] = { "___", "rustc" };
	KACHE_AUTO_FREE char *cwd = getcwd(NULL, 0), *dir = NULL, *lock = NULL;
	int rc;

	if (manifest_path) {
		KACHE_AUTO_FREE char *full = kache_path_absolute(cwd ? cwd : "/", manifest_path);

		if (access(full, F_OK))
			return kache_fail_errno(err, "--manifest-path %s", manifest_path);
		dir = kache_path_dir(full);
	} else {
		dir = kache_strdup(cwd ? cwd : "/");
	}
	lock = find_lock(dir);
	if (!lock)
		return kache_fail(err, KACHE_E_NOENT, "no Cargo.lock in %s or above; run it in a project, name one with --manifest-path, or give --all",
				  dir);
	rc = read_lock(lock, members, folders, err);
	if (rc)
		return rc;
	if (members && !folders->n)
		return kache_fail(err, KACHE_E_NOENT, "%s names no package of a workspace", lock);
	for (size_t i = 0; !members && i < sizeof always / sizeof *always; i++)
		kache_strs_add(folders, always[i]);
	kache_strs_sort(folders);
	return KACHE_OK;
}
