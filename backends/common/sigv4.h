/* AWS Signature Version 4 in headers (AWS documentation, "Signature Version 4 signing process"). Pure: no I/O,
 * no clock. */
#ifndef KACHE_BACKENDS_SIGV4_H
#define KACHE_BACKENDS_SIGV4_H

#include <stddef.h>
#include <stdint.h>

struct sigv4_request {
	const char *access, *secret;
	const char *token;		/* session token or NULL */
	const char *region, *service;	/* "us-east-1", "s3" */
	int64_t time_s;			/* now, seconds since the epoch, corrected by the server's clock */
	const char *method;
	const char *host;		/* with ":port" unless it is the scheme's own */
	const char *path;		/* percent-encoded once, as it is sent; begins with '/' */
	const char *query;		/* as it is sent, without '?'; "" or NULL: none. Any order */
	/* Further headers that are to be signed, "name: value" with lower-case names, ended by NULL; NULL: none.
	 * host, x-amz-date, x-amz-content-sha256 and x-amz-security-token are added here. */
	const char *const *headers;
	const char *payload;		/* hex SHA-256 of the body, or "UNSIGNED-PAYLOAD" */
	int double_encode;		/* services other than S3: the path is normalised and encoded again in the canonical
					 * form, and there is no x-amz-content-sha256 */
};
/* The header lines to send beside r->headers and Host: "authorization: …", "x-amz-date: …",
 * "x-amz-content-sha256: …", and "x-amz-security-token: …" with a token; fresh memory, ended by NULL.
 * NULL only when out of memory. */
char **sigv4_sign(const struct sigv4_request *r);
void sigv4_free(char **headers);
/* Lower-case hex SHA-256. */
void sigv4_sha256_hex(const void *data, size_t len, char out[65]);
/* RFC 3986: unreserved characters stay, '/' too if keep_slash; fresh memory. */
char *sigv4_encode(const char *text, size_t len, int keep_slash);

#endif
