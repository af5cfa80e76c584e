/* Objects as resources of a plain HTTP or WebDAV server. */
#define _GNU_SOURCE
#include "web.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *web_url(const struct kb_handle *h, const char *path)
{
	char *url = NULL;

	return asprintf(&url, "%s/%s", h->base, path) < 0 ? NULL : url;
}

/* Keys are of [a-z0-9/._-]: nothing of them needs an escape in a URL. */
char *web_path(const struct kb_handle *h, struct kb_key key)
{
	const char *slash = memrchr(key.name, '/', key.len), *name = slash ? slash + 1 : key.name;
	size_t dir = (size_t)(name - key.name), len = key.len - dir;
	char *path = NULL;

	/* a/bc/bcdef…: no directory gets too full. A name may begin with "..", a directory may not be called so. */
	if (h->layout == WEB_SUBDIRS && len > 2 && memcmp(name, "..", 2))
		return asprintf(&path, "%.*s%.2s/%.*s", (int)dir, key.name, name, (int)len, name) < 0 ? NULL : path;
	return strndup(key.name, key.len);
}

static int simple(struct kb_handle *h, const char *method, struct kb_key key, struct kb_sink *sink,
		  struct http_reply *reply, struct kb_call *call)
{
	char *path = web_path(h, key), *url = path ? web_url(h, path) : NULL;
	int rc;

	*reply = (struct http_reply){ 0 };
	rc = url ? web_send(h, &(struct web_request){ .method = method, .url = url, .sink = sink }, reply, call)
		 : web_no_memory(call);
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

int web_put(struct kb_handle *h, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	    struct kb_call *call)
{
	const bool if_absent = opts && opts->flags & KB_PUT_IF_ABSENT;
	const char *const headers[] = { "Content-Type: application/octet-stream", if_absent ? "If-None-Match: *" : NULL, NULL };
	struct web_request r = { .method = "PUT", .extra = headers, .source = src };
	struct http_reply reply = { 0 };
	char *path, *url;
	int rc = web_may_put(h, src->size, call);

	if (rc)
		return rc;
	if (h->layout == WEB_BAZEL)
		return web_bazel_put(h, key, src, call);
	path = web_path(h, key);
	r.url = url = path ? web_url(h, path) : NULL;
	rc = url ? web_send(h, &r, &reply, call) : web_no_memory(call);
	/* WebDAV servers want the collections of a path to exist (RFC 4918, 9.7.1: 409; some say 404). What is known
	 * of them may be of yesterday: somebody has cleaned up over there. */
	for (int afresh = 0; afresh < 2 && !rc && (reply.status == 409 || reply.status == 404) && h->dav != WEB_DAV_OFF; afresh++) {
		http_reply_release(&reply);
		rc = web_make_collections(h, path, afresh, call);
		if (!rc)
			rc = web_send(h, &r, &reply, call);
	}
	if (!rc && reply.status == 412 && if_absent)
		rc = KB_EXISTS;
	else if (!rc)
		rc = web_judge_put(h, &reply, src->size, call);
	http_reply_release(&reply);
	free(path);
	free(url);
	return rc;
}

int web_head(struct kb_handle *h, struct kb_key key, struct kb_stat *out, struct kb_call *call)
{
	struct http_reply reply;
	const char *date;
	int rc;

	if (h->layout == WEB_BAZEL)
		return web_bazel_head(h, key, out, call);
	rc = simple(h, "HEAD", key, NULL, &reply, call);
	if (!rc)
		rc = web_judge(&reply, "head", call);
	if (!rc) {
		date = http_reply_header(&reply, "last-modified");
		*out = (struct kb_stat){ .size = reply.content_length > 0 ? (uint64_t)reply.content_length : 0,
					 .mtime_s = date ? curl_getdate(date, NULL) : -1, .ttl_s = -1 };
	}
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

/* Only a PUT tells whether writing is allowed, and none is made to find out: what is known is what earlier ones
 * have met. */
int web_ping(struct kb_handle *h, struct kb_limits *limits, struct kb_call *call)
{
	static const char sentinel[] = "kache-sentinel";
	const uint64_t too_big = atomic_load(&h->too_big);
	struct kb_stat st;
	int rc = web_head(h, (struct kb_key){ sentinel, sizeof sentinel - 1 }, &st, call);

	if (rc < 0)
		return rc;
	if (too_big)
		limits->max_object = too_big - 1;
	if (web_no_puts(h))
		limits->caps &= ~KB_CAP_WRITE;
	return KB_OK;
}
