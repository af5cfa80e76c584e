/* Which server to go to, and the connections that are kept: one server; the master that sentinels name; or the nodes
 * of a cluster. */
#include "config.h"
#include "redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOPS = 5, PING_AFTER_S = 30, PING_MS = 1000 };
#define MS 1000000ull

/* ---- the pool ---- */

static struct redis_conn *take_idle(struct kb_handle *h, const char *node)
{
	struct redis_conn **at, *c;

	for (;;) {
		pthread_mutex_lock(&h->lock);
		for (at = &h->idle; (c = *at) && strcmp(c->node, node); at = &c->next)
			;
		if (c)
			*at = c->next;
		pthread_mutex_unlock(&h->lock);
		if (!c || !redis_stale(c))
			return c;
		redis_disconnect(c);
	}
}

/* As many are kept as are of use at the same time, for each node. */
static void give_back(struct kb_handle *h, struct redis_conn *c)
{
	unsigned n = 0;

	c->used_ns = redis_now();
	c->until = 0;
	pthread_mutex_lock(&h->lock);
	for (const struct redis_conn *other = h->idle; other; other = other->next)
		n += !strcmp(other->node, c->node);
	if (!c->broken && n < h->connections) {
		c->next = h->idle;
		h->idle = c;
		c = NULL;
	}
	pthread_mutex_unlock(&h->lock);
	redis_disconnect(c);
}

void redis_close_idle(struct kb_handle *h)
{
	struct redis_conn *c, *next;

	pthread_mutex_lock(&h->lock);
	c = h->idle;
	h->idle = NULL;
	pthread_mutex_unlock(&h->lock);
	for (; c; c = next) {
		next = c->next;
		redis_disconnect(c);
	}
}

/* ---- sentinel ---- */

/* One sentinel; *out is fresh memory. Some want a password: then it gets ours. */
static int ask_sentinel(struct kb_handle *as, const char *sentinel, const char *name, char **out, struct kb_call *call)
{
	const char *const words[] = { "SENTINEL", "get-master-addr-by-name", name };
	struct redis_conn *c;
	redisReply *reply = NULL;
	int rc = redis_connect(as, sentinel, false, call, &c);

	*out = NULL;
	if (rc)
		return rc;
	rc = redis_command(c, 3, words, NULL, call);
	if (!rc)
		rc = redis_good(c, false, &reply, call);
	if (!rc && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[0]->str && reply->element[1]->str) {
		const char *host = reply->element[0]->str;

		if (asprintf(out, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, reply->element[1]->str) < 0)
			*out = NULL;
		rc = *out ? KB_OK : redis_host->fail(call, KB_E_LOCAL, "out of memory");
	} else if (!rc) {
		rc = redis_host->fail(call, KB_E_CONFIG, "%s: knows no master named %s", sentinel, name);
	}
	freeReplyObject(reply);
	redis_disconnect(c);
	return rc;
}

static int ask_sentinels(struct kb_handle *h, char **out, struct kb_call *call)
{
	/* They have no databases, and users of their own. */
	struct kb_handle plain = { .tls = h->tls, .sni = h->sni }, known = plain;
	int rc = KB_E_TRANSIENT;

	known.url.user = h->url.user;
	known.url.password = h->url.password;
	for (size_t i = 0; i < h->url.n_nodes; i++) {
		rc = ask_sentinel(&plain, h->url.nodes[i], h->url.master, out, call);
		if (rc == KB_E_AUTH && h->url.password)
			rc = ask_sentinel(&known, h->url.nodes[i], h->url.master, out, call);
		if (rc == KB_OK || rc == KB_E_CANCELLED || rc == KB_E_TIMEOUT)
			break;
	}
	return rc;
}

/* There may be another one by now. */
static void forget_master(struct kb_handle *h)
{
	pthread_mutex_lock(&h->lock);
	free(h->master);
	h->master = NULL;
	pthread_mutex_unlock(&h->lock);
	redis_close_idle(h);
}

static int find_master(struct kb_handle *h, char **out, struct kb_call *call)
{
	int rc;

	pthread_mutex_lock(&h->lock);
	*out = h->master ? strdup(h->master) : NULL;
	pthread_mutex_unlock(&h->lock);
	if (*out)
		return KB_OK;
	rc = ask_sentinels(h, out, call);
	if (rc)
		return rc;
	pthread_mutex_lock(&h->lock);
	free(h->master);
	h->master = strdup(*out);
	pthread_mutex_unlock(&h->lock);
	return KB_OK;
}

static int node_for(struct kb_handle *h, struct kb_key key, char **out, struct kb_call *call)
{
	switch (h->url.mode) {
	case REDIS_SENTINEL:
		return find_master(h, out, call);
	case REDIS_CLUSTER:
		return redis_cluster_node(h, key, out, call);
	default:
		*out = strdup(h->url.nodes[0]);
		return *out ? KB_OK : redis_host->fail(call, KB_E_LOCAL, "out of memory");
	}
}

/* ---- running ---- */

/* What one attempt came to. */
struct visit {
	char *next;			/* where the cluster sends us; fresh memory or NULL */
	bool asking;			/* there, ASKING comes first */
	bool replica;			/* it was no master */
};

static int plain_word(struct redis_conn *c, const char *word, struct kb_call *call)
{
	redisReply *reply = NULL;
	int rc = redis_command(c, 1, &word, NULL, call);

	if (!rc)
		rc = redis_read(c, &reply, call);
	freeReplyObject(reply);
	return rc;
}

/* A sign of life after a long pause: what is between may have forgotten the connection, and would say nothing. */
static bool alive(struct redis_conn *c, struct kb_call *call)
{
	uint64_t now = redis_now();
	bool yes;

	if (now - c->used_ns < PING_AFTER_S * 1000 * MS)
		return true;
	c->until = now + PING_MS * MS;
	yes = !plain_word(c, "PING", call);
	c->until = 0;
	return yes;
}

static int attempt(struct kb_handle *h, struct redis_conn *c, bool asking, redis_exchange *run, void *arg, struct kb_call *call)
{
	int rc;

	c->heard = false;
	c->redirect[0] = '\0';
	c->said = REDIS_SAID_OTHER;
	rc = asking ? plain_word(c, "ASKING", call) : KB_OK;
	return rc ? rc : run(h, c, arg, call);
}

static int run_at(struct kb_handle *h, const char *node, bool asking, redis_exchange *run, void *arg, struct visit *v,
		  struct kb_call *call)
{
	struct redis_conn *c = take_idle(h, node);
	int rc = KB_E_TRANSIENT;

	*v = (struct visit){ 0 };
	if (c && !alive(c, call)) {
		redis_disconnect(c);
		c = NULL;
	}
	if (c)
		rc = attempt(h, c, asking, run, arg, call);
	/* The server had closed a kept connection, or has restarted. */
	if (c && rc == KB_E_TRANSIENT && c->closed && !c->heard) {
		redis_disconnect(c);
		c = NULL;
	}
	if (!c) {
		rc = redis_connect(h, node, h->url.mode == REDIS_SENTINEL, call, &c);
		if (rc)
			return rc;
		rc = attempt(h, c, asking, run, arg, call);
	}
	if (rc < 0 && h->url.mode == REDIS_CLUSTER && c->redirect[0])
		v->next = redis_redirected(h, c, &v->asking);
	v->replica = rc < 0 && c->said == REDIS_SAID_REPLICA;
	give_back(h, c);
	return rc;
}

int redis_run(struct kb_handle *h, struct kb_key key, redis_exchange *run, void *arg, struct kb_call *call)
{
	struct visit v = { 0 };
	char *node = NULL;
	int rc = node_for(h, key, &node, call);

	if (!rc) {
		rc = run_at(h, node, false, run, arg, &v, call);
		free(node);
	}
	for (int hop = 0; v.next && hop < HOPS; hop++) {
		node = v.next;
		rc = run_at(h, node, v.asking, run, arg, &v, call);
		free(node);
	}
	if (v.next) {
		free(v.next);
		rc = redis_host->fail(call, KB_E_TRANSIENT, "%s: the cluster sends us in circles", h->url.nodes[0]);
	}
	if (h->url.mode == REDIS_SENTINEL && (rc == KB_E_TRANSIENT || rc == KB_E_TIMEOUT || v.replica)) {
		forget_master(h);
		if (v.replica)
			rc = redis_host->fail(call, KB_E_TRANSIENT, "%s: the master has changed", h->url.nodes[0]);
	}
	if (h->url.mode == REDIS_CLUSTER && (rc == KB_E_TRANSIENT || rc == KB_E_TIMEOUT))
		redis_forget_slot(h, key);
	return rc;
}

/* The node with this number, if it has slots; fresh memory or NULL. */
static char *node_in_use(struct kb_handle *h, size_t i)
{
	bool used = false;
	char *node;

	pthread_mutex_lock(&h->lock);
	for (int s = 0; s < REDIS_SLOTS && !used; s++)
		used = h->slots[s] == i;
	node = used ? strdup(h->nodes[i]) : NULL;
	pthread_mutex_unlock(&h->lock);
	return node;
}

int redis_run_all(struct kb_handle *h, redis_exchange *run, void *arg, struct kb_call *call)
{
	int rc;
	size_t n;

	if (h->url.mode != REDIS_CLUSTER)
		return redis_run(h, (struct kb_key){ "", 0 }, run, arg, call);
	rc = redis_learn_slots(h, call);
	pthread_mutex_lock(&h->lock);
	n = h->n_nodes;
	pthread_mutex_unlock(&h->lock);
	for (size_t i = 0; i < n && !rc; i++) {
		char *node = node_in_use(h, i);
		struct visit v;

		if (!node)
			continue;
		rc = run_at(h, node, false, run, arg, &v, call);
		free(v.next);
		free(node);
	}
	return rc;
}
