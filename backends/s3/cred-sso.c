/* What a person has logged in for: `aws sso login` (IAM Identity Center) and `aws login`. Both leave files, which are
 * read and never written. */
#include "config.h"
#include "cred-parts.h"
#include "../common/sigv4.h"

#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USED_UP_S = 60 };		/* a token with less than this left is as good as expired */

/* <directory>/<name>.json */
static json_t *cached(const char *directory, const char *name)
{
	char *path = NULL, *text = NULL;
	json_t *o = NULL;

	if (asprintf(&path, "%s/%s.json", directory, name) < 0)
		return NULL;
	text = s3_cred_slurp(path);
	if (text)
		o = json_loads(text, 0, NULL);
	s3_cred_wipe(text);
	free(path);
	return o;
}

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s && *s ? s : NULL;
}

/* ---- the SSO token ---- */

struct login {				/* of one profile; all but token owned by the files */
	const char *profile, *session, *start, *region, *account, *role;
	const char *key;		/* that the cached file is named after */
	char *token;			/* fresh memory */
};

/* Keeps a refreshed login, where the next fetch looks before it asks again. */
static int remember(struct s3_context *x, const char *key, const json_t *answer, const char *refresh)
{
	struct s3_memory *m = x->memory;
	const char *access = text_of(answer, "accessToken"), *next = text_of(answer, "refreshToken");
	json_int_t seconds = json_integer_value(json_object_get(answer, "expiresIn"));
	char *all[3] = { strdup(key), access ? strdup(access) : NULL, strdup(next ? next : refresh) };

	if (!all[0] || !all[1] || !all[2] || seconds <= 0) {
		free(all[0]);
		s3_cred_wipe(all[1]);
		s3_cred_wipe(all[2]);
		return -1;
	}
	free(m->sso_key);
	s3_cred_wipe(m->sso_access);
	s3_cred_wipe(m->sso_refresh);
	m->sso_key = all[0];
	m->sso_access = all[1];
	m->sso_refresh = all[2];
	m->sso_expires_s = s3_cred_now() + (int64_t)seconds;
	return 0;
}

static int expired(struct s3_context *x, const char *profile)
{
	return x->host->fail(x->call, KB_E_AUTH, "the SSO login of profile %s has expired; run: aws sso login --profile %s", profile,
			     profile);
}

/* CreateToken of SSO-OIDC. KB_MISS: it does not want to. */
static int create_token(struct s3_context *x, const struct login *l, const json_t *file, const char *refresh)
{
	static const char *const headers[] = { "content-type: application/json", NULL };
	char *base = s3_service_url(x, l->profile, "SSO_OIDC", "oidc", "sso_oidc", l->region, false), *url = NULL, *body = NULL;
	struct http_request r = { .method = "POST", .headers = headers };
	struct http_reply reply = { 0 };
	json_t *o, *answer = NULL;
	int rc;

	if (!base)
		return KB_E_CONFIG;
	o = json_pack("{s:s, s:s, s:s, s:s}", "grantType", "refresh_token", "clientId", text_of(file, "clientId"), "clientSecret",
		      text_of(file, "clientSecret"), "refreshToken", refresh);
	body = o ? json_dumps(o, JSON_COMPACT) : NULL;
	if (!body || asprintf(&url, "%s/token", base) < 0) {
		rc = s3_cred_no_memory(x);
	} else {
		r.url = url;
		r.data = body;
		r.len = strlen(body);
		rc = s3_cred_fetch(x, "SSO-OIDC", &r, 0, &reply);
		if (!rc && reply.status >= 400 && reply.status < 500 && reply.status != 408 && reply.status != 429)
			rc = KB_MISS;
		if (!rc)
			rc = s3_cred_judge(x, "SSO-OIDC", &reply, NULL);
		if (!rc)
			answer = json_loadb(reply.text, reply.text_len, 0, NULL);
		if (!rc && remember(x, l->key, answer, refresh))
			rc = KB_MISS;
	}
	http_reply_release(&reply);
	json_decref(o);
	json_decref(answer);
	s3_cred_wipe(body);
	free(url);
	free(base);
	return rc;
}

/* The token of the file, or the one that it was refreshed to: whichever is good. Fills l->token. */
static int find_token(struct s3_context *x, struct login *l, const json_t *file)
{
	const struct s3_memory *m = x->memory;
	const char *access = text_of(file, "accessToken"), *refresh = text_of(file, "refreshToken");
	int64_t now = s3_cred_now(), until = s3_cred_time(text_of(file, "expiresAt"));
	bool ours = m->sso_key && !strcmp(m->sso_key, l->key) && m->sso_expires_s > until;
	int64_t registered = s3_cred_time(text_of(file, "registrationExpiresAt"));

	if (ours) {
		access = m->sso_access;
		refresh = m->sso_refresh;
		until = m->sso_expires_s;
	}
	if (!access || until - now < USED_UP_S) {
		int rc;

		/* Only logins of an sso-session have what it takes. */
		if (!l->session || !refresh || !text_of(file, "clientId") || !text_of(file, "clientSecret") ||
		    (registered && registered <= now))
			return expired(x, l->profile);
		rc = create_token(x, l, file, refresh);
		if (rc)
			return rc == KB_MISS ? expired(x, l->profile) : rc;
		access = m->sso_access;
	}
	if (!s3_cred_sendable(access))
		return x->host->fail(x->call, KB_E_AUTH, "the SSO token of profile %s holds characters that can't be sent", l->profile);
	l->token = strdup(access);
	return l->token ? KB_OK : s3_cred_no_memory(x);
}

static int load_token(struct s3_context *x, struct login *l)
{
	unsigned char hash[SHA_DIGEST_LENGTH];
	char hex[2 * SHA_DIGEST_LENGTH + 1];
	json_t *file;
	int rc;

	SHA1((const unsigned char *)l->key, strlen(l->key), hash);
	for (int i = 0; i < SHA_DIGEST_LENGTH; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
	file = cached("~/.aws/sso/cache", hex);
	rc = file ? find_token(x, l, file)
		  : x->host->fail(x->call, KB_E_AUTH, "there is no SSO login of profile %s; run: aws sso login --profile %s", l->profile,
				  l->profile);
	json_decref(file);
	return rc;
}

/* ---- GetRoleCredentials ---- */

static char *portal_url(const char *base, const struct login *l)
{
	char *role = sigv4_encode(l->role, strlen(l->role), 0), *account = sigv4_encode(l->account, strlen(l->account), 0);
	char *url = NULL;

	if (!role || !account ||
	    asprintf(&url, "%s/federation/credentials?role_name=%s&account_id=%s", base, role, account) < 0)
		url = NULL;
	free(role);
	free(account);
	return url;
}

static int get_credentials(struct s3_context *x, const char *what, const struct login *l, struct s3_cred *out)
{
	static const struct s3_json names = { "roleCredentials", "accessKeyId", "secretAccessKey", "sessionToken", "expiration" };
	char *base = s3_service_url(x, l->profile, "SSO", "portal.sso", "sso", l->region, false), *url, *bearer = NULL;
	const char *headers[2] = { NULL, NULL };
	struct http_request r = { .method = "GET", .headers = headers };
	struct http_reply reply = { 0 };
	int rc;

	if (!base)
		return KB_E_CONFIG;
	url = portal_url(base, l);
	if (asprintf(&bearer, "x-amz-sso_bearer_token: %s", l->token) < 0)
		bearer = NULL;
	r.url = url;
	headers[0] = bearer;
	rc = url && bearer ? s3_cred_fetch(x, what, &r, 0, &reply) : s3_cred_no_memory(x);
	if (!rc && reply.status == 401)
		rc = expired(x, l->profile);
	if (!rc && reply.status == 403)
		rc = x->host->fail(x->call, KB_E_AUTH, "profile %s: the SSO login has no access to role %s in account %s", l->profile,
				   l->role, l->account);
	if (!rc)
		rc = s3_cred_judge(x, what, &reply, NULL);
	if (!rc)
		rc = s3_cred_from_json(x, what, reply.text, reply.text_len, &names, out);
	http_reply_release(&reply);
	s3_cred_wipe(bearer);
	free(base);
	free(url);
	return rc;
}

int s3_cred_sso(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	struct login l = {
		.profile = profile, .session = s3_files_get(x->files, profile, "sso_session"),
		.account = s3_files_get(x->files, profile, "sso_account_id"), .role = s3_files_get(x->files, profile, "sso_role_name"),
	};
	const char *what = s3_cred_name(x, "SSO of profile %s", profile);
	int rc;

	if (!l.account && !l.role)
		return KB_MISS;
	l.start = l.session ? s3_files_section(x->files, "sso-session", l.session, "sso_start_url")
			    : s3_files_get(x->files, profile, "sso_start_url");
	l.region = l.session ? s3_files_section(x->files, "sso-session", l.session, "sso_region")
			     : s3_files_get(x->files, profile, "sso_region");
	l.key = l.session ? l.session : l.start;
	if (!l.account || !l.role || !l.start || !l.region)
		return x->host->fail(x->call, KB_E_CONFIG, "profile %s: %s is missing%s%s", profile,
				     !l.account ? "sso_account_id" : !l.role ? "sso_role_name" : !l.start ? "sso_start_url" : "sso_region",
				     l.session && l.account && l.role ? " in sso-session " : "",
				     l.session && l.account && l.role ? l.session : "");
	*out = (struct s3_cred){ .source = what };
	if (x->look)
		return KB_OK;
	rc = load_token(x, &l);
	if (!rc)
		rc = get_credentials(x, what, &l, out);
	s3_cred_wipe(l.token);
	return rc;
}

/* ---- aws login ---- */

int s3_cred_login(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	static const struct s3_json names = { "accessToken", "accessKeyId", "secretAccessKey", "sessionToken", "expiresAt" };
	const char *session = s3_files_get(x->files, profile, "login_session"), *dir = s3_cred_env("AWS_LOGIN_CACHE_DIRECTORY");
	const char *what = s3_cred_name(x, "the login of profile %s", profile);
	char hex[65], *text = NULL;
	json_t *file;
	int rc;

	if (!session)
		return KB_MISS;
	*out = (struct s3_cred){ .source = what };
	if (x->look)
		return KB_OK;
	sigv4_sha256_hex(session, strlen(session), hex);
	file = cached(dir ? dir : "~/.aws/login/cache", hex);
	text = file ? json_dumps(file, JSON_COMPACT) : NULL;
	x->offset_s = 0;
	rc = text ? s3_cred_from_json(x, what, text, strlen(text), &names, out)
		  : x->host->fail(x->call, KB_E_AUTH, "there is no login of profile %s; run: aws login --profile %s", profile, profile);
	/* Only `aws login` can renew it. */
	if (!rc && out->expires_s <= s3_cred_now()) {
		s3_cred_release(out);
		rc = x->host->fail(x->call, KB_E_AUTH, "the login of profile %s has expired; run: aws login --profile %s", profile, profile);
	}
	json_decref(file);
	s3_cred_wipe(text);
	return rc;
}
