/* What there is on both sides, and what has to move. */
#include "config.h"
#include "cli/sync.h"

#include "base/buf.h"
#include "base/log.h"
#include "store/index.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_THREADS = 8 };
#define PACK_SUFFIX ".tar.zst"

struct object {
	struct kache_hash hash;
	char *folder;
	uint64_t size;
};
struct objects {
	struct object *v;
	size_t n, cap;
};

struct planner {
	struct kache_sync *s;
	struct kache_sync_plan *plan;
	pthread_mutex_t lock;		/* over what the listing threads share: the rest up to failure */
	struct objects packs, manifests;	/* of the remote */
	size_t next_folder;
	int rc;
	struct kache_error failure;
};

static void add(struct objects *o, const struct kache_hash *h, const char *folder, size_t len, uint64_t size)
{
	if (o->n == o->cap) {
		o->cap = o->cap ? o->cap * 2 : 64;
		o->v = kache_realloc(o->v, o->cap, sizeof *o->v);
	}
	o->v[o->n++] = (struct object){ *h, kache_strndup(folder, len), size };
}

static void release(struct objects *o)
{
	for (size_t i = 0; i < o->n; i++)
		free(o->v[i].folder);
	free(o->v);
}

static int by_hash(const void *a, const void *b)
{
	return memcmp(&((const struct object *)a)->hash, &((const struct object *)b)->hash, sizeof(struct kache_hash));
}

static const struct object *find(const struct objects *o, const struct kache_hash *h)
{
	const struct object key = { .hash = *h };

	return o->n ? bsearch(&key, o->v, o->n, sizeof *o->v, by_hash) : NULL;
}

/* "<folder>/<hash>.tar.zst" or "_m/<folder>/<hash>"; whatever else lies there is not ours. */
static int listed(void *arg, struct kb_key key, const struct kb_stat *st)
{
	struct planner *p = arg;
	const char *name = key.name, *slash, *end = key.name + key.len;
	bool manifest = key.len > 3 && !memcmp(name, "_m/", 3) && memchr(name + 3, '/', key.len - 3);
	size_t suffix = manifest ? 0 : strlen(PACK_SUFFIX);
	struct kache_hash h;

	if (manifest)
		name += 3;
	slash = memchr(name, '/', (size_t)(end - name));
	if (!slash || (size_t)(end - slash - 1) != KACHE_HEX_LEN + suffix ||
	    memcmp(end - suffix, PACK_SUFFIX, suffix) || !kache_hash_parse(slash + 1, KACHE_HEX_LEN, &h))
		return 0;
	pthread_mutex_lock(&p->lock);
	add(manifest ? &p->manifests : &p->packs, &h, name, (size_t)(slash - name), st ? st->size : 0);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static int list_prefix(struct planner *p, const char *prefix)
{
	struct kache_call call;
	int rc;

	kache_call_init(&call, kache_remote_deadline(p->s->share.remote, 0), p->s->share.cancel_fd);
	rc = kache_remote_list(p->s->share.remote, (struct kb_key){ prefix, strlen(prefix) }, listed, p, &call);
	if (rc >= 0 || (rc == KB_E_UNSUPPORTED && !p->s->pull))	/* a push can do without */
		return KACHE_OK;
	pthread_mutex_lock(&p->lock);
	if (!p->rc)
		p->rc = kache_fail(&p->failure, KACHE_E_REMOTE, "listing %s: %s%s", kache_remote_info(p->s->share.remote)->url,
				   call.err.text, rc == KB_E_UNSUPPORTED ? "; only --push works with it" : "");
	pthread_mutex_unlock(&p->lock);
	return KACHE_E_REMOTE;
}

static void *list_folders(void *arg)
{
	struct planner *p = arg;

	for (;;) {
		KACHE_AUTO_FREE char *packs = NULL, *manifests = NULL;
		const struct kache_strs *f = &p->s->folders;
		size_t i;

		pthread_mutex_lock(&p->lock);
		i = p->rc ? f->n : p->next_folder++;
		pthread_mutex_unlock(&p->lock);
		if (i >= f->n)
			return NULL;
		if (i && !strcmp(f->v[i], f->v[i - 1]))
			continue;
		packs = kache_asprintf("%s/", f->v[i]);
		manifests = kache_asprintf("_m/%s/", f->v[i]);
		if (list_prefix(p, packs) || list_prefix(p, manifests))
			return NULL;
	}
}

static int list_remote(struct planner *p)
{
	pthread_t threads[LIST_THREADS];
	size_t n = 0;

	if (!kache_remote_info(p->s->share.remote)->can_list)
		return KACHE_OK;
	if (p->s->all) {
		list_prefix(p, "");
	} else {
		while (n < LIST_THREADS && !pthread_create(&threads[n], NULL, list_folders, p))
			n++;
		if (!n)
			list_folders(p);
		while (n)
			pthread_join(threads[--n], NULL);
	}
	if (p->packs.n)
		qsort(p->packs.v, p->packs.n, sizeof *p->packs.v, by_hash);
	if (p->manifests.n)
		qsort(p->manifests.v, p->manifests.n, sizeof *p->manifests.v, by_hash);
	return p->rc;
}

static void add_job(struct kache_sync_plan *plan, enum kache_sync_kind kind, const struct kache_hash *h,
		    const char *folder, uint64_t size, bool remote)
{
	if (!(plan->n & (plan->n - 1)))		/* full at powers of two */
		plan->jobs = kache_realloc(plan->jobs, plan->n ? plan->n * 2 : 1, sizeof *plan->jobs);
	plan->jobs[plan->n++] = (struct kache_sync_job){
		.kind = kind, .hash = *h, .folder = kache_strdup(folder), .size = size, .remote = remote,
	};
}

/* Takes back what was added since the plan had n jobs. */
static void cut_plan(struct kache_sync_plan *plan, size_t n)
{
	while (plan->n > n)
		free(plan->jobs[--plan->n].folder);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool takes_part(const struct kache_sync *s, const char *folder)
{
	return s->all || (s->folders.n && bsearch(&folder, s->folders.v, s->folders.n, sizeof *s->folders.v, by_name));
}

static int local_entry(void *arg, const struct kache_hash *h, const char *path, const struct kache_stat *st)
{
	struct planner *p = arg;
	KACHE_AUTO_FREE char *folder = NULL;
	struct kache_entry e;

	(void)path;
	(void)st;
	if (find(&p->packs, h)) {
		p->plan->both++;
		return 0;
	}
	if (!p->s->push || kache_entry_get(p->s->share.store, h, &e))
		return 0;
	folder = kache_share_folder(e.package);
	if (takes_part(p->s, folder) && !kache_entry_local(&e))
		add_job(p->plan, KACHE_SYNC_PUSH, h, folder, kache_entry_size(&e), false);
	kache_entry_release(&e);
	return 0;
}

/* Whether a manifest leads to what is good for this machine only. */
static bool leads_to_local(struct kache_store *store, const struct kache_manifest *m)
{
	struct kache_entry e;
	bool local;

	if (!m->n_sets || kache_entry_get(store, &m->sets[0].result, &e))
		return false;
	local = kache_entry_local(&e);
	kache_entry_release(&e);
	return local;
}

static int local_manifest(void *arg, const struct kache_hash *h, const char *path, const struct kache_stat *st)
{
	struct planner *p = arg;
	KACHE_AUTO_FREE char *folder = NULL;
	struct kache_manifest m;

	(void)path;
	(void)st;
	if (find(&p->manifests, h) || !p->s->push || kache_manifest_get(p->s->share.store, h, &m))
		return 0;
	folder = kache_share_folder(m.package);
	if (takes_part(p->s, folder) && !leads_to_local(p->s->share.store, &m))
		add_job(p->plan, KACHE_SYNC_MANIFEST, h, folder, 0, !kache_remote_info(p->s->share.remote)->can_list);
	kache_manifest_release(&m);
	return 0;
}

/* A backend may name an object twice. */
static bool repeated(const struct objects *o, size_t i)
{
	return i && kache_hash_eq(&o->v[i].hash, &o->v[i - 1].hash);
}

static bool have(struct kache_store *store, const char *kind, const struct kache_hash *h)
{
	KACHE_AUTO_FREE char *path = kache_store_path(store, kind, h);
	struct kache_stat st;

	return !kache_stat(path, false, &st);
}

/* ---- what the store has, by the index ---- */

struct local {
	struct planner *p;
	struct kache_strs packages;	/* that take part */
	const char *folder;		/* of the package in hand */
	struct objects manifests;
};

static int local_package(void *arg, const char *package)
{
	struct local *l = arg;
	KACHE_AUTO_FREE char *folder = kache_share_folder(package);

	if (takes_part(l->p->s, folder))
		kache_strs_add(&l->packages, package);
	return 0;
}

static int indexed_entry(void *arg, const struct kache_hash *key, const struct kache_hash *invocation, uint64_t size)
{
	struct local *l = arg;
	struct planner *p = l->p;

	if (find(&p->packs, key))
		p->plan->both++;
	else if (p->s->push && have(p->s->share.store, "entries", key))
		add_job(p->plan, KACHE_SYNC_PUSH, key, l->folder, size, false);
	if (p->s->push && !find(&p->manifests, invocation))
		add(&l->manifests, invocation, l->folder, strlen(l->folder), 0);
	return 0;
}

/* False where the index is no help: then the files are read. */
static bool entries_by_index(struct planner *p, struct local *l)
{
	struct kache_index *x;
	struct kache_error err;
	bool good;

	if (kache_index_open(p->s->share.store, &x, NULL, &err))
		return false;
	good = kache_index_current(x) && !kache_index_packages(x, local_package, l);
	for (size_t i = 0; good && i < l->packages.n; i++) {
		KACHE_AUTO_FREE char *folder = kache_share_folder(l->packages.v[i]);

		l->folder = folder;
		good = !kache_index_of_package(x, l->packages.v[i], indexed_entry, l);
	}
	kache_index_close(x);
	return good;
}

static void manifests_by_index(struct planner *p, struct local *l)
{
	const struct objects *o = &l->manifests;

	if (o->n)
		qsort(o->v, o->n, sizeof *o->v, by_hash);
	for (size_t i = 0; i < o->n; i++)
		if (!repeated(o, i) && have(p->s->share.store, "manifests", &o->v[i].hash))
			add_job(p->plan, KACHE_SYNC_MANIFEST, &o->v[i].hash, o->v[i].folder, 0,
				!kache_remote_info(p->s->share.remote)->can_list);
}

static void compare(struct planner *p)
{
	struct kache_sync *s = p->s;
	struct local local = { .p = p };
	size_t pulls, both = p->plan->both;
	bool indexed;

	for (size_t i = 0; s->pull && i < p->packs.n; i++) {
		const struct object *o = &p->packs.v[i];

		if (!repeated(&p->packs, i) && !have(s->share.store, "entries", &o->hash))
			add_job(p->plan, KACHE_SYNC_PULL, &o->hash, o->folder, o->size, true);
	}
	pulls = p->plan->n;
	indexed = entries_by_index(p, &local);
	if (!indexed) {
		cut_plan(p->plan, pulls);
		p->plan->both = both;
		kache_store_walk(s->share.store, "entries", local_entry, p);
	}
	p->plan->n_packs = p->plan->n;
	for (size_t i = 0; i < p->manifests.n; i++) {
		const struct object *o = &p->manifests.v[i];

		if (!repeated(&p->manifests, i) && (s->pull || have(s->share.store, "manifests", &o->hash)))
			add_job(p->plan, KACHE_SYNC_MANIFEST, &o->hash, o->folder, o->size, true);
	}
	if (indexed)
		manifests_by_index(p, &local);
	else
		kache_store_walk(s->share.store, "manifests", local_manifest, p);
	kache_strs_release(&local.packages);
	release(&local.manifests);
}

int kache_sync_plan(struct kache_sync *s, struct kache_sync_plan *out, struct kache_error *err)
{
	struct planner p = { .s = s, .plan = out, .lock = PTHREAD_MUTEX_INITIALIZER };
	int rc;

	*out = (struct kache_sync_plan){ 0 };
	rc = list_remote(&p);
	if (rc)
		rc = kache_fail(err, rc, "%s", p.failure.text);
	else
		compare(&p);
	release(&p.packs);
	release(&p.manifests);
	pthread_mutex_destroy(&p.lock);
	return rc;
}

void kache_sync_plan_release(struct kache_sync_plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->jobs[i].folder);
	free(p->jobs);
	*p = (struct kache_sync_plan){ 0 };
}
