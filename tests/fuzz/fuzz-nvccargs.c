/* Arguments of nvcc: first the line of NVCC_APPEND_FLAGS, then one argument per line ("-optf" is followed by one that names
 * a file); what follows an empty line is the text of that file. A command line has a reason to pass through, or what a compile
 * needs is there. */
#include "config.h"

#include "tests/fuzz/memory.h"

#include "base/buf.h"
#include "key/nvccargs.h"

#include <string.h>

bool fuzz_accepted;

static void read_input(const char *text, size_t len, const char *file, struct kache_strs *args)
{
	while (len) {
		const char *eol = memchr(text, '\n', len);
		size_t n = eol ? (size_t)(eol - text) : len;

		if (!n && args->n)
			break;
		if (args->n && !strcmp(args->v[args->n - 1], "-optf"))
			kache_strs_add(args, file);
		else
			kache_strs_addn(args, text, n);
		text += n + !!eol;
		len -= n + !!eol;
	}
	fuzz_write(len ? text + 1 : "", len ? len - 1 : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *file = fuzz_file();
	KACHE_AUTO_STRS struct kache_strs args = { 0 };
	struct kache_cc_args a;

	read_input((const char *)data, size, file, &args);
	if (!args.n)
		kache_strs_add(&args, "");
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
