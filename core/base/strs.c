#include "config.h"
#include "base/strs.h"

#include "base/buf.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void kache_strs_release(struct kache_strs *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct kache_strs){ NULL, 0, 0 };
}

void kache_strs_take(struct kache_strs *s, char *str)
{
	if (s->n + 2 > s->cap) {
		s->cap = s->cap ? s->cap * 2 : 8;
		s->v = kache_realloc(s->v, s->cap, sizeof *s->v);
	}
	s->v[s->n++] = str;
	s->v[s->n] = NULL;
}

void kache_strs_add(struct kache_strs *s, const char *str)
{
	kache_strs_take(s, kache_strdup(str));
}

void kache_strs_addn(struct kache_strs *s, const char *str, size_t len)
{
	kache_strs_take(s, kache_strndup(str, len));
}

bool kache_strs_has(const struct kache_strs *s, const char *str)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->v[i], str))
			return true;
	return false;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void kache_strs_sort(struct kache_strs *s)
{
	if (s->n > 1)
		qsort(s->v, s->n, sizeof *s->v, compare);
}

size_t kache_strs_from(const struct kache_strs *s, const char *str)
{
	size_t from = 0, to = s->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (strcmp(s->v[middle], str) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

bool kache_strs_find(const struct kache_strs *s, const char *str)
{
	size_t at = kache_strs_from(s, str);

	return at < s->n && !strcmp(s->v[at], str);
}

bool kache_starts(const char *s, const char *prefix)
{
	while (*prefix && *s == *prefix) {
		s++;
		prefix++;
	}
	return !*prefix;
}

bool kache_starts_any(const char *s, const char *const *prefixes)
{
	for (; *prefixes; prefixes++)
		if (kache_starts(s, *prefixes))
			return true;
	return false;
}

bool kache_is_word(const char *word, const char *s, size_t len)
{
	while (len && *word == *s) {
		word++;
		s++;
		len--;
	}
	return !len && !*word;
}

bool kache_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && !strcmp(s + n - m, suffix);
}

bool kache_ends_before(const char *text, const char *end, const char *suffix)
{
	const size_t n = strlen(suffix);

	return (size_t)(end - text) >= n && !memcmp(end - n, suffix, n);
}

int kache_parse_bool(const char *s)
{
	static const char *const yes[] = { "1", "true", "yes", "on" };
	static const char *const no[] = { "0", "false", "no", "off", "" };

	for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
		if (!strcasecmp(s, yes[i]))
			return 1;
	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		if (!strcasecmp(s, no[i]))
			return 0;
	return -1;
}

bool kache_glob(const char *pattern, const char *s)
{
	return fnmatch(pattern, s, 0) == 0;
}

size_t kache_edit_distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b), result;
	size_t *row = kache_calloc(m + 1, sizeof *row);

	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t up = row[j], best = diagonal + (a[i - 1] != b[j - 1]);

			if (up + 1 < best)
				best = up + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = up;
			row[j] = best;
		}
	}
	result = row[m];
	free(row);
	return result;
}
