/* From the event log to the index.
 *
 * Writers append to events/current.jsonl, one write(2) a line. Lines are folded where they are; how far,
 * is kept in the database with the rows themselves, so a crash counts nothing twice. A log that has grown
 * is renamed to events/<number>.jsonl; a writer that opened it before may still append, so it is only
 * removed when nothing has happened to it for a while. */
#include "config.h"
#include "store/index-internal.h"

#include "base/clock.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	CHUNK = 4 << 20,		/* read and committed at a time; longer lines are litter */
	ROTATE = 1 << 20,		/* a log beyond this is renamed */
	KEEP_EVENTS = 100000,
	PRUNE_EXTRA = 5000		/* beyond KEEP_EVENTS before pruning pays */
};
/* No writer needs longer than this between opening the log and its one write. */
#define SETTLED INT64_C(60000000000)

struct folder {
	struct kache_index *ix;
	sqlite3_stmt *event, *usage, *total;
	struct kache_taker take;
	bool scanned;			/* before that nothing is known, and the scan finds all */
	uint64_t now_ms;
};

static const char *text(json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

static uint64_t number(json_t *o, const char *name)
{
	json_int_t v = json_integer_value(json_object_get(o, name));

	return v < 0 ? 0 : (uint64_t)v;
}

static bool bind_hash(sqlite3_stmt *st, int at, json_t *o, const char *name)
{
	const char *hex = text(o, name);
	struct kache_hash h;

	if (!kache_hash_parse(hex, strlen(hex), &h)) {
		sqlite3_bind_null(st, at);
		return false;
	}
	kache_index_bind_hash(st, at, &h);
	return true;
}

static bool was_hit(json_t *o)
{
	const char *result = text(o, "result");

	return !strcmp(result, "hit") || !strcmp(result, "probe-hit");
}

static int note_usage(struct folder *f, json_t *o, uint64_t time_ms)
{
	if (!bind_hash(f->usage, 1, o, "key"))
		return SQLITE_DONE;
	kache_index_bind_u64(f->usage, 2, time_ms);
	sqlite3_bind_int(f->usage, 3, was_hit(o));
	return sqlite3_step(f->usage);
}

/* What somebody compiled, pulled, or met without our knowing. */
static void take_entry(struct folder *f, json_t *o)
{
	const char *key = text(o, "key"), *invocation = text(o, "invocation");
	struct kache_hash k, i;

	if (f->scanned && kache_hash_parse(key, strlen(key), &k))
		kache_taker_entry(&f->take, &k, kache_hash_parse(invocation, strlen(invocation), &i) ? &i : NULL, !was_hit(o));
}

static int add_total(struct folder *f, json_t *o, uint64_t time_ms)
{
	static const char *const numbers[] = { "compile_us", "total_us", "linked_bytes", "copied_bytes" };
	int at = 1;

	kache_index_bind_text(f->total, at++, text(o, "result"));
	kache_index_bind_text(f->total, at++, text(o, "reason"));
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		kache_index_bind_u64(f->total, at++, number(o, numbers[i]));
	kache_index_bind_u64(f->total, at, time_ms);
	return sqlite3_step(f->total);
}

static bool add_event(struct folder *f, json_t *o, uint64_t time_ms)
{
	static const char *const texts[] = {
		"result", "reason", "detail", "crate", "package", "kind", "target", "profile", "root",
	};
	static const char *const numbers[] = { "total_us", "compile_us", "bytes", "linked_bytes", "copied_bytes" };
	int at = 1;

	kache_index_bind_u64(f->event, at++, time_ms);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		kache_index_bind_text(f->event, at++, text(o, texts[i]));
	bind_hash(f->event, at++, o, "key");
	bind_hash(f->event, at++, o, "invocation");
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		kache_index_bind_u64(f->event, at++, number(o, numbers[i]));
	sqlite3_bind_int64(f->event, at, json_integer_value(json_object_get(o, "exit_code")));
	return sqlite3_step(f->event) == SQLITE_DONE && add_total(f, o, time_ms) == SQLITE_DONE;
}

/* One record. False if a statement failed. */
static bool take(struct folder *f, json_t *o)
{
	uint64_t time_ms = number(o, "time_ms");
	bool good;

	if (time_ms > f->now_ms)	/* a clock that was wrong must not make an entry immortal */
		time_ms = f->now_ms;
	/* That something was stored without a compile is news of the store, and no event of a build. */
	good = !strcmp(text(o, "result"), "stored") || add_event(f, o, time_ms);
	good = good && note_usage(f, o, time_ms) == SQLITE_DONE;
	sqlite3_reset(f->event);
	sqlite3_reset(f->total);
	sqlite3_reset(f->usage);
	take_entry(f, o);
	return good && !f->take.failed;
}

static bool take_line(struct folder *f, const char *line, size_t len)
{
	static const char start[] = "{\"result\":";
	const char *again = line;
	bool good = true;

	while (len) {
		json_t *o = json_loadb(line, len, 0, NULL);

		if (json_is_object(o) && *text(o, "result")) {
			good = take(f, o);
			json_decref(o);
			return good;
		}
		json_decref(o);
		/* What a full disk cut short has the next record behind it on the same line. */
		again = memmem(line + 1, len - 1, start, sizeof start - 1);
		if (!again)
			return true;
		len -= (size_t)(again - line);
		line = again;
	}
	return true;
}

static int64_t folded_at(struct folder *f, const struct kache_stat *st)
{
	KACHE_AUTO_STMT sqlite3_stmt *q =
		kache_index_prepare(f->ix, "SELECT at FROM folded WHERE ino=?1 AND btime=?2");

	if (!q)
		return 0;
	kache_index_bind_u64(q, 1, st->ino);
	sqlite3_bind_int64(q, 2, st->btime);
	return sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
}

static bool remember(struct folder *f, const struct kache_stat *st, const char *name, int64_t at)
{
	KACHE_AUTO_STMT sqlite3_stmt *q =
		kache_index_prepare(f->ix, "INSERT OR REPLACE INTO folded(ino, btime, name, at) VALUES(?1, ?2, ?3, ?4)");

	if (!q)
		return false;
	kache_index_bind_u64(q, 1, st->ino);
	sqlite3_bind_int64(q, 2, st->btime);
	kache_index_bind_text(q, 3, name);
	sqlite3_bind_int64(q, 4, at);
	return sqlite3_step(q) == SQLITE_DONE;
}

/* The whole lines among len bytes; returns how many bytes they are. */
static bool take_lines(struct folder *f, const char *data, size_t len, size_t *used)
{
	*used = 0;
	for (const char *nl; (nl = memchr(data + *used, '\n', len - *used));) {
		size_t n = (size_t)(nl - data) - *used;

		if (!take_line(f, data + *used, n))
			return false;
		*used += n + 1;
	}
	return true;
}

/* Folds one chunk in one transaction. 1: there may be more, 0: nothing left, else an error. */
static int fold_chunk(struct folder *f, int fd, const char *name, struct kache_stat *st, bool final, char *chunk,
		      struct kache_error *err)
{
	int64_t at;
	ssize_t n;
	size_t used = 0;
	int rc;

	if (kache_index_exec(f->ix, "BEGIN IMMEDIATE"))
		return kache_index_fail(f->ix, err);
	at = folded_at(f, st);
	/* It grows all the time, so only its size of now tells whether somebody emptied it. */
	if (kache_fstat(fd, st) || at > (int64_t)st->size)
		at = 0;
	do
		n = pread(fd, chunk, CHUNK, at);
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		kache_index_exec(f->ix, "ROLLBACK");
		return n ? kache_fail_errno(err, "%s/events/%s", f->ix->store->root, name) : 0;
	}
	if (!take_lines(f, chunk, (size_t)n, &used))
		goto fail;
	if (!used && (n == CHUNK || final))	/* a line without end: litter */
		used = (size_t)n;
	if (!used) {
		kache_index_exec(f->ix, "ROLLBACK");
		return 0;
	}
	kache_taker_flush(&f->take);
	if (f->take.failed || !remember(f, st, name, at + (int64_t)used) || kache_index_exec(f->ix, "COMMIT"))
		goto fail;
	return 1;
fail:
	rc = kache_index_fail(f->ix, err);
	kache_index_exec(f->ix, "ROLLBACK");
	memset(f->take.sums, 0, sizeof f->take.sums);
	return rc;
}

static int fold_file(struct folder *f, int dir, const char *name, char *chunk, struct kache_error *err)
{
	KACHE_AUTO_FD int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	bool rotated = strcmp(name, "current.jsonl") != 0, settled;
	struct kache_stat st;
	int rc;

	if (fd < 0 || kache_fstat(fd, &st) || !S_ISREG(st.mode))
		return KACHE_OK;
	/* ctime moves with the rename and with every append. */
	settled = rotated && st.ctime < kache_now_coarse() - SETTLED;
	while ((rc = fold_chunk(f, fd, name, &st, settled, chunk, err)) == 1)
		;
	if (rc || !settled || f->ix->memory)
		return rc;
	if (!kache_fstat(fd, &st) && folded_at(f, &st) >= (int64_t)st.size && st.ctime < kache_now_coarse() - SETTLED)
		unlinkat(dir, name, 0);
	return KACHE_OK;
}

/* The logs but for current.jsonl, oldest first. */
static void list_rotated(int dir, struct kache_strs *out)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *item;

	while (d && (item = readdir(d)))
		if (kache_ends(item->d_name, ".jsonl") && strcmp(item->d_name, "current.jsonl"))
			kache_strs_add(out, item->d_name);
	if (d)
		closedir(d);
	else if (copy >= 0)
		close(copy);
	kache_strs_sort(out);
}

/* Renames a log that has grown; only the holder of the lock does, so the next number is free. */
static void rotate(int dir, struct kache_strs *names)
{
	unsigned long long next = names->n ? strtoull(names->v[names->n - 1], NULL, 10) + 1 : 1;
	KACHE_AUTO_FREE char *name = kache_asprintf("%010llu.jsonl", next);
	struct stat st;

	if (fstatat(dir, "current.jsonl", &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode) || st.st_size < ROTATE)
		return;
	if (!renameat(dir, "current.jsonl", dir, name))
		kache_strs_add(names, name);
}

/* Forgets how far logs were read that are gone. */
static int forget_logs(struct folder *f, int dir, const struct kache_strs *names, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf sql = KACHE_BUF_INIT;
	struct stat st;

	kache_buf_str(&sql, "DELETE FROM folded WHERE ino NOT IN (0");
	for (size_t i = 0; i < names->n; i++)
		if (!fstatat(dir, names->v[i], &st, AT_SYMLINK_NOFOLLOW))
			kache_buf_fmt(&sql, ",%lld", (long long)st.st_ino);
	kache_buf_ch(&sql, ')');
	return kache_index_exec(f->ix, sql.data) ? kache_index_fail(f->ix, err) : KACHE_OK;
}

/* Drops events beyond what is kept; their sums stay. */
static int prune_events(struct folder *f, struct kache_error *err)
{
	long long last = kache_index_number(f->ix, "SELECT max(id) FROM events");
	long long first = kache_index_number(f->ix, "SELECT min(id) FROM events");
	KACHE_AUTO_FREE char *sql = NULL;

	if (last - first < KEEP_EVENTS + PRUNE_EXTRA)
		return KACHE_OK;
	sql = kache_asprintf("DELETE FROM events WHERE id <= %lld", last - KEEP_EVENTS);
	return kache_index_exec(f->ix, sql) ? kache_index_fail(f->ix, err) : KACHE_OK;
}

static bool prepare(struct folder *f)
{
	f->event = kache_index_prepare(f->ix,
		"INSERT INTO events(time_ms, result, reason, detail, crate, package, kind, target, profile, root, key, invocation,"
		" total_us, compile_us, bytes, linked_bytes, copied_bytes, exit_code)"
		" VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18)");
	f->usage = kache_index_prepare(f->ix,
		"INSERT INTO usage VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET used_ms = max(used_ms, excluded.used_ms),"
		" hits = hits + excluded.hits");
	f->total = kache_index_prepare(f->ix,
		"INSERT INTO totals VALUES(?1, ?2, 1, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET"
		" n = n + 1, compile_us = compile_us + excluded.compile_us, total_us = total_us + excluded.total_us,"
		" linked_bytes = linked_bytes + excluded.linked_bytes, copied_bytes = copied_bytes + excluded.copied_bytes,"
		" first_ms = min(first_ms, excluded.first_ms)");
	return kache_taker_init(&f->take, f->ix) && f->event && f->usage && f->total;
}

static void finish(struct folder *f)
{
	sqlite3_finalize(f->event);
	sqlite3_finalize(f->usage);
	sqlite3_finalize(f->total);
	kache_taker_release(&f->take);
}

static int fold_all(struct folder *f, struct kache_error *err)
{
	KACHE_AUTO_FREE char *path = kache_store_file(f->ix->store, "events");
	KACHE_AUTO_FD int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	KACHE_AUTO_FREE char *chunk = kache_alloc(CHUNK);
	int rc = KACHE_OK;

	if (dir < 0)
		return KACHE_OK;
	list_rotated(dir, &names);
	if (!f->ix->memory)
		rotate(dir, &names);
	kache_strs_add(&names, "current.jsonl");
	for (size_t i = 0; i < names.n && !rc; i++)
		rc = fold_file(f, dir, names.v[i], chunk, err);
	if (!rc)
		rc = forget_logs(f, dir, &names, err);
	return rc ? rc : prune_events(f, err);
}

int kache_index_fold(struct kache_index *ix, struct kache_error *err)
{
	struct folder f = { .ix = ix, .scanned = kache_index_state(ix, "scanned") != 0,
			    .now_ms = (uint64_t)(kache_now_real() / 1000000) };
	int rc = prepare(&f) ? fold_all(&f, err) : kache_index_fail(ix, err);

	finish(&f);
	return rc;
}
