/* One object at a time: get, put, head, del; and what open and ping ask. */
#include "config.h"
#include "s3.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* An object nobody has to write: the answer for its name shows whether bucket, endpoint and credentials are right. */
#define SENTINEL "kache-sentinel"
/* The MD5 of something else than an empty body. */
#define WRONG_MD5 "AAAAAAAAAAAAAAAAAAAAAA=="

struct name { char *key; size_t len; char what[KB_KEY_MAX + 16]; };

static int name_of(const struct kb_handle *h, struct kb_key key, const char *verb, struct name *out, struct kb_call *call)
{
	int n = asprintf(&out->key, "%s%.*s", h->prefix, (int)key.len, key.name);

	if (n < 0) {
		out->key = NULL;
		return s3_host->fail(call, KB_E_LOCAL, "out of memory");
	}
	out->len = (size_t)n;
	snprintf(out->what, sizeof out->what, "%s %.*s", verb, (int)key.len, key.name);
	return KB_OK;
}

static bool is_absent(const struct http_reply *reply)
{
	const struct s3_meaning *m = reply->status == 404 ? s3_meaning(reply) : NULL;

	return reply->status == 404 && (!m || m->status == KB_MISS);
}

/* Of a GET or HEAD. */
static int read_result(struct kb_handle *h, const struct http_reply *reply, const char *what, struct kb_call *call)
{
	if (reply->status >= 200 && reply->status < 300)
		atomic_fetch_or(&h->seen, S3_SEEN_OBJECT);
	else if (is_absent(reply))
		atomic_fetch_or(&h->seen, S3_SEEN_ABSENT);
	else if (s3_is_denied(reply))
		return s3_denied(h, what, call);
	return s3_judge(h, reply, what, call);
}

int s3_get(struct kb_handle *h, struct kb_key key, struct kb_sink *sink, struct kb_call *call)
{
	struct name name;
	struct http_reply reply;
	int rc = name_of(h, key, "GET", &name, call);

	if (!rc) {
		rc = s3_send(h, &(struct s3_request){ .method = "GET", .key = name.key, .key_len = name.len, .sink = sink }, &reply,
			     call);
		if (!rc)
			rc = read_result(h, &reply, name.what, call);
		http_reply_release(&reply);
	}
	free(name.key);
	return rc;
}

int s3_head(struct kb_handle *h, struct kb_key key, struct kb_stat *st, struct kb_call *call)
{
	struct name name;
	struct http_reply reply;
	int rc = name_of(h, key, "HEAD", &name, call);

	if (!rc) {
		rc = s3_send(h, &(struct s3_request){ .method = "HEAD", .key = name.key, .key_len = name.len }, &reply, call);
		if (!rc)
			rc = read_result(h, &reply, name.what, call);
		if (rc == KB_OK) {
			const char *date = http_reply_header(&reply, "last-modified");
			time_t t = date ? curl_getdate(date, NULL) : (time_t)-1;

			*st = (struct kb_stat){ .size = reply.content_length > 0 ? (uint64_t)reply.content_length : 0,
						.mtime_s = t == (time_t)-1 ? -1 : (int64_t)t, .ttl_s = -1 };
		}
		http_reply_release(&reply);
	}
	free(name.key);
	return rc;
}

int s3_del(struct kb_handle *h, struct kb_key key, struct kb_call *call)
{
	struct name name;
	struct http_reply reply;
	int rc = name_of(h, key, "DELETE", &name, call);

	if (!rc) {
		rc = s3_send(h, &(struct s3_request){ .method = "DELETE", .key = name.key, .key_len = name.len }, &reply, call);
		if (!rc)
			rc = is_absent(&reply) ? KB_OK : s3_judge(h, &reply, name.what, call);
		http_reply_release(&reply);
	}
	free(name.key);
	return rc;
}

int s3_put_result(struct kb_handle *h, const struct http_reply *reply, bool if_absent, const char *what, struct kb_call *call)
{
	const char *source = atomic_load(&h->source);

	/* 409: somebody else is creating it at this moment. 304 came from MinIO until 2024. */
	if (if_absent && (reply->status == 412 || reply->status == 409 || reply->status == 304))
		return KB_EXISTS;
	if (s3_is_denied(reply))
		return s3_host->fail(call, KB_E_AUTH, "%s in bucket %s with credentials from %s: access denied; they may not write "
				     "(right s3:PutObject; mode=ro for reading only)", what, h->bucket, source ? source : "nowhere");
	return s3_judge(h, reply, what, call);
}

static int put_whole(struct kb_handle *h, const struct name *name, struct kb_source *src, bool if_absent, struct kb_call *call)
{
	const struct s3_request r = {
		.method = "PUT", .key = name->key, .key_len = name->len, .creates = true, .if_absent = if_absent, .source = src,
	};
	struct http_reply reply;
	int rc = s3_send_create(h, &r, &reply, call);

	if (!rc)
		rc = s3_put_result(h, &reply, if_absent, name->what, call);
	http_reply_release(&reply);
	return rc;
}

int s3_put(struct kb_handle *h, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	   struct kb_call *call)
{
	bool if_absent = opts && opts->flags & KB_PUT_IF_ABSENT;
	struct name name;
	int rc = name_of(h, key, "PUT", &name, call);

	if (!rc && src->size > h->multipart_from)
		rc = s3_put_parts(h, name.key, name.len, src, if_absent, call);
	else if (!rc)
		rc = put_whole(h, &name, src, if_absent, call);
	free(name.key);
	return rc;
}

/* ---- open and ping ---- */

static bool is_page(const struct http_reply *reply)
{
	const char *type = http_reply_header(reply, "content-type");

	return type && !strncmp(type, "text/html", 9);
}

/* An answer that no S3 server would give to a GET. */
static bool is_foreign(const struct http_reply *reply)
{
	char *code;
	bool has_code;

	if (reply->status >= 200 && reply->status < 300)
		return is_page(reply);
	if (reply->status < 400 || reply->status >= 500 || reply->status == 408 || reply->status == 429)
		return false;
	code = s3_xml_text(reply->text, reply->text_len, "Code");
	has_code = code != NULL;
	free(code);
	return !has_code;
}

int s3_probe(struct kb_handle *h, struct kb_call *call)
{
	struct name name;
	struct http_reply reply;
	int rc = name_of(h, (struct kb_key){ SENTINEL, strlen(SENTINEL) }, "GET", &name, call);

	if (rc)
		return rc;
	rc = s3_send(h, &(struct s3_request){ .method = "GET", .key = name.key, .key_len = name.len }, &reply, call);
	if (!rc && is_foreign(&reply))
		rc = s3_host->fail(call, KB_E_CONFIG, "endpoint: %s://%s answers with status %d, and not as S3 does", h->scheme,
				   h->host, reply.status);
	else if (!rc && s3_is_denied(&reply))
		rc = KB_OK;		/* rights may be limited to a prefix below: the first object will show */
	else if (!rc)
		rc = read_result(h, &reply, name.what, call);
	http_reply_release(&reply);
	free(name.key);
	return rc < 0 ? rc : KB_OK;
}

/* A put whose checksum is wrong is refused for that alone by who would be allowed to do it, and stores nothing. */
int s3_ping(struct kb_handle *h, struct kb_limits *limits, struct kb_call *call)
{
	struct name name;
	struct http_reply reply;
	const struct s3_meaning *m;
	int rc = name_of(h, (struct kb_key){ SENTINEL, strlen(SENTINEL) }, "PUT", &name, call);

	if (rc)
		return rc;
	rc = s3_send(h, &(struct s3_request){ .method = "PUT", .key = name.key, .key_len = name.len, .creates = true,
					      .md5 = WRONG_MD5, .data = "", .len = 0 }, &reply, call);
	m = rc ? NULL : s3_meaning(&reply);
	if (!rc && s3_is_denied(&reply))
		limits->caps &= ~KB_CAP_WRITE;
	else if (!rc && !(m && !strcmp(m->code, "BadDigest")))
		rc = s3_judge(h, &reply, name.what, call);
	if (!h->conditional || atomic_load(&h->no_conditional))
		limits->caps &= ~KB_CAP_PUT_IF_ABSENT;
	http_reply_release(&reply);
	free(name.key);
	return rc;
}
