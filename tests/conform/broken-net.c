/* A backend with a server, for the points about connections. -DBUG=NAME makes it break one promise of the header;
 * -DSERVER makes a program of it, the server: it prints its port, and ends with its input.
 *
 * A request is 'G' or 'P', the key's length (1 byte), the length of the data (4), key, data; an answer is "ok" or "no", the
 * length of the data (4), data. */
#define _GNU_SOURCE
#include <kache/backend.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1 << 20 };

#ifdef SERVER

struct object {
	char key[256];
	char *data;
	uint32_t len;
	struct object *next;
};
static struct object *objects;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool all_in(int fd, void *buf, size_t len)
{
	return !len || recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

static bool all_out(int fd, const void *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = send(fd, (const char *)buf + at, len - at, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static struct object *find(const char *key)
{
	struct object *o = objects;

	while (o && strcmp(o->key, key))
		o = o->next;
	return o;
}

/* What is stored, or a copy of it, under the lock. */
static char *do_it(char op, const char key[256], char *data, uint32_t *len)
{
	struct object *o = find(key);
	char *copy = NULL;

	if (op == 'P') {
		if (!o) {
			o = calloc(1, sizeof *o);
			memcpy(o->key, key, sizeof o->key);
			o->next = objects;
			objects = o;
		}
		free(o->data);
		o->data = data;
		o->len = *len;
		*len = 0;
		return calloc(1, 1);
	}
	free(data);
	*len = 0;
	if (o) {
		*len = o->len;
		copy = malloc(o->len + 1);
		memcpy(copy, o->data, o->len);
	}
	return copy;
}

static void *serve(void *arg)
{
	int fd = *(int *)arg;
	unsigned char head[6];
	uint32_t len;

	free(arg);
	while (all_in(fd, head, sizeof head)) {
		char key[256] = "", *data, *answer;
		bool sent;

		memcpy(&len, head + 2, sizeof len);
		data = len <= MOST ? malloc(len + 1) : NULL;
		if (!data || !all_in(fd, key, head[1]) || !all_in(fd, data, len)) {
			free(data);
			break;
		}
		pthread_mutex_lock(&lock);
		answer = do_it((char)head[0], key, data, &len);
		pthread_mutex_unlock(&lock);
		sent = all_out(fd, answer ? "ok" : "no", 2) && all_out(fd, &len, sizeof len) && all_out(fd, answer, len);
		free(answer);
		if (!sent)
			break;
	}
	close(fd);
	return NULL;
}

static void *accept_all(void *arg)
{
	for (;;) {
		int fd = accept4(*(int *)arg, NULL, NULL, SOCK_CLOEXEC), *mine;
		pthread_t id;

		if (fd < 0)
			continue;
		mine = malloc(sizeof *mine);
		*mine = fd;
		if (!pthread_create(&id, NULL, serve, mine))
			pthread_detach(id);
	}
	return arg;
}

int main(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof a;
	pthread_t id;
	char c;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 100) || getsockname(fd, (struct sockaddr *)&a, &len) ||
	    pthread_create(&id, NULL, accept_all, &fd))
		return 1;
	printf("%d\n", ntohs(a.sin_port));
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}

#else

enum bug {
	NONE, FORGETS_TIME, FORGETS_CANCEL, BLAMES_USER, TAKES_SHORT, TAKES_GARBAGE, NEVER_AGAIN, BELIEVES_ITSELF, NO_SECOND_TRY, LEAKS, WAITS_FOR_OPEN,
	INHERITS,
};
#ifndef BUG
# define BUG NONE
#endif
#define HAS(bug) (BUG == (bug))

struct kb_handle {
	struct sockaddr_in server;
	int fd;				/* -1: no connection */
	bool given_up;
};
static const struct kb_host *host;

/* Until the socket is ready, or the call has no more time. */
static int await(int fd, short events, struct kb_call *call)
{
	struct pollfd p[2] = { { .fd = fd, .events = events }, { .fd = HAS(FORGETS_CANCEL) ? -1 : call->cancel_fd, .events = POLLIN } };
	struct timespec t;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	if (now < call->deadline_ns && poll(p, 2, (int)((call->deadline_ns - now) / 1000000) + 1) > 0)
		return p[1].revents ? host->fail(call, KB_E_CANCELLED, "cancelled") : KB_OK;
	if (HAS(FORGETS_TIME))
		usleep(1600000);	/* more than the kit allows for */
	return host->fail(call, KB_E_TIMEOUT, "the server does not answer");
}

static int lost(struct kb_call *call)
{
	return host->fail(call, HAS(BLAMES_USER) ? KB_E_AUTH : KB_E_TRANSIENT, "the connection is lost");
}

static int dial(kb_handle *h, struct kb_call *call)
{
	socklen_t len = sizeof(int);
	int rc, error = 0;

	h->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | (HAS(INHERITS) ? 0 : SOCK_CLOEXEC), 0);
	if (h->fd < 0)
		return lost(call);
	if (!connect(h->fd, (struct sockaddr *)&h->server, sizeof h->server))
		return KB_OK;
	if (errno != EINPROGRESS)
		return lost(call);
	rc = await(h->fd, POLLOUT, call);
	if (!rc && (getsockopt(h->fd, SOL_SOCKET, SO_ERROR, &error, &len) || error))
		rc = lost(call);
	return rc;
}

static void hang_up(kb_handle *h)
{
	if (h->fd >= 0 && !HAS(LEAKS))
		close(h->fd);
	h->fd = -1;
}

static int transfer(kb_handle *h, void *buf, size_t len, bool out, size_t *done, struct kb_call *call)
{
	*done = 0;
	while (*done < len) {
		int rc = await(h->fd, out ? POLLOUT : POLLIN, call);
		ssize_t n;

		if (rc)
			return rc;
		n = out ? send(h->fd, (char *)buf + *done, len - *done, MSG_NOSIGNAL) : recv(h->fd, (char *)buf + *done, len - *done, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return lost(call);
		*done += n > 0 ? (size_t)n : 0;
	}
	return KB_OK;
}

static int send_source(kb_handle *h, struct kb_source *src, struct kb_call *call)
{
	char buf[16384];
	uint64_t left = src->size;
	size_t got, done;
	int rc = KB_OK;

	src->rewind(src);
	while (!rc && left) {
		if (src->read(src, buf, sizeof buf, &got) || !got)
			return host->fail(call, KB_E_LOCAL, "the source fails");
		rc = transfer(h, buf, got, true, &done, call);
		left -= got;
	}
	return rc;
}

static int take_body(kb_handle *h, uint32_t len, struct kb_sink *sink, struct kb_call *call)
{
	char buf[16384];
	int rc;

	if (len > sink->limit)
		return host->fail(call, KB_E_CORRUPT, "larger than acceptable");
	rc = sink->begin(sink, len);
	while (!rc && len) {
		size_t n = len < sizeof buf ? len : sizeof buf, done;
		int moved = transfer(h, buf, n, false, &done, call);

		rc = sink->write(sink, buf, done);
		if (moved)
			return HAS(TAKES_SHORT) && moved == KB_E_TRANSIENT ? KB_OK : moved;
		len -= (uint32_t)n;
	}
	return rc;
}

/* One request and its answer. heard: some of the answer has come. */
static int talk(kb_handle *h, struct kb_key key, struct kb_source *src, struct kb_sink *sink, bool *heard, struct kb_call *call)
{
	uint32_t len = src ? (uint32_t)src->size : 0;
	char head[6 + KB_KEY_MAX] = { src ? 'P' : 'G', (char)key.len };
	size_t done;
	int rc;

	memcpy(head + 2, &len, sizeof len);
	memcpy(head + 6, key.name, key.len);
	rc = transfer(h, head, 6 + key.len, true, &done, call);
	if (!rc && src)
		rc = send_source(h, src, call);
	if (!rc)
		rc = transfer(h, head, 6, false, &done, call);
	*heard = !rc || done;
	if (rc)
		return rc;
	memcpy(&len, head + 2, sizeof len);
	if (!memcmp(head, "no", 2))
		return KB_MISS;
	if (memcmp(head, "ok", 2))
		return HAS(TAKES_GARBAGE) ? KB_MISS : host->fail(call, KB_E_CORRUPT, "this is no answer");
	return sink ? take_body(h, len, sink, call) : KB_OK;
}

static int ask(kb_handle *h, struct kb_key key, struct kb_source *src, struct kb_sink *sink, struct kb_call *call)
{
	bool kept = h->fd >= 0, heard = false;
	int rc = h->given_up ? host->fail(call, KB_E_TRANSIENT, "given up") : kept ? KB_OK : dial(h, call);

	if (!rc)
		rc = talk(h, key, src, sink, &heard, call);
	if (rc < 0)
		hang_up(h);
	/* A connection that was kept may have ended long ago: that is no answer of the server. */
	if (rc == KB_E_TRANSIENT && kept && !heard && !HAS(NO_SECOND_TRY)) {
		rc = dial(h, call);
		if (!rc)
			rc = talk(h, key, src, sink, &heard, call);
		if (rc < 0)
			hang_up(h);
	}
	h->given_up |= rc < 0 && HAS(NEVER_AGAIN);
	return rc;
}

static int open_it(const kb_conf *conf, kb_handle **out, struct kb_limits *limits, struct kb_call *call)
{
	const char *colon = strrchr(host->conf_str(conf, "url"), ':');
	kb_handle *h = calloc(1, sizeof *h);
	int rc;

	limits->max_object = MOST;
	h->server = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
					  .sin_port = htons((uint16_t)atoi(colon + 1)) };
	rc = dial(h, call);
	if (rc) {
		if (HAS(WAITS_FOR_OPEN))
			sleep(4);
		hang_up(h);
		free(h);
		return rc;
	}
	*out = h;
	return KB_OK;
}

static void close_it(kb_handle *h)
{
	hang_up(h);
	free(h);
}

static int get(kb_handle *h, struct kb_key key, struct kb_sink *sink, struct kb_call *call)
{
	return ask(h, key, NULL, sink, call);
}

static int put(kb_handle *h, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts, struct kb_call *call)
{
	int rc;

	(void)opts;
	if (src->size > MOST)
		return host->fail(call, KB_E_TOOBIG, "more than %d bytes", MOST);
	rc = ask(h, key, src, NULL, call);
	return rc == KB_E_TRANSIENT && HAS(BELIEVES_ITSELF) ? KB_OK : rc;
}

static const struct kb_backend table = {
	.magic = KB_MAGIC, .struct_size = sizeof table, .abi_major = KB_ABI_MAJOR, .abi_minor = KB_ABI_MINOR,
	.threads = KB_THREADS_PER_HANDLE, .caps = KB_CAP_WRITE | KB_CAP_ATOMIC_PUT | KB_CAP_READ_OWN, .opt_size = sizeof(struct kb_opt),
	.name = "broken", .version = "1", .summary = "broken on purpose, with a server", .schemes = "broken",
	.open = open_it, .close = close_it, .get = get, .put = put,
};

KB_ENTRY(broken)
{
	host = kb_host_arg;
	return &table;
}
#endif
