/* Where S3 credentials come from: the chain of kache-backend-s3(7), in the order of the AWS command line, with
 * refresh before they expire. Nothing is cached on disk. */
#ifndef KACHE_BACKENDS_S3_CRED_H
#define KACHE_BACKENDS_S3_CRED_H

#include "kache/backend.h"

#include <stdbool.h>
#include <stdint.h>

struct http;
struct s3_creds;

struct s3_cred {			/* a copy, the caller's */
	char *access, *secret;		/* NULL: anonymous */
	char *token;			/* NULL: none */
	int64_t expires_s;		/* since the epoch; 0: never */
	const char *source;		/* "environment", "profile ci", "instance metadata" …: for texts; static or owned by creds */
};

/* Reads options (access-key, secret-key, session-token, profile, anonymous), the environment and the shared
 * files, and finds the provider; does no network I/O. KB_OK, or KB_E_CONFIG with a text that says what is half
 * set or missing. web is for STS, SSO, container and instance metadata; it outlives the result. */
int s3_creds_open(const struct kb_host *host, const kb_conf *conf, struct http *web, struct s3_creds **out,
		  struct kb_call *call);
void s3_creds_close(struct s3_creds *c);
/* Credentials that are good for a while: refreshes those about to expire (one thread at a time; others use
 * the old ones while those still serve). KB_OK, KB_E_AUTH (nothing found, expired login: the text says what to
 * run or set), KB_E_TRANSIENT, KB_E_TIMEOUT. Any thread. */
int s3_creds_get(struct s3_creds *c, struct s3_cred *out, struct kb_call *call);
void s3_cred_release(struct s3_cred *cred);
/* The server says that these have expired or are unknown: the next get fetches anew (once per credentials). Returns
 * true if that can help. */
bool s3_creds_refuse(struct s3_creds *c, const struct s3_cred *cred);
/* From environment and profile (AWS_REGION, AWS_DEFAULT_REGION, region=; AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL,
 * services, endpoint_url=; addressing_style; AWS_CA_BUNDLE, ca_bundle=); NULL where none says. Owned by c. */
const char *s3_creds_region(const struct s3_creds *c);
const char *s3_creds_endpoint(const struct s3_creds *c);
const char *s3_creds_addressing(const struct s3_creds *c);
const char *s3_creds_ca_file(const struct s3_creds *c);

#endif
