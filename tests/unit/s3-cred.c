/* Where S3 credentials come from: every provider against files, programs and a server that answers from a script, and
 * how they are kept fresh. */
#include "config.h"
#include "s3-host.h"
#include "s3-server.h"
#include "../../backends/s3/cred-parts.h"

#include <ftw.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define OK(body) (struct answer){ "HTTP/1.1 200 OK\r\n", body }
#define NOT(status, body) (struct answer){ "HTTP/1.1 " status "\r\n", body }
/* 2026-01-02T03:04:05Z, when all of this happens. */
enum { THEN = 1767323045, HOUR = 3600 };
#define IN_AN_HOUR "2026-01-02T04:04:05Z"

static struct http *web;
static char home[64] = "/tmp/kache-s3-cred.XXXXXX", base[64];
static _Atomic int64_t now_s = THEN;
static struct s3_creds *creds;
static struct s3_cred got;

static int64_t clock_of_test(void)
{
	return now_s;
}

/* ---- set-up of a case ---- */

static void write_file(const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", home, name);
	f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f))
		exit(99);
}

static const char *const variables[] = {
	"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION",
	"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_SSO", "AWS_ENDPOINT_URL_SSO_OIDC", "AWS_ROLE_ARN",
	"AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	"AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_DISABLED", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
	"AWS_METADATA_SERVICE_NUM_ATTEMPTS", "AWS_LOGIN_CACHE_DIRECTORY", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE", "http_proxy",
};

/* Files of these contents, no variables. */
static void fresh(const char *config, const char *credentials)
{
	s3_cred_release(&got);
	s3_creds_close(creds);
	creds = NULL;
	now_s = THEN;
	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
		unsetenv(variables[i]);
	write_file(".aws/config", config);
	write_file(".aws/credentials", credentials);
}

static void set(const char *name, const char *fmt, ...)
{
	char value[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof value, fmt, ap);
	va_end(ap);
	setenv(name, value, 1);
}

static int fetch(struct kb_call *call)
{
	s3_cred_release(&got);
	return s3_creds_get(creds, &got, call);
}

static int open_with(const kb_conf *conf)
{
	static const kb_conf none;
	int rc = s3_creds_open(s3_host, conf ? conf : &none, web, &creds, CALL);

	return rc ? rc : fetch(CALL);
}

/* "access/secret/token source", or what was said. */
static const char *found(int rc)
{
	static char text[400];

	if (rc)
		snprintf(text, sizeof text, "%d %s", rc, said);
	else
		snprintf(text, sizeof text, "%s/%s/%s %s", got.access ? got.access : "-", got.secret ? got.secret : "-",
			 got.token ? got.token : "-", got.source);
	return text;
}

/* A failure of that kind, which says so, and repeats no secret. */
static void fails(int rc, int want, const char *words, const char *what)
{
	bool good = rc == want && strstr(said, words) && !strstr(said, "canary");

	ok(good, "%s: %s", what, said);
	if (!good)
		printf("# status %d, wanted %d and \"%s\"\n", rc, want, words);
}

/* ---- what is written down ---- */

static void test_written(void)
{
	static const char files[] = "[default]\naws_access_key_id = FA\naws_secret_access_key = canary-f\n"
				    "[team]\naws_access_key_id=TA\naws_secret_access_key=canary-t\naws_session_token=canary-tt\n";
	static const kb_conf own = { { { "access-key", "OA" }, { "secret-key", "canary-o" } } };
	static const kb_conf half = { { { "access-key", "OA" } } }, token = { { { "session-token", "canary" } } };
	static const kb_conf team = { { { "profile", "team" } } }, nobody = { { { "profile", "nobody" } } };
	static const kb_conf anonymous = { { { "anonymous", "1" }, { "profile", "team" } } };

	fresh("", files);
	is_str(found(open_with(NULL)), "FA/canary-f/- profile default", "the default profile");
	fresh("", files);
	set("AWS_ACCESS_KEY_ID", "EA");
	set("AWS_SECRET_ACCESS_KEY", "canary-e");
	set("AWS_SESSION_TOKEN", "canary-et");
	is_str(found(open_with(NULL)), "EA/canary-e/canary-et environment", "the environment comes first");
	s3_creds_close(creds);
	is_str(found(open_with(&team)), "TA/canary-t/canary-tt profile team", "but not before a profile in the options");
	s3_creds_close(creds);
	is_str(found(open_with(&own)), "OA/canary-o/- options", "nor before keys there");
	s3_creds_close(creds);
	is_str(found(open_with(&anonymous)), "-/-/- anonymous", "anonymous is what it says");
	fresh("", files);
	set("AWS_PROFILE", "team");
	is_str(found(open_with(NULL)), "TA/canary-t/canary-tt profile team", "AWS_PROFILE");
	fresh("[profile team]\nregion = eu-west-3\ns3 =\n  addressing_style = path\n  endpoint_url = http://x\n", files);
	set("AWS_PROFILE", "team");
	open_with(NULL);
	ok(!strcmp(s3_creds_region(creds), "eu-west-3") && !strcmp(s3_creds_addressing(creds), "path"), "settings of a profile");

	fresh("", files);
	fails(open_with(&half), KB_E_CONFIG, "secret-key: is not set", "half of the options");
	fails(open_with(&token), KB_E_CONFIG, "session-token: goes with", "a token alone");
	fails(open_with(&nobody), KB_E_CONFIG, "no profile nobody", "a profile that is not there");
	set("AWS_PROFILE", "nobody");
	fails(open_with(NULL), KB_E_CONFIG, "AWS_PROFILE: there is no profile nobody", "in the environment too");
	fresh("", files);
	set("AWS_ACCESS_KEY_ID", "EA");
	fails(open_with(NULL), KB_E_CONFIG, "AWS_SECRET_ACCESS_KEY is not set", "half of the variables");
	fresh("", "[default]\naws_access_key_id = A\n");
	fails(open_with(NULL), KB_E_CONFIG, "aws_secret_access_key is missing", "half of a profile");
	fresh("[default]\nregion = x\nwhat is this\n", files);
	fails(open_with(NULL), KB_E_CONFIG, ".aws/config:3: expected", "a line that is none");
	fresh("", "[default]\naws_access_key_id = A\naws_secret_access_key = canary key\n");
	fails(open_with(NULL), KB_E_CONFIG, "the secret key holds a blank", "a key that can't be one");
	fresh("", "");
	set("AWS_EC2_METADATA_DISABLED", "true");
	fails(open_with(NULL), KB_E_AUTH, "no credentials found", "nothing at all");
}

/* ---- roles ---- */

#define STS(token, expiry) "<R><Credentials><AccessKeyId>RA</AccessKeyId><SecretAccessKey>canary-r</SecretAccessKey><SessionToken>" \
	token "</SessionToken><Expiration>" expiry "</Expiration></Credentials></R>"

static struct answer next_answer;
static struct answer fixed(const char *method, const char *target, const char *head, const char *body, int n)
{
	(void)method;
	(void)target;
	(void)head;
	(void)body;
	(void)n;
	return next_answer;
}

static int with_answer(struct answer a)
{
	next_answer = a;
	begin(fixed);
	set("AWS_ENDPOINT_URL_STS", "%s", base);
	return open_with(NULL);
}

static struct answer wrong_clock(const char *method, const char *target, const char *head, const char *body, int n)
{
	(void)method;
	(void)target;
	(void)body;
	(void)n;
	if (strcasestr(head, "x-amz-date: 20260102T0404"))
		return (struct answer){ "HTTP/1.1 200 OK\r\nDate: Fri, 02 Jan 2026 04:04:05 GMT\r\n", STS("canary-s", "2026-01-02T05:04:05Z") };
	return (struct answer){ "HTTP/1.1 403 F\r\nDate: Fri, 02 Jan 2026 04:04:05 GMT\r\n", CODE("SignatureDoesNotMatch") };
}

static void test_roles(void)
{
	static const char role[] = "[default]\nrole_arn = arn:aws:iam::1:role/ci\nsource_profile = keys\nrole_session_name = ci run\n"
				   "external_id = e/1\nduration_seconds = 900\n";
	static const char keys[] = "[keys]\naws_access_key_id = KA\naws_secret_access_key = canary-k\n";
	static const char circle[] = "[default]\nrole_arn=a\nsource_profile=b\n[profile b]\nrole_arn=b\nsource_profile=default\n";

	fresh(role, keys);
	is_str(found(with_answer(OK(STS("canary-s", IN_AN_HOUR)))), "RA/canary-r/canary-s the role of profile default", "a role");
	is_str(seen, "POST /\n", "asked for once");
	is_str(last_body, "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fci&RoleSessionName=ci%20run"
	       "&ExternalId=e%2F1&DurationSeconds=900", "with what the profile says");
	ok(!!strcasestr(last, "authorization: AWS4-HMAC-SHA256 Credential=KA/20260102/us-east-1/sts/aws4_request"),
	   "signed by the source profile");
	is_int(got.expires_s, THEN + HOUR, "until then");
	fresh(role, keys);
	begin(wrong_clock);
	set("AWS_ENDPOINT_URL_STS", "%s", base);
	is_str(found(open_with(NULL)), "RA/canary-r/canary-s the role of profile default", "a clock an hour behind");
	is_int(n_requests, 2, "is corrected by the server's");
	is_int(got.expires_s, THEN + HOUR, "and the expiry too");
	fresh(role, keys);
	fails(with_answer(NOT("403 F", CODE("AccessDenied"))), KB_E_AUTH, "answers 403 AccessDenied", "a role that is denied");
	fresh(role, keys);
	fails(with_answer(NOT("503 B", "")), KB_E_THROTTLED, "answers 503", "a busy service");
	fresh(role, keys);
	fails(with_answer(OK("<x>canary</x>")), KB_E_AUTH, "holds no credentials", "an answer without credentials");
	fresh(role, keys);
	fails(with_answer(OK(STS("canary", "2026-01-02T02:00:00Z"))), KB_E_AUTH, "have expired already", "expired ones");
	fresh(role, "");
	fails(open_with(NULL), KB_E_CONFIG, "source_profile keys does not exist", "no source");
	fresh(circle, "");
	fails(open_with(NULL), KB_E_CONFIG, "leads in a circle", "a circle of sources");
	fresh("[default]\nrole_arn = a\n", "");
	fails(open_with(NULL), KB_E_CONFIG, "goes with source_profile or credential_source", "a role and no source");
	fresh("[default]\nrole_arn = a\ncredential_source = Environment\nmfa_serial = x\n", "");
	fails(open_with(NULL), KB_E_CONFIG, "mfa_serial asks for a code", "a role that wants a person");
	fresh("[default]\nrole_arn = a\ncredential_source = Environment\n", "");
	fails(open_with(NULL), KB_E_AUTH, "no credentials from its credential_source Environment", "an empty source");
}

static void test_web_identity(void)
{
	fresh("", "");
	write_file("token", "canary.jwt\n");
	set("AWS_WEB_IDENTITY_TOKEN_FILE", "%s/token", home);
	set("AWS_ROLE_ARN", "arn:x");
	is_str(found(with_answer(OK(STS("canary-w", IN_AN_HOUR)))), "RA/canary-r/canary-w web identity", "web identity");
	is_str(last_body, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Ax&RoleSessionName=kache"
	       "&WebIdentityToken=canary.jwt", "with the file's token");
	ok(!strcasestr(last, "authorization:"), "and no signature");
	fresh("", "");
	set("AWS_WEB_IDENTITY_TOKEN_FILE", "%s/none", home);
	set("AWS_ROLE_ARN", "arn:x");
	fails(with_answer(OK("")), KB_E_AUTH, "token file", "no file");
	is_int(n_requests, 0, "nothing was asked");
	fresh("", "");
	set("AWS_WEB_IDENTITY_TOKEN_FILE", "%s/token", home);
	fails(open_with(NULL), KB_E_CONFIG, "AWS_ROLE_ARN is not set", "no role");
	fresh("", "");
	set("AWS_WEB_IDENTITY_TOKEN_FILE", "%s/token", home);
	set("AWS_ROLE_ARN", "arn:x");
	fails(with_answer(NOT("400 B", "<E><Code>InvalidIdentityToken</Code><Message>canary.jwt</Message></E>")), KB_E_AUTH,
	      "answers 400 InvalidIdentityToken", "a token that is refused");
}

/* ---- logins ---- */

#define SSO "[default]\nsso_session = s\nsso_account_id = 42\nsso_role_name = dev\n" \
	"[sso-session s]\nsso_start_url = https://x\nsso_region = us-east-1\n"
#define ROLE(expiry) "{\"roleCredentials\":{\"accessKeyId\":\"SA\",\"secretAccessKey\":\"canary-s\",\"sessionToken\":\"canary-st\"," \
	"\"expiration\":" expiry "}}"
/* The file's name is the SHA-1 of "s". */
#define SSO_FILE ".aws/sso/cache/a0f1490a20d0211c997b44bc357e1972deab8ae3.json"
#define LOGIN(until) "{\"accessToken\":\"canary-old\",\"expiresAt\":\"" until "\",\"clientId\":\"c\",\"clientSecret\":\"canary-c\"," \
	"\"refreshToken\":\"canary-refresh\"}"

static struct answer portal(const char *method, const char *target, const char *head, const char *body, int n)
{
	(void)target;
	(void)n;
	if (!strcmp(method, "POST"))
		return strstr(body, "\"refreshToken\":\"canary-refresh\"") && strstr(body, "\"clientSecret\":\"canary-c\"")
			? OK("{\"accessToken\":\"canary-new\",\"expiresIn\":28800,\"refreshToken\":\"canary-next\"}") : NOT("400 B", "");
	return strcasestr(head, "x-amz-sso_bearer_token: canary-new") || strcasestr(head, "x-amz-sso_bearer_token: canary-old")
		? OK(ROLE("1767326645000")) : NOT("401 U", "");
}

static int open_sso(script_fn *f, const char *login)
{
	fresh(SSO, "");
	if (login)
		write_file(SSO_FILE, login);
	set("AWS_ENDPOINT_URL_SSO", "%s", base);
	set("AWS_ENDPOINT_URL_SSO_OIDC", "%s/oidc", base);
	begin(f);
	return open_with(NULL);
}

static void test_sso(void)
{
	fails(open_sso(portal, NULL), KB_E_AUTH, "there is no SSO login of profile default; run: aws sso login --profile default", "no login");
	is_str(found(open_sso(portal, LOGIN("2026-01-02T05:00:00Z"))), "SA/canary-s/canary-st SSO of profile default", "SSO");
	is_str(seen, "GET /federation/credentials?role_name=dev&account_id=42\n", "asked with the login of the file");
	ok(!!strcasestr(last, "x-amz-sso_bearer_token: canary-old"), "as its token says");
	is_int(got.expires_s, THEN + HOUR, "until then");
	is_str(found(open_sso(portal, LOGIN("2026-01-02T03:00:00Z"))), "SA/canary-s/canary-st SSO of profile default", "an expired login");
	is_str(seen, "POST /oidc/token\nGET /federation/credentials?role_name=dev&account_id=42\n", "is refreshed");
	now_s += HOUR - 60;
	begin(portal);
	is_int(fetch(CALL), KB_OK, "the next credentials");
	is_str(seen, "GET /federation/credentials?role_name=dev&account_id=42\n", "come by the same login");
	next_answer = NOT("400 B", "{\"error\":\"invalid_grant\"}");
	fails(open_sso(fixed, LOGIN("2026-01-02T03:00:00Z")), KB_E_AUTH, "has expired; run: aws sso login", "one that can't be refreshed");
	next_answer = NOT("401 U", "{}");
	fails(open_sso(fixed, LOGIN("2026-01-02T05:00:00Z")), KB_E_AUTH, "has expired; run: aws sso login", "one that was revoked");
	next_answer = NOT("403 F", "{}");
	fails(open_sso(fixed, LOGIN("2026-01-02T05:00:00Z")), KB_E_AUTH, "has no access to role dev in account 42", "without the right");
	fresh("[default]\nsso_session = s\nsso_account_id = 42\nsso_role_name = dev\n[sso-session s]\nsso_region = r\n", "");
	fails(open_with(NULL), KB_E_CONFIG, "sso_start_url is missing in sso-session s", "half of the settings");
}

static void test_login(void)
{
	/* The SHA-256 of "me". */
	static const char file[] = ".aws/login/cache/2744ccd10c7533bd736ad890f9dd5cab2adb27b07d500b9493f29cdc420cb2e0.json";

	fresh("[default]\nlogin_session = me\n", "");
	fails(open_with(NULL), KB_E_AUTH, "there is no login of profile default; run: aws login", "aws login: none");
	write_file(file, "{\"accessToken\":{\"accessKeyId\":\"LA\",\"secretAccessKey\":\"canary-l\",\"sessionToken\":\"canary-lt\","
		   "\"expiresAt\":\"" IN_AN_HOUR "\"}}");
	s3_creds_close(creds);
	is_str(found(open_with(NULL)), "LA/canary-l/canary-lt the login of profile default", "aws login");
	now_s += 2 * HOUR;
	fails(fetch(CALL), KB_E_AUTH, "has expired; run: aws login", "aws login: expired");
}

/* ---- programs ---- */

static int run_process(const char *script_text, const char *arguments, double seconds)
{
	char path[200], config[400];
	static const kb_conf none;
	int rc;

	snprintf(path, sizeof path, "%s/program", home);
	snprintf(config, sizeof config, "[default]\ncredential_process = %s%s\n", path, arguments);
	fresh(config, "");
	write_file("program", script_text);
	chmod(path, 0755);
	rc = s3_creds_open(s3_host, &none, web, &creds, CALL);
	return rc ? rc : fetch(call_for(seconds));
}

static void test_process(void)
{
#define SAYS "printf '{\"Version\":1,\"AccessKeyId\":\"PA\",\"SecretAccessKey\":\"canary-p\",\"SessionToken\":\"%s\",\"Expiration\":\"" \
	IN_AN_HOUR "\"}' \"$1.$AWS_PROFILE\"\n"
	is_str(found(run_process("#!/bin/sh\n" SAYS, " 'a'\"-b\"", 20)), "PA/canary-p/a-b.default credential_process of profile default",
	       "a program");
	fails(run_process("#!/bin/sh\necho canary >&2; exit 3\n", "", 20), KB_E_AUTH, "fails with status 3", "one that fails");
	fails(run_process("#!/bin/sh\necho canary\n", "", 20), KB_E_AUTH, "expected JSON with \"Version\": 1", "one that babbles");
	fails(run_process("#!/bin/sh\nprintf '{\"Version\":1}'\n", "", 20), KB_E_AUTH, "holds no credentials", "one with nothing to say");
	fails(run_process("#!/bin/sh\nhead -c 200000 /dev/zero\n", "", 20), KB_E_AUTH, "is too much", "one that says too much");
	fails(run_process("#!/bin/sh\nkill -9 $$\n", "", 20), KB_E_AUTH, "ended by signal 9", "one that is killed");
	fails(run_process("#!/bin/sh\nsleep 60\n", "", 0.3), KB_E_TIMEOUT, "takes too long", "a slow one");
	fails(run_process("#!/bin/sh\nexec > /dev/null; sleep 60\n", "", 0.3), KB_E_TIMEOUT, "takes too long", "one that does not end");
	fails(run_process("", " 'open", 20), KB_E_CONFIG, "is a quote open?", "an open quote");
	fresh("[default]\ncredential_process = /nonexistent/canary-program\n", "");
	fails(open_with(NULL), KB_E_CONFIG, "there is no such program", "one that is not there");
}

/* ---- machines ---- */

#define MACHINE "{\"Code\":\"Success\",\"AccessKeyId\":\"MA\",\"SecretAccessKey\":\"canary-m\",\"Token\":\"canary-mt\",\"Expiration\":\"" \
	IN_AN_HOUR "\"}"

static struct answer third_time(const char *method, const char *target, const char *head, const char *body, int n)
{
	(void)method;
	(void)target;
	(void)head;
	(void)body;
	return n < 2 ? NOT("500 E", "") : OK(MACHINE);
}

static int container(script_fn *f, const char *url)
{
	fresh("", "");
	begin(f);
	set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "%s", url);
	set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "canary-token");
	return open_with(NULL);
}

static void test_container(void)
{
	static const char *const strange[] = {
		"http://example.com/x", "http://127.0.0.1@example.com/x", "http://127.0.0.1.example.com/", "ftp://127.0.0.1/",
		"http://127.0.0.1\\@example.com/", "http://10.0.0.1/",
	};
	char url[100];

	snprintf(url, sizeof url, "%s/creds?x=1", base);
	next_answer = OK(MACHINE);
	is_str(found(container(fixed, url)), "MA/canary-m/canary-mt the container's credential service", "a container");
	is_str(seen, "GET /creds?x=1\n", "asked as its URL says");
	ok(!!strcasestr(last, "authorization: canary-token\r\n"), "with its token");
	is_str(found(container(third_time, url)), "MA/canary-m/canary-mt the container's credential service", "asked again after errors");
	is_int(n_requests, 3, "three times at most");
	next_answer = NOT("403 F", "canary");
	fails(container(fixed, url), KB_E_AUTH, "answers 403", "a container without credentials");
	next_answer = NOT("500 E", "");
	fails(container(fixed, url), KB_E_TRANSIENT, "answers 500", "one in trouble");
	for (size_t i = 0; i < sizeof strange / sizeof *strange; i++)
		fails(container(fixed, strange[i]), KB_E_CONFIG, "AWS_CONTAINER_CREDENTIALS_FULL_URI: expected https", strange[i]);
	is_int(n_requests, 0, "no token goes elsewhere");
}

static const char *role_list;
static struct answer instance(const char *method, const char *target, const char *head, const char *body, int n)
{
	(void)body;
	(void)n;
	if (!strcmp(method, "PUT"))
		return strcasestr(head, "x-aws-ec2-metadata-token-ttl-seconds: ") ? OK("canary-imds") : NOT("400 B", "");
	if (!strcasestr(head, "x-aws-ec2-metadata-token: canary-imds"))
		return NOT("401 U", "");
	if (!strcmp(target, "/latest/meta-data/iam/security-credentials/"))
		return role_list ? OK(role_list) : NOT("404 N", "");
	return OK(MACHINE);
}

static int metadata(script_fn *f)
{
	fresh("", "");
	begin(f);
	set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "%s/", base);
	return open_with(NULL);
}

static void test_metadata(void)
{
	role_list = "my role\n";
	is_str(found(metadata(instance)), "MA/canary-m/canary-mt the instance's metadata service", "an instance");
	is_str(seen, "PUT /latest/api/token\nGET /latest/meta-data/iam/security-credentials/\n"
	       "GET /latest/meta-data/iam/security-credentials/my%20role\n", "asked as IMDSv2 wants it");
	now_s += 2 * HOUR;
	is_int(fetch(CALL), KB_OK, "one that can't renew them");
	is_int(got.expires_s, THEN + 2 * HOUR + 600, "has their time extended");
	role_list = NULL;
	fails(metadata(instance), KB_E_AUTH, "no credentials found", "one without a role");
	next_answer = NOT("403 F", "");
	fails(metadata(fixed), KB_E_AUTH, "no credentials found", "one with metadata switched off");
	next_answer = NOT("503 B", "");
	fails(metadata(fixed), KB_E_THROTTLED, "metadata service answers 503", "a busy one");
	fresh("", "");
	begin(instance);
	set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "%s", base);
	set("AWS_EC2_METADATA_DISABLED", "true");
	fails(open_with(NULL), KB_E_AUTH, "no credentials found", "switched off here");
	is_int(n_requests, 0, "is not asked");
}

/* ---- keeping them fresh ---- */

static char fresh_ones[400];
static struct answer renew(const char *method, const char *target, const char *head, const char *body, int n)
{
	struct tm tm;
	time_t until = (time_t)(now_s + HOUR);
	char text[40];

	(void)method;
	(void)target;
	(void)head;
	(void)body;
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&until, &tm));
	usleep(50000);
	snprintf(fresh_ones, sizeof fresh_ones, "{\"AccessKeyId\":\"A%d\",\"SecretAccessKey\":\"canary\",\"Token\":\"t\",\"Expiration\":\"%s\"}",
		 n, text);
	return OK(fresh_ones);
}

static void *get_in_thread(void *arg)
{
	struct kb_call call = { sizeof call, 0, s3_now() + 30000000000u, -1, 0 };

	(void)arg;
	{
		struct s3_cred one;
		bool good = s3_creds_get(creds, &one, &call) == KB_OK && !strcmp(one.access, "A1");

		s3_cred_release(&one);
		return good ? creds : NULL;
	}
}

static int get_in_threads(void)
{
	pthread_t t[8];
	int good = 0;
	void *ret;

	for (int i = 0; i < 8; i++)
		if (pthread_create(&t[i], NULL, get_in_thread, NULL))
			exit(99);
	for (int i = 0; i < 8; i++) {
		pthread_join(t[i], &ret);
		good += ret != NULL;
	}
	return good;
}

static void test_fresh(void)
{
	struct s3_cred old;
	char url[100];

	snprintf(url, sizeof url, "%s/creds", base);
	is_int(container(renew, url), KB_OK, "credentials for an hour");
	now_s += 40 * 60;
	is_int(fetch(CALL), KB_OK, "serve for forty minutes");
	is_int(n_requests, 1, "without a question");
	now_s += 6 * 60;
	is_int(fetch(CALL), KB_OK, "a quarter of an hour before their end");
	is_str(got.access, "A1", "others are got");
	is_int(got.expires_s, THEN + 46 * 60 + HOUR, "for longer");

	container(renew, url);
	now_s += HOUR + 1;
	is_int(get_in_threads(), 8, "eight threads want expired ones");
	is_int(n_requests, 2, "one of them asks");

	container(renew, url);
	now_s += 50 * 60;
	next_answer = NOT("500 E", "");
	begin(fixed);
	is_int(fetch(CALL), KB_OK, "when renewing fails, the present ones serve");
	is_str(got.access, "A0", "as they are");
	is_int(n_requests, 3, "after three tries");
	fetch(CALL);
	is_int(n_requests, 3, "and the service is left alone for a while");
	now_s += 11 * 60;
	fails(fetch(CALL), KB_E_TRANSIENT, "answers 500", "until they have expired");
	now_s += 60;
	begin(renew);
	is_int(fetch(CALL), KB_OK, "and are there again with the service");

	container(renew, url);
	old = got;
	got = (struct s3_cred){ 0 };
	ok(s3_creds_refuse(creds, &old), "refused credentials");
	is_int(fetch(CALL), KB_OK, "are got anew");
	is_str(got.access, "A1", "from where they came");
	ok(s3_creds_refuse(creds, &old), "who is late with the same news");
	fetch(CALL);
	is_int(n_requests, 2, "does not make it ask again");
	s3_cred_release(&old);
}

static void test_time(void)
{
	static const struct { const char *text; int64_t want; } cases[] = {
		{ "2026-01-02T03:04:05Z", THEN }, { "2026-01-02T03:04:05.123Z", THEN }, { "2026-01-02T04:04:05+01:00", THEN },
		{ "2026-01-01T21:34:05-0530", THEN }, { "2026-01-02T03:04:05UTC", THEN }, { "2026-01-02T03:04:05", THEN },
		{ "2026-01-02T03:04:05X", 0 }, { "2026-01-02", 0 }, { "", 0 }, { "soon", 0 }, { "2026-01-02T03:04:05+1", 0 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		is_int(s3_cred_time(cases[i].text), cases[i].want, *cases[i].text ? cases[i].text : "no time");
	is_int(s3_cred_time(NULL), 0, "none");
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

int main(void)
{
	static const char *const folders[] = { ".aws", ".aws/sso", ".aws/sso/cache", ".aws/login", ".aws/login/cache" };
	const struct http_settings settings = { .max_connections = 1 };
	char path[200];

	if (!mkdtemp(home))
		return 99;
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		snprintf(path, sizeof path, "%s/%s", home, folders[i]);
		if (mkdir(path, 0700))
			return 99;
	}
	setenv("HOME", home, 1);
	start();
	snprintf(base, sizeof base, "http://127.0.0.1:%d", port);
	s3_cred_clock = clock_of_test;
	if (!kb_builtin_s3(&test_host) || http_open(s3_host, &settings, CALL, &web))
		return 99;
	test_time();
	test_written();
	test_roles();
	test_web_identity();
	test_sso();
	test_login();
	test_process();
	test_container();
	test_metadata();
	test_fresh();
	fresh("", "");
	http_close(web);
	nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return done();
}
