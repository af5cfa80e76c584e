/* kache purge: everything, or everything of one crate. */
#include "config.h"
#include "cli/cmd.h"
#include "cli/gc-report.h"

#include "base/path.h"
#include "base/strs.h"
#include "store/gc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int run(int argc, char **argv);
const struct kache_command kache_cmd_purge = {
	"purge", "empty the store, or remove one crate from it",
	"usage: kache purge [--crate-name NAME] [--json]\n"
	"\n"
	"  --crate-name NAME  remove only what belongs to this crate or package ('-' and '_' are the same)\n"
	"  --json             one JSON object\n",
	run
};

static bool same_name(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b))
			return false;
	return *a == *b;
}

/* arg: the name, or NULL for all. */
static bool belongs(void *arg, const struct kache_entry *e)
{
	return !arg || same_name(e->crate, arg) || same_name(e->package, arg);
}

/* Regular files of one directory of the store whose names match. */
static int remove_files(const struct kache_store *s, const char *dir, const char *pattern)
{
	KACHE_AUTO_FREE char *path = *dir ? kache_store_file(s, dir) : kache_path_join(s->root, ".");
	DIR *d = opendir(path);
	struct dirent *name;
	int rc = KACHE_EXIT_OK;

	if (!d)
		return errno == ENOENT ? KACHE_EXIT_OK : kache_cli_fail("directory %s: %s", path, strerror(errno));
	while (!rc && (name = readdir(d))) {
		struct stat st;

		if (!kache_glob(pattern, name->d_name) || fstatat(dirfd(d), name->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    !S_ISREG(st.st_mode))
			continue;
		if (unlinkat(dirfd(d), name->d_name, 0) && errno != ENOENT)
			rc = kache_cli_fail("%s/%s: %s", path, name->d_name, strerror(errno));
	}
	closedir(d);
	return rc;
}

/* What is derived, and the records of builds. The log of the database goes before the database: on its
 * own it would be taken for that of the next one. */
static int remove_records(const struct kache_store *s)
{
	static const struct { const char *dir, *pattern; } what[] = {
		{ "", "index.db-*" }, { "", "index.db*" }, { "", "inputs.map" }, { "events", "*.jsonl" }, { "compilers", "*" },
		{ "plans", "*" },
	};
	int rc = KACHE_EXIT_OK;

	for (size_t i = 0; i < sizeof what / sizeof *what && !rc; i++)
		rc = remove_files(s, what[i].dir, what[i].pattern);
	return rc;
}

static int purge(struct kache_store *s, char *crate, bool json)
{
	struct kache_gc_options o = KACHE_GC_OPTIONS_INIT;
	struct kache_gc_report report;
	struct kache_error err;
	int rc;

	o.spare_s = 0;
	o.at_once = true;
	o.doomed = belongs;
	o.arg = crate;
	if (!crate)
		o.grace_s = 0;
	if (kache_gc(s, &o, &report, &err))
		return kache_cli_fail("%s", err.text);
	rc = crate ? KACHE_EXIT_OK : remove_records(s);
	return rc ? rc : kache_cli_gc_report(&report, false, json);
}

static int run(int argc, char **argv)
{
	struct kache_conf *conf;
	struct kache_store *s;
	char *crate = NULL;
	bool json = false;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (!strcmp(argv[i], "--crate-name") && i + 1 < argc && *argv[i + 1])
			crate = argv[++i];
		else
			return kache_cli_usage(&kache_cmd_purge, "unknown argument %s", argv[i]);
	}
	if ((rc = kache_cli_conf(&conf)))
		return rc;
	if (!(rc = kache_cli_store(conf, false, &s))) {
		rc = purge(s, crate, json);
		kache_store_close(s);
	}
	kache_conf_free(conf);
	return rc;
}
