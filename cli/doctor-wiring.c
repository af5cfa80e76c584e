#include "config.h"
#include "cli/doctor.h"
#include "cli/user-file.h"

#include "base/clock.h"
#include "base/path.h"
#include "base/strs.h"
#include "conf/toml.h"
#include "remote/dropin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- RUSTC_WRAPPER ---- */

struct wiring {
	char *program;		/* as it is written; NULL: nowhere */
	char *origin;		/* where */
	char *base;		/* directory that a relative path with a slash starts from, or NULL */
};

/* build.rustc-wrapper of one of cargo's files; the base is the directory that holds .cargo
 * (The Cargo Book, Configuration, "Config-relative paths"). */
static bool in_file(const char *path, struct wiring *w, struct kache_doctor *d)
{
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
	const struct kache_toml *value;
	struct kache_toml *tree;
	struct kache_error err;

	if (kache_file_read(path, KACHE_CARGO_CONFIG_MAX, &text))
		return false;
	if (kache_toml_parse(text.data ? text.data : "", text.len, &tree, &err)) {
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "wrapper", "cargo will not like it either", "%s: %s", path, err.text);
		return false;
	}
	value = kache_toml_get(tree, "build");
	value = value && value->type == KACHE_TOML_TABLE ? kache_toml_get(value, "rustc-wrapper") : NULL;
	if (value && value->type == KACHE_TOML_STRING) {
		KACHE_AUTO_FREE char *dir = kache_path_dir(path);

		w->program = kache_strdup(value->text);
		w->origin = kache_asprintf("%s:%u", path, value->line);
		w->base = kache_path_dir(dir);
	}
	kache_toml_free(tree);
	return w->program != NULL;
}

static bool in_directory(const char *dir, struct wiring *w, struct kache_doctor *d)
{
	KACHE_AUTO_FREE char *file = kache_cargo_config(dir);

	return in_file(file, w, d);
}

static bool in_files(struct wiring *w, struct kache_doctor *d)
{
	KACHE_AUTO_FREE char *at = getcwd(NULL, 0);
	KACHE_AUTO_FREE char *home = kache_cargo_home();

	while (at) {
		KACHE_AUTO_FREE char *dir = kache_path_join(at, ".cargo");
		char *up;

		if (in_directory(dir, w, d))
			return true;
		if (!strcmp(at, "/"))
			break;
		up = kache_path_dir(at);
		free(at);
		at = up;
	}
	return home && in_directory(home, w, d);
}

/* In cargo's order: its variables in front of its files, the nearest file first. */
static void find_wiring(struct wiring *w, struct kache_doctor *d)
{
	static const char *const variables[] = { "RUSTC_WRAPPER", "CARGO_BUILD_RUSTC_WRAPPER" };

	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
		const char *value = getenv(variables[i]);

		if (value) {
			w->program = kache_strdup(value);
			w->origin = kache_strdup(variables[i]);
			return;
		}
	}
	in_files(w, d);
}

static void tell_wiring(struct kache_doctor *d, const struct wiring *w)
{
	KACHE_AUTO_FREE char *program = w->base && strchr(w->program, '/') ? kache_path_join(w->base, w->program)
									   : kache_strdup(w->program);
	KACHE_AUTO_FREE char *found = NULL;

	if (!*program) {
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "wrapper", "set it to kache", "%s is empty, so cargo uses none", w->origin);
		return;
	}
	if (strcmp(kache_path_base(program), "kache")) {
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "wrapper", "set it to kache", "%s is %s", w->origin, program);
		return;
	}
	found = kache_path_search(program, NULL);
	if (!found || access(found, X_OK))
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "wrapper", "give its full path, or put its directory into PATH",
				 "%s is %s, which is not found", w->origin, program);
	else
		kache_doctor_say(d, KACHE_DOCTOR_OK, "wrapper", NULL, "%s, by %s", found, w->origin);
}

void kache_doctor_wrapper(struct kache_doctor *d)
{
	struct wiring w = { NULL, NULL, NULL };

	find_wiring(&w, d);
	if (w.program)
		tell_wiring(d, &w);
	else
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "wrapper",
				 "kache init; or export RUSTC_WRAPPER=kache, or rustc-wrapper = \"kache\" below [build] in ~/.cargo/config.toml",
				 "cargo does not use kache by itself here");
	free(w.program);
	free(w.origin);
	free(w.base);
	if (d->conf && kache_conf_bool(d->conf, KACHE_CONF_DISABLED))
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "wrapper", "unset KACHE_DISABLED", "caching is switched off");
}

/* ---- what else a build needs ---- */

void kache_doctor_tools(struct kache_doctor *d)
{
	static const char *const tools[] = { "cargo", "rustc" };

	for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
		KACHE_AUTO_FREE char *path = kache_path_search(tools[i], NULL);

		if (path)
			kache_doctor_say(d, KACHE_DOCTOR_OK, tools[i], NULL, "%s", path);
		else
			kache_doctor_say(d, KACHE_DOCTOR_BAD, tools[i], "install Rust, or add it to PATH", "not found along PATH");
	}
}

/* As the wrapper finds it, from here: kache-cli is in libexec/kache, or beside the wrapper. */
static char *observer(void)
{
	static const char *const candidates[] = { "../../lib/kache/kache-observe.so", "kache-observe.so", KACHE_OBSERVER };
	KACHE_AUTO_FREE char *self = kache_path_real("/proc/self/exe");
	KACHE_AUTO_FREE char *dir = self ? kache_path_dir(self) : NULL;

	for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
		char *path = dir || candidates[i][0] == '/' ? kache_path_join(dir ? dir : "", candidates[i]) : NULL;

		if (path && !access(path, R_OK))
			return path;
		free(path);
	}
	return NULL;
}

void kache_doctor_observer(struct kache_doctor *d)
{
	KACHE_AUTO_FREE char *found = observer();
	KACHE_AUTO_FREE char *path = found ? kache_path_real(found) : NULL;

	if (d->conf && !strcmp(kache_conf_str(d->conf, KACHE_CONF_OBSERVE), "off"))
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "observer", "cache.observe = \"auto\" switches it on",
				 "switched off, so more of what is compiled is not cached");
	else if (path)
		kache_doctor_say(d, KACHE_DOCTOR_OK, "observer", NULL, "%s", path);
	else if (KACHE_HAS_OBSERVER)
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "observer", "install kache again; without it less is cached",
				 "kache-observe.so is not where it should be, %s", KACHE_OBSERVER);
	else
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "observer", NULL, "there is none for this system, so less is cached");
}

void kache_doctor_backends(struct kache_doctor *d)
{
	KACHE_AUTO_BUF struct kache_buf names = KACHE_BUF_INIT;
	struct kache_dropins all = { NULL, 0 };

	if (!d->conf)
		return;
	kache_dropins_find(d->conf, &all);
	for (size_t i = 0; i < all.n; i++) {
		struct kache_module *m = NULL;
		struct kache_error err;

		if (all.v[i].disabled)
			continue;
		if (kache_dropin_load(&all.v[i], &m, &err))
			kache_doctor_say(d, all.v[i].critical ? KACHE_DOCTOR_BAD : KACHE_DOCTOR_NOTE, "backends", NULL, "%s: %s",
					 all.v[i].name, err.text);
		else
			kache_buf_fmt(&names, "%s%s", names.len ? ", " : "", all.v[i].name);
	}
	kache_dropins_release(&all);
	if (names.len)
		kache_doctor_say(d, KACHE_DOCTOR_OK, "backends", NULL, "%s", names.data);
	else
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "backends", "kache sync has nothing to work with", "none in %s",
				 KACHE_PLUGINDIR);
}

/* Ages and cargo's freshness are all told by the clock. 2024-01-01T00:00:00Z. */
void kache_doctor_clock(struct kache_doctor *d)
{
	if (kache_now_real() < INT64_C(1704067200) * 1000000000)
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "clock", "set it; cargo and gc go by it", "is before 2024");
	else
		kache_doctor_say(d, KACHE_DOCTOR_OK, "clock", NULL, "plausible");
}
