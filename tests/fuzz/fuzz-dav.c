/* What WebDAV servers answer to PROPFIND, at any depth the same. The lister is taken in whole, without its backend. */
#define _GNU_SOURCE
#include "config.h"

#include "tests/fuzz/server.h"

#include "../../backends/http/list.c"


bool fuzz_accepted;

static const uint8_t *answer;
static size_t answer_len;
static unsigned requests;

const struct kb_host *web_host = &fuzz_host;

int web_no_memory(struct kb_call *call)
{
	(void)call;
	abort();
}

char *web_decoded(const char *s, size_t len)
{
	return strndup(s, len);
}

char *web_url(const struct kb_handle *h, const char *path)
{
	char *url;

	return asprintf(&url, "%s/%s", h->base, path) < 0 ? NULL : url;
}

char *web_path(const struct kb_handle *h, struct kb_key key)
{
	(void)h;
	return strndup(key.name, key.len);
}

/* The deadline ends what a server could go on with for ever. */
int web_send(struct kb_handle *h, const struct web_request *r, struct http_reply *reply, struct kb_call *call)
{
	(void)h;
	(void)call;
	if (++requests > 64)
		return KB_E_TIMEOUT;
	reply->status = 207;
	if (r->sink->begin(r->sink, answer_len) || r->sink->write(r->sink, answer, answer_len / 2) ||
	    r->sink->write(r->sink, answer + answer_len / 2, answer_len - answer_len / 2))
		abort();
	return KB_OK;
}

int web_judge(const struct http_reply *reply, const char *what, struct kb_call *call)
{
	(void)reply;
	(void)what;
	(void)call;
	return KB_OK;
}

void http_reply_release(struct http_reply *reply)
{
	(void)reply;
}

static int each(void *arg, struct kb_key key, const struct kb_stat *st)
{
	(void)st;
	FUZZ_CHECK(key.len && key.len <= KB_KEY_MAX && !memmem(key.name, key.len, "..", 3) && key.name[0] != '/');
	++*(unsigned *)arg;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char base[] = "http://localhost:1/base";
	struct kb_handle h = { .base = base, .layout = size % 2 ? WEB_SUBDIRS : WEB_FLAT };
	unsigned found = 0;
	int rc;

	answer = data;
	answer_len = size;
	requests = 0;
	rc = web_list(&h, (struct kb_key){ "", 0 }, NULL, each, &found);
	FUZZ_CHECK(rc == KB_OK || rc == KB_E_CORRUPT || rc == KB_E_TIMEOUT);
	fuzz_accepted = rc == KB_OK;
	return 0;
}
