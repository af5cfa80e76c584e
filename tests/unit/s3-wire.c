/* The S3 backend against a server that answers from a script: what real servers do rarely, or never on request. */
#include "config.h"
#include "s3-host.h"
#include "s3-server.h"

#include <sys/mman.h>

/* ---- the client ---- */

static const struct kb_backend *s3;
static struct kb_limits limits;
static char endpoint[64];
static kb_conf conf = { { { "url", "s3://bucket/team" }, { "endpoint", endpoint }, { "access-key", "AK" }, { "secret-key", "canary" },
			  { "style", "path" }, { "multipart-threshold", "1000" }, { "part-size", "400000" }, { "concurrency", "4" },
			  { "unsigned-payload", "auto" }, { "conditional", "auto" }, { "storage-class", "STANDARD_IA" } } };

static struct answer absent(const char *method, const char *target, const char *head, const char *body, int n)
{
	(void)method;
	(void)target;
	(void)head;
	(void)body;
	(void)n;
	return (struct answer){ ABSENT };
}

static kb_handle *open_one(script_fn *f, int want)
{
	kb_handle *h = NULL;
	int rc;

	limits = (struct kb_limits){ .struct_size = sizeof limits, .caps = s3->caps };
	begin(f);
	rc = s3->open(&conf, &h, &limits, CALL);
	if (rc != want)
		printf("# open: %d %s\n", rc, said);
	return h;
}

static struct kb_key key(const char *name)
{
	return (struct kb_key){ name, strlen(name) };
}

struct source { struct kb_source kb; const char *data; size_t at, really; };

static int src_read(struct kb_source *kb, void *buf, size_t len, size_t *got)
{
	struct source *s = (struct source *)kb;

	*got = len < s->really - s->at ? len : s->really - s->at;
	memcpy(buf, s->data + s->at, *got);
	s->at += *got;
	return KB_OK;
}

static int src_rewind(struct kb_source *kb)
{
	((struct source *)kb)->at = 0;
	return KB_OK;
}

static int put_of(kb_handle *h, const char *data, size_t size, size_t really, int fd, uint32_t flags, struct kb_call *call)
{
	struct source s = { { sizeof(struct kb_source), fd, size, src_read, src_rewind }, data, 0, really };
	const struct kb_put_opts opts = { sizeof opts, flags, 0 };

	return s3->put(h, key("a/b"), &s.kb, &opts, call);
}
#define PUT(h, text, flags) put_of(h, text, strlen(text), strlen(text), -1, flags, CALL)

struct sink { struct kb_sink kb; char got[100]; size_t n; };

static int sink_begin(struct kb_sink *kb, uint64_t size)
{
	(void)size;
	((struct sink *)kb)->n = 0;
	return KB_OK;
}

static int sink_write(struct kb_sink *kb, const void *buf, size_t len)
{
	struct sink *s = (struct sink *)kb;

	if (len > sizeof s->got - s->n)
		return KB_E_LOCAL;
	memcpy(s->got + s->n, buf, len);
	s->n += len;
	return KB_OK;
}

static struct sink into;
static int get(kb_handle *h, struct kb_call *call)
{
	into = (struct sink){ .kb = { sizeof(struct kb_sink), -1, 100, sink_begin, sink_write } };
	return s3->get(h, key("a/b"), &into.kb, call);
}

/* How often a text occurs. */
static int count(const char *in, const char *what)
{
	int n = 0;

	for (const char *p = in; (p = strstr(p, what)); p++)
		n++;
	return n;
}

/* ---- open ---- */

static struct answer next_answer;
static struct answer fixed(const char *method, const char *target, const char *head, const char *body, int n)
{
	(void)absent(method, target, head, body, n);
	return next_answer;
}

static void test_open(void)
{
	static const struct { struct answer a; int want; const char *says, *name; } cases[] = {
		{ { ABSENT }, KB_OK, "", "nothing there" },
		{ { FINE }, KB_OK, "", "a sentinel" },
		{ { "HTTP/1.1 403 F\r\n", CODE("AccessDenied") }, KB_OK, "", "no right to list" },
		{ { "HTTP/1.1 403 F\r\n", CODE("InvalidAccessKeyId") }, KB_E_AUTH, "access-key", "an unknown key" },
		{ { "HTTP/1.1 403 F\r\n", CODE("SignatureDoesNotMatch") }, KB_E_AUTH, "secret-key", "a wrong secret" },
		{ { "HTTP/1.1 404 N\r\n", CODE("NoSuchBucket") }, KB_E_CONFIG, "bucket bucket: ", "no bucket" },
		{ { "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n", "<html>hello" }, KB_E_CONFIG, "endpoint: ", "a web page" },
		{ { "HTTP/1.1 404 N\r\n", "<html>no" }, KB_E_CONFIG, "endpoint: ", "somebody else's 404" },
		{ { "HTTP/1.1 302 N\r\nLocation: http://127.0.0.1:1/\r\n", "" }, KB_E_CONFIG, "endpoint", "a redirect" },
		{ { "HTTP/1.1 503 N\r\nRetry-After: 2\r\n", CODE("SlowDown") }, KB_E_THROTTLED, "slow down", "too much to do" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		kb_handle *h;

		next_answer = cases[i].a;
		h = open_one(fixed, cases[i].want);
		ok((cases[i].want == KB_OK) == (h != NULL) && strstr(said, cases[i].says) && !strstr(said, "canary"), "open: %s",
		   cases[i].name);
		is_str(seen, "GET /bucket/team/kache-sentinel\n", "asked once, and wrote nothing");
		if (h)
			s3->close(h);
	}
}

/* ---- reading ---- */

static struct answer one_object(const char *method, const char *target, const char *head, const char *body, int n)
{
	(void)absent(method, target, head, body, n);
	return (struct answer){ "HTTP/1.1 200 OK\r\nLast-Modified: Fri, 02 Jan 2026 03:04:05 GMT\r\n", "hello" };
}

static void test_reading(kb_handle *h)
{
	struct kb_stat st;
	struct kb_call *call;

	begin(one_object);
	ok(get(h, CALL) == KB_OK && into.n == 5 && !memcmp(into.got, "hello", 5), "get");
	is_str(seen, "GET /bucket/team/a/b\n", "below the URL's prefix");
	ok(s3->head(h, key("a/b"), &st, CALL) == KB_OK && st.size == 5 && st.mtime_s == 1767323045 && st.ttl_s == -1, "head");
	begin(absent);
	is_int(get(h, CALL), KB_MISS, "a miss");
	is_int(s3->head(h, key("a/b"), &st, CALL), KB_MISS, "of head, which has no body");
	is_int(s3->del(h, key("a/b"), CALL), KB_OK, "del of nothing");
	begin(fixed);
	next_answer = (struct answer){ "HTTP/1.1 503 N\r\nRetry-After: 2\r\n", CODE("SlowDown") };
	call = CALL;
	is_int(get(h, call), KB_E_THROTTLED, "slow down");
	is_int(call->retry_after_ms, 2000, "for two seconds");
	is_int(n_requests, 1, "which is the host's to wait for");
	next_answer = (struct answer){ "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n", "cut" };
	is_int(get(h, CALL), KB_E_CORRUPT, "a body that is cut");
	next_answer = (struct answer){ "HTTP/1.1 403 F\r\n", CODE("AccessDenied") };
	is_int(get(h, CALL), KB_E_AUTH, "denied, where a miss was told before");
	next_answer = (struct answer){ "HTTP/1.1 403 F\r\n", "" };
	is_int(s3->head(h, key("a/b"), &st, CALL), KB_E_AUTH, "of head too");
}

/* The right to read objects, but not to list: what is absent is denied. */
static struct answer no_list(const char *method, const char *target, const char *head, const char *body, int n)
{
	(void)absent(method, target, head, body, n);
	if (strstr(target, "kache-sentinel"))
		return (struct answer){ FINE };
	return (struct answer){ "HTTP/1.1 403 F\r\n", CODE("AccessDenied") };
}

static void test_no_list(void)
{
	kb_handle *h = open_one(no_list, KB_OK);

	is_int(get(h, CALL), KB_MISS, "denied is a miss where the sentinel could be read");
	s3->close(h);
}

/* ---- answers that ask for another try ---- */

static struct answer moved(const char *method, const char *target, const char *head, const char *body, int n)
{
	(void)absent(method, target, head, body, n);
	if (strstr(head, "/eu-west-3/s3/"))
		return (struct answer){ ABSENT };
	return (struct answer){ "HTTP/1.1 400 B\r\n",
				"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>" };
}

static struct answer skewed(const char *method, const char *target, const char *head, const char *body, int n)
{
	(void)absent(method, target, head, body, n);
	if (strcasestr(head, "x-amz-date: 20300101T0000"))
		return (struct answer){ ABSENT };
	return (struct answer){ "HTTP/1.1 403 F\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\n", CODE("RequestTimeTooSkewed") };
}

static void test_again(void)
{
	kb_handle *h = open_one(moved, KB_OK);

	is_int(n_requests, 2, "another region: signed for it, once");
	is_int(get(h, CALL), KB_MISS, "then at once");
	is_int(n_requests, 3, "without asking again");
	s3->close(h);
	h = open_one(skewed, KB_OK);
	is_int(n_requests, 2, "another clock: taken over");
	is_int(get(h, CALL), KB_MISS, "and kept");
	is_int(n_requests, 3, "for later requests");
	s3->close(h);
}

/* ---- writing ---- */

static struct answer unconditional(const char *method, const char *target, const char *head, const char *body, int n)
{
	(void)absent(method, target, head, body, n);
	if (strcasestr(head, "if-none-match"))
		return (struct answer){ "HTTP/1.1 501 N\r\n", CODE("NotImplemented") };
	return (struct answer){ FINE };
}

static void test_writing(kb_handle *h)
{
	static const char *const codes[] = { "412 P", "409 C", "304 N" };

	next_answer = (struct answer){ FINE };
	begin(fixed);
	is_int(PUT(h, "hello", KB_PUT_IF_ABSENT), KB_OK, "put");
	ok(strcasestr(last, "\r\nif-none-match: *\r\n") && strcasestr(last, "\r\nx-amz-storage-class: STANDARD_IA\r\n") &&
	   strcasestr(last, "\r\nx-amz-content-sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\r\n"),
	   "only if absent, with its storage class and hash");
	ok(!strcasestr(last, "\r\nexpect:") && !strcasestr(last, "chunked") && !strstr(last, "canary"), "and nothing else");
	is_int(PUT(h, "hello", 0), KB_OK, "put over another");
	ok(!strcasestr(last, "if-none-match"), "unconditionally");
	for (size_t i = 0; i < 3; i++) {
		char head[40];

		snprintf(head, sizeof head, "HTTP/1.1 %s\r\n", codes[i]);
		next_answer = (struct answer){ head, "" };
		is_int(PUT(h, "hello", KB_PUT_IF_ABSENT), KB_EXISTS, codes[i]);
	}
	next_answer = (struct answer){ "HTTP/1.1 403 F\r\n", CODE("AccessDenied") };
	is_int(PUT(h, "hello", 0), KB_E_AUTH, "put that is denied");
	ok(strstr(said, "may not write") != NULL, "says so");
	is_int(put_of(h, "hello", 9, 5, -1, 0, CALL), KB_E_LOCAL, "a source that ends early");
	begin(unconditional);
	is_int(PUT(h, "hello", KB_PUT_IF_ABSENT), KB_OK, "a server without If-None-Match");
	is_int(n_requests, 2, "gets it again without");
	is_int(PUT(h, "hello", KB_PUT_IF_ABSENT), KB_OK, "and later");
	is_int(n_requests, 3, "only so");
}

static void test_ping(kb_handle *h)
{
	begin(fixed);
	next_answer = (struct answer){ "HTTP/1.1 400 B\r\n", CODE("BadDigest") };
	limits.caps = s3->caps;
	ok(s3->ping(h, &limits, CALL) == KB_OK && limits.caps & KB_CAP_WRITE, "ping: may write");
	ok(!(limits.caps & KB_CAP_PUT_IF_ABSENT), "but not conditionally, as was learnt");
	next_answer = (struct answer){ "HTTP/1.1 403 F\r\n", CODE("AccessDenied") };
	limits.caps = s3->caps;
	ok(s3->ping(h, &limits, CALL) == KB_OK && !(limits.caps & KB_CAP_WRITE), "ping: may not");
	next_answer = (struct answer){ "HTTP/1.1 403 F\r\n", CODE("SignatureDoesNotMatch") };
	is_int(s3->ping(h, &limits, CALL), KB_E_AUTH, "ping: wrong credentials");
}

/* ---- parts ---- */

static const char *part_head = "HTTP/1.1 200 OK\r\nETag: \"tag\"\r\n", *end_body = "<CompleteMultipartUploadResult/>";
static char end_seen[4000];

static struct answer parts(const char *method, const char *target, const char *head, const char *body, int n)
{
	(void)absent(method, target, head, body, n);
	if (!strcmp(method, "HEAD"))
		return (struct answer){ ABSENT };
	if (strstr(target, "?uploads="))
		return (struct answer){ "HTTP/1.1 200 OK\r\n", "<R><UploadId>a/b+c</UploadId></R>" };
	if (strstr(target, "partNumber="))
		return (struct answer){ part_head, strstr(part_head, " 200 ") ? "" : CODE("InternalError") };
	if (!strcmp(method, "POST")) {
		snprintf(end_seen, sizeof end_seen, "%s", body);
		return (struct answer){ "HTTP/1.1 200 OK\r\n", end_body };
	}
	return (struct answer){ "HTTP/1.1 204 N\r\n", "" };
}

enum { BIG = 1000000 };

static void test_parts(kb_handle *h, const char *data, int fd)
{
	begin(parts);
	is_int(put_of(h, data, BIG, BIG, fd, 0, CALL), KB_OK, "an object in parts");
	ok(count(seen, "PUT ") == 1 && strstr(seen, "partNumber=1&uploadId=a%2Fb%2Bc\n") && !strstr(seen, "DELETE"),
	   "of at least a MiB: one");
	is_int(put_of(h, data, BIG, BIG, fd, KB_PUT_IF_ABSENT, CALL), KB_OK, "only if absent");
	ok(strcasestr(last, "if-none-match: *") && strstr(seen, "HEAD /bucket/team/a/b\n"), "which is asked first, and at the end");
	begin(one_object);
	is_int(put_of(h, data, BIG, BIG, fd, KB_PUT_IF_ABSENT, CALL), KB_EXISTS, "that is there");
	is_str(seen, "HEAD /bucket/team/a/b\n", "and need not travel");
	begin(parts);
	end_body = CODE("InternalError");
	is_int(put_of(h, data, BIG, BIG, fd, 0, CALL), KB_E_TRANSIENT, "an error in the end's answer of status 200");
	ok(strstr(said, "ending") && strstr(seen, "DELETE /bucket/team/a/b?uploadId=a%2Fb%2Bc\n"), "which takes the upload back");
	end_body = "<CompleteMultipartUploadResult/>";
	begin(parts);
	part_head = "HTTP/1.1 500 I\r\n";
	is_int(put_of(h, data, BIG, BIG, fd, 0, CALL), KB_E_TRANSIENT, "a part that fails");
	ok(strstr(said, "sending a part") && count(seen, "DELETE") == 1 && count(seen, "POST") == 1, "ends it");
	part_head = "HTTP/1.1 200 OK\r\n";
	begin(parts);
	is_int(put_of(h, data, BIG, BIG, fd, 0, CALL), KB_E_CORRUPT, "a part without a tag");
	part_head = "HTTP/1.1 200 OK\r\nETag: \"tag\"\r\n";
}

/* Above a MiB per part, which is the least a part has. */
static void test_many(kb_handle *h, const char *data, int fd)
{
	h->part_size = 1 << 20;
	begin(parts);
	is_int(put_of(h, data, 5 * BIG, 5 * BIG, fd, 0, CALL), KB_OK, "five parts");
	ok(count(seen, "PUT ") == 5 && count(end_seen, "<Part>") == 5 && strstr(end_seen, "<PartNumber>5</PartNumber><ETag>\"tag\"</ETag>"),
	   "all of them listed");
	begin(parts);
	pthread_mutex_lock(&lock);
	hang_at = 3;
	pthread_mutex_unlock(&lock);
	is_int(put_of(h, data, 5 * BIG, 5 * BIG, fd, 0, call_for(0.5)), KB_E_TIMEOUT, "a part that hangs");
	ok(count(seen, "DELETE") == 1 && !strstr(seen, "POST /bucket/team/a/b?uploadId"), "is taken back when the time is up");
}

static void test_cancel(kb_handle *h, const char *data, int fd)
{
	struct kb_call *call = CALL;
	int fds[2];

	if (pipe(fds) || write(fds[1], "x", 1) != 1)
		exit(99);
	call->cancel_fd = fds[0];
	begin(parts);
	is_int(put_of(h, data, 5 * BIG, 5 * BIG, fd, 0, call), KB_E_CANCELLED, "a cancelled put");
	is_int(get(h, call), KB_E_CANCELLED, "a cancelled get");
	close(fds[0]);
	close(fds[1]);
}

/* ---- listing ---- */

#define PAGE(more, key) "<ListBucketResult>" more "<Contents><Key>" key "</Key><Size>3</Size></Contents></ListBucketResult>"
#define MORE(token) "<IsTruncated>true</IsTruncated><NextContinuationToken>" token "</NextContinuationToken>"

static bool repeats;
static struct answer pages(const char *method, const char *target, const char *head, const char *body, int n)
{
	(void)absent(method, target, head, body, n);
	if (!strstr(target, "continuation-token="))
		return (struct answer){ "HTTP/1.1 200 OK\r\n", PAGE(MORE("t+/="), "team/a/1") };
	return (struct answer){ "HTTP/1.1 200 OK\r\n", repeats ? PAGE(MORE("t+/="), "team/a/2") : PAGE("", "team/a/2") };
}

static char listed[300];
static int stop_with;
static int each(void *arg, struct kb_key k, const struct kb_stat *st)
{
	size_t at = strlen(listed);

	(void)arg;
	snprintf(listed + at, sizeof listed - at, "%.*s:%d ", (int)k.len, k.name, (int)st->size);
	return stop_with;
}

static int list(kb_handle *h)
{
	*listed = '\0';
	return s3->list(h, key("a/"), CALL, each, NULL);
}

static void test_listing(kb_handle *h)
{
	begin(pages);
	is_int(list(h), KB_OK, "list");
	is_str(listed, "a/1:3 a/2:3 ", "both pages, without the prefix");
	is_str(seen, "GET /bucket?encoding-type=url&list-type=2&max-keys=1000&prefix=team%2Fa%2F\n"
	       "GET /bucket?continuation-token=t%2B%2F%3D&encoding-type=url&list-type=2&max-keys=1000&prefix=team%2Fa%2F\n", "as asked");
	repeats = true;
	begin(pages);
	is_int(list(h), KB_E_CORRUPT, "a page that repeats its token");
	is_int(n_requests, 2, "is not followed for ever");
	stop_with = -1;
	is_int(list(h), -1, "the caller can end it");
	is_str(listed, "a/1:3 ", "at once");
	stop_with = 0;
	begin(fixed);
	next_answer = (struct answer){ "HTTP/1.1 200 OK\r\n", "<ListBucketResult><Contents><Key>team/A b</Key></Contents><Contents>"
				       "<Key>elsewhere/x</Key></Contents><Contents><Key>team/a/../b</Key></Contents>"
				       "<Contents><Key>team/</Key></Contents><Contents><Key>team/a/ok</Key></Contents></ListBucketResult>" };
	is_int(list(h), KB_OK, "names that are no keys");
	is_str(listed, "a/ok:0 ", "are left out");
	next_answer = (struct answer){ "HTTP/1.1 200 OK\r\n", "{}" };
	is_int(list(h), KB_E_CORRUPT, "no XML");
	next_answer = (struct answer){ "HTTP/1.1 403 F\r\n", CODE("AccessDenied") };
	is_int(list(h), KB_E_AUTH, "denied");
}

static void test_anonymous(void)
{
	kb_handle *h;

	conf.v[11][0] = "anonymous";
	conf.v[11][1] = "1";
	conf.v[2][0] = conf.v[3][0] = "unused";
	h = open_one(absent, KB_OK);
	ok(h && !strcasestr(last, "authorization:") && !strcasestr(last, "x-amz-date:"), "anonymous requests are not signed");
	if (h)
		s3->close(h);
}

int main(void)
{
	char *data = calloc(5, BIG);
	int fd = memfd_create("data", MFD_CLOEXEC);
	kb_handle *h;

	unsetenv("http_proxy");
	setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
	setenv("AWS_CONFIG_FILE", "/dev/null", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
	if (write(fd, data, 5 * BIG) != 5 * BIG)
		return 99;
	start();
	snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", port);
	s3 = kb_builtin_s3(&test_host);
	test_open();
	h = open_one(absent, KB_OK);
	if (!h)
		return 99;
	test_reading(h);
	test_no_list();
	test_again();
	test_parts(h, data, fd);
	test_parts(h, data, -1);
	test_many(h, data, fd);
	test_many(h, data, -1);
	test_cancel(h, data, fd);
	test_listing(h);
	test_writing(h);
	test_ping(h);
	s3->close(h);
	test_anonymous();
	close(fd);
	free(data);
	return done();
}
