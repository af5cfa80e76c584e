/* getaddrinfo can't be interrupted, so it runs in a thread of its own that is left to itself when the call has to
 * end before it; the two share a small block that the later one frees. */
#include "config.h"
#include "resolve.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct search {
	atomic_int users;
	int done[2];			/* a pipe; its end says that the fields below are set */
	int rc;
	struct addrinfo *found;
	char *port;			/* behind the host */
	char host[];
};

static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };

static void let_go(struct search *s)
{
	if (atomic_fetch_sub(&s->users, 1) != 1)
		return;
	if (s->found)
		freeaddrinfo(s->found);
	close(s->done[0]);
	free(s);
}

static void *search(void *arg)
{
	struct search *s = arg;

	s->rc = getaddrinfo(s->host, s->port, &hints, &s->found);
	if (s->rc)
		s->found = NULL;
	close(s->done[1]);
	let_go(s);
	return NULL;
}

/* With every signal blocked: they are the host's. */
static int start(struct search *s)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, search, s);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

static struct search *new_search(const char *host, const char *port)
{
	size_t host_len = strlen(host) + 1, port_len = strlen(port) + 1;
	struct search *s = calloc(1, sizeof *s + host_len + port_len);

	if (!s)
		return NULL;
	memcpy(s->host, host, host_len);
	s->port = s->host + host_len;
	memcpy(s->port, port, port_len);
	atomic_init(&s->users, 2);
	if (pipe2(s->done, O_CLOEXEC)) {
		free(s);
		return NULL;
	}
	if (start(s)) {
		close(s->done[0]);
		close(s->done[1]);
		free(s);
		return NULL;
	}
	return s;
}

static int wait_for(int fd, uint64_t until, const struct kb_call *call)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = call->cancel_fd, .events = POLLIN } };

	for (;;) {
		struct timespec t;
		uint64_t now, ms;
		int n;

		clock_gettime(CLOCK_MONOTONIC, &t);
		now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
		if (now >= until)
			return KB_E_TIMEOUT;
		ms = (until - now) / 1000000 + 1;
		n = poll(p, 2, ms > 60000 ? 60000 : (int)ms);
		if (n > 0 && p[1].revents)
			return KB_E_CANCELLED;
		if (n > 0)
			return KB_OK;
	}
}

int resolve_name(const char *host, const char *port, uint64_t until, const struct kb_call *call, struct addrinfo **out,
		 const char **why)
{
	struct addrinfo numeric = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	struct search *s;
	int rc;

	*why = "";
	if (!getaddrinfo(host, port, &numeric, out))
		return KB_OK;
	s = new_search(host, port);
	if (!s) {
		*why = "there is no thread to look the name up";
		return KB_E_LOCAL;
	}
	rc = wait_for(s->done[0], until < call->deadline_ns ? until : call->deadline_ns, call);
	if (rc) {
		*why = rc == KB_E_TIMEOUT ? "looking the name up took too long" : "cancelled";
	} else if (s->rc) {
		/* A name that does not exist today may be one that the network does not answer for. */
		*why = gai_strerror(s->rc);
		rc = KB_E_TRANSIENT;
	} else {
		*out = s->found;
		s->found = NULL;
	}
	let_go(s);
	return rc;
}
