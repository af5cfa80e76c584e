/* One entry to a pack on the remote, and one pack to an entry in the store. */
#include "config.h"
#include "share/share.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "remote/pack.h"
#include "remote/stream.h"
#include "share/import.h"
#include "store/entry-json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum kache_share_result kache_share_judge(int status)
{
	switch (status) {
	case KB_E_CANCELLED:
		return KACHE_SHARE_CANCELLED;
	case KB_E_TOOBIG:
	case KB_MISS:
		return KACHE_SHARE_SKIPPED;
	case KB_E_AUTH:
	case KB_E_CONFIG:
	case KB_E_UNSUPPORTED:
	case KB_E_BUG:
	case KB_E_NOSPACE:
		return KACHE_SHARE_FATAL;
	default:
		return KACHE_SHARE_FAILED;
	}
}

/* A file without a name: nothing of it is left behind, whatever happens. */
static int nameless_file(struct kache_share *s, struct kache_error *err)
{
	const char *tmp = getenv("TMPDIR");
	KACHE_AUTO_FREE char *path = s->store->readonly ? kache_path_join(tmp && *tmp == '/' ? tmp : "/tmp", "kache-pack-XXXXXX")
							: kache_path_join(s->store->root, "tmp/pack-XXXXXX");
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		kache_fail_errno(err, "temporary file %s", path);
	else
		unlink(path);
	return fd;
}

/* ---- push ---- */

struct kache_pack_blob *kache_share_blobs(const struct kache_entry *e, size_t *n)
{
	struct kache_pack_blob *blobs = kache_calloc(e->n_outputs + 1, sizeof *blobs);

	*n = 0;
	for (size_t i = 0; i < e->n_outputs; i++) {
		const struct kache_output *o = &e->outputs[i];
		size_t k = 0;

		if (o->role == KACHE_ROLE_DEPINFO)
			continue;
		while (k < *n && !kache_hash_eq(&blobs[k].hash, &o->blob))
			k++;
		if (k == *n)
			blobs[(*n)++] = (struct kache_pack_blob){ o->blob, o->size };
	}
	return blobs;
}

static int open_blob(void *arg, const struct kache_pack_blob *blob, int *fd, struct kache_error *err)
{
	struct kache_share *s = arg;
	char hex[KACHE_HEX_LEN + 1];
	int rc = kache_blob_open(s->store, &blob->hash, blob->size, fd);

	if (rc)
		return kache_fail(err, rc, "blob %s %s", kache_hash_hex(&blob->hash, hex),
				  rc == KACHE_E_NOENT ? "is missing" : rc == KACHE_E_CORRUPT ? "is damaged" : strerror(errno));
	return KACHE_OK;
}

static int make_pack(struct kache_share *s, const struct kache_entry *e, int fd, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf meta = KACHE_BUF_INIT;
	struct kache_pack_source src = { .open = open_blob, .arg = s };
	struct kache_pack_blob *blobs = kache_share_blobs(e, &src.n_blobs);
	int rc;

	kache_entry_to_json(e, &meta);
	src.meta = meta.data;
	src.meta_len = meta.len;
	src.blobs = blobs;
	rc = kache_pack_write(&src, s->level, fd, err);
	free(blobs);
	return rc;
}

enum kache_share_result kache_share_push(struct kache_share *s, const char *folder, const struct kache_hash *result,
					 uint64_t *bytes, struct kache_error *err)
{
	const struct kb_put_opts opts = { .struct_size = sizeof opts, .flags = KB_PUT_IF_ABSENT };
	KACHE_AUTO_FREE char *name = kache_share_pack_key(folder, result);
	const struct kb_key key = { name, strlen(name) };
	KACHE_AUTO_FD int fd = -1;
	struct kache_file_source src;
	struct kache_call call;
	struct kache_entry e;
	struct kb_stat there;
	struct stat st;
	int rc;

	kache_call_init(&call, kache_share_deadline(s, 0), s->cancel_fd);
	if (!kache_remote_info(s->remote)->can_list && kache_remote_info(s->remote)->can_head &&
	    kache_remote_head(s->remote, key, &there, &call) == KB_OK)
		return KACHE_SHARE_NOTHING;
	if (kache_entry_get(s->store, result, &e)) {
		kache_fail(err, KACHE_E_NOENT, "the entry is no longer in the store");
		return KACHE_SHARE_SKIPPED;
	}
	fd = nameless_file(s, err);
	rc = fd < 0 ? KACHE_E_IO : make_pack(s, &e, fd, err);
	kache_entry_release(&e);
	if (rc)		/* what is incomplete here is not the remote's problem: gc and doctor see to it */
		return rc == KACHE_E_NOENT || rc == KACHE_E_CORRUPT ? KACHE_SHARE_SKIPPED : KACHE_SHARE_FAILED;
	if (fstat(fd, &st)) {
		kache_fail_errno(err, "temporary file");
		return KACHE_SHARE_FAILED;
	}
	kache_file_source_init(&src, fd, (uint64_t)st.st_size);
	kache_call_init(&call, kache_share_deadline(s, (uint64_t)st.st_size), s->cancel_fd);
	rc = kache_remote_put(s->remote, key, &src.kb, &opts, &call);
	if (rc < 0) {
		kache_fail(err, KACHE_E_REMOTE, "%s", call.err.text);
		return kache_share_judge(rc);
	}
	*bytes += rc == KB_OK ? (uint64_t)st.st_size : 0;
	return rc == KB_OK ? KACHE_SHARE_DONE : KACHE_SHARE_NOTHING;
}

/* ---- pull ---- */

/* A damaged pack would stay for ever, since nobody replaces what is there. */
static void make_room(struct kache_share *s, const char *name)
{
	struct kache_call call;

	if (!kache_remote_info(s->remote)->writable)
		return;
	kache_call_init(&call, kache_share_deadline(s, 0), s->cancel_fd);
	if (!kache_remote_del(s->remote, (struct kb_key){ name, strlen(name) }, &call))
		kache_warn("%s was damaged on %s; it has been removed there", name, kache_remote_info(s->remote)->url);
}

enum kache_share_result kache_share_pull(struct kache_share *s, const char *folder, const struct kache_hash *result,
					 uint64_t size, uint64_t *bytes, struct kache_error *err)
{
	KACHE_AUTO_FREE char *name = kache_share_pack_key(folder, result);
	struct kache_import *im = kache_import_new(s, result);
	struct kache_call call;
	int rc;

	kache_call_init(&call, kache_share_deadline(s, size), s->cancel_fd);
	rc = kache_remote_get(s->remote, (struct kb_key){ name, strlen(name) }, kache_import_sink(im), &call);
	if (rc) {
		kache_import_drop(im);
		if (rc == KB_MISS)
			kache_fail(err, KACHE_E_NOENT, "it is no longer there");
		else
			kache_fail(err, KACHE_E_REMOTE, "%s", call.err.text);
		return kache_share_judge(rc);
	}
	rc = kache_import_keep(im, bytes, err);
	if (rc == KACHE_E_CORRUPT)
		make_room(s, name);
	return rc ? KACHE_SHARE_FAILED : KACHE_SHARE_DONE;
}
