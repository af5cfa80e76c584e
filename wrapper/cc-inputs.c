/* What a C compile depended on. The observer saw all of it: headers and where they were not, what the assembler included, the
 * programs that ran and their libraries, the variables that were asked for. */
#include "config.h"
#include "wrapper/cc.h"

#include "base/file.h"
#include "base/path.h"
#include "wrapper/collect.h"
#include "wrapper/inputs.h"
#include "wrapper/memo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Read by the C library to word a message, and by the compiler to shape it. They count where there is one. */
static const char *const message_variables[] = {
	"LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LANG", "LOCPATH", "NLSPATH", "OUTPUT_CHARSET", "TEXTDOMAINDIR",
	"GCC_COLORS", "GCC_EXTRA_DIAGNOSTIC_OUTPUT", "GCC_URLS", "TERM_URLS",
};

/* What the compiler's identity holds, and what the run made itself. Files that the C library reads for itself are not seen,
 * so whatever was seen counts, wherever it lies. */
static bool no_input(const struct kache_collector *k, uint32_t kind, const char *path)
{
	const struct kache_cc_driver *d = k->c->driver;

	if (d->temporary && d->temporary(k->c, kind, path))
		return true;
	return kache_collect_kernel_noise(path) || kache_strs_has(&k->c->compiler.files, path) || kache_collect_in_store(k, path) ||
	       kache_strs_find(&k->run->seen.writes, path);
}

static int add_reads(struct kache_collector *k, const struct kache_strs *paths)
{
	KACHE_AUTO_STRS struct kache_strs known = { NULL, 0, 0 };

	for (size_t i = 0; i < paths->n; i++) {
		const char *path = paths->v[i];

		/* Read, and then written over: what it was nobody can tell any more. */
		if (kache_strs_find(&k->run->seen.writes, path) && !kache_collect_kernel_noise(path))
			return kache_collect_refuse(k, "input-overwritten", path);
		/* Of one's own process everybody reads something else. */
		if (kache_collect_kernel_file(path) && (!kache_collect_kernel_noise(path) || kache_path_below(path, "/proc/self", NULL)))
			return kache_collect_refuse(k, "special-file", path);
		if (no_input(k, KACHE_INPUT_FILE, path))
			continue;
		if (kache_collect_way(k, path, &known) || kache_collect_file(k, path, false))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

/* ---- precompiled headers ---- */

/* By what they begin with: their names are the user's. */
static bool precompiled(const char *path)
{
	KACHE_AUTO_FD int fd = kache_open(path, O_RDONLY, 0);
	char magic[4];

	return fd >= 0 && read(fd, magic, sizeof magic) == sizeof magic &&
	       (!memcmp(magic, "gpch", 4) || !memcmp(magic, "CPCH", 4));
}

/* Whether clang may have read one: found by its own name, asked for by any, or by arguments that others added. */
static bool has_precompiled(const struct kache_collector *k)
{
	const struct kache_strs *reads = &k->run->seen.reads, *argv = &k->c->cc.argv;
	bool may = k->c->cc.adds;

	for (size_t i = 0; i < argv->n && !may; i++)
		may = strstr(argv->v[i], "-include-pch") != NULL;
	for (size_t i = 0; i < reads->n && !may; i++)
		may = strstr(reads->v[i], ".pch") || strstr(reads->v[i], ".gch") || kache_ends(reads->v[i], ".cfg");
	return may;
}

/* Of gcc's only those count here that are among several in a directory. */
static void find_precompiled(const struct kache_collector *k, struct kache_strs *out)
{
	const struct kache_strs *reads = &k->run->seen.reads;

	if (strcmp(k->c->compiler.family, "clang") ? !k->run->seen.lists.n : !has_precompiled(k))
		return;
	for (size_t i = 0; i < reads->n; i++)
		if (!no_input(k, KACHE_INPUT_FILE, reads->v[i]) && precompiled(reads->v[i]))
			kache_strs_add(out, reads->v[i]);
}

/* One that was looked at and not read, since it can't be, may serve once it can. */
static int add_unread(struct kache_collector *k)
{
	const struct kache_observed *seen = &k->run->seen;

	for (size_t i = 0; i < seen->present.n; i++) {
		const char *path = seen->present.v[i];

		if ((kache_ends(path, ".gch") || kache_ends(path, ".pch")) && !no_input(k, KACHE_INPUT_FILE, path) &&
		    !kache_strs_find(&seen->reads, path) && kache_collect_file(k, path, false))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

/* Of a directory with several, the compiler takes the first that fits, in the order in which the directory has them. */
static int add_orders(struct kache_collector *k, const struct kache_strs *pchs)
{
	for (size_t i = 0; i < pchs->n; i++) {
		KACHE_AUTO_FREE char *dir = kache_path_dir(pchs->v[i]);
		KACHE_AUTO_FREE char *name = NULL;

		if (!kache_strs_find(&k->run->seen.lists, dir))
			continue;
		name = kache_tokens_path(&k->c->tokens, dir);
		if (kache_collect_now(k, KACHE_INPUT_ORDER, name))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

/* One file that clang may compare with what a precompiled header says of it: by its time, or where that does not count, by what
 * is in it. */
static int add_compared(struct kache_collector *k, const char *path)
{
	KACHE_AUTO_FREE char *name = kache_tokens_path(&k->c->tokens, path);
	struct kache_stat st;

	if (no_input(k, KACHE_INPUT_FILE, path) || kache_stat(path, true, &st) || !S_ISREG(st.mode))
		return KACHE_OK;
	if (k->c->cc.no_pch_times)
		return kache_collect_file(k, path, false);
	if (st.mtime >= k->c->started_coarse || st.ctime >= k->c->started_coarse)
		return kache_collect_refuse(k, "input-changed", path);
	return kache_collect_now(k, KACHE_INPUT_TIME, name);
}

/* clang writes size and time of all headers into the precompiled one, and refuses that where they are others when it is used.
 * So the times count in both: what is restored has to be good for the headers that are there, and a call that would fail has to
 * fail. Those of the source, and of a precompiled header that has no other below it, are written nowhere. */
static int add_compared_by_clang(struct kache_collector *k, const struct kache_strs *pchs)
{
	const struct kache_observed *seen = &k->run->seen;
	const struct kache_cc_args *a = &k->c->cc;
	KACHE_AUTO_FREE char *source = kache_path_absolute(k->c->cwd, a->source);
	const struct kache_strs *const lists[] = { &seen->reads, &seen->present };

	if (strcmp(k->c->compiler.family, "clang") || (!pchs->n && (!a->header || a->no_pch_times)))
		return KACHE_OK;
	for (size_t i = 0; i < lists[0]->n + lists[1]->n; i++) {
		const char *path = i < lists[0]->n ? lists[0]->v[i] : lists[1]->v[i - lists[0]->n];
		bool lone = pchs->n == 1 && !strcmp(path, pchs->v[0]);

		if (!a->header && (lone || !strcmp(path, source)))
			continue;
		if (add_compared(k, path))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

static int add_precompiled(struct kache_collector *k)
{
	KACHE_AUTO_STRS struct kache_strs pchs = { NULL, 0, 0 };

	find_precompiled(k, &pchs);
	return add_unread(k) || add_orders(k, &pchs) || add_compared_by_clang(k, &pchs) ? KACHE_E_INVALID : KACHE_OK;
}

/* ---- what else was seen ---- */

/* What comes out of a pipe or a device nobody can read twice. */
static int check_others(struct kache_collector *k)
{
	const struct kache_strs *others = &k->run->seen.others;

	for (size_t i = 0; i < others->n; i++)
		if (!kache_collect_kernel_noise(others->v[i]) && !kache_strs_find(&k->run->seen.writes, others->v[i]))
			return kache_collect_refuse(k, "special-file", others->v[i]);
	return KACHE_OK;
}

/* What is found along PATH is an input as a whole: the places that lack it say nothing more. */
static bool searched(const struct kache_collector *k, const char *path)
{
	KACHE_AUTO_FREE char *dir = NULL;
	const char *base = kache_path_base(path);

	if (k->c->driver->own_path || !kache_strs_has(&k->run->seen.searched, base))
		return false;
	dir = kache_path_dir(path);
	for (const char *p = kache_env("PATH"); p;) {
		KACHE_AUTO_FREE char *one = kache_path_next(&p);

		if (!strcmp(one, dir))
			return true;
	}
	return false;
}

/* Places where a new file would be taken for another one. */
static int add_absent(struct kache_collector *k)
{
	const struct kache_strs *absent = &k->run->seen.absent;

	for (size_t i = 0; i < absent->n; i++)
		if (!no_input(k, KACHE_INPUT_ABSENT, absent->v[i]) && !searched(k, absent->v[i]) &&
		    kache_collect_absent(k, absent->v[i]))
			return KACHE_E_INVALID;
	return KACHE_OK;
}

/* gcc looks whether it can put its temporary files there. Where each job has a directory of its own for them, that is no reason to
 * compile again. nvcc writes their names down. */
static bool only_temporary(const struct kache_collector *k, const char *path)
{
	static const char *const variables[] = { "TMPDIR", "TMP", "TEMP" };
	bool named = false;

	if (k->c->driver->temporary || !strcmp(path, k->c->cwd))
		return false;
	for (size_t i = 0; i < sizeof variables / sizeof *variables && !named; i++) {
		KACHE_AUTO_FREE char *dir = kache_path_absolute(k->c->cwd, kache_env(variables[i]));

		named = *kache_env(variables[i]) && !strcmp(dir, path);
	}
	for (size_t i = 0; i < k->c->cc.argv.n && named; i++)
		named = !strstr(k->c->cc.argv.v[i], path);
	return named;
}

static bool no_directory(const void *arg, const char *path)
{
	const struct kache_collector *k = arg;

	return kache_strs_find(&k->run->seen.reads, path) || no_input(k, KACHE_INPUT_REAL, path) || only_temporary(k, path);
}

/* Directories that were looked at, which files that were read are not: of two on the path that are the same by a link, compilers
 * leave one out. And those that names climb out of. */
static int add_directories(struct kache_collector *k)
{
	const struct kache_observed *seen = &k->run->seen;

	return kache_collect_reals(k, &seen->present, no_directory, k) || kache_collect_reals(k, &seen->climbs, no_directory, k)
		       ? KACHE_E_INVALID : KACHE_OK;
}

static int add_seen(struct kache_collector *k, const struct kache_strs *paths, uint32_t kind)
{
	for (size_t i = 0; i < paths->n; i++) {
		KACHE_AUTO_FREE char *name = NULL;
		const char *path = paths->v[i];
		struct kache_stat st;

		if (no_input(k, kind, path) || kache_strs_find(&k->run->seen.reads, path))
			continue;
		if (kind == KACHE_INPUT_PRESENT && !kache_stat(path, true, &st) && S_ISDIR(st.mode))
			continue;	/* add_directories() */
		/* A link that is a base directory's name is not the directory that the token leads to. */
		name = kind == KACHE_INPUT_LINK && kache_cc_is_base(k->c, path) ? kache_strdup(path)
										: kache_tokens_path(&k->c->tokens, path);
		if (kache_collect_seen(k, path, kind, name))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

static int add_names(struct kache_collector *k, uint32_t kind, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (kache_collect_now(k, kind, names[i]))
			return KACHE_E_INVALID;
	return KACHE_OK;
}

static int add_environment(struct kache_collector *k)
{
	const struct kache_strs *env = &k->run->seen.env;

	for (size_t i = 0; i < env->n; i++)
		if (!kache_env_noise(env->v[i]) && kache_collect_now(k, KACHE_INPUT_ENV, env->v[i]))
			return KACHE_E_INVALID;
	if (!k->run->err.len && !k->run->out.len)
		return KACHE_OK;
	return add_names(k, KACHE_INPUT_ENV, message_variables, sizeof message_variables / sizeof *message_variables);
}

/* What the compiler's identity holds, by all names, and as the kernel names it. */
static void files_of_compiler(const struct kache_collector *k, struct kache_strs *out)
{
	const struct kache_strs *files = &k->c->compiler.files;

	for (size_t i = 0; i < files->n; i++) {
		char *real = kache_path_real(files->v[i]);

		kache_strs_add(out, files->v[i]);
		if (real)
			kache_strs_take(out, real);
	}
}

/* A program that is no part of the compiler as it was probed may go by any variable. kache itself makes way for the next of its
 * name, see cc.c. */
static int add_programs(struct kache_collector *k)
{
	const struct kache_observed *seen = &k->run->seen;
	KACHE_AUTO_STRS struct kache_strs strange = { NULL, 0, 0 }, own = { NULL, 0, 0 };
	KACHE_AUTO_FREE char *self = kache_path_real("/proc/self/exe");

	for (size_t i = 0; i < seen->searched.n; i++)
		if (kache_collect_now(k, KACHE_INPUT_PROGRAM, seen->searched.v[i]))
			return KACHE_E_INVALID;
	files_of_compiler(k, &own);
	for (size_t i = 0; i < seen->programs.n; i++)
		if (!kache_strs_has(&own, seen->programs.v[i]) && (!self || strcmp(self, seen->programs.v[i])))
			kache_strs_add(&strange, seen->programs.v[i]);
	for (size_t i = 0; i < seen->execs.n; i++)
		if (kache_collect_script(k, seen->execs.v[i], &own))
			kache_strs_add(&strange, seen->execs.v[i]);
	if (strange.n && kache_collect_environment(k, false))
		return KACHE_E_INVALID;
	return add_reads(k, &strange);
}

bool kache_cc_ran(const struct kache_collector *k)
{
	const struct kache_strs *programs = &k->run->seen.programs;
	bool clang = !strcmp(k->c->compiler.family, "clang"), assembler = !strcmp(k->c->cc.language, "assembler");

	for (size_t i = 0; i < programs->n; i++) {
		const char *base = kache_path_base(programs->v[i]);

		if (clang ? strstr(base, "clang") != NULL
			  : kache_starts(base, "cc1") || (assembler && kache_ends(base, "as")))
			return true;
	}
	return false;
}

static int check_writes(struct kache_collector *k)
{
	const struct kache_strs *writes = &k->run->seen.writes;

	for (size_t i = 0; i < writes->n; i++) {
		struct kache_stat st;

		if (kache_cc_is_output(k->c, writes->v[i]) || kache_collect_in_store(k, writes->v[i]) ||
		    kache_collect_kernel_noise(writes->v[i]) || kache_stat(writes->v[i], false, &st))
			continue;
		return kache_collect_refuse(k, "side-output", writes->v[i]);
	}
	return KACHE_OK;
}

static int check_variables(struct kache_collector *k)
{
	for (const char *const *name = kache_memo_silenced; *name; name++)
		if (*kache_env(*name) && kache_strs_find(&k->run->seen.env, *name))
			return kache_collect_refuse(k, "side-output", *name);
	return KACHE_OK;
}

/* clang's configuration files, also those that it finds by itself: what they add has to be what we would cache, and what the
 * key does not have for it has to be of no matter. */
static int check_added(struct kache_collector *k)
{
	const struct kache_strs *reads = &k->run->seen.reads;
	bool bad = false;

	if (strcmp(k->c->compiler.family, "clang"))
		return KACHE_OK;
	for (size_t i = 0; i < reads->n && !bad; i++) {
		KACHE_AUTO_FREE char *at = kache_asprintf("@%s", reads->v[i]);
		char compile[] = "-c", source[] = "x.c", *argv[] = { compile, source, at };
		struct kache_cc_args a;

		if (!kache_ends(reads->v[i], ".cfg") || no_input(k, KACHE_INPUT_FILE, reads->v[i]))
			continue;
		kache_cc_args_parse(3, argv, k->c->cwd, &a);
		bad = a.why || a.depfile || a.adds || ((a.place || a.native_cpu) && !k->c->cc.adds) || a.no_pch_times;
		kache_cc_args_release(&a);
		if (bad)
			return kache_collect_refuse(k, "configuration-file", reads->v[i]);
	}
	return KACHE_OK;
}

int kache_cc_collect(struct kache_collector *k)
{
	const struct kache_observed *seen = &k->run->seen;

	if (!k->run->observed)
		return kache_collect_refuse(k, "unobserved", NULL);
	if (kache_collect_observed(k) || k->c->driver->check(k))
		return KACHE_E_INVALID;
	/* __DATE__, __TIME__ and __TIMESTAMP__, however they were put together, take this. */
	if (seen->calendar)
		return kache_collect_refuse(k, "time-macro", NULL);
	if (check_variables(k) || check_added(k) || check_writes(k) || check_others(k))
		return KACHE_E_INVALID;
	if (add_reads(k, &seen->reads) || add_directories(k) || add_precompiled(k) || add_absent(k) || add_programs(k) ||
	    add_seen(k, &seen->present, KACHE_INPUT_PRESENT) || add_seen(k, &seen->links, KACHE_INPUT_LINK) ||
	    add_seen(k, &seen->lists, KACHE_INPUT_LIST))
		return KACHE_E_INVALID;
	if (add_environment(k) || kache_cc_collect_same(k) || kache_cc_collect_times(k))
		return KACHE_E_INVALID;
	return kache_cc_collect_places(k);
}
