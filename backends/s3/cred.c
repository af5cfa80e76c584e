/* The chain: which provider has credentials, and keeping them fresh. */
#include "config.h"
#include "cred-parts.h"
#include "s3.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Refresh from EARLY on by one thread, and make all wait for it from LATE on. After a failure, wait. */
enum { EARLY_S = 15 * 60, LATE_S = 10 * 60, AGAIN_EARLY_S = 60, AGAIN_LATE_S = 5, SLICE_MS = 100 };

struct s3_creds {
	const struct kb_host *host;
	struct http *web;
	char *profile;			/* whose settings count */
	bool named;			/* by kache's own settings, which beats AWS_ACCESS_KEY_ID */
	bool anonymous;
	struct s3_cred own;		/* of kache's own settings */
	struct s3_settings settings;
	char *region;			/* for STS */
	struct s3_memory memory;	/* of who fetches */
	pthread_mutex_t lock;		/* over everything below */
	pthread_cond_t fetched;
	struct s3_cred now;		/* source NULL: none */
	struct s3_cred refused;		/* what was fetched anew for already */
	int64_t next_s;			/* no earlier attempt while the present ones serve */
	bool fetching;
	unsigned rounds;		/* fetches that have ended, and how the last one did: */
	int rc;
	uint32_t retry_after_ms;
	char text[S3_TEXT];
};

/* ---- values ---- */

void s3_cred_release(struct s3_cred *c)
{
	s3_cred_wipe(c->access);
	s3_cred_wipe(c->secret);
	s3_cred_wipe(c->token);
	*c = (struct s3_cred){ 0 };
}

static char *copy(const char *s, bool *bad)
{
	char *c = s ? strdup(s) : NULL;

	*bad |= s && !c;
	return c;
}

/* 0 or -1 without memory. */
static int copy_cred(const struct s3_cred *from, struct s3_cred *to)
{
	bool bad = false;

	*to = (struct s3_cred){
		.access = copy(from->access, &bad), .secret = copy(from->secret, &bad), .token = copy(from->token, &bad),
		.expires_s = from->expires_s, .source = from->source,
	};
	if (bad)
		s3_cred_release(to);
	return bad ? -1 : 0;
}

static bool equal(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : !a && !b;
}

static bool same(const struct s3_cred *a, const struct s3_cred *b)
{
	return equal(a->access, b->access) && equal(a->secret, b->secret) && equal(a->token, b->token);
}

/* ---- the chain ---- */

static int walk(struct s3_context *x, struct s3_cred *out)
{
	static s3_provider *const chain[] = {
		s3_cred_environment, s3_cred_profile_role, s3_cred_web_identity, s3_cred_profile_rest, s3_cred_container,
		s3_cred_maybe_metadata,
	};
	static s3_provider *const named[] = { s3_cred_profile };
	s3_provider *const *list = x->named ? named : chain;
	size_t n = x->named ? 1 : sizeof chain / sizeof *chain;
	const char *variable = s3_cred_env("AWS_PROFILE") ? "AWS_PROFILE" : "AWS_DEFAULT_PROFILE";

	for (size_t i = 0; i < n; i++) {
		int rc = list[i](x, x->profile, out);

		if (rc != KB_MISS)
			return rc;
		if (i || x->named || !s3_cred_env(variable) || s3_files_has_profile(x->files, x->profile))
			continue;
		/* The environment has nothing, and what it names instead is not there. */
		return x->host->fail(x->call, KB_E_CONFIG, "%s: there is no profile %s in the AWS files", variable, x->profile);
	}
	return KB_MISS;
}

/* A key with a line break at its end, as some secrets are stored, would break the request. */
static int check(struct s3_context *x, struct s3_cred *c)
{
	const struct { const char *value, *name; } all[] = {
		{ c->access, "access key" }, { c->secret, "secret key" }, { c->token, "session token" },
	};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (!all[i].value || s3_cred_sendable(all[i].value))
			continue;
		x->host->fail(x->call, KB_E_CONFIG, "credentials from %s: the %s holds a blank, a line break or what is not ASCII",
			      c->source, all[i].name);
		s3_cred_release(c);
		return KB_E_CONFIG;
	}
	if (!c->expires_s || c->expires_s > s3_cred_now())
		return KB_OK;
	x->host->fail(x->call, KB_E_AUTH, "credentials from %s have expired already", c->source);
	s3_cred_release(c);
	return KB_E_AUTH;
}

/* Reads the files each time: others may have put new keys there. */
static int find(struct s3_creds *c, bool look, struct kb_call *call, struct s3_cred *out)
{
	struct s3_files *files = NULL;
	struct s3_context x = {
		.host = c->host, .web = c->web, .profile = c->profile, .region = c->region, .named = c->named, .look = look,
		.memory = &c->memory, .call = call,
	};
	int rc = KB_OK;

	*out = (struct s3_cred){ .source = "anonymous" };
	if (c->anonymous)
		return KB_OK;
	if (c->own.access) {
		rc = copy_cred(&c->own, out) ? s3_cred_no_memory(&x) : KB_OK;
	} else {
		rc = s3_files_open(c->host, &files, call);
		x.files = files;
		if (!rc)
			rc = walk(&x, out);
	}
	if (!rc && !look)
		rc = check(&x, out);
	s3_files_close(files);
	if (rc == KB_MISS && look)
		return KB_OK;		/* the first who needs them hears of it */
	if (rc == KB_MISS && c->named)
		return c->host->fail(call, KB_E_AUTH, "profile %s has no credentials", c->profile);
	if (rc == KB_MISS)
		return c->host->fail(call, KB_E_AUTH, "no credentials found; set KACHE_S3_ACCESS_KEY and KACHE_S3_SECRET_KEY, or AWS's "
				     "variables or files; anonymous=true for a public bucket");
	return rc;
}

/* ---- open and close ---- */

static const char *option(const struct kb_host *host, const kb_conf *conf, const char *name)
{
	const char *v = host->conf_str(conf, name);

	return v && *v ? v : NULL;
}

static int own_keys(struct s3_creds *c, const kb_conf *conf, struct kb_call *call)
{
	const char *access = option(c->host, conf, "access-key"), *secret = option(c->host, conf, "secret-key");
	const char *token = option(c->host, conf, "session-token");
	const struct s3_cred own = { (char *)access, (char *)secret, (char *)token, 0, "options" };

	if (!access != !secret)
		return c->host->fail(call, KB_E_CONFIG, "%s: is not set; it goes with %s", access ? "secret-key" : "access-key",
				     access ? "access-key" : "secret-key");
	if (token && !access && !c->anonymous)
		return c->host->fail(call, KB_E_CONFIG, "session-token: goes with access-key and secret-key, which are not set");
	if (access && copy_cred(&own, &c->own))
		return c->host->fail(call, KB_E_LOCAL, "out of memory");
	return KB_OK;
}

static int configure(struct s3_creds *c, const kb_conf *conf, struct kb_call *call)
{
	const char *profile = option(c->host, conf, "profile"), *env = s3_cred_env("AWS_PROFILE"), *region;
	struct s3_files *files = NULL;
	bool bad = false;
	int rc = own_keys(c, conf, call);

	if (rc)
		return rc;
	if (!env)
		env = s3_cred_env("AWS_DEFAULT_PROFILE");
	c->named = profile != NULL;
	c->profile = copy(profile ? profile : env ? env : "default", &bad);
	rc = bad ? c->host->fail(call, KB_E_LOCAL, "out of memory") : s3_files_open(c->host, &files, call);
	if (!rc && profile && !s3_files_has_profile(files, profile))
		rc = c->host->fail(call, KB_E_CONFIG, "profile: there is no profile %s in the AWS files", profile);
	if (!rc && s3_settings_read(files, c->profile, &c->settings))
		rc = c->host->fail(call, KB_E_LOCAL, "out of memory");
	s3_files_close(files);
	region = c->settings.region ? c->settings.region : option(c->host, conf, "region");
	c->region = copy(region, &bad);
	return !rc && bad ? c->host->fail(call, KB_E_LOCAL, "out of memory") : rc;
}

int s3_creds_open(const struct kb_host *host, const kb_conf *conf, struct http *web, struct s3_creds **out,
		  struct kb_call *call)
{
	struct s3_creds *c = calloc(1, sizeof *c);
	pthread_condattr_t attr;
	struct s3_cred first;
	int rc;

	*out = NULL;
	if (!c)
		return host->fail(call, KB_E_LOCAL, "out of memory");
	c->host = host;
	c->web = web;
	c->anonymous = host->conf_u64(conf, "anonymous");
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->fetched, &attr);
	pthread_condattr_destroy(&attr);
	rc = configure(c, conf, call);
	if (!rc)
		rc = find(c, true, call, &first);
	if (!rc)
		s3_cred_release(&first);
	if (rc)
		s3_creds_close(c);
	else
		*out = c;
	return rc;
}

void s3_creds_close(struct s3_creds *c)
{
	if (!c)
		return;
	s3_cred_release(&c->own);
	s3_cred_release(&c->now);
	s3_cred_release(&c->refused);
	s3_settings_release(&c->settings);
	s3_memory_release(&c->memory);
	free(c->profile);
	free(c->region);
	pthread_cond_destroy(&c->fetched);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* ---- refresh; all of it under the lock ---- */

static int64_t left(const struct s3_creds *c)
{
	return !c->now.source ? 0 : c->now.expires_s ? c->now.expires_s - s3_cred_now() : INT64_MAX;
}

/* Whether it is time for somebody (margin EARLY_S), or everybody (LATE_S), to get others. */
static bool due(const struct s3_creds *c, int64_t margin)
{
	int64_t s = left(c);

	return s <= 0 || (s <= margin && s3_cred_now() >= c->next_s);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A condition can't be polled together with cancel_fd, so in slices. KB_OK when a fetch has ended. */
static int wait_for_other(struct s3_creds *c, struct kb_call *call)
{
	struct pollfd p = { .fd = call->cancel_fd, .events = POLLIN };
	unsigned round = c->rounds;

	while (c->rounds == round) {
		uint64_t now = now_ns(), until = now + (uint64_t)SLICE_MS * 1000000;
		struct timespec t;

		if (now >= call->deadline_ns)
			return c->host->fail(call, KB_E_TIMEOUT, "the credentials do not come in time");
		if (poll(&p, 1, 0) > 0)
			return c->host->fail(call, KB_E_CANCELLED, "cancelled");
		if (until > call->deadline_ns)
			until = call->deadline_ns;
		t = (struct timespec){ .tv_sec = (time_t)(until / 1000000000u), .tv_nsec = (long)(until % 1000000000u) };
		pthread_cond_timedwait(&c->fetched, &c->lock, &t);
	}
	/* What went wrong for the other would go wrong for us, unless it had less time. */
	if (!c->rc || c->rc == KB_E_TIMEOUT || c->rc == KB_E_CANCELLED || left(c) > 0)
		return KB_OK;
	call->retry_after_ms = c->retry_after_ms;
	return c->host->fail(call, c->rc, "%s", c->text);
}

/* When to try again, if what there is expires soon. */
static int64_t next_attempt(const struct s3_creds *c, int rc)
{
	int64_t s = left(c);

	if (rc)
		return s3_cred_now() + (s > LATE_S ? AGAIN_EARLY_S : AGAIN_LATE_S);
	return s > EARLY_S ? 0 : s3_cred_now() + s / 2;	/* never were good for longer */
}

/* Gives the lock away meanwhile. */
static int fetch(struct s3_creds *c, struct kb_call *call)
{
	struct s3_cred fresh = { 0 };
	char text[S3_TEXT] = "", *outer;
	int rc;

	c->fetching = true;
	pthread_mutex_unlock(&c->lock);
	outer = s3_capture(text);
	rc = find(c, false, call, &fresh);
	s3_capture(outer);
	pthread_mutex_lock(&c->lock);
	c->fetching = false;
	c->rounds++;
	c->rc = rc;
	c->retry_after_ms = call->retry_after_ms;
	memcpy(c->text, text, sizeof text);
	if (!rc) {
		s3_cred_release(&c->now);
		c->now = fresh;
	}
	c->next_s = next_attempt(c, rc);
	pthread_cond_broadcast(&c->fetched);
	if (!rc)
		return KB_OK;
	if (left(c) <= 0)
		return c->host->fail(call, rc, "%s", text);
	c->host->log(4, "credentials could not be renewed, the present ones serve for %lld s more: %s", (long long)left(c), text);
	return KB_OK;
}

int s3_creds_get(struct s3_creds *c, struct s3_cred *out, struct kb_call *call)
{
	int rc = KB_OK;

	*out = (struct s3_cred){ 0 };
	pthread_mutex_lock(&c->lock);
	while (!rc && due(c, c->fetching ? LATE_S : EARLY_S)) {
		if (c->fetching) {
			rc = wait_for_other(c, call);
			continue;
		}
		rc = fetch(c, call);
		break;
	}
	if (!rc && copy_cred(&c->now, out))
		rc = c->host->fail(call, KB_E_LOCAL, "out of memory");
	pthread_mutex_unlock(&c->lock);
	return rc;
}

bool s3_creds_refuse(struct s3_creds *c, const struct s3_cred *cred)
{
	bool help = false;

	if (!cred->access || c->own.access || c->anonymous)
		return false;
	pthread_mutex_lock(&c->lock);
	if (!same(&c->now, cred)) {
		help = true;		/* others have been fetched meanwhile, or are being fetched */
	} else if (!same(&c->refused, cred)) {
		s3_cred_release(&c->refused);
		c->refused = c->now;
		c->now = (struct s3_cred){ 0 };
		help = true;
	}
	pthread_mutex_unlock(&c->lock);
	return help;
}

/* ---- other settings of the AWS tools ---- */

const char *s3_creds_region(const struct s3_creds *c)
{
	return c->settings.region;
}

const char *s3_creds_endpoint(const struct s3_creds *c)
{
	return c->settings.endpoint;
}

const char *s3_creds_addressing(const struct s3_creds *c)
{
	return c->settings.addressing;
}

const char *s3_creds_ca_file(const struct s3_creds *c)
{
	return c->settings.ca_file;
}
