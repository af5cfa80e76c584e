/* A proxy between the module and its server that misbehaves on demand: one thread, poll, plain TCP. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS = 128, PIECE = 16384, BEFORE_STALL = 700, BEFORE_RESET = 700, BEFORE_CUT = 900, SLOW_MS = 1000 };

struct pair {
	int client, server;
	size_t answered;		/* bytes sent to the client */
	uint64_t next_ms;		/* of SLOW: when the next byte goes */
	bool mute;			/* nothing more is passed on to the client */
};

static struct pair pairs[PAIRS];
static size_t n_pairs;
static int listener = -1, wake[2];
static struct sockaddr_storage server_address;
static socklen_t server_len;
static unsigned port;
static atomic_int fault;
static atomic_bool cut, stop;
static pthread_t thread;
static bool running;

static void end_pair(size_t i, bool reset)
{
	const struct linger hard = { .l_onoff = 1 };

	if (reset)
		setsockopt(pairs[i].client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(pairs[i].client);
	if (pairs[i].server >= 0)
		close(pairs[i].server);
	pairs[i] = pairs[--n_pairs];
}

static void take_connection(void)
{
	int on = 1, client = accept4(listener, NULL, NULL, SOCK_CLOEXEC), server = -1;

	if (client < 0)
		return;
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (atomic_load(&fault) != KIT_BLACK_HOLE && atomic_load(&fault) != KIT_GARBAGE) {
		server = socket(server_address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (server < 0 || connect(server, (struct sockaddr *)&server_address, server_len)) {
			if (server >= 0)
				close(server);
			close(client);
			return;
		}
		setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	}
	if (n_pairs == PAIRS) {
		close(client);
		if (server >= 0)
			close(server);
		return;
	}
	pairs[n_pairs++] = (struct pair){ .client = client, .server = server };
}

static bool pass_on(int to, const char *p, ssize_t n)
{
	while (n > 0) {
		ssize_t m = send(to, p, (size_t)n, MSG_NOSIGNAL);

		if (m <= 0)
			return false;
		p += m;
		n -= m;
	}
	return true;
}

/* From the server to the client, as the fault has it. False: the pair has ended. */
static bool answer(size_t i)
{
	struct pair *p = &pairs[i];
	int how = atomic_load(&fault);
	size_t most = how == KIT_SLOW ? 1 : PIECE, limit = how == KIT_STALL ? BEFORE_STALL : how == KIT_RESET ? BEFORE_RESET : BEFORE_CUT;
	char buf[PIECE];
	ssize_t n;

	if (how == KIT_SLOW && kit_now_ms() < p->next_ms)
		return true;
	if ((how == KIT_STALL || how == KIT_RESET || how == KIT_TRUNCATE) && p->answered < limit && limit - p->answered < most)
		most = limit - p->answered;
	n = recv(p->server, buf, most, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0 || !pass_on(p->client, buf, n)) {
		end_pair(i, false);
		return false;
	}
	p->answered += (size_t)n;
	p->next_ms = kit_now_ms() + SLOW_MS;
	if (how == KIT_STALL && p->answered >= limit)
		p->mute = true;
	if ((how == KIT_RESET || how == KIT_TRUNCATE) && p->answered >= limit) {
		end_pair(i, how == KIT_RESET);
		return false;
	}
	return true;
}

static bool request(size_t i)
{
	struct pair *p = &pairs[i];
	int how = atomic_load(&fault);
	char buf[PIECE];
	ssize_t n = recv(p->client, buf, sizeof buf, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		end_pair(i, false);
		return false;
	}
	if (how == KIT_GARBAGE || p->server < 0) {
		static const char noise[] = "\x7f\x00\xff!garbage\r\n$999999999999999999999\r\n\r\n<xml";

		if (how == KIT_GARBAGE && !p->mute) {
			p->mute = true;
			(void)pass_on(p->client, noise, sizeof noise);
		}
		return true;
	}
	if (how == KIT_BLACK_HOLE)
		return true;
	if (!pass_on(p->server, buf, n)) {
		end_pair(i, false);
		return false;
	}
	return true;
}

static void step(void)
{
	struct pollfd p[2 + 2 * PAIRS];
	size_t n = n_pairs;
	int how = atomic_load(&fault);
	char byte;

	p[0] = (struct pollfd){ .fd = wake[0], .events = POLLIN };
	p[1] = (struct pollfd){ .fd = how == KIT_REFUSE ? -1 : listener, .events = POLLIN };
	for (size_t i = 0; i < n; i++) {
		p[2 + 2 * i] = (struct pollfd){ .fd = pairs[i].client, .events = POLLIN };
		p[3 + 2 * i] = (struct pollfd){ .fd = pairs[i].mute || how == KIT_BLACK_HOLE ? -1 : pairs[i].server, .events = POLLIN };
	}
	poll(p, 2 + 2 * n, how == KIT_SLOW ? 100 : 1000);
	if (p[0].revents)
		(void)!read(wake[0], &byte, 1);
	if (atomic_exchange(&cut, false)) {
		while (n_pairs)
			end_pair(n_pairs - 1, true);
		return;
	}
	for (size_t i = n; i-- > 0;) {
		bool alive = !p[2 + 2 * i].revents || request(i);

		if (alive && p[3 + 2 * i].revents)
			(void)answer(i);
	}
	if (p[1].revents)
		take_connection();
}

static void *proxy(void *arg)
{
	while (!atomic_load(&stop))
		step();
	while (n_pairs)
		end_pair(n_pairs - 1, false);
	return arg;
}

static int listen_on(unsigned wanted)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)wanted) };
	socklen_t len = sizeof a;
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 128) || getsockname(fd, (struct sockaddr *)&a, &len)) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	port = ntohs(a.sin_port);
	return fd;
}

unsigned kit_proxy_start(const char *target)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	const char *colon = strrchr(target, ':');
	KACHE_AUTO_FREE char *host = colon ? kache_strndup(target, (size_t)(colon - target)) : NULL;
	struct addrinfo *found = NULL;

	if (!colon || getaddrinfo(host, colon + 1, &hints, &found))
		return 0;
	memcpy(&server_address, found->ai_addr, found->ai_addrlen);
	server_len = found->ai_addrlen;
	freeaddrinfo(found);
	listener = listen_on(0);
	if (listener < 0 || pipe2(wake, O_CLOEXEC | O_NONBLOCK))
		return 0;
	running = !pthread_create(&thread, NULL, proxy, NULL);
	return running ? port : 0;
}

void kit_proxy_set(enum kit_fault how, bool cut_now)
{
	bool was_refusing = atomic_load(&fault) == KIT_REFUSE;

	atomic_store(&fault, how);
	if (cut_now)
		atomic_store(&cut, true);
	(void)!write(wake[1], "x", 1);
	/* A closed listener refuses; an open one that nobody accepts from does not. */
	if (how == KIT_REFUSE && listener >= 0) {
		usleep(50000);
		close(listener);
		listener = -1;
	} else if (was_refusing && how != KIT_REFUSE) {
		listener = listen_on(port);
		(void)!write(wake[1], "x", 1);
	}
	while (atomic_load(&cut))
		usleep(1000);
}

void kit_proxy_stop(void)
{
	if (!running)
		return;
	atomic_store(&stop, true);
	(void)!write(wake[1], "x", 1);
	pthread_join(thread, NULL);
	running = false;
	close(wake[0]);
	close(wake[1]);
	if (listener >= 0)
		close(listener);
}
