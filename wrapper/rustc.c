/* rustc behind RUSTC_WRAPPER: classify, key, look up; restore, or run, publish and pass on. */
#include "config.h"
#include "wrapper/rustc.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/path.h"
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
	c->probe = c->args.class == KACHE_RUST_COMPILE && is_probe(c);
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

	if (then == now || !memmem(e->err, e->err_len, "\"rendered\":\"", 12))
		return true;
	return false;
}

/* Looks up and restores. 0 after a hit; else *why (fresh memory or NULL) says what differed. */
static int look_up(struct kache_call *c, char **why)
{
	struct kache_manifest m;
	struct kache_entry e;
	struct kache_hash key;
	size_t index;
	int rc = kache_manifest_get(c->store, &c->invocation, &m);

	*why = NULL;
	if (rc)
		return rc;
	rc = kache_inputs_match(c, &m, &index, why);
	if (!rc)
		key = m.sets[index].result;
	kache_manifest_release(&m);
	if (rc)
		return rc;
	rc = kache_entry_get(c->store, &key, &e);
	if (rc) {
		*why = kache_strdup("entry missing");
		return rc;
	}
	if (!width_fits(c, &e)) {
		*why = kache_strdup("diagnostic width");
		kache_entry_release(&e);
		return KACHE_E_NOENT;
	}
	c->event.key = &key;
	c->event.compile_us = e.compile_ms * 1000;
	c->event.exit_code = e.exit_code;
	rc = kache_result_replay(c, &e);
	if (!rc) {
		kache_call_event(c, !strcmp(c->kind, "probe") ? "probe-hit" : "hit", NULL, NULL);
		kache_run_exit((e.exit_code & 0xff) << 8);
	}
	*why = kache_strdup("blob missing or damaged");
	c->event = (struct kache_event){ .invocation = &c->invocation };
	kache_entry_release(&e);
	return rc;
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
	if (!kache_result_publish(c, run, &m, &reason, &detail, &err))
		kache_call_event(c, probe ? "probe-miss" : "miss", why ? "changed" : "new", why);
	else
		kache_call_event(c, "uncached", reason, detail);
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

void kache_rustc(char **argv)
{
	static struct kache_call call;
	struct kache_call *c = &call;
	KACHE_AUTO_FREE char *why = NULL;
	struct kache_error err;
	const char *detail, *reason = kache_rustc_prepare(c, argv, &detail, &err);

	if (reason) {
		if (err.text[0] && c->args.class == KACHE_RUST_COMPILE)
			kache_warn_once(reason, err.text);
		kache_call_passthrough(c, reason, detail);
	}
	if (!kache_conf_bool(c->conf, KACHE_CONF_RECACHE))
		(void)look_up(c, &why);
	if (kache_conf_bool(c->conf, KACHE_CONF_READONLY) || c->store->readonly) {
		if (c->store->readonly && !kache_conf_bool(c->conf, KACHE_CONF_READONLY) && c->args.class == KACHE_RUST_COMPILE) {
			KACHE_AUTO_FREE char *text = kache_asprintf("cache directory %s is not writable", c->store->root);

			kache_warn_once("readonly", text);
		}
		kache_call_passthrough(c, "read-only", NULL);
	}
	if (c->args.class == KACHE_RUST_COMPILE && being_edited(c))
		kache_call_passthrough(c, "incremental", why);
	compile(c, why);
}
