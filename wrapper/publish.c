#include "config.h"
#include "wrapper/result.h"

#include "base/clock.h"
#include "base/path.h"
#include "store/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct publisher {
	struct kache_call *c;
	const struct kache_run *run;
	struct kache_entry e;
	const char *raw[4];	/* values that must not be in any output */
	size_t n_raw;
	int old;		/* kache_result_may_link's */
	const char *reason;
	char *detail;
};

static int refuse(struct publisher *p, const char *reason, const char *detail)
{
	p->reason = reason;
	p->detail = detail ? kache_strdup(detail) : NULL;
	return KACHE_E_INVALID;
}

static uint32_t role_of(const struct kache_call *c, const char *name)
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
static void names_from_notices(const struct publisher *p, struct kache_strs *names)
{
	static const char key[] = "\"artifact\":\"";
	const struct kache_buf *err = &p->run->err;

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
static void names_from_rules(const struct publisher *p, struct kache_strs *names)
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
	const struct kache_rust_args *a = &p->c->args;
	const char *extra = a->extra_filename ? a->extra_filename : "";

	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if (a->emit & rules[i].emit)
			kache_strs_take(names, kache_asprintf("%s%s%s%s", rules[i].pre, a->crate, extra, rules[i].post));
	for (size_t i = 0; i < sizeof linked / sizeof *linked && a->emit & KACHE_EMIT_LINK; i++)
		if (a->crate_types & linked[i].type || (a->test && linked[i].type == KACHE_CRATE_BIN))
			kache_strs_take(names, kache_asprintf("%s%s%s%s", linked[i].pre, a->crate, extra, linked[i].post));
}

static int add_depinfo(struct publisher *p, const char *path, struct kache_output *o)
{
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT, packed = KACHE_BUF_INIT;

	if (kache_file_read(path, 64 << 20, &text))
		return refuse(p, "output-unreadable", path);
	if (!kache_text_pack(&p->c->tokens, KACHE_TEXT_DEPINFO, p->c->args.out_dir, text.data, text.len, &packed))
		return refuse(p, "output-control-bytes", path);
	o->size = packed.len;
	o->inline_data = kache_buf_steal(&packed);
	return KACHE_OK;
}

/* A path that was replaced by a token in the key must not have reached the output. */
static int check_raw(struct publisher *p, const char *path)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	if (!p->n_raw)
		return KACHE_OK;
	if (kache_file_read(path, (size_t)4 << 30, &b))
		return refuse(p, "output-unreadable", path);
	for (size_t i = 0; i < p->n_raw; i++)
		if (memmem(b.data, b.len, p->raw[i], strlen(p->raw[i])))
			return refuse(p, "path-in-output", p->raw[i]);
	return KACHE_OK;
}

static bool may_link(struct publisher *p, uint32_t role)
{
	const char *policy = kache_conf_str(p->c->conf, KACHE_CONF_LINK);

	return (!strcmp(policy, "auto") || !strcmp(policy, "hardlink")) && kache_result_may_link(p->c, role, &p->old);
}

static int add_output(struct publisher *p, const char *name, struct kache_error *err)
{
	KACHE_AUTO_FREE char *path = kache_path_join(p->c->args.out_dir, name);
	struct kache_output *o;
	struct kache_stat st;

	if (kache_stat(path, false, &st) || !S_ISREG(st.mode))
		return refuse(p, "output-missing", path);
	o = kache_entry_add_output(&p->e);
	o->name = kache_strdup(name);
	o->role = role_of(p->c, name);
	o->mode = st.mode & 0777;
	if (o->role == KACHE_ROLE_DEPINFO)
		return add_depinfo(p, path, o);
	if (check_raw(p, path))
		return KACHE_E_INVALID;
	if (kache_blob_put_file(p->c->store, path, may_link(p, o->role), &o->blob, &o->size, err))
		return refuse(p, "store-failed", err->text);
	/* What we have just hashed nobody needs to hash again. */
	if (!kache_stat(path, false, &st))
		kache_map_put(p->c->store, &st, &o->blob);
	p->c->event.bytes += o->size;
	return KACHE_OK;
}

/* What else was left in the output directory: a macro may write there, and nobody could tell on a hit. */
static int check_extra(struct publisher *p, const struct kache_strs *names)
{
	const struct kache_strs *writes = &p->run->seen.writes;
	KACHE_AUTO_FREE char *out = p->c->args.out_dir ? kache_path_absolute(p->c->cwd, p->c->args.out_dir) : NULL;

	for (size_t i = 0; out && i < writes->n; i++) {
		const char *rest;
		struct kache_stat st;

		/* A feature probe that fails has written its dep-info already, which nobody reads. */
		if (WEXITSTATUS(p->run->status) && kache_ends(writes->v[i], ".d"))
			continue;
		if (kache_path_below(writes->v[i], out, &rest) && !kache_strs_has(names, rest) &&
		    !kache_stat(writes->v[i], false, &st) && S_ISREG(st.mode))
			return refuse(p, "side-output", writes->v[i]);
	}
	return KACHE_OK;
}

static int add_streams(struct publisher *p)
{
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT, err = KACHE_BUF_INIT;
	const struct kache_run *r = p->run;

	/* The job server's troubles are of one moment (rustc_data_structures::jobserver). */
	if (r->err.len && memmem(r->err.data, r->err.len, "jobserver", 9))
		return refuse(p, "jobserver-message", NULL);
	if (p->c->args.to_stdout)	/* an output, and no text */
		kache_buf_add(&out, r->out.data ? r->out.data : "", r->out.len);
	else if (!kache_text_pack(&p->c->tokens, KACHE_TEXT_STREAM, p->c->args.out_dir, r->out.data ? r->out.data : "",
				  r->out.len, &out))
		return refuse(p, "output-control-bytes", NULL);
	if (!kache_text_pack(&p->c->tokens, KACHE_TEXT_STREAM, p->c->args.out_dir, r->err.data ? r->err.data : "", r->err.len,
			     &err))
		return refuse(p, "output-control-bytes", NULL);
	p->e.out_len = out.len;
	p->e.out = kache_buf_steal(&out);
	p->e.err_len = err.len;
	p->e.err = kache_buf_steal(&err);
	return KACHE_OK;
}

static char *joined(const struct kache_strs *s)
{
	struct kache_buf b = KACHE_BUF_INIT;

	for (size_t i = 0; i < s->n; i++)
		kache_buf_fmt(&b, "%s%s", i ? "," : "", s->v[i]);
	return kache_buf_steal(&b);
}

static void describe(struct publisher *p, const struct kache_manifest *m)
{
	struct kache_call *c = p->c;
	struct kache_entry *e = &p->e;

	e->key = m->sets[0].result;
	e->invocation = m->invocation;
	e->crate = kache_strdup(c->args.crate ? c->args.crate : "");
	e->package = kache_strdup(c->package);
	e->kind = kache_strdup(c->kind);
	e->target = kache_strdup(c->args.target ? c->args.target : c->compiler.host);
	e->profile = kache_strdup(c->profile);
	e->features = joined(&c->args.features);
	e->compiler = kache_strdup(c->compiler.version);
	e->created_ms = (uint64_t)(kache_now_real() / 1000000);
	e->compile_ms = p->run->compile_us / 1000;
	e->exit_code = WEXITSTATUS(p->run->status);
	e->width = c->args.width;
}

/* Values of the variables that the key holds with tokens only. */
static void collect_raw(struct publisher *p, const struct kache_manifest *m)
{
	for (size_t i = 0; i < m->sets[0].n && p->n_raw < 4; i++) {
		const struct kache_input *in = &m->sets[0].inputs[i];
		const char *value = in->kind == KACHE_INPUT_ENV_TOKEN ? getenv(m->names[in->name]) : NULL;

		if (value)
			p->raw[p->n_raw++] = value;
	}
}

int kache_result_publish(struct kache_call *c, const struct kache_run *run, struct kache_manifest *m,
			 const char **reason, char **detail, struct kache_error *err)
{
	struct publisher p = { .c = c, .run = run, .old = -1 };
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	int rc = KACHE_OK;

	/* A toolchain may be updated while it compiles, and the key has the one of before. */
	if (!kache_call_compiler_same(c))
		rc = refuse(&p, "compiler-changed", c->compiler.program);
	describe(&p, m);
	collect_raw(&p, m);
	if (c->args.class == KACHE_RUST_COMPILE && !c->args.to_stdout && !WEXITSTATUS(run->status)) {
		if (c->args.json_artifacts)
			names_from_notices(&p, &names);
		else
			names_from_rules(&p, &names);
	}
	if (!rc)
		rc = check_extra(&p, &names);
	for (size_t i = 0; i < names.n && !rc; i++)
		rc = add_output(&p, names.v[i], err);
	if (!rc)
		rc = add_streams(&p);
	/* Blobs are in; then the entry, then what leads to it. */
	if (!rc && (kache_entry_put(c->store, &p.e, err) || kache_manifest_update(c->store, m, err)))
		rc = refuse(&p, "store-failed", err->text);
	kache_entry_release(&p.e);
	*reason = p.reason;
	*detail = p.detail;
	return rc;
}
