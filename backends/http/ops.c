/* Objects as resources of a plain HTTP or WebDAV server. */
#define _GNU_SOURCE
#include "web.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { REDIRECTS = 3 };

static int no_memory(struct kb_call *call)
{
	return web_host->fail(call, KB_E_LOCAL, "out of memory");
}

char *web_url(const struct kb_handle *h, const char *path)
{
	char *url = NULL;

	return asprintf(&url, "%s/%s", h->base, path) < 0 ? NULL : url;
}

/* Keys are of [a-z0-9/._-]: nothing of them needs an escape in a URL. */
char *web_path(const struct kb_handle *h, struct kb_key key)
{
	const char *name = memrchr(key.name, '/', key.len);
	size_t dir = name ? (size_t)(name - key.name) + 1 : 0;
	char *path = NULL;

	if (h->layout == WEB_SUBDIRS && key.len - dir > 2)	/* a/bc/bcdef…: no directory gets too full */
		return asprintf(&path, "%.*s%.2s/%.*s", (int)dir, key.name, key.name + dir, (int)(key.len - dir), key.name + dir) < 0
			? NULL : path;
	return strndup(key.name, key.len);
}

static bool same_host(const char *a, const char *b)
{
	const char *x = strstr(a, "://"), *y = strstr(b, "://");
	size_t n;

	if (!x || !y)
		return false;
	n = strcspn(x + 3, "/") + (size_t)(x + 3 - a);
	return !strncasecmp(a, b, n) && (b[n] == '/' || !b[n]);
}

/* Where a redirect leads; fresh memory or NULL. */
static char *target(const char *from, const struct http_reply *reply)
{
	const char *to = http_reply_header(reply, "location"), *host = strstr(from, "://");
	char *url = NULL;

	if (!to || !*to)
		return NULL;
	if (!strncmp(to, "http://", 7) || !strncmp(to, "https://", 8))
		return strdup(to);
	if (*to != '/' || !host)
		return NULL;
	return asprintf(&url, "%.*s%s", (int)(strcspn(host + 3, "/") + (size_t)(host + 3 - from)), from, to) < 0 ? NULL : url;
}

static bool redirects(const char *method, int status)
{
	return (!strcmp(method, "GET") || !strcmp(method, "HEAD")) &&
	       (status == 301 || status == 302 || status == 303 || status == 307 || status == 308);
}

int web_send(struct kb_handle *h, const char *method, const char *url, const char *const *extra, struct kb_source *src,
	     const void *data, size_t len, struct kb_sink *sink, struct http_reply *reply, struct kb_call *call)
{
	size_t n = 0, more = 0;
	const char **headers;
	char *at = strdup(url);
	int rc = KB_OK;

	*reply = (struct http_reply){ 0 };
	while (h->headers && h->headers[n])
		n++;
	while (extra && extra[more])
		more++;
	headers = calloc(n + more + 1, sizeof *headers);
	if (!headers || !at)
		rc = no_memory(call);
	for (size_t i = 0; !rc && i < more; i++)
		headers[i] = extra[i];
	for (size_t i = 0; !rc && i < n; i++)
		headers[more + i] = h->headers[i];
	for (int hops = 0; !rc; hops++) {
		const struct http_request r = { .method = method, .url = at, .headers = headers, .source = src, .data = data,
						.len = len, .sink = sink, .text_max = 8 << 20 };
		char *next;

		rc = http_perform(h->web, &r, reply, call);
		if (rc || !redirects(method, reply->status))
			break;
		next = hops < REDIRECTS ? target(at, reply) : NULL;
		if (!next) {
			rc = web_host->fail(call, KB_E_CONFIG, "%s: the server redirects too often, or to nowhere", method);
			break;
		}
		if (!same_host(h->base, next))		/* what is secret stays with the host it was given for */
			headers[more] = NULL;
		free(at);
		at = next;
		http_reply_release(reply);
	}
	free(headers);
	free(at);
	return rc;
}

int web_judge(const struct http_reply *reply, const char *what, struct kb_call *call)
{
	if (reply->status >= 300 && reply->status < 400)
		return web_host->fail(call, KB_E_CONFIG, "%s: the server redirects a write (status %d); give the final URL", what,
				      reply->status);
	return http_judge(web_host, reply, what, call);
}

static int simple(struct kb_handle *h, const char *method, struct kb_key key, struct kb_sink *sink,
		  struct http_reply *reply, struct kb_call *call)
{
	char *path = web_path(h, key), *url = path ? web_url(h, path) : NULL;
	int rc;

	*reply = (struct http_reply){ 0 };
	rc = url ? web_send(h, method, url, NULL, NULL, NULL, 0, sink, reply, call) : no_memory(call);
	free(path);
	free(url);
	return rc;
}

int web_get(struct kb_handle *h, struct kb_key key, struct kb_sink *sink, struct kb_call *call)
{
	struct http_reply reply;
	int rc;

	if (h->layout == WEB_BAZEL)
		return web_bazel_get(h, key, sink, call);
	rc = simple(h, "GET", key, sink, &reply, call);
	if (!rc)
		rc = web_judge(&reply, "get", call);
	http_reply_release(&reply);
	return rc;
}

static int put_once(struct kb_handle *h, const char *url, struct kb_source *src, bool if_absent, struct http_reply *reply,
		    struct kb_call *call)
{
	const char *const headers[] = { "Content-Type: application/octet-stream", if_absent ? "If-None-Match: *" : NULL, NULL };

	return web_send(h, "PUT", url, headers, src, NULL, 0, NULL, reply, call);
}

int web_put(struct kb_handle *h, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	    struct kb_call *call)
{
	const bool if_absent = opts && opts->flags & KB_PUT_IF_ABSENT;
	struct http_reply reply = { 0 };
	char *path, *url;
	int rc;

	if (h->layout == WEB_BAZEL)
		return web_bazel_put(h, key, src, call);
	path = web_path(h, key);
	url = path ? web_url(h, path) : NULL;
	rc = url ? put_once(h, url, src, if_absent, &reply, call) : no_memory(call);
	/* WebDAV servers want the collections of a path to exist (RFC 4918, 9.7.1: 409; some say 404). */
	if (!rc && (reply.status == 409 || reply.status == 404) && h->dav != WEB_DAV_OFF) {
		http_reply_release(&reply);
		rc = web_make_collections(h, path, call);
		if (!rc)
			rc = put_once(h, url, src, if_absent, &reply, call);
	}
	if (!rc && reply.status == 412 && if_absent)
		rc = KB_EXISTS;
	else if (!rc)
		rc = web_judge(&reply, "put", call);
	if (rc == KB_MISS)
		rc = web_host->fail(call, KB_E_CONFIG, "put: status %d: there is no such place on the server", reply.status);
	if (rc == KB_E_AUTH && reply.status == 403)
		rc = web_host->fail(call, KB_E_AUTH, "put: status 403: read-only for these credentials (mode = ro says so to kache)");
	http_reply_release(&reply);
	free(path);
	free(url);
	return rc;
}

int web_head(struct kb_handle *h, struct kb_key key, struct kb_stat *out, struct kb_call *call)
{
	struct http_reply reply;
	int rc;

	if (h->layout == WEB_BAZEL)
		return web_bazel_head(h, key, out, call);
	rc = simple(h, "HEAD", key, NULL, &reply, call);
	if (!rc)
		rc = web_judge(&reply, "head", call);
	if (!rc)
		*out = (struct kb_stat){ .size = reply.content_length > 0 ? (uint64_t)reply.content_length : 0,
					 .mtime_s = -1, .ttl_s = -1 };
	http_reply_release(&reply);
	return rc;
}

int web_del(struct kb_handle *h, struct kb_key key, struct kb_call *call)
{
	struct http_reply reply;
	int rc;

	if (h->layout == WEB_BAZEL)
		return web_host->fail(call, KB_E_UNSUPPORTED, "servers with this layout delete nothing on request");
	rc = simple(h, "DELETE", key, NULL, &reply, call);
	if (!rc)
		rc = web_judge(&reply, "delete", call);
	http_reply_release(&reply);
	return rc == KB_MISS ? KB_OK : rc;
}

int web_ping(struct kb_handle *h, struct kb_limits *limits, struct kb_call *call)
{
	static const char sentinel[] = "_m/kache-was-here";
	struct kb_stat st;
	int rc = web_head(h, (struct kb_key){ sentinel, sizeof sentinel - 1 }, &st, call);

	(void)limits;	/* only a write tells whether writing is allowed, and none is done to find out */
	return rc == KB_MISS ? KB_OK : rc;
}
