/* Which cargo command is it? Two are the same if cargo would call the compiler alike in both, as long as sources and the manifests
 * of packages are the same, which is looked at for each unit. What such a call depends on beside them: arguments, the lock file,
 * the workspace's manifest, cargo's configuration files and variables, and cargo itself. */
#include "config.h"
#include "wrapper/prefill.h"

#include "base/file.h"
#include "base/path.h"
#include "wrapper/rustc.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BYTES = 64 << 20 };

/* Sub-commands that compile by way of the wrapper, and into the target directory of the workspace. */
static const char *const subcommands[] = {
	"build", "b", "check", "c", "test", "t", "run", "r", "bench", "rustc", "doc", "d",
};
/* Behind "--" these have the arguments of what they run. */
static const char *const runners[] = { "test", "t", "run", "r", "bench" };
/* Options before the sub-command that have their value behind a blank. */
static const char *const valued[] = { "--color", "--config", "-Z", "-C" };
/* What changes no call. */
static const char *const quiet[] = { "-v", "-vv", "--verbose", "-q", "--quiet" };

static bool among(const char *const *words, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(words[i], s))
			return true;
	return false;
}
#define AMONG(words, s) among(words, sizeof (words) / sizeof *(words), s)

static bool read_arguments(struct kache_strs *argv)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("/proc/%ld/cmdline", (long)kache_cargo());
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	if (kache_file_read(path, MOST_BYTES, &b))
		return false;
	for (size_t at = 0; at < b.len; at += strlen(b.data + at) + 1)
		kache_strs_add(argv, b.data + at);
	return argv->n > 1 && !strcmp(kache_path_base(argv->v[0]), "cargo");
}

/* Leaves those that count, from the sub-command on; false where it is none that we know. */
static bool choose_arguments(const struct kache_strs *argv, struct kache_strs *out)
{
	size_t i = 1;
	bool runs;

	for (; i < argv->n && (argv->v[i][0] == '-' || argv->v[i][0] == '+'); i++) {
		if (AMONG(quiet, argv->v[i]))
			continue;
		kache_strs_add(out, argv->v[i]);
		if (AMONG(valued, argv->v[i]) && i + 1 < argv->n)
			kache_strs_add(out, argv->v[++i]);
	}
	if (i == argv->n || !AMONG(subcommands, argv->v[i]))
		return false;
	runs = AMONG(runners, argv->v[i]);
	for (; i < argv->n && (!runs || strcmp(argv->v[i], "--")); i++)
		if (!AMONG(quiet, argv->v[i]))
			kache_strs_add(out, argv->v[i]);
	return true;
}

/* The value of an option that is given as "--name value" or "--name=value", or NULL. */
static const char *option(const struct kache_strs *argv, const char *name)
{
	const size_t len = strlen(name);

	for (size_t i = 0; i < argv->n && strcmp(argv->v[i], "--"); i++) {
		if (!strncmp(argv->v[i], name, len) && argv->v[i][len] == '=')
			return argv->v[i] + len + 1;
		if (!strcmp(argv->v[i], name) && i + 1 < argv->n)
			return argv->v[i + 1];
	}
	return NULL;
}

/* To the directory above; false at the root. */
static bool climb(char **dir)
{
	char *up = kache_path_dir(*dir);
	const bool other = strcmp(up, *dir) != 0;

	free(*dir);
	*dir = up;
	return other;
}

static char *find_root(const char *cwd, const struct kache_strs *argv)
{
	const char *manifest = option(argv, "--manifest-path");
	KACHE_AUTO_FREE char *file = manifest ? kache_path_absolute(cwd, manifest) : NULL;
	char *dir = file ? kache_path_dir(file) : kache_strdup(cwd);

	do {
		KACHE_AUTO_FREE char *lock = kache_path_join(dir, "Cargo.lock");

		if (!access(lock, R_OK))
			return dir;
	} while (climb(&dir));
	free(dir);
	return NULL;
}

bool kache_command_settled(const struct kache_command *c, const char *path)
{
	struct kache_stat st;

	return !kache_stat(path, true, &st) && st.ctime < c->started;
}

static bool add_file(struct kache_hasher *h, const char *label, const char *path, struct kache_buf *text)
{
	kache_buf_reset(text);
	if (kache_file_read(path, MOST_BYTES, text))
		return false;
	kache_hasher_field(h, label, text->data ? text->data : "", text->len);
	return true;
}

/* What configuration files say of where outputs go. */
struct places {
	bool target, build;	/* one has such a word */
	bool strange;		/* one may take in others, or has just been written */
};

static void add_config(const struct kache_command *c, struct kache_hasher *h, const char *dir, const char *sub, unsigned level,
		       struct places *p)
{
	static const char *const names[] = { "config.toml", "config" };
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;

	for (size_t i = 0; i < 2; i++) {
		KACHE_AUTO_FREE char *path = kache_concat(dir, sub, "/", names[i], NULL);
		char label[32];

		snprintf(label, sizeof label, "config %u", level);
		if (!add_file(h, label, path, &text) || !text.len)
			continue;
		p->target |= memmem(text.data, text.len, "target-dir", 10) != NULL;
		p->build |= memmem(text.data, text.len, "build-dir", 9) != NULL;
		p->strange |= memmem(text.data, text.len, "include", 7) || memmem(text.data, text.len, "\\u", 2) || !kache_command_settled(c, path);
	}
}

/* The order in which cargo reads them (cargo::util::context, walk_tree). */
static void add_configs(const struct kache_command *c, struct kache_hasher *h, const char *cwd, struct places *p)
{
	const char *home = getenv("CARGO_HOME"), *user = getenv("HOME");
	KACHE_AUTO_FREE char *dir = kache_strdup(cwd);
	KACHE_AUTO_FREE char *cargo = home && *home ? kache_path_absolute(cwd, home) : kache_path_join(user ? user : "/", ".cargo");
	unsigned level = 0;

	do
		add_config(c, h, strcmp(dir, "/") ? dir : "", "/.cargo", level++, p);
	while (climb(&dir));
	add_config(c, h, cargo, "", UINT_MAX, p);
}

/* Where outputs go is asked for by itself; the others change no call. */
static bool counts(const char *variable)
{
	static const char *const not_counted[] = {
		"CARGO_TARGET_DIR=", "CARGO_BUILD_TARGET_DIR=", "CARGO_MAKEFLAGS=", "CARGO_TERM_", "RUST_LOG=", "RUST_BACKTRACE=",
		"RUSTC_WRAPPER=", "CARGO_BUILD_RUSTC_WRAPPER=", "RUST_RECURSION_COUNT=", "CARGO_LOG=", NULL
	};
	static const char *const counted[] = { "CARGO", "RUST", "__CARGO", NULL };

	return kache_starts_any(variable, counted) && !kache_starts_any(variable, not_counted);
}

static void add_variables(struct kache_hasher *h)
{
	KACHE_AUTO_STRS struct kache_strs some = { NULL, 0, 0 };

	for (char **e = environ; *e; e++)
		if (counts(*e))
			kache_strs_add(&some, *e);
	kache_strs_sort(&some);
	for (size_t i = 0; i < some.n; i++)
		kache_hasher_str(h, "variable", some.v[i]);
}

static bool add_program(struct kache_hasher *h)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("/proc/%ld/exe", (long)kache_cargo());
	struct kache_stat st;
	uint64_t numbers[4];

	if (kache_stat(path, true, &st))
		return false;
	numbers[0] = st.ino;
	numbers[1] = st.size;
	numbers[2] = (uint64_t)st.mtime;
	numbers[3] = st.dev;
	kache_hasher_field(h, "cargo", numbers, sizeof numbers);
	return true;
}

/* cargo::util::context, target_dir and build_dir. */
static bool find_target(struct kache_command *c, const char *cwd, const struct kache_strs *argv, const struct places *p)
{
	static const char *const variables[] = { "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR" };
	const char *named = option(argv, "--target-dir");

	if (getenv("CARGO_BUILD_BUILD_DIR") || option(argv, "--artifact-dir") || p->strange)
		return false;
	for (size_t i = 0; i < 2 && !named; i++)
		named = getenv(variables[i]);
	if (named && !*named)
		return false;
	if (p->build || (p->target && !named))
		c->target = NULL;
	else
		c->target = named ? kache_path_absolute(cwd, named) : kache_path_join(c->root, "target");
	return true;
}

bool kache_command_read(const char *rustc, struct kache_command *out)
{
	KACHE_AUTO_STRS struct kache_strs all = { NULL, 0, 0 }, argv = { NULL, 0, 0 };
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *cwd = getcwd(NULL, 0), *lock = NULL, *manifest = NULL;
	struct places places = { false, false, false };
	struct kache_hasher h;
	const char *rest;

	*out = (struct kache_command){ .started = kache_cargo_started(), .rustc = kache_strdup(rustc) };
	if (!cwd || out->started == INT64_MAX || !read_arguments(&all) || !choose_arguments(&all, &argv))
		return false;
	out->root = find_root(cwd, &argv);
	if (!out->root)
		return false;
	kache_hasher_init(&h);
	kache_hasher_str(&h, "rustc", rustc);
	kache_hasher_str(&h, "directory", kache_path_below(cwd, out->root, &rest) ? rest : cwd);
	for (size_t i = 0; i < argv.n; i++)
		kache_hasher_str(&h, "argument", argv.v[i]);
	lock = kache_path_join(out->root, "Cargo.lock");
	manifest = kache_path_join(out->root, "Cargo.toml");
	if (!add_file(&h, "lock", lock, &text) || !add_file(&h, "manifest", manifest, &text) || !add_program(&h))
		return false;
	add_configs(out, &h, cwd, &places);
	if (!kache_command_settled(out, lock) || !kache_command_settled(out, manifest))
		return false;
	add_variables(&h);
	kache_hasher_end(&h, &out->key);
	return find_target(out, cwd, &argv, &places);
}
