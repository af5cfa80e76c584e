/* A connection: non-blocking, bounded by the call's deadline and its cancel_fd. */
#include "config.h"
#include "memcached.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT_MS = 3000, HOLD_OFF_MS = 2000, FAIR_MS = 200 };
#define MS 1000000ull

uint64_t memcached_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int memcached_wait(int fd, short events, uint64_t until, bool *ready, struct kb_call *call)
{
	struct pollfd p[2] = { { .fd = fd, .events = events }, { .fd = call->cancel_fd, .events = POLLIN } };

	if (!until || until > call->deadline_ns)
		until = call->deadline_ns;
	for (;;) {
		uint64_t now = memcached_now(), ms = now < until ? (until - now + MS - 1) / MS : 0;
		int n = poll(p, call->cancel_fd >= 0 ? 2 : 1, ms > 60000 ? 60000 : (int)ms);

		if (n < 0 && errno != EINTR)
			return memcached_host->fail(call, KB_E_LOCAL, "poll: %s", strerror(errno));
		if (n > 0 && call->cancel_fd >= 0 && p[1].revents)
			return memcached_host->fail(call, KB_E_CANCELLED, "cancelled");
		/* a server that never stops sending must not outrun the deadline */
		if (memcached_now() >= call->deadline_ns)
			return memcached_host->fail(call, KB_E_TIMEOUT, "no answer in time");
		*ready = n > 0 && p[0].revents;
		if (*ready || (n == 0 && memcached_now() >= until))
			return KB_OK;
	}
}

void memcached_conn_drop(struct memcached_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->used = false;
	c->at = c->end = 0;
}

/* As memcached_wait for the connection's own socket, which has to become ready. */
static int wait_for(struct memcached_conn *c, short events, struct kb_call *call)
{
	bool ready = false;
	int rc = memcached_wait(c->fd, events, c->until, &ready, call);

	if (rc == KB_E_TIMEOUT || (!rc && !ready))
		rc = memcached_host->fail(call, KB_E_TIMEOUT, "%s: no answer in time", c->address->name);
	if (rc)
		memcached_conn_drop(c);
	return rc;
}

static int broken(struct memcached_conn *c, int error, struct kb_call *call)
{
	memcached_conn_drop(c);
	return memcached_host->fail(call, KB_E_TRANSIENT, "%s: %s", c->address->name,
				    error ? strerror(error) : "the server has closed the connection");
}

/* One address; 0 or an errno in *error. until: when to give up on it. */
static int connect_to(struct memcached_conn *c, const struct sockaddr *sa, socklen_t len, uint64_t until, int *error,
		      struct kb_call *call)
{
	socklen_t error_len = sizeof *error;
	bool ready = false;
	int rc = KB_OK, on = 1;

	*error = 0;
	c->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0) {
		*error = errno;
		return KB_OK;
	}
	if (connect(c->fd, sa, len)) {
		*error = errno == EINTR ? EINPROGRESS : errno;
		/* The accept queue of a Unix socket is full: there is nothing to poll for. */
		if (*error == EAGAIN)
			*error = ECONNREFUSED;
	}
	if (*error == EINPROGRESS) {
		rc = memcached_wait(c->fd, POLLOUT, until, &ready, call);
		if (!rc && !ready)
			*error = ETIMEDOUT;
		else if (!rc && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, error, &error_len))
			*error = errno;
	}
	if (rc || *error)
		memcached_conn_drop(c);
	else if (sa->sa_family != AF_UNIX)
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return rc;
}

static int connect_unix(struct memcached_conn *c, int *error, struct kb_call *call)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	memcpy(sa.sun_path, c->address->host, strlen(c->address->host) + 1);	/* its length was checked */
	return connect_to(c, (const struct sockaddr *)&sa, sizeof sa, c->until, error, call);
}

static int connect_any(struct memcached_conn *c, int *error, struct kb_call *call)
{
	struct addrinfo *all;
	unsigned left = 0;
	int rc = memcached_resolve(c, call, &all);

	if (rc)
		return rc;
	*error = EADDRNOTAVAIL;
	for (struct addrinfo *a = all; a; a = a->ai_next)
		left++;
	for (struct addrinfo *a = all; a && !rc && c->fd < 0; a = a->ai_next) {
		uint64_t now = memcached_now(), until = c->until ? c->until : call->deadline_ns;
		uint64_t ns = until > now ? until - now : 0;

		if (ns > CONNECT_MS * MS)
			ns = CONNECT_MS * MS;
		/* an address that leads nowhere leaves time for the others */
		rc = connect_to(c, a->ai_addr, a->ai_addrlen, now + ns / left--, error, call);
	}
	freeaddrinfo(all);
	return rc;
}

/* Among several, a server that swallows connections is left alone for a while, so that its share of the
 * keys costs no waiting. One that refuses them costs nothing. */
int memcached_conn_open(struct memcached_conn *c, bool several, struct kb_call *call)
{
	uint64_t began = memcached_now();
	int rc, error = 0;

	if (c->down_until && memcached_now() < c->down_until)
		return memcached_host->fail(call, KB_E_TRANSIENT, "%s: the server did not answer a moment ago", c->address->name);
	c->down_until = 0;
	c->item_max = 0;
	rc = c->address->port ? connect_any(c, &error, call) : connect_unix(c, &error, call);
	/* A call that had no time left says nothing of the server. */
	if (several && (rc == KB_E_TIMEOUT || error == ETIMEDOUT) && memcached_now() - began >= FAIR_MS * MS)
		c->down_until = memcached_now() + HOLD_OFF_MS * MS;
	if (rc == KB_E_TIMEOUT)
		return memcached_host->fail(call, rc, "%s: no connection in time", c->address->name);
	if (!rc && error)
		rc = memcached_host->fail(call, KB_E_TRANSIENT, "%s: %s", c->address->name, strerror(error));
	return rc;
}

void memcached_conn_start(struct memcached_conn *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };

	c->answered = false;
	if (c->fd >= 0 && (c->at != c->end || poll(&p, 1, 0) != 0))
		memcached_conn_drop(c);
}

int memcached_conn_send(struct memcached_conn *c, const void *data, size_t len, bool more, struct kb_call *call)
{
	const char *p = data;
	/* A fast server's socket never blocks, and many pieces make a long call. */
	int rc = len > 4096 ? wait_for(c, POLLOUT, call) : KB_OK;

	while (!rc && len) {
		ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			rc = wait_for(c, POLLOUT, call);
			continue;
		}
		if (n < 0)
			return broken(c, errno, call);
		p += n;
		len -= (size_t)n;
	}
	return rc;
}

int memcached_conn_fill(struct memcached_conn *c, struct kb_call *call)
{
	if (c->at) {
		memmove(c->in, c->in + c->at, c->end - c->at);
		c->end -= c->at;
		c->at = 0;
	}
	if (c->end == MEMCACHED_BUFFER)
		return memcached_garbled(c, call);
	for (;;) {
		int rc = wait_for(c, POLLIN, call);
		ssize_t n;

		if (rc)
			return rc;
		n = recv(c->fd, c->in + c->end, MEMCACHED_BUFFER - c->end, MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
			continue;
		if (n <= 0)
			return broken(c, n ? errno : 0, call);
		c->end += (size_t)n;
		c->answered = true;
		return KB_OK;
	}
}

int memcached_conn_need(struct memcached_conn *c, size_t n, struct kb_call *call)
{
	while (c->end - c->at < n) {
		int rc = memcached_conn_fill(c, call);

		if (rc)
			return rc;
	}
	return KB_OK;
}

int memcached_conn_line(struct memcached_conn *c, char *line, size_t size, struct kb_call *call)
{
	size_t seen = 0;

	for (;;) {
		unsigned char *start = c->in + c->at, *end = memchr(start + seen, '\n', c->end - c->at - seen);
		int rc;

		if (end) {
			size_t len = (size_t)(end - start);

			c->at += len + 1;
			len -= len && start[len - 1] == '\r';
			if (len >= size || memchr(start, '\0', len))
				return memcached_garbled(c, call);
			memcpy(line, start, len);
			line[len] = '\0';
			return KB_OK;
		}
		seen = c->end - c->at;
		if (seen >= size)
			return memcached_garbled(c, call);
		rc = memcached_conn_fill(c, call);
		if (rc)
			return rc;
	}
}
