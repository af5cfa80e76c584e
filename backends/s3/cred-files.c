/* The shared files of the AWS tools: sections, "name = value", and one level of nesting by indentation. */
#define _GNU_SOURCE
#include "cred-parts.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 20000 };

struct pair {
	char *section, *name, *value;
	struct pair *next;
};

struct s3_files {
	struct pair *config, *credentials;
};

static char *path_of(const char *variable, const char *below_home)
{
	const char *set = getenv(variable), *home = getenv("HOME");
	char *path = NULL;

	if (set && !strncmp(set, "~/", 2) && home)
		return asprintf(&path, "%s/%s", home, set + 2) < 0 ? NULL : path;
	if (set && *set)
		return strdup(set);
	return home && asprintf(&path, "%s/%s", home, below_home) >= 0 ? path : NULL;
}

static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	for (end = s + strlen(s); end > s && isspace((unsigned char)end[-1]); end--)
		;
	*end = '\0';
	return s;
}

static void free_pairs(struct pair *p)
{
	while (p) {
		struct pair *next = p->next;

		free(p->section);
		free(p->name);
		if (p->value)
			explicit_bzero(p->value, strlen(p->value));
		free(p->value);
		free(p);
		p = next;
	}
}

static int add(struct pair **list, const char *section, const char *outer, const char *name, const char *value)
{
	struct pair *p = calloc(1, sizeof *p);

	if (!p)
		return -1;
	p->section = strdup(section);
	p->value = strdup(value);
	if (asprintf(&p->name, "%s%s%s", outer ? outer : "", outer ? "." : "", name) < 0)
		p->name = NULL;
	p->next = *list;
	*list = p;
	return p->section && p->name && p->value ? 0 : -1;
}

/* One line; section and outer are what it stands in. 0, or -1 for what is no such file. */
static int read_line(char *line, char **section, char **outer, struct pair **list)
{
	bool indented = isspace((unsigned char)*line);
	char *s = trim(line), *equals, *end;

	if (!*s || *s == '#' || *s == ';')
		return 0;
	if (*s == '[') {
		end = strchr(s, ']');
		if (!end)
			return -1;
		*end = '\0';
		free(*section);
		*section = strdup(trim(s + 1));
		free(*outer);
		*outer = NULL;
		return *section ? 0 : -1;
	}
	equals = strchr(s, '=');
	if (!equals || !*section)
		return -1;
	*equals = '\0';
	s = trim(s);
	end = trim(equals + 1);
	if (indented && *outer)
		return add(list, *section, *outer, s, end);
	free(*outer);
	/* "s3 =" with nothing behind it opens a nested group. */
	*outer = *end ? NULL : strdup(s);
	return *end ? add(list, *section, NULL, s, end) : 0;
}

static int read_file(const struct kb_host *host, const char *path, struct pair **list, struct kb_call *call)
{
	FILE *f = path ? fopen(path, "re") : NULL;
	char *line = NULL, *section = NULL, *outer = NULL;
	size_t cap = 0;
	unsigned number = 0;
	int rc = KB_OK;

	if (!f && path && errno != ENOENT && errno != ENOTDIR)
		return host->fail(call, KB_E_CONFIG, "%s: %s", path, strerror(errno));
	while (f && !rc && getline(&line, &cap, f) >= 0)
		if (++number > LINES_MAX || read_line(line, &section, &outer, list))
			rc = host->fail(call, KB_E_CONFIG, "%s:%u: expected [section] or name = value", path, number);
	if (line)
		explicit_bzero(line, cap);
	free(line);
	free(section);
	free(outer);
	if (f)
		fclose(f);
	return rc;
}

int s3_files_open(const struct kb_host *host, struct s3_files **out, struct kb_call *call)
{
	struct s3_files *f = calloc(1, sizeof *f);
	char *config = path_of("AWS_CONFIG_FILE", ".aws/config");
	char *credentials = path_of("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
	int rc = f ? read_file(host, config, &f->config, call) : host->fail(call, KB_E_LOCAL, "out of memory");

	if (!rc)
		rc = read_file(host, credentials, &f->credentials, call);
	free(config);
	free(credentials);
	if (rc && f) {
		s3_files_close(f);
		f = NULL;
	}
	*out = f;
	return rc;
}

void s3_files_close(struct s3_files *f)
{
	if (!f)
		return;
	free_pairs(f->config);
	free_pairs(f->credentials);
	free(f);
}

/* "[profile x]" of the config file, where the default one is just "[default]". */
static bool is_section(const char *section, const char *kind, const char *name)
{
	size_t n = strlen(kind);

	if (strncmp(section, kind, n) || !isspace((unsigned char)section[n]))
		return false;
	for (section += n; isspace((unsigned char)*section); section++)
		;
	return !strcmp(section, name);
}

static bool is_profile(const char *section, const char *profile)
{
	return is_section(section, "profile", profile) || (!strcmp(profile, "default") && !strcmp(section, "default"));
}

const char *s3_files_get(const struct s3_files *f, const char *profile, const char *name)
{
	for (const struct pair *p = f->credentials; p; p = p->next)
		if (!strcmp(p->section, profile) && !strcmp(p->name, name))
			return p->value;
	for (const struct pair *p = f->config; p; p = p->next)
		if (is_profile(p->section, profile) && !strcmp(p->name, name))
			return p->value;
	return NULL;
}

const char *s3_files_section(const struct s3_files *f, const char *kind, const char *section, const char *name)
{
	for (const struct pair *p = f->config; p; p = p->next)
		if (is_section(p->section, kind, section) && !strcmp(p->name, name))
			return p->value;
	return NULL;
}

bool s3_files_has_profile(const struct s3_files *f, const char *profile)
{
	for (const struct pair *p = f->credentials; p; p = p->next)
		if (!strcmp(p->section, profile))
			return true;
	for (const struct pair *p = f->config; p; p = p->next)
		if (is_profile(p->section, profile))
			return true;
	return false;
}
