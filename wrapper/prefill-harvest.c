/* From the calls of a cargo command, and what cargo has noted about them in its target directory, to the command's plan. */
#include "config.h"
#include "wrapper/prefill.h"

#include "base/file.h"
#include "base/path.h"
#include "key/rustargs.h"
#include "store/codec.h"
#include "wrapper/call.h"
#include "wrapper/record.h"
#include "wrapper/script.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BYTES = 512 << 20, MOST_OF_FILE = 1 << 20, MOST_FILES = 16, MOST_ABSENT = 4 };

/* A call as it was noted (wrapper/record.h). */
struct noted {
	uint64_t space;
	uint64_t started_ms;
	struct kache_hash result;
	char *cwd;
	struct kache_strs argv, env;
};

/* A unit of the new plan while it is made. */
struct unit {
	struct kache_plan_unit plan;
	char *id;		/* cargo's hash of it, of its file names */
	struct kache_strs needs;	/* ids */
	bool whole;		/* all that it needs can be there */
	bool visited;
	size_t at;		/* index in the plan, of what is in it */
};

struct harvest {
	const struct kache_command *command;
	char *target;
	struct unit *units;
	size_t n;
	bool strange;		/* a call that does not fit the command as we know it */
};

/* ---- what was noted ---- */

static void noted_release(struct noted *c)
{
	free(c->cwd);
	kache_strs_release(&c->argv);
	kache_strs_release(&c->env);
	*c = (struct noted){ 0 };
}

static bool read_noted(struct kache_reader *all, struct noted *c)
{
	struct kache_reader r;
	size_t len;
	const void *call = kache_read_bytes(all, &len);

	*c = (struct noted){ 0 };
	if (!call || all->bad)
		return false;
	kache_reader_init(&r, call, len);
	c->space = kache_read_u64(&r);
	c->started_ms = kache_read_u64(&r);
	kache_codec_hash(&r, &c->result);
	c->cwd = kache_read_string(&r);
	kache_codec_strs(&r, &c->argv);
	kache_codec_strs(&r, &c->env);
	if (!r.bad && c->argv.n)
		return true;
	noted_release(c);
	return false;
}

static const char *variable(const struct noted *c, const char *name)
{
	const size_t len = strlen(name);

	for (size_t i = 0; i < c->env.n; i++)
		if (!strncmp(c->env.v[i], name, len) && c->env.v[i][len] == '=')
			return c->env.v[i] + len + 1;
	return NULL;
}

/* ---- one unit ---- */

static bool put_packed(struct harvest *h, struct kache_strs *out, const char *text)
{
	char *packed = kache_plan_pack(text, h->command->root, h->target);

	if (packed)
		kache_strs_take(out, packed);
	return packed != NULL;
}

/* What the call's environment has otherwise than that of -vV, which is ours. */
static bool pack_environment(struct harvest *h, const struct noted *c, struct kache_plan_unit *u)
{
	KACHE_AUTO_STRS struct kache_strs ours = { NULL, 0, 0 };

	for (char **e = environ; *e; e++)
		kache_strs_add(&ours, *e);
	kache_strs_sort(&ours);
	for (size_t i = 0; i < c->env.n; i++)
		if (!kache_strs_find(&ours, c->env.v[i]) && !put_packed(h, &u->set, c->env.v[i]))
			return false;
	for (size_t i = 0; i < ours.n; i++) {
		KACHE_AUTO_FREE char *name = kache_strndup(ours.v[i], strcspn(ours.v[i], "="));

		if (kache_record_variable(ours.v[i]) && !variable(c, name))
			kache_strs_add(&u->unset, name);
	}
	return true;
}

/* "16 digits" of "-16 digits" */
static const char *id_of(const char *extra)
{
	return extra && extra[0] == '-' && strlen(extra) == 17 && strspn(extra + 1, "0123456789abcdef") == 16 ? extra + 1 : NULL;
}

/* "16 digits" of NAME-ID, or NULL. */
static const char *id_at_end(const char *name)
{
	const char *dash = strrchr(name, '-');

	return dash ? id_of(dash) : NULL;
}

/* Cargo's notes of a unit that nobody has begun anew since that call, which began_in tells. */
static bool read_record(struct harvest *h, const struct noted *c, const char *dir, const char *began_in, struct kache_plan_unit *u)
{
	KACHE_AUTO_FREE char *began = kache_path_join(began_in, "invoked.timestamp");
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };
	bool sealed = false;
	struct kache_stat st;

	if (kache_dir_names(dir, &names) || names.n > MOST_FILES)
		return false;
	kache_strs_sort(&names);
	u->files = kache_calloc(names.n + 1, sizeof *u->files);
	for (size_t i = 0; i < names.n; i++) {
		KACHE_AUTO_FREE char *path = kache_path_join(dir, names.v[i]);
		struct kache_plan_file *f = &u->files[u->n_files];
		struct kache_buf b = KACHE_BUF_INIT;

		if (kache_stat(path, false, &st) || kache_file_read(path, MOST_OF_FILE, &b)) {
			kache_buf_release(&b);
			return false;
		}
		*f = (struct kache_plan_file){ .name = kache_strdup(names.v[i]), .len = b.len };
		f->data = kache_buf_steal(&b);
		u->n_files++;
		sealed |= kache_plan_is_seal(f);
		/* Names of places, in messages above all, are good for those only. */
		u->here |= memmem(f->data, f->len, h->command->root, strlen(h->command->root)) ||
			   memmem(f->data, f->len, h->target, strlen(h->target));
	}
	/* Cargo touches this file first when it begins, which was before the call. */
	return sealed && !kache_stat(began, false, &st) && (uint64_t)(st.mtime / 1000000) <= c->started_ms;
}

/* Whether a package at another place that cargo's files give the same name is the same package. */
static bool moves(const char *packed_manifest)
{
	return packed_manifest[0] == KACHE_PLAN_ROOT || kache_call_immutable(packed_manifest);
}

/* target of target/debug, or of target/TRIPLE/debug */
static char *target_of(const char *profile_dir, bool triple)
{
	KACHE_AUTO_FREE char *up = kache_path_dir(profile_dir);

	return triple ? kache_path_dir(up) : kache_strdup(up);
}

/* clippy-driver is given the compiler as its first argument. */
static size_t compiler_words(const struct noted *c)
{
	return 1 + (c->argv.n > 1 && !strcmp(kache_path_base(c->argv.v[0]), "clippy-driver") && !strchr("-@", c->argv.v[1][0]));
}

/* Whether the call is what the command leads us to expect: members are compiled in the root, outputs go to the target directory. */
static bool fits(struct harvest *h, const struct noted *c, const struct kache_rust_args *a, const char *profile_dir)
{
	char *target;

	if (a->source && a->source[0] != '/' && strcmp(c->cwd, h->command->root))
		return false;
	if (strcmp(c->argv.v[compiler_words(c) - 1], h->command->rustc))
		return false;
	target = target_of(profile_dir, a->target != NULL);
	if (!h->target) {
		h->target = target;
		return true;
	}
	if (strcmp(target, h->target)) {
		free(target);
		return false;
	}
	free(target);
	return true;
}

static bool pack_places(struct harvest *h, const struct noted *c, const char *out_dir, const char *record, const char *manifest,
			struct kache_plan_unit *u)
{
	const struct { char **to; const char *from; } places[] = {
		{ &u->record, record }, { &u->out_dir, out_dir }, { &u->cwd, c->cwd }, { &u->manifest, manifest },
	};

	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		*places[i].to = kache_plan_pack(places[i].from, h->command->root, h->target);
		if (!*places[i].to)
			return false;
	}
	for (size_t i = 0; i < c->argv.n; i++)
		if (!put_packed(h, &u->argv, c->argv.v[i]))
			return false;
	return true;
}

/* Variables that a script sets for its package's compiles. */
static bool pack_told(struct harvest *h, const char *run_dir, struct kache_plan_unit *u)
{
	KACHE_AUTO_FREE char *path = kache_path_join(run_dir, "output");
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;

	if (kache_file_read(path, MOST_OF_FILE, &text))
		return false;
	for (size_t at = 0, len; at < text.len; at += len + 1) {
		KACHE_AUTO_FREE char *told = NULL;

		len = strcspn(text.data + at, "\n");
		told = kache_script_told(text.data + at, len, "rustc-env");
		if (told && strchr(told, '=') && !put_packed(h, &u->set, told))
			return false;
	}
	return true;
}

/* What a build script says, and leaves, is known when it has run: the run that had this directory. */
static bool needs_run(struct harvest *h, const struct noted *c, struct unit *u)
{
	const char *out = variable(c, "OUT_DIR"), *id;
	KACHE_AUTO_FREE char *dir = out ? kache_path_dir(out) : NULL;

	if (!dir)
		return true;
	id = id_at_end(kache_path_base(dir));
	if (id)
		kache_strs_add(&u->needs, id);
	return id && pack_told(h, dir, &u->plan);
}

static void find_needs(struct harvest *h, const struct kache_rust_args *a, const struct noted *c, struct unit *u)
{
	u->whole = needs_run(h, c, u);
	for (size_t i = 0; i < a->n_externs; i++) {
		const char *base = kache_path_base(a->externs[i].path);
		KACHE_AUTO_FREE char *stem = kache_strndup(base, strcspn(base, "."));
		const char *id = id_at_end(stem);

		if (!*base)
			continue;	/* of the compiler's own */
		if (id)
			kache_strs_add(&u->needs, id);
		u->whole &= id != NULL;	/* else another program's */
	}
}

/* A build script has two names in its directory: the one that rustc gave it, and the one that cargo runs it by. */
static void find_alias(const struct kache_rust_args *a, struct kache_plan_unit *u)
{
	KACHE_AUTO_FREE char *up = kache_path_dir(a->out_dir);
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };

	if (strcmp(kache_path_base(up), "build") || kache_dir_names(a->out_dir, &names))
		return;
	for (size_t i = 0; i < names.n; i++)
		if (kache_starts(names.v[i], "build-script-")) {
			free(u->program);
			free(u->alias);
			u->program = kache_concat(a->crate, a->extra_filename, NULL);
			u->alias = kache_strdup(names.v[i]);
		}
}

static bool pack_unit(struct harvest *h, const struct noted *c, const char *id, const char *out_dir, const char *record,
		      const char *began_in, struct unit *u)
{
	KACHE_AUTO_FREE char *manifest = kache_path_join(variable(c, "CARGO_MANIFEST_DIR"), "Cargo.toml");

	u->id = kache_strdup(id);
	u->plan.result = c->result;
	u->plan.program = kache_strdup("");
	u->plan.alias = kache_strdup("");
	if (!pack_places(h, c, out_dir, record, manifest, &u->plan) || !pack_environment(h, c, &u->plan) ||
	    kache_hash_file(manifest, &u->plan.manifest_hash, NULL) || !kache_command_settled(h->command, manifest) ||
	    !read_record(h, c, record, began_in, &u->plan))
		return false;
	u->plan.here |= !moves(u->plan.manifest);
	return true;
}

/* A build script's run: ".../build/NAME-ID/build_script_build.real" with OUT_DIR=.../build/NAME-ID/out, of two different IDs. */
static bool make_run(struct harvest *h, const struct noted *c, struct unit *u)
{
	const char *out = variable(c, "OUT_DIR"), *id, *script;
	KACHE_AUTO_FREE char *run = NULL, *profile_dir = NULL, *record = NULL, *dir = kache_path_dir(c->argv.v[0]);

	if (!out || !variable(c, "CARGO_MANIFEST_DIR") || c->argv.n != 1)
		return false;
	run = kache_path_dir(out);
	profile_dir = kache_call_profile_dir(run);
	id = id_at_end(kache_path_base(run));
	script = id_at_end(kache_path_base(dir));
	if (!id || !script || !profile_dir || !h->target || !kache_path_below(profile_dir, h->target, NULL))
		return false;
	record = kache_concat(profile_dir, "/.fingerprint/", kache_path_base(run), NULL);
	u->whole = true;
	kache_strs_add(&u->needs, script);
	return pack_unit(h, c, id, out, record, run, u);
}

/* Fills u in; false where the unit is not for a plan. */
static bool make_unit(struct harvest *h, const struct noted *c, const struct kache_rust_args *a, struct unit *u)
{
	const char *id = id_of(a->extra_filename), *package = variable(c, "CARGO_PKG_NAME"), *dir = variable(c, "CARGO_MANIFEST_DIR");
	KACHE_AUTO_FREE char *profile_dir = NULL, *record = NULL;

	if (!id || !package || !dir || !a->out_dir || a->out_dir[0] != '/' || a->class != KACHE_RUST_COMPILE)
		return false;
	profile_dir = kache_call_profile_dir(a->out_dir);
	if (!profile_dir)
		return false;
	if (!fits(h, c, a, profile_dir)) {
		h->strange = true;
		return false;
	}
	record = kache_concat(profile_dir, "/.fingerprint/", package, "-", id, NULL);
	if (!pack_unit(h, c, id, a->out_dir, record, record, u))
		return false;
	find_needs(h, a, c, u);
	find_alias(a, &u->plan);
	return true;
}

static void unit_release(struct unit *u)
{
	kache_plan_unit_release(&u->plan);
	free(u->id);
	kache_strs_release(&u->needs);
	*u = (struct unit){ 0 };
}

static struct unit *find(struct harvest *h, const char *id)
{
	for (size_t i = 0; i < h->n; i++)
		if (!strcmp(h->units[i].id, id))
			return &h->units[i];
	return NULL;
}

/* The later of two takes the place of the earlier. */
static void add(struct harvest *h, struct unit *u)
{
	struct unit *same = find(h, u->id);

	if (same) {
		unit_release(same);
		*same = *u;
		return;
	}
	h->units = kache_realloc(h->units, h->n + 1, sizeof *h->units);
	h->units[h->n++] = *u;
}

static bool read_calls(struct harvest *h, const char *path)
{
	KACHE_AUTO_BUF struct kache_buf all = KACHE_BUF_INIT;
	const uint64_t space = kache_record_space();
	struct kache_reader r;
	struct noted c;
	bool any = false;

	if (kache_file_read(path, MOST_BYTES, &all))
		return false;
	kache_reader_init(&r, all.data ? all.data : "", all.len);
	for (; read_noted(&r, &c); noted_release(&c)) {
		const size_t words = compiler_words(&c);
		struct kache_rust_args a;
		struct unit u = { 0 };

		if (c.space != space)
			continue;
		any = true;
		kache_rust_args_parse((int)(c.argv.n - words), c.argv.v + words, c.cwd, &a);
		if (kache_is_script(c.argv.v[0]) ? make_run(h, &c, &u) : make_unit(h, &c, &a, &u))
			add(h, &u);
		else
			unit_release(&u);
		kache_rust_args_release(&a);
	}
	return any;
}

/* ---- together with what was known ---- */

/* Whether cargo's record of the unit is the plan's. */
static bool is_there(struct harvest *h, const struct kache_plan_unit *u)
{
	KACHE_AUTO_FREE char *record = kache_plan_unpack(u->record, h->command->root, h->target);

	for (size_t i = 0; i < u->n_files; i++) {
		KACHE_AUTO_FREE char *path = kache_path_join(record, u->files[i].name);
		KACHE_AUTO_BUF struct kache_buf now = KACHE_BUF_INIT;

		if (!kache_starts(u->files[i].name, "dep-") &&
		    (kache_file_read(path, MOST_OF_FILE, &now) || now.len != u->files[i].len ||
		     (now.len && memcmp(now.data, u->files[i].data, now.len))))
			return false;
	}
	return true;
}

/* Somebody may be about to remove the target directory, or the next command to fill it, so this has to be so several times. */
static bool is_gone(struct harvest *h, struct kache_plan_unit *u)
{
	u->absent = is_there(h, u) ? 0 : (uint8_t)(u->absent + 1);
	return u->absent == MOST_ABSENT;
}

static const char *id_of_record(const char *record)
{
	const size_t len = strlen(record);

	return len > 16 ? record + len - 16 : record;
}

/* Takes what still holds of the old plan. Returns whether the new one is another. */
static bool take_over(struct harvest *h, struct kache_plan *old)
{
	const bool moved = strcmp(old->root, h->command->root) || strcmp(old->target, h->target);
	KACHE_AUTO_STRS struct kache_strs ids = { NULL, 0, 0 };
	bool other = false;

	for (size_t i = 0; i < old->n; i++)
		kache_strs_add(&ids, id_of_record(old->units[i].record));
	for (size_t i = 0; i < old->n; i++) {
		struct kache_plan_unit *from = &old->units[i];
		const uint8_t absent = from->absent;
		struct unit u = { .whole = true };

		if (find(h, ids.v[i]))
			continue;
		if ((moved && from->here) || is_gone(h, from)) {
			other = true;
			continue;
		}
		other |= from->absent != absent;
		u.id = kache_strdup(ids.v[i]);
		for (size_t k = 0; k < from->n_needs; k++)
			kache_strs_add(&u.needs, ids.v[from->needs[k]]);
		free(from->needs);
		from->needs = NULL;
		from->n_needs = 0;
		u.plan = *from;
		*from = (struct kache_plan_unit){ 0 };
		add(h, &u);
	}
	return other;
}

/* Behind all that it needs; false where something of that is not known. */
static bool append(struct harvest *h, struct unit *u, struct kache_plan *out)
{
	if (u->visited)
		return u->whole;
	u->visited = true;
	for (size_t i = 0; i < u->needs.n && u->whole; i++) {
		struct unit *other = find(h, u->needs.v[i]);

		u->whole = other && append(h, other, out);
	}
	if (!u->whole)
		return false;
	u->plan.needs = kache_calloc(u->needs.n + 1, sizeof *u->plan.needs);
	for (size_t i = 0; i < u->needs.n; i++)
		u->plan.needs[u->plan.n_needs++] = (uint32_t)find(h, u->needs.v[i])->at;
	u->at = out->n;
	out->units[out->n++] = u->plan;
	return true;
}

static void save(struct harvest *h, struct kache_store *s)
{
	struct kache_plan plan = { .root = h->command->root, .target = h->target };

	plan.units = kache_calloc(h->n + 1, sizeof *plan.units);
	/* Scripts first: a run has to begin some time after its script was put in place. */
	for (size_t i = 0; i < h->n; i++)
		if (*h->units[i].plan.alias)
			(void)append(h, &h->units[i], &plan);
	for (size_t i = 0; i < h->n; i++)
		(void)append(h, &h->units[i], &plan);
	(void)kache_plan_put(s, &h->command->key, &plan);
	free(plan.units);	/* what they hold is the harvest's */
}

void kache_prefill_harvest(struct kache_store *s, const struct kache_command *c, const char *calls, struct kache_plan *old)
{
	struct harvest h = { .command = c, .target = c->target ? kache_strdup(c->target) : NULL };
	bool other = read_calls(&h, calls);

	if (!h.target && old->n && !strcmp(old->root, c->root))
		h.target = kache_strdup(old->target);
	if (h.target && !h.strange) {
		other |= old->n && take_over(&h, old);
		if (other)
			save(&h, s);
	}
	for (size_t i = 0; i < h.n; i++)
		unit_release(&h.units[i]);
	free(h.units);
	free(h.target);
}
