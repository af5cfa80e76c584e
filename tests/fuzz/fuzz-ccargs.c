/* Arguments of a C compiler, one per line; what follows an empty line is the text of every @file among them.
 * A command line has a reason to pass through, or what a compile needs is there. */
#include "config.h"

#include "tests/fuzz/args.h"

#include "key/ccargs.h"

bool fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KACHE_AUTO_STRS struct kache_strs args = { 0 };
	struct kache_cc_args a;

	fuzz_read_args((const char *)data, size, 0, &args);
	fuzz_name_at_files(&args);
	kache_cc_args_parse((int)args.n, args.v, "/", &a);
	fuzz_accepted = !a.why;
	for (size_t i = 0; i < a.n_parts; i++)
		FUZZ_CHECK(a.parts[i].label[0] == '-' && a.parts[i].value);
	FUZZ_CHECK(!a.record || a.place);
	FUZZ_CHECK(a.why || !a.detail);
	if (!a.why) {
		FUZZ_CHECK(a.source && *a.source && a.language && a.output && *a.output);
		FUZZ_CHECK(!a.header || (strcmp(a.source, "-") && !a.assembly));
		FUZZ_CHECK(!a.depfile || (*a.depfile && strcmp(a.depfile, "-")));
		FUZZ_CHECK(!a.depfile || strcmp(a.language, "assembler"));
	}
	kache_cc_args_release(&a);
	return 0;
}
