/* WebDAV (RFC 4918): collections on the way to an object, and listings by PROPFIND. */
#define _GNU_SOURCE
#include "web.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TEXT_MAX = 4096, MADE_MAX = 4096, DEPTH_MAX = 64 };

static bool known(struct kb_handle *h, const char *dir, size_t len)
{
	bool yes = false;

	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < h->n_made && !yes; i++)
		yes = strlen(h->made[i]) == len && !memcmp(h->made[i], dir, len);
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

int web_make_collections(struct kb_handle *h, const char *path, struct kb_call *call)
{
	int rc = KB_OK;

	for (const char *slash = strchr(path, '/'); slash && !rc; slash = strchr(slash + 1, '/')) {
		size_t len = (size_t)(slash - path);
		struct http_reply reply;
		char *url = NULL;

		if (known(h, path, len))
			continue;
		if (asprintf(&url, "%s/%.*s/", h->base, (int)len, path) < 0)
			return web_host->fail(call, KB_E_LOCAL, "out of memory");
		rc = web_send(h, "MKCOL", url, NULL, NULL, NULL, 0, NULL, &reply, call);
		/* 405: it is there already (9.3.1). */
		if (!rc && reply.status != 405 && reply.status != 301)
			rc = web_judge(&reply, "making a collection", call);
		if (rc == KB_MISS)
			rc = web_host->fail(call, KB_E_CONFIG, "making a collection: there is no such place on the server");
		if (!rc)
			remember(h, path, len);
		http_reply_release(&reply);
		free(url);
	}
	return rc;
}

/* ---- listing ---- */

struct item {
	char *href;
	bool collection;
	uint64_t size;
	int64_t mtime;
	struct item *next;
};

struct parser {
	XML_Parser p;
	char text[TEXT_MAX + 1];
	size_t len;
	unsigned depth;
	bool multistatus;
	struct item now, *items;
};

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
		x->multistatus = !strcmp(local(name), "multistatus");
	if (!strcmp(local(name), "collection"))
		x->now.collection = true;
}

static void on_text(void *arg, const char *s, int len)
{
	struct parser *x = arg;
	size_t n = (size_t)len < TEXT_MAX - x->len ? (size_t)len : TEXT_MAX - x->len;

	memcpy(x->text + x->len, s, n);
	x->len += n;
}

static void on_end(void *arg, const char *full)
{
	struct parser *x = arg;
	const char *name = local(full);
	struct tm tm = { 0 };

	x->text[x->len] = '\0';
	if (!strcmp(name, "href")) {
		free(x->now.href);
		x->now.href = strdup(x->text + strspn(x->text, " \r\n\t"));
	} else if (!strcmp(name, "getcontentlength")) {
		x->now.size = strtoull(x->text, NULL, 10);
	} else if (!strcmp(name, "getlastmodified")) {
		x->now.mtime = strptime(x->text, "%a, %d %b %Y %H:%M:%S", &tm) ? (int64_t)timegm(&tm) : -1;
	} else if (!strcmp(name, "response") && x->now.href) {
		struct item *i = malloc(sizeof *i);

		if (i) {
			*i = x->now;
			i->next = x->items;
			x->items = i;
		} else {
			free(x->now.href);
		}
		x->now = (struct item){ .mtime = -1 };
	}
	x->depth--;
	x->len = 0;
}

static void free_items(struct item *i)
{
	while (i) {
		struct item *next = i->next;

		free(i->href);
		free(i);
		i = next;
	}
}

/* The members of one collection; *out is NULL where there is no such. */
static int propfind(struct kb_handle *h, const char *dir, struct item **out, struct kb_call *call)
{
	static const char body[] = "<?xml version=\"1.0\"?><propfind xmlns=\"DAV:\"><prop><resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>";
	static const char *const headers[] = { "Depth: 1", "Content-Type: application/xml", NULL };
	struct parser *x = calloc(1, sizeof *x);
	struct http_reply reply = { 0 };
	char *url = web_url(h, dir);
	int rc;

	*out = NULL;
	if (!x || !url || !(x->p = XML_ParserCreate(NULL)))
		rc = web_host->fail(call, KB_E_LOCAL, "out of memory");
	else
		rc = web_send(h, "PROPFIND", url, headers, NULL, body, sizeof body - 1, NULL, &reply, call);
	if (!rc && reply.status != 404)
		rc = web_judge(&reply, "list", call);
	if (!rc && reply.status != 404) {
		x->now.mtime = -1;
		XML_SetUserData(x->p, x);
		XML_SetElementHandler(x->p, on_start, on_end);
		XML_SetCharacterDataHandler(x->p, on_text);
		if (XML_Parse(x->p, reply.text, (int)reply.text_len, 1) != XML_STATUS_OK || !x->multistatus)
			rc = web_host->fail(call, KB_E_CORRUPT, "list: the answer is no listing");
	}
	if (x) {
		if (x->p)
			XML_ParserFree(x->p);
		free(x->now.href);
		if (rc)
			free_items(x->items);
		else
			*out = x->items;
	}
	free(x);
	http_reply_release(&reply);
	free(url);
	return rc;
}

struct walk {
	struct kb_handle *h;
	struct kb_key prefix;
	struct kb_call *call;
	int (*each)(void *, struct kb_key, const struct kb_stat *);
	void *arg;
};

static bool key_ok(const char *name)
{
	return *name && !name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-")];
}

/* A member's name: the last component of its href. */
static char *member(const struct item *i)
{
	size_t len = strlen(i->href);
	const char *slash;

	while (len && i->href[len - 1] == '/')
		len--;
	slash = memrchr(i->href, '/', len);
	return slash ? strndup(slash + 1, len - (size_t)(slash + 1 - i->href)) : strndup(i->href, len);
}

/* Path of the URL that a directory has, for telling the collection itself from its members. */
static bool is_itself(const struct kb_handle *h, const struct item *i, const char *dir)
{
	const char *path = strstr(h->base, "://"), *href = strstr(i->href, "://");
	char *own = NULL;
	size_t a, b;
	bool same;

	path = path ? strchr(path + 3, '/') : NULL;
	href = href ? strchr(href + 3, '/') : i->href;
	if (!href || asprintf(&own, "%s/%s", path ? path : "", dir) < 0)
		return false;
	for (a = strlen(own); a && own[a - 1] == '/'; a--)
		;
	for (b = strlen(href); b && href[b - 1] == '/'; b--)
		;
	same = a == b && !memcmp(own, href, a);
	free(own);
	return same;
}

static int tell(const struct walk *w, const char *path, const struct item *i)
{
	const struct kb_stat st = { .size = i->size, .mtime_s = i->mtime, .ttl_s = -1 };
	char *key = strdup(path);
	size_t len = strlen(path);
	int rc = 0;

	if (key && w->h->layout == WEB_SUBDIRS) {	/* a/bc/bcdef is the key a/bcdef */
		char *name = strrchr(key, '/');
		char *dir = name ? memrchr(key, '/', (size_t)(name - key)) : NULL;
		char *sub = dir ? dir + 1 : key;

		if (name && name - sub == 2 && !strncmp(sub, name + 1, 2)) {
			memmove(sub, name + 1, strlen(name + 1) + 1);
			len = strlen(key);
		}
	}
	if (key && len <= KB_KEY_MAX && len >= w->prefix.len && !memcmp(key, w->prefix.name, w->prefix.len))
		rc = w->each(w->arg, (struct kb_key){ key, len }, &st);
	free(key);
	return rc;
}

static int walk(const struct walk *w, const char *dir, unsigned depth)
{
	struct item *items = NULL;
	int rc = depth < DEPTH_MAX ? propfind(w->h, dir, &items, w->call) : web_host->fail(w->call, KB_E_CORRUPT, "list: too deep");

	if (rc)
		return rc;
	for (const struct item *i = items; i && !rc; i = i->next) {
		char *name = member(i), *path = NULL;

		if (name && key_ok(name) && !is_itself(w->h, i, dir) &&
		    asprintf(&path, "%s%s%s", dir, name, i->collection ? "/" : "") >= 0) {
			size_t n = strlen(path) < w->prefix.len ? strlen(path) : w->prefix.len;

			/* Only where names may still begin with the prefix; subdirs insert two characters. */
			if (!i->collection)
				rc = tell(w, path, i);
			else if (w->h->layout == WEB_SUBDIRS || !memcmp(path, w->prefix.name, n))
				rc = walk(w, path, depth + 1);
		}
		free(path);
		free(name);
	}
	free_items(items);
	return rc;
}

int web_list(struct kb_handle *h, struct kb_key prefix, struct kb_call *call,
	     int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg)
{
	const struct walk w = { .h = h, .prefix = prefix, .call = call, .each = each, .arg = arg };
	const char *slash = prefix.len ? memrchr(prefix.name, '/', prefix.len) : NULL;
	char *dir;
	int rc;

	if (h->dav == WEB_DAV_OFF || h->layout == WEB_BAZEL)
		return web_host->fail(call, KB_E_UNSUPPORTED, "list: only WebDAV servers tell what they have (option webdav)");
	dir = strndup(prefix.name, slash ? (size_t)(slash - prefix.name) + 1 : 0);
	rc = dir ? walk(&w, dir, 0) : web_host->fail(call, KB_E_LOCAL, "out of memory");
	free(dir);
	return rc;
}
