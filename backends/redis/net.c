/* Bytes to and from a server: sockets that wait no longer than the call has time, and TLS above them. hiredis' own
 * sockets know neither a deadline per call nor a descriptor to be given up by, and no TLS before 1.0. */
#include "config.h"
#include "redis.h"

#include "../common/resolve.h"

#include <errno.h>
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

enum { CONNECT_MS = 3000, TLS_PIECE = 16 << 10 };
#define MS 1000000ull

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

/* For at most `until`, and only a look if that has passed: *ready says whether the socket is. KB_OK, or the call is over. */
static int wait_until(struct redis_conn *c, short events, uint64_t until, bool *ready, struct kb_call *call)
{
	struct pollfd p[2] = { { .fd = c->fd, .events = events }, { .fd = call->cancel_fd, .events = POLLIN } };

	*ready = false;
	for (;;) {
		uint64_t now = redis_now(), end = until < call->deadline_ns ? until : call->deadline_ns;
		uint64_t ms = now < end ? (end - now + MS - 1) / MS : 0;
		int n = poll(p, 2, ms > 60000 ? 60000 : (int)ms);

		if (n < 0 && errno != EINTR)
			return redis_fail(c, KB_E_LOCAL, strerror(errno), call);
		if (n > 0 && p[1].revents)
			return redis_fail(c, KB_E_CANCELLED, "cancelled", call);
		/* A server that never stops sending must not outrun the deadline. */
		if (redis_now() >= call->deadline_ns)
			return redis_fail(c, KB_E_TIMEOUT, "does not answer in time", call);
		*ready = n > 0 && p[0].revents;
		if (*ready || redis_now() >= until)
			return KB_OK;
	}
}

static int wait_for(struct redis_conn *c, short events, struct kb_call *call)
{
	bool ready;
	int rc = wait_until(c, events, c->until ? c->until : UINT64_MAX, &ready, call);

	if (!rc && !ready)
		rc = redis_fail(c, KB_E_TRANSIENT, "does not answer in time", call);
	return rc;
}

static int hung_up(struct redis_conn *c, int error, struct kb_call *call)
{
	c->closed = true;
	return redis_fail(c, KB_E_TRANSIENT, error && error != ECONNRESET && error != EPIPE ? strerror(error)
			  : "the server has closed the connection", call);
}

static int send_plain(struct redis_conn *c, const unsigned char *p, size_t len, struct kb_call *call)
{
	/* A fast server's socket never blocks, and many pieces make a long call. */
	int rc = len >= REDIS_OUT ? wait_for(c, POLLOUT, call) : KB_OK;

	while (!rc && len) {
		ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			rc = wait_for(c, POLLOUT, call);
		} else if (errno != EINTR) {
			rc = hung_up(c, errno, call);
		}
	}
	return rc;
}

/* Something into buf; never 0 bytes. */
static int recv_plain(struct redis_conn *c, void *buf, size_t cap, size_t *len, struct kb_call *call)
{
	for (;;) {
		int rc = wait_for(c, POLLIN, call);
		ssize_t n = rc ? 0 : recv(c->fd, buf, cap, MSG_DONTWAIT);

		if (rc)
			return rc;
		if (n > 0) {
			*len = (size_t)n;
			return KB_OK;
		}
		if (!n || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
			return hung_up(c, n ? errno : 0, call);
	}
}

/* ---- TLS, over memory: OpenSSL's own socket writes would raise SIGPIPE ---- */

static int flush_tls(struct redis_conn *c, struct kb_call *call)
{
	unsigned char buf[TLS_PIECE];
	int n;

	while ((n = BIO_read(SSL_get_wbio(c->ssl), buf, sizeof buf)) > 0) {
		int rc = send_plain(c, buf, (size_t)n, call);

		if (rc)
			return rc;
	}
	return KB_OK;
}

/* Why TLS came to an end, with the setting that helps. */
static int tls_failed(struct redis_conn *c, struct kb_call *call)
{
	static const struct { int reason, status; const char *meaning; } table[] = {
		{ SSL_R_WRONG_VERSION_NUMBER, KB_E_TRANSIENT, "does not speak TLS at this port; a URL without TLS has no 's' behind redis" },
		{ SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, KB_E_AUTH, "wants a client's certificate (options cert, key)" },
		{ SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, KB_E_AUTH, "refuses the TLS handshake (options cert, key)" },
		{ SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, KB_E_AUTH, "refuses our certificate (options cert, key)" },
		{ SSL_R_TLSV1_ALERT_UNKNOWN_CA, KB_E_AUTH, "does not trust who issued our certificate (options cert, key)" },
		{ SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, KB_E_AUTH, "says that our certificate has expired (options cert, key)" },
	};
	unsigned long error = ERR_get_error();
	long verify = SSL_get_verify_result(c->ssl);
	const char *reason = ERR_reason_error_string(error);
	char why[160];

	ERR_clear_error();
	if (!SSL_is_init_finished(c->ssl) && verify != X509_V_OK) {
		snprintf(why, sizeof why, "its certificate does not verify: %s (options ca-file, sni)", X509_verify_cert_error_string(verify));
		return redis_fail(c, KB_E_CONFIG, why, call);
	}
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == table[i].reason)
			return redis_fail(c, table[i].status, table[i].meaning, call);
	snprintf(why, sizeof why, "TLS: %s", reason ? reason : "the connection has ended");
	return redis_fail(c, KB_E_TRANSIENT, why, call);
}

/* What to do after an SSL call that gave n: KB_OK to try again. */
static int pump(struct redis_conn *c, int n, struct kb_call *call)
{
	int error = SSL_get_error(c->ssl, n), rc;
	unsigned char buf[TLS_PIECE];
	size_t len;

	if (error == SSL_ERROR_ZERO_RETURN)
		return hung_up(c, 0, call);
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
		rc = tls_failed(c, call);
		/* The alert is on its way, or not: what counts is known. */
		if (BIO_pending(SSL_get_wbio(c->ssl)) > 0 && (n = BIO_read(SSL_get_wbio(c->ssl), buf, sizeof buf)) > 0 &&
		    send(c->fd, buf, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			c->closed = true;
		return rc;
	}
	rc = flush_tls(c, call);
	if (!rc && error == SSL_ERROR_WANT_READ) {
		rc = recv_plain(c, buf, sizeof buf, &len, call);
		if (!rc && BIO_write(SSL_get_rbio(c->ssl), buf, (int)len) != (int)len)
			rc = redis_fail(c, KB_E_LOCAL, "out of memory", call);
	}
	return rc;
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
	if (strchr(name, ':') || (name[0] >= '0' && name[0] <= '9' && !name[strspn(name, "0123456789.")]))
		n = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), name);
	else
		n = SSL_set_tlsext_host_name(c->ssl, name) && SSL_set1_host(c->ssl, name);
	if (!n)
		return redis_fail(c, KB_E_CONFIG, "is no name that a certificate can have (option sni)", call);
	ERR_clear_error();
	while (!rc && (n = SSL_connect(c->ssl)) != 1)
		rc = pump(c, n, call);
	return rc ? rc : flush_tls(c, call);
}

static int send_tls(struct redis_conn *c, const unsigned char *p, size_t len, struct kb_call *call)
{
	while (len) {
		int n, rc;

		ERR_clear_error();
		n = SSL_write(c->ssl, p, (int)len);
		rc = n > 0 ? flush_tls(c, call) : pump(c, n, call);
		if (rc)
			return rc;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return KB_OK;
}

/* ---- buffers ---- */

int redis_flush(struct redis_conn *c, struct kb_call *call)
{
	size_t len = c->out_len;

	c->out_len = 0;
	if (!len)
		return KB_OK;
	return c->ssl ? send_tls(c, c->out, len, call) : send_plain(c, c->out, len, call);
}

int redis_room(struct redis_conn *c, unsigned char **at, size_t *len, struct kb_call *call)
{
	int rc = c->out_len == REDIS_OUT ? redis_flush(c, call) : KB_OK;

	*at = c->out + c->out_len;
	*len = REDIS_OUT - c->out_len;
	return rc;
}

int redis_out(struct redis_conn *c, const void *data, size_t len, struct kb_call *call)
{
	const unsigned char *p = data;

	while (len) {
		unsigned char *at;
		size_t n;
		int rc = redis_room(c, &at, &n, call);

		if (rc)
			return rc;
		n = n < len ? n : len;
		memcpy(at, p, n);
		c->out_len += n;
		p += n;
		len -= n;
	}
	return KB_OK;
}

int redis_fill(struct redis_conn *c, struct kb_call *call)
{
	int rc = redis_flush(c, call), n;

	c->in_at = c->in_len = 0;
	if (!rc && !c->ssl)
		rc = recv_plain(c, c->in, REDIS_IN, &c->in_len, call);
	while (!rc && c->ssl) {
		ERR_clear_error();
		n = SSL_read(c->ssl, c->in, REDIS_IN);
		if (n > 0) {
			c->in_len = (size_t)n;
			break;
		}
		rc = pump(c, n, call);
	}
	c->heard |= !rc;
	return rc;
}

bool redis_stale(const struct redis_conn *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN | POLLRDHUP };

	if (c->in_at != c->in_len)
		return true;
	if (poll(&p, 1, 0) == 0)
		return false;
	/* Under TLS 1.3 a server sends tickets when it likes. */
	return !c->ssl || p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

/* ---- connecting ---- */

/* One address; *error is 0 or an errno. KB_OK, or the call is over. */
static int try_address(struct redis_conn *c, const struct sockaddr *a, socklen_t len, uint64_t until, int *error,
		       struct kb_call *call)
{
	socklen_t size = sizeof *error;
	bool ready = false;
	int on = 1, rc = KB_OK;

	*error = 0;
	c->fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0) {
		*error = errno;
		return KB_OK;
	}
	if (connect(c->fd, a, len))
		*error = errno == EINTR ? EINPROGRESS : errno == EAGAIN ? ECONNREFUSED : errno;
	if (*error == EINPROGRESS) {
		rc = wait_until(c, POLLOUT, until, &ready, call);
		if (!rc && !ready)
			*error = ETIMEDOUT;
		else if (!rc && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, error, &size))
			*error = errno;
	}
	if (rc || *error) {
		close(c->fd);
		c->fd = -1;
	} else if (a->sa_family != AF_UNIX) {
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	}
	return rc;
}

static int dial_unix(struct redis_conn *c, int *error, struct kb_call *call)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(c->node) >= sizeof a.sun_path)
		return redis_fail(c, KB_E_CONFIG, "the path is too long for a socket", call);
	memcpy(a.sun_path, c->node, strlen(c->node) + 1);
	return try_address(c, (const struct sockaddr *)&a, sizeof a, UINT64_MAX, error, call);
}

static int dial_tcp(struct redis_conn *c, const char *host, const char *port, int *error, struct kb_call *call)
{
	uint64_t now = redis_now(), until = call->deadline_ns < now + CONNECT_MS * MS ? call->deadline_ns : now + CONNECT_MS * MS;
	struct addrinfo *all;
	unsigned left = 0;
	const char *why;
	int rc = resolve_name(host, port, until, call, &all, &why);

	/* Out of time for names alone is not out of time. */
	if (rc == KB_E_TIMEOUT && redis_now() < call->deadline_ns)
		rc = KB_E_TRANSIENT;
	if (rc)
		return redis_fail(c, rc, why, call);
	*error = EADDRNOTAVAIL;
	for (struct addrinfo *a = all; a; a = a->ai_next)
		left++;
	for (struct addrinfo *a = all; a && !rc && c->fd < 0; a = a->ai_next) {
		now = redis_now();
		/* An address that leads nowhere leaves time for the others. */
		rc = try_address(c, a->ai_addr, a->ai_addrlen, now + (now < until ? until - now : 0) / left--, error, call);
	}
	freeaddrinfo(all);
	return rc;
}

/* "host:port", "[::1]:port" or "::1:port" apart; fresh memory. */
static char *split(const char *node, const char **port)
{
	const char *colon = strrchr(node, ':');
	size_t len = colon ? (size_t)(colon - node) : strlen(node);

	*port = colon ? colon + 1 : "6379";
	return node[0] == '[' && len > 1 && node[len - 1] == ']' ? strndup(node + 1, len - 2) : strndup(node, len);
}

int redis_dial(struct kb_handle *h, struct redis_conn *c, struct kb_call *call)
{
	const char *port;
	char *host = *c->node == '/' ? NULL : split(c->node, &port);
	int error = 0, rc;

	if (*c->node != '/' && !host)
		return redis_fail(c, KB_E_LOCAL, "out of memory", call);
	rc = host ? dial_tcp(c, host, port, &error, call) : dial_unix(c, &error, call);
	if (!rc && error)
		rc = redis_fail(c, error == EACCES || error == EPERM ? KB_E_AUTH : error == EMFILE || error == ENFILE ? KB_E_LOCAL
				: KB_E_TRANSIENT, strerror(error), call);
	if (!rc && host && h->tls)
		rc = start_tls(h, c, host, call);
	free(host);
	return rc;
}
