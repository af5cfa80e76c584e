/* Names to addresses. getaddrinfo can't be interrupted, so it runs in a thread of its own that is left to
 * itself when the call has to end before it; the two share a small block that the later one frees. */
#include "config.h"
#include "memcached.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct search {
	atomic_int users;
	int done[2];			/* a pipe; its end says that the fields below are set */
	int rc;
	struct addrinfo *found;
	char port[8];
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

static struct search *new_search(const struct memcached_address *a)
{
	size_t len = strlen(a->host) + 1;
	struct search *s = calloc(1, sizeof *s + len);

	if (!s)
		return NULL;
	memcpy(s->host, a->host, len);
	snprintf(s->port, sizeof s->port, "%u", a->port);
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

int memcached_resolve(const struct memcached_conn *c, struct kb_call *call, struct addrinfo **out)
{
	const struct memcached_address *a = c->address;
	struct addrinfo numeric = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	struct search *s;
	char port[8];
	bool ready = false;
	int rc;

	snprintf(port, sizeof port, "%u", a->port);
	if (!getaddrinfo(a->host, port, &numeric, out))
		return KB_OK;
	s = new_search(a);
	if (!s)
		return memcached_host->fail(call, KB_E_LOCAL, "%s: no thread to look the name up", a->name);
	rc = memcached_wait(s->done[0], POLLIN, c->until, &ready, call);
	if (rc == KB_E_TIMEOUT || (!rc && !ready)) {
		rc = memcached_host->fail(call, KB_E_TIMEOUT, "%s: looking the name up took too long", a->name);
	} else if (!rc && s->rc) {
		/* A name that does not exist today may be one that the network does not answer for. */
		rc = memcached_host->fail(call, KB_E_TRANSIENT, "%s: %s", a->name, gai_strerror(s->rc));
	} else if (!rc) {
		*out = s->found;
		s->found = NULL;
	}
	let_go(s);
	return rc;
}
