/* TAP (https://testanything.org) for C unit tests: ok(), is_int(), is_str(), done(). */
#ifndef KACHE_TESTS_TAP_H
#define KACHE_TESTS_TAP_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 2, 3), unused))
static int ok(int good, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %d - ", good ? "" : "not ", ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	tap_failed += !good;
	return good;
}

#define is_int(got, want, name) do { \
	long long got_ = (long long)(got), want_ = (long long)(want); \
	if (!ok(got_ == want_, "%s", name)) \
		printf("# %s:%d: got %lld, wanted %lld\n", __FILE__, __LINE__, got_, want_); \
} while (0)

#define is_str(got, want, name) do { \
	const char *got_ = (got), *want_ = (want); \
	if (!ok(got_ && want_ && !strcmp(got_, want_), "%s", name)) \
		printf("# %s:%d: got '%s', wanted '%s'\n", __FILE__, __LINE__, got_ ? got_ : "(null)", want_ ? want_ : "(null)"); \
} while (0)

__attribute__((unused))
static void skip_rest(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(0);
}

__attribute__((unused))
static int done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}

/* A fresh directory under TMPDIR that the test removes itself (or leaves, after a failure). */
__attribute__((unused))
static char *tap_dir(void)
{
	const char *base = getenv("TMPDIR");
	size_t len = strlen(base ? base : "/tmp") + 24;
	char *path = malloc(len);

	snprintf(path, len, "%s/kache-test-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(path)) {
		perror(path);
		exit(99);
	}
	return path;
}

#endif
