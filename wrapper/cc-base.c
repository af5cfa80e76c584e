/* Base directories of C compiles: checkouts and build directories whose names are of one place only. Below them keys and inputs
 * name what they mean by a token, the compiler is told to write another name into its output (-ffile-prefix-map), and what
 * depends on the real name all the same is kept for its place (docs/internals/c.md, "Other checkouts"). */
#include "config.h"
#include "wrapper/cc.h"

#include "base/file.h"
#include "base/path.h"
#include "wrapper/collect.h"
#include "wrapper/inputs.h"

#include <stdlib.h>
#include <string.h>

/* A name that means itself in an argument OLD=NEW, in a rule of make, and in a message. */
static bool plain_name(const char *path)
{
	return path[0] == '/' && path[1] &&
	       !path[strspn(path, "/ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+@~,")];
}

static void add(struct kache_call *c, const char *name, const char *path)
{
	KACHE_AUTO_FREE char *real = plain_name(path) ? kache_path_real(path) : NULL;

	if (!real || !plain_name(real) || !real[1])
		return;
	kache_tokens_add(&c->tokens, name, path, NULL, true);
	kache_tokens_add(&c->tokens, name, real, NULL, true);
}

static bool below_base(const struct kache_call *c, const char *path)
{
	for (size_t i = 0; i < c->tokens.n; i++)
		if (kache_path_below(path, c->tokens.t[i].path, NULL))
			return true;
	return false;
}

bool kache_cc_is_base(const struct kache_call *c, const char *path)
{
	for (size_t i = 0; i < c->tokens.n; i++)
		if (!strcmp(c->tokens.t[i].path, path))
			return true;
	return false;
}

/* Whether this call names anything below a base directory; else they are no business of its own. */
static bool concerned(const struct kache_call *c)
{
	const struct kache_cc_args *a = &c->cc;

	if (below_base(c, c->cwd) || below_base(c, a->source) || below_base(c, a->output))
		return true;
	for (size_t i = 0; i < a->n_parts; i++)
		if (a->parts[i].kind != KACHE_CC_TEXT && below_base(c, a->parts[i].value))
			return true;
	return false;
}

void kache_cc_bases(struct kache_call *c)
{
	const struct kache_strs *base = kache_conf_list(c->conf, KACHE_CONF_BASE_DIRS);
	const struct kache_cc_args *a = &c->cc;

	/* What is compressed, mangled, packed like a precompiled header, or holds the command line as it was, can't be looked
	 * through for a name, and a script that adds arguments would see ours. */
	if (!kache_conf_bool(c->conf, KACHE_CONF_REMAP) || !c->compiler.maps || a->record || a->mangled || a->compressed ||
	    a->header || a->adds || c->input.data || kache_starts(a->language, "assembler"))
		return;
	for (size_t i = 0; i < base->n && i < 8; i++) {
		KACHE_AUTO_FREE char *name = kache_asprintf("base%zu", i);

		add(c, name, base->v[i]);
	}
	/* Where a build script of cargo's has its products: in each target directory another. */
	if (*kache_env("CARGO_MANIFEST_DIR") && *kache_env("OUT_DIR"))
		add(c, "out", kache_env("OUT_DIR"));
	if (c->tokens.n && !concerned(c))
		kache_tokens_release(&c->tokens);
}

void kache_cc_key_bases(struct kache_call *c, struct kache_hasher *h)
{
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };

	/* Not in the order of their lengths, which is another one elsewhere. */
	for (size_t i = 0; i < c->tokens.n; i++)
		if (!kache_strs_has(&names, c->tokens.t[i].name))
			kache_strs_add(&names, c->tokens.t[i].name);
	kache_strs_sort(&names);
	for (size_t i = 0; i < names.n; i++)
		kache_key_text(c, h, "base", names.v[i]);
}

char *kache_cc_key_value(const struct kache_call *c, const struct kache_cc_part *part)
{
	const char *equals = strchr(part->value, '=');

	if (part->kind == KACHE_CC_PATH)
		return kache_tokens_path(&c->tokens, part->value);
	/* The new name goes into what comes out, and counts as it is. Of two signs gcc takes one, and clang the other. */
	if (part->kind == KACHE_CC_PATH_MAP && equals && !strchr(equals + 1, '=')) {
		KACHE_AUTO_FREE char *old = kache_strndup(part->value, (size_t)(equals - part->value));
		KACHE_AUTO_FREE char *name = kache_tokens_path(&c->tokens, old);

		return kache_concat(name, equals, NULL);
	}
	return kache_strdup(part->value);
}

/* The first base directory is the one that a debugger will be started in. */
static char *new_name(const char *token)
{
	return strcmp(token, "base0") ? kache_concat("/kache/", token, NULL) : kache_strdup(".");
}

/* Whether the user gave all names below path others. */
static bool mapped_by_user(const struct kache_call *c, const char *path)
{
	const struct kache_cc_args *a = &c->cc;

	for (size_t i = 0; i < a->n_parts; i++) {
		const struct kache_cc_part *p = &a->parts[i];

		if (!strcmp(p->label, "-ffile-prefix-map=")) {
			KACHE_AUTO_FREE char *old = kache_strndup(p->value, strcspn(p->value, "="));

			if (kache_path_below(path, old, NULL))
				return true;
		}
	}
	return false;
}

void kache_cc_base_args(const struct kache_call *c, struct kache_strs *argv)
{
	/* Of several that fit, the last one counts, and so do those that the user gave, which follow. */
	for (size_t i = c->tokens.n; i-- > 0;) {
		const struct kache_token *t = &c->tokens.t[i];
		KACHE_AUTO_FREE char *to = new_name(t->name);

		if (!mapped_by_user(c, t->path))
			kache_strs_take(argv, kache_asprintf("-ffile-prefix-map=%s=%s", t->path, to));
	}
}

/* ---- what is for one place only ---- */

static bool names_base(const struct kache_call *c, const char *text, size_t len)
{
	for (size_t i = 0; i < c->tokens.n && text; i++)
		if (memmem(text, len, c->tokens.t[i].path, strlen(c->tokens.t[i].path)))
			return true;
	return false;
}

static bool file_names_base(const struct kache_call *c, const char *path)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;

	return kache_file_read(path, (size_t)1 << 30, &b) || names_base(c, b.data, b.len);
}

/* Names that were not made into tokens: what they lead to is found by them from everywhere. */
static bool call_names_base(const struct kache_collector *k)
{
	const struct kache_call *c = k->c;
	const struct kache_strs *env = &k->run->seen.env;

	for (size_t i = 0; i < c->cc.n_parts; i++) {
		KACHE_AUTO_FREE char *value = kache_cc_key_value(c, &c->cc.parts[i]);

		if (names_base(c, value, strlen(value)))
			return true;
	}
	for (size_t i = 0; i < env->n; i++) {
		const char *value = kache_env_noise(env->v[i]) ? "" : kache_env(env->v[i]);

		/* The key has it. */
		if (strcmp(env->v[i], "PWD") && names_base(c, value, strlen(value)))
			return true;
	}
	return false;
}

/* "/base/build/../../other": what is beside a base directory is beside another one elsewhere. text ends in "..". */
static bool climbs_out(const struct kache_call *c, const char *text)
{
	KACHE_AUTO_FREE char *at = kache_strdup("/");
	bool inside = false;

	for (const char *p = text; *p;) {
		size_t len;
		char *next;

		p += strspn(p, "/");
		len = strcspn(p, "/");
		if (len == 2 && p[0] == '.' && p[1] == '.') {
			next = kache_path_dir(at);
			inside |= below_base(c, at);
			if (inside && !below_base(c, next)) {
				free(next);
				return true;
			}
		} else {
			KACHE_AUTO_FREE char *part = kache_strndup(p, len);

			next = len && strcmp(part, ".") != 0 ? kache_path_join(at, part) : kache_strdup(at);
		}
		free(at);
		at = next;
		p += len;
	}
	return false;
}

static bool climbed(const struct kache_collector *k)
{
	const struct kache_strs *climbs = &k->run->seen.climbs;

	for (size_t i = 0; i < climbs->n; i++)
		if (climbs_out(k->c, climbs->v[i]))
			return true;
	return false;
}

static bool output_names_base(const struct kache_collector *k)
{
	KACHE_AUTO_STRS struct kache_strs names = { NULL, 0, 0 };

	kache_cc_outputs(k->c, k->run, &names);
	for (size_t i = 0; i < names.n; i++) {
		KACHE_AUTO_FREE char *path = kache_cc_place(k->c, names.v[i]);

		if (path && kache_cc_role(k->c, names.v[i]) != KACHE_ROLE_DEPINFO && file_names_base(k->c, path))
			return true;
	}
	return false;
}

static bool input_names_base(const struct kache_collector *k)
{
	const struct kache_input_set *s = &k->set;

	for (size_t i = 0; i < s->n; i++) {
		KACHE_AUTO_FREE char *path = NULL;

		if (s->inputs[i].kind != KACHE_INPUT_FILE)
			continue;
		path = kache_tokens_expand(&k->c->tokens, k->m->names[s->inputs[i].name]);
		if (!path || file_names_base(k->c, path))
			return true;
	}
	return false;
}

int kache_cc_collect_places(struct kache_collector *k)
{
	if (!k->c->tokens.n || !(call_names_base(k) || climbed(k) || output_names_base(k) || input_names_base(k)))
		return KACHE_OK;
	return kache_collect_places(k, NULL);
}
