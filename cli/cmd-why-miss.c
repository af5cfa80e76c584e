#include "config.h"
#include "cli/cmd.h"

#include "base/json.h"
#include "store/index.h"

#include <stdlib.h>
#include <string.h>

struct last_miss {
	bool found;
	char *result, *reason, *detail, *crate, *kind, *root;
	struct kache_hash invocation, nearest;
	bool has_invocation, has_nearest;
};

static int take(void *arg, const struct kache_index_event *e)
{
	struct last_miss *m = arg;

	m->found = true;
	m->result = kache_strdup(e->result);
	m->reason = kache_strdup(e->reason);
	m->detail = kache_strdup(e->detail);
	m->crate = kache_strdup(e->crate);
	m->kind = kache_strdup(e->kind);
	m->root = kache_strdup(e->root);
	m->invocation = e->invocation;
	m->has_invocation = e->has_invocation;
	return 1;
}

static int take_nearest(void *arg, const struct kache_hash *invocation)
{
	struct last_miss *m = arg;

	if (m->has_invocation && kache_hash_eq(invocation, &m->invocation))
		return 0;
	m->nearest = *invocation;
	m->has_nearest = true;
	return 1;
}

/* What a person can do about each reason. */
static const char *advice(const char *reason)
{
	static const char *const table[][2] = {
		{ "new", "It had not been compiled with these arguments before; the next time it hits." },
		{ "changed", "An input differs from the stored ones; the new state is stored now." },
		{ "incremental", "The crate is being edited, so rustc's incremental compilation is used; cargo clean or KACHE_INCREMENTAL=never ends that." },
		{ "unknown-flag", "kache does not know this flag well enough to cache what it does." },
		{ "unstable-flag", "This unstable flag may leave files that kache would not see." },
		{ "input-changed", "A file changed while the compiler ran; building again stores it." },
		{ "input-unreadable", "A file that the compiler read can't be read." },
		{ "network", "The compile used the network (a procedural macro, most likely), whose answer can't be part of a key." },
		{ "unobserved-process", "A program ran that could not be observed: a static linker, or one that drops its environment." },
		{ "unobserved-link", "Linking is cached only where the observer library works (KACHE_OBSERVE, Linux with glibc)." },
		{ "unobserved-dependencies", "Dependencies are known only where the observer library works (KACHE_OBSERVE, Linux with glibc)." },
		{ "side-output", "The compile left a file outside its output directory." },
		{ "split-debuginfo", "Split debug information holds absolute paths of the output directory; -C split-debuginfo=off can be cached." },
		{ "store-failed", "The store could not be written to; kache doctor tells more." },
		{ "read-only", "The store is read-only here." },
		{ "executables-off", "cache.cache_executables is false." },
		{ "disabled", "KACHE_DISABLED is set." },
		{ NULL, NULL }
	};

	for (size_t i = 0; table[i][0]; i++)
		if (!strcmp(table[i][0], reason))
			return table[i][1];
	return "kache explain shows how a call is treated.";
}

static const struct kache_input *find(const struct kache_manifest *m, const struct kache_input_set *s, const char *name,
				      uint32_t kind)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->inputs[i].kind == kind && !strcmp(m->names[s->inputs[i].name], name))
			return &s->inputs[i];
	return NULL;
}

struct report {
	struct kache_buf *out;
	struct kache_json *json;	/* or NULL */
	unsigned n;
};

static void difference(struct report *r, const char *what, const char *name, const char *before, const char *after)
{
	r->n++;
	if (r->json) {
		kache_json_open(r->json, NULL, '{');
		kache_json_str(r->json, "what", what);
		kache_json_str(r->json, "name", name);
		kache_json_str(r->json, "before", before);
		kache_json_str(r->json, "after", after);
		kache_json_close(r->json, '}');
	} else {
		kache_buf_fmt(r->out, "  %-10s %s\n             before  %s\n             now     %s\n", what, name,
			      before ? before : "-", after ? after : "-");
	}
}

static const char *shown(const struct kache_input *in, char *hex)
{
	static const struct kache_hash none;

	if (!in)
		return NULL;
	if (kache_hash_eq(&in->hash, &none))
		return in->kind == KACHE_INPUT_ABSENT ? "not there" : "unset";
	kache_hash_hex(&in->hash, hex);
	hex[16] = '\0';
	return hex;
}

/* Newest input set against the one before. */
static void compare_sets(struct report *r, const struct kache_manifest *m)
{
	const struct kache_input_set *now = &m->sets[0], *then = &m->sets[1];
	char a[KACHE_HEX_LEN + 1], b[KACHE_HEX_LEN + 1];

	for (size_t i = 0; i < now->n; i++) {
		const struct kache_input *in = &now->inputs[i], *old = find(m, then, m->names[in->name], in->kind);

		if (!old || !kache_hash_eq(&old->hash, &in->hash))
			difference(r, kache_input_kind_name(in->kind), m->names[in->name], shown(old, a), shown(in, b));
	}
	for (size_t i = 0; i < then->n; i++) {
		const struct kache_input *old = &then->inputs[i];

		if (!find(m, now, m->names[old->name], old->kind))
			difference(r, kache_input_kind_name(old->kind), m->names[old->name], shown(old, a), NULL);
	}
}

static bool has_line(const char *text, const char *line, size_t len)
{
	for (const char *p = text; *p; p += strcspn(p, "\n") + 1)
		if (strcspn(p, "\n") == len && !strncmp(p, line, len))
			return true;
	return false;
}

/* Components of one key that the other lacks. */
static void compare_descriptions(struct report *r, const char *then, const char *now)
{
	for (int side = 0; side < 2; side++) {
		const char *mine = side ? now : then, *other = side ? then : now;

		for (const char *p = mine; *p; p += strcspn(p, "\n") + 1) {
			size_t len = strcspn(p, "\n"), label = strcspn(p, " \n");
			KACHE_AUTO_FREE char *name = kache_strndup(p, label);
			KACHE_AUTO_FREE char *value = kache_strndup(p + label + (label < len), len - label - (label < len));

			if (!has_line(other, p, len))
				difference(r, "component", name, side ? NULL : value, side ? value : NULL);
		}
	}
}

static void differences(struct kache_store *s, struct last_miss *m, struct report *r)
{
	struct kache_manifest now, then;

	if (!m->has_invocation || kache_manifest_get(s, &m->invocation, &now))
		return;
	if (now.n_sets > 1) {
		compare_sets(r, &now);
	} else if (m->has_nearest && !kache_manifest_get(s, &m->nearest, &then)) {
		compare_descriptions(r, then.describe, now.describe);
		kache_manifest_release(&then);
	}
	kache_manifest_release(&now);
}

static void as_json(struct kache_store *s, struct last_miss *m, struct kache_buf *out)
{
	struct kache_json j = { .out = out };
	struct report r = { .json = &j };

	kache_json_open(&j, NULL, '{');
	kache_json_str(&j, "crate", m->crate);
	kache_json_str(&j, "kind", m->kind);
	kache_json_str(&j, "result", m->result);
	kache_json_str(&j, "reason", m->reason);
	kache_json_str(&j, "detail", m->detail);
	kache_json_str(&j, "root", m->root);
	kache_json_str(&j, "advice", advice(m->reason));
	kache_json_open(&j, "differences", '[');
	differences(s, m, &r);
	kache_json_close(&j, ']');
	kache_json_close(&j, '}');
	kache_buf_ch(out, '\n');
}

static void as_text(struct kache_store *s, struct last_miss *m, struct kache_buf *out)
{
	struct report r = { .out = out };

	kache_buf_fmt(out, "%s (%s) in %s\n", m->crate, m->kind, m->root);
	kache_buf_fmt(out, "%s: %s%s%s\n", m->result, m->reason, *m->detail ? ", " : "", m->detail);
	kache_buf_fmt(out, "%s\n", advice(m->reason));
	differences(s, m, &r);
}

static int run(int argc, char **argv);
const struct kache_command kache_cmd_why_miss = {
	"why-miss", "which input made a crate's last compile miss",
	"usage: kache why-miss CRATE [--json]\n"
	"\n"
	"Compares the last compile of CRATE (or of a unit of that package) that was not a hit with the nearest\n"
	"one that is stored, and says what differs: files, variables, listings, flags.\n",
	run
};

static int run(int argc, char **argv)
{
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT;
	struct last_miss m = { 0 };
	const char *crate = NULL;
	struct kache_conf *conf;
	struct kache_store *s;
	struct kache_index *x;
	struct kache_error err;
	bool json = false;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (argv[i][0] != '-' && !crate)
			crate = argv[i];
		else
			return kache_cli_usage(&kache_cmd_why_miss, "unknown argument %s", argv[i]);
	}
	if (!crate)
		return kache_cli_usage(&kache_cmd_why_miss, "which crate?");
	if ((rc = kache_cli_conf(&conf)) || (rc = kache_cli_store(conf, false, &s)))
		return rc;
	if (kache_index_open(s, &x, NULL, &err))
		return kache_cli_fail("%s", err.text);
	kache_index_misses(x, crate, take, &m);
	if (m.found)
		kache_index_invocations(x, m.crate, m.kind, take_nearest, &m);
	if (m.found) {
		(json ? as_json : as_text)(s, &m, &out);
		rc = kache_cli_print(&out);
	} else {
		rc = kache_cli_fail("no compile of %s that was not a hit is on record", crate);
	}
	free(m.result);
	free(m.reason);
	free(m.detail);
	free(m.crate);
	free(m.kind);
	free(m.root);
	kache_index_close(x);
	kache_store_close(s);
	kache_conf_free(conf);
	return rc;
}
