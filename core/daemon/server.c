/* The socket and its connections. */
#include "config.h"
#include "daemon/server.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/client.h"
#include "daemon/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONNECTIONS = 512,
	REQUEST_MAX = KACHE_WIRE_REQUEST + KACHE_WIRE_BODY_MAX,
	SILENT_MS = 30000,		/* a connection that says nothing for so long is closed */
	SEND_MS = 2000,			/* somebody who does not read his reply loses it */
	YOUNG_MS = 10000		/* a daemon that is younger does not end for another's settings */
};

struct connection {
	int fd;
	size_t len;
	uint64_t since;			/* mono ns: the last word heard */
	unsigned char buf[REQUEST_MAX];
};

static struct kache_daemon *daemon_;
static struct connection *connections[CONNECTIONS];	/* those whose turn it is to speak */
static size_t n_connections;
static size_t away;			/* connections that wait for their reply */
static struct connection *served;	/* the one of --serve, while it lives */
static bool serving;
static int listen_fd = -1, self_pipe[2] = { -1, -1 };
static volatile sig_atomic_t told_to_stop;

/* Connections that have got their reply, on their way back to the loop. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { int *v; size_t n, cap; } back;

static void poke(void)
{
	(void)!write(self_pipe[1], "x", 1);
}

static void on_signal(int sig)
{
	int saved = errno;

	(void)sig;
	told_to_stop = 1;
	poke();
	errno = saved;
}

static int send_all(int fd, const char *p, size_t len)
{
	uint64_t until = kache_now_mono() + (uint64_t)SEND_MS * 1000000;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		struct pollfd wait = { .fd = fd, .events = POLLOUT };

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (n < 0 && errno != EINTR && (errno != EAGAIN || kache_now_mono() > until)) {
			return -1;
		} else if (n < 0) {
			poll(&wait, 1, 100);
		}
	}
	return 0;
}

static int send_reply(int fd, int status, const void *body, size_t len)
{
	unsigned char head[KACHE_WIRE_REPLY];

	if (len > KACHE_WIRE_REPLY_MAX) {
		status = KACHE_WIRE_FAILED;
		len = 0;
	}
	kache_wire_reply_encode((uint16_t)status, (uint32_t)len, head);
	return send_all(fd, (const char *)head, sizeof head) || send_all(fd, body, len) ? -1 : 0;
}

void kache_server_reply(int fd, int status, const void *body, size_t len)
{
	bool lost = send_reply(fd, status, body, len) != 0;

	if (lost)
		shutdown(fd, SHUT_RDWR);	/* the loop then sees its end */
	pthread_mutex_lock(&lock);
	if (back.n == back.cap) {
		back.cap = back.cap ? back.cap * 2 : 16;
		back.v = kache_realloc(back.v, back.cap, sizeof *back.v);
	}
	back.v[back.n++] = fd;
	pthread_mutex_unlock(&lock);
	poke();
}

/* ---- connections ---- */

static bool add_connection(int fd)
{
	struct connection *c;

	if (n_connections == CONNECTIONS) {
		close(fd);
		return false;
	}
	c = kache_calloc(1, sizeof *c);
	c->fd = fd;
	c->since = kache_now_mono();
	connections[n_connections++] = c;
	return true;
}

/* Without closing its descriptor. */
static void drop_connection(size_t i)
{
	free(connections[i]);
	connections[i] = connections[--n_connections];
}

static void end_connection(size_t i)
{
	if (connections[i] == served)
		served = NULL;
	close(connections[i]->fd);
	drop_connection(i);
}

/* Somebody else of this machine has no business here. */
static bool ours(int fd)
{
#ifdef SO_PEERCRED
	struct ucred cred;
	socklen_t len = sizeof cred;

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) && (cred.uid == geteuid() || !cred.uid);
#else
	uid_t uid;
	gid_t gid;

	return !getpeereid(fd, &uid, &gid) && (uid == geteuid() || !uid);
#endif
}

static void accept_all(void)
{
	while (n_connections < CONNECTIONS) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		if (ours(fd))
			add_connection(fd);
		else
			close(fd);
	}
}

static void take_back(void)
{
	char drain[64];

	while (read(self_pipe[0], drain, sizeof drain) > 0)
		;
	pthread_mutex_lock(&lock);
	while (back.n) {
		int fd = back.v[--back.n];

		away--;
		if (add_connection(fd) && serving)
			served = connections[n_connections - 1];
	}
	pthread_mutex_unlock(&lock);
}

/* ---- requests ---- */

static bool zero(const struct kache_hash *h)
{
	static const struct kache_hash none;

	return kache_hash_eq(h, &none);
}

static int settings_status(const struct kache_wire_request *r)
{
	if (serving || zero(&r->fingerprint) || kache_hash_eq(&r->fingerprint, &daemon_->fingerprint))
		return KACHE_WIRE_OK;
	if (kache_now_mono() - daemon_->started_mono < (uint64_t)YOUNG_MS * 1000000)
		return KACHE_WIRE_FOREIGN;
	return KACHE_WIRE_STALE;
}

/* Answers at once, or hands the connection to a job. Returns whether it was handed over. */
static bool serve(struct connection *c, const struct kache_wire_request *r)
{
	KACHE_AUTO_BUF struct kache_buf body = KACHE_BUF_INIT;
	const struct kache_job_waiter w = { .fd = c->fd, .stall_ms = r->timeout_ms };
	int status = settings_status(r);

	if (status == KACHE_WIRE_STALE) {
		kache_info("ending: this daemon's settings or program have changed");
		told_to_stop = 1;
	}
	if (status == KACHE_WIRE_OK) {
		switch (r->op) {
		case KACHE_WIRE_MANIFEST:
		case KACHE_WIRE_ENTRY:
			if (!daemon_->remote) {
				status = KACHE_WIRE_NOTHING;
				break;
			}
			kache_jobs_ask(r->op, &r->key, r->folder, &w);
			return true;
		case KACHE_WIRE_QUEUED:
			kache_queue_wake();
			break;
		case KACHE_WIRE_STATUS:
			kache_upkeep_status(daemon_, &body);
			break;
		case KACHE_WIRE_STOP:
			kache_info("ending: told to");
			told_to_stop = 1;
			break;
		}
	}
	if (send_reply(c->fd, status, body.data ? body.data : "", body.len))
		shutdown(c->fd, SHUT_RDWR);
	return false;
}

/* What has arrived on connection i; it may be gone afterwards. */
static void hear(size_t i)
{
	struct connection *c = connections[i];
	ssize_t n = recv(c->fd, c->buf + c->len, sizeof c->buf - c->len, MSG_DONTWAIT);
	struct kache_wire_request r;
	int len;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end_connection(i);
		return;
	}
	c->since = kache_now_mono();
	c->len += (size_t)n;
	len = kache_wire_request_length(c->buf, c->len);
	if (len >= 0 && (!len || (size_t)len > c->len))
		return;
	if (len > 0)
		len = (size_t)len == c->len ? kache_wire_request_decode(c->buf, c->len, &r) : -KACHE_WIRE_MALFORMED;
	if (len < 0) {
		(void)send_reply(c->fd, -len, "", 0);
		end_connection(i);
		return;
	}
	c->len = 0;
	if (serve(c, &r)) {
		away++;
		if (c == served)
			served = NULL;
		drop_connection(i);
	}
}

static void end_silent(uint64_t now)
{
	for (size_t i = n_connections; i-- > 0;)
		if (connections[i] != served && now - connections[i]->since > (uint64_t)SILENT_MS * 1000000)
			end_connection(i);
}

/* ---- the loop ---- */

static bool idle_for(uint64_t now, uint64_t ms, uint64_t *since)
{
	struct kache_queue_state q;

	kache_queue_state(&q);
	if (n_connections || away || kache_jobs_busy() || !q.blocked)
		*since = now;
	return now - *since >= ms * 1000000;
}

static int wait_ms(void)
{
	int tick = kache_jobs_tick();

	return tick >= 0 ? tick : 1000;
}

static void step(void)
{
	struct pollfd p[CONNECTIONS + 2];
	size_t n = n_connections;

	p[0] = (struct pollfd){ .fd = self_pipe[0], .events = POLLIN };
	p[1] = (struct pollfd){ .fd = n < CONNECTIONS ? listen_fd : -1, .events = POLLIN };
	for (size_t i = 0; i < n; i++)
		p[i + 2] = (struct pollfd){ .fd = connections[i]->fd, .events = POLLIN };
	if (poll(p, n + 2, wait_ms()) <= 0)
		return;
	/* From the end: what is removed is replaced by what was looked at already. */
	for (size_t i = n; i-- > 0;)
		if (p[i + 2].revents)
			hear(i);
	if (p[0].revents)
		take_back();
	if (p[1].revents)
		accept_all();
}

static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	sigemptyset(&act.sa_mask);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		sigaction(signals[i], &act, NULL);
	signal(SIGPIPE, SIG_IGN);
}

void kache_server_run(struct kache_daemon *d, const struct kache_server_options *o)
{
	uint64_t since = kache_now_mono();

	daemon_ = d;
	listen_fd = o->listen_fd;
	if (pipe2(self_pipe, O_CLOEXEC | O_NONBLOCK))
		return;
	catch_signals();
	if (o->serve_fd >= 0) {
		serving = true;
		add_connection(o->serve_fd);
		served = connections[0];
	}
	while (!told_to_stop) {
		uint64_t now;

		step();
		now = kache_now_mono();
		end_silent(now);
		if (serving ? !served && !away : idle_for(now, o->idle_ms, &since))
			break;
	}
	atomic_store(&d->stopping, true);
}
