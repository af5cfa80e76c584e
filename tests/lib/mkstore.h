/* Stores for unit tests: numbered entries with blobs, manifests and events, through the store's own
 * functions. Entry i is of crate "crate<i % 10>" and has two blobs: one of its own, and one that it shares
 * with the entries of the same i / 4. */
#ifndef KACHE_TESTS_MKSTORE_H
#define KACHE_TESTS_MKSTORE_H

#include "base/clock.h"
#include "base/path.h"
#include "store/events.h"
#include "store/store.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MK_OWN = 3000, MK_SHARED = 2000 };

static inline struct kache_hash mk_hash(const char *what, unsigned i)
{
	KACHE_AUTO_FREE char *text = kache_asprintf("%s %u", what, i);
	struct kache_hash h;

	kache_hash_bytes(text, strlen(text), &h);
	return h;
}

static inline struct kache_store *mk_store(const char *dir)
{
	struct kache_store *s;
	struct kache_error err;

	if (kache_store_open(dir, true, &s, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(99);
	}
	return s;
}

static inline int mk_blob(struct kache_store *s, const char *what, unsigned i, size_t size, struct kache_hash *hash)
{
	KACHE_AUTO_FREE char *temp = kache_store_temp(s);
	KACHE_AUTO_FREE char *data = kache_calloc(1, size);
	struct kache_hash seed = mk_hash(what, i);

	for (size_t k = 0; k < size; k++)
		data[k] = (char)seed.b[k % KACHE_HASH_LEN];
	kache_hash_bytes(data, size, hash);
	if (kache_file_replace(temp, data, size, 0644))
		return KACHE_E_IO;
	return kache_blob_put_temp(s, temp, false, hash, NULL);
}

static inline void mk_fill(struct kache_entry *e, unsigned i, uint64_t created_ms)
{
	*e = (struct kache_entry){
		.key = mk_hash("key", i), .invocation = mk_hash("invocation", i),
		.crate = kache_asprintf("crate%u", i % 10), .package = kache_asprintf("package%u", i % 10),
		.kind = kache_strdup("lib"), .target = kache_strdup("x86_64-unknown-linux-gnu"),
		.profile = kache_strdup("debug"), .features = kache_strdup("default"),
		.compiler = kache_strdup("rustc 1.80.0"), .created_ms = created_ms, .compile_ms = 100 + i,
		.out = kache_strdup(""), .err = kache_strdup(""),
	};
}

/* 0, or what failed. Blobs, then the entry, then the manifest, as a build does. */
static inline int mk_entry(struct kache_store *s, unsigned i, uint64_t created_ms)
{
	static const char *const names[] = { "own.rlib", "shared.rmeta" };
	struct kache_input_set set = { .result = mk_hash("key", i), .created_ms = created_ms, .n = 1 };
	struct kache_manifest m = { .invocation = mk_hash("invocation", i) };
	struct kache_entry e;
	int rc = 0;

	mk_fill(&e, i, created_ms);
	for (unsigned k = 0; k < 2 && !rc; k++) {
		struct kache_output *o = kache_entry_add_output(&e);

		o->name = kache_strdup(names[k]);
		o->role = k ? KACHE_ROLE_METADATA : KACHE_ROLE_RLIB;
		o->mode = 0644;
		o->size = k ? MK_SHARED : MK_OWN;
		rc = mk_blob(s, names[k], k ? i / 4 : i, o->size, &o->blob);
	}
	if (!rc)
		rc = kache_entry_put(s, &e, NULL);
	m.crate = kache_strdup(e.crate);
	m.package = kache_strdup(e.package);
	m.describe = kache_asprintf("recipe 1\n--cfg feature=\"f%u\"\n", i);
	set.inputs = kache_calloc(1, sizeof *set.inputs);
	set.inputs[0] = (struct kache_input){ .kind = KACHE_INPUT_FILE, .name = kache_manifest_name(&m, "{pkg}/src/lib.rs"),
					      .hash = mk_hash("source", i) };
	kache_manifest_add(&m, &set);
	if (!rc)
		rc = kache_manifest_update(s, &m, NULL);
	kache_manifest_release(&m);
	kache_entry_release(&e);
	return rc;
}

static inline int mk_event(struct kache_store *s, const char *result, unsigned i, uint64_t time_ms)
{
	KACHE_AUTO_BUF struct kache_buf line = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *crate = kache_asprintf("crate%u", i % 10);
	struct kache_hash key = mk_hash("key", i), invocation = mk_hash("invocation", i);
	struct kache_event e = { .result = result, .crate = crate, .package = crate, .kind = "lib", .target = "t",
				 .profile = "debug", .root = "/p", .key = &key, .invocation = &invocation,
				 .time_ms = time_ms, .total_us = 500, .compile_us = 2000000, .bytes = 5000 };

	kache_event_encode(&e, &line);
	return kache_store_event(s, line.data, line.len);
}

static inline uint64_t mk_now_ms(void)
{
	return (uint64_t)(kache_now_real() / 1000000);
}

/* Makes an entry look as if it was last used that long ago. */
static inline void mk_age(struct kache_store *s, unsigned i, uint64_t seconds)
{
	struct kache_hash key = mk_hash("key", i);
	KACHE_AUTO_FREE char *path = kache_store_path(s, "entries", &key);
	struct timespec t[2] = { { .tv_sec = (time_t)(kache_now_real() / 1000000000 - (int64_t)seconds) } };

	t[1] = t[0];
	utimensat(AT_FDCWD, path, t, 0);
}

static size_t mk_files;

static int mk_count_files(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)path, (void)st, (void)at;
	mk_files += type == FTW_F;
	return 0;
}

/* Files below <store>/<kind>. */
static inline size_t mk_count(struct kache_store *s, const char *kind)
{
	KACHE_AUTO_FREE char *path = kache_store_file(s, kind);

	mk_files = 0;
	nftw(path, mk_count_files, 16, FTW_PHYS);
	return mk_files;
}

static int mk_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static inline void mk_remove(const char *dir)
{
	nftw(dir, mk_remove_one, 16, FTW_PHYS | FTW_DEPTH);
}

#endif
