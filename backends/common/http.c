/* The engine: kept connections, and one request through one of them. Each is a pair of libcurl's easy and multi
 * handles, used by one thread at a time; the multi handle is what lets a call be given up (curl_multi_poll takes
 * a foreign descriptor), and holds the connection between calls. */
#define _GNU_SOURCE
#include "http.h"
#include "http-parts.h"

#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_MS = 3600 * 1000,	/* larger numbers do not fit everywhere */
       CONNECT_MS = 3100, CONNECTIONS = 16, TEXT_MAX = 64 << 10, DOWN_BUFFER = 256 << 10, UP_BUFFER = 512 << 10,
       UP_BUFFER_LEAST = 64 << 10 };

struct pair {
	CURL *easy;
	CURLM *multi;
	int socket;			/* opened last and not closed yet, or -1 */
	bool direct;			/* set to use no proxy */
	bool prepared;			/* has what all requests of the handle have in common, and no new connection since */
	struct pair *next;
};

struct http {
	const struct kb_host *host;
	struct http_settings s;		/* strings are copies */
	pthread_mutex_t lock;
	struct pair *idle;		/* the one used last is first: it is the warmest */
	unsigned n_idle;
};

uint64_t http_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Milliseconds, rounded up; 0 once the deadline has passed. */
static long left_ms(const struct kb_call *call)
{
	uint64_t now = http_now(), ms;

	if (now >= call->deadline_ns)
		return 0;
	ms = (call->deadline_ns - now) / 1000000 + 1;
	return ms < LONGEST_MS ? (long)ms : LONGEST_MS;
}

/* ---- life ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode global;

static void set_up_library(void)
{
	global = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static char *copy(const char *s)
{
	return s && *s ? strdup(s) : NULL;
}

static int readable(const struct kb_host *host, struct kb_call *call, const char *what, const char *file)
{
	if (!file || !access(file, R_OK))
		return KB_OK;
	return host->fail(call, KB_E_CONFIG, "%s: %s can't be read: %s", what, file, strerror(errno));
}

/* As libcurl reads it for our two protocols. It would look with every request. */
static bool proxy_is_set(void)
{
	static const char *const names[] = { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (getenv(names[i]))
			return true;
	return false;
}

int http_open(const struct kb_host *host, const struct http_settings *s, struct kb_call *call, struct http **out)
{
	const char *ca = s->ca_file ? s->ca_file : getenv("SSL_CERT_FILE");
	struct http *h;
	int rc = readable(host, call, "ca-file", s->ca_file);

	*out = NULL;
	if (!rc)
		rc = readable(host, call, "client-cert", s->client_cert);
	if (!rc)
		rc = readable(host, call, "client-key", s->client_key);
	if (rc)
		return rc;
	pthread_once(&once, set_up_library);
	h = calloc(1, sizeof *h);
	if (global || !h) {
		free(h);
		return host->fail(call, KB_E_LOCAL, "libcurl can't be set up");
	}
	h->host = host;
	h->s = *s;
	h->s.ca_file = copy(ca);
	h->s.client_cert = copy(s->client_cert);
	h->s.client_key = copy(s->client_key);
	h->s.unix_socket = copy(s->unix_socket);
	h->s.no_proxy = s->no_proxy || s->unix_socket || !proxy_is_set();
	if (!h->s.connect_timeout_ms)
		h->s.connect_timeout_ms = CONNECT_MS;
	if (!h->s.max_connections)
		h->s.max_connections = CONNECTIONS;
	pthread_mutex_init(&h->lock, NULL);
	*out = h;
	return KB_OK;
}

static void free_pair(struct pair *p)
{
	if (p->easy)
		curl_easy_cleanup(p->easy);
	if (p->multi)
		curl_multi_cleanup(p->multi);
	free(p);
}

void http_close(struct http *h)
{
	if (!h)
		return;
	while (h->idle) {
		struct pair *next = h->idle->next;

		free_pair(h->idle);
		h->idle = next;
	}
	pthread_mutex_destroy(&h->lock);
	free((char *)h->s.ca_file);
	free((char *)h->s.client_cert);
	free((char *)h->s.client_key);
	free((char *)h->s.unix_socket);
	free(h);
}

static struct pair *take(struct http *h)
{
	struct pair *p;

	pthread_mutex_lock(&h->lock);
	p = h->idle;
	if (p) {
		h->idle = p->next;
		h->n_idle--;
	}
	pthread_mutex_unlock(&h->lock);
	if (p)
		return p;
	p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->socket = -1;
	p->easy = curl_easy_init();
	p->multi = curl_multi_init();
	if (p->easy && p->multi)
		return p;
	free_pair(p);
	return NULL;
}

static void give_back(struct http *h, struct pair *p, bool usable)
{
	pthread_mutex_lock(&h->lock);
	if (usable && h->n_idle < h->s.max_connections) {
		p->next = h->idle;
		h->idle = p;
		h->n_idle++;
		p = NULL;
	}
	pthread_mutex_unlock(&h->lock);
	if (p)
		free_pair(p);
}

/* ---- callbacks: one exchange ---- */

static size_t on_header(char *line, size_t one, size_t n, void *arg)
{
	struct http_exchange *x = arg;

	(void)one;
	x->heard = true;
	return http_reply_line(x, line, n) ? n : 0;
}

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
	struct http_exchange *x = arg;
	long status = 0;
	size_t room;

	(void)one;
	if (!n)
		return 0;
	curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	if (x->r->sink && status >= 200 && status < 300) {
		if (!x->begun) {
			curl_off_t length = -1;

			curl_easy_getinfo(x->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
			x->sink_rc = x->r->sink->begin(x->r->sink, length > 0 ? (uint64_t)length : 0);
			x->begun = true;
		}
		if (!x->sink_rc)
			x->sink_rc = x->r->sink->limit - x->got < n ? KB_E_CORRUPT : x->r->sink->write(x->r->sink, data, n);
		x->got += n;
		return x->sink_rc ? 0 : n;
	}
	room = (x->r->text_max ? x->r->text_max : TEXT_MAX) - x->reply->text_len;
	if (n < room)
		room = n;
	if (room) {
		char *grown = realloc(x->reply->text, x->reply->text_len + room + 1);

		if (!grown)
			return 0;
		memcpy(grown + x->reply->text_len, data, room);
		x->reply->text = grown;
		x->reply->text_len += room;
		grown[x->reply->text_len] = '\0';
	}
	return n;
}

/* The body, from wherever it is. */
static size_t on_read(char *to, size_t one, size_t n, void *arg)
{
	struct http_exchange *x = arg;
	const struct http_request *r = x->r;
	size_t got = 0;

	(void)one;
	if ((uint64_t)n > x->size - x->sent)
		n = (size_t)(x->size - x->sent);
	if (!n)
		return 0;
	if (!r->source) {
		memcpy(to, (const char *)r->data + x->sent, n);
		got = n;
	} else if (r->of_source) {
		ssize_t m = pread(r->source->fd, to, n, (off_t)(r->offset + x->sent));

		got = m > 0 ? (size_t)m : 0;
	} else if (r->source->read(r->source, to, n, &got)) {
		got = 0;
	}
	if (!got) {		/* a source that fails or is shorter than it said */
		x->source_failed = true;
		return CURL_READFUNC_ABORT;
	}
	x->sent += got;
	return got;
}

/* libcurl starts over on a kept connection that turned out to be dead. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct http_exchange *x = arg;

	if (offset || origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	x->sent = 0;
	if (x->r->source && !x->r->of_source && x->r->source->rewind(x->r->source)) {
		x->source_failed = true;
		return CURL_SEEKFUNC_FAIL;
	}
	return CURL_SEEKFUNC_OK;
}

/* libcurl's own sockets would be inherited by every program that the host starts. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct pair *p = arg;
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);

	(void)purpose;
	p->socket = fd;
	p->prepared = false;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* The pair outlives its connections, so this is safe to be told later. */
static int on_close(void *arg, curl_socket_t fd)
{
	struct pair *p = arg;

	if (p->socket == fd)
		p->socket = -1;
	return close(fd);
}

/* ---- one request ---- */

/* False when out of memory. */
static bool header_list(const struct http_request *r, struct curl_slist **list)
{
	/* libcurl would wait a second for the server's leave to send a body. */
	bool body = r->source || r->data, fine = true;
	struct curl_slist *more;

	*list = body ? curl_slist_append(NULL, "Expect:") : NULL;
	if (body && !*list)
		return false;
	for (const char *const *p = r->headers; fine && p && *p; p++) {
		more = curl_slist_append(*list, *p);
		fine = more != NULL;
		if (more)
			*list = more;
	}
	return fine;
}

static void set_tls(CURL *c, const struct http_settings *s)
{
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (s->ca_file)
		curl_easy_setopt(c, CURLOPT_CAINFO, s->ca_file);
	if (s->client_cert) {
		curl_easy_setopt(c, CURLOPT_SSLCERT, s->client_cert);
		curl_easy_setopt(c, CURLOPT_KEYPASSWD, "");	/* else a locked key makes OpenSSL ask the terminal */
	}
	if (s->client_key)
		curl_easy_setopt(c, CURLOPT_SSLKEY, s->client_key);
	if (s->insecure) {
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
	}
}

/* Of the request before nothing may be left. */
static void set_body(CURL *c, struct http_exchange *x)
{
	const struct http_request *r = x->r;
	bool body = r->source || r->data;

	curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
	if (!strcmp(r->method, "HEAD")) {
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, NULL);
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
		return;
	}
	if (body || !strcmp(r->method, "PUT") || !strcmp(r->method, "POST")) {
		curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)x->size);
		curl_easy_setopt(c, CURLOPT_READDATA, x);
		curl_easy_setopt(c, CURLOPT_SEEKDATA, x);
		curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, (long)(x->size > UP_BUFFER_LEAST ? UP_BUFFER : UP_BUFFER_LEAST));
	}
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, body || strcmp(r->method, "GET") ? r->method : NULL);
}

/* Where connections come from and go to. */
static void set_connection(CURL *c, const struct http *h, struct pair *p)
{
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)h->s.connect_timeout_ms);
	curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, p);
	curl_easy_setopt(c, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(c, CURLOPT_CLOSESOCKETDATA, p);
	if (h->s.unix_socket)
		curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, h->s.unix_socket);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* A name that is being looked up would be waited for however late it is. */
	curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);
#endif
}

/* Once for a connection: setting all this up costs as much as the smaller requests themselves. With each new one there
 * is a reset, as libcurl counts how often a kept connection was dead and fails at the sixth, however long ago the others
 * were. */
static void prepare(const struct http *h, struct pair *p)
{
	CURL *c = p->easy;

	curl_easy_reset(c);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_USERAGENT, "kache");
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)DOWN_BUFFER);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
	set_connection(c, h, p);
	set_tls(c, &h->s);
	p->prepared = true;
	p->direct = false;
}

static void set_up(const struct http *h, struct pair *p, struct http_exchange *x, struct curl_slist *headers, long ms)
{
	bool direct = h->s.no_proxy || x->r->direct;
	CURL *c = p->easy;

	if (!p->prepared)
		prepare(h, p);
	curl_easy_setopt(c, CURLOPT_URL, x->r->url);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, ms + 100);	/* drive is to say so first */
	curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, x->error);
	if (direct != p->direct)
		curl_easy_setopt(c, CURLOPT_NOPROXY, direct ? "*" : NULL);
	p->direct = direct;
	set_body(c, x);
}

/* Ceph's gateway sends the head and the body of an answer in two segments and waits for our acknowledgement in
 * between. The option wears off, so it is set whenever the wait for more begins after lines of a head. */
static void acknowledge(int fd)
{
	int on = 1;

	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

/* Runs what was added to the multi handle until it is done, late or cancelled. KB_OK with *result, else a status. */
static int drive(struct pair *p, struct http_exchange *x, struct kb_call *call, CURLcode *result)
{
	for (;;) {
		struct curl_waitfd cancel = { .fd = call->cancel_fd, .events = CURL_WAIT_POLLIN };
		int running = 0, left;
		CURLMsg *msg;
		long ms;

		if (curl_multi_perform(p->multi, &running))
			return KB_E_LOCAL;
		while ((msg = curl_multi_info_read(p->multi, &left))) {
			if (msg->msg == CURLMSG_DONE) {
				*result = msg->data.result;
				return KB_OK;
			}
		}
		ms = left_ms(call);
		if (!ms)
			return KB_E_TIMEOUT;
		if (x->heard)
			acknowledge(p->socket);
		x->heard = false;
		if (curl_multi_poll(p->multi, &cancel, call->cancel_fd >= 0, (int)ms, NULL))
			return KB_E_LOCAL;
		if (cancel.revents)
			return KB_E_CANCELLED;
	}
}

static bool cancelled(const struct kb_call *call)
{
	struct pollfd p = { .fd = call->cancel_fd, .events = POLLIN };

	return call->cancel_fd >= 0 && poll(&p, 1, 0) > 0;
}

static int exchange(struct http *h, struct pair *p, struct http_exchange *x, struct kb_call *call, bool *usable)
{
	struct curl_slist *headers;
	CURLcode result = CURLE_OK;
	long status = 0;
	int rc;

	*usable = false;
	if (!header_list(x->r, &headers)) {
		curl_slist_free_all(headers);
		return h->host->fail(call, KB_E_LOCAL, "out of memory");
	}
	x->easy = p->easy;
	set_up(h, p, x, headers, left_ms(call));
	if (curl_multi_add_handle(p->multi, p->easy))
		rc = KB_E_LOCAL;
	else
		rc = drive(p, x, call, &result);
	curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status);
	x->reply->status = (int)status;
	/* Removed while under way, the connection is closed: nothing of an old answer meets a new question. */
	curl_multi_remove_handle(p->multi, p->easy);
	*usable = !rc && !result;
	curl_easy_setopt(p->easy, CURLOPT_HTTPHEADER, NULL);
	curl_easy_setopt(p->easy, CURLOPT_ERRORBUFFER, NULL);
	curl_slist_free_all(headers);
	return http_classify(h->host, x, rc, (int)result, call);
}

static int prepare_body(const struct kb_host *host, struct http_exchange *x, struct kb_call *call)
{
	const struct http_request *r = x->r;

	if (r->source && r->of_source) {
		x->size = r->of_source;
		return r->source->fd >= 0 ? KB_OK : host->fail(call, KB_E_BUG, "a part of a source without a file");
	}
	x->size = r->source ? r->source->size : r->len;
	if (r->source && r->source->rewind(r->source))
		return host->fail(call, KB_E_LOCAL, "the source can't be read");
	return KB_OK;
}

int http_perform(struct http *h, const struct http_request *r, struct http_reply *reply, struct kb_call *call)
{
	struct http_exchange x = { .r = r, .reply = reply };
	struct pair *p;
	bool usable;
	int rc;

	*reply = (struct http_reply){ .content_length = -1, .text = calloc(1, 1) };
	if (!reply->text)
		return h->host->fail(call, KB_E_LOCAL, "out of memory");
	if (cancelled(call))
		return h->host->fail(call, KB_E_CANCELLED, "cancelled");
	if (!left_ms(call))
		return h->host->fail(call, KB_E_TIMEOUT, "no time left");
	rc = prepare_body(h->host, &x, call);
	if (rc)
		return rc;
	p = take(h);
	if (!p)
		return h->host->fail(call, KB_E_LOCAL, "libcurl can't be set up");
	rc = exchange(h, p, &x, call, &usable);
	give_back(h, p, usable);
	/* An empty object never reached on_body. */
	if (rc || !r->sink || x.begun || reply->status < 200 || reply->status > 299 || !strcmp(r->method, "HEAD"))
		return rc;
	rc = r->sink->begin(r->sink, 0);
	return rc ? h->host->fail(call, rc, "the object can't be written") : KB_OK;
}
