#include "config.h"
#include "wrapper/script.h"

#include "base/path.h"
#include "store/map.h"
#include "wrapper/report.h"
#include "wrapper/run.h"
#include "wrapper/rustc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#if defined __x86_64__
#include <cpuid.h>
#endif

/* Raised whenever the meaning of keys or entries of runs changes. */
#define SCRIPT_RECIPE "5"

/* ---- compiling a script ---- */

static bool asked_for(const struct kache_call *c)
{
	return kache_conf_bool(c->conf, KACHE_CONF_BUILD_SCRIPTS) && strcmp(kache_conf_str(c->conf, KACHE_CONF_OBSERVE), "off");
}

char *kache_script_beside(const struct kache_call *c, const char *name)
{
	const char *extra = c->args.extra_filename;
	KACHE_AUTO_FREE char *dir = NULL;

	if (strcmp(c->kind, "build-script") || kache_rust_role(c, name) != KACHE_ROLE_EXE || !asked_for(c))
		return NULL;
	/* As cargo lays it out: …/build/PACKAGE-HASH, with the hash in the script's name too. There it runs a link to it. */
	if (!extra || extra[0] != '-' || !c->args.out_dir || !kache_ends(c->args.out_dir, extra))
		return NULL;
	dir = kache_path_dir(c->args.out_dir);
	if (strcmp(kache_path_base(dir), "build"))
		return NULL;
	return kache_concat(c->args.out_dir, "/", c->args.crate, KACHE_SCRIPT_SUFFIX, NULL);
}

int kache_script_starter(struct kache_call *c, struct kache_output *out)
{
	KACHE_AUTO_FREE char *starter = kache_program("kache-script"), *blob = NULL, *observer = kache_observer_path();
	struct kache_stat st, there;
	int rc;

	*out = (struct kache_output){ .role = KACHE_ROLE_EXE, .mode = 0755 };
	if (!starter || !observer)
		return KACHE_E_NOENT;
	rc = kache_map_hash(c->store, starter, &st, &out->blob);
	if (rc)
		return rc;
	out->size = st.size;
	blob = kache_store_path(c->store, "blobs", &out->blob);
	if (!kache_stat(blob, false, &there))
		return KACHE_OK;
	return kache_blob_put_file(c->store, starter, KACHE_LINKING_NOT, &out->blob, &out->size, NULL);
}

void kache_script_set_aside(struct kache_call *c)
{
	KACHE_AUTO_FREE char *name = NULL, *real = NULL, *path = NULL;
	struct kache_output starter;
	struct kache_restore r = { .output = &starter };
	int old = -1;

	if (strcmp(c->kind, "build-script"))
		return;
	name = kache_concat(c->args.crate, c->args.extra_filename ? c->args.extra_filename : "", NULL);
	real = kache_script_beside(c, name);
	if (!real || kache_script_starter(c, &starter))
		return;
	r.path = path = kache_rust_place(c, name);
	if (rename(path, real))
		return;
	r.linking = kache_rust_linking(c, KACHE_ROLE_EXE, &old);
	if (kache_restore_all(c->store, &r, 1, kache_call_link_policy(c)))
		rename(real, path);
}

/* ---- running one ---- */

bool kache_is_script(const char *program)
{
	return kache_starts(kache_path_base(program), "build_script_") && kache_ends(program, KACHE_SCRIPT_SUFFIX);
}

bool kache_script_is_empty(const char *dir)
{
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };

	return !kache_dir_names(dir, &names) && !names.n;
}

/* "<profile directory>/build/PACKAGE-HASH/…": the profile directory. */
static char *profile_of(const char *path)
{
	char *at = kache_strdup(path);

	for (int i = 0; i < 3; i++) {
		char *up = kache_path_dir(at);

		free(at);
		at = up;
	}
	return at;
}

static void add_token(struct kache_call *c, const char *name, const char *dir)
{
	KACHE_AUTO_FREE char *real = kache_path_real(dir);

	kache_tokens_add(&c->tokens, name, dir, NULL, true);
	if (real)
		kache_tokens_add(&c->tokens, name, real, NULL, true);
}

/* Reading /proc/cpuinfo takes as long as there are processors, so that is for where nothing better is known. */
static void add_processor(struct kache_call *c, struct kache_hasher *h)
{
#if defined __x86_64__
	/* CPUID (Intel SDM, volume 2A): signature and features, but for the number of the processor (leaf 1, EBX). */
	unsigned v[8] = { 0 }, unused, most;

	__cpuid(0, most, unused, unused, unused);
	__cpuid(1, v[0], unused, v[1], v[2]);
	if (most >= 7)
		__cpuid_count(7, 0, unused, v[3], v[4], v[5]);
	__cpuid(0x80000001, unused, unused, v[6], v[7]);
	kache_key_digest(c, h, "cpu", v, sizeof v);
#else
	kache_key_cpu(c, h);
#endif
}

/* What a script can find out about the machine without a file or a variable. */
static void add_machine(struct kache_call *c, struct kache_hasher *h)
{
	struct utsname u;
	KACHE_AUTO_FREE char *user = kache_asprintf("%ld %ld", (long)getuid(), (long)getgid());

	memset(&u, 0, sizeof u);
	if (!uname(&u)) {
		kache_key_text(c, h, "machine", u.machine);
		kache_key_text(c, h, "host", u.nodename);
		kache_key_text(c, h, "kernel", u.release);
		kache_key_text(c, h, "kernel version", u.version);
	}
	kache_key_text(c, h, "user", user);
	add_processor(c, h);
}

static void make_key(struct kache_call *c, const struct kache_hash *script)
{
	KACHE_AUTO_FREE char *out = kache_tokens_path(&c->tokens, c->script.out_dir);
	char hex[KACHE_HEX_LEN + 1];
	struct kache_hasher h;

	kache_hasher_init(&h);
	kache_key_text(c, &h, "recipe", "script " SCRIPT_RECIPE);
	kache_key_text(c, &h, "script", kache_hash_hex(script, hex));
	kache_key_text(c, &h, "cwd", c->cwd);
	kache_key_text(c, &h, "OUT_DIR", out);
	add_machine(c, &h);
	kache_key_declared(c, &h);
	kache_hasher_end(&h, &c->invocation);
}

static bool input_is_null(void)
{
	struct stat in, null;

	return !fstat(STDIN_FILENO, &in) && !stat("/dev/null", &null) && S_ISCHR(in.st_mode) && in.st_rdev == null.st_rdev;
}

static const char *prepare(struct kache_call *c, char **argv, const char **detail, struct kache_error *err)
{
	const char *reason, *out = kache_env("OUT_DIR"), *base = kache_path_base(argv[0]);
	KACHE_AUTO_FREE char *dir = NULL, *target = NULL, *out_target = NULL;
	struct kache_strs words = { NULL, 0, 0 };
	struct kache_hash script;
	struct kache_stat st;

	*detail = NULL;
	reason = kache_call_begin(c, argv, err);
	if (reason)
		return reason;
	if (kache_call_store(c, err))
		return "store";
	c->kind = KACHE_KIND_SCRIPT_RUN;
	c->unit = kache_strndup(base, strlen(base) - strlen(KACHE_SCRIPT_SUFFIX));
	c->args.crate = kache_strdup(c->unit);
	c->package = kache_call_package(c);
	c->target = *kache_env("TARGET") ? kache_env("TARGET") : NULL;
	c->compiler.program = kache_strdup(argv[0]);
	c->compiler.host = kache_strdup(kache_env("HOST"));
	c->compiler.version = kache_strdup("");
	c->profile = kache_strdup(kache_env("PROFILE"));
	reason = kache_call_bypassed(c, NULL, &words, false, detail);
	if (reason)
		return reason;
	*detail = NULL;
	if (!asked_for(c))
		return "scripts-off";
	if (argv[1] || argv[0][0] != '/' || out[0] != '/' || strcmp(kache_path_base(out), "out") || !input_is_null())
		return "not-run-by-cargo";
	/* What a script that ran before has left may be an input of this one. */
	*detail = out;
	if (!kache_script_is_empty(out))
		return "output-directory-not-empty";
	*detail = NULL;
	if (kache_map_hash(c->store, argv[0], &st, &script))
		return "unknown-script";
	c->script.out_dir = kache_strdup(out);
	dir = kache_path_dir(argv[0]);
	target = profile_of(argv[0]);
	out_target = profile_of(out);
	add_token(c, "script", dir);
	add_token(c, "target", target);
	add_token(c, "out", out_target);
	make_key(c, &script);
	c->event.invocation = &c->invocation;
	return NULL;
}

static bool serves(const struct kache_call *c, const struct kache_entry *e)
{
	(void)c;
	(void)e;
	return true;
}

void kache_script_remove_below(const char *dir)
{
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };

	(void)kache_dir_names(dir, &names);
	for (size_t i = 0; i < names.n; i++) {
		KACHE_AUTO_FREE char *path = kache_path_join(dir, names.v[i]);
		struct kache_stat st;

		if (kache_stat(path, false, &st))
			continue;
		if (S_ISDIR(st.mode)) {
			kache_script_remove_below(path);
			rmdir(path);
		} else {
			unlink(path);
		}
	}
}

/* A look-up that found a damaged blob may have begun to put files there. And what other scripts wrote just before must not
 * have the time of what changes under this one. */
static void settle(const struct kache_call *c)
{
	KACHE_AUTO_FREE char *dir = kache_path_dir(c->script.out_dir);

	kache_script_remove_below(c->script.out_dir);
	kache_wait_for_tick(c->script.out_dir);
	kache_wait_for_tick(dir);
}

static int command(struct kache_call *c, struct kache_run *run, struct kache_strs *argv, char **file, struct kache_error *err)
{
	(void)run;
	(void)file;
	(void)err;
	setenv(KACHE_REPORT_ENV, "1", 1);
	kache_strs_add(argv, c->compiler.program);
	return KACHE_OK;
}

static bool same(const struct kache_call *c)
{
	struct kache_stat st;

	/* It would be another key: enough to know that nobody wrote to it. */
	return !kache_stat(c->compiler.program, false, &st) && st.ctime < c->started_coarse;
}

static void outputs(const struct kache_call *c, const struct kache_run *run, struct kache_strs *names)
{
	(void)run;
	for (size_t i = 0; i < c->script.files.n; i++)
		kache_strs_add(names, c->script.files.v[i]);
}

/* Names in entries have no '/': there it is "%2F", and '%' is "%25", as in RFC 3986, section 2.1. */
static char *place(const struct kache_call *c, const char *name)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *dir = NULL;
	char *path;

	for (; *name; name++) {
		bool slash = kache_starts(name, "%2F");

		if (*name == '%' && !slash && !kache_starts(name, "%25"))
			return NULL;
		kache_buf_ch(&b, slash ? '/' : *name);
		name += *name == '%' ? 2 : 0;
	}
	if (!b.len || b.data[0] == '/' || kache_starts(b.data, "../") || strstr(b.data, "/../"))
		return NULL;
	path = kache_path_join(c->script.out_dir, b.data);
	dir = kache_path_dir(path);
	if (!kache_mkdirs(dir, 0777))
		return path;
	free(path);
	return NULL;
}

static uint32_t role(const struct kache_call *c, const char *name)
{
	(void)c;
	(void)name;
	return KACHE_ROLE_OTHER;
}

const struct kache_language kache_language_script = {
	.job_server = true,
	.local = true,
	.prepare = prepare,
	.serves = serves,
	.settle = settle,
	.command = command,
	.same = same,
	.collect = kache_script_collect,
	.outputs = outputs,
	.place = place,
	.role = role,
};
