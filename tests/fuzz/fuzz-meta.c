/* The meta.json of a pack. What is accepted writes itself to what is accepted as the same entry. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "base/buf.h"
#include "store/entry-json.h"

#include <string.h>

bool fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT, once = KACHE_BUF_INIT, twice = KACHE_BUF_INIT;
	struct kache_entry e, copy;
	struct kache_error err = { 0 };
	int rc = kache_entry_from_json((const char *)data, size, &e, &err);

	fuzz_accepted = !rc;
	FUZZ_CHECK(!rc || (err.code == rc && *err.text && !strchr(err.text, '\n')));
	if (rc)
		return 0;
	for (size_t i = 0; i < e.n_outputs; i++)
		FUZZ_CHECK(*e.outputs[i].name && !strchr(e.outputs[i].name, '/') && strcmp(e.outputs[i].name, ".."));
	kache_entry_encode(&e, &once);
	kache_entry_to_json(&e, &text);
	FUZZ_CHECK(!kache_entry_from_json(text.data, text.len, &copy, &err));
	kache_entry_encode(&copy, &twice);
	FUZZ_CHECK(once.len == twice.len && !memcmp(once.data, twice.data, once.len));
	kache_entry_release(&copy);
	/* The store takes it as it is. */
	FUZZ_CHECK(!kache_entry_decode(once.data, once.len, &copy));
	kache_entry_release(&copy);
	kache_entry_release(&e);
	return 0;
}
