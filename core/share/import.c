#include "config.h"
#include "share/import.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "remote/unpack.h"
#include "store/entry-json.h"
#include "store/events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct kache_import {
	struct kb_sink kb;
	struct kache_share *s;
	const struct kache_hash *result;
	uint64_t bytes;			/* since the last begin */
	struct kache_pack_sink sink;
	struct kache_unpack *unpack;

	/* The unpacker's, until it has ended. */
	struct kache_entry e;
	struct kache_pack_blob *blobs;
	char **temps;			/* beside blobs: a file in the store's tmp/, or NULL */
	size_t n;
};

/* ---- what a pack holds ---- */

static int take_meta(void *arg, const char *meta, size_t len, struct kache_pack_blob **blobs, size_t *n,
		     struct kache_error *err)
{
	struct kache_import *im = arg;
	int rc = kache_entry_from_json(meta, len, &im->e, err);

	if (rc)
		return rc;
	if (!kache_hash_eq(&im->e.key, im->result))
		return kache_fail(err, KACHE_E_CORRUPT, "meta.json is of another entry than the pack's name");
	*blobs = kache_share_blobs(&im->e, n);
	for (size_t i = 0; i < im->e.n_outputs; i++) {		/* one blob, two sizes? */
		const struct kache_output *o = &im->e.outputs[i];

		for (size_t k = 0; k < *n; k++)
			if (o->role != KACHE_ROLE_DEPINFO && kache_hash_eq(&o->blob, &(*blobs)[k].hash) &&
			    o->size != (*blobs)[k].size)
				return kache_fail(err, KACHE_E_CORRUPT, "meta.json gives one blob two sizes");
	}
	im->n = *n;
	im->blobs = kache_calloc(*n + 1, sizeof *im->blobs);
	memcpy(im->blobs, *blobs, *n * sizeof *im->blobs);
	im->temps = kache_calloc(*n + 1, sizeof *im->temps);
	return KACHE_OK;
}

static int begin_blob(void *arg, const struct kache_pack_blob *blob, int *fd, struct kache_error *err)
{
	struct kache_import *im = arg;

	for (size_t i = 0; i < im->n; i++) {
		if (!kache_hash_eq(&im->blobs[i].hash, &blob->hash))
			continue;
		im->temps[i] = kache_store_temp(im->s->store);
		*fd = open(im->temps[i], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (*fd < 0 && errno == EEXIST) {	/* litter of a dead process with our number */
			unlink(im->temps[i]);
			*fd = open(im->temps[i], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		}
		return *fd < 0 ? kache_fail_errno(err, "%s", im->temps[i]) : KACHE_OK;
	}
	return kache_fail(err, KACHE_E_CORRUPT, "a blob that was not announced");
}

static int end_blob(void *arg, const struct kache_pack_blob *blob, struct kache_error *err)
{
	(void)arg;
	(void)blob;
	(void)err;
	return KACHE_OK;	/* it stays in tmp/ until the whole pack has been seen */
}

static bool is_program(const struct kache_entry *e, const struct kache_hash *blob)
{
	for (size_t i = 0; i < e->n_outputs; i++)
		if (e->outputs[i].role != KACHE_ROLE_DEPINFO && kache_hash_eq(&e->outputs[i].blob, blob) &&
		    e->outputs[i].mode & 0100)
			return true;
	return false;
}

/* The index of a large store does not look for what nobody tells it of. */
static void tell_index(const struct kache_import *im)
{
	KACHE_AUTO_BUF struct kache_buf line = KACHE_BUF_INIT;
	const struct kache_event e = { .result = "stored", .crate = im->e.crate, .package = im->e.package, .kind = im->e.kind,
				       .key = &im->e.key, .invocation = &im->e.invocation,
				       .time_ms = (uint64_t)(kache_now_real() / 1000000) };

	kache_event_encode(&e, &line);
	(void)kache_store_event(im->s->store, line.data, line.len);
}

/* Everything has been checked: blobs first, then the entry that needs them. */
static int keep(struct kache_import *im, struct kache_error *err)
{
	struct kache_store *store = im->s->store;

	for (size_t i = 0; i < im->n; i++) {
		int rc = kache_blob_put_temp(store, im->temps[i], is_program(&im->e, &im->blobs[i].hash), &im->blobs[i].hash, err);

		free(im->temps[i]);
		im->temps[i] = NULL;
		if (rc)
			return rc;
	}
	if (kache_entry_put(store, &im->e, err))
		return KACHE_E_IO;
	tell_index(im);
	return KACHE_OK;
}

static void forget(struct kache_import *im)
{
	for (size_t i = 0; i < im->n; i++) {
		if (im->temps[i])
			unlink(im->temps[i]);
		free(im->temps[i]);
	}
	free(im->temps);
	free(im->blobs);
	kache_entry_release(&im->e);
	im->temps = NULL;
	im->blobs = NULL;
	im->n = 0;
	im->e = (struct kache_entry){ 0 };
}

/* ---- the sink ---- */

static void stop(struct kache_import *im)
{
	kache_unpack_drop(im->unpack);
	im->unpack = NULL;
	forget(im);
}

static int sink_begin(struct kb_sink *kb, uint64_t size)
{
	struct kache_import *im = (struct kache_import *)kb;

	if (size > kb->limit)
		return KB_E_CORRUPT;
	stop(im);
	im->bytes = 0;
	im->unpack = kache_unpack_new(&im->sink);
	return im->unpack ? KB_OK : KB_E_LOCAL;
}

static int sink_write(struct kb_sink *kb, const void *buf, size_t len)
{
	struct kache_import *im = (struct kache_import *)kb;

	if (!im->unpack)
		return KB_E_LOCAL;
	if (len > kb->limit - im->bytes)
		return KB_E_CORRUPT;
	im->bytes += len;
	if (im->s->progress)
		atomic_fetch_add(im->s->progress, len);
	kache_unpack_add(im->unpack, buf, len);
	return KB_OK;
}

/* ---- life ---- */

struct kache_import *kache_import_new(struct kache_share *s, const struct kache_hash *result)
{
	struct kache_import *im = kache_calloc(1, sizeof *im);

	im->s = s;
	im->result = result;
	im->sink = (struct kache_pack_sink){ .meta = take_meta, .begin = begin_blob, .end = end_blob, .arg = im };
	im->kb = (struct kb_sink){ .struct_size = sizeof im->kb, .fd = -1, .limit = KACHE_PACK_SIZE_MAX,
				   .begin = sink_begin, .write = sink_write };
	return im;
}

struct kb_sink *kache_import_sink(struct kache_import *im)
{
	return &im->kb;
}

int kache_import_keep(struct kache_import *im, uint64_t *bytes, struct kache_error *err)
{
	int rc = im->unpack ? kache_unpack_end(im->unpack, err) : kache_fail(err, KACHE_E_CORRUPT, "pack: empty");

	im->unpack = NULL;
	*bytes += im->bytes;
	if (!rc)
		rc = keep(im, err);
	kache_import_drop(im);
	return rc;
}

void kache_import_drop(struct kache_import *im)
{
	stop(im);
	free(im);
}
