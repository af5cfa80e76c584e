/* Prints what kache_observed_read makes of a log: "<list> <path>" lines; for the tests of the observer. */
#include "config.h"
#include "observe/observe.h"

#include <stdio.h>

int main(int argc, char **argv)
{
	struct kache_observed o;
	int err = argc == 2 ? kache_observed_read(argv[1], &o) : 1;

	if (err) {
		printf("error %d\n", err);
		return 1;
	}
	const struct { const char *name; const struct kache_strs *list; } lists[] = {
		{ "read", &o.reads }, { "write", &o.writes }, { "absent", &o.absent }, { "present", &o.present },
		{ "list", &o.lists }, { "env", &o.env }, { "link", &o.links }, { "program", &o.programs },
		{ "exec", &o.execs }, { "search", &o.searched },
	};
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		for (size_t k = 0; k < lists[i].list->n; k++)
			printf("%s %s\n", lists[i].name, lists[i].list->v[k]);
	if (o.network)
		puts("network");
	if (o.blind)
		printf("blind %s\n", o.blind_why);
	kache_observed_release(&o);
	return 0;
}
