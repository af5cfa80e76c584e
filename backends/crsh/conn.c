/* The socket: non-blocking, bounded by the call's deadline and its cancel_fd. */
#include "config.h"
#include "crsh.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull

uint64_t crsh_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int crsh_wait(int fd, short events, uint64_t until, struct kb_call *call)
{
	struct pollfd p[2] = { { .fd = fd, .events = events }, { .fd = call->cancel_fd, .events = POLLIN } };

	if (until > call->deadline_ns)
		until = call->deadline_ns;
	for (;;) {
		uint64_t now = crsh_now(), ms = now < until ? (until - now + MS - 1) / MS : 0;
		int n = poll(p, 2, ms > 60000 ? 60000 : (int)ms);	/* -1 is left out */

		if (n < 0 && errno != EINTR)
			return crsh_host->fail(call, KB_E_LOCAL, "poll: %s", strerror(errno));
		if (n > 0 && p[1].revents)
			return crsh_host->fail(call, KB_E_CANCELLED, "cancelled");
		/* a helper that never stops sending must not outrun the deadline */
		if (crsh_now() >= call->deadline_ns)
			return crsh_host->fail(call, KB_E_TIMEOUT, "the helper did not answer in time");
		if ((n > 0 && p[0].revents) || (n == 0 && crsh_now() >= until))
			return KB_OK;
	}
}

int crsh_pause(unsigned ms, struct kb_call *call)
{
	return crsh_wait(-1, 0, crsh_now() + ms * MS, call);
}

void crsh_drop(struct kb_handle *h)
{
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
	h->used = false;
	h->at = h->end = 0;
}

static int wait_for(struct kb_handle *h, short events, struct kb_call *call)
{
	int rc = crsh_wait(h->fd, events, call->deadline_ns, call);

	if (rc)
		crsh_drop(h);
	return rc;
}

static int broken(struct kb_handle *h, int error, struct kb_call *call)
{
	crsh_drop(h);
	return crsh_host->fail(call, KB_E_TRANSIENT, "the helper: %s", error ? strerror(error) : "it has closed the connection");
}

int crsh_connect(const char *path, int *fd, enum crsh_absent *why, struct kb_call *call)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int error;

	memcpy(sa.sun_path, path, strlen(path) + 1);	/* its length was checked */
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return crsh_host->fail(call, KB_E_LOCAL, "a socket: %s", strerror(errno));
	if (!connect(*fd, (const struct sockaddr *)&sa, sizeof sa))
		return KB_OK;
	error = errno;
	close(*fd);
	*fd = -1;
	*why = error == ENOENT ? CRSH_NONE : error == ECONNREFUSED ? CRSH_REFUSED : CRSH_BUSY;
	if (error == EACCES || error == EPERM || error == ENOTDIR || error == EPROTOTYPE)
		return crsh_host->fail(call, KB_E_CONFIG, "%.150s: %s", path, strerror(error));
	return KB_OK;
}

int crsh_send(struct kb_handle *h, const void *data, size_t len, struct kb_call *call)
{
	const char *p = data;
	/* A fast helper's socket never blocks, and many pieces make a long call. */
	int rc = len > 4096 ? wait_for(h, POLLOUT, call) : KB_OK;

	while (!rc && len) {
		ssize_t n = send(h->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			rc = wait_for(h, POLLOUT, call);
			continue;
		}
		if (n < 0)
			return broken(h, errno, call);
		p += n;
		len -= (size_t)n;
	}
	return rc;
}

int crsh_fill(struct kb_handle *h, struct kb_call *call)
{
	if (h->at == h->end)
		h->at = h->end = 0;
	for (;;) {
		int rc = wait_for(h, POLLIN, call);
		ssize_t n;

		if (rc)
			return rc;
		n = recv(h->fd, h->in + h->end, CRSH_BUFFER - h->end, MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
			continue;
		if (n <= 0)
			return broken(h, n ? errno : 0, call);
		h->end += (size_t)n;
		h->answered = true;
		return KB_OK;
	}
}

int crsh_read(struct kb_handle *h, void *to, size_t len, struct kb_call *call)
{
	unsigned char *p = to;

	while (len) {
		size_t n = h->end - h->at;

		if (!n) {
			int rc = crsh_fill(h, call);

			if (rc)
				return rc;
			continue;
		}
		if (n > len)
			n = len;
		memcpy(p, h->in + h->at, n);
		h->at += n;
		p += n;
		len -= n;
	}
	return KB_OK;
}
