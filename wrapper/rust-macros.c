/* What procedural macros may have asked that the observer can't tell: which variable of all, the time of day beside a compiler
 * that asks for it, too, and what of a file's status. Their objects tell it, since Rust's standard library is linked into each
 * of them: who calls a function has it among its symbols. What is optimized may have the smallest of them (MetadataExt::mtime)
 * inlined.
 *
 * And what directories are called, which stand as tokens in keys, though a macro may have put their names, or what it made of
 * them, into the outputs. Here the observer tells in which object somebody asked. */
#include "config.h"
#include "wrapper/rustc.h"

#include "base/path.h"
#include "store/map.h"
#include "wrapper/collect.h"
#include "wrapper/elf.h"

#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

enum {
	WALKS_VARIABLES = 1,	/* std::env::vars, std::process::Command */
	ASKS_CLOCK = 2,		/* SystemTime::now */
	ASKS_STATUS = 4,	/* when a file was made or changed, and its mode */
	ASKS_ACCESS = 8,	/* when it was last read, or its status changed */
	ASKS_ARGUMENTS = 16,	/* the compiler's, which name directories */
	ASKS_SOURCE = 32,	/* where a source lies */
	ASKS_HOST = 64,		/* what machine this is, and for whom it compiles */
};

static bool has_any(const char *name, const char *const *words)
{
	for (; *words; words++)
		if (strstr(name, *words))
			return true;
	return false;
}

/* Names as both manglings of rustc have them: with the length in front. */
static void note_symbol(const char *name, void *arg)
{
	static const char *const status[] = { "8Metadata8modified", "8Metadata7created", "11Permissions8readonly", NULL };
	static const char *const fields[] = { "mtime", "4mode", "7st_mode", NULL }, *const others[] = { "atime", "ctime", NULL };
	const char *trait = strstr(name, "MetadataExt");
	unsigned *traits = arg;

	trait = trait ? trait : strstr(name, "PermissionsExt");
	if (strstr(name, "10SystemTime3now"))
		*traits |= ASKS_CLOCK;
	if (strstr(name, "3env4args") || strstr(name, "3env7args_os"))
		*traits |= ASKS_ARGUMENTS;
	if (strstr(name, "4Span10local_file") || strstr(name, "10SourceFile4path"))
		*traits |= ASKS_SOURCE;
	if (has_any(name, status) || (trait && has_any(trait, fields)))
		*traits |= ASKS_STATUS;
	if (strstr(name, "8Metadata8accessed") || (trait && has_any(trait, others)))
		*traits |= ASKS_ACCESS;
}

static unsigned look(const char *object, size_t len)
{
	static const char *const walkers[] = { "environ", "3env4vars", "3env7vars_os", NULL };
	static const char *const hosts[] = { "gethostname", "uname", "getdomainname", "getpwuid", "getlogin", NULL };
	static const char checked[] = "invalid timestamp";	/* what std says of one that it can't hold */
	unsigned traits = kache_elf_imports(object, len, walkers) ? WALKS_VARIABLES : 0;

	if (kache_elf_imports(object, len, hosts))
		traits |= ASKS_HOST;
	if (!kache_elf_symbols(object, len, note_symbol, &traits)) {
		traits |= ASKS_SOURCE;
		if (memmem(object, len, checked, sizeof checked - 1))
			traits |= ASKS_CLOCK | ASKS_STATUS;
	}
	return traits;
}

static bool is_macro(const struct kache_collector *k, const char *path)
{
	return kache_ends(path, ".so") && kache_rust_in_dep_dir(k->c, path);
}

/* The first macro that was loaded and may have done this, or NULL. among: only those; may be NULL. */
static const char *macro_that(const struct kache_collector *k, unsigned what, const struct kache_strs *among)
{
	const struct kache_strs *reads = &k->run->seen.reads;

	for (size_t i = 0; i < reads->n; i++) {
		unsigned traits;

		if (is_macro(k, reads->v[i]) && (!among || kache_strs_find(among, reads->v[i])) &&
		    (kache_map_traits(k->c->store, reads->v[i], KACHE_TRAITS_MACRO, SIZE_MAX, look, &traits) || traits & what))
			return reads->v[i];
	}
	return NULL;
}

bool kache_rust_macro_may_read(const struct kache_collector *k, const char *var)
{
	const struct kache_strs *reads = &k->run->seen.reads;

	if (macro_that(k, WALKS_VARIABLES, NULL))
		return true;
	for (size_t i = 0; var && i < reads->n; i++) {
		KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

		if (is_macro(k, reads->v[i]) &&
		    (kache_file_read(reads->v[i], SIZE_MAX, &b) || memmem(b.data, b.len, var, strlen(var))))
			return true;
	}
	return false;
}

/* ---- times ---- */

/* Libraries in the target directory have another time in each, and no macro looks at that. */
static bool may_count(const struct kache_collector *k, uint32_t kind, const char *path)
{
	return (kind == KACHE_INPUT_FILE || kind == KACHE_INPUT_PRESENT) && !kache_rust_in_dep_dir(k->c, path) &&
	       !kache_path_below(path, k->c->compiler.sysroot, NULL);
}

/* Of all files that were read or looked at, since who looked at what is not known. Directories have a new time for every file that
 * comes or goes in them, be it one of the compiler's own. */
static int add_status(struct kache_collector *k)
{
	const size_t n = k->set.n;

	for (size_t i = 0; i < n; i++) {
		const char *name = k->m->names[k->set.inputs[i].name];
		KACHE_AUTO_FREE char *path = kache_tokens_expand(&k->c->tokens, name);
		struct kache_stat st;

		if (!path || !may_count(k, k->set.inputs[i].kind, path) || kache_stat(path, true, &st) || !S_ISREG(st.mode))
			continue;
		if (st.mtime >= k->c->started_coarse || st.ctime >= k->c->started_coarse)
			return kache_collect_refuse(k, "input-changed", path);
		if (kache_collect_now(k, KACHE_INPUT_STATUS, name))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

static int add_times(struct kache_collector *k)
{
	const struct kache_observed *seen = &k->run->seen;
	const char *macro = NULL;

	if (kache_strs_find(&seen->clocks, k->c->compiler.program))
		macro = macro_that(k, ASKS_CLOCK, NULL);
	if (macro)
		return kache_collect_refuse(k, "time-of-day", macro);
	macro = macro_that(k, ASKS_ACCESS, &seen->lookers);
	if (macro)
		return kache_collect_refuse(k, "time-of-access", macro);
	return macro_that(k, ASKS_STATUS, &seen->lookers) ? add_status(k) : KACHE_OK;
}

/* ---- where all this is ---- */

/* Whether a macro asked for a directory by its name, or a library that it brought along: linked says that linkers ran as well,
 * whose own can't be told from those. Programs that a macro starts need not be looked for: who starts any imports environ, so
 * that the whole environment is an input, which has cargo's directories in it. */
static bool asked_where(const struct kache_collector *k, bool linked)
{
	const struct kache_strs *placed = &k->run->seen.placed;

	for (size_t i = 0; i < placed->n; i++) {
		const char *object = placed->v[i];

		if (is_macro(k, object))
			return true;
		if (!linked && strcmp(object, k->c->compiler.program) && !kache_path_below(object, k->c->compiler.sysroot, NULL))
			return true;
	}
	return false;
}

static int add_places(struct kache_collector *k, bool linked)
{
	const bool all = asked_where(k, linked) || macro_that(k, ASKS_ARGUMENTS, NULL);
	const char *source = k->c->args.source[0] == '/' && macro_that(k, ASKS_SOURCE, NULL) ? k->c->args.source : NULL;

	for (size_t i = 0; i < k->c->tokens.n; i++) {
		const struct kache_token *t = &k->c->tokens.t[i];
		KACHE_AUTO_FREE char *name = kache_asprintf("{%s}", t->name);

		if (t->key && (all || (source && kache_path_below(source, t->path, NULL))) &&
		    kache_collect_now(k, KACHE_INPUT_PLACE, name))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

int kache_rust_collect_macros(struct kache_collector *k, bool linked)
{
	const char *macro = macro_that(k, ASKS_HOST, NULL);

	if (macro)
		return kache_collect_refuse(k, "host-name", macro);
	return add_times(k) || add_places(k, linked) ? KACHE_E_INVALID : KACHE_OK;
}
