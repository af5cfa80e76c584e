/* Arguments of rustc, one per line; what follows an empty line is the text of every @file among them.
 * Each command line gets a class, and what that class promises is there. */
#include "config.h"

#include "tests/fuzz/args.h"

#include "key/rustargs.h"

#include <string.h>

bool fuzz_accepted;

static void check_parts(const struct kache_rust_args *a)
{
	for (size_t i = 0; i < a->n_parts; i++)
		FUZZ_CHECK(*a->parts[i].label && a->parts[i].value);
	for (size_t i = 0; i < a->n_externs; i++)
		FUZZ_CHECK(a->externs[i].name && a->externs[i].path);
	for (size_t i = 0; i < a->argv.n; i++)
		FUZZ_CHECK(a->argv.v[i]);
}

/* What is removed to compile without incremental state is that, and not the argument beside it. */
static void check_incremental(const struct kache_rust_args *a)
{
	const char *at = a->argv.n ? a->argv.v[a->incremental_at] : "";
	const char *value = a->incremental_pair ? a->argv.v[a->incremental_at + 1] : strchr(at, 'i');

	FUZZ_CHECK(a->incremental_at + a->incremental_pair < a->argv.n);
	FUZZ_CHECK(!a->incremental_pair || !strcmp(at, "-C") || !strcmp(at, "--codegen"));
	FUZZ_CHECK(value && !strncmp(value, "incremental", 11));
	FUZZ_CHECK(!strcmp(a->incremental, value[11] ? value + 12 : ""));
}

static void check_class(const struct kache_rust_args *a)
{
	FUZZ_CHECK((a->class == KACHE_RUST_DECLINE) == (a->why != NULL));
	FUZZ_CHECK(a->class == KACHE_RUST_DECLINE || !a->detail);
	if (a->class == KACHE_RUST_QUERY)
		FUZZ_CHECK(!a->source || !strcmp(a->source, "-"));
	if (a->class != KACHE_RUST_COMPILE)
		return;
	FUZZ_CHECK(a->source && a->crate && a->emit);
	FUZZ_CHECK(a->crate_types || a->test);
	FUZZ_CHECK(a->out_dir || a->to_stdout);
	for (size_t i = 1; i < a->features.n; i++)
		FUZZ_CHECK(strcmp(a->features.v[i - 1], a->features.v[i]) <= 0);
	if (a->incremental)
		check_incremental(a);
	(void)kache_rust_links(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KACHE_AUTO_STRS struct kache_strs args = { 0 };
	struct kache_rust_args a;

	fuzz_read_args((const char *)data, size, 0, &args);
	fuzz_name_at_files(&args);
	kache_rust_args_parse((int)args.n, args.v, "/", &a);
	fuzz_accepted = a.class != KACHE_RUST_DECLINE;
	check_parts(&a);
	check_class(&a);
	kache_rust_args_release(&a);
	return 0;
}
