/* What the options say: bucket, endpoint, region, style, headers. */
#include "config.h"
#include "s3.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKET_MAX = 255, PREFIX_MAX = 700, REGION_MAX = 64 };

static int no_memory(struct kb_call *call)
{
	return s3_host->fail(call, KB_E_LOCAL, "out of memory");
}

static bool bucket_ok(const char *s)
{
	size_t n = strlen(s);

	return n && n <= BUCKET_MAX && n == strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") &&
	       strcmp(s, ".") && strcmp(s, "..");
}

static int split_url(const char *url, struct kb_call *call, char **bucket, char **prefix)
{
	const char *rest = url && !strncmp(url, "s3:", 3) ? url + 3 : "";
	size_t n;

	rest += !strncmp(rest, "//", 2) ? 2 : 0;
	n = strcspn(rest, "/");
	if (memchr(rest, '@', n) || memchr(rest, ':', n))
		return s3_host->fail(call, KB_E_CONFIG, "url: s3://bucket/prefix takes no credentials and no port "
				     "(options access-key and endpoint)");
	*bucket = strndup(rest, n);
	rest += n + strspn(rest + n, "/");
	if (!*bucket || asprintf(prefix, "%s/", rest) < 0) {
		*prefix = NULL;
		return no_memory(call);
	}
	n = strlen(*prefix);
	while (n > 1 && (*prefix)[n - 1] == '/' && (*prefix)[n - 2] == '/')
		(*prefix)[--n] = '\0';
	if (n == 1)
		**prefix = '\0';
	if (!s3_decode(*bucket, false) || !s3_decode(*prefix, false))
		return s3_host->fail(call, KB_E_CONFIG, "url: bad %%-escape");
	if (strlen(*prefix) > PREFIX_MAX)
		return s3_host->fail(call, KB_E_CONFIG, "url: the prefix has more than %d bytes", PREFIX_MAX);
	return KB_OK;
}

int s3_bucket_of(const kb_conf *conf, struct kb_call *call, char **bucket, char **prefix)
{
	const char *option = s3_host->conf_str(conf, "bucket");
	int rc;

	*bucket = *prefix = NULL;
	rc = split_url(s3_host->conf_str(conf, "url"), call, bucket, prefix);
	if (!rc && option && *option && !**bucket) {
		free(*bucket);
		*bucket = strdup(option);
		rc = *bucket ? KB_OK : no_memory(call);
	} else if (!rc && option && *option && strcmp(option, *bucket)) {
		rc = s3_host->fail(call, KB_E_CONFIG, "bucket: the URL names another one");
	}
	if (!rc && !**bucket)
		rc = s3_host->fail(call, KB_E_CONFIG, "bucket: none is given; the URL is s3://bucket/prefix");
	if (!rc && !bucket_ok(*bucket))
		rc = s3_host->fail(call, KB_E_CONFIG, "bucket: not a bucket's name, which has letters, digits, '.', '-' and '_'");
	if (rc) {
		free(*bucket);
		free(*prefix);
		*bucket = *prefix = NULL;
	}
	return rc;
}

/* ---- region ---- */

static bool region_ok(const char *s)
{
	size_t n = strlen(s);

	return n && n <= REGION_MAX && n == strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
}

static char *aws_host(const struct kb_handle *h, const char *region)
{
	char *host;

	if (asprintf(&host, "s3%s%s.%s.amazonaws.com%s", h->fips ? "-fips" : "", h->dualstack ? ".dualstack" : "", region,
		     strncmp(region, "cn-", 3) ? "" : ".cn") < 0)
		return NULL;
	return host;
}

bool s3_use_region(struct kb_handle *h, const char *region)
{
	char *name = region_ok(region) ? strdup(region) : NULL, *host = name && h->aws ? aws_host(h, region) : NULL;

	if (!name || (h->aws && !host)) {
		free(name);
		return false;
	}
	free(h->region);
	h->region = name;
	if (host) {
		free(h->host);
		h->host = host;
	}
	return true;
}

int s3_set_region(struct kb_handle *h, const char *region, struct kb_call *call)
{
	if (!region || !*region)
		region = "us-east-1";
	if (!region_ok(region))
		return s3_host->fail(call, KB_E_CONFIG, "region: not a region's name, as us-east-1");
	return s3_use_region(h, region) ? KB_OK : no_memory(call);
}

/* ---- endpoint ---- */

static bool env_true(const char *name)
{
	const char *value = getenv(name);

	return value && !strcasecmp(value, "true");
}

/* AWS's names of the regions' servers, whose form is known, follow the region. */
static void know_aws(struct kb_handle *h)
{
	static const struct { const char *start; bool fips, dualstack; } forms[] = {
		{ "s3.dualstack.", false, true }, { "s3-fips.dualstack.", true, true }, { "s3-fips.", true, false },
		{ "s3.", false, false },
	};
	const char *end = strstr(h->host, ".amazonaws.com");

	if (!end || (strcmp(end, ".amazonaws.com") && strcmp(end, ".amazonaws.com.cn")))
		return;
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		size_t n = strlen(forms[i].start);

		if (strncmp(h->host, forms[i].start, n))
			continue;
		h->fips = forms[i].fips;
		h->dualstack = forms[i].dualstack;
		/* With "s3.amazonaws.com" nothing is left between; with "s3.x.y.amazonaws.com" too much. */
		h->aws = h->host + n >= end || !memchr(h->host + n, '.', (size_t)(end - h->host) - n);
		return;
	}
}

static bool host_ok(const char *host)
{
	size_t n = strlen(host);
	const char *colon = strrchr(host, ':'), *bracket = strrchr(host, ']');

	if (!n || *host == ':')
		return false;
	if (colon && (!bracket || colon > bracket) && (!colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1)))
		return false;
	return n == strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:[]");
}

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && !strcmp(s + n - m, end);
}

static int split_endpoint(struct kb_handle *h, const char *endpoint, struct kb_call *call)
{
	const char *rest = strstr(endpoint, "://"), *slash;
	bool plain = rest && !strncasecmp(endpoint, "http://", 7);
	size_t n;

	if (rest && !plain && strncasecmp(endpoint, "https://", 8))
		return s3_host->fail(call, KB_E_CONFIG, "endpoint: its scheme is neither https nor http");
	rest = rest ? rest + 3 : endpoint;
	n = strcspn(rest, "/");
	slash = rest + n;
	h->scheme = strdup(plain ? "http" : "https");
	h->host = strndup(rest, n);
	h->base = strdup(slash);
	if (!h->scheme || !h->host || !h->base)
		return no_memory(call);
	n = strlen(h->base);
	while (n && h->base[n - 1] == '/')
		h->base[--n] = '\0';
	if (!host_ok(h->host) || strpbrk(h->base, "?# "))
		return s3_host->fail(call, KB_E_CONFIG, "endpoint: not of the form https://host[:port][/path]");
	/* What is signed is the Host header, which has no port that goes without saying. */
	if (ends_in(h->host, plain ? ":80" : ":443"))
		*strrchr(h->host, ':') = '\0';
	for (char *p = h->host; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return KB_OK;
}

int s3_set_endpoint(struct kb_handle *h, const char *endpoint, struct kb_call *call)
{
	int rc;

	if (endpoint && *endpoint) {
		rc = split_endpoint(h, endpoint, call);
		if (!rc)
			know_aws(h);
		return rc;
	}
	h->aws = true;
	h->fips = env_true("AWS_USE_FIPS_ENDPOINT");
	h->dualstack = env_true("AWS_USE_DUALSTACK_ENDPOINT");
	h->scheme = strdup("https");
	h->base = strdup("");
	h->host = aws_host(h, h->region);
	return h->scheme && h->base && h->host ? KB_OK : no_memory(call);
}

/* A certificate for *.host matches one label only, so a dot in the bucket's name rules the style out. */
static bool label_ok(const char *s)
{
	size_t n = strlen(s);

	return n >= 3 && n <= 63 && n == strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") && s[0] != '-' && s[n - 1] != '-';
}

void s3_set_style(struct kb_handle *h, const char *style, const char *said)
{
	if (!style || !strcmp(style, "auto"))
		style = said ? said : "auto";
	if (!strcmp(style, "auto"))
		h->virtual_host = h->aws && label_ok(h->bucket);
	else
		h->virtual_host = !strcmp(style, "virtual");
}

/* ---- headers ---- */

static const struct { const char *option, *header; } passed[] = {
	{ "sse", "x-amz-server-side-encryption" }, { "kms-key", "x-amz-server-side-encryption-aws-kms-key-id" },
	{ "storage-class", "x-amz-storage-class" }, { "acl", "x-amz-acl" },
	{ "expected-bucket-owner", "x-amz-expected-bucket-owner" },
};
enum { PASSED = sizeof passed / sizeof *passed };

static bool value_ok(const char *s)
{
	for (; *s; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

int s3_set_headers(struct kb_handle *h, const kb_conf *conf, struct kb_call *call)
{
	size_t n = 0;

	h->put_headers = calloc(PASSED + 1, sizeof *h->put_headers);
	for (size_t i = 0; h->put_headers && i < PASSED; i++) {
		const char *value = s3_host->conf_str(conf, passed[i].option);
		char *line;

		if (!value || !*value)
			continue;
		if (asprintf(&line, "%s: %s", passed[i].header, value) < 0)
			return no_memory(call);
		if (i == PASSED - 1)
			h->owner_header = line;
		else
			h->put_headers[n++] = line;
	}
	return h->put_headers ? KB_OK : no_memory(call);
}

int s3_check(const kb_conf *conf, struct kb_call *call)
{
	const char *endpoint = s3_host->conf_str(conf, "endpoint"), *region = s3_host->conf_str(conf, "region");
	const char *sse = s3_host->conf_str(conf, "sse"), *kms = s3_host->conf_str(conf, "kms-key");
	struct kb_handle h = { 0 };
	int rc = s3_bucket_of(conf, call, &h.bucket, &h.prefix);

	if (!rc)
		rc = s3_set_region(&h, region, call);
	if (!rc && endpoint && *endpoint)
		rc = s3_set_endpoint(&h, endpoint, call);
	for (size_t i = 0; !rc && i < PASSED; i++) {
		const char *value = s3_host->conf_str(conf, passed[i].option);

		if (value && !value_ok(value))
			rc = s3_host->fail(call, KB_E_CONFIG, "%s: blanks and what is not ASCII can't be sent", passed[i].option);
	}
	if (!rc && kms && *kms && (!sse || strncmp(sse, "aws:kms", 7)))
		rc = s3_host->fail(call, KB_E_CONFIG, "kms-key: goes with sse=aws:kms or sse=aws:kms:dsse only");
	free(h.bucket);
	free(h.prefix);
	free(h.region);
	free(h.scheme);
	free(h.host);
	free(h.base);
	return rc;
}
