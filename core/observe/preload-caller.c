/* kache-observe.so: in which object a call was made. A procedural macro is one in the compiler's own process, and what it asks
 * for counts for more than what the compiler does. */
#include "config.h"
#include "observe/preload.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

/* Interposers are called by others only. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* The object that holds an address of code. Other threads may load and close objects meanwhile: glibc 2.35 has a function for that
 * which takes no lock; before, it takes the loader's own, which fork(2) gives back to the child. */
static const struct link_map *object_at(const void *code)
{
	void *address = (void *)(uintptr_t)code, *map = NULL;
	Dl_info info;
#if __GLIBC_PREREQ(2, 35)
	struct dl_find_object found;

#pragma weak _dl_find_object
	if (&_dl_find_object)
		return _dl_find_object(address, &found) ? NULL : found.dlfo_link_map;
#endif
#pragma weak dladdr1
	return &dladdr1 && dladdr1(address, &info, &map, RTLD_DL_LINKMAP) ? map : NULL;
}

/* Its name; "" for the program. */
static const char *object_of(const void *code)
{
	const struct link_map *m = object_at(code);

	return m && m->l_name && strchr(m->l_name, '/') ? m->l_name : "";
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
