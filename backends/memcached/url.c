/* The servers of a URL. */
#include "config.h"
#include "memcached.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum { SERVERS_MAX = 256 };

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

void memcached_servers_release(struct memcached_servers *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->list[i].name);
		free(s->list[i].host);
	}
	free(s->list);
	*s = (struct memcached_servers){ NULL, 0 };
}

/* Takes both strings over, which may be NULL for lack of memory. */
static int add(struct memcached_servers *s, char *host, unsigned port, char *name, struct kb_call *call)
{
	struct memcached_address *more = host && name ? realloc(s->list, (s->n + 1) * sizeof *more) : NULL;

	if (!more) {
		free(host);
		free(name);
		return memcached_host->fail(call, KB_E_LOCAL, "out of memory");
	}
	s->list = more;
	s->list[s->n++] = (struct memcached_address){ name, host, port };
	return KB_OK;
}

static int add_socket(struct memcached_servers *s, const char *path, struct kb_call *call)
{
	char *host = strdup(path);

	if (host && decode(host)) {
		free(host);
		return memcached_host->fail(call, KB_E_CONFIG, "url: bad %%-escape in %s", path);
	}
	if (host && strlen(host) >= sizeof ((struct sockaddr_un *)0)->sun_path) {
		free(host);
		return memcached_host->fail(call, KB_E_CONFIG, "url: %.150s is too long for a socket", path);
	}
	return add(s, host, 0, host ? strdup(host) : NULL, call);
}

/* host, host:port, [v6], [v6]:port */
static int add_server(struct memcached_servers *s, const char *text, size_t len, struct kb_call *call)
{
	static const char accepted[] = ":%abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	bool v6 = len && *text == '[';
	const char *host = v6 ? text + 1 : text;
	size_t host_len = strspn(host, v6 ? accepted : accepted + 2);
	const char *rest = host + host_len + v6, *end = text + len;
	unsigned port = MEMCACHED_PORT;
	char *name = NULL, *copy;

	if (!host_len || rest > end || (v6 && rest[-1] != ']'))
		goto bad;
	if (rest < end) {
		if (*rest++ != ':' || rest == end || end - rest > 5)
			goto bad;
		for (port = 0; rest < end; rest++) {
			if (*rest < '0' || *rest > '9')
				goto bad;
			port = port * 10 + (unsigned)(*rest - '0');
		}
		if (!port || port > 65535)
			goto bad;
	}
	copy = strndup(host, host_len);
	if (copy && asprintf(&name, v6 ? "[%s]:%u" : "%s:%u", copy, port) < 0)
		name = NULL;
	return add(s, copy, port, name, call);
bad:
	/* what holds an '@' may hold a password */
	if (memchr(text, '@', len))
		return memcached_host->fail(call, KB_E_CONFIG, "url: user and password are options, not part of the host");
	return memcached_host->fail(call, KB_E_CONFIG, "url: %.*s is no server; one is given as host, host:port or [v6]:port",
				    len > 100 ? 100 : (int)len, text);
}

static int parse(const char *url, struct memcached_servers *out, struct kb_call *call)
{
	static const char plain[] = "memcached:", local[] = "memcached+unix:";
	const char *rest = !strncmp(url, plain, sizeof plain - 1) ? url + sizeof plain - 1
			 : !strncmp(url, local, sizeof local - 1) ? url + sizeof local - 1 : "";
	const char *end;

	if (strncmp(rest, "//", 2) || !rest[2])
		return memcached_host->fail(call, KB_E_CONFIG,
			"url: no server; it is memcached://host:port,host:port or memcached:///path/of/socket");
	rest += 2;
	if (*rest == '/')
		return add_socket(out, rest, call);
	if (url[sizeof plain - 2] != ':')
		return memcached_host->fail(call, KB_E_CONFIG, "url: memcached+unix: takes a path, as memcached+unix:///run/socket");
	end = rest + strcspn(rest, "/");
	if (*end && end[1])
		return memcached_host->fail(call, KB_E_CONFIG, "url: %.100s behind the servers; folders are given by the option prefix", end);
	for (;;) {
		const char *comma = memchr(rest, ',', (size_t)(end - rest)), *stop = comma ? comma : end;
		int rc = out->n == SERVERS_MAX
		       ? memcached_host->fail(call, KB_E_CONFIG, "url: more than %d servers", SERVERS_MAX)
		       : add_server(out, rest, (size_t)(stop - rest), call);

		if (rc || !comma)
			return rc;
		rest = comma + 1;
	}
}

int memcached_url_parse(const char *url, struct memcached_servers *out, struct kb_call *call)
{
	int rc;

	*out = (struct memcached_servers){ NULL, 0 };
	rc = parse(url ? url : "", out, call);
	if (rc)
		memcached_servers_release(out);
	return rc;
}
