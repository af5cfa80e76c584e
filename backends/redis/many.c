/* Many objects: listings by SCAN, and batches, which are pipelined with a bounded amount of bytes under way. */
#include "config.h"
#include "redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- list ---- */

struct scan {
	struct kb_key prefix;
	const char *pattern;
	int (*each)(void *, struct kb_key, const struct kb_stat *);
	void *arg;
};

static bool is_key(const redisReply *k, struct kb_key prefix)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789/._-";

	return k->type == REDIS_REPLY_STRING && k->len && k->len <= KB_KEY_MAX && strspn(k->str, alphabet) == k->len &&
	       k->len >= prefix.len && !memcmp(k->str, prefix.name, prefix.len);
}

static int page(struct redis_conn *c, const struct scan *s, char cursor[32], struct kb_call *call)
{
	const char *const words[] = { "SCAN", cursor, "MATCH", s->pattern, "COUNT", "1000" };
	redisReply *reply = NULL;
	int rc = redis_command(c, 6, words, NULL, call);

	if (!rc)
		rc = redis_good(c, false, &reply, call);
	if (!rc && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
		    reply->element[0]->len >= 32 || reply->element[1]->type != REDIS_REPLY_ARRAY))
		rc = redis_fail(c, KB_E_CORRUPT, "does not speak Redis's protocol", call);
	if (!rc)
		memcpy(cursor, reply->element[0]->str, reply->element[0]->len + 1);
	for (size_t i = 0; !rc && i < reply->element[1]->elements; i++) {
		const redisReply *k = reply->element[1]->element[i];

		if (is_key(k, s->prefix))	/* others are not kache's */
			rc = s->each(s->arg, (struct kb_key){ k->str, k->len }, NULL);
	}
	freeReplyObject(reply);
	return rc;
}

static int scan(struct kb_handle *h, struct redis_conn *c, void *arg, struct kb_call *call)
{
	char cursor[32] = "0";
	int rc;

	(void)h;
	do
		rc = page(c, arg, cursor, call);
	while (!rc && strcmp(cursor, "0"));
	return rc;
}

/* What MATCH takes literally; fresh memory or NULL. */
static char *pattern_of(struct kb_key prefix)
{
	char *out = malloc(2 * prefix.len + 2), *to = out;

	for (size_t i = 0; out && i < prefix.len; i++) {
		if (strchr("*?[]\\^", prefix.name[i]))
			*to++ = '\\';
		*to++ = prefix.name[i];
	}
	if (out)
		memcpy(to, "*", 2);
	return out;
}

int redis_list(struct kb_handle *h, struct kb_key prefix, struct kb_call *call,
	       int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg)
{
	char *pattern = pattern_of(prefix);
	struct scan s = { prefix, pattern, each, arg };
	int rc;

	if (!pattern)
		return redis_host->fail(call, KB_E_LOCAL, "out of memory");
	rc = redis_run_all(h, scan, &s, call);
	free(pattern);
	return rc;
}

/* ---- batch ---- */

enum { WINDOW = 4 << 20, MOST = 256, MOST_GETS = 16 };
enum { PENDING = 1000, ALONE };		/* states of an item that is not done yet; ALONE: needs a call of its own */

struct batch {
	struct kb_item *items[MOST];
	bool extends[MOST];
	size_t n;
};

static int send_item(struct kb_handle *h, struct redis_conn *c, struct kb_item *i, bool *extends, struct kb_call *call)
{
	const struct redis_put p = { .key = i->key, .src = i->src, .if_absent = i->flags & KB_PUT_IF_ABSENT,
				     .ttl_s = (int64_t)h->ttl_s };
	const char *words[2] = { i->op == KB_OP_DEL ? "UNLINK" : "STRLEN", i->key.name };
	size_t lens[2] = { 6, i->key.len };

	switch (i->op) {
	case KB_OP_GET:
		return redis_send_get(h, c, i->key, extends, call);
	case KB_OP_PUT:
		return redis_send_put(c, &p, call);
	default:
		return redis_command(c, 2, words, lens, call);
	}
}

static int answer_item(struct kb_handle *h, struct redis_conn *c, struct kb_item *i, bool extends, struct kb_call *call)
{
	long long integer;
	int rc;

	c->redirect[0] = '\0';
	c->said = REDIS_SAID_OTHER;
	switch (i->op) {
	case KB_OP_GET:
		rc = redis_take_value(c, i->dst, call);
		if (rc < 0 && extends && !c->broken && redis_gets_plainly(h, c))
			rc = ALONE;
		break;
	case KB_OP_PUT:
		rc = redis_put_reply(c, call);
		break;
	default:
		rc = redis_integer(c, i->op == KB_OP_DEL, &integer, call);
		i->st = (struct kb_stat){ .size = (uint64_t)integer, .mtime_s = -1, .ttl_s = -1 };
		if ((!rc && i->op == KB_OP_HEAD && !integer) || (rc < 0 && c->said == REDIS_SAID_UNKNOWN_COMMAND))
			rc = ALONE;	/* empty or not there; DEL instead of UNLINK */
	}
	return rc < 0 && c->redirect[0] && h->url.mode == REDIS_CLUSTER ? ALONE : rc;
}

/* Ends with an error only when the connection does; the status of the items that are not PENDING stands. */
static int pipelined(struct kb_handle *h, struct redis_conn *c, void *arg, struct kb_call *call)
{
	struct batch *b = arg;
	size_t sent = 0;
	int rc = KB_OK;
	bool cut;

	while (sent < b->n && !(rc = send_item(h, c, b->items[sent], &b->extends[sent], call)))
		sent++;
	if (rc && rc != KB_E_LOCAL)
		return rc;
	/* A source failed: what was sent before has its answers still, and nothing can follow. */
	cut = c->broken;
	c->broken = false;
	if (rc)
		b->items[sent]->status = rc;
	rc = KB_OK;
	for (size_t i = 0; i < sent && !rc; i++) {
		int status = answer_item(h, c, b->items[i], b->extends[i], call);

		if (c->closed && !c->heard)
			return status;		/* as a whole once more */
		b->items[i]->status = status;
		rc = c->broken ? status : KB_OK;
	}
	c->broken |= cut;
	c->redirect[0] = '\0';
	return rc;
}

static int alone(struct kb_handle *h, struct kb_item *i, struct kb_call *call)
{
	const struct kb_put_opts opts = { .struct_size = sizeof opts, .flags = i->flags };

	switch (i->op) {
	case KB_OP_GET:
		return redis_get(h, i->key, i->dst, call);
	case KB_OP_PUT:
		return redis_put(h, i->key, i->src, &opts, call);
	case KB_OP_HEAD:
		return redis_head(h, i->key, &i->st, call);
	case KB_OP_DEL:
		return redis_del(h, i->key, call);
	case KB_OP_TOUCH:
		return redis_touch(h, i->key, 0, call);
	default:
		return redis_host->fail(call, KB_E_UNSUPPORTED, "a batch has no such operation");
	}
}

/* The next items to send together: of one kind, so that nothing long is received while something long is sent; of one
 * node; and few enough that neither side's buffers fill. */
static void choose(struct kb_handle *h, struct kb_item *const *items, size_t n, size_t first, struct batch *b)
{
	bool cluster = h->url.mode == REDIS_CLUSTER;
	unsigned owner = cluster ? redis_owner(h, items[first]->key) : 0;
	uint64_t bytes = 0;

	b->n = 0;
	for (size_t i = first; i < n && b->n < MOST; i++) {
		if (items[i]->status != PENDING || items[i]->op != items[first]->op ||
		    (cluster && redis_owner(h, items[i]->key) != owner))
			continue;
		if (items[i]->op == KB_OP_PUT)
			bytes += items[i]->src->size;
		if (b->n && (bytes > WINDOW || (items[i]->op == KB_OP_GET && b->n == MOST_GETS)))
			break;
		b->items[b->n++] = items[i];
	}
}

/* Until one item is out of time: then all are. */
static int one_window(struct kb_handle *h, struct batch *b, struct kb_call *call)
{
	int rc = b->n == 1 ? ALONE : redis_run(h, b->items[0]->key, pipelined, b, call);

	for (size_t i = 0; i < b->n; i++) {
		struct kb_item *one = b->items[i];

		if (rc < 0 && one->status == PENDING)
			one->status = rc;
		if (rc == ALONE || one->status == ALONE)
			one->status = alone(h, one, call);
		if (one->status == KB_E_TIMEOUT || one->status == KB_E_CANCELLED)
			rc = one->status;
	}
	return rc == ALONE ? KB_OK : rc;
}

int redis_batch(struct kb_handle *h, struct kb_item *const *items, size_t n, struct kb_call *call)
{
	int rc = KB_OK;

	for (size_t i = 0; i < n; i++) {
		items[i]->status = PENDING;
		if (items[i]->op == KB_OP_PUT && items[i]->src->size > h->max_value)
			items[i]->status = redis_host->fail(call, KB_E_TOOBIG, "%" PRIu64 " bytes are more than max-value", items[i]->src->size);
		else if (items[i]->op == KB_OP_TOUCH || items[i]->op < KB_OP_GET || items[i]->op > KB_OP_TOUCH)
			items[i]->status = ALONE;
	}
	for (size_t i = 0; i < n; i++) {
		struct batch b;

		if (items[i]->status != PENDING && items[i]->status != ALONE)
			continue;
		if (rc == KB_E_TIMEOUT || rc == KB_E_CANCELLED) {
			items[i]->status = rc;
			continue;
		}
		if (items[i]->status == ALONE) {
			items[i]->status = rc = alone(h, items[i], call);
			continue;
		}
		choose(h, items, n, i, &b);
		rc = one_window(h, &b, call);
		/* What follows a source that failed has not been sent. */
		i -= items[i]->status == PENDING;
	}
	return rc == KB_E_TIMEOUT || rc == KB_E_CANCELLED ? rc : KB_OK;
}
