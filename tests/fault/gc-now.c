/* gc-now STORE BYTES: gc that spares nothing, not even what has just come or is just being counted on: worse than any gc that a user
 * can start. Leftovers of writers are those of living ones, and stay. */
#include "config.h"

#include "store/gc.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	struct kache_gc_options o = KACHE_GC_OPTIONS_INIT;
	struct kache_gc_report report;
	struct kache_error err = { 0 };
	struct kache_store *s;
	int rc;

	if (argc != 3 || kache_store_open(argv[1], false, &s, &err))
		return 2;
	o.max_size = strtoull(argv[2], NULL, 10);
	o.percent = 10;
	o.spare_s = 0;
	o.grace_s = 0;
	o.at_once = true;
	rc = kache_gc(s, &o, &report, &err);
	printf("%llu\n", (unsigned long long)report.entries_removed);
	kache_store_close(s);
	return rc != 0;
}
