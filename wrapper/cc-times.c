/* "#pragma GCC dependency" has a compiler warn where the file that it names was changed later than the source (GCC manual, Pragmas).
 * What is said then hangs on the times of files, which are no inputs, and so nothing of such a compile is stored. */
#include "config.h"
#include "wrapper/cc.h"

#include "store/map.h"
#include "wrapper/collect.h"

#include <ctype.h>
#include <string.h>

/* What is larger is data (.incbin, #embed, a precompiled header) and no text that anybody wrote. */
enum { SOURCE_MOST = 64 << 20 };

/* Where what ends at `end` begins to be white space, ends of lines and comments. */
static const char *before_space(const char *text, const char *end)
{
	for (;;) {
		while (end > text && (isspace((unsigned char)end[-1]) || end[-1] == '\\'))
			end--;
		if (end - text < 4 || end[-1] != '/' || end[-2] != '*')
			return end;
		for (end -= 2; end - text >= 2 && (end[-2] != '/' || end[-1] != '*');)
			end--;
		end -= end - text >= 2 ? 2 : end - text;
	}
}

/* The two words in a row, be it behind "#pragma", in the text of a _Pragma, or handed to a macro that makes one of them. */
static unsigned compares_times(const char *text, size_t len)
{
	static const char word[] = "dependency";
	const char *end = text + len;

	for (const char *at = text; (at = memmem(at, (size_t)(end - at), word, sizeof word - 1)); at += sizeof word - 1) {
		const char *before = before_space(text, at);

		if (before < at && (kache_ends_before(text, before, "GCC") || kache_ends_before(text, before, "clang")))
			return 1;
	}
	return 0;
}

int kache_cc_collect_times(struct kache_collector *k)
{
	for (size_t i = 0; i < k->set.n; i++) {
		KACHE_AUTO_FREE char *path = NULL;
		unsigned compares;

		if (k->set.inputs[i].kind != KACHE_INPUT_FILE)
			continue;
		path = kache_tokens_expand(&k->c->tokens, k->m->names[k->set.inputs[i].name]);
		if (!path || kache_map_traits(k->c->store, path, KACHE_TRAITS_SOURCE, SOURCE_MOST, compares_times, &compares))
			return kache_collect_refuse(k, "input-changed", k->m->names[k->set.inputs[i].name]);
		if (compares)
			return kache_collect_refuse(k, "time-pragma", path);
	}
	return KACHE_OK;
}
