/* CUDA: what nvcc does otherwise than gcc and clang. It is a driver of many programs, the host's C++ compiler among them, that
 * starts them through a shell and hands files with names of the day from one to the next. Of all these the observer tells. */
#include "config.h"
#include "wrapper/cc.h"

#include "base/file.h"
#include "base/path.h"
#include "key/nvccargs.h"
#include "store/manifest.h"
#include "wrapper/collect.h"
#include "wrapper/inputs.h"
#include "wrapper/memo.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PROFILE_MAX = 1 << 20 };

/* Where temporary files may lie, and with that the names that debug information has for them. */
static const char *const temp_variables[] = { "TMPDIR", "TMP", "TEMP" };

static void parse(struct kache_call *c, int argc, char *const *argv)
{
	const char *words[] = {
		c->cwd, c->argv[0], c->compiler.program, kache_env(temp_variables[0]), kache_env(temp_variables[1]),
		kache_env(temp_variables[2])
	};

	kache_nvcc_args_parse(argc, argv, kache_env("NVCC_PREPEND_FLAGS"), kache_env("NVCC_APPEND_FLAGS"), c->cwd, &c->cc);
	/* These too stand in nvcc's command lines. */
	for (size_t i = 0; i < sizeof words / sizeof *words && !c->cc.why; i++)
		if (kache_nvcc_for_shell(words[i])) {
			c->cc.why = "shell-word";
			c->cc.detail = kache_strdup(words[i]);
		}
}

/* ---- who it is ---- */

/* The compiler behind nvcc, fresh memory, NULL if there is none. Should it be another one that runs, then that one is among
 * the inputs. */
static char *find_host(const struct kache_call *c)
{
	const char *given = c->cc.host ? c->cc.host : kache_env("NVCC_CCBIN");
	KACHE_AUTO_FREE char *found = NULL;
	struct stat st;

	if (!*given)
		found = kache_cc_find("gcc");
	else if (!stat(given, &st) && S_ISDIR(st.st_mode))
		found = kache_path_join(given, "gcc");
	else
		found = kache_cc_find(given);
	return found ? kache_path_absolute(c->cwd, found) : NULL;
}

static int add_file(struct kache_call *c, struct kache_memo *m, struct kache_hasher *h, const char *dir, const char *name)
{
	KACHE_AUTO_FREE char *path = kache_path_join(dir, name);

	if (access(path, F_OK))
		return KACHE_OK;
	return kache_cc_add_program(c, m, h, kache_path_base(name), path);
}

/* nvcc's tools are started with this directory of it in LD_LIBRARY_PATH, and where the loader looks in vain nobody sees. */
static int add_libraries(struct kache_call *c, struct kache_memo *m, struct kache_hasher *h, const char *dir)
{
	KACHE_AUTO_FREE char *lib = kache_path_join(dir, "../lib"), *variants = kache_path_join(lib, "glibc-hwcaps");
	size_t n = m->watched.n;
	int rc = KACHE_OK;

	if (!access(variants, F_OK))
		kache_hasher_str(h, "libraries", variants);
	for (size_t i = 0; i < n && !rc; i++)
		if (strstr(kache_path_base(m->watched.v[i]), ".so"))
			rc = add_file(c, m, h, lib, kache_path_base(m->watched.v[i]));
	kache_strs_add(&m->watched, lib);
	return rc;
}

/* What the profile says is put into command lines for the shell. */
static bool plain_profile(const char *dir)
{
	KACHE_AUTO_FREE char *path = kache_path_join(dir, "nvcc.profile");
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;

	if (access(path, F_OK))
		return true;
	if (kache_file_read(path, PROFILE_MAX, &text))
		return false;
	kache_buf_add(&text, "", 0);
	for (const char *p = text.data; (p = strpbrk(p, "$`")); p++)
		if (*p == '`' || p[1] != '(')
			return false;
	return true;
}

static int look(struct kache_call *c, struct kache_memo *m, struct kache_hasher *h, const char *host, struct kache_error *err)
{
	static const char *const parts[] = {
		"cudafe++", "ptxas", "fatbinary", "nvlink", "bin2c", "../nvvm/bin/cicc", "nvcc.profile"
	};
	const char *const ask[] = { m->compiler.program, "--version", NULL };
	KACHE_AUTO_BUF struct kache_buf version = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *dir = kache_path_dir(m->compiler.program);	/* also where that is a link */
	const char *line;
	int rc;

	if (kache_memo_ask(ask, &version) || !(line = strstr(version.data, "Cuda compilation tools")))
		return kache_fail(err, KACHE_E_INVALID, "%s does not answer as nvcc", m->compiler.program);
	if (!plain_profile(dir))
		return kache_fail(err, KACHE_E_UNSUPPORTED, "%s/nvcc.profile has words for a shell", dir);
	rc = kache_cc_add_driver(c, m, h, host, err);
	if (rc)
		return rc;
	m->compiler.maps = false;	/* the host compiler does; the others write names of their own */
	free(m->compiler.version);
	m->compiler.version = kache_strndup(line, strcspn(line, "\n"));
	kache_hasher_field(h, "nvcc version", version.data, version.len);
	rc = kache_cc_add_program(c, m, h, "nvcc", m->compiler.program);
	for (size_t i = 0; i < sizeof parts / sizeof *parts && !rc; i++)
		rc = add_file(c, m, h, dir, parts[i]);
	if (!rc)
		rc = kache_cc_add_program(c, m, h, "shell", "/bin/sh");
	if (!rc)
		rc = add_libraries(c, m, h, dir);
	return rc ? kache_fail_errno(err, "compiler files of %s", m->compiler.program) : KACHE_OK;
}

static int identify(struct kache_call *c, struct kache_error *err)
{
	KACHE_AUTO_FREE char *host = find_host(c);

	if (!host)
		return kache_fail(err, KACHE_E_NOENT, "no compiler behind %s", c->compiler.program);
	return kache_cc_remember(c, "nvcc", host, look, err);
}

/* ---- the key ---- */

extern char **environ;

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* bash in the place of sh takes functions and options from the environment, and a function may be called "gcc". */
static void key_shell(struct kache_call *c, struct kache_hasher *h)
{
	KACHE_AUTO_FREE const char **found = NULL;
	size_t n = 0;

	for (char **e = environ; *e; e++) {
		if (!kache_starts(*e, "BASH_FUNC_") && !kache_starts(*e, "SHELLOPTS=") && !kache_starts(*e, "BASHOPTS="))
			continue;
		found = kache_realloc(found, n + 1, sizeof *found);
		found[n++] = *e;
	}
	if (n)
		qsort(found, n, sizeof *found, compare);
	for (size_t i = 0; i < n; i++)
		kache_key_text(c, h, "shell", found[i]);
}

static void key(struct kache_call *c, struct kache_hasher *h)
{
	for (size_t i = 0; i < sizeof temp_variables / sizeof *temp_variables; i++)
		if (*kache_env(temp_variables[i])) {
			KACHE_AUTO_FREE char *label = kache_concat("env ", temp_variables[i], NULL);

			kache_key_text(c, h, label, kache_env(temp_variables[i]));
		}
	kache_key_text(c, h, "real cwd", c->cwd);	/* modules are called by it */
	kache_key_text(c, h, "program", c->compiler.program);	/* lists and debug information name headers from there */
	key_shell(c, h);
}

/* ---- what it touched ---- */

static bool is_temp_dir(const struct kache_call *c, const char *path)
{
	for (size_t i = 0; i < sizeof temp_variables / sizeof *temp_variables; i++) {
		const char *value = kache_env(temp_variables[i]);
		KACHE_AUTO_FREE char *dir = *value ? kache_path_absolute(c->cwd, value) : NULL;

		if (dir && !strcmp(dir, path))
			return true;
	}
	return !strcmp(path, "/tmp");
}

/* Its files are called tmpxft_<process>…, and looked for before they are made; at the end it lists the directory to remove
 * them. Other names that are looked for in there, headers beside a generated source, count. */
static bool temporary(const struct kache_call *c, uint32_t kind, const char *path)
{
	KACHE_AUTO_FREE char *dir = NULL;

	if (kind == KACHE_INPUT_LIST)
		return is_temp_dir(c, path);
	if (kind != KACHE_INPUT_ABSENT || !kache_starts(kache_path_base(path), "tmpxft_"))
		return false;
	dir = kache_path_dir(path);
	return is_temp_dir(c, dir);
}

/* The value of a variable that nvcc puts into a command line is the shell's to read once more. */
static int check(struct kache_collector *k)
{
	const struct kache_observed *seen = &k->run->seen;
	bool ran = strcmp(k->c->cc.language, "cu") && kache_cc_ran(k);

	for (size_t i = 0; i < seen->programs.n && !ran; i++)
		ran = !strcmp(kache_path_base(seen->programs.v[i]), "cicc");
	if (!ran)
		return kache_collect_refuse(k, "compiler-did-not-run", NULL);
	for (size_t i = 0; i < seen->env.n; i++)
		if (!kache_env_noise(seen->env.v[i]) && kache_nvcc_for_shell(kache_env(seen->env.v[i])))
			return kache_collect_refuse(k, "shell-word", seen->env.v[i]);
	return KACHE_OK;
}

const struct kache_cc_driver kache_cc_nvcc = {
	.own_path = true,	/* its own directories are before those of the user's */
	.by_word = true,
	.parse = parse,
	.identify = identify,
	.key = key,
	.temporary = temporary,
	.check = check,
};
