#include "config.h"
#include "remote/dropin.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "base/strs.h"
#include "conf/toml.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DROPIN = 64 << 10 };

static struct kache_dropin *add(struct kache_dropins *d)
{
	d->v = kache_realloc(d->v, d->n + 1, sizeof *d->v);
	d->v[d->n] = (struct kache_dropin){ 0 };
	return &d->v[d->n++];
}

static void release(struct kache_dropin *p)
{
	free(p->name);
	free(p->file);
	free(p->module);
	free(p->schemes);
	free(p->summary);
	free(p->origin);
}

void kache_dropins_release(struct kache_dropins *d)
{
	for (size_t i = 0; i < d->n; i++)
		release(&d->v[i]);
	free(d->v);
	*d = (struct kache_dropins){ 0 };
}

const struct kache_dropin *kache_dropins_named(const struct kache_dropins *d, const char *name)
{
	for (size_t i = 0; i < d->n; i++)
		if (!strcmp(d->v[i].name, name))
			return &d->v[i];
	return NULL;
}

/* ---- one file ---- */

/* One key of a drop-in, put where it belongs. */
static int take(struct kache_dropin *p, const struct kache_toml *t, struct kache_error *err)
{
	const struct { const char *key; char **to; } texts[] = {
		{ "file", &p->file }, { "schemes", &p->schemes }, { "summary", &p->summary },
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		if (strcmp(t->key, texts[i].key))
			continue;
		if (t->type != KACHE_TOML_STRING || strlen(t->text) != t->len)
			return kache_fail(err, KACHE_E_INVALID, "%s:%u: %s takes a string", p->origin, t->line, t->key);
		*texts[i].to = kache_strdup(t->text);
		return KACHE_OK;
	}
	if (strcmp(t->key, "critical"))
		return kache_fail(err, KACHE_E_INVALID, "%s:%u: no key '%s'; there are file, schemes, summary and critical",
				  p->origin, t->line, t->key);
	if (t->type != KACHE_TOML_BOOL)
		return kache_fail(err, KACHE_E_INVALID, "%s:%u: critical takes true or false", p->origin, t->line);
	p->critical = t->integer;
	return KACHE_OK;
}

static int parse(struct kache_dropin *p, const char *text, size_t len, struct kache_error *err)
{
	struct kache_error why;
	struct kache_toml *doc;
	int rc = KACHE_OK;

	if (kache_toml_parse(text, len, &doc, &why))
		return kache_fail(err, KACHE_E_INVALID, "%s: %s", p->origin, why.text);
	for (const struct kache_toml *t = doc->child; t && !rc; t = t->next)
		rc = take(p, t, err);
	kache_toml_free(doc);
	if (!rc && !p->file)
		rc = kache_fail(err, KACHE_E_INVALID, "%s: the key file is missing", p->origin);
	return rc;
}

/* A drop-in names what is loaded into the process, so it is trusted like the module. */
static int trust(const char *path, const struct stat *st, struct kache_error *err)
{
	if (st->st_uid && st->st_uid != geteuid())
		return kache_fail(err, KACHE_E_INVALID, "%s belongs to user %lu; a drop-in belongs to root or to you", path,
				  (unsigned long)st->st_uid);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return kache_fail(err, KACHE_E_INVALID, "%s may be written by others (mode %03o); chmod go-w it", path,
				  (unsigned)st->st_mode & 0777);
	return KACHE_OK;
}

/* file is "<name>.conf" in dir. */
static int read_file(const char *dir, const char *file, struct kache_dropin *p, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *name = NULL;
	struct stat st;
	int rc;

	p->origin = kache_path_join(dir, file);
	p->name = kache_strndup(file, strlen(file) - strlen(".conf"));
	if (!kache_module_name_ok(p->name))
		return kache_fail(err, KACHE_E_INVALID, "%s: a drop-in is named <name>.conf, <name> of a-z, 0-9 and '-'", p->origin);
	if (stat(p->origin, &st) || kache_file_read(p->origin, MAX_DROPIN, &text))
		return kache_fail_errno(err, "%s", p->origin);
	rc = trust(p->origin, &st, err);
	if (rc)
		return rc;
	if (!text.len) {
		p->disabled = true;
		return KACHE_OK;
	}
	rc = parse(p, text.data, text.len, err);
	if (rc)
		return rc;
	name = kache_module_name(p->file);
	if (!name || strcmp(name, p->name))
		return kache_fail(err, KACHE_E_INVALID, "%s: file = '%s' is not accepted; it takes 'kache-%s.so', which is looked for in the plugin directories",
				  p->origin, p->file, p->name);
	return KACHE_OK;
}

/* ---- the directories ---- */

static bool have(const struct kache_dropins *d, const char *name)
{
	return kache_dropins_named(d, name) != NULL;
}

static void names_in(const char *dir, struct kache_strs *names)
{
	DIR *open = opendir(dir);
	struct dirent *item;

	if (!open && errno != ENOENT)
		kache_warn("plugins: %s: %s", dir, strerror(errno));
	while (open && (item = readdir(open)))
		kache_strs_add(names, item->d_name);
	if (open)
		closedir(open);
	kache_strs_sort(names);
}

static void add_dropins(struct kache_dropins *d, const char *dir, const struct kache_strs *names)
{
	for (size_t i = 0; i < names->n; i++) {
		struct kache_dropin p = { 0 };
		struct kache_error err;

		if (!kache_ends(names->v[i], ".conf") || names->v[i][0] == '.')
			continue;
		if (read_file(dir, names->v[i], &p, &err))
			kache_warn("plugins: %s", err.text);
		else if (!have(d, p.name)) {
			*add(d) = p;
			continue;
		}
		release(&p);
	}
}

static void add_modules(struct kache_dropins *d, const char *dir, const struct kache_strs *names)
{
	for (size_t i = 0; i < names->n; i++) {
		char *name = kache_module_name(names->v[i]);
		struct kache_dropin *p;

		if (!name || have(d, name)) {
			free(name);
			continue;
		}
		p = add(d);
		p->name = name;
		p->file = kache_strdup(names->v[i]);
		p->module = kache_path_join(dir, names->v[i]);
		p->origin = kache_strdup(p->module);
	}
}

static char *user_dir(void)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (xdg && *xdg == '/')
		return kache_path_join(xdg, "kache/plugins.d");
	return kache_path_join(home && *home ? home : "/", ".config/kache/plugins.d");
}

/* Where modules lie beside this very program, which is trusted as far as they are: a prefix that was
 * moved as a whole, or the build tree. */
static void companions(struct kache_strs *dirs)
{
	KACHE_AUTO_FREE char *self = kache_path_real("/proc/self/exe");
	KACHE_AUTO_FREE char *here = self ? kache_path_dir(self) : NULL;
	KACHE_AUTO_FREE char *built = here ? kache_path_join(here, "backends") : NULL;
	KACHE_AUTO_FREE char *moved = here ? kache_path_join(here, "../../lib/kache/backends") : NULL;
	DIR *open = built ? opendir(built) : NULL;
	struct dirent *item;

	if (moved && !access(moved, F_OK))
		kache_strs_add(dirs, moved);
	while (open && (item = readdir(open))) {
		char *libs = kache_asprintf("%s/%s/.libs", built, item->d_name);

		if (item->d_name[0] != '.' && !access(libs, F_OK))
			kache_strs_take(dirs, libs);
		else
			free(libs);
	}
	if (open)
		closedir(open);
}

static void resolve(struct kache_dropin *p, const struct kache_strs *path)
{
	for (size_t i = 0; i <= path->n && !p->module; i++) {
		char *candidate = kache_path_join(i < path->n ? path->v[i] : KACHE_PLUGINDIR, p->file);

		if (access(candidate, F_OK))
			free(candidate);
		else
			p->module = candidate;
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct kache_dropin *)a)->name, ((const struct kache_dropin *)b)->name);
}

void kache_dropins_find(const struct kache_conf *conf, struct kache_dropins *out)
{
	static const struct kache_strs none = { NULL, 0, 0 };
	const struct kache_strs *path = kache_conf_list(conf, KACHE_CONF_PLUGIN_PATH);
	KACHE_AUTO_STRS struct kache_strs all = { NULL, 0, 0 };
	size_t named;
	KACHE_AUTO_FREE char *user = user_dir();
	const char *const dirs[] = { user, KACHE_DROPINDIR };

	*out = (struct kache_dropins){ 0 };
	if (!path)
		path = &none;
	for (size_t i = 0; i < path->n; i++) {
		KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };

		if (path->v[i][0] != '/') {
			kache_warn("plugins: %s: directories of the plugin path are absolute", path->v[i]);
			continue;
		}
		names_in(path->v[i], &names);
		add_dropins(out, path->v[i], &names);
		add_modules(out, path->v[i], &names);
	}
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };

		names_in(dirs[i], &names);
		add_dropins(out, dirs[i], &names);
	}
	for (size_t i = 0; i < path->n; i++)
		kache_strs_add(&all, path->v[i]);
	named = all.n;
	companions(&all);
	for (size_t i = named; i < all.n; i++) {
		KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };

		names_in(all.v[i], &names);
		add_modules(out, all.v[i], &names);
	}
	for (size_t i = 0; i < out->n; i++)
		if (!out->v[i].disabled)
			resolve(&out->v[i], &all);
	if (out->n)
		qsort(out->v, out->n, sizeof *out->v, by_name);
}

/* ---- loading ---- */

int kache_dropin_load(const struct kache_dropin *d, struct kache_module **out, struct kache_error *err)
{
	*out = NULL;
	if (d->disabled)
		return kache_fail(err, KACHE_E_UNSUPPORTED, "the %s backend is disabled by %s, which is empty", d->name, d->origin);
	if (!d->module)
		return kache_fail(err, KACHE_E_NOENT, "%s names %s, which is neither in the plugin path nor in %s", d->origin, d->file,
				  KACHE_PLUGINDIR);
	return kache_module_load(d->module, out, err);
}

/* One of the words of list? */
static bool serves(const char *list, const char *scheme)
{
	size_t len = strlen(scheme);

	for (const char *p = list; p && *p; p += strcspn(p, " "), p += strspn(p, " "))
		if (strcspn(p, " ") == len && !strncmp(p, scheme, len))
			return true;
	return false;
}

static int no_backend(const struct kache_dropins *all, const char *scheme, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	for (size_t i = 0; i < all->n; i++) {
		const struct kache_dropin *d = &all->v[i];
		struct kache_module *m = NULL;

		if (!d->disabled && (d->schemes || !kache_dropin_load(d, &m, NULL)))
			kache_buf_fmt(&b, "%s%s", b.len ? ", " : "", d->schemes ? d->schemes : m->be.schemes);
	}
	return kache_fail(err, KACHE_E_UNSUPPORTED, "no backend serves %s: URLs; installed ones serve: %s (see kache plugin list)", scheme,
			  b.len ? b.data : "none");
}

int kache_dropin_load_scheme(const struct kache_conf *conf, const char *scheme, struct kache_module **out,
			     struct kache_error *err)
{
	struct kache_dropins all;
	int rc;

	*out = NULL;
	kache_dropins_find(conf, &all);
	for (size_t i = 0; i < all.n; i++)
		if (!all.v[i].disabled && serves(all.v[i].schemes, scheme)) {
			rc = kache_dropin_load(&all.v[i], out, err);
			goto out;
		}
	for (size_t i = 0; i < all.n; i++) {	/* those that have to be asked */
		struct kache_error why;

		if (all.v[i].disabled || all.v[i].schemes)
			continue;
		rc = kache_dropin_load(&all.v[i], out, &why);
		if (rc)
			kache_warn("plugins: %s", why.text);
		else if (serves((*out)->be.schemes, scheme))
			goto out;
		*out = NULL;
	}
	rc = no_backend(&all, scheme, err);
out:
	kache_dropins_release(&all);
	return rc;
}
