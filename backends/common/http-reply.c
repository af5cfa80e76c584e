/* Answers: their headers, what a failed exchange means, and what a status means. */
#define _GNU_SOURCE
#include "http-parts.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { HEADERS_MAX = 200, RETRY_MAX_S = 3600 };

uint32_t http_retry_after(const char *value, int64_t now_s)
{
	char *end;
	long long s = strtoll(value, &end, 10);

	if (end == value || (*end && !isspace((unsigned char)*end))) {
		time_t when = curl_getdate(value, NULL);

		if (when == (time_t)-1)
			return 0;
		s = (long long)when - now_s;
	}
	if (s <= 0)
		return 0;
	return (uint32_t)((s < RETRY_MAX_S ? s : RETRY_MAX_S) * 1000);
}

/* Makes room for len bytes more and the NUL behind the last of them. */
static bool grow(struct http_exchange *x, size_t len)
{
	size_t max = x->headers_max ? x->headers_max : 512;
	char *grown;

	while (max < x->headers_len + len + 1)
		max *= 2;
	if (max == x->headers_max)
		return true;
	grown = realloc(x->reply->headers, max);
	if (!grown)
		return false;
	x->reply->headers = grown;
	x->headers_max = max;
	return true;
}

bool http_reply_line(struct http_exchange *x, const char *line, size_t len)
{
	struct http_reply *reply = x->reply;
	const char *colon;
	char *copy;

	len = strnlen(line, len);
	while (len && (line[len - 1] == '\r' || line[len - 1] == '\n'))
		len--;
	if (len >= 5 && !memcmp(line, "HTTP/", 5)) {	/* a new answer: after a 100, or on a new connection */
		x->n_headers = x->headers_len = 0;
		if (reply->headers)
			*reply->headers = '\0';
		*reply->text = '\0';
		reply->text_len = 0;
		return true;
	}
	colon = memchr(line, ':', len);
	if (!colon || x->n_headers == HEADERS_MAX)
		return true;
	if (!grow(x, len + 1))
		return false;
	copy = reply->headers + x->headers_len;
	memcpy(copy, line, len);
	for (size_t i = 0; i < (size_t)(colon - line); i++)
		copy[i] = (char)tolower((unsigned char)copy[i]);
	copy[len] = copy[len + 1] = '\0';
	x->headers_len += len + 1;
	x->n_headers++;
	return true;
}

const char *http_reply_header(const struct http_reply *reply, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = reply->headers; p && *p; p += strlen(p) + 1) {
		if (!strncmp(p, name, len) && p[len] == ':') {
			const char *value = p + len + 1;

			while (*value == ' ' || *value == '\t')
				value++;
			return value;
		}
	}
	return NULL;
}

void http_reply_release(struct http_reply *reply)
{
	free(reply->headers);
	free(reply->text);
	*reply = (struct http_reply){ 0 };
}

/* "host:port" of a URL: what may be shown of it. */
static void authority(const char *url, char out[128])
{
	const char *p = strstr(url, "://"), *at;
	size_t len;

	p = p ? p + 3 : url;
	len = strcspn(p, "/?#");
	at = memrchr(p, '@', len);
	if (at) {
		len -= (size_t)(at + 1 - p);
		p = at + 1;
	}
	snprintf(out, 128, "%.*s", (int)(len < 100 ? len : 100), p);
}

/* A server that wants a client certificate, or another one, says so in a TLS alert; since TLS 1.3 that comes only
 * after the handshake. */
static bool about_client_cert(const char *error)
{
	static const char *const alerts[] = { "alert certificate required", "alert bad certificate", "alert unknown ca",
					      "alert certificate unknown", "alert certificate expired" };

	for (size_t i = 0; i < sizeof alerts / sizeof *alerts; i++)
		if (strstr(error, alerts[i]))
			return true;
	return false;
}

static int of_curl(const struct kb_host *host, struct http_exchange *x, CURLcode result, struct kb_call *call)
{
	static const struct { CURLcode code; int status; bool detail; const char *text; } table[] = {
		{ CURLE_OPERATION_TIMEDOUT, KB_E_TIMEOUT, false, "does not answer in time" },
		{ CURLE_COULDNT_RESOLVE_HOST, KB_E_TRANSIENT, false, "its name can't be resolved" },
		{ CURLE_COULDNT_RESOLVE_PROXY, KB_E_TRANSIENT, false, "the proxy's name can't be resolved" },
		{ CURLE_COULDNT_CONNECT, KB_E_TRANSIENT, false, "can't be connected to" },
		{ CURLE_PARTIAL_FILE, KB_E_CORRUPT, false, "ended in the middle of its answer" },
		{ CURLE_GOT_NOTHING, KB_E_TRANSIENT, false, "closed the connection without an answer" },
		{ CURLE_SEND_ERROR, KB_E_TRANSIENT, false, "closed the connection" },
		{ CURLE_SEND_FAIL_REWIND, KB_E_TRANSIENT, false, "closed the connection" },
		{ CURLE_RECV_ERROR, KB_E_TRANSIENT, false, "closed the connection" },
		{ CURLE_WEIRD_SERVER_REPLY, KB_E_CORRUPT, false, "does not speak HTTP" },
		{ CURLE_UNSUPPORTED_PROTOCOL, KB_E_CORRUPT, false, "does not speak HTTP" },
		{ CURLE_BAD_CONTENT_ENCODING, KB_E_CORRUPT, false, "sends an encoding that was not asked for" },
		{ CURLE_PEER_FAILED_VERIFICATION, KB_E_CONFIG, true, "its certificate does not verify" },
		{ CURLE_SSL_CACERT_BADFILE, KB_E_CONFIG, false, "the CA file can't be used" },
		{ CURLE_SSL_CERTPROBLEM, KB_E_CONFIG, true, "the client certificate or its key can't be used" },
		{ CURLE_SSL_CONNECT_ERROR, KB_E_TRANSIENT, true, "no TLS connection comes about" },
		{ CURLE_URL_MALFORMAT, KB_E_CONFIG, false, "the URL can't be understood" },
		{ CURLE_OUT_OF_MEMORY, KB_E_LOCAL, false, "out of memory" },
	};
	char who[128];

	authority(x->r->url, who);
	if (about_client_cert(x->error))
		return host->fail(call, KB_E_AUTH, "%s: does not accept the client certificate, or wants one", who);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const bool detail = table[i].detail && x->error[0];

		if (table[i].code == result)
			return host->fail(call, table[i].status, "%s: %s%s%s", who, table[i].text, detail ? ": " : "",
					  detail ? x->error : "");
	}
	return host->fail(call, KB_E_TRANSIENT, "%s: %s", who, curl_easy_strerror(result));
}

/* It has nothing to do with what the server said. */
static int of_us(const struct kb_host *host, struct http_exchange *x, int rc, struct kb_call *call)
{
	char who[128];

	authority(x->r->url, who);
	if (rc == KB_E_TIMEOUT)
		return host->fail(call, rc, "%s: does not answer in time", who);
	if (rc == KB_E_CANCELLED)
		return host->fail(call, rc, "cancelled");
	if (rc)
		return host->fail(call, rc, "libcurl fails");
	if (x->source_failed)
		return host->fail(call, KB_E_LOCAL, "the source can't be read, or is shorter than its size");
	if (x->sink_rc == KB_E_CORRUPT)
		return host->fail(call, KB_E_CORRUPT, "%s: sends more than is acceptable", who);
	return host->fail(call, x->sink_rc, "the object can't be written");
}

int http_classify(const struct kb_host *host, struct http_exchange *x, int rc, int result, struct kb_call *call)
{
	const char *after, *length;

	if (rc || x->source_failed || x->sink_rc)
		return of_us(host, x, rc, call);
	after = http_reply_header(x->reply, "retry-after");
	length = http_reply_header(x->reply, "content-length");
	x->reply->retry_after_ms = after ? http_retry_after(after, time(NULL)) : 0;
	x->reply->content_length = length ? strtoll(length, NULL, 10) : -1;
	/* A server that refuses a body need not read it to its end: its answer counts, if it is one. */
	if (result == CURLE_OK || (x->sent < x->size && x->reply->status >= 400 &&
				   (result == CURLE_SEND_ERROR || result == CURLE_RECV_ERROR)))
		return KB_OK;
	return of_curl(host, x, (CURLcode)result, call);
}

int http_judge(const struct kb_host *host, const struct http_reply *reply, const char *what, struct kb_call *call)
{
	static const struct { int from, to, status; const char *text; } table[] = {
		{ 200, 299, KB_OK, NULL }, { 404, 404, KB_MISS, NULL }, { 410, 410, KB_MISS, NULL },
		{ 401, 401, KB_E_AUTH, "the credentials are missing or wrong" },
		{ 403, 403, KB_E_AUTH, "these credentials may not do that" },
		{ 407, 407, KB_E_AUTH, "the proxy wants credentials" },
		{ 408, 408, KB_E_TRANSIENT, "timeout over there" },
		{ 405, 405, KB_E_UNSUPPORTED, "this server does not take it" },
		{ 501, 501, KB_E_UNSUPPORTED, "this server does not take it" },
		{ 413, 413, KB_E_TOOBIG, "larger than this server takes" },
		{ 507, 507, KB_E_NOSPACE, "no space left over there" },
		{ 429, 429, KB_E_THROTTLED, "too many requests" }, { 503, 503, KB_E_THROTTLED, "the server is busy" },
		{ 500, 599, KB_E_TRANSIENT, "the server fails" },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (reply->status < table[i].from || reply->status > table[i].to)
			continue;
		if (table[i].status >= 0)
			return table[i].status;
		if (table[i].status == KB_E_THROTTLED)
			call->retry_after_ms = reply->retry_after_ms;
		return host->fail(call, table[i].status, "status %d, %s: %s", reply->status, table[i].text, what);
	}
	return host->fail(call, KB_E_CONFIG, "unexpected status %d: %s", reply->status, what);
}
