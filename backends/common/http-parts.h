/* Inside of the HTTP engine. */
#ifndef KACHE_BACKENDS_HTTP_PARTS_H
#define KACHE_BACKENDS_HTTP_PARTS_H

#include "http.h"

#include <curl/curl.h>
#include <stdbool.h>

struct http_exchange {
	const struct http_request *r;
	struct http_reply *reply;
	CURL *easy;
	uint64_t size, sent, got;	/* bytes of the body, sent of it, received for the sink */
	bool begun, source_failed;
	bool heard;			/* lines of a head, since the last wait */
	int sink_rc;
	size_t n_headers, headers_len, headers_max;
	char error[CURL_ERROR_SIZE];
};

uint64_t http_now(void);
/* Takes one header line as it came. False when out of memory. */
bool http_reply_line(struct http_exchange *x, const char *line, size_t len);
/* How an exchange ended: rc of the waiting, else libcurl's result. Sets the text. */
int http_classify(const struct kb_host *host, struct http_exchange *x, int rc, int result, struct kb_call *call);
/* Milliseconds of a Retry-After value (RFC 9110, 10.2.3): seconds or a date; 0 for what is neither. */
uint32_t http_retry_after(const char *value, int64_t now_s);

#endif
