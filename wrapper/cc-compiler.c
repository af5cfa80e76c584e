/* Who a C compiler is: the driver, the programs that it runs for a compile, and the libraries of all of them. What else it
 * reads (specs, its own headers, another cc1 where -B says so) is among the inputs of each compile. */
#include "config.h"
#include "wrapper/cc.h"

#include "base/path.h"
#include "wrapper/memo.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Adds a file to the identity, once. */
static int add_file(struct kache_call *c, struct kache_memo *m, struct kache_hasher *h, const char *label, const char *path)
{
	if (kache_strs_has(&m->watched, path))
		return KACHE_OK;
	kache_strs_add(&m->watched, path);
	return kache_memo_content(c->store, h, label, path);
}

static int add_program(struct kache_call *c, struct kache_memo *m, struct kache_hasher *h, const char *label, const char *path)
{
	KACHE_AUTO_STRS struct kache_strs libraries = { NULL, 0, 0 };
	int rc = add_file(c, m, h, label, path);

	kache_memo_libraries(path, &libraries);
	for (size_t i = 0; i < libraries.n && !rc; i++)
		rc = add_file(c, m, h, kache_path_base(libraries.v[i]), libraries.v[i]);
	return rc;
}

static char *first_line(const struct kache_buf *b)
{
	return kache_strndup(b->data, strcspn(b->data, "\n"));
}

/* The program that the driver runs under that name; NULL where it does not say, or has none. */
static char *part(const char *driver, const char *name)
{
	KACHE_AUTO_FREE char *option = kache_asprintf("-print-prog-name=%s", name);
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT;
	const char *const ask[] = { driver, option, NULL };
	KACHE_AUTO_FREE char *said = NULL;

	if (kache_memo_ask(ask, &out))
		return NULL;
	said = first_line(&out);
	return *said ? kache_path_search(said, NULL) : NULL;
}

/* Asks the compiler, and hashes what it is made of. */
static int examine(struct kache_call *c, struct kache_memo *m, struct kache_error *err)
{
	static const char *const parts[] = { "cc1", "cc1plus", "cc1obj", "cc1objplus", "as" };
	const char *driver = m->compiler.program;
	const char *const ask_macros[] = { driver, "-dM", "-E", "-x", "c", "/dev/null", NULL };
	const char *const ask_version[] = { driver, "--version", NULL };
	const char *const ask_machine[] = { driver, "-dumpmachine", NULL };
	KACHE_AUTO_BUF struct kache_buf macros = KACHE_BUF_INIT, version = KACHE_BUF_INIT, machine = KACHE_BUF_INIT;
	struct kache_hasher h;

	if (kache_memo_ask(ask_macros, &macros) || kache_memo_ask(ask_version, &version) || kache_memo_ask(ask_machine, &machine))
		return kache_fail(err, KACHE_E_INVALID, "%s does not answer as a C compiler", driver);
	if (strstr(macros.data, "#define __clang__ "))
		m->compiler.family = kache_strdup("clang");
	else if (strstr(macros.data, "#define __GNUC__ ") && !strstr(macros.data, "#define __INTEL_COMPILER "))
		m->compiler.family = kache_strdup("gcc");
	else
		return kache_fail(err, KACHE_E_UNSUPPORTED, "%s is neither gcc nor clang", driver);
	m->compiler.version = first_line(&version);
	m->compiler.host = first_line(&machine);
	kache_hasher_init(&h);
	kache_hasher_field(&h, "macros", macros.data, macros.len);
	kache_hasher_field(&h, "version", version.data, version.len);
	kache_hasher_field(&h, "machine", machine.data, machine.len);
	if (add_program(c, m, &h, "driver", driver))
		return kache_fail_errno(err, "compiler files of %s", driver);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		KACHE_AUTO_FREE char *path = part(driver, parts[i]);

		if (path && path[0] == '/' && add_program(c, m, &h, parts[i], path))
			return kache_fail_errno(err, "%s", path);
	}
	kache_hasher_end(&h, &m->compiler.id);
	return KACHE_OK;
}

int kache_cc_compiler(struct kache_call *c, struct kache_error *err)
{
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_compiler *k = &c->compiler;
	struct kache_memo m = { 0 };
	struct kache_hasher h;
	int rc = KACHE_OK;

	kache_hasher_init(&h);
	kache_hasher_str(&h, "c-compiler", k->program);
	path = kache_memo_path(c->store, &h);
	if (!kache_memo_read(path, &m)) {
		m.compiler.program = kache_strdup(k->program);
		rc = examine(c, &m, err);
		if (!rc)
			kache_memo_write(c->store, path, &m);
	}
	if (!rc) {
		k->memo = kache_strdup(path);
		k->family = kache_strdup(m.compiler.family);
		k->host = kache_strdup(m.compiler.host);
		k->version = kache_strdup(m.compiler.version);
		k->id = m.compiler.id;
		k->files = m.watched;
		m.watched = (struct kache_strs){ NULL, 0, 0 };
	}
	kache_memo_release(&m);
	return rc;
}
