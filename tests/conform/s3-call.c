/* One signed request to an S3 or STS server, for tests that set servers up.
 *	s3-call METHOD URL [BODY]	BODY: a file, or @text
 * Keys come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; S3_CALL_SERVICE is "s3" or "sts", AWS_CA_BUNDLE
 * a PEM file. Prints the body of the answer; exits with 0 if the status is one of 200 to 299, else prints it too. */
#include "config.h"

#include "../../backends/common/sigv4.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *env(const char *name, const char *otherwise)
{
	const char *v = getenv(name);

	return v && *v ? v : otherwise;
}

static char *body_of(const char *arg, size_t *len)
{
	char *data = NULL;
	FILE *in, *out;
	int c;

	*len = 0;
	if (!arg)
		return strdup("");
	if (*arg == '@') {
		*len = strlen(arg + 1);
		return strdup(arg + 1);
	}
	in = fopen(arg, "rbe");
	out = in ? open_memstream(&data, len) : NULL;
	while (out && (c = getc(in)) != EOF)
		putc(c, out);
	if (!out || fclose(out)) {
		perror(arg);
		exit(2);
	}
	fclose(in);
	return data;
}

/* "http://host:port/path?query" in its parts, with the signature as headers of the request. */
static char **sign(const char *method, const char *url, const char *body, size_t len)
{
	const char *rest = strstr(url, "://"), *sts = env("S3_CALL_SERVICE", "s3");
	char *host = rest ? strdup(rest + 3) : NULL, *path = NULL, *query = NULL, hash[65], **lines;
	static const char *const form[] = { "content-type: application/x-www-form-urlencoded", NULL };

	if (host && (path = strchr(host, '/'))) {
		query = strchr(path, '?');
		if (query)
			*query++ = '\0';
	}
	if (!path) {
		fprintf(stderr, "not a URL: %s\n", url);
		exit(2);
	}
	path = strdup(path);
	host[strcspn(host, "/")] = '\0';
	sigv4_sha256_hex(body, len, hash);
	lines = sigv4_sign(&(struct sigv4_request){
		.access = env("AWS_ACCESS_KEY_ID", ""), .secret = env("AWS_SECRET_ACCESS_KEY", ""),
		.token = env("AWS_SESSION_TOKEN", NULL), .region = env("AWS_REGION", "us-east-1"), .service = sts,
		.time_s = time(NULL), .method = method, .host = host, .path = path, .query = query, .payload = hash,
		.headers = strcmp(sts, "s3") ? form : NULL, .double_encode = strcmp(sts, "s3") != 0,
	});
	free(path);
	free(host);
	return lines;
}

int main(int argc, char **argv)
{
	size_t len = 0;
	char *body = argc == 3 || argc == 4 ? body_of(argv[3], &len) : NULL, **lines;
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");
	CURL *c = curl_easy_init();
	CURLcode rc;
	long status = 0;

	if (!body || !c) {
		fputs("usage: s3-call METHOD URL [BODY]\n", stderr);
		return 2;
	}
	lines = sign(argv[1], argv[2], body, len);
	for (char **p = lines; p && *p; p++)
		list = curl_slist_append(list, *p);
	if (strcmp(env("S3_CALL_SERVICE", "s3"), "s3"))
		list = curl_slist_append(list, "content-type: application/x-www-form-urlencoded");
	else
		list = curl_slist_append(list, "content-type:");
	curl_easy_setopt(c, CURLOPT_URL, argv[2]);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, 20L);
	if (strcmp(argv[1], "GET") && strcmp(argv[1], "HEAD")) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
	}
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, argv[1]);
	curl_easy_setopt(c, CURLOPT_NOBODY, (long)!strcmp(argv[1], "HEAD"));
	curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	if (getenv("AWS_CA_BUNDLE"))
		curl_easy_setopt(c, CURLOPT_CAINFO, getenv("AWS_CA_BUNDLE"));
	rc = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	if (rc)
		fprintf(stderr, "%s\n", curl_easy_strerror(rc));
	else if (status < 200 || status > 299)
		fprintf(stderr, "status %ld\n", status);
	curl_slist_free_all(list);
	curl_easy_cleanup(c);
	sigv4_free(lines);
	free(body);
	return rc || status < 200 || status > 299;
}
