/* A request: its URL, its signature, and the answers that ask for another try. */
#define _GNU_SOURCE
#include "s3.h"
#include "../common/sigv4.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 256 << 10 };

/* Where the request goes, as it is signed and as it is sent. */
struct place {
	char *host, *path, *url;
};

static void place_release(struct place *p)
{
	free(p->host);
	free(p->path);
	free(p->url);
}

static int place_of(const struct kb_handle *h, const struct s3_request *r, struct place *p)
{
	char *key = sigv4_encode(r->key ? r->key : "", r->key ? r->key_len : 0, 1);
	int bad = !key;

	*p = (struct place){ 0 };
	if (bad)
		return -1;
	if (h->virtual_host)
		bad = asprintf(&p->host, "%s.%s", h->bucket, h->host) < 0 || asprintf(&p->path, "%s/%s", h->base, key) < 0;
	else
		bad = !(p->host = strdup(h->host)) ||
		      asprintf(&p->path, "%s/%s%s%s", h->base, h->bucket, *key ? "/" : "", key) < 0;
	if (!bad)
		bad = asprintf(&p->url, "%s://%s%s%s%s", h->scheme, p->host, p->path, *r->query ? "?" : "", r->query) < 0;
	free(key);
	return bad ? -1 : 0;
}

/* The SHA-256 (and for Content-MD5 the MD5) of the body, read once more for it. */
static int digest_body(const struct s3_request *r, const EVP_MD *type, unsigned char out[EVP_MAX_MD_SIZE], unsigned *len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint64_t left = r->of_source ? r->of_source : r->source ? r->source->size : 0, at = r->offset;
	char *buf = malloc(CHUNK);
	int bad = !ctx || !buf || !EVP_DigestInit_ex(ctx, type, NULL);

	if (!bad && !r->source)
		bad = !EVP_DigestUpdate(ctx, r->data ? r->data : "", r->len);
	if (!bad && r->source && !r->of_source)
		bad = r->source->rewind(r->source);
	while (!bad && left) {
		size_t want = left < CHUNK ? (size_t)left : CHUNK, got = 0;

		if (r->of_source) {
			ssize_t n = pread(r->source->fd, buf, want, (off_t)at);

			got = n > 0 ? (size_t)n : 0;
			at += got;
		} else if (r->source->read(r->source, buf, want, &got)) {
			got = 0;
		}
		bad = !got || !EVP_DigestUpdate(ctx, buf, got);
		left -= got;
	}
	if (!bad)
		bad = !EVP_DigestFinal_ex(ctx, out, len);
	EVP_MD_CTX_free(ctx);
	free(buf);
	return bad ? -1 : 0;
}

static int payload_of(const struct kb_handle *h, const struct s3_request *r, char out[65])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned len;

	if (h->unsigned_payload && r->source) {
		snprintf(out, 65, "UNSIGNED-PAYLOAD");
		return 0;
	}
	if (digest_body(r, EVP_sha256(), hash, &len))
		return -1;
	for (unsigned i = 0; i < len; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
	return 0;
}

static char *md5_header(const struct s3_request *r)
{
	unsigned char hash[EVP_MAX_MD_SIZE], text[64];
	unsigned len;
	char *line = NULL;

	if (digest_body(r, EVP_md5(), hash, &len))
		return NULL;
	EVP_EncodeBlock(text, hash, (int)len);
	return asprintf(&line, "content-md5: %s", (char *)text) < 0 ? NULL : line;
}

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

/* One attempt with these credentials. */
static int send_once(struct kb_handle *h, const struct s3_request *r, const struct place *p, const struct s3_cred *cred,
		     struct http_reply *reply, struct kb_call *call)
{
	size_t n = count(r->headers), at = 0, n_signed;
	const char **to_sign = calloc(n + 2, sizeof *to_sign), **all = NULL;
	char payload[65], **signed_headers = NULL, *md5 = NULL, *region = NULL;
	struct http_request req;
	int rc = to_sign ? KB_OK : KB_E_LOCAL;

	for (size_t i = 0; !rc && i < n; i++)
		to_sign[at++] = r->headers[i];
	if (!rc && h->content_md5 && (r->source || r->data)) {
		md5 = md5_header(r);
		rc = md5 ? KB_OK : KB_E_LOCAL;
		to_sign[at++] = md5;
	}
	if (!rc && cred->access) {
		pthread_mutex_lock(&h->lock);
		region = strdup(h->region);
		pthread_mutex_unlock(&h->lock);
		rc = !region || payload_of(h, r, payload) ? KB_E_LOCAL : KB_OK;
	}
	if (!rc && cred->access) {
		const struct sigv4_request s = {
			.access = cred->access, .secret = cred->secret, .token = cred->token, .region = region, .service = "s3",
			.time_s = (int64_t)time(NULL) + atomic_load(&h->clock_offset_s), .method = r->method, .host = p->host,
			.path = p->path, .query = r->query, .headers = to_sign, .payload = payload,
		};

		signed_headers = sigv4_sign(&s);
		rc = signed_headers ? KB_OK : KB_E_LOCAL;
	}
	n_signed = count((const char *const *)signed_headers);
	all = calloc(at + n_signed + 1, sizeof *all);
	if (rc || !all) {
		*reply = (struct http_reply){ 0 };
		rc = s3_host->fail(call, KB_E_LOCAL, "the body can't be read, or out of memory");
	} else {
		memcpy(all, to_sign, at * sizeof *all);
		for (size_t i = 0; i < n_signed; i++)
			all[at + i] = signed_headers[i];
		req = (struct http_request){
			.method = r->method, .url = p->url, .headers = all, .source = r->source, .offset = r->offset,
			.of_source = r->of_source, .data = r->data, .len = r->len, .sink = r->sink, .text_max = 4 << 20,
		};
		rc = http_perform(h->web, &req, reply, call);
	}
	free(to_sign);
	free(all);
	free(md5);
	free(region);
	sigv4_free(signed_headers);
	return rc;
}

/* ---- answers that ask for another try ---- */

static bool learn_region(struct kb_handle *h, const struct http_reply *reply)
{
	const char *header = http_reply_header(reply, "x-amz-bucket-region");
	char *region = header ? strdup(header) : s3_xml_text(reply->text, reply->text_len, "Region");
	bool other;

	if (!region || !*region || strlen(region) > 64) {
		free(region);
		return false;
	}
	pthread_mutex_lock(&h->lock);
	other = strcmp(region, h->region) != 0;
	if (other) {
		char *old = h->region;

		h->region = region;
		region = old;
		/* AWS answers elsewhere for another region. */
		if (!strncmp(h->host, "s3.", 3) && strstr(h->host, ".amazonaws.com")) {
			char *host = NULL;

			if (asprintf(&host, "s3.%s.amazonaws.com%s", h->region, strstr(h->host, ".amazonaws.com.cn") ? ".cn" : "") >= 0) {
				free(h->host);
				h->host = host;
			}
		}
	}
	pthread_mutex_unlock(&h->lock);
	free(region);
	return other;
}

static bool learn_clock(struct kb_handle *h, const struct http_reply *reply)
{
	const char *date = http_reply_header(reply, "date");
	time_t there = date ? curl_getdate(date, NULL) : (time_t)-1;
	long long offset;

	if (there == (time_t)-1)
		return false;
	offset = (long long)there - (long long)time(NULL);
	if (llabs(offset - atomic_load(&h->clock_offset_s)) < 60)
		return false;
	s3_host->log(4, "this machine's clock differs from the server's by %lld s; signing with the server's", offset);
	atomic_store(&h->clock_offset_s, offset);
	return true;
}

/* Whether the answer says what to do better; each reason counts once per request. */
static bool again(struct kb_handle *h, const struct http_reply *reply, const struct s3_cred *cred, unsigned *tried)
{
	enum { REGION = 1, CLOCK = 2, CREDENTIALS = 4 };
	char *code;
	unsigned what = 0;
	bool yes = false;

	if (reply->status < 300 || reply->status == 404 || reply->status >= 500)
		return false;
	code = s3_xml_text(reply->text, reply->text_len, "Code");
	if (reply->status < 400 || (reply->status == 400 && (!code || !strcmp(code, "AuthorizationHeaderMalformed") ||
							     !strcmp(code, "IllegalLocationConstraintException"))))
		what = REGION;
	else if (code && !strcmp(code, "RequestTimeTooSkewed"))
		what = CLOCK;
	else if (code && (!strcmp(code, "ExpiredToken") || !strcmp(code, "InvalidAccessKeyId") || !strcmp(code, "InvalidToken") ||
			  !strcmp(code, "TokenRefreshRequired")))
		what = CREDENTIALS;
	free(code);
	if (!what || *tried & what)
		return false;
	*tried |= what;
	if (what == REGION)
		yes = learn_region(h, reply);
	else if (what == CLOCK)
		yes = learn_clock(h, reply);
	else
		yes = s3_creds_refuse(h->creds, cred);
	return yes;
}

int s3_send(struct kb_handle *h, const struct s3_request *r, struct http_reply *reply, struct kb_call *call)
{
	struct s3_request req = *r;
	unsigned tried = 0;

	if (!req.query)
		req.query = "";
	*reply = (struct http_reply){ 0 };
	for (;;) {
		struct s3_cred cred;
		struct place place;
		bool more;
		int rc = s3_creds_get(h->creds, &cred, call);

		if (rc)
			return rc;
		pthread_mutex_lock(&h->lock);
		rc = place_of(h, &req, &place);
		pthread_mutex_unlock(&h->lock);
		http_reply_release(reply);
		rc = rc ? s3_host->fail(call, KB_E_LOCAL, "out of memory") : send_once(h, &req, &place, &cred, reply, call);
		place_release(&place);
		more = !rc && again(h, reply, &cred, &tried);
		s3_cred_release(&cred);
		if (!more)
			return rc;
	}
}

/* ---- what an answer means ---- */

struct meaning {
	const char *code;
	int status;
	const char *text;
};

static const struct meaning codes[] = {
	{ "NoSuchKey", KB_MISS, NULL },
	{ "NoSuchBucket", KB_E_CONFIG, "there is no such bucket (option bucket)" },
	{ "InvalidBucketName", KB_E_CONFIG, "the bucket's name is not accepted (option bucket)" },
	{ "AccessDenied", KB_E_AUTH, "access denied: these credentials may not do that" },
	{ "AllAccessDisabled", KB_E_AUTH, "all access to the bucket is disabled" },
	{ "InvalidAccessKeyId", KB_E_AUTH, "the access key is not known there (option access-key)" },
	{ "SignatureDoesNotMatch", KB_E_AUTH, "the signature does not match: the secret key is wrong (option secret-key)" },
	{ "ExpiredToken", KB_E_AUTH, "the session token has expired (option session-token)" },
	{ "InvalidToken", KB_E_AUTH, "the session token is not accepted (option session-token)" },
	{ "RequestTimeTooSkewed", KB_E_AUTH, "this machine's clock is wrong" },
	{ "AuthorizationHeaderMalformed", KB_E_CONFIG, "the bucket is in another region (option region)" },
	{ "PermanentRedirect", KB_E_CONFIG, "the bucket is elsewhere (options endpoint, region)" },
	{ "TemporaryRedirect", KB_E_TRANSIENT, "the bucket is moving" },
	{ "SlowDown", KB_E_THROTTLED, "slow down" },
	{ "SlowDownRead", KB_E_THROTTLED, "slow down" },
	{ "SlowDownWrite", KB_E_THROTTLED, "slow down" },
	{ "ServiceUnavailable", KB_E_THROTTLED, "the service is unavailable" },
	{ "Throttling", KB_E_THROTTLED, "slow down" },
	{ "ThrottlingException", KB_E_THROTTLED, "slow down" },
	{ "RequestTimeout", KB_E_TRANSIENT, "the body came too slowly" },
	{ "InternalError", KB_E_TRANSIENT, "internal error over there" },
	{ "OperationAborted", KB_E_TRANSIENT, "another operation is under way there" },
	{ "BadDigest", KB_E_TRANSIENT, "the body arrived damaged" },
	{ "XAmzContentSHA256Mismatch", KB_E_TRANSIENT, "the body arrived damaged" },
	{ "IncompleteBody", KB_E_TRANSIENT, "the body arrived incomplete" },
	{ "EntityTooLarge", KB_E_TOOBIG, "larger than the server takes" },
	{ "QuotaExceeded", KB_E_NOSPACE, "the quota is used up" },
	{ "XMinioStorageFull", KB_E_NOSPACE, "no space left over there" },
	{ "XMinioAdminBucketQuotaExceeded", KB_E_NOSPACE, "the bucket's quota is used up" },
	{ "InvalidObjectName", KB_E_UNSUPPORTED, "the name is not accepted" },
	{ "KeyTooLongError", KB_E_UNSUPPORTED, "the name is too long for the server" },
	{ "MethodNotAllowed", KB_E_UNSUPPORTED, "the server does not take it" },
	{ "NotImplemented", KB_E_UNSUPPORTED, "the server does not take it" },
};

int s3_judge(struct kb_handle *h, const struct http_reply *reply, const char *what, struct kb_call *call)
{
	char *code = reply->status >= 300 ? s3_xml_text(reply->text, reply->text_len, "Code") : NULL;
	const char *after = http_reply_header(reply, "x-amz-retry-after");
	int rc;

	for (size_t i = 0; code && i < sizeof codes / sizeof *codes; i++) {
		if (strcmp(codes[i].code, code))
			continue;
		free(code);
		if (codes[i].status >= 0)
			return codes[i].status;
		if (codes[i].status == KB_E_THROTTLED)
			call->retry_after_ms = after ? (uint32_t)strtoul(after, NULL, 10) : reply->retry_after_ms;
		if (codes[i].status == KB_E_CONFIG || codes[i].status == KB_E_AUTH)
			return s3_host->fail(call, codes[i].status, "%s, bucket %s: %s", what, h->bucket, codes[i].text);
		return s3_host->fail(call, codes[i].status, "%s: %s", what, codes[i].text);
	}
	free(code);
	/* A bucket's own 301 or 400 without a body is an answer to HEAD from the wrong region. */
	rc = http_judge(s3_host, reply, what, call);
	return rc;
}
