#include "config.h"
#include "wrapper/result.h"

#include "base/file.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Cargo takes a unit for stale whose newest output is older than any output of what it was made from, and
 * than its build script's run. Dependencies always have a fresh .rmeta beside the .rlib, so what was linked
 * against any is newer than a blob; the rest can be linked in place as it is. */
static bool inputs_are_old(const struct kache_call *c)
{
	const char *out_dir = getenv("OUT_DIR");
	struct kache_stat st;

	if (out_dir) {
		KACHE_AUTO_FREE char *dir = kache_path_dir(out_dir);
		KACHE_AUTO_FREE char *output = kache_path_join(dir, "output");

		if (!kache_stat(output, true, &st) && st.mtime > KACHE_BLOB_TIME_NS)
			return false;
	}
	return !c->args.n_externs;
}

static bool has_role(const struct kache_entry *e, uint32_t role)
{
	for (size_t i = 0; i < e->n_outputs; i++)
		if (e->outputs[i].role == role)
			return true;
	return false;
}

/* keying.md, "Restore". */
static bool may_link(const struct kache_call *c, const struct kache_entry *e, const struct kache_output *o)
{
	switch (o->role) {
	case KACHE_ROLE_RLIB:	/* the user's own products are for them to change */
		return !getenv("CARGO_PRIMARY_PACKAGE") && has_role(e, KACHE_ROLE_METADATA);
	case KACHE_ROLE_PROC_MACRO:
		return !getenv("CARGO_PRIMARY_PACKAGE") && inputs_are_old(c);
	case KACHE_ROLE_EXE:
		return !strcmp(e->kind, "build-script") && inputs_are_old(c);
	default:
		return false;
	}
}

static int place(struct kache_call *c, const struct kache_entry *e)
{
	struct kache_restore *r = kache_calloc(e->n_outputs, sizeof *r);
	KACHE_AUTO_STRS struct kache_strs paths = { NULL, 0, 0 }, texts = { NULL, 0, 0 };
	static const char *const policies[] = { "auto", "reflink", "hardlink", "copy" };
	enum kache_link_policy policy = KACHE_LINK_AUTO;
	int rc = KACHE_OK;

	for (size_t i = 0; i < 4; i++)
		if (!strcmp(policies[i], kache_conf_str(c->conf, KACHE_CONF_LINK)))
			policy = (enum kache_link_policy)i;
	for (size_t i = 0; i < e->n_outputs && !rc; i++) {
		const struct kache_output *o = &e->outputs[i];

		kache_strs_take(&paths, kache_path_join(c->args.out_dir, o->name));
		r[i] = (struct kache_restore){ .output = o, .path = paths.v[i] };
		if (o->role == KACHE_ROLE_DEPINFO) {
			struct kache_buf b = KACHE_BUF_INIT;

			if (!kache_text_unpack(&c->tokens, KACHE_TEXT_DEPINFO, c->args.out_dir, o->inline_data, o->size, &b))
				rc = KACHE_E_CORRUPT;
			r[i].len = b.len;
			r[i].data = kache_buf_steal(&b);
			kache_strs_take(&texts, (char *)r[i].data);
		} else {
			r[i].link = may_link(c, e, o);
		}
	}
	if (!rc)
		rc = kache_restore_all(c->store, r, e->n_outputs, policy);
	for (size_t i = 0; i < e->n_outputs && !rc; i++) {
		c->event.bytes += r[i].output->size;
		*(r[i].linked ? &c->event.linked_bytes : &c->event.copied_bytes) += r[i].output->size;
	}
	free(r);
	return rc;
}

int kache_result_replay(struct kache_call *c, const struct kache_entry *e)
{
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT, err = KACHE_BUF_INIT;
	int rc;

	if (c->args.to_stdout)
		kache_buf_add(&out, e->out, e->out_len);
	else if (!kache_text_unpack(&c->tokens, KACHE_TEXT_STREAM, c->args.out_dir, e->out, e->out_len, &out))
		return KACHE_E_CORRUPT;
	if (!kache_text_unpack(&c->tokens, KACHE_TEXT_STREAM, c->args.out_dir, e->err, e->err_len, &err))
		return KACHE_E_CORRUPT;
	rc = e->n_outputs ? place(c, e) : KACHE_OK;
	if (rc)
		return rc;
	/* Cargo starts dependents on these lines: the files are in place before. */
	(void)kache_write_all(STDOUT_FILENO, out.data, out.len);
	(void)kache_write_all(STDERR_FILENO, err.data, err.len);
	return KACHE_OK;
}
