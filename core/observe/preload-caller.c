/* kache-observe.so: in which object a call was made, and what is asked for that only counts there. A procedural macro is one in
 * the compiler's own process, and what it asks for counts for more than what the compiler does. */
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

static void note_library(char type, const void *caller)
{
	const char *object;

	if (!kache_observing())
		return;
	object = object_of(caller);
	if (*object)
		kache_note(type, AT_FDCWD, object);
}

void kache_note_looker(const void *caller)
{
	note_library('K', caller);
}

void kache_note_asker(const void *caller, const char *variable)
{
	char record[PATH_ROOM];
	const char *object;
	size_t name, len;

	if (!kache_observing() || !variable)
		return;
	object = object_of(caller);
	if (strstr(object, "/librustc_driver") || strstr(object, "/libLLVM"))
		return;		/* the compiler itself, which asks for thirty; E has them */
	name = strlen(variable);
	len = strlen(object);
	if (!len)
		return;
	if (name + len + 2 > sizeof record) {
		kache_note_name('!', "a name that is too long");
		return;
	}
	memcpy(record, variable, name);
	record[name] = '=';
	memcpy(record + name + 1, object, len + 1);
	kache_note_name('G', record);
}

void kache_note_here(const void *caller)
{
	static _Atomic bool noted;	/* that the program asked, which it may do all the time */
	char program[PATH_ROOM];
	const char *object;

	if (!kache_observing())
		return;
	object = object_of(caller);
	if (*object) {
		kache_note('H', AT_FDCWD, object);
	} else if (!noted) {
		noted = true;
		if (kache_program(program))	/* else begin() has said it */
			kache_note('H', AT_FDCWD, program);
	}
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

#define MACHINE(type, name, args, call) \
	EXPORT type my_##name args NAMED(name); \
	EXPORT type my_##name args \
	{ \
		note_library('M', CALLER); \
		return REAL(name) call; \
	}
MACHINE(int, gethostname, (char *out, size_t size), (out, size))
MACHINE(int, __gethostname_chk, (char *out, size_t size, size_t room), (out, size, room))
MACHINE(int, getdomainname, (char *out, size_t size), (out, size))
MACHINE(int, __getdomainname_chk, (char *out, size_t size, size_t room), (out, size, room))
MACHINE(int, uname, (void *out), (out))
MACHINE(unsigned, getuid, (void), ())
MACHINE(unsigned, geteuid, (void), ())
MACHINE(char *, getlogin, (void), ())
MACHINE(int, getlogin_r, (char *out, size_t size), (out, size))
MACHINE(void *, getpwuid, (unsigned user), (user))
MACHINE(int, getpwuid_r, (unsigned user, void *entry, char *room, size_t size, void *out), (user, entry, room, size, out))
