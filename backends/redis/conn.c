/* A connection, ready for use: dialled, logged in, on its database, and at a master where one is wanted. */
#include "config.h"
#include "redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum step { AUTH, SELECT, NAME, ROLE, STEPS };

/* What a server says to one of them. The name is for people who look, and who may not be asked for their role do
 * not say that they are replicas. */
static int judge(struct redis_conn *c, enum step step, const redisReply *reply, struct kb_call *call)
{
	if (step == ROLE && reply->type == REDIS_REPLY_ARRAY && reply->elements && reply->element[0]->str &&
	    strcmp(reply->element[0]->str, "master")) {
		c->said = REDIS_SAID_REPLICA;
		return redis_fail(c, KB_E_TRANSIENT, "is not the master any more", call);
	}
	if (reply->type != REDIS_REPLY_ERROR || step >= NAME)
		return KB_OK;
	return redis_error(c, reply->str, false, call);
}

/* All in one write. */
static int greet(struct kb_handle *h, struct redis_conn *c, bool master, struct kb_call *call)
{
	const struct redis_url *u = &h->url;
	char number[16];
	const char *words[STEPS][3] = { { "AUTH" }, { "SELECT", number }, { "CLIENT", "SETNAME", "kache" }, { "ROLE" } };
	int counts[STEPS] = { 0, u->database ? 2 : 0, 3, master }, rc = KB_OK;
	size_t used;

	snprintf(number, sizeof number, "%u", u->database);
	if (u->password) {
		words[AUTH][1] = u->user ? u->user : u->password;
		words[AUTH][2] = u->password;
		counts[AUTH] = u->user ? 3 : 2;
	}
	for (int i = 0; i < STEPS && !rc; i++)
		if (counts[i])
			rc = redis_command(c, counts[i], words[i], NULL, call);
	used = c->out_len;
	if (!rc)
		rc = redis_flush(c, call);
	explicit_bzero(c->out, used);
	rc = redis_last_words(c, rc, false, call);
	for (int i = 0; i < STEPS && !rc; i++) {
		redisReply *reply;

		if (!counts[i])
			continue;
		rc = redis_read(c, &reply, call);
		if (!rc)
			rc = judge(c, (enum step)i, reply, call);
		freeReplyObject(reply);
	}
	return rc;
}

static struct redis_conn *new_conn(const char *node)
{
	struct redis_conn *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->fd = -1;
	c->node = strdup(node);
	c->in = malloc(REDIS_IN);
	c->out = malloc(REDIS_OUT);
	if (c->node && c->in && c->out && redis_reader(c))
		return c;
	redis_disconnect(c);
	return NULL;
}

int redis_connect(struct kb_handle *h, const char *node, bool master, struct kb_call *call, struct redis_conn **out)
{
	struct redis_conn *c = new_conn(node);
	int rc;

	*out = NULL;
	if (!c)
		return redis_host->fail(call, KB_E_LOCAL, "out of memory");
	rc = redis_dial(h, c, call);
	if (!rc)
		rc = greet(h, c, master, call);
	if (rc) {
		redis_disconnect(c);
		return rc;
	}
	c->used_ns = redis_now();
	*out = c;
	return KB_OK;
}

void redis_disconnect(struct redis_conn *c)
{
	if (!c)
		return;
	SSL_free(c->ssl);
	if (c->fd >= 0)
		close(c->fd);
	if (c->reader)
		redisReaderFree(c->reader);
	free(c->in);
	free(c->out);
	free(c->node);
	free(c);
}
