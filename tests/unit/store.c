/* core/store: formats, blobs, restore, the map of inputs. */
#define _GNU_SOURCE
#include "config.h"
#include "tap.h"

#include "base/clock.h"
#include "base/path.h"
#include "store/map.h"
#include "store/restore.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir;

static char *at(const char *name)
{
	return kache_path_join(dir, name);
}

static void fill(struct kache_entry *e)
{
	struct kache_output *o;

	*e = (struct kache_entry){ .created_ms = 5, .compile_ms = 7, .exit_code = -1, .width = 80 };
	memset(e->key.b, 1, KACHE_HASH_LEN);
	memset(e->invocation.b, 2, KACHE_HASH_LEN);
	e->crate = kache_strdup("c");
	e->package = kache_strdup("p");
	e->kind = kache_strdup("lib");
	e->target = kache_strdup("t");
	e->profile = kache_strdup("debug");
	e->features = kache_strdup("a,b");
	e->compiler = kache_strdup("rustc 1");
	e->out = kache_strdup("");
	e->err = kache_strndup("a\0b", 3);
	e->err_len = 3;
	o = kache_entry_add_output(e);
	o->name = kache_strdup("libc.rlib");
	o->role = KACHE_ROLE_RLIB;
	o->mode = 0644;
	o->size = 9;
	o = kache_entry_add_output(e);
	o->name = kache_strdup("c.d");
	o->role = KACHE_ROLE_DEPINFO;
	o->size = 4;
	o->inline_data = kache_strdup("text");
}

static void test_entry(void)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_entry e, back;
	int bad = 0;

	fill(&e);
	kache_entry_encode(&e, &b);
	is_int(kache_entry_decode(b.data, b.len, &back), 0, "entry comes back");
	ok(back.n_outputs == 2 && back.err_len == 3 && back.exit_code == -1 && back.outputs[1].size == 4, "whole");
	is_str(back.outputs[1].inline_data, "text", "inline dep-info");
	kache_entry_release(&back);
	for (size_t i = 0; i < b.len; i++) {	/* any flipped bit, any truncation */
		b.data[i] ^= 0x10;
		bad += kache_entry_decode(b.data, b.len, &back) == 0;
		b.data[i] ^= 0x10;
		bad += kache_entry_decode(b.data, i, &back) == 0;
	}
	is_int(bad, 0, "no damaged entry passes");
	free(e.outputs[0].name);
	e.outputs[0].name = kache_strdup("../evil");
	kache_buf_reset(&b);
	kache_entry_encode(&e, &b);
	is_int(kache_entry_decode(b.data, b.len, &back), KACHE_E_CORRUPT, "a name with a slash is refused");
	kache_entry_release(&e);
}

static struct kache_input_set set_of(struct kache_manifest *m, const char *name, int mark)
{
	struct kache_input_set s = { .created_ms = 1, .n = 1, .inputs = kache_calloc(1, sizeof *s.inputs) };

	s.inputs[0].kind = KACHE_INPUT_FILE;
	s.inputs[0].name = kache_manifest_name(m, name);
	memset(s.result.b, mark, KACHE_HASH_LEN);
	return s;
}

static void test_manifest(void)
{
	struct kache_manifest m = { .crate = kache_strdup("c"), .package = kache_strdup("p"), .describe = kache_strdup("d") };
	struct kache_manifest back, other = { .n_sets = 0 };
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_input_set s;
	int bad = 0;

	for (int i = 0; i < KACHE_MANIFEST_SETS + 3; i++) {
		char name[16];

		snprintf(name, sizeof name, "f%d", i);
		s = set_of(&m, name, i);
		kache_manifest_add(&m, &s);
	}
	is_int(m.n_sets, KACHE_MANIFEST_SETS, "old sets fall off");
	is_int(m.n_names, KACHE_MANIFEST_SETS, "and their names");
	is_int(m.sets[0].result.b[0], KACHE_MANIFEST_SETS + 2, "newest first");
	kache_manifest_encode(&m, &b);
	is_int(kache_manifest_decode(b.data, b.len, &back), 0, "manifest comes back");
	is_str(back.names[back.sets[1].inputs[0].name], m.names[m.sets[1].inputs[0].name], "with its names");
	kache_manifest_release(&back);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 1;
		bad += kache_manifest_decode(b.data, b.len, &back) == 0;
		b.data[i] ^= 1;
	}
	is_int(bad, 0, "no damaged manifest passes");
	s = set_of(&other, "new", 200);
	kache_manifest_add(&other, &s);
	m.n_sets--;
	free(m.sets[m.n_sets].inputs);
	kache_manifest_merge(&m, &other);
	is_str(m.names[m.sets[m.n_sets - 1].inputs[0].name], "new", "merged behind its own");
	kache_manifest_release(&other);
	kache_manifest_release(&m);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	if (kache_file_replace(path, text, strlen(text), mode))
		perror(path);
}

static void test_blobs(struct kache_store *s)
{
	char *file = at("out.rlib"), *copy = at("copy.bin"), *path;
	struct kache_hash h, h2;
	struct kache_error err;
	struct stat a, b;
	uint64_t size;
	int fd;

	write_file(file, "library", 0644);
	is_int(kache_blob_put_file(s, file, KACHE_LINKING_OLD, &h, &size, &err), 0, "put by link");
	path = kache_store_path(s, "blobs", &h);
	ok(!stat(file, &a) && !stat(path, &b) && a.st_ino == b.st_ino && b.st_mtime == KACHE_BLOB_TIME,
	   "one inode, the blob's time");
	is_int(kache_blob_verify(s, &h, size), 0, "content is right");
	write_file(copy, "library", 0755);
	is_int(kache_blob_put_file(s, copy, KACHE_LINKING_NOT, &h2, &size, &err), 0, "put again by copy");
	ok(kache_hash_eq(&h, &h2) && !stat(copy, &a) && a.st_ino != b.st_ino, "same blob, the file untouched");
	fd = open(file, O_WRONLY | O_APPEND | O_CLOEXEC);	/* somebody writes through the link */
	ok(fd >= 0 && write(fd, "!", 1) == 1, "a link is written through");
	close(fd);
	is_int(kache_blob_open(s, &h, size, &fd), KACHE_E_CORRUPT, "the blob is no longer handed out");
	is_int(kache_blob_open(s, &h, size, &fd), KACHE_E_NOENT, "and gone");
	free(path);
	free(file);
	free(copy);
}

static void test_restore(struct kache_store *s)
{
	char *src = at("src"), *out = at("o1"), *exe = at("o2"), *dep = at("o3.d"), *fifo = at("pipe");
	struct kache_output o[3] = {
		{ .role = KACHE_ROLE_RLIB, .mode = 0644 }, { .role = KACHE_ROLE_EXE, .mode = 0755 },
		{ .role = KACHE_ROLE_DEPINFO, .mode = 0644, .size = 2 },
	};
	struct kache_restore r[3] = {
		{ .output = &o[0], .path = out, .linking = KACHE_LINKING_OLD }, { .output = &o[1], .path = exe },
		{ .output = &o[2], .path = dep, .data = "d\n", .len = 2 },
	};
	struct kache_error err;
	struct kache_stat st;
	KACHE_AUTO_BUF struct kache_buf now = KACHE_BUF_INIT;
	struct kache_hash h;
	struct stat a;

	write_file(src, "rlib bytes", 0644);
	kache_blob_put_file(s, src, KACHE_LINKING_NOT, &o[0].blob, &o[0].size, &err);
	write_file(src, "exe bytes", 0755);
	kache_blob_put_file(s, src, KACHE_LINKING_NOT, &o[1].blob, &o[1].size, &err);
	is_int(kache_restore_all(s, r, 3, KACHE_LINK_AUTO), 0, "restored");
	ok(r[0].linked && !r[1].linked, "the library is linked, the program copied");
	ok(!stat(exe, &a) && a.st_mode & 0100 && a.st_mtime > KACHE_BLOB_TIME, "the program runs and is new");
	ok(!kache_stat(out, true, &st) && kache_map_get(s, &st, &h) && kache_hash_eq(&h, &o[0].blob), "known by link");
	ok(!kache_stat(exe, true, &st) && kache_map_get(s, &st, &h) && kache_hash_eq(&h, &o[1].blob), "known by copy");
	is_int(kache_restore_all(s, r, 3, KACHE_LINK_AUTO), 0, "restored over itself");
	is_int(kache_restore_all(s, r, 3, KACHE_LINK_COPY), 0, "copied when told to");
	ok(!stat(out, &a) && a.st_nlink == 1, "without a link");
	write_file(exe, "somebody's", 0600);
	r[1].clear = true;
	is_int(kache_restore_all(s, r, 3, KACHE_LINK_COPY), 0, "an old output is cleared away");
	ok(!kache_file_read(exe, 64, &now) && now.len == 9 && !memcmp(now.data, "exe bytes", 9), "and the new one is there");
	o[1].size++;
	unlink(out);
	ok(kache_restore_all(s, r, 3, KACHE_LINK_AUTO) != 0 && access(out, F_OK), "one bad blob, nothing is placed");
	unlink(exe);
	unlink(dep);
	ok(kache_restore_check(s, r, 3, KACHE_LINK_AUTO) != 0, "which shows before anything is written");
	kache_restore_finish(s, r, 3, KACHE_LINK_AUTO, KACHE_E_CORRUPT);
	kache_blob_put_file(s, src, KACHE_LINKING_NOT, &o[1].blob, &o[1].size, &err);
	ok(!kache_restore_check(s, r, 3, KACHE_LINK_AUTO) && access(out, F_OK) && access(exe, F_OK), "all of it can be had");
	ok(!kache_restore_first(s, &r[1], KACHE_LINK_AUTO) && !access(exe, X_OK) && access(out, F_OK), "one comes first");
	is_int(kache_restore_prepare(s, r, 3, KACHE_LINK_AUTO), 0, "the others are prepared");
	is_int(kache_restore_finish(s, r, 3, KACHE_LINK_AUTO, KACHE_E_IO), KACHE_E_IO, "and given up");
	ok(!access(exe, X_OK) && access(out, F_OK) && access(dep, F_OK), "the first stays");
	mkfifo(fifo, 0600);
	r[0].path = fifo;
	is_int(kache_restore_all(s, r, 1, KACHE_LINK_AUTO), KACHE_E_UNSUPPORTED, "a pipe is left alone");
	free(src);
	free(out);
	free(exe);
	free(dep);
	free(fifo);
}

/* More outputs than a process may have files open. */
static void test_restore_many(struct kache_store *s)
{
	enum { MANY = 200, OPEN = 40 };
	struct kache_output o = { .role = KACHE_ROLE_OTHER, .mode = 0644 };
	struct kache_restore r[MANY];
	struct rlimit old, low;
	struct kache_error err;
	char *src = at("many-src");
	unsigned there = 0;

	write_file(src, "one of many", 0644);
	kache_blob_put_file(s, src, KACHE_LINKING_NOT, &o.blob, &o.size, &err);
	for (int i = 0; i < MANY; i++)
		r[i] = (struct kache_restore){ .output = &o, .path = kache_asprintf("%s/many-%d", dir, i) };
	getrlimit(RLIMIT_NOFILE, &old);
	low = (struct rlimit){ .rlim_cur = OPEN, .rlim_max = old.rlim_max };
	setrlimit(RLIMIT_NOFILE, &low);
	is_int(kache_restore_all(s, r, MANY, KACHE_LINK_AUTO), 0, "more outputs than files that may be open");
	setrlimit(RLIMIT_NOFILE, &old);
	for (int i = 0; i < MANY; i++) {
		there += !unlink(r[i].path);
		free((char *)(uintptr_t)r[i].path);
	}
	is_int(there, MANY, "all are there");
	free(src);
}

/* One inode with an output that has to be new. */
static void test_young(struct kache_store *s)
{
	struct kache_output o = { .role = KACHE_ROLE_METADATA, .mode = 0644 };
	char *made = at("young.rmeta"), *other = at("other.rmeta"), *blob;
	struct kache_restore r = { .output = &o, .path = made, .linking = KACHE_LINKING_YOUNG };
	struct kache_stat a, b;
	struct kache_error err;
	struct kache_hash h;
	int fd;

	write_file(made, "rmeta, young", 0600);
	is_int(kache_blob_put_file(s, made, KACHE_LINKING_YOUNG, &o.blob, &o.size, &err), 0, "put by link, young");
	blob = kache_store_path(s, "blobs", &o.blob);
	ok(!kache_stat(made, false, &a) && !kache_stat(blob, false, &b) && a.ino == b.ino && a.mtime > KACHE_BLOB_TIME_NS,
	   "one inode, with the output's time");
	is_int(kache_blob_verify(s, &o.blob, o.size), 0, "and sound");
	r.path = other;
	ok(!kache_restore_all(s, &r, 1, KACHE_LINK_AUTO) && !r.linked, "while the output is there another one is a copy");
	unlink(other);
	r.linking = KACHE_LINKING_OLD;
	ok(!kache_restore_all(s, &r, 1, KACHE_LINK_AUTO) && !r.linked, "also one that may be old");
	unlink(other);
	unlink(made);
	utimensat(AT_FDCWD, blob, (const struct timespec[2]){ { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } }, 0);
	r.linking = KACHE_LINKING_YOUNG;
	ok(!kache_restore_all(s, &r, 1, KACHE_LINK_AUTO) && r.linked, "without it there is a link again");
	ok(!kache_stat(other, false, &a) && !kache_stat(blob, false, &b) && a.ino == b.ino && a.nlink == 2, "one inode");
	ok(kache_now_real() - a.mtime < INT64_C(10) * 1000000000, "that is new");
	ok(kache_map_get(s, &a, &h) && kache_hash_eq(&h, &o.blob), "and known");
	r.path = made;
	write_file(made, "old", 0600);
	unlink(other);
	ok(!kache_restore_all(s, &r, 1, KACHE_LINK_AUTO) && r.linked && !kache_stat(made, false, &a) && a.ino == b.ino,
	   "also over an old output");
	ok(kache_map_get(s, &a, &h) && kache_hash_eq(&h, &o.blob), "and known there, too");
	fd = open(made, O_WRONLY | O_CLOEXEC);
	ok(write(fd, "RMETA", 5) == 5, "written through");
	close(fd);
	r.path = other;
	is_int(kache_restore_all(s, &r, 1, KACHE_LINK_AUTO), KACHE_E_CORRUPT, "it is not handed out");
	ok(access(other, F_OK) && access(blob, F_OK), "and gone");
	unlink(made);
	free(made);
	free(other);
	free(blob);
}

static void test_map(struct kache_store *s)
{
	char *path = at("input");
	struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	struct kache_stat st;
	struct kache_hash a, b;

	write_file(path, "one", 0644);
	is_int(kache_map_hash(s, path, &st, &a), 0, "hashed");
	ok(!kache_map_get(s, &st, &b), "too young to be remembered");
	write_file(path, "two", 0644);
	utimensat(AT_FDCWD, path, old, 0);
	is_int(kache_map_hash(s, path, &st, &b), 0, "hashed again");
	ok(!kache_hash_eq(&a, &b), "same size, other content, other hash");
	is_int(kache_map_hash(s, dir, &st, &b), KACHE_E_INVALID, "a directory is no input file");
	free(path);
	path = at("nothing");
	is_int(kache_map_hash(s, path, &st, &b), KACHE_E_NOENT, "what is not there");
	free(path);
}

static int looks;

static unsigned has_two(const char *text, size_t len)
{
	looks++;
	return memmem(text, len, "two", 3) ? 5 : 0;
}

static void overwrite(const char *path, const char *text)
{
	KACHE_AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

	ok(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s is written to", path);
}

/* An output of ours, which is going to get another time, or another name. */
static void test_map_output(struct kache_store *s)
{
	char *path = at("output"), *other = at("uplifted");
	const struct timespec then[2] = { { .tv_sec = 1100000000 }, { .tv_sec = 1100000000 } };
	struct kache_hash h = { { 3 } }, got;
	struct kache_stat st;

	write_file(path, "one", 0644);
	kache_stat(path, true, &st);
	kache_map_put_output(s, &st, 0, &h);
	ok(!kache_map_hash(s, path, &st, &got) && kache_hash_eq(&got, &h), "known as it is");
	is_int(link(path, other), 0, "another name");
	ok(!kache_map_hash(s, path, &st, &got) && !kache_hash_eq(&got, &h), "but not by another ctime");
	kache_map_put_output(s, &st, KACHE_TIME_KEPT, &h);
	unlink(other);
	ok(!kache_map_hash(s, path, &st, &got) && kache_hash_eq(&got, &h), "known with one name less");
	ok(!kache_map_traits(s, path, KACHE_TRAITS_SOURCE, 100, has_two, &(unsigned){ 0 }), "looked through");
	looks = 0;
	ok(!kache_map_traits(s, path, KACHE_TRAITS_SOURCE, 100, has_two, &(unsigned){ 0 }) && !looks, "once");
	overwrite(path, "two");
	ok(!kache_map_hash(s, path, &st, &got) && !kache_hash_eq(&got, &h), "and not after somebody wrote to it");
	kache_map_put_output(s, &st, INT64_C(1100000000000000000), &h);
	utimensat(AT_FDCWD, path, then, 0);
	ok(!kache_map_hash(s, path, &st, &got) && kache_hash_eq(&got, &h), "known with the time that it is given");
	unlink(path);
	free(path);
	free(other);
}

/* Read soon after it was made it is remembered, if the next change shows. */
static void test_map_ticks(struct kache_store *s)
{
	char *path = at("ticks");
	struct kache_stat st, after;
	struct kache_hash a, b;

	write_file(path, "one", 0644);
	nanosleep(&(struct timespec){ .tv_nsec = 2 * KACHE_MAP_TICKS }, NULL);
	is_int(kache_map_hash(s, path, &st, &a), 0, "hashed");
	is_int(kache_map_get(s, &st, &b), st.btime && st.ctime % 1000000000 && kache_fs_keeps_times(path), "remembered where times are fine");
	overwrite(path, "two");
	ok(!kache_stat(path, true, &after) && after.ino == st.ino && after.ctime != st.ctime, "a change has another time");
	ok(!kache_map_hash(s, path, &st, &b) && !kache_hash_eq(&a, &b), "and is seen");
	unlink(path);
	free(path);
}

/* Looked for in a file once, if its hash is remembered, too; whoever puts the hash anew has it looked for anew. */
static void test_map_traits(struct kache_store *s)
{
	char *path = at("text");
	struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	struct kache_hash h = { { 1 } }, got;
	struct kache_stat st;
	unsigned has = 1;

	write_file(path, "one", 0644);
	ok(!kache_map_traits(s, path, KACHE_TRAITS_SOURCE, 100, has_two, &has) && !has && looks == 1, "has it not");
	write_file(path, "one two", 0644);
	ok(!kache_map_traits(s, path, KACHE_TRAITS_SOURCE, 100, has_two, &has) && has == 5 && looks == 2, "has it");
	ok(!kache_map_traits(s, path, KACHE_TRAITS_SOURCE, 100, has_two, &has) && has == 5 && looks == 3, "unknown files are looked through each time");
	utimensat(AT_FDCWD, path, old, 0);
	kache_stat(path, true, &st);
	kache_map_put(s, &st, &h);
	ok(!kache_map_traits(s, path, KACHE_TRAITS_SOURCE, 100, has_two, &has) && has == 5 && looks == 4, "a known one once");
	has = 0;
	ok(!kache_map_traits(s, path, KACHE_TRAITS_SOURCE, 100, has_two, &has) && has == 5 && looks == 4, "and no more");
	ok(!kache_map_traits(s, path, KACHE_TRAITS_OBJECT, 100, has_two, &has) && has == 5 && looks == 5, "another kind is another look");
	ok(!kache_map_traits(s, path, KACHE_TRAITS_SOURCE, 100, has_two, &has) && has == 5 && looks == 5, "which leaves the first");
	ok(kache_map_get(s, &st, &got) && kache_hash_eq(&got, &h), "its hash is as it was");
	write_file(path, "one six", 0644);
	utimensat(AT_FDCWD, path, old, 0);
	ok(!kache_map_traits(s, path, KACHE_TRAITS_SOURCE, 100, has_two, &has) && !has && looks == 6, "of the same size and time, changed");
	ok(!kache_map_traits(s, path, KACHE_TRAITS_SOURCE, 6, has_two, &has) && !has && looks == 6, "larger ones have nothing");
	unlink(path);
	is_int(kache_map_traits(s, path, KACHE_TRAITS_SOURCE, 100, has_two, &has), KACHE_E_NOENT, "none that is not there");
	free(path);
}

/* Neighbours lie together, and that crowds nobody out. */
static void test_map_neighbours(struct kache_store *s)
{
	enum { MANY = 20000, CRATE = 50 };
	int64_t now = kache_now_real();
	struct kache_hash h = { { 0 } }, got;
	unsigned known = 0, wrong = 0;

	for (uint64_t i = 0; i < MANY; i++) {
		struct kache_stat st = { .dev = 5, .ino = 1000000 + i + i / CRATE * 3, .size = i % 100, .mtime = now, .ctime = now, .btime = now };

		memcpy(h.b, &i, sizeof i);
		kache_map_put(s, &st, &h);
	}
	for (uint64_t i = 0; i < MANY; i++) {
		struct kache_stat st = { .dev = 5, .ino = 1000000 + i + i / CRATE * 3, .size = i % 100, .mtime = now, .ctime = now, .btime = now };

		memcpy(h.b, &i, sizeof i);
		if (!kache_map_get(s, &st, &got))
			continue;
		known++;
		wrong += !kache_hash_eq(&h, &got);
	}
	ok(known >= MANY - MANY / 100, "%u of %d neighbours are known", known, MANY);
	is_int(wrong, 0, "none for another");
}

/* The page that was read last is not all that is known. */
static void test_map_others(struct kache_store *s)
{
	const int64_t now = kache_now_real();
	struct kache_stat st = { .dev = 6, .ino = 77, .size = 1, .mtime = now, .ctime = now, .btime = now }, later = st;
	struct kache_hash one = { { 1 } }, two = { { 2 } }, got;
	struct kache_store *other;
	struct kache_error err;

	if (!ok(!kache_store_open(s->root, false, &other, &err), "the store is opened twice"))
		return;
	later.size = 2;
	ok(!kache_map_get(s, &st, &got), "not known to anybody");
	kache_map_put(other, &st, &one);
	ok(kache_map_get(s, &st, &got) && kache_hash_eq(&got, &one), "what another has found out");
	kache_map_put(other, &later, &two);
	ok(kache_map_get(s, &later, &got) && kache_hash_eq(&got, &two), "and of another state");
	ok(kache_map_get(s, &st, &got) && kache_hash_eq(&got, &one), "the first is as it was");
	kache_map_put_state(other, &one, &two);
	ok(kache_map_state(s, &one, &got) && kache_hash_eq(&got, &two), "of many files");
	kache_map_put_state(s, &one, &one);
	ok(kache_map_state(s, &one, &got) && kache_hash_eq(&got, &one), "put once more, by oneself");
	kache_store_close(other);
}

enum { THREADS = 4, EACH = 2000, FILES = 97 };

static void *ask_much(void *store)
{
	struct kache_store *s = store;
	uintptr_t wrong = 0;

	for (uint64_t i = 0; i < EACH; i++) {
		struct kache_stat st = { .dev = 8, .ino = 16 * (i % FILES), .size = 1, .mtime = 5, .ctime = 5, .btime = 5 };
		struct kache_hash h = { { 0 } }, got;

		memcpy(h.b, &st.ino, sizeof st.ino);
		if (kache_map_get(s, &st, &got))
			wrong += !kache_hash_eq(&h, &got);
		else
			kache_map_put(s, &st, &h);
	}
	return (void *)wrong;
}

static void test_map_threads(struct kache_store *s)
{
	pthread_t t[THREADS];
	uintptr_t wrong = 0;
	unsigned known = 0;
	void *one;

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, ask_much, s))
			abort();
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], &one);
		wrong += (uintptr_t)one;
	}
	for (uint64_t i = 0; i < FILES; i++) {
		struct kache_stat st = { .dev = 8, .ino = 16 * i, .size = 1, .mtime = 5, .ctime = 5, .btime = 5 };
		struct kache_hash got;

		known += kache_map_get(s, &st, &got);
	}
	is_int((int)wrong, 0, "no thread is told a wrong hash");
	ok(known >= FILES - 2, "what they remember is known (%u of %d)", known, FILES);
}

/* Several processes that make the map at the same time make one. */
static void test_map_at_once(void)
{
	enum { MANY = 8, ROUNDS = 10 };
	const int64_t now = kache_now_real();
	unsigned known = 0, failed = 0;

	for (int round = 0; round < ROUNDS; round++) {
		char *root = kache_asprintf("%s/at-once-%d", dir, round);
		struct kache_hash h = { { 7 } };
		struct kache_store *s;
		struct kache_error err;
		int start[2], status;

		if (kache_store_open(root, true, &s, &err) || pipe(start)) {
			failed++;
			continue;
		}
		fflush(stdout);
		for (uint64_t i = 0; i < MANY; i++) {
			struct kache_stat st = { .dev = 1, .ino = 100 * i, .size = 1, .mtime = now, .ctime = now, .btime = now };
			char go;

			if (fork())
				continue;
			close(start[1]);
			if (read(start[0], &go, 1) < 0)
				_exit(1);
			kache_map_put(s, &st, &h);
			_exit(0);
		}
		close(start[0]);
		close(start[1]);
		while (wait(&status) > 0)
			failed += status != 0;
		for (uint64_t i = 0; i < MANY; i++) {
			struct kache_stat st = { .dev = 1, .ino = 100 * i, .size = 1, .mtime = now, .ctime = now, .btime = now };
			struct kache_hash got;

			known += kache_map_get(s, &st, &got);
		}
		kache_store_close(s);
		free(root);
	}
	is_int(failed, 0, "processes that begin with the same new store");
	is_int(known, MANY * ROUNDS, "lose nothing of what they remember");
}

static void test_open(void)
{
	char *foreign = at("foreign"), *file = at("foreign/data"), *newer = at("newer"), *format = at("newer/format");
	char *removed = at("removed"), *calls = at("removed/plans/812.calls"), *index = at("removed/index.db-wal");
	char *left = at("removed/compilers/0000000000000000000000000000000000000000000000000000000000000000");
	char *work = at("work"), *report = at("work/plans/report.odt");
	struct kache_store *s;
	struct kache_error err;

	is_int(kache_store_open(newer, false, &s, &err), KACHE_E_NOENT, "not made unless asked");
	write_file(file, "x", 0644);
	is_int(kache_store_open(foreign, true, &s, &err), KACHE_E_INVALID, "somebody's directory is refused");
	/* As a build leaves it whose store was removed under it. */
	write_file(left, "x", 0644);
	write_file(calls, "x", 0644);
	write_file(index, "x", 0644);
	is_int(kache_store_open(removed, true, &s, &err), KACHE_OK, "what a removed store left is made one again");
	kache_store_close(s);
	write_file(report, "x", 0644);
	is_int(kache_store_open(work, true, &s, &err), KACHE_E_INVALID, "somebody's plans are not taken for ours");
	write_file(format, "kache store 99\n", 0644);
	is_int(kache_store_open(newer, true, &s, &err), KACHE_E_VERSION, "a newer format is refused");
	ok(strstr(err.text, "99") != NULL, "and named");
	write_file(format, "something\n", 0644);
	is_int(kache_store_open(newer, true, &s, &err), KACHE_E_INVALID, "a damaged format file is refused");
	free(foreign);
	free(file);
	free(newer);
	free(format);
	free(removed);
	free(calls);
	free(index);
	free(left);
	free(work);
	free(report);
}

/* The way back stays open. */
static int become(uid_t id)
{
	return id ? setresgid(id, id, 0) || setresuid(id, id, 0) : setresuid(0, 0, 0) || setresgid(0, 0, 0);
}

/* A store of somebody else's that may be read: it serves, and nothing in it changes. */
static void test_another_user(void)
{
	char *root = at("theirs"), *src = at("theirs-src"), *mine = at("mine"), *out = at("mine/out"), *new = at("mine/new"), *blob;
	struct kache_output o = { .role = KACHE_ROLE_RLIB, .mode = 0644 };
	struct kache_restore r = { .output = &o, .path = out, .linking = KACHE_LINKING_OLD };
	struct kache_store *s;
	struct kache_entry e, back;
	struct kache_error err;
	struct kache_hash h;
	struct stat before, after;
	uint64_t size;

	if (geteuid()) {
		printf("# not root: nobody else to be\n");
		goto done;
	}
	if (kache_store_open(root, true, &s, &err)) {
		ok(0, "%s", err.text);
		goto done;
	}
	write_file(src, "their bytes", 0644);
	kache_blob_put_file(s, src, KACHE_LINKING_NOT, &o.blob, &o.size, &err);
	fill(&e);
	is_int(kache_entry_put(s, &e, &err), 0, "an entry of another user");
	kache_store_close(s);
	if (mkdir(mine, 0700) || chown(mine, 65534, 65534) || chmod(dir, 0755) || become(65534)) {
		ok(0, "another user: %s", strerror(errno));
		goto done;
	}
	is_int(kache_store_open(root, true, &s, &err), 0, "their store opens");
	ok(s->readonly, "for reading");
	blob = kache_store_path(s, "blobs", &o.blob);
	stat(blob, &before);
	is_int(kache_entry_get(s, &e.key, &back), 0, "their entry is read");
	kache_entry_release(&back);
	is_int(kache_restore_all(s, &r, 1, KACHE_LINK_AUTO), 0, "their blob is restored");
	ok(!stat(out, &after) && after.st_size == (off_t)o.size, "whole");
	/* fs.protected_hardlinks (proc(5)) may not let us have a link of it; a copy belongs to us. */
	ok(after.st_ino == before.st_ino || after.st_uid == 65534, "by link or by copy");
	write_file(new, "my own bytes", 0644);
	ok(kache_blob_put_file(s, new, KACHE_LINKING_OLD, &h, &size, &err) != 0, "nothing can be put in");
	ok(kache_entry_put(s, &e, &err) != 0, "no entry either");
	write_file(new, "their bytes", 0644);
	(void)kache_blob_put_file(s, new, KACHE_LINKING_OLD, &h, &size, &err);
	ok(!stat(blob, &after) && after.st_ino == before.st_ino && after.st_mtime == before.st_mtime && after.st_size == before.st_size,
	   "their blob is as it was");
	kache_store_close(s);
	if (become(0))
		exit(99);
	ok(!chmod(root, 0700) && !become(65534), "and closed to us");
	ok(kache_store_open(root, true, &s, &err) != 0, "it does not open");
	ok(strstr(err.text, "theirs") != NULL, "which is said");
	if (become(0))
		exit(99);
	free(blob);
	kache_entry_release(&e);
done:
	free(root);
	free(src);
	free(mine);
	free(out);
	free(new);
}

int main(void)
{
	struct kache_store *s;
	struct kache_error err;
	char *root, count[16];

	dir = tap_dir();
	root = at("store");
	test_entry();
	test_manifest();
	if (kache_store_open(root, true, &s, &err)) {
		printf("Bail out! %s\n", err.text);
		return 1;
	}
	test_blobs(s);
	test_restore(s);
	test_restore_many(s);
	test_young(s);
	test_map(s);
	test_map_traits(s);
	test_map_output(s);
	test_map_ticks(s);
	test_map_neighbours(s);
	test_map_others(s);
	test_map_threads(s);
	test_map_at_once();
	test_open();
	test_another_user();
	kache_store_close(s);
	free(root);
	snprintf(count, sizeof count, "%d", tap_count);
	fflush(stdout);
	if (tap_failed)
		return done();
	execl("/bin/sh", "sh", "-c", "echo 1..$1; exec rm -rf \"$2\"", "sh", count, dir, NULL);
	return 1;
}
