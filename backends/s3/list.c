/* Listing: pages of ListObjectsV2. */
#include "config.h"
#include "s3.h"
#include "../common/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listing {
	const char *prefix;		/* of the handle: in front of every key */
	size_t prefix_len;
	int (*each)(void *, struct kb_key, const struct kb_stat *);
	void *arg;
	int rc;				/* of each */
};

/* What others keep below the prefix may have names that no key of ours has. */
static bool is_key(const char *name, size_t len)
{
	if (!len || len > KB_KEY_MAX || len != strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789/._-"))
		return false;
	for (const char *p = name;;) {
		size_t n = strcspn(p, "/");

		if (!n || (n == 1 && *p == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		if (!p[n])
			return true;
		p += n + 1;
	}
}

static int on_object(void *arg, const char *key, uint64_t size, int64_t mtime_s)
{
	struct listing *l = arg;
	const struct kb_stat st = { .size = size, .mtime_s = mtime_s, .ttl_s = -1 };
	const char *name = key + l->prefix_len;

	if (strncmp(key, l->prefix, l->prefix_len) || !is_key(name, strlen(name)))
		return 0;
	l->rc = l->each(l->arg, (struct kb_key){ name, strlen(name) }, &st);
	return l->rc;
}

static char *query_of(const char *prefix, const char *token)
{
	char *p = sigv4_encode(prefix, strlen(prefix), 0), *t = token ? sigv4_encode(token, strlen(token), 0) : NULL, *query = NULL;

	if (p && (!token || t) &&
	    asprintf(&query, "%s%s%sencoding-type=url&list-type=2&max-keys=1000&prefix=%s", t ? "continuation-token=" : "",
		     t ? t : "", t ? "&" : "", p) < 0)
		query = NULL;
	free(p);
	free(t);
	return query;
}

/* One page; *token goes in and comes out. */
static int page(struct kb_handle *h, const char *prefix, struct listing *l, char **token, struct kb_call *call)
{
	char *query = query_of(prefix, *token), *next = NULL;
	struct http_reply reply;
	int rc;

	if (!query)
		return s3_host->fail(call, KB_E_LOCAL, "out of memory");
	rc = s3_send(h, &(struct s3_request){ .method = "GET", .query = query }, &reply, call);
	if (!rc)
		rc = s3_judge(h, &reply, "listing", call);
	if (rc == KB_MISS)		/* a 404 without a code: of a gateway */
		rc = s3_host->fail(call, KB_E_CONFIG, "listing: the server does not know the bucket (options bucket and endpoint)");
	if (!rc) {
		rc = s3_xml_list(reply.text, reply.text_len, on_object, l, &next);
		rc = rc > 0 ? l->rc : rc ? s3_host->fail(call, KB_E_CORRUPT, "listing: not an answer to ListObjectsV2") : KB_OK;
	}
	if (!rc && next && *token && !strcmp(next, *token))
		rc = s3_host->fail(call, KB_E_CORRUPT, "listing: the server repeats a page");
	free(*token);
	*token = next;
	http_reply_release(&reply);
	free(query);
	return rc;
}

int s3_list(struct kb_handle *h, struct kb_key prefix, struct kb_call *call,
	    int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg)
{
	struct listing l = { h->prefix, strlen(h->prefix), each, arg, 0 };
	char *full, *token = NULL;
	int rc = KB_OK;

	if (asprintf(&full, "%s%.*s", h->prefix, (int)prefix.len, prefix.len ? prefix.name : "") < 0)
		return s3_host->fail(call, KB_E_LOCAL, "out of memory");
	do
		rc = page(h, full, &l, &token, call);
	while (!rc && token);
	free(token);
	free(full);
	return rc;
}
