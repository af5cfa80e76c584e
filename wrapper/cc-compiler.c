/* Who a C compiler is: the driver, the programs that it runs for a compile, and the libraries of all of them. What else it
 * reads (specs, its own headers, another cc1 where -B says so) is among the inputs of each compile. */
#include "config.h"
#include "wrapper/cc.h"

#include "base/file.h"
#include "base/path.h"
#include "wrapper/memo.h"

#include <stdlib.h>
#include <string.h>

/* Adds a file to the identity, once. */
static int add_file(struct kache_call *c, struct kache_memo *m, struct kache_hasher *h, const char *label, const char *path)
{
	if (kache_strs_has(&m->watched, path))
		return KACHE_OK;
	kache_strs_add(&m->watched, path);
	return kache_memo_content(c->store, h, label, path);
}

int kache_cc_add_program(struct kache_call *c, struct kache_memo *m, struct kache_hasher *h, const char *label, const char *path)
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

/* "#define NAME 12" */
static long macro(const struct kache_buf *macros, const char *name)
{
	KACHE_AUTO_FREE char *define = kache_concat("#define ", name, " ", NULL);
	const char *at = strstr(macros->data, define);

	return at ? strtol(at + strlen(define), NULL, 10) : 0;
}

int kache_cc_add_driver(struct kache_call *c, struct kache_memo *m, struct kache_hasher *h, const char *driver,
			struct kache_error *err)
{
	static const char *const parts[] = { "cc1", "cc1plus", "cc1obj", "cc1objplus", "as" };
	const char *const ask_macros[] = { driver, "-dM", "-E", "-x", "c", "/dev/null", NULL };
	const char *const ask_version[] = { driver, "--version", NULL };
	const char *const ask_machine[] = { driver, "-dumpmachine", NULL };
	KACHE_AUTO_BUF struct kache_buf macros = KACHE_BUF_INIT, version = KACHE_BUF_INIT, machine = KACHE_BUF_INIT;

	if (kache_memo_ask(ask_macros, &macros) || kache_memo_ask(ask_version, &version) || kache_memo_ask(ask_machine, &machine))
		return kache_fail(err, KACHE_E_INVALID, "%s does not answer as a C compiler", driver);
	if (strstr(macros.data, "#define __clang__ "))
		m->compiler.family = kache_strdup("clang");
	else if (strstr(macros.data, "#define __GNUC__ ") && !strstr(macros.data, "#define __INTEL_COMPILER "))
		m->compiler.family = kache_strdup("gcc");
	else
		return kache_fail(err, KACHE_E_UNSUPPORTED, "%s is neither gcc nor clang", driver);
	/* gcc has had it from 8 on; clang 14 is the oldest that was seen to give __builtin_FILE other names, too. */
	m->compiler.maps = strcmp(m->compiler.family, "clang") ? macro(&macros, "__GNUC__") >= 8
							       : macro(&macros, "__clang_major__") >= 14;
	m->compiler.version = first_line(&version);
	m->compiler.host = first_line(&machine);
	kache_hasher_field(h, "macros", macros.data, macros.len);
	kache_hasher_field(h, "version", version.data, version.len);
	kache_hasher_field(h, "machine", machine.data, machine.len);
	if (kache_cc_add_program(c, m, h, "driver", driver))
		return kache_fail_errno(err, "compiler files of %s", driver);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		KACHE_AUTO_FREE char *path = part(driver, parts[i]);

		if (path && path[0] == '/' && kache_cc_add_program(c, m, h, parts[i], path))
			return kache_fail_errno(err, "%s", path);
	}
	return KACHE_OK;
}

int kache_cc_remember(struct kache_call *c, const char *kind, const char *host, kache_cc_look *look, struct kache_error *err)
{
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_compiler *k = &c->compiler;
	struct kache_memo m = { 0 };
	struct kache_hasher h;
	int rc = KACHE_OK;

	kache_hasher_init(&h);
	kache_hasher_str(&h, kind, k->program);
	if (strcmp(host, k->program))
		kache_hasher_str(&h, "host", host);
	path = kache_memo_path(c->store, &h);
	if (!kache_memo_read(path, &m)) {
		m.compiler.program = kache_strdup(k->program);
		m.compiler.script = kache_memo_is_script(k->program);
		kache_hasher_init(&h);
		rc = look(c, &m, &h, host, err);
		kache_hasher_end(&h, &m.compiler.id);
		if (!rc)
			kache_memo_write(c->store, path, &m);
	}
	if (!rc) {
		k->memo = kache_strdup(path);
		k->family = kache_strdup(m.compiler.family);
		k->host = kache_strdup(m.compiler.host);
		k->version = kache_strdup(m.compiler.version);
		k->id = m.compiler.id;
		k->script = m.compiler.script;
		k->maps = m.compiler.maps;
		k->files = m.watched;
		m.watched = (struct kache_strs){ NULL, 0, 0 };
	}
	kache_memo_release(&m);
	return rc;
}

int kache_cc_compiler(struct kache_call *c, struct kache_error *err)
{
	return kache_cc_remember(c, "c-compiler", c->compiler.program, kache_cc_add_driver, err);
}
