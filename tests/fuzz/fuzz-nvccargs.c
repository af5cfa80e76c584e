/* Arguments of nvcc: first the line of NVCC_APPEND_FLAGS, then one argument per line ("-optf" is followed by one that names
 * a file); what follows an empty line is the text of that file. A command line has a reason to pass through, or what a compile
 * needs is there. */
#include "config.h"

#include "tests/fuzz/args.h"

#include "key/nvccargs.h"

bool fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KACHE_AUTO_STRS struct kache_strs args = { 0 };
	struct kache_cc_args a;

	fuzz_read_args((const char *)data, size, 1, &args);
	if (!args.n)
		kache_strs_add(&args, "");
	for (size_t i = 1; i < args.n; i++)
		if (!strcmp(args.v[i - 1], "-optf"))
			fuzz_replace_arg(&args, i, kache_strdup(fuzz_file()));
	kache_nvcc_args_parse((int)args.n - 1, args.v + 1, "", args.v[0], "/", &a);
	fuzz_accepted = !a.why;
	for (size_t i = 0; i < a.n_parts; i++)
		FUZZ_CHECK(a.parts[i].label[0] == '-' && a.parts[i].value);
	FUZZ_CHECK(a.why || !a.detail);
	if (!a.why) {
		FUZZ_CHECK(a.source && *a.source && strcmp(a.source, "-") && a.language && a.output && *a.output);
		FUZZ_CHECK(!a.depfile || (*a.depfile && strcmp(a.depfile, "-")));
		for (size_t i = 0; i < a.argv.n; i++)
			FUZZ_CHECK(!kache_nvcc_for_shell(a.argv.v[i]));
	}
	kache_cc_args_release(&a);
	return 0;
}
