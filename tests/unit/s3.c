/* What the S3 backend does without a server: options, URLs, XML, and the meaning of answers. */
#include "config.h"
#include "s3-host.h"

static const struct kb_backend *s3;

/* ---- options ---- */

static void test_check(void)
{
	static const struct { kb_conf conf; int status; const char *says, *name; } cases[] = {
		{ { { { "url", "s3://bucket/team/x" } } }, KB_OK, "", "a URL" },
		{ { { { "url", "s3://bucket" } } }, KB_OK, "", "without a prefix" },
		{ { { { "url", "s3:" }, { "bucket", "b" } } }, KB_OK, "", "the bucket as option" },
		{ { { { "bucket", "b" } } }, KB_OK, "", "and no URL" },
		{ { { { "url", "s3://b/x" }, { "bucket", "b" } } }, KB_OK, "", "both, the same" },
		{ { { { "url", "s3://b/x" }, { "bucket", "c" } } }, KB_E_CONFIG, "bucket: ", "two buckets" },
		{ { { { "url", "s3:///x" } } }, KB_E_CONFIG, "bucket: ", "no bucket" },
		{ { { { "url", "s3://user:canary@b/x" } } }, KB_E_CONFIG, "url: ", "a password in the URL" },
		{ { { { "url", "s3://b%zz/x" } } }, KB_E_CONFIG, "url: ", "a bad escape" },
		{ { { { "url", "s3://b" }, { "endpoint", "http://127.0.0.1:9000" } } }, KB_OK, "", "an endpoint" },
		{ { { { "url", "s3://b" }, { "endpoint", "https://[::1]:9000/s3/" } } }, KB_OK, "", "with a path" },
		{ { { { "url", "s3://b" }, { "endpoint", "host.example:9000" } } }, KB_OK, "", "without a scheme" },
		{ { { { "url", "s3://b" }, { "endpoint", "ftp://h" } } }, KB_E_CONFIG, "endpoint: ", "of another scheme" },
		{ { { { "url", "s3://b" }, { "endpoint", "http://" } } }, KB_E_CONFIG, "endpoint: ", "without a host" },
		{ { { { "url", "s3://b" }, { "endpoint", "http://u:canary@h" } } }, KB_E_CONFIG, "endpoint: ", "with a password" },
		{ { { { "url", "s3://b" }, { "endpoint", "http://h:port" } } }, KB_E_CONFIG, "endpoint: ", "with a bad port" },
		{ { { { "url", "s3://b" }, { "endpoint", "http://h/?a=b" } } }, KB_E_CONFIG, "endpoint: ", "with a query" },
		{ { { { "url", "s3://b" }, { "region", "eu-west-1" } } }, KB_OK, "", "a region" },
		{ { { { "url", "s3://b" }, { "region", "evil.example/" } } }, KB_E_CONFIG, "region: ", "a bad region" },
		{ { { { "url", "s3://b" }, { "storage-class", "A\r\nB: c" } } }, KB_E_CONFIG, "storage-class: ", "two headers in one" },
		{ { { { "url", "s3://b" }, { "sse", "aws:kms" }, { "kms-key", "alias/x" } } }, KB_OK, "", "a key of KMS" },
		{ { { { "url", "s3://b" }, { "kms-key", "alias/x" } } }, KB_E_CONFIG, "kms-key: ", "a key without encryption" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int rc = s3->check(&cases[i].conf, CALL);

		if (!ok(rc == cases[i].status && !strncmp(said, cases[i].says, strlen(cases[i].says)) && !strstr(said, "canary"),
			"check: %s", cases[i].name))
			printf("# %d %s\n", rc, said);
	}
}

/* ---- URLs ---- */

static void release(struct kb_handle *h)
{
	free(h->bucket);
	free(h->prefix);
	free(h->region);
	free(h->host);
	free(h->scheme);
	free(h->base);
	*h = (struct kb_handle){ 0 };
}

static void set_up(struct kb_handle *h, const kb_conf *conf)
{
	*h = (struct kb_handle){ 0 };
	if (s3_bucket_of(conf, CALL, &h->bucket, &h->prefix) || s3_set_region(h, conf_str(conf, "region"), CALL) ||
	    s3_set_endpoint(h, conf_str(conf, "endpoint"), CALL))
		printf("# %s\n", said);
	s3_set_style(h, conf_str(conf, "style"), NULL);
}

static void test_places(void)
{
	static const struct { kb_conf conf; const char *key, *query, *url, *host, *path; } cases[] = {
		{ { { { "url", "s3://bucket/p" } } }, "a/b", NULL, "https://bucket.s3.us-east-1.amazonaws.com/a/b",
		  "bucket.s3.us-east-1.amazonaws.com", "/a/b" },
		{ { { { "url", "s3://buc.ket/p" } } }, "a", "list-type=2", "https://s3.us-east-1.amazonaws.com/buc.ket/a?list-type=2",
		  "s3.us-east-1.amazonaws.com", "/buc.ket/a" },
		{ { { { "url", "s3://bucket" }, { "region", "cn-north-1" }, { "style", "path" } } }, NULL, "x=1",
		  "https://s3.cn-north-1.amazonaws.com.cn/bucket?x=1", "s3.cn-north-1.amazonaws.com.cn", "/bucket" },
		{ { { { "url", "s3://bucket" }, { "region", "eu-west-1" } } }, NULL, NULL,
		  "https://bucket.s3.eu-west-1.amazonaws.com/", "bucket.s3.eu-west-1.amazonaws.com", "/" },
		{ { { { "url", "s3://bucket" }, { "endpoint", "http://Host:9000/" } } }, "a b+c/\303\274", NULL,
		  "http://host:9000/bucket/a%20b%2Bc/%C3%BC", "host:9000", "/bucket/a%20b%2Bc/%C3%BC" },
		{ { { { "url", "s3://bucket" }, { "endpoint", "http://h:80/base/" } } }, "k", NULL, "http://h/base/bucket/k", "h",
		  "/base/bucket/k" },
		{ { { { "url", "s3://bucket" }, { "endpoint", "https://h:443" }, { "style", "virtual" } } }, "k", NULL,
		  "https://bucket.h/k", "bucket.h", "/k" },
		{ { { { "url", "s3://bucket" }, { "endpoint", "https://s3.dualstack.eu-west-1.amazonaws.com" } } }, "k", NULL,
		  "https://bucket.s3.dualstack.eu-west-1.amazonaws.com/k", "bucket.s3.dualstack.eu-west-1.amazonaws.com", "/k" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct kb_handle h;
		struct s3_place p;
		struct s3_request r = { .key = cases[i].key, .key_len = cases[i].key ? strlen(cases[i].key) : 0, .query = cases[i].query };

		set_up(&h, &cases[i].conf);
		s3_place_of(&h, &r, &p);
		is_str(p.url, cases[i].url, "URL");
		ok(p.host && !strcmp(p.host, cases[i].host) && p.path && !strcmp(p.path, cases[i].path), "its host and path");
		s3_place_release(&p);
		release(&h);
	}
}

static void test_prefixes(void)
{
	static const char *const cases[][2] = { { "s3://b/team/x", "team/x/" }, { "s3://b/team//", "team/" }, { "s3://b//team", "team/" },
						{ "s3://b/a%20b", "a b/" }, { "s3://b/", "" }, { "s3://b", "" } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		kb_conf conf = { { { "url", cases[i][0] } } };
		char *bucket, *prefix;

		s3_bucket_of(&conf, CALL, &bucket, &prefix);
		is_str(prefix, cases[i][1], cases[i][0]);
		free(bucket);
		free(prefix);
	}
}

static void test_regions(void)
{
	struct kb_handle h;
	kb_conf aws = { { { "url", "s3://bucket" }, { "endpoint", "https://s3.amazonaws.com" } } };
	kb_conf fips = { { { "url", "s3://bucket" }, { "endpoint", "https://s3-fips.us-east-1.amazonaws.com" } } };
	kb_conf own = { { { "url", "s3://bucket" }, { "endpoint", "https://s3.example.com" } } };

	set_up(&h, &aws);
	ok(s3_use_region(&h, "eu-central-1") && !strcmp(h.host, "s3.eu-central-1.amazonaws.com"), "AWS's endpoint follows the region");
	ok(!s3_use_region(&h, "evil.example/x") && !s3_use_region(&h, "") && !strcmp(h.region, "eu-central-1"),
	   "but not to what is no region");
	release(&h);
	set_up(&h, &fips);
	ok(s3_use_region(&h, "us-west-2") && !strcmp(h.host, "s3-fips.us-west-2.amazonaws.com"), "in its form");
	release(&h);
	set_up(&h, &own);
	ok(s3_use_region(&h, "us-west-2") && !strcmp(h.host, "s3.example.com") && !strcmp(h.region, "us-west-2"),
	   "another one stays");
	release(&h);
}

/* ---- XML ---- */

static void test_text(void)
{
	static const struct { const char *xml, *name, *want; } cases[] = {
		{ "<Error><Code>NoSuchKey</Code><Message>a &amp; b</Message></Error>", "Code", "NoSuchKey" },
		{ "<Error><Code>NoSuchKey</Code><Message>a &amp; b</Message></Error>", "Message", "a & b" },
		{ "<?xml version=\"1.0\"?>\n<s:Error xmlns:s=\"u\"><s:Code>X</s:Code></s:Error>", "Code", "X" },
		{ "<Error><Code>First</Code><Code>Second</Code></Error>", "Code", "First" },
		{ "<Error><Code>Cut</Code><Mess", "Code", "Cut" },
		{ "<Error><Code>Cut", "Code", NULL },
		{ "<html><body>no", "Code", NULL },
		{ "", "Code", NULL },
		{ "<!DOCTYPE x [<!ENTITY a \"b\">]><Error><Code>&a;</Code></Error>", "Code", NULL },
		{ "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><Code>deep</Code>", "Code", NULL },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *got = s3_xml_text(cases[i].xml, strlen(cases[i].xml), cases[i].name);

		if (!ok(got && cases[i].want ? !strcmp(got, cases[i].want) : !got && !cases[i].want, "text of an element, %zu", i))
			printf("# got %s\n", got ? got : "nothing");
		free(got);
	}
}

struct seen { char text[600]; int stop; };

static int on_object(void *arg, const char *key, uint64_t size, int64_t mtime_s)
{
	struct seen *s = arg;
	size_t at = strlen(s->text);

	snprintf(s->text + at, sizeof s->text - at, "%s %llu %lld;", key, (unsigned long long)size, (long long)mtime_s);
	return s->stop;
}

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
#define ONE "<Contents><Key>a/b</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;x&quot;</ETag><Size>7</Size>" \
	"<Owner><ID>o</ID><Key>not this</Key></Owner></Contents>"

static void test_pages(void)
{
	static const struct { const char *xml; int rc; const char *seen, *token, *name; } cases[] = {
		{ HEAD "<Prefix>a</Prefix><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>" ONE "</ListBucketResult>", 0,
		  "a/b 7 1767323045;", NULL, "a page" },
		{ HEAD "<IsTruncated>true</IsTruncated><NextContinuationToken>1/a+b==</NextContinuationToken>" ONE "</ListBucketResult>", 0,
		  "a/b 7 1767323045;", "1/a+b==", "with a continuation" },
		{ HEAD "</ListBucketResult>", 0, "", NULL, "an empty page" },
		{ HEAD "<Contents><Key>a%2Fb+c%2B</Key></Contents><EncodingType>url</EncodingType></ListBucketResult>", 0,
		  "a/b c+ 0 -1;", NULL, "encoded keys" },
		{ HEAD "<Contents><Key>a%2Fb+c</Key></Contents></ListBucketResult>", 0, "a%2Fb+c 0 -1;", NULL, "keys as they are" },
		{ HEAD "<IsTruncated>true</IsTruncated></ListBucketResult>", -1, "", NULL, "a continuation without a token" },
		{ HEAD "<Contents><Size>1</Size></Contents></ListBucketResult>", -1, "", NULL, "an object without a key" },
		{ HEAD ONE, -1, "a/b 7 1767323045;", NULL, "half a page" },
		{ "<html>" ONE "</html>", -1, "a/b 7 1767323045;", NULL, "something else" },
		{ HEAD "<Contents><Key>%00</Key></Contents><EncodingType>url</EncodingType></ListBucketResult>", -1, "", NULL, "a NUL" },
		{ HEAD "<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes></ListBucketResult>", 0, "", NULL, "folders" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct seen s = { "", 0 };
		char *token;
		int rc = s3_xml_list(cases[i].xml, strlen(cases[i].xml), on_object, &s, &token);

		if (!ok(rc == cases[i].rc && !strcmp(s.text, cases[i].seen) &&
			(token && cases[i].token ? !strcmp(token, cases[i].token) : !token && !cases[i].token), "list: %s", cases[i].name))
			printf("# %d '%s' %s\n", rc, s.text, token ? token : "no token");
		free(token);
	}
}

static void test_stop(void)
{
	static const char xml[] = HEAD ONE ONE "</ListBucketResult>";
	struct seen s = { "", 5 };
	char *token;

	is_int(s3_xml_list(xml, sizeof xml - 1, on_object, &s, &token), 1, "list: ended by the caller");
	is_str(s.text, "a/b 7 1767323045;", "at once");
}

/* ---- answers ---- */

#define CODE(c) "<?xml version=\"1.0\"?><Error><Code>" c "</Code><Message>m</Message></Error>"

static struct http_reply reply(int status, const char *text, char *headers)
{
	return (struct http_reply){ .status = status, .text = (char *)text, .text_len = strlen(text),
				    .headers = headers, .content_length = -1 };
}

static void test_meanings(void)
{
	static const struct { int status; const char *text; int rc; const char *says; } cases[] = {
		{ 200, "", KB_OK, "" }, { 204, "", KB_OK, "" },
		{ 404, CODE("NoSuchKey"), KB_MISS, "" }, { 404, CODE("NoSuchBucket"), KB_E_CONFIG, "bucket b: there is no such bucket" },
		{ 403, CODE("AccessDenied"), KB_E_AUTH, "access denied" },
		{ 403, CODE("SignatureDoesNotMatch"), KB_E_AUTH, "secret-key" },
		{ 403, CODE("InvalidAccessKeyId"), KB_E_AUTH, "access-key" },
		{ 400, CODE("ExpiredToken"), KB_E_AUTH, "session-token" },
		{ 403, CODE("RequestTimeTooSkewed"), KB_E_AUTH, "clock" },
		{ 400, CODE("AuthorizationHeaderMalformed"), KB_E_CONFIG, "region" },
		{ 301, CODE("PermanentRedirect"), KB_E_CONFIG, "endpoint" }, { 302, "", KB_E_CONFIG, "endpoint" },
		{ 503, CODE("SlowDown"), KB_E_THROTTLED, "slow down" }, { 503, "", KB_E_THROTTLED, "" },
		{ 429, CODE("TooManyRequests"), KB_E_THROTTLED, "" }, { 400, CODE("RequestTimeout"), KB_E_TRANSIENT, "waited" },
		{ 500, CODE("InternalError"), KB_E_TRANSIENT, "" }, { 502, "<html>", KB_E_TRANSIENT, "" },
		{ 507, CODE("XMinioStorageFull"), KB_E_NOSPACE, "" }, { 400, CODE("XMinioAdminBucketQuotaExceeded"), KB_E_NOSPACE, "" },
		{ 400, CODE("EntityTooLarge"), KB_E_TOOBIG, "" }, { 413, "", KB_E_TOOBIG, "" },
		{ 400, CODE("BadDigest"), KB_E_TRANSIENT, "" }, { 501, CODE("NotImplemented"), KB_E_UNSUPPORTED, "" },
		{ 400, CODE("KeyTooLongError"), KB_E_UNSUPPORTED, "" }, { 400, CODE("InvalidStorageClass"), KB_E_CONFIG, "storage-class" },
	};
	struct kb_handle h = { .bucket = (char *)"b" };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct http_reply r = reply(cases[i].status, cases[i].text, NULL);
		int rc = s3_judge(&h, &r, "GET k", CALL);

		if (!ok(rc == cases[i].rc && strstr(said, cases[i].says), "%d %.40s", cases[i].status,
			strstr(cases[i].text, "<Code>") ? strstr(cases[i].text, "<Code>") : cases[i].text))
			printf("# %d %s\n", rc, said);
	}
}

static void test_waits(void)
{
	char headers[] = "x-amz-retry-after: 250\0";
	struct kb_handle h = { .bucket = (char *)"b" };
	struct http_reply r = reply(503, CODE("SlowDown"), headers);
	struct kb_call *call = CALL;

	s3_judge(&h, &r, "GET k", call);
	is_int(call->retry_after_ms, 250, "x-amz-retry-after is in milliseconds");
	r = reply(503, CODE("SlowDown"), NULL);
	r.retry_after_ms = 3000;
	s3_judge(&h, &r, "GET k", call);
	is_int(call->retry_after_ms, 3000, "Retry-After counts without it");
}

static void test_denied(void)
{
	struct kb_handle h = { .bucket = (char *)"b" };
	struct http_reply r = reply(403, CODE("AccessDenied"), NULL), other = reply(403, CODE("SignatureDoesNotMatch"), NULL);

	ok(s3_is_denied(&r) && !s3_is_denied(&other), "access denied is told from a wrong signature");
	is_int(s3_denied(&h, "GET k", CALL), KB_E_AUTH, "is an error as long as nothing could be read");
	ok(strstr(said, "s3:ListBucket") != NULL, "that names the rights");
	h.seen = S3_SEEN_OBJECT;
	is_int(s3_denied(&h, "GET k", CALL), KB_MISS, "a miss where objects can be read, but absent ones are denied");
	h.seen = S3_SEEN_OBJECT | S3_SEEN_ABSENT;
	is_int(s3_denied(&h, "GET k", CALL), KB_E_AUTH, "and an error where absent ones are told");
}

static void test_again(void)
{
	char region[] = "x-amz-bucket-region: us-west-2\0", dated[] = "date: Sat, 21 Nov 2020 00:00:00 GMT\0";
	struct s3_cred cred = { .access = (char *)"a", .secret = (char *)"s", .source = "test" };
	struct kb_handle h;
	kb_conf conf = { { { "url", "s3://bucket" } } };
	struct http_reply r = reply(301, CODE("PermanentRedirect"), region);
	unsigned tried = 0;

	set_up(&h, &conf);
	pthread_mutex_init(&h.lock, NULL);
	ok(s3_again(&h, &r, &cred, &tried) && !strcmp(h.host, "s3.us-west-2.amazonaws.com"), "a redirect names the region");
	ok(!s3_again(&h, &r, &cred, &tried), "once per request");
	tried = 0;
	ok(!s3_again(&h, &r, &cred, &tried), "and never the same one again");
	r = reply(400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>", NULL);
	tried = 0;
	ok(s3_again(&h, &r, &cred, &tried) && !strcmp(h.region, "eu-west-3"), "a malformed header too");
	r = reply(400, "", region);
	tried = 0;
	ok(s3_again(&h, &r, &cred, &tried) && !strcmp(h.region, "us-west-2"), "and a header alone, for HEAD");
	r = reply(403, CODE("RequestTimeTooSkewed"), dated);
	tried = 0;
	ok(s3_again(&h, &r, &cred, &tried) && h.clock_offset_s < -3600, "the server's clock is taken");
	tried = 0;
	ok(!s3_again(&h, &r, &cred, &tried), "but not when it is known already");
	r = reply(503, CODE("SlowDown"), NULL);
	ok(!s3_again(&h, &r, &cred, &tried), "other errors are the host's to repeat");
	pthread_mutex_destroy(&h.lock);
	release(&h);
}

int main(void)
{
	s3 = kb_builtin_s3(&test_host);
	test_check();
	test_places();
	test_prefixes();
	test_regions();
	test_text();
	test_pages();
	test_stop();
	test_meanings();
	test_waits();
	test_denied();
	test_again();
	return done();
}
