/* The chain: which provider has credentials, and keeping them fresh. */
#define _GNU_SOURCE
#include "cred-parts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EARLY_S = 15 * 60, LATE_S = 10 * 60, LOOP_MAX = 8 };

struct s3_creds {
	const struct kb_host *host;
	struct http *web;
	struct s3_files *files;
	const char *profile;		/* whose settings count */
	bool named;			/* by kache's own settings, which beats AWS_ACCESS_KEY_ID */
	bool anonymous;
	struct s3_cred explicit_cred;	/* of kache's own settings */
	pthread_mutex_t lock;		/* over everything below */
	pthread_cond_t fetched;
	struct s3_cred now;
	bool fetching;
	char *refused;			/* access key that was fetched anew for already */
};

/* For tests. */
int64_t (*s3_cred_clock)(void);

static int64_t now_s(void)
{
	return s3_cred_clock ? s3_cred_clock() : (int64_t)time(NULL);
}

void s3_cred_release(struct s3_cred *c)
{
	char **const all[] = { &c->access, &c->secret, &c->token };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (*all[i])
			explicit_bzero(*all[i], strlen(*all[i]));
		free(*all[i]);
	}
	*c = (struct s3_cred){ 0 };
}

static char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

static void copy_cred(const struct s3_cred *from, struct s3_cred *to)
{
	*to = (struct s3_cred){
		.access = copy(from->access), .secret = copy(from->secret), .token = copy(from->token),
		.expires_s = from->expires_s, .source = from->source,
	};
}

/* ---- providers without a service ---- */

int s3_cred_environment(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	const char *access = getenv("AWS_ACCESS_KEY_ID"), *secret = getenv("AWS_SECRET_ACCESS_KEY"), *token = getenv("AWS_SESSION_TOKEN");

	(void)profile;
	if ((!access || !*access) && (!secret || !*secret))
		return KB_MISS;
	if (!access || !*access || !secret || !*secret)
		return x->host->fail(x->call, KB_E_CONFIG, "%s is not set; it goes with %s", access && *access ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID",
				     access && *access ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY");
	*out = (struct s3_cred){ .access = copy(access), .secret = copy(secret), .token = token && *token ? copy(token) : NULL,
				 .source = "environment" };
	return KB_OK;
}

static int static_keys(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	const char *access = s3_files_get(x->files, profile, "aws_access_key_id");
	const char *secret = s3_files_get(x->files, profile, "aws_secret_access_key");
	const char *token = s3_files_get(x->files, profile, "aws_session_token");

	if (!access && !secret)
		return KB_MISS;
	if (!access || !secret)
		return x->host->fail(x->call, KB_E_CONFIG, "profile %s: %s is missing", profile,
				     access ? "aws_secret_access_key" : "aws_access_key_id");
	*out = (struct s3_cred){ .access = copy(access), .secret = copy(secret), .token = copy(token), .source = "profile" };
	return KB_OK;
}

static int profile_at(struct s3_context *x, const char *profile, unsigned depth, struct s3_cred *out);

/* The credentials that a role is assumed with. */
static int source_of_role(struct s3_context *x, const char *profile, unsigned depth, struct s3_cred *out)
{
	static const struct { const char *name; s3_provider *get; } sources[] = {
		{ "Environment", s3_cred_environment }, { "EcsContainer", s3_cred_container }, { "Ec2InstanceMetadata", s3_cred_metadata },
	};
	const char *source = s3_files_get(x->files, profile, "source_profile");
	const char *kind = s3_files_get(x->files, profile, "credential_source");

	if (source && !strcmp(source, profile)) {	/* itself: its static keys */
		int rc = static_keys(x, profile, out);

		return rc == KB_MISS ? x->host->fail(x->call, KB_E_CONFIG, "profile %s: source_profile leads back to it", profile) : rc;
	}
	if (source)
		return profile_at(x, source, depth + 1, out);
	for (size_t i = 0; kind && i < sizeof sources / sizeof *sources; i++) {
		if (!strcmp(sources[i].name, kind)) {
			int rc = sources[i].get(x, profile, out);

			return rc == KB_MISS ? x->host->fail(x->call, KB_E_AUTH, "profile %s: credential_source = %s has nothing", profile, kind) : rc;
		}
	}
	return x->host->fail(x->call, KB_E_CONFIG, "profile %s: role_arn needs source_profile or credential_source (Environment, EcsContainer, Ec2InstanceMetadata)",
			     profile);
}

static int profile_at(struct s3_context *x, const char *profile, unsigned depth, struct s3_cred *out)
{
	const char *role = s3_files_get(x->files, profile, "role_arn");
	const char *token_file = s3_files_get(x->files, profile, "web_identity_token_file");
	const char *process = s3_files_get(x->files, profile, "credential_process");
	struct s3_cred with;
	int rc;

	if (depth > LOOP_MAX)
		return x->host->fail(x->call, KB_E_CONFIG, "profile %s: source_profile leads in a circle", profile);
	if (!s3_files_has_profile(x->files, profile))
		return depth ? x->host->fail(x->call, KB_E_CONFIG, "there is no profile %s", profile) : KB_MISS;
	if (role && token_file)
		return s3_cred_assume_web(x, role, token_file, s3_files_get(x->files, profile, "role_session_name"), out);
	/* A source profile may have a role_arn of its own, and then that is assumed first. */
	if (role) {
		rc = source_of_role(x, profile, depth, &with);
		if (rc)
			return rc;
		rc = s3_cred_assume_role(x, profile, &with, out);
		s3_cred_release(&with);
		return rc;
	}
	if (s3_files_get(x->files, profile, "sso_session") || s3_files_get(x->files, profile, "sso_start_url"))
		return s3_cred_sso(x, profile, out);
	if (process && !s3_files_get(x->files, profile, "aws_access_key_id"))
		return s3_cred_process(x, profile, process, out);
	return static_keys(x, profile, out);
}

int s3_cred_profile(struct s3_context *x, const char *profile, struct s3_cred *out)
{
	return profile_at(x, profile, 0, out);
}

/* ---- the chain ---- */

static int find(struct s3_creds *c, struct kb_call *call, struct s3_cred *out)
{
	static s3_provider *const chain[] = {
		s3_cred_environment, s3_cred_web_identity, s3_cred_profile, s3_cred_container, s3_cred_metadata,
	};
	struct s3_context x = { .host = c->host, .web = c->web, .files = c->files, .region = s3_creds_region(c), .call = call };
	int rc;

	*out = (struct s3_cred){ 0 };
	if (c->anonymous)
		return KB_OK;
	if (c->explicit_cred.access) {
		copy_cred(&c->explicit_cred, out);
		return KB_OK;
	}
	if (c->named) {
		rc = s3_cred_profile(&x, c->profile, out);
		return rc == KB_MISS ? c->host->fail(call, KB_E_AUTH, "profile %s has no credentials", c->profile) : rc;
	}
	for (size_t i = 0; i < sizeof chain / sizeof *chain; i++) {
		rc = chain[i](&x, c->profile, out);
		if (rc != KB_MISS)
			return rc;
	}
	return c->host->fail(call, KB_E_AUTH, "no credentials found: set KACHE_S3_ACCESS_KEY and KACHE_S3_SECRET_KEY, or AWS's variables or files; anonymous = true for a public bucket");
}

int s3_creds_open(const struct kb_host *host, const kb_conf *conf, struct http *web, struct s3_creds **out,
		  struct kb_call *call)
{
	const char *profile = host->conf_str(conf, "profile"), *access = host->conf_str(conf, "access-key");
	const char *secret = host->conf_str(conf, "secret-key"), *env = getenv("AWS_PROFILE");
	struct s3_creds *c = calloc(1, sizeof *c);
	pthread_condattr_t attr;
	int rc;

	*out = NULL;
	if (!c)
		return host->fail(call, KB_E_LOCAL, "out of memory");
	c->host = host;
	c->web = web;
	c->anonymous = host->conf_u64(conf, "anonymous");
	c->named = profile != NULL;
	if (!env || !*env)
		env = getenv("AWS_DEFAULT_PROFILE");
	c->profile = profile ? profile : env && *env ? env : "default";
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->fetched, &attr);
	pthread_condattr_destroy(&attr);
	rc = s3_files_open(host, &c->files, call);
	if (!rc && !access != !secret)
		rc = host->fail(call, KB_E_CONFIG, "%s: is missing; access-key and secret-key go together", access ? "secret-key" : "access-key");
	if (!rc && profile && !s3_files_has_profile(c->files, profile))
		rc = host->fail(call, KB_E_CONFIG, "profile: there is no profile %s in the shared files", profile);
	if (rc) {
		s3_creds_close(c);
		return rc;
	}
	if (access)
		c->explicit_cred = (struct s3_cred){ .access = copy(access), .secret = copy(secret),
						     .token = copy(host->conf_str(conf, "session-token")), .source = "options" };
	*out = c;
	return KB_OK;
}

void s3_creds_close(struct s3_creds *c)
{
	if (!c)
		return;
	s3_files_close(c->files);
	s3_cred_release(&c->explicit_cred);
	s3_cred_release(&c->now);
	free(c->refused);
	pthread_cond_destroy(&c->fetched);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* Under the lock. Whether what is there still serves, and whether it is time to fetch. */
static bool serves(const struct s3_creds *c, int64_t margin)
{
	if (!c->now.source)
		return false;
	return !c->now.expires_s || c->now.expires_s - now_s() > margin;
}

static int wait_for_other(struct s3_creds *c, struct kb_call *call)
{
	const struct timespec until = { .tv_sec = (time_t)(call->deadline_ns / 1000000000u),
					.tv_nsec = (long)(call->deadline_ns % 1000000000u) };

	return pthread_cond_timedwait(&c->fetched, &c->lock, &until)
		? c->host->fail(call, KB_E_TIMEOUT, "the credentials do not come in time") : KB_OK;
}

int s3_creds_get(struct s3_creds *c, struct s3_cred *out, struct kb_call *call)
{
	struct s3_cred fresh;
	int rc = KB_OK;

	*out = (struct s3_cred){ 0 };
	pthread_mutex_lock(&c->lock);
	while (!rc && c->fetching && !serves(c, LATE_S))
		rc = wait_for_other(c, call);
	if (!rc && !c->fetching && !serves(c, EARLY_S)) {
		c->fetching = true;
		pthread_mutex_unlock(&c->lock);
		rc = find(c, call, &fresh);
		pthread_mutex_lock(&c->lock);
		c->fetching = false;
		if (!rc) {
			s3_cred_release(&c->now);
			c->now = fresh;
			if (!c->now.source)
				c->now.source = "anonymous";
		} else if (serves(c, 0)) {	/* the service is down, and the old ones are still good */
			rc = KB_OK;
		}
		pthread_cond_broadcast(&c->fetched);
	}
	if (!rc)
		copy_cred(&c->now, out);
	pthread_mutex_unlock(&c->lock);
	return rc;
}

bool s3_creds_refuse(struct s3_creds *c, const struct s3_cred *cred)
{
	bool help = false;

	pthread_mutex_lock(&c->lock);
	if (!cred->access || c->explicit_cred.access || c->anonymous) {
		help = false;
	} else if (!c->now.access || strcmp(c->now.access, cred->access)) {
		help = true;		/* others have been fetched meanwhile */
	} else if (!c->refused || strcmp(c->refused, cred->access)) {
		free(c->refused);
		c->refused = copy(cred->access);
		s3_cred_release(&c->now);
		help = true;
	}
	pthread_mutex_unlock(&c->lock);
	return help;
}

/* ---- other settings of the AWS tools ---- */

static const char *environment(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

const char *s3_creds_region(const struct s3_creds *c)
{
	const char *v = environment("AWS_REGION");

	if (!v)
		v = environment("AWS_DEFAULT_REGION");
	return v ? v : s3_files_get(c->files, c->profile, "region");
}

const char *s3_creds_endpoint(const struct s3_creds *c)
{
	const char *off = environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), *v = environment("AWS_ENDPOINT_URL_S3"), *services;

	if (off && !strcasecmp(off, "true"))
		return NULL;
	if (!v)
		v = environment("AWS_ENDPOINT_URL");
	services = s3_files_get(c->files, c->profile, "services");
	if (!v && services)
		v = s3_files_section(c->files, "services", services, "s3.endpoint_url");
	return v ? v : s3_files_get(c->files, c->profile, "endpoint_url");
}

const char *s3_creds_addressing(const struct s3_creds *c)
{
	return s3_files_get(c->files, c->profile, "s3.addressing_style");
}

const char *s3_creds_ca_file(const struct s3_creds *c)
{
	const char *v = environment("AWS_CA_BUNDLE");

	return v ? v : s3_files_get(c->files, c->profile, "ca_bundle");
}
