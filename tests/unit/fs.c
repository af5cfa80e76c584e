/* backends/fs against a host of the test's own: objects, names, races, limits. */
#include "config.h"
#include "tap.h"

#include "base/buf.h"
#include "base/path.h"
#include "kache/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const struct kb_backend *kb_builtin_fs(const struct kb_host *);

static char *dir, *url;
static const struct kb_backend *fs;
static char said[300];

/* ---- the host ---- */

struct kb_conf { const char *url, *path, *share; int create; };

static const char *conf_str(const kb_conf *c, const char *name)
{
	return !strcmp(name, "url") ? c->url : !strcmp(name, "path") ? c->path : !strcmp(name, "share") ? c->share : NULL;
}

static uint64_t conf_u64(const kb_conf *c, const char *name)
{
	return !strcmp(name, "create") ? (uint64_t)c->create : 0;
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
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	call = (struct kb_call){ sizeof call, 0, (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec, -1, 0 };
	call.deadline_ns += (uint64_t)(seconds * 1e9);
	return &call;
}
#define CALL call_for(60)

static struct kb_key key(const char *name)
{
	return (struct kb_key){ name, strlen(name) };
}

/* ---- sources and sinks ---- */

struct source {
	struct kb_source kb;
	const char *data;
	size_t at, really;	/* bytes there really are */
};

static int src_read(struct kb_source *kb, void *buf, size_t len, size_t *got)
{
	struct source *s = (struct source *)kb;
	size_t left = s->really - s->at, n = len < left ? len : left;

	if (n > 1000)
		n = 1000;	/* short reads are allowed */
	memcpy(buf, s->data + s->at, n);
	s->at += n;
	*got = n;
	return KB_OK;
}

static int src_broken(struct kb_source *kb, void *buf, size_t len, size_t *got)
{
	struct source *s = (struct source *)kb;

	return s->at > 2000 ? KB_E_LOCAL : src_read(kb, buf, len, got);
}

static int src_rewind(struct kb_source *kb)
{
	((struct source *)kb)->at = 0;
	return kb->fd >= 0 && lseek(kb->fd, 0, SEEK_SET) ? KB_E_LOCAL : KB_OK;
}

static struct source source(const char *data, size_t len)
{
	return (struct source){ { sizeof(struct kb_source), -1, len, src_read, src_rewind }, data, 0, len };
}

struct sink {
	struct kb_sink kb;
	struct kache_buf got;
	int begun;
};

static int sink_begin(struct kb_sink *kb, uint64_t size)
{
	struct sink *s = (struct sink *)kb;

	(void)size;
	s->begun++;
	kache_buf_reset(&s->got);
	return KB_OK;
}

static int sink_write(struct kb_sink *kb, const void *buf, size_t len)
{
	kache_buf_add(&((struct sink *)kb)->got, buf, len);
	return KB_OK;
}

static struct sink sink(uint64_t limit)
{
	return (struct sink){ { sizeof(struct kb_sink), -1, limit, sink_begin, sink_write }, KACHE_BUF_INIT, 0 };
}

static int put(kb_handle *h, const char *name, const char *data, size_t len, uint32_t flags)
{
	const struct kb_put_opts opts = { sizeof opts, flags, 0 };
	struct source s = source(data, len);

	return fs->put(h, key(name), &s.kb, &opts, CALL);
}

static int holds(kb_handle *h, const char *name, const char *data, size_t len)
{
	struct sink s = sink(1 << 30);
	int same = fs->get(h, key(name), &s.kb, CALL) == KB_OK && s.begun == 1 && s.got.len == len &&
		   (!len || !memcmp(s.got.data, data, len));

	kache_buf_release(&s.got);
	return same;
}

/* Files in the tree whose names only a put in progress may have. */
static int litter(void)
{
	KACHE_AUTO_FREE char *command = kache_asprintf("find '%s' -name '.kache~*' | grep -q .", dir);

	return WEXITSTATUS(system(command)) == 0;
}

static kb_handle *open_at(const kb_conf *conf, struct kb_limits *limits)
{
	kb_handle *h = NULL;

	*limits = (struct kb_limits){ .struct_size = sizeof *limits, .caps = fs->caps };
	if (fs->open(conf, &h, limits, CALL))
		printf("# open: %s\n", said);
	return h;
}

/* ---- tests ---- */

static void test_conf(void)
{
	static const struct { kb_conf conf; int status; const char *why; } cases[] = {
		{ { "file:///x", NULL, NULL, 1 }, KB_OK, "file:///dir" },
		{ { "file://localhost/x", NULL, NULL, 1 }, KB_OK, "file://localhost/dir" },
		{ { "file:/x", NULL, NULL, 1 }, KB_OK, "file:/dir" },
		{ { "file:", "/x", NULL, 1 }, KB_OK, "file: with path" },
		{ { "file://server/x", NULL, NULL, 1 }, KB_E_CONFIG, "a host" },
		{ { "file:x", NULL, NULL, 1 }, KB_E_CONFIG, "a relative path" },
		{ { "file:", NULL, NULL, 1 }, KB_E_CONFIG, "no directory" },
		{ { "file:///x", "/y", NULL, 1 }, KB_E_CONFIG, "two directories" },
		{ { "file:///%00", NULL, NULL, 1 }, KB_E_CONFIG, "a NUL" },
		{ { "file:///a%2", NULL, NULL, 1 }, KB_E_CONFIG, "half an escape" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		is_int(fs->check(&cases[i].conf, CALL), cases[i].status, cases[i].why);
}

static void test_open(void)
{
	KACHE_AUTO_FREE char *sub = kache_asprintf("file://%s/new%%20one", dir), *deep = kache_asprintf("file://%s/no/parent", dir);
	KACHE_AUTO_FREE char *path = kache_path_join(dir, "new one");
	struct kb_limits limits;
	kb_conf conf = { sub, NULL, NULL, 0 };
	kb_handle *h;

	ok(!open_at(&conf, &limits), "a missing directory is an error with create=false");
	conf.create = 1;
	h = open_at(&conf, &limits);
	ok(h && limits.caps & KB_CAP_WRITE && !access(path, X_OK), "and is made otherwise, its name decoded");
	if (h)
		fs->close(h);
	rmdir(path);
	conf.url = deep;
	ok(!open_at(&conf, &limits), "but not its parents: an unmounted share stays empty");
}

static void test_objects(kb_handle *h)
{
	static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 300000, 3000000 };
	char *data = kache_alloc(3000000);
	int good = 1;
	struct kb_stat st;
	struct sink s = sink(10);

	for (size_t i = 0; i < 3000000; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		good &= put(h, "p/a/object", data, sizes[i], 0) == KB_OK && holds(h, "p/a/object", data, sizes[i]);
	ok(good, "objects of all sizes come back, each over the one before");
	free(data);
	ok(fs->head(h, key("p/a/object"), &st, CALL) == KB_OK && st.size == 3000000 && st.mtime_s > 1000000000, "head");
	is_int(fs->head(h, key("p/a/none"), &st, CALL), KB_MISS, "head of nothing is a miss");
	is_int(fs->head(h, key("p/a"), &st, CALL), KB_MISS, "and so is a folder");
	is_int(fs->get(h, key("p/none"), &s.kb, CALL), KB_MISS, "get of nothing is a miss");
	is_int(s.begun, 0, "that begins nothing");
	is_int(fs->get(h, key("p/a/object"), &s.kb, CALL), KB_E_CORRUPT, "an object over the limit is refused");
	is_int(put(h, "p/a/object", "x", 1, KB_PUT_IF_ABSENT), KB_EXISTS, "create-only does not replace");
	is_int(put(h, "p/b/object", "x", 1, KB_PUT_IF_ABSENT), KB_OK, "but creates");
	is_int(fs->touch(h, key("p/b/object"), 0, CALL), KB_OK, "touch");
	is_int(fs->touch(h, key("p/b/none"), 0, CALL), KB_MISS, "touch of nothing");
	is_int(fs->del(h, key("p/b/object"), CALL), KB_OK, "del");
	is_int(fs->del(h, key("p/b/object"), CALL), KB_OK, "del of nothing is fine");
	is_int(fs->head(h, key("p/b/object"), &st, CALL), KB_MISS, "and it is gone");
	ok(!litter(), "nothing is left behind");
}

static void test_fd(kb_handle *h)
{
	KACHE_AUTO_FREE char *in = kache_path_join(dir, "IN"), *out = kache_path_join(dir, "OUT");
	int from = open(in, O_RDWR | O_CREAT | O_CLOEXEC, 0600), to = open(out, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char block[50000], back[50000];
	struct source s = source(NULL, sizeof block);
	struct sink d = sink(1 << 20);
	struct kb_put_opts opts = { sizeof opts, 0, 0 };

	memset(block, 'f', sizeof block);
	s.kb.fd = from;
	d.kb.fd = to;
	ok(write(from, block, sizeof block) == sizeof block && !fs->put(h, key("fd/object"), &s.kb, &opts, CALL), "put from a file");
	ok(holds(h, "fd/object", block, sizeof block), "is whole");
	ok(!fs->get(h, key("fd/object"), &d.kb, CALL) && pread(to, back, sizeof back, 0) == sizeof back &&
	   !memcmp(block, back, sizeof back) && !d.got.len, "get into a file, without a copy through memory");
	close(from);
	close(to);
	unlink(in);
	unlink(out);
	fs->del(h, key("fd/object"), CALL);
}

static void test_sources(kb_handle *h)
{
	static char data[10000];
	struct kb_put_opts opts = { sizeof opts, 0, 0 };
	struct source s = source(data, sizeof data);
	struct kb_stat st;
	int fds[2];

	s.really = 5000;
	is_int(fs->put(h, key("q/short"), &s.kb, &opts, CALL), KB_E_LOCAL, "a source shorter than its size");
	s = source(data, sizeof data);
	s.kb.read = src_broken;
	is_int(fs->put(h, key("q/broken"), &s.kb, &opts, CALL), KB_E_LOCAL, "a source that breaks");
	s = source(data, sizeof data);
	is_int(fs->put(h, key("q/late"), &s.kb, &opts, call_for(0)), KB_E_TIMEOUT, "a deadline that has passed");
	s = source(data, sizeof data);
	if (!pipe(fds) && write(fds[1], "x", 1) == 1) {
		struct kb_call *call = CALL;

		call->cancel_fd = fds[0];
		is_int(fs->put(h, key("q/cancelled"), &s.kb, &opts, call), KB_E_CANCELLED, "a cancelled call");
		close(fds[0]);
		close(fds[1]);
	}
	ok(fs->head(h, key("q/short"), &st, CALL) == KB_MISS && fs->head(h, key("q/broken"), &st, CALL) == KB_MISS &&
	   fs->head(h, key("q/late"), &st, CALL) == KB_MISS && fs->head(h, key("q/cancelled"), &st, CALL) == KB_MISS,
	   "leave no object");
	ok(!litter(), "and no litter");
}

static void test_names(kb_handle *h)
{
	static const char *const bad[] = { "", "..", "a/../b", "../a", "/a", "a/", "a//b", "./a", "a/.", "A", "a b", "a~b", "a\nb" };
	char longest[KB_KEY_MAX + 2];
	struct kb_stat st;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct sink s = sink(10);

		ok(put(h, bad[i], "x", 1, 0) == KB_E_BUG && fs->get(h, key(bad[i]), &s.kb, CALL) == KB_E_BUG &&
		   fs->head(h, key(bad[i]), &st, CALL) == KB_E_BUG && fs->del(h, key(bad[i]), CALL) == KB_E_BUG &&
		   fs->touch(h, key(bad[i]), 0, CALL) == KB_E_BUG, "'%s' is no key", i == 12 ? "a newline" : bad[i]);
	}
	memset(longest, 'k', sizeof longest);
	longest[1] = '/';
	longest[KB_KEY_MAX + 1] = '\0';
	is_int(put(h, longest, "x", 1, 0), KB_E_BUG, "a key too long");
	longest[KB_KEY_MAX] = '\0';
	ok(put(h, longest, "x", 1, 0) == KB_OK && holds(h, longest, "x", 1), "the longest key");
	fs->del(h, key(longest), CALL);
}

struct seen { struct kache_buf names; size_t n; int stop_after; };

static int each(void *arg, struct kb_key k, const struct kb_stat *st)
{
	struct seen *s = arg;

	kache_buf_fmt(&s->names, "%.*s:%d ", (int)k.len, k.name, (int)st->size);
	return ++s->n == (size_t)s->stop_after ? 77 : 0;
}

static size_t count(kb_handle *h, const char *prefix)
{
	struct seen s = { KACHE_BUF_INIT, 0, 0 };
	int rc = fs->list(h, key(prefix), CALL, each, &s);

	kache_buf_release(&s.names);
	return rc ? 9999 : s.n;
}

static void test_list(kb_handle *h)
{
	struct seen s = { KACHE_BUF_INIT, 0, 3 };
	KACHE_AUTO_FREE char *old = kache_path_join(dir, "l/.kache~0123456789abcdef");
	KACHE_AUTO_FREE char *young = kache_path_join(dir, "l/.kache~fedcba9876543210");
	const struct timespec long_ago[2] = { { 1000000000, 0 }, { 1000000000, 0 } };

	for (int i = 0; i < 1200; i++) {
		KACHE_AUTO_FREE char *name = kache_asprintf("l/%d/ab%d", i % 7, i);

		put(h, name, "xy", 2, 0);
	}
	close(open(old, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	close(open(young, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	utimensat(AT_FDCWD, old, long_ago, 0);
	is_int(count(h, "l/"), 1200, "list finds every object and no temporary file");
	ok(access(old, F_OK) && !access(young, F_OK), "and removes what a writer left a day ago");
	unlink(young);
	is_int(count(h, "l"), 1200, "a prefix need not end at a folder");
	is_int(count(h, "l/3/ab10"), 17, "a prefix within a name");
	is_int(count(h, "l/3/"), 171, "one folder");
	is_int(count(h, "none/x"), 0, "nothing below nothing");
	is_int(count(h, "l/3/ab10/x"), 0, "nothing below an object");
	is_int(fs->list(h, key("l/"), CALL, each, &s), 77, "each can end it");
	is_int(s.n, 3, "at once");
	kache_buf_release(&s.names);
	is_int(fs->list(h, key("../"), CALL, each, &s), KB_E_BUG, "no way out");
}

static int ready[2], gate[2];

/* Holds its put, which has looked for the object already, until all racers are that far. */
static int src_at_gate(struct kb_source *kb, void *buf, size_t len, size_t *got)
{
	char c = 0;

	if (!((struct source *)kb)->at)
		(void)!(write(ready[1], &c, 1) + read(gate[0], &c, 1));
	return src_read(kb, buf, len, got);
}

static int race(kb_handle *h, const char *data, size_t len)
{
	const struct kb_put_opts opts = { sizeof opts, KB_PUT_IF_ABSENT, 0 };
	struct source s = source(data, len);

	s.kb.read = src_at_gate;
	return fs->put(h, key("race/once"), &s.kb, &opts, CALL);
}

static void test_race(kb_handle *h)
{
	enum { RACERS = 16, SIZE = 200000 };
	int won = 0, existed = 0, whole = 0, torn = 0;
	char *mine = kache_alloc(SIZE);
	char go;

	if (pipe(ready) || pipe(gate))
		exit(99);
	for (int i = 0; i < RACERS; i++) {
		if (!fork()) {
			int rc;

			memset(mine, 'a' + i, SIZE);
			close(gate[1]);
			rc = race(h, mine, SIZE);
			for (int k = 0; k < 10; k++)
				put(h, "race/over", mine, SIZE, 0);
			_exit(rc == KB_OK ? 10 : rc == KB_EXISTS ? 11 : 12);
		}
	}
	put(h, "race/over", "", 0, 0);
	for (int i = 0; i < RACERS; i++)
		(void)!read(ready[0], &go, 1);
	close(gate[0]);
	close(gate[1]);
	for (int living = RACERS; living;) {
		struct sink s = sink(1 << 20);
		int status;

		if (fs->get(h, key("race/over"), &s.kb, CALL) == KB_OK) {
			if (s.got.len == SIZE && s.got.data[0] == s.got.data[SIZE - 1])
				whole++;
			else
				torn += s.got.len != 0;
		}
		kache_buf_release(&s.got);
		if (waitpid(-1, &status, WNOHANG) > 0) {
			living--;
			won += WEXITSTATUS(status) == 10;
			existed += WEXITSTATUS(status) == 11;
		}
	}
	is_int(won, 1, "of 16 that create the same object one wins");
	is_int(existed, RACERS - 1, "the others learn that it exists");
	is_int(torn, 0, "no reader sees half an object while it is replaced");
	printf("# %d whole reads meanwhile\n", whole);
	ok(!litter(), "nothing is left behind");
	free(mine);
}

static void test_readonly(void)
{
	kb_conf conf = { url, NULL, NULL, 1 };
	struct kb_limits limits;
	kb_handle *h;

	chmod(dir, 0555);
	h = open_at(&conf, &limits);
	if (geteuid()) {
		ok(!(limits.caps & KB_CAP_WRITE), "a directory that can't be written says so");
		is_int(put(h, "new/x", "x", 1, 0), KB_E_AUTH, "and a put is not allowed");
	} else {
		ok(1, "read-only directory # SKIP root may write anywhere");
		ok(1, "put there # SKIP root may write anywhere");
	}
	fs->close(h);
	chmod(dir, 0755);
}

static void test_share(void)
{
	kb_conf conf = { url, NULL, "group", 1 };
	KACHE_AUTO_FREE char *file = kache_path_join(dir, "shared/x"), *folder = kache_path_join(dir, "shared");
	struct kb_limits limits;
	kb_handle *h;
	struct stat a, b;
	mode_t before = umask(077);

	h = open_at(&conf, &limits);
	ok(!put(h, "shared/x", "x", 1, 0) && !stat(file, &a) && !stat(folder, &b) && (a.st_mode & 0777) == 0664 &&
	   (b.st_mode & 07777) == 02775, "share=group lets the group write, whatever the umask");
	umask(before);
	fs->close(h);
}

int main(void)
{
	KACHE_AUTO_FREE char *remove = NULL;
	struct kb_limits limits;
	kb_conf conf;
	kb_handle *h;

	dir = tap_dir();
	url = kache_asprintf("file://%s", dir);
	remove = kache_asprintf("rm -rf '%s'", dir);
	fs = kb_builtin_fs(&host);
	conf = (kb_conf){ url, NULL, NULL, 1 };
	test_conf();
	test_open();
	h = open_at(&conf, &limits);
	if (!h)
		return 99;
	is_int(fs->ping(h, &limits, CALL), KB_OK, "ping");
	ok(limits.caps & KB_CAP_WRITE && limits.caps & KB_CAP_PUT_IF_ABSENT, "says that it can be written");
	test_objects(h);
	test_fd(h);
	test_sources(h);
	test_names(h);
	test_list(h);
	test_race(h);
	fs->close(h);
	test_readonly();
	test_share();
	free(url);
	return done() | (system(remove) != 0);
}
