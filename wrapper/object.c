#include "config.h"
#include "wrapper/object.h"

#include "store/map.h"
#include "wrapper/elf.h"

#include <stdint.h>
#include <string.h>

/* Beside the traits. This crate asks when Cargo.toml was changed, to know whether it has to read it again, and tells nobody. Many
 * macros have it in them; what else such a one may ask for itself can't be told from that. */
enum { HAS_PROC_MACRO_CRATE = 1 << 16, MODIFIED = 1 << 17 };

/* Names as both manglings of rustc have them, with the length in front. Both words, if there are two, in this order. */
static const struct { const char *word, *then; unsigned trait; } symbols[] = {
	{ "10SystemTime3now", "", KACHE_ASKS_CLOCK },
	{ "3env4args", "", KACHE_ASKS_ARGUMENTS }, { "3env7args_os", "", KACHE_ASKS_ARGUMENTS },
	{ "6rustix", "", KACHE_CALLS_KERNEL },
	{ "4Span10local_file", "", KACHE_ASKS_SOURCE }, { "10SourceFile4path", "", KACHE_ASKS_SOURCE },
	{ "16proc_macro_crate", "", HAS_PROC_MACRO_CRATE },
	{ "8Metadata8modified", "", MODIFIED }, { "8Metadata7created", "", KACHE_ASKS_BIRTH },
	{ "8Metadata8accessed", "", KACHE_ASKS_ACCESS }, { "11Permissions8readonly", "", KACHE_ASKS_STATUS },
	{ "PermissionsExt", "4mode", KACHE_ASKS_STATUS },
	{ "MetadataExt", "mtime", KACHE_ASKS_STATUS }, { "MetadataExt", "4mode", KACHE_ASKS_STATUS },
	{ "MetadataExt", "7st_mode", KACHE_ASKS_STATUS },
	{ "MetadataExt", "atime", KACHE_ASKS_ACCESS }, { "MetadataExt", "ctime", KACHE_ASKS_ACCESS },
};

static void note_symbol(const char *name, void *arg)
{
	unsigned *traits = arg;

	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
		const char *at = strstr(name, symbols[i].word);

		if (at && strstr(at, symbols[i].then))
			*traits |= symbols[i].trait;
	}
}

/* Who starts a program has environ too, for the program, and std::env::vars_os. */
static unsigned environment(const char *object, size_t len)
{
	static const char *const starts[] = { "environ", "7process7Command", "posix_spawn", "exec", "system", "popen", NULL };
	static const char *const imports[] = { "environ", "3env4vars", "3env7vars_os", NULL };
	static const char *const functions[] = { "3env4vars", "3env7vars_os", "7environ", NULL };
	static const char *const starters[] = {	/* as the versions of the standard library have it */
		"3std3sys7process", "3std3sys4unix7process", "3std3sys3pal4unix7process", "3std10sys_common7process", NULL
	};

	return (kache_elf_imports(object, len, starts) ? KACHE_STARTS_PROGRAMS : 0) |
	       (kache_elf_imports(object, len, imports) && kache_elf_refers(object, len, functions, imports, starters) ?
			KACHE_WALKS_VARIABLES : 0);
}

static unsigned look(const char *object, size_t len)
{
	static const char checked[] = "invalid timestamp";	/* what std says of one that it can't hold */
	unsigned traits = environment(object, len);

	if (!kache_elf_symbols(object, len, note_symbol, &traits)) {
		traits |= KACHE_STRIPPED;
		if (memmem(object, len, checked, sizeof checked - 1))
			traits |= KACHE_ASKS_CLOCK | KACHE_ASKS_STATUS | KACHE_ASKS_BIRTH;
	}
	if (traits & MODIFIED && !(traits & HAS_PROC_MACRO_CRATE))
		traits |= KACHE_ASKS_STATUS;
	return traits;
}

unsigned kache_object_traits(struct kache_store *s, const char *path)
{
	unsigned traits;

	return kache_map_traits(s, path, KACHE_TRAITS_OBJECT, SIZE_MAX, look, &traits) ? ~0U : traits;
}
