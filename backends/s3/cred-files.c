/* The shared files of the AWS tools: sections, "name = value", and one level of nesting by indentation. */
#include "config.h"
#include "cred-parts.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LINES_MAX = 20000 };

struct pair {
	char *section, *name, *value;	/* name NULL: only says that there is such a section */
	struct pair *next;
};

struct s3_files {
	struct pair *of[2];		/* by enum s3_file; the last line first, for that is the one that counts */
};

struct reader {				/* where a line stands in */
	struct pair **list;
	char *section, *outer;
	size_t indent;			/* of outer */
};

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
		s3_cred_wipe(p->value);
		free(p);
		p = next;
	}
}

static int add(const struct reader *r, const char *outer, const char *name, const char *value)
{
	struct pair *p = calloc(1, sizeof *p);

	if (!p)
		return -1;
	p->next = *r->list;
	*r->list = p;
	p->section = strdup(r->section);
	if (!name)
		return p->section ? 0 : -1;
	p->value = strdup(value);
	if (asprintf(&p->name, "%s%s%s", outer ? outer : "", outer ? "." : "", name) < 0)
		p->name = NULL;
	return p->section && p->name && p->value ? 0 : -1;
}

/* "[profile  'my own']" is kept as "profile my own". */
static int read_section(struct reader *r, char *s)
{
	char *end = strchr(s, ']'), *blank, *name, quote;
	size_t n;

	if (!end)
		return -1;
	*end = '\0';
	s = trim(s + 1);
	free(r->section);
	free(r->outer);
	r->section = r->outer = NULL;
	blank = strpbrk(s, " \t");
	name = blank ? trim(blank) : s;
	n = strlen(name);
	quote = *name;
	if (n >= 2 && (quote == '"' || quote == '\'') && name[n - 1] == quote) {
		name[n - 1] = '\0';
		name++;
	}
	if (!*name)
		return -1;
	if (blank && asprintf(&r->section, "%.*s %s", (int)(blank - s), s, name) < 0)
		r->section = NULL;
	else if (!blank)
		r->section = strdup(name);
	return r->section ? add(r, NULL, NULL, NULL) : -1;
}

/* 0, or -1 for what is no such file. */
static int read_line(struct reader *r, char *line)
{
	size_t indent = strspn(line, " \t");
	char *s = trim(line), *equals, *value;

	if (!*s || *s == '#' || *s == ';')
		return 0;
	if (*s == '[')
		return read_section(r, s);
	equals = strpbrk(s, "=:");
	if (!equals || equals == s || !r->section)
		return -1;
	*equals = '\0';
	s = trim(s);
	value = trim(equals + 1);
	if (r->outer && indent > r->indent)
		return add(r, r->outer, s, value);
	free(r->outer);
	r->outer = NULL;
	if (*value)
		return add(r, NULL, s, value);
	/* "s3 =" with nothing behind it opens a nested group, or is just empty. */
	r->indent = indent;
	r->outer = strdup(s);
	return r->outer ? 0 : -1;
}

static int read_file(const struct kb_host *host, const char *path, struct pair **list, struct kb_call *call)
{
	FILE *f = path ? fopen(path, "re") : NULL;
	struct reader r = { .list = list };
	char *line = NULL;
	size_t cap = 0;
	unsigned number = 0;
	int rc = KB_OK;

	if (!f && path && errno != ENOENT && errno != ENOTDIR)
		return host->fail(call, KB_E_CONFIG, "%s: %s", path, strerror(errno));
	while (f && !rc && getline(&line, &cap, f) >= 0) {
		bool mark = !number && !strncmp(line, "\xef\xbb\xbf", 3);

		if (++number > LINES_MAX || read_line(&r, line + (mark ? 3 : 0)))
			rc = host->fail(call, KB_E_CONFIG, "%s:%u: expected [section] or name = value", path, number);
	}
	if (f && !rc && ferror(f))
		rc = host->fail(call, KB_E_CONFIG, "%s: %s", path, strerror(errno));
	if (line)
		explicit_bzero(line, cap);
	free(line);
	free(r.section);
	free(r.outer);
	if (f)
		fclose(f);
	return rc;
}

int s3_files_open(const struct kb_host *host, struct s3_files **out, struct kb_call *call)
{
	static const struct { const char *variable, *usual; } places[2] = {
		[S3_FILE_CONFIG] = { "AWS_CONFIG_FILE", "~/.aws/config" },
		[S3_FILE_CREDENTIALS] = { "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials" },
	};
	struct s3_files *f = calloc(1, sizeof *f);
	int rc = f ? KB_OK : host->fail(call, KB_E_LOCAL, "out of memory");

	for (size_t i = 0; !rc && i < 2; i++) {
		const char *set = s3_cred_env(places[i].variable);
		char *path = s3_cred_path(set ? set : places[i].usual);

		rc = read_file(host, path, &f->of[i], call);
		free(path);
	}
	if (rc) {
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
	free_pairs(f->of[S3_FILE_CONFIG]);
	free_pairs(f->of[S3_FILE_CREDENTIALS]);
	free(f);
}

static bool is_section(const char *section, const char *kind, const char *name)
{
	size_t n = strlen(kind);

	return !strncmp(section, kind, n) && section[n] == ' ' && !strcmp(section + n + 1, name);
}

/* "[profile x]" of the config file, where the default one is just "[default]"; "[x]" of the other. */
static bool is_profile(enum s3_file which, const char *section, const char *profile)
{
	if (which == S3_FILE_CREDENTIALS)
		return !strcmp(section, profile);
	return is_section(section, "profile", profile) || (!strcmp(profile, "default") && !strcmp(section, "default"));
}

const char *s3_files_of(const struct s3_files *f, enum s3_file which, const char *profile, const char *name)
{
	for (const struct pair *p = f->of[which]; p; p = p->next)
		if (p->name && is_profile(which, p->section, profile) && !strcasecmp(p->name, name))
			return p->value;
	return NULL;
}

const char *s3_files_get(const struct s3_files *f, const char *profile, const char *name)
{
	const char *v = s3_files_of(f, S3_FILE_CREDENTIALS, profile, name);

	return v ? v : s3_files_of(f, S3_FILE_CONFIG, profile, name);
}

const char *s3_files_section(const struct s3_files *f, const char *kind, const char *section, const char *name)
{
	for (const struct pair *p = f->of[S3_FILE_CONFIG]; p; p = p->next)
		if (p->name && is_section(p->section, kind, section) && !strcasecmp(p->name, name))
			return p->value;
	return NULL;
}

bool s3_files_has_profile(const struct s3_files *f, const char *profile)
{
	for (int which = 0; which < 2; which++)
		for (const struct pair *p = f->of[which]; p; p = p->next)
			if (is_profile((enum s3_file)which, p->section, profile))
				return true;
	return false;
}
