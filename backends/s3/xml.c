/* The little of S3's XML that matters, read with expat. */
#include "config.h"
#include "s3.h"

#include <expat.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TEXT_MAX = 4096, DEPTH_MAX = 16 };

struct parser {
	XML_Parser p;
	unsigned depth;
	size_t len;
	bool too_long;			/* the text of this element */
	char text[TEXT_MAX + 1];	/* of the element that is open */
	/* of s3_xml_text */
	const char *wanted;
	char *found;
	/* of s3_xml_list */
	s3_each *each;
	void *arg;
	bool is_list, in_object, encoded, truncated, stopped, bad;
	char *key, *token;
	uint64_t size;
	int64_t mtime_s;
};

/* Without the prefix of a name space, which some servers write. */
static const char *local(const char *name)
{
	const char *colon = strrchr(name, ':');

	return colon ? colon + 1 : name;
}

static void on_start(void *arg, const char *full, const char **attributes)
{
	struct parser *x = arg;
	const char *name = local(full);

	(void)attributes;
	x->len = 0;
	x->too_long = false;
	if (++x->depth > DEPTH_MAX)
		XML_StopParser(x->p, XML_FALSE);
	if (x->depth == 1)
		x->is_list = !strcmp(name, "ListBucketResult");
	if (x->depth == 2 && !strcmp(name, "Contents")) {
		x->in_object = true;
		x->size = 0;
		x->mtime_s = -1;
	}
}

static void on_text(void *arg, const char *s, int len)
{
	struct parser *x = arg;
	size_t n = (size_t)len;

	if (n > TEXT_MAX - x->len) {
		x->too_long = true;
		n = TEXT_MAX - x->len;
	}
	memcpy(x->text + x->len, s, n);
	x->len += n;
}

/* No answer has a document type; what one could define is of no good. */
static void on_doctype(void *arg, const char *name, const char *system, const char *public, int internal)
{
	(void)name;
	(void)system;
	(void)public;
	(void)internal;
	XML_StopParser(((struct parser *)arg)->p, XML_FALSE);
}

static struct parser *begin(XML_EndElementHandler on_end)
{
	struct parser *x = calloc(1, sizeof *x);

	if (x)
		x->p = XML_ParserCreate(NULL);
	if (!x || !x->p) {
		free(x);
		return NULL;
	}
	XML_SetUserData(x->p, x);
	XML_SetElementHandler(x->p, on_start, on_end);
	XML_SetCharacterDataHandler(x->p, on_text);
	XML_SetStartDoctypeDeclHandler(x->p, on_doctype);
	return x;
}

static void end(struct parser *x)
{
	XML_ParserFree(x->p);
	free(x->found);
	free(x->key);
	free(x->token);
	free(x);
}

/* ---- one element ---- */

static void on_end_any(void *arg, const char *name)
{
	struct parser *x = arg;

	x->text[x->len] = '\0';
	if (!x->found && !x->too_long && !strcmp(local(name), x->wanted))
		x->found = strdup(x->text);
	x->depth--;
	x->len = 0;
}

char *s3_xml_text(const char *xml, size_t len, const char *name)
{
	struct parser *x = len <= INT_MAX ? begin(on_end_any) : NULL;
	char *found;

	if (!x)
		return NULL;
	x->wanted = name;
	/* What was found before something that is no XML counts: an answer may have been cut. */
	(void)XML_Parse(x->p, xml, (int)len, 1);
	found = x->found;
	x->found = NULL;
	end(x);
	return found;
}

/* ---- a page of a listing ---- */

static int64_t time_of(const char *text)
{
	struct tm tm = { 0 };

	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) : -1;
}

static char *take(struct parser *x)
{
	char *copy = x->too_long ? NULL : strdup(x->text);

	x->bad |= !copy;
	return copy;
}

static void end_of_object(struct parser *x)
{
	x->in_object = false;
	x->bad |= !x->key;
	if (!x->bad && x->encoded)
		x->bad |= !s3_decode(x->key, true);
	if (!x->bad)
		x->stopped = x->each(x->arg, x->key, x->size, x->mtime_s) != 0;
	free(x->key);
	x->key = NULL;
}

static void in_object(struct parser *x, const char *name)
{
	if (!strcmp(name, "Key")) {
		free(x->key);
		x->key = take(x);
	} else if (!strcmp(name, "Size")) {
		x->size = strtoull(x->text, NULL, 10);
	} else if (!strcmp(name, "LastModified")) {
		x->mtime_s = time_of(x->text);
	}
}

static void on_end_list(void *arg, const char *full)
{
	struct parser *x = arg;
	const char *name = local(full);

	x->text[x->len] = '\0';
	if (x->depth == 2 && x->in_object) {
		end_of_object(x);
	} else if (x->depth == 3 && x->in_object) {
		in_object(x, name);
	} else if (x->depth == 2 && !strcmp(name, "IsTruncated")) {
		x->truncated = !strcmp(x->text, "true");
	} else if (x->depth == 2 && !strcmp(name, "NextContinuationToken")) {
		free(x->token);
		x->token = take(x);
	}
	if (x->stopped || x->bad)
		XML_StopParser(x->p, XML_FALSE);
	x->depth--;
	x->len = 0;
}

int s3_xml_list(const char *xml, size_t len, s3_each *each, void *arg, char **token)
{
	static const char mark[] = "EncodingType>url<";
	struct parser *x = len <= INT_MAX ? begin(on_end_list) : NULL;
	int rc;

	*token = NULL;
	if (!x)
		return -1;
	x->each = each;
	x->arg = arg;
	/* Keys are encoded if the server says so, which may be behind them. No key has a '<' in there. */
	x->encoded = memmem(xml, len, mark, sizeof mark - 1) != NULL;
	rc = XML_Parse(x->p, xml, (int)len, 1) == XML_STATUS_OK && x->is_list && !x->bad ? 0 : -1;
	if (!rc && x->truncated && !(x->token && *x->token))
		rc = -1;
	if (!rc && x->truncated) {
		*token = x->token;
		x->token = NULL;
	}
	if (x->stopped)
		rc = 1;
	end(x);
	return rc;
}

/* ---- percent-encoding ---- */

static int digit(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool s3_decode(char *s, bool plus)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '%') {
			int high = digit((unsigned char)s[1]), low = high < 0 ? -1 : digit((unsigned char)s[2]);

			if (low < 0 || !(high | low))
				return false;
			*to++ = (char)(high << 4 | low);
			s += 2;
		} else {
			*to++ = *s == '+' && plus ? ' ' : *s;
		}
	}
	*to = '\0';
	return true;
}
