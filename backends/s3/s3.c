/* The S3 backend's table, options and life cycle. */
#define _GNU_SOURCE
#include "s3.h"
#include "../common/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct kb_host *s3_host;

static const struct kb_opt options[] = {
	{ KB_OPT_STR, 0, 0, 0, "bucket", NULL, NULL, NULL, "KACHE_S3_BUCKET", "bucket, where the URL is just s3:" },
	{ KB_OPT_STR, 0, 0, 0, "endpoint", NULL, NULL, NULL, "KACHE_S3_ENDPOINT",
	  "URL of the server; default: that of the profile or environment, else Amazon's for the region" },
	{ KB_OPT_STR, 0, 0, 0, "region", NULL, NULL, NULL, "KACHE_S3_REGION",
	  "region; default: that of the environment or profile, else us-east-1" },
	{ KB_OPT_STR, 0, 0, 0, "access-key", NULL, NULL, NULL, "KACHE_S3_ACCESS_KEY", "access key; see kache-credentials(7)" },
	{ KB_OPT_STR, KB_OPT_SECRET, 0, 0, "secret-key", NULL, NULL, NULL, "KACHE_S3_SECRET_KEY", "secret key" },
	{ KB_OPT_STR, KB_OPT_SECRET, 0, 0, "session-token", NULL, NULL, NULL, "KACHE_S3_SESSION_TOKEN", "session token" },
	{ KB_OPT_STR, 0, 0, 0, "profile", NULL, NULL, NULL, "KACHE_S3_PROFILE", "profile of the shared configuration files" },
	{ KB_OPT_BOOL, 0, 0, 0, "anonymous", NULL, "false", NULL, NULL, "sign nothing: for public buckets" },
	{ KB_OPT_ENUM, 0, 0, 0, "style", NULL, "auto", "auto|path|virtual", NULL,
	  "where the bucket's name goes: into the path, or before the host's name; auto: virtual for Amazon, else path" },
	{ KB_OPT_UINT, 0, 1, 256, "concurrency", NULL, "16", NULL, "KACHE_S3_CONCURRENCY", "requests at the same time" },
	{ KB_OPT_PATH, 0, 0, 0, "ca-file", NULL, NULL, NULL, "KACHE_CA_FILE", "certificates to trust (PEM)" },
	{ KB_OPT_BOOL, 0, 0, 0, "insecure", NULL, "false", NULL, NULL, "do not verify the server's certificate" },
	{ KB_OPT_ENUM, 0, 0, 0, "unsigned-payload", NULL, "auto", "auto|always|never", NULL,
	  "leave bodies out of the signature; auto: over https, which protects them anyway" },
	{ KB_OPT_BOOL, 0, 0, 0, "content-md5", NULL, "false", NULL, NULL, "send a checksum for the server to verify" },
	{ KB_OPT_ENUM, 0, 0, 0, "conditional", NULL, "auto", "auto|off", NULL,
	  "let the server refuse what is there already; auto: unless it does not know how" },
	{ KB_OPT_SIZE, 0, 5 << 20, 5ULL << 30, "multipart-threshold", NULL, "64MiB", NULL, NULL, "larger objects go in parts" },
	{ KB_OPT_SIZE, 0, 5 << 20, 5ULL << 30, "part-size", NULL, "16MiB", NULL, NULL, "size of a part" },
	{ KB_OPT_STR, 0, 0, 0, "sse", NULL, NULL, NULL, NULL, "server-side encryption: AES256 or aws:kms" },
	{ KB_OPT_STR, 0, 0, 0, "kms-key", NULL, NULL, NULL, NULL, "key for sse = aws:kms" },
	{ KB_OPT_STR, 0, 0, 0, "storage-class", NULL, NULL, NULL, NULL, "storage class of new objects" },
	{ KB_OPT_STR, 0, 0, 0, "acl", NULL, NULL, NULL, NULL, "canned ACL of new objects" },
	{ KB_OPT_STR, 0, 0, 0, "expected-bucket-owner", NULL, NULL, NULL, NULL, "account that must own the bucket for writes" },
	{ 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};

/* ---- the URL ---- */

/* s3://bucket/prefix, or s3: with the option. */
static int bucket_of(const kb_conf *conf, char **bucket, char **prefix, struct kb_call *call)
{
	const char *url = s3_host->conf_str(conf, "url"), *option = s3_host->conf_str(conf, "bucket");
	const char *rest = url && !strncmp(url, "s3:", 3) ? url + 3 : "";
	size_t len;

	*bucket = *prefix = NULL;
	if (!strncmp(rest, "//", 2))
		rest += 2;
	len = strcspn(rest, "/");
	if (memchr(rest, '@', len) || memchr(rest, ':', len))
		return s3_host->fail(call, KB_E_CONFIG, "url: s3://BUCKET/PREFIX takes neither credentials nor a port; see the options access-key and endpoint");
	if (len && option && (strlen(option) != len || strncmp(option, rest, len)))
		return s3_host->fail(call, KB_E_CONFIG, "bucket: the URL names another one");
	if (!len && !option)
		return s3_host->fail(call, KB_E_CONFIG, "bucket: none is given; the URL is s3://BUCKET/PREFIX");
	*bucket = len ? strndup(rest, len) : strdup(option);
	rest += len;
	while (*rest == '/')
		rest++;
	len = strlen(rest);
	while (len && rest[len - 1] == '/')
		len--;
	if (!*bucket || asprintf(prefix, "%.*s%s", (int)len, rest, len ? "/" : "") < 0) {
		*prefix = NULL;
		return s3_host->fail(call, KB_E_LOCAL, "out of memory");
	}
	s3_decode(*prefix);
	return KB_OK;
}

static int check_endpoint(const char *endpoint, struct kb_call *call)
{
	if (!endpoint || ((!strncmp(endpoint, "http://", 7) || !strncmp(endpoint, "https://", 8)) && !strpbrk(endpoint, "?#@ ") &&
			  strstr(endpoint, "://")[3] && strstr(endpoint, "://")[3] != '/'))
		return KB_OK;
	return s3_host->fail(call, KB_E_CONFIG, "endpoint: accepted is http://HOST[:PORT][/PATH] or https://…");
}

static int check(const kb_conf *conf, struct kb_call *call)
{
	const char *region = s3_host->conf_str(conf, "region");
	char *bucket, *prefix;
	int rc = bucket_of(conf, &bucket, &prefix, call);

	free(bucket);
	free(prefix);
	if (!rc)
		rc = check_endpoint(s3_host->conf_str(conf, "endpoint"), call);
	if (!rc && !s3_host->conf_str(conf, "access-key") != !s3_host->conf_str(conf, "secret-key"))
		rc = s3_host->fail(call, KB_E_CONFIG, "%s: is missing; access-key and secret-key go together",
				   s3_host->conf_str(conf, "access-key") ? "secret-key" : "access-key");
	if (!rc && region && region[strspn(region, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")])
		rc = s3_host->fail(call, KB_E_CONFIG, "region: accepted are letters, digits, '-' and '_'");
	if (!rc && s3_host->conf_str(conf, "kms-key") && !s3_host->conf_str(conf, "sse"))
		rc = s3_host->fail(call, KB_E_CONFIG, "kms-key: goes with sse = aws:kms");
	return rc;
}

/* DNS-valid and without a dot, which certificates for *.host do not cover. */
static bool host_name_ok(const char *bucket)
{
	size_t n = strlen(bucket);

	return n >= 3 && n <= 63 && !bucket[strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-")] && bucket[0] != '-' &&
	       bucket[n - 1] != '-';
}

static int set_endpoint(struct kb_handle *h, const kb_conf *conf, struct kb_call *call)
{
	const char *endpoint = s3_host->conf_str(conf, "endpoint"), *style = s3_host->conf_str(conf, "style");
	const char *rest, *wanted;
	bool amazon, cut;
	size_t len;
	int n;

	if (!endpoint)
		endpoint = s3_creds_endpoint(h->creds);
	n = check_endpoint(endpoint, call);
	if (n)
		return n;
	amazon = !endpoint;
	if (amazon) {
		h->scheme = strdup("https");
		n = asprintf(&h->host, "s3.%s.amazonaws.com%s", h->region, strncmp(h->region, "cn-", 3) ? "" : ".cn");
		h->base = strdup("");
	} else {
		rest = strstr(endpoint, "://") + 3;
		len = strcspn(rest, "/");
		h->scheme = strndup(endpoint, (size_t)(rest - 3 - endpoint));
		/* The port that a scheme has anyway is not part of the Host header. */
		cut = h->scheme && ((!strcmp(h->scheme, "https") && len > 4 && !strncmp(rest + len - 4, ":443", 4)) ||
				    (!strcmp(h->scheme, "http") && len > 3 && !strncmp(rest + len - 3, ":80", 3)));
		h->host = strndup(rest, cut ? len - (h->scheme[4] ? 4 : 3) : len);
		h->base = strdup(rest + len);
		for (n = h->base ? (int)strlen(h->base) : 0; n && h->base[n - 1] == '/'; n--)
			h->base[n - 1] = '\0';
		amazon = strstr(rest, ".amazonaws.com") != NULL;
	}
	if (n < 0 || !h->scheme || !h->host || !h->base)
		return s3_host->fail(call, KB_E_LOCAL, "out of memory");
	wanted = strcmp(style, "auto") ? style : s3_creds_addressing(h->creds);
	h->virtual_host = wanted && strcmp(wanted, "auto") ? !strcmp(wanted, "virtual") : amazon && host_name_ok(h->bucket);
	return KB_OK;
}

static int set_put_headers(struct kb_handle *h, const kb_conf *conf, struct kb_call *call)
{
	static const struct { const char *option, *header; } table[] = {
		{ "sse", "x-amz-server-side-encryption" }, { "kms-key", "x-amz-server-side-encryption-aws-kms-key-id" },
		{ "storage-class", "x-amz-storage-class" }, { "acl", "x-amz-acl" },
		{ "expected-bucket-owner", "x-amz-expected-bucket-owner" },
	};
	size_t n = 0;

	h->put_headers = calloc(sizeof table / sizeof *table + 1, sizeof *h->put_headers);
	for (size_t i = 0; h->put_headers && i < sizeof table / sizeof *table; i++) {
		const char *value = s3_host->conf_str(conf, table[i].option);

		if (!value)
			continue;
		if (value[strcspn(value, "\r\n")])
			return s3_host->fail(call, KB_E_CONFIG, "%s: may not hold a line break", table[i].option);
		if (asprintf(&h->put_headers[n], "%s: %s", table[i].header, value) < 0) {
			h->put_headers[n] = NULL;
			return s3_host->fail(call, KB_E_LOCAL, "out of memory");
		}
		n++;
	}
	return h->put_headers ? KB_OK : s3_host->fail(call, KB_E_LOCAL, "out of memory");
}

/* ---- life ---- */

static void close_handle(struct kb_handle *h)
{
	s3_creds_close(h->creds);
	http_close(h->web);
	http_close(h->side);
	for (char **p = h->put_headers; p && *p; p++)
		free(*p);
	free(h->put_headers);
	free(h->scheme);
	free(h->host);
	free(h->base);
	free(h->bucket);
	free(h->prefix);
	free(h->region);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static int set_up(struct kb_handle *h, const kb_conf *conf, struct kb_call *call)
{
	struct http_settings web = { .insecure = s3_host->conf_u64(conf, "insecure"),
				     .max_connections = (unsigned)s3_host->conf_u64(conf, "concurrency") };
	const struct http_settings side = { .no_proxy = true, .max_connections = 1, .connect_timeout_ms = 1000 };
	const char *region = s3_host->conf_str(conf, "region"), *payload = s3_host->conf_str(conf, "unsigned-payload");
	int rc = bucket_of(conf, &h->bucket, &h->prefix, call);

	if (!rc)
		rc = http_open(s3_host, &side, call, &h->side);
	if (!rc)
		rc = s3_creds_open(s3_host, conf, h->side, &h->creds, call);
	if (rc)
		return rc;
	if (!region)
		region = s3_creds_region(h->creds);
	h->region = strdup(region ? region : "us-east-1");
	web.ca_file = s3_host->conf_str(conf, "ca-file");
	if (!web.ca_file)
		web.ca_file = s3_creds_ca_file(h->creds);
	rc = h->region ? set_endpoint(h, conf, call) : s3_host->fail(call, KB_E_LOCAL, "out of memory");
	if (!rc)
		rc = set_put_headers(h, conf, call);
	if (!rc)
		rc = http_open(s3_host, &web, call, &h->web);
	if (rc)
		return rc;
	h->unsigned_payload = !strcmp(payload, "always") || (!strcmp(payload, "auto") && !strcmp(h->scheme, "https"));
	h->content_md5 = s3_host->conf_u64(conf, "content-md5");
	h->conditional_wanted = !strcmp(s3_host->conf_str(conf, "conditional"), "auto");
	h->multipart_from = s3_host->conf_u64(conf, "multipart-threshold");
	h->part_size = s3_host->conf_u64(conf, "part-size");
	return KB_OK;
}

static int open_handle(const kb_conf *conf, kb_handle **out, struct kb_limits *limits, struct kb_call *call)
{
	struct kb_handle *h = calloc(1, sizeof *h);
	int rc;

	if (!h)
		return s3_host->fail(call, KB_E_LOCAL, "out of memory");
	pthread_mutex_init(&h->lock, NULL);
	rc = set_up(h, conf, call);
	if (!rc)
		rc = s3_ping(h, limits, call);
	if (rc) {
		close_handle(h);
		return rc;
	}
	limits->max_inflight = (uint32_t)s3_host->conf_u64(conf, "concurrency");
	limits->max_object = 5ULL << 40;
	if (s3_host->conf_u64(conf, "anonymous"))
		limits->caps &= ~KB_CAP_WRITE;
	if (!h->conditional_wanted)
		limits->caps &= ~KB_CAP_PUT_IF_ABSENT;
	*out = h;
	return KB_OK;
}

static const struct kb_backend table = {
	.magic = KB_MAGIC, .struct_size = sizeof table, .abi_major = KB_ABI_MAJOR, .abi_minor = KB_ABI_MINOR,
	.threads = KB_THREADS_PARALLEL,
	.caps = KB_CAP_WRITE | KB_CAP_ATOMIC_PUT | KB_CAP_READ_OWN,
	.opt_size = sizeof(struct kb_opt),
	.name = "s3", .version = "1.0", .summary = "S3 and what speaks its protocol", .schemes = "s3",
	.opts = options, .check = check, .open = open_handle, .close = close_handle,
	.get = s3_get, .put = s3_put, .head = s3_head, .del = s3_del, .list = s3_list, .ping = s3_ping,
};

KB_ENTRY(s3)
{
	s3_host = kb_host_arg;
	return &table;
}
