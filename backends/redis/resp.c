/* RESP: commands are words with their lengths, replies have a type and a length. Values are read and written by their
 * users as they come; everything else is parsed by hiredis. */
#include "config.h"
#include "redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Bytes of a reply that is no value, and elements in all arrays of one. hiredis makes room for an array as soon as it has read
 * how many there are to be, and before 1.0 for any number. */
enum { REPLY_MAX = 16 << 20, ELEMENTS_MAX = 1 << 17 };

#if HIREDIS_MAJOR >= 1
typedef size_t array_count;
#else
typedef int array_count;
#endif

static void *bounded_array(const redisReadTask *task, array_count n)
{
	struct redis_conn *c = task->privdata;

	if ((long long)n < 0 || (size_t)n > ELEMENTS_MAX - c->elements)
		return NULL;	/* hiredis ends with an error */
	c->elements += (size_t)n;
	return c->theirs.createArray(task, n);
}

bool redis_reader(struct redis_conn *c)
{
	c->reader = redisReaderCreate();
	if (!c->reader)
		return false;
	c->theirs = c->ours = *c->reader->fn;
	c->ours.createArray = bounded_array;
	c->reader->fn = &c->ours;
	c->reader->privdata = c;
	return true;
}

int redis_command(struct redis_conn *c, int n, const char *const *words, const size_t *lens, struct kb_call *call)
{
	char head[32];
	int rc = redis_out(c, head, (size_t)snprintf(head, sizeof head, "*%d\r\n", n), call);

	for (int i = 0; i < n && !rc; i++) {
		size_t len = lens ? lens[i] : strlen(words[i]);

		rc = redis_out(c, head, (size_t)snprintf(head, sizeof head, "$%zu\r\n", len), call);
		if (!rc)
			rc = redis_out(c, words[i], len, call);
		if (!rc)
			rc = redis_out(c, "\r\n", 2, call);
	}
	return rc;
}

static int no_redis(struct redis_conn *c, struct kb_call *call)
{
	/* An alert: that is how TLS answers to what is none. */
	if (c->in_len > 1 && c->in[0] == 0x15 && c->in[1] == 0x03)
		return redis_fail(c, KB_E_CONFIG, "speaks TLS at this port; a URL with TLS begins with rediss", call);
	return redis_fail(c, KB_E_CORRUPT, "does not speak Redis's protocol", call);
}

int redis_read(struct redis_conn *c, redisReply **out, struct kb_call *call)
{
	void *reply = NULL;
	size_t left, all = 0;

	*out = NULL;
	c->elements = 0;
	for (;;) {
		int rc;

		redisReaderFeed(c->reader, (const char *)c->in + c->in_at, c->in_len - c->in_at);
		all += c->in_len - c->in_at;
		c->in_at = c->in_len;
		if (redisReaderGetReply(c->reader, &reply) != REDIS_OK || (!reply && all > REPLY_MAX))
			return no_redis(c, call);
		if (reply)
			break;
		rc = redis_fill(c, call);
		if (rc)
			return rc;
	}
	/* What follows the reply was fed too; it may be a value, which is not for the reader. */
	left = c->reader->len - c->reader->pos;
	if (left) {
		c->in_at -= left;
		redisReaderFree(c->reader);
		if (!redis_reader(c)) {
			freeReplyObject(reply);
			return redis_fail(c, KB_E_LOCAL, "out of memory", call);
		}
	}
	*out = reply;
	return KB_OK;
}

int redis_good(struct redis_conn *c, bool write, redisReply **out, struct kb_call *call)
{
	int rc = redis_read(c, out, call);

	if (!rc && (*out)->type == REDIS_REPLY_ERROR) {
		rc = redis_error(c, (*out)->str, write, call);
		freeReplyObject(*out);
		*out = NULL;
	}
	return rc;
}

int redis_line(struct redis_conn *c, char *buf, size_t cap, struct kb_call *call)
{
	size_t n = 0;

	for (;;) {
		int rc = c->in_at == c->in_len ? redis_fill(c, call) : KB_OK;

		if (rc)
			return rc;
		buf[n] = (char)c->in[c->in_at++];
		if (buf[n] == '\n' && n && buf[n - 1] == '\r') {
			buf[n - 1] = '\0';
			return KB_OK;
		}
		if (++n == cap)
			return no_redis(c, call);
	}
}

int redis_some(struct redis_conn *c, const unsigned char **data, size_t most, size_t *len, struct kb_call *call)
{
	int rc = c->in_at == c->in_len ? redis_fill(c, call) : KB_OK;

	if (rc)
		return rc;
	*data = c->in + c->in_at;
	*len = c->in_len - c->in_at < most ? c->in_len - c->in_at : most;
	c->in_at += *len;
	return KB_OK;
}

/* ---- errors ---- */

static const struct { const char *prefix; int status; const char *meaning; enum redis_said said; } meanings[] = {
	{ "NOAUTH", KB_E_AUTH, "a password is wanted (options user, password)", 0 },
	{ "WRONGPASS", KB_E_AUTH, "user or password is wrong (options user, password)", 0 },
	{ "ERR invalid password", KB_E_AUTH, "the password is wrong (option password)", 0 },
	{ "ERR Client sent AUTH, but no password is set", KB_E_AUTH, "the server has no password, one is given (option password)", 0 },
	{ "ERR AUTH <password> called without any password", KB_E_AUTH, "the server has no password for this user, one is given (option password)", 0 },
	{ "ERR wrong number of arguments for 'auth'", KB_E_AUTH, "the server is too old for users (option user)", 0 },
	{ "DENIED", KB_E_AUTH, "the server is in protected mode and takes no clients from other machines", 0 },
	{ "OOM", KB_E_NOSPACE, "its memory is full (maxmemory)", 0 },
	{ "MISCONF", KB_E_NOSPACE, "it can't save to its disk and takes no writes", 0 },
	{ "ERR string exceeds maximum", KB_E_TOOBIG, "larger than it takes (option max-value)", 0 },
	{ "ERR Protocol error: invalid bulk length", KB_E_TOOBIG, "larger than it takes (its proto-max-bulk-len, option max-value)", 0 },
	{ "READONLY", KB_E_AUTH, "it is a replica, which can only be read (mode = ro)", REDIS_SAID_REPLICA },
	{ "LOADING", KB_E_TRANSIENT, "it is loading its data", 0 },
	{ "BUSY", KB_E_TRANSIENT, "it is busy", 0 },
	{ "TRYAGAIN", KB_E_TRANSIENT, "the cluster is moving slots", 0 },
	{ "MASTERDOWN", KB_E_TRANSIENT, "its master is down", 0 },
	{ "CLUSTERDOWN", KB_E_TRANSIENT, "the cluster is down", 0 },
	{ "NOREPLICAS", KB_E_TRANSIENT, "it lacks the replicas that it wants for writing", 0 },
	{ "ERR max number of clients", KB_E_TRANSIENT, "it has too many clients", 0 },
	{ "MOVED ", KB_E_CONFIG, "it is part of a cluster; use redis-cluster://", 0 },
	{ "ASK ", KB_E_CONFIG, "it is part of a cluster; use redis-cluster://", 0 },
	{ "ERR DB index is out of range", KB_E_CONFIG, "it has no such database (option database)", 0 },
	{ "ERR invalid DB index", KB_E_CONFIG, "it has no such database (option database)", 0 },
	{ "ERR SELECT is not allowed in cluster mode", KB_E_CONFIG, "it is part of a cluster; use redis-cluster://", 0 },
	{ "WRONGTYPE", KB_E_CORRUPT, "something other than an object has its name", 0 },
};

/* The server's own words, of which nothing may surprise a terminal. What it repeats of a command ("with args
 * beginning with: …") is left out: it may have been a password. */
static int other_error(struct redis_conn *c, const char *text, struct kb_call *call)
{
	const char *args = strstr(text, ", with args");
	size_t len = args ? (size_t)(args - text) : strlen(text);
	char show[120];

	len = len < sizeof show - 1 ? len : sizeof show - 1;
	for (size_t i = 0; i < len; i++)
		show[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	show[len] = '\0';
	if (!strncmp(text, "ERR unknown", 11) || !strncmp(text, "ERR wrong number of arg", 23))
		c->said = REDIS_SAID_UNKNOWN_COMMAND;
	return redis_host->fail(call, KB_E_UNSUPPORTED, "%s: %s", c->node, show);
}

int redis_error(struct redis_conn *c, const char *text, bool write, struct kb_call *call)
{
	c->redirect[0] = '\0';
	c->said = REDIS_SAID_OTHER;
	if ((!strncmp(text, "MOVED ", 6) || !strncmp(text, "ASK ", 4)) && strlen(text) < sizeof c->redirect)
		memcpy(c->redirect, text, strlen(text) + 1);
	if (!strncmp(text, "NOPERM", 6)) {
		c->said = REDIS_SAID_NO_RIGHT;
		return redis_host->fail(call, KB_E_AUTH, write ? "%s: read-only for this user (option user; mode = ro)"
					: "%s: this user may not do that (option user)", c->node);
	}
	for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
		if (strncmp(text, meanings[i].prefix, strlen(meanings[i].prefix)))
			continue;
		c->said = meanings[i].said;
		return redis_host->fail(call, meanings[i].status, "%s: %s", c->node, meanings[i].meaning);
	}
	return other_error(c, text, call);
}

int redis_last_words(struct redis_conn *c, int rc, bool write, struct kb_call *call)
{
	char line[512];
	ssize_t n;
	size_t len;

	if (rc != KB_E_TRANSIENT || !c->closed || c->ssl || c->heard)
		return rc;
	n = recv(c->fd, line, sizeof line - 1, MSG_DONTWAIT);
	if (n <= 0 || line[0] != '-')
		return rc;
	line[n] = '\0';
	len = strcspn(line, "\r\n");
	line[len] = '\0';
	c->heard = true;
	return redis_error(c, line + 1, write, call);
}
