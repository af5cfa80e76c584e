/* Settings: precedence, origins, types, and what is said about bad ones. */
#include "config.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"
#include "conf/conf.h"
#include "tap.h"

#include <sys/stat.h>
#include <unistd.h>

static char *dir;		/* home of the test */
static char *deep;		/* the cwd below it */

static void put(const char *name, const char *text)
{
	KACHE_AUTO_FREE char *path = kache_path_join(dir, name);

	if (kache_file_replace(path, text, strlen(text), 0644)) {
		perror(path);
		exit(99);
	}
}

static void drop(const char *name)
{
	KACHE_AUTO_FREE char *path = kache_path_join(dir, name);

	unlink(path);
}

static struct kache_conf *load(void)
{
	struct kache_error err = { 0 };
	struct kache_conf *c;

	if (!kache_conf_load(deep, &c, &err))
		return c;
	printf("# %s\n", err.text);
	return NULL;
}

/* The load fails with "<dir>/<text>", or with text itself where that names no file. */
static void refuses(const char *text, const char *name)
{
	struct kache_error err = { 0 };
	struct kache_conf *c = NULL;
	int rc = kache_conf_load(deep, &c, &err);
	KACHE_AUTO_FREE char *wanted = kache_path_join(dir, text);

	if (!ok(rc == KACHE_E_INVALID && !c && (!strcmp(err.text, wanted) || !strcmp(err.text, text)), "%s", name))
		printf("# got    %s\n# wanted %s\n", err.text, text);
	kache_conf_free(c);
}

static void defaults(void)
{
	struct kache_conf *c = load();
	KACHE_AUTO_FREE char *cache = kache_path_join(dir, ".cache/kache");

	ok(c != NULL, "no file at all is fine");
	is_str(kache_conf_str(c, KACHE_CONF_CACHE_DIR), cache, "the store is below HOME");
	is_str(kache_conf_origin(c, KACHE_CONF_CACHE_DIR), "default", "by default");
	is_int(kache_conf_u64(c, KACHE_CONF_MAX_SIZE), 50000000000, "50GB are decimal");
	is_int(kache_conf_u64(c, KACHE_CONF_COMPRESSION), 1, "a number");
	is_int(kache_conf_bool(c, KACHE_CONF_EXECUTABLES), true, "a switch");
	is_str(kache_conf_str(c, KACHE_CONF_LINK), "auto", "a word");
	ok(!kache_conf_str(c, KACHE_CONF_KEY_SALT), "unset text is NULL");
	is_int(kache_conf_list(c, KACHE_CONF_EXCLUDE)->n, 0, "an unset list is empty");
	kache_conf_free(c);

	setenv("XDG_CACHE_HOME", "/x/cache", 1);
	c = load();
	is_str(kache_conf_str(c, KACHE_CONF_CACHE_DIR), "/x/cache/kache", "XDG_CACHE_HOME moves the store");
	kache_conf_free(c);
	unsetenv("XDG_CACHE_HOME");
}

static void precedence(void)
{
	struct kache_conf *c;
	KACHE_AUTO_FREE char *user = kache_path_join(dir, ".config/kache/config.toml:3");
	KACHE_AUTO_FREE char *project = kache_path_join(dir, "p/.kache.toml");
	unsigned line;

	put(".config/kache/config.toml", "[cache]\nlink = \"copy\"\nlocal_max_size = \"1GiB\"\nexclude = [\"u1\", \"u2\"]\n"
					 "key_salt = \"s\"\nlocal_store = \"~/store\"\n[cache.remote]\nurl = \"file:///m\"\n"
					 "endpoint = \"e\"\nconcurrency = 8\ntls = true\n");
	put(".kache.toml", "[cache]\nlink = \"reflink\"\nlocal_max_size = 1\n");
	put("p/.kache.toml", "# c\ncache.exclude = [\"p1\"]\ncache.link = \"hardlink\"\n");
	c = load();
	is_int(kache_conf_u64(c, KACHE_CONF_MAX_SIZE), 1 << 30, "the user's file counts; only the nearest project file does");
	is_str(kache_conf_origin(c, KACHE_CONF_MAX_SIZE), user, "with file and line");
	is_str(kache_conf_str(c, KACHE_CONF_LINK), "hardlink", "a project's file counts more");
	is_str(kache_conf_origin_file(c, KACHE_CONF_LINK, &line), project, "and is the origin");
	is_int(line, 3, "with its line");
	is_int(kache_conf_list(c, KACHE_CONF_EXCLUDE)->n, 1, "a list replaces a list");
	is_str(kache_conf_str(c, KACHE_CONF_KEY_SALT), "s", "what the project does not say stays");
	is_str(kache_path_base(kache_conf_str(c, KACHE_CONF_CACHE_DIR)), "store", "a tilde is the home directory");
	ok(kache_conf_str(c, KACHE_CONF_CACHE_DIR)[0] == '/', "expanded");
	kache_conf_free(c);

	setenv("KACHE_LINK", "auto", 1);
	setenv("KACHE_MAX_SIZE", "", 1);
	c = load();
	is_str(kache_conf_str(c, KACHE_CONF_LINK), "auto", "a variable counts most");
	is_str(kache_conf_origin(c, KACHE_CONF_LINK), "environment KACHE_LINK", "and is named");
	ok(!kache_conf_origin_file(c, KACHE_CONF_LINK, &line), "it has no file");
	is_int(kache_conf_u64(c, KACHE_CONF_MAX_SIZE), 1 << 30, "an empty variable is none");
	kache_conf_free(c);
	unsetenv("KACHE_LINK");
	unsetenv("KACHE_MAX_SIZE");
}

static void lists_and_pairs(void)
{
	const struct kache_conf_pair *pair;
	struct kache_conf *c;
	KACHE_AUTO_FREE char *shown = NULL;

	setenv("KACHE_KEY_ENV", "A, B,,C", 1);
	setenv("KACHE_PLUGIN_PATH", "/a:/b", 1);
	setenv("KACHE_BASE_DIR", "/d,e:/f", 1);
	c = load();
	is_int(kache_conf_list(c, KACHE_CONF_KEY_ENV)->n, 3, "names are separated by commas");
	is_str(kache_conf_list(c, KACHE_CONF_KEY_ENV)->v[1], "B", "and trimmed");
	is_str(kache_conf_list(c, KACHE_CONF_PLUGIN_PATH)->v[1], "/b", "directories by colons");
	is_str(kache_conf_list(c, KACHE_CONF_BASE_DIRS)->v[0], "/d,e", "and may hold commas");
	shown = kache_conf_show(c, KACHE_CONF_KEY_ENV);
	is_str(shown, "A, B, C", "lists are shown");
	is_int(kache_conf_remote(c, &pair), 3, "other keys of [cache.remote] are the backend's");
	is_str(pair[1].key, "concurrency", "by name");
	is_str(pair[1].value, "8", "numbers as text");
	is_str(pair[2].value, "true", "switches too");
	kache_conf_free(c);
	unsetenv("KACHE_KEY_ENV");
	unsetenv("KACHE_PLUGIN_PATH");
	setenv("KACHE_BASE_DIR", "/a:b", 1);
	refuses("KACHE_BASE_DIR: paths.base_dirs holds 'b'; accepted are absolute paths", "a relative one in a variable leads nowhere");
	unsetenv("KACHE_BASE_DIR");
}

/* A file names its own place without knowing it. */
static void paths_of_files(void)
{
	KACHE_AUTO_FREE char *here = kache_path_join(dir, "p"), *below = kache_path_join(dir, "p/build");
	const struct kache_strs *list;
	struct kache_conf *c;

	put("p/.kache.toml", "[paths]\nbase_dirs = [\".\", \"build\", \"/x\"]\n");
	c = load();
	list = kache_conf_list(c, KACHE_CONF_BASE_DIRS);
	is_int(list->n, 3, "three paths");
	is_str(list->v[0], here, "where the file lies");
	is_str(list->v[1], below, "below it");
	is_str(list->v[2], "/x", "and elsewhere");
	kache_conf_free(c);
	drop("p/.kache.toml");
}

static void refusals(void)
{
	static const struct {
		const char *text, *error;
	} user[] = {
		{ "[cache]\nlnik = \"copy\"\n", "2: unknown key cache.lnik; did you mean cache.link?" },
		{ "zzz = 1\n", "1: unknown key zzz; `kache config list` shows all" },
		{ "[cache]\nlink = 3\n", "2: cache.link is of type integer; it wants a string" },
		{ "[cache]\nlink = \"x\"\n", "2: cache.link is 'x'; accepted are auto|reflink|hardlink|copy" },
		{ "[cache]\nlocal_max_size = \"10XB\"\n", "2: cache.local_max_size is '10XB'; accepted are sizes such as 50GiB, 10GB or 512MiB" },
		{ "[cache]\ncompression_level = 20\n", "2: cache.compression_level is '20'; accepted are whole numbers 1..19" },
		{ "[cache]\ncompression_level = 0\n", "2: cache.compression_level is '0'; accepted are whole numbers 1..19" },
		{ "[cache]\ncompression_level = -1\n", "2: cache.compression_level is '-1'; accepted are whole numbers 1..19" },
		{ "[cache]\ncache_executables = \"yes\"\n", "2: cache.cache_executables is of type string; it wants true or false" },
		{ "[cache]\nexclude = \"a\"\n", "2: cache.exclude is of type string; it wants an array of strings" },
		{ "[cache]\nexclude = [1]\n", "2: cache.exclude is of type array; it wants an array of strings" },
		{ "[cache]\nlocal_store = \"x\"\n", "2: cache.local_store is 'x'; accepted are absolute paths" },
		{ "[cache]\nkey_salt = \"a\\u0000b\"\n", "2: cache.key_salt holds a NUL character" },
		{ "\"cache.link\" = \"copy\"\n", "1: unknown key \"cache.link\"" },
		{ "[cache]\n\"link\\u0000x\" = \"copy\"\n", "2: unknown key \"link\"" },
		{ "[cache.remote]\nx = 1.5\n", "2: cache.remote.x wants a string, a whole number, true or false" },
		{ "[cache.remote]\nurl = \"file:///a\"\ntype = \"s3\"\n", "3: cache.remote.type beside the url of line 2; one of them says what the remote is" },
		{ "[cache.remote]\ntype = \"S 3\"\n", "2: cache.remote.type is 'S 3'; accepted is what a URL begins with, such as s3" },
		{ "[cache.remote]\ntimeout = 3\n", "2: cache.remote.timeout is of type integer; it wants a string such as \"3s\"" },
		{ "[cache.remote]\ntimeout = \"2h\"\n", "2: cache.remote.timeout is '2h'; accepted are times such as 500ms or 3s, in milliseconds 1..3600000" },
		{ "[cache.remote]\nurl = \"file:///a\"\n[[cache.remotes]]\nurl = \"file:///b\"\n",
		  "2: cache.remote.url beside the [[cache.remotes]] of line 3; a single remote is [cache.remote], several are [[cache.remotes]] alone" },
		{ "[[cache.remotes]]\nurl = \"file:///b\"\n[cache.remote]\nmode = \"ro\"\nregion = \"x\"\n",
		  "5: cache.remote.region beside the [[cache.remotes]] of line 1; a single remote is [cache.remote], several are [[cache.remotes]] alone" },
		{ "[cache.remotes]\nurl = \"file:///b\"\n", "1: cache.remotes is an array of tables, each of them [[cache.remotes]]" },
		{ "[cache]\nremotes = [\"file:///b\"]\n", "2: cache.remotes is an array of tables, each of them [[cache.remotes]]" },
		{ "[[cache.remotes]]\nname = \"x\"\n", "1: a table of cache.remotes needs a url, or a type with options" },
		{ "[[cache.remotes]]\nurl = \"file:///a\"\nx = []\n", "3: cache.remotes.x wants a string, a whole number, true or false" },
		{ "[[cache.remotes]]\nurl = 3\n", "2: cache.remotes.url wants a string" },
		{ "[[cache.remotes]]\nurl = \"a:\"\ntype = \"b\"\n", "3: cache.remotes.type beside the url of line 2; one of them says what the remote is" },
		{ "[cache\n", "1: ']' is expected at the end of a table's name" },
	};

	drop("p/.kache.toml");
	drop(".kache.toml");
	for (size_t i = 0; i < sizeof user / sizeof *user; i++) {
		KACHE_AUTO_FREE char *wanted = kache_asprintf(".config/kache/config.toml:%s", user[i].error);

		put(".config/kache/config.toml", user[i].text);
		refuses(wanted, user[i].error);
	}
	drop(".config/kache/config.toml");

	put("p/.kache.toml", "[cache]\nlocal_store = \"/x\"\n");
	refuses("p/.kache.toml:2: a project file may not set cache.local_store; it belongs in the user's file or the environment",
		"a project does not choose the store");
	put("p/.kache.toml", "[cache.remote]\nendpoint = \"/x\"\n");
	refuses("p/.kache.toml:2: a project file may not set cache.remote.endpoint", "nor the remote");
	put("p/.kache.toml", "[[cache.remotes]]\nurl = \"file:///x\"\n");
	refuses("p/.kache.toml:1: a project file may not set cache.remotes", "nor several");
	put("p/.kache.toml", "[cache.remote]\ntype = \"s3\"\n");
	refuses("p/.kache.toml:2: a project file may not set cache.remote.type; it belongs in the user's file or the environment",
		"nor what kind of remote");
	drop("p/.kache.toml");

	setenv("KACHE_DISABLED", "maybe", 1);
	refuses("KACHE_DISABLED: KACHE_DISABLED is 'maybe'; accepted are true and false", "a bad variable is named");
	unsetenv("KACHE_DISABLED");
	setenv("KACHE_CONFIG", "/nonexistent/c.toml", 1);
	refuses("KACHE_CONFIG: there is no file /nonexistent/c.toml", "a named file has to be there");
	unsetenv("KACHE_CONFIG");
	setenv("HOME", "", 1);
	refuses("no cache directory: none of KACHE_CACHE_DIR, XDG_CACHE_HOME, HOME is set", "without a home there is no store");
	setenv("HOME", dir, 1);
}

/* "url[key=value …] …" of the remotes in force. */
static char *remotes(void)
{
	const struct kache_conf_remote *r;
	struct kache_buf b = KACHE_BUF_INIT;
	struct kache_conf *c = load();
	size_t n = c ? kache_conf_remotes(c, &r) : 0;

	kache_buf_str(&b, c ? "" : "refused");
	for (size_t i = 0; i < n; i++) {
		kache_buf_fmt(&b, "%s%s", i ? " " : "", r[i].url);
		for (size_t k = 0; k < r[i].n_options; k++)
			kache_buf_fmt(&b, "%c%s=%s", k ? ',' : '[', r[i].options[k].key, r[i].options[k].value);
		kache_buf_str(&b, r[i].n_options ? "]" : "");
	}
	if (c && kache_conf_has_remote(c) != (n > 0))
		kache_buf_str(&b, " but has_remote does not agree");
	kache_conf_free(c);
	return kache_buf_steal(&b);
}

static void remotes_are(const char *user, const char *wanted, const char *name)
{
	KACHE_AUTO_FREE char *got = NULL;

	put(".config/kache/config.toml", user);
	got = remotes();
	is_str(got, wanted, name);
}

static void remotes_of_files(void)
{
	remotes_are("", "", "no remote");
	remotes_are("[cache.remote]\nmode = \"ro\"\n", "", "settings name none");
	remotes_are("[cache.remote]\nx = 1\nurl = \"a://b\"\nretries = 7\n", "a://b[retries=7,x=1]", "one with options");
	remotes_are("[cache.remote]\ntype = \"s3\"\nbucket = \"b\"\n", "s3:[bucket=b]", "a type in place of a URL");
	remotes_are("[[cache.remotes]]\nurl = \"a://b\"\nmode = \"ro\"\n[[cache.remotes]]\nname = \"n\"\ntype = \"s3\"\nbucket = \"b\"\n",
		    "a://b[mode=ro] s3:[bucket=b]", "several");
	remotes_are("[cache]\nremotes = [{url = \"a://b\"}, {url = \"c://d\", t = true}]\n", "a://b c://d[t=true]", "on one line");
	remotes_are("[cache.remote]\nmode = \"ro\"\n[[cache.remotes]]\nurl = \"a://b\"\n[[cache.remotes]]\nurl = \"c://d\"\nmode = \"rw\"\n",
		    "a://b[mode=ro] c://d[mode=rw]", "with a mode for those that have none");
	remotes_are("[cache]\nlocal_only = true\nremote.url = \"a://b\"\n", "", "local_only");
}

static void remotes_of_variables(void)
{
	static const char file[] = "[cache.remote]\nurl = \"a://b\"\nsecret = \"x\"\nmode = \"ro\"\n";
	static const char *const names[] = { "KACHE_S3_PREFIX", "KACHE_S3_BUCKET", "KACHE_MEMCACHED", "KACHE_REDIS", "KACHE_BACKEND", NULL };
	struct kache_conf *c;

	setenv("KACHE_S3_PREFIX", "p", 1);
	remotes_are(file, "a://b[mode=ro,secret=x]", "a prefix alone selects nothing");
	setenv("KACHE_S3_BUCKET", "b", 1);
	remotes_are(file, "s3://b[prefix=p]", "a bucket does, and gets no options of another remote");
	c = load();
	is_str(kache_conf_str(c, KACHE_CONF_REMOTE_MODE), "rw", "nor its mode");
	kache_conf_free(c);
	setenv("KACHE_MEMCACHED", "h:1,i:2", 1);
	remotes_are(file, "memcached://h:1,i:2", "Memcached before that");
	setenv("KACHE_MEMCACHED", "/run/m.sock", 1);
	remotes_are(file, "memcached+unix:///run/m.sock", "by its socket");
	setenv("KACHE_REDIS", "h:1", 1);
	remotes_are(file, "redis://h:1", "Redis before that");
	setenv("KACHE_REDIS", "/run/r.sock", 1);
	remotes_are(file, "unix:///run/r.sock", "by its socket");
	setenv("KACHE_REDIS", "rediss://u:p@h", 1);
	remotes_are(file, "rediss://u:p@h", "by URL");
	setenv("KACHE_BACKEND", " c://d\te://f ", 1);
	remotes_are("[[cache.remotes]]\nurl = \"a://b\"\n", "c://d e://f", "KACHE_BACKEND first, with several");
	setenv("KACHE_LOCAL_ONLY", "1", 1);
	remotes_are(file, "", "KACHE_LOCAL_ONLY");
	unsetenv("KACHE_LOCAL_ONLY");
	for (const char *const *n = names; *n; n++)
		unsetenv(*n);
	setenv("KACHE_REMOTE_TIMEOUT", "250ms", 1);
	c = load();
	is_int(kache_conf_u64(c, KACHE_CONF_REMOTE_TIMEOUT), 250, "times are in milliseconds");
	kache_conf_free(c);
	unsetenv("KACHE_REMOTE_TIMEOUT");
}

static void collect(void *ctx, const char *problem)
{
	kache_buf_fmt(ctx, "%s\n", problem);
}

static void big_and_strange_files(void)
{
	KACHE_AUTO_BUF struct kache_buf big = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *file = kache_path_join(dir, "p/.kache.toml");
	struct kache_conf *c;

	while (big.len <= KACHE_CONF_FILE_MAX)
		kache_buf_str(&big, "# a comment\n");
	put("p/.kache.toml", big.data);
	KACHE_AUTO_FREE char *text = kache_asprintf("configuration %s: larger than 128 KiB", file);
	refuses(text, "a huge file is refused");
	drop("p/.kache.toml");
	mkdir(file, 0755);
	KACHE_AUTO_FREE char *is_dir = kache_asprintf("configuration %s: Is a directory", file);
	refuses(is_dir, "a directory is no file");
	rmdir(file);
	c = load();
	ok(c != NULL, "all is well again");
	kache_conf_free(c);
}

static void checking(void)
{
	static const char twice[] = "[cache.remote]\nurl = \"a\"\nx = 1\n[[cache.remotes]]\nname = \"n\"\n";
	static const char text[] = "[cache]\nlink = 1\nfoo = 2\n[log]\nlevel = \"debug\"\n[paths]\nbase_dir = []\n";
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_error err;

	is_int(kache_conf_check_text("f", text, strlen(text), false, collect, &b), 3, "a check tells all problems");
	is_str(b.data, "f:2: cache.link is of type integer; it wants a string\nf:3: unknown key cache.foo; did you mean cache.link?\n"
		       "f:7: unknown key paths.base_dir; did you mean paths.base_dirs?\n", "each with its line");
	kache_buf_reset(&b);
	is_int(kache_conf_check_text("f", "a = \nb = \n", 10, false, collect, &b), 1, "of the syntax the first");
	is_str(b.data, "f:1: a value is expected\n", "with its line");
	kache_buf_reset(&b);
	is_int(kache_conf_check_text("f", twice, strlen(twice), false, collect, &b), 2, "what does not go together is one problem of several");
	ok(strstr(b.data, "\nf:4: a table of cache.remotes needs a url, or a type with options\n") != NULL, "of which the others are told too");
	kache_buf_reset(&b);
	setenv("KACHE_LINK", "x", 1);
	setenv("KACHE_LOG", "x", 1);
	is_int(kache_conf_check_environment(collect, &b), 2, "variables are checked");
	unsetenv("KACHE_LINK");
	unsetenv("KACHE_LOG");
	is_int(kache_conf_check_value(KACHE_CONF_LINK, "x", &err), KACHE_E_INVALID, "a value alone is checked");
	is_str(err.text, "cache.link is 'x'; accepted are auto|reflink|hardlink|copy", "and told without a place");
	is_int(kache_conf_check_value(KACHE_CONF_MAX_SIZE, "5GB", &err), 0, "or accepted");
}

static void sizes(void)
{
	static const struct {
		const char *text;
		long long bytes;
	} cases[] = { { "0", 0 }, { "123", 123 }, { "50GB", 50000000000 }, { "50GiB", 53687091200 }, { "1.5 MiB", 1572864 },
		      { "2kb", 2000 }, { "", -1 }, { "GB", -1 }, { "-1", -1 }, { "1e3XB", -1 }, { "0x10", -1 }, { "nan", -1 },
		      { "99999999999TB", -1 }, { "5 apples", -1 }, { "0.000001TiB", 1099511 }, { "1.0000009GB", 1000000000 },
		      { "0.999999999TiB", 1099510528264 }, { "8EiB", -1 }, { "8388607TiB", 9223370937343148032 }, { "8388608TiB", -1 },
		      { "99999999999999999999", -1 }, { "1.", -1 }, { "1.GB", -1 }, { ".5GB", -1 }, { "1.5.5GB", -1 }, { "1e3", -1 } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t n = 0;
		int rc = kache_parse_size(cases[i].text, &n);

		ok(cases[i].bytes < 0 ? rc == KACHE_E_INVALID : !rc && n == (uint64_t)cases[i].bytes, "size '%s'", cases[i].text);
	}
}

static void durations(void)
{
	static const struct {
		const char *text;
		long long seconds;
	} cases[] = { { "45s", 45 }, { "30m", 1800 }, { "24h", 86400 }, { "7d", 604800 }, { "2w", 1209600 }, { "0s", 0 },
		      { "1.5h", 5400 }, { "10 m", 600 }, { "90", -1 }, { "", -1 }, { "d", -1 }, { "-1d", -1 }, { "1y", -1 },
		      { "1h30m", -1 }, { " 1h", -1 }, { "0x1h", -1 }, { "infs", -1 }, { "99999999999999999w", -1 } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t n = 0;
		int rc = kache_parse_duration(cases[i].text, &n);

		ok(cases[i].seconds < 0 ? rc == KACHE_E_INVALID : !rc && n == (uint64_t)cases[i].seconds,
		   "duration '%s'", cases[i].text);
	}
}

static void msecs(void)
{
	static const struct {
		const char *text;
		long long ms;
	} cases[] = { { "500ms", 500 }, { "3s", 3000 }, { "1.5s", 1500 }, { "2m", 120000 }, { "1h", 3600000 }, { "1d", 86400000 },
		      { "3", -1 }, { "", -1 }, { "ms", -1 }, { "-1s", -1 }, { "3w", -1 } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t n = 0;
		int rc = kache_parse_msec(cases[i].text, &n);

		ok(cases[i].ms < 0 ? rc == KACHE_E_INVALID : !rc && n == (uint64_t)cases[i].ms, "time '%s'", cases[i].text);
	}
}

static void shown_sizes(void)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = { { 0, "0 B" }, { 1023, "1023 B" }, { 1024, "1.0 KiB" }, { 1503238554, "1.4 GiB" },
		      { (uint64_t)5000 << 40, "5000.0 TiB" } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		KACHE_AUTO_FREE char *text = kache_show_size(cases[i].bytes);

		is_str(text, cases[i].text, cases[i].text);
	}
}

int main(void)
{
	static const char *const foreign[] = { "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "KACHE_CONFIG" };

	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
		unsetenv(foreign[i]);
	for (size_t i = 0; i < KACHE_CONF_COUNT; i++)
		if (kache_conf_schema((enum kache_conf_id)i)->env)
			unsetenv(kache_conf_schema((enum kache_conf_id)i)->env);
	dir = tap_dir();
	deep = kache_path_join(dir, "p/a/b/c");
	kache_mkdirs(deep, 0755);
	setenv("HOME", dir, 1);
	defaults();
	precedence();
	lists_and_pairs();
	paths_of_files();
	refusals();
	remotes_of_files();
	remotes_of_variables();
	drop(".config/kache/config.toml");
	big_and_strange_files();
	checking();
	sizes();
	durations();
	shown_sizes();
	msecs();
	for (const char *const *p = (const char *const[]){ "p/a/b/c", "p/a/b", "p/a", "p", ".config/kache", ".config", "", NULL }; *p; p++) {
		KACHE_AUTO_FREE char *path = kache_path_join(dir, *p);

		rmdir(path);
	}
	free(deep);
	free(dir);
	return done();
}
