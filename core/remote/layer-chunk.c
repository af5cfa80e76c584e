/* Objects larger than the server takes, as pieces. Every object begins with a frame; a small one is the frame and its
 * bytes, a large one is a frame that names its pieces:
 *
 *	"KCH1", u8 kind (0 whole, 1 pieces), 3 zeros, u64 size, 32 bytes BLAKE3 of the content
 *	kind 1: u64 generation, u32 size of a piece, u32 number of pieces
 *
 * Pieces are called <key>.c-<generation>-<number>. They are written first and the frame last, so a reader sees the
 * old object or the new one: the generation keeps the pieces of two writers apart. A server that drops objects may
 * have dropped a piece: then there is no such object. Nothing is handed on before its hash was right. */
#include "config.h"
#include "remote/layer.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "remote/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { WHOLE = 48, PIECES = 64, PIECES_MAX = 4096, TTL_MORE_S = 3600, NAME_MORE = 32, BLOCK = 256 << 10 };
static const char magic[4] = "KCH1";

struct chunk {
	uint64_t piece;			/* bytes of one */
	uint64_t most;			/* bytes of the backend's largest object */
};

struct frame {
	bool pieces;
	uint64_t size, generation;
	struct kache_hash hash;
	uint32_t piece, n;
};

static void encode(const struct frame *f, struct kache_buf *out)
{
	kache_buf_add(out, magic, sizeof magic);
	kache_buf_u32(out, f->pieces);
	kache_buf_u64(out, f->size);
	kache_buf_add(out, &f->hash, sizeof f->hash);
	if (f->pieces) {
		kache_buf_u64(out, f->generation);
		kache_buf_u32(out, f->piece);
		kache_buf_u32(out, f->n);
	}
}

/* 0, or -1 for what is no frame, or one whose numbers do not fit each other. */
static int decode(const struct kache_buf *b, struct frame *f)
{
	struct kache_reader r;
	const void *m, *hash;
	uint32_t kind;

	*f = (struct frame){ 0 };
	kache_reader_init(&r, b->data ? b->data : "", b->len);
	m = kache_read_raw(&r, sizeof magic);
	kind = kache_read_u32(&r);
	f->size = kache_read_u64(&r);
	hash = kache_read_raw(&r, sizeof f->hash);
	f->pieces = kind == 1;
	if (f->pieces) {
		f->generation = kache_read_u64(&r);
		f->piece = kache_read_u32(&r);
		f->n = kache_read_u32(&r);
	}
	if (r.bad || memcmp(m, magic, sizeof magic) || kind > 1)
		return -1;
	memcpy(&f->hash, hash, sizeof f->hash);
	if (!f->pieces)
		return b->len == WHOLE + f->size ? 0 : -1;
	if (b->len != PIECES || !f->piece || !f->n || f->n > PIECES_MAX)
		return -1;
	return f->size > (uint64_t)f->piece * (f->n - 1) && f->size <= (uint64_t)f->piece * f->n ? 0 : -1;
}

static char *piece_name(struct kb_key key, uint64_t generation, uint32_t i)
{
	return kache_asprintf("%.*s.c-%016" PRIx64 "-%" PRIu32, (int)key.len, key.name, generation, i);
}

static bool is_piece(struct kb_key key)
{
	const char *mark = memmem(key.name, key.len, ".c-", 3);

	return mark && (size_t)(key.name + key.len - mark) >= 3 + 16 + 2 && mark[3 + 16] == '-';
}

/* ---- reading ---- */

static int get_frame(struct kache_remote *r, struct kb_key key, struct kache_buf *raw, struct frame *f, struct kache_call *call)
{
	const struct chunk *c = r->ctx;
	struct kache_mem_sink sink;
	int rc;

	kache_mem_sink_init(&sink, raw, c->most);
	rc = kache_forward_get(r, key, &sink.kb, call);
	if (rc)
		return rc;
	return decode(raw, f) ? kache_call_fail(call, KB_E_CORRUPT, "%.*s is not framed as kache frames objects here", (int)key.len, key.name)
			      : KB_OK;
}

static int nameless(struct kache_call *call, int *fd)
{
	const char *tmp = getenv("TMPDIR");
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/kache-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");

	*fd = mkostemp(path, O_CLOEXEC);
	if (*fd < 0)
		return kache_call_fail(call, KB_E_LOCAL, "temporary file %s: %s", path, strerror(errno));
	unlink(path);
	return KB_OK;
}

/* All pieces into fd; the hash of what came. */
static int gather(struct kache_remote *r, struct kb_key key, const struct frame *f, int fd, struct kache_hash *hash,
		  struct kache_call *call)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_hasher h;
	uint64_t left = f->size;

	kache_hasher_init(&h);
	for (uint32_t i = 0; i < f->n; i++) {
		uint64_t want = left < f->piece ? left : f->piece;
		KACHE_AUTO_FREE char *name = piece_name(key, f->generation, i);
		struct kache_mem_sink sink;
		int rc;

		kache_mem_sink_init(&sink, &b, f->piece);
		rc = kache_forward_get(r, (struct kb_key){ name, strlen(name) }, &sink.kb, call);
		if (!rc && b.len != want)
			rc = KB_MISS;
		if (rc)
			return rc;
		kache_hasher_add(&h, b.data, b.len);
		if (kache_write_all(fd, b.data, b.len))
			return kache_call_fail(call, KB_E_LOCAL, "temporary file: %s", strerror(errno));
		left -= want;
	}
	kache_hasher_end(&h, hash);
	return KB_OK;
}

static int deliver_file(int fd, uint64_t size, struct kb_sink *sink, struct kache_call *call)
{
	char *buf = kache_alloc(BLOCK);
	int rc = sink->begin(sink, size);

	for (uint64_t at = 0; !rc && at < size;) {
		ssize_t n = pread(fd, buf, BLOCK, (off_t)at);

		if (n <= 0)
			rc = kache_call_fail(call, KB_E_LOCAL, "temporary file: %s", n ? strerror(errno) : "it has shrunk");
		else
			rc = sink->write(sink, buf, (size_t)n);
		at += n > 0 ? (uint64_t)n : 0;
	}
	free(buf);
	return rc;
}

static int get_pieces(struct kache_remote *r, struct kb_key key, const struct frame *f, struct kb_sink *sink,
		      struct kache_call *call)
{
	KACHE_AUTO_FD int fd = -1;
	struct kache_hash hash;
	int rc = nameless(call, &fd);

	if (!rc)
		rc = gather(r, key, f, fd, &hash, call);
	if (rc == KB_MISS) {	/* a frame without its pieces is of no use to anybody */
		(void)kache_forward_del(r, key, call);
		return rc;
	}
	if (!rc && !kache_hash_eq(&hash, &f->hash))
		rc = kache_call_fail(call, KB_E_CORRUPT, "the pieces of %.*s do not fit together", (int)key.len, key.name);
	return rc ? rc : deliver_file(fd, f->size, sink, call);
}

static int get(struct kache_remote *r, struct kb_key key, struct kb_sink *sink, struct kache_call *call)
{
	KACHE_AUTO_BUF struct kache_buf raw = KACHE_BUF_INIT;
	struct kache_hash hash;
	struct frame f;
	int rc = get_frame(r, key, &raw, &f, call);

	if (rc)
		return rc;
	if (f.size > sink->limit)
		return kache_call_fail(call, KB_E_CORRUPT, "%.*s has more bytes than is acceptable", (int)key.len, key.name);
	if (f.pieces)
		return get_pieces(r, key, &f, sink, call);
	kache_hash_bytes(raw.data + WHOLE, raw.len - WHOLE, &hash);
	if (!kache_hash_eq(&hash, &f.hash))
		return kache_call_fail(call, KB_E_CORRUPT, "%.*s is damaged", (int)key.len, key.name);
	rc = sink->begin(sink, f.size);
	return rc ? rc : sink->write(sink, raw.data + WHOLE, raw.len - WHOLE);
}

static int head(struct kache_remote *r, struct kb_key key, struct kb_stat *st, struct kache_call *call)
{
	KACHE_AUTO_BUF struct kache_buf raw = KACHE_BUF_INIT;
	struct frame f;
	int rc = get_frame(r, key, &raw, &f, call);

	if (!rc)
		*st = (struct kb_stat){ .size = f.size, .mtime_s = -1, .ttl_s = -1 };
	return rc;
}

/* ---- writing ---- */

static int read_piece(struct kb_source *src, uint64_t want, struct kache_buf *out, struct kache_call *call)
{
	while (want) {
		size_t got = 0;

		if (src->read(src, kache_buf_reserve(out, (size_t)want), (size_t)want, &got) || !got)
			return kache_call_fail(call, KB_E_LOCAL, "the source can't be read, or is shorter than its size");
		out->len += got;
		want -= got;
	}
	return KB_OK;
}

static int put_buf(struct kache_remote *r, struct kb_key key, const struct kache_buf *b, const struct kb_put_opts *opts,
		   struct kache_call *call)
{
	struct kache_mem_source src;

	kache_mem_source_init(&src, b->data, b->len);
	return kache_forward_put(r, key, &src.kb, opts, call);
}

static int put_whole(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
		     struct kache_call *call)
{
	KACHE_AUTO_BUF struct kache_buf content = KACHE_BUF_INIT, all = KACHE_BUF_INIT;
	struct frame f = { .size = src->size };
	int rc = read_piece(src, src->size, &content, call);

	if (rc)
		return rc;
	kache_hash_bytes(content.data ? content.data : "", content.len, &f.hash);
	encode(&f, &all);
	kache_buf_add(&all, content.data ? content.data : "", content.len);
	return put_buf(r, key, &all, opts, call);
}

static int put_pieces(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
		      struct kache_call *call)
{
	const struct chunk *c = r->ctx;
	struct frame f = { .pieces = true, .size = src->size, .piece = (uint32_t)c->piece };
	struct kb_put_opts piece_opts = { .struct_size = sizeof piece_opts };
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT, head_frame = KACHE_BUF_INIT;
	struct kache_hasher h;
	uint64_t left = src->size;

	if (opts && opts->ttl_s)
		piece_opts.ttl_s = opts->ttl_s + TTL_MORE_S;
	if (getrandom(&f.generation, sizeof f.generation, 0) != sizeof f.generation)
		return kache_call_fail(call, KB_E_LOCAL, "no random numbers: %s", strerror(errno));
	f.n = (uint32_t)((src->size + c->piece - 1) / c->piece);
	kache_hasher_init(&h);
	for (uint32_t i = 0; i < f.n; i++) {
		uint64_t want = left < c->piece ? left : c->piece;
		KACHE_AUTO_FREE char *name = piece_name(key, f.generation, i);
		int rc;

		kache_buf_reset(&b);
		rc = read_piece(src, want, &b, call);
		if (!rc)
			rc = put_buf(r, (struct kb_key){ name, strlen(name) }, &b, &piece_opts, call);
		if (rc)
			return rc > 0 ? KB_E_BUG : rc;
		kache_hasher_add(&h, b.data, b.len);
		left -= want;
	}
	kache_hasher_end(&h, &f.hash);
	encode(&f, &head_frame);
	return put_buf(r, key, &head_frame, opts, call);
}

static int put(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	       struct kache_call *call)
{
	const struct chunk *c = r->ctx;

	if (src->rewind(src))
		return kache_call_fail(call, KB_E_LOCAL, "the source can't be read");
	if (src->size + WHOLE <= c->most)
		return put_whole(r, key, src, opts, call);
	if ((src->size + c->piece - 1) / c->piece > PIECES_MAX || key.len + NAME_MORE > KB_KEY_MAX)
		return kache_call_fail(call, KB_E_TOOBIG, "more than %d pieces of %" PRIu64 " bytes", PIECES_MAX, c->piece);
	return put_pieces(r, key, src, opts, call);
}

static int del(struct kache_remote *r, struct kb_key key, struct kache_call *call)
{
	KACHE_AUTO_BUF struct kache_buf raw = KACHE_BUF_INIT;
	struct frame f;
	int rc = get_frame(r, key, &raw, &f, call), gone;

	gone = kache_forward_del(r, key, call);
	for (uint32_t i = 0; !rc && !gone && f.pieces && i < f.n; i++) {
		KACHE_AUTO_FREE char *name = piece_name(key, f.generation, i);

		(void)kache_forward_del(r, (struct kb_key){ name, strlen(name) }, call);
	}
	return gone;
}

struct listing {
	kache_remote_each *each;
	void *arg;
};

static int listed(void *arg, struct kb_key key, const struct kb_stat *st)
{
	const struct listing *l = arg;

	return is_piece(key) ? 0 : l->each(l->arg, key, st);
}

static int list(struct kache_remote *r, struct kb_key prefix, kache_remote_each *each, void *arg, struct kache_call *call)
{
	struct listing l = { .each = each, .arg = arg };

	return kache_forward_list(r, prefix, listed, &l, call);
}

static void close_layer(struct kache_remote *r)
{
	free(r->ctx);
}

static const struct kache_remote_ops ops = {
	.layer = "chunk", .close = close_layer, .get = get, .put = put, .head = head, .del = del, .list = list,
	.ping = kache_forward_ping,
};

struct kache_remote *kache_layer_chunk(struct kache_remote *next, uint64_t most)
{
	struct chunk *c = kache_calloc(1, sizeof *c);

	c->most = most;
	c->piece = most;
	return kache_layer_new(&ops, next, c);
}
