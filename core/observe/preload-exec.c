/* kache-observe.so: programs that are started, and how they come to report too; the environment. */
#include "config.h"
#include "observe/preload.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Interposers are called by others only. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* A variable, without a record. */
static const char *variable(const char *name)
{
	size_t len = strlen(name);

	for (char **e = environ; e && *e; e++)
		if (!strncmp(*e, name, len) && (*e)[len] == '=')
			return *e + len + 1;
	return NULL;
}

/* True if value, a LD_PRELOAD, has our library. */
static bool names_us(const char *value)
{
	return strstr(value, kache_preload_path()) != NULL;
}

char *const *kache_child_env(struct child_env *room, char *const *given)
{
	static char *const none[] = { NULL };
	const char *preload = NULL;
	bool logs = false;
	size_t n = 0, size, extra = 0, at = 0;
	char **v = room->slots;

	room->mapped = NULL;
	if (!given)
		given = none;
	if (!kache_observing())
		return given;
	for (; given[n]; n++) {
		if (has_prefix(given[n], KACHE_PRELOAD_VAR))
			preload = given[n] + sizeof KACHE_PRELOAD_VAR - 1;
		if (!has_prefix(given[n], KACHE_LOG_VAR))
			continue;
		logs = true;
		if (strcmp(given[n], kache_log_var))
			kache_note_name('!', "a program that is observed by somebody else");
	}
	if (preload && !names_us(preload))
		extra = strlen(kache_preload_var) + 1 + strlen(preload) + 1;
	size = (n + 3) * sizeof *v + extra;
	if (size > sizeof room->slots) {
		long p = raw(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p < 0 && p > -4096) {
			kache_note_name('!', "no memory for the environment of a program");
			return given;
		}
		room->mapped = v = (char **)p;
		room->mapped_size = size;
	}
	for (size_t i = 0; i < n; i++)
		if (!extra || !has_prefix(given[i], KACHE_PRELOAD_VAR))
			v[at++] = given[i];
	if (extra) {
		size_t len = strlen(kache_preload_var);
		char *joined = (char *)(v + n + 3);

		memcpy(joined, kache_preload_var, len);
		joined[len] = ':';
		memcpy(joined + len + 1, preload, strlen(preload) + 1);
		v[at++] = joined;
	} else if (!preload) {
		v[at++] = kache_preload_var;
	}
	if (!logs)
		v[at++] = kache_log_var;
	v[at] = NULL;
	return v;
}

void kache_child_release(struct child_env *room)
{
	if (room->mapped)
		RAW2(SYS_munmap, room->mapped, room->mapped_size);
}

/* Looks for name as execvp does. Records the directories that lack it; true if found[RECORD_ROOM]. */
static bool search(const char *name, char *found)
{
	const char *path = variable("PATH"), *p = path ? path : "/bin:/usr/bin";
	size_t len = strlen(name);

	kache_note_name('E', "PATH");
	for (;; p++) {
		size_t dir = strcspn(p, ":");
		struct stat st;

		if (dir + 1 + len < PATH_ROOM) {
			memcpy(found, p, dir);
			if (dir)
				found[dir] = '/';
			memcpy(found + dir + (dir != 0), name, len + 1);
			if (RAW4(SYS_newfstatat, AT_FDCWD, found, &st, 0))
				kache_note('A', AT_FDCWD, found);
			else if (S_ISREG(st.st_mode) && !RAW3(SYS_faccessat, AT_FDCWD, found, X_OK))
				return true;
			else
				kache_note('P', AT_FDCWD, found);
		}
		p += dir;
		if (!*p)
			return false;
	}
}

/* One program about to be started; after() tells if that failed. */
struct start {
	struct child_env room;
	const char *name;	/* set: to be searched along PATH */
	const char *path;	/* set: what is run */
	int dirfd;
	char found[RECORD_ROOM];
};

static void resolve(struct start *s, int dirfd, const char *path, bool along_path)
{
	s->dirfd = dirfd;
	s->name = NULL;
	s->path = path;
	if (path && has_prefix(path, "/proc/self/")) {	/* means somebody else to the reader */
		long len = RAW4(SYS_readlinkat, AT_FDCWD, path, s->found, PATH_ROOM);

		if (len > 0) {
			s->found[len] = '\0';
			s->path = s->found;
		}
	}
	if (along_path && path && *path && !strchr(path, '/')) {
		s->name = path;
		s->dirfd = AT_FDCWD;
		s->path = search(path, s->found) ? s->found : NULL;
	}
}

/* One that could not be started may be there the next time, or be a program. */
static void note_vain(const struct start *s, const char *path, int err)
{
	if (!s->name && path && *path)
		kache_note_look(s->dirfd, path, false, err);
}

static void say(struct start *s, char by_path, char by_name)
{
	if (s->name)
		kache_event_name(by_name, s->name);
	kache_event(by_path, s->dirfd, s->path);
}

/* exec does not come back when it went well, so it is announced, and taken back when it failed. */
#define EXEC(dirfd, path, along_path, env, call) do { \
		struct start s; \
		int result; \
		if (!kache_observing()) { \
			char *const *to = (env); \
			return call; \
		} \
		kache_note_libraries(); \
		resolve(&s, dirfd, path, along_path); \
		say(&s, 'X', 'x'); \
		char *const *to = kache_child_env(&s.room, env); \
		result = call; \
		kache_child_release(&s.room); \
		say(&s, 'F', 'f'); \
		note_vain(&s, path, errno); \
		return result; \
	} while (0)

EXPORT int my_execve(const char *path, char *const *argv, char *const *env) NAMED(execve);
EXPORT int my_execve(const char *path, char *const *argv, char *const *env)
{
	EXEC(AT_FDCWD, path, false, env, REAL(execve)(path, argv, to));
}

EXPORT int my_execvpe(const char *path, char *const *argv, char *const *env) NAMED(execvpe);
EXPORT int my_execvpe(const char *path, char *const *argv, char *const *env)
{
	EXEC(AT_FDCWD, path, true, env, REAL(execvpe)(path, argv, to));
}

EXPORT int my_execv(const char *path, char *const *argv) NAMED(execv);
EXPORT int my_execv(const char *path, char *const *argv)
{
	return my_execve(path, argv, environ);
}

EXPORT int my_execvp(const char *path, char *const *argv) NAMED(execvp);
EXPORT int my_execvp(const char *path, char *const *argv)
{
	return my_execvpe(path, argv, environ);
}

EXPORT int my_fexecve(int fd, char *const *argv, char *const *env) NAMED(fexecve);
EXPORT int my_fexecve(int fd, char *const *argv, char *const *env)
{
	char path[RECORD_ROOM];
	size_t len = kache_absolute(path, fd, "");

	EXEC(AT_FDCWD, len ? path : "/proc/self/fd", false, env, REAL(fexecve)(fd, argv, to));
}

EXPORT int my_execveat(int dirfd, const char *path, char *const *argv, char *const *env, int flags)
	NAMED(execveat);
EXPORT int my_execveat(int dirfd, const char *path, char *const *argv, char *const *env, int flags)
{
	char whole[RECORD_ROOM];
	size_t len = path ? kache_absolute(whole, dirfd, path) : 0;

	EXEC(AT_FDCWD, len ? whole : "/proc/self/fd", false, env, REAL(execveat)(dirfd, path, argv, to, flags));
}

/* execl, execlp, execle: the arguments as an array. Lists longer than MANY are for no compiler. */
enum { MANY = 1024 };
#define COLLECT(first) \
	char *argv[MANY]; \
	size_t n = 0; \
	va_list ap; \
	va_start(ap, first); \
	argv[n++] = (char *)(uintptr_t)(first); \
	while (argv[n - 1]) { \
		if (n == MANY) { \
			va_end(ap); \
			errno = E2BIG; \
			return -1; \
		} \
		argv[n++] = va_arg(ap, char *); \
	}

EXPORT int my_execl(const char *path, const char *first, ...) NAMED(execl);
EXPORT int my_execl(const char *path, const char *first, ...)
{
	COLLECT(first)
	va_end(ap);
	return my_execve(path, argv, environ);
}

EXPORT int my_execlp(const char *path, const char *first, ...) NAMED(execlp);
EXPORT int my_execlp(const char *path, const char *first, ...)
{
	COLLECT(first)
	va_end(ap);
	return my_execvpe(path, argv, environ);
}

EXPORT int my_execle(const char *path, const char *first, ...) NAMED(execle);
EXPORT int my_execle(const char *path, const char *first, ...)
{
	char *const *env;

	COLLECT(first)
	env = va_arg(ap, char *const *);
	va_end(ap);
	return my_execve(path, argv, env);
}

/* These come back, and say if it went well. */
#define SPAWN(name, along_path) \
	EXPORT int my_##name(int *pid, const char *path, const void *actions, const void *attr, \
			     char *const *argv, char *const *env) NAMED(name); \
	EXPORT int my_##name(int *pid, const char *path, const void *actions, const void *attr, \
			     char *const *argv, char *const *env) \
	{ \
		struct start s; \
		int result; \
		if (!kache_observing()) \
			return REAL(name)(pid, path, actions, attr, argv, env); \
		resolve(&s, AT_FDCWD, path, along_path); \
		result = REAL(name)(pid, path, actions, attr, argv, kache_child_env(&s.room, env)); \
		kache_child_release(&s.room); \
		if (!result) \
			say(&s, 'X', 'x'); \
		else \
			note_vain(&s, path, result); \
		return result; \
	}
SPAWN(posix_spawn, false)
SPAWN(posix_spawnp, true)
#if __GLIBC_PREREQ(2, 39)
SPAWN(pidfd_spawn, false)
SPAWN(pidfd_spawnp, true)
#endif

EXPORT int my_addopen(void *actions, int fd, const char *path, int flags, unsigned mode)
	NAMED(posix_spawn_file_actions_addopen);
EXPORT int my_addopen(void *actions, int fd, const char *path, int flags, unsigned mode)
{
	struct stat st;
	bool there;

	if (kache_observing() && path && *path) {
		there = !RAW4(SYS_newfstatat, AT_FDCWD, path, &st, 0);
		if ((flags & O_ACCMODE) == O_RDONLY && there && S_ISREG(st.st_mode))
			kache_note('R', AT_FDCWD, path);
		else if ((flags & O_ACCMODE) == O_RDONLY)
			kache_note_look(AT_FDCWD, path, there, ENOENT);
		else if (!there || S_ISREG(st.st_mode))
			kache_note('W', AT_FDCWD, path);
	}
	return REAL(posix_spawn_file_actions_addopen)(actions, fd, path, flags, mode);
}

/* system and popen start the shell from inside the C library, with the environment of the process. */
#define SHELL(type, name, args, call, failed) \
	EXPORT type my_##name args NAMED(name); \
	EXPORT type my_##name args \
	{ \
		struct child_env room; \
		char **saved = environ, **swapped; \
		type result; \
		if (!command || !kache_observing()) \
			return REAL(name) call; \
		swapped = environ = (char **)(uintptr_t)kache_child_env(&room, environ); \
		result = REAL(name) call; \
		if (environ == swapped) \
			environ = saved; \
		kache_child_release(&room); \
		if (result != failed) \
			kache_event('X', AT_FDCWD, "/bin/sh"); \
		return result; \
	}
SHELL(int, system, (const char *command), (command), -1)
SHELL(void *, popen, (const char *command, const char *mode), (command, mode), NULL)

#define GETENV(name) \
	EXPORT char *my_##name(const char *variable_name) NAMED(name); \
	EXPORT char *my_##name(const char *variable_name) \
	{ \
		kache_note_name('E', variable_name); \
		kache_note_asker(CALLER, variable_name); \
		return REAL(name)(variable_name); \
	}
GETENV(getenv)
GETENV(secure_getenv)
ALIAS(char *, __secure_getenv, secure_getenv, (const char *));

/* gmtime is left out: compilers take it for SOURCE_DATE_EPOCH, which is a variable. */
EXPORT void *my_localtime(const long *t) NAMED(localtime);
EXPORT void *my_localtime(const long *t)
{
	kache_note_name('C', "localtime");
	return REAL(localtime)(t);
}

EXPORT void *my_localtime_r(const long *t, void *tm) NAMED(localtime_r);
EXPORT void *my_localtime_r(const long *t, void *tm)
{
	kache_note_name('C', "localtime");
	return REAL(localtime_r)(t, tm);
}

EXPORT int my_dlclose(void *handle) NAMED(dlclose);
EXPORT int my_dlclose(void *handle)
{
	kache_note_libraries();
	return REAL(dlclose)(handle);
}

EXPORT void *my_dlmopen(long space, const char *path, int flags) NAMED(dlmopen);
EXPORT void *my_dlmopen(long space, const char *path, int flags)
{
	kache_note_name('!', "dlmopen");
	return REAL(dlmopen)(space, path, flags);
}

EXPORT __attribute__((noreturn)) void my_exit(int status) NAMED(_exit);
EXPORT __attribute__((noreturn)) void my_exit(int status)
{
	kache_note_libraries();
	REAL(_exit)(status);
	__builtin_unreachable();
}
EXPORT __attribute__((noreturn)) void alias_Exit(int status) NAMED(_Exit) __attribute__((alias("_exit")));
