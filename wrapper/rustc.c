/* rustc behind RUSTC_WRAPPER: classify, key, look up; restore, or run, publish and pass on. */
#include "config.h"
#include "wrapper/rustc.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
#include "wrapper/ask.h"
#include "wrapper/inputs.h"
#include "wrapper/result.h"
#include "wrapper/run.h"
#include "wrapper/warn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void kache_call_exec(struct kache_call *c)
{
	/* Standard input that was read for the key has to be there again. */
	if (c->input.data) {
		FILE *copy = tmpfile();

		if (copy && !kache_write_all(fileno(copy), c->input.data, c->input.len) && !lseek(fileno(copy), 0, SEEK_SET))
			dup2(fileno(copy), STDIN_FILENO);
	}
	execvp(c->argv[0], c->argv);
	kache_error_log("%s: %s", c->argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

void kache_call_event(struct kache_call *c, const char *result, const char *reason, const char *detail)
{
	KACHE_AUTO_BUF struct kache_buf line = KACHE_BUF_INIT;
	struct kache_event *e = &c->event;

	if (!c->store)
		return;
	e->result = result;
	e->reason = reason;
	e->detail = detail;
	e->crate = c->args.crate;
	e->package = c->package;
	e->kind = c->kind;
	e->profile = c->profile;
	e->root = c->cwd;
	e->target = c->args.target ? c->args.target : c->compiler.host;
	e->time_ms = c->started_ms;
	e->total_us = (kache_now_mono() - c->started_mono) / 1000;
	kache_event_encode(e, &line);
	(void)kache_store_event(c->store, line.data, line.len);
	kache_debug("%s %s%s%s%s%s", result, c->args.crate ? c->args.crate : "-", reason ? ": " : "", reason ? reason : "",
		    detail ? " " : "", detail ? detail : "");
}

void kache_call_passthrough(struct kache_call *c, const char *reason, const char *detail)
{
	kache_call_event(c, "passthrough", reason, detail);
	kache_call_exec(c);
}

bool kache_is_rustc(const char *program)
{
	const char *base = kache_path_base(program), *named = getenv("RUSTC");

	if (!strcmp(base, "rustc") || !strcmp(base, "clippy-driver") || kache_starts(base, "rustc-"))
		return true;
	return named && !strcmp(named, program);
}

static bool matches_any(const struct kache_strs *patterns, const char *s)
{
	for (size_t i = 0; s && i < patterns->n; i++)
		if (kache_glob(patterns->v[i], s))
			return true;
	return false;
}

static bool variable_set(const char *rule)
{
	size_t len = strcspn(rule, "=");
	KACHE_AUTO_FREE char *name = kache_strndup(rule, len);
	const char *value = getenv(name);

	return value && (!rule[len] || !strcmp(value, rule + len + 1));
}

/* The user's own rules for what is not to be cached. */
static const char *bypassed(struct kache_call *c, const char **detail)
{
	const struct kache_conf *f = c->conf;
	const struct kache_strs *env = kache_conf_list(f, KACHE_CONF_BYPASS_ENV);
	const struct kache_strs *argv = kache_conf_list(f, KACHE_CONF_BYPASS_ARGV);

	*detail = c->args.crate;
	if (matches_any(kache_conf_list(f, KACHE_CONF_BYPASS_CRATES), c->args.crate))
		return "bypass-crate";
	*detail = c->args.source;
	if (c->args.source) {
		KACHE_AUTO_FREE char *full = kache_path_absolute(c->cwd, c->args.source);

		if (matches_any(kache_conf_list(f, KACHE_CONF_EXCLUDE), c->args.source) ||
		    matches_any(kache_conf_list(f, KACHE_CONF_EXCLUDE), full))
			return "exclude";
	}
	for (size_t i = 0; i < c->args.argv.n; i++) {
		*detail = c->args.argv.v[i];
		if (matches_any(argv, *detail))
			return "bypass-argv";
	}
	for (size_t i = 0; i < env->n; i++) {
		*detail = env->v[i];
		if (variable_set(env->v[i]))
			return "bypass-env";
	}
	if (kache_rust_links(&c->args) && !kache_conf_bool(f, KACHE_CONF_EXECUTABLES)) {
		*detail = NULL;
		return "executables-off";
	}
	return NULL;
}

/* A question that a build script asks: its source is in OUT_DIR or on standard input, and so is the
 * place for the answer. */
static bool is_probe(const struct kache_call *c)
{
	const char *out = getenv("OUT_DIR");
	KACHE_AUTO_FREE char *dir = c->args.out_dir ? kache_path_absolute(c->cwd, c->args.out_dir) : NULL;

	if (!out || c->args.json_artifacts)
		return false;
	return c->args.to_stdout || (dir && kache_path_below(dir, out, NULL));
}

static bool read_input(struct kache_call *c)
{
	enum { MOST = 16 << 20 };
	ssize_t n;

	kache_buf_add(&c->input, "", 0);
	if (isatty(STDIN_FILENO))
		return false;
	while ((n = read(STDIN_FILENO, kache_buf_reserve(&c->input, 65536), 65536)) > 0 || (n < 0 && errno == EINTR)) {
		if (n > 0)
			c->input.len += (size_t)n;
		if (c->input.len > MOST)
			return false;
	}
	return n == 0;
}

static int prepare_compiler(struct kache_call *c, struct kache_error *err)
{
	const char *base = kache_path_base(c->argv[0]);

	c->compiler.clippy = !strcmp(base, "clippy-driver") && c->argv[1] && c->argv[1][0] != '-' && c->argv[1][0] != '@';
	return kache_call_compiler(c, err);
}

const char *kache_rustc_prepare(struct kache_call *c, char **argv, const char **detail, struct kache_error *err)
{
	const char *reason;
	int argc = 1, skip;

	c->argv = argv;
	c->started_mono = kache_now_mono();
	c->started_ms = (uint64_t)(kache_now_real() / 1000000);
	*detail = NULL;
	err->text[0] = '\0';
	c->cwd = getcwd(NULL, 0);
	if (!c->cwd)
		return "no-working-directory";
	if (kache_conf_load(c->cwd, &c->conf, err))
		return "configuration";
	kache_log_level = (enum kache_log_level)kache_log_parse(kache_conf_str(c->conf, KACHE_CONF_LOG));
	if (kache_conf_bool(c->conf, KACHE_CONF_DISABLED))
		return "disabled";
	while (argv[argc])
		argc++;
	/* clippy-driver is given the rustc that cargo would have run, as its first argument. */
	skip = 1 + (!strcmp(kache_path_base(argv[0]), "clippy-driver") && argc > 1 && argv[1][0] != '-' && argv[1][0] != '@');
	kache_rust_args_parse(argc - skip, argv + skip, c->cwd, &c->args);
	if (kache_store_open(kache_conf_str(c->conf, KACHE_CONF_CACHE_DIR), true, &c->store, err))
		return "store";
	if (c->args.class == KACHE_RUST_DECLINE) {
		*detail = c->args.detail;
		return c->args.why;
	}
	c->probe = c->args.class == KACHE_RUST_COMPILE && is_probe(c);
	c->kind = kache_call_kind(c);
	c->package = kache_call_package(c);
	reason = bypassed(c, detail);
	if (reason)
		return reason;
	*detail = NULL;
	if (getenv("RUSTC_LOG")) {
		*detail = "RUSTC_LOG";
		return "compiler-log";
	}
	if (c->args.source && !strcmp(c->args.source, "-") && !read_input(c))
		return "standard-input";
	if (prepare_compiler(c, err)) {
		*detail = err->text;
		return "unknown-compiler";
	}
	kache_call_tokens(c);
	kache_call_invocation(c);
	c->event.invocation = &c->invocation;
	return NULL;
}

/* Diagnostics were laid out for another width: they serve if no line would have come out differently. */
static bool width_fits(const struct kache_call *c, const struct kache_entry *e)
{
	unsigned then = e->width ? e->width : 140, now = c->args.width ? c->args.width : 140;

	/* Messages in JSON for cargo may have no text that was laid out. */
	return then == now || !e->err_len || (e->err[0] == '{' && !memmem(e->err, e->err_len, "\"rendered\":\"", 12));
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
	if (!width_fits(c, &e)) {
		*why = kache_strdup("diagnostic width");
		kache_entry_release(&e);
		return KACHE_E_UNSUPPORTED;
	}
	c->event.key = key;
	c->event.compile_us = e.compile_ms * 1000;
	c->event.exit_code = e.exit_code;
	rc = kache_result_replay(c, &e);
	if (!rc) {
		kache_call_event(c, !strcmp(c->kind, "probe") ? "probe-hit" : "hit", from, NULL);
		kache_run_exit((e.exit_code & 0xff) << 8);
	}
	*why = kache_strdup("blob missing or damaged");
	c->event = (struct kache_event){ .invocation = &c->invocation };
	kache_entry_release(&e);
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
	if (!rc)
		f->key = m.sets[index].result;
	kache_manifest_release(&m);
	if (rc)
		return rc;
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
	if (!kache_ask_entry(c, &key)) {
		KACHE_AUTO_FREE char *text = NULL;

		remember(c, &m, index);
		(void)use_entry(c, &key, "remote", &text);
	}
	kache_manifest_release(&m);
}

/* Cargo asks for incremental compilation of the user's own crates. A crate is cached like any other until
 * it is being edited: a second input set from this invocation, or state left by rustc, says so. From then
 * on rustc's own incremental state serves better, until it is gone (cargo clean). */
static bool being_edited(struct kache_call *c)
{
	const char *policy = kache_conf_str(c->conf, KACHE_CONF_INCREMENTAL);
	KACHE_AUTO_FREE char *prefix = NULL;
	struct kache_manifest m;
	bool edited = false;
	struct stat st;

	if (!c->args.incremental || !strcmp(policy, "never"))
		return false;
	if (!strcmp(policy, "always"))
		return true;
	prefix = kache_asprintf("%s/kache-%s%s", c->args.incremental, c->args.crate,
				c->args.extra_filename ? c->args.extra_filename : "");
	if (!stat(prefix, &st))
		return true;
	if (!kache_manifest_get(c->store, &c->invocation, &m)) {
		/* Only this target directory's own history tells of editing: its last output is still there. */
		KACHE_AUTO_FREE char *last = kache_asprintf("%s/%s%s.d", c->args.out_dir, c->args.crate,
							    c->args.extra_filename ? c->args.extra_filename : "");

		edited = m.n_sets > 0 && !stat(last, &st);
		kache_manifest_release(&m);
	}
	if (edited && (!kache_mkdirs(c->args.incremental, 0777)))
		mkdir(prefix, 0777);
	return edited;
}

static void wait_for_tick(const char *path)
{
	struct kache_stat st;

	if (kache_stat(path, true, &st))
		return;
	for (int i = 0; i < 20 && kache_now_coarse() <= st.ctime; i++)
		usleep(1000);
}

/* What was written a moment ago (by a build script, for us or for its own question) and what changes under
 * the compiler must not have the same time: wait for the next tick of the clock that stamps files. */
static void fresh_clock(const struct kache_call *c)
{
	const char *out = getenv("OUT_DIR");
	KACHE_AUTO_FREE char *dir = out ? kache_path_dir(out) : NULL;
	KACHE_AUTO_FREE char *output = dir ? kache_path_join(dir, "output") : NULL;

	if (output)
		wait_for_tick(output);
	if (c->args.source)
		wait_for_tick(c->args.source);
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

	if (c->args.class == KACHE_RUST_QUERY) {
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
	c->event.key = &key;
	if (!kache_result_publish(c, run, &m, &reason, &detail, &err)) {
		kache_call_event(c, probe ? "probe-miss" : "miss", why ? "changed" : "new", why);
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

	fresh_clock(c);
	/* With -o - a second kind of output would go to a file: there the observer alone tells the inputs. */
	if (c->args.class == KACHE_RUST_COMPILE && !c->args.to_stdout) {
		run.own_depinfo = !(c->args.emit & KACHE_EMIT_DEPINFO);
		run.depinfo = run.own_depinfo ? kache_store_temp(c->store)
			: kache_asprintf("%s/%s%s.d", c->args.out_dir, c->args.crate,
					 c->args.extra_filename ? c->args.extra_filename : "");
	}
	if (kache_run_compiler(c, &run, &err)) {
		kache_warn_once("run", err.text);
		kache_call_passthrough(c, "run-failed", err.text);
	}
	status = run.status;
	c->event.compile_us = run.compile_us;
	c->event.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (worth_storing(c, &run))
		store_run(c, &run, why);
	else
		kache_call_event(c, "failed", NULL, NULL);
	kache_run_release(&run);
	kache_run_exit(status);
}

void kache_uncached(char **argv, const char *reason)
{
	static struct kache_call call;
	struct kache_call *c = &call;

	c->argv = argv;
	c->started_mono = kache_now_mono();
	c->started_ms = (uint64_t)(kache_now_real() / 1000000);
	c->cwd = getcwd(NULL, 0);
	c->kind = "other";
	if (c->cwd && !kache_conf_load(c->cwd, &c->conf, NULL) && !kache_conf_bool(c->conf, KACHE_CONF_DISABLED))
		(void)kache_store_open(kache_conf_str(c->conf, KACHE_CONF_CACHE_DIR), true, &c->store, NULL);
	kache_call_passthrough(c, reason, kache_path_base(argv[0]));
}

static void warn_readonly(const struct kache_call *c)
{
	KACHE_AUTO_FREE char *text = kache_asprintf("cache directory %s is not writable", c->store->root);

	if (c->store->readonly && !kache_conf_bool(c->conf, KACHE_CONF_READONLY) && c->args.class == KACHE_RUST_COMPILE)
		kache_warn_once("readonly", text);
}

void kache_rustc(char **argv)
{
	static struct kache_call call;
	struct kache_call *c = &call;
	struct found found = { 0 };
	struct kache_error err;
	const char *detail, *reason = kache_rustc_prepare(c, argv, &detail, &err);
	bool edited;

	if (reason) {
		if (err.text[0] && c->args.class == KACHE_RUST_COMPILE)
			kache_warn_once(reason, err.text);
		kache_call_passthrough(c, reason, detail);
	}
	if (!kache_conf_bool(c->conf, KACHE_CONF_RECACHE))
		(void)look_up(c, &found);
	if (c->store->readonly) {
		warn_readonly(c);
		kache_call_passthrough(c, "read-only", NULL);
	}
	/* What somebody is editing right now nobody else has. */
	edited = c->args.class == KACHE_RUST_COMPILE && !kache_conf_bool(c->conf, KACHE_CONF_READONLY) && being_edited(c);
	if (!edited && !kache_conf_bool(c->conf, KACHE_CONF_RECACHE) && kache_ask_possible(c))
		look_up_remote(c, &found);
	if (kache_conf_bool(c->conf, KACHE_CONF_READONLY))
		kache_call_passthrough(c, "read-only", NULL);
	if (edited)
		kache_call_passthrough(c, "incremental", found.why);
	/* A child that serves this process would otherwise wait for the end of the compile. */
	kache_ask_end();
	compile(c, found.why);
}
