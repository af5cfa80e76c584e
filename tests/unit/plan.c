/* Plans: as bytes and back, damaged ones, places as tokens, and how many a store keeps. */
#include "config.h"
#include "tap.h"

#include "store/plan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char *root;

static struct kache_plan_unit unit(const char *record)
{
	struct kache_plan_unit u = {
		.record = kache_strdup(record), .out_dir = kache_strdup("\001/debug/deps"),
		.cwd = kache_strdup("\002"), .manifest = kache_strdup("\002/Cargo.toml"), .absent = 2,
		.program = kache_strdup(""), .alias = kache_strdup(""),
	};

	kache_hash_bytes(record, strlen(record), &u.result);
	kache_strs_add(&u.argv, "rustc");
	kache_strs_add(&u.argv, "--crate-name");
	kache_strs_add(&u.set, "A=1");
	kache_strs_add(&u.unset, "B");
	u.files = kache_calloc(2, sizeof *u.files);
	u.files[0] = (struct kache_plan_file){ kache_strdup("lib-x"), kache_strdup("0123456789abcdef"), 16 };
	u.files[1] = (struct kache_plan_file){ kache_strdup("dep-lib-x"), kache_strndup("a\0b", 3), 3 };
	u.n_files = 2;
	return u;
}

static struct kache_plan plan(void)
{
	struct kache_plan p = { .root = kache_strdup("/w"), .target = kache_strdup("/w/target"), .n = 2 };

	p.units = kache_calloc(2, sizeof *p.units);
	p.units[0] = unit("\001/debug/.fingerprint/a-0123456789abcdef");
	p.units[1] = unit("\001/debug/.fingerprint/b-fedcba9876543210");
	p.units[1].here = true;
	p.units[1].needs = kache_calloc(1, sizeof *p.units[1].needs);
	p.units[1].n_needs = 1;
	return p;
}

static void bytes(void)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT, again = KACHE_BUF_INIT;
	struct kache_plan p = plan(), q;
	int bad = 0;

	kache_plan_encode(&p, &b);
	is_int(kache_plan_decode(b.data, b.len, &q), KACHE_OK, "a plan comes back");
	kache_plan_encode(&q, &again);
	ok(b.len == again.len && !memcmp(b.data, again.data, b.len), "the same");
	is_int(q.n, 2, "with its units");
	is_int(q.units[1].needs[0], 0, "and what they need");
	is_int(q.units[0].files[1].len, 3, "and files with any bytes");
	ok(q.units[1].here && !q.units[0].here && q.units[0].absent == 2, "and facts");
	kache_plan_release(&q);
	for (size_t i = 0; i < b.len; i++) {
		b.data[i] ^= 4;
		bad += kache_plan_decode(b.data, b.len, &q) == KACHE_OK;
		kache_plan_release(&q);
		b.data[i] ^= 4;
		bad += kache_plan_decode(b.data, i, &q) == KACHE_OK;
		kache_plan_release(&q);
	}
	is_int(bad, 0, "not one of its bytes may be another, or missing");
	kache_plan_release(&p);
}

/* What a hash does not protect from: whoever wrote it meant it so. */
static void strange(const char *name, void (*change)(struct kache_plan *))
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_plan p = plan(), q;

	change(&p);
	kache_plan_encode(&p, &b);
	is_int(kache_plan_decode(b.data, b.len, &q), KACHE_E_CORRUPT, name);
	kache_plan_release(&q);
	kache_plan_release(&p);
}

static void replace(char **text, const char *by)
{
	free(*text);
	*text = kache_strdup(by);
}

static void climbing_file(struct kache_plan *p) { replace(&p->units[0].files[0].name, "../x"); }
static void hidden_file(struct kache_plan *p) { replace(&p->units[0].files[0].name, ".."); }
static void climbing_alias(struct kache_plan *p) { replace(&p->units[0].alias, "../x"); }
static void needs_itself(struct kache_plan *p) { p->units[1].needs[0] = 1; }
static void no_arguments(struct kache_plan *p) { kache_strs_release(&p->units[0].argv); }

static void places(void)
{
	static const struct { const char *text, *packed; } cases[] = {
		{ "/w", "\002" }, { "/w/src", "\002/src" }, { "/w/target/debug", "\001/debug" }, { "/wide", "/wide" }, { "a/w", "a/w" },
		{ "dependency=/w/target/debug/deps", "dependency=\001/debug/deps" }, { "/x:/w/target:/w", "/x:\001:\002" },
		{ "/w/targets", "\002/targets" }, { "", "" }, { "X=/w", "X=\002" }, { "/x/w/y", "/x/w/y" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		KACHE_AUTO_FREE char *packed = kache_plan_pack(cases[i].text, "/w", "/w/target");
		KACHE_AUTO_FREE char *back = kache_plan_unpack(cases[i].packed, "/w", "/w/target");
		KACHE_AUTO_FREE char *moved = kache_plan_unpack(cases[i].packed, "/v", "/t");

		is_str(packed, cases[i].packed, cases[i].text);
		is_str(back, cases[i].text, "and back");
		ok(!strstr(moved, "/w/") || strstr(moved, "/x/w/"), "elsewhere it has other names");
	}
	ok(!kache_plan_pack("a\001b", "/w", "/w/target") && !kache_plan_pack("a\002b", "/w", "/w/target"), "a text with a token has none");
}

/* Two that are more together than may be. */
static void much(struct kache_store *s, struct kache_plan *p)
{
	const size_t len = KACHE_PLANS_BYTES - 4096, before = p->units[0].files[1].len;
	KACHE_AUTO_FREE char *dir = kache_asprintf("%s/plans", root);
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	char *big = kache_calloc(1, len), *was = p->units[0].files[1].data;
	struct kache_hash first, second;
	struct kache_plan q;

	kache_hash_bytes("first", 5, &first);
	kache_hash_bytes("second", 6, &second);
	p->units[0].files[1].data = big;
	p->units[0].files[1].len = len;
	is_int(kache_plan_put(s, &first, p), KACHE_OK, "a big one");
	usleep(20000);
	is_int(kache_plan_put(s, &second, p), KACHE_OK, "and another");
	p->units[0].files[1].data = was;
	p->units[0].files[1].len = before;
	free(big);
	kache_dir_names(dir, &names);
	is_int(names.n, 1, "of too much the last is kept");
	is_int(kache_plan_get(s, &first, &q), KACHE_E_NOENT, "not the first");
	kache_plan_release(&q);
	is_int(kache_plan_get(s, &second, &q), KACHE_OK, "but the second");
	kache_plan_release(&q);
}

static void store(void)
{
	struct kache_error err;
	struct kache_store *s;
	struct kache_plan p = plan(), q;
	struct kache_hash key;
	KACHE_AUTO_FREE char *dir = kache_asprintf("%s/plans", root);
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	const struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };

	is_int(kache_store_open(root, true, &s, &err), KACHE_OK, "a store");
	kache_hash_bytes("0", 1, &key);
	is_int(kache_plan_get(s, &key, &q), KACHE_E_NOENT, "has no plan yet");
	is_int(kache_plan_put(s, &key, &p), KACHE_OK, "takes one");
	is_int(kache_plan_get(s, &key, &q), KACHE_OK, "and has it");
	is_str(q.units[1].record, p.units[1].record, "as it was");
	kache_plan_release(&q);
	{
		KACHE_AUTO_FREE char *path = kache_plan_path(s, &key);

		is_int(utimensat(AT_FDCWD, path, old, 0), 0, "one that nobody has used for years");
	}
	for (int i = 1; i <= KACHE_PLANS + 3; i++) {
		kache_hash_bytes(&i, sizeof i, &key);
		if (kache_plan_put(s, &key, &p))
			ok(0, "plan %d", i);
	}
	kache_dir_names(dir, &names);
	is_int(names.n, KACHE_PLANS, "of many some are kept");
	ok(!kache_plan_get(s, &key, &q), "the last among them");
	kache_plan_release(&q);
	kache_hash_bytes("0", 1, &key);
	is_int(kache_plan_get(s, &key, &q), KACHE_E_NOENT, "the oldest is not");
	much(s, &p);
	{
		KACHE_AUTO_FREE char *path = kache_plan_path(s, &key);

		is_int(kache_file_replace(path, "KPLN", 4, 0600), KACHE_OK, "a damaged one");
		ok(kache_plan_get(s, &key, &q) == KACHE_E_CORRUPT && access(path, F_OK), "is removed");
	}
	kache_plan_release(&p);
	{
		KACHE_AUTO_FREE char *format = kache_store_file(s, "format");

		is_int(unlink(format), 0, "a store that is being removed");
		is_int(kache_plan_put(s, &key, &p), KACHE_E_IO, "takes none");
	}
	kache_store_close(s);
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");
	char count[16];

	root = kache_asprintf("%s/kache-plan.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(root))
		return 1;
	bytes();
	strange("a file elsewhere", climbing_file);
	strange("a file without a name", hidden_file);
	strange("a second name elsewhere", climbing_alias);
	strange("a unit that waits for itself", needs_itself);
	strange("a call of nothing", no_arguments);
	places();
	store();
	if (tap_failed)
		return 1;
	snprintf(count, sizeof count, "%d", tap_count);
	execl("/bin/sh", "sh", "-c", "echo 1..$1; exec rm -rf \"$2\"", "sh", count, root, NULL);
	return 1;
}
