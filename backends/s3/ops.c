/* Operations on single objects, and listings. */
#define _GNU_SOURCE
#include "s3.h"
#include "../common/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *s3_key(const struct kb_handle *h, struct kb_key key, size_t *len)
{
	char *full = NULL;
	int n = asprintf(&full, "%s%.*s", h->prefix, (int)key.len, key.name);

	if (n < 0)
		return NULL;
	*len = (size_t)n;
	return full;
}

static int no_memory(struct kb_call *call)
{
	return s3_host->fail(call, KB_E_LOCAL, "out of memory");
}

/* A request for one key whose answer's status is all that is wanted. */
static int simple(struct kb_handle *h, const char *method, struct kb_key key, struct http_reply *reply, struct kb_call *call)
{
	struct s3_request r = { .method = method };
	char *full = s3_key(h, key, &r.key_len);
	int rc;

	*reply = (struct http_reply){ 0 };
	if (!full)
		return no_memory(call);
	r.key = full;
	rc = s3_send(h, &r, reply, call);
	free(full);
	return rc;
}

/* Who may not list is told 403 where there is no such object. Whether that is so here, one listing tells. */
static int absent_or_forbidden(struct kb_handle *h, struct kb_call *call)
{
	struct s3_request r = { .method = "GET", .query = "list-type=2&max-keys=1" };
	struct http_reply reply;
	int rc;

	if (atomic_load(&h->may_list))
		return KB_E_AUTH;
	rc = s3_send(h, &r, &reply, call);
	if (!rc && reply.status == 200)
		atomic_store(&h->may_list, true);
	http_reply_release(&reply);
	return rc ? rc : KB_E_AUTH;
}

int s3_get(struct kb_handle *h, struct kb_key key, struct kb_sink *sink, struct kb_call *call)
{
	struct s3_request r = { .method = "GET", .sink = sink };
	char *full = s3_key(h, key, &r.key_len);
	struct http_reply reply;
	int rc;

	if (!full)
		return no_memory(call);
	r.key = full;
	rc = s3_send(h, &r, &reply, call);
	if (!rc)
		rc = s3_judge(h, &reply, "get", call);
	if (rc == KB_E_AUTH && reply.status == 403) {
		(void)absent_or_forbidden(h, call);
		rc = s3_judge(h, &reply, "get", call);
	}
	http_reply_release(&reply);
	free(full);
	return rc;
}

static size_t count(char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static int put_whole(struct kb_handle *h, const char *key, size_t len, struct kb_source *src, bool conditional,
		     struct http_reply *reply, struct kb_call *call)
{
	struct s3_request r = { .method = "PUT", .key = key, .key_len = len, .source = src };
	size_t n = count(h->put_headers), at = 0;
	const char **headers = calloc(n + 3, sizeof *headers);
	int rc;

	if (!headers) {
		*reply = (struct http_reply){ 0 };
		return no_memory(call);
	}
	headers[at++] = "content-type: application/octet-stream";
	if (conditional)
		headers[at++] = "if-none-match: *";
	for (size_t i = 0; i < n; i++)
		headers[at++] = h->put_headers[i];
	r.headers = headers;
	rc = s3_send(h, &r, reply, call);
	free(headers);
	return rc;
}

/* "Not implemented" to If-None-Match: some servers know no conditions. */
static bool not_conditional(const struct http_reply *reply)
{
	char *code;
	bool no;

	if (reply->status == 501)
		return true;
	code = reply->status == 400 ? s3_xml_text(reply->text, reply->text_len, "Code") : NULL;
	no = code && !strcmp(code, "NotImplemented");
	free(code);
	return no;
}

int s3_put(struct kb_handle *h, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	   struct kb_call *call)
{
	bool wanted = opts && opts->flags & KB_PUT_IF_ABSENT && h->conditional_wanted;
	bool conditional = wanted && !atomic_load(&h->no_conditional);
	struct http_reply reply;
	size_t len;
	char *full = s3_key(h, key, &len);
	int rc;

	if (!full)
		return no_memory(call);
	if (src->size > h->multipart_from && src->fd >= 0) {
		rc = s3_put_parts(h, full, len, src, call);
		free(full);
		return rc;
	}
	rc = put_whole(h, full, len, src, conditional, &reply, call);
	if (!rc && conditional && not_conditional(&reply)) {
		atomic_store(&h->no_conditional, true);
		http_reply_release(&reply);
		conditional = false;
		rc = put_whole(h, full, len, src, false, &reply, call);
	}
	if (!rc && conditional && (reply.status == 412 || reply.status == 409))
		rc = KB_EXISTS;		/* 409: somebody else is at it this very moment */
	else if (!rc)
		rc = s3_judge(h, &reply, "put", call);
	if (rc == KB_E_AUTH && reply.status == 403)
		rc = s3_host->fail(call, KB_E_AUTH, "put, bucket %s: access denied: read-only for these credentials (mode = ro says so to kache)",
				   h->bucket);
	if (rc == KB_MISS)
		rc = s3_host->fail(call, KB_E_CONFIG, "put: the server knows no such place (options endpoint, bucket)");
	http_reply_release(&reply);
	free(full);
	return rc;
}

int s3_head(struct kb_handle *h, struct kb_key key, struct kb_stat *out, struct kb_call *call)
{
	struct http_reply reply;
	int rc = simple(h, "HEAD", key, &reply, call);

	if (!rc)
		rc = s3_judge(h, &reply, "head", call);
	if (!rc)
		*out = (struct kb_stat){ .size = reply.content_length > 0 ? (uint64_t)reply.content_length : 0,
					 .mtime_s = -1, .ttl_s = -1 };
	http_reply_release(&reply);
	return rc;
}

int s3_del(struct kb_handle *h, struct kb_key key, struct kb_call *call)
{
	struct http_reply reply;
	int rc = simple(h, "DELETE", key, &reply, call);

	if (!rc)
		rc = s3_judge(h, &reply, "delete", call);
	http_reply_release(&reply);
	return rc == KB_MISS ? KB_OK : rc;
}

/* ---- listing ---- */

struct listing {
	const struct kb_handle *h;
	int (*each)(void *, struct kb_key, const struct kb_stat *);
	void *arg;
	bool stopped;
};

static int listed(void *arg, const char *key, uint64_t size, int64_t mtime_s)
{
	struct listing *l = arg;
	size_t skip = strlen(l->h->prefix), len = strlen(key);
	struct kb_stat st = { .size = size, .mtime_s = mtime_s, .ttl_s = -1 };
	int rc;

	if (len <= skip || memcmp(key, l->h->prefix, skip) || len - skip > KB_KEY_MAX ||
	    key[skip + strspn(key + skip, "abcdefghijklmnopqrstuvwxyz0123456789/._-")])
		return 0;	/* not of kache's */
	rc = l->each(l->arg, (struct kb_key){ key + skip, len - skip }, &st);
	l->stopped |= rc != 0;
	return rc;
}

/* One page; *token goes on from there, and is replaced. */
static int page(struct kb_handle *h, const char *prefix, char **token, struct listing *l, struct kb_call *call)
{
	char *next = NULL, *query = NULL, *t = *token ? sigv4_encode(*token, strlen(*token), 0) : NULL;
	struct s3_request r = { .method = "GET" };
	struct http_reply reply = { 0 };
	int rc = KB_OK;

	if ((*token && !t) || asprintf(&query, "%s%s%sencoding-type=url&list-type=2&max-keys=1000&prefix=%s", t ? "continuation-token=" : "",
				       t ? t : "", t ? "&" : "", prefix) < 0)
		rc = no_memory(call);
	r.query = query;
	if (!rc)
		rc = s3_send(h, &r, &reply, call);
	if (!rc)
		rc = s3_judge(h, &reply, "list", call);
	if (rc == KB_MISS)
		rc = s3_host->fail(call, KB_E_CONFIG, "list: the server knows no such bucket (options endpoint, bucket)");
	if (!rc)
		rc = s3_xml_list(reply.text, reply.text_len, listed, l, &next);
	if (rc == -1 && !l->stopped)
		rc = s3_host->fail(call, KB_E_CORRUPT, "list: the answer is no listing");
	/* A server that sends the same token for ever would keep us here for ever. */
	if (!rc && next && *token && !strcmp(next, *token))
		rc = s3_host->fail(call, KB_E_CORRUPT, "list: the server repeats itself");
	http_reply_release(&reply);
	free(query);
	free(t);
	free(*token);
	*token = next;
	return rc;
}

int s3_list(struct kb_handle *h, struct kb_key prefix, struct kb_call *call,
	    int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg)
{
	struct listing l = { .h = h, .each = each, .arg = arg };
	char *token = NULL, *encoded = NULL, *full;
	size_t len;
	int rc;

	full = s3_key(h, prefix, &len);
	encoded = full ? sigv4_encode(full, len, 0) : NULL;
	free(full);
	if (!encoded)
		return no_memory(call);
	do
		rc = page(h, encoded, &token, &l, call);
	while (!rc && token);
	free(token);
	free(encoded);
	if (!rc)
		atomic_store(&h->may_list, true);
	return rc;
}

int s3_ping(struct kb_handle *h, struct kb_limits *limits, struct kb_call *call)
{
	static const char sentinel[] = "_m/kache-was-here";
	struct http_reply reply;
	int rc = simple(h, "GET", (struct kb_key){ sentinel, sizeof sentinel - 1 }, &reply, call);

	(void)limits;	/* only a write tells whether writing is allowed, and none is done to find out */
	if (!rc)
		rc = s3_judge(h, &reply, "look-up", call);
	/* Without the right to list, an absent object is "forbidden" too: then a get of what is there decides. */
	http_reply_release(&reply);
	return rc == KB_MISS ? KB_OK : rc;
}
