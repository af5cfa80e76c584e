/* redis://[user[:password]@]host[:port][,host[:port]…][/database], rediss:, unix:///path, redis+unix:///path,
 * redis-cluster://, redis-sentinel://host,host/master[/database]; with an 's' behind redis for TLS. */
#define _GNU_SOURCE
#include "redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int digit(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char *decoded(const char *s, size_t len)
{
	char *out = malloc(len + 1), *to = out;

	for (size_t i = 0; out && i < len; i++) {
		int high = s[i] == '%' && i + 2 < len ? digit((unsigned char)s[i + 1]) : -1;
		int low = high < 0 ? -1 : digit((unsigned char)s[i + 2]);

		*to++ = low >= 0 ? (char)(high << 4 | low) : s[i];
		i += low >= 0 ? 2 : 0;
	}
	if (out)
		*to = '\0';
	return out;
}

static const struct {
	const char *scheme;
	enum redis_mode mode;
	bool tls, unix_socket;
} schemes[] = {
	{ "redis", REDIS_SINGLE, false, false }, { "rediss", REDIS_SINGLE, true, false },
	{ "unix", REDIS_SINGLE, false, true }, { "redis+unix", REDIS_SINGLE, false, true },
	{ "redis-cluster", REDIS_CLUSTER, false, false }, { "rediss-cluster", REDIS_CLUSTER, true, false },
	{ "redis-sentinel", REDIS_SENTINEL, false, false }, { "rediss-sentinel", REDIS_SENTINEL, true, false },
};

void redis_url_release(struct redis_url *u)
{
	for (size_t i = 0; i < u->n_nodes; i++)
		free(u->nodes[i]);
	free(u->nodes);
	free(u->user);
	if (u->password)
		explicit_bzero(u->password, strlen(u->password));
	free(u->password);
	free(u->master);
	*u = (struct redis_url){ 0 };
}

static int add_node(struct redis_url *u, char *node)
{
	char **grown = node ? realloc(u->nodes, (u->n_nodes + 2) * sizeof *grown) : NULL;

	if (!grown) {
		free(node);
		return -1;
	}
	u->nodes = grown;
	grown[u->n_nodes++] = node;
	grown[u->n_nodes] = NULL;
	return 0;
}

/* "host", "host:port", "[::1]:port"; the port filled in. */
static int take_host(struct redis_url *u, const char *s, size_t len, const char *port)
{
	const char *bracket = memchr(s, ']', len), *from = bracket ? bracket : s;
	const char *colon = memrchr(from, ':', (size_t)(s + len - from));
	size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
	char *node = NULL;

	if (!len || (colon && (!digits || colon + 1 + digits != s + len || digits > 5)) || colon == s)
		return -1;
	if (asprintf(&node, "%.*s%s%s", (int)len, s, colon ? "" : ":", colon ? "" : port) < 0)
		return -1;
	return add_node(u, node);
}

static int database(struct redis_url *u, const char *s, struct kb_call *call)
{
	char *end;
	unsigned long n;

	if (!*s)
		return KB_OK;
	n = strtoul(s, &end, 10);
	if (*s < '0' || *s > '9' || *end || n > 1000000)
		return redis_host->fail(call, KB_E_CONFIG, "url: the path is the number of a database");
	if (n && u->mode == REDIS_CLUSTER)
		return redis_host->fail(call, KB_E_CONFIG, "url: a cluster has database 0 only");
	u->database = (unsigned)n;
	return KB_OK;
}

static int take_path(struct redis_url *u, const char *path, struct kb_call *call)
{
	size_t len = strcspn(path, "/");

	if (u->mode != REDIS_SENTINEL)
		return database(u, path, call);
	if (!len)
		return redis_host->fail(call, KB_E_CONFIG, "url: of the sentinel form is redis-sentinel://HOST,HOST/MASTER");
	u->master = strndup(path, len);
	return database(u, path + len + (path[len] == '/'), call);
}

static int take_hosts(struct redis_url *u, const char *s, size_t len, struct kb_call *call)
{
	const char *port = u->mode == REDIS_SENTINEL ? "26379" : "6379";

	while (len) {
		const char *comma = memchr(s, ',', len);
		size_t one = comma ? (size_t)(comma - s) : len;

		if (take_host(u, s, one, port))
			return redis_host->fail(call, KB_E_CONFIG, "url: '%.*s' is no HOST[:PORT]", (int)one, s);
		s += one + (comma != NULL);
		len -= one + (comma != NULL);
	}
	if (!u->n_nodes && take_host(u, "127.0.0.1", 9, port))
		return redis_host->fail(call, KB_E_LOCAL, "out of memory");
	if (u->mode == REDIS_SINGLE && u->n_nodes > 1)
		return redis_host->fail(call, KB_E_CONFIG, "url: several hosts are for redis-cluster:// and redis-sentinel://");
	return KB_OK;
}

int redis_url_parse(const char *text, struct redis_url *out, struct kb_call *call)
{
	const char *rest = strchr(text, ':'), *at, *colon, *slash;
	bool unix_socket = false, known = false;
	size_t len;

	*out = (struct redis_url){ 0 };
	for (size_t i = 0; rest && i < sizeof schemes / sizeof *schemes; i++) {
		if (strlen(schemes[i].scheme) != (size_t)(rest - text) || strncmp(schemes[i].scheme, text, (size_t)(rest - text)))
			continue;
		known = true;
		out->mode = schemes[i].mode;
		out->tls = schemes[i].tls;
		unix_socket = schemes[i].unix_socket;
	}
	if (!known)
		return redis_host->fail(call, KB_E_CONFIG, "url: not one of this backend's");
	rest++;
	if (!strncmp(rest, "//", 2))
		rest += 2;
	slash = strchr(rest, '/');
	len = slash ? (size_t)(slash - rest) : strlen(rest);
	at = memrchr(rest, '@', len);
	if (at) {
		colon = memchr(rest, ':', (size_t)(at - rest));
		out->user = colon == rest ? NULL : decoded(rest, (size_t)((colon ? colon : at) - rest));
		out->password = colon ? decoded(colon + 1, (size_t)(at - colon - 1)) : NULL;
		len -= (size_t)(at + 1 - rest);
		rest = at + 1;
	}
	if (unix_socket) {
		if (!slash || len)
			return redis_host->fail(call, KB_E_CONFIG, "url: of a socket is unix:///path");
		return add_node(out, decoded(slash, strlen(slash))) ? redis_host->fail(call, KB_E_LOCAL, "out of memory") : KB_OK;
	}
	if (take_hosts(out, rest, len, call))
		return KB_E_CONFIG;
	return take_path(out, slash ? slash + 1 : "", call);
}
