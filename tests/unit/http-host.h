/* A host for tests of the http backend: options by name, and the last error's text. */
#ifndef KACHE_TESTS_HTTP_HOST_H
#define KACHE_TESTS_HTTP_HOST_H

#include "tap.h"

#include "../../backends/common/http-parts.h"
#include "../../backends/http/web.h"

const struct kb_backend *kb_builtin_http(const struct kb_host *);

struct kb_conf { const char *v[16][2]; };	/* names and values, as text; ends at NULL */

static _Thread_local char said[300];

static const char *conf_str(const kb_conf *c, const char *name)
{
	for (size_t i = 0; i < 16 && c->v[i][0]; i++)
		if (!strcmp(c->v[i][0], name))
			return c->v[i][1];
	return !strcmp(name, "layout") ? "flat" : !strcmp(name, "webdav") ? "auto" : NULL;
}

static uint64_t conf_u64(const kb_conf *c, const char *name)
{
	const char *v = conf_str(c, name);

	return v ? strtoull(v, NULL, 10) : 0;
}

__attribute__((format(printf, 3, 4)))
static int host_fail(struct kb_call *call, int status, const char *fmt, ...)
{
	va_list ap;

	(void)call;
	va_start(ap, fmt);
	vsnprintf(said, sizeof said, fmt, ap);
	va_end(ap);
	return status;
}

static void host_log(int level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
}

static const struct kb_host test_host = { sizeof test_host, KB_ABI_MINOR, "test", conf_str, conf_u64, host_fail, host_log };

static struct kb_call call_for(double seconds)
{
	*said = '\0';
	return (struct kb_call){ sizeof(struct kb_call), 0, http_now() + (uint64_t)(seconds * 1e9), -1, 0 };
}
#define CALL (&(struct kb_call[]){ call_for(60) }[0])
#define KEY(s) ((struct kb_key){ (s), strlen(s) })

#endif
