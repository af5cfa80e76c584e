/* Entries: an input is the fields of an entry, without the frame of magic, version and hash, which no
 * search would ever get right. What is decoded is safe to restore and encodes to what decodes alike. */
#include "config.h"

#include "tests/fuzz/frame.h"

#include "base/err.h"
#include "store/entry.h"

bool fuzz_accepted;

static void check_outputs(const struct kache_entry *e)
{
	uint64_t total = 0;

	for (size_t i = 0; i < e->n_outputs; i++) {
		const struct kache_output *o = &e->outputs[i];

		FUZZ_CHECK(*o->name && !strchr(o->name, '/') && strcmp(o->name, ".") && strcmp(o->name, ".."));
		FUZZ_CHECK(o->mode <= 0777 && o->role <= KACHE_ROLE_EXE);
		FUZZ_CHECK((o->role == KACHE_ROLE_DEPINFO) == (o->inline_data != NULL));
		FUZZ_CHECK(!o->inline_data || !o->inline_data[o->size]);
		total += o->size;
	}
	FUZZ_CHECK(kache_entry_size(e) == total);
}

static void check_again(const struct kache_entry *e)
{
	KACHE_AUTO_BUF struct kache_buf once = KACHE_BUF_INIT, twice = KACHE_BUF_INIT;
	struct kache_entry copy;

	kache_entry_encode(e, &once);
	FUZZ_CHECK(!kache_entry_decode(once.data, once.len, &copy));
	kache_entry_encode(&copy, &twice);
	FUZZ_CHECK(once.len == twice.len && !memcmp(once.data, twice.data, once.len));
	kache_entry_release(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_entry e;
	int rc;

	FUZZ_CHECK(kache_entry_decode(data, size, &e));
	fuzz_frame(&b, "KENT", 1, data, size);
	rc = kache_entry_decode(b.data, b.len, &e);
	fuzz_accepted = !rc;
	if (rc) {
		FUZZ_CHECK(rc == KACHE_E_CORRUPT);
		return 0;
	}
	FUZZ_CHECK(e.crate && e.package && e.kind && e.target && e.profile && e.features && e.compiler);
	FUZZ_CHECK(!e.out[e.out_len] && !e.err[e.err_len]);
	check_outputs(&e);
	check_again(&e);
	kache_entry_release(&e);
	fuzz_damage(&b, size);
	FUZZ_CHECK(kache_entry_decode(b.data, b.len, &e));
	return 0;
}
