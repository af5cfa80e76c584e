/* The signer against the examples that AWS has published: the general test suite, and those of the S3 manual. */
#include "config.h"
#include "tap.h"

#include "../../backends/common/sigv4.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define S3_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define TOKEN "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUu" \
	"wthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNV" \
	"XAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

static const char *const key1[] = { "my-header1: value1", NULL };
static const char *const trim[] = { "my-header2:    \"a   b   c\"  ", "my-header1:    value1", NULL };
static const char *const range[] = { "range: bytes=0-9", NULL };
static const char *const put[] = { "date: Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class: REDUCED_REDUNDANCY", NULL };

/* Names, requests and signatures of the suite (access key AKIDEXAMPLE, service "service"). */
static const struct {
	const char *name, *method, *path, *query, *token;
	const char *const *headers;
	const char *signature;
} suite[] = {
	{ "get-vanilla", "GET", "/", "", NULL, NULL, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "get-vanilla-query-order-key-case", "GET", "/", "Param2=value2&Param1=value1", NULL, NULL,
	  "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
	{ "get-unreserved", "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "", NULL, NULL,
	  "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f" },
	{ "get-utf8", "GET", "/\341\210\264", "", NULL, NULL,
	  "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
	{ "get-space", "GET", "/example space/", "", NULL, NULL,
	  "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741" },
	{ "get-header-value-trim", "GET", "/", "", NULL, trim,
	  "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
	{ "get-relative", "GET", "/example/..", "", NULL, NULL,
	  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "get-relative-relative", "GET", "/example1/example2/../..", "", NULL, NULL,
	  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "get-slash", "GET", "//", "", NULL, NULL, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "get-slash-dot-slash", "GET", "/./", "", NULL, NULL,
	  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "get-slash-pointless-dot", "GET", "/./example", "", NULL, NULL,
	  "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5" },
	{ "get-slashes", "GET", "//example//", "", NULL, NULL,
	  "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84" },
	{ "post-vanilla", "POST", "/", "", NULL, NULL, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
	{ "post-vanilla-query", "POST", "/", "Param1=value1", NULL, NULL,
	  "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11" },
	{ "post-header-key-sort", "POST", "/", "", NULL, key1,
	  "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c" },
	{ "post-sts-header-before", "POST", "/", NULL, TOKEN, NULL,
	  "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead" },
};

/* The worked examples of the S3 manual, "Signature Calculations for the Authorization Header" (single chunk). */
static const struct {
	const char *name, *method, *path, *query;
	const char *const *headers;
	const char *payload, *signed_headers, *signature;
} manual[] = {
	{ "GET Object", "GET", "/test.txt", "", range, EMPTY, "host;range;x-amz-content-sha256;x-amz-date",
	  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
	{ "PUT Object", "PUT", "/test%24file.text", "", put, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
	  "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
	  "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
	{ "GET Bucket Lifecycle", "GET", "/", "lifecycle", NULL, EMPTY, "host;x-amz-content-sha256;x-amz-date",
	  "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
	{ "GET Bucket (List Objects)", "GET", "/", "prefix=J&max-keys=2", NULL, EMPTY, "host;x-amz-content-sha256;x-amz-date",
	  "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
};

static const char *find(char **lines, const char *name)
{
	for (; lines && *lines; lines++)
		if (!strncmp(*lines, name, strlen(name)))
			return *lines + strlen(name);
	return NULL;
}

static void test_suite(void)
{
	for (size_t i = 0; i < sizeof suite / sizeof *suite; i++) {
		struct sigv4_request r = {
			.access = "AKIDEXAMPLE", .secret = SECRET, .token = suite[i].token, .region = "us-east-1",
			.service = "service", .time_s = 1440938160, .method = suite[i].method, .host = "example.amazonaws.com",
			.path = suite[i].path, .query = suite[i].query, .headers = suite[i].headers, .payload = EMPTY,
			.double_encode = 1,
		};
		char **lines = sigv4_sign(&r);
		const char *a = find(lines, "authorization: "), *s = a ? strstr(a, "Signature=") : NULL;

		is_str(s ? s + 10 : NULL, suite[i].signature, suite[i].name);
		sigv4_free(lines);
	}
}

static void test_manual(void)
{
	for (size_t i = 0; i < sizeof manual / sizeof *manual; i++) {
		struct sigv4_request r = {
			.access = "AKIAIOSFODNN7EXAMPLE", .secret = S3_SECRET, .region = "us-east-1", .service = "s3",
			.time_s = 1369353600, .method = manual[i].method, .host = "examplebucket.s3.amazonaws.com",
			.path = manual[i].path, .query = manual[i].query, .headers = manual[i].headers,
			.payload = manual[i].payload,
		};
		char **lines = sigv4_sign(&r), want[400];

		snprintf(want, sizeof want, "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
			 "SignedHeaders=%s, Signature=%s", manual[i].signed_headers, manual[i].signature);
		is_str(find(lines, "authorization: "), want, manual[i].name);
		if (!i) {
			is_str(find(lines, "x-amz-date: "), "20130524T000000Z", "with its date");
			is_str(find(lines, "x-amz-content-sha256: "), EMPTY, "the hash of its body");
			ok(!find(lines, "x-amz-security-token:"), "and no token where there is none");
		}
		sigv4_free(lines);
	}
}

static void test_token(void)
{
	struct sigv4_request r = {
		.access = "A", .secret = "B", .token = TOKEN, .region = "eu-central-1", .service = "s3", .time_s = 1369353600,
		.method = "GET", .host = "h:9000", .path = "/b/k", .payload = "UNSIGNED-PAYLOAD",
	};
	char **lines = sigv4_sign(&r);
	const char *a = find(lines, "authorization: ");

	is_str(find(lines, "x-amz-security-token: "), TOKEN, "a session token travels");
	ok(a && strstr(a, "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"), "and is signed");
	ok(a && strstr(a, "Credential=A/20130524/eu-central-1/s3/"), "for the region");
	sigv4_free(lines);
}

static void test_parts(void)
{
	char hash[65], *e;

	sigv4_sha256_hex("Welcome to Amazon S3.", 21, hash);
	is_str(hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072", "SHA-256");
	sigv4_sha256_hex("", 0, hash);
	is_str(hash, EMPTY, "of nothing");
	e = sigv4_encode("a/b c+~%\303\274=&.-_", 15, 1);
	is_str(e, "a/b%20c%2B~%25%C3%BC%3D%26.-_", "encoding of a path");
	free(e);
	e = sigv4_encode("a/b", 3, 0);
	is_str(e, "a%2Fb", "and of a value");
	free(e);
}

int main(void)
{
	test_suite();
	test_manual();
	test_token();
	test_parts();
	return done();
}
