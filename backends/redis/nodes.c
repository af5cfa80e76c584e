/* Which server has a key, and connections to it. One server; the master that sentinels name; or a cluster, whose
 * slots are learned (Redis cluster specification). */
#define _GNU_SOURCE
#include "redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOPS = 5, PING_AFTER_S = 30 };
static const uint16_t unknown = 0xffff;

/* CRC16 of the XMODEM kind, of the part between the first { and the next } if there is one. */
unsigned redis_slot(const char *key, size_t len)
{
	const char *open = memchr(key, '{', len), *close = open ? memchr(open + 1, '}', len - (size_t)(open + 1 - key)) : NULL;
	unsigned crc = 0;

	if (close && close > open + 1) {
		key = open + 1;
		len = (size_t)(close - key);
	}
	for (size_t i = 0; i < len; i++) {
		crc ^= (unsigned)(unsigned char)key[i] << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xffff;
	}
	return crc % REDIS_SLOTS;
}

/* ---- the pool ---- */

static struct redis_conn *take_idle(struct kb_handle *h, const char *node)
{
	struct redis_conn **at, *c;

	pthread_mutex_lock(&h->lock);
	for (at = &h->idle; (c = *at) && strcmp(c->node, node); at = &c->next)
		;
	if (c) {
		*at = c->next;
		h->n_idle--;
	}
	pthread_mutex_unlock(&h->lock);
	return c;
}

static void give_back(struct kb_handle *h, struct redis_conn *c)
{
	bool keep;

	c->used_ns = redis_now();
	pthread_mutex_lock(&h->lock);
	keep = !c->broken && h->n_idle < h->connections;
	if (keep) {
		c->next = h->idle;
		h->idle = c;
		h->n_idle++;
	}
	pthread_mutex_unlock(&h->lock);
	if (!keep)
		redis_disconnect(c);
}

void redis_close_idle(struct kb_handle *h)
{
	while (h->idle) {
		struct redis_conn *next = h->idle->next;

		redis_disconnect(h->idle);
		h->idle = next;
	}
}

/* ---- sentinel ---- */

/* Asks the sentinels in turn; fresh memory. They have no database, and often no password. */
static int ask_sentinels(struct kb_handle *h, char **out, struct kb_call *call)
{
	int rc = KB_E_TRANSIENT;

	*out = NULL;
	for (size_t i = 0; i < h->url.n_nodes && !*out; i++) {
		const char *const words[] = { "SENTINEL", "get-master-addr-by-name", h->url.master };
		struct kb_handle plain = { .tls = h->tls, .sni = h->sni };
		struct redis_conn *c;
		redisReply *reply = NULL;

		rc = redis_connect(&plain, h->url.nodes[i], call, &c);
		if (rc)
			continue;
		rc = redis_command(c, 3, words, NULL, call);
		if (!rc)
			rc = redis_read(c, &reply, call);
		if (!rc && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[0]->str &&
		    reply->element[1]->str) {
			const char *host = reply->element[0]->str;

			if (asprintf(out, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, reply->element[1]->str) < 0)
				*out = NULL;
		} else if (!rc && reply->type == REDIS_REPLY_ERROR) {
			rc = redis_error(c, reply->str, false, call);
		} else if (!rc) {
			rc = redis_host->fail(call, KB_E_CONFIG, "the sentinels know no master named %s", h->url.master);
		}
		freeReplyObject(reply);
		redis_disconnect(c);
		if (rc == KB_E_CANCELLED || rc == KB_E_TIMEOUT)
			break;
	}
	return *out ? KB_OK : rc;
}

static void forget_master(struct kb_handle *h)
{
	pthread_mutex_lock(&h->lock);
	free(h->master);
	h->master = NULL;
	pthread_mutex_unlock(&h->lock);
}

static int master(struct kb_handle *h, char **out, struct kb_call *call)
{
	char *found = NULL;
	int rc;

	pthread_mutex_lock(&h->lock);
	*out = h->master ? strdup(h->master) : NULL;
	pthread_mutex_unlock(&h->lock);
	if (*out)
		return KB_OK;
	rc = ask_sentinels(h, &found, call);
	if (rc)
		return rc;
	pthread_mutex_lock(&h->lock);
	free(h->master);
	h->master = strdup(found);
	pthread_mutex_unlock(&h->lock);
	*out = found;
	return KB_OK;
}

/* ---- cluster ---- */

/* Under the lock: the number of a node, added if new. */
static uint16_t node_number(struct kb_handle *h, const char *node)
{
	char **grown;

	for (size_t i = 0; i < h->n_nodes; i++)
		if (!strcmp(h->nodes[i], node))
			return (uint16_t)i;
	grown = h->n_nodes < 1000 ? realloc(h->nodes, (h->n_nodes + 1) * sizeof *grown) : NULL;
	if (!grown)
		return unknown;
	h->nodes = grown;
	grown[h->n_nodes] = strdup(node);
	return grown[h->n_nodes] ? (uint16_t)h->n_nodes++ : unknown;
}

static void learn_range(struct kb_handle *h, const redisReply *r, const char *from)
{
	const redisReply *who = r->elements >= 3 ? r->element[2] : NULL;
	char *node = NULL;
	uint16_t number;

	if (!who || who->type != REDIS_REPLY_ARRAY || who->elements < 2 || !who->element[0]->str)
		return;
	/* A node that does not know its own name means the one that was asked. */
	if (!*who->element[0]->str)
		node = strdup(from);
	else if (asprintf(&node, strchr(who->element[0]->str, ':') ? "[%s]:%lld" : "%s:%lld", who->element[0]->str,
			  who->element[1]->integer) < 0)
		node = NULL;
	if (!node)
		return;
	number = node_number(h, node);
	for (long long s = r->element[0]->integer; s >= 0 && s <= r->element[1]->integer && s < REDIS_SLOTS; s++)
		h->slots[s] = number;
	free(node);
}

/* CLUSTER SLOTS of the first node that answers. */
static int learn_slots(struct kb_handle *h, struct kb_call *call)
{
	static const char *const words[] = { "CLUSTER", "SLOTS" };
	int rc = KB_E_TRANSIENT;

	for (size_t i = 0; i < h->url.n_nodes; i++) {
		struct redis_conn *c;
		redisReply *reply = NULL;

		rc = redis_connect(h, h->url.nodes[i], call, &c);
		if (rc == KB_E_CANCELLED || rc == KB_E_TIMEOUT || rc == KB_E_AUTH)
			return rc;
		if (rc)
			continue;
		rc = redis_command(c, 2, words, NULL, call);
		if (!rc)
			rc = redis_read(c, &reply, call);
		if (!rc && reply->type == REDIS_REPLY_ERROR)
			rc = redis_host->fail(call, KB_E_CONFIG, "%s: is not part of a cluster; use redis://", c->node);
		if (!rc) {
			pthread_mutex_lock(&h->lock);
			for (size_t k = 0; k < reply->elements; k++)
				learn_range(h, reply->element[k], c->node);
			pthread_mutex_unlock(&h->lock);
		}
		freeReplyObject(reply);
		redis_disconnect(c);
		if (!rc)
			return rc;
	}
	return rc;
}

static int cluster_node(struct kb_handle *h, struct kb_key key, char **out, struct kb_call *call)
{
	unsigned slot = redis_slot(key.name, key.len);

	for (int attempt = 0; attempt < 2; attempt++) {
		uint16_t n;
		int rc;

		pthread_mutex_lock(&h->lock);
		n = h->slots[slot];
		*out = n != unknown && n < h->n_nodes ? strdup(h->nodes[n]) : NULL;
		pthread_mutex_unlock(&h->lock);
		if (*out)
			return KB_OK;
		rc = attempt ? KB_OK : learn_slots(h, call);
		if (rc)
			return rc;
	}
	return redis_host->fail(call, KB_E_TRANSIENT, "the cluster has nobody for slot %u", slot);
}

/* "MOVED 3999 host:port" or "ASK …" of an error; fresh memory. A moved slot is remembered. */
static char *redirected(struct kb_handle *h, const struct redis_conn *c, bool *asking)
{
	const char *blank = strchr(c->redirect, ' '), *to = blank ? strchr(blank + 1, ' ') : NULL;
	unsigned long slot;

	*asking = !strncmp(c->redirect, "ASK", 3);
	if (!to || !to[1])
		return NULL;
	slot = strtoul(blank + 1, NULL, 10);
	if (!*asking && slot < REDIS_SLOTS) {
		pthread_mutex_lock(&h->lock);
		h->slots[slot] = node_number(h, to + 1);
		pthread_mutex_unlock(&h->lock);
	}
	return strdup(to + 1);
}

static int node_for(struct kb_handle *h, struct kb_key key, char **out, struct kb_call *call)
{
	switch (h->url.mode) {
	case REDIS_SENTINEL:
		return master(h, out, call);
	case REDIS_CLUSTER:
		return cluster_node(h, key, out, call);
	default:
		*out = strdup(h->url.nodes[0]);
		return *out ? KB_OK : redis_host->fail(call, KB_E_LOCAL, "out of memory");
	}
}

/* ---- running ---- */

static int say_asking(struct redis_conn *c, struct kb_call *call)
{
	static const char *const words[] = { "ASKING" };
	redisReply *reply = NULL;
	int rc = redis_command(c, 1, words, NULL, call);

	if (!rc)
		rc = redis_read(c, &reply, call);
	freeReplyObject(reply);
	return rc;
}

/* A sign of life after a long pause: a dead connection is better found out now. */
static bool alive(struct redis_conn *c, struct kb_call *call)
{
	static const char *const words[] = { "PING" };
	redisReply *reply = NULL;
	bool yes;

	if (redis_now() - c->used_ns < (uint64_t)PING_AFTER_S * 1000000000)
		return true;
	yes = !redis_command(c, 1, words, NULL, call) && !redis_read(c, &reply, call);
	freeReplyObject(reply);
	return yes;
}

/* With a connection to node; the redirection of a cluster comes back in *next. */
static int run_at(struct kb_handle *h, const char *node, bool asking, redis_exchange *run, void *arg, char **next,
		  bool *next_asking, bool *replica, struct kb_call *call)
{
	struct redis_conn *c = take_idle(h, node);
	bool kept = c != NULL;
	int rc;

	*next = NULL;
	*replica = false;
	if (c && !alive(c, call)) {
		redis_disconnect(c);
		c = NULL;
	}
	for (;;) {
		rc = c ? KB_OK : redis_connect(h, node, call, &c);
		if (rc)
			return rc;
		c->heard = false;
		c->redirect[0] = '\0';
		c->readonly_reply = false;
		rc = asking ? say_asking(c, call) : KB_OK;
		if (!rc)
			rc = run(h, c, arg, call);
		/* The server had closed a kept connection, or restarted. */
		if (!(rc == KB_E_TRANSIENT && c->broken && kept && !c->heard))
			break;
		redis_disconnect(c);
		c = NULL;
		kept = false;
	}
	if (rc < 0 && c->redirect[0] && h->url.mode == REDIS_CLUSTER)
		*next = redirected(h, c, next_asking);
	*replica = c->readonly_reply;
	give_back(h, c);
	return rc;
}

int redis_run(struct kb_handle *h, struct kb_key key, redis_exchange *run, void *arg, struct kb_call *call)
{
	bool asking = false, replica = false;
	char *node, *next;
	int rc = node_for(h, key, &node, call);

	for (int hop = 0; !rc; hop++) {
		rc = run_at(h, node, asking, run, arg, &next, &asking, &replica, call);
		free(node);
		if (!next || hop == HOPS) {
			free(next);
			break;
		}
		node = next;
		rc = KB_OK;
	}
	if (h->url.mode == REDIS_SENTINEL && (rc == KB_E_TRANSIENT || replica)) {
		forget_master(h);	/* there may be another one by now */
		if (replica)
			rc = redis_host->fail(call, KB_E_TRANSIENT, "the master has changed");
	}
	if (h->url.mode == REDIS_CLUSTER && rc == KB_E_TRANSIENT) {
		pthread_mutex_lock(&h->lock);
		h->slots[redis_slot(key.name, key.len)] = unknown;
		pthread_mutex_unlock(&h->lock);
	}
	return rc;
}

int redis_run_all(struct kb_handle *h, redis_exchange *run, void *arg, struct kb_call *call)
{
	bool asking, replica;
	int rc = KB_OK;
	size_t n;

	if (h->url.mode != REDIS_CLUSTER)
		return redis_run(h, (struct kb_key){ "", 0 }, run, arg, call);
	rc = learn_slots(h, call);
	pthread_mutex_lock(&h->lock);
	n = h->n_nodes;
	pthread_mutex_unlock(&h->lock);
	for (size_t i = 0; i < n && !rc; i++) {
		char *node, *next;
		bool used = false;

		pthread_mutex_lock(&h->lock);
		for (int s = 0; s < REDIS_SLOTS && !used; s++)
			used = h->slots[s] == i;
		node = used ? strdup(h->nodes[i]) : NULL;
		pthread_mutex_unlock(&h->lock);
		if (node)
			rc = run_at(h, node, false, run, arg, &next, &asking, &replica, call);
		if (node)
			free(next);
		free(node);
	}
	return rc;
}
