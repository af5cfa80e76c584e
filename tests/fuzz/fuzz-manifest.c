/* Manifests: an input is the fields of a manifest, without its frame (see fuzz-entry.c). What is decoded
 * refers to names that exist, stays so when sets are added and merged, and encodes to what decodes alike. */
#include "config.h"

#include "tests/fuzz/frame.h"

#include "base/err.h"
#include "store/manifest.h"

bool fuzz_accepted;

static void check_names(const struct kache_manifest *m)
{
	for (size_t i = 0; i < m->n_names; i++)
		FUZZ_CHECK(m->names[i] != NULL);
	for (size_t i = 0; i < m->n_sets; i++)
		for (size_t k = 0; k < m->sets[i].n; k++) {
			const struct kache_input *in = &m->sets[i].inputs[k];

			FUZZ_CHECK(in->name < m->n_names);
			FUZZ_CHECK(in->kind >= KACHE_INPUT_FILE && in->kind <= KACHE_INPUT_LAST);
			FUZZ_CHECK(strcmp(kache_input_kind_name(in->kind), "?"));
		}
}

static void decode_again(const struct kache_manifest *m, struct kache_manifest *copy)
{
	KACHE_AUTO_BUF struct kache_buf once = KACHE_BUF_INIT, twice = KACHE_BUF_INIT;

	kache_manifest_encode(m, &once);
	FUZZ_CHECK(!kache_manifest_decode(once.data, once.len, copy));
	kache_manifest_encode(copy, &twice);
	FUZZ_CHECK(once.len == twice.len && !memcmp(once.data, twice.data, once.len));
}

/* The sets keep their results: the keys that they lead to do not depend on how names are numbered. fresh is
 * a result that no set has. */
static void add_and_merge(struct kache_manifest *m, struct kache_manifest *copy, const struct kache_hash *fresh)
{
	struct kache_input_set set = { .result = *fresh, .created_ms = 1, .n = 1 };
	struct kache_hash before, after;
	size_t n = m->n_sets;

	kache_manifest_merge(m, copy);
	FUZZ_CHECK(m->n_sets == n);	/* nothing new in it */
	if (n)
		kache_manifest_result(m, &m->invocation, &m->sets[0], &before);
	set.inputs = kache_calloc(1, sizeof *set.inputs);
	set.inputs[0].kind = KACHE_INPUT_FILE;
	set.inputs[0].name = kache_manifest_name(m, "{pkg}/a name of its own");
	kache_manifest_add(m, &set);
	FUZZ_CHECK(m->n_sets >= 1 && m->n_sets <= KACHE_MANIFEST_SETS && !set.inputs);
	check_names(m);
	if (n) {
		kache_manifest_result(m, &m->invocation, &m->sets[1], &after);
		FUZZ_CHECK(kache_hash_eq(&before, &after));
	}
	kache_manifest_merge(copy, m);
	check_names(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_manifest m, copy;
	struct kache_hash own;
	int rc;

	FUZZ_CHECK(kache_manifest_decode(data, size, &m));
	fuzz_frame(&b, "KMAN", 1, data, size);
	rc = kache_manifest_decode(b.data, b.len, &m);
	fuzz_accepted = !rc;
	if (rc) {
		FUZZ_CHECK(rc == KACHE_E_CORRUPT);
		return 0;
	}
	FUZZ_CHECK(m.crate && m.package && m.describe);
	check_names(&m);
	decode_again(&m, &copy);
	kache_hash_bytes(data, size, &own);	/* a constant would be found, and put into the input */
	add_and_merge(&m, &copy, &own);
	kache_manifest_release(&copy);
	decode_again(&m, &copy);
	kache_manifest_release(&copy);
	kache_manifest_release(&m);
	fuzz_damage(&b, size);
	FUZZ_CHECK(kache_manifest_decode(b.data, b.len, &m));
	return 0;
}
