/* What rustc leaves behind, where that belongs, and which of it may share its inode with the store
 * (docs/internals/keying.md, "Restore"). */
#include "config.h"
#include "wrapper/rustc.h"

#include "base/path.h"
#include "store/map.h"
#include "wrapper/run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

uint32_t kache_rust_role(const struct kache_call *c, const char *name)
{
	const unsigned types = c->args.crate_types;

	if (kache_ends(name, ".d"))
		return KACHE_ROLE_DEPINFO;
	if (kache_ends(name, ".rmeta"))
		return KACHE_ROLE_METADATA;
	if (kache_ends(name, ".rlib"))
		return KACHE_ROLE_RLIB;
	if (kache_ends(name, ".a"))
		return KACHE_ROLE_STATICLIB;
	if (kache_ends(name, ".so"))
		return types & KACHE_CRATE_PROC_MACRO ? KACHE_ROLE_PROC_MACRO : KACHE_ROLE_DYLIB;
	if ((types & KACHE_CRATE_BIN || c->args.test) && !strchr(name, '.'))
		return KACHE_ROLE_EXE;
	return KACHE_ROLE_OTHER;
}

/* {"artifact":"/out/libx.rmeta",…} lines name every output (rustc --json=artifacts). */
static void names_from_notices(const struct kache_run *run, struct kache_strs *names)
{
	static const char key[] = "\"artifact\":\"";
	const struct kache_buf *err = &run->err;

	for (size_t at = 0; at < err->len;) {
		const char *line = err->data + at, *nl = memchr(line, '\n', err->len - at), *from, *to;
		size_t len = nl ? (size_t)(nl - line) : err->len - at;

		at += len + 1;
		from = line[0] == '{' ? memmem(line, len < 64 ? len : 64, key, sizeof key - 1) : NULL;
		if (!from)
			continue;
		from += sizeof key - 1;
		to = memchr(from, '"', (size_t)(line + len - from));
		for (const char *slash = from; to && (slash = memchr(slash, '/', (size_t)(to - slash))); slash++)
			from = slash + 1;
		if (to)
			kache_strs_addn(names, from, (size_t)(to - from));
	}
}

/* Without notices: rustc's naming rules (rustc_session::output). */
static void names_from_rules(const struct kache_call *c, struct kache_strs *names)
{
	static const struct { unsigned emit; const char *pre, *post; } rules[] = {
		{ KACHE_EMIT_DEPINFO, "", ".d" }, { KACHE_EMIT_METADATA, "lib", ".rmeta" }, { KACHE_EMIT_ASM, "", ".s" },
		{ KACHE_EMIT_LLVM_IR, "", ".ll" }, { KACHE_EMIT_LLVM_BC, "", ".bc" }, { KACHE_EMIT_OBJ, "", ".o" },
		{ KACHE_EMIT_MIR, "", ".mir" },
	};
	static const struct { unsigned type; const char *pre, *post; } linked[] = {
		{ KACHE_CRATE_LIB | KACHE_CRATE_RLIB, "lib", ".rlib" }, { KACHE_CRATE_STATICLIB, "lib", ".a" },
		{ KACHE_CRATE_DYLIB | KACHE_CRATE_CDYLIB | KACHE_CRATE_PROC_MACRO, "lib", ".so" },
		{ KACHE_CRATE_BIN, "", "" },
	};
	const struct kache_rust_args *a = &c->args;
	const char *extra = a->extra_filename ? a->extra_filename : "";

	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if (a->emit & rules[i].emit)
			kache_strs_take(names, kache_asprintf("%s%s%s%s", rules[i].pre, a->crate, extra, rules[i].post));
	for (size_t i = 0; i < sizeof linked / sizeof *linked && a->emit & KACHE_EMIT_LINK; i++)
		if (a->crate_types & linked[i].type || (a->test && linked[i].type == KACHE_CRATE_BIN))
			kache_strs_take(names, kache_asprintf("%s%s%s%s", linked[i].pre, a->crate, extra, linked[i].post));
}

void kache_rust_outputs(const struct kache_call *c, const struct kache_run *run, struct kache_strs *names)
{
	if (c->query || c->args.to_stdout || WEXITSTATUS(run->status))
		return;
	if (c->args.json_artifacts)
		names_from_notices(run, names);
	else
		names_from_rules(c, names);
}

char *kache_rust_depinfo(const struct kache_call *c)
{
	const struct kache_rust_args *a = &c->args;

	return kache_concat(a->out_dir, "/", a->crate, a->extra_filename ? a->extra_filename : "", ".d", NULL);
}

char *kache_rust_place(const struct kache_call *c, const char *name)
{
	KACHE_AUTO_FREE char *asked = c->asked ? kache_rust_asked_name(c, name) : NULL;

	return kache_path_join(c->args.out_dir, asked ? asked : name);
}

/* Libraries that were asked for, and shared ones always, get a second name in the profile's directory (cargo::core::compiler,
 * CompilationFiles::uplift_to). What it checks cargo gives the time when it began to, which it has noted in a file (cargo::core::
 * compiler::rustc, Fingerprint::invoked_timestamp). */
int64_t kache_rust_later(const struct kache_call *c, uint32_t role)
{
	const char *package, *extra = c->args.extra_filename;
	const bool library = role == KACHE_ROLE_RLIB || role == KACHE_ROLE_PROC_MACRO;
	KACHE_AUTO_FREE char *began = NULL;
	struct kache_stat st;

	if (role == KACHE_ROLE_DYLIB || (library && getenv("CARGO_PRIMARY_PACKAGE")))
		return KACHE_TIME_KEPT;
	if (role != KACHE_ROLE_METADATA || c->args.emit & KACHE_EMIT_LINK || !extra || !c->profile_dir)
		return 0;
	package = getenv("CARGO_PKG_NAME");
	if (!package)
		return 0;
	began = kache_concat(c->profile_dir, "/.fingerprint/", package, extra, "/invoked.timestamp", NULL);
	return kache_stat(began, false, &st) ? 0 : st.mtime;
}

enum kache_linking kache_rust_linking(const struct kache_call *c, uint32_t role, int *old)
{
	const struct kache_rust_args *a = &c->args;
	const bool rlib = a->emit & KACHE_EMIT_LINK && a->crate_types & (KACHE_CRATE_LIB | KACHE_CRATE_RLIB);

	/* The user's own products are for them to change. */
	if (role == KACHE_ROLE_EXE ? strcmp(c->kind, "build-script") != 0 : getenv("CARGO_PRIMARY_PACKAGE") != NULL)
		return KACHE_LINKING_NOT;
	/* A fresh .rmeta beside it is enough for cargo. */
	if (role == KACHE_ROLE_RLIB && a->emit & KACHE_EMIT_METADATA)
		return KACHE_LINKING_OLD;
	if (role != KACHE_ROLE_EXE && role != KACHE_ROLE_PROC_MACRO && role != KACHE_ROLE_METADATA)
		return KACHE_LINKING_NOT;
	/* Without an .rlib it is a check, where cargo gives the .rmeta the time when the call began. */
	if (role == KACHE_ROLE_METADATA && !rlib)
		return KACHE_LINKING_YOUNG;
	if (*old < 0)
		*old = kache_rust_may_be_old(c);
	return *old ? KACHE_LINKING_OLD : KACHE_LINKING_YOUNG;
}
