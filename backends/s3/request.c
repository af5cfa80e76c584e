/* A request: where it goes, its signature, and its repetition where the answer asks for one. */
#include "config.h"
#include "s3.h"
#include "../common/sigv4.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 256 << 10, HEADERS = 24, ANSWER_MAX = 4 << 20 };

void s3_place_release(struct s3_place *p)
{
	free(p->host);
	free(p->path);
	free(p->url);
}

int s3_place_of(const struct kb_handle *h, const struct s3_request *r, struct s3_place *p)
{
	char *key = sigv4_encode(r->key ? r->key : "", r->key ? r->key_len : 0, 1);
	bool query = r->query && *r->query;
	int bad = !key;

	*p = (struct s3_place){ 0 };
	if (bad)
		return -1;
	if (h->virtual_host)
		bad = asprintf(&p->host, "%s.%s", h->bucket, h->host) < 0 || asprintf(&p->path, "%s/%s", h->base, key) < 0;
	else
		bad = !(p->host = strdup(h->host)) ||
		      asprintf(&p->path, "%s/%s%s%s", h->base, h->bucket, *key ? "/" : "", key) < 0;
	if (!bad)
		bad = asprintf(&p->url, "%s://%s%s%s%s", h->scheme, p->host, p->path, query ? "?" : "", query ? r->query : "") < 0;
	free(key);
	return bad ? -1 : 0;
}

/* ---- the body's hash ---- */

static int next_chunk(const struct s3_request *r, uint64_t at, void *buf, size_t want, size_t *got)
{
	ssize_t n;

	*got = 0;
	if (!r->of_source)
		return r->source->read(r->source, buf, want, got);
	n = pread(r->source->fd, buf, want, (off_t)(r->offset + at));
	*got = n > 0 ? (size_t)n : 0;
	return n < 0 ? KB_E_LOCAL : KB_OK;
}

static int digest_source(const struct s3_request *r, EVP_MD_CTX *ctx, struct kb_call *call)
{
	uint64_t size = r->of_source ? r->of_source : r->source->size;
	char *buf = malloc(CHUNK);
	int rc = !buf || (!r->of_source && r->source->rewind(r->source)) ? KB_E_LOCAL : KB_OK;

	for (uint64_t at = 0; !rc && at < size;) {
		size_t want = size - at < CHUNK ? (size_t)(size - at) : CHUNK, got;

		rc = s3_late(call);
		if (rc)
			break;
		rc = next_chunk(r, at, buf, want, &got);
		if (!rc && (!got || !EVP_DigestUpdate(ctx, buf, got)))
			rc = KB_E_LOCAL;
		at += got;
	}
	free(buf);
	return rc == KB_E_LOCAL ? s3_host->fail(call, KB_E_LOCAL, "what is to be sent can't be read to its end") : rc;
}

/* Reads the body once more; a source is rewound again before it is sent. */
static int digest_body(const struct s3_request *r, const EVP_MD *type, unsigned char *out, unsigned *len, struct kb_call *call)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int rc = KB_OK;

	if (!ctx || !EVP_DigestInit_ex(ctx, type, NULL))
		rc = s3_host->fail(call, KB_E_LOCAL, "no digest: out of memory");
	if (!rc && r->source)
		rc = digest_source(r, ctx, call);
	else if (!rc && r->len)
		EVP_DigestUpdate(ctx, r->data, r->len);
	if (!rc)
		EVP_DigestFinal_ex(ctx, out, len);
	EVP_MD_CTX_free(ctx);
	return rc;
}

static int payload_of(const struct kb_handle *h, const struct s3_request *r, char out[65], struct kb_call *call)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	int rc;

	if (!r->source) {
		sigv4_sha256_hex(r->data ? r->data : "", r->len, out);
		return KB_OK;
	}
	if (h->unsigned_payload) {
		snprintf(out, 65, "UNSIGNED-PAYLOAD");
		return KB_OK;
	}
	rc = digest_body(r, EVP_sha256(), hash, &len, call);
	for (unsigned i = 0; !rc && i < len; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
	return rc;
}

/* "content-md5: ...", of the request, or of its body where the option asks for it. */
static int md5_header(const struct kb_handle *h, const struct s3_request *r, char **out, struct kb_call *call)
{
	unsigned char hash[EVP_MAX_MD_SIZE], text[64];
	unsigned len = 0;
	int rc = KB_OK;

	*out = NULL;
	if (!r->md5 && !(h->content_md5 && (r->source || r->data)))
		return KB_OK;
	if (!r->md5) {
		rc = digest_body(r, EVP_md5(), hash, &len, call);
		if (!rc)
			EVP_EncodeBlock(text, hash, (int)len);
	}
	if (!rc && asprintf(out, "content-md5: %s", r->md5 ? r->md5 : (char *)text) < 0) {
		*out = NULL;
		rc = s3_host->fail(call, KB_E_LOCAL, "out of memory");
	}
	return rc;
}

/* ---- one attempt ---- */

struct lines { const char *v[HEADERS]; size_t n; };

static void collect(const struct kb_handle *h, const struct s3_request *r, const char *md5, struct lines *out)
{
	for (char **p = r->creates ? h->put_headers : NULL; p && *p; p++)
		out->v[out->n++] = *p;
	if (h->owner_header)
		out->v[out->n++] = h->owner_header;
	if (md5)
		out->v[out->n++] = md5;
}

static int perform(struct kb_handle *h, const struct s3_request *r, const struct s3_place *p, struct lines *lines,
		   char **signature, struct http_reply *reply, struct kb_call *call)
{
	struct http_request req = {
		.method = r->method, .url = p->url, .headers = lines->v, .source = r->source, .offset = r->offset,
		.of_source = r->of_source, .data = r->data, .len = r->len, .sink = r->sink, .text_max = ANSWER_MAX,
	};

	for (; signature && *signature; signature++)
		lines->v[lines->n++] = *signature;
	if (r->if_absent)		/* not signed: what stands between may know it too */
		lines->v[lines->n++] = "if-none-match: *";
	return http_perform(h->web, &req, reply, call);
}

static int send_once(struct kb_handle *h, const struct s3_request *r, const struct s3_place *p, const char *region,
		     const struct s3_cred *cred, struct http_reply *reply, struct kb_call *call)
{
	struct lines lines = { 0 };
	char payload[65], **signature = NULL, *md5;
	int rc = md5_header(h, r, &md5, call);

	collect(h, r, md5, &lines);
	if (!rc && cred->access)
		rc = payload_of(h, r, payload, call);
	if (!rc && cred->access) {
		const struct sigv4_request s = {
			.access = cred->access, .secret = cred->secret, .token = cred->token, .region = region, .service = "s3",
			.time_s = (int64_t)time(NULL) + atomic_load(&h->clock_offset_s), .method = r->method, .host = p->host,
			.path = p->path, .query = r->query, .headers = lines.v, .payload = payload,
		};

		signature = sigv4_sign(&s);
		if (!signature)
			rc = s3_host->fail(call, KB_E_LOCAL, "out of memory");
	}
	if (!rc)
		rc = perform(h, r, p, &lines, signature, reply, call);
	sigv4_free(signature);
	free(md5);
	return rc;
}

/* Place and region of now: an answer to another thread may change both. */
static int look_up(struct kb_handle *h, const struct s3_request *r, struct s3_place *place, char **region, struct kb_call *call)
{
	int bad;

	pthread_mutex_lock(&h->lock);
	bad = s3_place_of(h, r, place);
	*region = strdup(h->region);
	pthread_mutex_unlock(&h->lock);
	return bad || !*region ? s3_host->fail(call, KB_E_LOCAL, "out of memory") : KB_OK;
}

int s3_send(struct kb_handle *h, const struct s3_request *r, struct http_reply *reply, struct kb_call *call)
{
	unsigned tried = 0;
	bool more;
	int rc;

	*reply = (struct http_reply){ 0 };
	do {
		struct s3_cred cred;
		struct s3_place place;
		char *region;

		rc = s3_creds_get(h->creds, &cred, call);
		if (rc)
			return rc;
		atomic_store(&h->source, cred.source);
		http_reply_release(reply);
		*reply = (struct http_reply){ 0 };
		rc = look_up(h, r, &place, &region, call);
		if (!rc)
			rc = send_once(h, r, &place, region, &cred, reply, call);
		more = !rc && s3_again(h, reply, &cred, &tried);
		s3_place_release(&place);
		free(region);
		s3_cred_release(&cred);
	} while (more);
	return rc;
}

int s3_send_create(struct kb_handle *h, const struct s3_request *r, struct http_reply *reply, struct kb_call *call)
{
	struct s3_request q = *r;
	int rc;

	q.if_absent = q.if_absent && h->conditional && !atomic_load(&h->no_conditional);
	rc = s3_send(h, &q, reply, call);
	if (rc || !q.if_absent || reply->status != 501)
		return rc;
	atomic_store(&h->no_conditional, true);
	s3_host->log(6, "the server does not know If-None-Match: objects are replaced");
	http_reply_release(reply);
	q.if_absent = false;
	return s3_send(h, &q, reply, call);
}
