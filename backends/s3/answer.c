/* Answers: what their codes mean, and what they teach. */
#include "config.h"
#include "s3.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SKEW_S = 60, SKEW_SUSPECT_S = 600 };

static const struct s3_meaning meanings[] = {
	{ "NoSuchKey", KB_MISS, 0, NULL },
	{ "NoSuchBucket", KB_E_CONFIG, 0, "there is no such bucket (option bucket)" },
	{ "InvalidBucketName", KB_E_CONFIG, 0, "the server does not accept the bucket's name (option bucket)" },
	{ "AccessDenied", KB_E_AUTH, 0, "access denied" },
	{ "AllAccessDisabled", KB_E_AUTH, 0, "all access to the bucket is disabled" },
	{ "AccountProblem", KB_E_AUTH, 0, "there is a problem with the account" },
	{ "InvalidAccessKeyId", KB_E_AUTH, S3_AGAIN_CREDENTIALS, "the server does not know the access key (option access-key)" },
	{ "SignatureDoesNotMatch", KB_E_AUTH, 0, "the signature does not match: the secret key is wrong (option secret-key)" },
	{ "ExpiredToken", KB_E_AUTH, S3_AGAIN_CREDENTIALS, "the session token has expired (option session-token)" },
	{ "TokenRefreshRequired", KB_E_AUTH, S3_AGAIN_CREDENTIALS, "the session token has expired (option session-token)" },
	{ "InvalidToken", KB_E_AUTH, S3_AGAIN_CREDENTIALS, "the session token is not accepted (option session-token)" },
	{ "InvalidTokenId", KB_E_AUTH, S3_AGAIN_CREDENTIALS, "the session token is not accepted (option session-token)" },
	{ "RequestTimeTooSkewed", KB_E_AUTH, S3_AGAIN_CLOCK, "this machine's clock is wrong" },
	{ "AuthorizationHeaderMalformed", KB_E_CONFIG, S3_AGAIN_REGION, "the bucket is in another region (option region)" },
	{ "IllegalLocationConstraintException", KB_E_CONFIG, S3_AGAIN_REGION, "the bucket is in another region (option region)" },
	{ "PermanentRedirect", KB_E_CONFIG, S3_AGAIN_REGION, "the bucket is elsewhere (options endpoint and region)" },
	{ "TemporaryRedirect", KB_E_CONFIG, S3_AGAIN_REGION, "the bucket is elsewhere for now (options endpoint and region)" },
	{ "SlowDown", KB_E_THROTTLED, 0, "the server asks to slow down" },
	{ "SlowDownRead", KB_E_THROTTLED, 0, "the server asks to slow down" },
	{ "SlowDownWrite", KB_E_THROTTLED, 0, "the server asks to slow down" },
	{ "ServiceUnavailable", KB_E_THROTTLED, 0, "the server is busy" },
	{ "Throttling", KB_E_THROTTLED, 0, "the server asks to slow down" },
	{ "ThrottlingException", KB_E_THROTTLED, 0, "the server asks to slow down" },
	{ "RequestThrottled", KB_E_THROTTLED, 0, "the server asks to slow down" },
	{ "RequestLimitExceeded", KB_E_THROTTLED, 0, "the server asks to slow down" },
	{ "BandwidthLimitExceeded", KB_E_THROTTLED, 0, "the server asks to slow down" },
	{ "RequestTimeout", KB_E_TRANSIENT, 0, "the server has waited too long for the body" },
	{ "InternalError", KB_E_TRANSIENT, 0, "the server has failed" },
	{ "OperationAborted", KB_E_TRANSIENT, 0, "another operation is under way there" },
	{ "BadDigest", KB_E_TRANSIENT, 0, "the body has arrived damaged" },
	{ "XAmzContentSHA256Mismatch", KB_E_TRANSIENT, 0, "the body has arrived damaged" },
	{ "IncompleteBody", KB_E_TRANSIENT, 0, "the body has arrived incomplete" },
	{ "NoSuchUpload", KB_E_TRANSIENT, 0, "the upload was ended by somebody else" },
	{ "EntityTooLarge", KB_E_TOOBIG, 0, "larger than the server takes" },
	{ "QuotaExceeded", KB_E_NOSPACE, 0, "the quota is used up" },
	{ "InsufficientStorage", KB_E_NOSPACE, 0, "no space is left there" },
	{ "StorageFull", KB_E_NOSPACE, 0, "no space is left there" },
	{ "XMinioStorageFull", KB_E_NOSPACE, 0, "no space is left there" },
	{ "XMinioAdminBucketQuotaExceeded", KB_E_NOSPACE, 0, "the bucket's quota is used up" },
	{ "InvalidObjectName", KB_E_UNSUPPORTED, 0, "the server does not accept the name" },
	{ "KeyTooLongError", KB_E_UNSUPPORTED, 0, "the name is too long for the server" },
	{ "MethodNotAllowed", KB_E_UNSUPPORTED, 0, "the server does not do that" },
	{ "NotImplemented", KB_E_UNSUPPORTED, 0, "the server does not do that" },
	{ "InvalidStorageClass", KB_E_CONFIG, 0, "the server does not know the storage class (option storage-class)" },
	{ "KMS.NotFoundException", KB_E_CONFIG, 0, "there is no such key (option kms-key)" },
	{ "KMS.DisabledException", KB_E_CONFIG, 0, "the key is disabled (option kms-key)" },
	{ "AccessControlListNotSupported", KB_E_CONFIG, 0, "the bucket takes no ACLs (option acl)" },
};

const struct s3_meaning *s3_meaning(const struct http_reply *reply)
{
	char *code = reply->status >= 300 ? s3_xml_text(reply->text, reply->text_len, "Code") : NULL;
	const struct s3_meaning *found = NULL;

	for (size_t i = 0; code && !found && i < sizeof meanings / sizeof *meanings; i++)
		if (!strcmp(meanings[i].code, code))
			found = &meanings[i];
	free(code);
	return found;
}

/* ---- learning ---- */

static bool learn_region(struct kb_handle *h, const struct http_reply *reply)
{
	const char *header = http_reply_header(reply, "x-amz-bucket-region");
	char *region = header ? strdup(header) : s3_xml_text(reply->text, reply->text_len, "Region");
	bool other = false;

	if (region) {
		pthread_mutex_lock(&h->lock);
		other = strcmp(region, h->region) && s3_use_region(h, region);
		pthread_mutex_unlock(&h->lock);
	}
	if (other)
		s3_host->log(6, "the bucket is in the region %s (option region)", region);
	free(region);
	return other;
}

/* How far the server's clock is from the one we signed with. */
static long long skew(const struct kb_handle *h, const struct http_reply *reply)
{
	const char *date = http_reply_header(reply, "date");
	time_t there = date ? curl_getdate(date, NULL) : (time_t)-1;

	return there == (time_t)-1 ? 0 : (long long)there - (long long)time(NULL) - atomic_load(&h->clock_offset_s);
}

static bool learn_clock(struct kb_handle *h, const struct http_reply *reply)
{
	long long by = skew(h, reply);

	if (llabs(by) < SKEW_S)
		return false;
	by += atomic_load(&h->clock_offset_s);
	atomic_store(&h->clock_offset_s, by);
	s3_host->log(4, "this machine's clock is %lld s %s the server's; signing with the server's", llabs(by),
		     by > 0 ? "behind" : "ahead of");
	return true;
}

/* Answers to HEAD have no body, and some have a code we don't know: there the rest has to say it. */
static enum s3_again reason(const struct kb_handle *h, const struct http_reply *reply)
{
	const struct s3_meaning *m;

	if (reply->status < 300 || reply->status == 404 || reply->status >= 500)
		return S3_AGAIN_NO;
	m = s3_meaning(reply);
	if (m)
		return m->again;
	if (reply->status < 400 || (reply->status == 400 && http_reply_header(reply, "x-amz-bucket-region")))
		return S3_AGAIN_REGION;
	if (reply->status == 403 && llabs(skew(h, reply)) > SKEW_SUSPECT_S)
		return S3_AGAIN_CLOCK;
	return reply->status == 400 && !reply->text_len ? S3_AGAIN_CREDENTIALS : S3_AGAIN_NO;
}

bool s3_again(struct kb_handle *h, const struct http_reply *reply, const struct s3_cred *cred, unsigned *tried)
{
	enum s3_again what = reason(h, reply);

	if (what == S3_AGAIN_NO || *tried & what)
		return false;
	*tried |= what;
	if (what == S3_AGAIN_REGION)
		return learn_region(h, reply);
	if (!cred->access)		/* nothing was signed */
		return false;
	return what == S3_AGAIN_CLOCK ? learn_clock(h, reply) : s3_creds_refuse(h->creds, cred);
}

/* ---- judging ---- */

static uint32_t retry_after(const struct http_reply *reply)
{
	const char *ms = http_reply_header(reply, "x-amz-retry-after");
	unsigned long value = ms ? strtoul(ms, NULL, 10) : 0;

	return value ? (uint32_t)(value < 3600000 ? value : 3600000) : reply->retry_after_ms;
}

int s3_judge(struct kb_handle *h, const struct http_reply *reply, const char *what, struct kb_call *call)
{
	const struct s3_meaning *m = s3_meaning(reply);
	const char *source = atomic_load(&h->source);

	if (!m && reply->status >= 300 && reply->status < 400)
		return s3_host->fail(call, KB_E_CONFIG, "%s: redirected with status %d (option endpoint)", what, reply->status);
	if (!m)
		return http_judge(s3_host, reply, what, call);
	if (m->status >= 0)
		return m->status;
	if (m->status == KB_E_THROTTLED)
		call->retry_after_ms = retry_after(reply);
	if (m->status == KB_E_AUTH)
		return s3_host->fail(call, KB_E_AUTH, "%s in bucket %s with credentials from %s: %s", what, h->bucket,
				     source ? source : "nowhere", m->text);
	if (m->status == KB_E_CONFIG)
		return s3_host->fail(call, KB_E_CONFIG, "bucket %s: %s", h->bucket, m->text);
	return s3_host->fail(call, m->status, "%s: %s", what, m->text);
}

bool s3_is_denied(const struct http_reply *reply)
{
	const struct s3_meaning *m = reply->status == 403 ? s3_meaning(reply) : NULL;

	return m ? !strcmp(m->code, "AccessDenied") : reply->status == 403 && !reply->text_len;
}

int s3_denied(struct kb_handle *h, const char *what, struct kb_call *call)
{
	unsigned seen = atomic_load(&h->seen);
	const char *source = atomic_load(&h->source);

	if (seen == S3_SEEN_OBJECT)
		return KB_MISS;
	return s3_host->fail(call, KB_E_AUTH, "%s in bucket %s with credentials from %s: access denied; needed are the rights "
			     "s3:GetObject and s3:ListBucket", what, h->bucket, source ? source : "nowhere");
}
