#include "config.h"
#include "key/rustargs.h"

#include "base/file.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>

/* What a flag with a value means to us. */
enum action {
	A_KEY,		/* part of the key as it stands */
	A_KEY_PATHS,	/* part of the key, paths tokenised */
	A_CRATE_NAME, A_CRATE_TYPE, A_EMIT, A_OUT_DIR, A_EXTERN, A_SEARCH, A_LIB, A_CODEGEN, A_UNSTABLE, A_CFG,
	A_ERROR_FORMAT, A_JSON, A_WIDTH, A_TARGET, A_PRINT, A_OUTPUT,
	A_DECLINE
};

struct flag {
	const char *name;	/* without dashes; one letter: short */
	enum action action;
};

static const struct flag with_value[] = {
	{ "crate-name", A_CRATE_NAME }, { "crate-type", A_CRATE_TYPE }, { "emit", A_EMIT }, { "out-dir", A_OUT_DIR },
	{ "extern", A_EXTERN }, { "edition", A_KEY }, { "cfg", A_CFG }, { "check-cfg", A_KEY }, { "cap-lints", A_KEY },
	{ "allow", A_KEY }, { "warn", A_KEY }, { "deny", A_KEY }, { "forbid", A_KEY }, { "force-warn", A_KEY },
	{ "codegen", A_CODEGEN }, { "error-format", A_ERROR_FORMAT }, { "json", A_JSON }, { "diagnostic-width", A_WIDTH },
	{ "color", A_KEY }, { "target", A_TARGET }, { "print", A_PRINT }, { "remap-path-prefix", A_KEY_PATHS },
	{ "remap-path-scope", A_KEY },
	{ "A", A_KEY }, { "W", A_KEY }, { "D", A_KEY }, { "F", A_KEY }, { "C", A_CODEGEN }, { "L", A_SEARCH },
	{ "l", A_LIB }, { "Z", A_UNSTABLE },
	{ "o", A_OUTPUT }, { "sysroot", A_DECLINE }, { "explain", A_DECLINE }, { "env-set", A_DECLINE },
	{ "pretty", A_DECLINE }, { "unpretty", A_DECLINE }, { NULL, A_DECLINE }
};

/* Codegen options that do nothing but shape the output (rustc -C help); the rest is declined. */
static const char *const codegen_plain[] = {
	"ar", "bitcode-in-rlib", "code-model", "codegen-units", "collapse-macro-debuginfo", "control-flow-guard",
	"debug-assertions", "debuginfo", "default-linker-libraries", "dwarf-version", "embed-bitcode", "extra-filename",
	"force-frame-pointers", "force-unwind-tables", "inline-threshold", "instrument-coverage", "jump-tables", "link-arg",
	"link-args", "link-dead-code", "link-self-contained", "linker", "linker-features", "linker-flavor",
	"linker-plugin-lto", "llvm-args", "lto", "metadata", "no-prepopulate-passes", "no-redzone", "no-stack-check",
	"no-vectorize-loops", "no-vectorize-slp", "opt-level", "overflow-checks", "panic", "passes", "prefer-dynamic",
	"profile-generate", "profile-use", "relocation-model", "relro-level", "rpath", "soft-float", "strip",
	"symbol-mangling-version", "target-cpu", "target-feature", "tune-cpu", "unsafe-allow-abi-mismatch", NULL
};

/* Unstable flags that only change what is compiled; everything else may leave files anywhere. */
static const char *const unstable_plain[] = {
	"unstable-options", "allow-features", "crate-attr", "force-unstable-if-unmarked", "share-generics", "threads",
	"sanitizer", "tls-model", "macro-backtrace", "randomize-layout", "location-detail", "fmt-debug", "mir-opt-level",
	"inline-mir", "no-parallel-backend", "polonius", "trait-solver", "next-solver", "embed-source", "panic-in-drop",
	"ub-checks", "function-sections", "checksum-hash-algorithm", NULL
};

/* --print kinds whose answer depends on the compiler and the arguments alone. */
static const char *const print_plain[] = {
	"crate-name", "file-names", "sysroot", "cfg", "check-cfg", "target-list", "target-cpus", "target-features",
	"relocation-models", "code-models", "tls-models", "split-debuginfo", "target-libdir", "host-tuple",
	"supported-crate-types", "stack-protector-strategies", "calling-conventions", "deployment-target", NULL
};

struct word {
	const char *word;
	unsigned bit;
};
static const struct word emit_words[] = {
	{ "dep-info", KACHE_EMIT_DEPINFO }, { "metadata", KACHE_EMIT_METADATA }, { "link", KACHE_EMIT_LINK },
	{ "asm", KACHE_EMIT_ASM }, { "llvm-ir", KACHE_EMIT_LLVM_IR }, { "llvm-bc", KACHE_EMIT_LLVM_BC },
	{ "obj", KACHE_EMIT_OBJ }, { "mir", KACHE_EMIT_MIR }, { NULL, 0 }
};
static const struct word type_words[] = {
	{ "bin", KACHE_CRATE_BIN }, { "lib", KACHE_CRATE_LIB }, { "rlib", KACHE_CRATE_RLIB },
	{ "dylib", KACHE_CRATE_DYLIB }, { "cdylib", KACHE_CRATE_CDYLIB }, { "staticlib", KACHE_CRATE_STATICLIB },
	{ "proc-macro", KACHE_CRATE_PROC_MACRO }, { NULL, 0 }
};

static bool in_list(const char *const *list, const char *s, size_t len)
{
	for (; *list; list++)
		if (kache_is_word(*list, s, len))
			return true;
	return false;
}

static void decline(struct kache_rust_args *a, const char *why, const char *detail)
{
	if (a->class == KACHE_RUST_DECLINE)
		return;
	a->class = KACHE_RUST_DECLINE;
	a->why = why;
	a->detail = detail ? kache_strdup(detail) : NULL;
}

static void part(struct kache_rust_args *a, const char *label, const char *value, bool paths)
{
	a->parts = kache_realloc(a->parts, a->n_parts + 1, sizeof *a->parts);
	a->parts[a->n_parts++] = (struct kache_rust_part){ kache_strdup(label), kache_strdup(value), paths };
}

static void set(char **slot, const char *value)
{
	free(*slot);
	*slot = kache_strdup(value);
}

/* "a,b,c" into bits. A word with '=' names a file of its own; false for that and for unknown words. */
static bool words(const struct word *table, const char *value, unsigned *bits)
{
	while (*value) {
		size_t len = strcspn(value, ",");
		const struct word *w = table;

		while (w->word && !kache_is_word(w->word, value, len))
			w++;
		if (!w->word)
			return false;
		*bits |= w->bit;
		value += len + (value[len] == ',');
	}
	return true;
}

static void on_codegen(struct kache_rust_args *a, const char *value, size_t at, bool pair)
{
	size_t len = strcspn(value, "=");
	const char *arg = value[len] ? value + len + 1 : "";
	KACHE_AUTO_FREE char *name = kache_strndup(value, len);

	for (char *p = name; *p; p++)	/* rustc takes '_' for '-' */
		if (*p == '_')
			*p = '-';
	if (!strcmp(name, "incremental")) {
		if (a->incremental)
			decline(a, "unknown-flag", "-C incremental twice");
		set(&a->incremental, arg);
		a->incremental_at = at;
		a->incremental_pair = pair;
		return;
	}
	if (!strcmp(name, "split-debuginfo") && strcmp(arg, "off")) {
		decline(a, "split-debuginfo", value);
		return;
	}
	if (!in_list(codegen_plain, name, len) && strcmp(name, "split-debuginfo")) {
		KACHE_AUTO_FREE char *flag = kache_asprintf("-C %s", name);

		decline(a, !strcmp(name, "save-temps") ? "save-temps" : "unknown-flag", flag);
		return;
	}
	if (!strcmp(name, "extra-filename"))
		set(&a->extra_filename, arg);
	else if (!strcmp(name, "metadata"))
		set(&a->metadata, arg);
	else if (!strcmp(name, "codegen-units"))
		a->many_units = strcmp(arg, "1") != 0;
	a->remap_off |= !strcmp(name, "instrument-coverage") && strcmp(arg, "off") && strcmp(arg, "no") && strcmp(arg, "n");
	if (!strcmp(name, "rpath"))
		a->rpath = strcmp(arg, "no") && strcmp(arg, "n") && strcmp(arg, "off") && strcmp(arg, "false");
	a->native_cpu |= !strcmp(arg, "native") && (!strcmp(name, "target-cpu") || !strcmp(name, "tune-cpu"));
	/* The linker and the profile are only read; every other path may end up in the output as it is. */
	part(a, "-C", value, !strcmp(name, "linker") || !strcmp(name, "profile-use"));
}

static void on_extern(struct kache_rust_args *a, const char *value)
{
	const char *eq = strchr(value, '='), *colon = strchr(value, ':');
	const char *name = colon && (!eq || colon < eq) ? colon + 1 : value;
	KACHE_AUTO_FREE char *shown = NULL, *whole = NULL;

	if (!eq) {
		part(a, "--extern", value, false);
		return;
	}
	/* The file name has cargo's hash in it; where the file lies does not reach the output. */
	shown = kache_strndup(value, (size_t)(eq + 1 - value));
	whole = kache_concat(shown, kache_path_base(eq + 1), NULL);
	part(a, "--extern", whole, false);
	a->externs = kache_realloc(a->externs, a->n_externs + 1, sizeof *a->externs);
	a->externs[a->n_externs++] = (struct kache_rust_extern){
		kache_strndup(name, (size_t)(eq - name)), kache_strdup(eq + 1)
	};
}

static void on_search(struct kache_rust_args *a, const char *value)
{
	static const char dependency[] = "dependency=";

	if (kache_starts(value, dependency)) {
		kache_strs_add(&a->dep_dirs, value + sizeof dependency - 1);
		return;
	}
	a->native_libs = true;
	part(a, "-L", value, true);
}

static void on_cfg(struct kache_rust_args *a, const char *value)
{
	static const char feature[] = "feature=\"";
	size_t len = strlen(value);

	if (kache_starts(value, feature) && len > sizeof feature && value[len - 1] == '"')
		kache_strs_addn(&a->features, value + sizeof feature - 1, len - sizeof feature);
	part(a, "--cfg", value, false);
}

static void on_print(struct kache_rust_args *a, const char *value)
{
	for (const char *p = value; *p;) {
		size_t len = strcspn(p, ",");

		if (!in_list(print_plain, p, len)) {
			decline(a, "print", value);
			return;
		}
		p += len + (p[len] == ',');
	}
	if (a->class == KACHE_RUST_COMPILE)
		a->class = KACHE_RUST_QUERY;
	part(a, "--print", value, false);
}

static void on_unstable(struct kache_rust_args *a, const char *value)
{
	size_t len = strcspn(value, "=");
	KACHE_AUTO_FREE char *flag = kache_asprintf("-Z %.*s", (int)len, value);

	if (!in_list(unstable_plain, value, len))
		decline(a, "unstable-flag", flag);
	part(a, "-Z", value, true);
}

static void on_json(struct kache_rust_args *a, const char *value)
{
	for (const char *p = value; *p;) {
		size_t len = strcspn(p, ",");

		a->json_artifacts |= len == 9 && !strncmp(p, "artifacts", 9);
		p += len + (p[len] == ',');
	}
	part(a, "--json", value, false);
}

static void act(struct kache_rust_args *a, const struct flag *f, const char *label, const char *value, size_t at, bool pair)
{
	switch (f->action) {
	case A_KEY:
	case A_KEY_PATHS:
		part(a, label, value, f->action == A_KEY_PATHS);
		break;
	case A_CRATE_NAME:
		set(&a->crate, value);
		part(a, "--crate-name", value, false);
		break;
	case A_CRATE_TYPE:
		if (!words(type_words, value, &a->crate_types))
			decline(a, "unknown-flag", "--crate-type");
		part(a, "--crate-type", value, false);
		break;
	case A_EMIT:
		a->explicit_emit = true;
		if (!words(emit_words, value, &a->emit))
			decline(a, strchr(value, '=') ? "explicit-output" : "unknown-flag", "--emit");
		part(a, "--emit", value, false);
		break;
	case A_OUT_DIR:
		set(&a->out_dir, value);
		break;
	case A_EXTERN:
		on_extern(a, value);
		break;
	case A_SEARCH:
		on_search(a, value);
		break;
	case A_LIB:
		a->native_libs = true;
		part(a, "-l", value, true);
		break;
	case A_CODEGEN:
		on_codegen(a, value, at, pair);
		break;
	case A_UNSTABLE:
		on_unstable(a, value);
		break;
	case A_CFG:
		on_cfg(a, value);
		break;
	case A_ERROR_FORMAT:
		a->error_json = !strcmp(value, "json");
		part(a, label, value, false);
		break;
	case A_JSON:
		on_json(a, value);
		break;
	case A_WIDTH:
		a->width = (unsigned)strtoul(value, NULL, 10);
		break;
	case A_TARGET:
		set(&a->target, value);
		if (kache_ends(value, ".json"))
			decline(a, "target-spec", value);
		part(a, "--target", value, false);
		break;
	case A_PRINT:
		on_print(a, value);
		break;
	case A_OUTPUT:
		a->to_stdout = !strcmp(value, "-");
		if (!a->to_stdout)
			decline(a, "explicit-output", label);
		part(a, label, value, false);
		break;
	case A_DECLINE:
		decline(a, "unknown-flag", label);
		break;
	}
}

static const struct flag *find(const char *name, size_t len)
{
	for (const struct flag *f = with_value; f->name; f++)
		if (kache_is_word(f->name, name, len))
			return f;
	return NULL;
}

static bool no_value(struct kache_rust_args *a, const char *arg)
{
	static const char *const queries[] = { "-vV", "-Vv", "-V", "--version", NULL };

	if (in_list(queries, arg, strlen(arg))) {
		if (a->class == KACHE_RUST_COMPILE)
			a->class = KACHE_RUST_QUERY;
		part(a, arg, "", false);
		return true;
	}
	if (!strcmp(arg, "--test"))
		a->test = true;
	else if (strcmp(arg, "-g") && strcmp(arg, "-O") && strcmp(arg, "--verbose") && strcmp(arg, "-v"))
		return false;
	part(a, arg, "", false);
	return true;
}

/* One option at argv[i]; returns how many arguments it took. */
static size_t option(struct kache_rust_args *a, size_t i)
{
	const char *arg = a->argv.v[i], *name = arg + 1, *value;
	const struct flag *f;
	KACHE_AUTO_FREE char *label = NULL;
	size_t len;
	bool pair = false;

	if (no_value(a, arg))
		return 1;
	if (arg[1] == '-') {
		name++;
		len = strcspn(name, "=");
		f = find(name, len);
		value = name[len] ? name + len + 1 : NULL;
		if (f && len == 1)	/* "--C": not an option of rustc */
			f = NULL;
	} else {
		len = 1;
		f = find(name, 1);
		value = name[0] && name[1] ? name + 1 : NULL;
	}
	if (!f) {
		KACHE_AUTO_FREE char *shown = kache_strndup(arg, strcspn(arg, "="));

		decline(a, "unknown-flag", shown);
		return 1;
	}
	if (!value) {
		if (i + 1 >= a->argv.n) {
			decline(a, "unknown-flag", arg);
			return 1;
		}
		value = a->argv.v[i + 1];
		pair = true;
	}
	label = kache_strndup(arg, (size_t)(name - arg) + len);
	act(a, f, label, value, i, pair);
	return pair ? 2 : 1;
}

/* "@path": one argument per line (rustc_driver::args). Nested files are not expanded. */
static bool expand(struct kache_rust_args *a, const char *arg, const char *cwd)
{
	KACHE_AUTO_FREE char *path = kache_path_absolute(cwd, arg + 1);
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;

	if (kache_file_read(path, 64 << 20, &text) || (text.len && memchr(text.data, '\0', text.len)))
		return false;
	a->from_file = true;
	for (const char *p = text.data ? text.data : ""; *p;) {
		size_t len = strcspn(p, "\n"), keep = len;

		if (keep && p[keep - 1] == '\r')
			keep--;
		kache_strs_addn(&a->argv, p, keep);
		p += len + (p[len] == '\n');
	}
	return true;
}

static void judge(struct kache_rust_args *a)
{
	if (a->class != KACHE_RUST_COMPILE) {
		if (a->class == KACHE_RUST_QUERY && a->source && strcmp(a->source, "-"))
			decline(a, "print", "with a source file");
		return;
	}
	if (!a->source)
		decline(a, "no-source", NULL);
	else if (!a->crate)
		decline(a, "no-crate-name", NULL);
	else if (!a->crate_types && !a->test)
		decline(a, "no-crate-type", NULL);	/* an attribute in the source may choose */
	else if (a->to_stdout && (a->emit & (a->emit - 1) || !a->emit || a->emit & KACHE_EMIT_DEPINFO || a->incremental))
		decline(a, "explicit-output", "-o -");
	else if (!a->out_dir && !a->to_stdout)
		decline(a, "no-out-dir", NULL);
	else if (a->many_units && a->emit & (KACHE_EMIT_ASM | KACHE_EMIT_LLVM_IR | KACHE_EMIT_LLVM_BC | KACHE_EMIT_OBJ))
		decline(a, "codegen-units", "--emit leaves a file of each unit");
	if (!a->emit)
		a->emit = KACHE_EMIT_LINK;
	kache_strs_sort(&a->features);
}

void kache_rust_args_parse(int argc, char *const *argv, const char *cwd, struct kache_rust_args *a)
{
	*a = (struct kache_rust_args){ .class = KACHE_RUST_COMPILE };
	for (int i = 0; i < argc; i++) {
		if (argv[i][0] != '@')
			kache_strs_add(&a->argv, argv[i]);
		else if (!expand(a, argv[i], cwd))
			decline(a, "argument-file", argv[i]);
	}
	for (size_t i = 0; i < a->argv.n;) {
		const char *arg = a->argv.v[i];

		if (arg[0] == '-' && arg[1]) {
			i += option(a, i);
			continue;
		}
		if (a->source)
			decline(a, "several-sources", NULL);
		set(&a->source, arg);
		i++;
	}
	judge(a);
}

void kache_rust_args_release(struct kache_rust_args *a)
{
	free(a->detail);
	kache_strs_release(&a->argv);
	free(a->crate);
	free(a->source);
	free(a->out_dir);
	free(a->extra_filename);
	free(a->metadata);
	free(a->target);
	free(a->incremental);
	kache_strs_release(&a->features);
	kache_strs_release(&a->dep_dirs);
	for (size_t i = 0; i < a->n_externs; i++) {
		free(a->externs[i].name);
		free(a->externs[i].path);
	}
	free(a->externs);
	for (size_t i = 0; i < a->n_parts; i++) {
		free(a->parts[i].label);
		free(a->parts[i].value);
	}
	free(a->parts);
	*a = (struct kache_rust_args){ 0 };
}

bool kache_rust_links(const struct kache_rust_args *a)
{
	const unsigned linked = KACHE_CRATE_BIN | KACHE_CRATE_DYLIB | KACHE_CRATE_CDYLIB | KACHE_CRATE_STATICLIB |
				KACHE_CRATE_PROC_MACRO;

	return (a->emit & KACHE_EMIT_LINK) && (a->test || (a->crate_types & linked));
}
