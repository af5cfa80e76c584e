#include "config.h"
#include "wrapper/result.h"

#include "base/file.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_young(const char *path)
{
	struct kache_stat st;

	return !kache_stat(path, true, &st) && st.mtime > KACHE_BLOB_TIME_NS;
}

/* Cargo takes a unit for stale whose newest output is older than any output of what it was made from, and
 * than its build script's run. Where all of that has the time of a blob, so may the unit's own outputs. */
static bool inputs_are_old(const struct kache_call *c)
{
	const char *out_dir = getenv("OUT_DIR");

	if (out_dir) {
		KACHE_AUTO_FREE char *dir = kache_path_dir(out_dir);
		KACHE_AUTO_FREE char *output = kache_path_join(dir, "output");

		if (is_young(output))
			return false;
	}
	for (size_t i = 0; i < c->args.n_externs; i++) {
		/* One of a library's two files is named, .rlib where something is linked. */
		static const char *const ends[] = { ".rmeta", ".rlib" };
		const char *path = c->args.externs[i].path;

		if (is_young(path))
			return false;
		for (size_t k = 0; k < 2; k++) {
			KACHE_AUTO_FREE char *stem = NULL, *other = NULL;

			if (!kache_ends(path, ends[k]))
				continue;
			stem = kache_strndup(path, strlen(path) - strlen(ends[k]));
			other = kache_concat(stem, ends[1 - k], NULL);
			if (is_young(other))
				return false;
		}
	}
	return true;
}

bool kache_result_may_link(const struct kache_call *c, uint32_t role, int *old)
{
	const struct kache_rust_args *a = &c->args;
	const bool rlib = a->emit & KACHE_EMIT_LINK && a->crate_types & (KACHE_CRATE_LIB | KACHE_CRATE_RLIB);

	/* The user's own products are for them to change. */
	if (role == KACHE_ROLE_EXE ? strcmp(c->kind, "build-script") != 0 : getenv("CARGO_PRIMARY_PACKAGE") != NULL)
		return false;
	/* A fresh .rmeta beside it is enough for cargo. */
	if (role == KACHE_ROLE_RLIB)
		return a->emit & KACHE_EMIT_METADATA;
	/* Without an .rlib it is a check, where cargo touches the .rmeta. */
	if (role != KACHE_ROLE_EXE && role != KACHE_ROLE_PROC_MACRO && !(role == KACHE_ROLE_METADATA && rlib))
		return false;
	if (*old < 0)
		*old = inputs_are_old(c);
	return *old;
}

static int place(struct kache_call *c, const struct kache_entry *e)
{
	struct kache_restore *r = kache_calloc(e->n_outputs, sizeof *r);
	KACHE_AUTO_STRS struct kache_strs paths = { NULL, 0, 0 }, texts = { NULL, 0, 0 };
	static const char *const policies[] = { "auto", "reflink", "hardlink", "copy" };
	enum kache_link_policy policy = KACHE_LINK_AUTO;
	int rc = KACHE_OK, old = -1;

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
			r[i].link = kache_result_may_link(c, o->role, &old);
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
