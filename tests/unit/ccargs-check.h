/* For the unit tests of command lines: what is expected of one. '~' stands for a blank within an argument. */
#ifndef KACHE_TESTS_UNIT_CCARGS_CHECK_H
#define KACHE_TESTS_UNIT_CCARGS_CHECK_H

#include "tap.h"

#include "base/buf.h"
#include "base/strs.h"
#include "key/ccargs.h"

/* The parser under test; the caller releases. */
static struct kache_cc_args parse(const char *line);

static inline void words_of(const char *line, struct kache_strs *words)
{
	while (*line) {
		size_t n = strcspn(line, " ");

		if (n)
			kache_strs_addn(words, line, n);
		line += n + !!line[n];
	}
	for (size_t i = 0; i < words->n; i++)
		for (char *at = words->v[i]; (at = strchr(at, '~'));)
			*at = ' ';
}

static inline void is_refused(const char *line, const char *why, const char *detail)
{
	struct kache_cc_args a = parse(line);

	if (!ok(a.why && !strcmp(a.why, why) && (!detail || (a.detail && !strcmp(a.detail, detail))), "%s: %s", line, why))
		printf("# got %s %s\n", a.why ? a.why : "nothing", a.detail ? a.detail : "");
	kache_cc_args_release(&a);
}

static inline void compiles(const char *line, const char *language, const char *output, const char *depfile)
{
	struct kache_cc_args a = parse(line);
	bool good = !a.why && !strcmp(a.language, language) && !strcmp(a.output, output) && !a.depfile == !depfile &&
		    (!depfile || !strcmp(a.depfile, depfile));

	if (!ok(good, "%s: %s, %s%s", line, language, output, depfile ? " and a list" : ""))
		printf("# got %s %s: %s, %s, %s\n", a.why ? a.why : "-", a.detail ? a.detail : "-", a.language ? a.language : "-",
		       a.output ? a.output : "-", a.depfile ? a.depfile : "-");
	kache_cc_args_release(&a);
}

/* Fresh memory. */
static inline char *key_text(const struct kache_cc_args *a)
{
	struct kache_buf b = KACHE_BUF_INIT;

	kache_buf_add(&b, "", 0);
	for (size_t i = 0; i < a->n_parts; i++)
		kache_buf_fmt(&b, "%s%s|%s", i ? ";" : "", a->parts[i].label, a->parts[i].value);
	return kache_buf_steal(&b);
}

static inline void key_is(const char *line, const char *key)
{
	struct kache_cc_args a = parse(line);
	char *got = key_text(&a);

	is_str(got, key, line);
	free(got);
	kache_cc_args_release(&a);
}

#endif
