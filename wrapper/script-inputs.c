/* What a build script's run depended on: all that the observer saw of it and of what it started, what kache itself told of the
 * compiles in between, and what the script declares to cargo. What can't be told makes the run one that is not cached. */
#include "config.h"
#include "wrapper/script.h"

#include "base/path.h"
#include "wrapper/collect.h"
#include "wrapper/inputs.h"
#include "wrapper/object.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_FILES = 20000, DEEPEST = 64 };
static const uint64_t MOST_BYTES = UINT64_C(1) << 30;

struct run {
	struct kache_collector *k;
	struct kache_call *c;
	const struct kache_observed *seen;
	uint64_t bytes;		/* of all outputs */
	bool bound;		/* an output has a directory of this place in it, so it is good for no other */
	bool declared;		/* the script says itself when it is to be run again */
	unsigned traits;	/* of the script (wrapper/object.h) */
};

/* Of no effect on what a script does, or where the effect is seen by itself: which programs and libraries are found, where
 * temporary files lie, how much runs at once. */
static bool noise(const char *name)
{
	static const char *const names[] = {
		"LD_LIBRARY_PATH", "LD_PRELOAD", "TMPDIR", "TMP", "TEMP", "CARGO_MAKEFLAGS", "NUM_JOBS", "MAKEFLAGS", "MFLAGS", "MAKELEVEL",
		"SHLVL", "_", "RUST_BACKTRACE", "RUST_LIB_BACKTRACE", "RUST_MIN_STACK", "MALLOC_CONF", "MALLOC_ARENA_MAX",
		"GLIBC_TUNABLES",
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(name, names[i]))
			return true;
	return kache_starts(name, "KACHE_");
}

/* These ask what time it is for themselves: to name temporary files, to say how long they took, to compare files. */
static bool may_ask_time(const char *program)
{
	static const char *const names[] = { "make", "gmake", "ninja", "cmake" };
	const char *base = kache_path_base(program);

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(names[i], base))
			return true;
	return kache_collect_tool(program);
}

/* Beside what changes nothing for a compiler: the job server's pipe, and what allocators ask for. */
static bool kernel_noise(const char *path)
{
	return kache_collect_kernel_noise(path) || kache_path_below(path, "/dev/fd", NULL) || kache_path_below(path, "/sys/kernel/mm", NULL);
}

static bool in_out_dir(const struct run *r, const char *path)
{
	return kache_path_below(path, r->c->script.out_dir, NULL);
}

/* The run's own, or of the program that runs. */
static bool own(const struct run *r, const char *path)
{
	return in_out_dir(r, path) || kache_collect_in_store(r->k, path) || kache_strs_find(&r->seen->writes, path) ||
	       !strcmp(path, r->c->compiler.program) || kache_path_below(path, "/etc/ld.so.cache", NULL);
}

/* ---- what came out ---- */

static char *encoded(const char *relative)
{
	struct kache_buf b = KACHE_BUF_INIT;

	for (; *relative; relative++) {
		if (*relative == '/' || *relative == '%')
			kache_buf_str(&b, *relative == '/' ? "%2F" : "%25");
		else
			kache_buf_ch(&b, *relative);
	}
	return kache_buf_steal(&b);
}

/* Whether text has a directory in it that the key holds as a token. */
static bool names_place(const struct run *r, const char *text, size_t len)
{
	const struct kache_tokens *t = &r->c->tokens;

	for (size_t i = 0; i < t->n; i++)
		if (memmem(text, len, t->t[i].path, strlen(t->t[i].path)))
			return true;
	return false;
}

static int add_output(struct run *r, const char *path, const char *relative, const struct kache_stat *st)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	r->bytes += st->size;
	if (r->bytes > MOST_BYTES || r->c->script.files.n == MOST_FILES)
		return kache_collect_refuse(r->k, "output-too-large", NULL);
	if (!r->bound && kache_file_read(path, (size_t)MOST_BYTES, &b))
		return kache_collect_refuse(r->k, "output-unreadable", path);
	r->bound |= b.len && names_place(r, b.data, b.len);
	kache_strs_take(&r->c->script.files, encoded(relative));
	return KACHE_OK;
}

/* Everything below OUT_DIR, which was empty before: no matter who wrote it, and how. */
static int add_outputs(struct run *r, const char *dir, const char *relative, int depth)
{
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	int rc = KACHE_OK;

	if (kache_dir_names(dir, &names) || depth == DEEPEST)
		return kache_collect_refuse(r->k, "output-unreadable", dir);
	if (!names.n && depth)
		return kache_collect_refuse(r->k, "output-empty-directory", dir);
	kache_strs_sort(&names);
	for (size_t i = 0; i < names.n && !rc; i++) {
		KACHE_AUTO_FREE char *path = kache_path_join(dir, names.v[i]);
		KACHE_AUTO_FREE char *below = *relative ? kache_path_join(relative, names.v[i]) : kache_strdup(names.v[i]);
		struct kache_stat st;

		if (kache_stat(path, false, &st))
			rc = kache_collect_refuse(r->k, "output-unreadable", path);
		else if (S_ISDIR(st.mode))
			rc = add_outputs(r, path, below, depth + 1);
		else if (S_ISREG(st.mode))
			rc = add_output(r, path, below, &st);
		else
			rc = kache_collect_refuse(r->k, "output-not-a-file", path);
	}
	return rc;
}

/* What is printed gets its directories back, as far as they can be told from the text around them. */
static void check_streams(struct run *r)
{
	const struct kache_buf *streams[] = { &r->k->run->out, &r->k->run->err };

	for (size_t i = 0; i < 2; i++) {
		KACHE_AUTO_BUF struct kache_buf packed = KACHE_BUF_INIT;

		if (streams[i]->len &&
		    kache_text_pack(&r->c->tokens, KACHE_TEXT_STREAM, NULL, streams[i]->data, streams[i]->len, &packed))
			r->bound |= packed.len && names_place(r, packed.data, packed.len);
	}
}

/* A file elsewhere could not be restored. What is gone again by now was temporary, if it lay where such things do; else the script
 * removed what may have been there before. */
static int check_writes(struct run *r)
{
	const struct kache_strs *writes = &r->seen->writes;
	const char *tmp = *kache_env("TMPDIR") ? kache_env("TMPDIR") : "/tmp";

	for (size_t i = 0; i < writes->n; i++) {
		const char *path = writes->v[i];
		struct kache_stat st;

		if (in_out_dir(r, path) || kache_collect_in_store(r->k, path) || kernel_noise(path) ||
		    (kache_path_below(path, tmp, NULL) && kache_stat(path, false, &st)))
			continue;
		return kache_collect_refuse(r->k, "side-output", path);
	}
	return KACHE_OK;
}

/* ---- what went in ---- */

static int check_run(struct run *r)
{
	const struct kache_observed *seen = r->seen;

	if (kache_collect_observed(r->k))
		return KACHE_E_INVALID;
	if (seen->calendar)
		return kache_collect_refuse(r->k, "time-of-day", NULL);
	for (size_t i = 0; i < seen->clocks.n; i++)
		if (!may_ask_time(seen->clocks.v[i]))
			return kache_collect_refuse(r->k, "time-of-day", seen->clocks.v[i]);
	if (r->traits & (KACHE_CALLS_KERNEL | KACHE_STRIPPED))
		return kache_collect_refuse(r->k, "unobserved-calls", r->c->compiler.program);
	if (r->traits & KACHE_ASKS_ACCESS)
		return kache_collect_refuse(r->k, "time-of-access", r->c->compiler.program);
	for (size_t i = 0; i < seen->others.n; i++)
		if (!kernel_noise(seen->others.v[i]) && !own(r, seen->others.v[i]))
			return kache_collect_refuse(r->k, "special-file", seen->others.v[i]);
	return KACHE_OK;
}

static int add_reads(struct run *r, const struct kache_strs *paths)
{
	KACHE_AUTO_STRS struct kache_strs known = { NULL, 0, 0 };

	for (size_t i = 0; i < paths->n; i++) {
		const char *path = paths->v[i];

		if (in_out_dir(r, path) || kernel_noise(path))
			continue;
		/* Read, and then written over: what it was nobody can tell any more. */
		if (kache_strs_find(&r->seen->writes, path))
			return kache_collect_refuse(r->k, "input-overwritten", path);
		if (kache_collect_kernel_file(path))
			return kache_collect_refuse(r->k, "special-file", path);
		if (!own(r, path) && (kache_collect_way(r->k, path, &known) || kache_collect_file(r->k, path, false)))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

static int add_absent(struct run *r)
{
	const struct kache_strs *absent = &r->seen->absent;

	for (size_t i = 0; i < absent->n; i++)
		if (!own(r, absent->v[i]) && !kernel_noise(absent->v[i]) && kache_collect_absent(r->k, absent->v[i]))
			return KACHE_E_INVALID;
	return KACHE_OK;
}

static int add_seen(struct run *r, const struct kache_strs *paths, uint32_t kind)
{
	for (size_t i = 0; i < paths->n; i++) {
		const char *path = paths->v[i];
		KACHE_AUTO_FREE char *name = NULL;

		if (own(r, path) || kernel_noise(path) || kache_strs_find(&r->seen->reads, path))
			continue;
		name = kache_tokens_path(&r->c->tokens, path);
		if (kache_collect_seen(r->k, path, kind, name))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

static bool no_climb(const void *arg, const char *path)
{
	return own(arg, path) || kernel_noise(path);
}

static int add_programs(struct run *r)
{
	for (size_t i = 0; i < r->seen->searched.n; i++)
		if (kache_collect_now(r->k, KACHE_INPUT_PROGRAM, r->seen->searched.v[i]))
			return KACHE_E_INVALID;
	return add_reads(r, &r->seen->programs) || add_reads(r, &r->seen->execs) ? KACHE_E_INVALID : KACHE_OK;
}

static int add_variable(struct run *r, const char *name)
{
	return noise(name) ? KACHE_OK : kache_collect_now(r->k, r->bound ? KACHE_INPUT_ENV : KACHE_INPUT_ENV_TOKEN, name);
}

/* What it starts may be a shell. */
static bool may_walk(const struct run *r)
{
	return r->seen->environment || r->traits & (KACHE_WALKS_VARIABLES | KACHE_STARTS_PROGRAMS);
}

static int add_environment(struct run *r)
{
	for (size_t i = 0; i < r->seen->env.n; i++)
		if (add_variable(r, r->seen->env.v[i]))
			return KACHE_E_INVALID;
	/* Whoever was given a path of this place is good for it only, whether it was read by name or not. */
	if (r->bound && kache_collect_now(r->k, KACHE_INPUT_ENV, "OUT_DIR"))
		return KACHE_E_INVALID;
	return may_walk(r) ? kache_collect_environment(r->k, !r->bound) : KACHE_OK;
}

/* ---- what the script declares: cargo's book, "Build Scripts", change detection ---- */

static int add_declared_tree(struct run *r, const char *dir, int depth)
{
	KACHE_AUTO_FREE char *name = kache_tokens_path(&r->c->tokens, dir);
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	int rc;

	if (kache_dir_names(dir, &names) || depth == DEEPEST)
		return kache_collect_refuse(r->k, "input-unreadable", dir);
	rc = kache_collect_now(r->k, KACHE_INPUT_LIST, name);
	for (size_t i = 0; i < names.n && !rc; i++) {
		KACHE_AUTO_FREE char *path = kache_path_join(dir, names.v[i]);
		struct kache_stat st;

		if (kache_stat(path, false, &st))
			continue;
		if (S_ISDIR(st.mode))
			rc = add_declared_tree(r, path, depth + 1);
		else if (S_ISREG(st.mode) && r->k->set.n < MOST_FILES)
			rc = kache_collect_file(r->k, path, false);
		else if (S_ISREG(st.mode))
			rc = kache_collect_refuse(r->k, "too-many-inputs", dir);
	}
	return rc;
}

static int add_declared_path(struct run *r, const char *value)
{
	KACHE_AUTO_FREE char *path = kache_path_absolute(r->c->cwd, value);
	struct kache_stat st;

	if (in_out_dir(r, path))
		return KACHE_OK;
	if (kache_stat(path, true, &st))
		return kache_collect_absent(r->k, path);
	return S_ISDIR(st.mode) ? add_declared_tree(r, path, 0) : kache_collect_file(r->k, path, false);
}

char *kache_script_told(const char *line, size_t len, const char *key)
{
	static const char *const prefixes[] = { "cargo::", "cargo:" };

	while (len && isspace((unsigned char)line[len - 1]))
		len--;
	while (len && isspace((unsigned char)line[0])) {
		line++;
		len--;
	}
	for (size_t i = 0; i < 2; i++) {
		size_t n = strlen(prefixes[i]), k = strlen(key);

		if (len > n + k && !memcmp(line, prefixes[i], n) && !memcmp(line + n, key, k) && line[n + k] == '=')
			return kache_strndup(line + n + k + 1, len - n - k - 1);
	}
	return NULL;
}

static int add_declared_line(struct run *r, const char *line, size_t len)
{
	KACHE_AUTO_FREE char *path = kache_script_told(line, len, "rerun-if-changed");
	KACHE_AUTO_FREE char *variable = kache_script_told(line, len, "rerun-if-env-changed");

	if (!path && !variable)
		return KACHE_OK;
	r->declared = true;
	return path ? add_declared_path(r, path) : add_variable(r, variable);
}

static int add_declared(struct run *r)
{
	const struct kache_buf *out = &r->k->run->out;
	int rc = KACHE_OK;

	for (size_t at = 0; at < out->len && !rc;) {
		const char *line = out->data + at, *nl = memchr(line, '\n', out->len - at);
		size_t len = nl ? (size_t)(nl - line) : out->len - at;

		rc = add_declared_line(r, line, len);
		at += len + 1;
	}
	/* Cargo then looks at all of the package's files. Those of a registry never change. */
	if (!rc && !r->declared && !kache_call_immutable(r->c->cwd))
		rc = kache_collect_refuse(r->k, "undeclared-inputs", NULL);
	return rc;
}

static bool no_status(const struct kache_collector *k, const char *path)
{
	return kernel_noise(path) || kache_path_below(path, k->c->script.out_dir, NULL);
}

int kache_script_collect(struct kache_collector *k)
{
	struct run r = { .k = k, .c = k->c, .seen = &k->run->seen };

	if (!k->run->observed)
		return kache_collect_refuse(k, "unobserved", NULL);
	k->by_content = true;
	r.traits = kache_object_traits(k->c->store, k->c->compiler.program);
	if (check_run(&r) || check_writes(&r) || add_outputs(&r, k->c->script.out_dir, "", 0))
		return KACHE_E_INVALID;
	check_streams(&r);
	if (add_reads(&r, &r.seen->reads) || add_absent(&r) || kache_collect_reals(k, &r.seen->climbs, no_climb, &r) ||
	    add_programs(&r) || add_seen(&r, &r.seen->present, KACHE_INPUT_PRESENT) ||
	    add_seen(&r, &r.seen->links, KACHE_INPUT_LINK) || add_seen(&r, &r.seen->lists, KACHE_INPUT_LIST))
		return KACHE_E_INVALID;
	if (add_environment(&r) || add_declared(&r))
		return KACHE_E_INVALID;
	if (r.traits & KACHE_ASKS_STATUS && kache_collect_status(k, KACHE_INPUT_STATUS, no_status))
		return KACHE_E_INVALID;
	return r.traits & KACHE_ASKS_BIRTH ? kache_collect_status(k, KACHE_INPUT_BIRTH, no_status) : KACHE_OK;
}
