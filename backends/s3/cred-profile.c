/* Credentials that are written down: in the environment, and in what a profile of the shared files says. */
#include "config.h"
#include "cred-parts.h"

#include <stdlib.h>
#include <string.h>

/* The profiles on the way to here, for a source_profile that leads back to one of them. */
struct step { const char *profile; const struct step *from; };

static char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

static int filled(struct s3_context *x, const char *access, const char *secret, const char *token, const char *source,
		  struct s3_cred *out)
{
	*out = (struct s3_cred){ .source = source };
	if (x->look)
		return KB_OK;
	out->access = copy(access);
	out->secret = copy(secret);
	out->token = copy(token);
	if (out->access && out->secret && !token == !out->token)
		return KB_OK;
	s3_cred_release(out);
	return s3_cred_no_memory(x);
}

int s3_cred_environment(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	const char *access = s3_cred_env("AWS_ACCESS_KEY_ID"), *secret = s3_cred_env("AWS_SECRET_ACCESS_KEY");

	(void)profile;
	if (!access && !secret)
		return KB_MISS;
	if (!access || !secret)
		return x->host->fail(x->call, KB_E_CONFIG, "%s is not set; it goes with %s",
				     access ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID",
				     access ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY");
	return filled(x, access, secret, s3_cred_env("AWS_SESSION_TOKEN"), "environment", out);
}

/* ---- keys in the files ---- */

static int static_keys(struct s3_context *x, enum s3_file which, const char *profile, struct s3_cred *out)
{
	const char *access = s3_files_of(x->files, which, profile, "aws_access_key_id");
	const char *secret = s3_files_of(x->files, which, profile, "aws_secret_access_key");
	const char *token = s3_files_of(x->files, which, profile, "aws_session_token");

	if (!access && !secret)
		return KB_MISS;
	if (!access || !secret)
		return x->host->fail(x->call, KB_E_CONFIG, "profile %s: %s is missing", profile,
				     access ? "aws_secret_access_key" : "aws_access_key_id");
	if (!token)			/* its former name */
		token = s3_files_of(x->files, which, profile, "aws_security_token");
	return filled(x, access, secret, token, s3_cred_name(x, "profile %s", profile), out);
}

static bool has_keys(const struct s3_context *x, const char *profile)
{
	return s3_files_get(x->files, profile, "aws_access_key_id") || s3_files_get(x->files, profile, "aws_secret_access_key");
}

static int keys_of_credentials(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	return static_keys(x, S3_FILE_CREDENTIALS, profile, out);
}

static int keys_of_config(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	return static_keys(x, S3_FILE_CONFIG, profile, out);
}

static int process(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	const char *command = s3_files_get(x->files, profile, "credential_process");

	return command ? s3_cred_process(x, profile, command, out) : KB_MISS;
}

static int first_of(s3_provider *const *list, size_t n, struct s3_context *x, const char *profile, struct s3_cred *out)
{
	int rc = KB_MISS;

	for (size_t i = 0; rc == KB_MISS && i < n; i++)
		rc = list[i](x, profile, out);
	return rc;
}

int s3_cred_profile_rest(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	static s3_provider *const list[] = { s3_cred_sso, keys_of_credentials, s3_cred_login, process, keys_of_config };

	return first_of(list, sizeof list / sizeof *list, x, profile, out);
}

/* ---- roles ---- */

static int role_at(struct s3_context *x, const char *profile, const struct step *from, struct s3_cred *out);

/* A profile that another one names as its source. One with keys gives these, even if it has a role too. */
static int source_profile(struct s3_context *x, const char *source, const struct step *from, struct s3_cred *out)
{
	static s3_provider *const list[] = { s3_cred_web_identity, s3_cred_profile_rest };
	bool named = x->named;
	int rc = KB_MISS;

	if (!s3_files_has_profile(x->files, source))
		return x->host->fail(x->call, KB_E_CONFIG, "profile %s: its source_profile %s does not exist", from->profile, source);
	if (!has_keys(x, source)) {
		for (const struct step *s = from; s; s = s->from)
			if (!strcmp(s->profile, source))
				return x->host->fail(x->call, KB_E_CONFIG, "profile %s: its source_profile %s leads in a circle",
						     from->profile, source);
		rc = role_at(x, source, from, out);
	}
	x->named = true;
	if (rc == KB_MISS)
		rc = first_of(list, 2, x, source, out);
	x->named = named;
	return rc == KB_MISS ? x->host->fail(x->call, KB_E_CONFIG, "profile %s: its source_profile %s has no credentials",
					     from->profile, source) : rc;
}

static int credential_source(struct s3_context *x, const char *profile, const char *kind, struct s3_cred *out)
{
	static const struct { const char *name; s3_provider *get; } sources[] = {
		{ "Environment", s3_cred_environment }, { "EcsContainer", s3_cred_container },
		{ "Ec2InstanceMetadata", s3_cred_metadata },
	};

	for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
		if (!strcmp(sources[i].name, kind)) {
			int rc = sources[i].get(x, profile, out);

			return rc == KB_MISS ? x->host->fail(x->call, KB_E_AUTH, "profile %s: there are no credentials from its "
							     "credential_source %s", profile, kind) : rc;
		}
	}
	return x->host->fail(x->call, KB_E_CONFIG, "profile %s: credential_source is none of Environment, EcsContainer, "
			     "Ec2InstanceMetadata", profile);
}

static int role_at(struct s3_context *x, const char *profile, const struct step *from, struct s3_cred *out)
{
	const char *source = s3_files_get(x->files, profile, "source_profile");
	const char *kind = s3_files_get(x->files, profile, "credential_source");
	const struct step here = { profile, from };
	struct s3_cred with = { 0 };
	int rc;

	if (!s3_files_get(x->files, profile, "role_arn") || s3_files_get(x->files, profile, "web_identity_token_file"))
		return KB_MISS;
	if (!source == !kind)
		return x->host->fail(x->call, KB_E_CONFIG, "profile %s: role_arn goes with source_profile or credential_source%s",
				     profile, source ? ", not both" : "");
	if (s3_files_get(x->files, profile, "mfa_serial"))
		return x->host->fail(x->call, KB_E_CONFIG, "profile %s: mfa_serial asks for a code that somebody types, and nobody is "
				     "there; use a profile without it", profile);
	rc = source ? source_profile(x, source, &here, &with) : credential_source(x, profile, kind, &with);
	if (!rc)
		rc = s3_cred_assume_role(x, profile, &with, out);
	s3_cred_release(&with);
	return rc;
}

int s3_cred_profile_role(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	return role_at(x, profile, NULL, out);
}

int s3_cred_profile(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	static s3_provider *const list[] = { s3_cred_profile_role, s3_cred_web_identity, s3_cred_profile_rest };

	return first_of(list, sizeof list / sizeof *list, x, profile, out);
}
