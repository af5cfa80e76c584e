/* backends/memcached: URLs, times, placement, and what it makes of a server that misbehaves. The server is a
 * child of the test which speaks the text protocol and does what the name of the object says. */
#include "config.h"
#include "tap.h"

#include "../../backends/memcached/memcached.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const struct kb_backend *kb_builtin_memcached(const struct kb_host *);

static const struct kb_backend *mc;
static char said[300];

/* ---- the host ---- */

struct kb_conf { const char *url, *user, *password, *protocol; uint64_t ttl, item_max; };

static const char *conf_str(const kb_conf *c, const char *name)
{
	return !strcmp(name, "url") ? c->url : !strcmp(name, "user") ? c->user : !strcmp(name, "password") ? c->password
	     : !strcmp(name, "protocol") ? c->protocol : NULL;
}

static uint64_t conf_u64(const kb_conf *c, const char *name)
{
	return !strcmp(name, "ttl") ? c->ttl : !strcmp(name, "item-max") ? c->item_max : 0;
}

static int fail(struct kb_call *call, int status, const char *fmt, ...)
{
	va_list ap;

	(void)call;
	va_start(ap, fmt);
	vsnprintf(said, sizeof said, fmt, ap);
	va_end(ap);
	return status;
}

static void host_log(int level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
}

static const struct kb_host host = { sizeof host, KB_ABI_MINOR, "test", conf_str, conf_u64, fail, host_log };

static struct kb_call *call_for(double seconds)
{
	static struct kb_call call;

	call = (struct kb_call){ sizeof call, 0, memcached_now() + (uint64_t)(seconds * 1e9), -1, 0 };
	return &call;
}
#define CALL call_for(60)

static struct kb_key key(const char *name)
{
	return (struct kb_key){ name, strlen(name) };
}

/* ---- sources and sinks ---- */

struct source { struct kb_source kb; size_t at, really; };

static int src_read(struct kb_source *kb, void *buf, size_t len, size_t *got)
{
	struct source *s = (struct source *)kb;
	size_t left = s->really - s->at;

	*got = len < left ? len : left;
	memset(buf, 'x', *got);
	s->at += *got;
	return KB_OK;
}

static int src_rewind(struct kb_source *kb)
{
	((struct source *)kb)->at = 0;
	return KB_OK;
}

static int put_of(kb_handle *h, const char *name, size_t size, size_t really, uint32_t flags, int64_t ttl)
{
	struct source s = { { sizeof s.kb, -1, size, src_read, src_rewind }, 0, really };
	struct kb_put_opts opts = { sizeof opts, flags, ttl };

	return mc->put(h, key(name), &s.kb, &opts, CALL);
}

struct sink { struct kb_sink kb; char got[64]; size_t len; int begun, refuse; };

static int sink_begin(struct kb_sink *kb, uint64_t size)
{
	struct sink *s = (struct sink *)kb;

	(void)size;
	s->begun++;
	s->len = 0;
	return s->refuse;
}

static int sink_write(struct kb_sink *kb, const void *buf, size_t len)
{
	struct sink *s = (struct sink *)kb;

	for (size_t i = 0; i < len && s->len < sizeof s->got - 1; i++)
		s->got[s->len++] = ((const char *)buf)[i];
	s->got[s->len] = '\0';
	return KB_OK;
}

static struct sink sink;

static int get_in(kb_handle *h, const char *name, struct kb_call *call)
{
	sink = (struct sink){ .kb = { sizeof sink.kb, -1, 1000, sink_begin, sink_write } };
	return mc->get(h, key(name), &sink.kb, call);
}

static int get(kb_handle *h, const char *name)
{
	return get_in(h, name, CALL);
}

/* ---- the server ---- */

static void say(int fd, const void *data, size_t len)
{
	if (send(fd, data, len, MSG_NOSIGNAL) < 0)
		_exit(0);
}
#define SAY(text) say(fd, text, strlen(text))

static void value(int fd, const char *as, const char *framed, const char *data, size_t missing)
{
	char head[600];
	unsigned char frame[MEMCACHED_FRAME_MAX];
	size_t n = memcached_frame(key(framed), frame);

	snprintf(head, sizeof head, "VALUE kache:%s 0 %zu\r\n", as, n + strlen(data));
	SAY(head);
	say(fd, frame, n);
	say(fd, data, strlen(data) - missing);
	if (!missing)
		SAY("\r\nEND\r\n");
}

static void wait_for_end(int fd)
{
	char c;

	while (read(fd, &c, 1) > 0)
		;
	_exit(0);
}

static const struct { const char *name, *reply; bool end; } scripts[] = {
	{ "miss", "END\r\n", false },
	{ "short", "VALUE kache:f/short 0 3\r\nabc\r\nEND\r\n", false },
	{ "strange", "VALUE kache:f/strange 0 40\r\n0123456789012345678901234567890123456789\r\nEND\r\n", false },
	{ "otherkey", "VALUE kache:f/another 0 3\r\nabc\r\nEND\r\n", false },
	{ "negative", "VALUE kache:f/negative 0 -5\r\n", false },
	{ "garbage", "\001\002\003\004\n\n\n", false },
	{ "late", "STORED\r\n", false },
	{ "silent", "", false },
	{ "close", "", true },
	{ "half-line", "VALUE kache:f/ha", true },
	{ "error", "SERVER_ERROR it is Monday\r\n", false },
	{ "unknown", "ERROR\r\n", false },
};

static void answer_get(int fd, const char *name, int nth)
{
	for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
		if (!strcmp(name + 2, scripts[i].name)) {
			SAY(scripts[i].reply);
			if (scripts[i].end)
				_exit(0);
			return;
		}
	}
	if (!strcmp(name, "f/stall") || !strcmp(name, "f/cut")) {
		value(fd, name, name, "0123456789", 5);
		if (!strcmp(name, "f/cut"))
			_exit(0);
		wait_for_end(fd);
	} else if (!strcmp(name, "f/trickle")) {
		SAY("VALUE kache:f/trickle 0 900\r\n");
		for (;; nanosleep(&(struct timespec){ 0, 20000000 }, NULL))
			SAY("x");
	} else if (!strcmp(name, "f/endless")) {
		for (;;)
			SAY("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	} else if (!strcmp(name, "f/foreign")) {
		value(fd, name, "f/neighbour", "hello", 0);
	} else if (!strcmp(name, "f/large")) {
		char data[1100];

		memset(data, 'y', sizeof data - 1);
		data[sizeof data - 1] = '\0';
		value(fd, name, name, data, 0);
	} else if (!strcmp(name, "f/first-only") && nth > 2) {
		_exit(0);	/* the connection has carried something else */
	} else {
		value(fd, name, name, "hello", 0);
		if (!strcmp(name, "f/bye"))
			_exit(0);
	}
}

static void answer_set(int fd, FILE *in, const char *line, const char *name)
{
	char reply[700];
	size_t n = strtoull(strrchr(line, ' '), NULL, 10) + 2;

	while (n--)
		if (getc(in) == EOF)
			_exit(0);
	if (!strcmp(name, "f/full"))
		SAY("SERVER_ERROR out of memory storing object\r\n");
	else if (!strcmp(name, "f/big"))
		SAY("SERVER_ERROR object too large for cache\r\n");
	else if (!strcmp(name, "f/there"))
		SAY("NOT_STORED\r\n");
	else if (!strcmp(name, "f/echo"))
		say(fd, reply, (size_t)snprintf(reply, sizeof reply, "SERVER_ERROR %.100s\r\n", line));
	else
		SAY("STORED\r\n");
}

static void serve(int fd)
{
	FILE *in = fdopen(fd, "r");
	char line[600], *name;

	for (int nth = 1; fgets(line, sizeof line, in); nth++) {
		line[strcspn(line, "\r\n")] = '\0';
		name = strstr(line, "kache:");
		name = name ? name + 6 : line;
		if (!strcmp(line, "stats settings"))
			SAY("STAT maxbytes 1\r\nSTAT item_size_max 5000\r\nEND\r\n");
		else if (!strncmp(line, "get ", 4))
			answer_get(fd, name, nth);
		else if (!strncmp(line, "set ", 4) || !strncmp(line, "add ", 4))
			answer_set(fd, in, line, strndup(name, strcspn(name, " ")));
		else if (!strncmp(line, "delete ", 7))
			SAY(strstr(line, "none") ? "NOT_FOUND\r\n" : "DELETED\r\n");
		else
			SAY(strstr(line, "none") ? "NOT_FOUND\r\n" : "TOUCHED\r\n");
	}
	_exit(0);
}

static pid_t start_server(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	if (strlen(path) >= sizeof sa.sun_path)
		exit(99);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (s < 0 || bind(s, (struct sockaddr *)&sa, sizeof sa) || listen(s, 50))
		exit(99);
	pid = fork();
	if (pid) {
		close(s);
		return pid;
	}
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int c = accept(s, NULL, NULL);

		if (!fork()) {
			alarm(120);
			close(s);
			serve(c);
		}
		close(c);
	}
}

/* ---- tests ---- */

static void test_urls(void)
{
	static const struct { const char *url, *names; } table[] = {
		{ "memcached://h1", "h1:11211" },
		{ "memcached://h1/", "h1:11211" },
		{ "memcached://h1:1,h2:65535", "h1:1 h2:65535" },
		{ "memcached://10.0.0.1:11212,[::1]:5,[fe80::1%eth0]", "10.0.0.1:11212 [::1]:5 [fe80::1%eth0]:11211" },
		{ "memcached:///run/m.sock", "/run/m.sock" },
		{ "memcached+unix:///run/a%20b", "/run/a b" },
	};
	static const char *const bad[] = {
		"memcached:", "memcached://", "memcached:h1", "memcached://h1,", "memcached://,h1", "memcached://h1:", "memcached://h1:0",
		"memcached://h1:65536", "memcached://h1:1x", "memcached://h 1", "memcached://[::1", "memcached://::1", "memcached://h1/folder",
		"memcached://joe:canary@h1", "memcached+unix://h1", "memcached:///a%zz", "memcached:///a%00", "redis://h1",
		"memcached://h1:999999999999999999999",
	};
	struct memcached_servers s;

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		char names[200] = "";

		is_int(memcached_url_parse(table[i].url, &s, CALL), KB_OK, table[i].url);
		for (size_t k = 0; k < s.n; k++)
			snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", k ? " " : "", s.list[k].name);
		is_str(names, table[i].names, "its servers");
		memcached_servers_release(&s);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		*said = '\0';
		ok(memcached_url_parse(bad[i], &s, CALL) == KB_E_CONFIG && !s.list && !strncmp(said, "url: ", 5) && !strstr(said, "canary"),
		   "%s is refused: %s", bad[i], said);
	}
}

static void test_options(void)
{
	static const struct { kb_conf conf; int status; const char *option; } table[] = {
		{ { "memcached://h1", NULL, NULL, "auto", 0, 0 }, KB_OK, "" },
		{ { "memcached://h1", "joe", "canary", "auto", 0, 0 }, KB_OK, "" },
		{ { "memcached://h1", NULL, "canary", "auto", 0, 0 }, KB_E_CONFIG, "user:" },
		{ { "memcached://h1", "joe", NULL, "auto", 0, 0 }, KB_E_CONFIG, "password:" },
		{ { "memcached://h1", "joe", "can ary", "auto", 0, 0 }, KB_OK, "" },
		{ { "memcached://h1", "joe", "can ary", "text", 0, 0 }, KB_E_CONFIG, "user:" },
		{ { "memcached://h1", NULL, NULL, "auto", 0, 100 }, KB_E_CONFIG, "item-max:" },
		{ { "memcached://", NULL, NULL, "auto", 0, 0 }, KB_E_CONFIG, "url:" },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		*said = '\0';
		ok(mc->check(&table[i].conf, CALL) == table[i].status && !strncmp(said, table[i].option, strlen(table[i].option)) &&
		   !strstr(said, "ary"), "check %zu: %s", i, said);
	}
}

static void test_times(void)
{
	is_int(memcached_exptime(0, 1000), 0, "no TTL");
	is_int(memcached_exptime(-5, 1000), 0, "a negative one is none");
	is_int(memcached_exptime(1, 1000), 1, "one second");
	is_int(memcached_exptime(2592000, 1700000000), 2592000, "30 days are relative");
	is_int(memcached_exptime(2592001, 1700000000), 1702592001, "more is the time of day");
	is_int(memcached_exptime(INT64_MAX, 1700000000), INT32_MAX, "and never beyond what servers keep");
}

static void test_placement(void)
{
	memcached_st *three = memcached_create(NULL), *two = memcached_create(NULL);
	int count[3] = { 0 }, moved = 0;

	memcached_behavior_set(three, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
	memcached_behavior_set(two, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
	memcached_server_add(three, "h1", 11211);
	memcached_server_add(three, "h2", 11211);
	memcached_server_add(three, "h3", 11211);
	memcached_server_add(two, "h1", 11211);
	memcached_server_add(two, "h2", 11211);
	for (int i = 0; i < 3000; i++) {
		char name[40];
		size_t len = (size_t)snprintf(name, sizeof name, "kache:artifacts/x/%d", i);
		unsigned a = memcached_generate_hash(three, name, len), b = memcached_generate_hash(two, name, len);

		if (a > 2)
			exit(99);
		count[a]++;
		moved += a < 2 && a != b;
	}
	ok(count[0] > 500 && count[1] > 500 && count[2] > 500, "keys are spread: %d %d %d", count[0], count[1], count[2]);
	is_int(moved, 0, "without one server only its share moves");
	memcached_free(three);
	memcached_free(two);
}

static void test_gets(kb_handle *h)
{
	static const struct { const char *name; int status; } table[] = {
		{ "f/miss", KB_MISS }, { "f/foreign", KB_MISS }, { "f/short", KB_MISS }, { "f/strange", KB_MISS },
		{ "f/otherkey", KB_E_TRANSIENT }, { "f/negative", KB_E_TRANSIENT }, { "f/garbage", KB_E_TRANSIENT },
		{ "f/late", KB_E_TRANSIENT }, { "f/close", KB_E_TRANSIENT }, { "f/half-line", KB_E_TRANSIENT },
		{ "f/cut", KB_E_TRANSIENT }, { "f/endless", KB_E_TRANSIENT }, { "f/error", KB_E_TRANSIENT },
		{ "f/unknown", KB_E_UNSUPPORTED }, { "f/large", KB_E_CORRUPT },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		int rc = get(h, table[i].name), began = sink.begun;

		ok(rc == table[i].status && began == !strcmp(table[i].name, "f/cut"), "%s: %d, %s", table[i].name, rc, said);
		ok(get(h, "f/good") == KB_OK && !strcmp(sink.got, "hello"), "and the next answer is the right one");
	}
}

static void test_time(kb_handle *h)
{
	static const char *const slow[] = { "f/silent", "f/stall", "f/trickle" };
	int fds[2];

	for (size_t i = 0; i < 3; i++) {
		is_int(get_in(h, slow[i], call_for(0.2)), KB_E_TIMEOUT, slow[i]);
		ok(get(h, "f/good") == KB_OK && !strcmp(sink.got, "hello"), "and the next answer is the right one");
	}
	is_int(get_in(h, "f/good", call_for(-1)), KB_E_TIMEOUT, "a deadline that has passed");
	if (pipe(fds) || write(fds[1], "x", 1) != 1)
		exit(99);
	for (size_t i = 0; i < 3; i++) {
		struct kb_call *call = CALL;

		call->cancel_fd = fds[0];
		is_int(get_in(h, slow[i], call), KB_E_CANCELLED, "cancelled");
	}
	ok(get(h, "f/good") == KB_OK && !strcmp(sink.got, "hello"), "and the next answer is the right one");
	close(fds[0]);
	close(fds[1]);
}

static void test_reuse(kb_handle *h)
{
	ok(get(h, "f/bye") == KB_OK && get(h, "f/bye") == KB_OK && get(h, "f/good") == KB_OK,
	   "a connection that the server closes between requests is replaced");
	ok(get(h, "f/first-only") == KB_OK && !strcmp(sink.got, "hello"), "and one that it closes when it is used again");
	ok(get(h, "f/first-only") == KB_OK, "each time");
	sink = (struct sink){ .kb = { sizeof sink.kb, -1, 1000, sink_begin, sink_write }, .refuse = KB_E_LOCAL };
	is_int(mc->get(h, key("f/good"), &sink.kb, CALL), KB_E_LOCAL, "a sink that refuses");
	is_int(get(h, "f/good"), KB_OK, "does no harm");
}

static void test_puts(kb_handle *h)
{
	long soon;

	is_int(put_of(h, "f/good", 3976, 3976, 0, 0), KB_OK, "put of as much as fits");
	is_int(put_of(h, "f/good", 3977, 3977, 0, 0), KB_E_TOOBIG, "of a byte more is not even tried");
	is_int(put_of(h, "f/good", 0, 0, 0, 0), KB_OK, "of nothing");
	is_int(put_of(h, "f/full", 10, 10, 0, 0), KB_E_NOSPACE, "a server without memory");
	is_int(put_of(h, "f/big", 10, 10, 0, 0), KB_E_TOOBIG, "a server with a smaller limit than it says");
	is_int(put_of(h, "f/there", 10, 10, KB_PUT_IF_ABSENT, 0), KB_EXISTS, "create-only, of what is there");
	is_int(put_of(h, "f/good", 1000, 500, 0, 0), KB_E_LOCAL, "a source that ends early");
	is_int(put_of(h, "f/echo", 3, 3, 0, 0), KB_E_TRANSIENT, "the request");
	ok(strstr(said, "set kache:f/echo 0 77 14") != NULL, "has the TTL of the settings: %s", said);
	put_of(h, "f/echo", 3, 3, KB_PUT_IF_ABSENT, 10);
	ok(strstr(said, "add kache:f/echo 0 10 14") != NULL, "or its own: %s", said);
	put_of(h, "f/echo", 3, 3, 0, 2592001);
	soon = strstr(said, "f/echo 0 ") ? strtol(strstr(said, "f/echo 0 ") + 9, NULL, 10) - 2592001 : 0;
	ok(soon > 1700000000 && soon <= (long)time(NULL), "as the time of day beyond 30 days: %s", said);
	is_int(mc->del(h, key("f/x"), CALL), KB_OK, "del");
	is_int(mc->del(h, key("f/none"), CALL), KB_OK, "del of nothing");
	is_int(mc->touch(h, key("f/x"), 0, CALL), KB_OK, "touch");
	is_int(mc->touch(h, key("f/none"), 0, CALL), KB_MISS, "touch of nothing");
}

static void test_names(kb_handle *h)
{
	static const char *const bad[] = { "", "..", "a/../b", "/a", "a/", "a//b", "./a", "A", "a b", "a\r\nflush_all", "a\t" };
	char longest[KB_KEY_MAX + 2];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ok(put_of(h, bad[i], 1, 1, 0, 0) == KB_E_BUG && get(h, bad[i]) == KB_E_BUG && mc->del(h, key(bad[i]), CALL) == KB_E_BUG &&
		   mc->touch(h, key(bad[i]), 0, CALL) == KB_E_BUG, "bad key %zu", i);
	memset(longest, 'k', sizeof longest);
	longest[KB_KEY_MAX + 1] = '\0';
	is_int(get(h, longest), KB_E_BUG, "a key too long");
	longest[KB_KEY_MAX] = '\0';
	ok(get(h, longest) == KB_OK && !strcmp(sink.got, "hello"), "the longest key");
}

static void test_open(const char *url, const char *dir)
{
	struct kb_limits limits = { .struct_size = sizeof limits, .caps = mc->caps };
	kb_conf conf = { .url = url, .protocol = "auto", .ttl = 77 };
	char other[200];
	kb_handle *h;

	if (mc->open(&conf, &h, &limits, CALL))
		exit(99);
	is_int(limits.max_object, 5000 - 1024, "what an item may hold is learned");
	is_int(mc->ping(h, &limits, CALL), KB_OK, "ping");
	test_gets(h);
	test_time(h);
	test_reuse(h);
	test_puts(h);
	test_names(h);
	mc->close(h);
	conf.item_max = 3000;
	if (mc->open(&conf, &h, &limits, CALL))
		exit(99);
	is_int(limits.max_object, 3000 - 1024, "or set to less");
	mc->close(h);
	snprintf(other, sizeof other, "memcached://%s/nobody", dir);
	conf.url = other;
	is_int(mc->open(&conf, &h, &limits, CALL), KB_E_TRANSIENT, "nobody listens");
	conf.url = "memcached://no-such-host.invalid";
	is_int(mc->open(&conf, &h, &limits, CALL), KB_E_TRANSIENT, "a name that nobody has");
}

int main(void)
{
	char *dir = tap_dir(), socket_path[200], url[230];
	pid_t server;

	mc = kb_builtin_memcached(&host);
	snprintf(socket_path, sizeof socket_path, "%s/s", dir);
	snprintf(url, sizeof url, "memcached+unix://%s", socket_path);
	server = start_server(socket_path);
	test_urls();
	test_options();
	test_times();
	test_placement();
	test_open(url, dir);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	unlink(socket_path);
	rmdir(dir);
	free(dir);
	return done();
}
