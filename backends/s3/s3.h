/* The S3 backend: what its parts share. */
#ifndef KACHE_BACKENDS_S3_H
#define KACHE_BACKENDS_S3_H

#include "cred.h"
#include "../common/http.h"

#include <pthread.h>
#include <stdatomic.h>

/* What answers have shown of our rights to read; see s3_denied. */
enum { S3_SEEN_ABSENT = 1, S3_SEEN_OBJECT = 2 };

struct kb_handle {
	struct http *web;		/* to the server */
	struct http *side;		/* to where credentials come from */
	struct s3_creds *creds;
	char *scheme, *base;		/* of the endpoint; base is its path, "" or "/..." without a '/' at its end */
	char *bucket, *prefix;		/* prefix ends in '/', or is "" */
	bool virtual_host;		/* bucket.host, not host/bucket */
	bool aws, fips, dualstack;	/* the endpoint is AWS's own: its name follows the region */
	bool unsigned_payload, content_md5, conditional;
	uint64_t multipart_from, part_size;
	unsigned concurrency;
	char **put_headers;		/* of what creates an object: sse, storage class ...; ended by NULL */
	char *owner_header;		/* x-amz-expected-bucket-owner, of every request; NULL: none */
	/* What the server has taught us. */
	pthread_mutex_t lock;		/* over region and host */
	char *region, *host;		/* host with its port, unless it is the scheme's own */
	atomic_llong clock_offset_s;	/* the server's clock minus ours */
	atomic_bool no_conditional;	/* it does not know If-None-Match */
	atomic_uint seen;
	_Atomic(const char *) source;	/* of the credentials used last */
};

/* The host, whose fail goes through s3_capture. */
extern const struct kb_host *s3_host;
/* While text is not NULL, the texts of errors of this thread go there and not to the host: for calls of our own.
 * Returns where they went before. */
enum { S3_TEXT = 256 };
char *s3_capture(char text[S3_TEXT]);
uint64_t s3_now(void);
/* KB_OK, KB_E_TIMEOUT or KB_E_CANCELLED with a text. */
int s3_late(struct kb_call *call);

/* ---- setup.c: what the options say. Pure, but for the environment ---- */
/* bucket and prefix of the URL and of `bucket`, fresh memory. */
int s3_bucket_of(const kb_conf *conf, struct kb_call *call, char **bucket, char **prefix);
/* Fills scheme, host and base; NULL: AWS's own for the region. */
int s3_set_endpoint(struct kb_handle *h, const char *endpoint, struct kb_call *call);
int s3_set_region(struct kb_handle *h, const char *region, struct kb_call *call);
/* Under h->lock, where there are several threads. False for what is no region's name. */
bool s3_use_region(struct kb_handle *h, const char *region);
/* style: auto, path or virtual; said: of the profile, or NULL. */
void s3_set_style(struct kb_handle *h, const char *style, const char *said);
int s3_set_headers(struct kb_handle *h, const kb_conf *conf, struct kb_call *call);
int s3_check(const kb_conf *conf, struct kb_call *call);

/* ---- request.c ---- */
struct s3_request {
	const char *method;
	const char *key;		/* full, not encoded; NULL: the bucket itself */
	size_t key_len;
	const char *query;		/* encoded; NULL: none */
	bool creates;			/* takes the headers of new objects */
	bool if_absent;
	const char *md5;		/* Content-MD5; NULL: as the option says */
	struct kb_source *source;
	uint64_t offset, of_source;	/* as in http_request */
	const void *data;
	size_t len;
	struct kb_sink *sink;
};
/* Signs, sends, and repeats once for each of: another region, another clock, refused credentials. KB_OK with an
 * answer of any status; *reply is to be released in any case. */
int s3_send(struct kb_handle *h, const struct s3_request *r, struct http_reply *reply, struct kb_call *call);
/* The same with If-None-Match, without it where the server does not know that. */
int s3_send_create(struct kb_handle *h, const struct s3_request *r, struct http_reply *reply, struct kb_call *call);
/* As sent: host, path, URL; fresh memory. */
struct s3_place { char *host, *path, *url; };
int s3_place_of(const struct kb_handle *h, const struct s3_request *r, struct s3_place *p);
void s3_place_release(struct s3_place *p);

/* ---- answer.c ---- */
enum s3_again { S3_AGAIN_NO, S3_AGAIN_REGION = 1, S3_AGAIN_CLOCK = 2, S3_AGAIN_CREDENTIALS = 4 };
struct s3_meaning {
	const char *code;		/* <Code> of an answer */
	int status;
	enum s3_again again;
	const char *text;
};
/* What the <Code> of an answer stands for, NULL without one that is known. */
const struct s3_meaning *s3_meaning(const struct http_reply *reply);
/* Whether a repetition would do better, having learnt from the answer; *tried: what was tried already. */
bool s3_again(struct kb_handle *h, const struct http_reply *reply, const struct s3_cred *cred, unsigned *tried);
/* The status of a whole answer, with its text; `what` was tried. */
int s3_judge(struct kb_handle *h, const struct http_reply *reply, const char *what, struct kb_call *call);
/* Is this "access denied", and nothing more special? */
bool s3_is_denied(const struct http_reply *reply);
/* KB_MISS or KB_E_AUTH for a read that was denied: without the right to list, S3 says that of what is not there. */
int s3_denied(struct kb_handle *h, const char *what, struct kb_call *call);

/* ---- xml.c ---- */
/* The first <name> of an answer, its text with entities resolved; fresh memory or NULL. */
char *s3_xml_text(const char *xml, size_t len, const char *name);
/* A page of ListObjectsV2. Calls each for every object, its key decoded. *token: to continue with, fresh memory, or
 * NULL at the end. 0; 1 if each has returned something else than 0, which ends it; -1 for what is no such page. */
typedef int s3_each(void *arg, const char *key, uint64_t size, int64_t mtime_s);
int s3_xml_list(const char *xml, size_t len, s3_each *each, void *arg, char **token);
/* Percent-decodes in place; plus: '+' is a blank. False for bad escapes. */
bool s3_decode(char *s, bool plus);

/* ---- the operations: object.c, parts.c, list.c ---- */
int s3_probe(struct kb_handle *h, struct kb_call *call);
int s3_ping(struct kb_handle *h, struct kb_limits *limits, struct kb_call *call);
int s3_get(struct kb_handle *h, struct kb_key key, struct kb_sink *sink, struct kb_call *call);
int s3_put(struct kb_handle *h, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	   struct kb_call *call);
int s3_head(struct kb_handle *h, struct kb_key key, struct kb_stat *st, struct kb_call *call);
int s3_del(struct kb_handle *h, struct kb_key key, struct kb_call *call);
int s3_list(struct kb_handle *h, struct kb_key prefix, struct kb_call *call,
	    int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg);
/* KB_OK, KB_EXISTS or an error, which leaves nothing behind. key is full. */
int s3_put_parts(struct kb_handle *h, const char *key, size_t len, struct kb_source *src, bool if_absent,
		 struct kb_call *call);
/* How an answer to a put counts: KB_OK, KB_EXISTS, or an error with its text. */
int s3_put_result(struct kb_handle *h, const struct http_reply *reply, bool if_absent, const char *what,
		  struct kb_call *call);

#endif
