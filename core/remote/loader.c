#include "config.h"
#include "remote/loader.h"

#include "base/buf.h"
#include "base/path.h"
#include "base/strs.h"
#include "remote/host.h"
#include "remote/options.h"
#include "remote/wait.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* dladdr, and keeping a module for ever, are extensions that every system we know has. */
#define STRING(x) STRING_(x)
#define STRING_(x) #x
#define ENTRY "kache_backend_" STRING(KB_ABI_MAJOR)

enum { MAX_NAME = 32, MAX_OPTIONS = 200 };
/* What every module of major 1 has: the whole struct of ABI 1.0. */
#define MIN_BACKEND (offsetof(struct kb_backend, ping) + sizeof ((struct kb_backend *)0)->ping)
#define MIN_OPTION  (offsetof(struct kb_opt, help) + sizeof ((struct kb_opt *)0)->help)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kache_module *loaded;

bool kache_module_name_ok(const char *name)
{
	return *name >= 'a' && *name <= 'z' && strlen(name) <= MAX_NAME &&
	       !name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")];
}

char *kache_module_name(const char *file)
{
	KACHE_AUTO_FREE char *name = NULL;
	char *out;

	if (!kache_starts(file, "kache-") || !kache_ends(file, ".so") || strlen(file) < strlen("kache-x.so"))
		return NULL;
	name = kache_strndup(file + strlen("kache-"), strlen(file) - strlen("kache-.so"));
	if (!kache_module_name_ok(name))
		return NULL;
	out = name;
	name = NULL;
	return out;
}

int kache_module_trust(const char *path, struct kache_error *err)
{
	KACHE_AUTO_FREE char *name = kache_module_name(kache_path_base(path));
	struct stat st;

	if (stat(path, &st))
		return errno == ENOENT ? kache_fail(err, KACHE_E_NOENT, "%s does not exist", path)
				       : kache_fail_errno(err, "%s", path);
	if (!name)
		return kache_fail(err, KACHE_E_INVALID, "%s: a backend's file is named kache-<name>.so, <name> of a-z, 0-9 and '-'",
				  path);
	if (!S_ISREG(st.st_mode))
		return kache_fail(err, KACHE_E_INVALID, "%s is not a regular file", path);
	if (st.st_uid && st.st_uid != geteuid())
		return kache_fail(err, KACHE_E_INVALID, "%s belongs to user %lu; a backend belongs to root or to you", path,
				  (unsigned long)st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return kache_fail(err, KACHE_E_INVALID, "%s may be written by others (mode %03o); chmod go-w it", path,
				  (unsigned)st.st_mode & 0777);
	return KACHE_OK;
}

/* No entry of our major: is there one of another? */
static int wrong_major(void *dl, const char *path, struct kache_error *err)
{
	for (int major = 0; major < 20; major++) {
		KACHE_AUTO_FREE char *symbol = kache_asprintf("kache_backend_%d", major);

		if (major == KB_ABI_MAJOR || !dlsym(dl, symbol))
			continue;
		if (major > KB_ABI_MAJOR)
			return kache_fail(err, KACHE_E_VERSION, "%s was built for backend ABI %d, this kache speaks %d; upgrade kache",
					  path, major, KB_ABI_MAJOR);
		return kache_fail(err, KACHE_E_VERSION, "%s was built for backend ABI %d, this kache speaks %d; rebuild the backend",
				  path, major, KB_ABI_MAJOR);
	}
	return kache_fail(err, KACHE_E_INVALID, "%s is not a kache backend: it has no symbol %s", path, ENTRY);
}

/* dlsym also searches what the module is linked to; the entry has to be the module's own. */
static bool is_own(void *dl, void *entry, const char *path)
{
	struct stat a, b;
	Dl_info info;

	(void)dl;
	return dladdr(entry, &info) && info.dli_fname && !stat(info.dli_fname, &a) && !stat(path, &b) &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int bug(struct kache_error *err, const char *path, const char *what)
{
	return kache_fail(err, KACHE_E_INVALID, "%s is not a usable backend: %s", path, what);
}

static int copy_options(struct kache_module *m, const struct kb_backend *be, struct kache_error *err)
{
	const char *at = (const char *)be->opts;
	size_t size = be->opt_size < sizeof(struct kb_opt) ? be->opt_size : sizeof(struct kb_opt);

	if (!at)
		return KACHE_OK;
	if (be->opt_size < MIN_OPTION)
		return bug(err, m->path, "opt_size is too small");
	for (;; at += be->opt_size) {
		struct kb_opt o = { 0 };
		uint64_t number;

		memcpy(&o, at, size);
		if (!o.name)
			return KACHE_OK;
		if (m->n_opts == MAX_OPTIONS)
			return bug(err, m->path, "its option table has no end");
		if (!kache_module_name_ok(o.name) || (o.alias && !kache_module_name_ok(o.alias)))
			return bug(err, m->path, "an option's name is not of a-z, 0-9 and '-'");
		if (kache_option_reserved(o.name) || (o.alias && kache_option_reserved(o.alias)))
			return kache_fail(err, KACHE_E_INVALID, "%s is not a usable backend: option %s belongs to kache", m->path,
					  o.name);
		if (o.def && kache_option_check(&o, o.def, &number))
			return kache_fail(err, KACHE_E_INVALID, "%s is not a usable backend: the default of option %s is not valid",
					  m->path, o.name);
		m->opts = kache_realloc(m->opts, m->n_opts + 1, sizeof *m->opts);
		m->opts[m->n_opts++] = o;
	}
}

static int check_table(struct kache_module *m, const struct kb_backend *be, struct kache_error *err)
{
	KACHE_AUTO_FREE char *name = kache_module_name(kache_path_base(m->path));

	if (be->magic != KB_MAGIC)
		return bug(err, m->path, "wrong magic number");
	if (be->abi_major != KB_ABI_MAJOR)
		return kache_fail(err, KACHE_E_VERSION, "%s says backend ABI %u, this kache speaks %d", m->path, be->abi_major,
				  KB_ABI_MAJOR);
	if (be->struct_size < MIN_BACKEND)
		return bug(err, m->path, "struct_size is too small");
	memcpy(&m->be, be, be->struct_size < sizeof m->be ? be->struct_size : sizeof m->be);
	if (!be->name || !be->version || !be->summary || !be->schemes)
		return bug(err, m->path, "name, version, summary or schemes is missing");
	if (strcmp(be->name, name))
		return kache_fail(err, KACHE_E_INVALID, "%s calls itself %.32s; the file's name has to say the same", m->path,
				  be->name);
	if (!be->open || !be->close || !be->get || !be->put)
		return bug(err, m->path, "open, close, get or put is missing");
	if (be->threads != KB_THREADS_SERIAL && be->threads != KB_THREADS_PER_HANDLE && be->threads != KB_THREADS_PARALLEL)
		return bug(err, m->path, "an unknown thread model");
	return copy_options(m, be, err);
}

static int load(const char *path, struct kache_module **out, struct kache_error *err)
{
	struct kache_module *m = NULL;
	const struct kb_backend *be;
	kb_entry_fn *enter;
	void *dl, *entry;
	int rc;

	dl = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!dl)
		return kache_fail(err, KACHE_E_INVALID, "%s can't be loaded: %s", path, dlerror());
	entry = dlsym(dl, ENTRY);
	if (!entry)
		return wrong_major(dl, path, err);
	if (!is_own(dl, entry, path))
		return bug(err, path, ENTRY " is not its own but of a library it uses");
	memcpy(&enter, &entry, sizeof enter);	/* POSIX allows what ISO C has no conversion for */
	kache_host_speaker(kache_path_base(path));
	be = enter(&kache_host);
	kache_host_speaker(NULL);
	if (!be)
		return bug(err, path, "it declined to start");
	m = kache_calloc(1, sizeof *m);
	m->path = kache_strdup(path);
	m->entry = enter;
	rc = check_table(m, be, err);
	if (rc) {
		free(m->opts);
		free(m->path);
		free(m);
		return rc;
	}
	m->next = loaded;
	loaded = m;
	*out = m;
	return KACHE_OK;
}

int kache_module_load(const char *path, struct kache_module **out, struct kache_error *err)
{
	KACHE_AUTO_FREE char *real = kache_path_real(path);
	struct kache_module *m;
	int rc;

	*out = NULL;
	if (!real)
		return kache_fail(err, KACHE_E_NOENT, "%s does not exist", path);
	rc = kache_module_trust(real, err);
	if (rc)
		return rc;
	pthread_mutex_lock(&lock);
	for (m = loaded; m && strcmp(m->path, real); m = m->next)
		;
	if (m)
		*out = m;
	else
		rc = load(real, out, err);
	pthread_mutex_unlock(&lock);
	return rc;
}

/* ---- one call at a time ---- */

static pthread_mutex_t serial_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t serial_freed;
static pthread_once_t serial_once = PTHREAD_ONCE_INIT;

static void serial_start(void)
{
	kache_cond_init(&serial_freed);
}

int kache_module_enter(struct kache_module *m, struct kache_call *call)
{
	int rc = KB_OK;

	if (m->be.threads != KB_THREADS_SERIAL)
		return KB_OK;
	pthread_once(&serial_once, serial_start);
	pthread_mutex_lock(&serial_lock);
	while (m->busy && !rc) {
		if (call)
			rc = kache_call_wait(call, &serial_freed, &serial_lock, "the backend did one thing after the other, and this one's turn did not come in time");
		else
			pthread_cond_wait(&serial_freed, &serial_lock);
	}
	if (!rc)
		m->busy = true;
	pthread_mutex_unlock(&serial_lock);
	return rc;
}

void kache_module_leave(struct kache_module *m)
{
	if (m->be.threads != KB_THREADS_SERIAL)
		return;
	pthread_mutex_lock(&serial_lock);
	m->busy = false;
	pthread_cond_broadcast(&serial_freed);
	pthread_mutex_unlock(&serial_lock);
}
