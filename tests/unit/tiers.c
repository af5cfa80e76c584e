/* Several remotes as one, over directories: who is asked, who gets what, and what one that fails does to the rest. */
#include "config.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "remote/stream.h"
#include "remote/tiers.h"
#include "tap.h"

#include <ftw.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static char *dir;
static struct kache_conf *conf;
static struct kache_remote *tiers;

static const struct kb_key key = { "p/one", 5 };
static const char data[] = "the bytes of one object";

/* The settings file: text with every @ as the test's directory. */
static int open_tiers(const char *text, struct kache_error *err)
{
	KACHE_AUTO_FREE char *file = kache_path_join(dir, "c.toml");
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	for (; *text; text++)
		if (*text == '@')
			kache_buf_str(&b, dir);
		else
			kache_buf_ch(&b, *text);
	if (kache_file_replace(file, b.data, b.len, 0644) || kache_conf_load("/", &conf, err)) {
		printf("Bail out! %s\n", err->text);
		exit(99);
	}
	return kache_tiers_open(conf, &tiers, err);
}

static void with(const char *text)
{
	struct kache_error err;

	if (open_tiers(text, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(99);
	}
}

static void end(void)
{
	kache_remote_close(tiers);
	kache_conf_free(conf);
	tiers = NULL;
}

static struct kache_call *call(void)
{
	static _Thread_local struct kache_call c;

	kache_call_init(&c, kache_now_mono() + 20000000000, -1);
	return &c;
}

static int put(struct kb_key k, unsigned flags)
{
	const struct kb_put_opts opts = { .struct_size = sizeof opts, .flags = flags };
	struct kache_mem_source src;

	kache_mem_source_init(&src, data, sizeof data);
	return kache_remote_put(tiers, k, &src.kb, &opts, call());
}

/* Its status; KB_E_CORRUPT where the bytes are others. */
static int get(void)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_mem_sink sink;
	int rc;

	kache_mem_sink_init(&sink, &b, 1 << 20);
	rc = kache_remote_get(tiers, key, &sink.kb, call());
	return rc == KB_OK && (b.len != sizeof data || memcmp(b.data, data, sizeof data)) ? KB_E_CORRUPT : rc;
}

static bool has(const char *tier, struct kb_key k)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/%s/artifacts/%.*s", dir, tier, (int)k.len, k.name);

	return !access(path, F_OK);
}

static void lose(const char *tier)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/%s/artifacts/p/one", dir, tier);

	unlink(path);
}

static bool settle(void)
{
	return kache_tiers_settle(tiers, kache_now_mono() + 20000000000);
}

static struct kache_tier_state *state(size_t i)
{
	static struct kache_tier_state s;

	kache_tiers_info(tiers, i, &s);
	return &s;
}

#define TWO "[[cache.remotes]]\nname = \"n\"\nurl = \"file://@/near\"\n[[cache.remotes]]\nurl = \"file://@/far\"\n"
#define NEAR_ABSENT "[[cache.remotes]]\nurl = \"file://@/none\"\ncreate = false\n[[cache.remotes]]\nurl = \"file://@/far\"\n"

static void opening(void)
{
	struct kache_error err;

	with(TWO);
	is_int(kache_tiers_count(tiers), 2, "two remotes");
	is_str(state(0)->state, "not reached yet", "none is opened before it is needed");
	is_str(state(0)->name, "n", "one has a name");
	is_str(state(1)->backend, "fs", "the backend is known");
	ok(!state(0)->stats && !has("near", (struct kb_key){ "", 0 }), "and nothing was made");
	is_int(get(), KB_MISS, "what none has is a miss");
	is_str(state(0)->state, "ok", "the first use opens them");
	ok(state(1)->stats && atomic_load(&state(1)->stats->misses) == 1, "and counts for each");
	is_int(atomic_load(&kache_remote_stats(tiers)->misses), 1, "and for the whole");
	ok(kache_remote_info(tiers)->writable && kache_remote_info(tiers)->can_list, "the whole can do what they can");
	ok(strstr(kache_remote_info(tiers)->url, "/near, file://") != NULL, "and is called by their URLs");
	end();

	is_int(open_tiers("[[cache.remotes]]\nurl = \"file://@/a\"\n[[cache.remotes]]\nurl = \"file://@/b\"\nshare = \"x\"\n", &err),
	       KACHE_E_INVALID, "a bad option is told at once");
	ok(strstr(err.text, "c.toml:5: share = 'x' is not accepted") != NULL, "with its place");
	kache_conf_free(conf);
	is_int(open_tiers("[[cache.remotes]]\nurl = \"file://@/a\"\n[[cache.remotes]]\nurl = \"nowhere\"\n", &err), KACHE_E_INVALID,
	       "and a bad URL");
	ok(strstr(err.text, "c.toml:4: not a URL") != NULL, "too");
	kache_conf_free(conf);
	is_int(open_tiers("", &err), KACHE_E_INVALID, "no remote");
	kache_conf_free(conf);
	is_int(open_tiers("[cache]\nlocal_only = true\nremote.url = \"file://@/a\"\n", &err), KACHE_E_INVALID, "local_only");
	ok(strstr(err.text, "cache.local_only is set (") != NULL, "is told as the reason");
	kache_conf_free(conf);
}

static int count(void *arg, struct kb_key k, const struct kb_stat *st)
{
	(void)k;
	(void)st;
	++*(int *)arg;
	return KB_OK;
}

static void storing(void)
{
	struct kb_limits limits = { .struct_size = sizeof limits };
	int n = 0;

	with(TWO);
	is_int(put(key, KB_PUT_IF_ABSENT), KB_OK, "put");
	ok(has("near", key) && has("far", key), "goes to both");
	is_int(put(key, KB_PUT_IF_ABSENT), KB_EXISTS, "again: both have it");
	lose("far");
	is_int(put(key, KB_PUT_IF_ABSENT), KB_OK, "stored if one lacks it");
	lose("near");
	is_int(get(), KB_OK, "a get falls back to the farther one");
	ok(settle(), "in the background");
	ok(has("near", key), "the nearer one is given it");
	is_int(state(0)->filled, 1, "which is counted");
	lose("far");
	is_int(get(), KB_OK, "the next get is the nearer one's");
	is_int(atomic_load(&state(0)->stats->hits), 1, "by its counter");
	is_int(kache_remote_list(tiers, (struct kb_key){ "", 0 }, count, &n, call()), KB_OK, "a list");
	is_int(n, 1, "has what any of them has");
	is_int(kache_remote_ping(tiers, &limits, call()), KB_OK, "ping");
	ok(limits.caps & KB_CAP_WRITE, "says that one may write");
	is_int(kache_remote_del(tiers, key, call()), KB_OK, "del");
	ok(!has("near", key) && !has("far", key), "from both");
	end();
}

static void modes(void)
{
	static const struct kb_key big = { "p/big", 5 };

	with("[[cache.remotes]]\nurl = \"file://@/near\"\nmode = \"ro\"\n[[cache.remotes]]\nurl = \"file://@/far\"\n");
	is_int(put(key, 0), KB_OK, "put with a read-only one");
	ok(!has("near", key) && has("far", key), "leaves it alone");
	is_int(get(), KB_OK, "a get");
	ok(settle() && !has("near", key), "does so too");
	end();

	with("[cache.remote]\nmode = \"ro\"\n" TWO);
	is_int(put(key, 0), KB_E_AUTH, "nothing is stored where none may be written");
	ok(!kache_remote_info(tiers)->writable, "which is known");
	end();

	with("[[cache.remotes]]\nurl = \"file://@/near\"\nmax-object = 4\n[[cache.remotes]]\nurl = \"file://@/far\"\n");
	is_int(put(big, 0), KB_OK, "too large for one");
	ok(!has("near", big) && has("far", big), "the other takes it");
	is_int(get(), KB_OK, "a get of what the near one can't take");
	ok(settle(), "is done");
	is_int(state(0)->filled, 0, "it was not given it");
	is_int(state(0)->not_filled, 1, "which is counted");
	is_int(kache_remote_del(tiers, big, call()), KB_OK, "gone");
	end();
}

static void failing(void)
{
	struct kb_stat st;

	with(NEAR_ABSENT);
	is_int(get(), KB_OK, "a near one that can't be opened does not hide the far one");
	ok(strcmp(state(0)->state, "ok") && strcmp(state(0)->state, "not reached yet"), "it is known to be out");
	ok(strstr(state(0)->last_error, "/none") && state(0)->last_error_s > 0, "and why");
	is_str(state(1)->state, "ok", "the other one is fine");
	KACHE_AUTO_FREE char *none = kache_path_join(dir, "none");
	mkdir(none, 0755);
	is_int(get(), KB_OK, "it is left alone");
	ok(!state(0)->stats, "for a while");
	rmdir(none);
	is_int(put(key, 0), KB_OK, "what the other takes is stored");
	is_int(kache_remote_head(tiers, key, &st, call()), KB_OK, "head");
	is_int(st.size, sizeof data, "of the far one");
	is_int(kache_remote_del(tiers, key, call()) < 0, 1, "a del that did not reach all is none");
	ok(!has("far", key), "but went as far as it could");
	is_int(get() < 0, 1, "no miss is told where one could not be asked");
	end();
}

/* A sink that fails has to end it, not to start at the next one. */
static int no_begin(struct kb_sink *s, uint64_t size)
{
	(void)s;
	(void)size;
	return KB_E_LOCAL;
}

static int no_write(struct kb_sink *s, const void *buf, size_t len)
{
	(void)s;
	(void)buf;
	(void)len;
	return KB_E_LOCAL;
}

static void local_trouble(void)
{
	struct kb_sink sink = { .struct_size = sizeof sink, .fd = -1, .limit = 1 << 20, .begin = no_begin, .write = no_write };

	with(TWO);
	is_int(put(key, 0), KB_OK, "an object");
	is_int(kache_remote_get(tiers, key, &sink, call()), KB_E_LOCAL, "trouble on this side");
	ok(!state(1)->stats || !atomic_load(&state(1)->stats->errors), "is not tried with the next remote");
	end();
}

static void *one_get(void *arg)
{
	(void)arg;
	return get() == KB_OK ? NULL : tiers;
}

static void many_at_once(void)
{
	pthread_t t[16];
	size_t bad = 0;

	with(TWO);
	lose("near");
	for (size_t i = 0; i < 16; i++)
		if (pthread_create(&t[i], NULL, one_get, NULL))
			exit(99);
	for (size_t i = 0; i < 16; i++) {
		void *failed;

		pthread_join(t[i], &failed);
		bad += failed != NULL;
	}
	is_int(bad, 0, "sixteen threads at the first use");
	ok(settle() && has("near", key), "and one copy");
	end();
	with(TWO);
	lose("near");
	is_int(get(), KB_OK, "an end with a copy under way");
	end();
	ok(has("near", key), "waits for it a moment");
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
	(void)st;
	(void)what;
	(void)at;
	return remove(path);
}

int main(void)
{
	const char *builddir = getenv("builddir");
	KACHE_AUTO_FREE char *so = kache_asprintf("%s/backends/fs/.libs/kache-fs.so", builddir ? builddir : ".");
	KACHE_AUTO_FREE char *modules = NULL, *copy = NULL, *file = NULL, *store = NULL;
	KACHE_AUTO_BUF struct kache_buf module = KACHE_BUF_INIT;

	if (kache_file_read(so, 16 << 20, &module))
		skip_rest("the fs backend was left out of this build");
	kache_log_level = KACHE_LOG_ERROR;
	dir = tap_dir();
	modules = kache_path_join(dir, "m");
	copy = kache_path_join(modules, "kache-fs.so");
	file = kache_path_join(dir, "c.toml");
	store = kache_path_join(dir, "store");
	mkdir(modules, 0755);
	if (kache_file_replace(copy, module.data, module.len, 0755))
		return 99;
	for (char **e = environ; *e; e++)
		while (*e && !strncmp(*e, "KACHE_", 6)) {
			KACHE_AUTO_FREE char *name = kache_strndup(*e, strcspn(*e, "="));

			unsetenv(name);
		}
	setenv("KACHE_CONFIG", file, 1);
	setenv("KACHE_CACHE_DIR", store, 1);
	setenv("KACHE_PLUGIN_PATH", modules, 1);
	opening();
	storing();
	modes();
	failing();
	local_trouble();
	many_at_once();
	nftw(dir, remove_one, 16, FTW_PHYS | FTW_DEPTH);
	free(dir);
	return done();
}
