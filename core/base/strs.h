/* A list of owned strings, and small string helpers. */
#ifndef KACHE_BASE_STRS_H
#define KACHE_BASE_STRS_H

#include <stdbool.h>
#include <stddef.h>

/* v[0..n) owned; v[n] is NULL once anything was added, so it serves as an argv. Zero-initialise. */
struct kache_strs {
	char **v;
	size_t n, cap;
};
void kache_strs_release(struct kache_strs *s);
void kache_strs_add(struct kache_strs *s, const char *str);	/* copies */
void kache_strs_take(struct kache_strs *s, char *str);		/* takes ownership */
void kache_strs_addn(struct kache_strs *s, const char *str, size_t len);
bool kache_strs_has(const struct kache_strs *s, const char *str);
void kache_strs_sort(struct kache_strs *s);			/* bytewise */
/* Of a sorted list: the index of the first that is not before str, and whether str is in it. */
size_t kache_strs_from(const struct kache_strs *s, const char *str);
bool kache_strs_find(const struct kache_strs *s, const char *str);
#define KACHE_AUTO_STRS __attribute__((cleanup(kache_strs_release)))

bool kache_starts(const char *s, const char *prefix);
bool kache_starts_any(const char *s, const char *const *prefixes);	/* a list that ends with NULL */
/* Whether the len bytes at s, which have no NUL among them, are this word. */
bool kache_is_word(const char *word, const char *s, size_t len);
bool kache_ends(const char *s, const char *suffix);
/* The same of the text from `text` up to, and without, `end`. */
bool kache_ends_before(const char *text, const char *end, const char *suffix);
/* True for "1", "true", "yes", "on"; false for "0", "false", "no", "off" and ""; else -1. */
int kache_parse_bool(const char *s);
/* Shell-style match of a whole string: * ? [set]; no special treatment of '/'. */
bool kache_glob(const char *pattern, const char *s);
/* Levenshtein distance, for "did you mean". */
size_t kache_edit_distance(const char *a, const char *b);

#endif
