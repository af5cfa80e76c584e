/* RFC 3986: scheme ":" rest [ "?" query ]. A "#" begins no fragment here, as remotes have no parts: it is mostly one of a
 * password, the rest of which would otherwise count as a fragment, and the beginning as something that may be shown. */
#include "config.h"
#include "remote/url.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

static int digit(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
	     : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Fresh memory, or NULL for a bad escape or a NUL. */
static char *decode(const char *s, size_t len)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	for (size_t i = 0; i < len; i++) {
		if (s[i] != '%') {
			kache_buf_ch(&b, s[i]);
		} else {
			int high = i + 2 < len ? digit((unsigned char)s[i + 1]) : -1;
			int low = i + 2 < len ? digit((unsigned char)s[i + 2]) : -1;

			if (high < 0 || low < 0 || !(high | low))
				return NULL;
			kache_buf_ch(&b, (char)(high << 4 | low));
			i += 2;
		}
	}
	return kache_buf_steal(&b);
}

static int add_params(struct kache_url *u, const char *query, const char *end, struct kache_error *err)
{
	while (query < end) {
		const char *amp = memchr(query, '&', (size_t)(end - query)), *stop = amp ? amp : end;
		const char *eq = memchr(query, '=', (size_t)(stop - query));
		struct kache_url_param *p;

		if (!eq || eq == query)
			return kache_fail(err, KACHE_E_INVALID, "the query of the URL is not key=value&key=value");
		u->params = kache_realloc(u->params, u->n_params + 1, sizeof *u->params);
		p = &u->params[u->n_params++];
		p->key = decode(query, (size_t)(eq - query));
		p->value = decode(eq + 1, (size_t)(stop - eq - 1));
		if (!p->key || !p->value)
			return kache_fail(err, KACHE_E_INVALID, "bad %%-escape in the query of the URL");
		query = amp ? amp + 1 : end;
	}
	return KACHE_OK;
}

int kache_url_parse(const char *text, struct kache_url *out, struct kache_error *err)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
	const char *end = text + strlen(text), *query = strchr(text, '?');
	int rc = KACHE_OK;

	*out = (struct kache_url){ 0 };
	if (!len || text[len] != ':' || digit((unsigned char)text[0]) == text[0] - '0')
		return kache_fail(err, KACHE_E_INVALID, "not a URL: it has no scheme, as in file:///path");
	if (strchr(text, '#'))
		return kache_fail(err, KACHE_E_INVALID, "the URL has a '#', which is written %%23 there");
	out->scheme = kache_strndup(text, len);
	for (char *p = out->scheme; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	out->base = kache_strndup(text, (size_t)((query ? query : end) - text));
	if (query)
		rc = add_params(out, query + 1, end, err);
	if (rc)
		kache_url_release(out);
	return rc;
}

void kache_url_release(struct kache_url *u)
{
	free(u->scheme);
	free(u->base);
	for (size_t i = 0; i < u->n_params; i++) {
		free(u->params[i].key);
		free(u->params[i].value);
	}
	free(u->params);
	*u = (struct kache_url){ 0 };
}

const char *kache_url_password(const char *rest, size_t len, const char **end)
{
	const char *colon;

	*end = memrchr(rest, '@', len);
	colon = *end ? memchr(rest, ':', (size_t)(*end - rest)) : NULL;
	return colon ? colon + 1 : NULL;
}

char *kache_url_show(const struct kache_url *u)
{
	const char *scheme = strstr(u->base, "://"), *end;
	const char *password = scheme ? kache_url_password(scheme + 3, strlen(scheme + 3), &end) : NULL;

	if (!password)
		return kache_strdup(u->base);
	return kache_asprintf("%.*s***%s", (int)(password - u->base), u->base, end);
}
