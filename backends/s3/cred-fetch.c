/* What the providers have in common: time, files, requests, JSON. */
#include "config.h"
#include "cred-parts.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FILE_MAX = 64 << 10, SKEW_S = 60 };

int64_t (*s3_cred_clock)(void);

int64_t s3_cred_now(void)
{
	return s3_cred_clock ? s3_cred_clock() : (int64_t)time(NULL);
}

/* "Z", "+01:00", "-0530", or nothing, which is UTC too. Seconds east of it; false for anything else. */
static bool zone_of(const char *s, int64_t *east)
{
	unsigned hours, minutes;
	int end = 0;

	*east = 0;
	if (!*s || !strcmp(s, "Z") || !strcmp(s, "z") || !strcmp(s, "UTC"))
		return true;
	if ((*s != '+' && *s != '-') || strspn(s + 1, "0123456789:") != strlen(s + 1))
		return false;
	if ((sscanf(s + 1, "%2u:%2u%n", &hours, &minutes, &end) != 2 || s[1 + end]) &&
	    (sscanf(s + 1, "%2u%2u%n", &hours, &minutes, &end) != 2 || s[1 + end]))
		return false;
	*east = (int64_t)(hours * 3600 + minutes * 60) * (*s == '-' ? -1 : 1);
	return hours < 24 && minutes < 60;
}

int64_t s3_cred_time(const char *text)
{
	struct tm tm = { 0 };
	const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	int64_t east;

	if (end && *end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	return end && zone_of(end, &east) ? (int64_t)timegm(&tm) - east : 0;
}

const char *s3_cred_env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

/* ---- memory ---- */

const char *s3_cred_name(struct s3_context *x, const char *fmt, ...)
{
	struct s3_text *t;
	va_list ap;
	char *text;
	size_t n;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0)
		return "somewhere";
	for (t = x->memory->names; t && strcmp(t->text, text); t = t->next)
		;
	n = (size_t)len + 1;
	if (!t && (t = malloc(sizeof *t + n))) {
		memcpy(t->text, text, n);
		t->next = x->memory->names;
		x->memory->names = t;
	}
	free(text);
	return t ? t->text : "somewhere";
}

void s3_cred_wipe(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void s3_memory_release(struct s3_memory *m)
{
	while (m->names) {
		struct s3_text *next = m->names->next;

		free(m->names);
		m->names = next;
	}
	free(m->sso_key);
	s3_cred_wipe(m->sso_access);
	s3_cred_wipe(m->sso_refresh);
	*m = (struct s3_memory){ 0 };
}

int s3_cred_no_memory(struct s3_context *x)
{
	return x->host->fail(x->call, KB_E_LOCAL, "out of memory");
}

/* ---- files ---- */

char *s3_cred_path(const char *path)
{
	const char *home = s3_cred_env("HOME");
	char *full;

	if (!path || strncmp(path, "~/", 2))
		return path ? strdup(path) : NULL;
	return home && asprintf(&full, "%s/%s", home, path + 2) >= 0 ? full : NULL;
}

char *s3_cred_slurp(const char *path)
{
	char *full = s3_cred_path(path), *buf = full ? calloc(1, FILE_MAX + 1) : NULL;
	FILE *f = buf ? fopen(full, "re") : NULL;
	size_t n = 0;

	if (f) {
		setvbuf(f, NULL, _IONBF, 0);	/* no copy of a secret in there */
		n = fread(buf, 1, FILE_MAX, f);
		fclose(f);
	}
	free(full);
	if (memchr(buf ? buf : "", '\0', n))	/* none of ours has that */
		n = 0;
	while (n && (buf[n - 1] == '\n' || buf[n - 1] == '\r'))
		buf[--n] = '\0';
	if (n)
		return buf;
	free(buf);
	return NULL;
}

/* ---- requests ---- */

/* Lifetimes are the other side's; our clock may be wrong. */
static void learn_offset(struct s3_context *x, const struct http_reply *reply)
{
	const char *date = http_reply_header(reply, "date");
	time_t t = date ? curl_getdate(date, NULL) : -1;
	int64_t offset = t == -1 ? 0 : (int64_t)t - s3_cred_now();

	x->offset_s = offset > SKEW_S || offset < -SKEW_S ? offset : 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int s3_cred_fetch(struct s3_context *x, const char *what, const struct http_request *r, unsigned ms, struct http_reply *reply)
{
	uint64_t deadline = x->call->deadline_ns, until = now_ns() + (uint64_t)ms * 1000000;
	bool shorter = ms && until < deadline;
	int rc;

	if (shorter)
		x->call->deadline_ns = until;
	rc = http_perform(x->web, r, reply, x->call);
	x->call->deadline_ns = deadline;
	if (rc == KB_E_TIMEOUT && shorter)
		return x->host->fail(x->call, KB_E_TRANSIENT, "%s does not answer within %u ms", what, ms);
	if (!rc)
		learn_offset(x, reply);
	return rc == KB_E_CORRUPT ? KB_E_TRANSIENT : rc;
}

int s3_cred_judge(struct s3_context *x, const char *what, const struct http_reply *reply, const char *code)
{
	int status = reply->status, rc = KB_E_AUTH;
	char word[64];
	size_t n = 0;

	if (status == 200)
		return KB_OK;
	/* A word like "AccessDenied", if the answer is what it should be; never what could repeat a secret. */
	for (; code && n < sizeof word - 1 && ((code[n] | 32) >= 'a') && ((code[n] | 32) <= 'z'); n++)
		word[n] = code[n];
	word[code && (code[n] == '\0' || code[n] == '.') ? n : 0] = '\0';
	if (status == 429 || status == 503 || !strcmp(word, "Throttling") || !strcmp(word, "ThrottlingException")) {
		x->call->retry_after_ms = reply->retry_after_ms;
		rc = KB_E_THROTTLED;
	} else if (status >= 500 || status == 408 || !strcmp(word, "IDPCommunicationError")) {
		rc = KB_E_TRANSIENT;
	}
	return x->host->fail(x->call, rc, "%s answers %d%s%s", what, status, *word ? " " : "", word);
}

/* ---- JSON ---- */

bool s3_cred_sendable(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

static char *copy_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s && *s ? strdup(s) : NULL;
}

/* False for what is there and no time. */
static bool expiry_of(const json_t *v, int64_t offset, int64_t *out)
{
	const char *text = json_string_value(v);

	*out = 0;
	if (!v || json_is_null(v))
		return true;
	*out = json_is_integer(v) ? (int64_t)json_integer_value(v) / 1000 : s3_cred_time(text);
	if (*out > 0)
		*out -= offset;
	return *out > 0;
}

int s3_cred_from_json(struct s3_context *x, const char *what, const char *text, size_t len, const struct s3_json *names,
		      struct s3_cred *out)
{
	json_t *o = json_loadb(text, len, 0, NULL);
	const json_t *from = names->inside ? json_object_get(o, names->inside) : o;
	const char *code = json_string_value(json_object_get(from, "Code"));
	bool timed;

	*out = (struct s3_cred){
		.access = copy_of(from, names->access), .secret = copy_of(from, names->secret),
		.token = copy_of(from, names->token),
		.source = what,
	};
	timed = expiry_of(json_object_get(from, names->expiry), x->offset_s, &out->expires_s);
	if (code && strcmp(code, "Success"))
		timed = false;
	json_decref(o);
	if (out->access && out->secret && timed)
		return KB_OK;
	if (out->access && out->secret)
		x->host->fail(x->call, KB_E_AUTH, "%s: %s", what, code && strcmp(code, "Success") ? "the answer says that it failed"
			      : "the expiry of the credentials is no time");
	else
		x->host->fail(x->call, KB_E_AUTH, "%s: the answer holds no credentials", what);
	s3_cred_release(out);
	return KB_E_AUTH;
}
