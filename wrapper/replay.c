#include "config.h"
#include "wrapper/result.h"

#include "base/file.h"
#include "base/path.h"
#include "wrapper/report.h"
#include "wrapper/script.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the caller waits for: the first outputs, and the words that tell of them. len 0: nothing. */
struct early {
	const char *text;
	size_t len, outputs;
};

static int restore(struct kache_call *c, struct kache_restore *r, size_t n, const struct early *early)
{
	enum kache_link_policy policy = kache_call_link_policy(c);
	int rc = kache_restore_check(c->store, r, n, policy);
	bool there = false;

	for (size_t i = 0; i < n; i++)
		there |= r[i].there;
	/* Should the others fail the compiler has to run as it did for the store. */
	if (!rc && early->len && n <= KACHE_RESTORE_HELD && !there && !c->store->readonly) {
		for (size_t i = 0; i < early->outputs && !rc; i++)
			rc = kache_restore_first(c->store, &r[i], policy);
		c->announced = !rc && !kache_write_all(STDERR_FILENO, early->text, early->len);
	}
	rc = rc ? rc : kache_restore_prepare(c->store, r, n, policy);
	if (!rc && there && c->lang->replacing)
		(void)c->lang->replacing(c, false);
	return kache_restore_finish(c->store, r, n, policy, rc);
}

static int place(struct kache_call *c, const struct kache_entry *e, const struct early *early)
{
	struct kache_restore *r = kache_calloc(2 * e->n_outputs, sizeof *r);
	KACHE_AUTO_STRS struct kache_strs paths = { NULL, 0, 0 }, texts = { NULL, 0, 0 };
	struct kache_output starter;
	size_t n = e->n_outputs;
	int rc = KACHE_OK, old = -1;

	for (size_t i = 0; i < e->n_outputs && !rc; i++) {
		const struct kache_output *o = &e->outputs[i];
		char *path = c->lang->place(c, o->name);

		if (!path) {
			rc = KACHE_E_UNSUPPORTED;
			break;
		}
		kache_strs_take(&paths, path);
		r[i] = (struct kache_restore){ .output = o, .path = paths.v[i], .clear = c->lang->clears };
		if (o->role == KACHE_ROLE_DEPINFO) {
			struct kache_buf b = KACHE_BUF_INIT;

			if (!kache_text_unpack(&c->tokens, KACHE_TEXT_DEPINFO, c->args.out_dir, o->inline_data, o->size, &b))
				rc = KACHE_E_CORRUPT;
			r[i].len = b.len;
			r[i].data = kache_buf_steal(&b);
			kache_strs_take(&texts, (char *)r[i].data);
		} else {
			char *beside = c->lang->beside ? c->lang->beside(c, o->name) : NULL;

			r[i].linking = c->lang->linking ? c->lang->linking(c, o->role, &old) : KACHE_LINKING_NOT;
			r[i].later = c->lang->later ? c->lang->later(c, o->role) : 0;
			if (beside)
				kache_strs_take(&paths, beside);
			if (!beside || n > e->n_outputs || kache_script_starter(c, &starter))
				continue;
			/* In its place the starter, which cargo looks at, so that it has to be as new as the output would be. */
			r[n] = r[i];
			r[n++].output = &starter;
			r[i].path = beside;
			r[i].linking = KACHE_LINKING_OLD;
		}
	}
	if (!rc)
		rc = restore(c, r, n, early);
	for (size_t i = 0; i < n && !rc; i++) {
		kache_report_output(r[i].path);
		c->event.bytes += r[i].output->size;
		*(r[i].linked ? &c->event.linked_bytes : &c->event.copied_bytes) += r[i].output->size;
	}
	free(r);
	return rc;
}

int kache_result_replay(struct kache_call *c, const struct kache_entry *e)
{
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT, err = KACHE_BUF_INIT;
	struct early early = { NULL, 0, 0 };
	size_t told;
	int rc;

	if (c->args.to_stdout)
		kache_buf_add(&out, e->out, e->out_len);
	else if (!kache_text_unpack(&c->tokens, KACHE_TEXT_STREAM, c->args.out_dir, e->out, e->out_len, &out))
		return KACHE_E_CORRUPT;
	if (!kache_text_unpack(&c->tokens, KACHE_TEXT_STREAM, c->args.out_dir, e->err, e->err_len, &err))
		return KACHE_E_CORRUPT;
	if (c->lang->notice) {
		early.len = c->lang->notice(c, e, &err, &early.outputs);
		early.text = err.data;
	}
	rc = e->n_outputs ? place(c, e, &early) : KACHE_OK;
	if (rc)
		return rc;
	/* Cargo starts dependents on these lines: the files are in place before. */
	told = c->announced ? early.len : 0;
	(void)kache_write_all(STDOUT_FILENO, out.data, out.len);
	(void)kache_write_all(STDERR_FILENO, err.data + told, err.len - told);
	return KACHE_OK;
}
