/* Sizes and durations as people write them. */
#include "config.h"
#include "conf/conf.h"

#include "base/buf.h"

#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Whole digits, perhaps a point and more of them, a unit. What is behind the sixth decimal place counts for nothing. */
static int parse(const char *text, const struct unit *units, uint64_t *out)
{
	uint64_t n = 0, parts = 0, scale = 1;

	if (!digit(*text))
		return KACHE_E_INVALID;
	for (; digit(*text); text++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *text - '0', &n))
			return KACHE_E_INVALID;
	if (*text == '.' && !digit(*++text))
		return KACHE_E_INVALID;
	for (; digit(*text); text++) {
		if (scale == 1000000)
			continue;
		scale *= 10;
		parts = 10 * parts + (uint64_t)(*text - '0');
	}
	while (*text == ' ')
		text++;
	for (; units->name; units++)
		if (!strcasecmp(units->name, text))
			break;
	if (!units->name || __builtin_mul_overflow(n, units->factor, &n) ||
	    __builtin_add_overflow(n, parts * units->factor / scale, &n) || n > INT64_MAX)
		return KACHE_E_INVALID;
	*out = n;
	return KACHE_OK;
}

int kache_parse_size(const char *text, uint64_t *bytes)
{
	static const struct unit units[] = {
		{ "", 1 }, { "B", 1 }, { "kB", 1000 }, { "MB", 1000000 }, { "GB", 1000000000 }, { "TB", 1000000000000 },
		{ "KiB", 1 << 10 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 }, { "TiB", (uint64_t)1 << 40 },
		{ "k", 1000 }, { "M", 1000000 }, { "G", 1000000000 }, { "T", 1000000000000 }, { NULL, 0 }
	};

	return parse(text, units, bytes);
}

int kache_parse_duration(const char *text, uint64_t *seconds)
{
	static const struct unit units[] = {
		{ "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 }, { "w", 604800 }, { NULL, 0 }
	};

	return parse(text, units, seconds);
}

int kache_parse_msec(const char *text, uint64_t *ms)
{
	static const struct unit units[] = {
		{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 }
	};

	return parse(text, units, ms);
}

char *kache_show_size(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double n = (double)bytes;
	int unit = 0;

	while (n >= 1024 && unit < 4) {
		n /= 1024;
		unit++;
	}
	return unit ? kache_asprintf("%.1f %s", n, units[unit]) : kache_asprintf("%.0f %s", n, units[unit]);
}
