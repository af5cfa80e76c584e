/* The layout of bazel-remote and other caches of Bazel's HTTP protocol: contents below /cas/ by their SHA-256, and
 * below /ac/ action results that name them. A key becomes an action result with one output file.
 * https://bazel.build/remote/caching#http-caching, build.bazel.remote.execution.v2.ActionResult. */
#define _GNU_SOURCE
#include "web.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 256 << 10 };
static const char file_name[] = "object";

static void hex(const unsigned char hash[SHA256_DIGEST_LENGTH], char out[65])
{
	for (int i = 0; i < SHA256_DIGEST_LENGTH; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

/* ---- the message: output_files (2) { path (1), digest (2) { hash (1), size_bytes (2) } } ---- */

static size_t varint(uint64_t v, unsigned char *out)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		out[n++] = (unsigned char)(v | 0x80);
	out[n++] = (unsigned char)v;
	return n;
}

static size_t field(unsigned number, const void *data, size_t len, unsigned char *out)
{
	size_t n = 0;

	out[n++] = (unsigned char)(number << 3 | 2);
	n += varint(len, out + n);
	memcpy(out + n, data, len);
	return n + len;
}

size_t web_action_encode(const char hash[65], uint64_t size, unsigned char out[256])
{
	unsigned char digest[96], file[160];
	size_t d = field(1, hash, 64, digest), f;

	if (size) {
		digest[d++] = 2 << 3;
		d += varint(size, digest + d);
	}
	f = field(1, file_name, sizeof file_name - 1, file);
	f += field(2, digest, d, file + f);
	return field(2, file, f, out);
}

/* One field: its number, and its bytes or value. False at the end or for what is no message. */
struct reader {
	const unsigned char *p, *end;
	bool bad;
};

static uint64_t read_varint(struct reader *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; r->p < r->end && shift < 64; shift += 7) {
		unsigned char c = *r->p++;

		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return v;
	}
	r->bad = true;
	return 0;
}

static bool next(struct reader *r, unsigned *number, struct reader *bytes, uint64_t *value)
{
	uint64_t tag, len;

	if (r->bad || r->p == r->end)
		return false;
	tag = read_varint(r);
	*number = (unsigned)(tag >> 3);
	*bytes = (struct reader){ NULL, NULL, false };
	*value = 0;
	switch (tag & 7) {
	case 0:
		*value = read_varint(r);
		return !r->bad;
	case 1:
		len = 8;
		break;
	case 2:
		len = read_varint(r);
		break;
	case 5:
		len = 4;
		break;
	default:
		r->bad = true;
		return false;
	}
	if (r->bad || len > (uint64_t)(r->end - r->p)) {
		r->bad = true;
		return false;
	}
	if ((tag & 7) == 2)
		*bytes = (struct reader){ r->p, r->p + len, false };
	r->p += len;
	return true;
}

/* The first field of that number that holds bytes. */
static bool inside(struct reader r, unsigned wanted, struct reader *out)
{
	struct reader bytes;
	unsigned number;
	uint64_t value;

	while (next(&r, &number, &bytes, &value)) {
		if (number == wanted && bytes.p) {
			*out = bytes;
			return true;
		}
	}
	return false;
}

int web_action_decode(const void *data, size_t len, char hash[65], uint64_t *size)
{
	struct reader all = { data, (const unsigned char *)data + len, false }, file, digest, text, bytes;
	unsigned number;
	uint64_t value;

	*size = 0;
	if (!inside(all, 2, &file) || !inside(file, 2, &digest) || !inside(digest, 1, &text) || text.end - text.p != 64)
		return -1;
	memcpy(hash, text.p, 64);
	hash[64] = '\0';
	if (strspn(hash, "0123456789abcdef") != 64)	/* a NUL in it is no end */
		return -1;
	while (next(&digest, &number, &bytes, &value))
		if (number == 2 && !bytes.p)
			*size = value;
	return digest.bad ? -1 : 0;
}

/* ---- operations ---- */

static char *ac_url(const struct kb_handle *h, struct kb_key key)
{
	unsigned char hash[SHA256_DIGEST_LENGTH];
	char name[65], *url = NULL;

	SHA256((const unsigned char *)key.name, key.len, hash);
	hex(hash, name);
	return asprintf(&url, "%s/ac/%s", h->base, name) < 0 ? NULL : url;
}

static char *cas_url(const struct kb_handle *h, const char hash[65])
{
	char *url = NULL;

	return asprintf(&url, "%s/cas/%s", h->base, hash) < 0 ? NULL : url;
}

static int get(struct kb_handle *h, const char *method, const char *url, struct kb_sink *sink, struct http_reply *reply,
	       struct kb_call *call)
{
	const struct web_request r = { .method = method, .url = url, .sink = sink };
	int rc;

	*reply = (struct http_reply){ 0 };
	rc = url ? web_send(h, &r, reply, call) : web_no_memory(call);
	return rc ? rc : web_judge(reply, *method == 'H' ? "head" : "get", call);
}

static int look_up(struct kb_handle *h, struct kb_key key, char hash[65], uint64_t *size, struct kb_call *call)
{
	char *url = ac_url(h, key);
	struct http_reply reply;
	int rc = get(h, "GET", url, NULL, &reply, call);

	if (!rc && web_action_decode(reply.text, reply.text_len, hash, size))
		rc = web_host->fail(call, KB_E_CORRUPT, "get: the answer is no action result");
	http_reply_release(&reply);
	free(url);
	return rc;
}

/* What is gone from the store while its action result is still there is a miss. */
int web_bazel_get(struct kb_handle *h, struct kb_key key, struct kb_sink *sink, struct kb_call *call)
{
	struct http_reply reply;
	char hash[65], *url;
	uint64_t size;
	int rc = look_up(h, key, hash, &size, call);

	if (rc)
		return rc;
	url = cas_url(h, hash);
	rc = get(h, "GET", url, sink, &reply, call);
	http_reply_release(&reply);
	free(url);
	return rc;
}

int web_bazel_head(struct kb_handle *h, struct kb_key key, struct kb_stat *out, struct kb_call *call)
{
	struct http_reply reply;
	char hash[65], *url;
	uint64_t size;
	int rc = look_up(h, key, hash, &size, call);

	if (rc)
		return rc;
	url = cas_url(h, hash);
	rc = get(h, "HEAD", url, NULL, &reply, call);
	if (!rc)
		*out = (struct kb_stat){ .size = size, .mtime_s = -1, .ttl_s = -1 };
	http_reply_release(&reply);
	free(url);
	return rc;
}

static int hash_source(struct kb_source *src, char out[65], struct kb_call *call)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	char *buf = malloc(CHUNK);
	uint64_t left = src->size;
	int bad = !ctx || !buf || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) || src->rewind(src);

	while (!bad && left) {
		size_t got = 0;

		bad = src->read(src, buf, left < CHUNK ? (size_t)left : CHUNK, &got) || !got || !EVP_DigestUpdate(ctx, buf, got);
		left -= got;
	}
	if (!bad)
		bad = !EVP_DigestFinal_ex(ctx, hash, NULL);
	EVP_MD_CTX_free(ctx);
	free(buf);
	if (bad)
		return web_host->fail(call, KB_E_LOCAL, "the source can't be read, or is shorter than its size");
	hex(hash, out);
	return KB_OK;
}

static int put(struct kb_handle *h, const char *url, struct kb_source *src, const void *data, size_t len,
	       struct kb_call *call)
{
	static const char *const headers[] = { "Content-Type: application/octet-stream", NULL };
	const struct web_request r = { .method = "PUT", .url = url, .extra = headers, .source = src, .data = data, .len = len };
	struct http_reply reply = { 0 };
	int rc = url ? web_send(h, &r, &reply, call) : web_no_memory(call);

	if (!rc)
		rc = web_judge_put(h, &reply, src ? src->size : 0, call);
	http_reply_release(&reply);
	return rc;
}

/* The contents first: an action result may only name what is there. */
int web_bazel_put(struct kb_handle *h, struct kb_key key, struct kb_source *src, struct kb_call *call)
{
	unsigned char action[256];
	char hash[65], *cas, *ac;
	int rc = hash_source(src, hash, call);

	if (rc)
		return rc;
	cas = cas_url(h, hash);
	ac = ac_url(h, key);
	rc = put(h, cas, src, NULL, 0, call);
	if (!rc)
		rc = put(h, ac, NULL, action, web_action_encode(hash, src->size, action), call);
	free(cas);
	free(ac);
	return rc;
}
