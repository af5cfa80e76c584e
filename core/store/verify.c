#include "config.h"
#include "store/verify.h"

#include "base/path.h"
#include "base/strs.h"
#include "store/gc.h"
#include "store/map.h"
#include "store/rehash.h"
#include "store/scan.h"
#include "store/table.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct verify {
	struct kache_store *s;
	const struct kache_verify_options *o;
	struct kache_verify_report *report;
	struct kache_error *err;
	struct kache_table sizes;	/* of blobs as entries tell them */
	struct kache_table present;	/* blobs that are there: 1 sound, 0 not (any more) */
	struct kache_rehash work;	/* blobs whose content is to be checked */
	int lock;			/* gc.lock, -1 where nothing may be removed */
	bool marked;			/* see kache_gc_mark */
};

static const struct {
	const char *name;
	bool harmful;
} kinds[KACHE_PROBLEM_KINDS] = {
	[KACHE_PROBLEM_ENTRY_CORRUPT] = { "corrupt entry", true },
	[KACHE_PROBLEM_BLOB_MISSING] = { "entry without its blobs", true },
	[KACHE_PROBLEM_BLOB_SIZE] = { "blob with wrong size", true },
	[KACHE_PROBLEM_BLOB_TIME] = { "blob that was written to", true },
	[KACHE_PROBLEM_BLOB_MODE] = { "blob with wrong mode", true },
	[KACHE_PROBLEM_BLOB_CONTENT] = { "blob with wrong content", true },
	[KACHE_PROBLEM_MANIFEST_CORRUPT] = { "corrupt manifest", true },
	[KACHE_PROBLEM_UNREADABLE] = { "unreadable file", true },
	[KACHE_PROBLEM_NEWER] = { "file of a newer kache", false },
	[KACHE_PROBLEM_ORPHAN] = { "blob that no entry needs", false },
	[KACHE_PROBLEM_DANGLING] = { "manifest that leads to a missing entry", false },
	[KACHE_PROBLEM_FOREIGN] = { "not a file of kache", false },
};

const char *kache_problem_name(enum kache_problem_kind kind)
{
	return kinds[kind].name;
}

static void tell(struct verify *v, enum kache_problem_kind kind, const char *path, bool repaired)
{
	struct kache_problem p = { kind, path, kinds[kind].harmful, repaired };

	v->report->found[kind]++;
	*(p.harmful ? &v->report->problems : &v->report->remarks) += 1;
	v->report->repaired += repaired && p.harmful;
	if (v->o->each)
		v->o->each(v->o->arg, &p);
}

/* True where path is no more. */
static bool take_out(struct verify *v, const char *path, uint64_t *counter)
{
	if (!v->o->repair)
		return false;
	if (!v->marked)
		kache_gc_mark(v->lock);
	v->marked = true;
	if (unlink(path) && errno != ENOENT)
		return false;
	++*counter;
	return true;
}

static int read_problem(int rc, enum kache_problem_kind corrupt)
{
	return rc == KACHE_E_CORRUPT ? (int)corrupt : rc == KACHE_E_VERSION ? KACHE_PROBLEM_NEWER : KACHE_PROBLEM_UNREADABLE;
}

/* Entries, first time: what they say of their blobs. */
static int learn_entry(void *arg, const struct kache_scan_item *item)
{
	struct verify *v = arg;
	struct kache_entry e;
	int rc, problem;

	if (item->what == KACHE_SCAN_FOREIGN)
		tell(v, KACHE_PROBLEM_FOREIGN, item->path, false);
	if (item->what != KACHE_SCAN_OBJECT)
		return KACHE_OK;
	rc = kache_scan_entry(item, &e);
	if (rc == KACHE_E_NOENT)
		return KACHE_OK;
	v->report->entries++;
	if (rc) {
		problem = read_problem(rc, KACHE_PROBLEM_ENTRY_CORRUPT);
		tell(v, (enum kache_problem_kind)problem, item->path,
		     problem == KACHE_PROBLEM_ENTRY_CORRUPT && take_out(v, item->path, &v->report->entries_removed));
		return KACHE_OK;
	}
	for (size_t i = 0; i < e.n_outputs; i++)
		if (!e.outputs[i].inline_data)
			kache_table_put(&v->sizes, &e.outputs[i].blob, e.outputs[i].size);
	kache_entry_release(&e);
	return KACHE_OK;
}

static void bad_blob(struct verify *v, const struct kache_hash *h, enum kache_problem_kind kind, const char *path)
{
	*kache_table_put(&v->present, h, 0) = 0;
	tell(v, kind, path, take_out(v, path, &v->report->blobs_removed));
}

static int check_blob(void *arg, const struct kache_scan_item *item)
{
	struct verify *v = arg;
	const struct kache_stat *st = &item->st;
	uint64_t *size;

	if (item->what == KACHE_SCAN_FOREIGN)
		tell(v, KACHE_PROBLEM_FOREIGN, item->path, false);
	if (item->what != KACHE_SCAN_OBJECT)
		return KACHE_OK;
	v->report->blobs++;
	v->report->blob_bytes += st->size;
	kache_table_put(&v->present, &item->hash, 1);
	size = kache_table_get(&v->sizes, &item->hash);
	if (size && *size != st->size)
		bad_blob(v, &item->hash, KACHE_PROBLEM_BLOB_SIZE, item->path);
	else if (st->mtime != KACHE_BLOB_TIME_NS && kache_map_blob(v->s, item->path, -1, st, &item->hash) == KACHE_E_CORRUPT)
		bad_blob(v, &item->hash, KACHE_PROBLEM_BLOB_TIME, item->path);
	else if ((st->mode & 07777) != 0644 && (st->mode & 07777) != 0755)
		bad_blob(v, &item->hash, KACHE_PROBLEM_BLOB_MODE, item->path);
	else if (v->o->checksums)
		kache_rehash_add(&v->work, item->path, &item->hash, st->size);
	if (!size)
		tell(v, KACHE_PROBLEM_ORPHAN, item->path, false);
	return KACHE_OK;
}

static void check_contents(struct verify *v)
{
	kache_rehash_run(&v->work, v->o->threads);
	for (size_t i = 0; i < v->work.n; i++) {
		struct kache_rehash_item *item = &v->work.items[i];

		v->report->hashed_bytes += item->size;
		if (item->result == KACHE_E_CORRUPT)
			bad_blob(v, &item->hash, KACHE_PROBLEM_BLOB_CONTENT, item->path);
		else if (item->result == KACHE_E_IO)
			tell(v, KACHE_PROBLEM_UNREADABLE, item->path, false);
	}
}

/* 1 if it may be used, 0 if it is bad, missing otherwise. A blob that came after the blobs were listed
 * is looked for. */
static int blob_state(const struct verify *v, const struct kache_hash *h)
{
	const uint64_t *state = kache_table_get(&v->present, h);
	KACHE_AUTO_FREE char *path = NULL;

	if (state)
		return (int)*state;
	path = kache_store_path(v->s, "blobs", h);
	return access(path, F_OK) ? -1 : 1;
}

/* Entries, second time: whether what they need is there. Those that need a bad blob go with it. */
static int check_entry(void *arg, const struct kache_scan_item *item)
{
	struct verify *v = arg;
	bool missing = false, bad = false;
	struct kache_entry e;

	if (item->what != KACHE_SCAN_OBJECT || kache_scan_entry(item, &e))
		return KACHE_OK;
	for (size_t i = 0; i < e.n_outputs; i++) {
		int state = e.outputs[i].inline_data ? 1 : blob_state(v, &e.outputs[i].blob);

		missing |= state < 0;
		bad |= !state;
	}
	kache_entry_release(&e);
	if (missing)
		tell(v, KACHE_PROBLEM_BLOB_MISSING, item->path, take_out(v, item->path, &v->report->entries_removed));
	else if (bad)
		take_out(v, item->path, &v->report->entries_removed);
	return KACHE_OK;
}

static int check_manifest(void *arg, const struct kache_scan_item *item)
{
	struct verify *v = arg;
	struct kache_manifest m;
	bool dangling = false;
	int rc, problem;

	if (item->what == KACHE_SCAN_FOREIGN)
		tell(v, KACHE_PROBLEM_FOREIGN, item->path, false);
	if (item->what != KACHE_SCAN_OBJECT)
		return KACHE_OK;
	rc = kache_scan_manifest(item, &m);
	if (rc == KACHE_E_NOENT)
		return KACHE_OK;
	v->report->manifests++;
	if (rc) {
		problem = read_problem(rc, KACHE_PROBLEM_MANIFEST_CORRUPT);
		tell(v, (enum kache_problem_kind)problem, item->path,
		     problem == KACHE_PROBLEM_MANIFEST_CORRUPT && take_out(v, item->path, &v->report->manifests_removed));
		return KACHE_OK;
	}
	for (size_t i = 0; i < m.n_sets && !dangling; i++) {
		KACHE_AUTO_FREE char *entry = kache_store_path(v->s, "entries", &m.sets[i].result);

		dangling = access(entry, F_OK) && errno == ENOENT;
	}
	kache_manifest_release(&m);
	if (dangling)
		tell(v, KACHE_PROBLEM_DANGLING, item->path, v->o->repair);
	return KACHE_OK;
}

/* Of the things in tmp only those are told that are no files. */
static int check_temp(void *arg, const struct kache_scan_item *item)
{
	if (item->what == KACHE_SCAN_FOREIGN)
		tell(arg, KACHE_PROBLEM_FOREIGN, item->path, false);
	return KACHE_OK;
}

static void check_root(struct verify *v)
{
	DIR *d = opendir(v->s->root);
	struct dirent *name;

	while (d && (name = readdir(d))) {
		KACHE_AUTO_FREE char *path = kache_store_file(v->s, name->d_name);
		struct kache_stat st;

		if (!strcmp(name->d_name, ".") || !strcmp(name->d_name, "..") || kache_stat(path, false, &st))
			continue;
		if (!kache_store_owns(name->d_name, &st))
			tell(v, KACHE_PROBLEM_FOREIGN, path, false);
	}
	if (d)
		closedir(d);
}

static int check(struct verify *v)
{
	int rc;

	check_root(v);
	rc = kache_scan(v->s, "entries", learn_entry, v, v->err);
	if (!rc)
		rc = kache_scan(v->s, "blobs", check_blob, v, v->err);
	if (rc)
		return rc;
	if (v->o->checksums)
		check_contents(v);
	/* Bad blobs are out before the entries: a builder could take a bad one for good. */
	rc = kache_scan(v->s, "entries", check_entry, v, v->err);
	if (!rc)
		rc = kache_scan(v->s, "manifests", check_manifest, v, v->err);
	if (!rc)
		rc = kache_scan(v->s, "tmp", check_temp, v, v->err);
	return rc;
}

/* gc without bounds: prunes manifests and takes blobs that nobody needs now. */
static int tidy(struct verify *v)
{
	struct kache_gc_options o = KACHE_GC_OPTIONS_INIT;
	struct kache_gc_report r;
	int rc;

	o.spare_s = 0;
	rc = kache_gc(v->s, &o, &r, v->err);
	v->report->entries_removed += r.entries_removed;
	v->report->blobs_removed += r.blobs_removed;
	v->report->manifests_removed += r.manifests_removed;
	return rc;
}

int kache_verify(struct kache_store *s, const struct kache_verify_options *o, struct kache_verify_report *report,
		 struct kache_error *err)
{
	struct verify v = { .s = s, .o = o, .report = report, .err = err, .lock = -1 };
	int rc = KACHE_OK;

	*report = (struct kache_verify_report){ 0 };
	if (s->readonly && o->repair)
		return kache_fail(err, KACHE_E_IO, "%s can't be written to, so it can't be repaired", s->root);
	if (!s->readonly)
		rc = kache_gc_lock(s, &v.lock, err);
	if (!rc)
		rc = check(&v);
	if (v.marked)
		kache_gc_mark(v.lock);
	kache_auto_close(&v.lock);
	if (!rc && o->repair)
		rc = tidy(&v);
	kache_table_release(&v.sizes);
	kache_table_release(&v.present);
	kache_rehash_release(&v.work);
	return rc;
}
