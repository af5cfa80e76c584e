/* Requests of the http backend: its headers, redirects, and what answers mean. */
#define _GNU_SOURCE
#include "web.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { REDIRECTS = 3, NO_PUTS_S = 300 };

int web_no_memory(struct kb_call *call)
{
	return web_host->fail(call, KB_E_LOCAL, "out of memory");
}

/* ---- sending ---- */

/* Scheme, host and port: what credentials were given for. */
static bool same_place(const char *a, const char *b)
{
	const char *x = strstr(a, "://"), *y = strstr(b, "://");
	size_t n;

	if (!x || !y)
		return false;
	n = strcspn(x + 3, "/?#") + (size_t)(x + 3 - a);
	return !strncasecmp(a, b, n) && (!b[n] || strchr("/?#", b[n]));
}

/* Where a redirect leads; fresh memory or NULL. */
static char *target(const char *from, const struct http_reply *reply)
{
	const char *to = http_reply_header(reply, "location");
	CURLU *u = to && *to ? curl_url() : NULL;
	char *url = NULL, *copy = NULL;

	if (u && !curl_url_set(u, CURLUPART_URL, from, CURLU_PATH_AS_IS) &&
	    !curl_url_set(u, CURLUPART_URL, to, CURLU_PATH_AS_IS | CURLU_DISALLOW_USER) &&
	    !curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) && !curl_url_get(u, CURLUPART_URL, &url, 0) &&
	    (!strncasecmp(url, "http://", 7) || !strncasecmp(url, "https://", 8)))
		copy = strdup(url);
	curl_free(url);
	curl_url_cleanup(u);
	return copy;
}

static bool redirects(const char *method, int status)
{
	return (!strcmp(method, "GET") || !strcmp(method, "HEAD")) &&
	       (status == 301 || status == 302 || status == 303 || status == 307 || status == 308);
}

/* From the path of a URL on. */
static const char *path_of(const char *url)
{
	const char *host = strstr(url, "://");

	host = host ? host + 3 : url;
	return host + strcspn(host, "/?#");
}

/* The same path with a '/' behind it is how servers say that a name is a folder, and so no object. Host and port may
 * differ: what stands before the server does not always tell it where we have asked. */
static bool is_folder(const char *from, const char *to)
{
	const char *a = path_of(from), *b = path_of(to);
	size_t n = strlen(a);

	return !strncmp(a, b, n) && !strcmp(b + n, "/");
}

/* The request's own headers, then the handle's from *own on. */
static const char **all_headers(const struct kb_handle *h, const char *const *extra, size_t *own)
{
	size_t n = 0, more = 0;
	const char **all;

	while (h->headers && h->headers[n])
		n++;
	while (extra && extra[more])
		more++;
	all = calloc(n + more + 1, sizeof *all);
	if (all && more)
		memcpy(all, extra, more * sizeof *all);
	for (size_t i = 0; all && i < n; i++)
		all[more + i] = h->headers[i];
	*own = more;
	return all;
}

int web_send(struct kb_handle *h, const struct web_request *w, struct http_reply *reply, struct kb_call *call)
{
	size_t own = 0;
	const char **headers = all_headers(h, w->extra, &own);
	char *at = strdup(w->url);
	int rc = headers && at ? KB_OK : web_no_memory(call);

	*reply = (struct http_reply){ 0 };
	for (int hops = 0; !rc; hops++) {
		const struct http_request r = { .method = w->method, .url = at, .headers = headers, .source = w->source,
						.data = w->data, .len = w->len, .sink = w->sink };
		char *next;

		rc = http_perform(h->web, &r, reply, call);
		if (rc || !redirects(w->method, reply->status))
			break;
		next = hops < REDIRECTS ? target(at, reply) : NULL;
		if (!next) {
			rc = web_host->fail(call, KB_E_CONFIG, "%s: the server redirects too often, or to nowhere", w->method);
			break;
		}
		if (is_folder(at, next)) {
			free(next);
			reply->status = 404;
			break;
		}
		if (!same_place(h->base, next))		/* what is secret stays with the host it was given for */
			headers[own] = NULL;
		free(at);
		at = next;
		http_reply_release(reply);
	}
	free(headers);
	free(at);
	return rc;
}

/* ---- judging ---- */

int web_judge(const struct http_reply *reply, const char *what, struct kb_call *call)
{
	/* nginx says 400 for these, with a page that others copy. */
	static const struct { int status; const char *words, *text; } pages[] = {
		{ KB_E_AUTH, "No required SSL certificate", "the server wants a client certificate (option client-cert)" },
		{ KB_E_AUTH, "SSL certificate error", "the server does not accept the client certificate (option client-cert)" },
		{ KB_E_CONFIG, "plain HTTP request was sent to HTTPS port", "the server speaks https at this port (option url)" },
	};

	if (reply->status >= 300 && reply->status < 400)
		return web_host->fail(call, KB_E_CONFIG, "status %d, the server redirects what is not followed; give the final URL: %s",
				      reply->status, what);
	for (size_t i = 0; reply->status == 400 && i < sizeof pages / sizeof *pages; i++)
		if (strstr(reply->text, pages[i].words))
			return web_host->fail(call, pages[i].status, "status 400, %s: %s", pages[i].text, what);
	if (reply->status == 423)
		return web_host->fail(call, KB_E_TRANSIENT, "status 423, locked by somebody: %s", what);
	return http_judge(web_host, reply, what, call);
}

static int64_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

int web_judge_put(struct kb_handle *h, const struct http_reply *reply, uint64_t size, struct kb_call *call)
{
	uint64_t known;

	switch (reply->status) {
	case 403:
		return web_host->fail(call, KB_E_AUTH, "status 403, these credentials may not write (mode = \"ro\" if that is meant): put");
	case 404:
	case 409:
	case 410:
		return web_host->fail(call, KB_E_CONFIG, "status %d, there is no such place on the server (option url): put",
				      reply->status);
	case 405:
	case 501:
		atomic_store(&h->no_puts_until, now_s() + NO_PUTS_S);
		break;
	case 413:
		known = atomic_load(&h->too_big);
		while (size && (!known || size < known) && !atomic_compare_exchange_weak(&h->too_big, &known, size))
			;
		break;
	}
	return web_judge(reply, "put", call);
}

bool web_no_puts(const struct kb_handle *h)
{
	return now_s() < atomic_load(&h->no_puts_until);
}

int web_may_put(struct kb_handle *h, uint64_t size, struct kb_call *call)
{
	uint64_t too_big = atomic_load(&h->too_big);

	if (web_no_puts(h))
		return web_host->fail(call, KB_E_UNSUPPORTED, "this server does not take it: put");
	if (too_big && size >= too_big)
		return web_host->fail(call, KB_E_TOOBIG, "larger than this server takes: put");
	return KB_OK;
}
