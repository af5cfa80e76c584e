/* Entries and manifests on disk. */
#include "config.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_OBJECT = 256 << 20 };

static int load(struct kache_store *s, const char *kind, const struct kache_hash *h, struct kache_buf *out, char **path)
{
	*path = kache_store_path(s, kind, h);
	if (kache_file_read(*path, MAX_OBJECT, out))
		return errno == ENOENT ? KACHE_E_NOENT : KACHE_E_IO;
	return KACHE_OK;
}

/* What fails its check is of no use to anybody: it goes, and the next compile writes it anew. */
static int judge(struct kache_store *s, const char *path, int rc)
{
	if (rc == KACHE_E_CORRUPT && !s->readonly)
		unlink(path);
	return rc;
}

int kache_entry_get(struct kache_store *s, const struct kache_hash *key, struct kache_entry *out)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *path = NULL;
	int rc = load(s, "entries", key, &b, &path);

	if (rc)
		return rc;
	rc = kache_entry_decode(b.data, b.len, out);
	if (!rc && !kache_hash_eq(&out->key, key)) {
		kache_entry_release(out);
		rc = KACHE_E_CORRUPT;
	}
	return judge(s, path, rc);
}

int kache_entry_put(struct kache_store *s, const struct kache_entry *e, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *path = kache_store_path(s, "entries", &e->key);

	kache_entry_encode(e, &b);
	if (kache_file_replace(path, b.data, b.len, 0644))
		return kache_fail_errno(err, "entry %s", path);
	return KACHE_OK;
}

int kache_entry_remove(struct kache_store *s, const struct kache_hash *key)
{
	KACHE_AUTO_FREE char *path = kache_store_path(s, "entries", key);

	return unlink(path) && errno != ENOENT ? KACHE_E_IO : KACHE_OK;
}

int kache_manifest_get(struct kache_store *s, const struct kache_hash *invocation, struct kache_manifest *out)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *path = NULL;
	int rc = load(s, "manifests", invocation, &b, &path);

	if (rc)
		return rc;
	rc = kache_manifest_decode(b.data, b.len, out);
	if (!rc && !kache_hash_eq(&out->invocation, invocation)) {
		kache_manifest_release(out);
		rc = KACHE_E_CORRUPT;
	}
	return judge(s, path, rc);
}

int kache_manifest_put(struct kache_store *s, const struct kache_manifest *m, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *path = kache_store_path(s, "manifests", &m->invocation);

	kache_manifest_encode(m, &b);
	if (kache_file_replace(path, b.data, b.len, 0644))
		return kache_fail_errno(err, "manifest %s", path);
	return KACHE_OK;
}

int kache_manifest_update(struct kache_store *s, struct kache_manifest *m, struct kache_error *err)
{
	struct kache_manifest there;

	if (!kache_manifest_get(s, &m->invocation, &there)) {
		kache_manifest_merge(m, &there);
		kache_manifest_release(&there);
	}
	return kache_manifest_put(s, m, err);
}
