/* What procedural macros may have asked that the observer can't tell, by what they are made of (wrapper/object.h): which variable
 * of all, the time of day beside a compiler that asks for it, too, and what of a file's status.
 *
 * And what the compiler may ask for without harm: variables that only concern what it says, and what directories are called,
 * which stand as tokens in keys, though a macro may have put their names, or what it made of them, into the outputs. There the
 * observer tells in which object somebody asked. */
#include "config.h"
#include "wrapper/rustc.h"

#include "base/path.h"
#include "wrapper/collect.h"
#include "wrapper/object.h"

#include <string.h>

/* Among what cargo built, or named in the call. */
static bool is_macro(const struct kache_collector *k, const char *path)
{
	const struct kache_rust_args *a = &k->c->args;
	bool is = kache_ends(path, ".so") && kache_rust_in_dep_dir(k, path);

	for (size_t i = 0; i < a->n_externs && !is && kache_ends(path, ".so"); i++) {
		KACHE_AUTO_FREE char *full = a->externs[i].path ? kache_path_absolute(k->c->cwd, a->externs[i].path) : NULL;
		KACHE_AUTO_FREE char *real = full && kache_ends(full, ".so") ? kache_path_real(full) : NULL;

		is = real && (!strcmp(full, path) || !strcmp(real, path));
	}
	return is;
}

/* The first macro among these objects, or NULL. */
static const char *first_macro(const struct kache_collector *k, const struct kache_strs *objects)
{
	for (size_t i = 0; i < objects->n; i++)
		if (is_macro(k, objects->v[i]))
			return objects->v[i];
	return NULL;
}

bool kache_rust_loads_macro(const struct kache_collector *k)
{
	return first_macro(k, &k->run->seen.reads) != NULL;
}

/* The first macro that was loaded and may have done this, or NULL. among: only those; may be NULL. */
static const char *macro_that(const struct kache_collector *k, unsigned what, const struct kache_strs *among)
{
	const struct kache_strs *reads = &k->run->seen.reads;

	for (size_t i = 0; i < reads->n; i++)
		if (is_macro(k, reads->v[i]) && (!among || kache_strs_find(among, reads->v[i])) &&
		    kache_object_traits(k->c->store, reads->v[i]) & what)
			return reads->v[i];
	return NULL;
}

bool kache_rust_macro_may_read(const struct kache_collector *k, const char *var)
{
	const struct kache_strs *reads = &k->run->seen.reads;

	if (macro_that(k, KACHE_WALKS_VARIABLES, NULL))
		return true;
	for (size_t i = 0; var && i < reads->n; i++) {
		KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

		if (is_macro(k, reads->v[i]) &&
		    (kache_file_read(reads->v[i], SIZE_MAX, &b) || memmem(b.data, b.len, var, strlen(var))))
			return true;
	}
	return false;
}

bool kache_rust_macro_may_start(const struct kache_collector *k)
{
	return macro_that(k, KACHE_STARTS_PROGRAMS, NULL) != NULL;
}

/* ---- variables ---- */

/* Those too that say nothing to compilers and linkers, but for what the standard library asks for itself. */
static int add_variables(struct kache_collector *k)
{
	static const char *const of_std[] = { "RUST_BACKTRACE", "RUST_LIB_BACKTRACE", "RUST_MIN_STACK", NULL };
	const struct kache_strs *asked = &k->run->seen.asked;

	for (size_t i = 0; i < asked->n; i++) {
		KACHE_AUTO_FREE char *name = kache_strndup(asked->v[i], strcspn(asked->v[i], "="));
		bool own = false;

		for (const char *const *v = of_std; *v && !own; v++)
			own = !strcmp(*v, name);
		if (!own && is_macro(k, asked->v[i] + strlen(name) + 1) && kache_collect_now(k, KACHE_INPUT_ENV, name))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

/* ---- times ---- */

/* Libraries in the target directory have another time in each, and no macro looks at that. */
static bool no_status(const struct kache_collector *k, const char *path)
{
	return kache_rust_in_dep_dir(k, path) || kache_path_below(path, k->c->compiler.sysroot, NULL);
}

static int add_times(struct kache_collector *k)
{
	const struct kache_observed *seen = &k->run->seen;
	const char *macro = NULL;

	if (kache_strs_find(&seen->clocks, k->c->compiler.program))
		macro = macro_that(k, KACHE_ASKS_CLOCK, NULL);
	if (macro)
		return kache_collect_refuse(k, "time-of-day", macro);
	macro = macro_that(k, KACHE_ASKS_ACCESS, &seen->lookers);
	if (macro)
		return kache_collect_refuse(k, "time-of-access", macro);
	if (macro_that(k, KACHE_ASKS_STATUS, &seen->lookers) && kache_collect_status(k, KACHE_INPUT_STATUS, no_status))
		return KACHE_E_INVALID;
	return macro_that(k, KACHE_ASKS_BIRTH, &seen->lookers) ? kache_collect_status(k, KACHE_INPUT_BIRTH, no_status) : KACHE_OK;
}

/* ---- where all this is ---- */

static int add_places(struct kache_collector *k)
{
	const char *source = k->c->args.source;

	if (first_macro(k, &k->run->seen.placed) || macro_that(k, KACHE_ASKS_ARGUMENTS, NULL))
		return kache_collect_places(k, NULL);
	/* Cargo names sources outside the workspace by their whole names. */
	if (source[0] == '/' && macro_that(k, KACHE_ASKS_SOURCE | KACHE_STRIPPED, NULL))
		return kache_collect_places(k, source);
	return KACHE_OK;
}

int kache_rust_collect_macros(struct kache_collector *k)
{
	const char *macro = first_macro(k, &k->run->seen.machines);

	if (macro)
		return kache_collect_refuse(k, "host-name", macro);
	macro = macro_that(k, KACHE_CALLS_KERNEL, NULL);
	if (macro)
		return kache_collect_refuse(k, "unobserved-calls", macro);
	return add_variables(k) || add_times(k) || add_places(k) ? KACHE_E_INVALID : KACHE_OK;
}
