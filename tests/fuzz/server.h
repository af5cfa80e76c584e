/* For the targets of what servers answer: a connection on which the input has arrived, and then its end. */
#ifndef KACHE_TESTS_FUZZ_SERVER_H
#define KACHE_TESTS_FUZZ_SERVER_H

#include "tests/fuzz/fuzz.h"

#include "kache/backend.h"

#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FUZZ_ANSWER_MAX = 32 << 10 };	/* bytes: as many as a socket takes without a reader */

__attribute__((unused))
static int fuzz_answer(const void *data, size_t size)
{
	int pair[2];

	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
	FUZZ_CHECK(!size || send(pair[1], data, size, MSG_NOSIGNAL) == (ssize_t)size);
	close(pair[1]);
	return pair[0];
}

/* The host takes care of what is no text. */
static int fuzz_fail(struct kb_call *call, int status, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	(void)call;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return status;
}

static const struct kb_host fuzz_host = { .struct_size = sizeof fuzz_host, .fail = fuzz_fail };

__attribute__((unused))
static struct kb_call fuzz_call(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (struct kb_call){ .struct_size = sizeof(struct kb_call), .cancel_fd = -1,
				 .deadline_ns = ((uint64_t)now.tv_sec + 5) * 1000000000 };
}

/* A sink that is told a size gets no more than that. */
struct fuzz_sink { struct kb_sink kb; uint64_t said, got; bool begun; };

__attribute__((unused))
static int fuzz_sink_begin(struct kb_sink *kb, uint64_t size)
{
	struct fuzz_sink *s = (struct fuzz_sink *)kb;

	s->said = size;
	s->got = 0;
	s->begun = true;
	return KB_OK;
}

__attribute__((unused))
static int fuzz_sink_write(struct kb_sink *kb, const void *data, size_t len)
{
	struct fuzz_sink *s = (struct fuzz_sink *)kb;

	(void)data;
	s->got += len;
	FUZZ_CHECK(s->begun && (!s->said || s->got <= s->said));
	return KB_OK;
}

#define FUZZ_SINK_INIT { .kb = { sizeof(struct kb_sink), -1, UINT64_MAX, fuzz_sink_begin, fuzz_sink_write } }

#endif
