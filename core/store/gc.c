#include "config.h"
#include "store/gc.h"

#include "base/clock.h"
#include "store/gc-plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int kache_gc_lock(const struct kache_store *s, int *out, struct kache_error *err)
{
	KACHE_AUTO_FREE char *path = kache_store_file(s, "gc.lock");
	KACHE_AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0)
		return kache_fail_errno(err, "lock file %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			return kache_fail(err, KACHE_E_BUSY, "%s is being cleaned up or repaired by another process",
					  s->root);
		return kache_fail_errno(err, "lock file %s", path);
	}
	*out = fd;
	fd = -1;
	return KACHE_OK;
}

void kache_gc_mark(int fd)
{
	(void)futimens(fd, NULL);	/* where that fails the index is right a little later */
}

static void mark(struct kache_gc *g)
{
	if (!g->marked && g->lock >= 0)
		kache_gc_mark(g->lock);
	g->marked = true;
}

/* Nobody but us removes entries, but anybody may write one anew, which is then another file. */
static int drop_entries(struct kache_gc *g)
{
	for (size_t i = 0; i < g->keys.n; i++) {
		const struct kache_gc_entry *e = &g->entries[i];
		KACHE_AUTO_FREE char *path = NULL;
		struct kache_stat st;

		if (!e->doomed)
			continue;
		if (!g->o->dry_run) {
			path = kache_store_path(g->s, "entries", &g->keys.items[i].key);
			if (kache_stat(path, false, &st) || st.ino != e->ino || st.mtime != e->mtime)
				continue;
			mark(g);
			if (unlink(path) && errno != ENOENT)
				return kache_fail_errno(g->err, "entry %s", path);
		}
		g->report->entries_removed++;
		g->report->bytes_freed += e->bytes;
	}
	return KACHE_OK;
}

static bool entry_gone(const struct kache_gc *g, const struct kache_hash *key)
{
	size_t at = kache_table_find(&g->keys, key);
	KACHE_AUTO_FREE char *path = NULL;

	if (at != SIZE_MAX && (g->o->dry_run || !g->entries[at].doomed))
		return g->entries[at].doomed;
	path = kache_store_path(g->s, "entries", key);
	return access(path, F_OK) && errno == ENOENT;
}

/* Leaves the sets that lead to an entry; true if any went. */
static bool prune(struct kache_gc *g, struct kache_manifest *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_sets; i++) {
		if (entry_gone(g, &m->sets[i].result))
			free(m->sets[i].inputs);
		else
			m->sets[n++] = m->sets[i];
	}
	g->report->sets_removed += m->n_sets - n;
	if (n == m->n_sets)
		return false;
	m->n_sets = n;
	if (n) {	/* adding its first set anew drops the names that nobody uses now */
		struct kache_input_set head = m->sets[0];

		memmove(m->sets, m->sets + 1, --m->n_sets * sizeof *m->sets);
		kache_manifest_add(m, &head);
	}
	return true;
}

static int remove_manifest(struct kache_gc *g, const struct kache_scan_item *item)
{
	mark(g);
	if (!g->o->dry_run && unlink(item->path) && errno != ENOENT)
		return kache_fail_errno(g->err, "manifest %s", item->path);
	g->report->manifests_removed++;
	g->report->bytes_freed += item->st.size;
	return KACHE_OK;
}

static int shrink_manifest(struct kache_gc *g, const struct kache_scan_item *item, const struct kache_manifest *m)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_stat st;

	kache_manifest_encode(m, &b);
	/* A builder may have written it since; what it added weighs more than what we would drop. */
	if (kache_stat(item->path, false, &st) || st.ino != item->st.ino || st.mtime != item->st.mtime)
		return KACHE_OK;
	if (!g->o->dry_run && kache_manifest_put(g->s, m, g->err))
		return KACHE_E_IO;
	if (b.len < item->st.size)
		g->report->bytes_freed += item->st.size - b.len;
	return KACHE_OK;
}

static int tend_manifest(void *arg, const struct kache_scan_item *item)
{
	struct kache_gc *g = arg;
	struct kache_manifest m;
	int rc;

	if (item->what != KACHE_SCAN_OBJECT || kache_gc_young(g, item->st.mtime, g->o->spare_s))
		return KACHE_OK;
	rc = kache_scan_manifest(item, &m);
	if (rc == KACHE_E_CORRUPT)
		return remove_manifest(g, item);
	if (rc)		/* gone, of a newer kache, or unreadable: of no harm where it is */
		return KACHE_OK;
	if (prune(g, &m))
		rc = m.n_sets ? shrink_manifest(g, item, &m) : remove_manifest(g, item);
	kache_manifest_release(&m);
	return rc;
}

/* An entry that the plan did not see, or not as it is now. */
static int need_blobs_of(struct kache_gc *g, const struct kache_hash *key)
{
	KACHE_AUTO_FREE char *path = kache_store_path(g->s, "entries", key);
	const struct kache_scan_item item = { .what = KACHE_SCAN_OBJECT, .path = path, .hash = *key };
	struct kache_entry e;
	int rc = kache_scan_entry(&item, &e);

	if (rc == KACHE_E_NOENT)
		return KACHE_OK;
	g->report->entries_left++;
	/* What an entry of a newer format needs is not known; that kache compiles again at worst. */
	if (rc == KACHE_E_CORRUPT || rc == KACHE_E_VERSION)
		return KACHE_OK;
	if (rc)
		return kache_fail_errno(g->err, "entry %s", path);
	for (size_t i = 0; i < e.n_outputs; i++) {
		size_t at = e.outputs[i].inline_data ? SIZE_MAX : kache_table_find(&g->by_hash, &e.outputs[i].blob);

		if (at != SIZE_MAX)
			g->blobs[at].needed = true;
	}
	kache_entry_release(&e);
	return KACHE_OK;
}

/* Entries come to their names by rename, so one with the inode of before is the one that the plan has read. Should a number have
 * been used twice meanwhile, what that entry needs has just been put in or marked, and is too young to go. */
static int need_blobs(void *arg, const struct kache_hash *key, uint64_t ino)
{
	struct kache_gc *g = arg;
	size_t at = kache_table_find(&g->keys, key);

	if (at != SIZE_MAX && g->entries[at].doomed && g->o->dry_run)
		return KACHE_OK;
	if (at == SIZE_MAX || g->entries[at].doomed || g->entries[at].ino != ino)
		return need_blobs_of(g, key);
	g->report->entries_left++;
	return KACHE_OK;
}

/* Blobs that came after the survey are none of our business: somebody is about to need them. */
static int sweep_blob(struct kache_gc *g, size_t at)
{
	const struct kache_gc_blob *b = &g->blobs[at];
	/* Whether the entries that go now were the last that needed it. */
	const uint64_t grace = g->o->at_once && b->was_used ? 0 : g->o->grace_s;
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_stat st;

	if (b->users || b->needed)
		return KACHE_OK;
	path = kache_store_path(g->s, "blobs", &g->by_hash.items[at].key);
	if (kache_stat(path, false, &st) || !S_ISREG(st.mode))
		return KACHE_OK;
	/* A publisher that counts on it has marked it by now: asked again at the last moment. */
	if (st.ctime >= g->now || kache_gc_young(g, st.ctime, grace)) {
		g->report->blobs_in_grace++;
		return KACHE_OK;
	}
	mark(g);
	if (!g->o->dry_run && unlink(path)) {
		if (errno == ENOENT)
			return KACHE_OK;
		return kache_fail_errno(g->err, "blob %s", path);
	}
	g->report->blobs_removed++;
	g->report->bytes_freed += st.size;
	return KACHE_OK;
}

static int sweep_blobs(struct kache_gc *g)
{
	int rc = KACHE_OK;

	for (size_t i = 0; i < g->by_hash.n && !rc; i++)
		rc = sweep_blob(g, i);
	return rc;
}

static int sweep_temps(struct kache_gc *g)
{
	/* Those beside objects went when the objects were looked at. */
	static const char *const kinds[] = { "tmp", "compilers", "events", "plans", "." };
	int rc = KACHE_OK;

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !rc; i++)
		rc = kache_scan(g->s, kinds[i], kache_gc_temp, g, g->err);
	return rc;
}

static int collect(struct kache_gc *g)
{
	int rc = kache_gc_plan(g);

	if (!rc)
		rc = drop_entries(g);
	if (!rc)
		rc = kache_scan(g->s, "manifests", tend_manifest, g, g->err);
	/* Listed anew, after the last removal: what was published meanwhile counts. */
	if (!rc)
		rc = kache_scan_names(g->s, "entries", need_blobs, g, g->err);
	if (!rc)
		rc = sweep_blobs(g);
	if (!rc)
		rc = sweep_temps(g);
	g->report->bytes_after = g->report->bytes_before > g->report->bytes_freed
				 ? g->report->bytes_before - g->report->bytes_freed : 0;
	return rc;
}

static int leftovers(struct kache_gc *g)
{
	return kache_scan(g->s, "tmp", kache_gc_temp, g, g->err);
}

static int under_lock(int (*work)(struct kache_gc *), struct kache_store *s, const struct kache_gc_options *o,
		      struct kache_gc_report *report, struct kache_error *err)
{
	struct kache_gc g = { .s = s, .o = o, .report = report, .err = err, .now = kache_now_real(), .lock = -1 };
	int rc = KACHE_OK;

	*report = (struct kache_gc_report){ 0 };
	if (!o->dry_run)
		rc = kache_gc_lock(s, &g.lock, err);
	if (!rc)
		rc = work(&g);
	if (g.marked && g.lock >= 0)
		kache_gc_mark(g.lock);
	kache_auto_close(&g.lock);
	kache_gc_release(&g);
	return rc;
}

int kache_gc(struct kache_store *s, const struct kache_gc_options *o, struct kache_gc_report *report,
	     struct kache_error *err)
{
	return under_lock(collect, s, o, report, err);
}

int kache_gc_leftovers(struct kache_store *s, const struct kache_gc_options *o, struct kache_gc_report *report,
		       struct kache_error *err)
{
	return under_lock(leftovers, s, o, report, err);
}
