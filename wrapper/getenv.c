/* musl's getenv compares the name with each variable by a call of its own; cargo sets sixty, and a hit asks for twenty-five. */
#include "config.h"

#include <stdlib.h>	/* tells whose C library it is */

#if !defined __GLIBC__ && defined __linux__

#include <stddef.h>
#include <string.h>
#include <unistd.h>

char *getenv(const char *name)
{
	const size_t len = strcspn(name, "=");

	if (!len || name[len] || !environ)
		return NULL;
	for (char **e = environ; *e; e++) {
		size_t i = 0;

		while (i < len && (*e)[i] == name[i])
			i++;
		if (i == len && (*e)[len] == '=')
			return *e + len + 1;
	}
	return NULL;
}

#endif
