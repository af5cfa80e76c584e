/* Signature Version 4: the canonical request, its hash, the key of the day, the header. */
#include "sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HASH = 32, LINES = 5 };	/* LINES: header lines that are made here, and the end */

/* A growing text; `bad` once memory ran out. */
struct text {
	char *s;
	size_t len, cap;
	int bad;
};

static void add_n(struct text *t, const char *s, size_t n)
{
	if (t->bad)
		return;
	if (t->len + n + 1 > t->cap) {
		size_t cap = (t->len + n + 1) * 2;
		char *grown = realloc(t->s, cap);

		if (!grown) {
			t->bad = 1;
			return;
		}
		t->s = grown;
		t->cap = cap;
	}
	memcpy(t->s + t->len, s, n);
	t->len += n;
	t->s[t->len] = '\0';
}

static void add(struct text *t, const char *s)
{
	add_n(t, s, strlen(s));
}

static void hex(const unsigned char *in, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", in[i]);
}

void sigv4_sha256_hex(const void *data, size_t len, char out[65])
{
	unsigned char hash[HASH];

	SHA256(data, len, hash);
	hex(hash, HASH, out);
}

char *sigv4_encode(const char *text, size_t len, int keep_slash)
{
	static const char digits[] = "0123456789ABCDEF";
	char *out = malloc(len * 3 + 1), *to = out;

	for (size_t i = 0; out && i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
		    c == '.' || c == '~' || (c == '/' && keep_slash)) {
			*to++ = (char)c;
		} else {
			*to++ = '%';
			*to++ = digits[c >> 4];
			*to++ = digits[c & 15];
		}
	}
	if (out)
		*to = '\0';
	return out;
}

/* In order of the names, then of the values; the separator between them sorts after some characters of names, so
 * the two are compared apart. */
static int compare(const void *a, const void *b, const char *separator)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;
	size_t nx = strcspn(x, separator), ny = strcspn(y, separator);
	int c = memcmp(x, y, nx < ny ? nx : ny);

	if (c)
		return c;
	return nx != ny ? (nx < ny ? -1 : 1) : strcmp(x + nx, y + ny);
}

static int by_parameter(const void *a, const void *b)
{
	return compare(a, b, "=");
}

static int by_header(const void *a, const void *b)
{
	return compare(a, b, ":");
}

static void add_query(struct text *t, const char *query)
{
	size_t n = 0, at = 0;
	char *copy = strdup(query ? query : ""), **parts;

	for (const char *p = query; p && *p; p++)
		n += *p == '&';
	parts = calloc(n + 2, sizeof *parts);
	if (!copy || !parts) {
		t->bad = 1;
		free(copy);
		free(parts);
		return;
	}
	for (char *p = copy; *p;) {
		size_t len = strcspn(p, "&");
		char end = p[len];

		p[len] = '\0';
		if (len)
			parts[at++] = p;
		p += len + (end != '\0');
	}
	if (at)
		qsort(parts, at, sizeof *parts, by_parameter);
	for (size_t i = 0; i < at; i++) {
		add(t, i ? "&" : "");
		add(t, parts[i]);
		if (!strchr(parts[i], '='))
			add(t, "=");
	}
	free(parts);
	free(copy);
}

/* Values lose blanks at both ends, and runs of blanks become one. */
static void add_header(struct text *t, const char *line)
{
	const char *p = strchr(line, ':'), *end;

	if (!p)
		return;
	add_n(t, line, (size_t)(p - line) + 1);
	for (p++; *p == ' '; p++)
		;
	for (end = p + strlen(p); end > p && end[-1] == ' '; end--)
		;
	for (; p < end; p++)
		if (*p != ' ' || p[1] != ' ')
			add_n(t, p, 1);
	add(t, "\n");
}

/* All lines that are signed, sorted by name; and the names, with ';'. */
static void add_headers(struct text *t, struct text *names, char **lines, size_t n)
{
	qsort(lines, n, sizeof *lines, by_header);
	for (size_t i = 0; i < n; i++) {
		add_header(t, lines[i]);
		add(names, i ? ";" : "");
		add_n(names, lines[i], strcspn(lines[i], ":"));
	}
}

static void hmac(const void *key, size_t key_len, const char *data, unsigned char out[HASH])
{
	unsigned int len = HASH;

	HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)data, strlen(data), out, &len);
}

static int signing_key(const struct sigv4_request *r, const char *date, unsigned char out[HASH])
{
	struct text first = { 0 };

	add(&first, "AWS4");
	add(&first, r->secret);
	if (first.bad)
		return -1;
	hmac(first.s, first.len, date, out);
	hmac(out, HASH, r->region, out);
	hmac(out, HASH, r->service, out);
	hmac(out, HASH, "aws4_request", out);
	OPENSSL_cleanse(first.s, first.len);
	free(first.s);
	return 0;
}

static char *done(struct text *t)
{
	if (t->bad) {
		free(t->s);
		t->s = NULL;
	}
	return t->s;
}

static char *join(const char *a, const char *b)
{
	struct text t = { 0 };

	add(&t, a);
	add(&t, b);
	return done(&t);
}

/* For services other than S3: without empty and "." components, ".." resolved, encoded again. */
static char *canonical_path(const char *path)
{
	struct text t = { 0 };
	char *encoded;

	for (const char *p = path; *p;) {
		size_t slashes = strspn(p, "/"), n = strcspn(p + slashes, "/");
		const char *part = p + slashes;

		p = part + n;
		if (n == 2 && part[0] == '.' && part[1] == '.') {
			while (t.len && t.s[--t.len] != '/')
				;
		} else if (n && !(n == 1 && *part == '.')) {
			add(&t, "/");
			add_n(&t, part, n);
		}
		if (!*p && (p[-1] == '/' || (n && n <= 2 && !strncmp(part, "..", n))))
			add(&t, "/");
	}
	if (!t.len)
		add(&t, "/");
	encoded = t.bad ? NULL : sigv4_encode(t.s, t.len, 1);
	free(t.s);
	return encoded;
}

/* The canonical request (step 1): its hash, and the names of the signed headers. */
static int canonical(const struct sigv4_request *r, char **lines, size_t n, struct text *names, char hash[65])
{
	struct text t = { 0 };
	char *path = r->double_encode ? canonical_path(r->path) : strdup(r->path);

	if (!path)
		return -1;
	add(&t, r->method);
	add(&t, "\n");
	add(&t, path);
	add(&t, "\n");
	add_query(&t, r->query);
	add(&t, "\n");
	add_headers(&t, names, lines, n);
	add(&t, "\n");
	add(&t, names->s ? names->s : "");
	add(&t, "\n");
	add(&t, r->payload);
	if (!t.bad)
		sigv4_sha256_hex(t.s, t.len, hash);
	free(path);
	free(t.s);
	return t.bad || names->bad ? -1 : 0;
}

static char *authorization(const struct sigv4_request *r, const char *stamp, const char *names, const char *hash)
{
	struct text scope = { 0 }, sign = { 0 }, out = { 0 };
	unsigned char key[HASH], mac[HASH];
	char date[9], signature[65];

	snprintf(date, sizeof date, "%.8s", stamp);
	add(&scope, date);
	add(&scope, "/");
	add(&scope, r->region);
	add(&scope, "/");
	add(&scope, r->service);
	add(&scope, "/aws4_request");
	add(&sign, "AWS4-HMAC-SHA256\n");
	add(&sign, stamp);
	add(&sign, "\n");
	add(&sign, scope.s ? scope.s : "");
	add(&sign, "\n");
	add(&sign, hash);
	if (!scope.bad && !sign.bad && !signing_key(r, date, key)) {
		hmac(key, HASH, sign.s, mac);
		OPENSSL_cleanse(key, sizeof key);
		hex(mac, HASH, signature);
		add(&out, "authorization: AWS4-HMAC-SHA256 Credential=");
		add(&out, r->access);
		add(&out, "/");
		add(&out, scope.s);
		add(&out, ", SignedHeaders=");
		add(&out, names);
		add(&out, ", Signature=");
		add(&out, signature);
	}
	free(scope.s);
	free(sign.s);
	return done(&out);
}

/* Lines of the caller's and of ours, signed; *last becomes the authorization. */
static int sign_lines(const struct sigv4_request *r, const char *stamp, char **own, size_t n, char **last)
{
	size_t extra = 0, at = 0;
	struct text names = { 0 };
	char hash[65], **lines, *host = join("host:", r->host);
	int bad;

	while (r->headers && r->headers[extra])
		extra++;
	lines = calloc(extra + n + 1, sizeof *lines);
	bad = !lines || !host ? -1 : 0;
	if (!bad) {
		lines[at++] = host;
		for (size_t i = 0; i < n; i++)
			lines[at++] = own[i];
		for (size_t i = 0; i < extra; i++)
			lines[at++] = (char *)r->headers[i];
		bad = canonical(r, lines, at, &names, hash);
	}
	*last = bad ? NULL : authorization(r, stamp, names.s, hash);
	free(names.s);
	free(lines);
	free(host);
	return *last ? 0 : -1;
}

char **sigv4_sign(const struct sigv4_request *r)
{
	time_t when = (time_t)r->time_s;
	char **out = calloc(LINES, sizeof *out), stamp[32];
	struct tm tm;
	size_t n = 0;
	int bad = !out || !gmtime_r(&when, &tm) || !strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);

	if (!bad)
		bad = !(out[n++] = join("x-amz-date: ", stamp));
	if (!bad && !r->double_encode)		/* only S3 wants to be told */
		bad = !(out[n++] = join("x-amz-content-sha256: ", r->payload));
	if (!bad && r->token)
		bad = !(out[n++] = join("x-amz-security-token: ", r->token));
	if (bad || sign_lines(r, stamp, out, n, &out[n])) {
		sigv4_free(out);
		return NULL;
	}
	return out;
}

void sigv4_free(char **headers)
{
	for (char **p = headers; p && *p; p++)
		free(*p);
	free(headers);
}
