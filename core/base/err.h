/* Error codes shared by all of core, and the one-line text that explains an error to a person. */
#ifndef KACHE_BASE_ERR_H
#define KACHE_BASE_ERR_H

#include <errno.h>
#include <stdbool.h>

/* Functions return 0 or one of these. KACHE_E_IO leaves the cause in errno. */
enum kache_err {
	KACHE_OK = 0,
	KACHE_E_IO = -1,	/* a system call failed; errno tells */
	KACHE_E_NOENT = -2,	/* no such entry, file or name */
	KACHE_E_CORRUPT = -3,	/* stored bytes fail their check */
	KACHE_E_INVALID = -4,	/* input that a person or program got wrong */
	KACHE_E_VERSION = -5,	/* written by a newer kache */
	KACHE_E_TOOBIG = -6,
	KACHE_E_EXISTS = -7,
	KACHE_E_UNSUPPORTED = -8,
	KACHE_E_BUSY = -9,	/* somebody else holds the lock */
	KACHE_E_REMOTE = -10	/* a backend said no */
};

/* Whether errno says that a name stands for nothing: it is not there, or something on the way to it is no directory. */
static inline bool kache_errno_missing(void)
{
	return errno == ENOENT || errno == ENOTDIR;
}

#define KACHE_ERROR_MAX 512

/* Text of the last failure of one operation. Owned by the caller, set by the layer that knows the
 * noun ("manifest", "config.toml:3"). Always NUL-terminated, never holds a newline or a secret. */
struct kache_error {
	int code;
	char text[KACHE_ERROR_MAX];
};

/* Sets code and text (both may be dropped by passing err == NULL) and returns code. Keeps errno. */
int kache_fail(struct kache_error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Like kache_fail with KACHE_E_IO; ": <strerror(errno)>" is appended. */
int kache_fail_errno(struct kache_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
