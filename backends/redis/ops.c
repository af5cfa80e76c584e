/* Operations on one object: one command each, values streamed. */
#include "config.h"
#include "redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- get ---- */

int redis_send_get(struct kb_handle *h, struct redis_conn *c, struct kb_key key, bool *extends, struct kb_call *call)
{
	char seconds[24];
	const char *words[4] = { "GET", key.name, "EX", seconds };
	size_t lens[4] = { 3, key.len, 2, 0 };

	*extends = h->refresh && h->ttl_s && !atomic_load(&h->plain_get);
	if (!*extends)
		return redis_command(c, 2, words, lens, call);
	words[0] = "GETEX";
	lens[0] = 5;
	lens[3] = (size_t)snprintf(seconds, sizeof seconds, "%" PRIu64, h->ttl_s);
	return redis_command(c, 4, words, lens, call);
}

bool redis_gets_plainly(struct kb_handle *h, const struct redis_conn *c)
{
	if (c->said == REDIS_SAID_OTHER)
		return false;
	if (!atomic_exchange(&h->plain_get, true))
		redis_host->log(6, "%s: a read can't begin the ttl anew here", c->node);
	return true;
}

/* The number of bytes that "$N" announces, -1 for none of an object, -2 if that is not what it says. */
static int64_t announced(const char *line)
{
	char *end;
	int64_t n;

	if (!strcmp(line, "$-1") || !strcmp(line, "_"))
		return -1;
	if (line[0] != '$' || line[1] < '0' || line[1] > '9')
		return -2;
	n = strtoll(line + 1, &end, 10);
	return *end ? -2 : n;
}

/* What the sink refuses leaves bytes behind, and so the connection is given up. */
static int take_bytes(struct redis_conn *c, struct kb_sink *sink, uint64_t left, struct kb_call *call)
{
	int rc = sink->begin(sink, left);
	char end[2];

	while (!rc && left) {
		const unsigned char *data;
		size_t n;

		rc = redis_some(c, &data, left < REDIS_IN ? (size_t)left : REDIS_IN, &n, call);
		if (rc == KB_E_TRANSIENT && c->closed)
			rc = redis_fail(c, KB_E_CORRUPT, "the value ended before its length", call);
		if (!rc)
			rc = sink->write(sink, data, n);
		left -= rc ? 0 : n;
	}
	if (!rc)
		rc = redis_line(c, end, sizeof end, call);
	c->broken |= rc != KB_OK;
	return rc;
}

int redis_take_value(struct redis_conn *c, struct kb_sink *sink, struct kb_call *call)
{
	char line[512];
	int64_t size;
	int rc = redis_line(c, line, sizeof line, call);

	if (rc)
		return rc;
	if (line[0] == '-')
		return redis_error(c, line + 1, false, call);
	size = announced(line);
	if (size == -1)
		return KB_MISS;
	if (size < 0)
		return redis_fail(c, KB_E_CORRUPT, "does not speak Redis's protocol", call);
	if ((uint64_t)size > sink->limit)
		return redis_fail(c, KB_E_CORRUPT, "the object has more bytes than is acceptable", call);
	return take_bytes(c, sink, (uint64_t)size, call);
}

struct get {
	struct kb_key key;
	struct kb_sink *sink;
};

static int get(struct kb_handle *h, struct redis_conn *c, void *arg, struct kb_call *call)
{
	struct get *g = arg;
	bool extends;
	int rc = redis_send_get(h, c, g->key, &extends, call);

	if (!rc)
		rc = redis_take_value(c, g->sink, call);
	if (rc < 0 && extends && !c->broken && redis_gets_plainly(h, c)) {
		c->said = REDIS_SAID_OTHER;
		rc = redis_send_get(h, c, g->key, &extends, call);
		if (!rc)
			rc = redis_take_value(c, g->sink, call);
	}
	return rc;
}

int redis_get(struct kb_handle *h, struct kb_key key, struct kb_sink *sink, struct kb_call *call)
{
	struct get g = { key, sink };

	return redis_run(h, key, get, &g, call);
}

/* ---- put ---- */

/* The value, straight from the source into what is sent. Cut off in the middle of one, the server stores nothing. */
static int send_value(struct redis_conn *c, struct kb_source *src, struct kb_call *call)
{
	uint64_t left = src->size;

	while (left) {
		unsigned char *at;
		size_t room, got = 0;
		int rc = redis_room(c, &at, &room, call);

		if (rc)
			return rc;
		if (src->read(src, at, left < room ? (size_t)left : room, &got))
			return redis_fail(c, KB_E_LOCAL, "the source can't be read", call);
		if (!got)
			return redis_fail(c, KB_E_LOCAL, "the source is shorter than its size", call);
		c->out_len += got;
		left -= got;
	}
	return KB_OK;
}

/* SET key value [EX seconds] [NX], by hand because of the value in the middle. */
int redis_send_put(struct redis_conn *c, const struct redis_put *p, struct kb_call *call)
{
	char head[KB_KEY_MAX + 96], tail[96], seconds[24];
	int words = 3 + (p->ttl_s ? 2 : 0) + p->if_absent, n, rc;

	if (p->src->rewind(p->src))
		return redis_host->fail(call, KB_E_LOCAL, "the source can't be read");
	n = snprintf(head, sizeof head, "*%d\r\n$3\r\nSET\r\n$%zu\r\n%.*s\r\n$%" PRIu64 "\r\n", words, p->key.len, (int)p->key.len,
		     p->key.name, p->src->size);
	rc = redis_out(c, head, (size_t)n, call);
	if (!rc)
		rc = send_value(c, p->src, call);
	n = snprintf(tail, sizeof tail, "\r\n");
	if (p->ttl_s) {
		snprintf(seconds, sizeof seconds, "%" PRId64, p->ttl_s);
		n += snprintf(tail + n, sizeof tail - (size_t)n, "$2\r\nEX\r\n$%zu\r\n%s\r\n", strlen(seconds), seconds);
	}
	if (p->if_absent)
		n += snprintf(tail + n, sizeof tail - (size_t)n, "$2\r\nNX\r\n");
	return rc ? rc : redis_out(c, tail, (size_t)n, call);
}

int redis_put_reply(struct redis_conn *c, struct kb_call *call)
{
	redisReply *reply;
	int rc = redis_good(c, true, &reply, call);

	if (!rc && reply->type == REDIS_REPLY_NIL)
		rc = KB_EXISTS;
	else if (!rc && reply->type != REDIS_REPLY_STATUS)
		rc = redis_fail(c, KB_E_CORRUPT, "does not speak Redis's protocol", call);
	freeReplyObject(reply);
	return rc;
}

static int put(struct kb_handle *h, struct redis_conn *c, void *arg, struct kb_call *call)
{
	int rc = redis_send_put(c, arg, call);

	(void)h;
	if (!rc)
		rc = redis_flush(c, call);
	/* It may be more than the server takes. */
	rc = redis_last_words(c, rc, true, call);
	return rc ? rc : redis_put_reply(c, call);
}

int redis_put(struct kb_handle *h, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	      struct kb_call *call)
{
	struct redis_put p = { .key = key, .src = src, .if_absent = opts && opts->flags & KB_PUT_IF_ABSENT,
			       .ttl_s = opts && opts->ttl_s > 0 ? opts->ttl_s : (int64_t)h->ttl_s };

	if (src->size > h->max_value)
		return redis_host->fail(call, KB_E_TOOBIG, "%" PRIu64 " bytes are more than max-value", src->size);
	return redis_run(h, key, put, &p, call);
}

/* ---- small commands ---- */

struct small {
	int n;
	const char *words[3];
	size_t lens[3];
	bool write;
	long long integer;
	bool refused;			/* the server does not know the command, or this user may not give it */
};

int redis_integer(struct redis_conn *c, bool write, long long *out, struct kb_call *call)
{
	redisReply *reply;
	int rc = redis_good(c, write, &reply, call);

	if (!rc && (reply->type != REDIS_REPLY_INTEGER || reply->integer < 0))
		rc = redis_fail(c, KB_E_CORRUPT, "does not speak Redis's protocol", call);
	*out = rc ? 0 : reply->integer;
	freeReplyObject(reply);
	return rc;
}

static int small(struct kb_handle *h, struct redis_conn *c, void *arg, struct kb_call *call)
{
	struct small *s = arg;
	int rc = redis_command(c, s->n, s->words, s->lens, call);

	(void)h;
	if (!rc)
		rc = redis_integer(c, s->write, &s->integer, call);
	s->refused = rc < 0 && (c->said == REDIS_SAID_UNKNOWN_COMMAND || c->said == REDIS_SAID_NO_RIGHT);
	return rc;
}

static struct small command(const char *verb, struct kb_key key, bool write)
{
	return (struct small){ .n = 2, .words = { verb, key.name }, .lens = { strlen(verb), key.len }, .write = write };
}

/* Likewise with another command where the first is refused. */
static int either(struct kb_handle *h, struct kb_key key, struct small *s, const char *otherwise, struct kb_call *call)
{
	int rc = redis_run(h, key, small, s, call);

	if (rc >= 0 || !s->refused)
		return rc;
	*s = command(otherwise, key, s->write);
	return redis_run(h, key, small, s, call);
}

int redis_head(struct kb_handle *h, struct kb_key key, struct kb_stat *out, struct kb_call *call)
{
	struct small s = command("STRLEN", key, false);
	int rc = redis_run(h, key, small, &s, call);

	if (rc)
		return rc;
	*out = (struct kb_stat){ .size = (uint64_t)s.integer, .mtime_s = -1, .ttl_s = -1 };
	if (s.integer)
		return KB_OK;
	/* Empty, or not there? */
	s = command("EXISTS", key, false);
	rc = redis_run(h, key, small, &s, call);
	return rc ? rc : s.integer ? KB_OK : KB_MISS;
}

int redis_del(struct kb_handle *h, struct kb_key key, struct kb_call *call)
{
	struct small s = command("UNLINK", key, true);

	return either(h, key, &s, "DEL", call);		/* before 4.0 */
}

int redis_touch(struct kb_handle *h, struct kb_key key, int64_t ttl_s, struct kb_call *call)
{
	char seconds[24];
	int64_t ttl = ttl_s > 0 ? ttl_s : (int64_t)h->ttl_s;
	struct small s = command(ttl ? "EXPIRE" : "TOUCH", key, ttl != 0);
	int rc;

	if (ttl) {
		s.n = 3;
		s.words[2] = seconds;
		s.lens[2] = (size_t)snprintf(seconds, sizeof seconds, "%" PRId64, ttl);
		rc = redis_run(h, key, small, &s, call);
	} else {
		rc = either(h, key, &s, "EXISTS", call);
	}
	return rc ? rc : s.integer ? KB_OK : KB_MISS;
}

/* ---- ping ---- */

/* ACL DRYRUN (7.0) tells without doing whether a user may write; and ROLE, where it may be asked, whether the
 * server takes writes at all. Elsewhere only a write would tell. */
static int ask_rights(struct kb_handle *h, struct redis_conn *c, void *arg, struct kb_call *call)
{
	const char *const dryrun[] = { "ACL", "DRYRUN", h->url.user ? h->url.user : "default", "SET", "kache", "x" };
	const char *const ping[] = { "PING" }, *const role[] = { "ROLE" };
	bool *may_write = arg;
	redisReply *reply;
	int rc = redis_command(c, 1, ping, NULL, call);

	if (!rc)
		rc = redis_command(c, 6, dryrun, NULL, call);
	if (!rc)
		rc = redis_command(c, 1, role, NULL, call);
	for (int i = 0; i < 3 && !rc; i++) {
		rc = i ? redis_read(c, &reply, call) : redis_good(c, false, &reply, call);
		if (rc)
			break;
		/* "OK", an error where it may not be asked, or a text that says what is not allowed. */
		if (i == 1 && reply->type == REDIS_REPLY_STRING && strstr(reply->str, "no permissions to run"))
			*may_write = false;
		if (i == 2 && reply->type == REDIS_REPLY_ARRAY && reply->elements && reply->element[0]->str)
			*may_write &= h->url.mode != REDIS_SINGLE || strcmp(reply->element[0]->str, "slave") != 0;
		freeReplyObject(reply);
	}
	c->broken |= rc != KB_OK;	/* replies may be outstanding */
	return rc;
}

int redis_ping(struct kb_handle *h, struct kb_limits *limits, struct kb_call *call)
{
	bool may_write = true;
	int rc = redis_run(h, (struct kb_key){ "kache", 5 }, ask_rights, &may_write, call);

	if (!may_write)
		limits->caps &= ~KB_CAP_WRITE;
	limits->max_object = h->max_value;
	limits->max_inflight = h->connections;
	limits->max_batch = 1000;
	return rc;
}
