/* WebDAV (RFC 4918): collections on the way to an object. */
#define _GNU_SOURCE
#include "web.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MADE_MAX = 4096 };

static bool known(struct kb_handle *h, const char *dir, size_t len)
{
	bool yes = false;

	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < h->n_made && !yes; i++)
		yes = !strncmp(h->made[i], dir, len) && !h->made[i][len];
	pthread_mutex_unlock(&h->lock);
	return yes;
}

static void remember(struct kb_handle *h, const char *dir, size_t len)
{
	char **grown, *copy = strndup(dir, len);

	pthread_mutex_lock(&h->lock);
	grown = copy && h->n_made < MADE_MAX ? realloc(h->made, (h->n_made + 1) * sizeof *grown) : NULL;
	if (grown) {
		h->made = grown;
		grown[h->n_made++] = copy;
		copy = NULL;
	}
	pthread_mutex_unlock(&h->lock);
	free(copy);
}

void web_forget_collections(struct kb_handle *h)
{
	pthread_mutex_lock(&h->lock);
	while (h->n_made)
		free(h->made[--h->n_made]);
	pthread_mutex_unlock(&h->lock);
}

static int make(struct kb_handle *h, const char *path, size_t len, struct kb_call *call)
{
	struct http_reply reply = { 0 };
	char *url = NULL;
	int rc;

	if (asprintf(&url, "%s/%.*s/", h->base, (int)len, path) < 0)
		return web_no_memory(call);
	rc = web_send(h, &(struct web_request){ .method = "MKCOL", .url = url }, &reply, call);
	/* It is there already: 405 (9.3.1), or a redirect of some servers'. Two at the same time: one of them may
	 * be told 409 or 423; the PUT that follows shows whether that matters. */
	if (!rc && (reply.status == 405 || reply.status == 301 || reply.status == 409 || reply.status == 423))
		rc = KB_OK;
	else if (!rc)
		rc = web_judge(&reply, "making a collection", call);
	if (rc == KB_MISS)
		rc = web_host->fail(call, KB_E_CONFIG, "status %d, there is no such place on the server (option url): put",
				    reply.status);
	if (!rc && reply.status != 409 && reply.status != 423)
		remember(h, path, len);
	http_reply_release(&reply);
	free(url);
	return rc;
}

int web_make_collections(struct kb_handle *h, const char *path, bool afresh, struct kb_call *call)
{
	int rc = KB_OK;

	if (afresh)
		web_forget_collections(h);
	for (const char *slash = strchr(path, '/'); slash && !rc; slash = strchr(slash + 1, '/'))
		if (!known(h, path, (size_t)(slash - path)))
			rc = make(h, path, (size_t)(slash - path), call);
	return rc;
}
