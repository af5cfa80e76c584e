/* Settings of the AWS tools other than keys: region, endpoints, authorities. */
#include "config.h"
#include "cred-parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool endpoints_ignored(void)
{
	const char *off = s3_cred_env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");

	return off && !strcasecmp(off, "true");
}

/* What is configured for a service: variable first, then the profile's section, then what counts for all of them. */
static const char *configured(const struct s3_files *f, const char *profile, const char *name, const char *section,
			      bool global)
{
	const char *services = s3_files_get(f, profile, "services"), *v;
	char variable[64], nested[64];

	if (endpoints_ignored())
		return NULL;
	snprintf(variable, sizeof variable, "AWS_ENDPOINT_URL_%s", name);
	snprintf(nested, sizeof nested, "%s.endpoint_url", section);
	v = s3_cred_env(variable);
	if (!v && global)
		v = s3_cred_env("AWS_ENDPOINT_URL");
	if (!v && services)
		v = s3_files_section(f, "services", services, nested);
	if (!v && global)
		v = s3_files_get(f, profile, "endpoint_url");
	return v;
}

static bool region_ok(const char *s)
{
	size_t n = strlen(s);

	return n && n <= 64 && n == strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");
}

char *s3_service_url(struct s3_context *x, const char *profile, const char *name, const char *host, const char *section,
		     const char *region, bool global)
{
	const char *set = configured(x->files, profile, name, section, global);
	const char *fips = s3_cred_env("AWS_USE_FIPS_ENDPOINT");
	char *url = NULL;
	size_t n;

	if (set) {
		if (strncasecmp(set, "https://", 8) && strncasecmp(set, "http://", 7)) {
			x->host->fail(x->call, KB_E_CONFIG, "AWS_ENDPOINT_URL_%s: expected https://host[:port][/path]", name);
			return NULL;
		}
		url = strdup(set);
		for (n = url ? strlen(url) : 0; n && url[n - 1] == '/'; n--)
			url[n - 1] = '\0';
	} else if (!region_ok(region)) {
		x->host->fail(x->call, KB_E_CONFIG, "region of profile %s: not a region's name, as us-east-1", profile);
		return NULL;
	} else if (asprintf(&url, "https://%s%s.%s.amazonaws.com%s", host, fips && !strcasecmp(fips, "true") ? "-fips" : "",
			    region, strncmp(region, "cn-", 3) ? "" : ".cn") < 0) {
		url = NULL;
	}
	if (!url)
		s3_cred_no_memory(x);
	return url;
}

/* ---- of S3 itself ---- */

static int keep(const char *value, char **out)
{
	*out = value ? strdup(value) : NULL;
	return value && !*out ? -1 : 0;
}

int s3_settings_read(const struct s3_files *f, const char *profile, struct s3_settings *out)
{
	const char *region = s3_cred_env("AWS_REGION"), *ca = s3_cred_env("AWS_CA_BUNDLE");
	int bad = 0;

	if (!region)
		region = s3_cred_env("AWS_DEFAULT_REGION");
	bad |= keep(region ? region : s3_files_get(f, profile, "region"), &out->region);
	bad |= keep(configured(f, profile, "S3", "s3", true), &out->endpoint);
	bad |= keep(s3_files_get(f, profile, "s3.addressing_style"), &out->addressing);
	bad |= keep(ca ? ca : s3_files_get(f, profile, "ca_bundle"), &out->ca_file);
	return bad;
}

void s3_settings_release(struct s3_settings *s)
{
	free(s->region);
	free(s->endpoint);
	free(s->addressing);
	free(s->ca_file);
	*s = (struct s3_settings){ 0 };
}
