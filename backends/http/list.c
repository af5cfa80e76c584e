/* Listings of WebDAV servers: PROPFIND of one collection after the other (RFC 4918, 9.1), as "Depth: infinity" is
 * what servers refuse. */
#define _GNU_SOURCE
#include "web.h"

#include <curl/curl.h>
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 4096, DEPTH_MAX = 64, IN_RESPONSE = 3, BYTES_MAX = 256 << 20 };

struct item {
	char *path;			/* of its URL, decoded, without '/' at its end */
	bool collection;
	uint64_t size;
	int64_t mtime;
	struct item *next;
};

/* ---- one answer ---- */

struct parser {
	struct kb_sink kb;
	XML_Parser p;
	char text[TEXT_MAX + 1];
	size_t len;
	unsigned depth;
	bool multistatus, no_memory, broken;
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

#define BLANKS " \r\n\t"
/* An href is a URL or its path. */
static char *path_of(const char *href)
{
	const char *rest = strstr(href, "://"), *path = href + strspn(href, BLANKS);
	size_t len;

	if (rest)
		path = rest + 3 + strcspn(rest + 3, "/");
	len = strcspn(path, "?#");
	while (len && strchr(BLANKS, path[len - 1]))
		len--;
	while (len && path[len - 1] == '/')
		len--;
	return web_decoded(path, len);
}

static void take_item(struct parser *x)
{
	struct item *i = x->now.path ? malloc(sizeof *i) : NULL;

	if (i) {
		*i = x->now;
		i->next = x->items;
		x->items = i;
	} else {
		x->no_memory |= x->now.path != NULL;
		free(x->now.path);
	}
	x->now = (struct item){ .mtime = -1 };
}

static void on_end(void *arg, const char *full)
{
	struct parser *x = arg;
	const char *name = local(full);

	x->text[x->len] = '\0';
	if (x->depth == IN_RESPONSE && !strcmp(name, "href")) {
		free(x->now.path);
		x->now.path = path_of(x->text);
		x->no_memory |= !x->now.path;
	} else if (!strcmp(name, "getcontentlength") && x->len) {
		x->now.size = strtoull(x->text, NULL, 10);
	} else if (!strcmp(name, "getlastmodified") && x->len) {
		x->now.mtime = curl_getdate(x->text, NULL);
	} else if (!strcmp(name, "response")) {
		take_item(x);
	}
	x->depth--;
	x->len = 0;
}

/* No listing has one, and what it can declare is not for us. */
static void on_doctype(void *arg, const char *name, const char *system, const char *public, int internal)
{
	(void)name;
	(void)system;
	(void)public;
	(void)internal;
	XML_StopParser(((struct parser *)arg)->p, XML_FALSE);
}

static void free_items(struct item *i)
{
	while (i) {
		struct item *next = i->next;

		free(i->path);
		free(i);
		i = next;
	}
}

static int begin(struct kb_sink *kb, uint64_t size)
{
	struct parser *x = (struct parser *)kb;

	(void)size;
	free(x->now.path);
	free_items(x->items);
	x->now = (struct item){ .mtime = -1 };
	x->items = NULL;
	x->len = x->depth = 0;
	x->multistatus = x->broken = false;
	XML_ParserReset(x->p, NULL);
	XML_SetUserData(x->p, x);
	XML_SetElementHandler(x->p, on_start, on_end);
	XML_SetCharacterDataHandler(x->p, on_text);
	XML_SetStartDoctypeDeclHandler(x->p, on_doctype);
	return KB_OK;
}

/* A broken answer is read to its end: its connection can be kept. */
static int take(struct kb_sink *kb, const void *data, size_t len)
{
	struct parser *x = (struct parser *)kb;

	if (!x->broken && XML_Parse(x->p, data, (int)len, 0) != XML_STATUS_OK)
		x->broken = true;
	return KB_OK;
}

static int ask(struct kb_handle *h, const char *dir, struct parser *x, struct kb_call *call)
{
	static const char body[] = "<?xml version=\"1.0\"?><propfind xmlns=\"DAV:\"><prop><resourcetype/><getcontentlength/>"
				   "<getlastmodified/></prop></propfind>";
	static const char *const headers[] = { "Depth: 1", "Content-Type: application/xml", NULL };
	char *url = web_url(h, dir);
	const struct web_request r = { .method = "PROPFIND", .url = url, .extra = headers, .data = body,
				       .len = sizeof body - 1, .sink = &x->kb };
	struct http_reply reply = { 0 };
	int rc = url ? web_send(h, &r, &reply, call) : web_no_memory(call);

	if (!rc && reply.status != 405 && reply.status != 501)
		rc = web_judge(&reply, "list", call);
	if (!rc && reply.status != 207)
		rc = web_host->fail(call, KB_E_UNSUPPORTED, "list: this server has no WebDAV listings (status %d)", reply.status);
	else if (!rc && (x->broken || XML_Parse(x->p, "", 0, 1) != XML_STATUS_OK || !x->multistatus))
		rc = web_host->fail(call, KB_E_CORRUPT, "list: the answer is no listing");
	else if (!rc && x->no_memory)
		rc = web_no_memory(call);
	http_reply_release(&reply);
	free(url);
	return rc;
}

/* The members of one collection, and the collection itself; *out is NULL where there is no such. */
static int propfind(struct kb_handle *h, const char *dir, struct item **out, struct kb_call *call)
{
	struct parser *x = calloc(1, sizeof *x);
	int rc;

	*out = NULL;
	if (x)
		x->p = XML_ParserCreate(NULL);
	if (x && x->p) {
		x->kb = (struct kb_sink){ sizeof x->kb, -1, BYTES_MAX, begin, take };
		rc = ask(h, dir, x, call);
		XML_ParserFree(x->p);
		free(x->now.path);
		if (rc)
			free_items(x->items);
		else
			*out = x->items;
	} else {
		rc = web_no_memory(call);
	}
	free(x);
	return rc == KB_MISS ? KB_OK : rc;
}

/* ---- all of them ---- */

struct walk {
	struct kb_handle *h;
	struct kb_key prefix;
	struct kb_call *call;
	int (*each)(void *, struct kb_key, const struct kb_stat *);
	void *arg;
	char *root;			/* path of the base URL, decoded */
};

static bool component_ok(const char *name)
{
	return *name && strcmp(name, ".") && strcmp(name, "..") &&
	       !name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-")];
}

/* The name of a member of dir; NULL for dir itself and for what is no part of a key. */
static const char *member(const struct walk *w, const char *dir, const struct item *i)
{
	size_t root = strlen(w->root), len = strlen(dir);	/* dir is empty or ends in '/' */
	const char *name;

	if (strncmp(i->path, w->root, root) || i->path[root] != '/' || strncmp(i->path + root + 1, dir, len))
		return NULL;
	name = i->path + root + 1 + len;
	return component_ok(name) ? name : NULL;
}

static int tell(const struct walk *w, const char *path, const struct item *i)
{
	const struct kb_stat st = { .size = i->size, .mtime_s = i->mtime, .ttl_s = -1 };
	char *key = strdup(path), *slash = key ? strrchr(key, '/') : NULL, *there = NULL;
	size_t len;
	int rc = 0;

	if (!key)
		return web_no_memory(w->call);
	/* a/bc/bcdef is the key a/bcdef. */
	if (w->h->layout == WEB_SUBDIRS && slash && slash - key >= 2 && !strncmp(slash - 2, slash + 1, 2) &&
	    (slash - key == 2 || slash[-3] == '/'))
		memmove(slash - 2, slash + 1, strlen(slash + 1) + 1);
	len = strlen(key);
	if (len <= KB_KEY_MAX && len >= w->prefix.len && (!w->prefix.len || !memcmp(key, w->prefix.name, w->prefix.len)))
		there = web_path(w->h, (struct kb_key){ key, len });
	if (there && !strcmp(there, path))		/* something else may lie where a get would not look */
		rc = w->each(w->arg, (struct kb_key){ key, len }, &st);
	free(there);
	free(key);
	return rc;
}

static bool may_hold(const struct walk *w, const char *dir)
{
	size_t n = strlen(dir) < w->prefix.len ? strlen(dir) : w->prefix.len;

	/* The directories of two characters are no part of the names below them. */
	return w->h->layout == WEB_SUBDIRS || !n || !memcmp(dir, w->prefix.name, n);
}

static int walk(const struct walk *w, const char *dir, unsigned depth)
{
	struct item *items = NULL;
	int rc = depth < DEPTH_MAX ? propfind(w->h, dir, &items, w->call)
				   : web_host->fail(w->call, KB_E_CORRUPT, "list: collections too deep in each other");

	if (rc)
		return rc;
	for (const struct item *i = items; i && !rc; i = i->next) {
		const char *name = member(w, dir, i);
		char *path = NULL;

		if (!name)
			continue;
		if (asprintf(&path, "%s%s%s", dir, name, i->collection ? "/" : "") < 0)
			rc = web_no_memory(w->call);
		else if (!i->collection)
			rc = tell(w, path, i);
		else if (may_hold(w, path))
			rc = walk(w, path, depth + 1);
		free(path);
	}
	free_items(items);
	return rc;
}

int web_list(struct kb_handle *h, struct kb_key prefix, struct kb_call *call,
	     int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg)
{
	struct walk w = { .h = h, .prefix = prefix, .call = call, .each = each, .arg = arg };
	const char *slash = prefix.len ? memrchr(prefix.name, '/', prefix.len) : NULL;
	char *dir;
	int rc;

	if (h->dav == WEB_DAV_OFF || h->layout == WEB_BAZEL)
		return web_host->fail(call, KB_E_UNSUPPORTED, "list: only WebDAV servers tell what they have (option webdav)");
	dir = slash ? strndup(prefix.name, (size_t)(slash - prefix.name) + 1) : strdup("");
	w.root = path_of(h->base);
	rc = dir && w.root ? walk(&w, dir, 0) : web_no_memory(call);
	free(w.root);
	free(dir);
	return rc;
}
