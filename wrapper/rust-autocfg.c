/* The crate autocfg, whose questions many build scripts ask, gives each of them a name at random (AutoCfg::new_crate_name),
 * so that none would ever be answered from the cache. It looks at the exit code and removes what was made. So here they all have
 * one name, up to their number within the script; and the file has the one that was asked for. */
#include "config.h"
#include "wrapper/rustc.h"

#include "base/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* autocfg_<16 hexadecimal digits>_<number> */
static const char prefix[] = "autocfg_";
enum { PREFIX = sizeof prefix - 1, RANDOM = 16 };

static bool at_random(const char *name)
{
	const char *number;

	if (!kache_starts(name, prefix) || strspn(name + PREFIX, "0123456789abcdef") != RANDOM || name[PREFIX + RANDOM] != '_')
		return false;
	number = name + PREFIX + RANDOM + 1;
	return *number && !number[strspn(number, "0123456789")];
}

/* In fresh memory, of which the arguments are kept for good. */
char **kache_rust_autocfg(struct kache_call *c, int argc, char *const *argv)
{
	static const char option[] = "--crate-name";
	const struct kache_rust_args *a = &c->args;
	char **named;

	if (!c->probe || a->to_stdout || a->extra_filename || a->emit != KACHE_EMIT_LLVM_IR || strcmp(a->source, "-") || a->from_file ||
	    !at_random(a->crate))
		return NULL;
	c->asked = kache_strdup(a->crate);
	named = kache_calloc((size_t)argc + 1, sizeof *named);
	for (int i = 0; i < argc; i++) {
		const bool joined = kache_starts(argv[i], option) && argv[i][sizeof option - 1] == '=';
		const size_t at = joined ? sizeof option : 0;

		named[i] = kache_strdup(argv[i]);
		if ((joined || (i && !strcmp(argv[i - 1], option))) && !strcmp(named[i] + at, c->asked))
			memset(named[i] + at + PREFIX, '0', RANDOM);
	}
	return named;
}

char *kache_rust_asked_name(const struct kache_call *c, const char *name)
{
	const size_t len = strlen(c->args.crate);

	return strncmp(name, c->args.crate, len) ? kache_strdup(name) : kache_concat(c->asked, name + len, NULL);
}

void kache_rust_ran(const struct kache_call *c)
{
	KACHE_AUTO_FREE char *name = NULL, *made = NULL, *asked = NULL;

	if (!c->asked)
		return;
	name = kache_concat(c->args.crate, ".ll", NULL);
	made = kache_path_join(c->args.out_dir, name);
	asked = kache_rust_place(c, name);
	(void)rename(made, asked);	/* there is none of what does not compile */
}
