#include "config.h"
#include "wrapper/result.h"

#include "base/clock.h"
#include "base/path.h"
#include "store/map.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct publisher {
	struct kache_call *c;
	const struct kache_run *run;
	struct kache_entry *e;
	const char *raw[4];	/* values that must not be in any output */
	size_t n_raw;
	const char *reason;
	char *detail;
};

static int refuse(struct publisher *p, const char *reason, const char *detail)
{
	p->reason = reason;
	p->detail = detail ? kache_strdup(detail) : NULL;
	return KACHE_E_INVALID;
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

static int add_output(struct publisher *p, const char *name)
{
	KACHE_AUTO_FREE char *path = p->c->lang->place(p->c, name);
	struct kache_output *o;
	struct kache_stat st;

	if (!path || kache_stat(path, false, &st) || !S_ISREG(st.mode))
		return refuse(p, "output-missing", path ? path : name);
	o = kache_entry_add_output(p->e);
	o->name = kache_strdup(name);
	o->role = p->c->lang->role(p->c, name);
	o->mode = st.mode & 0777;
	if (o->role == KACHE_ROLE_DEPINFO)
		return add_depinfo(p, path, o);
	return check_raw(p, path);
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

static bool of_name(char c)
{
	return c && (isalnum((unsigned char)c) || strchr("_-/", c));
}

/* The job server's troubles are of one moment (rustc_data_structures::jobserver, make, gcc's lto-wrapper). A crate of that name
 * speaks of nothing but its own files. */
static bool mentions_job_server(const struct kache_buf *text)
{
	static const char word[] = "jobserver";
	const char *at = text->data, *end = text->data + text->len;

	for (; (at = memmem(at, (size_t)(end - at), word, sizeof word - 1)); at += sizeof word - 1)
		if ((at == text->data || !of_name(at[-1])) && (at + sizeof word - 1 == end || !of_name(at[sizeof word - 1])))
			return true;
	return false;
}

static int add_streams(struct publisher *p)
{
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT, err = KACHE_BUF_INIT;
	const struct kache_run *r = p->run;

	if (p->c->lang->job_server && r->err.len && mentions_job_server(&r->err))
		return refuse(p, "jobserver-message", NULL);
	if (p->c->args.to_stdout)	/* an output, and no text */
		kache_buf_add(&out, r->out.data ? r->out.data : "", r->out.len);
	else if (!kache_text_pack(&p->c->tokens, KACHE_TEXT_STREAM, p->c->args.out_dir, r->out.data ? r->out.data : "",
				  r->out.len, &out))
		return refuse(p, "output-control-bytes", NULL);
	if (!kache_text_pack(&p->c->tokens, KACHE_TEXT_STREAM, p->c->args.out_dir, r->err.data ? r->err.data : "", r->err.len,
			     &err))
		return refuse(p, "output-control-bytes", NULL);
	p->e->out_len = out.len;
	p->e->out = kache_buf_steal(&out);
	p->e->err_len = err.len;
	p->e->err = kache_buf_steal(&err);
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
	struct kache_entry *e = p->e;

	e->key = m->sets[0].result;
	e->invocation = m->invocation;
	e->crate = kache_strdup(c->unit ? c->unit : "");
	e->package = kache_strdup(c->package);
	e->kind = kache_strdup(c->kind);
	e->target = kache_strdup(c->target ? c->target : c->compiler.host);
	e->profile = kache_strdup(c->profile);
	e->features = joined(&c->args.features);
	e->compiler = kache_strdup(c->compiler.version);
	e->created_ms = (uint64_t)(kache_now_real() / 1000000);
	e->compile_ms = p->run->compile_us / 1000;
	e->exit_code = WEXITSTATUS(p->run->status);
	e->width = c->width;
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

int kache_result_entry(struct kache_call *c, const struct kache_run *run, const struct kache_manifest *m, struct kache_entry *e,
		       const char **reason, char **detail)
{
	struct publisher p = { .c = c, .run = run, .e = e };
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	int rc = KACHE_OK;

	*e = (struct kache_entry){ 0 };
	/* A toolchain may be updated while it compiles, and the key has the one of before. */
	if (!(c->lang->same ? c->lang->same(c) : kache_call_compiler_same(c)))
		rc = refuse(&p, "compiler-changed", c->compiler.program);
	describe(&p, m);
	if (!c->lang->local && !c->edited)
		collect_raw(&p, m);
	c->lang->outputs(c, run, &names);
	if (!rc)
		rc = check_extra(&p, &names);
	for (size_t i = 0; i < names.n && !rc; i++)
		rc = add_output(&p, names.v[i]);
	if (!rc)
		rc = add_streams(&p);
	if (rc)
		kache_entry_release(e);
	*reason = p.reason;
	*detail = p.detail;
	return rc;
}

static int put_blob(struct kache_call *c, struct kache_output *o, int *old, struct kache_error *err)
{
	KACHE_AUTO_FREE char *path = c->lang->place(c, o->name);
	enum kache_linking linking = KACHE_LINKING_NOT;
	struct kache_stat st;
	int rc;

	if (kache_links(kache_call_link_policy(c)) && c->lang->linking)
		linking = c->lang->linking(c, o->role, old);
	rc = kache_blob_put_file(c->store, path, linking, &o->blob, &o->size, err);
	if (rc)
		return rc;
	/* What we have just hashed nobody needs to hash again. */
	if (!kache_stat(path, false, &st))
		kache_map_put_output(c->store, &st, c->lang->later ? c->lang->later(c, o->role) : 0, &o->blob);
	c->event.bytes += o->size;
	return KACHE_OK;
}

/* Blobs, then the entry, then what leads to it. */
static int put(struct kache_call *c, struct kache_entry *e, struct kache_manifest *m, struct kache_error *err)
{
	int rc = KACHE_OK, old = -1;

	for (size_t i = 0; i < e->n_outputs && !rc; i++)
		if (e->outputs[i].role != KACHE_ROLE_DEPINFO)
			rc = put_blob(c, &e->outputs[i], &old, err);
	if (!rc)
		rc = kache_entry_put(c->store, e, err);
	return rc ? rc : kache_manifest_update(c->store, m, err);
}

int kache_result_publish(struct kache_call *c, const struct kache_run *run, struct kache_manifest *m,
			 const char **reason, char **detail, struct kache_error *err)
{
	struct kache_entry e;
	int rc = kache_result_entry(c, run, m, &e, reason, detail);

	if (rc)
		return rc;
	rc = put(c, &e, m, err);
	kache_entry_release(&e);
	if (rc) {
		*reason = "store-failed";
		*detail = kache_strdup(err->text);
	}
	return rc;
}
