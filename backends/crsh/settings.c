/* What the URL and the options say. */
#include "config.h"
#include "crsh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum { ATTRIBUTES_MAX = 64, SECRET_MIN = 4 };

static int hex(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
	     : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decodes in place (RFC 3986, 2.1); -1 for bad or NUL escapes. */
static int decode(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '%') {
			int high = hex((unsigned char)s[1]), low = high < 0 ? -1 : hex((unsigned char)s[2]);

			if (low < 0 || !(high | low))
				return -1;
			*to++ = (char)(high << 4 | low);
			s += 2;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
	return 0;
}

void crsh_settings_release(struct crsh_settings *s)
{
	for (size_t i = 0; i < s->n_attributes; i++) {
		free(s->attributes[i].key);
		free(s->attributes[i].value);
	}
	free(s->attributes);
	free(s->url);
	free(s->scheme);
	free(s->helper);
	free(s->program);
	free(s->socket);
	free(s->query);
	*s = (struct crsh_settings){ 0 };
}

static int no_memory(struct kb_call *call)
{
	return crsh_host->fail(call, KB_E_LOCAL, "out of memory");
}

static const char *text(const kb_conf *conf, const char *name)
{
	const char *value = crsh_host->conf_str(conf, name);

	return value && *value ? value : NULL;
}

/* "key=value key=value", where a value's blanks are %20. None of it is repeated in an error. */
static int read_attributes(const char *list, struct crsh_settings *s, struct kb_call *call)
{
	while (list && *(list += strspn(list, " \t\n"))) {
		size_t len = strcspn(list, " \t\n");
		const char *eq = memchr(list, '=', len);
		struct crsh_attribute *more;

		if (!eq || eq == list)
			return crsh_host->fail(call, KB_E_CONFIG, "attributes: number %zu is not key=value", s->n_attributes + 1);
		if (s->n_attributes == ATTRIBUTES_MAX)
			return crsh_host->fail(call, KB_E_CONFIG, "attributes: more than %d", ATTRIBUTES_MAX);
		more = realloc(s->attributes, (s->n_attributes + 1) * sizeof *more);
		if (!more)
			return no_memory(call);
		s->attributes = more;
		more += s->n_attributes;
		more->key = strndup(list, (size_t)(eq - list));
		more->value = strndup(eq + 1, len - (size_t)(eq - list) - 1);
		s->n_attributes++;
		if (!more->key || !more->value)
			return no_memory(call);
		if (decode(more->value))
			return crsh_host->fail(call, KB_E_CONFIG, "attributes: bad %%-escape in number %zu", s->n_attributes);
		list += len;
	}
	return KB_OK;
}

/* crsh:/path or crsh:///path: somebody else has started the helper. */
static int read_socket(const char *path, struct crsh_settings *s, struct kb_call *call)
{
	if (!strncmp(path, "///", 3))
		path += 2;
	if (path[1] == '/')
		return crsh_host->fail(call, KB_E_CONFIG, "url: a socket is crsh:///path, a helper's URL crsh:https://host/path");
	s->socket = strdup(path);
	if (!s->socket)
		return no_memory(call);
	if (decode(s->socket))
		return crsh_host->fail(call, KB_E_CONFIG, "url: bad %%-escape in %.150s", path);
	if (strlen(s->socket) >= sizeof ((struct sockaddr_un *)0)->sun_path)
		return crsh_host->fail(call, KB_E_CONFIG, "url: %.150s is too long for a socket", s->socket);
	return KB_OK;
}

/* The scheme becomes part of a program's name. */
static int read_url(const char *url, struct crsh_settings *s, struct kb_call *call)
{
	size_t len = strspn(url, "abcdefghijklmnopqrstuvwxyz0123456789+-.");

	if (!len || url[len] != ':' || *url < 'a')
		return crsh_host->fail(call, KB_E_CONFIG,
			"url: crsh: is followed by the URL for the helper, as crsh:https://host/path, or by the path of a socket");
	s->scheme = strndup(url, len);
	if (s->query && asprintf(&s->url, "%s?%s", url, s->query) < 0)
		s->url = NULL;
	else if (!s->query)
		s->url = strdup(url);
	return s->scheme && s->url ? KB_OK : no_memory(call);
}

static int read_helper(const char *helper, struct crsh_settings *s, struct kb_call *call)
{
	if (!helper)
		return KB_OK;
	if (!s->url)
		return crsh_host->fail(call, KB_E_CONFIG, "helper: none is started where the URL names a socket");
	if (*helper != '/' && helper[strspn(helper, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._")])
		return crsh_host->fail(call, KB_E_CONFIG, "helper: %.150s is neither an absolute path nor a program's name", helper);
	s->helper = strdup(helper);
	return s->helper ? KB_OK : no_memory(call);
}

static int read_all(const kb_conf *conf, struct crsh_settings *s, struct kb_call *call)
{
	const char *url = crsh_host->conf_str(conf, "url"), *query = text(conf, "query");
	int rc;

	url = url && !strncmp(url, "crsh:", 5) ? url + 5 : "";
	s->idle_s = (crsh_host->conf_u64(conf, "idle-timeout") + 999) / 1000;
	if (query) {
		s->query = strdup(query);
		if (!s->query)
			return no_memory(call);
	}
	rc = *url == '/' ? read_socket(url, s, call) : read_url(url, s, call);
	if (!rc)
		rc = read_helper(text(conf, "helper"), s, call);
	if (!rc)
		rc = read_attributes(text(conf, "attributes"), s, call);
	if (!rc && !s->url && (s->query || s->n_attributes))
		rc = crsh_host->fail(call, KB_E_CONFIG, "%s: for a helper that is started, not where the URL names a socket",
				     s->query ? "query" : "attributes");
	return rc;
}

int crsh_settings_read(const kb_conf *conf, struct crsh_settings *s, struct kb_call *call)
{
	int rc;

	*s = (struct crsh_settings){ 0 };
	rc = read_all(conf, s, call);
	if (rc)
		crsh_settings_release(s);
	return rc;
}

/* The password in scheme://user:password@host, if text has it. */
static bool tells_password(const char *url, const char *text)
{
	const char *host = url ? strstr(url, "://") : NULL, *at, *colon;
	char *password;
	bool found;

	if (!host)
		return false;
	host += 3;
	at = memrchr(host, '@', strcspn(host, "/"));
	colon = at ? memchr(host, ':', (size_t)(at - host)) : NULL;
	if (!colon || at == colon + 1)
		return false;
	password = strndup(colon + 1, (size_t)(at - colon - 1));
	found = !password || strstr(text, password);
	free(password);
	return found;
}

bool crsh_tells(const struct crsh_settings *s, const char *text)
{
	for (size_t i = 0; i < s->n_attributes; i++)
		if (strlen(s->attributes[i].value) >= SECRET_MIN && strstr(text, s->attributes[i].value))
			return true;
	return (s->query && strstr(text, s->query)) || tells_password(s->url, text);
}
