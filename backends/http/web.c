/* The http backend's table, options and life cycle. */
#define _GNU_SOURCE
#include "web.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct kb_host *web_host;

static const struct kb_opt options[] = {
	{ KB_OPT_ENUM, 0, 0, 0, "layout", NULL, "flat", "flat|subdirs|bazel", NULL,
	  "where objects lie: by their names; with a folder of their first two characters; as bazel-remote wants it" },
	{ KB_OPT_STR, 0, 0, 0, "user", NULL, NULL, NULL, "KACHE_HTTP_USER", "user of basic authentication" },
	{ KB_OPT_STR, KB_OPT_SECRET, 0, 0, "password", NULL, NULL, NULL, "KACHE_HTTP_PASSWORD", "password of basic authentication" },
	{ KB_OPT_STR, KB_OPT_SECRET, 0, 0, "token", NULL, NULL, NULL, "KACHE_HTTP_TOKEN", "bearer token" },
	{ KB_OPT_STR, KB_OPT_SECRET, 0, 0, "headers", NULL, NULL, NULL, "KACHE_HTTP_HEADERS",
	  "further headers of every request: 'Name: value', several separated by '|'" },
	{ KB_OPT_ENUM, 0, 0, 0, "webdav", NULL, "auto", "auto|on|off", NULL,
	  "make collections before anything is put there, and list by PROPFIND; auto: make them after a refusal" },
	{ KB_OPT_PATH, 0, 0, 0, "ca-file", NULL, NULL, NULL, "KACHE_CA_FILE", "certificates to trust (PEM)" },
	{ KB_OPT_PATH, 0, 0, 0, "client-cert", NULL, NULL, NULL, NULL, "client certificate (PEM)" },
	{ KB_OPT_PATH, 0, 0, 0, "client-key", NULL, NULL, NULL, NULL, "its key (PEM)" },
	{ KB_OPT_BOOL, 0, 0, 0, "insecure", NULL, "false", NULL, NULL, "do not verify the server's certificate" },
	{ KB_OPT_PATH, 0, 0, 0, "unix-socket", NULL, NULL, NULL, NULL, "connect to this socket, whatever the URL's host" },
	{ KB_OPT_UINT, 0, 1, 256, "connections", NULL, "16", NULL, NULL, "requests at the same time" },
	{ 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};

static int digit(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *web_decoded(const char *s, size_t len)
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

/* "http://user:pass@host/path" without its user part, dav:// as http://; the user part apart. */
static int take_url(const kb_conf *conf, char **base, char **user, char **password, struct kb_call *call)
{
	const char *url = web_host->conf_str(conf, "url"), *rest = url ? strstr(url, "://") : NULL, *at, *colon, *scheme;
	size_t len, all;
	int n;

	*base = *user = *password = NULL;
	rest = rest ? rest + 3 : "";
	len = strcspn(rest, "/");
	at = memrchr(rest, '@', len);
	if (!len || (at && at + 1 == rest + len))
		return web_host->fail(call, KB_E_CONFIG, "url: accepted is http://HOST[:PORT][/PATH] or https://…");
	if (at) {
		colon = memchr(rest, ':', (size_t)(at - rest));
		*user = web_decoded(rest, (size_t)((colon ? colon : at) - rest));
		*password = colon ? web_decoded(colon + 1, (size_t)(at - colon - 1)) : strdup("");
		if (!*user || !*password)
			return web_no_memory(call);
	}
	for (all = strlen(rest); all && rest[all - 1] == '/'; all--)
		;
	all -= at ? (size_t)(at + 1 - rest) : 0;
	scheme = !strncmp(url, "https:", 6) || !strncmp(url, "davs:", 5) ? "https" : "http";
	n = asprintf(base, "%s://%.*s", scheme, (int)all, at ? at + 1 : rest);
	if (n < 0)
		*base = NULL;
	return n < 0 ? web_no_memory(call) : KB_OK;
}

static int add_header(char ***list, size_t *n, char *line)
{
	char **grown = line ? realloc(*list, (*n + 2) * sizeof *grown) : NULL;

	if (!grown) {
		free(line);
		return -1;
	}
	grown[(*n)++] = line;
	grown[*n] = NULL;
	*list = grown;
	return 0;
}

static char *basic(const char *user, const char *password)
{
	char *pair = NULL, *line = NULL;
	unsigned char *text;
	int len = asprintf(&pair, "%s:%s", user, password ? password : "");

	if (len < 0)
		return NULL;
	text = malloc((size_t)len * 4 / 3 + 8);
	if (text) {
		EVP_EncodeBlock(text, (const unsigned char *)pair, len);
		if (asprintf(&line, "Authorization: Basic %s", (char *)text) < 0)
			line = NULL;
	}
	explicit_bzero(pair, (size_t)len);
	free(pair);
	free(text);
	return line;
}

static int own_headers(const char *text, char ***list, size_t *n, struct kb_call *call)
{
	while (text && *text) {
		size_t len = strcspn(text, "|");
		const char *colon = memchr(text, ':', len);

		while (len && *text == ' ') {
			text++;
			len--;
		}
		if (!colon || colon == text)
			return web_host->fail(call, KB_E_CONFIG, "headers: accepted is 'Name: value', several separated by '|'");
		if (add_header(list, n, strndup(text, len)))
			return web_no_memory(call);
		text += len + (text[len] == '|');
	}
	return KB_OK;
}

static int set_headers(const kb_conf *conf, const char *url_user, const char *url_password, char ***out,
		       struct kb_call *call)
{
	const char *user = web_host->conf_str(conf, "user"), *password = web_host->conf_str(conf, "password");
	const char *token = web_host->conf_str(conf, "token"), *own = web_host->conf_str(conf, "headers");
	const char *const all[] = { user, password, token, own };
	char *line = NULL;
	size_t n = 0;

	*out = NULL;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (all[i] && all[i][strcspn(all[i], "\r\n")])
			return web_host->fail(call, KB_E_CONFIG, "headers, user, password and token may not hold line breaks");
	if (url_user) {
		user = url_user;
		password = url_password;
	}
	if (password && !user)
		return web_host->fail(call, KB_E_CONFIG, "user: is missing; it goes with password");
	if (user && token)
		return web_host->fail(call, KB_E_CONFIG, "token: a server takes either this or user and password");
	if (user && add_header(out, &n, basic(user, password)))
		return web_no_memory(call);
	if (token && (asprintf(&line, "Authorization: Bearer %s", token) < 0 || add_header(out, &n, line)))
		return web_no_memory(call);
	return own_headers(own, out, &n, call);
}

static void free_list(char **list)
{
	for (char **p = list; p && *p; p++) {
		explicit_bzero(*p, strlen(*p));
		free(*p);
	}
	free(list);
}

static int parts(const kb_conf *conf, char **base, char ***headers, struct kb_call *call)
{
	char *user, *password;
	int rc = take_url(conf, base, &user, &password, call);

	*headers = NULL;
	if (!rc)
		rc = set_headers(conf, user, password, headers, call);
	if (!rc && !web_host->conf_str(conf, "client-cert") && web_host->conf_str(conf, "client-key"))
		rc = web_host->fail(call, KB_E_CONFIG, "client-cert: is missing; it goes with client-key");
	if (password)
		explicit_bzero(password, strlen(password));
	free(user);
	free(password);
	return rc;
}

static int check(const kb_conf *conf, struct kb_call *call)
{
	char *base, **headers;
	int rc = parts(conf, &base, &headers, call);

	free(base);
	free_list(headers);
	return rc;
}

static void close_handle(struct kb_handle *h)
{
	http_close(h->web);
	free(h->base);
	free_list(h->headers);
	web_forget_collections(h);
	free(h->made);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static int open_handle(const kb_conf *conf, kb_handle **out, struct kb_limits *limits, struct kb_call *call)
{
	static const char *const layouts[] = { "flat", "subdirs", "bazel" }, *const davs[] = { "auto", "on", "off" };
	const struct http_settings s = {
		.ca_file = web_host->conf_str(conf, "ca-file"), .client_cert = web_host->conf_str(conf, "client-cert"),
		.client_key = web_host->conf_str(conf, "client-key"), .unix_socket = web_host->conf_str(conf, "unix-socket"),
		.insecure = web_host->conf_u64(conf, "insecure"),
		.max_connections = (unsigned)web_host->conf_u64(conf, "connections"),
	};
	struct kb_handle *h = calloc(1, sizeof *h);
	int rc;

	if (!h)
		return web_no_memory(call);
	pthread_mutex_init(&h->lock, NULL);
	for (int i = 0; i < 3; i++) {
		if (!strcmp(web_host->conf_str(conf, "layout"), layouts[i]))
			h->layout = (enum web_layout)i;
		if (!strcmp(web_host->conf_str(conf, "webdav"), davs[i]))
			h->dav = (enum web_dav)i;
	}
	if (!strncmp(web_host->conf_str(conf, "url"), "dav", 3) && h->dav == WEB_DAV_AUTO)
		h->dav = WEB_DAV_ON;
	rc = parts(conf, &h->base, &h->headers, call);
	if (!rc)
		rc = http_open(web_host, &s, call, &h->web);
	if (!rc)
		rc = web_ping(h, limits, call);
	if (rc) {
		close_handle(h);
		return rc;
	}
	limits->max_inflight = s.max_connections;
	*out = h;
	return KB_OK;
}

static const struct kb_backend table = {
	.magic = KB_MAGIC, .struct_size = sizeof table, .abi_major = KB_ABI_MAJOR, .abi_minor = KB_ABI_MINOR,
	.threads = KB_THREADS_PARALLEL,
	.caps = KB_CAP_WRITE | KB_CAP_ATOMIC_PUT | KB_CAP_READ_OWN,
	.opt_size = sizeof(struct kb_opt),
	.name = "http", .version = "1.0", .summary = "HTTP and WebDAV servers", .schemes = "http https dav davs",
	.opts = options, .check = check, .open = open_handle, .close = close_handle,
	.get = web_get, .put = web_put, .head = web_head, .del = web_del, .list = web_list, .ping = web_ping,
};

KB_ENTRY(http)
{
	web_host = kb_host_arg;
	return &table;
}
