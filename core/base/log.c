#include "config.h"
#include "base/log.h"

#include "base/buf.h"
#include "base/file.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum kache_log_level kache_log_level = KACHE_LOG_WARN;
bool kache_log_times;

static const char *const names[] = { "error", "warn", "info", "debug", "trace" };

int kache_log_parse(const char *name)
{
	for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
		if (!strcmp(name, names[i]))
			return i;
	return -1;
}

static void add_time(struct kache_buf *b)
{
	time_t now = time(NULL);
	struct tm tm;

	/* strftime(3) would bring the time zones of the C library into the wrapper. */
	if (gmtime_r(&now, &tm))
		kache_buf_fmt(b, "%04d-%02d-%02dT%02d:%02d:%02dZ ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
			      tm.tm_min, tm.tm_sec);
}

void kache_log(enum kache_log_level level, const char *fmt, ...)
{
	static const char *const shown[] = { "error: ", "warning: ", "", "debug: ", "trace: " };
	KACHE_AUTO_BUF struct kache_buf line = KACHE_BUF_INIT;
	int saved = errno;
	va_list ap;

	if (level > kache_log_level)
		return;
	if (kache_log_times)
		add_time(&line);
	else
		kache_buf_str(&line, "kache: ");
	kache_buf_str(&line, shown[level]);
	va_start(ap, fmt);
	kache_buf_vfmt(&line, fmt, ap);
	va_end(ap);
	kache_buf_ch(&line, '\n');
	(void)kache_write_all(STDERR_FILENO, line.data, line.len);
	errno = saved;
}
