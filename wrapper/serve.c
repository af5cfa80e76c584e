/* From a prepared call to the end of this process: look up; restore, or run, publish and pass on. */
#include "config.h"
#include "wrapper/call.h"

#include "base/clock.h"
#include "wrapper/ask.h"
#include "wrapper/inputs.h"
#include "wrapper/record.h"
#include "wrapper/report.h"
#include "wrapper/result.h"
#include "wrapper/run.h"
#include "wrapper/warn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Ends as the compiler did. */
_Noreturn static void end_as(struct kache_run *run)
{
	const int status = run->status;

	kache_run_release(run);
	kache_report_end();
	kache_run_exit(status);
}

/* The first outputs are in place, and whoever waited for them at work, but the others can't be had: the disk is full, as a rule.
 * The same compile makes the same once more. */
_Noreturn static void compile_announced(struct kache_call *c)
{
	struct kache_run run = { 0 };
	struct kache_error err;

	kache_ask_end();
	if (kache_run_compiler(c, &run, &err))
		kache_call_passthrough(c, "run-failed", err.text);
	c->event.compile_us = run.compile_us;
	kache_call_event(c, "passthrough", "restore-failed", NULL);
	end_as(&run);
}

/* Puts an entry's outputs in place and ends the process. Returns only if that can't be done. */
static int use_entry(struct kache_call *c, const struct kache_hash *key, const char *from, char **why)
{
	struct kache_entry e;
	int rc = kache_entry_get(c->store, key, &e);

	if (rc) {
		*why = kache_strdup("entry missing");
		return rc;
	}
	if (!c->lang->serves(c, &e)) {
		*why = kache_strdup("diagnostic width");
		kache_entry_release(&e);
		return KACHE_E_UNSUPPORTED;
	}
	c->event.key = key;
	c->event.compile_us = e.compile_ms * 1000;
	c->event.exit_code = e.exit_code;
	rc = kache_result_replay(c, &e);
	if (!rc) {
		kache_record_call(c, key);
		kache_call_event(c, !strcmp(c->kind, "probe") ? "probe-hit" : "hit", from, NULL);
		kache_report_end();
		kache_run_exit((e.exit_code & 0xff) << 8);
	}
	*why = kache_strdup("blob missing or damaged");
	c->event = (struct kache_event){ .invocation = &c->invocation };
	kache_entry_release(&e);
	if (c->announced && !kache_prefilling)
		compile_announced(c);
	return rc;
}

/* What a local look-up found out. */
struct found {
	bool matched;			/* an input set holds; key is its result, which is not to be had here */
	struct kache_hash key;
	char *why;			/* what differed, for people; fresh memory or NULL */
};

/* Looks up and restores; returns only after a miss. */
static int look_up(struct kache_call *c, struct found *f)
{
	struct kache_manifest m;
	size_t index;
	int rc = kache_manifest_get(c->store, &c->invocation, &m);

	if (rc)
		return rc;
	rc = kache_inputs_match(c, &m, &index, &f->why);
	if (!rc) {
		f->key = m.sets[index].result;
		kache_inputs_note(c, &m, &m.sets[index]);
		kache_report_inputs(c, &m, &m.sets[index]);
	}
	kache_manifest_release(&m);
	if (rc)
		return rc;
	if (kache_prefilling && !kache_hash_eq(&f->key, kache_prefilling))
		return KACHE_E_NOENT;
	rc = use_entry(c, &f->key, NULL, &f->why);
	f->matched = rc != KACHE_E_UNSUPPORTED;
	return rc;
}

/* The store now has the entry of set `index` of the remotes' manifest: the next look-up is to find it here. */
static void remember(struct kache_call *c, const struct kache_manifest *from, size_t index)
{
	const struct kache_input_set *s = &from->sets[index];
	struct kache_input_set set = { .result = s->result, .created_ms = s->created_ms, .n = s->n };
	struct kache_manifest m = {
		.invocation = c->invocation, .crate = kache_strdup(from->crate), .package = kache_strdup(from->package),
		.describe = kache_strdup(from->describe),
	};

	set.inputs = kache_calloc(s->n + 1, sizeof *set.inputs);
	for (size_t i = 0; i < s->n; i++) {
		set.inputs[i] = s->inputs[i];
		set.inputs[i].name = kache_manifest_name(&m, from->names[s->inputs[i].name]);
	}
	kache_manifest_add(&m, &set);
	(void)kache_manifest_update(c->store, &m, NULL);
	kache_manifest_release(&m);
}

/* The same by way of the remotes. */
static void look_up_remote(struct kache_call *c, struct found *f)
{
	KACHE_AUTO_FREE char *why = NULL;
	struct kache_manifest m;
	struct kache_hash key;
	size_t index;

	if (f->matched && !kache_ask_entry(c, &f->key)) {
		free(f->why);
		f->why = NULL;
		(void)use_entry(c, &f->key, "remote", &f->why);
		return;
	}
	if (kache_ask_manifest(c, &m))
		return;
	if (kache_inputs_match(c, &m, &index, &why)) {
		if (!f->why) {		/* nothing was known here: the remotes' newest set is the nearest */
			f->why = why;
			why = NULL;
		}
		kache_manifest_release(&m);
		return;
	}
	key = m.sets[index].result;
	kache_inputs_note(c, &m, &m.sets[index]);
	kache_report_inputs(c, &m, &m.sets[index]);
	if (!kache_ask_entry(c, &key)) {
		KACHE_AUTO_FREE char *text = NULL;

		remember(c, &m, index);
		(void)use_entry(c, &key, "remote", &text);
	}
	kache_manifest_release(&m);
}

void kache_wait_for_tick(const char *path)
{
	struct kache_stat st;

	if (kache_stat(path, true, &st))
		return;
	for (int i = 0; i < 20 && kache_now_coarse() <= st.ctime; i++)
		usleep(1000);
}

/* A normal end, or the answer "no" to a build script's question. */
static bool worth_storing(const struct kache_call *c, const struct kache_run *run)
{
	if (!WIFEXITED(run->status))
		return false;
	return !WEXITSTATUS(run->status) || (c->probe && WEXITSTATUS(run->status) == 1);
}

static void store_run(struct kache_call *c, const struct kache_run *run, const char *why)
{
	bool probe = !strcmp(c->kind, "probe");
	KACHE_AUTO_FREE char *detail = NULL;
	const char *reason = NULL;
	struct kache_manifest m;
	struct kache_error err;
	struct kache_hash key;

	if (c->query) {
		struct kache_input_set set = { .created_ms = c->started_ms };

		m = (struct kache_manifest){ .invocation = c->invocation, .crate = kache_strdup(""),
					     .package = kache_strdup(c->package), .describe = kache_strdup(c->describe.data) };
		kache_inputs_result(&m, &c->invocation, &set, &set.result);
		kache_manifest_add(&m, &set);
	} else if (kache_inputs_collect(c, run, &m, &reason, &detail)) {
		kache_call_event(c, "uncached", reason, detail);
		return;
	}
	key = m.sets[0].result;
	kache_inputs_note(c, &m, &m.sets[0]);
	c->event.key = &key;
	if (!kache_result_publish(c, run, &m, &reason, &detail, &err)) {
		kache_record_call(c, &key);
		kache_call_event(c, probe ? "probe-miss" : "miss", why ? "changed" : "new", why);
		if (c->lang->stored)
			c->lang->stored(c);
		if (!c->lang->local)
			kache_ask_upload(c, &key);
	} else {
		kache_call_event(c, "uncached", reason, detail);
	}
	if (reason && !strcmp(reason, "store-failed"))
		kache_warn_once("store", err.text);
	kache_manifest_release(&m);
}

_Noreturn static void compile(struct kache_call *c, const char *why)
{
	struct kache_run run = { 0 };
	struct kache_error err;
	int status;

	c->lang->settle(c);
	if (kache_run_compiler(c, &run, &err)) {
		kache_warn_once("run", err.text);
		kache_call_passthrough(c, "run-failed", err.text);
	}
	if (c->lang->ran)
		c->lang->ran(c);
	status = run.status;
	c->event.compile_us = run.compile_us;
	c->event.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (worth_storing(c, &run))
		store_run(c, &run, why);
	else
		kache_call_event(c, "failed", NULL, NULL);
	end_as(&run);
}

/* What the compiler's own state serves is left to it, unless this target directory had the same before and that was stored. */
_Noreturn static void compile_edited(struct kache_call *c, const char *why)
{
	const bool again = kache_conf_bool(c->conf, KACHE_CONF_RECACHE);
	const struct kache_hash exact = c->invocation;
	struct kache_run run = { 0 };
	struct found found = { 0 };
	struct kache_error err;

	if (!c->lang->edit(c))
		kache_call_passthrough(c, "incremental", why);
	if (!again)
		(void)look_up(c, &found);
	if (c->lang->replacing(c, true) && !again)
		(void)look_up(c, &found);
	c->event = (struct kache_event){ .invocation = &exact };
	c->lang->settle(c);
	if (kache_run_compiler(c, &run, &err))
		kache_call_passthrough(c, "incremental", why);
	if (worth_storing(c, &run))
		c->lang->note(c, &run);
	kache_call_event(c, "passthrough", "incremental", why);
	end_as(&run);
}

static void warn_readonly(const struct kache_call *c)
{
	KACHE_AUTO_FREE char *text = kache_asprintf("cache directory %s is not writable", c->store->root);

	if (c->store->readonly && !kache_conf_bool(c->conf, KACHE_CONF_READONLY) && !c->query)
		kache_warn_once("readonly", text);
}

void kache_serve(const struct kache_language *lang, char **argv)
{
	static struct kache_call call;
	struct kache_call *c = &call;
	struct found found = { 0 };
	struct kache_error err;
	const char *detail, *reason;
	bool edited;

	c->lang = lang;
	reason = lang->prepare(c, argv, &detail, &err);
	if (reason) {
		if (kache_prefilling)
			_exit(KACHE_NOT_PREFILLED);
		if (err.text[0] && !c->query)
			kache_warn_once(reason, err.text);
		kache_call_passthrough(c, reason, detail);
	}
	kache_prefill(c);
	if (!kache_conf_bool(c->conf, KACHE_CONF_RECACHE))
		(void)look_up(c, &found);
	if (kache_prefilling)
		_exit(KACHE_NOT_PREFILLED);
	if (c->store->readonly) {
		warn_readonly(c);
		kache_call_passthrough(c, "read-only", NULL);
	}
	/* What somebody is editing right now nobody else has. */
	edited = !c->query && !kache_conf_bool(c->conf, KACHE_CONF_READONLY) && lang->edited && lang->edited(c);
	if (!edited && !lang->local && !kache_conf_bool(c->conf, KACHE_CONF_RECACHE) && kache_ask_possible(c))
		look_up_remote(c, &found);
	if (kache_conf_bool(c->conf, KACHE_CONF_READONLY))
		kache_call_passthrough(c, "read-only", NULL);
	if (edited)
		compile_edited(c, found.why);
	/* A child that serves this process would otherwise wait for the end of the compile. */
	kache_ask_end();
	compile(c, found.why);
}
