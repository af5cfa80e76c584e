/* A server for tests of the S3 backend that answers from a script, one request per connection. */
#ifndef KACHE_TESTS_S3_SERVER_H
#define KACHE_TESTS_S3_SERVER_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CODE(c) "<Error><Code>" c "</Code></Error>"
#define ABSENT "HTTP/1.1 404 Not Found\r\n", CODE("NoSuchKey")
#define FINE "HTTP/1.1 200 OK\r\n", ""

/* The answer to the n-th request (from 0) of a case: its head without Content-Length, and the body. */
struct answer { const char *head, *body; };
typedef struct answer script_fn(const char *method, const char *target, const char *head, const char *body, int n);

enum { LOG = 20000, HEAD = 16384 };
static script_fn *script;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char seen[LOG];			/* "METHOD target\n" of all requests */
static char last[HEAD];			/* the last one's head */
static char last_body[HEAD];		/* and its body, if it is short */
static int n_requests, hang_at = -1;	/* a request that is never answered */
static int turn;			/* what is left of an earlier case does not count */
static int listener, port;

static size_t read_head(int fd, char *buf)
{
	size_t n = 0;

	while (n < HEAD - 1) {
		ssize_t got = read(fd, buf + n, 1);

		if (got != 1)
			return 0;
		buf[++n] = '\0';
		if (n >= 4 && !memcmp(buf + n - 4, "\r\n\r\n", 4))
			return n;
	}
	return 0;
}

static char *read_body(int fd, const char *head)
{
	const char *p = strcasestr(head, "\r\ncontent-length:");
	size_t len = p ? strtoul(p + 17, NULL, 10) : 0, n = 0;
	char *body = calloc(1, len + 1);

	while (n < len) {
		ssize_t got = read(fd, body + n, len - n);

		if (got <= 0) {
			free(body);
			return NULL;
		}
		n += (size_t)got;
	}
	return body;
}

static void reply(int fd, const char *method, struct answer a)
{
	char head[2000];
	int n = snprintf(head, sizeof head, "%s%s%zu\r\nConnection: close\r\n\r\n", a.head,
			 strstr(a.head, "Content-Length") ? "x-length: " : "Content-Length: ", strlen(a.body));

	(void)!send(fd, head, (size_t)n, MSG_NOSIGNAL);
	if (strcmp(method, "HEAD"))
		(void)!send(fd, a.body, strlen(a.body), MSG_NOSIGNAL);
}

/* Notes a request and finds its answer. False: none is given. */
static bool note(int of, const char *method, const char *target, const char *head, const char *body, struct answer *a)
{
	bool answers = false;

	pthread_mutex_lock(&lock);
	if (of == turn) {
		size_t at = strlen(seen);

		snprintf(seen + at, LOG - at, "%s %s\n", method, target);
		snprintf(last, sizeof last, "%s", head);
		snprintf(last_body, sizeof last_body, "%s", body);
		*a = script(method, target, head, body, n_requests);
		answers = n_requests++ != hang_at;
	}
	pthread_mutex_unlock(&lock);
	return answers;
}

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg, of;
	char *head = malloc(HEAD), method[16], target[1000], *body;
	struct answer a;

	pthread_mutex_lock(&lock);
	of = turn;
	pthread_mutex_unlock(&lock);
	if (read_head(fd, head) && sscanf(head, "%15s %999s", method, target) == 2) {
		body = read_body(fd, head);
		if (body && note(of, method, target, head, body, &a)) {
			reply(fd, method, a);
			shutdown(fd, SHUT_WR);
		}
		free(body);
	}
	free(head);
	while (read(fd, target, sizeof target) > 0)	/* until the client is gone */
		;
	close(fd);
	return NULL;
}

static void *accept_all(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t t;

		if (fd < 0)
			return NULL;
		if (pthread_create(&t, NULL, serve, (void *)(intptr_t)fd))
			exit(99);
		pthread_detach(t);
	}
}

static void start(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	pthread_t t;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 64) ||
	    getsockname(listener, (struct sockaddr *)&a, &len) || pthread_create(&t, NULL, accept_all, NULL))
		exit(99);
	pthread_detach(t);
	port = ntohs(a.sin_port);
}

static void begin(script_fn *f)
{
	pthread_mutex_lock(&lock);
	turn++;
	script = f;
	*seen = *last = *last_body = '\0';
	n_requests = 0;
	hang_at = -1;
	pthread_mutex_unlock(&lock);
}

#endif
