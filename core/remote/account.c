#include "config.h"
#include "remote/account.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "remote/tiers.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 1 << 20, MAX_REMOTES = 64 };

/* The counters that are kept: the name in the file, and where they are. */
#define COUNTERS(X) \
	X(hits) X(misses) X(stored) X(existed) X(retries) X(too_big) X(errors) X(bytes_in) X(bytes_out)

struct counts {
#define X(name) uint64_t name;
	COUNTERS(X)
#undef X
};

static struct counts now_of(const struct kache_remote_stats *s)
{
	return (struct counts){
#define X(name) .name = atomic_load(&s->name),
		COUNTERS(X)
#undef X
	};
}

void kache_account_write(struct kache_json *j, const struct kache_account_remote *r)
{
	kache_json_open(j, NULL, '{');
	kache_json_str(j, "url", r->url);
	kache_json_str(j, "state", r->state);
#define X(name) kache_json_u64(j, #name, r->name);
	COUNTERS(X)
#undef X
	if (r->last_error) {
		kache_json_str(j, "last_error", r->last_error);
		kache_json_i64(j, "last_error_s", r->last_error_s);
	}
	kache_json_close(j, '}');
}

/* What this process knows of tier i; strings are fresh. */
static void current(struct kache_remote *r, size_t i, struct kache_account_remote *out)
{
	struct kache_tier_state t;
	struct counts c;

	kache_tiers_info(r, i, &t);
	*out = (struct kache_account_remote){
		.url = kache_strdup(t.url), .state = kache_strdup(t.state),
		.last_error = t.last_error[0] ? kache_strdup(t.last_error) : NULL, .last_error_s = t.last_error_s,
	};
	if (!t.stats)
		return;
	c = now_of(t.stats);
#define X(name) out->name = c.name;
	COUNTERS(X)
#undef X
}

static void release_one(struct kache_account_remote *r)
{
	free(r->url);
	free(r->state);
	free(r->last_error);
}

void kache_account_json(struct kache_remote *r, struct kache_json *j)
{
	for (size_t i = 0; i < kache_tiers_count(r); i++) {
		struct kache_account_remote one;

		current(r, i, &one);
		kache_account_write(j, &one);
		release_one(&one);
	}
}

static uint64_t number(const json_t *o, const char *name)
{
	json_int_t v = json_integer_value(json_object_get(o, name));

	return v > 0 ? (uint64_t)v : 0;
}

static char *text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? kache_strdup(s) : NULL;
}

void kache_account_load(const char *root, struct kache_account *out)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/remotes.json", root);
	KACHE_AUTO_BUF struct kache_buf raw = KACHE_BUF_INIT;
	json_t *doc, *list;

	*out = (struct kache_account){ 0 };
	if (kache_file_read(path, MAX_FILE, &raw) || !raw.data)
		return;
	doc = json_loadb(raw.data, raw.len, JSON_REJECT_DUPLICATES, NULL);
	list = json_object_get(doc, "remotes");
	out->since_s = (int64_t)number(doc, "since_s");
	out->v = kache_calloc(json_array_size(list) + 1, sizeof *out->v);
	for (size_t i = 0; i < json_array_size(list) && out->n < MAX_REMOTES; i++) {
		const json_t *o = json_array_get(list, i);
		struct kache_account_remote *r = &out->v[out->n];

		r->url = text(o, "url");
		if (!r->url)
			continue;
		r->state = text(o, "state");
		r->last_error = text(o, "last_error");
		r->last_error_s = (int64_t)number(o, "last_error_s");
#define X(name) r->name = number(o, #name);
		COUNTERS(X)
#undef X
		out->n++;
	}
	json_decref(doc);
}

void kache_account_release(struct kache_account *a)
{
	for (size_t i = 0; i < a->n; i++)
		release_one(&a->v[i]);
	free(a->v);
	*a = (struct kache_account){ 0 };
}

static struct kache_account_remote *find(struct kache_account *a, const char *url)
{
	for (size_t i = 0; i < a->n; i++)
		if (!strcmp(a->v[i].url, url))
			return &a->v[i];
	if (a->n == MAX_REMOTES) {	/* the one that has been there longest makes room */
		release_one(&a->v[0]);
		memmove(a->v, a->v + 1, (a->n - 1) * sizeof *a->v);
		a->n--;
	}
	a->v = kache_realloc(a->v, a->n + 2, sizeof *a->v);
	a->v[a->n] = (struct kache_account_remote){ .url = kache_strdup(url) };
	return &a->v[a->n++];
}

static void write_file(const struct kache_account *a, const char *root)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/remotes.json", root);
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_json j = { .out = &b };

	kache_json_open(&j, NULL, '{');
	kache_json_i64(&j, "since_s", a->since_s);
	kache_json_open(&j, "remotes", '[');
	for (size_t i = 0; i < a->n; i++)
		kache_account_write(&j, &a->v[i]);
	kache_json_close(&j, ']');
	kache_json_close(&j, '}');
	kache_buf_ch(&b, '\n');
	(void)kache_file_replace(path, b.data, b.len, 0644);	/* a full disk costs statistics */
}

void kache_account_save(struct kache_remote *r, const char *root)
{
	static struct counts saved[MAX_REMOTES];
	static char *states[MAX_REMOTES];
	size_t n = kache_tiers_count(r) < MAX_REMOTES ? kache_tiers_count(r) : MAX_REMOTES;
	struct kache_account a = { 0 };
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		struct kache_account_remote now, *kept;
		bool differs;

		current(r, i, &now);
		differs = !states[i] || strcmp(states[i], now.state);
#define X(name) differs |= now.name != saved[i].name;
		COUNTERS(X)
#undef X
		if (differs) {
			if (!any)
				kache_account_load(root, &a);
			any = true;
			kept = find(&a, now.url);
#define X(name) kept->name += now.name - saved[i].name; saved[i].name = now.name;
			COUNTERS(X)
#undef X
			free(kept->state);
			kept->state = kache_strdup(now.state);
			if (now.last_error) {
				free(kept->last_error);
				kept->last_error = kache_strdup(now.last_error);
				kept->last_error_s = now.last_error_s;
			}
			free(states[i]);
			states[i] = kache_strdup(now.state);
		}
		release_one(&now);
	}
	if (any) {
		if (!a.since_s)
			a.since_s = kache_now_real() / 1000000000;
		write_file(&a, root);
	}
	kache_account_release(&a);
}
