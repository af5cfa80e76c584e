/* What a compile depended on: dep-info, what the observer saw, and rules where it saw nothing. */
#include "config.h"
#include "wrapper/inputs.h"

#include "base/path.h"
#include "key/depinfo.h"
#include "store/map.h"
#include "wrapper/elf.h"
#include "wrapper/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct collector {
	struct kache_call *c;
	const struct kache_run *run;
	struct kache_depinfo deps;
	bool have_deps;
	bool linked, macros;	/* an output was linked; a procedural macro was loaded */
	struct kache_manifest *m;
	struct kache_input_set set;
	size_t cap;
	const char *reason;
	char *detail;
};

static int give_up(struct collector *k, const char *reason, const char *detail)
{
	if (!k->reason) {
		k->reason = reason;
		k->detail = detail ? kache_strdup(detail) : NULL;
	}
	return KACHE_E_INVALID;
}

static void put(struct collector *k, uint32_t kind, const char *name, const struct kache_hash *hash)
{
	uint32_t index = kache_manifest_name(k->m, name);

	for (size_t i = 0; i < k->set.n; i++)
		if (k->set.inputs[i].name == index && k->set.inputs[i].kind == kind)
			return;
	if (k->set.n == k->cap) {
		k->cap = k->cap ? k->cap * 2 : 64;
		k->set.inputs = kache_realloc(k->set.inputs, k->cap, sizeof *k->set.inputs);
	}
	k->set.inputs[k->set.n++] = (struct kache_input){ kind, index, *hash };
}

static int put_now(struct collector *k, uint32_t kind, const char *name)
{
	struct kache_hash h;

	if (kache_input_now(k->c, kind, name, &h))
		return give_up(k, "input-unreadable", name);
	put(k, kind, name, &h);
	return KACHE_OK;
}

static bool below_any(const char *path, const char *const *dirs)
{
	for (; *dirs; dirs++)
		if (kache_path_below(path, *dirs, NULL))
			return true;
	return false;
}

/* Kernel files, and those that change on their own without meaning. */
static bool system_noise(const char *path)
{
	static const char *const dirs[] = {
		"/proc", "/sys", "/dev", "/run", "/usr/lib/locale", "/usr/share/locale", "/usr/share/locale-langpack",
		"/usr/lib/x86_64-linux-gnu/gconv", "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ld.so.nohwcap",
		"/etc/localtime", "/etc/malloc.conf", "/etc/nsswitch.conf", "/etc/passwd", "/usr/share/zoneinfo", "/etc/terminfo",
		"/lib/terminfo", "/usr/share/terminfo", NULL
	};

	return below_any(path, dirs);
}

/* Temporary files of rustc and cc, with names that never come back. A project may well lie in /tmp. */
static bool compiler_temp(const char *path)
{
	const char *tmp = getenv("TMPDIR"), *rest;

	return kache_path_below(path, tmp && *tmp ? tmp : "/tmp", &rest) &&
	       (kache_starts(rest, "rustc") || kache_starts(rest, "cc"));
}

static bool in_sysroot(const struct collector *k, const char *path)
{
	KACHE_AUTO_FREE char *lib = kache_path_join(k->c->compiler.sysroot, "lib/rustlib");

	if (kache_path_below(path, lib, NULL))
		return true;
	/* A toolchain directory of its own, as rustup's, is all compiler; /usr is not. */
	return strcmp(k->c->compiler.sysroot, "/usr") && kache_path_below(path, k->c->compiler.sysroot, NULL);
}

static bool in_store(const struct collector *k, const char *path)
{
	return kache_path_below(path, k->c->store->root, NULL);
}

/* Registry and git checkouts never change in place, so what is not there will not appear. */
static bool immutable(const char *path)
{
	return strstr(path, "/registry/src/") || strstr(path, "/git/checkouts/");
}

static bool same_path(const struct collector *k, const char *given, const char *path)
{
	KACHE_AUTO_FREE char *full = kache_path_absolute(k->c->cwd, given);

	return !strcmp(full, path);
}

static bool in_dep_dir(const struct collector *k, const char *path)
{
	KACHE_AUTO_FREE char *dir = kache_path_dir(path);

	for (size_t i = 0; i < k->c->args.dep_dirs.n; i++)
		if (same_path(k, k->c->args.dep_dirs.v[i], dir))
			return true;
	return false;
}

static bool is_extern(const struct collector *k, const char *path)
{
	for (size_t i = 0; i < k->c->args.n_externs; i++)
		if (same_path(k, k->c->args.externs[i].path, path))
			return true;
	return false;
}

static bool rust_artifact(const char *path)
{
	const char *base = kache_path_base(path);

	return kache_starts(base, "lib") && (kache_ends(base, ".rlib") || kache_ends(base, ".rmeta") || kache_ends(base, ".so"));
}

/* Directories that the compiler was told to search (-L) or writes to. */
static bool search_dir(const struct collector *k, const char *path)
{
	for (size_t i = 0; i < k->c->args.argv.n; i++) {
		const char *arg = k->c->args.argv.v[i], *value;

		if (!kache_starts(arg, "-L"))
			continue;
		value = arg[2] ? arg + 2 : i + 1 < k->c->args.argv.n ? k->c->args.argv.v[i + 1] : "";
		value = strchr(value, '=') ? strchr(value, '=') + 1 : value;
		if (same_path(k, value, path))
			return true;
	}
	return false;
}

/* A file that was read. A file that changed since the compiler started tells nothing certain. */
static int add_file(struct collector *k, const char *path, bool artifact)
{
	KACHE_AUTO_FREE char *name = kache_tokens_path(&k->c->tokens, path);
	struct kache_hash h;
	struct kache_stat st;
	int rc = kache_map_hash(k->c->store, path, &st, &h);

	if (rc == KACHE_E_INVALID && S_ISDIR(st.mode))
		return put_now(k, KACHE_INPUT_LIST, name);
	if (rc == KACHE_E_INVALID)
		return give_up(k, "input-not-a-file", path);
	if (rc == KACHE_E_BUSY)
		return give_up(k, "input-changed", path);
	if (rc)
		return give_up(k, "input-unreadable", path);
	/* Cargo starts us after dependencies are complete, and may set their times back afterwards. Newer
	 * kernels stamp with the fine clock, which is ahead of the coarse one. */
	if (artifact ? st.mtime > k->c->started_real
		     : st.mtime >= k->c->started_coarse || st.ctime >= k->c->started_coarse)
		return give_up(k, "input-changed", path);
	put(k, KACHE_INPUT_FILE, name, &h);
	return KACHE_OK;
}

/* A library needs the metadata of its closure, and whether rustc found that in the .rmeta or, a moment
 * later, in the .rlib beside it is chance. What is linked needs the very file. */
static int add_artifact(struct collector *k, const char *path)
{
	size_t len = strlen(path);

	k->macros |= kache_ends(path, ".so");
	if (!k->linked && kache_ends(path, ".rlib")) {
		KACHE_AUTO_FREE char *meta = kache_asprintf("%.*s.rmeta", (int)(len - 5), path);
		struct kache_stat st;

		if (!kache_stat(meta, true, &st))
			return add_file(k, meta, true);
	}
	return add_file(k, path, true);
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
		size_t n = strlen(before[i]);

		while (at > text && space(at[-1]))
			at--;
		if ((size_t)(at - text) < n || memcmp(at - n, before[i], n))
			return false;
		at -= n;
	}
	for (size_t i = 0; i < 3; i++) {
		size_t n = strlen(macros[i]);

		if ((size_t)(at - text) >= n && !memcmp(at - n, macros[i], n))
			return true;
	}
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

/* Could a loaded macro read the variable without our seeing which? It can if it walks over the whole
 * environment (std::env::vars, std::process::Command: both import environ or the std functions), or, for
 * a variable that rustc reads too, if it has the name in it. var may be NULL. */
static bool macro_may_read(const struct collector *k, const char *var)
{
	static const char *const walkers[] = { "environ", "3env4vars", "3env7vars_os", NULL };
	const struct kache_strs *reads = &k->run->seen.reads;

	for (size_t i = 0; k->macros && i < reads->n; i++) {
		KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

		if (!kache_ends(reads->v[i], ".so") || !in_dep_dir(k, reads->v[i]))
			continue;
		if (kache_file_read(reads->v[i], (size_t)1 << 30, &b) || kache_elf_imports(b.data, b.len, walkers))
			return true;
		if (var && memmem(b.data, b.len, var, strlen(var)))
			return true;
	}
	return false;
}

/* A reported path-valued variable counts by its real value, unless no source does more with it than
 * locate a file. That no output has the value in it is checked before it is published. */
static bool locator(struct collector *k, const char *var)
{
	bool used = false;

	if (!k->c->remap || !k->run->observed || macro_may_read(k, var))
		return false;
	for (size_t i = 0; i < k->deps.files.n; i++) {
		KACHE_AUTO_FREE char *path = kache_path_absolute(k->c->cwd, k->deps.files.v[i]);
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

static int add_variable(struct collector *k, const char *line, bool set)
{
	KACHE_AUTO_FREE char *name = kache_strndup(line, set ? strcspn(line, "=") : strlen(line));
	const char *value = getenv(name);
	KACHE_AUTO_BUF struct kache_buf tokens = KACHE_BUF_INIT;

	/* Something between us and the compiler changed it: we would not see it at the next look-up. */
	if ((set && (!value || strcmp(value, line + strlen(name) + 1))) || (!set && value))
		return give_up(k, "variable-changed", name);
	if (value && value[0] == '/') {
		kache_tokens_value(&k->c->tokens, value, strlen(value), &tokens);
		if (strcmp(tokens.data, value) && locator(k, name))
			return put_now(k, KACHE_INPUT_ENV_TOKEN, name);
	}
	return put_now(k, KACHE_INPUT_ENV, name);
}

static int add_depinfo(struct collector *k)
{
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;

	if (k->c->args.to_stdout && k->run->observed)
		return KACHE_OK;
	if (!k->run->depinfo || kache_file_read(k->run->depinfo, 64 << 20, &text) ||
	    kache_depinfo_parse(text.data, text.len, &k->deps))
		return give_up(k, "no-dep-info", NULL);
	k->have_deps = true;
	for (size_t i = 0; i < k->deps.files.n; i++) {
		KACHE_AUTO_FREE char *path = kache_path_absolute(k->c->cwd, k->deps.files.v[i]);

		if (add_file(k, path, false))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

static int add_variables(struct collector *k)
{
	for (size_t i = 0; i < k->deps.env_set.n; i++)
		if (add_variable(k, k->deps.env_set.v[i], true))
			return KACHE_E_INVALID;
	for (size_t i = 0; i < k->deps.env_unset.n; i++)
		if (add_variable(k, k->deps.env_unset.v[i], false))
			return KACHE_E_INVALID;
	return KACHE_OK;
}

static bool written(const struct collector *k, const char *path)
{
	return kache_strs_has(&k->run->seen.writes, path);
}

static bool in_out_dir(const struct collector *k, const char *path)
{
	KACHE_AUTO_FREE char *out = k->c->args.out_dir ? kache_path_absolute(k->c->cwd, k->c->args.out_dir) : NULL;

	return out && kache_path_below(path, out, NULL);
}

/* What was read but is no input. The toolchain's own files are in the compiler's identity as far as rustc
 * reads them; what a linker takes from there (itself, start files, the standard library) counts by file. */
static bool ignored_read(const struct collector *k, const char *path)
{
	return system_noise(path) || (in_sysroot(k, path) && !k->linked) || in_store(k, path) || written(k, path) ||
	       (k->run->depinfo && !strcmp(path, k->run->depinfo));
}

static int add_reads(struct collector *k)
{
	const struct kache_strs *reads = &k->run->seen.reads;

	/* Artifacts first: they tell whether a macro ran. */
	for (size_t i = 0; i < reads->n; i++)
		if (rust_artifact(reads->v[i]) && (in_dep_dir(k, reads->v[i]) || is_extern(k, reads->v[i])) &&
		    !written(k, reads->v[i]) && add_artifact(k, reads->v[i]))
			return KACHE_E_INVALID;
	for (size_t i = 0; i < reads->n; i++) {
		struct kache_stat st;

		if (ignored_read(k, reads->v[i]))
			continue;
		if (rust_artifact(reads->v[i]) && (in_dep_dir(k, reads->v[i]) || is_extern(k, reads->v[i])))
			continue;
		/* The compiler's own temporary files are gone by now. */
		if (kache_stat(reads->v[i], true, &st) && compiler_temp(reads->v[i]))
			continue;
		if (add_file(k, reads->v[i], false))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

/* Where a new file or directory would change the outcome. */
static int add_vain(struct collector *k)
{
	const struct kache_strs *absent = &k->run->seen.absent;

	for (size_t i = 0; i < absent->n; i++) {
		KACHE_AUTO_FREE char *name = NULL;
		const char *path = absent->v[i];
		struct kache_hash h;

		if (system_noise(path) || in_sysroot(k, path) || in_store(k, path) || written(k, path) ||
		    compiler_temp(path) || immutable(path) || kache_strs_has(&k->run->seen.reads, path))
			continue;
		if (in_out_dir(k, path) && !(k->linked && in_dep_dir(k, path)))
			continue;
		if (in_dep_dir(k, path) && (rust_artifact(path) || !k->linked))
			continue;
		name = kache_tokens_path(&k->c->tokens, path);
		if (kache_input_now(k->c, KACHE_INPUT_ABSENT, name, &h))
			return give_up(k, "input-unreadable", path);
		if (!h.b[0])	/* else it came into being meanwhile and was not used */
			put(k, KACHE_INPUT_ABSENT, name, &h);
		else if (!in_out_dir(k, path))
			return give_up(k, "input-changed", path);
	}
	return KACHE_OK;
}

static int add_seen_paths(struct collector *k, const struct kache_strs *paths, uint32_t kind)
{
	for (size_t i = 0; i < paths->n; i++) {
		const char *path = paths->v[i];
		KACHE_AUTO_FREE char *name = NULL;
		struct kache_hash h;

		if (system_noise(path) || in_sysroot(k, path) || in_store(k, path) || written(k, path) ||
		    compiler_temp(path) || immutable(path) || in_out_dir(k, path) || in_dep_dir(k, path) || search_dir(k, path) ||
		    kache_strs_has(&k->run->seen.reads, path))
			continue;
		name = kache_tokens_path(&k->c->tokens, path);
		if (!kache_input_now(k->c, kind, name, &h))
			put(k, kind, name, &h);
	}
	return KACHE_OK;
}

static bool reported(const struct collector *k, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < k->deps.env_set.n; i++)
		if (!strncmp(k->deps.env_set.v[i], name, len) && k->deps.env_set.v[i][len] == '=')
			return true;
	return kache_strs_has(&k->deps.env_unset, name);
}

static int add_environment(struct collector *k)
{
	const struct kache_observed *seen = &k->run->seen;

	if (macro_may_read(k, NULL))
		return put_now(k, KACHE_INPUT_ENVIRON, "");
	if (!k->macros && !k->linked && k->have_deps)
		return KACHE_OK;	/* rustc alone: dep-info has reported what counts */
	for (size_t i = 0; i < seen->env.n; i++)	/* what dep-info reports is added from there */
		if (!kache_env_noise(seen->env.v[i]) && !reported(k, seen->env.v[i]) && put_now(k, KACHE_INPUT_ENV, seen->env.v[i]))
			return KACHE_E_INVALID;
	return KACHE_OK;
}

static int add_programs(struct collector *k)
{
	const struct kache_observed *seen = &k->run->seen;

	for (size_t i = 0; i < seen->searched.n; i++)
		if (put_now(k, KACHE_INPUT_PROGRAM, seen->searched.v[i]))
			return KACHE_E_INVALID;
	for (size_t i = 0; i < seen->programs.n; i++) {
		if (ignored_read(k, seen->programs.v[i]) || !strcmp(seen->programs.v[i], k->c->compiler.program))
			continue;
		if (add_file(k, seen->programs.v[i], false))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

/* Files left outside the output directory could not be restored. kache_result_publish looks at those in it. */
static int check_writes(struct collector *k)
{
	const struct kache_strs *writes = &k->run->seen.writes;

	for (size_t i = 0; i < writes->n; i++) {
		struct kache_stat st;

		if (in_out_dir(k, writes->v[i]) || in_store(k, writes->v[i]) || system_noise(writes->v[i]) ||
		    kache_stat(writes->v[i], false, &st) || compiler_temp(writes->v[i]))
			continue;
		return give_up(k, "side-output", writes->v[i]);
	}
	return KACHE_OK;
}

static int from_observer(struct collector *k)
{
	const struct kache_observed *seen = &k->run->seen;

	if (seen->blind)
		return give_up(k, "unobserved-process", seen->blind_why);
	if (seen->network)
		return give_up(k, "network", NULL);
	if (check_writes(k) || add_reads(k) || add_vain(k) || add_programs(k))
		return KACHE_E_INVALID;
	add_seen_paths(k, &seen->present, KACHE_INPUT_PRESENT);
	add_seen_paths(k, &seen->links, KACHE_INPUT_LINK);
	add_seen_paths(k, &seen->lists, KACHE_INPUT_LIST);
	return add_environment(k);
}

/* Names of everything below a package's source directory: a new module would show. */
static int add_source_tree(struct collector *k)
{
	KACHE_AUTO_STRS struct kache_strs dirs = { NULL, 0, 0 };

	for (size_t i = 0; i < k->deps.files.n; i++) {
		KACHE_AUTO_FREE char *path = kache_path_absolute(k->c->cwd, k->deps.files.v[i]);
		KACHE_AUTO_FREE char *dir = kache_path_dir(path);
		KACHE_AUTO_FREE char *name = kache_tokens_path(&k->c->tokens, dir);

		if (!immutable(path) && put_now(k, KACHE_INPUT_LIST, name))
			return KACHE_E_INVALID;
		/* mod.rs may appear in a directory of the module's name. */
		if (!immutable(path) && kache_ends(path, ".rs")) {
			KACHE_AUTO_FREE char *module = kache_strndup(path, strlen(path) - 3);
			KACHE_AUTO_FREE char *rs = kache_asprintf("%s/mod.rs", module);
			KACHE_AUTO_FREE char *token = kache_tokens_path(&k->c->tokens, rs);
			struct kache_stat st;

			if (kache_stat(rs, false, &st) && put_now(k, KACHE_INPUT_ABSENT, token))
				return KACHE_E_INVALID;
		}
	}
	return KACHE_OK;
}

/* Without the observer only what dep-info tells for certain is cached. */
static int from_rules(struct collector *k)
{
	if (k->linked)
		return give_up(k, "unobserved-link", NULL);
	if (k->c->args.native_libs)
		return give_up(k, "unobserved-native-library", NULL);
	if (k->c->args.n_externs)
		return give_up(k, "unobserved-dependencies", NULL);
	return add_source_tree(k);
}

static int add_extra(struct collector *k)
{
	const struct kache_strs *extra = kache_conf_list(k->c->conf, KACHE_CONF_EXTRA_INPUTS);
	const char *dir = kache_env("CARGO_MANIFEST_DIR");

	for (size_t i = 0; i < extra->n; i++) {
		KACHE_AUTO_FREE char *path = kache_path_absolute(*dir ? dir : k->c->cwd, extra->v[i]);
		KACHE_AUTO_FREE char *name = kache_tokens_path(&k->c->tokens, path);
		struct kache_stat st;

		if (kache_stat(path, true, &st) ? put_now(k, KACHE_INPUT_ABSENT, name) : add_file(k, path, false))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

static const struct kache_manifest *sorting;

static int canonical(const void *a, const void *b)
{
	const struct kache_input *x = a, *y = b;
	int by_name = strcmp(sorting->names[x->name], sorting->names[y->name]);

	return by_name ? by_name : (x->kind > y->kind) - (x->kind < y->kind);
}

int kache_inputs_collect(struct kache_call *c, const struct kache_run *run, struct kache_manifest *out,
			 const char **reason, char **detail)
{
	struct collector k = { .c = c, .run = run, .linked = kache_rust_links(&c->args), .m = out };
	int rc;

	*out = (struct kache_manifest){ .invocation = c->invocation };
	out->crate = kache_strdup(c->args.crate ? c->args.crate : "");
	out->package = kache_strdup(c->package);
	out->describe = kache_strdup(c->describe.data ? c->describe.data : "");
	rc = add_depinfo(&k);
	if (!rc)
		rc = run->observed ? from_observer(&k) : from_rules(&k);
	if (!rc)
		rc = add_variables(&k);
	if (!rc)
		rc = add_extra(&k);
	if (k.have_deps)
		kache_depinfo_release(&k.deps);
	if (rc) {
		free(k.set.inputs);
		kache_manifest_release(out);
		*reason = k.reason;
		*detail = k.detail;
		return rc;
	}
	sorting = out;
	if (k.set.n)
		qsort(k.set.inputs, k.set.n, sizeof *k.set.inputs, canonical);
	kache_inputs_result(out, &c->invocation, &k.set, &k.set.result);
	k.set.created_ms = c->started_ms;
	kache_manifest_add(out, &k.set);
	return KACHE_OK;
}
