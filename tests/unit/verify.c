/* core/store/verify: every kind of damage is told, and repair leaves a sound store. */
#include "config.h"
#include "tap.h"

#include "base/path.h"
#include "store/gc.h"
#include "store/verify.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES = 12 };

static char *dir;
static struct kache_store *s;
static struct kache_error err;
static struct kache_hash entries[ENTRIES], blobs[ENTRIES], calls[ENTRIES];

static char *at(const char *name)
{
	return kache_path_join(dir, name);
}

/* Entry i with one blob and a manifest of its own. */
static void publish(int i)
{
	KACHE_AUTO_FREE char *file = at("file");
	KACHE_AUTO_FREE char *text = kache_asprintf("content of %d", i);
	struct kache_entry e = { .crate = kache_strdup("c"), .package = kache_strdup("c") };
	struct kache_output *o = kache_entry_add_output(&e);
	struct kache_manifest m = { .crate = kache_strdup("c") };
	struct kache_input_set set = { .n = 1, .inputs = kache_calloc(1, sizeof *set.inputs) };

	kache_file_replace(file, text, strlen(text), i & 1 ? 0755 : 0644);
	o->name = kache_strdup("o");
	o->role = i & 1 ? KACHE_ROLE_EXE : KACHE_ROLE_RLIB;
	o->mode = i & 1 ? 0755 : 0644;
	kache_blob_put_file(s, file, KACHE_LINKING_NOT, &o->blob, &o->size, &err);
	blobs[i] = o->blob;
	kache_hash_bytes(&i, sizeof i, &entries[i]);
	kache_hash_bytes(text, 4, &calls[i]);
	memcpy(calls[i].b, &i, sizeof i);
	e.key = set.result = entries[i];
	e.invocation = m.invocation = calls[i];
	kache_entry_put(s, &e, &err);
	set.inputs[0] = (struct kache_input){ .kind = KACHE_INPUT_FILE, .name = kache_manifest_name(&m, "n") };
	kache_manifest_add(&m, &set);
	kache_manifest_put(s, &m, &err);
	kache_entry_release(&e);
	kache_manifest_release(&m);
}

static char *entry(int i)
{
	return kache_store_path(s, "entries", &entries[i]);
}

static char *blob(int i)
{
	return kache_store_path(s, "blobs", &blobs[i]);
}

static bool gone(char *path)
{
	bool is = access(path, F_OK) != 0;

	free(path);
	return is;
}

/* Rewrites a blob in place, and where `hide` is set gives it the right time again, as no honest program would. */
static void scribble(char *path, const char *text, bool hide)
{
	const struct timespec times[2] = { { .tv_sec = KACHE_BLOB_TIME }, { .tv_sec = KACHE_BLOB_TIME } };
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || kache_write_all(fd, text, strlen(text)) || (hide && futimens(fd, times)))
		perror(path);
	close(fd);
	free(path);
}

static void damage(void)
{
	char *path, *other;

	path = entry(0);			/* corrupt entry */
	kache_file_replace(path, "KENT rubbish", 12, 0644);
	free(path);
	path = entry(1);			/* a good entry under another's name */
	other = entry(2);
	unlink(path);
	ok(!link(other, path), "entry under a wrong name");
	free(path);
	free(other);
	path = blob(3);				/* missing */
	unlink(path);
	free(path);
	path = blob(4);
	scribble(kache_strdup(path), "content of 4 and more", true);
	free(path);
	scribble(blob(5), "CONTENT", true);	/* content */
	scribble(blob(6), "CONTENT", false);	/* time */
	path = blob(10);
	utimensat(AT_FDCWD, path, NULL, 0);	/* touched, and sound all the same */
	free(path);
	path = blob(7);
	chmod(path, 0600);
	free(path);
	path = kache_store_path(s, "manifests", &calls[8]);
	kache_file_replace(path, "", 0, 0644);
	free(path);
	path = entry(9);			/* blob 9 an orphan, manifest 9 dangling */
	unlink(path);
	free(path);
	path = at("store/blobs/zz");
	mkdir(path, 0777);
	free(path);
	path = at("store/entries/00");
	kache_mkdirs(path, 0777);
	free(path);
	path = at("store/entries/00/note.txt");
	kache_file_replace(path, "n", 1, 0644);
	free(path);
	path = at("store/notes");
	ok(!symlink("/", path), "a symlink to everything");
	free(path);
}

static unsigned seen[KACHE_PROBLEM_KINDS], harmful;

static void each(void *arg, const struct kache_problem *p)
{
	(void)arg;
	seen[p->kind]++;
	harmful += p->harmful;
	if (!p->path || access(p->path, F_OK) + p->repaired > 0)
		printf("# %s\n", p->path);
}

static void test_sound(void)
{
	struct kache_verify_options o = { .checksums = true };
	struct kache_verify_report r;

	is_int(kache_verify(s, &o, &r, &err), 0, "a sound store");
	is_int(r.problems + r.remarks, 0, "has no problem");
	is_int(r.entries + r.blobs + r.manifests, 3 * ENTRIES, "all was looked at");
	ok(r.hashed_bytes == r.blob_bytes && r.blob_bytes > ENTRIES * 12, "and all blobs were hashed");
}

static void test_found(void)
{
	struct kache_verify_options o = { .each = each, .threads = 4 };
	struct kache_verify_report r;

	is_int(kache_verify(s, &o, &r, &err), 0, "a damaged store");
	is_int(seen[KACHE_PROBLEM_ENTRY_CORRUPT], 2, "corrupt and misnamed entries");
	is_int(seen[KACHE_PROBLEM_BLOB_MISSING], 1, "missing blob");
	is_int(seen[KACHE_PROBLEM_BLOB_SIZE], 1, "size");
	is_int(seen[KACHE_PROBLEM_BLOB_TIME], 1, "time");
	is_int(seen[KACHE_PROBLEM_BLOB_MODE], 1, "mode");
	is_int(seen[KACHE_PROBLEM_BLOB_CONTENT], 0, "contents are not read unless asked for");
	is_int(seen[KACHE_PROBLEM_MANIFEST_CORRUPT], 1, "corrupt manifest");
	is_int(seen[KACHE_PROBLEM_ORPHAN], 3, "blobs of lost entries");
	is_int(seen[KACHE_PROBLEM_DANGLING], 1, "dangling set");
	is_int(seen[KACHE_PROBLEM_FOREIGN], 3, "foreign things");
	ok(r.problems == harmful && !r.repaired && !r.blobs_removed, "counted, nothing repaired");
	o.checksums = true;
	is_int(kache_verify(s, &o, &r, &err), 0, "with checksums");
	is_int(r.found[KACHE_PROBLEM_BLOB_CONTENT], 1, "content");
	is_int(r.problems, 8, "all problems");
}

static void test_repair(void)
{
	struct kache_verify_options o = { .checksums = true, .repair = true };
	struct kache_verify_report r;
	int fd, left = 0;

	is_int(kache_gc_lock(s, &fd, &err), 0, "locked");
	is_int(kache_verify(s, &o, &r, &err), KACHE_E_BUSY, "no repair beside gc");
	close(fd);
	s->readonly = true;
	is_int(kache_verify(s, &o, &r, &err), KACHE_E_IO, "nor of a store that is read-only");
	s->readonly = false;
	is_int(kache_verify(s, &o, &r, &err), 0, "repair");
	is_int(r.repaired, r.problems, "all problems are repaired");
	is_int(r.blobs_removed, 4, "bad blobs removed");
	ok(gone(blob(5)) && gone(entry(5)) && gone(blob(6)) && gone(entry(7)) && gone(entry(3)), "with their entries");
	for (int i = 0; i < ENTRIES; i++)
		left += !gone(entry(i));
	is_int(left, 4, "sound entries stay");
	is_int(kache_verify(s, &o, &r, &err), 0, "again");
	is_int(r.problems, 0, "nothing wrong is left");
	is_int(r.manifests, 3, "manifests were pruned");
	is_int(r.found[KACHE_PROBLEM_FOREIGN], 3, "foreign things are left alone");
}

int main(void)
{
	KACHE_AUTO_FREE char *root = NULL;
	char n[16];

	dir = tap_dir();
	root = at("store");
	if (kache_store_open(root, true, &s, &err)) {
		printf("Bail out! %s\n", err.text);
		return 1;
	}
	for (int i = 0; i < ENTRIES; i++)
		publish(i);
	test_sound();
	damage();
	test_found();
	test_repair();
	kache_store_close(s);
	snprintf(n, sizeof n, "%d", tap_count);
	fflush(stdout);
	if (tap_failed)
		return done();
	execl("/bin/sh", "sh", "-c", "echo 1..$1; exec rm -rf \"$2\"", "sh", n, dir, NULL);
	return 1;
}
