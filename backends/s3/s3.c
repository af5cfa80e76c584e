/* The S3 backend's table, options and life cycle. */
#include "config.h"
#include "s3.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define OBJECT_MAX (5ull << 40)		/* AWS's; others allow less, and say so when it comes to it */

static struct kb_host own_host;
static const struct kb_host *real_host;
static _Thread_local char *captured;
const struct kb_host *s3_host = &own_host;

static const struct kb_opt options[] = {
	{ KB_OPT_STR, 0, 0, 0, "bucket", NULL, NULL, NULL, "KACHE_S3_BUCKET", "bucket, where the URL names none" },
	{ KB_OPT_STR, 0, 0, 0, "endpoint", NULL, NULL, NULL, "KACHE_S3_ENDPOINT",
	  "server as https://host[:port][/path]; else that of the AWS settings, else AWS" },
	{ KB_OPT_STR, 0, 0, 0, "region", NULL, NULL, NULL, "KACHE_S3_REGION",
	  "region to sign for; else that of the AWS settings, else us-east-1; a wrong one is put right if the server tells" },
	{ KB_OPT_STR, 0, 0, 0, "access-key", NULL, NULL, NULL, "KACHE_S3_ACCESS_KEY", "access key, with secret-key" },
	{ KB_OPT_STR, KB_OPT_SECRET, 0, 0, "secret-key", NULL, NULL, NULL, "KACHE_S3_SECRET_KEY", "its secret key" },
	{ KB_OPT_STR, KB_OPT_SECRET, 0, 0, "session-token", NULL, NULL, NULL, "KACHE_S3_SESSION_TOKEN",
	  "session token, where the keys are temporary ones" },
	{ KB_OPT_STR, 0, 0, 0, "profile", NULL, NULL, NULL, "KACHE_S3_PROFILE",
	  "profile of the AWS configuration and credentials files" },
	{ KB_OPT_BOOL, 0, 0, 0, "anonymous", NULL, "false", NULL, NULL, "send no credentials, for a public bucket" },
	{ KB_OPT_ENUM, 0, 0, 0, "style", NULL, "auto", "auto|path|virtual", NULL,
	  "bucket in the path or in the host's name; auto: in the name for AWS, else in the path" },
	{ KB_OPT_UINT, 0, 1, 256, "concurrency", NULL, "16", NULL, "KACHE_S3_CONCURRENCY", "requests at the same time" },
	{ KB_OPT_PATH, 0, 0, 0, "ca-file", NULL, NULL, NULL, "KACHE_CA_FILE",
	  "PEM file of the authorities to trust; else that of the AWS settings, else the system's" },
	{ KB_OPT_BOOL, 0, 0, 0, "insecure", NULL, "false", NULL, NULL, "do not verify the server's certificate" },
	{ KB_OPT_ENUM, 0, 0, 0, "unsigned-payload", NULL, "auto", "auto|always|never", NULL,
	  "leave bodies out of the signature; auto: with https, which protects them already" },
	{ KB_OPT_SIZE, 0, 1, 5 * GIB, "multipart-threshold", NULL, "64MiB", NULL, NULL, "larger objects are sent in parts" },
	{ KB_OPT_SIZE, 0, 5 * MIB, 5 * GIB, "part-size", NULL, "16MiB", NULL, NULL, "of this size" },
	{ KB_OPT_ENUM, 0, 0, 0, "conditional", NULL, "auto", "auto|off", NULL,
	  "use If-None-Match to create an object only once, unless the server does not know it" },
	{ KB_OPT_ENUM, 0, 0, 0, "sse", NULL, NULL, "AES256|aws:kms|aws:kms:dsse", NULL, "encryption on the server" },
	{ KB_OPT_STR, 0, 0, 0, "kms-key", NULL, NULL, NULL, NULL, "key for it, with sse=aws:kms" },
	{ KB_OPT_STR, 0, 0, 0, "storage-class", NULL, NULL, NULL, NULL, "storage class of new objects" },
	{ KB_OPT_STR, 0, 0, 0, "acl", NULL, NULL, NULL, NULL, "canned ACL of new objects" },
	{ KB_OPT_STR, 0, 0, 0, "expected-bucket-owner", NULL, NULL, NULL, NULL, "account that must own the bucket" },
	{ KB_OPT_BOOL, 0, 0, 0, "content-md5", NULL, "false", NULL, NULL, "send the MD5 of bodies, for servers that ask for it" },
	{ 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};

/* ---- errors and time ---- */

char *s3_capture(char text[S3_TEXT])
{
	char *before = captured;

	captured = text;
	return before;
}

static int fail(struct kb_call *call, int status, const char *fmt, ...)
{
	char text[S3_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (!captured)
		return real_host->fail(call, status, "%s", text);
	memcpy(captured, text, sizeof text);
	return status;
}

uint64_t s3_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int s3_late(struct kb_call *call)
{
	struct pollfd p = { .fd = call->cancel_fd, .events = POLLIN };

	if (call->cancel_fd >= 0 && poll(&p, 1, 0) > 0)
		return s3_host->fail(call, KB_E_CANCELLED, "cancelled");
	if (s3_now() >= call->deadline_ns)
		return s3_host->fail(call, KB_E_TIMEOUT, "no time left");
	return KB_OK;
}

/* ---- open and close ---- */

static void close_handle(kb_handle *h)
{
	s3_creds_close(h->creds);
	http_close(h->web);
	http_close(h->side);
	for (char **p = h->put_headers; p && *p; p++)
		free(*p);
	free(h->put_headers);
	free(h->owner_header);
	free(h->scheme);
	free(h->base);
	free(h->bucket);
	free(h->prefix);
	free(h->region);
	free(h->host);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static const char *set(const char *text)
{
	return text && *text ? text : NULL;
}

/* The credentials know more than keys: the shared files name endpoint, region and authorities too. */
static int open_creds(struct kb_handle *h, const kb_conf *conf, struct kb_call *call)
{
	const char *ca = set(s3_host->conf_str(conf, "ca-file"));
	const struct http_settings s = { .ca_file = ca ? ca : set(getenv("AWS_CA_BUNDLE")), .max_connections = 1 };
	int rc = http_open(s3_host, &s, call, &h->side);

	return rc ? rc : s3_creds_open(s3_host, conf, h->side, &h->creds, call);
}

static int open_web(struct kb_handle *h, const kb_conf *conf, struct kb_call *call)
{
	const char *ca = set(s3_host->conf_str(conf, "ca-file"));
	const struct http_settings s = {
		.ca_file = ca ? ca : s3_creds_ca_file(h->creds), .insecure = s3_host->conf_u64(conf, "insecure"),
		.max_connections = h->concurrency,
	};

	return http_open(s3_host, &s, call, &h->web);
}

static int configure(struct kb_handle *h, const kb_conf *conf, struct kb_call *call)
{
	const char *endpoint = set(s3_host->conf_str(conf, "endpoint")), *region = set(s3_host->conf_str(conf, "region"));
	const char *payload = s3_host->conf_str(conf, "unsigned-payload"), *conditional = s3_host->conf_str(conf, "conditional");
	int rc = s3_bucket_of(conf, call, &h->bucket, &h->prefix);

	if (!rc)
		rc = s3_set_region(h, region ? region : s3_creds_region(h->creds), call);
	if (!rc)
		rc = s3_set_endpoint(h, endpoint ? endpoint : s3_creds_endpoint(h->creds), call);
	if (!rc)
		rc = s3_set_headers(h, conf, call);
	if (rc)
		return rc;
	s3_set_style(h, s3_host->conf_str(conf, "style"), s3_creds_addressing(h->creds));
	h->unsigned_payload = payload && !strcmp(payload, "auto") ? !strcmp(h->scheme, "https") : payload && !strcmp(payload, "always");
	h->conditional = !conditional || strcmp(conditional, "off");
	/* Google's store takes the header and replaces all the same. */
	if (strstr(h->host, "storage.googleapis.com"))
		h->conditional = false;
	h->content_md5 = s3_host->conf_u64(conf, "content-md5");
	h->multipart_from = s3_host->conf_u64(conf, "multipart-threshold");
	h->part_size = s3_host->conf_u64(conf, "part-size");
	h->concurrency = (unsigned)s3_host->conf_u64(conf, "concurrency");
	return KB_OK;
}

static int open_handle(const kb_conf *conf, kb_handle **out, struct kb_limits *limits, struct kb_call *call)
{
	struct kb_handle *h = calloc(1, sizeof *h);
	int rc;

	if (!h)
		return s3_host->fail(call, KB_E_LOCAL, "out of memory");
	pthread_mutex_init(&h->lock, NULL);
	rc = open_creds(h, conf, call);
	if (!rc)
		rc = configure(h, conf, call);
	if (!rc)
		rc = open_web(h, conf, call);
	if (!rc)
		rc = s3_probe(h, call);
	if (rc) {
		close_handle(h);
		return rc;
	}
	if (!h->conditional)
		limits->caps &= ~KB_CAP_PUT_IF_ABSENT;
	if (s3_host->conf_u64(conf, "anonymous"))
		limits->caps &= ~KB_CAP_WRITE;
	limits->max_inflight = h->concurrency;
	limits->max_object = OBJECT_MAX;
	*out = h;
	return KB_OK;
}

static const struct kb_backend s3 = {
	.magic = KB_MAGIC, .struct_size = sizeof s3, .abi_major = KB_ABI_MAJOR, .abi_minor = KB_ABI_MINOR,
	.threads = KB_THREADS_PARALLEL,
	.caps = KB_CAP_WRITE | KB_CAP_ATOMIC_PUT | KB_CAP_PUT_IF_ABSENT | KB_CAP_READ_OWN | KB_CAP_FD,
	.name = "s3", .version = PACKAGE_VERSION, .summary = "S3, and what speaks its protocol", .schemes = "s3",
	.opts = options, .opt_size = sizeof options[0],
	.check = s3_check, .open = open_handle, .close = close_handle, .get = s3_get, .put = s3_put, .head = s3_head,
	.del = s3_del, .list = s3_list, .ping = s3_ping,
};

KB_ENTRY(s3)
{
	real_host = kb_host_arg;
	own_host = (struct kb_host){
		.struct_size = sizeof own_host, .abi_minor = KB_ABI_MINOR, .kache_version = kb_host_arg->kache_version,
		.conf_str = kb_host_arg->conf_str, .conf_u64 = kb_host_arg->conf_u64, .fail = fail, .log = kb_host_arg->log,
	};
	return &s3;
}
