/* core/base: buffers, paths, hashes, JSON. */
#include "config.h"
#include "tap.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/path.h"
#include "base/row.h"
#include "base/strs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_reader(void)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_reader r;
	char *s;

	kache_buf_u8(&b, 7);
	kache_buf_u32(&b, 0xdeadbeef);
	kache_buf_u64(&b, 0x0123456789abcdefULL);
	kache_buf_bytes(&b, "hello", 5);
	kache_reader_init(&r, b.data, b.len);
	is_int(kache_read_u8(&r), 7, "u8 comes back");
	is_int(kache_read_u32(&r), 0xdeadbeef, "u32 comes back");
	ok(kache_read_u64(&r) == 0x0123456789abcdefULL, "u64 comes back");
	s = kache_read_string(&r);
	is_str(s, "hello", "string comes back");
	free(s);
	ok(!r.bad && r.p == r.end, "reader ends where the bytes end");
	kache_read_u8(&r);
	ok(r.bad, "reading on is noticed");
	kache_buf_reset(&b);
	kache_buf_u32(&b, 0xffffffff);
	kache_reader_init(&r, b.data, b.len);
	s = kache_read_string(&r);
	ok(r.bad && !*s, "a length beyond the end is noticed");
	free(s);
}

static void test_lists(void)
{
	KACHE_AUTO_STRS struct kache_strs list = { 0 };

	ok(!kache_strs_find(&list, "a") && !kache_strs_from(&list, "a"), "nothing is in an empty list");
	kache_strs_add(&list, "d");
	kache_strs_add(&list, "b");
	kache_strs_add(&list, "b/c");
	kache_strs_sort(&list);
	ok(kache_strs_find(&list, "b") && kache_strs_find(&list, "b/c") && kache_strs_find(&list, "d"), "what is there is found");
	ok(!kache_strs_find(&list, "a") && !kache_strs_find(&list, "c") && !kache_strs_find(&list, "e"), "what is not is not");
	ok(kache_strs_from(&list, "b/") == 1 && kache_strs_from(&list, "e") == 3, "and where it would be");
}

static void test_paths(void)
{
	static const struct { const char *cwd, *path, *want; } abs[] = {
		{ "/a/b", "c.rs", "/a/b/c.rs" }, { "/a/b", "../c", "/a/c" }, { "/a", "/x/./y//z/..", "/x/y" },
		{ "/", "../..", "/" }, { "/a", "", "/a" },
	};
	const char *rest = NULL;
	size_t n = 0;

	for (size_t i = 0; i < sizeof abs / sizeof *abs; i++) {
		char *got = kache_path_absolute(abs[i].cwd, abs[i].path);

		is_str(got, abs[i].want, abs[i].path);
		free(got);
	}
	ok(kache_path_below("/a/b/c", "/a/b", &rest) && !strcmp(rest, "c"), "below");
	ok(!kache_path_below("/a/bc", "/a/b", NULL), "a prefix is not a parent");
	ok(kache_path_below("/a/b", "/a/b/", &rest) && !*rest, "a directory is below itself");
	ok(kache_path_below("/a", "/", &rest) && !strcmp(rest, "a"), "everything is below the root");
	for (const char *at = "/a::/b:"; at; n++) {
		static const char *const dirs[] = { "/a", ".", "/b", "." };
		KACHE_AUTO_FREE char *dir = kache_path_next(&at);

		is_str(dir, n < 4 ? dirs[n] : NULL, "a list of directories");
	}
	is_int(n, 4, "has an end");
}

static void test_hash(void)
{
	/* Official test vectors, input lengths 0 and 1 (bytes 0, 1, 2 … mod 251). */
	static const char empty[] = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
	static const char one[] = "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213";
	char hex[KACHE_HEX_LEN + 1];
	struct kache_hash h, back;

	kache_hash_bytes("", 0, &h);
	is_str(kache_hash_hex(&h, hex), empty, "BLAKE3 of nothing");
	kache_hash_bytes("", 1, &h);
	is_str(kache_hash_hex(&h, hex), one, "BLAKE3 of one zero byte");
	ok(kache_hash_parse(hex, strlen(hex), &back) && kache_hash_eq(&h, &back), "hex comes back");
	hex[3] = 'G';
	ok(!kache_hash_parse(hex, strlen(hex), &back), "a digit that is none is refused");
}

static void test_files(void)
{
	char *dir = tap_dir(), *path = kache_path_join(dir, "a/b/c");
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_stat st, in;
	KACHE_AUTO_FD int at = -1;

	is_int(kache_file_replace(path, "one", 3, 0644), 0, "replace makes the parents");
	is_int(kache_file_replace(path, "second", 6, 0644), 0, "replace replaces");
	is_int(kache_file_read(path, 100, &b), 0, "read");
	is_str(b.data, "second", "what was written");
	is_int(kache_stat(path, true, &st), 0, "stat");
	is_int(st.size, 6, "size");
	at = kache_open(dir, O_PATH | O_DIRECTORY, 0);
	ok(!kache_stat_in(at, path + strlen(dir) + 1, &in) && in.ino == st.ino && in.ctime == st.ctime,
	   "the same from its directory");
	is_int(kache_file_read(path, 6, &b), 0, "as much as may be");
	ok(kache_file_read(path, 5, &b) == KACHE_E_TOOBIG && errno == EFBIG, "a byte more than may be");
	ok(kache_file_read("/nonexistent/x", 10, &b) == KACHE_E_IO, "reading what is not there fails");
	unlink(path);
	free(path);
	for (const char *const *d = (const char *const[]){ "a/b", "a", "", NULL }; *d; d++) {
		path = kache_path_join(dir, *d);
		rmdir(path);
		free(path);
	}
	free(dir);
}

/* A child's names are its own, also if its parent has had some before. */
static void test_temp_names(void)
{
	KACHE_AUTO_FREE char *first = kache_temp_name("d", "x-"), *second = kache_temp_name("d", "x-"), *own = NULL;
	char theirs[64] = "";
	int answer[2], status;
	pid_t pid;

	ok(strcmp(first, second) && !strncmp(first, "d/x-", 4), "%s and %s", first, second);
	if (pipe(answer) || (pid = fork()) < 0) {
		ok(0, "a child: %s", strerror(errno));
		return;
	}
	if (!pid) {
		char *name = kache_temp_name("d", "x-");

		_exit(write(answer[1], name, strlen(name)) < 0);
	}
	waitpid(pid, &status, 0);
	ok(read(answer[0], theirs, sizeof theirs - 1) > 0, "a child's name");
	own = kache_asprintf("d/x-%ld-", (long)pid);
	ok(!strncmp(theirs, own, strlen(own)), "%s has its number", theirs);
	close(answer[0]);
	close(answer[1]);
}

static void test_text(void)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_json j = { .out = &b };

	kache_json_open(&j, NULL, '{');
	kache_json_str(&j, "a", "q\"\\\n\x01\xff");
	kache_json_open(&j, "b", '[');
	kache_json_u64(&j, NULL, 1);
	kache_json_bool(&j, NULL, true);
	kache_json_close(&j, ']');
	kache_json_close(&j, '}');
	is_str(b.data, "{\"a\":\"q\\\"\\\\\\n\\u0001\\ufffd\",\"b\":[1,true]}", "JSON");
	is_int(kache_edit_distance("kitten", "sitting"), 3, "edit distance");
	is_int(kache_parse_bool("Yes"), 1, "yes");
	is_int(kache_parse_bool("maybe"), -1, "maybe");
}

static void test_buffers(void)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	char *all = kache_concat("a", "", "bc", NULL), *none = kache_concat("", NULL);

	is_str(all, "abc", "concat");
	is_str(none, "", "concat of nothing");
	free(all);
	free(none);
	kache_buf_decimal(&b, 0);
	kache_buf_ch(&b, ' ');
	kache_buf_decimal(&b, UINT64_MAX);
	is_str(b.data, "0 18446744073709551615", "decimal");
	kache_buf_reserve(&b, 10000);
	kache_buf_trim(&b);
	ok(b.cap == b.len + 1 && !strcmp(b.data, "0 18446744073709551615"), "trim");
	for (int i = 0; i < 1000; i++)
		kache_buf_ch(&b, 'x');
	ok(b.len == 1022 && b.data[1021] == 'x' && !b.data[1022], "and it grows again");
}

/* kache_row_stat says what kache_stat says. */
static bool same_in_row(struct kache_row *r, const char *path)
{
	struct kache_stat a, b;
	const int rc = kache_row_stat(r, path, &a), wanted = kache_stat(path, true, &b);

	return rc == wanted && (rc || (a.ino == b.ino && a.size == b.size && a.mode == b.mode));
}

static void test_row(void)
{
	enum { MANY = 12 };
	KACHE_AUTO_FREE char *dir = tap_dir(), *link = kache_path_join(dir, "link");
	struct kache_row r = KACHE_ROW_INIT;
	char *path[2 * MANY];
	int wrong = 0;

	for (int i = 0; i < 2 * MANY; i++) {
		path[i] = kache_asprintf("%s/%s/%d", dir, i < MANY ? "one" : "two", i % MANY);
		wrong += kache_file_replace(path[i], path[i], (size_t)i, 0600) != 0;
	}
	for (int i = 0; i < 2 * MANY; i++)
		wrong += !same_in_row(&r, path[i]);
	for (int i = 0; i < 2 * MANY; i++)	/* now one, now the other */
		wrong += !same_in_row(&r, path[i % 3 ? i : i % MANY]);
	for (int i = 0; i < MANY; i++)
		wrong += !same_in_row(&r, path[i]);
	is_int(wrong, 0, "files are told by their directory as by their path");
	ok(r.fd >= 0, "which is open");
	wrong = symlink(path[MANY + 3], link) || !same_in_row(&r, link) || !same_in_row(&r, dir) || !same_in_row(&r, "/");
	for (int i = 0; i < 2 * MANY; i++)
		unlink(path[i]);
	for (int i = 0; i < MANY; i++)
		wrong += !same_in_row(&r, path[i]);
	is_int(wrong, 0, "links, directories, and what is not there");
	kache_row_end(&r);
	ok(r.fd < 0 && !r.dir, "closed");
	unlink(link);
	for (int i = 0; i < 2 * MANY; i++) {
		KACHE_AUTO_FREE char *parent = kache_path_dir(path[i]);

		rmdir(parent);
		free(path[i]);
	}
	rmdir(dir);
}

static void test_words(void)
{
	ok(kache_starts("abc", "ab") && kache_starts("abc", "") && !kache_starts("ab", "abc") && !kache_starts("", "a"), "beginnings");
	ok(kache_is_word("abc", "abcd", 3) && !kache_is_word("abc", "abcd", 4) && !kache_is_word("abc", "ab", 2) &&
	   kache_is_word("", "x", 0) && !kache_is_word("", "x", 1) && !kache_is_word("a", "", 0), "words");
}

int main(void)
{
	test_row();
	test_words();
	test_buffers();
	test_reader();
	test_lists();
	test_paths();
	test_hash();
	test_files();
	test_temp_names();
	test_text();
	return done();
}
