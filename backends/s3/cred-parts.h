/* Inside of the credential chain. */
#ifndef KACHE_BACKENDS_S3_CRED_PARTS_H
#define KACHE_BACKENDS_S3_CRED_PARTS_H

#include "cred.h"
#include "../common/http.h"

#include <stddef.h>

/* ---- cred-files.c: ~/.aws/config and ~/.aws/credentials ---- */

struct s3_files;
/* Reads both, as far as they exist. KB_OK, or KB_E_CONFIG with file:line. */
int s3_files_open(const struct kb_host *host, struct s3_files **out, struct kb_call *call);
void s3_files_close(struct s3_files *f);
/* A value of a profile: of the credentials file first; NULL. Owned by f. */
const char *s3_files_get(const struct s3_files *f, const char *profile, const char *name);
/* Of another section of the config file: "sso-session x", "services x"; name "s3.endpoint_url" for a nested one. */
const char *s3_files_section(const struct s3_files *f, const char *kind, const char *section, const char *name);
bool s3_files_has_profile(const struct s3_files *f, const char *profile);

/* ---- providers ---- */

struct s3_context {			/* what a provider may look at */
	const struct kb_host *host;
	struct http *web;
	const struct s3_files *files;
	const char *region;		/* for STS; NULL: us-east-1 */
	struct kb_call *call;
};
/* Each fills *out (fresh memory) and returns KB_OK, KB_MISS where it has nothing to say, or an error with text. */
typedef int s3_provider(struct s3_context *x, const char *profile, struct s3_cred *out);

s3_provider s3_cred_environment, s3_cred_profile, s3_cred_web_identity, s3_cred_container, s3_cred_metadata;
/* cred-process.c: credential_process of a profile. */
int s3_cred_process(struct s3_context *x, const char *profile, const char *command, struct s3_cred *out);
/* cred-web.c */
int s3_cred_sso(struct s3_context *x, const char *profile, struct s3_cred *out);
int s3_cred_assume_role(struct s3_context *x, const char *profile, const struct s3_cred *with, struct s3_cred *out);
int s3_cred_assume_web(struct s3_context *x, const char *role, const char *token_file, const char *session,
		       struct s3_cred *out);
/* The JSON that processes, containers and instances answer with. names: of key, secret, token, expiry. */
int s3_cred_from_json(struct s3_context *x, const char *what, const char *json, size_t len, const char *const names[4],
		      struct s3_cred *out);
/* "2026-01-02T03:04:05Z" to seconds; 0 for what is no time. */
int64_t s3_cred_time(const char *text);

#endif
