/* Who a Rust compiler is; wrapper/memo.h remembers it. */
#include "config.h"
#include "wrapper/call.h"

#include "base/file.h"
#include "base/path.h"
#include "wrapper/memo.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *line_with(const char *out, const char *prefix)
{
	const char *at = strstr(out, prefix);

	return at ? kache_strndup(at + strlen(prefix), strcspn(at + strlen(prefix), "\n")) : kache_strdup("");
}

static bool is_proxy(const char *program)
{
	KACHE_AUTO_FREE char *real = kache_path_real(program);
	KACHE_AUTO_FREE char *dir = kache_path_dir(program);
	KACHE_AUTO_FREE char *rustup = kache_path_join(dir, "rustup");
	struct kache_stat a, b;

	if (real && !strcmp(kache_path_base(real), "rustup"))
		return true;
	return !kache_stat(program, true, &a) && !kache_stat(rustup, true, &b) && a.dev == b.dev && a.ino == b.ino;
}

/* Of some libraries those that are the compiler: the driver and LLVM, wherever a distribution keeps them. */
static void pick_libraries(const struct kache_strs *from, struct kache_strs *out)
{
	static const char *const ours[] = { "librustc_driver", "libLLVM", "libstd-", "librustc", NULL };

	for (size_t i = 0; i < from->n; i++)
		if (kache_starts_any(kache_path_base(from->v[i]), ours))
			kache_strs_add(out, from->v[i]);
}

static void list_libraries(const char *program, struct kache_strs *out)
{
	KACHE_AUTO_STRS struct kache_strs all = { NULL, 0, 0 };

	kache_memo_libraries(program, &all);
	pick_libraries(&all, out);
}

static void list_directory(const char *dir, struct kache_strs *out)
{
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	(void)kache_dir_names(dir, &names);
	kache_strs_sort(&names);
	for (size_t i = 0; i < names.n; i++)
		if (names.v[i][0] != '.')
			kache_strs_take(out, kache_path_join(dir, names.v[i]));
}

/* Where rustup has them, read while the compiler is asked where they are: most of a new store's first second. */
static pid_t begin_libraries(struct kache_call *c, const char *program)
{
	KACHE_AUTO_STRS struct kache_strs all = { NULL, 0, 0 }, likely = { NULL, 0, 0 };
	KACHE_AUTO_FREE char *bin = kache_path_dir(program);
	KACHE_AUTO_FREE char *lib = kache_path_join(bin, "../lib");

	list_directory(lib, &all);
	pick_libraries(&all, &likely);
	return kache_memo_begin(c->store, &likely);
}

/* The content of all of them, under their names. */
static int add_contents(struct kache_call *c, struct kache_hasher *h, const struct kache_strs *paths)
{
	int rc = KACHE_OK;

	for (size_t i = 0; i < paths->n && !rc; i++)
		rc = kache_memo_content(c->store, h, kache_path_base(paths->v[i]), paths->v[i]);
	return rc;
}

/* Asks the compiler, and hashes what it is made of. */
static int examine(struct kache_call *c, struct kache_memo *m, const char *driver, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf version = KACHE_BUF_INIT, sysroot = KACHE_BUF_INIT;
	const char *const ask_version[] = { m->compiler.program, "-vV", NULL };
	const char *const ask_sysroot[] = { m->compiler.program, "--print", "sysroot", NULL };
	KACHE_AUTO_STRS struct kache_strs libraries = { NULL, 0, 0 }, std = { NULL, 0, 0 };
	const pid_t reads = begin_libraries(c, m->compiler.program);
	const bool answers = !kache_memo_ask(ask_version, &version) && !kache_memo_ask(ask_sysroot, &sysroot);
	KACHE_AUTO_FREE char *rustlib = NULL;
	KACHE_AUTO_FREE char *dir = NULL;
	struct kache_hasher h;
	pid_t reads_std;

	if (!answers) {
		kache_memo_end(reads);
		return kache_fail(err, KACHE_E_INVALID, "%s does not answer -vV and --print sysroot", m->compiler.program);
	}
	m->compiler.sysroot = kache_strndup(sysroot.data, strcspn(sysroot.data, "\n"));
	m->compiler.host = line_with(version.data, "\nhost: ");
	m->compiler.version = kache_strndup(version.data, strcspn(version.data, "\n"));
	rustlib = kache_path_join(m->compiler.sysroot, "lib/rustlib");
	dir = kache_asprintf("%s/%s/lib", rustlib, c->args.target ? c->args.target : m->compiler.host);
	kache_hasher_init(&h);
	kache_hasher_field(&h, "version", version.data, version.len);
	kache_strs_add(&m->watched, m->compiler.program);
	kache_strs_add(&m->watched, rustlib);
	list_directory(dir, &std);
	reads_std = kache_memo_begin(c->store, &std);
	list_libraries(m->compiler.program, &libraries);
	kache_memo_end(reads);
	kache_memo_end(reads_std);
	for (size_t i = 0; i < libraries.n; i++)
		kache_strs_add(&m->watched, libraries.v[i]);
	kache_strs_add(&m->watched, dir);
	kache_memo_ahead(c->store, &libraries);	/* where they are not where rustup has them */
	if (kache_memo_content(c->store, &h, "rustc", m->compiler.program) || add_contents(c, &h, &libraries) ||
	    add_contents(c, &h, &std))
		return kache_fail_errno(err, "compiler files of %s", m->compiler.program);
	/* With the sources installed, diagnostics name them. */
	kache_buf_reset(&sysroot);
	kache_buf_fmt(&sysroot, "%s/src", rustlib);
	kache_hasher_str(&h, "sources", access(sysroot.data, F_OK) ? "no" : "yes");
	if (driver) {
		kache_strs_add(&m->watched, driver);
		if (kache_memo_content(c->store, &h, "clippy-driver", driver))
			return kache_fail_errno(err, "%s", driver);
	}
	kache_hasher_end(&h, &m->compiler.id);
	return KACHE_OK;
}

/* What chooses the toolchain behind rustup's proxy, see rustup's book, "Overrides". */
static void add_toolchain_choice(struct kache_call *c, struct kache_hasher *h)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *home = *kache_env("RUSTUP_HOME") ? kache_strdup(kache_env("RUSTUP_HOME"))
							       : kache_path_join(kache_env("HOME"), ".rustup");
	KACHE_AUTO_FREE char *settings = kache_path_join(home, "settings.toml");
	KACHE_AUTO_FREE char *dir = kache_strdup(c->cwd);

	kache_memo_stat(&b, settings);
	for (;;) {
		static const char *const files[] = { "rust-toolchain", "rust-toolchain.toml" };
		char *slash;

		for (size_t i = 0; i < 2; i++) {
			KACHE_AUTO_FREE char *file = kache_path_join(*dir ? dir : "/", files[i]);

			kache_memo_stat(&b, file);
		}
		slash = strrchr(dir, '/');
		if (!slash || !*dir)
			break;
		*slash = '\0';
	}
	kache_hasher_field(h, "files", b.data, b.len);
	kache_hasher_str(h, "cwd", c->cwd);
	kache_hasher_str(h, "toolchain", kache_env("RUSTUP_TOOLCHAIN"));
	kache_hasher_str(h, "home", home);
}

/* The program behind a proxy. */
static int resolve_proxy(struct kache_call *c, const char *proxy, char **program, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT;
	const char *const ask[] = { proxy, "--print", "sysroot", NULL };
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_memo m = { 0 };
	struct kache_hasher h;

	kache_hasher_init(&h);
	kache_hasher_str(&h, "proxy", proxy);
	add_toolchain_choice(c, &h);
	path = kache_memo_path(c->store, &h);
	if (!kache_memo_read(path, &m)) {
		if (kache_memo_ask(ask, &out))
			return kache_fail(err, KACHE_E_INVALID, "%s does not answer --print sysroot", proxy);
		m.compiler.program = kache_asprintf("%.*s/bin/%s", (int)strcspn(out.data, "\n"), out.data,
						    kache_path_base(proxy));
		kache_strs_add(&m.watched, proxy);
		kache_strs_add(&m.watched, m.compiler.program);
		if (!access(m.compiler.program, X_OK))
			kache_memo_write(c->store, path, &m);
	}
	*program = kache_strdup(m.compiler.program);
	kache_memo_release(&m);
	return KACHE_OK;
}

/* The memo of one program; examined where there is none. proxy: what it turned out to be. */
static int identify(struct kache_call *c, const char *program, const char *driver, bool *proxy, struct kache_error *err)
{
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_memo m = { 0 };
	struct kache_hasher h;
	int rc = KACHE_OK;

	kache_hasher_init(&h);
	kache_hasher_str(&h, "program", program);
	kache_hasher_str(&h, "driver", driver ? driver : "");
	kache_hasher_str(&h, "target", c->args.target ? c->args.target : "");
	path = kache_memo_path(c->store, &h);
	if (!kache_memo_read(path, &m)) {
		m.compiler.program = kache_strdup(program);
		m.compiler.script = kache_memo_is_script(program);
		m.proxy = is_proxy(program);
		if (m.proxy)
			kache_strs_add(&m.watched, program);
		else
			rc = examine(c, &m, driver, err);
		if (!rc)
			kache_memo_write(c->store, path, &m);
	}
	*proxy = m.proxy;
	if (!rc && !m.proxy) {
		c->compiler.memo = kache_strdup(path);
		c->compiler.script = m.compiler.script;
		c->compiler.sysroot = kache_strdup(m.compiler.sysroot);
		c->compiler.host = kache_strdup(m.compiler.host);
		c->compiler.version = kache_strdup(m.compiler.version);
		c->compiler.id = m.compiler.id;
	}
	kache_memo_release(&m);
	return rc;
}

/* A name with a slash in it is taken as it is: its memo looks at the file. */
static char *find_program(const char *name)
{
	return strchr(name, '/') ? kache_strdup(name) : kache_path_search(name, NULL);
}

int kache_call_compiler(struct kache_call *c, struct kache_error *err)
{
	KACHE_AUTO_FREE char *first = find_program(c->argv[0]);
	const char *rustc = c->compiler.clippy ? c->argv[1] : c->argv[0];
	KACHE_AUTO_FREE char *found = NULL, *real = NULL;
	bool proxy;
	int rc;

	if (!first)
		return kache_fail(err, KACHE_E_NOENT, "%s not found", c->argv[0]);
	found = rustc == c->argv[0] ? kache_strdup(first) : find_program(rustc);
	if (!found)
		return kache_fail(err, KACHE_E_NOENT, "%s not found", rustc);
	rc = identify(c, found, c->compiler.clippy ? first : NULL, &proxy, err);
	if (!rc && proxy) {
		rc = resolve_proxy(c, found, &real, err);
		if (!rc)
			rc = identify(c, real, c->compiler.clippy ? first : NULL, &proxy, err);
		if (!rc && proxy)
			rc = kache_fail(err, KACHE_E_INVALID, "%s leads to another proxy", found);
	}
	if (rc)
		return rc;
	/* clippy-driver goes through its own proxy where it is one; its id is that of the file. */
	c->compiler.program = kache_strdup(c->compiler.clippy ? first : real ? real : found);
	c->compiler.inner = c->compiler.clippy ? kache_strdup(rustc) : NULL;
	return KACHE_OK;
}
