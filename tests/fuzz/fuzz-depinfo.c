/* Dep-info: what is read is sorted, without doubles, and whole; what is refused leaves nothing. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "base/err.h"
#include "key/depinfo.h"

#include <string.h>

bool fuzz_accepted;

static void check_sorted(const struct kache_strs *s)
{
	for (size_t i = 0; i < s->n; i++)
		FUZZ_CHECK(s->v[i] && (!i || strcmp(s->v[i - 1], s->v[i]) < 0));
	FUZZ_CHECK(!s->v || !s->v[s->n]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kache_depinfo d;
	int rc = kache_depinfo_parse((const char *)data, size, &d);

	fuzz_accepted = !rc;
	if (rc) {
		FUZZ_CHECK(rc == KACHE_E_INVALID);
		FUZZ_CHECK(!d.files.v && !d.env_set.v && !d.env_unset.v);
		return 0;
	}
	check_sorted(&d.files);
	check_sorted(&d.env_set);
	check_sorted(&d.env_unset);
	for (size_t i = 0; i < d.files.n; i++)
		FUZZ_CHECK(*d.files.v[i]);
	for (size_t i = 0; i < d.env_set.n; i++)
		FUZZ_CHECK(strchr(d.env_set.v[i], '='));
	kache_depinfo_release(&d);
	FUZZ_CHECK(!d.files.v && !d.env_set.v && !d.env_unset.v);
	return 0;
}
