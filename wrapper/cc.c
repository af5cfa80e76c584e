/* C and C++ behind "kache cc …" or a link with a compiler's name: what is asked for, and what really runs. */
#include "config.h"
#include "wrapper/cc.h"

#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "observe/observe.h"
#include "wrapper/collect.h"
#include "wrapper/report.h"
#include "wrapper/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Raised whenever the meaning of keys, manifests or entries of C compiles changes. */
#define KEY_RECIPE "c6"

/* Compilers within compilers: scripts that find a link to kache again, which finds the script. */
#define LEVEL "KACHE_LEVEL"
enum { LEVEL_MAX = 8 };

/* ---- which compiler ---- */

/* What kache_cc has found already; NULL for "kache explain". */
static char *compiler;

/* Which of the names it is that the program has, but for a prefix and a version; NULL for none. */
static const char *name_of(const char *program)
{
	static const char *const names[] = { "cc", "c++", "gcc", "g++", "clang", "clang++", "nvcc" };
	const char *base = kache_path_base(program), *dash;
	size_t len = strlen(base);

	while (len && (base[len - 1] == '.' || (base[len - 1] >= '0' && base[len - 1] <= '9')))
		len--;
	len = len && len < strlen(base) && base[len - 1] == '-' ? len - 1 : len;
	for (dash = base + len; dash > base && dash[-1] != '-'; dash--)
		;
	len -= (size_t)(dash - base);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (kache_is_word(names[i], dash, len))
			return names[i];
	return NULL;
}

bool kache_is_cc(const char *program)
{
	return name_of(program) != NULL;
}

/* A link to this program or to another kache, or a copy that is linked hard. */
static bool is_kache(const char *path)
{
	KACHE_AUTO_FREE char *real = kache_path_real(path);
	struct kache_stat self, other;

	if (real && !strcmp(kache_path_base(real), "kache"))
		return true;
	return !kache_stat("/proc/self/exe", true, &self) && !kache_stat(path, true, &other) && self.dev == other.dev &&
	       self.ino == other.ino;
}

/* What came of a look for a compiler. */
struct search {
	struct kache_strs missed;	/* where it was not, for who observes us */
	bool passed;			/* kache itself was on the way */
};

static char *find(const char *name, struct search *s)
{
	char *found = NULL;

	if (strchr(name, '/')) {
		if (!is_kache(name))
			return kache_strdup(name);
		s->passed = true;
		name = kache_path_base(name);
	}
	for (const char *p = kache_path_default(); p && !found;) {
		KACHE_AUTO_FREE char *dir = kache_path_next(&p);

		found = kache_path_search(name, dir);
		if (!found)
			kache_strs_take(&s->missed, kache_path_join(dir, name));
		if (found && is_kache(found)) {
			s->passed = true;
			free(found);
			found = NULL;
		}
	}
	return found;
}

char *kache_cc_find(const char *name)
{
	struct search s = { 0 };
	char *found = find(name, &s);

	kache_strs_release(&s.missed);
	return found;
}

/* As the observer names it: without "." and "..", which lead elsewhere behind a link. */
static char *full_name(const char *cwd, const char *program)
{
	char *text = kache_path_absolute(cwd, program);
	struct kache_stat a, b;

	if (!strcmp(text, program))
		return text;
	if (!kache_stat(text, true, &a) && !kache_stat(program, true, &b) && a.dev == b.dev && a.ino == b.ino)
		return text;
	free(text);
	text = kache_path_real(program);
	return text ? text : kache_path_join(cwd, program);
}

/* ---- the key ---- */

/* The directory as the compiler writes it into debug information: what PWD calls it, where that is true (libiberty's getpwd,
 * LLVM's current_path). */
static const char *named_cwd(const struct kache_call *c)
{
	const char *pwd = kache_env("PWD");
	struct kache_stat named, real;

	return pwd[0] == '/' && !kache_stat(pwd, true, &named) && !kache_stat(".", true, &real) && named.dev == real.dev &&
	       named.ino == real.ino ? pwd : c->cwd;
}

/* Whether the loader could take a library of the compiler's from these directories. Cargo sets LD_LIBRARY_PATH for each build
 * script, and to other directories for each target directory: what is not there does not count. */
static bool loads_from(const struct kache_call *c, const char *dirs)
{
	while (dirs) {
		KACHE_AUTO_FREE char *dir = kache_path_next(&dirs);
		KACHE_AUTO_FREE char *variants = kache_path_join(dir, "glibc-hwcaps");

		if (!access(variants, F_OK))
			return true;
		for (size_t i = 0; i < c->compiler.files.n; i++) {
			const char *base = kache_path_base(c->compiler.files.v[i]);
			KACHE_AUTO_FREE char *path = strstr(base, ".so") ? kache_path_join(dir, base) : NULL;

			if (path && !access(path, F_OK))
				return true;
		}
	}
	return false;
}

static void invocation(struct kache_call *c)
{
	const struct kache_cc_args *a = &c->cc;
	char hex[KACHE_HEX_LEN + 1];
	KACHE_AUTO_FREE char *cwd = kache_tokens_path(&c->tokens, named_cwd(c)), *source = kache_tokens_path(&c->tokens, a->source);
	KACHE_AUTO_FREE char *output = kache_tokens_path(&c->tokens, a->output);
	KACHE_AUTO_FREE char *depfile = kache_tokens_path(&c->tokens, a->depfile ? a->depfile : "");
	struct kache_hasher h;

	kache_hasher_init(&h);
	kache_key_text(c, &h, "recipe", KEY_RECIPE);
	kache_key_text(c, &h, "compiler", kache_hash_hex(&c->compiler.id, hex));
	kache_buf_fmt(&c->describe, "version %s\n", c->compiler.version);
	kache_key_text(c, &h, "driver", c->driver->by_word ? c->argv[0] : kache_path_base(c->argv[0]));
	kache_key_text(c, &h, "cwd", cwd);
	kache_key_text(c, &h, "source", source);
	if (c->input.data)
		kache_key_digest(c, &h, "stdin", c->input.data, c->input.len);
	kache_key_text(c, &h, "language", a->language);
	for (size_t i = 0; i < a->n_parts; i++) {
		KACHE_AUTO_FREE char *value = kache_cc_key_value(c, &a->parts[i]);

		kache_key_text(c, &h, a->parts[i].label, value);
	}
	kache_cc_key_bases(c, &h);
	if (a->place || a->adds || (a->depfile && !a->target_given))
		kache_key_text(c, &h, "output", output);
	if (a->place || a->adds)
		kache_key_text(c, &h, "depfile", depfile);
	if (a->native_cpu || a->adds)
		kache_key_cpu(c, &h);
	for (char **arg = c->argv; a->adds && *arg; arg++)	/* a script sees how they are written */
		kache_key_text(c, &h, "word", *arg);
	if (c->driver->key)
		c->driver->key(c, &h);
	if (*kache_env("LD_PRELOAD"))
		kache_key_text(c, &h, "env LD_PRELOAD", kache_env("LD_PRELOAD"));
	if (*kache_env("LD_LIBRARY_PATH") && loads_from(c, kache_env("LD_LIBRARY_PATH")))
		kache_key_text(c, &h, "env LD_LIBRARY_PATH", kache_env("LD_LIBRARY_PATH"));
	kache_key_declared(c, &h);
	kache_hasher_end(&h, &c->invocation);
}

/* ---- what is asked for ---- */

static bool special(const char *value)
{
	return (kache_starts(value, "/dev/") && !kache_starts(value, "/dev/shm/")) || kache_starts(value, "/proc/");
}

/* "-flag -" and "-flag=-": some of LLVM's readers of profiles and lists take standard input for that. */
static bool names_stdin(const struct kache_cc_part *p)
{
	return strcmp(p->label, "-D") && (!strcmp(p->value, "-") || kache_ends(p->value, "=-"));
}

static bool from_stdin(const struct kache_call *c)
{
	return !strcmp(c->cc.source, "-");
}

/* What can't be read twice, and outputs that can't be put in place by a rename. */
static const char *unusual(const struct kache_call *c, const char **detail)
{
	const struct kache_cc_args *a = &c->cc;
	const char *outputs[] = { a->output, a->depfile };
	struct stat st;

	*detail = a->source;
	if (!from_stdin(c) && (special(a->source) || stat(a->source, &st) || !S_ISREG(st.st_mode)))
		return "source-not-a-file";
	for (size_t i = 0; i < a->n_parts; i++) {
		*detail = a->parts[i].value;
		if (names_stdin(&a->parts[i]))
			return "standard-input";
		if (special(a->parts[i].value))
			return "special-file";
	}
	for (size_t i = 0; i < 2; i++) {
		*detail = outputs[i];
		if (outputs[i] && ((!lstat(outputs[i], &st) && !S_ISREG(st.st_mode)) || special(outputs[i]) ||
				   !strcmp(outputs[i], "-")))
			return "output-not-a-file";
	}
	return NULL;
}

/* The compiler itself would colour its messages here. Through our pipe it has to be told. */
static bool coloured(const struct kache_call *c)
{
	const char *term = kache_env("TERM");

	return c->driver->colours && !c->cc.colour_given && !c->cc.record && *term && strcmp(term, "dumb") && isatty(STDERR_FILENO);
}

static char *package(const struct kache_call *c)
{
	const char *name = kache_env("CARGO_PKG_NAME");
	char *package = kache_strdup(*name ? name : c->unit);

	for (char *p = package; *p; p++)
		if (*p == '-')
			*p = '_';
	return package;
}

static void parse(struct kache_call *c, int argc, char *const *argv)
{
	kache_cc_args_parse(argc, argv, c->cwd, &c->cc);
}

static int check(struct kache_collector *k)
{
	return kache_cc_ran(k) ? KACHE_OK : kache_collect_refuse(k, "compiler-did-not-run", NULL);
}

static const struct kache_cc_driver gcc_or_clang = {
	.colours = true,
	.parse = parse,
	.identify = kache_cc_compiler,
	.check = check,
};

static const char *prepare(struct kache_call *c, char **argv, const char **detail, struct kache_error *err)
{
	const char *name = name_of(argv[0]);
	const char *reason = kache_call_begin(c, argv, err);
	KACHE_AUTO_FREE char *program = NULL;
	int argc = 1;

	*detail = NULL;
	c->kind = "other";
	c->driver = name && !strcmp(name, "nvcc") ? &kache_cc_nvcc : &gcc_or_clang;
	if (reason)
		return reason;
	program = compiler ? kache_strdup(compiler) : kache_cc_find(argv[0]);
	if (!program)
		return "no-compiler";
	c->compiler.program = full_name(c->cwd, program);
	while (argv[argc])
		argc++;
	c->driver->parse(c, argc - 1, argv + 1);
	c->query = c->cc.why != NULL;	/* nothing that a warning should be about */
	if (kache_call_store(c, err))
		return "store";
	c->unit = kache_strdup(c->cc.source ? kache_path_base(c->cc.source) : kache_path_base(argv[0]));
	c->package = package(c);
	if (c->cc.why) {
		*detail = c->cc.detail;
		return c->cc.why;
	}
	c->kind = c->cc.assembly ? "assembly" : "object";
	c->profile = kache_strdup("");
	c->width = coloured(c);
	reason = kache_call_bypassed(c, c->cc.source, &c->cc.argv, false, detail);
	if (!reason)
		reason = unusual(c, detail);
	if (reason)
		return reason;
	if (c->driver->identify(c, err)) {
		err->text[0] = '\0';	/* a driver that we do not know is no reason to worry */
		*detail = kache_path_base(c->compiler.program);
		return "unknown-compiler";
	}
	*detail = "CCC_OVERRIDE_OPTIONS";	/* by it clang takes others than we see */
	if (*kache_env(*detail) && !strcmp(c->compiler.family, "clang"))
		return "unknown-flag";
	*detail = NULL;
	c->cc.adds |= c->compiler.script;
	if (from_stdin(c) && !kache_call_read_input(c))
		return "standard-input";
	kache_cc_bases(c);
	invocation(c);
	c->event.invocation = &c->invocation;
	return NULL;
}

static bool serves(const struct kache_call *c, const struct kache_entry *e)
{
	return e->width == c->width || (!e->err_len && !e->out_len);
}

static void settle(const struct kache_call *c)
{
	kache_wait_for_tick(c->cc.source);
}

/* As asked, but for colours: the pipe between us and the compiler is no terminal. By its full name gcc need not look
 * for itself along PATH. */
static int command(struct kache_call *c, struct kache_run *run, struct kache_strs *argv, char **file, struct kache_error *err)
{
	(void)run;
	(void)file;
	(void)err;
	kache_strs_add(argv, c->driver->by_word ? c->argv[0] : c->compiler.program);
	if (c->width)
		kache_strs_add(argv, "-fdiagnostics-color=always");
	kache_cc_base_args(c, argv);
	for (char **arg = c->argv + 1; *arg; arg++)
		kache_strs_add(argv, *arg);
	return KACHE_OK;
}

static void explain(const struct kache_call *c)
{
	KACHE_AUTO_STRS struct kache_strs added = { NULL, 0, 0 };

	printf("%-12s %s\n", "output", c->cc.output);
	if (c->cc.depfile)
		printf("%-12s %s\n", "dependencies", c->cc.depfile);
	kache_cc_base_args(c, &added);
	for (size_t i = 0; i < added.n; i++)
		printf("%-12s %s\n", i ? "" : "added", added.v[i]);
}

const struct kache_language kache_language_c = {
	.prepare = prepare,
	.serves = serves,
	.settle = settle,
	.command = command,
	.collect = kache_cc_collect,
	.outputs = kache_cc_outputs,
	.place = kache_cc_place,
	.role = kache_cc_role,
	.linking = NULL,	/* what make looks at has to be new, and what a compiler writes over nobody else's */
	.clears = true,		/* as gcc has it done, whose assembler removes an old object first: no build reads one meanwhile */
	.explain = explain,
};

/* A script in the compiler's place may come back to us by way of PATH, for ever. */
static void count_level(void)
{
	int level = (int)strtol(kache_env(LEVEL), NULL, 10);
	KACHE_AUTO_FREE char *next = kache_asprintf("%d", level + 1);

	if (level >= LEVEL_MAX) {
		kache_error_log("the compiler that was found along PATH runs kache again, %d times by now", LEVEL_MAX);
		_exit(1);
	}
	setenv(LEVEL, next, 1);
}

/* A compiler that runs under our observer, rustc that links for one, or a script, has come upon a link to kache. The observer
 * can't look into this program, which is static: it tells itself what it did, and makes way for the compiler. */
_Noreturn static void step_aside(char **argv, const char *program, const struct kache_strs *missed)
{
	const char *log = kache_env(KACHE_OBSERVE_ENV);
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *self = kache_path_real("/proc/self/exe");
	KACHE_AUTO_FREE char *cwd = getcwd(NULL, 0);

	kache_buf_fmt(&b, "B%s%c", self ? self : "/", '\0');
	for (size_t i = 0; i < missed->n; i++) {
		KACHE_AUTO_FREE char *full = kache_path_join(cwd ? cwd : "/", missed->v[i]);

		kache_buf_fmt(&b, "A%s%c", full, '\0');
	}
	if (program) {
		KACHE_AUTO_FREE char *full = kache_path_join(cwd ? cwd : "/", program);

		kache_buf_fmt(&b, "X%s%c", full, '\0');
	}
	if (self && cwd)
		kache_report_append(log, &b);
	else
		unlink(log);
	if (program) {
		argv[0] = (char *)(uintptr_t)program;
		execv(program, argv);
	}
	kache_error_log("%s: %s", kache_path_base(argv[0]), program ? strerror(errno) : "no such compiler along PATH");
	_exit(127);
}

void kache_cc(char **argv, bool own)
{
	struct search s = { 0 };
	char *program = find(own ? kache_path_base(argv[0]) : argv[0], &s);

	if (*kache_env(KACHE_OBSERVE_ENV))
		step_aside(argv, program, &s.missed);
	if (!program) {
		kache_error_log("%s: no such compiler along PATH", kache_path_base(argv[0]));
		_exit(127);
	}
	count_level();
	/* The word stays as it was written where it leads to that compiler by itself. */
	if (own || s.passed)
		argv[0] = program;
	kache_strs_release(&s.missed);
	compiler = program;
	kache_serve(&kache_language_c, argv);
}
