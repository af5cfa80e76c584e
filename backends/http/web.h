/* The http backend: what its parts share. */
#ifndef KACHE_BACKENDS_HTTP_WEB_H
#define KACHE_BACKENDS_HTTP_WEB_H

#include "../common/http.h"

#include <pthread.h>
#include <stdatomic.h>

enum web_layout { WEB_FLAT, WEB_SUBDIRS, WEB_BAZEL };
enum web_dav { WEB_DAV_AUTO, WEB_DAV_ON, WEB_DAV_OFF };

struct kb_handle {
	struct http *web;
	char *base;			/* URL without '/' at its end, and without credentials */
	char **headers;			/* authorization and the user's own, ended by NULL */
	enum web_layout layout;
	enum web_dav dav;
	_Atomic int64_t no_puts_until;	/* seconds, CLOCK_MONOTONIC: a PUT was answered with 405 or 501 */
	_Atomic uint64_t too_big;	/* the smallest object that was refused for its size, 0: none was */
	pthread_mutex_t lock;		/* over made */
	char **made;			/* collections that are known to be there */
	size_t n_made;
};

extern const struct kb_host *web_host;

int web_no_memory(struct kb_call *call);
/* Text with its %XX undone; fresh memory or NULL. */
char *web_decoded(const char *s, size_t len);

/* send.c: requests with the handle's headers; redirects of GET and HEAD are followed. */
struct web_request {
	const char *method, *url;
	const char *const *extra;	/* further headers, ended by NULL; or NULL */
	struct kb_source *source;	/* the body, or */
	const void *data;		/* the body, or none */
	size_t len;
	struct kb_sink *sink;
};
int web_send(struct kb_handle *h, const struct web_request *r, struct http_reply *reply, struct kb_call *call);
/* As http_judge, with what this backend knows better; the second one for PUT, of an object of that size. */
int web_judge(const struct http_reply *reply, const char *what, struct kb_call *call);
int web_judge_put(struct kb_handle *h, const struct http_reply *reply, uint64_t size, struct kb_call *call);
/* What earlier puts have taught: KB_OK, or why one of this size need not be tried. */
int web_may_put(struct kb_handle *h, uint64_t size, struct kb_call *call);
bool web_no_puts(const struct kb_handle *h);

/* ops.c */
/* The URL of a path below the base; fresh memory or NULL. */
char *web_url(const struct kb_handle *h, const char *path);
/* Where a key lies (layouts flat and subdirs); fresh memory or NULL. */
char *web_path(const struct kb_handle *h, struct kb_key key);
int web_get(struct kb_handle *, struct kb_key, struct kb_sink *, struct kb_call *);
int web_put(struct kb_handle *, struct kb_key, struct kb_source *, const struct kb_put_opts *, struct kb_call *);
int web_head(struct kb_handle *, struct kb_key, struct kb_stat *, struct kb_call *);
int web_del(struct kb_handle *, struct kb_key, struct kb_call *);
int web_ping(struct kb_handle *, struct kb_limits *, struct kb_call *);

/* dav.c: makes the collections above path; `afresh` does not trust what is known of them. */
int web_make_collections(struct kb_handle *h, const char *path, bool afresh, struct kb_call *call);
void web_forget_collections(struct kb_handle *h);

/* list.c */
int web_list(struct kb_handle *, struct kb_key prefix, struct kb_call *,
	     int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg);

/* bazel.c */
int web_bazel_get(struct kb_handle *, struct kb_key, struct kb_sink *, struct kb_call *);
int web_bazel_put(struct kb_handle *, struct kb_key, struct kb_source *, struct kb_call *);
int web_bazel_head(struct kb_handle *, struct kb_key, struct kb_stat *, struct kb_call *);
/* An ActionResult with one output file, and back: 0, or -1 for what is none. */
size_t web_action_encode(const char hash[65], uint64_t size, unsigned char out[256]);
int web_action_decode(const void *data, size_t len, char hash[65], uint64_t *size);

#endif
