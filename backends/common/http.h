/* HTTP for backends: requests over a pool of kept connections (libcurl).
 *
 * One struct http per handle, used by any number of threads at once. Redirects are not followed, nothing is
 * retried but a request whose kept connection turned out to be dead; an answer of any status is KB_OK
 * and its status the caller's to judge. No secret given here appears in a text of an error or log. */
#ifndef KACHE_BACKENDS_HTTP_H
#define KACHE_BACKENDS_HTTP_H

#include "kache/backend.h"

#include <stdbool.h>

struct http;

struct http_settings {			/* zeros and NULLs are defaults; nothing is kept but copies */
	const char *ca_file;		/* PEM; NULL: the system's */
	const char *client_cert, *client_key;	/* PEM files */
	const char *unix_socket;	/* connect there whatever the URL's host */
	bool insecure;			/* certificates are not verified */
	bool no_proxy;			/* never through a proxy */
	unsigned connect_timeout_ms;	/* 0: 3100 */
	unsigned max_connections;	/* kept, 0: 16; more are opened and closed again */
};

/* Process-wide set-up of the library happens at the first call, under a lock. KB_OK, KB_E_CONFIG (a file
 * can't be read), KB_E_LOCAL. */
int http_open(const struct kb_host *host, const struct http_settings *s, struct kb_call *call, struct http **out);
void http_close(struct http *h);	/* NULL is fine */

struct http_request {
	const char *method;		/* GET, PUT, HEAD, DELETE, POST, PROPFIND, MKCOL */
	const char *url;		/* encoded already: sent as it is, dots and all */
	const char *const *headers;	/* "Name: value", ended by NULL; may be NULL. No "Expect:" is sent */
	/* The body: a source (rewound first), or bytes in memory, or none. of_source bytes from offset are
	 * sent where of_source is not 0 (parts of an upload; needs source->fd >= 0), else all of it. */
	struct kb_source *source;
	uint64_t offset, of_source;
	const void *data;
	size_t len;
	/* Where the body of a 2xx answer goes; NULL: into reply->text, as that of any other answer. */
	struct kb_sink *sink;
	size_t text_max;		/* bytes of reply->text, the rest is dropped; 0: 64 KiB */
	bool direct;			/* never through a proxy, as no_proxy does for all requests */
};

struct http_reply {
	int status;
	char *text;			/* NUL-terminated, never NULL after KB_OK */
	size_t text_len;
	char *headers;			/* "name: value" with names in lower case, each ended by NUL, then a NUL; or NULL */
	int64_t content_length;		/* -1: not said */
	uint32_t retry_after_ms;	/* of a Retry-After header (seconds or a date), 0: none */
};
/* KB_OK with *reply, or KB_E_TRANSIENT, _TIMEOUT, _CANCELLED, _CORRUPT (short body), _CONFIG (certificate,
 * unknown host's name is TRANSIENT), _AUTH (the client's certificate), _LOCAL, or what the sink returned; the
 * text names host and cause. *reply is to be released after both. */
int http_perform(struct http *h, const struct http_request *r, struct http_reply *reply, struct kb_call *call);
void http_reply_release(struct http_reply *reply);
/* The value of a header (name in lower case), or NULL. */
const char *http_reply_header(const struct http_reply *reply, const char *name);
/* What a status means where a protocol says nothing more special: 2xx KB_OK; 404, 410 KB_MISS; 401, 403
 * AUTH; 408, 5xx TRANSIENT; 429, 503 THROTTLED (retry_after_ms is copied into call); 405, 501
 * UNSUPPORTED; 413 TOOBIG; 507 NOSPACE; else CONFIG. Sets the text, which ends in `what`. */
int http_judge(const struct kb_host *host, const struct http_reply *reply, const char *what, struct kb_call *call);

#endif
