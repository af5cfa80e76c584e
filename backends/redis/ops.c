/* Operations: one command each, values streamed. */
#define _GNU_SOURCE
#include "redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 256 << 10, HEAD_MAX = KB_KEY_MAX + 96, TAIL_MAX = 96, WINDOW = 4 << 20 };

/* A reply that must not be an error; *out stays the caller's to free. */
static int good_reply(struct redis_conn *c, bool write, redisReply **out, struct kb_call *call)
{
	int rc = redis_read(c, out, call);

	if (!rc && (*out)->type == REDIS_REPLY_ERROR)
		rc = redis_error(c, (*out)->str, write, call);
	return rc;
}

/* ---- get ---- */

struct get {
	struct kb_key key;
	struct kb_sink *sink;
};

/* "$N" and N bytes to the sink; anything else is an error or a miss. What the sink refuses leaves bytes behind, and
 * so the connection is given up. */
static int read_value(struct redis_conn *c, struct kb_sink *sink, struct kb_call *call)
{
	char line[512], *end;
	uint64_t left;
	int rc = redis_line(c, line, sizeof line, call);

	if (rc)
		return rc;
	if (line[0] == '-')
		return redis_error(c, line + 1, false, call);
	if (!strcmp(line, "$-1") || !strcmp(line, "_"))
		return KB_MISS;
	left = line[0] == '$' ? strtoull(line + 1, &end, 10) : 0;
	if (line[0] != '$' || *end || end == line + 1)
		return redis_fail(c, KB_E_CORRUPT, "does not speak Redis's protocol", call);
	if (left > sink->limit)
		return redis_fail(c, KB_E_CORRUPT, "the object has more bytes than is acceptable", call);
	rc = sink->begin(sink, left);
	while (!rc && left) {
		const unsigned char *data;
		size_t n;

		rc = redis_some(c, &data, left < REDIS_BUFFER ? (size_t)left : REDIS_BUFFER, &n, call);
		if (rc == KB_E_TRANSIENT)	/* it broke off in the middle */
			rc = redis_fail(c, KB_E_CORRUPT, "ended in the middle of its answer", call);
		if (!rc)
			rc = sink->write(sink, data, n);
		left -= rc ? 0 : n;
	}
	if (rc) {
		c->broken = true;
		return rc;
	}
	rc = redis_line(c, line, 3, call);
	return rc;
}

static int send_get(struct kb_handle *h, struct redis_conn *c, struct kb_key key, struct kb_call *call)
{
	char seconds[24];
	const char *words[4] = { "GET", key.name, "EX", seconds };
	size_t lens[4] = { 3, key.len, 2, 0 };

	if (!h->refresh || !h->ttl_s)
		return redis_command(c, 2, words, lens, call);
	words[0] = "GETEX";
	lens[0] = 5;
	lens[3] = (size_t)snprintf(seconds, sizeof seconds, "%" PRIu64, h->ttl_s);
	return redis_command(c, 4, words, lens, call);
}

static int get(struct kb_handle *h, struct redis_conn *c, void *arg, struct kb_call *call)
{
	struct get *g = arg;
	int rc = send_get(h, c, g->key, call);

	return rc ? rc : read_value(c, g->sink, call);
}

int redis_get(struct kb_handle *h, struct kb_key key, struct kb_sink *sink, struct kb_call *call)
{
	struct get g = { key, sink };

	return redis_run(h, key, get, &g, call);
}

/* ---- put ---- */

struct put {
	struct kb_key key;
	struct kb_source *src;
	bool if_absent;
	int64_t ttl_s;
};

/* What follows the value: its end, and the options of SET. */
static int format_tail(const struct put *p, char tail[TAIL_MAX])
{
	char seconds[24];
	int n = 2;

	memcpy(tail, "\r\n", 3);
	if (p->ttl_s) {
		snprintf(seconds, sizeof seconds, "%" PRId64, p->ttl_s);
		n += snprintf(tail + n, TAIL_MAX - (size_t)n, "$2\r\nEX\r\n$%zu\r\n%s\r\n", strlen(seconds), seconds);
	}
	if (p->if_absent)
		n += snprintf(tail + n, TAIL_MAX - (size_t)n, "$2\r\nNX\r\n");
	return n;
}

/* SET key value [EX seconds] [NX], the value from the source. A small one leaves in one piece. */
static int send_set(struct redis_conn *c, const struct put *p, struct kb_call *call)
{
	char *buf = malloc(HEAD_MAX + PIECE + TAIL_MAX);
	uint64_t left = p->src->size;
	int words = 3 + (p->ttl_s ? 2 : 0) + p->if_absent, rc = KB_OK;
	size_t n;

	if (!buf)
		return redis_fail(c, KB_E_LOCAL, "out of memory", call);
	if (p->src->rewind(p->src)) {
		free(buf);
		return redis_host->fail(call, KB_E_LOCAL, "the source can't be read");
	}
	n = (size_t)snprintf(buf, HEAD_MAX, "*%d\r\n$3\r\nSET\r\n$%zu\r\n%.*s\r\n$%" PRIu64 "\r\n", words, p->key.len,
			     (int)p->key.len, p->key.name, left);
	while (!rc && left) {
		size_t room = HEAD_MAX + PIECE - n, got = 0;

		/* Cut off in the middle of a value, the server stores nothing. */
		if (p->src->read(p->src, buf + n, left < room ? (size_t)left : room, &got) || !got)
			rc = redis_fail(c, KB_E_LOCAL, "the source can't be read, or is shorter than its size", call);
		n += got;
		left -= got;
		if (!rc && left && n == HEAD_MAX + PIECE) {
			rc = redis_send(c, buf, n, call);
			n = 0;
		}
	}
	if (!rc) {
		n += (size_t)format_tail(p, buf + n);
		rc = redis_send(c, buf, n, call);
	}
	free(buf);
	return rc;
}

static int set_reply(struct redis_conn *c, struct kb_call *call)
{
	redisReply *reply = NULL;
	int rc = good_reply(c, true, &reply, call);

	if (!rc && reply->type == REDIS_REPLY_NIL)
		rc = KB_EXISTS;
	freeReplyObject(reply);
	return rc;
}

static int put(struct kb_handle *h, struct redis_conn *c, void *arg, struct kb_call *call)
{
	int rc = send_set(c, arg, call);

	(void)h;
	return rc ? rc : set_reply(c, call);
}

int redis_put(struct kb_handle *h, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	      struct kb_call *call)
{
	struct put p = { .key = key, .src = src, .if_absent = opts && opts->flags & KB_PUT_IF_ABSENT,
			 .ttl_s = opts && opts->ttl_s ? opts->ttl_s : (int64_t)h->ttl_s };

	if (src->size > h->max_value)
		return redis_host->fail(call, KB_E_TOOBIG, "%" PRIu64 " bytes are more than max-value", src->size);
	return redis_run(h, key, put, &p, call);
}

/* ---- small commands ---- */

struct small {
	int n;
	const char *words[4];
	size_t lens[4];
	bool write;
	long long integer;
	bool unknown;			/* the server has no such command */
};

static int small(struct kb_handle *h, struct redis_conn *c, void *arg, struct kb_call *call)
{
	struct small *s = arg;
	redisReply *reply = NULL;
	int rc = redis_command(c, s->n, s->words, s->lens, call);

	(void)h;
	if (!rc)
		rc = redis_read(c, &reply, call);
	s->unknown = !rc && reply->type == REDIS_REPLY_ERROR && !strncmp(reply->str, "ERR unknown", 11);
	if (!rc && reply->type == REDIS_REPLY_ERROR)
		rc = redis_error(c, reply->str, s->write, call);
	if (!rc)
		s->integer = reply->integer;
	freeReplyObject(reply);
	return rc;
}

static struct small command(const char *verb, struct kb_key key)
{
	return (struct small){ .n = 2, .words = { verb, key.name }, .lens = { strlen(verb), key.len } };
}

int redis_head(struct kb_handle *h, struct kb_key key, struct kb_stat *out, struct kb_call *call)
{
	struct small s = command("STRLEN", key);
	int rc = redis_run(h, key, small, &s, call);

	if (rc)
		return rc;
	*out = (struct kb_stat){ .size = (uint64_t)s.integer, .mtime_s = -1, .ttl_s = -1 };
	if (s.integer)
		return KB_OK;
	/* Empty, or not there? */
	s = command("EXISTS", key);
	rc = redis_run(h, key, small, &s, call);
	return rc ? rc : s.integer ? KB_OK : KB_MISS;
}

int redis_del(struct kb_handle *h, struct kb_key key, struct kb_call *call)
{
	struct small s = command("UNLINK", key);
	int rc;

	s.write = true;
	rc = redis_run(h, key, small, &s, call);
	if (rc < 0 && s.unknown) {	/* before 4.0 */
		s = command("DEL", key);
		s.write = true;
		rc = redis_run(h, key, small, &s, call);
	}
	return rc;
}

int redis_touch(struct kb_handle *h, struct kb_key key, int64_t ttl_s, struct kb_call *call)
{
	char seconds[24];
	struct small s = command("EXPIRE", key);
	int64_t ttl = ttl_s ? ttl_s : (int64_t)h->ttl_s;
	int rc;

	if (!ttl)
		s = command("EXISTS", key);	/* nothing expires: being there is all */
	s.write = ttl != 0;
	if (ttl) {
		s.n = 3;
		s.words[2] = seconds;
		s.lens[2] = (size_t)snprintf(seconds, sizeof seconds, "%" PRId64, ttl);
	}
	rc = redis_run(h, key, small, &s, call);
	return rc ? rc : s.integer ? KB_OK : KB_MISS;
}

/* ---- list ---- */

struct scan {
	char *pattern;
	int (*each)(void *, struct kb_key, const struct kb_stat *);
	void *arg;
	bool stopped;
};

static int page(struct redis_conn *c, struct scan *s, char cursor[32], struct kb_call *call)
{
	const char *const words[] = { "SCAN", cursor, "MATCH", s->pattern, "COUNT", "1000" };
	redisReply *reply = NULL;
	int rc = redis_command(c, 6, words, NULL, call);

	if (!rc)
		rc = good_reply(c, false, &reply, call);
	if (!rc && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !reply->element[0]->str ||
		    strlen(reply->element[0]->str) >= 32))
		rc = redis_fail(c, KB_E_CORRUPT, "does not speak Redis's protocol", call);
	if (!rc)
		memcpy(cursor, reply->element[0]->str, strlen(reply->element[0]->str) + 1);
	for (size_t i = 0; !rc && i < reply->element[1]->elements; i++) {
		const redisReply *k = reply->element[1]->element[i];
		static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789/._-";

		if (!k->str || !k->len || k->len > KB_KEY_MAX || strspn(k->str, alphabet) != k->len)
			continue;	/* not of kache's */
		rc = s->each(s->arg, (struct kb_key){ k->str, k->len }, NULL);
		s->stopped |= rc != 0;
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

int redis_list(struct kb_handle *h, struct kb_key prefix, struct kb_call *call,
	       int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg)
{
	struct scan s = { .each = each, .arg = arg };
	int rc;

	/* Of the key alphabet nothing is special in a pattern. */
	if (asprintf(&s.pattern, "%.*s*", (int)prefix.len, prefix.name) < 0)
		return redis_host->fail(call, KB_E_LOCAL, "out of memory");
	rc = redis_run_all(h, scan, &s, call);
	free(s.pattern);
	return rc;
}

/* ---- batch: pipelined, with a bounded amount of bytes under way ---- */

struct batch {
	struct kb_item *const *items;
	size_t from, to;
	size_t answered;
};

static int send_item(struct kb_handle *h, struct redis_conn *c, struct kb_item *i, struct kb_call *call)
{
	const struct put p = { .key = i->key, .src = i->src, .if_absent = i->flags & KB_PUT_IF_ABSENT, .ttl_s = (int64_t)h->ttl_s };
	struct small s;

	switch (i->op) {
	case KB_OP_GET:
		return send_get(h, c, i->key, call);
	case KB_OP_PUT:
		return send_set(c, &p, call);
	default:
		s = command(i->op == KB_OP_DEL ? "UNLINK" : i->op == KB_OP_HEAD ? "STRLEN" : "EXISTS", i->key);
		return redis_command(c, s.n, s.words, s.lens, call);
	}
}

static int answer_item(struct redis_conn *c, struct kb_item *i, struct kb_call *call)
{
	redisReply *reply = NULL;
	int rc;

	if (i->op == KB_OP_GET)
		return read_value(c, i->dst, call);
	if (i->op == KB_OP_PUT)
		return set_reply(c, call);
	rc = good_reply(c, i->op == KB_OP_DEL, &reply, call);
	if (!rc && i->op == KB_OP_HEAD) {
		i->st = (struct kb_stat){ .size = (uint64_t)reply->integer, .mtime_s = -1, .ttl_s = -1 };
		rc = reply->integer ? KB_OK : KB_MISS;
	} else if (!rc && i->op == KB_OP_TOUCH) {
		rc = reply->integer ? KB_OK : KB_MISS;
	}
	freeReplyObject(reply);
	return rc;
}

static int pipelined(struct kb_handle *h, struct redis_conn *c, void *arg, struct kb_call *call)
{
	struct batch *b = arg;
	int rc = KB_OK;

	for (size_t i = b->from; i < b->to && !rc; i++)
		rc = send_item(h, c, b->items[i], call);
	for (size_t i = b->from; i < b->to && !rc; i++) {
		b->items[i]->status = answer_item(c, b->items[i], call);
		b->answered = i + 1;
		/* Only what ends the connection ends the batch. */
		if (c->broken)
			rc = b->items[i]->status;
	}
	return rc;
}

static bool too_large(const struct kb_handle *h, const struct kb_item *i)
{
	return i->op == KB_OP_PUT && i->src->size > h->max_value;
}

int redis_batch(struct kb_handle *h, struct kb_item *const *items, size_t n, struct kb_call *call)
{
	size_t at = 0;

	while (at < n) {
		struct batch b = { .items = items, .from = at, .to = at, .answered = at };
		uint64_t bytes = 0;
		int rc;

		/* Replies pile up while requests are still being sent: neither side may fill. */
		if (too_large(h, items[at])) {
			items[at++]->status = redis_host->fail(call, KB_E_TOOBIG, "more bytes than max-value");
			continue;
		}
		while (b.to < n && !too_large(h, items[b.to]) && b.to - at < 256 &&
		       (b.to == at || (bytes < WINDOW && h->url.mode != REDIS_CLUSTER))) {
			bytes += items[b.to]->op == KB_OP_PUT ? items[b.to]->src->size : 0;
			b.to++;
			if (items[b.to - 1]->op == KB_OP_GET && b.to - at >= 16)
				break;
		}
		rc = redis_run(h, items[at]->key, pipelined, &b, call);
		for (size_t i = b.answered; rc && i < b.to; i++)
			items[i]->status = rc;
		if (rc == KB_E_CANCELLED || rc == KB_E_TIMEOUT) {
			for (size_t i = b.to; i < n; i++)
				items[i]->status = rc;
			return rc;
		}
		at = b.to;
	}
	return KB_OK;
}

/* ---- ping ---- */

struct may_write {
	bool no;
};

/* ACL DRYRUN (7.0) tells without doing. Elsewhere only a write would. */
static int dry_run(struct kb_handle *h, struct redis_conn *c, void *arg, struct kb_call *call)
{
	const char *const words[] = { "ACL", "DRYRUN", h->url.user ? h->url.user : "default", "SET", "kache", "x" };
	static const char *const ping[] = { "PING" };
	struct may_write *m = arg;
	redisReply *reply = NULL;
	int rc = redis_command(c, 1, ping, NULL, call);

	if (!rc)
		rc = good_reply(c, false, &reply, call);
	freeReplyObject(reply);
	reply = NULL;
	if (!rc)
		rc = redis_command(c, 6, words, NULL, call);
	if (!rc)
		rc = redis_read(c, &reply, call);
	/* "OK", an error where it may not be asked, or a text that says what is not allowed. */
	if (!rc && reply->type == REDIS_REPLY_STRING && strstr(reply->str, "no permissions to run"))
		m->no = true;
	freeReplyObject(reply);
	return rc;
}

int redis_ping(struct kb_handle *h, struct kb_limits *limits, struct kb_call *call)
{
	struct may_write m = { false };
	int rc = redis_run(h, (struct kb_key){ "kache", 5 }, dry_run, &m, call);

	if (!rc && m.no)
		limits->caps &= ~KB_CAP_WRITE;
	return rc;
}
