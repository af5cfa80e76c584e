/* Talk to the person: one line on standard error, "kache: <level>: text". Standard output is data. */
#ifndef KACHE_BASE_LOG_H
#define KACHE_BASE_LOG_H

#include <stdbool.h>

enum kache_log_level { KACHE_LOG_ERROR, KACHE_LOG_WARN, KACHE_LOG_INFO, KACHE_LOG_DEBUG, KACHE_LOG_TRACE };

/* Lines above this level are dropped; starts as KACHE_LOG_WARN. Set once, before any thread. */
extern enum kache_log_level kache_log_level;
/* Lines begin with the time (UTC): for a log file. Set once, before any thread. */
extern bool kache_log_times;
/* "error" … "trace" to a level, or -1. */
int kache_log_parse(const char *name);
/* One write(2) per line, so that lines of concurrent processes do not mix. Keeps errno. */
void kache_log(enum kache_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define kache_error_log(...) kache_log(KACHE_LOG_ERROR, __VA_ARGS__)
#define kache_warn(...) kache_log(KACHE_LOG_WARN, __VA_ARGS__)
#define kache_info(...) kache_log(KACHE_LOG_INFO, __VA_ARGS__)
#define kache_debug(...) kache_log(KACHE_LOG_DEBUG, __VA_ARGS__)
#define kache_trace(...) kache_log(KACHE_LOG_TRACE, __VA_ARGS__)

#endif
