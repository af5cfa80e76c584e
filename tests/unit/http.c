/* What the http backend does without a server: options, URLs, headers, the meaning of statuses, action results. */
#include "config.h"
#include "http-host.h"

#include <time.h>

static const struct kb_backend *http;

static void test_check(void)
{
	static const struct { kb_conf conf; int status; const char *says, *name; } cases[] = {
		{ { { { "url", "http://h" } } }, KB_OK, "", "a host" },
		{ { { { "url", "https://u:p%40@h:8080/a/b/" } } }, KB_OK, "", "port, path, user and password" },
		{ { { { "url", "http://[::1]:80/a" } } }, KB_OK, "", "an IPv6 address" },
		{ { { { "url", "dav://h/x" } } }, KB_OK, "", "dav" },
		{ { { { "user", "joe" } } }, KB_E_CONFIG, "url: ", "no URL" },
		{ { { { "url", "http:" } } }, KB_E_CONFIG, "url: ", "nothing" },
		{ { { { "url", "http:///path" } } }, KB_E_CONFIG, "url: ", "no host" },
		{ { { { "url", "http://joe:canary@/path" } } }, KB_E_CONFIG, "url: ", "no host but a user" },
		{ { { { "url", "http://h" }, { "user", "joe" }, { "password", "canary" } } }, KB_OK, "", "user and password" },
		{ { { { "url", "http://h" }, { "user", "joe" } } }, KB_OK, "", "a user without a password" },
		{ { { { "url", "http://h" }, { "password", "canary" } } }, KB_E_CONFIG, "user: ", "a password without a user" },
		{ { { { "url", "http://h" }, { "user", "joe" }, { "token", "canary" } } }, KB_E_CONFIG, "token: ", "user and token" },
		{ { { { "url", "http://joe@h" }, { "token", "canary" } } }, KB_E_CONFIG, "token: ", "user of the URL and token" },
		{ { { { "url", "http://h" }, { "token", "canary\r\nX: y" } } }, KB_E_CONFIG, "headers, ", "a token of two lines" },
		{ { { { "url", "http://h" }, { "headers", "A: b| C: d; e|" } } }, KB_OK, "", "headers" },
		{ { { { "url", "http://h" }, { "headers", "canary" } } }, KB_E_CONFIG, "headers: ", "what is no header" },
		{ { { { "url", "http://h" }, { "headers", "A: b|:canary" } } }, KB_E_CONFIG, "headers: ", "or has no name" },
		{ { { { "url", "http://h" }, { "headers", "A: b\nC: canary" } } }, KB_E_CONFIG, "headers, ", "or is two" },
		{ { { { "url", "http://h" }, { "client-key", "/k" } } }, KB_E_CONFIG, "client-cert: ", "half a pair" },
		{ { { { "url", "http://h" }, { "client-cert", "/k" } } }, KB_OK, "", "a certificate with its key" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int rc = http->check(&cases[i].conf, CALL);

		ok(rc == cases[i].status && !strncmp(said, cases[i].says, strlen(cases[i].says)) && !strstr(said, "canary"),
		   "%s (%d, '%s')", cases[i].name, rc, said);
	}
}

static void test_paths(void)
{
	static const struct { enum web_layout layout; const char *key, *path; } cases[] = {
		{ WEB_FLAT, "a/bcdef", "a/bcdef" }, { WEB_FLAT, "bcdef", "bcdef" },
		{ WEB_SUBDIRS, "a/bcdef", "a/bc/bcdef" }, { WEB_SUBDIRS, "bcdef", "bc/bcdef" },
		{ WEB_SUBDIRS, "a/bc/bcdef", "a/bc/bc/bcdef" }, { WEB_SUBDIRS, "a/bc", "a/bc" }, { WEB_SUBDIRS, "a/b", "a/b" },
		{ WEB_SUBDIRS, "a/..bcd", "a/..bcd" }, { WEB_SUBDIRS, "a/.bcd", "a/.b/.bcd" }, { WEB_SUBDIRS, "..bcd", "..bcd" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct kb_handle h = { .layout = cases[i].layout };
		char *path = web_path(&h, KEY(cases[i].key));

		is_str(path, cases[i].path, cases[i].key);
		free(path);
	}
}

static void test_decoded(void)
{
	static const char *const cases[][2] = {
		{ "", "" }, { "a", "a" }, { "%41%2fb", "A/b" }, { "%4", "%4" }, { "%", "%" }, { "%zz", "%zz" }, { "a%20%", "a %" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *text = web_decoded(cases[i][0], strlen(cases[i][0]));

		is_str(text, cases[i][1], cases[i][0]);
		free(text);
	}
}

static void test_retry_after(void)
{
	enum { NOW = 1700000000 };		/* Tue, 14 Nov 2023 22:13:20 GMT */

	is_int(http_retry_after("7", NOW), 7000, "seconds");
	is_int(http_retry_after("7 ", NOW), 7000, "a blank behind them");
	is_int(http_retry_after("0", NOW), 0, "at once");
	is_int(http_retry_after("-5", NOW), 0, "less than none");
	is_int(http_retry_after("99999999999999999999", NOW), 3600000, "more than an hour is an hour");
	is_int(http_retry_after("Tue, 14 Nov 2023 22:13:50 GMT", NOW), 30000, "a date");
	is_int(http_retry_after("Tuesday, 14-Nov-23 22:13:50 GMT", NOW), 30000, "in the old form");
	is_int(http_retry_after("Tue, 14 Nov 2023 22:13:10 GMT", NOW), 0, "which is over");
	is_int(http_retry_after("soon", NOW), 0, "what is neither");
	is_int(http_retry_after("", NOW), 0, "nothing");
}

static void line(struct http_exchange *x, const char *text, size_t len)
{
	char *copy = malloc(len);		/* with nothing behind it, for sanitizers to see */

	memcpy(copy, text, len);
	ok(http_reply_line(x, copy, len), "a line of %zu bytes", len);
	free(copy);
}
#define LINE(x, text) line(x, text, sizeof(text) - 1)

static void test_headers(void)
{
	struct http_reply reply = { .text = calloc(1, 1) };
	struct http_exchange x = { .reply = &reply };

	LINE(&x, "HTTP/1.1 100 Continue\r\n");
	LINE(&x, "Early: 1\r\n");
	LINE(&x, "HTTP/1.1 200 OK\r\n");
	LINE(&x, "Content-TYPE:  text/plain \r\n");
	LINE(&x, "no colon\r\n");
	LINE(&x, "\r\n");
	LINE(&x, "X-Nul\0 and much more before the: colon\r\n");
	LINE(&x, ": no name\r\n");
	LINE(&x, "empty:\r\n");
	is_str(http_reply_header(&reply, "content-type"), "text/plain ", "a header, by its name in lower case");
	is_str(http_reply_header(&reply, "empty"), "", "an empty one");
	ok(!http_reply_header(&reply, "early"), "none of an interim answer");
	ok(!http_reply_header(&reply, "content"), "none by half its name");
	ok(!http_reply_header(&reply, "x-nul"), "none with a NUL in its name");
	for (int i = 0; i < 500; i++)
		(void)http_reply_line(&x, "A: b\r\n", 6);
	is_int(x.n_headers, 200, "more than two hundred are dropped");
	http_reply_release(&reply);
}

static void test_judge(void)
{
	static const struct { int status, want; const char *text; } cases[] = {
		{ 200, KB_OK, "" }, { 201, KB_OK, "" }, { 204, KB_OK, "" }, { 207, KB_OK, "" }, { 404, KB_MISS, "" },
		{ 410, KB_MISS, "" }, { 301, KB_E_CONFIG, "" }, { 400, KB_E_CONFIG, "" }, { 401, KB_E_AUTH, "" },
		{ 403, KB_E_AUTH, "" }, { 405, KB_E_UNSUPPORTED, "" }, { 407, KB_E_AUTH, "" }, { 408, KB_E_TRANSIENT, "" },
		{ 413, KB_E_TOOBIG, "" }, { 418, KB_E_CONFIG, "" }, { 423, KB_E_TRANSIENT, "" }, { 429, KB_E_THROTTLED, "" },
		{ 500, KB_E_TRANSIENT, "" }, { 501, KB_E_UNSUPPORTED, "" }, { 502, KB_E_TRANSIENT, "" },
		{ 503, KB_E_THROTTLED, "" }, { 507, KB_E_NOSPACE, "" }, { 520, KB_E_TRANSIENT, "" }, { 0, KB_E_CONFIG, "" },
		{ 400, KB_E_AUTH, "<center>No required SSL certificate was sent</center>" },
		{ 400, KB_E_AUTH, "<center>The SSL certificate error</center>" },
		{ 400, KB_E_CONFIG, "<center>The plain HTTP request was sent to HTTPS port</center>" },
	};
	struct kb_call call = call_for(1);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct http_reply reply = { .status = cases[i].status, .text = (char *)cases[i].text, .retry_after_ms = 9 };
		int rc = web_judge(&reply, "get", &call);

		ok(rc == cases[i].want, "status %d is %d (%d, '%s')", cases[i].status, cases[i].want, rc, said);
	}
	is_int(call.retry_after_ms, 9, "and when to come again is passed on");
}

static void test_put_learns(void)
{
	struct kb_handle h = { 0 };
	struct http_reply reply = { .status = 413, .text = (char *)"" };

	is_int(web_may_put(&h, 1 << 30, CALL), KB_OK, "at first everything is tried");
	is_int(web_judge_put(&h, &reply, 5000, CALL), KB_E_TOOBIG, "413");
	is_int(web_judge_put(&h, &reply, 9000, CALL), KB_E_TOOBIG, "413 for a larger one");
	is_int(web_judge_put(&h, &reply, 0, CALL), KB_E_TOOBIG, "413 for an empty one");
	is_int(web_may_put(&h, 4999, CALL), KB_OK, "a smaller one may go");
	is_int(web_may_put(&h, 5000, CALL), KB_E_TOOBIG, "one of the same size may not");
	ok(!web_no_puts(&h), "writing is allowed");
	reply.status = 403;
	is_int(web_judge_put(&h, &reply, 1, CALL), KB_E_AUTH, "403");
	ok(strstr(said, "may not write") != NULL, "says that reading is something else");
	ok(!web_no_puts(&h), "and may change any time");
	reply.status = 405;
	is_int(web_judge_put(&h, &reply, 1, CALL), KB_E_UNSUPPORTED, "405");
	ok(web_no_puts(&h), "is remembered");
	is_int(web_may_put(&h, 1, CALL), KB_E_UNSUPPORTED, "and not asked again");
}

/* ---- action results ---- */

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_actions(void)
{
	/* As protoc writes output_files { path: "object" digest { hash: HASH size_bytes: 300 } }. */
	static const char known[] = "\x12\x4f\x0a\x06object\x12\x45\x0a\x40" HASH "\x10\xac\x02";
	/* With fields before, between and behind that nobody asked for. */
	static const char rich[] = "\x20\x01" "\x12\x52" "\x20\x01" "\x0a\x01x" "\x15zzzz" "\x12\x46\x10\x05\x0a\x40" HASH
				   "\x18\x01" "\x32\x00" "\x4a\x02{}";
	unsigned char out[256];
	char hash[65];
	uint64_t size;
	size_t n = web_action_encode(HASH, 300, out);

	ok(n == sizeof known - 1 && !memcmp(out, known, n), "the bytes that protoc writes (%zu)", n);
	is_int(web_action_decode(out, n, hash, &size), 0, "read back");
	is_str(hash, HASH, "the hash");
	is_int(size, 300, "the size");
	for (size_t len = 0; len < n; len++)
		if (!web_action_decode(out, len, hash, &size))
			ok(0, "%zu bytes of it are none", len);
	is_int(web_action_decode(rich, sizeof rich - 1, hash, &size), 0, "one with more in it");
	ok(!strcmp(hash, HASH) && size == 5, "says the same");
	n = web_action_encode(HASH, UINT64_MAX, out);
	is_int(web_action_decode(out, n, hash, &size), 0, "the largest size");
	ok(size == UINT64_MAX, "fits");
	n = web_action_encode(HASH, 0, out);
	is_int(web_action_decode(out, n, hash, &size), 0, "an empty object");
	is_int(size, 0, "has no size");
	out[14] = 'X';
	is_int(web_action_decode(out, n, hash, &size), -1, "a hash with another letter");
	is_int(web_action_decode("", 0, hash, &size), -1, "nothing");
	is_int(web_action_decode("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, hash, &size), -1, "an endless length");
}

/* Any byte turned into any other: either an action result or none, and nothing read beyond it. */
static void test_action_noise(void)
{
	unsigned char out[256];
	char hash[65];
	uint64_t size;
	size_t n = web_action_encode(HASH, 300, out), fine = 0;

	for (size_t i = 0; i < n; i++) {
		for (unsigned c = 0; c < 256; c++) {
			unsigned char *copy = malloc(n);

			memcpy(copy, out, n);
			copy[i] = (unsigned char)c;
			fine += !web_action_decode(copy, n, hash, &size) && strlen(hash) == 64;
			free(copy);
		}
	}
	ok(fine > n && fine < n * 256, "damaged ones (%zu of %zu still make sense)", fine, n * 256);
}

int main(void)
{
	http = kb_builtin_http(&test_host);
	is_str(http->name, "http", "the backend");
	test_check();
	test_paths();
	test_decoded();
	test_retry_after();
	test_headers();
	test_judge();
	test_put_learns();
	test_actions();
	test_action_noise();
	return done();
}
