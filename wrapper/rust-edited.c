/* Crates that are being edited. The compiler's own incremental state serves them better than any cache, so what comes of it stays
 * in the target directory. It is noted there, though, with its inputs; and when the sources go back to something that is stored, or
 * git has checked out something else since, what is about to be replaced goes into the store, for when they return
 * (docs/internals/keying.md, "Incremental").
 *
 * Byte format of a note (kache-<crate><extra>/made in the directory of -C incremental), little-endian: "KNOT", u32 format version,
 * what git had checked out, the manifest, the entry without blobs, then for each of its outputs device, inode, time of birth, size,
 * time of change and the time that cargo will set (u64 each); and a BLAKE3 of everything before it. */
#include "config.h"
#include "wrapper/rustc.h"

#include "base/log.h"
#include "base/path.h"
#include "store/codec.h"
#include "wrapper/inputs.h"
#include "wrapper/result.h"
#include "wrapper/run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOTE_FORMAT = 1, NOTE_LIMIT = 64 << 20, HEAD_LIMIT = 1 << 20 };
static const char note_magic[] = "KNOT", note_name[] = "made";

/* What is there from the first edit on, until the target directory is cleaned. */
static char *marker(const struct kache_call *c)
{
	return kache_concat(c->args.incremental, "/kache-", c->args.crate, c->args.extra_filename ? c->args.extra_filename : "", NULL);
}

/* Cargo asks for incremental compilation of the user's own crates. A crate is cached like any other until
 * it is being edited: a second input set from this invocation, or state left by rustc, says so. From then
 * on rustc's own incremental state serves better, until it is gone (cargo clean). */
bool kache_rust_edited(struct kache_call *c)
{
	const char *policy = kache_conf_str(c->conf, KACHE_CONF_INCREMENTAL);
	KACHE_AUTO_FREE char *dir = NULL;
	struct kache_manifest m;
	bool edited = false;
	struct stat st;

	if (!c->args.incremental || !strcmp(policy, "never"))
		return false;
	if (!strcmp(policy, "always"))
		return true;
	dir = marker(c);
	if (!stat(dir, &st))
		return true;
	if (!kache_manifest_get(c->store, &c->invocation, &m)) {
		/* Only this target directory's own history tells of editing: its last output is still there. */
		KACHE_AUTO_FREE char *last = kache_rust_depinfo(c);

		edited = m.n_sets > 0 && !stat(last, &st);
		kache_manifest_release(&m);
	}
	if (edited && (!kache_mkdirs(c->args.incremental, 0777)))
		mkdir(dir, 0777);
	return edited;
}

/* The git directory of that working tree, or NULL. In one of several .git is a file that names it (gitrepository-layout(5)). */
static char *git_dir(const char *top)
{
	KACHE_AUTO_FREE char *git = kache_path_join(top, ".git");
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
	struct stat st;

	if (stat(git, &st))
		return NULL;
	if (S_ISDIR(st.st_mode))
		return kache_strdup(git);
	if (kache_file_read(git, HEAD_LIMIT, &text) || !text.len || !kache_starts(text.data, "gitdir: "))
		return NULL;
	text.data[strcspn(text.data, "\n")] = '\0';
	return kache_path_absolute(top, text.data + strlen("gitdir: "));
}

/* What git has checked out where the package is: the name of a branch, or a commit; nothing where there is no git. */
static void checked_out(const struct kache_call *c, struct kache_buf *head)
{
	const char *manifest = kache_env("CARGO_MANIFEST_DIR");
	KACHE_AUTO_FREE char *top = kache_strdup(manifest[0] == '/' ? manifest : c->cwd);
	KACHE_AUTO_FREE char *dir = NULL, *file = NULL;

	while (!(dir = git_dir(top))) {
		char *up = strcmp(top, "/") ? kache_path_dir(top) : NULL;

		if (!up)
			return;
		free(top);
		top = up;
	}
	file = kache_path_join(dir, "HEAD");
	(void)kache_file_read(file, HEAD_LIMIT, head);
	/* A repository with reftables says nothing in HEAD; the names of its tables are others after each change of a reference. */
	free(file);
	file = kache_path_join(dir, "reftable/tables.list");
	(void)kache_file_read(file, HEAD_LIMIT, head);
}

/* The key is that of the state: of the very directory that tells of it, so that the state of another one, or of before "cargo clean",
 * is none of it; and of all places by name, for here the compiler is told no other ones. */
bool kache_rust_edit(struct kache_call *c)
{
	KACHE_AUTO_BUF struct kache_buf id = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *dir = marker(c);
	struct kache_hasher h;
	struct kache_stat st;

	if (!strcmp(kache_conf_str(c->conf, KACHE_CONF_INCREMENTAL), "always") || !c->args.json_artifacts ||
	    !(c->args.emit & KACHE_EMIT_DEPINFO) || kache_stat(dir, true, &st))
		return false;
	c->edited = true;
	kache_call_tokens(c);
	kache_hasher_init(&h);
	kache_key_bytes(c, &h, "incremental", c->args.incremental, strlen(c->args.incremental));
	kache_buf_fmt(&id, "%llx %llx %llx", (unsigned long long)st.dev, (unsigned long long)st.ino, (unsigned long long)st.btime);
	kache_key_text(c, &h, "state", id.data);
	for (size_t i = 0; i < c->tokens.n; i++)
		kache_key_text(c, &h, c->tokens.t[i].name, c->tokens.t[i].path);
	kache_hasher_field(&h, "exact", c->invocation.b, KACHE_HASH_LEN);
	kache_hasher_end(&h, &c->invocation);
	return true;
}

static void leave_out(struct kache_strs *paths, const char *dir)
{
	size_t kept = 0;

	for (size_t i = 0; i < paths->n; i++) {
		if (kache_path_below(paths->v[i], dir, NULL))
			free(paths->v[i]);
		else
			paths->v[kept++] = paths->v[i];
	}
	paths->n = kept;
	if (paths->v)
		paths->v[kept] = NULL;
}

/* What the compiler has of its own state is no input: it sees to that itself. */
static void leave_out_state(const struct kache_call *c, struct kache_observed *seen)
{
	KACHE_AUTO_FREE char *given = kache_path_absolute(c->cwd, c->args.incremental);
	KACHE_AUTO_FREE char *real = kache_path_real(given);
	struct kache_strs *const lists[] = {
		&seen->reads, &seen->writes, &seen->absent, &seen->present, &seen->lists, &seen->links,
	};

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
		leave_out(lists[i], given);
		if (real)
			leave_out(lists[i], real);
	}
}

/* Where an output is kept for as long as it may be stored. Cargo removes all but the metadata before it runs the compiler
 * again; and a link to that, which dependents read already, would look like a change to them. */
static char *kept_path(const struct kache_call *c, const char *dir, const struct kache_output *o)
{
	if (o->role == KACHE_ROLE_METADATA || o->role == KACHE_ROLE_DEPINFO)
		return kache_rust_place(c, o->name);
	return kache_path_join(dir, o->name);
}

/* What an output is known again by. A link to it changes no more than its ctime. */
enum { IDENTITY = 5 };
static void identity(const struct kache_stat *st, uint64_t is[IDENTITY])
{
	is[0] = st->dev;
	is[1] = st->ino;
	is[2] = (uint64_t)st->btime;
	is[3] = st->size;
	is[4] = (uint64_t)st->mtime;
}

static bool keep(const struct kache_call *c, const char *dir, const struct kache_output *o, struct kache_buf *note)
{
	KACHE_AUTO_FREE char *made = kache_rust_place(c, o->name);
	KACHE_AUTO_FREE char *path = kept_path(c, dir, o);
	uint64_t is[IDENTITY];
	struct kache_stat st;

	if ((strcmp(made, path) && link(made, path)) || kache_stat(path, false, &st))
		return false;
	identity(&st, is);
	for (size_t i = 0; i < IDENTITY; i++)
		kache_buf_u64(note, is[i]);
	kache_buf_u64(note, (uint64_t)kache_rust_later(c, o->role));
	return true;
}

/* The note goes first: without it nothing else is looked at. */
static void forget(const char *dir)
{
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	KACHE_AUTO_FREE char *note = kache_path_join(dir, note_name);

	unlink(note);
	(void)kache_dir_names(dir, &names);
	for (size_t i = 0; i < names.n; i++) {
		KACHE_AUTO_FREE char *path = kache_path_join(dir, names.v[i]);

		unlink(path);
	}
}

static void write_note(const struct kache_call *c, const struct kache_manifest *m, const struct kache_entry *e)
{
	KACHE_AUTO_BUF struct kache_buf head = KACHE_BUF_INIT, note = KACHE_BUF_INIT, part = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *dir = marker(c);
	KACHE_AUTO_FREE char *path = kache_path_join(dir, note_name);
	size_t start = kache_codec_begin(&note, note_magic, NOTE_FORMAT);

	checked_out(c, &head);
	kache_buf_bytes(&note, head.len ? head.data : "", head.len);
	kache_manifest_encode(m, &part);
	kache_buf_bytes(&note, part.data, part.len);
	kache_buf_reset(&part);
	kache_entry_encode(e, &part);
	kache_buf_bytes(&note, part.data, part.len);
	for (size_t i = 0; i < e->n_outputs; i++)
		if (!keep(c, dir, &e->outputs[i], &note))
			return;
	kache_codec_end(&note, start);
	(void)kache_file_replace(path, note.data, note.len, 0666);
}

void kache_rust_note(struct kache_call *c, struct kache_run *run)
{
	const char *reason = NULL;
	KACHE_AUTO_FREE char *detail = NULL;
	KACHE_AUTO_FREE char *dir = marker(c);
	struct kache_manifest m;
	struct kache_entry e;

	forget(dir);
	leave_out_state(c, &run->seen);
	if (!kache_inputs_collect(c, run, &m, &reason, &detail)) {
		if (!kache_result_entry(c, run, &m, &e, &reason, &detail)) {
			free(e.kind);
			e.kind = kache_strdup(KACHE_KIND_EDITED);
			write_note(c, &m, &e);
			kache_entry_release(&e);
		}
		kache_manifest_release(&m);
	}
	if (reason)
		kache_debug("not noted %s: %s%s%s", c->unit, reason, detail ? " " : "", detail ? detail : "");
}

static bool as_noted(const char *path, struct kache_reader *r, struct kache_stat *st)
{
	uint64_t was[IDENTITY], is[IDENTITY], later;

	for (size_t i = 0; i < IDENTITY; i++)
		was[i] = kache_read_u64(r);
	later = kache_read_u64(r);
	if (r->bad || kache_stat(path, false, st) || !S_ISREG(st->mode))
		return false;
	identity(st, is);
	return !memcmp(was, is, sizeof was - sizeof *was) && (is[IDENTITY - 1] == was[IDENTITY - 1] || is[IDENTITY - 1] == later);
}

static int store_output(struct kache_call *c, const char *dir, struct kache_output *o, struct kache_reader *r,
			struct kache_error *err)
{
	KACHE_AUTO_FREE char *path = kept_path(c, dir, o);
	enum kache_linking linking = KACHE_LINKING_NOT;
	struct kache_stat st;
	bool same = as_noted(path, r, &st);

	/* The entry has it; and one that failed since has left its own. */
	if (o->role == KACHE_ROLE_DEPINFO)
		return KACHE_OK;
	if (!same)
		return kache_fail(err, KACHE_E_INVALID, "%s has changed", path);
	/* What has no other name is nobody's but ours. */
	if (o->role != KACHE_ROLE_METADATA && st.nlink == 1 && kache_links(kache_call_link_policy(c)))
		linking = KACHE_LINKING_OLD;
	return kache_blob_put_file(c->store, path, linking, &o->blob, &o->size, err);
}

/* The rest of a note, behind the manifest. */
static int store_noted(struct kache_call *c, const char *dir, struct kache_manifest *m, struct kache_reader *r,
		       struct kache_error *err)
{
	struct kache_entry e;
	size_t len;
	const char *at = kache_read_bytes(r, &len);
	int rc = kache_entry_decode(at, len, &e);

	if (rc)
		return kache_fail(err, rc, "damaged note");
	for (size_t i = 0; i < e.n_outputs && !rc; i++)
		rc = store_output(c, dir, &e.outputs[i], r, err);
	if (!rc)
		rc = kache_entry_put(c->store, &e, err);
	if (!rc)
		rc = kache_manifest_update(c->store, m, err);
	kache_entry_release(&e);
	return rc;
}

static bool another_checked_out(const struct kache_call *c, const char *then, size_t len)
{
	KACHE_AUTO_BUF struct kache_buf head = KACHE_BUF_INIT;

	checked_out(c, &head);
	return len != head.len || (len && memcmp(then, head.data, len));
}

/* What was noted is what this call would make: the sources have other times, but they are the same. */
static bool holds(struct kache_call *c, const struct kache_manifest *m)
{
	KACHE_AUTO_FREE char *changed = NULL;
	size_t index;

	return kache_hash_eq(&m->invocation, &c->invocation) && !kache_inputs_match(c, m, &index, &changed);
}

bool kache_rust_replacing(struct kache_call *c, bool compiled)
{
	KACHE_AUTO_BUF struct kache_buf note = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *dir = NULL, *path = NULL;
	struct kache_manifest m = { 0 };
	struct kache_reader r;
	struct kache_error err;
	const char *then, *at;
	size_t len, size;
	bool wanted = false, stored = false;

	if (!c->args.incremental || c->store->readonly)
		return false;
	dir = marker(c);
	path = kache_path_join(dir, note_name);
	if (kache_file_read(path, NOTE_LIMIT, &note))
		return false;
	if (!kache_codec_open(&r, note.data, note.len, note_magic, NOTE_FORMAT)) {
		then = kache_read_bytes(&r, &len);
		at = kache_read_bytes(&r, &size);
		if (!kache_manifest_decode(at, size, &m)) {
			wanted = compiled && holds(c, &m);
			/* One edit follows another, and nobody comes back to what was between. */
			if (compiled && !wanted && !another_checked_out(c, then, len)) {
				kache_manifest_release(&m);
				return false;
			}
			stored = !store_noted(c, dir, &m, &r, &err);
			kache_manifest_release(&m);
			if (!stored)
				kache_debug("not stored %s: %s", c->unit, err.text);
		}
	}
	forget(dir);
	return wanted && stored;
}
