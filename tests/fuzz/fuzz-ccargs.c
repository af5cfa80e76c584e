/* Arguments of a C compiler, one per line; what follows an empty line is the text of every @file among them.
 * A command line has a reason to pass through, or what a compile needs is there. */
#include "config.h"

#include "tests/fuzz/memory.h"

#include "base/buf.h"
#include "key/ccargs.h"

#include <string.h>

bool fuzz_accepted;

static void read_input(const char *text, size_t len, const char *file, struct kache_strs *args)
{
	while (len) {
		const char *eol = memchr(text, '\n', len);
		size_t n = eol ? (size_t)(eol - text) : len;

		if (!n)
			break;
		if (*text == '@')
			kache_strs_take(args, kache_asprintf("@%s", file));
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
