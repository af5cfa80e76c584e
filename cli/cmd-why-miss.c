#include "config.h"
#include "cli/cmd.h"

#include "base/json.h"
#include "cli/miss.h"
#include "store/index.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_CANDIDATES = 64, MAX_SHOWN = 12 };

struct miss {
	bool found;
	char *result, *reason, *detail, *crate, *kind, *root;
	struct kache_hash key, invocation;
	bool has_key, has_invocation;
	struct kache_hash candidates[MAX_CANDIDATES];	/* other calls of this crate, newest first */
	size_t n_candidates;
	struct kache_differences d;
	const char *advice;
};

static int take(void *arg, const struct kache_index_event *e)
{
	struct miss *m = arg;

	m->found = true;
	m->result = kache_strdup(e->result);
	m->reason = kache_strdup(e->reason);
	m->detail = kache_strdup(e->detail);
	m->crate = kache_strdup(e->crate);
	m->kind = kache_strdup(e->kind);
	m->root = kache_strdup(e->root);
	m->key = e->key;
	m->invocation = e->invocation;
	m->has_key = e->has_key;
	m->has_invocation = e->has_invocation;
	return 1;
}

static int take_candidate(void *arg, const struct kache_hash *invocation)
{
	struct miss *m = arg;

	if (!kache_hash_eq(invocation, &m->invocation))
		m->candidates[m->n_candidates++] = *invocation;
	return m->n_candidates == MAX_CANDIDATES;
}

static void release(struct miss *m)
{
	char *const texts[] = { m->result, m->reason, m->detail, m->crate, m->kind, m->root };

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		free(texts[i]);
	kache_differences_release(&m->d);
}

/* What a person can do about each reason. */
static const char *advice(const char *reason)
{
	static const char *const table[][2] = {
		{ "new", "It had not been compiled with these arguments before; the next time it hits." },
		{ "changed", "An input differs from the stored ones; the new state is stored now." },
		{ "", "The compiler ended in an error, and errors are not stored." },
		{ "bypass-crate", "cache.bypass_crates names this crate." },
		{ "exclude", "cache.exclude has a pattern that fits its source." },
		{ "bypass-argv", "cache.bypass_argv has a pattern that fits one of its arguments." },
		{ "bypass-env", "cache.bypass_env names a variable that is set." },
		{ "configuration", "The configuration has an error; kache config check shows it." },
		{ "explicit-output", "-o and --emit=KIND=PATH put outputs where kache would not look for them." },
		{ "path-in-output", "The output holds a path of this machine that others would not have." },
		{ "variable-changed", "A variable changed while the compiler ran." },
		{ "jobserver-message", "The compiler spoke of its job server, which is of one moment." },
		{ "store", "The store can't be used; kache doctor tells more." },
		{ "incremental", "The crate is being edited, so rustc's incremental compilation is used; cargo clean or KACHE_INCREMENTAL=never ends that." },
		{ "unknown-flag", "kache does not know this flag well enough to cache what it does." },
		{ "unstable-flag", "This unstable flag may leave files that kache would not see." },
		{ "compiler-changed", "The compiler was replaced while it ran; building again stores it." },
		{ "input-changed", "A file changed while the compiler ran; building again stores it." },
		{ "input-unreadable", "A file that the compiler read, or tried to, can't be read." },
		{ "network", "The compile used the network (a procedural macro, most likely), whose answer can't be part of a key." },
		{ "unobserved-process", "A program ran that could not be observed: a static linker, or one that drops its environment." },
		{ "unobserved-link", "Linking is cached only where the observer library works (KACHE_OBSERVE, Linux with glibc)." },
		{ "unobserved-dependencies", "Dependencies are known only where the observer library works (KACHE_OBSERVE, Linux with glibc)." },
		{ "side-output", "The compile left a file that is none of its outputs, and that a hit could not bring back." },
		{ "split-debuginfo", "Split debug information holds absolute paths of the output directory; -C split-debuginfo=off can be cached." },
		{ "store-failed", "The store could not be written to; kache doctor tells more." },
		{ "read-only", "The store is read-only here." },
		{ "executables-off", "cache.cache_executables is false." },
		{ "disabled", "KACHE_DISABLED is set." },
		{ "scripts-off", "cache.build_scripts is off; the script was compiled while it was on." },
		{ "not-run-by-cargo", "Somebody other than cargo ran this build script." },
		{ "output-directory-not-empty", "An earlier run left files in OUT_DIR, which may be inputs of this one." },
		{ "output-empty-directory", "The script left an empty directory, which a hit does not bring back." },
		{ "output-not-a-file", "The script left a link or a special file, which a hit does not bring back." },
		{ "output-too-large", "The script left more than 1 GiB, or 20,000 files." },
		{ "time-of-day", "A build script, a program that it ran, or a procedural macro asked what time it is." },
		{ "unobserved-calls", "A build script or a macro calls the kernel without the C library (the rustix crate); or the script was stripped, so that nobody can tell." },
		{ "time-of-access", "A procedural macro or a build script asks when files were last read, which each build changes." },
		{ "host-name", "A procedural macro, or a program that was started, asked for the name of this machine, of its kernel or of the user." },
		{ "time-macro", "__DATE__, __TIME__ or __TIMESTAMP__ is used; with SOURCE_DATE_EPOCH, where the compiler knows it, that can be cached." },
		{ "time-pragma", "#pragma GCC dependency compares the times of files, which are no part of a key." },
		{ "too-many-inputs", "A build script declares, or a program that was started looked at, more than a look-up could compare each time." },
		{ "special-file", "A pipe, a device or a file of the kernel was read, which may say something else the next time." },
		{ "undeclared-inputs", "The script prints no rerun-if-changed or rerun-if-env-changed." },
		{ NULL, NULL }
	};

	for (size_t i = 0; table[i][0]; i++)
		if (!strcmp(table[i][0], reason))
			return table[i][1];
	return "kache explain shows how a call is treated.";
}

/* Misses whose inputs held: what was wrong with the result (the detail of a miss). */
static const char *const lost[][2] = {
	{ "entry missing", "The result was evicted or purged; a larger KACHE_MAX_SIZE keeps more." },
	{ "blob missing or damaged", "The stored outputs were incomplete; kache doctor --verify checks the store." },
	{ "diagnostic width", "The stored warnings are laid out for another terminal width." },
};

/* Of the stored calls of this crate the one that has most in common with this one. */
static void compare_calls(struct kache_store *s, struct miss *m, const char *describe)
{
	for (size_t i = 0; i < m->n_candidates; i++) {
		struct kache_differences d = { 0 };
		struct kache_manifest then;

		if (kache_manifest_get(s, &m->candidates[i], &then))
			continue;
		kache_miss_components(then.describe, describe, &d);
		kache_manifest_release(&then);
		if (d.n && (!m->d.n || d.n < m->d.n)) {
			kache_differences_release(&m->d);
			m->d = d;
		} else {
			kache_differences_release(&d);
		}
	}
}

static void explain(struct kache_store *s, struct miss *m)
{
	struct kache_manifest now;

	m->advice = advice(m->reason);
	for (size_t i = 0; i < sizeof lost / sizeof *lost; i++)
		if (!strcmp(lost[i][0], m->detail))
			m->advice = lost[i][1];
	/* What was not stored left nothing to compare. */
	if (!m->has_key || !m->has_invocation || kache_manifest_get(s, &m->invocation, &now))
		return;
	if (!kache_miss_inputs(&now, &m->key, &m->d))
		compare_calls(s, m, now.describe);
	if (m->d.n)
		m->advice = kache_miss_advice(&m->d);
	kache_manifest_release(&now);
}

static void as_json(const struct miss *m, struct kache_buf *out)
{
	struct kache_json j = { .out = out };

	kache_json_open(&j, NULL, '{');
	kache_json_str(&j, "crate", m->crate);
	kache_json_str(&j, "kind", m->kind);
	kache_json_str(&j, "result", m->result);
	kache_json_str(&j, "reason", m->reason);
	kache_json_str(&j, "detail", m->detail);
	kache_json_str(&j, "root", m->root);
	kache_json_str(&j, "advice", m->advice);
	kache_json_open(&j, "differences", '[');
	for (size_t i = 0; i < m->d.n; i++) {
		kache_json_open(&j, NULL, '{');
		kache_json_str(&j, "what", m->d.v[i].what);
		kache_json_str(&j, "name", m->d.v[i].name);
		kache_json_str(&j, "before", m->d.v[i].before);
		kache_json_str(&j, "after", m->d.v[i].after);
		kache_json_close(&j, '}');
	}
	kache_json_close(&j, ']');
	kache_json_close(&j, '}');
	kache_buf_ch(out, '\n');
}

static void as_text(const struct miss *m, struct kache_buf *out)
{
	kache_buf_fmt(out, "%s (%s) in %s\n", m->crate, m->kind, m->root);
	kache_buf_fmt(out, "%s%s%s%s%s\n%s\n", m->result, *m->reason ? ": " : "", m->reason, *m->detail ? ", " : "",
		      m->detail, m->advice);
	for (size_t i = 0; i < m->d.n && i < MAX_SHOWN; i++) {
		const struct kache_difference *d = &m->d.v[i];

		kache_buf_fmt(out, "  %-11s %s\n              before  %s\n              now     %s\n", d->what, d->name,
			      d->before ? d->before : "-", d->after ? d->after : "-");
	}
	if (m->d.n > MAX_SHOWN)
		kache_buf_fmt(out, "  and %zu more; --json shows all\n", m->d.n - MAX_SHOWN);
}

static int run(int argc, char **argv);
const struct kache_command kache_cmd_why_miss = {
	"why-miss", "which input made a crate's last compile miss",
	"usage: kache why-miss CRATE [--json]\n"
	"\n"
	"Compares the last compile of CRATE (or of a unit of that package) that was not a hit with the nearest\n"
	"one that is stored, and says what differs: files, variables, listings, flags.\n",
	run
};

static int run(int argc, char **argv)
{
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT;
	struct miss m = { 0 };
	const char *crate = NULL;
	struct kache_conf *conf;
	struct kache_store *s = NULL;
	struct kache_index *x = NULL;
	struct kache_error err;
	bool json = false;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (argv[i][0] != '-' && !crate)
			crate = argv[i];
		else
			return kache_cli_usage(&kache_cmd_why_miss, "unknown argument %s", argv[i]);
	}
	if (!crate)
		return kache_cli_usage(&kache_cmd_why_miss, "which crate?");
	if ((rc = kache_cli_conf(&conf)))
		return rc;
	rc = kache_cli_store(conf, false, &s);
	if (!rc && kache_index_open(s, &x, NULL, &err))
		rc = kache_cli_fail("%s", err.text);
	if (!rc && (kache_index_misses(x, crate, take, &m) ||
		    (m.found && kache_index_invocations(x, m.crate, m.kind, take_candidate, &m))))
		rc = kache_cli_fail("index of %s can't be read", s->root);
	if (!rc && !m.found)
		rc = kache_cli_fail("no compile of %s that was not a hit is on record", crate);
	if (!rc) {
		explain(s, &m);
		(json ? as_json : as_text)(&m, &out);
		rc = kache_cli_print(&out);
	}
	release(&m);
	kache_index_close(x);
	kache_store_close(s);
	kache_conf_free(conf);
	return rc;
}
