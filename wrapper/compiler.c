/* Who the compiler is: by content, remembered in the store by file identity (compilers/<hash>), so that
 * a hit costs a handful of stats. The memo is local; what enters keys is the same on every machine. */
#include "config.h"
#include "wrapper/call.h"

#include "base/file.h"
#include "base/path.h"
#include "store/codec.h"
#include "store/map.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MEMO_FORMAT = 1 };

/* Files whose identity a memo stands on, and what it says of them. */
struct memo {
	struct kache_strs watched;
	struct kache_compiler compiler;
	bool proxy;			/* rustup's: the real compiler depends on the directory */
};

static void memo_release(struct memo *m)
{
	kache_strs_release(&m->watched);
	free(m->compiler.program);
	free(m->compiler.sysroot);
	free(m->compiler.host);
	free(m->compiler.version);
	*m = (struct memo){ 0 };
}

static void put_stat(struct kache_buf *b, const char *path)
{
	struct kache_stat st;

	if (kache_stat(path, true, &st))
		st = (struct kache_stat){ 0 };
	kache_buf_u64(b, st.dev);
	kache_buf_u64(b, st.ino);
	kache_buf_u64(b, st.size);
	kache_buf_u64(b, (uint64_t)st.mtime);
	kache_buf_u64(b, (uint64_t)st.ctime);
}

static void text(struct kache_buf *b, const char *s)
{
	kache_buf_bytes(b, s ? s : "", s ? strlen(s) : 0);
}

static void memo_write(struct kache_store *s, const char *path, const struct memo *m)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	size_t start = kache_codec_begin(&b, "KCMP", MEMO_FORMAT);

	if (s->readonly)
		return;
	kache_buf_u32(&b, (uint32_t)m->watched.n);
	for (size_t i = 0; i < m->watched.n; i++) {
		text(&b, m->watched.v[i]);
		put_stat(&b, m->watched.v[i]);
	}
	kache_buf_u8(&b, m->proxy);
	text(&b, m->compiler.program);
	text(&b, m->compiler.sysroot);
	text(&b, m->compiler.host);
	text(&b, m->compiler.version);
	kache_buf_add(&b, m->compiler.id.b, KACHE_HASH_LEN);
	kache_codec_end(&b, start);
	(void)kache_file_replace(path, b.data, b.len, 0644);
}

/* False where the memo is missing, damaged, or any file it stands on has changed. */
static bool memo_read(const char *path, struct memo *m)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_reader r;
	uint32_t n;

	if (kache_file_read(path, 1 << 20, &b) || kache_codec_open(&r, b.data, b.len, "KCMP", MEMO_FORMAT))
		return false;
	n = kache_read_u32(&r);
	for (uint32_t i = 0; i < n && !r.bad; i++) {
		KACHE_AUTO_BUF struct kache_buf now = KACHE_BUF_INIT;
		KACHE_AUTO_FREE char *file = kache_read_string(&r);
		const void *then;

		put_stat(&now, file);
		then = kache_read_raw(&r, now.len);
		if (!then || memcmp(then, now.data, now.len))
			return false;
	}
	m->proxy = kache_read_u8(&r);
	m->compiler.program = kache_read_string(&r);
	m->compiler.sysroot = kache_read_string(&r);
	m->compiler.host = kache_read_string(&r);
	m->compiler.version = kache_read_string(&r);
	kache_codec_hash(&r, &m->compiler.id);
	if (!r.bad)
		return true;
	memo_release(m);
	return false;
}

/* Standard output of a short run of the compiler, or of the dynamic linker's listing (ldd's way). */
static int output_of(const char *const *argv, bool list_libraries, struct kache_buf *out)
{
	int p[2], status = -1;
	pid_t pid;
	ssize_t n;

	if (pipe2(p, O_CLOEXEC))
		return KACHE_E_IO;
	pid = fork();
	if (pid < 0)
		return KACHE_E_IO;
	if (!pid) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, STDIN_FILENO);
		dup2(p[1], STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		if (list_libraries)
			setenv("LD_TRACE_LOADED_OBJECTS", "1", 1);
		execv(argv[0], (char *const *)(uintptr_t)argv);	/* execv changes nothing of it */
		_exit(127);
	}
	close(p[1]);
	while ((n = read(p[0], kache_buf_reserve(out, 4096), 4096)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			out->len += (size_t)n;
	kache_buf_add(out, "", 0);
	close(p[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? KACHE_OK : KACHE_E_INVALID;
}

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

/* One file into the identity: name below the sysroot and content. */
static int add_content(struct kache_call *c, struct kache_hasher *h, const char *name, const char *path)
{
	struct kache_hash content;
	struct kache_stat st;
	int rc = KACHE_E_BUSY;

	/* Who copies a toolchain by links changes its files' inodes, but for a moment only. */
	for (int i = 0; i < 5 && rc == KACHE_E_BUSY; i++)
		rc = kache_map_hash(c->store, path, &st, &content);
	if (rc == KACHE_E_BUSY)
		errno = EBUSY;
	if (rc == KACHE_E_INVALID)	/* a directory in there: its files don't count */
		return KACHE_OK;
	if (rc)
		return rc;
	kache_hasher_field(h, name, content.b, KACHE_HASH_LEN);
	return KACHE_OK;
}

/* The libraries that are the compiler: the driver and LLVM, wherever a distribution keeps them. */
static int add_libraries(struct kache_call *c, struct memo *m, struct kache_hasher *h)
{
	static const char *const ours[] = { "librustc_driver", "libLLVM", "libstd-", "librustc", NULL };
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT;
	const char *const argv[] = { m->compiler.program, NULL };

	if (output_of(argv, true, &out))
		return KACHE_OK;	/* static: all of it is in the program */
	for (const char *p = out.data; p && *p;) {
		size_t len = strcspn(p, "\n");
		KACHE_AUTO_FREE char *line = kache_strndup(p, len);
		char *arrow = strstr(line, "=> /"), *end = arrow ? strstr(arrow, " (0x") : NULL;

		p += len + (p[len] == '\n');
		if (!end)
			continue;
		*end = '\0';
		for (const char *const *o = ours; *o; o++) {
			if (!kache_starts(kache_path_base(arrow + 3), *o))
				continue;
			kache_strs_add(&m->watched, arrow + 3);
			if (add_content(c, h, kache_path_base(arrow + 3), arrow + 3))
				return KACHE_E_IO;
			break;
		}
	}
	return KACHE_OK;
}

static int add_directory(struct kache_call *c, struct memo *m, struct kache_hasher *h, const char *dir)
{
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	DIR *d = opendir(dir);
	struct dirent *item;
	int rc = KACHE_OK;

	kache_strs_add(&m->watched, dir);
	while (d && (item = readdir(d)))
		if (item->d_name[0] != '.')
			kache_strs_add(&names, item->d_name);
	if (d)
		closedir(d);
	kache_strs_sort(&names);
	for (size_t i = 0; i < names.n && !rc; i++) {
		KACHE_AUTO_FREE char *path = kache_path_join(dir, names.v[i]);

		rc = add_content(c, h, names.v[i], path);
	}
	return rc;
}

/* Asks the compiler, and hashes what it is made of. */
static int examine(struct kache_call *c, struct memo *m, const char *driver, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf version = KACHE_BUF_INIT, sysroot = KACHE_BUF_INIT;
	const char *const ask_version[] = { m->compiler.program, "-vV", NULL };
	const char *const ask_sysroot[] = { m->compiler.program, "--print", "sysroot", NULL };
	KACHE_AUTO_FREE char *rustlib = NULL;
	KACHE_AUTO_FREE char *std = NULL;
	struct kache_hasher h;

	if (output_of(ask_version, false, &version) || output_of(ask_sysroot, false, &sysroot))
		return kache_fail(err, KACHE_E_INVALID, "%s does not answer -vV and --print sysroot", m->compiler.program);
	m->compiler.sysroot = kache_strndup(sysroot.data, strcspn(sysroot.data, "\n"));
	m->compiler.host = line_with(version.data, "\nhost: ");
	m->compiler.version = kache_strndup(version.data, strcspn(version.data, "\n"));
	rustlib = kache_path_join(m->compiler.sysroot, "lib/rustlib");
	std = kache_asprintf("%s/%s/lib", rustlib, c->args.target ? c->args.target : m->compiler.host);
	kache_hasher_init(&h);
	kache_hasher_field(&h, "version", version.data, version.len);
	kache_strs_add(&m->watched, m->compiler.program);
	kache_strs_add(&m->watched, rustlib);
	if (add_content(c, &h, "rustc", m->compiler.program) || add_libraries(c, m, &h) ||
	    add_directory(c, m, &h, std))
		return kache_fail_errno(err, "compiler files of %s", m->compiler.program);
	/* With the sources installed, diagnostics name them. */
	kache_buf_reset(&sysroot);
	kache_buf_fmt(&sysroot, "%s/src", rustlib);
	kache_hasher_str(&h, "sources", access(sysroot.data, F_OK) ? "no" : "yes");
	if (driver) {
		kache_strs_add(&m->watched, driver);
		if (add_content(c, &h, "clippy-driver", driver))
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

	put_stat(&b, settings);
	for (;;) {
		static const char *const files[] = { "rust-toolchain", "rust-toolchain.toml" };
		char *slash;

		for (size_t i = 0; i < 2; i++) {
			KACHE_AUTO_FREE char *file = kache_path_join(*dir ? dir : "/", files[i]);

			put_stat(&b, file);
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

static char *memo_path(struct kache_call *c, struct kache_hasher *h)
{
	char hex[KACHE_HEX_LEN + 1];
	struct kache_hash id;

	kache_hasher_end(h, &id);
	return kache_concat(c->store->root, "/compilers/", kache_hash_hex(&id, hex), NULL);
}

/* The program behind a proxy. */
static int resolve_proxy(struct kache_call *c, const char *proxy, char **program, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT;
	const char *const ask[] = { proxy, "--print", "sysroot", NULL };
	KACHE_AUTO_FREE char *path = NULL;
	struct memo m = { 0 };
	struct kache_hasher h;

	kache_hasher_init(&h);
	kache_hasher_str(&h, "proxy", proxy);
	add_toolchain_choice(c, &h);
	path = memo_path(c, &h);
	if (!memo_read(path, &m)) {
		if (output_of(ask, false, &out))
			return kache_fail(err, KACHE_E_INVALID, "%s does not answer --print sysroot", proxy);
		m.compiler.program = kache_asprintf("%.*s/bin/%s", (int)strcspn(out.data, "\n"), out.data,
						    kache_path_base(proxy));
		kache_strs_add(&m.watched, proxy);
		kache_strs_add(&m.watched, m.compiler.program);
		if (!access(m.compiler.program, X_OK))
			memo_write(c->store, path, &m);
	}
	*program = kache_strdup(m.compiler.program);
	memo_release(&m);
	return KACHE_OK;
}

/* The memo of one program; examined where there is none. proxy: what it turned out to be. */
static int identify(struct kache_call *c, const char *program, const char *driver, bool *proxy, struct kache_error *err)
{
	KACHE_AUTO_FREE char *path = NULL;
	struct memo m = { 0 };
	struct kache_hasher h;
	int rc = KACHE_OK;

	kache_hasher_init(&h);
	kache_hasher_str(&h, "program", program);
	kache_hasher_str(&h, "driver", driver ? driver : "");
	kache_hasher_str(&h, "target", c->args.target ? c->args.target : "");
	path = memo_path(c, &h);
	if (!memo_read(path, &m)) {
		m.compiler.program = kache_strdup(program);
		m.proxy = is_proxy(program);
		if (m.proxy)
			kache_strs_add(&m.watched, program);
		else
			rc = examine(c, &m, driver, err);
		if (!rc)
			memo_write(c->store, path, &m);
	}
	*proxy = m.proxy;
	if (!rc && !m.proxy) {
		c->compiler.memo = kache_strdup(path);
		c->compiler.sysroot = kache_strdup(m.compiler.sysroot);
		c->compiler.host = kache_strdup(m.compiler.host);
		c->compiler.version = kache_strdup(m.compiler.version);
		c->compiler.id = m.compiler.id;
	}
	memo_release(&m);
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

bool kache_call_compiler_same(const struct kache_call *c)
{
	struct memo m = { 0 };
	bool same = c->compiler.memo && memo_read(c->compiler.memo, &m) && kache_hash_eq(&m.compiler.id, &c->compiler.id);

	memo_release(&m);
	return same;
}
