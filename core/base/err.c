#include "config.h"
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void set(struct kache_error *err, int code, const char *fmt, va_list ap)
{
	if (!err)
		return;
	err->code = code;
	vsnprintf(err->text, sizeof err->text, fmt, ap);
	for (char *p = err->text; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
}

int kache_fail(struct kache_error *err, int code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, fmt);
	set(err, code, fmt, ap);
	va_end(ap);
	errno = saved;
	return code;
}

int kache_fail_errno(struct kache_error *err, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, fmt);
	set(err, KACHE_E_IO, fmt, ap);
	va_end(ap);
	if (err) {
		size_t len = strlen(err->text);

		snprintf(err->text + len, sizeof err->text - len, ": %s", strerror(saved));
	}
	errno = saved;
	return KACHE_E_IO;
}
