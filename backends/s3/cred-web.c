/* Credentials from services: STS, SSO, containers, instances. */
#define _GNU_SOURCE
#include "cred-parts.h"
#include "s3.h"
#include "../common/sigv4.h"

#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FILE_MAX = 64 << 10, METADATA_MS = 1000, CONTAINER_MS = 2000 };

int64_t s3_cred_time(const char *text)
{
	struct tm tm = { 0 };
	const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;

	return end ? (int64_t)timegm(&tm) : 0;
}

static char *copy_of(const json_t *o, const char *name)
{
	const char *s = name ? json_string_value(json_object_get(o, name)) : NULL;

	return s && *s ? strdup(s) : NULL;
}

int s3_cred_from_json(struct s3_context *x, const char *what, const char *text, size_t len, const char *const names[4],
		      struct s3_cred *out)
{
	json_t *o = json_loadb(text, len, 0, NULL);
	const json_t *inner = json_object_get(o, "roleCredentials");
	const json_t *from = inner ? inner : o, *expiry = json_object_get(from, names[3]);

	*out = (struct s3_cred){
		.access = copy_of(from, names[0]), .secret = copy_of(from, names[1]), .token = copy_of(from, names[2]),
		.expires_s = json_is_integer(expiry) ? (int64_t)json_integer_value(expiry) / 1000
						     : s3_cred_time(json_string_value(expiry)),
		.source = what,
	};
	json_decref(o);
	if (out->access && out->secret)
		return KB_OK;
	s3_cred_release(out);
	return x->host->fail(x->call, KB_E_AUTH, "%s: the answer holds no credentials", what);
}

/* A small file; fresh memory without line breaks at its end, or NULL. */
static char *slurp(const char *path)
{
	FILE *f = path ? fopen(path, "re") : NULL;
	char *buf = calloc(1, FILE_MAX + 1);
	size_t n = f && buf ? fread(buf, 1, FILE_MAX, f) : 0;

	if (f)
		fclose(f);
	while (n && (buf[n - 1] == '\n' || buf[n - 1] == '\r'))
		buf[--n] = '\0';
	if (n)
		return buf;
	free(buf);
	return NULL;
}

/* A request with a time of its own within the call's. */
static int fetch(struct s3_context *x, struct http_request *r, unsigned ms, struct http_reply *reply)
{
	struct kb_call call = *x->call;
	struct timespec t;
	uint64_t until;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &t);
	until = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec + (uint64_t)ms * 1000000;
	if (ms && until < call.deadline_ns)
		x->call->deadline_ns = until;
	rc = http_perform(x->web, r, reply, x->call);
	x->call->deadline_ns = call.deadline_ns;
	return rc;
}

/* ---- STS ---- */

static char *sts_url(const struct s3_context *x)
{
	const char *set = getenv("AWS_ENDPOINT_URL_STS"), *region = x->region ? x->region : "us-east-1";
	char *url = NULL;

	if (!set)
		set = getenv("AWS_ENDPOINT_URL");
	if (set && *set)
		return strdup(set);
	return asprintf(&url, "https://sts.%s.amazonaws.com%s", region, strncmp(region, "cn-", 3) ? "" : ".cn") < 0 ? NULL : url;
}

static int from_sts(struct s3_context *x, const struct http_reply *reply, const char *what, struct s3_cred *out)
{
	char *code, *expiry;

	if (reply->status != 200) {
		code = s3_xml_text(reply->text, reply->text_len, "Code");
		x->host->fail(x->call, KB_E_AUTH, "%s: STS says %d%s%.60s", what, reply->status, code ? " " : "", code ? code : "");
		free(code);
		return reply->status >= 500 ? KB_E_TRANSIENT : KB_E_AUTH;
	}
	expiry = s3_xml_text(reply->text, reply->text_len, "Expiration");
	*out = (struct s3_cred){
		.access = s3_xml_text(reply->text, reply->text_len, "AccessKeyId"),
		.secret = s3_xml_text(reply->text, reply->text_len, "SecretAccessKey"),
		.token = s3_xml_text(reply->text, reply->text_len, "SessionToken"),
		.expires_s = s3_cred_time(expiry), .source = what,
	};
	free(expiry);
	if (out->access && out->secret)
		return KB_OK;
	s3_cred_release(out);
	return x->host->fail(x->call, KB_E_AUTH, "%s: the answer of STS holds no credentials", what);
}

static void add_field(char **form, const char *name, const char *value)
{
	char *encoded = value && *form ? sigv4_encode(value, strlen(value), 0) : NULL, *longer = NULL;

	if (!encoded)
		return;
	if (asprintf(&longer, "%s&%s=%s", *form, name, encoded) < 0)
		longer = NULL;
	free(encoded);
	free(*form);
	*form = longer;
}

static const char *or_default(const char *value, const char *otherwise)
{
	return value && *value ? value : otherwise;
}

int s3_cred_assume_web(struct s3_context *x, const char *role, const char *token_file, const char *session,
		       struct s3_cred *out)
{
	static const char *const headers[] = { "content-type: application/x-www-form-urlencoded", NULL };
	char *url = sts_url(x), *token = slurp(token_file), *form = strdup("Action=AssumeRoleWithWebIdentity&Version=2011-06-15");
	struct http_request r = { .method = "POST", .headers = headers };
	struct http_reply reply = { 0 };
	int rc;

	add_field(&form, "RoleArn", role);
	add_field(&form, "RoleSessionName", or_default(session, "kache"));
	add_field(&form, "WebIdentityToken", token);
	if (!token) {
		rc = x->host->fail(x->call, KB_E_AUTH, "web identity: the token file %s is empty or can't be read", token_file);
	} else if (!url || !form) {
		rc = x->host->fail(x->call, KB_E_LOCAL, "out of memory");
	} else {
		r.url = url;
		r.data = form;
		r.len = strlen(form);
		rc = fetch(x, &r, 0, &reply);
		if (!rc)
			rc = from_sts(x, &reply, "web identity", out);
		explicit_bzero(form, strlen(form));
	}
	http_reply_release(&reply);
	free(form);
	free(token);
	free(url);
	return rc;
}

int s3_cred_assume_role(struct s3_context *x, const char *profile, const struct s3_cred *with, struct s3_cred *out)
{
	const char *seconds = s3_files_get(x->files, profile, "duration_seconds");
	char *url = sts_url(x), *form = strdup("Action=AssumeRole&Version=2011-06-15"), *host, hash[65], **lines = NULL;
	static const char *const content[] = { "content-type:application/x-www-form-urlencoded", NULL };
	const char *headers[8] = { content[0] };
	struct http_reply reply = { 0 };
	struct http_request r = { .method = "POST", .url = url, .headers = headers };
	int rc = KB_OK;

	add_field(&form, "RoleArn", s3_files_get(x->files, profile, "role_arn"));
	add_field(&form, "RoleSessionName", or_default(s3_files_get(x->files, profile, "role_session_name"), "kache"));
	add_field(&form, "ExternalId", s3_files_get(x->files, profile, "external_id"));
	add_field(&form, "DurationSeconds", seconds);
	host = url && strstr(url, "://") ? strndup(strstr(url, "://") + 3, strcspn(strstr(url, "://") + 3, "/")) : NULL;
	if (s3_files_get(x->files, profile, "mfa_serial"))
		rc = x->host->fail(x->call, KB_E_CONFIG, "profile %s: mfa_serial asks for a person's input, which a cache can't give", profile);
	else if (!form || !host)
		rc = x->host->fail(x->call, KB_E_LOCAL, "out of memory");
	if (!rc) {
		const char *path = strchr(strstr(url, "://") + 3, '/');
		const struct sigv4_request s = {
			.access = with->access, .secret = with->secret, .token = with->token,
			.region = x->region ? x->region : "us-east-1", .service = "sts", .time_s = (int64_t)time(NULL),
			.method = "POST", .host = host, .path = path ? path : "/", .query = "", .headers = content, .payload = hash,
			.double_encode = 1,
		};

		sigv4_sha256_hex(form, strlen(form), hash);
		lines = sigv4_sign(&s);
		for (size_t i = 0; lines && lines[i] && i < 5; i++)
			headers[i + 1] = lines[i];
		r.data = form;
		r.len = strlen(form);
		rc = lines ? fetch(x, &r, 0, &reply) : x->host->fail(x->call, KB_E_LOCAL, "out of memory");
		if (!rc)
			rc = from_sts(x, &reply, "assumed role", out);
	}
	http_reply_release(&reply);
	sigv4_free(lines);
	free(host);
	free(form);
	free(url);
	return rc;
}

int s3_cred_web_identity(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	const char *file = getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), *role = getenv("AWS_ROLE_ARN");

	(void)profile;
	if (!file || !role)
		return KB_MISS;
	return s3_cred_assume_web(x, role, file, getenv("AWS_ROLE_SESSION_NAME"), out);
}

/* ---- SSO ---- */

/* ~/.aws/sso/cache/<sha1>.json, as `aws sso login` leaves it. */
static json_t *sso_token(const char *key)
{
	const char *home = getenv("HOME");
	unsigned char hash[SHA_DIGEST_LENGTH];
	char hex[2 * SHA_DIGEST_LENGTH + 1], *path = NULL, *text;
	json_t *o = NULL;

	SHA1((const unsigned char *)key, strlen(key), hash);
	for (int i = 0; i < SHA_DIGEST_LENGTH; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
	if (!home || asprintf(&path, "%s/.aws/sso/cache/%s.json", home, hex) < 0)
		return NULL;
	text = slurp(path);
	if (text)
		o = json_loads(text, 0, NULL);
	free(text);
	free(path);
	return o;
}

int s3_cred_sso(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	static const char *const names[4] = { "accessKeyId", "secretAccessKey", "sessionToken", "expiration" };
	const char *session = s3_files_get(x->files, profile, "sso_session"), *start = s3_files_get(x->files, profile, "sso_start_url");
	const char *account = s3_files_get(x->files, profile, "sso_account_id"), *role = s3_files_get(x->files, profile, "sso_role_name");
	const char *region = session ? s3_files_section(x->files, "sso-session", session, "sso_region")
				     : s3_files_get(x->files, profile, "sso_region");
	const char *endpoint = getenv("AWS_ENDPOINT_URL_SSO"), *access, *headers[2] = { NULL, NULL };
	struct http_request r = { .method = "GET", .headers = headers };
	struct http_reply reply = { 0 };
	char *url = NULL, *bearer = NULL, *base = NULL;
	json_t *token;
	int rc;

	if (!account || !role || !region)
		return x->host->fail(x->call, KB_E_CONFIG, "profile %s: sso_account_id, sso_role_name and sso_region go together", profile);
	token = sso_token(session ? session : start);
	access = json_string_value(json_object_get(token, "accessToken"));
	if (!access || s3_cred_time(json_string_value(json_object_get(token, "expiresAt"))) <= (int64_t)time(NULL)) {
		json_decref(token);
		return x->host->fail(x->call, KB_E_AUTH, "the SSO login of profile %s has expired; run: aws sso login --profile %s", profile, profile);
	}
	if (endpoint && *endpoint)
		base = strdup(endpoint);
	else if (asprintf(&base, "https://portal.sso.%s.amazonaws.com", region) < 0)
		base = NULL;
	if (!base || access[strcspn(access, "\r\n")] ||
	    asprintf(&url, "%s/federation/credentials?role_name=%s&account_id=%s", base, role, account) < 0 ||
	    asprintf(&bearer, "x-amz-sso_bearer_token: %s", access) < 0) {
		rc = x->host->fail(x->call, KB_E_LOCAL, "the SSO token can't be used");
	} else {
		r.url = url;
		headers[0] = bearer;
		rc = fetch(x, &r, 0, &reply);
		if (!rc && reply.status != 200)
			rc = x->host->fail(x->call, reply.status >= 500 ? KB_E_TRANSIENT : KB_E_AUTH,
					   "SSO says %d for profile %s; run: aws sso login --profile %s", reply.status, profile, profile);
		else if (!rc)
			rc = s3_cred_from_json(x, "SSO", reply.text, reply.text_len, names, out);
	}
	http_reply_release(&reply);
	json_decref(token);
	free(base);
	free(url);
	free(bearer);
	return rc;
}

/* ---- containers ---- */

static bool allowed_plain(const char *url)
{
	static const char *const hosts[] = {
		"http://127.0.0.1", "http://localhost", "http://[::1]", "http://169.254.170.2", "http://169.254.170.23",
		"http://[fd00:ec2::23]",
	};

	if (!strncmp(url, "https://", 8))
		return true;
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
		size_t n = strlen(hosts[i]);

		if (!strncmp(url, hosts[i], n) && (!url[n] || url[n] == ':' || url[n] == '/'))
			return true;
	}
	return false;
}

int s3_cred_container(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	static const char *const names[4] = { "AccessKeyId", "SecretAccessKey", "Token", "Expiration" };
	const char *relative = getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), *full = getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	const char *plain = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN"), *headers[2] = { NULL, NULL };
	char *url = NULL, *token, *line = NULL;
	struct http_request r = { .method = "GET", .headers = headers, .direct = true };
	struct http_reply reply = { 0 };
	int rc;

	(void)profile;
	if (!relative && !full)
		return KB_MISS;
	if (asprintf(&url, "%s%s", relative ? "http://169.254.170.2" : "", relative ? relative : full) < 0)
		return x->host->fail(x->call, KB_E_LOCAL, "out of memory");
	token = slurp(getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"));
	if (!token && plain)
		token = strdup(plain);
	if (!allowed_plain(url)) {
		rc = x->host->fail(x->call, KB_E_CONFIG, "AWS_CONTAINER_CREDENTIALS_FULL_URI: plain http is accepted for this machine only");
	} else if (token && (token[strcspn(token, "\r\n")] || asprintf(&line, "authorization: %s", token) < 0)) {
		rc = x->host->fail(x->call, KB_E_CONFIG, "the container's authorization token holds a line break");
	} else {
		r.url = url;
		headers[0] = line;
		rc = fetch(x, &r, CONTAINER_MS, &reply);
		if (!rc && reply.status != 200)
			rc = x->host->fail(x->call, reply.status >= 500 ? KB_E_TRANSIENT : KB_E_AUTH,
					   "the container's credential service says %d", reply.status);
		else if (!rc)
			rc = s3_cred_from_json(x, "container", reply.text, reply.text_len, names, out);
	}
	http_reply_release(&reply);
	free(url);
	free(token);
	free(line);
	return rc;
}

/* ---- instances (IMDSv2) ---- */

/* A laptop would wait for an address that nobody has. */
static bool maybe_instance(void)
{
	const char *off = getenv("AWS_EC2_METADATA_DISABLED");
	char *vendor;
	bool yes;

	if (off && !strcasecmp(off, "true"))
		return false;
	if (getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"))
		return true;
	vendor = slurp("/sys/class/dmi/id/sys_vendor");
	yes = vendor && strstr(vendor, "Amazon EC2");
	free(vendor);
	return yes;
}

static int metadata(struct s3_context *x, const char *method, const char *path, const char *header, struct http_reply *reply)
{
	const char *base = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"), *headers[2] = { header, NULL };
	struct http_request r = { .method = method, .headers = headers, .direct = true };
	size_t len;
	char *url = NULL;
	int rc;

	base = base && *base ? base : "http://169.254.169.254";
	len = strlen(base);
	if (asprintf(&url, "%.*s%s", (int)(base[len - 1] == '/' ? len - 1 : len), base, path) < 0)
		return x->host->fail(x->call, KB_E_LOCAL, "out of memory");
	r.url = url;
	rc = fetch(x, &r, METADATA_MS, reply);
	free(url);
	if (!rc && reply->status != 200)
		rc = x->host->fail(x->call, KB_E_AUTH, "the instance's metadata service says %d", reply->status);
	return rc;
}

int s3_cred_metadata(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	static const char *const names[4] = { "AccessKeyId", "SecretAccessKey", "Token", "Expiration" };
	static const char where[] = "/latest/meta-data/iam/security-credentials/";
	struct http_reply token = { 0 }, role = { 0 }, reply = { 0 };
	char *header = NULL, *path = NULL;
	int rc;

	(void)profile;
	if (!maybe_instance())
		return KB_MISS;
	rc = metadata(x, "PUT", "/latest/api/token", "x-aws-ec2-metadata-token-ttl-seconds: 21600", &token);
	if (!rc && (token.text[strcspn(token.text, "\r\n")] || asprintf(&header, "x-aws-ec2-metadata-token: %s", token.text) < 0))
		rc = x->host->fail(x->call, KB_E_AUTH, "the instance's metadata service gives no token");
	if (!rc)
		rc = metadata(x, "GET", where, header, &role);
	if (!rc && asprintf(&path, "%s%.*s", where, (int)strcspn(role.text, "\r\n"), role.text) < 0)
		rc = x->host->fail(x->call, KB_E_LOCAL, "out of memory");
	if (!rc)
		rc = metadata(x, "GET", path, header, &reply);
	if (!rc)
		rc = s3_cred_from_json(x, "instance metadata", reply.text, reply.text_len, names, out);
	http_reply_release(&token);
	http_reply_release(&role);
	http_reply_release(&reply);
	free(header);
	free(path);
	return rc;
}
