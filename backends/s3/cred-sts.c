/* Roles: AssumeRole and AssumeRoleWithWebIdentity of AWS's Security Token Service, and of what speaks its protocol. */
#include "config.h"
#include "cred-parts.h"
#include "s3.h"
#include "../common/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FORM "content-type: application/x-www-form-urlencoded"

enum { SKEW_SUSPECT_S = 240 };

static int from_sts(struct s3_context *x, const char *what, const struct http_reply *reply, struct s3_cred *out)
{
	char *code = reply->status == 200 ? NULL : s3_xml_text(reply->text, reply->text_len, "Code"), *expiry;
	int rc = s3_cred_judge(x, what, reply, code);

	free(code);
	if (rc)
		return rc;
	expiry = s3_xml_text(reply->text, reply->text_len, "Expiration");
	*out = (struct s3_cred){
		.access = s3_xml_text(reply->text, reply->text_len, "AccessKeyId"),
		.secret = s3_xml_text(reply->text, reply->text_len, "SecretAccessKey"),
		.token = s3_xml_text(reply->text, reply->text_len, "SessionToken"),
		.expires_s = s3_cred_time(expiry), .source = what,
	};
	free(expiry);
	if (out->access && out->secret && out->token && out->expires_s) {
		out->expires_s -= x->offset_s;
		return KB_OK;
	}
	s3_cred_release(out);
	return x->host->fail(x->call, KB_E_AUTH, "%s: the answer holds no credentials", what);
}

/* Turns *form into NULL without memory. */
static void add_field(char **form, const char *name, const char *value)
{
	char *encoded = value && *form ? sigv4_encode(value, strlen(value), 0) : NULL, *longer = NULL;

	if (!value)
		return;
	if (encoded && asprintf(&longer, "%s&%s=%s", *form, name, encoded) < 0)
		longer = NULL;
	s3_cred_wipe(encoded);
	s3_cred_wipe(*form);
	*form = longer;
}

static const char *region_of(const struct s3_context *x)
{
	return x->region ? x->region : "us-east-1";
}

static char *sts_url(struct s3_context *x, const char *profile)
{
	return s3_service_url(x, profile, "STS", "sts", "sts", region_of(x), true);
}

/* ---- AssumeRole ---- */

/* As the Host header has it: without a port that goes without saying. */
static char *host_of(const char *url, const char **path)
{
	const char *host = strstr(url, "://") + 3, *usual = strncasecmp(url, "https", 5) ? ":80" : ":443";
	size_t n = strcspn(host, "/"), m = strlen(usual);

	*path = host[n] ? host + n : "/";
	if (n > m && !strncmp(host + n - m, usual, m))
		n -= m;
	return strndup(host, n);
}

static int send_signed(struct s3_context *x, const char *what, const char *url, const char *form, const struct s3_cred *with,
		       struct http_reply *reply)
{
	static const char *const content[] = { "content-type:application/x-www-form-urlencoded", NULL };
	const char *headers[8] = { FORM }, *path;
	char *host = host_of(url, &path), hash[65], **lines = NULL;
	const struct http_request r = { .method = "POST", .url = url, .headers = headers, .data = form, .len = strlen(form) };
	const struct sigv4_request s = {
		.access = with->access, .secret = with->secret, .token = with->token, .region = region_of(x), .service = "sts",
		.time_s = s3_cred_now() + x->offset_s, .method = "POST", .host = host, .path = path, .query = "", .headers = content,
		.payload = hash, .double_encode = 1,
	};
	int rc;

	sigv4_sha256_hex(form, strlen(form), hash);
	lines = host ? sigv4_sign(&s) : NULL;
	for (size_t i = 0; lines && lines[i] && i < 6; i++)
		headers[i + 1] = lines[i];
	rc = lines ? s3_cred_fetch(x, what, &r, 0, reply) : s3_cred_no_memory(x);
	sigv4_free(lines);
	free(host);
	return rc;
}

static bool digits(const char *s)
{
	size_t n = strlen(s);

	return n && n <= 6 && n == strspn(s, "0123456789");
}

static char *role_form(const struct s3_context *x, const char *profile)
{
	const char *session = s3_files_get(x->files, profile, "role_session_name");
	char *form = strdup("Action=AssumeRole&Version=2011-06-15");

	add_field(&form, "RoleArn", s3_files_get(x->files, profile, "role_arn"));
	add_field(&form, "RoleSessionName", session ? session : "kache");
	add_field(&form, "ExternalId", s3_files_get(x->files, profile, "external_id"));
	add_field(&form, "DurationSeconds", s3_files_get(x->files, profile, "duration_seconds"));
	return form;
}

int s3_cred_assume_role(struct s3_context *x, const char *profile, const struct s3_cred *with, struct s3_cred *out)
{
	const char *what = s3_cred_name(x, "the role of profile %s", profile);
	const char *seconds = s3_files_get(x->files, profile, "duration_seconds");
	struct http_reply reply = { 0 };
	char *url, *form;
	int rc;

	*out = (struct s3_cred){ .source = what };
	if (seconds && !digits(seconds))
		return x->host->fail(x->call, KB_E_CONFIG, "profile %s: duration_seconds is no number", profile);
	url = sts_url(x, profile);
	if (!url || x->look) {
		rc = url ? KB_OK : KB_E_CONFIG;
		free(url);
		return rc;
	}
	form = role_form(x, profile);
	x->offset_s = 0;
	rc = form ? send_signed(x, what, url, form, with, &reply) : s3_cred_no_memory(x);
	/* Refused, and by its clock ours is wrong: once more with that time. */
	if (!rc && (reply.status == 403 || reply.status == 400) && llabs((long long)x->offset_s) > SKEW_SUSPECT_S) {
		http_reply_release(&reply);
		reply = (struct http_reply){ 0 };
		rc = send_signed(x, what, url, form, with, &reply);
	}
	if (!rc)
		rc = from_sts(x, what, &reply, out);
	http_reply_release(&reply);
	free(form);
	free(url);
	return rc;
}

/* ---- web identity ---- */

struct identity { const char *role, *file, *session; };

static int assume_web(struct s3_context *x, const char *profile, const char *what, const struct identity *id, struct s3_cred *out)
{
	static const char *const headers[] = { FORM, NULL };
	char *url = sts_url(x, profile), *token, *form;
	struct http_reply reply = { 0 };
	int rc;

	if (!url)
		return KB_E_CONFIG;
	token = s3_cred_slurp(id->file);
	form = strdup("Action=AssumeRoleWithWebIdentity&Version=2011-06-15");
	add_field(&form, "RoleArn", id->role);
	add_field(&form, "RoleSessionName", id->session ? id->session : "kache");
	add_field(&form, "WebIdentityToken", token);
	if (!token) {
		rc = x->host->fail(x->call, KB_E_AUTH, "%s: the token file %s is empty or can't be read", what, id->file);
	} else if (!form) {
		rc = s3_cred_no_memory(x);
	} else {
		const struct http_request r = { .method = "POST", .url = url, .headers = headers, .data = form, .len = strlen(form) };

		rc = s3_cred_fetch(x, what, &r, 0, &reply);
		if (!rc)
			rc = from_sts(x, what, &reply, out);
	}
	http_reply_release(&reply);
	s3_cred_wipe(form);
	s3_cred_wipe(token);
	free(url);
	return rc;
}

/* The variables count before the profile, each of them. */
int s3_cred_web_identity(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	static const struct { const char *variable, *name; size_t at; } fields[] = {
		{ "AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file", offsetof(struct identity, file) },
		{ "AWS_ROLE_ARN", "role_arn", offsetof(struct identity, role) },
		{ "AWS_ROLE_SESSION_NAME", "role_session_name", offsetof(struct identity, session) },
	};
	struct identity id = { 0 };
	bool variable = !x->named && s3_cred_env("AWS_WEB_IDENTITY_TOKEN_FILE");
	const char *what = variable ? "web identity" : s3_cred_name(x, "web identity of profile %s", profile);

	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		const char **to = (const char **)((char *)&id + fields[i].at);

		*to = x->named ? NULL : s3_cred_env(fields[i].variable);
		if (!*to)
			*to = s3_files_get(x->files, profile, fields[i].name);
	}
	if (!id.file)
		return KB_MISS;
	if (!id.role)
		return x->host->fail(x->call, KB_E_CONFIG, "%s is not set; it goes with %s", variable ? "AWS_ROLE_ARN" : "role_arn",
				     variable ? "AWS_WEB_IDENTITY_TOKEN_FILE" : "web_identity_token_file");
	*out = (struct s3_cred){ .source = what };
	return x->look ? KB_OK : assume_web(x, profile, what, &id, out);
}
