/* What a compiler run touched, as recorded by the preload library (kache-observe.so).
 *
 * Log format: a file named by KACHE_OBSERVE_LOG, opened O_APPEND by each process. Records are
 * "<type><absolute path or name>\0", each written by one write(2) (several may share one), where type is
 *	B program   a process began (path of its executable)
 *	R path      regular file opened for reading, or mapped, or read by readlink
 *	W path      created, opened for writing, renamed to, linked to, made as directory
 *	A path      looked for and not there (ENOENT, ENOTDIR)
 *	P path      stat or access succeeded
 *	L path      directory listed
 *	E name      variable read
 *	X program   execve, posix_spawn of that path
 *	x name      execvp, posix_spawnp of that name: searched along PATH
 *	N what      network socket used (AF_INET, AF_INET6), or a Unix socket connected
 *	! what      something that the library knows it can't follow
 * Relative paths are made absolute against the process's own cwd. */
#ifndef KACHE_OBSERVE_OBSERVE_H
#define KACHE_OBSERVE_OBSERVE_H

#include "base/strs.h"

#include <stdbool.h>

#define KACHE_OBSERVE_ENV "KACHE_OBSERVE_LOG"

struct kache_observed {
	/* each sorted and unique; paths are lexically normalised */
	struct kache_strs reads, writes, absent, present, lists, env;
	struct kache_strs programs;	/* began */
	struct kache_strs execs;	/* started by path */
	struct kache_strs searched;	/* started by name along PATH */
	bool network;
	bool blind;			/* a program was started that did not report, or a '!' record */
	char *blind_why;
};
/* Reads the log. A path in writes is left out of the other lists if it was written before anything
 * else touched it. 0, KACHE_E_IO, or KACHE_E_CORRUPT. */
int kache_observed_read(const char *log, struct kache_observed *out);
void kache_observed_release(struct kache_observed *o);

#endif
