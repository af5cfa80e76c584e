/* Plans: an input is the fields of a plan, without its frame (see fuzz-entry.c). What is decoded names no file outside of its
 * directories by itself, waits for nothing that comes later, and encodes to what decodes alike. */
#include "config.h"

#include "tests/fuzz/frame.h"

#include "base/err.h"
#include "store/plan.h"

bool fuzz_accepted;

static void check(const struct kache_plan *p)
{
	FUZZ_CHECK(p->root && p->target);
	for (size_t i = 0; i < p->n; i++) {
		const struct kache_plan_unit *u = &p->units[i];

		FUZZ_CHECK(u->argv.n && u->record && u->out_dir && u->cwd && u->manifest);
		FUZZ_CHECK(!strchr(u->program, '/') && !strchr(u->alias, '/'));
		for (size_t k = 0; k < u->n_needs; k++)
			FUZZ_CHECK(u->needs[k] < i);
		for (size_t k = 0; k < u->n_files; k++)
			FUZZ_CHECK(u->files[k].name[0] && u->files[k].name[0] != '.' && !strchr(u->files[k].name, '/'));
		for (size_t k = 0; k < u->argv.n; k++) {
			KACHE_AUTO_FREE char *there = kache_plan_unpack(u->argv.v[k], "/root", "/target");
			KACHE_AUTO_FREE char *back = kache_plan_pack(there, "/root", "/target");

			FUZZ_CHECK(!back || strlen(back) <= strlen(there));
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT, once = KACHE_BUF_INIT, twice = KACHE_BUF_INIT;
	struct kache_plan p, copy;
	int rc;

	FUZZ_CHECK(kache_plan_decode(data, size, &p));
	kache_plan_release(&p);
	fuzz_frame(&b, "KPLN", 1, data, size);
	rc = kache_plan_decode(b.data, b.len, &p);
	fuzz_accepted = !rc;
	if (rc) {
		FUZZ_CHECK(rc == KACHE_E_CORRUPT);
		kache_plan_release(&p);
		return 0;
	}
	check(&p);
	kache_plan_encode(&p, &once);
	FUZZ_CHECK(!kache_plan_decode(once.data, once.len, &copy));
	kache_plan_encode(&copy, &twice);
	FUZZ_CHECK(once.len == twice.len && !memcmp(once.data, twice.data, once.len));
	kache_plan_release(&copy);
	kache_plan_release(&p);
	fuzz_damage(&b, size);
	FUZZ_CHECK(kache_plan_decode(b.data, b.len, &p));
	kache_plan_release(&p);
	return 0;
}
