#include "config.h"
#include "cli/miss.h"

#include "base/strs.h"

#include <stdlib.h>
#include <string.h>

void kache_differences_release(struct kache_differences *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->v[i].name);
		free(d->v[i].before);
		free(d->v[i].after);
	}
	free(d->v);
	*d = (struct kache_differences){ 0 };
}

/* Takes before and after. */
static void add(struct kache_differences *d, const char *what, const char *name, size_t len, char *before, char *after)
{
	if (d->n == d->cap) {
		d->cap = d->cap ? d->cap * 2 : 16;
		d->v = kache_realloc(d->v, d->cap, sizeof *d->v);
	}
	d->v[d->n++] = (struct kache_difference){ what, kache_strndup(name, len), before, after };
}

/* What cargo derives from everything else says least, so it comes last. */
static int rank(const struct kache_difference *d)
{
	static const char *const derived[] = { "-C metadata", "-C extra-filename", "--extern *" };

	for (size_t i = 0; i < sizeof derived / sizeof *derived; i++)
		if (kache_glob(derived[i], d->name))
			return 3;
	return !d->after ? 2 : !d->before;
}

static int by_rank(const void *a, const void *b)
{
	const struct kache_difference *x = a, *y = b;

	return rank(x) != rank(y) ? rank(x) - rank(y) : strcmp(x->name, y->name);
}

static void sort(struct kache_differences *d)
{
	if (d->n)
		qsort(d->v, d->n, sizeof *d->v, by_rank);
}

static const struct kache_input *find(const struct kache_input_set *s, const struct kache_input *like)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->inputs[i].kind == like->kind && s->inputs[i].name == like->name)
			return &s->inputs[i];
	return NULL;
}

static bool same(const struct kache_input *a, const struct kache_input *b)
{
	return a && b && kache_hash_eq(&a->hash, &b->hash);
}

static size_t distance(const struct kache_input_set *a, const struct kache_input_set *b)
{
	size_t n = 0;

	for (size_t i = 0; i < a->n; i++)
		n += !same(&a->inputs[i], find(b, &a->inputs[i]));
	for (size_t i = 0; i < b->n; i++)
		n += !find(a, &b->inputs[i]);
	return n;
}

/* A word for what a hash stands for, where there is one. */
static char *shown(const struct kache_input *in)
{
	static const struct kache_hash none;
	char hex[KACHE_HEX_LEN + 1];

	if (!in)
		return NULL;
	if (in->kind == KACHE_INPUT_PRESENT)
		return kache_strdup(in->hash.b[0] == 'd' ? "a directory" : "a file");
	if (in->kind == KACHE_INPUT_ABSENT && in->hash.b[0] == KACHE_ABSENT_CLOSED)
		return kache_strdup("can't be reached");
	if (kache_hash_eq(&in->hash, &none))
		return kache_strdup(in->kind == KACHE_INPUT_ABSENT ? "not there" : "unset");
	kache_hash_hex(&in->hash, hex);
	return kache_strndup(hex, 16);
}

static void compare(const struct kache_manifest *m, const struct kache_input_set *then, const struct kache_input_set *now,
		    struct kache_differences *out)
{
	for (size_t i = 0; i < now->n; i++) {
		const struct kache_input *in = &now->inputs[i], *old = find(then, in);
		const char *name = m->names[in->name];

		if (!same(in, old))
			add(out, kache_input_kind_name(in->kind), name, strlen(name), shown(old), shown(in));
	}
	for (size_t i = 0; i < then->n; i++) {
		const struct kache_input *in = &then->inputs[i];
		const char *name = m->names[in->name];

		if (!find(now, in))
			add(out, kache_input_kind_name(in->kind), name, strlen(name), shown(in), NULL);
	}
	sort(out);
}

bool kache_miss_inputs(const struct kache_manifest *m, const struct kache_hash *result, struct kache_differences *out)
{
	const struct kache_input_set *now = NULL, *nearest = NULL;
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < m->n_sets; i++)
		if (kache_hash_eq(&m->sets[i].result, result))
			now = &m->sets[i];
	for (size_t i = 0; now && i < m->n_sets; i++) {
		const struct kache_input_set *s = &m->sets[i];
		size_t d = s == now || s->created_ms > now->created_ms ? SIZE_MAX : distance(s, now);

		if (d < least) {
			least = d;
			nearest = s;
		}
	}
	if (nearest)
		compare(m, nearest, now, out);
	return nearest != NULL;
}

struct line {
	const char *text;
	size_t len, label;	/* of label: "-C opt-level" of "-C opt-level=3", "env X" of "env X y" */
};

static bool next_line(const char **at, struct line *l)
{
	size_t word;

	if (!**at)
		return false;
	l->text = *at;
	l->len = strcspn(l->text, "\n");
	word = strcspn(l->text, " \n");
	l->label = word;
	if (word < l->len && (!strncmp(l->text, "env ", 4) || !strncmp(l->text, "key_env ", 8)))
		l->label = word + 1 + strcspn(l->text + word + 1, " \n");
	else if (word < l->len && (!strncmp(l->text, "-C ", 3) || !strncmp(l->text, "-Z ", 3) ||
				   !strncmp(l->text, "--extern ", 9)))
		l->label = word + 1 + strcspn(l->text + word + 1, "=\n");
	*at += l->len + (l->text[l->len] == '\n');
	return true;
}

static bool has_line(const char *text, const struct line *wanted)
{
	struct line l;

	while (next_line(&text, &l))
		if (l.len == wanted->len && !memcmp(l.text, wanted->text, l.len))
			return true;
	return false;
}

static char *value(const struct line *l)
{
	size_t skip = l->label < l->len ? l->label + 1 : l->len;

	return kache_strndup(l->text + skip, l->len - skip);
}

/* A difference with this name that is still open towards the newer call. */
static struct kache_difference *open_one(struct kache_differences *d, const struct line *l)
{
	for (size_t i = 0; i < d->n; i++)
		if (!d->v[i].after && kache_is_word(d->v[i].name, l->text, l->label))
			return &d->v[i];
	return NULL;
}

void kache_miss_components(const char *then, const char *now, struct kache_differences *out)
{
	struct line l;

	for (const char *p = then; next_line(&p, &l);)
		if (!has_line(now, &l))
			add(out, "component", l.text, l.label, value(&l), NULL);
	for (const char *p = now; next_line(&p, &l);) {
		struct kache_difference *d;

		if (has_line(then, &l))
			continue;
		d = open_one(out, &l);
		if (d)
			d->after = value(&l);
		else
			add(out, "component", l.text, l.label, NULL, value(&l));
	}
	sort(out);
}

/* First match counts, so what explains the rest comes first. Names are patterns. */
static const struct { const char *what, *name, *text; } meanings[] = {
	{ "component", "recipe", "Another version of kache, whose keys are made differently; each crate is compiled once with it." },
	{ "component", "compiler", "Another compiler; each crate is compiled once with it." },
	{ "component", "version", "Another compiler; each crate is compiled once with it." },
	{ "component", "driver", "clippy and rustc do not share results." },
	{ "component", "key_salt", "cache.key_salt was changed, which starts an empty cache." },
	{ "component", "key_env *", "A variable that cache.key_env declares has another value." },
	{ "component", "env *", "This variable changes what the compiler does; with its old value the stored result serves." },
	{ "component", "remap", "paths.remap was switched; results are not shared between the two." },
	{ "component", "--target", "Compiled for another target." },
	{ "component", "-C opt-level", "Another profile, or other flags in RUSTFLAGS or [profile]." },
	{ "component", "-C debuginfo", "Another profile, or other flags in RUSTFLAGS or [profile]." },
	{ "component", "--cfg", "Other features or cfgs are on; builds that agree on them share results." },
	{ "component", "--emit", "cargo check and cargo build ask for other outputs and do not share results." },
	{ "component", "source", "The source is another file." },
	{ "component", "cwd", "Called in another directory of the workspace, which the crate's hash holds." },
	{ "component", "-C metadata", "To cargo it is another unit: another version, source, feature set or profile, of it or of what it depends on." },
	{ "component", "-C extra-filename", "To cargo it is another unit: another version, source, feature set or profile, of it or of what it depends on." },
	{ "component", "--extern *", "Another set of dependencies." },
	{ "component", "*", "The call has other arguments; with the old ones the stored result serves." },
	{ "file", "*.rmeta", "A dependency came out differently; kache why-miss on that crate tells why." },
	{ "file", "*.rlib", "A dependency came out differently; kache why-miss on that crate tells why." },
	{ "file", "*.so", "A procedural macro came out differently; kache why-miss on its crate tells why." },
	{ "file", "*", "A file that the compile reads was changed; with its old content the stored result serves." },
	{ "variable", "*", "A variable that the compile reads has another value; with the old one the stored result serves." },
	{ "environment", "CARGO *", "A procedural macro asks cargo, which goes by its own variables." },
	{ "environment", "*", "A macro or a script in this compile may go by any variable, so that the whole environment counts." },
	{ "listing", "*", "A file came or went in a directory that the compile lists." },
	{ "absent", "*", "Something is now, or was then, where the compile looks for a file in vain." },
	{ "present", "*", "Something came or went that the compile asks for." },
	{ "status", "*", "A procedural macro or a build script asks when files were changed, and this one has another time or mode." },
	{ "birth", "*", "A procedural macro or a build script asks when files were made, and this one was made anew." },
	{ "time", "*", "The compiler writes the times of files down, or compares them, and this one has another." },
	{ "place", "*", "The result holds, or may hold, the name of a directory; it is good for that one only." },
	{ "directory", "*", "A directory that is searched leads elsewhere, through a link or because it is another one now." },
	{ "link", "*", "A symbolic link leads elsewhere." },
	{ "order", "*", "A directory with several precompiled headers was changed." },
	{ "same", "*", "Of headers with equal content others are the same file now, or equally old." },
	{ "program", "*", "A program that the compile runs is another one." },
};

const char *kache_miss_advice(const struct kache_differences *d)
{
	for (size_t k = 0; k < sizeof meanings / sizeof *meanings; k++)
		for (size_t i = 0; i < d->n; i++)
			if (!strcmp(meanings[k].what, d->v[i].what) && kache_glob(meanings[k].name, d->v[i].name))
				return meanings[k].text;
	return NULL;
}
