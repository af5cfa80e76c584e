/* The S3 backend: what its parts share. */
#ifndef KACHE_BACKENDS_S3_H
#define KACHE_BACKENDS_S3_H

#include "cred.h"
#include "../common/http.h"

#include <pthread.h>
#include <stdatomic.h>

struct kb_handle {
	struct http *web;		/* to the server; no_proxy is the user's */
	struct http *side;		/* to credential services, never through a proxy */
	struct s3_creds *creds;
	char *scheme, *host;		/* of the endpoint; host with its port */
	char *base;			/* path of the endpoint, "" or "/…" without a '/' at its end */
	char *bucket, *prefix;		/* prefix ends in '/', or is "" */
	bool virtual_host;		/* bucket.host instead of /bucket */
	bool unsigned_payload, content_md5, conditional_wanted;
	uint64_t multipart_from, part_size;
	char **put_headers;		/* sse, storage class …: "name: value", ended by NULL */
	/* What the server has taught us. */
	pthread_mutex_t lock;		/* over region */
	char *region;
	atomic_llong clock_offset_s;	/* server's clock minus ours */
	atomic_bool no_conditional;	/* it does not know If-None-Match */
	atomic_bool may_list;		/* a listing or a get has shown that 404 means absent */
};

extern const struct kb_host *s3_host;

/* One request to the bucket. */
struct s3_request {
	const char *method;
	const char *key;		/* full, not encoded; NULL: the bucket itself */
	size_t key_len;
	const char *query;		/* encoded, "" for none */
	const char *const *headers;	/* further ones, all signed */
	struct kb_source *source;
	uint64_t offset, of_source;	/* as in http_request */
	const void *data;
	size_t len;
	struct kb_sink *sink;
};
/* Signs, sends, and repeats once for each of: another region, another clock, refused credentials. KB_OK with an
 * answer of any status; *reply is to be released in any case. */
int s3_send(struct kb_handle *h, const struct s3_request *r, struct http_reply *reply, struct kb_call *call);
/* What an answer means: its status and the <Code> in its body. Sets the text. */
int s3_judge(struct kb_handle *h, const struct http_reply *reply, const char *what, struct kb_call *call);

/* The first <name> of an S3 answer, its text with entities resolved; fresh memory or NULL. */
char *s3_xml_text(const char *xml, size_t len, const char *name);
/* A page of ListObjectsV2. Calls each for every object (keys still URL-encoded as the server sent them are
 * decoded). *token: to continue with, fresh memory, or NULL at the end. 0, what each returned, or -1 for what is no
 * such page. */
int s3_xml_list(const char *xml, size_t len, int (*each)(void *arg, const char *key, uint64_t size, int64_t mtime_s),
		void *arg, char **token);
/* Percent-decodes in place; '+' stays. */
void s3_decode(char *s);

/* "prefix" and the key; fresh memory or NULL. */
char *s3_key(const struct kb_handle *h, struct kb_key key, size_t *len);
int s3_get(struct kb_handle *, struct kb_key, struct kb_sink *, struct kb_call *);
int s3_put(struct kb_handle *, struct kb_key, struct kb_source *, const struct kb_put_opts *, struct kb_call *);
int s3_put_parts(struct kb_handle *h, const char *key, size_t len, struct kb_source *src, struct kb_call *call);
int s3_head(struct kb_handle *, struct kb_key, struct kb_stat *, struct kb_call *);
int s3_del(struct kb_handle *, struct kb_key, struct kb_call *);
int s3_list(struct kb_handle *, struct kb_key prefix, struct kb_call *,
	    int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg);
int s3_ping(struct kb_handle *, struct kb_limits *, struct kb_call *);

#endif
