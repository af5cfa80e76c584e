/* The redis backend: URLs, slots, and replies of a server that answers from a script, as real ones do rarely. */
#include "config.h"
#include "tap.h"

#include "../../backends/redis/redis.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const struct kb_backend *kb_builtin_redis(const struct kb_host *);

/* ---- the host ---- */

struct kb_conf { const char *v[8][2]; };	/* names and values, as text; ends at NULL */

static char said[300];

static const char *conf_str(const kb_conf *c, const char *name)
{
	for (size_t i = 0; i < 8 && c->v[i][0]; i++)
		if (!strcmp(c->v[i][0], name))
			return c->v[i][1];
	return NULL;
}

static uint64_t conf_u64(const kb_conf *c, const char *name)
{
	const char *v = conf_str(c, name);

	return v ? strtoull(v, NULL, 10) : !strcmp(name, "connections") ? 4 : !strcmp(name, "max-value") ? 1 << 20 : 0;
}

__attribute__((format(printf, 3, 4)))
static int host_fail(struct kb_call *call, int status, const char *fmt, ...)
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

static const struct kb_host host = { sizeof host, KB_ABI_MINOR, "test", conf_str, conf_u64, host_fail, host_log };

static struct kb_call *call_for(double seconds)
{
	static struct kb_call call;

	call = (struct kb_call){ sizeof call, 0, redis_now() + (uint64_t)(seconds * 1e9), -1, 0 };
	*said = '\0';
	return &call;
}
#define CALL call_for(30)
#define KEY(s) ((struct kb_key){ (s), strlen(s) })

/* ---- URLs ---- */

static void test_urls(void)
{
	static const struct { const char *url; enum redis_mode mode; const char *user, *password, *first, *last, *master; unsigned db; } good[] = {
		{ "redis://h", REDIS_SINGLE, NULL, NULL, "h:6379", "h:6379", NULL, 0 },
		{ "redis://h:1/5", REDIS_SINGLE, NULL, NULL, "h:1", "h:1", NULL, 5 },
		{ "redis:", REDIS_SINGLE, NULL, NULL, "127.0.0.1:6379", "127.0.0.1:6379", NULL, 0 },
		{ "redis://:p%40%3aw@[::1]", REDIS_SINGLE, NULL, "p@:w", "[::1]:6379", "[::1]:6379", NULL, 0 },
		{ "redis://[::1]:7", REDIS_SINGLE, NULL, NULL, "[::1]:7", "[::1]:7", NULL, 0 },
		{ "rediss://u:p:q@h", REDIS_SINGLE, "u", "p:q", "h:6379", "h:6379", NULL, 0 },
		{ "redis://u@h", REDIS_SINGLE, "u", NULL, "h:6379", "h:6379", NULL, 0 },
		{ "redis://u:a@b@h", REDIS_SINGLE, "u", "a@b", "h:6379", "h:6379", NULL, 0 },
		{ "unix:///run/r.sock", REDIS_SINGLE, NULL, NULL, "/run/r.sock", "/run/r.sock", NULL, 0 },
		{ "redis-cluster://a,b:2", REDIS_CLUSTER, NULL, NULL, "a:6379", "b:2", NULL, 0 },
		{ "redis-sentinel://a,b:2/main/3", REDIS_SENTINEL, NULL, NULL, "a:26379", "b:2", "main", 3 },
	};
	static const struct { const char *url, *words; } bad[] = {
		{ "http://h", "not one of this backend's" }, { "redis://a,b", "several hosts are for" },
		{ "redis://h:x", "'h:x' is no HOST[:PORT]" }, { "redis://h:123456", "is no HOST[:PORT]" }, { "redis://:1", "is no HOST[:PORT]" },
		{ "redis://h/x", "the path is the number" }, { "redis://h/1x", "the path is the number" },
		{ "redis-cluster://h/1", "database 0 only" }, { "redis-sentinel://h", "HOST,HOST/MASTER" }, { "unix://x/y", "unix:///path" },
	};
	struct redis_url u;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		int rc = redis_url_parse(good[i].url, &u, CALL);

		ok(!rc && u.mode == good[i].mode && u.tls == !strncmp(good[i].url, "rediss", 6) && u.database == good[i].db &&
		   !strcmp(u.nodes[0], good[i].first) && !strcmp(u.nodes[u.n_nodes - 1], good[i].last) && !u.nodes[u.n_nodes] &&
		   !strcmp(u.user ? u.user : "-", good[i].user ? good[i].user : "-") &&
		   !strcmp(u.password ? u.password : "-", good[i].password ? good[i].password : "-") &&
		   !strcmp(u.master ? u.master : "-", good[i].master ? good[i].master : "-"), "%s", good[i].url);
		redis_url_release(&u);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		int rc = redis_url_parse(bad[i].url, &u, CALL);

		ok(rc == KB_E_CONFIG && strstr(said, bad[i].words), "%s: %s", bad[i].url, said);
		redis_url_release(&u);
	}
}

/* The examples of the Redis cluster specification, and the check value of CRC-16/XMODEM. */
static void test_slots(void)
{
	is_int(redis_slot("123456789", 9), 0x31c3, "CRC16");
	is_int(redis_slot("foo{}{bar}", 10), redis_slot("foo{}{bar}", 10), "an empty tag");
	ok(redis_slot("foo{}{bar}", 10) != redis_slot("bar", 3), "is none");
	is_int(redis_slot("{user1000}.following", 20), redis_slot("user1000", 8), "a tag");
	is_int(redis_slot("foo{{bar}}zap", 13), redis_slot("{bar", 4), "the first { to the first }");
	is_int(redis_slot("foo{bar}{zap}", 13), redis_slot("bar", 3), "the first tag");
	ok(redis_slot("{open", 5) == redis_slot("{open", 5) && redis_slot("{open", 5) != redis_slot("open", 4), "an open one is none");
	is_int(redis_slot("", 0), 0, "no key");
}

/* ---- a server ---- */

/* What is sent back for a command, NULL: nothing, ever. In pieces of `piece` bytes; then the connection ends if `last`. */
struct answer { const char *bytes; size_t len; bool last; };
typedef struct answer script_fn(const char *verb, const char *first, int n);

static script_fn *script;
static size_t piece;
static char seen[4000];			/* the verbs of all commands, with a blank behind each */
static int n_commands, connections, serving, listener, port;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define SAY(text) (struct answer){ text, sizeof(text) - 1, false }
#define LAST(text) (struct answer){ text, sizeof(text) - 1, true }

static bool line(FILE *f, char kind, size_t *n)
{
	char buf[64];

	if (!fgets(buf, sizeof buf, f) || *buf != kind)
		return false;
	*n = strtoul(buf + 1, NULL, 10);
	return true;
}

/* Reads one command; its first two words. */
static bool command(FILE *f, char words[2][300])
{
	size_t n, len;

	words[0][0] = words[1][0] = '\0';
	if (!line(f, '*', &n))
		return false;
	for (size_t i = 0; i < n; i++) {
		char *word;
		bool whole;

		if (!line(f, '$', &len))
			return false;
		word = malloc(len + 2);
		whole = word && fread(word, 1, len + 2, f) == len + 2;
		if (whole && i < 2)
			snprintf(words[i], 300, "%.*s", (int)(len < 299 ? len : 299), word);
		free(word);
		if (!whole)
			return false;
	}
	return true;
}

static bool answer(int fd, const struct answer *a)
{
	for (size_t at = 0, n; at < a->len; at += n) {
		n = piece && piece < a->len - at ? piece : a->len - at;
		if (send(fd, a->bytes + at, n, MSG_NOSIGNAL) != (ssize_t)n)
			return false;
		if (piece)
			usleep(500);
	}
	return !a->last;
}

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	FILE *f = fdopen(fd, "r");
	char words[2][300];

	while (f && command(f, words)) {
		struct answer a = SAY("+OK\r\n");
		bool go_on;

		pthread_mutex_lock(&lock);
		if (strcmp(words[0], "CLIENT")) {
			snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s ", words[0]);
			a = script(words[0], words[1], n_commands++);
		}
		pthread_mutex_unlock(&lock);
		go_on = answer(fd, &a);
		if (!go_on)
			break;
	}
	if (f)
		fclose(f);
	pthread_mutex_lock(&lock);
	serving--;
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* Until all clients are gone. */
static void wait_for_end(void)
{
	for (bool busy = true; busy;) {
		usleep(1000);
		pthread_mutex_lock(&lock);
		busy = serving > 0;
		pthread_mutex_unlock(&lock);
	}
}

static void *accept_all(void *arg)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		pthread_t t;

		pthread_mutex_lock(&lock);
		connections++;
		serving++;
		pthread_mutex_unlock(&lock);
		if (pthread_create(&t, NULL, serve, (void *)(intptr_t)fd))
			exit(99);
		pthread_detach(t);
	}
	return arg;
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

static void begin(script_fn *f, size_t bytes)
{
	pthread_mutex_lock(&lock);
	script = f;
	piece = bytes;
	*seen = '\0';
	n_commands = connections = 0;
	pthread_mutex_unlock(&lock);
}

static struct answer next;
static struct answer fixed(const char *verb, const char *first, int n)
{
	(void)first;
	(void)n;
	return !strcmp(verb, "PING") || !strcmp(verb, "SELECT") ? SAY("+OK\r\n") : next;
}

/* ---- the client ---- */

static const struct kb_backend *be;
static kb_handle *h;

struct sink { struct kb_sink kb; char got[200]; size_t n; unsigned begins; };

static int sink_begin(struct kb_sink *kb, uint64_t size)
{
	struct sink *s = (struct sink *)kb;

	(void)size;
	s->n = 0;
	s->begins++;
	return KB_OK;
}

static int sink_write(struct kb_sink *kb, const void *buf, size_t len)
{
	struct sink *s = (struct sink *)kb;

	if (len > sizeof s->got - 1 - s->n)
		return KB_E_LOCAL;
	memcpy(s->got + s->n, buf, len);
	s->n += len;
	s->got[s->n] = '\0';
	return KB_OK;
}

static struct sink into;
static int get(struct kb_call *call)
{
	into = (struct sink){ .kb = { sizeof(struct kb_sink), -1, 100, sink_begin, sink_write } };
	return be->get(h, KEY("a/b"), &into.kb, call);
}

struct source { struct kb_source kb; const char *data; size_t at, really; };

static int src_read(struct kb_source *kb, void *buf, size_t len, size_t *got)
{
	struct source *s = (struct source *)kb;

	*got = len < s->really - s->at ? len : s->really - s->at;
	memcpy(buf, s->data + s->at, *got);
	s->at += *got;
	return KB_OK;
}

static int src_rewind(struct kb_source *kb)
{
	((struct source *)kb)->at = 0;
	return KB_OK;
}

static int put(const char *data, size_t really, uint32_t flags)
{
	struct source s = { { sizeof(struct kb_source), -1, strlen(data), src_read, src_rewind }, data, 0, really };
	const struct kb_put_opts opts = { sizeof opts, flags, 0 };

	return be->put(h, KEY("a/b"), &s.kb, &opts, CALL);
}

static bool open_url(const char *url)
{
	const kb_conf conf = { { { "url", url } } };
	struct kb_limits limits = { .struct_size = sizeof limits, .caps = be->caps };
	int rc;

	if (h)
		be->close(h);
	h = NULL;
	rc = be->open(&conf, &h, &limits, CALL);
	if (rc)
		printf("# open: %d %s\n", rc, said);
	return !rc;
}

static bool open_here(void)
{
	char url[80];

	snprintf(url, sizeof url, "redis://127.0.0.1:%d", port);
	return open_url(url);
}

/* ---- replies ---- */

static void test_values(void)
{
	static const struct { struct answer a; size_t piece; int want; const char *value, *words, *what; } cases[] = {
		{ SAY("$5\r\nhello\r\n"), 0, KB_OK, "hello", "", "a value" },
		{ SAY("$5\r\nhello\r\n"), 1, KB_OK, "hello", "", "byte by byte" },
		{ SAY("$7\r\na\r\nb\r\nc\r\n"), 3, KB_OK, "a\r\nb\r\nc", "", "with line breaks" },
		{ SAY("$0\r\n\r\n"), 0, KB_OK, "", "", "an empty one" },
		{ SAY("$-1\r\n"), 0, KB_MISS, NULL, "", "none" },
		{ SAY("_\r\n"), 0, KB_MISS, NULL, "", "none in RESP3" },
		{ SAY("$101\r\n"), 0, KB_E_CORRUPT, NULL, "more bytes than is acceptable", "a large one" },
		{ SAY("$99999999999999999999999\r\n"), 0, KB_E_CORRUPT, NULL, "more bytes than", "a huge one" },
		{ SAY("$-2\r\n"), 0, KB_E_CORRUPT, NULL, "does not speak Redis's protocol", "a strange length" },
		{ SAY("$5x\r\nhello\r\n"), 0, KB_E_CORRUPT, NULL, "does not speak Redis's protocol", "half a length" },
		{ SAY("HTTP/1.1 400 Bad Request\r\n\r\n"), 0, KB_E_CORRUPT, NULL, "does not speak Redis's protocol", "another protocol" },
		{ SAY("*1\r\n$1\r\nx\r\n"), 0, KB_E_CORRUPT, NULL, "does not speak Redis's protocol", "an array" },
		{ LAST("$5\r\nhel"), 0, KB_E_CORRUPT, NULL, "ended before its length", "half of one" },
		{ LAST("$5\r\nhello"), 0, KB_E_TRANSIENT, NULL, "closed", "without its end" },
		{ SAY("-WRONGTYPE Operation\r\n"), 0, KB_E_CORRUPT, NULL, "something other than an object", "another type" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int rc;

		next = cases[i].a;
		begin(fixed, cases[i].piece);
		rc = get(CALL);
		ok(rc == cases[i].want && (rc || !strcmp(into.got, cases[i].value)) && strstr(said, cases[i].words), "get: %s", cases[i].what);
		if (rc != cases[i].want || !strstr(said, cases[i].words))
			printf("# %d %s\n", rc, said);
	}
	next = SAY("$5\r\nhello\r\n");
	begin(fixed, 0);
	is_int(get(CALL), KB_OK, "after all that it serves again");
	next = (struct answer){ NULL, 0, false };
	begin(fixed, 0);
	is_int(get(call_for(0.2)), KB_E_TIMEOUT, "a silent server is left in time");
}

static void test_errors(void)
{
	static const struct { struct answer a; int want; const char *words; } cases[] = {
		{ SAY("-NOAUTH Authentication required.\r\n"), KB_E_AUTH, "a password is wanted (options user, password)" },
		{ SAY("-NOPERM this user has no permissions\r\n"), KB_E_AUTH, "read-only for this user" },
		{ SAY("-READONLY You can't write against a read only replica.\r\n"), KB_E_AUTH, "it is a replica" },
		{ SAY("-OOM command not allowed when used memory > 'maxmemory'.\r\n"), KB_E_NOSPACE, "its memory is full (maxmemory)" },
		{ SAY("-MISCONF Redis is configured to save\r\n"), KB_E_NOSPACE, "can't save to its disk" },
		{ SAY("-LOADING Redis is loading the dataset in memory\r\n"), KB_E_TRANSIENT, "loading" },
		{ SAY("-BUSY Redis is busy running a script\r\n"), KB_E_TRANSIENT, "busy" },
		{ SAY("-CLUSTERDOWN The cluster is down\r\n"), KB_E_TRANSIENT, "cluster is down" },
		{ SAY("-MOVED 3999 127.0.0.1:6381\r\n"), KB_E_CONFIG, "use redis-cluster://" },
		{ SAY("-ERR string exceeds maximum allowed size\r\n"), KB_E_TOOBIG, "max-value" },
		{ SAY("-ERR unknown command 'SET', with args beginning with: 'canary' \r\n"), KB_E_UNSUPPORTED, "unknown command" },
		{ SAY("-ERR \033[31mred\a\r\n"), KB_E_UNSUPPORTED, "?[31mred?" },
		{ SAY(":1\r\n"), KB_E_CORRUPT, "does not speak Redis's protocol" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int rc;

		next = cases[i].a;
		begin(fixed, 0);
		rc = put("value", 5, 0);
		ok(rc == cases[i].want && strstr(said, cases[i].words) && !strstr(said, "canary"), "put: %s", said);
		if (rc != cases[i].want)
			printf("# %d, wanted %d: %s\n", rc, cases[i].want, cases[i].words);
	}
	next = SAY("+OK\r\n");
	begin(fixed, 0);
	is_int(put("value", 5, 0), KB_OK, "put");
	next = SAY("$-1\r\n");
	begin(fixed, 0);
	is_int(put("value", 5, KB_PUT_IF_ABSENT), KB_EXISTS, "what is there already");
	next = SAY("+OK\r\n");
	begin(fixed, 0);
	is_int(put("value", 3, 0), KB_E_LOCAL, "a source that is short");
	is_str(seen, "", "is no command");
}

/* Closes the first connection at the first command, as a server that was restarted. */
static struct answer closes_once(const char *verb, const char *first, int n)
{
	(void)verb;
	(void)first;
	return n ? SAY("$2\r\nhi\r\n") : LAST("");
}

static struct answer closes_always(const char *verb, const char *first, int n)
{
	(void)verb;
	(void)first;
	(void)n;
	return LAST("");
}

static void test_kept(void)
{
	next = SAY("$2\r\nhi\r\n");
	open_here();
	begin(fixed, 0);
	is_int(get(CALL), KB_OK, "a connection is kept");
	begin(closes_once, 0);
	is_int(get(CALL), KB_OK, "when it turns out to be dead, a fresh one serves");
	is_str(seen, "GET GET ", "with the same command");
	is_int(connections, 1, "once");
	begin(closes_always, 0);
	is_int(get(CALL), KB_E_TRANSIENT, "a server that always closes");
	is_str(seen, "GET GET ", "is asked twice at most");
}

/* ---- a cluster of one, which says that a slot has moved to itself ---- */

static char moved[80], slots[200];
static bool circle;
static int gets;
static struct answer cluster(const char *verb, const char *first, int n)
{
	(void)first;
	(void)n;
	if (!strcmp(verb, "CLUSTER"))
		return (struct answer){ slots, strlen(slots), false };
	if (strcmp(verb, "GET"))
		return SAY("+OK\r\n");
	if (circle || gets++ == 0)
		return (struct answer){ moved, strlen(moved), false };
	return SAY("$2\r\nhi\r\n");
}

static void test_cluster(void)
{
	char url[80];

	snprintf(slots, sizeof slots, "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n", port);
	snprintf(url, sizeof url, "redis-cluster://127.0.0.1:%d", port);
	begin(cluster, 0);
	snprintf(moved, sizeof moved, "-MOVED %u 127.0.0.1:%d\r\n", redis_slot("a/b", 3), port);
	ok(open_url(url), "a cluster");
	is_int(get(CALL), KB_OK, "a slot that has moved is followed");
	ok(!!strstr(seen, "GET GET "), "at once");
	begin(cluster, 0);
	gets = 0;
	snprintf(moved, sizeof moved, "-ASK %u 127.0.0.1:%d\r\n", redis_slot("a/b", 3), port);
	is_int(get(CALL), KB_OK, "one that is moving too");
	ok(!!strstr(seen, "GET ASKING GET "), "by asking");
	circle = true;
	begin(cluster, 0);
	snprintf(moved, sizeof moved, "-MOVED %u 127.0.0.1:%d\r\n", redis_slot("a/b", 3), port);
	is_int(get(CALL), KB_E_TRANSIENT, "but not in circles");
	ok(!!strstr(said, "in circles"), "%s", said);
	circle = false;
	begin(cluster, 0);
	snprintf(slots, sizeof slots, "*1\r\n*3\r\n:0\r\n:99999\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n", port);
	gets = 0;
	ok(open_url(url), "a cluster whose slots can't be");
	is_int(get(CALL), KB_OK, "is learned by its redirections");
}

int main(void)
{
	start();
	be = kb_builtin_redis(&host);
	test_urls();
	test_slots();
	next = SAY("+OK\r\n");
	begin(fixed, 0);
	if (!be || !open_here())
		return 99;
	test_values();
	test_errors();
	test_kept();
	test_cluster();
	if (h)
		be->close(h);
	wait_for_end();
	return done();
}
