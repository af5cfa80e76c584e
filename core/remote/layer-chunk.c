/* Objects larger than the server takes, as pieces (frame.h). Pieces are written first and the frame last, so a reader
 * sees the old object or the new one: the generation, a random number, keeps the pieces of two writers apart. A server
 * that drops objects may have dropped a piece: then there is no such object. Small objects are as they are, and are passed
 * through. */
#include "config.h"
#include "remote/layer.h"

#include "base/file.h"
#include "base/log.h"
#include "remote/frame.h"
#include "remote/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { TTL_MORE_S = 3600, PIECE_MOST = 4 << 20 };

struct chunk {
	uint64_t most;			/* bytes of an object of the server's */
	bool writable;			/* may clear away what is of no use */
};

#define KEY(name) ((struct kb_key){ name, strlen(name) })

/* ---- clearing away: as far as it goes, and without a word on the call that it is done for ---- */

static void remove_pieces(struct kache_remote *r, struct kb_key key, const struct kache_frame *f, const struct kache_call *of)
{
	struct kache_call call = *of;
	int rc = KB_OK;

	for (uint32_t i = 0; f->pieces && i < f->n && !rc; i++) {
		KACHE_AUTO_FREE char *name = kache_frame_piece_name(key, f->generation, i);

		rc = kache_forward_del(r, KEY(name), &call);
	}
}

/* The frame goes first: an object without pieces is a miss, pieces without a frame are nothing at all. */
static void remove_useless(struct kache_remote *r, struct kb_key key, const struct kache_frame *f, const struct kache_call *of)
{
	const struct chunk *c = r->ctx;
	struct kache_call call = *of;

	if (c->writable && !kache_forward_del(r, key, &call))
		remove_pieces(r, key, f, of);
}

/* ---- reading ---- */

/* Between the backend and who wants the object: holds back what may be a frame, passes on everything else. */
struct passing {
	struct kb_sink kb;
	struct kb_sink *to;
	bool through;			/* it is no frame, and is passed on */
	uint64_t size;			/* as told by begin */
	size_t held;
	unsigned char bytes[KACHE_FRAME_SIZE + 1];
};

static int pass_held(struct passing *p)
{
	int rc = p->to->begin(p->to, p->size);

	p->through = true;
	return rc || !p->held ? rc : p->to->write(p->to, p->bytes, p->held);
}

static int passing_begin(struct kb_sink *kb, uint64_t size)
{
	struct passing *p = (struct passing *)kb;

	p->through = false;
	p->held = 0;
	p->size = size;
	if (!size || size == KACHE_FRAME_SIZE)
		return KB_OK;
	return size > p->to->limit ? KB_E_CORRUPT : pass_held(p);	/* kb.limit may be more, for a frame's sake */
}

static int passing_write(struct kb_sink *kb, const void *buf, size_t len)
{
	struct passing *p = (struct passing *)kb;
	size_t room = sizeof p->bytes - p->held, n = len < room ? len : room;
	int rc;

	if (p->through)
		return p->to->write(p->to, buf, len);
	memcpy(p->bytes + p->held, buf, n);
	p->held += n;
	if (p->held <= KACHE_FRAME_SIZE)
		return KB_OK;
	rc = pass_held(p);
	return rc || n == len ? rc : p->to->write(p->to, (const char *)buf + n, len - n);
}

static void passing_init(struct passing *p, struct kb_sink *to)
{
	*p = (struct passing){
		.kb = { .struct_size = sizeof p->kb, .fd = -1, .begin = passing_begin, .write = passing_write,
			.limit = to->limit < KACHE_FRAME_SIZE ? KACHE_FRAME_SIZE : to->limit },
		.to = to,
	};
}

/* Size and pieces of an object, by its size over there where that is enough. */
static int peek(struct kache_remote *r, struct kb_key key, struct kache_frame *f, struct kb_stat *st, struct kache_call *call)
{
	KACHE_AUTO_BUF struct kache_buf raw = KACHE_BUF_INIT;
	struct kache_mem_sink sink;
	int rc = kache_forward_head(r, key, st, call);

	*f = (struct kache_frame){ 0 };
	if (rc == KB_E_UNSUPPORTED)
		*st = (struct kb_stat){ .mtime_s = -1, .ttl_s = -1 };
	else if (rc)
		return rc;
	if (!rc && st->size != KACHE_FRAME_SIZE) {
		f->size = st->size;
		return KB_OK;
	}
	kache_mem_sink_init(&sink, &raw, KACHE_FRAME_BYTES_MAX);
	rc = kache_forward_get(r, key, &sink.kb, call);
	if (!rc)
		kache_frame_decode(raw.data, raw.len, f);
	return rc;
}

static int damaged(struct kb_key key, struct kache_call *call)
{
	return kache_call_fail(call, KB_E_CORRUPT, "%.*s is damaged: its hash is another one", (int)key.len, key.name);
}

/* One piece after the other, as a call that may fail in the middle of an object. */
static int hand_on(struct kache_remote *r, struct kb_key key, const struct kache_frame *f, struct kb_sink *sink,
		   struct kache_hash *hash, bool *useless, struct kache_call *call)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_hasher h;
	uint64_t left = f->size;
	int rc = KB_OK;

	kache_hasher_init(&h);
	for (uint32_t i = 0; i < f->n && !rc; i++) {
		uint64_t want = left < f->piece ? left : f->piece;
		KACHE_AUTO_FREE char *name = kache_frame_piece_name(key, f->generation, i);
		struct kache_mem_sink piece;

		kache_mem_sink_init(&piece, &b, f->piece);
		rc = kache_forward_get(r, KEY(name), &piece.kb, call);
		if (!rc && b.len != want)
			rc = KB_MISS;
		*useless = rc == KB_MISS || rc == KB_E_CORRUPT;
		if (!rc && !i)
			rc = sink->begin(sink, f->size);
		if (!rc)
			rc = sink->write(sink, b.data, b.len);
		kache_hasher_add(&h, b.data ? b.data : "", b.len);
		left -= want;
	}
	kache_hasher_end(&h, hash);
	return rc;
}

static int get_pieces(struct kache_remote *r, struct kb_key key, const struct kache_frame *f, struct kb_sink *sink,
		      bool *useless, struct kache_call *call)
{
	struct kache_hash hash;
	int rc = hand_on(r, key, f, sink, &hash, useless, call);

	if (rc || kache_hash_eq(&hash, &f->hash))
		return rc;
	*useless = true;
	return damaged(key, call);
}

/* One attempt. *useless: it is framed, but does not hold what the frame says. */
static int get_once(struct kache_remote *r, struct kb_key key, struct kb_sink *sink, struct kache_frame *f, bool *useless,
		    struct kache_call *call)
{
	struct passing p;
	int rc;

	*useless = false;
	*f = (struct kache_frame){ 0 };
	passing_init(&p, sink);
	rc = kache_forward_get(r, key, &p.kb, call);
	if (rc || p.through)
		return rc;
	if (!kache_frame_decode(p.bytes, p.held, f)) {
		if (p.held > sink->limit)
			return kache_call_fail(call, KB_E_CORRUPT, "%.*s has more bytes than is acceptable", (int)key.len, key.name);
		p.size = p.held;
		return pass_held(&p);
	}
	if (f->size > sink->limit)
		return kache_call_fail(call, KB_E_CORRUPT, "%.*s has more bytes than is acceptable", (int)key.len, key.name);
	return get_pieces(r, key, f, sink, useless, call);
}

static int get(struct kache_remote *r, struct kb_key key, struct kb_sink *sink, struct kache_call *call)
{
	struct kache_frame first, second;
	bool useless;
	int rc = get_once(r, key, sink, &first, &useless, call);

	if (!useless)
		return rc;
	/* Another writer may have replaced it meanwhile, or it was damaged on its way. */
	rc = get_once(r, key, sink, &second, &useless, call);
	if (useless && first.generation == second.generation)
		remove_useless(r, key, &second, call);
	return rc;
}

static int head(struct kache_remote *r, struct kb_key key, struct kb_stat *st, struct kache_call *call)
{
	struct kache_frame f;
	int rc = peek(r, key, &f, st, call);

	if (!rc)
		st->size = f.size;
	return rc;
}

/* ---- writing ---- */

static int read_bytes(struct kb_source *src, uint64_t want, struct kache_buf *out, struct kache_call *call)
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

/* Whether a small object has to be cut too. */
static int looks_framed(struct kb_source *src, bool *framed, struct kache_call *call)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	int rc = KB_OK;

	*framed = false;
	if (src->size < KACHE_FRAME_MAGIC)
		return KB_OK;
	if (src->rewind(src))
		return kache_call_fail(call, KB_E_LOCAL, "the source can't be read");
	rc = read_bytes(src, KACHE_FRAME_MAGIC, &b, call);
	*framed = !rc && kache_frame_begins(b.data, b.len);
	return rc;
}

/* The pieces alone. Those that were written are counted in f->n. */
static int put_pieces(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
		      struct kache_frame *f, struct kache_call *call)
{
	struct kb_put_opts mine = { .struct_size = sizeof mine, .ttl_s = opts && opts->ttl_s ? opts->ttl_s + TTL_MORE_S : 0 };
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_hasher h;
	int rc = KB_OK;

	if (getrandom(&f->generation, sizeof f->generation, 0) != sizeof f->generation)
		return kache_call_fail(call, KB_E_LOCAL, "no random numbers: %s", strerror(errno));
	kache_hasher_init(&h);
	for (uint64_t left = f->size; left && !rc; f->n += !rc) {
		uint64_t want = left < f->piece ? left : f->piece;
		KACHE_AUTO_FREE char *name = kache_frame_piece_name(key, f->generation, f->n);

		kache_buf_reset(&b);
		rc = read_bytes(src, want, &b, call);
		if (!rc)
			rc = put_buf(r, KEY(name), &b, &mine, call);
		if (rc > 0)	/* not asked for */
			rc = kache_call_fail(call, KB_E_BUG, "%s: '%s' to a put that replaces", name, kache_status_name(rc));
		kache_hasher_add(&h, b.data ? b.data : "", b.len);
		left -= want;
	}
	kache_hasher_end(&h, &f->hash);
	return rc;
}

static int put_large(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
		     struct kache_call *call)
{
	const struct chunk *c = r->ctx;
	struct kache_frame f = { .pieces = true, .size = src->size, .piece = (uint32_t)c->most };
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	int rc;

	if ((src->size - 1) / c->most >= KACHE_FRAME_PIECES_MAX || key.len + KACHE_FRAME_NAME_MORE > KB_KEY_MAX)
		return kache_call_fail(call, KB_E_TOOBIG, "more than %d pieces of %" PRIu64 " bytes", KACHE_FRAME_PIECES_MAX, c->most);
	rc = put_pieces(r, key, src, opts, &f, call);
	if (!rc) {
		kache_frame_encode(&f, &b);
		rc = put_buf(r, key, &b, opts, call);
		if (rc == KB_E_TRANSIENT || rc == KB_E_TIMEOUT || rc == KB_E_CANCELLED)
			return rc;	/* it may have arrived: then the pieces are wanted */
	}
	if (rc)
		remove_pieces(r, key, &f, call);
	return rc;
}

static int put(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	       struct kache_call *call)
{
	const struct chunk *c = r->ctx;
	bool large = src->size > c->most, keep = opts && opts->flags & KB_PUT_IF_ABSENT;
	struct kache_frame old = { .pieces = false };
	struct kache_call asking = *call;
	struct kb_stat st;
	int rc = large ? KB_OK : looks_framed(src, &large, call);

	if (rc)
		return rc;
	/* Before many pieces travel in vain; and what is replaced may leave pieces behind. */
	if ((large || !keep) && !peek(r, key, &old, &st, &asking) && keep)
		return KB_EXISTS;
	if (src->rewind(src))
		return kache_call_fail(call, KB_E_LOCAL, "the source can't be read");
	rc = large ? put_large(r, key, src, opts, call) : kache_forward_put(r, key, src, opts, call);
	if (!rc)
		remove_pieces(r, key, &old, call);
	return rc;
}

static int del(struct kache_remote *r, struct kb_key key, struct kache_call *call)
{
	struct kache_call asking = *call;
	struct kache_frame f;
	struct kb_stat st;
	int known = peek(r, key, &f, &st, &asking), rc = kache_forward_del(r, key, call);

	if (!known && !rc)
		remove_pieces(r, key, &f, call);
	return rc;
}

struct listing {
	kache_remote_each *each;
	void *arg;
};

/* The size is told where it is known without a look at the object. */
static int listed(void *arg, struct kb_key key, const struct kb_stat *st)
{
	const struct listing *l = arg;

	if (kache_frame_is_piece(key))
		return 0;
	return l->each(l->arg, key, st && st->size == KACHE_FRAME_SIZE ? NULL : st);
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

struct kache_remote *kache_layer_chunk(struct kache_remote *next, uint64_t most, bool writable)
{
	struct chunk *c = kache_calloc(1, sizeof *c);

	c->most = most < PIECE_MOST ? most : PIECE_MOST;
	c->writable = writable;
	return kache_layer_new(&ops, next, c);
}
