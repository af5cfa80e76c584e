/* core/store/gc: what goes, what stays, and that neither death nor a publisher at work breaks a store. */
#include "config.h"
#include "tap.h"

#include "base/clock.h"
#include "base/path.h"
#include "store/gc.h"
#include "store/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *dir;
static struct kache_store *s;
static struct kache_error err;

static struct kache_hash key_of(const char *label, int n)
{
	KACHE_AUTO_FREE char *text = kache_asprintf("%s %d", label, n);
	struct kache_hash h;

	kache_hash_bytes(text, strlen(text), &h);
	return h;
}

static void add_blob(struct kache_entry *e, const char *name, const char *text, size_t size)
{
	KACHE_AUTO_FREE char *file = kache_path_join(dir, "blob.tmp");
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_output *o = kache_entry_add_output(e);

	kache_buf_str(&b, text);
	memset(kache_buf_reserve(&b, size), 'x', size);
	b.len = size;
	kache_file_replace(file, b.data, b.len, 0644);
	o->name = kache_strdup(name);
	o->role = KACHE_ROLE_RLIB;
	o->mode = 0644;
	kache_blob_put_file(s, file, KACHE_LINKING_NOT, &o->blob, &o->size, &err);
}

/* Entry n: a blob of its own of `size` bytes, one that all share, a manifest that leads to it; last
 * touched `age` seconds ago. */
static struct kache_hash publish(int n, const char *crate, size_t size, int64_t age)
{
	KACHE_AUTO_FREE char *text = kache_asprintf("own %d ", n);
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_hash key = key_of("entry", n);
	struct kache_entry e = {
		.key = key, .invocation = key_of("call", n / 2), .crate = kache_strdup(crate),
		.package = kache_strdup(crate), .created_ms = 1,
	};
	struct kache_manifest m = { .invocation = e.invocation, .crate = kache_strdup(crate) };
	struct kache_input_set set = { .result = key, .n = 1, .inputs = kache_calloc(1, sizeof *set.inputs) };
	struct timespec times[2];

	add_blob(&e, "own", text, size);
	add_blob(&e, "shared", "shared", 1000);
	kache_entry_put(s, &e, &err);
	set.inputs[0] = (struct kache_input){ .kind = KACHE_INPUT_FILE, .name = kache_manifest_name(&m, text) };
	kache_manifest_add(&m, &set);
	kache_manifest_update(s, &m, &err);
	if (age >= 0) {
		path = kache_store_path(s, "entries", &key);
		clock_gettime(CLOCK_REALTIME, &times[0]);
		times[0].tv_sec -= age;
		times[1] = times[0];
		utimensat(AT_FDCWD, path, times, 0);
	}
	kache_entry_release(&e);
	kache_manifest_release(&m);
	return key;
}

static bool has(const char *kind, const struct kache_hash *h)
{
	KACHE_AUTO_FREE char *path = kache_store_path(s, kind, h);

	return !access(path, F_OK);
}

struct census {
	int objects, temps, missing;
};

static int count(void *arg, const struct kache_scan_item *item)
{
	struct census *c = arg;

	c->objects += item->what == KACHE_SCAN_OBJECT;
	c->temps += item->what == KACHE_SCAN_TEMP;
	return 0;
}

static int files(const char *kind)
{
	struct census c = { 0 };

	kache_scan(s, kind, count, &c, &err);
	return c.objects;
}

static int count_missing(void *arg, const struct kache_scan_item *item)
{
	struct census *c = arg;
	struct kache_entry e;

	if (item->what != KACHE_SCAN_OBJECT || kache_scan_entry(item, &e))
		return 0;
	for (size_t i = 0; i < e.n_outputs; i++)
		c->missing += !has("blobs", &e.outputs[i].blob);
	kache_entry_release(&e);
	return 0;
}

/* Blobs that entries need and that are not there. */
static int missing(void)
{
	struct census c = { 0 };

	kache_scan(s, "entries", count_missing, &c, &err);
	return c.missing;
}

static struct kache_gc_options eager(void)
{
	struct kache_gc_options o = KACHE_GC_OPTIONS_INIT;

	o.spare_s = o.grace_s = 0;
	return o;
}

static void test_size(void)
{
	struct kache_gc_options o = eager();
	struct kache_gc_report r, dry;
	struct kache_hash k[10];
	int wrong = 0;

	for (int i = 0; i < 10; i++)
		k[i] = publish(i, "c", 10000, 1000 - i);
	is_int(kache_gc(s, &o, &r, &err), 0, "gc without bounds");
	ok(!r.entries_removed && !r.blobs_removed && !r.bytes_freed && r.entries_left == 10, "removes nothing");
	ok(r.bytes_before > 101000 && r.bytes_before < 115000, "counts each blob once");
	o.max_size = 60000;
	o.dry_run = true;
	is_int(kache_gc(s, &o, &dry, &err), 0, "dry run");
	is_int(files("entries"), 10, "leaves all entries");
	ok(files("blobs") == 11 && files("manifests") == 5, "and the rest");
	o.dry_run = false;
	is_int(kache_gc(s, &o, &r, &err), 0, "gc down to a size");
	ok(r.bytes_after <= 54000 && r.bytes_after > 40000, "ends below nine tenths of it");
	ok(!memcmp(&r, &dry, sizeof r), "and as the dry run said");
	for (size_t i = 0; i < 10; i++)
		wrong += has("entries", &k[i]) != (i >= 10 - r.entries_left);
	is_int(wrong, 0, "oldest first");
	is_int(files("entries"), r.entries_left, "the report counts what is left");
	is_int(files("blobs"), r.entries_left + 1, "blobs go with their entries, the shared one stays");
	is_int(missing(), 0, "nothing needed is missing");
	is_int(files("manifests"), (r.entries_left + 1) / 2, "manifests that lead nowhere go");
	is_int(kache_gc(s, &o, &r, &err), 0, "again");
	ok(!r.entries_removed && !r.manifests_removed && !r.sets_removed, "there is nothing left to do");
}

static uint64_t used(void *arg, const struct kache_hash *key)
{
	const struct kache_hash *recent = arg;

	return kache_hash_eq(key, recent) ? (uint64_t)kache_now_real() / 1000000 - 60000 : 0;
}

static void test_use(void)
{
	struct kache_gc_options o = eager();
	struct kache_gc_report r;
	struct kache_hash old = publish(20, "c", 100, 90000), other = publish(21, "c", 100, 80000);

	o.last_used = used;
	o.arg = &old;
	o.max_age_s = 86400;
	publish(22, "c", 100, 90000);
	is_int(kache_gc(s, &o, &r, &err), 0, "gc by age");
	ok(has("entries", &old) && has("entries", &other), "use and creation keep an entry young");
	is_int(r.entries_removed, 1, "the one that is too old goes");
	o.max_age_s = 3600;
	o.spare_s = 300;
	is_int(kache_gc(s, &o, &r, &err), 0, "gc by a shorter age");
	ok(has("entries", &old) && !has("entries", &other), "the one used a minute ago stays");
	o.max_age_s = 0;
	o.max_size = 1;
	kache_gc(s, &o, &r, &err);
	ok(has("entries", &old), "whatever the size");
	o.spare_s = 30;
	kache_gc(s, &o, &r, &err);
	ok(!has("entries", &old), "but not for ever");
}

static bool is_b(void *arg, const struct kache_entry *e)
{
	(void)arg;
	return !strcmp(e->crate, "b");
}

static bool is_d(void *arg, const struct kache_entry *e)
{
	(void)arg;
	return !strcmp(e->crate, "d");
}

/* Somebody compiles and stores anew just what gc is about to remove. */
static bool stores_anew(void *arg, const struct kache_entry *e)
{
	(void)arg;
	(void)e;
	publish(30, "a", 50, -1);
	return true;
}

static void test_graces(void)
{
	struct kache_gc_options o = eager();
	struct kache_gc_report r;
	struct kache_hash a = publish(30, "a", 50, 1000), b = publish(32, "b", 60, 1000);
	char *temp = kache_store_temp(s), *litter = kache_path_join(dir, "store/entries/aa/.kache-1-1");
	char *top = kache_path_join(dir, "store/.kache-1-1");
	struct census c = { 0 };

	o.doomed = is_b;
	o.grace_s = 600;
	is_int(kache_gc(s, &o, &r, &err), 0, "gc of chosen entries");
	ok(has("entries", &a) && !has("entries", &b), "the chosen one goes");
	is_int(r.blobs_removed, 0, "its blob, just touched, stays");
	o.grace_s = 0;
	kache_gc(s, &o, &r, &err);
	is_int(r.blobs_removed, 1, "until the grace is over");
	o.grace_s = 600;
	publish(34, "b", 70, 1000);
	publish(36, "d", 80, 1000);
	o.doomed = is_d;
	kache_gc(s, &o, &r, &err);
	is_int(r.blobs_removed, 0, "another blob is left over");
	o.doomed = is_b;
	o.at_once = true;
	kache_gc(s, &o, &r, &err);
	ok(r.entries_removed == 1 && r.blobs_removed == 1, "at once: blobs of what goes now, no others");
	o.at_once = false;
	o.grace_s = 0;
	o.doomed = stores_anew;
	kache_gc(s, &o, &r, &err);
	ok(has("entries", &a) && !missing(), "an entry that was stored anew meanwhile stays");
	o.doomed = NULL;
	kache_file_replace(temp, "t", 1, 0600);
	kache_file_replace(litter, "t", 1, 0600);
	kache_file_replace(top, "t", 1, 0600);
	kache_gc(s, &o, &r, &err);
	is_int(r.temps_removed, 0, "young leftovers stay");
	o.temp_age_s = 0;
	kache_gc(s, &o, &r, &err);
	is_int(r.temps_removed, 3, "old ones go");
	kache_scan(s, "tmp", count, &c, &err);
	kache_scan(s, "entries", count, &c, &err);
	is_int(c.temps, 0, "all of them");
	free(temp);
	free(litter);
	free(top);
}

static void test_damage(void)
{
	struct kache_gc_options o = eager();
	struct kache_gc_report r;
	struct kache_hash a = publish(40, "a", 50, 1000), call = key_of("call", 20);
	char *entry = kache_store_path(s, "entries", &a), *manifest = kache_store_path(s, "manifests", &call);
	char *shards = kache_path_join(dir, "store/entries"), *away = kache_path_join(dir, "away");
	struct timespec times[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	int blobs;

	kache_file_replace(entry, "rubbish", 7, 0644);
	kache_file_replace(manifest, "rubbish", 7, 0644);
	utimensat(AT_FDCWD, entry, times, 0);
	is_int(kache_gc(s, &o, &r, &err), 0, "gc of a damaged store");
	ok(!has("entries", &a) && !has("manifests", &call), "what does not decode goes");
	publish(41, "a", 50, 1000);
	blobs = files("blobs");
	if (rename(shards, away) || symlink(away, shards))
		perror(away);
	is_int(kache_gc(s, &o, &r, &err), KACHE_E_IO, "entries that can't be listed stop it");
	is_int(files("blobs"), blobs, "before any blob is lost");
	unlink(shards);
	if (rename(away, shards))
		perror(shards);
	free(entry);
	free(manifest);
	free(shards);
	free(away);
}

static void test_lock(void)
{
	struct kache_gc_options o = eager();
	struct kache_gc_report r;
	int fd, tell[2];
	char c;
	pid_t pid;

	is_int(kache_gc_lock(s, &fd, &err), 0, "locked");
	is_int(kache_gc(s, &o, &r, &err), KACHE_E_BUSY, "one at a time");
	o.dry_run = true;
	is_int(kache_gc(s, &o, &r, &err), 0, "a dry run needs no lock");
	close(fd);
	if (pipe(tell))
		exit(99);
	pid = fork();
	if (!pid) {
		if (kache_gc_lock(s, &fd, &err) || write(tell[1], "l", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	ok(read(tell[0], &c, 1) == 1, "another process has it");
	is_int(kache_gc_lock(s, &fd, &err), KACHE_E_BUSY, "busy");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	is_int(kache_gc_lock(s, &fd, &err), 0, "a killed holder leaves no lock");
	close(fd);
	close(tell[0]);
	close(tell[1]);
}

static int64_t lock_time(void)
{
	KACHE_AUTO_FREE char *path = kache_path_join(dir, "store/gc.lock");
	struct kache_stat st = { 0 };

	kache_stat(path, false, &st);
	return st.mtime;
}

/* What the index goes by: the lock tells of removals, and of nothing else. */
static void test_mark(void)
{
	struct kache_gc_options o = eager();
	struct kache_gc_report r;
	struct kache_hash a = publish(50, "m", 50, 1000);
	const struct timespec tick = { .tv_nsec = 20000000 };
	char *temp = kache_store_temp(s);
	int64_t before;

	kache_gc(s, &o, &r, &err);
	nanosleep(&tick, NULL);
	before = lock_time();
	kache_file_replace(temp, "t", 1, 0600);
	o.temp_age_s = 0;
	is_int(kache_gc_leftovers(s, &o, &r, &err), 0, "leftovers");
	ok(r.temps_removed == 1 && access(temp, F_OK), "go");
	is_int(kache_gc(s, &o, &r, &err), 0, "gc with nothing to do");
	ok(r.entries_left > 0 && has("entries", &a) && lock_time() == before, "leaves the lock as it was");
	o.max_size = 1;
	o.dry_run = true;
	kache_gc(s, &o, &r, &err);
	ok(r.entries_removed > 0 && lock_time() == before, "so does a dry run");
	o.dry_run = false;
	o.grace_s = 600;
	kache_gc(s, &o, &r, &err);
	ok(!has("entries", &a) && lock_time() > before, "one that removes something marks it");
	ok(r.blobs_in_grace > 0, "and tells what it left for now");
	o.grace_s = 0;
	kache_gc(s, &o, &r, &err);
	is_int(r.blobs_in_grace, 0, "nothing at last");
	free(temp);
}

/* A gc that is killed after a random while, again and again. */
static void test_kill(void)
{
	int bad = 0, ended = 0;
	struct kache_gc_options o = eager();
	struct kache_gc_report r;
	unsigned seed = 12345;

	for (int round = 0; round < 40; round++) {
		struct timespec wait = { 0 };
		int status;
		pid_t pid;

		for (int i = 0; i < 30; i++)
			publish(100 + i, "k", 5000, 1000 - i);
		seed = seed * 1103515245 + 12345;
		wait.tv_nsec = (seed >> 8) % 6000000;
		pid = fork();
		if (!pid) {
			o.max_size = 20000;
			_exit(kache_gc(s, &o, &r, &err) != 0);
		}
		nanosleep(&wait, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		ended += WIFEXITED(status);
		bad += missing();
	}
	printf("# %d of 40 had ended before\n", ended);
	is_int(bad, 0, "a killed gc leaves no entry without its blobs");
	is_int(kache_gc(s, &o, &r, &err), 0, "the next one goes through");
	is_int(files("blobs"), r.entries_left + 1, "and takes what was left over");
}

/* A publisher and a gc with the real graces, both as fast as they can. */
static void test_publisher(void)
{
	struct kache_gc_options o = KACHE_GC_OPTIONS_INIT;
	struct kache_gc_report r;
	uint64_t removed = 0;
	int status, rc = 0;
	pid_t pid;

	o.spare_s = 0;
	o.max_size = 30000;
	pid = fork();
	if (!pid) {
		for (int round = 0; round < 20; round++)
			for (int i = 0; i < 30; i++)
				publish(200 + i, "p", 5000, -1);
		_exit(0);
	}
	while (!waitpid(pid, &status, WNOHANG)) {
		rc |= kache_gc(s, &o, &r, &err);
		removed += r.entries_removed;
	}
	is_int(rc, 0, "gc beside a publisher");
	ok(removed > 0, "which removed entries");
	is_int(missing(), 0, "whose blobs stayed");
	rc = kache_gc(s, &o, &r, &err);
	ok(!rc && r.entries_left > 0, "and some entries");
}

int main(void)
{
	KACHE_AUTO_FREE char *root = NULL;
	char n[16];

	dir = tap_dir();
	root = kache_path_join(dir, "store");
	if (kache_store_open(root, true, &s, &err)) {
		printf("Bail out! %s\n", err.text);
		return 1;
	}
	test_size();
	test_use();
	test_graces();
	test_damage();
	test_lock();
	test_mark();
	test_kill();
	test_publisher();
	kache_store_close(s);
	snprintf(n, sizeof n, "%d", tap_count);
	fflush(stdout);
	if (tap_failed)
		return done();
	execl("/bin/sh", "sh", "-c", "echo 1..$1; exec rm -rf \"$2\"", "sh", n, dir, NULL);
	return 1;
}
