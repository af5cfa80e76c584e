/* A fuzz target is tests/fuzz/fuzz-<name>.c with the function and the variable below, and seeds in
 * corpus/<name>/. It is linked with libFuzzer by `make fuzz`, and with replay.c for the test suite. */
#ifndef KACHE_TESTS_FUZZ_H
#define KACHE_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Runs the code on any bytes; returns 0. A property that does not hold ends in abort(). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whether the last input was well-formed. replay.c demands it of all seeds but those named bad-*, so that
 * a change of a format can't leave a corpus behind that is refused at its first byte. */
extern bool fuzz_accepted;

#define FUZZ_CHECK(condition) do { \
	if (!(condition)) { \
		fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
		abort(); \
	} \
} while (0)

#endif
