/* Which node of a cluster has a key: slots, learned from the nodes and corrected by their redirections (Redis cluster
 * specification). */
#include "config.h"
#include "redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 1000 };

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

/* Under the lock: the number of a node, added if new. */
static uint16_t node_number(struct kb_handle *h, const char *node)
{
	char **grown;

	for (size_t i = 0; i < h->n_nodes; i++)
		if (!strcmp(h->nodes[i], node))
			return (uint16_t)i;
	grown = h->n_nodes < NODES_MAX ? realloc(h->nodes, (h->n_nodes + 1) * sizeof *grown) : NULL;
	if (!grown)
		return REDIS_NOBODY;
	h->nodes = grown;
	grown[h->n_nodes] = strdup(node);
	return grown[h->n_nodes] ? (uint16_t)h->n_nodes++ : REDIS_NOBODY;
}

/* "host:port" of a node; without a host it is that of the node which was asked. Fresh memory or NULL. */
static char *node_name(const char *host, size_t host_len, long long port, const char *from)
{
	const char *end = strrchr(from, ':');
	char *node;
	int n;

	if (port < 1 || port > 65535)
		return NULL;
	if (!host_len) {
		host = from;
		host_len = end ? (size_t)(end - from) : strlen(from);
	}
	n = asprintf(&node, *host != '[' && memchr(host, ':', host_len) ? "[%.*s]:%lld" : "%.*s:%lld", (int)host_len, host, port);
	return n < 0 ? NULL : node;
}

/* One element of CLUSTER SLOTS: first, last, [host, port, …] of the master, those of replicas. */
static bool learn_range(struct kb_handle *h, const redisReply *r, const char *from)
{
	const redisReply *who = r->type == REDIS_REPLY_ARRAY && r->elements >= 3 ? r->element[2] : NULL;
	const char *host;
	char *node;
	uint16_t number;

	if (!who || r->element[0]->type != REDIS_REPLY_INTEGER || r->element[1]->type != REDIS_REPLY_INTEGER ||
	    who->type != REDIS_REPLY_ARRAY || who->elements < 2 || who->element[1]->type != REDIS_REPLY_INTEGER)
		return false;
	/* NIL or "?": it does not know its own name. */
	host = who->element[0]->str && strcmp(who->element[0]->str, "?") ? who->element[0]->str : "";
	node = node_name(host, strlen(host), who->element[1]->integer, from);
	if (!node)
		return false;
	number = node_number(h, node);
	free(node);
	for (long long s = r->element[0]->integer; s >= 0 && s <= r->element[1]->integer && s < REDIS_SLOTS; s++)
		h->slots[s] = number;
	return true;
}

static int ask_node(struct kb_handle *h, const char *node, struct kb_call *call)
{
	static const char *const words[] = { "CLUSTER", "SLOTS" };
	struct redis_conn *c;
	redisReply *reply = NULL;
	bool good = true;
	int rc = redis_connect(h, node, false, call, &c);

	if (rc)
		return rc;
	rc = redis_command(c, 2, words, NULL, call);
	if (!rc)
		rc = redis_read(c, &reply, call);
	if (!rc && reply->type == REDIS_REPLY_ERROR) {
		rc = redis_error(c, reply->str, false, call);
		if (strstr(reply->str, "cluster support disabled"))
			rc = redis_host->fail(call, KB_E_CONFIG, "%s: is not part of a cluster; use redis://", node);
	} else if (!rc && reply->type == REDIS_REPLY_ARRAY) {
		pthread_mutex_lock(&h->lock);
		memset(h->slots, 0xff, REDIS_SLOTS * sizeof *h->slots);
		for (size_t i = 0; i < reply->elements; i++)
			good &= learn_range(h, reply->element[i], node);
		pthread_mutex_unlock(&h->lock);
	}
	if (!rc && (reply->type != REDIS_REPLY_ARRAY || !good))
		rc = redis_host->fail(call, KB_E_CORRUPT, "%s: does not say which slots the cluster has", node);
	freeReplyObject(reply);
	redis_disconnect(c);
	return rc;
}

/* The i-th to ask: those of the URL, then those that were heard of; fresh memory, or NULL. */
static char *candidate(struct kb_handle *h, size_t i)
{
	char *node;

	if (i < h->url.n_nodes)
		return strdup(h->url.nodes[i]);
	i -= h->url.n_nodes;
	pthread_mutex_lock(&h->lock);
	node = i < h->n_nodes ? strdup(h->nodes[i]) : NULL;
	pthread_mutex_unlock(&h->lock);
	return node;
}

int redis_learn_slots(struct kb_handle *h, struct kb_call *call)
{
	int rc = KB_E_TRANSIENT;
	char *node;

	for (size_t i = 0; (node = candidate(h, i)) != NULL; i++) {
		rc = ask_node(h, node, call);
		free(node);
		if (rc != KB_E_TRANSIENT && rc != KB_E_CORRUPT)
			break;
	}
	return rc;
}

unsigned redis_owner(struct kb_handle *h, struct kb_key key)
{
	unsigned n;

	pthread_mutex_lock(&h->lock);
	n = h->slots[redis_slot(key.name, key.len)];
	pthread_mutex_unlock(&h->lock);
	return n;
}

int redis_cluster_node(struct kb_handle *h, struct kb_key key, char **out, struct kb_call *call)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		unsigned n = redis_owner(h, key);
		int rc;

		pthread_mutex_lock(&h->lock);
		*out = n < h->n_nodes ? strdup(h->nodes[n]) : NULL;
		pthread_mutex_unlock(&h->lock);
		if (*out)
			return KB_OK;
		rc = attempt ? KB_OK : redis_learn_slots(h, call);
		if (rc)
			return rc;
	}
	return redis_host->fail(call, KB_E_TRANSIENT, "%s: the cluster has nobody for slot %u", h->url.nodes[0],
				redis_slot(key.name, key.len));
}

/* "MOVED 3999 host:port", "ASK 3999 host:port" */
char *redis_redirected(struct kb_handle *h, const struct redis_conn *c, bool *asking)
{
	const char *slot = strchr(c->redirect, ' '), *to = slot ? strchr(slot + 1, ' ') : NULL;
	const char *colon = to ? strrchr(to, ':') : NULL;
	unsigned long number;
	char *node;

	*asking = !strncmp(c->redirect, "ASK", 3);
	if (!colon)
		return NULL;
	node = node_name(to + 1, (size_t)(colon - to - 1), strtoll(colon + 1, NULL, 10), c->node);
	number = strtoul(slot + 1, NULL, 10);
	if (node && !*asking && number < REDIS_SLOTS) {
		pthread_mutex_lock(&h->lock);
		h->slots[number] = node_number(h, node);
		pthread_mutex_unlock(&h->lock);
	}
	return node;
}

void redis_forget_slot(struct kb_handle *h, struct kb_key key)
{
	pthread_mutex_lock(&h->lock);
	h->slots[redis_slot(key.name, key.len)] = REDIS_NOBODY;
	pthread_mutex_unlock(&h->lock);
}
