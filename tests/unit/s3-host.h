/* A host for tests of the S3 backend: options by name, and the last error's text. */
#ifndef KACHE_TESTS_S3_HOST_H
#define KACHE_TESTS_S3_HOST_H

#include "tap.h"

#include "../../backends/s3/s3.h"

#include <time.h>

const struct kb_backend *kb_builtin_s3(const struct kb_host *);

struct kb_conf { const char *v[24][2]; };	/* names and values, as text; ends at NULL */

static char said[300];

__attribute__((unused))
static const char *conf_str(const kb_conf *c, const char *name)
{
	for (size_t i = 0; i < 24 && c->v[i][0]; i++)
		if (!strcmp(c->v[i][0], name))
			return c->v[i][1];
	return NULL;
}

static uint64_t conf_u64(const kb_conf *c, const char *name)
{
	const char *v = conf_str(c, name);

	return v ? strtoull(v, NULL, 10) : 0;
}

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

__attribute__((unused))
static struct kb_call *call_for(double seconds)
{
	static struct kb_call call;

	call = (struct kb_call){ sizeof call, 0, s3_now() + (uint64_t)(seconds * 1e9), -1, 0 };
	*said = '\0';
	return &call;
}
#define CALL call_for(60)

#endif
