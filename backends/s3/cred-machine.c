/* Credentials of the machine we run on: of a container, or of an EC2 instance (IMDSv2). */
#include "config.h"
#include "cred-parts.h"
#include "../common/sigv4.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CONTAINER_MS = 2000, CONTAINER_TRIES = 3, PAUSE_MS = 100, METADATA_MS = 1000, METADATA_MS_MAX = 60000, TRIES_MAX = 10 };

static const struct s3_json names = { NULL, "AccessKeyId", "SecretAccessKey", "Token", "Expiration" };

/* Up to `tries` requests while there is no answer, or one that speaks of trouble over there. */
static int fetch_some(struct s3_context *x, const char *what, const struct http_request *r, unsigned ms, unsigned tries,
		      struct http_reply *reply)
{
	for (;;) {
		int rc = s3_cred_fetch(x, what, r, ms, reply);
		struct pollfd p = { .fd = x->call->cancel_fd, .events = POLLIN };

		if ((rc && rc != KB_E_TRANSIENT) || (!rc && reply->status < 500) || !--tries)
			return rc;
		http_reply_release(reply);
		*reply = (struct http_reply){ 0 };
		if (poll(&p, 1, PAUSE_MS) > 0)
			return x->host->fail(x->call, KB_E_CANCELLED, "cancelled");
	}
}

/* ---- containers ---- */

static bool is_local(const char *host)
{
	static const char *const others[] = { "localhost", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "[::1]" };
	struct in_addr a;

	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (!strcasecmp(host, others[i]))
			return true;
	return inet_pton(AF_INET, host, &a) == 1 && ntohl(a.s_addr) >> 24 == 127;
}

/* https of any host, plain http of this machine's own only: a token goes there. */
static bool allowed(const char *url)
{
	size_t n;
	char *host;
	bool good;

	if (!s3_cred_sendable(url))
		return false;
	if (!strncasecmp(url, "https://", 8))
		return true;
	if (strncasecmp(url, "http://", 7))
		return false;
	n = strcspn(url + 7, "/?#\\");
	if (memchr(url + 7, '@', n))
		return false;
	if (url[7] == '[')
		n = strcspn(url + 7, "]") + 1;
	else
		n = strcspn(url + 7, ":/?#\\");
	host = strndup(url + 7, n);
	good = host && is_local(host) && (!url[7 + n] || strchr(":/?", url[7 + n]));
	free(host);
	return good;
}

static int container_url(struct s3_context *x, char **url)
{
	const char *relative = s3_cred_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = s3_cred_env("AWS_CONTAINER_CREDENTIALS_FULL_URI");

	*url = NULL;
	if (!relative && !full)
		return KB_MISS;
	if (relative && (*relative != '/' || !s3_cred_sendable(relative)))
		return x->host->fail(x->call, KB_E_CONFIG, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: expected a path");
	if (!relative && !allowed(full))
		return x->host->fail(x->call, KB_E_CONFIG, "AWS_CONTAINER_CREDENTIALS_FULL_URI: expected https://..., or http:// of this "
				     "machine's own addresses");
	if (asprintf(url, "%s%s", relative ? "http://169.254.170.2" : "", relative ? relative : full) < 0) {
		*url = NULL;
		return s3_cred_no_memory(x);
	}
	return KB_OK;
}

/* The header with the token; *line stays NULL without one. */
static int container_token(struct s3_context *x, char **line)
{
	const char *file = s3_cred_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), *plain;
	char *token = file ? s3_cred_slurp(file) : NULL;

	*line = NULL;
	if (file && !token)
		return x->host->fail(x->call, KB_E_AUTH, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %s is empty or can't be read", file);
	plain = file ? token : s3_cred_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	if (!plain)
		return KB_OK;
	/* "Bearer x" has a blank, but nothing may end the line. */
	for (const char *p = plain; *p; p++) {
		if (*p < ' ' || *p > '~') {
			s3_cred_wipe(token);
			return x->host->fail(x->call, KB_E_CONFIG, "%s: holds a line break or what is not ASCII",
					     file ? "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" : "AWS_CONTAINER_AUTHORIZATION_TOKEN");
		}
	}
	if (asprintf(line, "authorization: %s", plain) < 0)
		*line = NULL;
	s3_cred_wipe(token);
	return *line ? KB_OK : s3_cred_no_memory(x);
}

int s3_cred_container(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	static const char what[] = "the container's credential service";
	const char *headers[2] = { NULL, NULL };
	struct http_reply reply = { 0 };
	char *url, *line = NULL;
	int rc = container_url(x, &url);

	(void)profile;
	*out = (struct s3_cred){ .source = what };
	if (!rc && !x->look)
		rc = container_token(x, &line);
	if (!rc && !x->look) {
		const struct http_request r = {
			.method = "GET", .url = url, .headers = headers, .direct = strncasecmp(url, "https", 5) != 0,
		};

		headers[0] = line;
		rc = fetch_some(x, what, &r, CONTAINER_MS, CONTAINER_TRIES, &reply);
		if (!rc)
			rc = s3_cred_judge(x, what, &reply, NULL);
		if (!rc)
			rc = s3_cred_from_json(x, what, reply.text, reply.text_len, &names, out);
	}
	http_reply_release(&reply);
	free(url);
	s3_cred_wipe(line);
	return rc;
}

/* ---- instances ---- */

static const char instance[] = "the instance's metadata service";

static bool disabled(void)
{
	const char *off = s3_cred_env("AWS_EC2_METADATA_DISABLED");

	return off && !strcasecmp(off, "true");
}

/* A laptop would wait for an address that nobody has. */
static bool maybe_instance(void)
{
	static const struct { const char *file, *holds; } marks[] = {
		{ "/sys/class/dmi/id/sys_vendor", "Amazon EC2" }, { "/sys/class/dmi/id/chassis_asset_tag", "Amazon EC2" },
		{ "/sys/class/dmi/id/bios_version", "amazon" },
	};
	bool yes = s3_cred_env("AWS_EC2_METADATA_SERVICE_ENDPOINT") != NULL;

	for (size_t i = 0; !yes && i < sizeof marks / sizeof *marks; i++) {
		char *text = s3_cred_slurp(marks[i].file);

		yes = text && strstr(text, marks[i].holds);
		free(text);
	}
	return yes;
}

static unsigned metadata_ms(void)
{
	const char *set = s3_cred_env("AWS_METADATA_SERVICE_TIMEOUT");
	double seconds = set ? strtod(set, NULL) : 0;

	return seconds > 0 && seconds * 1000 <= METADATA_MS_MAX && seconds * 1000 >= 1 ? (unsigned)(seconds * 1000) : METADATA_MS;
}

static unsigned metadata_tries(void)
{
	const char *set = s3_cred_env("AWS_METADATA_SERVICE_NUM_ATTEMPTS");
	unsigned long n = set ? strtoul(set, NULL, 10) : 1;

	return n < 1 ? 1 : n > TRIES_MAX ? TRIES_MAX : (unsigned)n;
}

static char *metadata_url(const char *path)
{
	const char *base = s3_cred_env("AWS_EC2_METADATA_SERVICE_ENDPOINT"), *mode = s3_cred_env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	bool six = mode && !strcasecmp(mode, "IPv6");
	size_t len;
	char *url;

	base = base ? base : six ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
	for (len = strlen(base); len && base[len - 1] == '/'; len--)
		;
	return asprintf(&url, "%.*s%s", (int)len, base, path) < 0 ? NULL : url;
}

/* KB_MISS: it has nothing of that, or is switched off. */
static int metadata(struct s3_context *x, const char *method, const char *path, const char *header, struct http_reply *reply)
{
	const char *headers[2] = { header, NULL };
	char *url = metadata_url(path);
	const struct http_request r = { .method = method, .url = url, .headers = headers, .direct = true };
	int rc = url ? fetch_some(x, instance, &r, metadata_ms(), metadata_tries(), reply) : s3_cred_no_memory(x);

	free(url);
	if (!rc && (reply->status == 403 || reply->status == 404 || reply->status == 405))
		return KB_MISS;
	return rc ? rc : s3_cred_judge(x, instance, reply, NULL);
}

static int metadata_role(struct s3_context *x, const char *header, char **path)
{
	static const char where[] = "/latest/meta-data/iam/security-credentials/";
	struct http_reply reply = { 0 };
	char *role = NULL;
	int rc = metadata(x, "GET", where, header, &reply);

	*path = NULL;
	if (!rc) {
		size_t n = strcspn(reply.text, "\r\n");

		role = sigv4_encode(reply.text, n, 0);
		if (!n)
			rc = KB_MISS;
		else if (!role || asprintf(path, "%s%s", where, role) < 0)
			rc = s3_cred_no_memory(x);
	}
	http_reply_release(&reply);
	free(role);
	return rc;
}

int s3_cred_metadata(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	struct http_reply token = { 0 }, reply = { 0 };
	char *header = NULL, *path = NULL;
	int rc;

	(void)profile;
	*out = (struct s3_cred){ .source = instance };
	if (disabled())
		return KB_MISS;
	if (x->look)
		return KB_OK;
	rc = metadata(x, "PUT", "/latest/api/token", "x-aws-ec2-metadata-token-ttl-seconds: 21600", &token);
	if (!rc && !s3_cred_sendable(token.text))
		rc = x->host->fail(x->call, KB_E_AUTH, "%s: the token holds what can't be sent", instance);
	if (!rc && asprintf(&header, "x-aws-ec2-metadata-token: %s", token.text) < 0) {
		header = NULL;
		rc = s3_cred_no_memory(x);
	}
	if (!rc)
		rc = metadata_role(x, header, &path);
	if (!rc)
		rc = metadata(x, "GET", path, header, &reply);
	if (!rc)
		rc = s3_cred_from_json(x, instance, reply.text, reply.text_len, &names, out);
	/* While it can't get new ones it hands out old ones, which are honoured beyond their time. */
	if (!rc && out->expires_s && out->expires_s <= s3_cred_now())
		out->expires_s = s3_cred_now() + 600;
	http_reply_release(&token);
	http_reply_release(&reply);
	s3_cred_wipe(header);
	free(path);
	return rc;
}

int s3_cred_maybe_metadata(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	return maybe_instance() ? s3_cred_metadata(x, profile, out) : KB_MISS;
}
