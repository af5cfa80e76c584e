#include "config.h"
#include "wrapper/object.h"

#include "store/map.h"
#include "wrapper/elf.h"

#include <stdint.h>
#include <string.h>

static bool has_any(const char *name, const char *const *words)
{
	for (; *words; words++)
		if (strstr(name, *words))
			return true;
	return false;
}

/* Beside the traits. This crate asks when Cargo.toml was changed, to know whether it has to read it again, and tells nobody. Many
 * macros have it in them; what else such a one may ask for itself can't be told from that. */
enum { HAS_PROC_MACRO_CRATE = 1 << 16, MODIFIED = 1 << 17 };

/* Names as both manglings of rustc have them: with the length in front. */
static void note_symbol(const char *name, void *arg)
{
	static const char *const fields[] = { "mtime", "4mode", "7st_mode", NULL }, *const others[] = { "atime", "ctime", NULL };
	const char *trait = strstr(name, "MetadataExt");
	unsigned *traits = arg;

	trait = trait ? trait : strstr(name, "PermissionsExt");
	if (strstr(name, "10SystemTime3now"))
		*traits |= KACHE_ASKS_CLOCK;
	if (strstr(name, "3env4args") || strstr(name, "3env7args_os"))
		*traits |= KACHE_ASKS_ARGUMENTS;
	if (strstr(name, "6rustix"))
		*traits |= KACHE_CALLS_KERNEL;
	if (strstr(name, "4Span10local_file") || strstr(name, "10SourceFile4path"))
		*traits |= KACHE_ASKS_SOURCE;
	if (strstr(name, "16proc_macro_crate"))
		*traits |= HAS_PROC_MACRO_CRATE;
	if (strstr(name, "8Metadata8modified"))
		*traits |= MODIFIED;
	if (strstr(name, "8Metadata7created"))
		*traits |= KACHE_ASKS_BIRTH;
	if (strstr(name, "11Permissions8readonly") || (trait && has_any(trait, fields)))
		*traits |= KACHE_ASKS_STATUS;
	if (strstr(name, "8Metadata8accessed") || (trait && has_any(trait, others)))
		*traits |= KACHE_ASKS_ACCESS;
}

static unsigned look(const char *object, size_t len)
{
	static const char *const walkers[] = { "environ", "3env4vars", "3env7vars_os", NULL };
	static const char checked[] = "invalid timestamp";	/* what std says of one that it can't hold */
	unsigned traits = kache_elf_imports(object, len, walkers) ? KACHE_WALKS_VARIABLES : 0;

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
