/* What may pass: nothing is written to a read-only remote and nothing too large is tried. Here too
 * keys get the remote's prefix, and listings lose it. */
#include "config.h"
#include "remote/layer.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct gate {
	char *prefix;		/* ends in '/', or "" */
	size_t prefix_len;
	bool writable;
	uint64_t max_object;	/* 0: no limit */
};

static int with_prefix(const struct gate *g, struct kb_key key, struct kache_buf *b, struct kb_key *out,
		       struct kache_call *call)
{
	kache_buf_add(b, g->prefix, g->prefix_len);
	kache_buf_add(b, key.name, key.len);
	*out = (struct kb_key){ b->data ? b->data : "", b->len };
	if (b->len > KB_KEY_MAX)
		return kache_call_fail(call, KB_E_UNSUPPORTED, "the name %s is longer than %d bytes", b->data, KB_KEY_MAX);
	return KB_OK;
}

static int may_write(const struct gate *g, struct kache_call *call)
{
	return g->writable ? KB_OK : kache_call_fail(call, KB_E_AUTH, "this remote is read-only");
}

static int get(struct kache_remote *r, struct kb_key key, struct kb_sink *sink, struct kache_call *call)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	int rc = with_prefix(r->ctx, key, &b, &key, call);

	return rc ? rc : kache_forward_get(r, key, sink, call);
}

static int put(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	       struct kache_call *call)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	const struct gate *g = r->ctx;
	int rc = may_write(g, call);

	if (!rc && g->max_object && src->size > g->max_object)
		rc = kache_call_fail(call, KB_E_TOOBIG, "%" PRIu64 " bytes are more than the limit of %" PRIu64, src->size,
				     g->max_object);
	if (!rc)
		rc = with_prefix(g, key, &b, &key, call);
	return rc ? rc : kache_forward_put(r, key, src, opts, call);
}

static int head(struct kache_remote *r, struct kb_key key, struct kb_stat *st, struct kache_call *call)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	int rc = with_prefix(r->ctx, key, &b, &key, call);

	return rc ? rc : kache_forward_head(r, key, st, call);
}

static int del(struct kache_remote *r, struct kb_key key, struct kache_call *call)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	int rc = may_write(r->ctx, call);

	if (!rc)
		rc = with_prefix(r->ctx, key, &b, &key, call);
	return rc ? rc : kache_forward_del(r, key, call);
}

struct listing {
	const struct gate *gate;
	kache_remote_each *each;
	void *arg;
};

static int listed(void *arg, struct kb_key key, const struct kb_stat *st)
{
	const struct listing *l = arg;
	size_t skip = l->gate->prefix_len;

	if (key.len <= skip || memcmp(key.name, l->gate->prefix, skip))
		return KB_OK;	/* not asked for */
	return l->each(l->arg, (struct kb_key){ key.name + skip, key.len - skip }, st);
}

static int list(struct kache_remote *r, struct kb_key prefix, kache_remote_each *each, void *arg, struct kache_call *call)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct listing l = { .gate = r->ctx, .each = each, .arg = arg };
	int rc = with_prefix(r->ctx, prefix, &b, &prefix, call);

	return rc ? rc : kache_forward_list(r, prefix, listed, &l, call);
}

static void close_layer(struct kache_remote *r)
{
	struct gate *g = r->ctx;

	free(g->prefix);
	free(g);
}

static const struct kache_remote_ops ops = {
	.layer = "gate", .close = close_layer, .get = get, .put = put, .head = head, .del = del, .list = list,
	.ping = kache_forward_ping,
};

struct kache_remote *kache_layer_gate(struct kache_remote *next, const char *prefix, bool writable, uint64_t max_object)
{
	struct gate *g = kache_calloc(1, sizeof *g);

	g->prefix = *prefix ? kache_asprintf("%s/", prefix) : kache_strdup("");
	g->prefix_len = strlen(g->prefix);
	g->writable = writable;
	g->max_object = max_object;
	return kache_layer_new(&ops, next, g);
}
