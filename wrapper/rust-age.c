/* How old a unit may be. Cargo takes one for stale whose newest output is older than any output of what it was made from, and than
 * its build script's run. Where all of that has the time of a blob, so may the unit's own outputs (docs/internals/keying.md,
 * "Restore"). */
#include "config.h"
#include "wrapper/rustc.h"

#include "base/clock.h"
#include "base/path.h"
#include "wrapper/script.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_young(const char *path)
{
	struct kache_stat st;

	return !kache_stat(path, true, &st) && st.mtime > KACHE_BLOB_TIME_NS;
}

/* "PID (NAME) STATE …", the start is the 22nd field, in ticks since the machine was started (proc(5)). */
int64_t kache_cargo_started(void)
{
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *path = kache_asprintf("/proc/%ld/stat", (long)kache_cargo());
	const int64_t tick = 1000000000 / sysconf(_SC_CLK_TCK);
	const char *at = kache_file_read(path, 4096, &text) ? NULL : strstr(text.data, " (cargo) ");

	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return INT64_MAX;
	return kache_now_real() - (int64_t)kache_now_boot() + (strtoll(at, NULL, 10) + 1) * tick;
}

/* Whether a directory with fingerprints was made since then, on a file system whose word that is. 0 where there is none. */
static int made_since(int64_t then, const char *profile_dir)
{
	KACHE_AUTO_FREE char *path = kache_path_join(profile_dir, ".fingerprint");
	struct kache_stat st;

	if (kache_stat(path, false, &st))
		return 0;
	return st.btime >= then && st.btime <= kache_now_real() && kache_fs_keeps_times(path) ? 1 : -1;
}

/* Whether cargo has built all that is in the target directory since it was started, also for other targets, which host libraries
 * go into: then nothing there is left of an earlier run of a build script. */
static bool built_at_once(const struct kache_call *c)
{
	KACHE_AUTO_FREE char *root = kache_path_dir(c->profile_dir);
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	const int64_t then = kache_cargo_started();

	if (then == INT64_MAX || made_since(then, c->profile_dir) != 1 || kache_dir_names(root, &names))
		return false;
	for (size_t i = 0; i < names.n; i++) {
		KACHE_AUTO_FREE char *target = kache_path_join(root, names.v[i]);
		KACHE_AUTO_FREE char *profile = kache_path_join(target, kache_path_base(c->profile_dir));

		if (made_since(then, profile) < 0)
			return false;
	}
	return true;
}

/* build/PKG-HASH/build-script-NAME: whether every script of the package is as old as a blob. One of them was run. */
static bool scripts_are_old(const char *run_dir)
{
	KACHE_AUTO_FREE char *build = kache_path_dir(run_dir);
	KACHE_AUTO_STRS struct kache_strs dirs = { NULL, 0, 0 };
	const char *package = kache_path_base(run_dir), *dash = strrchr(package, '-');
	size_t found = 0;

	if (!dash || kache_dir_names(build, &dirs))
		return false;
	for (size_t i = 0; i < dirs.n; i++) {
		KACHE_AUTO_STRS struct kache_strs files = { NULL, 0, 0 };
		KACHE_AUTO_FREE char *dir = NULL;

		if (strncmp(dirs.v[i], package, (size_t)(dash - package) + 1))
			continue;
		dir = kache_path_join(build, dirs.v[i]);
		if (kache_dir_names(dir, &files))
			return false;
		for (size_t k = 0; k < files.n; k++) {
			KACHE_AUTO_FREE char *file = kache_path_join(dir, files.v[k]);

			if (!kache_starts(files.v[k], "build-script-"))
				continue;
			if (is_young(file))
				return false;
			found++;
		}
	}
	return found;
}

/* Whether what a script declares is older than a blob, so that cargo would not run it again. A directory counts with all that is
 * in it, which nobody looks at here. */
static bool declared_is_old(const char *output)
{
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;

	if (kache_file_read(output, 1 << 20, &text))
		return false;
	for (size_t at = 0, len; at < text.len; at += len + 1) {
		KACHE_AUTO_FREE char *name = NULL, *path = NULL;
		struct kache_stat st;

		len = strcspn(text.data + at, "\n");
		name = kache_script_told(text.data + at, len, "rerun-if-changed");
		if (!name)
			continue;
		path = kache_path_absolute(kache_env("CARGO_MANIFEST_DIR"), name);
		if (kache_stat(path, true, &st) || !S_ISREG(st.mode) || st.mtime > KACHE_BLOB_TIME_NS)
			return false;
	}
	return true;
}

/* Two cargos may be started before there is a target directory; to the second it is new, with what the first built. */
static bool built_before(const struct kache_call *c)
{
	KACHE_AUTO_FREE char *path = kache_rust_depinfo(c);
	struct kache_stat st;

	return !kache_stat(path, false, &st);
}

/* Likewise a run: cargo makes the file once and writes to it each time. Two runs are further apart than that, in ns. */
static const int64_t runs_apart = 50000000;

/* A run is as young as the build, and whatever comes after it had to be. Where cargo builds everything anew it may be as old as a
 * blob instead, if the script is and what that declares. */
static bool run_made_old(const struct kache_call *c, const char *run_dir, const char *output, const struct kache_stat *run)
{
	return kache_links(kache_call_link_policy(c)) && run->mtime - run->btime <= runs_apart && declared_is_old(output) &&
	       scripts_are_old(run_dir) && !utimensat(AT_FDCWD, output, kache_blob_times, AT_SYMLINK_NOFOLLOW);
}

static bool extern_is_old(const char *path)
{
	/* One of a library's two files is named, .rlib where something is linked. */
	static const char *const ends[] = { ".rmeta", ".rlib" };

	if (is_young(path))
		return false;
	for (size_t k = 0; k < 2; k++) {
		KACHE_AUTO_FREE char *stem = NULL, *other = NULL;

		if (!kache_ends(path, ends[k]))
			continue;
		stem = kache_strndup(path, strlen(path) - strlen(ends[k]));
		other = kache_concat(stem, ends[1 - k], NULL);
		if (is_young(other))
			return false;
	}
	return true;
}

/* By times alone cargo knows that what was made from another state of a unit is to be made again. There is none of what nobody
 * changes, nor in a directory that cargo has just begun to fill. */
bool kache_rust_may_be_old(const struct kache_call *c)
{
	const char *out_dir = getenv("OUT_DIR");
	KACHE_AUTO_FREE char *run_dir = out_dir ? kache_path_dir(out_dir) : NULL;
	KACHE_AUTO_FREE char *output = run_dir ? kache_path_join(run_dir, "output") : NULL;
	struct kache_stat run;
	bool young_run;

	for (size_t i = 0; i < c->args.n_externs; i++)
		if (!extern_is_old(c->args.externs[i].path))
			return false;
	young_run = output && !kache_stat(output, true, &run) && run.mtime > KACHE_BLOB_TIME_NS;
	if (c->lasting && !young_run)
		return true;
	return c->profile_dir && !built_before(c) && built_at_once(c) &&
	       (!young_run || run_made_old(c, run_dir, output, &run));
}
