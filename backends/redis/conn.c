/* One connection: sockets that wait no longer than the call has time, TLS above them, RESP above that. hiredis does the
 * formatting and parsing; its own sockets know neither a deadline per call nor a descriptor to be given up by, and no
 * TLS before 1.0. */
#define _GNU_SOURCE
#include "redis.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT_MS = 3000 };

uint64_t redis_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int redis_fail(struct redis_conn *c, int status, const char *what, struct kb_call *call)
{
	c->broken = true;
	return redis_host->fail(call, status, "%s: %s", c->node, what);
}

/* ---- waiting ---- */

static int wait_until(struct redis_conn *c, short events, uint64_t until, struct kb_call *call)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = c->fd, .events = events }, { .fd = call->cancel_fd, .events = POLLIN } };
		uint64_t now = redis_now();
		int n;

		if (now >= until)
			return redis_fail(c, KB_E_TIMEOUT, "does not answer in time", call);
		n = poll(p, 2, (int)((until - now) / 1000000 + 1));
		if (n < 0 && errno != EINTR)
			return redis_fail(c, KB_E_LOCAL, "poll fails", call);
		if (n > 0 && p[1].revents)
			return redis_fail(c, KB_E_CANCELLED, "cancelled", call);
		if (n > 0 && p[0].revents)
			return KB_OK;
	}
}

static int send_plain(struct redis_conn *c, const char *p, size_t len, struct kb_call *call)
{
	while (len) {
		ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		int rc;

		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return redis_fail(c, KB_E_TRANSIENT, "closed the connection", call);
		rc = wait_until(c, POLLOUT, call->deadline_ns, call);
		if (rc)
			return rc;
	}
	return KB_OK;
}

/* Something into buf; never 0 bytes. */
static int recv_plain(struct redis_conn *c, void *buf, size_t cap, size_t *len, struct kb_call *call)
{
	/* After a request nothing is there yet, and to look would be a call for nothing. */
	if (!c->more) {
		int rc = wait_until(c, POLLIN, call->deadline_ns, call);

		if (rc)
			return rc;
	}
	for (;;) {
		ssize_t n = recv(c->fd, buf, cap, MSG_DONTWAIT);
		int rc;

		if (n > 0) {
			c->more = (size_t)n == cap;
			*len = (size_t)n;
			return KB_OK;
		}
		if (!n || (errno != EAGAIN && errno != EINTR))
			return redis_fail(c, KB_E_TRANSIENT, "closed the connection", call);
		rc = wait_until(c, POLLIN, call->deadline_ns, call);
		if (rc)
			return rc;
	}
}

/* ---- TLS, over memory: OpenSSL's own socket writes would raise SIGPIPE ---- */

static int flush(struct redis_conn *c, struct kb_call *call)
{
	char buf[16384];
	int n;

	while ((n = BIO_read(SSL_get_wbio(c->ssl), buf, sizeof buf)) > 0) {
		int rc = send_plain(c, buf, (size_t)n, call);

		if (rc)
			return rc;
	}
	return KB_OK;
}

/* What to do after an SSL call that gave n: KB_OK to try again. */
static int pump(struct redis_conn *c, int n, struct kb_call *call)
{
	int error = SSL_get_error(c->ssl, n), rc = flush(c, call);
	char buf[16384], why[160] = "TLS fails";
	long verify;
	size_t len;

	if (rc)
		return rc;
	if (error == SSL_ERROR_WANT_READ) {
		rc = recv_plain(c, buf, sizeof buf, &len, call);
		if (!rc && BIO_write(SSL_get_rbio(c->ssl), buf, (int)len) != (int)len)
			rc = redis_fail(c, KB_E_LOCAL, "out of memory", call);
		return rc;
	}
	if (error == SSL_ERROR_WANT_WRITE)
		return KB_OK;
	if (error == SSL_ERROR_ZERO_RETURN)
		return redis_fail(c, KB_E_TRANSIENT, "closed the connection", call);
	verify = SSL_get_verify_result(c->ssl);
	if (!SSL_is_init_finished(c->ssl) && verify != X509_V_OK) {
		snprintf(why, sizeof why, "its certificate does not verify: %s", X509_verify_cert_error_string(verify));
		ERR_clear_error();
		return redis_fail(c, KB_E_CONFIG, why, call);
	}
	ERR_error_string_n(ERR_get_error(), why, sizeof why);
	ERR_clear_error();
	return redis_fail(c, KB_E_TRANSIENT, why, call);
}

static int start_tls(struct kb_handle *h, struct redis_conn *c, const char *host, struct kb_call *call)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	const char *name = h->sni ? h->sni : host;
	int rc = KB_OK, n;

	c->ssl = SSL_new(h->tls);
	if (!c->ssl || !in || !out) {
		BIO_free(in);
		BIO_free(out);
		return redis_fail(c, KB_E_LOCAL, "out of memory", call);
	}
	SSL_set_bio(c->ssl, in, out);
	/* An address is checked as such; a name goes to the server too. */
	if (strchr(name, ':') || (name[0] >= '0' && name[0] <= '9' && !name[strspn(name, "0123456789.")])) {
		X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), name);
	} else {
		SSL_set_tlsext_host_name(c->ssl, name);
		SSL_set1_host(c->ssl, name);
	}
	while (!rc && (n = SSL_connect(c->ssl)) != 1)
		rc = pump(c, n, call);
	return rc ? rc : flush(c, call);
}

int redis_send(struct redis_conn *c, const void *data, size_t len, struct kb_call *call)
{
	const char *p = data;

	if (!c->ssl)
		return send_plain(c, p, len, call);
	while (len) {
		int n = SSL_write(c->ssl, p, len < 65536 ? (int)len : 65536);
		int rc = n > 0 ? flush(c, call) : pump(c, n, call);

		if (rc)
			return rc;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return KB_OK;
}

static int fill(struct redis_conn *c, struct kb_call *call)
{
	int rc;

	c->in_at = c->in_len = 0;
	if (!c->ssl) {
		rc = recv_plain(c, c->in, REDIS_BUFFER, &c->in_len, call);
	} else {
		int n;

		for (rc = KB_OK; !rc && (n = SSL_read(c->ssl, c->in, REDIS_BUFFER)) <= 0;)
			rc = pump(c, n, call);
		if (!rc)
			c->in_len = (size_t)n;
	}
	c->heard |= !rc;
	return rc;
}

/* ---- connecting ---- */

static int try_address(struct redis_conn *c, const struct sockaddr *a, socklen_t len, struct kb_call *call)
{
	uint64_t until = redis_now() + (uint64_t)CONNECT_MS * 1000000;
	int on = 1, error = 0, rc;
	socklen_t size = sizeof error;

	c->fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return redis_fail(c, KB_E_LOCAL, strerror(errno), call);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	if (connect(c->fd, a, len) && errno != EINPROGRESS && errno != EAGAIN) {
		error = errno;
	} else {
		rc = wait_until(c, POLLOUT, until < call->deadline_ns ? until : call->deadline_ns, call);
		if (rc)
			return rc;
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	}
	if (!error) {
		c->broken = false;
		return KB_OK;
	}
	close(c->fd);
	c->fd = -1;
	return redis_fail(c, error == EACCES || error == EPERM ? KB_E_AUTH : KB_E_TRANSIENT, strerror(error), call);
}

static int connect_unix(struct redis_conn *c, struct kb_call *call)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(c->node) >= sizeof a.sun_path)
		return redis_fail(c, KB_E_CONFIG, "the path is too long for a socket", call);
	memcpy(a.sun_path, c->node, strlen(c->node) + 1);
	return try_address(c, (struct sockaddr *)&a, sizeof a, call);
}

/* "host:port", "[::1]:port" apart; fresh memory. */
static char *split(const char *node, const char **port)
{
	const char *colon = strrchr(node, ':');
	bool bracket = node[0] == '[';

	*port = colon ? colon + 1 : "6379";
	return strndup(node + bracket, (size_t)((colon ? colon : node + strlen(node)) - node) - 2 * bracket);
}

static int connect_tcp(struct redis_conn *c, const char *host, const char *port, struct kb_call *call)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *found = NULL;
	int rc = getaddrinfo(host, port, &hints, &found);

	if (rc)
		return redis_fail(c, KB_E_TRANSIENT, "its name can't be resolved", call);
	rc = KB_E_TRANSIENT;
	for (struct addrinfo *a = found; a && rc == KB_E_TRANSIENT; a = a->ai_next)
		rc = try_address(c, a->ai_addr, a->ai_addrlen, call);
	freeaddrinfo(found);
	return rc;
}

/* AUTH, SELECT and a name for people who look, in one write. */
static int greet(struct kb_handle *h, struct redis_conn *c, struct kb_call *call)
{
	const struct redis_url *u = &h->url;
	char number[16];
	const char *words[3][3] = { { "AUTH" }, { "SELECT", number }, { "CLIENT", "SETNAME", "kache" } };
	int counts[3] = { 0, u->database ? 2 : 0, 3 }, rc = KB_OK;
	redisReply *reply;

	snprintf(number, sizeof number, "%u", u->database);
	if (u->password) {
		words[0][1] = u->user ? u->user : u->password;
		words[0][2] = u->password;
		counts[0] = u->user ? 3 : 2;
	}
	for (int i = 0; i < 3 && !rc; i++)
		if (counts[i])
			rc = redis_command(c, counts[i], words[i], NULL, call);
	for (int i = 0; i < 3 && !rc; i++) {
		if (!counts[i])
			continue;
		rc = redis_read(c, &reply, call);
		if (rc)
			break;
		if (reply->type == REDIS_REPLY_ERROR && i < 2)
			rc = redis_error(c, reply->str, false, call);
		freeReplyObject(reply);
	}
	return rc;
}

int redis_connect(struct kb_handle *h, const char *node, struct kb_call *call, struct redis_conn **out)
{
	struct redis_conn *c = calloc(1, sizeof *c);
	const char *port;
	char *host = NULL;
	int rc;

	*out = NULL;
	if (!c || !(c->node = strdup(node)) || !(c->in = malloc(REDIS_BUFFER)) || !(c->reader = redisReaderCreate())) {
		if (c) {
			c->fd = -1;
			redis_disconnect(c);
		}
		return redis_host->fail(call, KB_E_LOCAL, "out of memory");
	}
	c->fd = -1;
	if (*node == '/') {
		rc = connect_unix(c, call);
	} else {
		host = split(node, &port);
		rc = host ? connect_tcp(c, host, port, call) : redis_fail(c, KB_E_LOCAL, "out of memory", call);
		if (!rc && h->tls)
			rc = start_tls(h, c, host, call);
	}
	free(host);
	if (!rc)
		rc = greet(h, c, call);
	if (rc) {
		redis_disconnect(c);
		return rc;
	}
	c->used_ns = redis_now();
	*out = c;
	return KB_OK;
}

void redis_disconnect(struct redis_conn *c)
{
	if (!c)
		return;
	SSL_free(c->ssl);
	if (c->fd >= 0)
		close(c->fd);
	if (c->reader)
		redisReaderFree(c->reader);
	free(c->in);
	free(c->node);
	free(c);
}

/* ---- RESP ---- */

int redis_command(struct redis_conn *c, int n, const char *const *words, const size_t *lens, struct kb_call *call)
{
	char *text = NULL;
	int len = redisFormatCommandArgv(&text, n, (const char **)words, lens), rc;

	if (len < 0)
		return redis_fail(c, KB_E_LOCAL, "out of memory", call);
	rc = redis_send(c, text, (size_t)len, call);
	explicit_bzero(text, (size_t)len);	/* AUTH passes through here */
	redisFreeCommand(text);
	return rc;
}

int redis_read(struct redis_conn *c, redisReply **out, struct kb_call *call)
{
	void *reply = NULL;

	*out = NULL;
	for (;;) {
		int rc;

		if (c->in_at < c->in_len) {
			redisReaderFeed(c->reader, (const char *)c->in + c->in_at, c->in_len - c->in_at);
			c->in_at = c->in_len;
		}
		if (redisReaderGetReply(c->reader, &reply) != REDIS_OK)
			return redis_fail(c, KB_E_CORRUPT, "does not speak Redis's protocol", call);
		if (reply) {
			*out = reply;
			return KB_OK;
		}
		rc = fill(c, call);
		if (rc)
			return rc;
	}
}

int redis_line(struct redis_conn *c, char *buf, size_t cap, struct kb_call *call)
{
	size_t n = 0;

	for (;;) {
		if (c->in_at == c->in_len) {
			int rc = fill(c, call);

			if (rc)
				return rc;
		}
		buf[n] = (char)c->in[c->in_at++];
		if (buf[n] == '\n' && n && buf[n - 1] == '\r') {
			buf[n - 1] = '\0';
			return KB_OK;
		}
		if (++n == cap)
			return redis_fail(c, KB_E_CORRUPT, "does not speak Redis's protocol", call);
	}
}

int redis_some(struct redis_conn *c, const unsigned char **data, size_t most, size_t *len, struct kb_call *call)
{
	if (c->in_at == c->in_len) {
		int rc = fill(c, call);

		if (rc)
			return rc;
	}
	*data = c->in + c->in_at;
	*len = c->in_len - c->in_at < most ? c->in_len - c->in_at : most;
	c->in_at += *len;
	return KB_OK;
}

int redis_error(struct redis_conn *c, const char *text, bool write, struct kb_call *call)
{
	static const struct { const char *prefix; int status; const char *meaning; } table[] = {
		{ "NOAUTH", KB_E_AUTH, "a password is wanted (options user, password)" },
		{ "WRONGPASS", KB_E_AUTH, "user or password is wrong (options user, password)" },
		{ "ERR invalid password", KB_E_AUTH, "the password is wrong (option password)" },
		{ "ERR Client sent AUTH, but no password is set", KB_E_AUTH, "the server has no password, one is given (option password)" },
		{ "ERR AUTH <password> called without any password", KB_E_AUTH, "the server has no password for this user, one is given" },
		{ "NOPERM", KB_E_AUTH, NULL },
		{ "OOM", KB_E_NOSPACE, "its memory is full (maxmemory)" },
		{ "MISCONF", KB_E_NOSPACE, "it can't save to its disk and takes no writes" },
		{ "READONLY", KB_E_AUTH, "it is a read-only replica" },
		{ "LOADING", KB_E_TRANSIENT, "it is loading its data" }, { "BUSY", KB_E_TRANSIENT, "it is busy" },
		{ "TRYAGAIN", KB_E_TRANSIENT, "the cluster is moving slots" }, { "MASTERDOWN", KB_E_TRANSIENT, "its master is down" },
		{ "CLUSTERDOWN", KB_E_TRANSIENT, "the cluster is down" }, { "MOVED", KB_E_CONFIG, "it is part of a cluster; use redis-cluster://" },
		{ "ASK ", KB_E_CONFIG, "it is part of a cluster; use redis-cluster://" },
		{ "ERR max number of clients", KB_E_TRANSIENT, "it has too many clients" },
		{ "ERR DB index is out of range", KB_E_CONFIG, "it has no such database" },
		{ "ERR string exceeds maximum", KB_E_TOOBIG, "larger than it takes" },
		{ "ERR Protocol error: invalid bulk length", KB_E_TOOBIG, "larger than it takes (proto-max-bulk-len)" },
	};

	c->redirect[0] = '\0';
	c->readonly_reply = !strncmp(text, "READONLY", 8);
	if (!strncmp(text, "MOVED ", 6) || !strncmp(text, "ASK ", 4))
		snprintf(c->redirect, sizeof c->redirect, "%s", text);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (strncmp(text, table[i].prefix, strlen(table[i].prefix)))
			continue;
		if (table[i].meaning)
			return redis_host->fail(call, table[i].status, "%s: %s", c->node, table[i].meaning);
		return redis_host->fail(call, KB_E_AUTH, "%s: %s", c->node, write ? "read-only for this user (mode = ro says so to kache)"
						: "this user may not do that");
	}
	return redis_host->fail(call, KB_E_UNSUPPORTED, "%s: %.120s", c->node, text);
}
