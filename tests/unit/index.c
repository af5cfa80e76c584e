/* core/store/index: the event log and the files of a store, as tables. */
#include "config.h"
#include "mkstore.h"

#include "store/gc.h"
#include "store/index.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/wait.h>

static char *dir;

static struct kache_index *open_index(struct kache_store *s, bool *rebuilt)
{
	struct kache_index *ix;
	struct kache_error err;

	if (kache_index_open(s, &ix, rebuilt, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(99);
	}
	return ix;
}

static struct kache_store *fresh(const char *name, char **path)
{
	*path = kache_path_join(dir, name);
	return mk_store(*path);
}

/* Totals of an index that is opened, and so brought up to date, just now. */
static struct kache_index_totals totals(struct kache_store *s, uint64_t since_ms)
{
	struct kache_index *ix = open_index(s, NULL);
	struct kache_index_totals t = { 0 };

	if (kache_index_totals(ix, since_ms, &t))
		t.hits = UINT64_MAX;
	kache_index_close(ix);
	return t;
}

static void append(struct kache_store *s, const char *text)
{
	kache_store_event(s, text, strlen(text));
}

static int first_reason(void *arg, const char *result, const char *reason, uint64_t count)
{
	snprintf(arg, 64, "%s %s %llu", result, reason, (unsigned long long)count);
	return 1;
}

static int first_miss(void *arg, const struct kache_index_event *e)
{
	snprintf(arg, 64, "%s %s %llu %d%d", e->result, e->crate, (unsigned long long)e->time_ms, e->has_key,
		 e->has_invocation);
	return 1;
}

static void test_events(void)
{
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_store *s = fresh("events", &path);
	struct kache_index_totals t;
	struct kache_index *ix;
	char text[64] = "";

	for (unsigned i = 0; i < 30; i++)
		mk_event(s, i % 3 ? "hit" : "miss", i, 1000 + i);
	append(s, "{\"result\":\"uncached\",\"reason\":\"network\",\"crate\":\"net\",\"kind\":\"lib\",\"time_ms\":2000}\n");
	append(s, "{\"result\":\"failed\",\"crate\":\"net\",\"kind\":\"probe\",\"time_ms\":2001}\n");
	t = totals(s, 0);
	ok(t.hits == 20 && t.misses == 10 && t.uncached == 1 && t.failed == 1, "every line is an event");
	is_int(t.saved_ms, 20 * 2000, "time saved");
	is_int(t.first_ms, 1000, "time of the first event");
	is_int(totals(s, 0).hits, 20, "nothing is counted twice");
	is_int(totals(s, 1015).hits, 10, "only what happened since then");
	append(s, "{\"result\":\"hi");
	is_int(totals(s, 0).hits, 20, "an unfinished line waits for its end");
	append(s, "{\"result\":\"hit\",\"crate\":\"late\",\"time_ms\":3000}\nnot json\n[1]\n{\"result\":5}\n\n");
	is_int(totals(s, 0).hits, 21, "the record behind a torn one is found, and litter is no event");
	ix = open_index(s, NULL);
	is_int(kache_index_reasons(ix, 0, first_reason, text), 0, "reasons");
	is_str(text, "uncached network 1", "by name");
	kache_index_misses(ix, "crate3", first_miss, text);
	is_str(text, "miss crate3 1003 11", "last miss of a crate");
	kache_index_misses(ix, "net", first_miss, text);
	is_str(text, "uncached net 2000 00", "a probe is no miss");
	kache_index_close(ix);
	kache_store_close(s);
}

/* A log that was renamed is folded to its end, also what comes late. */
static void test_rotation(void)
{
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_store *s = fresh("rotate", &path);
	KACHE_AUTO_FREE char *current = kache_store_file(s, "events/current.jsonl");
	KACHE_AUTO_FREE char *first = kache_store_file(s, "events/0000000001.jsonl");
	int late;

	for (unsigned i = 0; i < 4000; i++)
		mk_event(s, "hit", i, 1000 + i);
	late = open(current, O_WRONLY | O_APPEND | O_CLOEXEC);
	is_int(totals(s, 0).hits, 4000, "a long log");
	ok(!access(first, F_OK) && access(current, F_OK), "is renamed");
	mk_event(s, "hit", 1, 9000);
	ok(write(late, "{\"result\":\"hit\",\"time_ms\":9001}\n", 32) == 32, "a writer that opened it before appends");
	close(late);
	is_int(totals(s, 0).hits, 4002, "the late record and the one in the new log");
	ok(!access(first, F_OK), "a young log stays");
	is_int(totals(s, 0).hits, 4002, "nothing is counted twice");
	kache_store_close(s);
}

/* Old events are dropped and their sums stay. */
static void test_retention(void)
{
	enum { EVENTS = 107000 };
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_store *s = fresh("retention", &path);
	KACHE_AUTO_FREE char *current = kache_store_file(s, "events/current.jsonl");
	KACHE_AUTO_BUF struct kache_buf lines = KACHE_BUF_INIT;
	struct kache_index_totals t;
	char text[64] = "";
	struct kache_index *ix;

	for (unsigned i = 0; i < EVENTS; i++)
		kache_buf_fmt(&lines, "{\"result\":\"%s\",\"reason\":\"%s\",\"crate\":\"c%u\",\"kind\":\"lib\",\"time_ms\":%u,"
				      "\"compile_us\":1000,\"root\":\"/home/someone/project\"}\n",
			      i % 2 ? "hit" : "passthrough", i % 2 ? "" : "incremental", i % 50, 1000 + i);
	is_int(kache_file_replace(current, lines.data, lines.len, 0644), 0, "a very long log");
	for (int round = 0; round < 2; round++) {
		t = totals(s, 0);
		ok(t.hits == EVENTS / 2 && t.passthrough == EVENTS / 2 && t.saved_ms == EVENTS / 2 && t.first_ms == 1000,
		   "is counted in full");
	}
	ix = open_index(s, NULL);
	kache_index_reasons(ix, 0, first_reason, text);
	is_str(text, "passthrough incremental 53500", "reasons too");
	kache_index_close(ix);
	t = totals(s, 1001);
	is_int(t.hits + t.passthrough, 100000, "single events are kept for a while");
	kache_store_close(s);
}

struct listed {
	unsigned n;
	uint64_t hits, last_size, used_ms;
	bool falling;
};

static int count_one(void *arg, const struct kache_index_entry *e)
{
	struct listed *l = arg;

	l->falling &= !l->n || e->size <= l->last_size;
	l->last_size = e->size;
	l->n++;
	l->hits += e->hits;
	if (e->hits)
		l->used_ms = e->used_ms;
	return 0;
}

static struct listed list(struct kache_index *ix, const char *crate, enum kache_index_sort sort)
{
	struct listed l = { .falling = true };

	if (kache_index_entries(ix, crate, sort, count_one, &l))
		l.n = 0;
	return l;
}

static void check_files(struct kache_store *s, struct kache_index *ix, unsigned entries, const char *when)
{
	struct kache_index_totals t;

	kache_index_totals(ix, 0, &t);
	ok(t.entries == entries && list(ix, NULL, KACHE_SORT_NAME).n == entries && t.blobs == mk_count(s, "blobs"),
	   "%s: as on disk (%u entries)", when, entries);
}

struct keys {
	struct kache_hash v[40];
	unsigned n;
};

static int take_key(void *arg, const struct kache_hash *h)
{
	struct keys *k = arg;

	k->v[k->n++] = *h;
	return k->n == 40;
}

static void test_files(void)
{
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_store *s = fresh("files", &path);
	struct kache_hash key = mk_hash("key", 7), newest = mk_hash("invocation", 297);
	struct kache_index_totals t;
	struct kache_index *ix;
	struct keys keys = { .n = 0 };

	for (unsigned i = 0; i < 5; i++)	/* before anybody knows of the entry */
		mk_event(s, "hit", 7, 50000 + i);
	totals(s, 0);
	for (unsigned i = 0; i < 300; i++)
		mk_entry(s, i, 1000 + i);
	ix = open_index(s, NULL);
	check_files(s, ix, 300, "after 300 entries");
	kache_index_totals(ix, 0, &t);
	is_int(t.blob_bytes, 300 * MK_OWN + 75 * MK_SHARED, "each blob once");
	is_int(t.logical_bytes, 300 * (MK_OWN + MK_SHARED), "what it would be without sharing");
	is_int(list(ix, "crate7", KACHE_SORT_HITS).n, 30, "entries of a crate");
	is_int(list(ix, "package7", KACHE_SORT_HITS).hits, 5, "and of a package, with its hits");
	is_int(list(ix, NULL, KACHE_SORT_AGE).used_ms, 50004, "and its last use");
	is_int(kache_index_used(ix, &key), 50004, "which gc asks for");
	ok(list(ix, NULL, KACHE_SORT_SIZE).falling, "largest first");
	is_int(kache_index_invocations(ix, "crate7", "lib", take_key, &keys), 0, "invocations of a crate");
	ok(keys.n == 30 && kache_hash_eq(&keys.v[0], &newest), "newest first");
	kache_index_close(ix);
	kache_entry_remove(s, &key);
	mk_entry(s, 300, 5);
	ix = open_index(s, NULL);
	check_files(s, ix, 300, "one less, one more");
	is_int(list(ix, NULL, KACHE_SORT_NAME).hits, 0, "the hits went with the entry");
	kache_index_close(ix);
	kache_store_close(s);
}

/* An entry that is stored anew under its old key is read again. */
static void test_replaced(void)
{
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_store *s = fresh("replaced", &path);
	struct kache_index_totals t;
	struct kache_entry e;

	mk_entry(s, 1, 1000);
	t = totals(s, 0);
	is_int(t.logical_bytes, MK_OWN + MK_SHARED, "as it was");
	mk_fill(&e, 1, 2000);
	kache_entry_put(s, &e, NULL);
	kache_entry_release(&e);
	t = totals(s, 0);
	ok(t.entries == 1 && t.logical_bytes == 0, "as it is");
	kache_store_close(s);
}

/* As if the store had a million manifests more, and were no longer looked through every time. */
static void pretend_large(struct kache_store *s)
{
	KACHE_AUTO_FREE char *path = kache_store_file(s, "index.db");
	sqlite3 *db;

	ok(!sqlite3_open(path, &db) && !sqlite3_exec(db, "UPDATE sums SET n=n+1000000 WHERE kind=1", NULL, NULL, NULL), "a large store");
	sqlite3_close(db);
}

static void check_totals(struct kache_store *s, unsigned entries, unsigned blobs, const char *when)
{
	struct kache_index_totals t = totals(s, 0);

	ok(t.entries == entries && t.blobs == blobs && t.logical_bytes == entries * (uint64_t)(MK_OWN + MK_SHARED),
	   "%s: %u entries, %u blobs", when, entries, blobs);
}

/* A large store is known by what its events tell, until somebody removes things. */
static void test_large(void)
{
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_store *s = fresh("large", &path);
	struct kache_hash gone = mk_hash("key", 3), late = mk_hash("key", 24);
	struct kache_error err;
	int lock;

	for (unsigned i = 0; i < 20; i++)
		mk_entry(s, i, 1000 + i);
	check_totals(s, 20, 25, "looked through");
	pretend_large(s);
	for (unsigned i = 20; i < 25; i++)
		mk_entry(s, i, 1000 + i);
	check_totals(s, 20, 25, "what nobody tells of is not looked for");
	mk_event(s, "miss", 20, 5000);
	check_totals(s, 21, 27, "compiled");
	mk_event(s, "stored", 21, 5001);
	check_totals(s, 22, 28, "pulled");
	is_int(totals(s, 0).misses, 1, "which is no call of a compiler");
	mk_event(s, "hit", 22, 5002);
	mk_event(s, "hit", 22, 5003);
	check_totals(s, 23, 29, "met for the first time");
	kache_entry_remove(s, &gone);
	check_totals(s, 23, 29, "removed by hand");
	kache_entry_remove(s, &late);
	mk_event(s, "miss", 24, 5004);
	mk_event(s, "miss", 3, 5004);
	check_totals(s, 22, 29, "events of what is gone");
	is_int(kache_gc_lock(s, &lock, &err), 0, "somebody removes things");
	kache_entry_remove(s, &late);
	kache_gc_mark(lock);
	close(lock);
	check_totals(s, 23, (unsigned)mk_count(s, "blobs"), "looked through again");
	kache_store_close(s);
}

static int add_name(void *arg, const char *package)
{
	strcat(strcat(arg, package), " ");
	return strlen(arg) > 400;
}

static int add_entry(void *arg, const struct kache_hash *key, const struct kache_hash *invocation, uint64_t size)
{
	const struct kache_hash wanted = mk_hash("invocation", 12), its = mk_hash("key", 12);

	*(uint64_t *)arg += size;
	return kache_hash_eq(&its, key) && !kache_hash_eq(&wanted, invocation);
}

static void test_packages(void)
{
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_store *s = fresh("packages", &path);
	struct kache_index *ix = open_index(s, NULL);
	struct kache_index_totals t;
	char names[500] = "";
	uint64_t bytes = 0;

	is_int(kache_index_packages(ix, add_name, names), 0, "no packages");
	ok(!*names && !kache_index_oldest(ix) && !kache_index_swept(ix), "of an empty store");
	kache_index_close(ix);
	for (unsigned i = 10; i < 14; i++)
		mk_entry(s, i, 1000 + i);
	mk_entry(s, 22, 2000);
	ix = open_index(s, NULL);
	is_int(kache_index_packages(ix, add_name, names), 0, "packages");
	is_str(names, "package0 package1 package2 package3 ", "each once");
	is_int(kache_index_of_package(ix, "package2", add_entry, &bytes), 0, "entries of one");
	is_int(bytes, 2 * (MK_OWN + MK_SHARED), "both");
	ok(kache_index_oldest(ix) > mk_now_ms() - 600000, "an entry is used when it is stored");
	kache_index_totals(ix, 0, &t);
	ok(t.file_bytes > t.blob_bytes + 5 * 200 && t.file_bytes < t.blob_bytes + 5 * 2000, "entries and manifests are counted too");
	kache_index_set_swept(ix, 77);
	kache_index_close(ix);
	ix = open_index(s, NULL);
	ok(kache_index_current(ix) && kache_index_swept(ix) == 77, "when gc was last there is kept");
	kache_index_close(ix);
	kache_store_close(s);
}

static void damage(const char *path, off_t at, size_t len)
{
	KACHE_AUTO_FREE char *junk = kache_calloc(1, len);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	memset(junk, 0x5a, len);
	ok(pwrite(fd, junk, len, at) == (ssize_t)len, "damage index.db at %lld", (long long)at);
	close(fd);
}

static void test_damage(void)
{
	static const struct { off_t at; size_t len; const char *what; } cases[] = {
		{ 0, 100, "no database at all" }, { 100, 3000, "schema" }, { 4096, 16384, "tables" },
	};
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_store *s = fresh("damage", &path);
	KACHE_AUTO_FREE char *db = kache_store_file(s, "index.db"), *aside = kache_store_file(s, "index.db.damaged");
	struct kache_index *ix;
	bool rebuilt;

	for (unsigned i = 0; i < 40; i++)
		mk_entry(s, i, 1000 + i);
	for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
		unlink(aside);
		totals(s, 0);
		damage(db, cases[k].at, cases[k].len);
		ix = open_index(s, &rebuilt);
		ok(rebuilt && !access(aside, F_OK), "%s: a new one took its place", cases[k].what);
		check_files(s, ix, 40, cases[k].what);
		kache_index_close(ix);
		kache_index_close(open_index(s, &rebuilt));
		ok(!rebuilt, "and is sound");
	}
	kache_store_close(s);
}

static void test_readonly(void)
{
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_store *s = fresh("readonly", &path);
	KACHE_AUTO_FREE char *db = kache_store_file(s, "index.db");
	struct kache_index *ix;
	unsigned files;

	for (unsigned i = 0; i < 20; i++)
		mk_entry(s, i, 1000 + i);
	mk_event(s, "hit", 3, 5000);
	totals(s, 0);
	mk_event(s, "hit", 3, 6000);
	files = (unsigned)mk_count(s, "events");
	s->readonly = true;
	ix = open_index(s, NULL);
	check_files(s, ix, 20, "read-only");
	is_int(list(ix, NULL, KACHE_SORT_NAME).hits, 2, "events of before and since");
	kache_index_close(ix);
	unlink(db);
	ix = open_index(s, NULL);
	check_files(s, ix, 20, "read-only, no index");
	ok(access(db, F_OK) && mk_count(s, "events") == files, "nothing was written");
	kache_index_close(ix);
	kache_store_close(s);
}

/* Many writers, many folders, all at once: every event is counted once. */
static void test_together(void)
{
	enum { WRITERS = 3, FOLDERS = 3, EACH = 1500 };
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_store *s = fresh("together", &path);
	struct kache_index *ix;
	int bad = 0, status;

	for (int p = 0; p < WRITERS + FOLDERS; p++) {
		if (fork())
			continue;
		if (p < WRITERS) {
			for (unsigned i = 0; i < EACH; i++)
				mk_event(s, "hit", i, 1000 + i);
			_exit(0);
		}
		for (int i = 0; i < 20; i++) {
			if (kache_index_open(s, &ix, NULL, NULL))
				_exit(1);
			kache_index_close(ix);
		}
		_exit(0);
	}
	while (wait(&status) > 0)
		bad += status != 0;
	is_int(bad, 0, "everybody ended well");
	is_int(totals(s, 0).hits, WRITERS * EACH, "every event once");
	kache_store_close(s);
}

/* kill -9 while folding: offset and rows are one transaction. */
static void test_killed(void)
{
	enum { EVENTS = 20000 };
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_store *s = fresh("killed", &path);
	struct kache_index *ix;
	bool rebuilt;

	for (unsigned i = 0; i < EVENTS; i++)
		mk_event(s, "hit", i, 1000 + i);
	for (int i = 0; i < 12; i++) {
		pid_t pid = fork();

		if (!pid) {
			kache_index_open(s, &ix, NULL, NULL);
			_exit(0);
		}
		usleep((unsigned)(i * 17000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	ix = open_index(s, &rebuilt);
	ok(!rebuilt, "the index is sound after all of them");
	kache_index_close(ix);
	is_int(totals(s, 0).hits, EVENTS, "every event once");
	kache_store_close(s);
}

static void test_locked_and_newer(void)
{
	KACHE_AUTO_FREE char *path = NULL;
	struct kache_store *s = fresh("locked", &path);
	KACHE_AUTO_FREE char *lock = kache_store_file(s, "events/fold.lock"), *db = kache_store_file(s, "index.db");
	struct kache_index *ix;
	bool rebuilt;
	int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	mk_event(s, "hit", 1, 1000);
	flock(fd, LOCK_EX);
	is_int(totals(s, 0).hits, 0, "what somebody else is folding is left to them");
	close(fd);
	is_int(totals(s, 0).hits, 1, "and folded when they are gone");
	mk_event(s, "hit", 1, 2000);
	damage(db, 60, 4);	/* user_version in the header (sqlite.org/fileformat.html, 1.3) */
	ix = open_index(s, &rebuilt);
	ok(!rebuilt && !access(db, F_OK), "an index of a newer kache is left alone");
	kache_index_close(ix);
	is_int(totals(s, 0).hits, 2, "and what is there is counted beside it");
	kache_store_close(s);
}

int main(void)
{
	dir = tap_dir();
	test_events();
	test_rotation();
	test_retention();
	test_files();
	test_replaced();
	test_large();
	test_packages();
	test_damage();
	test_readonly();
	test_together();
	test_killed();
	test_locked_and_newer();
	mk_remove(dir);
	free(dir);
	return done();
}
