/* What a Rust compile depended on: dep-info, what the observer saw, and rules where it saw nothing. */
#include "config.h"
#include "wrapper/rustc.h"

#include "base/path.h"
#include "key/depinfo.h"
#include "wrapper/collect.h"
#include "wrapper/inputs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct rust_inputs {
	struct kache_collector *k;
	struct kache_depinfo deps;
	bool have_deps;
	bool linked, macros;	/* an output was linked; a procedural macro was loaded */
};

static bool in_sysroot(const struct rust_inputs *r, const char *path)
{
	KACHE_AUTO_FREE char *lib = kache_path_join(r->k->c->compiler.sysroot, "lib/rustlib");

	if (kache_path_below(path, lib, NULL))
		return true;
	/* A toolchain directory of its own, as rustup's, is all compiler; /usr is not. */
	return strcmp(r->k->c->compiler.sysroot, "/usr") && kache_path_below(path, r->k->c->compiler.sysroot, NULL);
}

static bool same_path(const struct rust_inputs *r, const char *given, const char *path)
{
	KACHE_AUTO_FREE char *full = kache_path_absolute(r->k->c->cwd, given);

	return !strcmp(full, path);
}

static void find_dep_dirs(const struct kache_call *c, struct kache_strs *out)
{
	for (size_t i = 0; i < c->args.dep_dirs.n; i++) {
		char *full = kache_path_absolute(c->cwd, c->args.dep_dirs.v[i]), *real = kache_path_real(full);

		kache_strs_take(out, full);
		if (real)
			kache_strs_take(out, real);
	}
}

bool kache_rust_in_dep_dir(const struct kache_collector *k, const char *path)
{
	KACHE_AUTO_FREE char *dir = kache_path_dir(path);

	return kache_strs_has(k->dep_dirs, dir);
}

static bool in_dep_dir(const struct rust_inputs *r, const char *path)
{
	return kache_rust_in_dep_dir(r->k, path);
}

static bool is_extern(const struct rust_inputs *r, const char *path)
{
	for (size_t i = 0; i < r->k->c->args.n_externs; i++)
		if (same_path(r, r->k->c->args.externs[i].path, path))
			return true;
	return false;
}

static bool rust_artifact(const char *path)
{
	const char *base = kache_path_base(path);

	return kache_starts(base, "lib") && (kache_ends(base, ".rlib") || kache_ends(base, ".rmeta") || kache_ends(base, ".so"));
}

/* Directories that the compiler was told to search (-L) or writes to. */
static bool search_dir(const struct rust_inputs *r, const char *path)
{
	for (size_t i = 0; i < r->k->c->args.argv.n; i++) {
		const char *arg = r->k->c->args.argv.v[i], *value;

		if (!kache_starts(arg, "-L"))
			continue;
		value = arg[2] ? arg + 2 : i + 1 < r->k->c->args.argv.n ? r->k->c->args.argv.v[i + 1] : "";
		value = strchr(value, '=') ? strchr(value, '=') + 1 : value;
		if (same_path(r, value, path))
			return true;
	}
	return false;
}

/* A library needs the metadata of its closure, and whether rustc found that in the .rmeta or, a moment
 * later, in the .rlib beside it is chance. What is linked needs the very file. */
static int add_artifact(struct rust_inputs *r, const char *path)
{
	size_t len = strlen(path);

	r->macros |= kache_ends(path, ".so");
	if (!r->linked && kache_ends(path, ".rlib")) {
		KACHE_AUTO_FREE char *meta = kache_asprintf("%.*s.rmeta", (int)(len - 5), path);
		struct kache_stat st;

		if (!kache_stat(meta, true, &st))
			return kache_collect_file(r->k, meta, true);
	}
	return kache_collect_file(r->k, path, true);
}

static bool space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Does text before `at` end in include…!(concat!(env!( , white space aside? */
static bool inside_include(const char *text, const char *at)
{
	static const char *const before[] = { "(", "!", "env", "(", "!", "concat", "(", "!" };
	static const char *const macros[] = { "include", "include_str", "include_bytes" };

	for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
		while (at > text && space(at[-1]))
			at--;
		if (!kache_ends_before(text, at, before[i]))
			return false;
		at -= strlen(before[i]);
	}
	for (size_t i = 0; i < 3; i++)
		if (kache_ends_before(text, at, macros[i]))
			return true;
	return false;
}

/* How often a source uses the variable as include…!(concat!(env!("VAR"), …)) and so only to locate a
 * file, whose content counts by itself. */
static size_t locating_uses(const char *text, size_t len, const char *var)
{
	KACHE_AUTO_FREE char *quoted = kache_asprintf("\"%s\"", var);
	const char *at = text, *end = text + len;
	size_t n = 0;

	while ((at = memmem(at, (size_t)(end - at), quoted, strlen(quoted)))) {
		n += inside_include(text, at);
		at += strlen(quoted);
	}
	return n;
}

/* How often the name stands in the text outside of comment lines. */
static size_t mentions(const char *text, size_t len, const char *var)
{
	const char *at = text, *end = text + len;
	size_t n = 0;

	while ((at = memmem(at, (size_t)(end - at), var, strlen(var)))) {
		const char *line = at;

		while (line > text && line[-1] != '\n')
			line--;
		while (*line == ' ' || *line == '\t')
			line++;
		n += !(line[0] == '/' && line[1] == '/');
		at += strlen(var);
	}
	return n;
}

/* Could a loaded macro read the variable without our seeing which? It can if it walks over the whole environment, or, for a
 * variable that rustc reads too, if it has the name in it. var may be NULL. */
static bool macro_may_read(const struct rust_inputs *r, const char *var)
{
	return r->macros && kache_rust_macro_may_read(r->k, var);
}

/* A reported path-valued variable counts by its real value, unless no source does more with it than
 * locate a file. That no output has the value in it is checked before it is published. */
static bool locator(struct rust_inputs *r, const char *var)
{
	bool used = false;

	if (!r->k->c->remap || !r->k->run->observed || macro_may_read(r, var))
		return false;
	for (size_t i = 0; i < r->deps.files.n; i++) {
		KACHE_AUTO_FREE char *path = kache_path_absolute(r->k->c->cwd, r->deps.files.v[i]);
		KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
		size_t n;

		if (kache_file_read(path, 64 << 20, &text))
			return false;
		n = mentions(text.data, text.len, var);
		if (n && n != locating_uses(text.data, text.len, var))
			return false;
		used |= n > 0;
	}
	return used;
}

static int add_variable(struct rust_inputs *r, const char *line, bool set)
{
	KACHE_AUTO_FREE char *name = kache_strndup(line, set ? strcspn(line, "=") : strlen(line));
	const char *value = getenv(name);
	KACHE_AUTO_BUF struct kache_buf tokens = KACHE_BUF_INIT;

	/* Something between us and the compiler changed it: we would not see it at the next look-up. */
	if ((set && (!value || strcmp(value, line + strlen(name) + 1))) || (!set && value))
		return kache_collect_refuse(r->k, "variable-changed", name);
	if (value && value[0] == '/') {
		kache_tokens_value(&r->k->c->tokens, value, strlen(value), &tokens);
		if (strcmp(tokens.data, value) && locator(r, name))
			return kache_collect_now(r->k, KACHE_INPUT_ENV_TOKEN, name);
	}
	return kache_collect_now(r->k, KACHE_INPUT_ENV, name);
}

static int add_depinfo(struct rust_inputs *r)
{
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;

	if (r->k->c->args.to_stdout && r->k->run->observed)
		return KACHE_OK;
	if (!r->k->run->depinfo || kache_file_read(r->k->run->depinfo, 64 << 20, &text) ||
	    kache_depinfo_parse(text.data, text.len, &r->deps))
		return kache_collect_refuse(r->k, "no-dep-info", NULL);
	r->have_deps = true;
	for (size_t i = 0; i < r->deps.files.n; i++) {
		KACHE_AUTO_FREE char *path = kache_path_absolute(r->k->c->cwd, r->deps.files.v[i]);

		if (kache_collect_file(r->k, path, false))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

static int add_variables(struct rust_inputs *r)
{
	for (size_t i = 0; i < r->deps.env_set.n; i++)
		if (add_variable(r, r->deps.env_set.v[i], true))
			return KACHE_E_INVALID;
	for (size_t i = 0; i < r->deps.env_unset.n; i++)
		if (add_variable(r, r->deps.env_unset.v[i], false))
			return KACHE_E_INVALID;
	return KACHE_OK;
}

static bool in_out_dir(const struct rust_inputs *r, const char *path)
{
	KACHE_AUTO_FREE char *out = r->k->c->args.out_dir ? kache_path_absolute(r->k->c->cwd, r->k->c->args.out_dir) : NULL;

	return out && kache_path_below(path, out, NULL);
}

/* What was read but is no input. The toolchain's own files are in the compiler's identity as far as rustc
 * reads them; what a linker takes from there (itself, start files, the standard library) counts by file. */
static bool ignored_read(const struct rust_inputs *r, const char *path)
{
	return kache_collect_no_input(r->k, path) || (in_sysroot(r, path) && !r->linked) ||
	       (r->k->run->depinfo && !strcmp(path, r->k->run->depinfo));
}

static int add_reads(struct rust_inputs *r)
{
	const struct kache_strs *reads = &r->k->run->seen.reads;

	/* Artifacts first: they tell whether a macro ran. */
	for (size_t i = 0; i < reads->n; i++)
		if (rust_artifact(reads->v[i]) && (in_dep_dir(r, reads->v[i]) || is_extern(r, reads->v[i])) &&
		    !kache_strs_find(&r->k->run->seen.writes, reads->v[i]) && add_artifact(r, reads->v[i]))
			return KACHE_E_INVALID;
	for (size_t i = 0; i < reads->n; i++) {
		struct kache_stat st;

		if (ignored_read(r, reads->v[i]))
			continue;
		if (rust_artifact(reads->v[i]) && (in_dep_dir(r, reads->v[i]) || is_extern(r, reads->v[i])))
			continue;
		/* The compiler's own temporary files are gone by now. */
		if (kache_stat(reads->v[i], true, &st) && kache_collect_temp(reads->v[i]))
			continue;
		if (kache_collect_file(r->k, reads->v[i], false))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

/* Where a new file or directory would change the outcome. */
static int add_vain(struct rust_inputs *r)
{
	const struct kache_strs *absent = &r->k->run->seen.absent;

	for (size_t i = 0; i < absent->n; i++) {
		KACHE_AUTO_FREE char *name = NULL;
		const char *path = absent->v[i];
		struct kache_hash h;

		if (kache_collect_no_input(r->k, path) || in_sysroot(r, path) || kache_collect_temp(path) ||
		    kache_call_immutable(path) || kache_strs_find(&r->k->run->seen.reads, path))
			continue;
		if (in_out_dir(r, path) && !(r->linked && in_dep_dir(r, path)))
			continue;
		if (in_dep_dir(r, path) && (rust_artifact(path) || !r->linked))
			continue;
		name = kache_tokens_path(&r->k->c->tokens, path);
		if (kache_input_now(r->k->c, KACHE_INPUT_ABSENT, name, &h))
			return kache_collect_refuse(r->k, "input-unreadable", path);
		if (h.b[0] != KACHE_ABSENT_THERE)	/* else it came into being meanwhile and was not used */
			kache_collect_put(r->k, KACHE_INPUT_ABSENT, name, &h);
		else if (!in_out_dir(r, path))
			return kache_collect_refuse(r->k, "input-changed", path);
	}
	return KACHE_OK;
}

static int add_seen_paths(struct rust_inputs *r, const struct kache_strs *paths, uint32_t kind)
{
	for (size_t i = 0; i < paths->n; i++) {
		const char *path = paths->v[i];
		KACHE_AUTO_FREE char *name = NULL;
		struct kache_hash h;

		if (kache_collect_no_input(r->k, path) || in_sysroot(r, path) || kache_collect_temp(path) ||
		    kache_call_immutable(path) || in_out_dir(r, path) || in_dep_dir(r, path) || search_dir(r, path) ||
		    kache_strs_find(&r->k->run->seen.reads, path))
			continue;
		name = kache_tokens_path(&r->k->c->tokens, path);
		if (kache_collect_content(r->k, path, kind))
			return KACHE_E_INVALID;
		if (!kache_input_now(r->k->c, kind, name, &h))
			kache_collect_put(r->k, kind, name, &h);
	}
	return KACHE_OK;
}

/* "a/../b.rs", and what the linker is told, leads elsewhere once a is a link. */
static bool no_climb(const void *arg, const char *path)
{
	const struct rust_inputs *r = arg;

	return kache_collect_no_input(r->k, path) || in_sysroot(r, path) || kache_call_immutable(path);
}

static bool reported(const struct rust_inputs *r, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < r->deps.env_set.n; i++)
		if (!strncmp(r->deps.env_set.v[i], name, len) && r->deps.env_set.v[i][len] == '=')
			return true;
	return kache_strs_has(&r->deps.env_unset, name);
}

static int add_environment(struct rust_inputs *r)
{
	const struct kache_observed *seen = &r->k->run->seen;

	if (macro_may_read(r, NULL))
		return kache_collect_environment(r->k, false);
	if (!r->macros && !r->linked && r->have_deps)
		return KACHE_OK;	/* rustc alone: dep-info has reported what counts */
	for (size_t i = 0; i < seen->env.n; i++)	/* what dep-info reports is added from there */
		if (!kache_env_noise(seen->env.v[i]) && !reported(r, seen->env.v[i]) &&
		    kache_collect_now(r->k, KACHE_INPUT_ENV, seen->env.v[i]))
			return KACHE_E_INVALID;
	return KACHE_OK;
}

static int add_programs(struct rust_inputs *r)
{
	const struct kache_observed *seen = &r->k->run->seen;

	for (size_t i = 0; i < seen->programs.n; i++) {
		if (ignored_read(r, seen->programs.v[i]) || !strcmp(seen->programs.v[i], r->k->c->compiler.program))
			continue;
		if (kache_collect_file(r->k, seen->programs.v[i], false))
			return KACHE_E_INVALID;
	}
	return kache_rust_collect_programs(r->k);
}

/* Files left outside the output directory could not be restored. kache_result_publish looks at those in it. */
static int check_writes(struct rust_inputs *r)
{
	const struct kache_strs *writes = &r->k->run->seen.writes;

	for (size_t i = 0; i < writes->n; i++) {
		struct kache_stat st;

		if (in_out_dir(r, writes->v[i]) || kache_collect_in_store(r->k, writes->v[i]) ||
		    kache_collect_noise(writes->v[i]) || kache_stat(writes->v[i], false, &st) || kache_collect_temp(writes->v[i]))
			continue;
		return kache_collect_refuse(r->k, "side-output", writes->v[i]);
	}
	return KACHE_OK;
}

static int from_observer(struct rust_inputs *r)
{
	const struct kache_observed *seen = &r->k->run->seen;

	if (kache_collect_observed(r->k) || check_writes(r) || add_reads(r) || add_vain(r) ||
	    kache_collect_reals(r->k, &seen->climbs, no_climb, r) || add_programs(r))
		return KACHE_E_INVALID;
	return add_seen_paths(r, &seen->present, KACHE_INPUT_PRESENT) || add_seen_paths(r, &seen->links, KACHE_INPUT_LINK) ||
	       add_seen_paths(r, &seen->lists, KACHE_INPUT_LIST) ? KACHE_E_INVALID : add_environment(r);
}

/* Names of everything below a package's source directory: a new module would show. */
static int add_source_tree(struct rust_inputs *r)
{
	KACHE_AUTO_STRS struct kache_strs dirs = { NULL, 0, 0 };

	for (size_t i = 0; i < r->deps.files.n; i++) {
		KACHE_AUTO_FREE char *path = kache_path_absolute(r->k->c->cwd, r->deps.files.v[i]);
		KACHE_AUTO_FREE char *dir = kache_path_dir(path);
		KACHE_AUTO_FREE char *name = kache_tokens_path(&r->k->c->tokens, dir);

		if (!kache_call_immutable(path) && kache_collect_now(r->k, KACHE_INPUT_LIST, name))
			return KACHE_E_INVALID;
		/* mod.rs may appear in a directory of the module's name. */
		if (!kache_call_immutable(path) && kache_ends(path, ".rs")) {
			KACHE_AUTO_FREE char *module = kache_strndup(path, strlen(path) - 3);
			KACHE_AUTO_FREE char *rs = kache_asprintf("%s/mod.rs", module);
			KACHE_AUTO_FREE char *token = kache_tokens_path(&r->k->c->tokens, rs);
			struct kache_stat st;

			if (kache_stat(rs, false, &st) && kache_collect_now(r->k, KACHE_INPUT_ABSENT, token))
				return KACHE_E_INVALID;
		}
	}
	return KACHE_OK;
}

/* Without the observer only what dep-info tells for certain is cached. */
static int from_rules(struct rust_inputs *r)
{
	KACHE_AUTO_STRS struct kache_strs climbs = { NULL, 0, 0 };

	if (r->k->c->compiler.script)
		return kache_collect_refuse(r->k, "unobserved-process", r->k->c->compiler.program);
	if (r->linked)
		return kache_collect_refuse(r->k, "unobserved-link", NULL);
	if (r->k->c->args.native_libs)
		return kache_collect_refuse(r->k, "unobserved-native-library", NULL);
	if (r->k->c->args.n_externs)
		return kache_collect_refuse(r->k, "unobserved-dependencies", NULL);
	for (size_t i = 0; i < r->deps.files.n; i++) {
		KACHE_AUTO_FREE char *path = kache_path_join(r->k->c->cwd, r->deps.files.v[i]);
		size_t end = kache_path_climb(path);

		if (end)
			kache_strs_addn(&climbs, path, end);
	}
	return kache_collect_reals(r->k, &climbs, no_climb, r) ? KACHE_E_INVALID : add_source_tree(r);
}

int kache_rust_collect(struct kache_collector *k)
{
	struct rust_inputs r = { .k = k, .linked = kache_rust_links(&k->c->args) };
	KACHE_AUTO_STRS struct kache_strs dep_dirs = { NULL, 0, 0 };
	int rc;

	find_dep_dirs(k->c, &dep_dirs);
	k->dep_dirs = &dep_dirs;
	r.macros = kache_rust_loads_macro(k);
	rc = add_depinfo(&r);

	if (!rc)
		rc = k->run->observed ? from_observer(&r) : from_rules(&r);
	if (!rc)
		rc = add_variables(&r);
	if (!rc && r.macros)
		rc = kache_rust_collect_macros(k);
	if (!rc && r.linked && k->c->args.rpath)
		rc = kache_collect_places(k, NULL);
	k->dep_dirs = NULL;
	if (r.have_deps)
		kache_depinfo_release(&r.deps);
	return rc;
}
