/* A proxy between the module and its server that misbehaves on demand: one thread, poll, plain TCP.
 *
 * Orders are carried out by the thread between two rounds, so that nobody else touches its connections. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS = 128, PIECE = 16384, SLOW_MS = 1000, QUIET_MS = 60, AFTER = 6000 };

struct flow {				/* bytes on their way in one direction */
	char buf[PIECE];
	size_t at, len, sent;
	bool ended;			/* no more come */
};

struct pair {
	int client, server;		/* server -1: there is none behind */
	struct flow up, down;
	uint64_t last_ms;		/* something moved, or a slow byte went */
};

static struct pair *pairs[PAIRS];
static size_t n_pairs;
static int listener = -1, wake[2] = { -1, -1 };
static struct sockaddr_storage server_address;
static socklen_t server_len;
static unsigned port;
static enum kit_fault fault;
static pthread_t thread;
static bool running;

/* Orders, under the lock: number `given` is carried out once `done` is the same. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct {
	enum kit_fault fault;
	bool cut, stop;
	unsigned given, done;
	size_t pairs;
} order;

static void hang_up(int fd, bool reset)
{
	const struct linger hard = { .l_onoff = 1 };

	if (fd < 0)
		return;
	if (reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
}

static void end_pair(size_t i, bool reset)
{
	hang_up(pairs[i]->client, reset);
	hang_up(pairs[i]->server, reset);
	free(pairs[i]);
	pairs[i] = pairs[--n_pairs];
}

static int to_server(void)
{
	int on = 1, fd = socket(server_address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&server_address, server_len)) {
		close(fd);
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

static void take_connection(void)
{
	int on = 1, client = accept4(listener, NULL, NULL, SOCK_CLOEXEC), server = -1;
	bool behind = fault != KIT_BLACK_HOLE && fault != KIT_GARBAGE;

	if (client < 0)
		return;
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (behind)
		server = to_server();
	if ((behind && server < 0) || n_pairs == PAIRS) {
		hang_up(client, false);
		hang_up(server, false);
		return;
	}
	pairs[n_pairs] = kache_calloc(1, sizeof **pairs);
	pairs[n_pairs]->client = client;
	pairs[n_pairs]->server = server;
	pairs[n_pairs++]->last_ms = kit_now_ms();
}

/* How many more bytes this direction lets through before its fault; SIZE_MAX: it has none. */
static size_t before_fault(const struct flow *f, bool up)
{
	bool mine = up ? fault >= KIT_STALL_UP && fault <= KIT_CUT_UP : fault >= KIT_STALL && fault <= KIT_CUT;

	return !mine ? SIZE_MAX : f->sent < AFTER ? AFTER - f->sent : 0;
}

/* Noise for each request, nothing if silence is wanted. False: the pair has ended. */
static bool no_server(struct pair *p)
{
	static const char noise[] = "\x7f\x00\xff!garbage\r\n$999999999999999999999\r\n\r\n<xml";
	char buf[PIECE];
	ssize_t n = recv(p->client, buf, sizeof buf, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return false;
	if (n > 0 && fault == KIT_GARBAGE)
		(void)!send(p->client, noise, sizeof noise, MSG_NOSIGNAL | MSG_DONTWAIT);
	return true;
}

/* From one end to the other as far as both allow. False: the pair has ended. */
static bool move(struct pair *p, struct flow *f, int from, int to, bool up)
{
	bool slow = !up && fault == KIT_SLOW;
	size_t most = before_fault(f, up);
	ssize_t n;

	if (!f->len && !f->ended) {
		n = recv(from, f->buf, PIECE, MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		f->ended = n == 0;
		f->at = 0;
		f->len = n > 0 ? (size_t)n : 0;
	}
	if (slow)
		most = kit_now_ms() - p->last_ms >= SLOW_MS;
	if (f->len && most) {
		n = send(to, f->buf + f->at, f->len < most ? f->len : most, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n > 0) {
			f->at += (size_t)n;
			f->len -= (size_t)n;
			f->sent += (size_t)n;
			p->last_ms = kit_now_ms();
		}
	}
	return f->len || !f->ended;
}

/* Has the fault of this direction come? Then the pair has ended, but for a stall. */
static bool is_cut(const struct flow *f, bool up)
{
	return !before_fault(f, up) && fault != KIT_STALL && fault != KIT_STALL_UP;
}

static void serve(size_t i)
{
	struct pair *p = pairs[i];

	if (p->server < 0) {
		if (!no_server(p))
			end_pair(i, false);
	} else if (!move(p, &p->up, p->client, p->server, true) || !move(p, &p->down, p->server, p->client, false)) {
		end_pair(i, false);
	} else if (is_cut(&p->up, true) || is_cut(&p->down, false)) {
		end_pair(i, fault == KIT_RESET || fault == KIT_RESET_UP);
	} else if (fault == KIT_CLOSE_BETWEEN && p->down.sent && kit_now_ms() - p->last_ms >= QUIET_MS) {
		end_pair(i, false);
	}
}

/* What to wait for at one end of a pair: bytes to take if there is room, room if there are bytes to give. */
static short events(const struct flow *in, bool in_up, const struct flow *out, bool out_up)
{
	short e = 0;

	if (!in->len && !in->ended && before_fault(in, in_up))
		e |= POLLIN;
	if (out->len && before_fault(out, out_up) && !(fault == KIT_SLOW && !out_up))
		e |= POLLOUT;
	return e;
}

static int listen_on(unsigned wanted, bool now)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)wanted) };
	socklen_t len = sizeof a;
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || (now && listen(fd, 128)) ||
	    getsockname(fd, (struct sockaddr *)&a, &len)) {
		hang_up(fd, false);
		return -1;
	}
	port = ntohs(a.sin_port);
	return fd;
}

/* A bound socket that does not listen refuses, and keeps the port. */
static void refuse(bool refusing)
{
	if (refusing) {
		hang_up(listener, false);
		listener = listen_on(port, false);
	} else {
		listen(listener, 128);
	}
}

/* Carries out what was ordered. False: the end. */
static bool obey(void)
{
	bool go_on;

	pthread_mutex_lock(&lock);
	go_on = !order.stop;
	if (order.done != order.given) {
		if (order.cut)
			while (n_pairs)
				end_pair(n_pairs - 1, true);
		if ((order.fault == KIT_REFUSE) != (fault == KIT_REFUSE))
			refuse(order.fault == KIT_REFUSE);
		fault = order.fault;
		order.cut = false;
		order.done = order.given;
		pthread_cond_broadcast(&changed);
	}
	order.pairs = n_pairs;
	pthread_mutex_unlock(&lock);
	return go_on;
}

static void *proxy(void *arg)
{
	struct pollfd p[2 + 2 * PAIRS];
	char bytes[64];

	while (obey()) {
		size_t n = n_pairs;

		p[0] = (struct pollfd){ .fd = wake[0], .events = POLLIN };
		p[1] = (struct pollfd){ .fd = fault == KIT_REFUSE ? -1 : listener, .events = POLLIN };
		for (size_t i = 0; i < n; i++) {
			const struct pair *x = pairs[i];
			short c = events(&x->up, true, &x->down, false), s = events(&x->down, false, &x->up, true);

			/* Who is asked for nothing would only say, again and again, that the other has gone. */
			p[2 + 2 * i] = (struct pollfd){ .fd = c ? x->client : -1, .events = c };
			p[3 + 2 * i] = (struct pollfd){ .fd = s ? x->server : -1, .events = s };
		}
		poll(p, 2 + 2 * n, fault == KIT_SLOW || fault == KIT_CLOSE_BETWEEN ? 20 : 1000);
		if (p[0].revents)
			(void)!read(wake[0], bytes, sizeof bytes);
		for (size_t i = n; i-- > 0;)
			serve(i);
		if (p[1].revents)
			take_connection();
	}
	while (n_pairs)
		end_pair(n_pairs - 1, false);
	return arg;
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
	listener = listen_on(0, true);
	if (listener < 0 || pipe2(wake, O_CLOEXEC | O_NONBLOCK))
		return 0;
	running = !pthread_create(&thread, NULL, proxy, NULL);
	return running ? port : 0;
}

void kit_proxy_set(enum kit_fault how, bool cut)
{
	if (!running)
		return;
	pthread_mutex_lock(&lock);
	order.fault = how;
	order.cut = cut;
	order.given++;
	(void)!write(wake[1], "x", 1);
	while (order.done != order.given)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

unsigned kit_proxy_pairs(void)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = (unsigned)order.pairs;
	pthread_mutex_unlock(&lock);
	return n;
}

void kit_proxy_stop(void)
{
	if (!running)
		return;
	pthread_mutex_lock(&lock);
	order.stop = true;
	(void)!write(wake[1], "x", 1);
	pthread_mutex_unlock(&lock);
	pthread_join(thread, NULL);
	running = false;
	close(wake[0]);
	close(wake[1]);
	hang_up(listener, false);
}
