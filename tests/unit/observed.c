/* core/observe/observed.c: reading the log of a compiler run. */
#include "config.h"
#include "tap.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "observe/observe.h"

#include <sys/stat.h>
#include <unistd.h>

static char *dir;

/* Records are separated by '|' here; '~' stands for the scratch directory. */
static int read_log(const char *records, struct kache_observed *o)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/log", dir);

	for (const char *p = records; *p; p++) {
		if (*p == '~')
			kache_buf_str(&b, dir);
		else
			kache_buf_ch(&b, *p == '|' ? '\0' : *p);
	}
	if (kache_file_replace(path, b.data ? b.data : "", b.len, 0666))
		return 1;
	return kache_observed_read(path, o);
}

static char *join(const struct kache_strs *s)
{
	struct kache_buf b = KACHE_BUF_INIT;

	for (size_t i = 0; i < s->n; i++) {
		if (i)
			kache_buf_ch(&b, ' ');
		kache_buf_str(&b, !strncmp(s->v[i], dir, strlen(dir)) ? s->v[i] + strlen(dir) : s->v[i]);
	}
	return kache_buf_steal(&b);
}

static void is_list(const struct kache_strs *s, const char *want, const char *name)
{
	KACHE_AUTO_FREE char *got = join(s);

	is_str(got, want, name);
}

static void test_lists(void)
{
	struct kache_observed o;

	is_int(read_log("B/bin/true|R/b|R/a|R/b|A/m|P/p|L/d|S/s|O/pipe|U/u|W/v|U/v|EV|EU|EV|W/w|R/w|R/r|W/r|Ninet|Clocaltime|T/bin/true|T/bin/true|K/m.so|GA=/m.so|GB=/m.so|GA=/m.so|M/m.so|H/b.so|H/a.so|H/a.so|Vx|", &o), 0,
	       "a log is read");
	is_list(&o.reads, "/a /b /r", "reads: sorted, once, without what was written first");
	is_list(&o.absent, "/m", "absent");
	is_list(&o.present, "/p", "present");
	is_list(&o.lookers, "/m.so", "who looked at files");
	is_list(&o.asked, "A=/m.so B=/m.so", "who asked for which variable");
	is_list(&o.machines, "/m.so", "who asked for the machine");
	is_list(&o.placed, "/a.so /b.so", "who asked where it is");
	is_list(&o.lists, "/d", "lists");
	is_list(&o.links, "/s", "links");
	is_list(&o.others, "/pipe", "others");
	is_list(&o.denied, "/u", "denied");
	is_list(&o.env, "U V", "env");
	is_list(&o.writes, "/r /v /w", "writes");
	is_list(&o.programs, "/bin/true", "programs");
	is_list(&o.clocks, "/bin/true", "who asked for the time");
	ok(o.environment, "any variable may count");
	ok(o.network && o.calendar && !o.blind, "network and calendar, not blind");
	kache_observed_release(&o);
	ok(!o.reads.n && !o.blind_why, "released");

	is_int(read_log("B/x|A/o|P/q|W/o|R/o|P/o|W/q|A/q|A/d/z|D/d|R/d/f|A/d/g|P/d|W/d/f|L/d-e|R/e|D/e|R/e/f|", &o), 0,
	       "a log of a run that writes");
	is_list(&o.reads, "/e /e/f", "not what was written or is in a directory that was made");
	is_list(&o.absent, "/d/z /o", "absent before it was written");
	is_list(&o.present, "/q", "present before it was written");
	is_list(&o.lists, "/d-e", "a name that begins like a made directory is not in it");
	is_list(&o.writes, "/d /d/f /e /o /q", "made directories are writes");
	kache_observed_release(&o);
}

static void test_paths(void)
{
	KACHE_AUTO_FREE char *real = kache_asprintf("%s/real", dir), *sub = kache_asprintf("%s/real/sub", dir);
	KACHE_AUTO_FREE char *link = kache_asprintf("%s/link", dir), *twin = kache_asprintf("%s/twin", dir);
	struct kache_observed o;

	ok(!mkdir(real, 0777) && !mkdir(sub, 0777) && !symlink("real/sub", link) && !symlink("real", twin),
	   "directories and links");
	is_int(read_log("B/x|R~//a/./b/|R~/real/sub/../c|R~/link/../d|R~/twin/sub/../k|A~/none/../e|A~/link/../f|A~/real/gone/x/../g|"
			"R/none/../h|R/..|R/...|", &o), 0, "untidy paths");
	is_list(&o.reads, "/ /... /h /a/b /real/c /real/d /twin/k", "'..' by text, but not out of a link");
	is_list(&o.absent, "/none /real/f /real/gone", "what was missing is the directory before '..'");
	is_list(&o.climbs, "/.. /none/.. /link/.. /none/.. /real/gone/x/.. /real/sub/.. /twin/sub/..", "and each '..' as it was given");
	is_str(o.blind_why, "/none is gone", "where it was a link nobody can tell what was read");
	kache_observed_release(&o);
	is_int(read_log("B/x|D~/made|R~/made/../h|A~/gone/../g|", &o), 0, "a directory of its own that is gone");
	ok(!o.blind, "is no such");
	kache_observed_release(&o);
}

static void write_file(const char *name, const char *text)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/%s", dir, name);

	kache_file_replace(path, text, strlen(text), 0777);
}

static void test_blind(void)
{
	static const struct { const char *log, *why, *name; } cases[] = {
		{ "", "no program reported", "an empty log is blind" },
		{ "R/a|", "no program reported", "so is one without a program" },
		{ "B/x|!because|!else|", "because", "a '!' record is the reason" },
		{ "B/x|X~/elf|", "/elf did not report", "a program that did not report" },
		{ "B/x|X~/elf|F~/elf|", NULL, "one that could not be started" },
		{ "B/x|X~/elf|F~/elf|X~/elf|", "/elf did not report", "one that was started at last" },
		{ "B/x|F~/elf|X~/elf|F~/elf|X~/elf|X~/elf|", "/elf did not report", "failures count one by one" },
		{ "B/x|X~/elf|B~/elf|", NULL, "one that reported" },
		{ "B/x|X~/alias|B~/elf|", NULL, "one that reported by its real name" },
		{ "B/x|X~/gone|B~/gone (deleted)|", NULL, "one that is gone" },
		{ "B/x|X~/gone|B~/gone2|", "/gone did not report", "a name is compared as a whole" },
		{ "B/x|X~/script|", "/script did not report", "a script without its interpreter" },
		{ "B/x|X~/script|B~/elf|", NULL, "a script with its interpreter" },
		{ "B/x|X~/script2|B~/elf|", NULL, "an interpreter that is a script" },
		{ "B/x|X~/loop|", "/loop did not report", "a script that is its own interpreter" },
		{ "B/x|xelf|X~/elf|B~/elf|", NULL, "one that was searched and found" },
		{ "B/x|xelf|", "elf was started from an unknown place", "one that was searched, who knows where" },
		{ "B/x|xelf|felf|", NULL, "one that was searched in vain" },
	};

	write_file("elf", "\177ELF...");
	KACHE_AUTO_FREE char *elf = kache_asprintf("%s/elf", dir), *alias = kache_asprintf("%s/alias", dir);
	KACHE_AUTO_FREE char *one = kache_asprintf("#! %s -x\n", elf);
	KACHE_AUTO_FREE char *two = kache_asprintf("#!%s/script\n", dir);
	KACHE_AUTO_FREE char *loop = kache_asprintf("#!%s/loop\n", dir);

	ok(!symlink(elf, alias), "an alias");
	write_file("script", one);
	write_file("script2", two);
	write_file("loop", loop);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct kache_observed o;
		const char *why, *want = cases[i].why;

		is_int(read_log(cases[i].log, &o), 0, "a log is read");
		why = o.blind_why && !strncmp(o.blind_why, dir, strlen(dir)) ? o.blind_why + strlen(dir) : o.blind_why;
		ok(o.blind == !!want && !!why == !!want && (!want || !strcmp(why, want)), "%s", cases[i].name);
		if (why && (!want || strcmp(why, want)))
			printf("# got %s\n", why);
		kache_observed_release(&o);
	}
}

static void test_hostile(void)
{
	static const char *const bad[] = {
		"B/x|R/a", "R", "|", "||", "B/x||", "R|", "Rrelative|", "Brelative|", "Q/a|", "B/x|\xff/|", "E|", "B/x|R/a|W",
	};
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *log = kache_asprintf("%s/log", dir), *none = kache_asprintf("%s/none", dir);
	struct kache_observed o;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		is_int(read_log(bad[i], &o), KACHE_E_CORRUPT, bad[i]);
		ok(!o.programs.n && !o.reads.v, "and nothing of it is kept");
	}
	is_int(kache_observed_read(none, &o), KACHE_E_IO, "a log that is not there");
	kache_buf_add(&b, "B/x", 4);
	for (int i = 0; i < 100000; i++) {
		kache_buf_fmt(&b, "%c/a/%d/../%d/", "RAPLWD"[i % 6], i % 977, i % 5003);
		kache_buf_ch(&b, '\0');
	}
	kache_file_replace(log, b.data, b.len, 0666);
	is_int(kache_observed_read(log, &o), 0, "a hundred thousand records");
	ok(o.reads.n + o.absent.n > 0, "are read");
	kache_observed_release(&o);
	for (size_t len = 0; len < 600; len++) {
		kache_file_replace(log, b.data, len, 0666);
		if ((kache_observed_read(log, &o) == 0) != (len == 0 || b.data[len - 1] == '\0'))
			ok(0, "truncated after %zu bytes", len);
		kache_observed_release(&o);
	}
}

int main(void)
{
	dir = tap_dir();
	test_lists();
	test_paths();
	test_blind();
	test_hostile();
	if (!tap_failed && !strncmp(dir, "/", 1)) {
		KACHE_AUTO_FREE char *command = kache_asprintf("%s/log", dir);
		static const char *const left[] = { "elf", "alias", "script", "script2", "loop", "link", "twin", "real/sub", "real" };

		unlink(command);
		for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
			KACHE_AUTO_FREE char *path = kache_asprintf("%s/%s", dir, left[i]);

			remove(path);
		}
		rmdir(dir);
	}
	free(dir);
	return done();
}
