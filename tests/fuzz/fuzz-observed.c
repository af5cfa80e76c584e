/* Logs of the observer: what is read keeps the promises of observe.h; what is refused leaves nothing. */
#include "config.h"

#include "tests/fuzz/memory.h"

#include "base/err.h"
#include "observe/observe.h"

#include <string.h>

bool fuzz_accepted;

static void check_sorted(const struct kache_strs *s)
{
	for (size_t i = 0; i < s->n; i++)
		FUZZ_CHECK(*s->v[i] && (!i || strcmp(s->v[i - 1], s->v[i]) < 0));
	FUZZ_CHECK(!s->v || !s->v[s->n]);
}

/* No ".", ".." or empty component. */
static void check_paths(const struct kache_strs *s)
{
	check_sorted(s);
	for (size_t i = 0; i < s->n; i++) {
		const char *p = s->v[i];

		FUZZ_CHECK(*p == '/');
		for (p++; *p || p > s->v[i] + 1; p++) {
			size_t n = strcspn(p, "/");

			FUZZ_CHECK(n && !(n == 1 && *p == '.') && !(n == 2 && p[0] == '.' && p[1] == '.'));
			p += n;
			if (!*p)
				break;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *file = fuzz_file();
	struct kache_observed o;
	int rc;

	fuzz_write(data, size);
	rc = kache_observed_read(file, &o);
	fuzz_accepted = !rc;
	if (!rc) {
		const struct kache_strs *const paths[] = {
			&o.reads, &o.writes, &o.absent, &o.present, &o.lists, &o.links, &o.others, &o.execs
		};

		for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
			check_paths(paths[i]);
		check_sorted(&o.env);
		check_sorted(&o.programs);
		check_sorted(&o.searched);
		FUZZ_CHECK(o.blind == (o.blind_why != NULL));
		FUZZ_CHECK(o.blind || o.programs.n);
		kache_observed_release(&o);
	} else {
		FUZZ_CHECK(rc == KACHE_E_CORRUPT);
	}
	for (size_t i = 0; i < sizeof o; i++)
		FUZZ_CHECK(!((const char *)&o)[i]);
	return 0;
}
