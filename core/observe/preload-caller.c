/* kache-observe.so: in which object a call was made. A procedural macro is one in the compiler's own process, and what it asks
 * for counts for more than what the compiler does. */
#include "config.h"
#include "observe/preload.h"

#include <link.h>
#include <string.h>
#include <unistd.h>

#pragma weak _r_debug

/* Interposers are called by others only. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* The loader reserves one range for each object, so code is in the one that begins last before it. "" is the program. */
static const char *object_of(const void *code)
{
	const struct link_map *best = NULL;

	if (!&_r_debug)
		return "";
	for (const struct link_map *m = _r_debug.r_map; m; m = m->l_next)
		if (m->l_addr <= (ElfW(Addr))code && (!best || m->l_addr > best->l_addr))
			best = m;
	return best && best->l_name && strchr(best->l_name, '/') ? best->l_name : "";
}

void kache_note_looker(const void *caller)
{
	const char *object;

	if (!kache_observing())
		return;
	object = object_of(caller);
	if (*object)
		kache_note('K', AT_FDCWD, object);
}

void kache_note_here(const void *caller)
{
	char program[PATH_ROOM];
	const char *object;
	long len;

	if (!kache_observing())
		return;
	object = object_of(caller);
	if (!*object) {
		len = RAW4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", program, sizeof program - 1);
		if (len <= 0)
			return;		/* begin() has said it */
		program[len] = '\0';
		object = program;
	}
	kache_note('H', AT_FDCWD, object);
}

#define HERE(name, args, call) \
	EXPORT char *my_##name args NAMED(name); \
	EXPORT char *my_##name args \
	{ \
		kache_note_here(CALLER); \
		return REAL(name) call; \
	}
HERE(getcwd, (char *out, size_t size), (out, size))
HERE(__getcwd_chk, (char *out, size_t size, size_t room), (out, size, room))
HERE(getwd, (char *out), (out))
HERE(get_current_dir_name, (void), ())
