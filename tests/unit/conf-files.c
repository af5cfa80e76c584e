/* The system's file and the user's together: what a remote gets from both. The loader is compiled for this test, with
 * a system directory that is the working directory. */
#include "config.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"
#include "conf/conf.h"
#include "tap.h"

#include <unistd.h>

static void files(const char *system, const char *user)
{
	if (kache_file_replace("config.toml", system, strlen(system), 0644) || kache_file_replace("user.toml", user, strlen(user), 0644))
		exit(99);
}

/* "url[key=value,…] …" of the remotes in force, or the error without its directory. */
static char *remotes(void)
{
	const struct kache_conf_remote *r;
	struct kache_buf b = KACHE_BUF_INIT;
	struct kache_error err;
	struct kache_conf *c;
	size_t n;

	if (kache_conf_load("/", &c, &err)) {
		const char *tail = strstr(err.text, "user.toml:");

		return kache_strdup(tail ? tail : err.text);
	}
	n = kache_conf_remotes(c, &r);
	for (size_t i = 0; i < n; i++) {
		kache_buf_fmt(&b, "%s%s[", i ? " " : "", r[i].url);
		for (size_t k = 0; k < r[i].n_options; k++)
			kache_buf_fmt(&b, "%s%s=%s", k ? "," : "", r[i].options[k].key, r[i].options[k].value);
		kache_buf_ch(&b, ']');
	}
	kache_conf_free(c);
	return b.len ? kache_buf_steal(&b) : kache_strdup("");
}

static void together(const char *system, const char *user, const char *wanted, const char *name)
{
	KACHE_AUTO_FREE char *got = NULL;

	files(system, user);
	got = remotes();
	is_str(got, wanted, name);
}

#define SYSTEM "[cache.remote]\nurl = \"a://b\"\nsecret = \"s\"\nmode = \"ro\"\nretries = 1\n"
#define TIERS "[[cache.remotes]]\nurl = \"c://d\"\nx = 1\n[[cache.remotes]]\nurl = \"e://f\"\n"

int main(void)
{
	char *dir = tap_dir();
	KACHE_AUTO_FREE char *user = kache_path_join(dir, "user.toml");

	for (size_t i = 0; i < KACHE_CONF_COUNT; i++)
		if (kache_conf_schema((enum kache_conf_id)i)->env)
			unsetenv(kache_conf_schema((enum kache_conf_id)i)->env);
	setenv("KACHE_CONFIG", user, 1);
	setenv("HOME", dir, 1);
	if (chdir(dir))
		return 99;
	together(SYSTEM, "", "a://b[mode=ro,retries=1,secret=s]", "the system's remote");
	together(SYSTEM, "[cache.remote]\nx = 1\nmode = \"rw\"\n", "a://b[mode=rw,retries=1,secret=s,x=1]", "with options of the user");
	together(SYSTEM, "[cache.remote]\nurl = \"c://d\"\nx = 1\n", "c://d[x=1]", "another one of the user gets no secret of the system's");
	together(SYSTEM, "[cache.remote]\ntype = \"c\"\n", "c:[]", "also by its type");
	together("[cache.remote]\ntype = \"c\"\nsecret = \"s\"\n", "[cache.remote]\nurl = \"a://b\"\n", "a://b[]", "or in place of one by its type");
	together(SYSTEM, TIERS, "c://d[x=1] e://f[]", "several of the user in place of the system's one");
	together(TIERS, "[cache.remote]\nurl = \"a://b\"\n", "a://b[]", "one of the user in place of the system's several");
	together(TIERS, "[[cache.remotes]]\nurl = \"g://h\"\n", "g://h[]", "several in place of several");
	together(TIERS, "[cache]\nremotes = []\n", "", "or none");
	together(TIERS, "[cache.remote]\nmode = \"ro\"\n", "c://d[mode=ro,x=1] e://f[mode=ro]", "a mode for all");
	together(TIERS, "[cache.remote]\nx = 1\n",
		 "user.toml:2: cache.remote.x without a url, beside the [[cache.remotes]] of " KACHE_SYSCONFDIR "/config.toml:1",
		 "but no option for one of several");
	files("", "");
	unlink("config.toml");
	unlink("user.toml");
	if (chdir("/") || rmdir(dir))
		return 99;
	free(dir);
	return done();
}
