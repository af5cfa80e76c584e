/* Manifests of both sides, each enriched by the other. */
#include "config.h"
#include "share/share.h"

#include "base/buf.h"
#include "remote/squeeze.h"
#include "remote/stream.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_MANIFEST = 64 << 20 };

struct pick {
	const struct kache_manifest *m;
	const struct kache_input_set *set;
};

/* Oldest first; of two at the same time the one that was there first. */
static int by_age(const void *a, const void *b)
{
	const struct pick *x = a, *y = b;

	if (x->set->created_ms != y->set->created_ms)
		return x->set->created_ms < y->set->created_ms ? -1 : 1;
	return x->m == y->m ? (x->set > y->set ? -1 : x->set < y->set) : 0;
}

static bool has_entry(struct kache_share *s, const struct kache_hash *key)
{
	KACHE_AUTO_FREE char *path = kache_store_path(s->store, "entries", key);
	struct kache_stat st;

	return !kache_stat(path, false, &st);
}

static bool has_set(const struct kache_manifest *m, const struct kache_hash *result)
{
	for (size_t i = 0; i < m->n_sets; i++)
		if (kache_hash_eq(&m->sets[i].result, result))
			return true;
	return false;
}

/* The newest sets of base and of more, those of more only where their entry is in the store. */
static void unite(struct kache_share *s, const struct kache_manifest *base, const struct kache_manifest *more,
		  struct kache_manifest *out)
{
	const struct kache_manifest *about = base->crate ? base : more;
	struct pick *picks = kache_calloc(base->n_sets + more->n_sets + 1, sizeof *picks);
	size_t n = 0;

	*out = (struct kache_manifest){
		.invocation = about->invocation, .crate = kache_strdup(about->crate), .package = kache_strdup(about->package),
		.describe = kache_strdup(about->describe),
	};
	for (size_t i = 0; i < base->n_sets; i++)
		picks[n++] = (struct pick){ base, &base->sets[i] };
	for (size_t i = 0; i < more->n_sets; i++)
		if (!has_set(base, &more->sets[i].result) && has_entry(s, &more->sets[i].result))
			picks[n++] = (struct pick){ more, &more->sets[i] };
	if (n)
		qsort(picks, n, sizeof *picks, by_age);
	for (size_t i = 0; i < n; i++) {
		const struct kache_input_set *from = picks[i].set;
		struct kache_input_set set = { .result = from->result, .created_ms = from->created_ms, .n = from->n };

		set.inputs = kache_calloc(from->n + 1, sizeof *set.inputs);
		for (size_t k = 0; k < from->n; k++) {
			set.inputs[k] = from->inputs[k];
			set.inputs[k].name = kache_manifest_name(out, picks[i].m->names[from->inputs[k].name]);
		}
		kache_manifest_add(out, &set);
	}
	free(picks);
}

/* The same sets in the same order? */
static bool same(const struct kache_manifest *a, const struct kache_manifest *b)
{
	if (a->n_sets != b->n_sets)
		return false;
	for (size_t i = 0; i < a->n_sets; i++)
		if (!kache_hash_eq(&a->sets[i].result, &b->sets[i].result))
			return false;
	return true;
}

/* A remote is not trusted with meaning: each set has to lead to the result that its inputs give. */
static int check(const struct kache_manifest *m, const struct kache_hash *invocation, struct kache_error *err)
{
	if (!kache_hash_eq(&m->invocation, invocation))
		return kache_fail(err, KACHE_E_CORRUPT, "the remote's manifest is of another invocation than its name");
	for (size_t i = 0; i < m->n_sets; i++) {
		struct kache_hash result;

		kache_manifest_result(m, invocation, &m->sets[i], &result);
		if (!kache_hash_eq(&result, &m->sets[i].result))
			return kache_fail(err, KACHE_E_CORRUPT, "the remote's manifest names a result that its inputs do not give");
	}
	return KACHE_OK;
}

enum kache_share_result kache_share_fetch_manifest(struct kache_share *s, const char *folder,
						   const struct kache_hash *invocation, uint64_t size,
						   struct kache_manifest *m, uint64_t *bytes, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf raw = KACHE_BUF_INIT, text = KACHE_BUF_INIT;
	KACHE_AUTO_FREE char *name = kache_share_manifest_key(folder, invocation);
	const struct kb_key key = { name, strlen(name) };
	struct kache_mem_sink sink;
	struct kache_call call;
	int rc;

	*m = (struct kache_manifest){ 0 };
	kache_mem_sink_init(&sink, &raw, MAX_MANIFEST);
	kache_call_init(&call, kache_share_deadline(s, size), s->cancel_fd);
	rc = kache_remote_get(s->remote, key, &sink.kb, &call);
	if (rc == KB_MISS)
		return KACHE_SHARE_NOTHING;
	if (rc) {
		kache_fail(err, KACHE_E_REMOTE, "%s", call.err.text);
		return kache_share_judge(rc);
	}
	*bytes += raw.len;
	rc = kache_unsqueeze(raw.data ? raw.data : "", raw.len, MAX_MANIFEST, &text);
	if (!rc)
		rc = kache_manifest_decode(text.data ? text.data : "", text.len, m);
	if (rc) {
		kache_fail(err, rc, rc == KACHE_E_VERSION ? "the remote's manifest was written by a newer kache; upgrade this one"
							  : "the remote's manifest is damaged");
		return KACHE_SHARE_FAILED;
	}
	if (check(m, invocation, err)) {
		kache_manifest_release(m);
		return KACHE_SHARE_FAILED;
	}
	return KACHE_SHARE_DONE;
}

static enum kache_share_result store(struct kache_share *s, struct kb_key key, const struct kache_manifest *m,
				    uint64_t *bytes, struct kache_error *err)
{
	const struct kb_put_opts opts = { .struct_size = sizeof opts };
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT, packed = KACHE_BUF_INIT;
	struct kache_mem_source src;
	struct kache_call call;
	int rc;

	kache_manifest_encode(m, &text);
	kache_squeeze(text.data, text.len, (int)s->level, &packed);
	kache_mem_source_init(&src, packed.data, packed.len);
	kache_call_init(&call, kache_share_deadline(s, packed.len), s->cancel_fd);
	rc = kache_remote_put(s->remote, key, &src.kb, &opts, &call);
	if (rc < 0) {
		kache_fail(err, KACHE_E_REMOTE, "%s", call.err.text);
		return kache_share_judge(rc);
	}
	*bytes += packed.len;
	return KACHE_SHARE_DONE;
}

enum kache_share_result kache_share_manifest(struct kache_share *s, const char *folder,
					     const struct kache_hash *invocation, bool remote, uint64_t size, bool pull,
					     bool push, uint64_t *bytes, struct kache_error *err)
{
	KACHE_AUTO_FREE char *name = kache_share_manifest_key(folder, invocation);
	const struct kb_key key = { name, strlen(name) };
	struct kache_manifest here = { 0 }, there = { 0 }, united;
	enum kache_share_result result = KACHE_SHARE_NOTHING, got = KACHE_SHARE_NOTHING;

	if (remote)
		result = kache_share_fetch_manifest(s, folder, invocation, size, &there, bytes, err);
	if (result != KACHE_SHARE_DONE && result != KACHE_SHARE_NOTHING)
		return result;
	if (kache_manifest_get(s->store, invocation, &here))
		here = (struct kache_manifest){ 0 };
	if (pull && there.crate) {
		unite(s, &here, &there, &united);
		if (united.n_sets && !same(&united, &here))
			got = kache_manifest_put(s->store, &united, err) ? KACHE_SHARE_FAILED : KACHE_SHARE_DONE;
		kache_manifest_release(&united);
	}
	if (push && here.crate && got != KACHE_SHARE_FAILED) {
		unite(s, &there, &here, &united);
		if (united.n_sets && !same(&united, &there))
			got = store(s, key, &united, bytes, err);
		kache_manifest_release(&united);
	}
	kache_manifest_release(&here);
	kache_manifest_release(&there);
	return got;
}
