/* Events into rows. Writers append lines to events/current.jsonl; the fold renames that file, reads
 * what it has not read yet, and deletes it once no late writer can be left. Offsets and rows go in
 * one transaction, so a fold that is killed is repeated and nothing counts twice. */
#include "config.h"
#include "store/index-internal.h"

#include "base/clock.h"
#include "base/path.h"
#include "base/strs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A writer opens, writes once and closes; a minute after the rename none is left. */
static const int64_t late_writers_ns = INT64_C(60000000000);

static void bind_text(sqlite3_stmt *q, int at, json_t *event, const char *name)
{
	const char *text = json_string_value(json_object_get(event, name));

	if (text)
		sqlite3_bind_text(q, at, text, -1, SQLITE_TRANSIENT);
	else
		sqlite3_bind_null(q, at);
}

static void bind_number(sqlite3_stmt *q, int at, json_t *event, const char *name)
{
	sqlite3_bind_int64(q, at, json_integer_value(json_object_get(event, name)));
}

static void bind_key(sqlite3_stmt *q, int at, json_t *event, const char *name)
{
	const char *hex = json_string_value(json_object_get(event, name));
	struct kache_hash h;

	if (hex && kache_hash_parse(hex, strlen(hex), &h))
		sqlite3_bind_blob(q, at, h.b, KACHE_HASH_LEN, SQLITE_TRANSIENT);
	else
		sqlite3_bind_null(q, at);
}

struct statements {
	sqlite3_stmt *event, *used;
};

/* One line; what is no event (a torn write on a full disk) is passed over. */
static int fold_line(struct statements *q, const char *line, size_t len)
{
	static const char *const texts[] = { "result", "reason", "detail", "crate", "package", "kind", "root" };
	static const char *const numbers[] = { "total_us", "compile_us", "linked_bytes", "copied_bytes" };
	json_t *event = json_loadb(line, len, 0, NULL);
	const char *result = event ? json_string_value(json_object_get(event, "result")) : NULL;
	int rc = SQLITE_DONE;

	if (result) {
		sqlite3_reset(q->event);
		bind_number(q->event, 1, event, "time_ms");
		for (int i = 0; i < 7; i++)
			bind_text(q->event, i + 2, event, texts[i]);
		bind_key(q->event, 9, event, "key");
		bind_key(q->event, 10, event, "invocation");
		for (int i = 0; i < 4; i++)
			bind_number(q->event, i + 11, event, numbers[i]);
		rc = sqlite3_step(q->event);
		if (rc == SQLITE_DONE && (!strcmp(result, "hit") || !strcmp(result, "probe-hit"))) {
			sqlite3_reset(q->used);
			bind_number(q->used, 1, event, "time_ms");
			bind_key(q->used, 2, event, "key");
			rc = sqlite3_step(q->used);
		}
	}
	json_decref(event);
	return rc == SQLITE_DONE ? KACHE_OK : KACHE_E_IO;
}

static int64_t folded_offset(struct kache_index *x, uint64_t inode)
{
	sqlite3_stmt *q = kache_index_prepare(x, "SELECT offset FROM folded WHERE inode=?");
	int64_t offset = 0;

	if (!q)
		return 0;
	sqlite3_bind_int64(q, 1, (int64_t)inode);
	if (sqlite3_step(q) == SQLITE_ROW)
		offset = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return offset;
}

static int remember_offset(struct kache_index *x, uint64_t inode, int64_t offset)
{
	sqlite3_stmt *q = kache_index_prepare(x, offset < 0 ? "DELETE FROM folded WHERE inode=?"
							    : "INSERT OR REPLACE INTO folded VALUES(?,?)");
	int rc;

	if (!q)
		return KACHE_E_IO;
	sqlite3_bind_int64(q, 1, (int64_t)inode);
	if (offset >= 0)
		sqlite3_bind_int64(q, 2, offset);
	rc = sqlite3_step(q);
	sqlite3_finalize(q);
	return rc == SQLITE_DONE ? KACHE_OK : KACHE_E_IO;
}

static int fold_file(struct kache_index *x, struct statements *q, const char *path)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_stat st;
	int64_t from;
	int rc = KACHE_OK;

	if (kache_stat(path, false, &st) || !S_ISREG(st.mode) || kache_file_read(path, (size_t)4 << 30, &b))
		return KACHE_OK;
	from = folded_offset(x, st.ino);
	if (from < 0 || (uint64_t)from > b.len)
		from = 0;
	for (size_t at = (size_t)from; at < b.len && !rc;) {
		const char *nl = memchr(b.data + at, '\n', b.len - at);

		if (!nl)
			break;
		rc = fold_line(q, b.data + at, (size_t)(nl - b.data) - at);
		at = (size_t)(nl - b.data) + 1;
		from = (int64_t)at;
	}
	if (rc)
		return rc;
	if (x->store->readonly || !strcmp(kache_path_base(path), "current.jsonl") ||
	    kache_now_real() - st.ctime < late_writers_ns)
		return remember_offset(x, st.ino, from);
	unlink(path);
	return remember_offset(x, st.ino, -1);
}

static void set_current_aside(struct kache_index *x, const char *dir)
{
	KACHE_AUTO_FREE char *current = kache_path_join(dir, "current.jsonl");
	KACHE_AUTO_FREE char *aside = kache_asprintf("%s/%020lld-%ld.jsonl", dir, (long long)kache_now_real(), (long)getpid());

	if (!x->store->readonly)
		(void)!rename(current, aside);
}

static int fold_all(struct kache_index *x, const char *dir, struct statements *q)
{
	KACHE_AUTO_STRS struct kache_strs files = { NULL, 0, 0 };
	DIR *d = opendir(dir);
	struct dirent *item;
	int rc = KACHE_OK;

	while (d && (item = readdir(d)))
		if (kache_ends(item->d_name, ".jsonl"))
			kache_strs_take(&files, kache_path_join(dir, item->d_name));
	if (d)
		closedir(d);
	kache_strs_sort(&files);
	for (size_t i = 0; i < files.n && !rc; i++)
		rc = fold_file(x, q, files.v[i]);
	return rc;
}

int kache_index_fold(struct kache_index *x, struct kache_error *err)
{
	KACHE_AUTO_FREE char *dir = kache_store_file(x->store, "events");
	KACHE_AUTO_FREE char *lock = kache_path_join(dir, "fold.lock");
	KACHE_AUTO_FD int fd = -1;
	struct statements q = { NULL, NULL };
	int rc;

	if (!x->store->readonly) {
		fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB))
			return KACHE_OK;	/* somebody else is at it: what is folded serves */
		set_current_aside(x, dir);
	}
	if (kache_index_exec(x, "BEGIN IMMEDIATE", err))
		return KACHE_E_IO;
	q.event = kache_index_prepare(x, "INSERT INTO events VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
	q.used = kache_index_prepare(x, "UPDATE entries SET hits=hits+1, used_ms=max(used_ms,?1) WHERE key=?2");
	rc = q.event && q.used ? fold_all(x, dir, &q) : KACHE_E_IO;
	sqlite3_finalize(q.event);
	sqlite3_finalize(q.used);
	if (rc) {
		kache_index_fail(x, err, "events");
		sqlite3_exec(x->db, "ROLLBACK", NULL, NULL, NULL);
		return rc;
	}
	sqlite3_exec(x->db, "DELETE FROM events WHERE rowid <= (SELECT max(rowid) FROM events) - 200000", NULL, NULL, NULL);
	return kache_index_exec(x, "COMMIT", err);
}
