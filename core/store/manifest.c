#include "config.h"
#include "store/manifest.h"

#include "base/err.h"
#include "store/codec.h"

#include <stdlib.h>
#include <string.h>

enum { MANIFEST_FORMAT = 1, MAX_NAMES = 1 << 20, MAX_SETS = 256 };

static void release_sets(struct kache_input_set *sets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(sets[i].inputs);
	free(sets);
}

void kache_manifest_release(struct kache_manifest *m)
{
	free(m->crate);
	free(m->package);
	free(m->describe);
	for (size_t i = 0; i < m->n_names; i++)
		free(m->names[i]);
	free(m->names);
	free(m->slots);
	release_sets(m->sets, m->n_sets);
	*m = (struct kache_manifest){ 0 };
}

void kache_manifest_encode(const struct kache_manifest *m, struct kache_buf *b)
{
	size_t start = kache_codec_begin(b, "KMAN", MANIFEST_FORMAT);

	kache_buf_add(b, m->invocation.b, KACHE_HASH_LEN);
	kache_buf_text(b, m->crate);
	kache_buf_text(b, m->package);
	kache_buf_text(b, m->describe);
	kache_buf_u32(b, (uint32_t)m->n_names);
	for (size_t i = 0; i < m->n_names; i++)
		kache_buf_text(b, m->names[i]);
	kache_buf_u32(b, (uint32_t)m->n_sets);
	for (size_t i = 0; i < m->n_sets; i++) {
		const struct kache_input_set *s = &m->sets[i];

		kache_buf_add(b, s->result.b, KACHE_HASH_LEN);
		kache_buf_u64(b, s->created_ms);
		kache_buf_u32(b, (uint32_t)s->n);
		for (size_t k = 0; k < s->n; k++) {
			kache_buf_u8(b, (uint8_t)s->inputs[k].kind);
			kache_buf_u32(b, s->inputs[k].name);
			kache_buf_add(b, s->inputs[k].hash.b, KACHE_HASH_LEN);
		}
	}
	kache_codec_end(b, start);
}

static void read_set(struct kache_reader *r, struct kache_input_set *s, size_t n_names)
{
	enum { INPUT_BYTES = 1 + 4 + KACHE_HASH_LEN };
	uint32_t n;

	kache_codec_hash(r, &s->result);
	s->created_ms = kache_read_u64(r);
	n = kache_read_u32(r);
	if (r->bad || n > (size_t)(r->end - r->p) / INPUT_BYTES) {
		r->bad = 1;
		return;
	}
	s->inputs = kache_calloc(n, sizeof *s->inputs);
	for (s->n = 0; s->n < n; s->n++) {
		struct kache_input *in = &s->inputs[s->n];

		in->kind = kache_read_u8(r);
		in->name = kache_read_u32(r);
		kache_codec_hash(r, &in->hash);
		r->bad |= in->name >= n_names || !in->kind || in->kind > KACHE_INPUT_LAST;
	}
}

int kache_manifest_decode(const void *data, size_t len, struct kache_manifest *m)
{
	struct kache_reader r;
	uint32_t n;
	int rc = kache_codec_open(&r, data, len, "KMAN", MANIFEST_FORMAT);

	*m = (struct kache_manifest){ 0 };
	if (rc)
		return rc;
	kache_codec_hash(&r, &m->invocation);
	m->crate = kache_read_string(&r);
	m->package = kache_read_string(&r);
	m->describe = kache_read_string(&r);
	n = kache_read_u32(&r);
	r.bad |= n > MAX_NAMES || n > (size_t)(r.end - r.p) / 4;
	if (!r.bad) {
		m->names = kache_calloc(n, sizeof *m->names);
		for (; m->n_names < n && !r.bad; m->n_names++)
			m->names[m->n_names] = kache_read_string(&r);
	}
	n = kache_read_u32(&r);
	r.bad |= n > MAX_SETS;
	if (!r.bad) {
		m->sets = kache_calloc(n, sizeof *m->sets);
		for (; m->n_sets < n && !r.bad; m->n_sets++)
			read_set(&r, &m->sets[m->n_sets], m->n_names);
	}
	if (r.bad || r.p != r.end) {
		kache_manifest_release(m);
		return KACHE_E_CORRUPT;
	}
	return KACHE_OK;
}

static size_t slot_of(const struct kache_manifest *m, const char *name)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);	/* FNV-1a */

	for (const char *p = name; *p; p++)
		h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	h ^= h >> 32;
	for (size_t at = (size_t)h & (m->n_slots - 1); ; at = (at + 1) & (m->n_slots - 1))
		if (!m->slots[at] || !strcmp(m->names[m->slots[at] - 1], name))
			return at;
}

/* Room for twice as many names and more, for hundreds of headers and as many places where they are not. */
static void grow_slots(struct kache_manifest *m)
{
	m->n_slots = 256;
	while (m->n_slots < 4 * m->n_names)
		m->n_slots *= 2;
	free(m->slots);
	m->slots = kache_calloc(m->n_slots, sizeof *m->slots);
	for (size_t i = 0; i < m->n_names; i++)
		m->slots[slot_of(m, m->names[i])] = (uint32_t)i + 1;
}

static void drop_slots(struct kache_manifest *m)
{
	free(m->slots);
	m->slots = NULL;
	m->n_slots = 0;
}

static void new_name(struct kache_manifest *m, const char *name)
{
	if (m->n_names >= m->cap_names) {
		m->cap_names = m->n_names ? 2 * m->n_names : 16;
		m->names = kache_realloc(m->names, m->cap_names, sizeof *m->names);
	}
	m->names[m->n_names++] = kache_strdup(name);
}

uint32_t kache_manifest_name(struct kache_manifest *m, const char *name)
{
	size_t at;

	if (2 * m->n_names >= m->n_slots)
		grow_slots(m);
	at = slot_of(m, name);
	if (!m->slots[at]) {
		new_name(m, name);
		m->slots[at] = (uint32_t)m->n_names;
	}
	return m->slots[at] - 1;
}

/* Drops names that no set uses any more and renumbers the rest. */
static void compact_names(struct kache_manifest *m)
{
	uint32_t *to = kache_calloc(m->n_names, sizeof *to), used = 0;

	drop_slots(m);
	for (size_t i = 0; i < m->n_sets; i++)
		for (size_t k = 0; k < m->sets[i].n; k++)
			to[m->sets[i].inputs[k].name] = 1;
	for (size_t i = 0; i < m->n_names; i++) {
		if (to[i]) {
			to[i] = used;
			m->names[used++] = m->names[i];
		} else {
			free(m->names[i]);
		}
	}
	m->n_names = used;
	for (size_t i = 0; i < m->n_sets; i++)
		for (size_t k = 0; k < m->sets[i].n; k++)
			m->sets[i].inputs[k].name = to[m->sets[i].inputs[k].name];
	free(to);
}

void kache_manifest_add(struct kache_manifest *m, struct kache_input_set *set)
{
	struct kache_input_set *sets = kache_calloc(m->n_sets + 1, sizeof *sets);
	size_t n = 0;

	sets[n++] = *set;
	*set = (struct kache_input_set){ 0 };
	for (size_t i = 0; i < m->n_sets; i++) {
		if (n < KACHE_MANIFEST_SETS && !kache_hash_eq(&m->sets[i].result, &sets[0].result))
			sets[n++] = m->sets[i];
		else
			free(m->sets[i].inputs);
	}
	free(m->sets);
	m->sets = sets;
	m->n_sets = n;
	compact_names(m);
}

static int has_result(const struct kache_manifest *m, const struct kache_hash *result)
{
	for (size_t i = 0; i < m->n_sets; i++)
		if (kache_hash_eq(&m->sets[i].result, result))
			return 1;
	return 0;
}

void kache_manifest_merge(struct kache_manifest *m, const struct kache_manifest *other)
{
	uint32_t *to_name = kache_calloc(other->n_names, sizeof *to_name);	/* 1 + index in m of a name of other */

	for (size_t i = 0; i < other->n_sets && m->n_sets < KACHE_MANIFEST_SETS; i++) {
		const struct kache_input_set *from = &other->sets[i];
		struct kache_input_set *to;

		if (has_result(m, &from->result))
			continue;
		m->sets = kache_realloc(m->sets, m->n_sets + 1, sizeof *m->sets);
		to = &m->sets[m->n_sets++];
		*to = *from;
		to->inputs = kache_calloc(from->n, sizeof *to->inputs);
		for (size_t k = 0; k < from->n; k++) {
			uint32_t *name = &to_name[from->inputs[k].name];

			if (!*name)
				*name = kache_manifest_name(m, other->names[from->inputs[k].name]) + 1;
			to->inputs[k] = from->inputs[k];
			to->inputs[k].name = *name - 1;
		}
	}
	free(to_name);
}

void kache_manifest_result(const struct kache_manifest *m, const struct kache_hash *invocation,
			   const struct kache_input_set *set, struct kache_hash *out)
{
	struct kache_hasher h;

	kache_hasher_init(&h);
	kache_hasher_field(&h, "invocation", invocation->b, KACHE_HASH_LEN);
	for (size_t i = 0; i < set->n; i++) {
		unsigned char kind = (unsigned char)set->inputs[i].kind;

		kache_hasher_field(&h, "kind", &kind, 1);
		kache_hasher_str(&h, "name", m->names[set->inputs[i].name]);
		kache_hasher_field(&h, "hash", set->inputs[i].hash.b, KACHE_HASH_LEN);
	}
	kache_hasher_end(&h, out);
}

const char *kache_input_kind_name(uint32_t kind)
{
	static const char *const names[] = {
		"?", "file", "absent", "listing", "variable", "variable", "present", "environment", "program",
		"link", "place", "time", "order", "environment", "directory", "same", "same", "status", "birth"
	};

	return names[kind < sizeof names / sizeof *names ? kind : 0];
}
