/* The little of S3's XML that matters, read with expat. */
#define _GNU_SOURCE
#include "s3.h"

#include <expat.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TEXT_MAX = 4096, DEPTH_MAX = 16 };

struct parser {
	XML_Parser p;
	unsigned depth;
	char text[TEXT_MAX + 1];
	size_t len;
	/* of s3_xml_text */
	const char *wanted;
	char *found;
	/* of s3_xml_list */
	int (*each)(void *arg, const char *key, uint64_t size, int64_t mtime_s);
	void *arg;
	bool in_contents, is_list, encoded, truncated;
	char *key, *token;
	uint64_t size;
	int64_t mtime;
	int rc;
};

/* Without the name space's prefix, which some servers write. */
static const char *local(const char *name)
{
	const char *colon = strrchr(name, ':');

	return colon ? colon + 1 : name;
}

static void on_start(void *arg, const char *name, const char **attributes)
{
	struct parser *x = arg;

	(void)attributes;
	x->len = 0;
	if (++x->depth > DEPTH_MAX)
		XML_StopParser(x->p, XML_FALSE);
	if (x->depth == 1)
		x->is_list = !strcmp(local(name), "ListBucketResult");
	if (!strcmp(local(name), "Contents"))
		x->in_contents = true;
}

static void on_text(void *arg, const char *s, int len)
{
	struct parser *x = arg;
	size_t n = (size_t)len;

	if (n > TEXT_MAX - x->len)
		n = TEXT_MAX - x->len;
	memcpy(x->text + x->len, s, n);
	x->len += n;
}

static void on_end_any(void *arg, const char *name)
{
	struct parser *x = arg;

	x->text[x->len] = '\0';
	if (!x->found && !strcmp(local(name), x->wanted))
		x->found = strdup(x->text);
	x->depth--;
	x->len = 0;
}

char *s3_xml_text(const char *xml, size_t len, const char *name)
{
	struct parser *x = calloc(1, sizeof *x);
	char *found;

	if (!x)
		return NULL;
	x->wanted = name;
	x->p = XML_ParserCreate(NULL);
	if (!x->p) {
		free(x);
		return NULL;
	}
	XML_SetUserData(x->p, x);
	XML_SetElementHandler(x->p, on_start, on_end_any);
	XML_SetCharacterDataHandler(x->p, on_text);
	/* What was found before something that is no XML still counts: error pages differ. */
	(void)XML_Parse(x->p, xml, (int)(len < 1 << 24 ? len : 1 << 24), 1);
	XML_ParserFree(x->p);
	found = x->found;
	free(x);
	return found;
}

static int64_t time_of(const char *text)
{
	struct tm tm = { 0 };

	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) : -1;
}

static void end_of_contents(struct parser *x)
{
	x->in_contents = false;
	if (!x->key)
		return;
	if (x->encoded)
		s3_decode(x->key);
	x->rc = x->each(x->arg, x->key, x->size, x->mtime);
	free(x->key);
	x->key = NULL;
	x->size = 0;
	x->mtime = -1;
	if (x->rc)
		XML_StopParser(x->p, XML_FALSE);
}

static void on_end_list(void *arg, const char *full)
{
	struct parser *x = arg;
	const char *name = local(full);

	x->text[x->len] = '\0';
	if (!strcmp(name, "Contents")) {
		end_of_contents(x);
	} else if (x->in_contents && !strcmp(name, "Key")) {
		free(x->key);
		x->key = strdup(x->text);
	} else if (x->in_contents && !strcmp(name, "Size")) {
		x->size = strtoull(x->text, NULL, 10);
	} else if (x->in_contents && !strcmp(name, "LastModified")) {
		x->mtime = time_of(x->text);
	} else if (!strcmp(name, "EncodingType")) {
		x->encoded = !strcmp(x->text, "url");
	} else if (!strcmp(name, "IsTruncated")) {
		x->truncated = !strcmp(x->text, "true");
	} else if (!strcmp(name, "NextContinuationToken")) {
		free(x->token);
		x->token = strdup(x->text);
	}
	x->depth--;
	x->len = 0;
}

int s3_xml_list(const char *xml, size_t len, int (*each)(void *arg, const char *key, uint64_t size, int64_t mtime_s),
		void *arg, char **token)
{
	struct parser *x = calloc(1, sizeof *x);
	int rc;

	*token = NULL;
	if (!x || !(x->p = XML_ParserCreate(NULL))) {
		free(x);
		return -1;
	}
	x->each = each;
	x->arg = arg;
	x->mtime = -1;
	/* The page says how its keys are encoded after some of them, or before: we have asked for it. */
	x->encoded = memmem(xml, len, "<EncodingType>url<", 18) != NULL;
	XML_SetUserData(x->p, x);
	XML_SetElementHandler(x->p, on_start, on_end_list);
	XML_SetCharacterDataHandler(x->p, on_text);
	rc = XML_Parse(x->p, xml, (int)len, 1) == XML_STATUS_OK && x->is_list ? 0 : -1;
	if (x->rc)
		rc = x->rc;
	if (!rc && x->truncated && x->token && *x->token) {
		*token = x->token;
		x->token = NULL;
	} else if (!rc && x->truncated) {
		rc = -1;
	}
	XML_ParserFree(x->p);
	free(x->key);
	free(x->token);
	free(x);
	return rc;
}

static int digit(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void s3_decode(char *s)
{
	char *to = s;

	while (*s) {
		int high = *s == '%' ? digit((unsigned char)s[1]) : -1, low = high < 0 ? -1 : digit((unsigned char)s[2]);

		if (low >= 0) {
			*to++ = (char)(high << 4 | low);
			s += 3;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}
