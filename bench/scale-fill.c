/* scale-fill STORE fill N: a store of N synthetic entries that look like a build's: two to four outputs, blobs that are shared
 * and sparse (200 KB an entry on average), manifests of two sets with 20 to 100 inputs, an event for each. By the store's own
 * encoders and functions, but for blobs, which get their names without being read.
 * scale-fill STORE publish FROM COUNT: that many more, by the store's functions alone; prints the median in us of one.
 * scale-fill STORE hits N COUNT: events of hits on the entries below N. */
#include "config.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "store/events.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS = 2, PER_PACKAGE = 50, OLD_PERCENT = 1 };
static const uint64_t old_s = 100 * 86400, recent_s = 10 * 86400;
static struct kache_error err;
static uint64_t now_ms;

static void must(int rc, const char *what)
{
	if (!rc)
		return;
	fprintf(stderr, "scale-fill: %s: %s\n", what, *err.text ? err.text : strerror(errno));
	exit(1);
}

static struct kache_hash hash_of(const char *what, unsigned i)
{
	char text[64];
	struct kache_hash h;

	kache_hash_bytes(text, (size_t)snprintf(text, sizeof text, "%s %u", what, i), &h);
	return h;
}

/* The hundredth of a store that was used least recently is a hundred days old, the rest ten. */
static uint64_t time_of(unsigned i, unsigned n)
{
	return now_ms - (i < n / 100 * OLD_PERCENT ? old_s : recent_s) * 1000 + i % 86400;
}

struct recipe {
	const char *what, *suffix;
	uint32_t role;
	unsigned per, size;		/* entries that share one; bytes on average */
};
static const struct recipe recipes[] = {
	{ "rlib", ".rlib", KACHE_ROLE_RLIB, 1, 150000 },
	{ "rmeta", ".rmeta", KACHE_ROLE_METADATA, 2, 60000 },
	{ "object", ".o", KACHE_ROLE_OTHER, 4, 80000 },
};

/* A file of that size without a block to it, under its final name. */
static void sparse_blob(struct kache_store *s, const struct kache_hash *h, uint64_t size)
{
	const struct timespec t[2] = { { .tv_sec = KACHE_BLOB_TIME }, { .tv_sec = KACHE_BLOB_TIME } };
	KACHE_AUTO_FREE char *path = kache_store_path(s, "blobs", h);
	KACHE_AUTO_FD int fd = kache_open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

	if (fd < 0 && errno == EEXIST)
		return;
	if (fd < 0 || ftruncate(fd, (off_t)size) || futimens(fd, t))
		must(1, path);
}

static void real_blob(struct kache_store *s, struct kache_output *o, unsigned i)
{
	KACHE_AUTO_FREE char *temp = kache_store_temp(s);
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	kache_buf_fmt(&b, "%s %u", o->name, i);
	memset(kache_buf_reserve(&b, 20000), 'x', 20000);
	b.len = 20000;
	o->size = b.len;
	kache_hash_bytes(b.data, b.len, &o->blob);
	must(kache_file_replace(temp, b.data, b.len, 0644), temp);
	must(kache_blob_put_temp(s, temp, false, &o->blob, &err), "blob");
}

static void make_entry(struct kache_entry *e, unsigned i, uint64_t created_ms)
{
	KACHE_AUTO_BUF struct kache_buf d = KACHE_BUF_INIT;
	struct kache_output *o;
	unsigned outputs = 1 + i % 3;

	*e = (struct kache_entry){
		.key = hash_of("key", i), .invocation = hash_of("invocation", i / 2),
		.crate = kache_asprintf("scale_%u", i / PER_PACKAGE), .package = kache_asprintf("scale_%u", i / PER_PACKAGE),
		.kind = kache_strdup(i % 7 ? "lib" : "test"), .target = kache_strdup("x86_64-unknown-linux-gnu"),
		.profile = kache_strdup(i % 3 ? "debug" : "release"), .features = kache_strdup("default,std"),
		.compiler = kache_strdup("rustc 1.95.0 (59807616e 2026-04-14)"), .created_ms = created_ms, .compile_ms = 100 + i % 5000,
		.out = kache_strdup(""), .err = kache_strdup(""),
	};
	for (unsigned k = 0; k < outputs; k++) {
		const struct recipe *r = &recipes[k];

		o = kache_entry_add_output(e);
		o->name = kache_asprintf("libscale_%u-%08x%s", i / PER_PACKAGE, i, r->suffix);
		o->role = r->role;
		o->mode = 0644;
		o->size = r->size / 2 * 2 * (1 + i / r->per % 9) / 5;
		o->blob = hash_of(r->what, i / r->per);
	}
	kache_buf_fmt(&d, "\1out/libscale_%u-%08x.rlib:", i / PER_PACKAGE, i);
	for (unsigned k = 0; k < 8 + i % 8; k++)
		kache_buf_fmt(&d, " \1pkg/src/module_%u.rs", k);
	o = kache_entry_add_output(e);
	o->name = kache_asprintf("scale_%u-%08x.d", i / PER_PACKAGE, i);
	o->role = KACHE_ROLE_DEPINFO;
	o->mode = 0644;
	o->size = d.len;
	o->inline_data = kache_buf_steal(&d);
}

/* The manifest of entries i and i + 1, or of one of them. */
static void make_manifest(struct kache_manifest *m, unsigned i, unsigned sets, uint64_t created_ms)
{
	*m = (struct kache_manifest){
		.invocation = hash_of("invocation", i / 2), .crate = kache_asprintf("scale_%u", i / PER_PACKAGE),
		.package = kache_asprintf("scale_%u", i / PER_PACKAGE), .describe = kache_strdup("recipe 1\n--crate-type lib\n"),
	};
	for (unsigned k = 0; k < sets; k++) {
		struct kache_input_set set = { .result = hash_of("key", i + k), .created_ms = created_ms, .n = 20 + i / 2 % 20 };
		struct kache_hash own = hash_of("input", i + k);

		if (i % 20 == 0)
			set.n = 100;
		set.inputs = kache_calloc(set.n, sizeof *set.inputs);
		for (unsigned n = 0; n < set.n; n++) {
			char name[40];

			snprintf(name, sizeof name, "\1pkg/src/module_%u.rs", n);
			set.inputs[n] = (struct kache_input){ .kind = KACHE_INPUT_FILE, .name = kache_manifest_name(m, name), .hash = own };
			set.inputs[n].hash.b[0] = (unsigned char)n;
		}
		kache_manifest_add(m, &set);
	}
}

static void set_time(struct kache_store *s, const char *kind, const struct kache_hash *h, uint64_t ms)
{
	const struct timespec t[2] = { { .tv_sec = (time_t)(ms / 1000) }, { .tv_sec = (time_t)(ms / 1000) } };
	KACHE_AUTO_FREE char *path = kache_store_path(s, kind, h);

	must(utimensat(AT_FDCWD, path, t, 0), path);
}

static void event(struct kache_buf *out, const struct kache_entry *e, const char *result, uint64_t time_ms)
{
	const struct kache_event v = {
		.result = result, .crate = e->crate, .package = e->package, .kind = e->kind, .target = e->target,
		.profile = e->profile, .root = "/home/user/projects/scale", .key = &e->key, .invocation = &e->invocation,
		.time_ms = time_ms, .total_us = 3000, .compile_us = e->compile_ms * 1000, .bytes = kache_entry_size(e),
	};

	kache_event_encode(&v, out);
}

/* All events of a job go in at once: this is no test of writers. */
static void fill_part(struct kache_store *s, unsigned from, unsigned to, unsigned n)
{
	KACHE_AUTO_BUF struct kache_buf events = KACHE_BUF_INIT;

	for (unsigned i = from; i < to; i++) {
		uint64_t created_ms = time_of(i, n);
		struct kache_manifest m;
		struct kache_entry e;

		make_entry(&e, i, created_ms);
		for (size_t k = 0; k < e.n_outputs; k++)
			if (!e.outputs[k].inline_data)
				sparse_blob(s, &e.outputs[k].blob, e.outputs[k].size);
		must(kache_entry_put(s, &e, &err), "entry");
		set_time(s, "entries", &e.key, created_ms);
		if (i % 2 == 0) {
			make_manifest(&m, i, i + 1 < n ? 2 : 1, created_ms);
			must(kache_manifest_put(s, &m, &err), "manifest");
			set_time(s, "manifests", &m.invocation, created_ms);
			kache_manifest_release(&m);
		}
		event(&events, &e, "miss", created_ms);
		kache_entry_release(&e);
		if (events.len > 4 << 20 || i + 1 == to) {
			must(kache_store_event(s, events.data, events.len), "events");
			events.len = 0;
		}
	}
}

static void make_shards(struct kache_store *s)
{
	static const char *const kinds[] = { "blobs", "entries", "manifests" };

	for (unsigned i = 0; i < 3 * 256; i++) {
		KACHE_AUTO_FREE char *path = kache_asprintf("%s/%s/%02x", s->root, kinds[i % 3], i / 3);

		must(kache_mkdirs(path, 0777), path);
	}
}

static int fill(struct kache_store *s, unsigned n)
{
	int status, bad = 0;

	make_shards(s);
	for (unsigned job = 0; job < JOBS; job++) {
		/* Cut at multiples of four, so that nothing that is shared is made twice. */
		unsigned from = n / JOBS / 4 * 4 * job, to = job + 1 == JOBS ? n : n / JOBS / 4 * 4 * (job + 1);

		if (!fork()) {
			fill_part(s, from, to, n);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		bad |= status;
	return bad != 0;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void publish_one(struct kache_store *s, unsigned i)
{
	KACHE_AUTO_BUF struct kache_buf line = KACHE_BUF_INIT;
	struct kache_manifest m;
	struct kache_entry e;

	make_entry(&e, i, now_ms);
	for (size_t k = 0; k < e.n_outputs; k++)
		if (!e.outputs[k].inline_data)
			real_blob(s, &e.outputs[k], i);
	must(kache_entry_put(s, &e, &err), "entry");
	make_manifest(&m, i, 1, now_ms);
	must(kache_manifest_update(s, &m, &err), "manifest");
	event(&line, &e, "miss", now_ms);
	must(kache_store_event(s, line.data, line.len), "event");
	kache_manifest_release(&m);
	kache_entry_release(&e);
}

static int publish(struct kache_store *s, unsigned from, unsigned count)
{
	uint64_t *ns = kache_calloc(count + 1, sizeof *ns);

	for (unsigned i = 0; i < count; i++) {
		uint64_t began = kache_now_mono();

		publish_one(s, from + i);
		ns[i] = kache_now_mono() - began;
	}
	qsort(ns, count, sizeof *ns, by_value);
	printf("%.1f\n", (double)ns[count / 2] / 1000);
	free(ns);
	return 0;
}

static int hits(struct kache_store *s, unsigned n, unsigned count)
{
	KACHE_AUTO_BUF struct kache_buf events = KACHE_BUF_INIT;

	for (unsigned i = 0; i < count; i++) {
		struct kache_entry e;

		make_entry(&e, n - 1 - i % n, now_ms);
		event(&events, &e, "hit", now_ms);
		kache_entry_release(&e);
	}
	must(kache_store_event(s, events.data, events.len), "events");
	return 0;
}

int main(int argc, char **argv)
{
	struct kache_store *s;
	unsigned a, b;
	int rc = 2;

	if (argc < 4)
		return rc;
	now_ms = (uint64_t)(kache_now_real() / 1000000);
	must(kache_store_open(argv[1], true, &s, &err), argv[1]);
	a = (unsigned)strtoul(argv[3], NULL, 10);
	b = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
	if (!strcmp(argv[2], "fill"))
		rc = fill(s, a);
	else if (!strcmp(argv[2], "publish") && b)
		rc = publish(s, a, b);
	else if (!strcmp(argv[2], "hits") && a && b)
		rc = hits(s, a, b);
	kache_store_close(s);
	return rc;
}
