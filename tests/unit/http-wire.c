/* The HTTP engine and the http backend against a server that answers from a script: what real servers do rarely, or
 * never on request. Connections are kept unless the script's answer says otherwise. */
#include "config.h"
#include "http-host.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD(status, length) "HTTP/1.1 " status "\r\nContent-Length: " length "\r\n"
#define ANSWER(status, length, body) HEAD(status, length) "\r\n" body

/* ---- the server ---- */

enum after { KEEP, RESET, HANG, EARLY };	/* EARLY: answers and resets before the body was read */
struct answer { const char *bytes; enum after after; };
typedef struct answer script_fn(const char *method, const char *target, int n);

enum { LOG = 20000, HEAD_MAX = 16384 };
static script_fn *script;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char seen[LOG];			/* "METHOD target\n" of all requests */
static char last[HEAD_MAX];		/* the last one's head */
static char body[HEAD_MAX];		/* and its body, if it is short */
static int n_requests, port, listener;
static unsigned turn;			/* what is still going on of an earlier case is not logged */

static size_t read_head(int fd, char *buf)
{
	size_t n = 0;

	while (n < HEAD_MAX - 1 && read(fd, buf + n, 1) == 1) {
		buf[++n] = '\0';
		if (n >= 4 && !memcmp(buf + n - 4, "\r\n\r\n", 4))
			return n;
	}
	return 0;
}

/* False if it ends too early. */
static bool read_body(int fd, const char *head, char *out)
{
	const char *p = strcasestr(head, "\r\ncontent-length:");
	size_t len = p ? strtoul(p + 17, NULL, 10) : 0, n = 0;
	char buf[4096];

	out[0] = '\0';
	while (n < len) {
		ssize_t got = read(fd, buf, len - n < sizeof buf ? len - n : sizeof buf);

		if (got <= 0)
			return false;
		if (n + (size_t)got < HEAD_MAX) {
			memcpy(out + n, buf, (size_t)got);
			out[n + (size_t)got] = '\0';
		}
		n += (size_t)got;
	}
	return true;
}

static void reset(int fd)
{
	const struct linger at_once = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static struct answer take_down(const char *head, unsigned mine)
{
	struct answer a = { "", RESET };
	char method[16], target[1000];

	pthread_mutex_lock(&lock);
	if (mine == turn && sscanf(head, "%15s %999s", method, target) == 2) {
		snprintf(seen + strlen(seen), LOG - strlen(seen), "%s %s\n", method, target);
		snprintf(last, sizeof last, "%s", head);
		a = script(method, target, n_requests++);
	}
	pthread_mutex_unlock(&lock);
	return a;
}

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char *head = malloc(HEAD_MAX), *text = malloc(HEAD_MAX), c;
	struct answer a = { "", KEEP };
	unsigned mine;

	pthread_mutex_lock(&lock);
	mine = turn;
	pthread_mutex_unlock(&lock);
	while (a.after == KEEP && read_head(fd, head)) {
		a = take_down(head, mine);
		if (a.after != EARLY) {
			if (!read_body(fd, head, text))
				break;
			pthread_mutex_lock(&lock);
			if (mine == turn)
				memcpy(body, text, HEAD_MAX);
			pthread_mutex_unlock(&lock);
		}
		(void)!send(fd, a.bytes, strlen(a.bytes), MSG_NOSIGNAL);
	}
	if (a.after == EARLY)		/* until the client, who has seen the answer, has hung up */
		poll(&(struct pollfd){ .fd = fd, .events = POLLRDHUP }, 1, 30000);
	if (a.after == HANG)
		(void)!read(fd, &c, 1);		/* until the client is gone */
	if (a.after == RESET || a.after == EARLY)
		reset(fd);
	close(fd);
	free(head);
	free(text);
	return NULL;
}

static void *accept_all(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t t;

		if (fd < 0)
			return NULL;
		if (pthread_create(&t, NULL, serve, (void *)(intptr_t)fd))
			exit(99);
		pthread_detach(t);
	}
}

static void start(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	pthread_t t;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 64) ||
	    getsockname(listener, (struct sockaddr *)&a, &len) || pthread_create(&t, NULL, accept_all, NULL))
		exit(99);
	pthread_detach(t);
	port = ntohs(a.sin_port);
}

static void begin(script_fn *f)
{
	pthread_mutex_lock(&lock);
	turn++;
	script = f;
	*seen = *last = *body = '\0';
	n_requests = 0;
	pthread_mutex_unlock(&lock);
}

/* A name server that does not answer: libcurl's look-up ends here. */
static sem_t name_server;
static atomic_int looked_up;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	struct timespec until;

	(void)name;
	(void)service;
	(void)hints;
	*out = NULL;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	while (sem_timedwait(&name_server, &until) && errno == EINTR)
		;
	atomic_store(&looked_up, 1);
	return EAI_NONAME;
}

/* ---- the client ---- */

static const struct kb_backend *backend;
static struct http *engine;
static char base[64];

struct bytes { struct kb_source kb; size_t at, end; int rewinds; };

static int src_read(struct kb_source *kb, void *buf, size_t len, size_t *got)
{
	struct bytes *b = (struct bytes *)kb;

	*got = b->end - b->at < len ? b->end - b->at : len;
	memset(buf, 'x', *got);
	b->at += *got;
	return KB_OK;
}

static int src_rewind(struct kb_source *kb)
{
	((struct bytes *)kb)->at = 0;
	((struct bytes *)kb)->rewinds++;
	return KB_OK;
}

static struct bytes source(size_t size, size_t end)
{
	return (struct bytes){ { sizeof(struct kb_source), -1, size, src_read, src_rewind }, 0, end, 0 };
}

struct taken { struct kb_sink kb; size_t n; int begins, refuse; };

static int sink_begin(struct kb_sink *kb, uint64_t size)
{
	(void)size;
	((struct taken *)kb)->n = 0;
	((struct taken *)kb)->begins++;
	return KB_OK;
}

static int sink_write(struct kb_sink *kb, const void *buf, size_t len)
{
	struct taken *t = (struct taken *)kb;

	(void)buf;
	t->n += len;
	return t->refuse;
}

static struct taken sink(uint64_t limit)
{
	return (struct taken){ { sizeof(struct kb_sink), -1, limit, sink_begin, sink_write }, 0, 0, 0 };
}

static int perform(const char *method, struct bytes *src, struct taken *to, struct http_reply *reply, struct kb_call *call)
{
	char url[100];
	const struct http_request r = { .method = method, .url = url, .source = src ? &src->kb : NULL, .sink = to ? &to->kb : NULL };

	snprintf(url, sizeof url, "http://joe:canary@127.0.0.1:%d/a/../x?key=canary", port);
	return http_perform(engine, &r, reply, call);
}

/* ---- the engine ---- */

static struct answer fine(const char *method, const char *target, int n)
{
	(void)target;
	(void)n;
	return (struct answer){ !strcmp(method, "HEAD") ? HEAD("200 OK", "5") "\r\n" : ANSWER("200 OK", "5", "hello"), KEEP };
}

static void test_plain(void)
{
	struct taken to = sink(5);
	struct http_reply reply;

	begin(fine);
	is_int(perform("GET", NULL, &to, &reply, CALL), KB_OK, "a get");
	is_int(to.n, 5, "brings it");
	is_int(reply.content_length, 5, "and says how long it is");
	http_reply_release(&reply);
	ok(!strncmp(last, "GET /a/../x?key=canary HTTP/1.1\r\n", 33), "dots go as they are");
	to = sink(4);
	is_int(perform("GET", NULL, &to, &reply, CALL), KB_E_CORRUPT, "more than the limit");
	is_int(to.n, 0, "of which nothing is written");
	http_reply_release(&reply);
	to = sink(100);
	to.refuse = KB_E_LOCAL;
	is_int(perform("GET", NULL, &to, &reply, CALL), KB_E_LOCAL, "a sink that refuses");
	http_reply_release(&reply);
	is_int(perform("HEAD", NULL, NULL, &reply, CALL), KB_OK, "a head");
	is_int(reply.content_length, 5, "says how long it is");
	http_reply_release(&reply);
}

static struct answer odd(const char *method, const char *target, int n)
{
	static const struct answer all[] = {
		{ ANSWER("200 OK", "10", "hello"), RESET }, { "", RESET }, { "garbage\r\n\r\n", RESET },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\nde", RESET },
		{ ANSWER("200 OK", "0", ""), KEEP }, { HEAD("503 Busy", "2") "Retry-After: 4\r\n\r\nno", KEEP },
		{ "HTTP/1.1 100 Continue\r\nX: interim\r\n\r\n" ANSWER("404 Not Found", "4", "gone"), KEEP },
		{ HEAD("302 Found", "0") "Location: /elsewhere\r\n\r\n", KEEP },
	};

	(void)method;
	(void)target;
	return all[n];
}

static void test_odd(void)
{
	static const struct { int rc, status; const char *name; } cases[] = {
		{ KB_E_TRANSIENT, 0, "a reset in the middle" }, { KB_E_TRANSIENT, 0, "a reset instead of an answer" },
		{ KB_E_CORRUPT, 0, "garbage" }, { KB_E_TRANSIENT, 0, "a reset in a chunk" }, { KB_OK, 200, "an empty object" },
		{ KB_OK, 503, "a busy server" }, { KB_OK, 404, "an interim answer first" }, { KB_OK, 302, "a redirect" },
	};

	begin(odd);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct taken to = sink(100);
		struct http_reply reply;
		int rc = perform("GET", NULL, &to, &reply, CALL);

		ok((rc == cases[i].rc || (rc == KB_E_CORRUPT && cases[i].rc == KB_E_TRANSIENT)) && (rc || reply.status == cases[i].status),
		   "%s (%d, %d, '%s')", cases[i].name, rc, reply.status, said);
		ok(!strstr(said, "canary") && !strstr(said, "joe"), "told without secrets");
		if (!rc && reply.status == 200)
			is_int(to.begins, 1, "which the sink hears of");
		if (!rc && reply.status == 503)
			is_int(reply.retry_after_ms, 4000, "with the time to come again");
		if (!rc && reply.status == 404)
			ok(!strcmp(reply.text, "gone") && !http_reply_header(&reply, "x"), "and nothing of it");
		http_reply_release(&reply);
	}
	is_int(n_requests, 8, "nothing was asked twice");
}

/* Answers, keeps the connection, and resets it when the next request comes in on it. */
static struct answer dead_next(const char *method, const char *target, int n)
{
	(void)method;
	(void)target;
	return n == 1 ? (struct answer){ "", RESET } : (struct answer){ ANSWER("200 OK", "0", ""), KEEP };
}

/* Resets the second request of each connection. */
static struct answer dead_often(const char *method, const char *target, int n)
{
	(void)method;
	(void)target;
	return n % 2 ? (struct answer){ "", RESET } : (struct answer){ ANSWER("200 OK", "0", ""), KEEP };
}

static void test_dead_connection(void)
{
	struct bytes src = source(300000, 300000);
	struct http_reply reply;
	int fine = 0;

	begin(dead_next);
	is_int(perform("GET", NULL, NULL, &reply, CALL), KB_OK, "a first request");
	http_reply_release(&reply);
	is_int(perform("PUT", &src, NULL, &reply, CALL), KB_OK, "an upload on a kept connection that is dead");
	is_int(src.rewinds, 2, "starts over on a new one");
	is_int(reply.status, 200, "and arrives");
	http_reply_release(&reply);
	is_int(n_requests, 3, "three requests in all");
	begin(dead_often);
	for (int i = 0; i < 12; i++) {
		fine += perform("GET", NULL, NULL, &reply, CALL) == KB_OK;
		http_reply_release(&reply);
	}
	is_int(fine, 12, "a connection that is dead eleven times");
}

static struct answer too_big(const char *method, const char *target, int n)
{
	(void)method;
	(void)target;
	(void)n;
	return (struct answer){ ANSWER("413 Too Large", "0", ""), EARLY };
}

static void test_upload(void)
{
	struct bytes src = source(64 << 20, 64 << 20), shorter = source(100000, 50000);
	struct http_reply reply;

	begin(too_big);
	is_int(perform("PUT", &src, NULL, &reply, CALL), KB_OK, "an upload that is refused before its end");
	is_int(reply.status, 413, "with an answer that counts");
	http_reply_release(&reply);
	begin(fine);
	is_int(perform("PUT", &shorter, NULL, &reply, CALL), KB_E_LOCAL, "a source that is shorter than it says");
	http_reply_release(&reply);
}

static void test_parts(void)
{
	FILE *f = tmpfile();
	struct bytes src = source(10, 10);
	char url[80];
	struct http_request r = { .method = "PUT", .url = url, .source = &src.kb, .offset = 3, .of_source = 4 };
	struct http_reply reply;

	snprintf(url, sizeof url, "%s/part", base);
	fputs("0123456789", f);
	fflush(f);
	begin(fine);
	is_int(http_perform(engine, &r, &reply, CALL), KB_E_BUG, "a part of what is no file");
	http_reply_release(&reply);
	src.kb.fd = fileno(f);
	is_int(http_perform(engine, &r, &reply, CALL), KB_OK, "a part of a file");
	is_str(body, "3456", "goes alone");
	http_reply_release(&reply);
	fclose(f);
}

static struct answer hangs(const char *method, const char *target, int n)
{
	(void)method;
	(void)target;
	(void)n;
	return (struct answer){ HEAD("200 OK", "100") "\r\nsome", HANG };
}

static void test_giving_up(void)
{
	struct taken to = sink(1000);
	struct kb_call call = call_for(60);
	struct http_reply reply;
	int fds[2];

	begin(hangs);
	is_int(perform("GET", NULL, &to, &reply, &(struct kb_call[]){ call_for(0.2) }[0]), KB_E_TIMEOUT,
	       "a server that hangs, and a deadline");
	http_reply_release(&reply);
	is_int(perform("GET", NULL, &to, &reply, &(struct kb_call[]){ call_for(-1) }[0]), KB_E_TIMEOUT, "a deadline that is over");
	http_reply_release(&reply);
	if (pipe(fds))
		exit(99);
	call.cancel_fd = fds[0];
	(void)!write(fds[1], "x", 1);
	is_int(perform("GET", NULL, &to, &reply, &call), KB_E_CANCELLED, "a call that was cancelled before");
	http_reply_release(&reply);
	(void)!read(fds[0], fds + 1, 1);
	close(fds[0]);
	call.deadline_ns = UINT64_MAX / 2;
	call.cancel_fd = -1;
	begin(fine);
	is_int(perform("GET", NULL, &to, &reply, &call), KB_OK, "a deadline in a hundred years");
	http_reply_release(&reply);
}

static void test_name_server(void)
{
	const struct http_request r = { .method = "GET", .url = "http://slow.test/" };
	struct http_reply reply;

	sem_init(&name_server, 0, 0);
	is_int(http_perform(engine, &r, &reply, &(struct kb_call[]){ call_for(0.2) }[0]), KB_E_TIMEOUT, "a name server that hangs");
	is_int(atomic_load(&looked_up), 0, "is not waited for");
	http_reply_release(&reply);
	sem_post(&name_server);
	sem_post(&name_server);
}

/* ---- the backend ---- */

static kb_handle *open_one(const char *name, const char *value)
{
	kb_conf conf = { { { "url", base }, { "connections", "4" }, { "token", "canary" }, { name, value } } };
	struct kb_limits limits = { .struct_size = sizeof limits, .caps = backend->caps };
	kb_handle *h = NULL;

	begin(fine);
	is_int(backend->open(&conf, &h, &limits, CALL), KB_OK, "open");
	return h;
}

static const char *location;

static struct answer redirect(const char *method, const char *target, int n)
{
	static _Thread_local char text[300];

	(void)target;
	if (strcmp(method, "GET") || n)
		return fine(method, target, n);
	snprintf(text, sizeof text, HEAD("302 Found", "0") "Location: %s\r\n\r\n", location);
	return (struct answer){ text, KEEP };
}

static void test_redirects(void)
{
	static const struct { const char *to, *seen; int rc; bool token; } cases[] = {
		{ "/there", "GET /a\nGET /there\n", KB_OK, true }, { "there?a=b#c", "GET /a\nGET /there?a=b\n", KB_OK, true },
		{ "//127.0.0.1:%d/x", "GET /a\nGET /x\n", KB_OK, true }, { "http://127.0.0.1:%d", "GET /a\nGET /\n", KB_OK, true },
		{ "HTTP://127.0.0.1:%d/x", "GET /a\nGET /x\n", KB_OK, true },
		{ "http://localhost:1/", "GET /a\n", KB_E_TRANSIENT, true },
		{ "", "GET /a\n", KB_E_CONFIG, true }, { "file:///etc/passwd", "GET /a\n", KB_E_CONFIG, true },
		{ "http://", "GET /a\n", KB_E_CONFIG, true }, { "http://joe:canary@127.0.0.1:%d/", "GET /a\n", KB_E_CONFIG, true },
	};
	kb_handle *h = open_one(NULL, NULL);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct taken to = sink(100);
		char text[100];
		int rc;

		snprintf(text, sizeof text, cases[i].to, port);		/* at most a %d */
		location = text;
		begin(redirect);
		rc = backend->get(h, KEY("a"), &to.kb, CALL);
		ok(rc == cases[i].rc && !strcmp(seen, cases[i].seen), "to '%s': %d, %s", cases[i].to, rc, *seen ? "as expected" : "nothing asked");
		if (!rc)
			ok(strstr(last, "\r\nAuthorization: Bearer canary\r\n") != NULL, "the same server gets the token again");
		ok(!strstr(said, "canary"), "nothing secret is told");
	}
	backend->close(h);
}

#define MULTI(items) "<?xml version=\"1.0\"?><D:multistatus xmlns:D=\"DAV:\">" items "</D:multistatus>"
#define FILE_ITEM(href) "<D:response><D:href>" href "</D:href><D:propstat><D:prop><D:getcontentlength>7</D:getcontentlength>" \
	"<D:getlastmodified>Tue, 14 Nov 2023 22:13:20 GMT</D:getlastmodified></D:prop></D:propstat></D:response>"
#define DIR_ITEM(href) "<D:response><D:href>" href "</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype>" \
	"</D:prop></D:propstat></D:response>"
static const char *listing;

static struct answer lists(const char *method, const char *target, int n)
{
	static _Thread_local char text[4000];

	(void)n;
	if (strcmp(method, "PROPFIND"))
		return fine(method, target, n);
	snprintf(text, sizeof text, "HTTP/1.1 207 Multi-Status\r\nContent-Length: %zu\r\n\r\n%s", strlen(listing), listing);
	return (struct answer){ text, KEEP };
}

static char keys[1000];

static int each(void *arg, struct kb_key key, const struct kb_stat *st)
{
	const int *stop = arg;

	snprintf(keys + strlen(keys), sizeof keys - strlen(keys), "%.*s %d %d\n", (int)key.len, key.name, (int)st->size,
		 (int)(st->mtime_s / 1000));
	return stop ? *stop : 0;
}

static void test_listings(void)
{
	static const struct { const char *xml, *keys, *name; int rc; } cases[] = {
		{ MULTI(DIR_ITEM("/p/") FILE_ITEM("/p/a") FILE_ITEM("http://any.test/p/%62")), "b 7 1700000\na 7 1700000\n", "paths and URLs", 0 },
		{ MULTI(DIR_ITEM("/") FILE_ITEM("/a") FILE_ITEM("/p/A") FILE_ITEM("/p/a b") FILE_ITEM("/pa")), "", "what is not ours", 0 },
		{ MULTI(DIR_ITEM("/p/.") DIR_ITEM("/p/..") DIR_ITEM("/p") FILE_ITEM("/p/x/y")), "", "no way up, or around", 0 },
		{ MULTI(""), "", "nothing at all", 0 },
		{ MULTI(FILE_ITEM("/p/a")) "x", "", "something behind it", KB_E_CORRUPT },
		{ "<html></html>", "", "another document", KB_E_CORRUPT },
		{ "<D:multistatus><D:response>", "", "half of one", KB_E_CORRUPT },
		{ "", "", "none", KB_E_CORRUPT },
		{ "<!DOCTYPE x [<!ENTITY a \"aa\">]><multistatus>&a;</multistatus>", "", "one with declarations", KB_E_CORRUPT },
	};
	kb_handle *h;
	int stop = 42;
	size_t n = strlen(base);

	snprintf(base + n, sizeof base - n, "/p");
	h = open_one("webdav", "on");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int rc;

		begin(lists);
		listing = cases[i].xml;
		*keys = '\0';
		rc = backend->list(h, KEY(""), CALL, each, NULL);
		ok(rc == cases[i].rc && !strcmp(keys, cases[i].keys), "a listing: %s (%d)", cases[i].name, rc);
	}
	listing = MULTI(FILE_ITEM("/p/x/ya") FILE_ITEM("/p/x/za") FILE_ITEM("/p/x/yb"));
	begin(lists);
	*keys = '\0';
	is_int(backend->list(h, KEY("x/y"), CALL, each, NULL), KB_OK, "of names that begin in some way");
	is_str(keys, "x/yb 7 1700000\nx/ya 7 1700000\n", "there are two");
	is_str(seen, "PROPFIND /p/x/\n", "and only their directory is asked for");
	is_int(backend->list(h, KEY("x/y"), CALL, each, &stop), 42, "it can be stopped");
	listing = MULTI(DIR_ITEM("/p/d/d/"));
	begin(fine);
	is_int(backend->list(h, KEY(""), CALL, each, NULL), KB_E_UNSUPPORTED, "a server that answers PROPFIND with a page");
	backend->close(h);
	base[n] = '\0';
}

/* Our server as the proxy for a port that nobody listens at. No name that a name server would be asked for. */
static void test_proxy(void)
{
	const struct http_settings none = { .connect_timeout_ms = 1000 };
	struct http_request r = { .method = "GET", .url = "http://localhost:1/x" };
	struct http_reply reply;
	struct http *h;

	setenv("http_proxy", base, 1);
	is_int(http_open(&test_host, &none, CALL, &h), KB_OK, "an engine with a proxy in the environment");
	begin(fine);
	is_int(http_perform(h, &r, &reply, CALL), KB_OK, "asks it");
	is_str(seen, "GET http://localhost:1/x\n", "for the whole URL");
	http_reply_release(&reply);
	r.direct = true;
	ok(http_perform(h, &r, &reply, CALL) < 0, "but not for a request that is to be direct");
	http_reply_release(&reply);
	r.direct = false;
	is_int(http_perform(h, &r, &reply, CALL), KB_OK, "and again for the next");
	http_reply_release(&reply);
	http_close(h);
	unsetenv("http_proxy");
}

int main(void)
{
	const struct http_settings s = { .no_proxy = true };

	start();
	snprintf(base, sizeof base, "http://127.0.0.1:%d", port);
	backend = kb_builtin_http(&test_host);
	is_int(http_open(&test_host, &s, CALL, &engine), KB_OK, "an engine");
	test_plain();
	test_odd();
	test_dead_connection();
	test_upload();
	test_parts();
	test_giving_up();
	test_name_server();
	http_close(engine);
	test_proxy();
	setenv("no_proxy", "*", 1);
	test_redirects();
	test_listings();
	return done();
}
