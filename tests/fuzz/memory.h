/* For the targets of what is read by its name: a file in memory. */
#ifndef KACHE_TESTS_FUZZ_MEMORY_H
#define KACHE_TESTS_FUZZ_MEMORY_H

#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

static int fuzz_fd = -1;
static char fuzz_name[32];	/* "/proc/self/fd/N" */

/* Its path, the same at each call. */
static inline const char *fuzz_file(void)
{
	if (fuzz_fd < 0) {
		fuzz_fd = memfd_create("input", MFD_CLOEXEC);
		FUZZ_CHECK(fuzz_fd >= 0);
		snprintf(fuzz_name, sizeof fuzz_name, "/proc/self/fd/%d", fuzz_fd);
	}
	return fuzz_name;
}

/* What is in it from now on. */
static inline void fuzz_write(const void *data, size_t len)
{
	FUZZ_CHECK(!ftruncate(fuzz_fd, 0));
	FUZZ_CHECK(pwrite(fuzz_fd, data, len, 0) == (ssize_t)len);
}

#endif
