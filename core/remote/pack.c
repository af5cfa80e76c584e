#include "config.h"
#include "remote/pack.h"

#include "base/buf.h"
#include "base/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

enum { CHUNK = 128 << 10, WINDOW_LEAST = 17 /* 128 KiB */ };
#define BLOB_PREFIX "blobs/"

/* ---- writing ---- */

static int put_header(struct archive *a, const char *name, uint64_t size, struct kache_error *err)
{
	struct archive_entry *e = archive_entry_new();
	int rc = KACHE_OK;

	if (!e)
		return kache_fail(err, KACHE_E_IO, "pack: out of memory");
	/* No owner, no time: the same content gives the same bytes everywhere. */
	archive_entry_set_pathname(e, name);
	archive_entry_set_size(e, (int64_t)size);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_mtime(e, 0, 0);
	if (archive_write_header(a, e) != ARCHIVE_OK)
		rc = kache_fail(err, KACHE_E_IO, "pack: %s", archive_error_string(a));
	archive_entry_free(e);
	return rc;
}

static int put_bytes(struct archive *a, const void *data, size_t len, struct kache_error *err)
{
	if (archive_write_data(a, data, len) != (la_ssize_t)len)
		return kache_fail(err, KACHE_E_IO, "pack: %s", archive_error_string(a));
	return KACHE_OK;
}

static int put_blob(struct archive *a, const struct kache_pack_source *src, const struct kache_pack_blob *blob,
		    char *chunk, struct kache_error *err)
{
	char name[sizeof BLOB_PREFIX + KACHE_HEX_LEN] = BLOB_PREFIX;
	KACHE_AUTO_FD int fd = -1;
	uint64_t left = blob->size;
	struct kache_hasher hasher;
	struct kache_hash found;
	int rc;

	kache_hash_hex(&blob->hash, name + sizeof BLOB_PREFIX - 1);
	kache_hasher_init(&hasher);
	rc = src->open(src->arg, blob, &fd, err);
	if (!rc)
		rc = put_header(a, name, blob->size, err);
	while (left && !rc) {
		ssize_t n = read(fd, chunk, left < CHUNK ? (size_t)left : CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return kache_fail_errno(err, "%s", name);
		if (!n)
			return kache_fail(err, KACHE_E_CORRUPT, "%s is shorter than it should be", name);
		rc = put_bytes(a, chunk, (size_t)n, err);
		kache_hasher_add(&hasher, chunk, (size_t)n);
		left -= (uint64_t)n;
	}
	kache_hasher_end(&hasher, &found);
	if (!rc && !kache_hash_eq(&found, &blob->hash))
		rc = kache_fail(err, KACHE_E_CORRUPT, "%s does not have the content of its name", name);
	return rc;
}

/* Our own filter, as libarchive's has no window to choose. An rlib begins with its rmeta, which is a member of its own:
 * with a window that reaches back to that a pack is a fifth to a third smaller, and sooner unpacked. */
struct squeezer {
	ZSTD_CCtx *z;
	int fd;
	char *out;
};

static int squeeze_on(struct squeezer *q, const void *data, size_t len, ZSTD_EndDirective how)
{
	ZSTD_inBuffer in = { data, len, 0 };
	size_t left;

	do {
		ZSTD_outBuffer out = { q->out, CHUNK, 0 };

		left = ZSTD_compressStream2(q->z, &out, &in, how);
		if (ZSTD_isError(left)) {
			errno = ENOMEM;
			return -1;
		}
		if (kache_write_all(q->fd, q->out, out.pos))
			return -1;
	} while (how == ZSTD_e_end ? left != 0 : in.pos < in.size);
	return 0;
}

static la_ssize_t take_tar(struct archive *a, void *arg, const void *data, size_t len)
{
	if (!squeeze_on(arg, data, len, ZSTD_e_continue))
		return (la_ssize_t)len;
	archive_set_error(a, errno, "%s", strerror(errno));
	return -1;
}

static bool set_up_squeezer(struct squeezer *q, unsigned level, uint64_t size, int fd)
{
	int window = WINDOW_LEAST;

	while (window < KACHE_PACK_WINDOW_LOG && (uint64_t)1 << window < size)
		window++;
	*q = (struct squeezer){ .z = ZSTD_createCCtx(), .fd = fd, .out = kache_alloc(CHUNK) };
	return q->z && !ZSTD_isError(ZSTD_CCtx_setParameter(q->z, ZSTD_c_compressionLevel, (int)level)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(q->z, ZSTD_c_windowLog, window)) &&
	       (window <= WINDOW_LEAST || !ZSTD_isError(ZSTD_CCtx_setParameter(q->z, ZSTD_c_enableLongDistanceMatching, 1)));
}

static struct archive *start_writing(struct squeezer *q, struct kache_error *err)
{
	struct archive *a = archive_write_new();

	if (a && archive_write_set_format_pax_restricted(a) == ARCHIVE_OK &&
	    archive_write_set_bytes_per_block(a, CHUNK) == ARCHIVE_OK &&
	    archive_write_set_bytes_in_last_block(a, 1) == ARCHIVE_OK &&
	    archive_write_open(a, q, NULL, take_tar, NULL) == ARCHIVE_OK)
		return a;
	kache_fail(err, KACHE_E_IO, "pack: %s", a ? archive_error_string(a) : "out of memory");
	archive_write_free(a);
	return NULL;
}

static int by_size(const void *x, const void *y)
{
	const struct kache_pack_blob *a = x, *b = y;

	return a->size != b->size ? (a->size > b->size) - (a->size < b->size) : memcmp(&a->hash, &b->hash, sizeof a->hash);
}

static int write_members(struct archive *a, const struct kache_pack_source *src, struct kache_error *err)
{
	struct kache_pack_blob *blobs = kache_calloc(src->n_blobs + 1, sizeof *blobs);
	char *chunk = kache_alloc(CHUNK);
	int rc = put_header(a, "meta.json", src->meta_len, err);

	/* The smaller ones first: an rmeta before its rlib. */
	if (src->n_blobs)
		memcpy(blobs, src->blobs, src->n_blobs * sizeof *blobs);
	qsort(blobs, src->n_blobs, sizeof *blobs, by_size);
	if (!rc)
		rc = put_bytes(a, src->meta, src->meta_len, err);
	for (size_t i = 0; i < src->n_blobs && !rc; i++)
		rc = put_blob(a, src, &blobs[i], chunk, err);
	free(chunk);
	free(blobs);
	return rc;
}

int kache_pack_write(const struct kache_pack_source *src, unsigned level, int fd, struct kache_error *err)
{
	uint64_t size = src->meta_len;
	struct squeezer q;
	struct archive *a;
	int rc;

	for (size_t i = 0; i < src->n_blobs; i++)
		size += src->blobs[i].size;
	a = set_up_squeezer(&q, level, size, fd) ? start_writing(&q, err) : NULL;
	rc = a ? write_members(a, src, err) : kache_fail(err, KACHE_E_IO, "pack: out of memory");
	if (!rc && archive_write_close(a) != ARCHIVE_OK)
		rc = kache_fail(err, KACHE_E_IO, "pack: %s", archive_error_string(a));
	if (!rc && squeeze_on(&q, NULL, 0, ZSTD_e_end))
		rc = kache_fail_errno(err, "pack");
	/* After an error this still finishes the file, which nobody wants any more. archive_write_fail would
	 * prevent it, and leak (libarchive 3.6). */
	archive_write_free(a);
	ZSTD_freeCCtx(q.z);
	free(q.out);
	return rc;
}

/* ---- reading ---- */

struct reader {
	struct archive *a;
	const struct kache_pack_sink *sink;
	struct kache_pack_blob *blobs;
	bool *seen;
	size_t n;
	char *chunk;
	struct kache_error *err;
};

static int bad(struct reader *r, const char *what)
{
	return kache_fail(r->err, KACHE_E_CORRUPT, "pack: %s", what);
}

static int broken(struct reader *r)
{
	const char *text = archive_error_string(r->a);

	return kache_fail(r->err, KACHE_E_CORRUPT, "pack: %s", text ? text : "not a compressed tar");
}

/* The next member: 0 with *e, KACHE_E_NOENT at the end. Only plain files with a known size pass. */
static int next_member(struct reader *r, struct archive_entry **e)
{
	int rc = archive_read_next_header(r->a, e);

	if (rc == ARCHIVE_EOF)
		return KACHE_E_NOENT;
	if (rc != ARCHIVE_OK)
		return broken(r);
	if (archive_entry_filetype(*e) != AE_IFREG || archive_entry_hardlink(*e) || archive_entry_symlink(*e))
		return bad(r, "a member that is not a plain file");
	if (!archive_entry_size_is_set(*e) || archive_entry_size(*e) < 0 || !archive_entry_pathname(*e))
		return bad(r, "a member without name or size");
	return KACHE_OK;
}

static int read_meta(struct reader *r)
{
	KACHE_AUTO_BUF struct kache_buf meta = KACHE_BUF_INIT;
	struct archive_entry *e;
	int rc = next_member(r, &e);
	la_ssize_t n = 1;

	if (rc == KACHE_E_NOENT)
		return bad(r, "empty");
	if (rc)
		return rc;
	if (strcmp(archive_entry_pathname(e), "meta.json"))
		return bad(r, "the first member is not meta.json");
	if (archive_entry_size(e) > KACHE_PACK_META_MAX)
		return kache_fail(r->err, KACHE_E_TOOBIG, "pack: meta.json is larger than %u bytes", KACHE_PACK_META_MAX);
	kache_buf_reserve(&meta, (size_t)archive_entry_size(e));
	while (n > 0) {
		n = archive_read_data(r->a, r->chunk, CHUNK);
		if (n < 0)
			return broken(r);
		kache_buf_add(&meta, r->chunk, (size_t)n);
		if (meta.len > KACHE_PACK_META_MAX)
			return bad(r, "meta.json does not end");
	}
	return r->sink->meta(r->sink->arg, meta.data ? meta.data : "", meta.len, &r->blobs, &r->n, r->err);
}

static int check_announced(struct reader *r)
{
	uint64_t total = 0;

	if (r->n > KACHE_PACK_BLOBS_MAX)
		return kache_fail(r->err, KACHE_E_TOOBIG, "pack: more than %u blobs", KACHE_PACK_BLOBS_MAX);
	for (size_t i = 0; i < r->n; i++) {
		if (r->blobs[i].size > KACHE_PACK_SIZE_MAX - total)
			return kache_fail(r->err, KACHE_E_TOOBIG, "pack: its blobs are larger than %" PRIu64 " bytes",
					  KACHE_PACK_SIZE_MAX);
		total += r->blobs[i].size;
		for (size_t k = 0; k < i; k++)
			if (kache_hash_eq(&r->blobs[i].hash, &r->blobs[k].hash))
				return bad(r, "a blob is announced twice");
	}
	return KACHE_OK;
}

static int find_blob(struct reader *r, const char *name, size_t *index)
{
	struct kache_hash hash;

	if (strncmp(name, BLOB_PREFIX, sizeof BLOB_PREFIX - 1) ||
	    !kache_hash_parse(name + sizeof BLOB_PREFIX - 1, strlen(name + sizeof BLOB_PREFIX - 1), &hash))
		return bad(r, "a member with a name it may not have");
	for (size_t i = 0; i < r->n; i++) {
		if (!kache_hash_eq(&r->blobs[i].hash, &hash))
			continue;
		*index = i;
		return r->seen[i] ? bad(r, "a blob comes twice") : KACHE_OK;
	}
	return bad(r, "a blob that meta.json does not have");
}

static int copy_blob(struct reader *r, const struct kache_pack_blob *blob, int fd)
{
	struct kache_hasher hasher;
	struct kache_hash found;
	const void *data;
	uint64_t got = 0;
	la_int64_t at;
	size_t n;
	int rc;

	kache_hasher_init(&hasher);
	while (!(rc = archive_read_data_block(r->a, &data, &n, &at))) {
		/* In one piece, without a hole: a pack has no sparse members. */
		if (at < 0 || (uint64_t)at != got)
			return bad(r, "a member that is not a plain file");
		if (n > blob->size - got)
			return bad(r, "a blob is larger than meta.json says");
		got += n;
		kache_hasher_add(&hasher, data, n);
		if (kache_write_all(fd, data, n))
			return kache_fail_errno(r->err, "pack: writing a blob");
	}
	if (rc != ARCHIVE_EOF)
		return broken(r);
	if (got != blob->size)
		return bad(r, "a blob is shorter than meta.json says");
	kache_hasher_end(&hasher, &found);
	if (!kache_hash_eq(&found, &blob->hash))
		return bad(r, "a blob's content does not have its hash");
	return KACHE_OK;
}

static int read_blob(struct reader *r, struct archive_entry *e)
{
	size_t i = 0;
	int fd = -1, rc = find_blob(r, archive_entry_pathname(e), &i);

	if (!rc && (uint64_t)archive_entry_size(e) != r->blobs[i].size)
		rc = bad(r, "a blob's size is not the one of meta.json");
	if (!rc)
		rc = r->sink->begin(r->sink->arg, &r->blobs[i], &fd, r->err);
	if (rc)
		return rc;
	r->seen[i] = true;
	rc = copy_blob(r, &r->blobs[i], fd);
	if (close(fd) && !rc)
		rc = kache_fail_errno(r->err, "pack: writing a blob");
	return rc ? rc : r->sink->end(r->sink->arg, &r->blobs[i], r->err);
}

static int read_all(struct reader *r)
{
	struct archive_entry *e;
	int rc = read_meta(r);

	if (!rc)
		rc = check_announced(r);
	if (rc)
		return rc;
	r->seen = kache_calloc(r->n + 1, sizeof *r->seen);
	while (!(rc = next_member(r, &e))) {
		rc = read_blob(r, e);
		if (rc)
			return rc;
	}
	if (rc != KACHE_E_NOENT)
		return rc;
	for (size_t i = 0; i < r->n; i++)
		if (!r->seen[i])
			return bad(r, "a blob is missing");
	return KACHE_OK;
}

struct input {
	kache_pack_more *more;
	void *arg;
};

static la_ssize_t next_piece(struct archive *a, void *arg, const void **data)
{
	struct input *in = arg;
	size_t len = 0;

	*data = NULL;
	if (!in->more(in->arg, data, &len))
		return (la_ssize_t)len;
	archive_set_error(a, EIO, "it does not go on");
	return -1;
}

int kache_pack_read_tar(kache_pack_more *more, void *arg, const struct kache_pack_sink *sink, struct kache_error *err)
{
	struct reader r = { .a = archive_read_new(), .sink = sink, .err = err };
	struct input in = { more, arg };
	int rc;

	if (!r.a)
		return kache_fail(err, KACHE_E_IO, "pack: out of memory");
	r.chunk = kache_alloc(CHUNK);
	if (archive_read_support_format_tar(r.a) != ARCHIVE_OK || archive_read_open(r.a, &in, NULL, next_piece, NULL) != ARCHIVE_OK)
		rc = broken(&r);
	else
		rc = read_all(&r);
	archive_read_free(r.a);
	free(r.blobs);
	free(r.seen);
	free(r.chunk);
	return rc;
}
