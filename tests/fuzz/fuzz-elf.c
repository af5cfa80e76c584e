/* The symbols of a procedural macro: anybody's shared object. The reader is taken in whole, without the wrapper. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "../../wrapper/elf.c"

bool fuzz_accepted;

static void measure(const char *name, void *total)
{
	*(size_t *)total += strlen(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const some[] = { "environ", "vars", NULL }, *const start[] = { "start", NULL }, *const none[] = { NULL };
	const bool yes = kache_elf_imports(data, size, some), unreadable = kache_elf_imports(data, size, none);

	size_t total = 0;

	/* What can't be read counts as yes, whatever is looked for. */
	FUZZ_CHECK(yes || !unreadable);
	(void)kache_elf_symbols(data, size, measure, &total);
	/* With more functions that may, no more is found. */
	FUZZ_CHECK(kache_elf_refers(data, size, some, some, none) || !kache_elf_refers(data, size, some, some, start));
	fuzz_accepted = !unreadable;
	return 0;
}
