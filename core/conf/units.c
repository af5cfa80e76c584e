/* Sizes and durations as people write them. */
#include "config.h"
#include "conf/conf.h"

#include "base/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static int parse(const char *text, const struct unit *units, uint64_t *out)
{
	char *end;
	double n;

	if (*text < '0' || *text > '9')
		return KACHE_E_INVALID;
	errno = 0;
	n = strtod(text, &end);
	while (*end == ' ')
		end++;
	for (; units->name; units++)
		if (!strcasecmp(units->name, end))
			break;
	if (!units->name || errno || strpbrk(text, "xXpP") || n * (double)units->factor >= 9e18)
		return KACHE_E_INVALID;
	*out = (uint64_t)(n * (double)units->factor);
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
