/* Inside of the credential chain. */
#ifndef KACHE_BACKENDS_S3_CRED_PARTS_H
#define KACHE_BACKENDS_S3_CRED_PARTS_H

#include "cred.h"
#include "../common/http.h"

#include <stddef.h>

/* ---- cred-files.c: ~/.aws/config and ~/.aws/credentials ---- */

struct s3_files;
enum s3_file { S3_FILE_CONFIG, S3_FILE_CREDENTIALS };
/* Reads both, as far as they exist. KB_OK, or KB_E_CONFIG with file:line. */
int s3_files_open(const struct kb_host *host, struct s3_files **out, struct kb_call *call);
void s3_files_close(struct s3_files *f);	/* NULL is fine */
/* A value of a profile: of the credentials file first; NULL for none and for an empty one. Owned by f. */
const char *s3_files_get(const struct s3_files *f, const char *profile, const char *name);
/* The same of one of the files only. */
const char *s3_files_of(const struct s3_files *f, enum s3_file which, const char *profile, const char *name);
/* Of another section of the config file: "sso-session x", "services x"; "s3.endpoint_url" for a nested one. */
const char *s3_files_section(const struct s3_files *f, const char *kind, const char *section, const char *name);
bool s3_files_has_profile(const struct s3_files *f, const char *profile);

/* ---- providers ---- */

struct s3_text { struct s3_text *next; char text[]; };

struct s3_memory {			/* what is kept between two fetches */
	struct s3_text *names;		/* of sources; those given out stay valid */
	/* The last refreshed SSO login, which nobody writes to disk. */
	char *sso_key, *sso_access, *sso_refresh;
	int64_t sso_expires_s;
};

struct s3_context {			/* what a provider may look at */
	const struct kb_host *host;
	struct http *web;
	const struct s3_files *files;
	const char *profile;		/* the one of the chain */
	const char *region;		/* for STS; NULL: us-east-1 */
	bool named;			/* the profile was named in kache's own settings: the environment does not count */
	bool look;			/* only say who would answer: no I/O, nothing but source is filled in */
	struct s3_memory *memory;
	int64_t offset_s;		/* the clock of who answered last minus ours */
	struct kb_call *call;
};
/* Each fills *out (fresh memory) and returns KB_OK, KB_MISS where it has nothing to say, or an error with text. */
typedef int s3_provider(struct s3_context *x, const char *profile, struct s3_cred *out);

/* cred-profile.c. role: by role_arn with a source; rest: by anything else that a profile can hold. */
s3_provider s3_cred_environment, s3_cred_profile_role, s3_cred_profile_rest;
/* Role, web identity and rest of one profile, without the environment. */
int s3_cred_profile(struct s3_context *x, const char *profile, struct s3_cred *out);
/* cred-process.c: credential_process of a profile. */
int s3_cred_process(struct s3_context *x, const char *profile, const char *command, struct s3_cred *out);
/* cred-sso.c. login: login_session, what `aws login` has left. */
s3_provider s3_cred_sso, s3_cred_login;
/* cred-sts.c. web_identity: of the environment and, where that says nothing, of the profile. */
int s3_cred_assume_role(struct s3_context *x, const char *profile, const struct s3_cred *with, struct s3_cred *out);
s3_provider s3_cred_web_identity;
/* cred-machine.c. maybe_metadata: unless this machine is hardly an instance. */
s3_provider s3_cred_container, s3_cred_metadata, s3_cred_maybe_metadata;

/* ---- cred-fetch.c: what providers have in common ---- */

/* Seconds since the epoch; a hook for tests. */
extern int64_t (*s3_cred_clock)(void);
int64_t s3_cred_now(void);
/* "2026-01-02T03:04:05Z", also with a fraction or an offset, to seconds; 0 for what is no time. */
int64_t s3_cred_time(const char *text);
/* A variable that is set and not empty, or NULL. */
const char *s3_cred_env(const char *name);
/* A text of what credentials are from, kept with the memory. */
const char *s3_cred_name(struct s3_context *x, const char *fmt, ...) KB_PRINTF(2, 3);
void s3_memory_release(struct s3_memory *m);
/* Frees what may be a secret. */
void s3_cred_wipe(char *secret);
/* KB_E_LOCAL with its text. */
int s3_cred_no_memory(struct s3_context *x);
/* A small file without the line breaks at its end; fresh memory, or NULL if it is empty or can't be read. "~/" is
 * expanded. */
char *s3_cred_slurp(const char *path);
/* Path with "~/" expanded; fresh memory or NULL. */
char *s3_cred_path(const char *path);
/* http_perform within ms (0: as long as the call) and with the text of `what` for being late. */
int s3_cred_fetch(struct s3_context *x, const char *what, const struct http_request *r, unsigned ms, struct http_reply *reply);
/* KB_OK for 200, or an error with "what answers ..." for any other status. code: further words or NULL. */
int s3_cred_judge(struct s3_context *x, const char *what, const struct http_reply *reply, const char *code);
struct s3_json {			/* names in the JSON that credentials come in */
	const char *inside;		/* the object they are in, NULL: at the top */
	const char *access, *secret, *token, *expiry;
};
/* Expiry is a time, or milliseconds since the epoch. */
int s3_cred_from_json(struct s3_context *x, const char *what, const char *text, size_t len, const struct s3_json *names,
		      struct s3_cred *out);
/* Whether `s` can stand in a header: printable ASCII and no blanks. */
bool s3_cred_sendable(const char *s);

/* ---- cred-settings.c ---- */

/* The URL of a service of AWS's other than S3, without a '/' at its end; fresh memory, or NULL with a text set. name:
 * as in AWS_ENDPOINT_URL_<name>; host: "sts"; section: in [services x]. global: AWS_ENDPOINT_URL counts too. */
char *s3_service_url(struct s3_context *x, const char *profile, const char *name, const char *host, const char *section,
		     const char *region, bool global);
struct s3_settings { char *region, *endpoint, *addressing, *ca_file; };
/* 0 or -1 without memory. */
int s3_settings_read(const struct s3_files *f, const char *profile, struct s3_settings *out);
void s3_settings_release(struct s3_settings *s);

#endif
