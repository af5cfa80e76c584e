/* Collecting the inputs of a compile: what every language does alike. */
#include "config.h"
#include "wrapper/collect.h"

#include "base/path.h"
#include "store/map.h"
#include "wrapper/inputs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int kache_collect_refuse(struct kache_collector *k, const char *reason, const char *detail)
{
	if (!k->reason) {
		k->reason = reason;
		k->detail = detail ? kache_strdup(detail) : NULL;
	}
	return KACHE_E_INVALID;
}

void kache_collect_put(struct kache_collector *k, uint32_t kind, const char *name, const struct kache_hash *hash)
{
	const size_t before = k->m->n_names;
	const uint32_t index = kache_manifest_name(k->m, name);

	for (size_t i = 0; i < k->set.n && k->m->n_names == before; i++)
		if (k->set.inputs[i].name == index && k->set.inputs[i].kind == kind)
			return;
	if (k->set.n == k->cap) {
		k->cap = k->cap ? k->cap * 2 : 64;
		k->set.inputs = kache_realloc(k->set.inputs, k->cap, sizeof *k->set.inputs);
	}
	k->set.inputs[k->set.n++] = (struct kache_input){ kind, index, *hash };
}

int kache_collect_now(struct kache_collector *k, uint32_t kind, const char *name)
{
	struct kache_hash h;

	if (kache_input_now(k->c, kind, name, &h))
		return kache_collect_refuse(k, "input-unreadable", name);
	kache_collect_put(k, kind, name, &h);
	return KACHE_OK;
}

static bool below_any(const char *path, const char *const *dirs)
{
	for (; *dirs; dirs++)
		if (kache_path_below(path, *dirs, NULL))
			return true;
	return false;
}

/* Kernel files, and those that change on their own without meaning. What else is below /run are files as others: projects lie
 * there, since it is in memory. */
bool kache_collect_noise(const char *path)
{
	static const char *const dirs[] = {
		"/run/systemd", "/run/nscd", "/run/resolvconf", "/usr/lib/locale", "/usr/share/locale", "/usr/share/locale-langpack",
		"/usr/lib/x86_64-linux-gnu/gconv", "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ld.so.nohwcap",
		"/etc/localtime", "/etc/malloc.conf", "/etc/nsswitch.conf", "/etc/passwd", "/usr/share/zoneinfo", "/etc/terminfo",
		"/lib/terminfo", "/usr/share/terminfo", NULL
	};

	return kache_collect_kernel_file(path) || below_any(path, dirs);
}

/* Temporary files of rustc ("rustcXXXXXX/…") and cc ("ccXXXXXX.o"), with names that never come back: mkstemp(3) and its like take six
 * letters or digits, and they are gone by now. A project may well lie in /tmp, and be called "ccache". */
bool kache_collect_temp(const char *path)
{
	const char *tmp = getenv("TMPDIR"), *rest;
	size_t skip, random;
	KACHE_AUTO_FREE char *top = NULL;
	struct kache_stat st;

	if (!kache_path_below(path, tmp && *tmp ? tmp : "/tmp", &rest))
		return false;
	skip = kache_starts(rest, "rustc") ? 5 : kache_starts(rest, "cc") ? 2 : 0;
	random = strspn(rest + skip, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
	if (!skip || random != 6 || (skip == 2 && strchr(rest, '/')))
		return false;
	top = kache_strndup(path, (size_t)(rest - path) + strcspn(rest, "/"));
	return kache_stat(top, false, &st) != 0;
}

bool kache_collect_in_store(const struct kache_collector *k, const char *path)
{
	return kache_path_below(path, k->c->store->root, NULL);
}

bool kache_collect_no_input(const struct kache_collector *k, const char *path)
{
	return kache_collect_noise(path) || kache_collect_in_store(k, path) || kache_strs_find(&k->run->seen.writes, path);
}

/* A file that was read. A file that changed since the compiler started tells nothing certain. */
int kache_collect_file(struct kache_collector *k, const char *path, bool artifact)
{
	KACHE_AUTO_FREE char *name = kache_tokens_path(&k->c->tokens, path);
	struct kache_hash h;
	struct kache_stat st;
	int rc = kache_map_hash(k->c->store, path, &st, &h);

	if (rc == KACHE_E_INVALID && S_ISDIR(st.mode))
		return kache_collect_now(k, KACHE_INPUT_LIST, name);
	if (rc == KACHE_E_INVALID)
		return kache_collect_refuse(k, "input-not-a-file", path);
	if (rc == KACHE_E_BUSY)
		return kache_collect_refuse(k, "input-changed", path);
	if (rc)
		return kache_collect_refuse(k, "input-unreadable", path);
	/* Cargo starts us after dependencies are complete, and may set their times back afterwards. Newer
	 * kernels stamp with the fine clock, which is ahead of the coarse one. */
	if (artifact ? st.mtime > k->c->started_real
		     : st.mtime >= k->c->started_coarse || st.ctime >= k->c->started_coarse)
		return kache_collect_refuse(k, "input-changed", path);
	kache_collect_put(k, KACHE_INPUT_FILE, name, &h);
	return KACHE_OK;
}

int kache_collect_places(struct kache_collector *k, const char *path)
{
	for (size_t i = 0; i < k->c->tokens.n; i++) {
		const struct kache_token *t = &k->c->tokens.t[i];
		KACHE_AUTO_FREE char *name = kache_concat("{", t->name, "}", NULL);

		if (t->key && (!path || kache_path_below(path, t->path, NULL)) && kache_collect_now(k, KACHE_INPUT_PLACE, name))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

int kache_collect_status(struct kache_collector *k, uint32_t kind,
			 bool (*no_status)(const struct kache_collector *k, const char *path))
{
	const size_t n = k->set.n;

	for (size_t i = 0; i < n; i++) {
		const struct kache_input *in = &k->set.inputs[i];
		const char *name = k->m->names[in->name];
		KACHE_AUTO_FREE char *path = NULL;
		struct kache_stat st;

		if (in->kind != KACHE_INPUT_FILE && in->kind != KACHE_INPUT_PRESENT)
			continue;
		path = kache_tokens_expand(&k->c->tokens, name);
		if (!path || no_status(k, path) || kache_stat(path, true, &st) || !S_ISREG(st.mode))
			continue;
		if (st.mtime >= k->c->started_coarse || st.ctime >= k->c->started_coarse)
			return kache_collect_refuse(k, "input-changed", path);
		if (kache_collect_now(k, kind, name))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

bool kache_collect_kernel_noise(const char *path)
{
	static const char *const dirs[] = {
		"/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys", "/proc/filesystems", "/sys/devices/system",
		"/sys/fs/cgroup", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty", NULL
	};

	for (const char *const *d = dirs; *d; d++)
		if (kache_path_below(path, *d, NULL))
			return true;
	return !strcmp(path, "/proc") || !strcmp(path, "/dev");
}

bool kache_collect_kernel_file(const char *path)
{
	return kache_path_below(path, "/proc", NULL) || kache_path_below(path, "/sys", NULL) ||
	       (kache_path_below(path, "/dev", NULL) && !kache_path_below(path, "/dev/shm", NULL));
}

/* One step on the way to a file: a link that was made while the compiler ran, or a directory that was moved, led elsewhere when
 * it opened the file. Where names come and go in a directory, both its times change. */
static int check_step(struct kache_collector *k, const char *path)
{
	int64_t started = k->c->started_coarse;
	struct kache_stat st;

	if (kache_stat(path, false, &st) || st.ctime < started || (!S_ISLNK(st.mode) && (!S_ISDIR(st.mode) || st.mtime >= started)))
		return KACHE_OK;
	return kache_collect_refuse(k, "input-changed", path);
}

int kache_collect_way(struct kache_collector *k, const char *path, struct kache_strs *known)
{
	for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		KACHE_AUTO_FREE char *dir = kache_strndup(path, (size_t)(p - path));

		if (kache_strs_has(known, dir))
			continue;
		if (check_step(k, dir))
			return KACHE_E_INVALID;
		kache_strs_add(known, dir);
	}
	return check_step(k, path);
}

static int add_real(struct kache_collector *k, const char *path, struct kache_strs *known)
{
	KACHE_AUTO_FREE char *name = kache_tokens_path(&k->c->tokens, path);
	struct kache_hash h;

	if (kache_input_now(k->c, KACHE_INPUT_REAL, name, &h))
		return KACHE_OK;
	if (kache_collect_way(k, path, known))
		return KACHE_E_INVALID;
	kache_collect_put(k, KACHE_INPUT_REAL, name, &h);
	return KACHE_OK;
}

int kache_collect_reals(struct kache_collector *k, const struct kache_strs *paths,
			bool (*no_input)(const void *arg, const char *path), const void *arg)
{
	KACHE_AUTO_STRS struct kache_strs known = { NULL, 0, 0 };

	for (size_t i = 0; i < paths->n; i++)
		if (!no_input(arg, paths->v[i]) && add_real(k, paths->v[i], &known))
			return KACHE_E_INVALID;
	return KACHE_OK;
}

/* Where nothing is in a directory because that is missing, the directory says it for all that was looked for. Compilers look for
 * many names in few places, so the last that was there is not asked for again. */
static char *topmost_missing(struct kache_collector *k, const char *path)
{
	char *top = kache_strdup(path);
	struct stat st;

	for (;;) {
		char *dir = kache_path_dir(top);

		if (k->there && !strcmp(dir, k->there)) {
			free(dir);
			return top;
		}
		if (!strcmp(dir, "/") || !strcmp(dir, ".") || !stat(dir, &st) || errno != ENOENT) {
			free(k->there);
			k->there = dir;
			return top;
		}
		free(top);
		top = dir;
	}
}

int kache_collect_absent(struct kache_collector *k, const char *path)
{
	KACHE_AUTO_FREE char *top = NULL, *name = NULL;
	struct kache_hash h;

	if (k->missing && kache_path_below(path, k->missing, NULL))
		return KACHE_OK;
	top = topmost_missing(k, path);
	name = kache_tokens_path(&k->c->tokens, top);
	if (kache_input_now(k->c, KACHE_INPUT_ABSENT, name, &h))
		return kache_collect_refuse(k, "input-unreadable", top);
	if (h.b[0] == KACHE_ABSENT_THERE)	/* it came into being meanwhile */
		return kache_collect_refuse(k, "input-changed", top);
	kache_collect_put(k, KACHE_INPUT_ABSENT, name, &h);
	free(k->missing);
	k->missing = top;
	top = NULL;
	return KACHE_OK;
}

int kache_collect_content(struct kache_collector *k, const char *path, uint32_t kind)
{
	struct kache_stat st;

	if (!k->by_content || kind != KACHE_INPUT_PRESENT || kache_collect_kernel_file(path) || kache_stat(path, true, &st) ||
	    !S_ISREG(st.mode))
		return KACHE_OK;
	k->looked_at += st.size;
	return k->looked_at >> 30 ? kache_collect_refuse(k, "too-many-inputs", path) : kache_collect_file(k, path, false);
}

int kache_collect_seen(struct kache_collector *k, const char *path, uint32_t kind, const char *name)
{
	struct kache_stat st;

	/* A listing or a link as it was before can't be told any more. */
	if (kind != KACHE_INPUT_PRESENT && (kache_stat(path, false, &st) || st.ctime >= k->c->started_coarse))
		return kache_collect_refuse(k, "input-changed", path);
	return kache_collect_content(k, path, kind) ? KACHE_E_INVALID : kache_collect_now(k, kind, name);
}

bool kache_collect_tool(const char *program)
{
	static const char *const names[] = {
		"rustc", "clippy-driver", "cc", "c++", "*-cc", "*gcc", "*gcc-*[0-9]", "*g++", "*g++-*[0-9]", "clang*", "cc1", "cc1plus",
		"collect2", "lto1", "lto-wrapper", "as", "*-as", "ld", "ld.*", "*-ld", "*-ld.*", "ld64.*", "lld*", "*-lld", "mold", "ar", "*-ar",
		"ranlib", "nm", "strip", "objcopy", "llvm-*",
	};
	const char *base = kache_path_base(program);

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (kache_glob(names[i], base))
			return true;
	return false;
}

bool kache_collect_script(const struct kache_collector *k, const char *path, const struct kache_strs *but)
{
	KACHE_AUTO_FREE char *real = kache_path_real(path);

	return real && !(but && kache_strs_has(but, real)) && !kache_strs_find(&k->run->seen.programs, real);
}

/* A program that does nothing but tell which machine this is, or who the user is. */
static const char *who_tells(const struct kache_strs *programs)
{
	static const char *const names[] = { "hostname", "hostnamectl", "logname", "whoami" };

	for (size_t i = 0; i < programs->n; i++)
		for (size_t j = 0; j < sizeof names / sizeof *names; j++)
			if (!strcmp(kache_path_base(programs->v[i]), names[j]))
				return programs->v[i];
	return NULL;
}

int kache_collect_environment(struct kache_collector *k, bool tokens)
{
	const char *teller = k->c->lang->local ? NULL : who_tells(&k->run->seen.programs);

	/* Noise to compilers, but a shell may decide by them. */
	static const char *const shell[] = { "CI", "LANG", "LC_ALL", "PATH", "TZ" };

	if (teller)
		return kache_collect_refuse(k, "host-name", teller);
	k->by_content = true;
	for (size_t i = 0; i < sizeof shell / sizeof *shell; i++)
		if (kache_collect_now(k, tokens ? KACHE_INPUT_ENV_TOKEN : KACHE_INPUT_ENV, shell[i]))
			return KACHE_E_INVALID;
	return kache_collect_now(k, tokens ? KACHE_INPUT_ENVIRON_TOKEN : KACHE_INPUT_ENVIRON, "");
}

int kache_collect_observed(struct kache_collector *k)
{
	const struct kache_observed *seen = &k->run->seen;

	if (seen->blind)
		return kache_collect_refuse(k, "unobserved-process", seen->blind_why);
	for (size_t i = 0; i < seen->denied.n; i++)
		if (!kache_collect_noise(seen->denied.v[i]))
			return kache_collect_refuse(k, "input-unreadable", seen->denied.v[i]);
	return seen->network ? kache_collect_refuse(k, "network", NULL) : KACHE_OK;
}

static int add_extra(struct kache_collector *k)
{
	const struct kache_strs *extra = kache_conf_list(k->c->conf, KACHE_CONF_EXTRA_INPUTS);
	const char *dir = kache_env("CARGO_MANIFEST_DIR");

	for (size_t i = 0; i < extra->n; i++) {
		KACHE_AUTO_FREE char *path = kache_path_absolute(*dir ? dir : k->c->cwd, extra->v[i]);
		KACHE_AUTO_FREE char *name = kache_tokens_path(&k->c->tokens, path);
		struct kache_stat st;

		if (kache_stat(path, true, &st) ? kache_collect_now(k, KACHE_INPUT_ABSENT, name)
						: kache_collect_file(k, path, false))
			return KACHE_E_INVALID;
	}
	return KACHE_OK;
}

static const struct kache_manifest *sorting;

static int canonical(const void *a, const void *b)
{
	const struct kache_input *x = a, *y = b;
	int by_name = strcmp(sorting->names[x->name], sorting->names[y->name]);

	return by_name ? by_name : (x->kind > y->kind) - (x->kind < y->kind);
}

int kache_inputs_collect(struct kache_call *c, const struct kache_run *run, struct kache_manifest *out,
			 const char **reason, char **detail)
{
	struct kache_collector k = { .c = c, .run = run, .m = out };
	int rc;

	*out = (struct kache_manifest){ .invocation = c->invocation };
	out->crate = kache_strdup(c->unit ? c->unit : "");
	out->package = kache_strdup(c->package);
	out->describe = kache_strdup(c->describe.data ? c->describe.data : "");
	rc = c->lang->collect(&k);
	if (!rc)
		rc = add_extra(&k);
	free(k.there);
	free(k.missing);
	if (rc) {
		free(k.set.inputs);
		kache_manifest_release(out);
		*reason = k.reason;
		*detail = k.detail;
		return rc;
	}
	sorting = out;
	if (k.set.n)
		qsort(k.set.inputs, k.set.n, sizeof *k.set.inputs, canonical);
	kache_inputs_result(out, &c->invocation, &k.set, &k.set.result);
	k.set.created_ms = c->started_ms;
	kache_manifest_add(out, &k.set);
	return KACHE_OK;
}
