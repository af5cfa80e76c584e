/* core/remote/pack and unpack, core/store/entry-json: packs come back whole, and hostile ones not at all. */
#include "config.h"
#include "tap.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"
#include "remote/pack.h"
#include "remote/squeeze.h"
#include "remote/unpack.h"
#include "store/entry-json.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

static char *dir;

/* ---- a small world of blobs in memory ---- */

enum { MAX = 4 };
struct world {
	const char *data[MAX];
	struct kache_pack_blob blobs[MAX];
	size_t n, announced;
	int begun, ended, metas;
	char meta[64];
};

static int temp_fd(const char *data, size_t len)
{
	char *path = kache_asprintf("%s/XXXXXX", dir);
	int fd = mkstemp(path);

	unlink(path);
	free(path);
	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		exit(99);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void add(struct world *w, const char *data)
{
	w->data[w->n] = data;
	w->blobs[w->n].size = strlen(data);
	kache_hash_bytes(data, strlen(data), &w->blobs[w->n].hash);
	w->announced = ++w->n;
}

static int open_blob(void *arg, const struct kache_pack_blob *blob, int *fd, struct kache_error *err)
{
	const struct world *w = arg;

	(void)err;
	for (size_t i = 0; i < w->n; i++)
		if (kache_hash_eq(&w->blobs[i].hash, &blob->hash))
			*fd = temp_fd(w->data[i], strlen(w->data[i]));
	return 0;
}

static int take_meta(void *arg, const char *meta, size_t len, struct kache_pack_blob **blobs, size_t *n,
		     struct kache_error *err)
{
	struct world *w = arg;

	(void)err;
	w->metas++;
	snprintf(w->meta, sizeof w->meta, "%.*s", (int)len, meta);
	*n = w->announced;
	*blobs = kache_calloc(*n + 1, sizeof **blobs);
	memcpy(*blobs, w->blobs, *n * sizeof **blobs);
	return 0;
}

static int begin_blob(void *arg, const struct kache_pack_blob *blob, int *fd, struct kache_error *err)
{
	(void)blob;
	(void)err;
	((struct world *)arg)->begun++;
	*fd = temp_fd("", 0);
	return 0;
}

static int end_blob(void *arg, const struct kache_pack_blob *blob, struct kache_error *err)
{
	(void)blob;
	(void)err;
	((struct world *)arg)->ended++;
	return 0;
}

static size_t step = 64 << 10;		/* bytes that come at once */

static int read_pack(struct world *w, int fd, struct kache_error *err)
{
	const struct kache_pack_sink sink = { take_meta, begin_blob, end_blob, w };
	struct kache_unpack *u = kache_unpack_new(&sink);
	char *buf = malloc(step);
	ssize_t n;

	w->begun = w->ended = w->metas = 0;
	err->text[0] = '\0';
	for (off_t at = 0; (n = pread(fd, buf, step, at)) > 0; at += n)
		kache_unpack_add(u, buf, (size_t)n);
	free(buf);
	return kache_unpack_end(u, err);
}

static int write_pack(struct world *w, struct kache_error *err)
{
	struct kache_pack_source src = { .meta = "{\"m\":1}", .meta_len = 7, .blobs = w->blobs, .n_blobs = w->n,
					 .open = open_blob, .arg = w };
	int fd = temp_fd("", 0);

	is_int(kache_pack_write(&src, 3, fd, err), 0, "a pack is written");
	return fd;
}

static void test_round(void)
{
	struct world w = { .n = 0 };
	struct kache_error err;
	struct stat a, b;
	int fd, again;

	add(&w, "first blob");
	add(&w, "");
	add(&w, "third");
	fd = write_pack(&w, &err);
	again = write_pack(&w, &err);
	step = 1;
	is_int(read_pack(&w, fd, &err), 0, "and read, byte for byte");
	step = 64 << 10;
	is_int(read_pack(&w, fd, &err), 0, "or at once");
	ok(w.metas == 1 && w.begun == 3 && w.ended == 3, "with every blob");
	is_str(w.meta, "{\"m\":1}", "and meta.json");
	fstat(fd, &a);
	fstat(again, &b);
	is_int(a.st_size, b.st_size, "twice the same content gives the same size");
	{
		char *x = calloc(1, (size_t)a.st_size), *y = calloc(1, (size_t)a.st_size);

		ok(pread(fd, x, (size_t)a.st_size, 0) == a.st_size && pread(again, y, (size_t)a.st_size, 0) == a.st_size &&
		   !memcmp(x, y, (size_t)a.st_size), "and the same bytes");
		free(x);
		free(y);
	}
	close(again);
	for (off_t cut = a.st_size - 1; cut > 0; cut -= 1 + cut / 9) {
		if (ftruncate(fd, cut) || read_pack(&w, fd, &err) >= 0) {
			ok(0, "cut to %lld bytes it is refused", (long long)cut);
			break;
		}
	}
	ok(1, "cut short anywhere it is refused: %s", err.text);
	close(fd);
}

static char *text(size_t len, unsigned seed)
{
	char *p = malloc(len + 1);

	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245u + 12345u;
		p[i] = (char)('!' + (seed >> 16) % 90);
	}
	p[len] = '\0';
	return p;
}

/* Larger than everything that lies between the two threads, and one that has the other's content in it. */
static void test_large(void)
{
	struct world w = { .n = 0 };
	struct kache_error err;
	char *rmeta = text(3 << 20, 1), *rest = text(2 << 20, 2), *rlib = kache_asprintf("!<arch>%s%s", rmeta, rest);
	struct stat st;
	int fd;

	add(&w, rlib);
	add(&w, rmeta);
	fd = write_pack(&w, &err);
	fstat(fd, &st);
	ok(st.st_size < 5 << 20, "what an rlib has of its rmeta is there once (%lld bytes)", (long long)st.st_size);
	for (step = 1000; step < 100000000; step *= 100)
		ok(!read_pack(&w, fd, &err) && w.ended == 2, "in pieces of %zu bytes", step);
	step = 64 << 10;
	w.announced = 1;
	ok(read_pack(&w, fd, &err) == KACHE_E_CORRUPT, "a reader that has had enough in the middle: %s", err.text);
	w.announced = 2;
	ok(pwrite(fd, "garbage", 7, 2 << 20) == 7 && read_pack(&w, fd, &err) == KACHE_E_CORRUPT, "damage in the middle: %s", err.text);
	ok(pwrite(fd, "garbage", 7, st.st_size) == 7 && read_pack(&w, fd, &err) < 0, "and behind it");
	for (int i = 0; i < 100; i++) {		/* whoever of the two is further */
		const struct kache_pack_sink sink = { take_meta, begin_blob, end_blob, &w };
		struct kache_unpack *u = kache_unpack_new(&sink);
		char buf[5000];

		for (off_t at = 0; at < i * 5000; at += 5000)
			if (pread(fd, buf, sizeof buf, at) == sizeof buf)
				kache_unpack_add(u, buf, sizeof buf);
		kache_unpack_drop(u);
	}
	ok(1, "given up anywhere");
	close(fd);
	free(rmeta);
	free(rest);
	free(rlib);
}

/* Where the tar ends with what lies between the two threads, and around that. */
static void test_edges(void)
{
	int failed = 0;

	for (size_t size = (256 << 10) - 10 * 512; size < (256 << 10) + 10 * 512; size += 512) {
		struct world w = { .n = 0 };
		struct kache_pack_source src = { .meta = "{}", .meta_len = 2, .blobs = w.blobs, .n_blobs = 1, .open = open_blob, .arg = &w };
		struct kache_error err;
		char *data = text(size, 3);
		int fd = temp_fd("", 0);

		add(&w, data);
		failed += kache_pack_write(&src, 1, fd, &err) || read_pack(&w, fd, &err);
		close(fd);
		free(data);
	}
	is_int(failed, 0, "packs of every length around 256 KiB");
}

/* A frame that wants more memory for its window than a pack needs. */
static void test_window(void)
{
	struct world w = { .n = 0 };
	struct kache_error err;
	ZSTD_CCtx *z = ZSTD_createCCtx();
	char in[100] = "x", out[1000];
	ZSTD_outBuffer o = { out, sizeof out, 0 };
	ZSTD_inBuffer i = { in, sizeof in, 0 };
	int fd;

	ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, KACHE_PACK_WINDOW_LOG + 1);
	ZSTD_compressStream2(z, &o, &i, ZSTD_e_flush);
	ZSTD_compressStream2(z, &o, &i, ZSTD_e_end);
	ZSTD_freeCCtx(z);
	fd = temp_fd(out, o.pos);
	ok(read_pack(&w, fd, &err) == KACHE_E_CORRUPT && strstr(err.text, "not a compressed tar"), "a window of 16 MiB");
	close(fd);
}

static void test_lying_store(void)
{
	struct world w = { .n = 0 };
	struct kache_pack_source src = { .meta = "{}", .meta_len = 2, .blobs = w.blobs, .n_blobs = 1, .open = open_blob,
					 .arg = &w };
	struct kache_error err;
	int fd = temp_fd("", 0);

	add(&w, "what it should be");
	w.data[0] = "what it shouldn't";
	is_int(kache_pack_write(&src, 3, fd, &err), KACHE_E_CORRUPT, "a blob with other content than its hash is not packed");
	w.data[0] = "short";
	is_int(kache_pack_write(&src, 3, fd, &err), KACHE_E_CORRUPT, "nor one that is too short");
	close(fd);
}

/* ---- packs made by hand ---- */

struct member {
	const char *name, *data;
	int64_t size;		/* -1: of data */
	int type;		/* 0: AE_IFREG */
	const char *link;
};

static int by_hand(const struct member *m, size_t n)
{
	struct archive *a = archive_write_new();
	int fd = temp_fd("", 0);

	archive_write_set_format_pax_restricted(a);
	archive_write_add_filter_zstd(a);
	archive_write_open_fd(a, fd);
	for (size_t i = 0; i < n; i++) {
		struct archive_entry *e = archive_entry_new();
		size_t len = m[i].data ? strlen(m[i].data) : 0;

		archive_entry_set_pathname(e, m[i].name);
		archive_entry_set_filetype(e, m[i].type ? (unsigned)m[i].type : AE_IFREG);
		archive_entry_set_perm(e, 0644);
		if (m[i].link && m[i].type == AE_IFLNK)
			archive_entry_set_symlink(e, m[i].link);
		else if (m[i].link)
			archive_entry_set_hardlink(e, m[i].link);
		archive_entry_set_size(e, m[i].link ? 0 : m[i].size >= 0 ? m[i].size : (int64_t)len);
		archive_write_header(a, e);
		if (len && !m[i].link)
			archive_write_data(a, m[i].data, len);
		archive_entry_free(e);
	}
	archive_write_close(a);
	archive_write_free(a);
	return fd;
}

static void refused(struct world *w, const struct member *m, size_t n, int want, const char *why)
{
	struct kache_error err;
	int fd = by_hand(m, n), rc = read_pack(w, fd, &err);

	ok(rc == want && w->ended <= 1, "%s: %s", why, err.text);
	if (rc != want)
		printf("# got %d\n", rc);
	close(fd);
}

static char *blob_name(const struct world *w, size_t i)
{
	char hex[KACHE_HEX_LEN + 1];

	return kache_asprintf("blobs/%s", kache_hash_hex(&w->blobs[i].hash, hex));
}

static void test_hostile(void)
{
	struct world w = { .n = 0 };
	struct member m[3] = { { "meta.json", "{}", -1, 0, NULL }, { NULL, "good", -1, 0, NULL }, { NULL, "x", -1, 0, NULL } };
	char *good, *upper;
	struct kache_error err;
	int fd;

	add(&w, "good");
	good = blob_name(&w, 0);
	m[1].name = good;
	fd = by_hand(m, 2);
	is_int(read_pack(&w, fd, &err), 0, "a pack made by hand is fine");
	close(fd);

	refused(&w, m + 1, 1, KACHE_E_CORRUPT, "no meta.json first");
	refused(&w, m, 1, KACHE_E_CORRUPT, "a blob is missing");
	refused(&w, m, 0, KACHE_E_CORRUPT, "an empty tar");
	m[1].data = "evil";
	refused(&w, m, 2, KACHE_E_CORRUPT, "other content than the hash");
	m[1].data = "go";
	refused(&w, m, 2, KACHE_E_CORRUPT, "other size than announced");
	m[1].data = "good";
	m[2] = m[1];
	refused(&w, m, 3, KACHE_E_CORRUPT, "a blob that comes twice");
	m[2] = (struct member){ "blobs/../../etc/passwd", "x", -1, 0, NULL };
	refused(&w, m, 3, KACHE_E_CORRUPT, "a way out of the tree");
	m[2].name = "/etc/passwd";
	refused(&w, m, 3, KACHE_E_CORRUPT, "an absolute name");
	m[2].name = "note.txt";
	refused(&w, m, 3, KACHE_E_CORRUPT, "a member that has no place");
	m[2].name = "meta.json";
	refused(&w, m, 3, KACHE_E_CORRUPT, "a second meta.json");
	upper = strdup(good);
	for (char *p = upper + 6; *p; p++)
		*p = *p >= 'a' ? (char)(*p - 'a' + 'A') : *p;
	m[2].name = upper;
	refused(&w, m, 3, KACHE_E_CORRUPT, "a hash in capitals");
	m[1] = (struct member){ good, NULL, -1, AE_IFLNK, "/etc/passwd" };
	refused(&w, m, 2, KACHE_E_CORRUPT, "a symbolic link");
	m[1] = (struct member){ good, NULL, -1, 0, "meta.json" };
	refused(&w, m, 2, KACHE_E_CORRUPT, "a hard link");
	m[1] = (struct member){ good, NULL, -1, AE_IFDIR, NULL };
	refused(&w, m, 2, KACHE_E_CORRUPT, "a directory");
	m[1] = (struct member){ good, NULL, -1, AE_IFIFO, NULL };
	refused(&w, m, 2, KACHE_E_CORRUPT, "a pipe");
	m[0].size = (int64_t)KACHE_PACK_META_MAX + 1;
	refused(&w, m, 1, KACHE_E_TOOBIG, "a meta.json without end");
	m[0].size = -1;
	w.blobs[0].size = KACHE_PACK_SIZE_MAX + 1;
	m[1] = (struct member){ good, "good", -1, 0, NULL };
	refused(&w, m, 2, KACHE_E_TOOBIG, "more bytes than any entry has");
	w.blobs[0].size = 4;
	w.blobs[1] = w.blobs[0];
	w.announced = 2;
	refused(&w, m, 2, KACHE_E_CORRUPT, "a blob that is announced twice");
	free(good);
	free(upper);
	fd = temp_fd("this is no archive at all", 25);
	w.announced = 1;
	is_int(read_pack(&w, fd, &err), KACHE_E_CORRUPT, "something else");
	close(fd);
}

/* ---- meta.json ---- */

static void fill(struct kache_entry *e)
{
	static const char stream[] = "tab\tnul\0 esc\033 \377\376 end";
	struct kache_output *o;

	*e = (struct kache_entry){ .created_ms = 1700000000123, .compile_ms = 7, .exit_code = 101, .width = 80 };
	memset(e->key.b, 0xab, KACHE_HASH_LEN);
	memset(e->invocation.b, 2, KACHE_HASH_LEN);
	e->crate = kache_strdup("c");
	e->package = kache_strdup("p");
	e->kind = kache_strdup("lib");
	e->target = kache_strdup("x86_64-unknown-linux-gnu");
	e->profile = kache_strdup("");
	e->features = kache_strdup("a,b");
	e->compiler = kache_strdup("rustc \"1\" \\ ü");
	e->out = kache_strdup("");
	e->err_len = sizeof stream - 1;
	e->err = kache_strndup(stream, e->err_len);
	o = kache_entry_add_output(e);
	o->name = kache_strdup("lib\377.rlib");
	o->role = KACHE_ROLE_RLIB;
	o->mode = 0644;
	o->size = 9;
	memset(o->blob.b, 7, KACHE_HASH_LEN);
	o = kache_entry_add_output(e);
	o->name = kache_strdup("c.d");
	o->role = KACHE_ROLE_DEPINFO;
	o->mode = 0600;
	o->size = 5;
	o->inline_data = kache_strndup("a\1b\0c", 5);
}

/* A text whose checksum is right again after a change, so that the checks behind that one are reached. */
static void renew_check(struct kache_buf *b)
{
	json_t *j = json_loadb(b->data, b->len, JSON_ALLOW_NUL, NULL);
	char hex[KACHE_HEX_LEN + 1], *text;
	struct kache_hash h;

	if (!j)
		return;
	json_object_del(j, "check");
	text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
	kache_hash_bytes(text, strlen(text), &h);
	free(text);
	json_object_set_new(j, "check", json_string(kache_hash_hex(&h, hex)));
	text = json_dumps(j, 0);
	kache_buf_reset(b);
	kache_buf_str(b, text);
	free(text);
	json_decref(j);
}

static void bad_meta(const struct kache_buf *good, const char *from, const char *to, bool renew, int want)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	const char *at = strstr(good->data, from);
	struct kache_entry e;
	struct kache_error err;
	int rc;

	if (!at) {
		ok(0, "%s is in meta.json", from);
		return;
	}
	kache_buf_add(&b, good->data, (size_t)(at - good->data));
	kache_buf_str(&b, to);
	kache_buf_str(&b, at + strlen(from));
	if (renew)
		renew_check(&b);
	rc = kache_entry_from_json(b.data, b.len, &e, &err);
	ok(rc == want, "%s for %s is refused: %s", to, from, err.text);
	if (!rc)
		kache_entry_release(&e);
}

static void test_meta(void)
{
	KACHE_AUTO_BUF struct kache_buf json = KACHE_BUF_INIT, a = KACHE_BUF_INIT, b = KACHE_BUF_INIT;
	struct kache_entry e, back;
	struct kache_error err = { 0, "" };
	int cut = 0;

	fill(&e);
	kache_entry_to_json(&e, &json);
	is_int(kache_entry_from_json(json.data, json.len, &back, &err), 0, "an entry comes back from JSON");
	kache_entry_encode(&e, &a);
	kache_entry_encode(&back, &b);
	ok(a.len == b.len && !memcmp(a.data, b.data, a.len), "byte for byte, odd bytes included");
	kache_entry_release(&e);
	kache_entry_release(&back);
	bad_meta(&json, "\"format\": 1", "\"format\": 2", true, KACHE_E_VERSION);
	bad_meta(&json, "\"format\": 1", "\"format\": 0", true, KACHE_E_CORRUPT);
	bad_meta(&json, "\"format\": 1", "\"form\": 1", true, KACHE_E_CORRUPT);
	bad_meta(&json, "\"c.d\"", "\"../c.d\"", true, KACHE_E_CORRUPT);
	bad_meta(&json, "\"c.d\"", "\"..\"", true, KACHE_E_CORRUPT);
	bad_meta(&json, "\"c.d\"", "\"c\\u0000d\"", true, KACHE_E_CORRUPT);
	bad_meta(&json, "\"size\": 5", "\"size\": 6", true, KACHE_E_CORRUPT);
	bad_meta(&json, "\"size\": 9", "\"size\": -9", true, KACHE_E_CORRUPT);
	bad_meta(&json, "\"role\": 3", "\"role\": 8", true, KACHE_E_CORRUPT);
	bad_meta(&json, "\"mode\": 384", "\"mode\": 2559", true, KACHE_E_CORRUPT);
	bad_meta(&json, "\"abab", "\"ABAB", true, KACHE_E_CORRUPT);
	bad_meta(&json, "\"crate\": \"c\"", "\"crate\": 3", true, KACHE_E_CORRUPT);
	bad_meta(&json, "\"base64\": \"", "\"base64\": \"=", true, KACHE_E_CORRUPT);
	bad_meta(&json, "\"crate\": \"c\"", "\"crate\": \"c\", \"crate\": \"d\"", false, KACHE_E_CORRUPT);
	bad_meta(&json, "\"crate\": \"c\"", "\"crate\": \"b\"", false, KACHE_E_CORRUPT);
	for (size_t i = 0; i + 2 < json.len; i++)	/* all but the last newline and brace */
		cut += !kache_entry_from_json(json.data, i, &back, &err);
	is_int(cut, 0, "cut short anywhere it is refused");
}

static void test_squeeze(void)
{
	KACHE_AUTO_BUF struct kache_buf in = KACHE_BUF_INIT, out = KACHE_BUF_INIT;
	char *text = kache_calloc(1, 100000);

	kache_squeeze(text, 100000, 3, &in);
	ok(in.len < 1000, "zeros are squeezed");
	is_int(kache_unsqueeze(in.data, in.len, 99999, &out), KACHE_E_TOOBIG, "not unpacked beyond the limit");
	is_int(kache_unsqueeze(in.data, in.len - 1, 100000, &out), KACHE_E_CORRUPT, "nor when cut");
	is_int(kache_unsqueeze(in.data, in.len, 100000, &out), 0, "unpacked");
	ok(out.len == 100000 && !memcmp(out.data, text, 100000), "whole");
	kache_buf_reset(&out);
	is_int(kache_unsqueeze("KMAN", 4, 10, &out), 0, "plain bytes are taken as they are");
	is_str(out.data, "KMAN", "unchanged");
	free(text);
}

int main(void)
{
	dir = tap_dir();
	test_round();
	test_large();
	test_edges();
	test_window();
	test_lying_store();
	test_hostile();
	test_meta();
	test_squeeze();
	rmdir(dir);
	free(dir);
	return done();
}
