/* What a compiler run touched, as recorded by the preload library (kache-observe.so).
 *
 * Log format: a file named by KACHE_OBSERVE_LOG (absolute), made empty by the caller and opened
 * O_APPEND by each process. Records are "<type><absolute path or name>\0", each written by one
 * write(2) (several may share one), where type is
 *	B program   a process began (path of its executable)
 *	R path      regular file opened for reading, or loaded as a shared library
 *	O path      opened for reading, and neither a file nor a directory: a pipe, a device
 *	S path      symbolic link whose target was asked for (readlink, realpath)
 *	W path      created, opened for writing, renamed, linked to, removed
 *	D path      directory made
 *	A path      looked for and not there (ENOENT, ENOTDIR)
 *	P path      stat or access succeeded, or found something that is not what was asked for
 *	U path      something is there, and may not be read
 *	L path      directory listed or opened
 *	E name      variable read
 *	X program   execve, posix_spawn of that path
 *	F program   that one failed: takes back one X
 *	x name      execvp, posix_spawnp of that name: searched along PATH. What the search finds is
 *	            recorded as X, what it misses on the way as A
 *	f name      that one failed: takes back one x
 *	C what      the calendar was asked for: what day it is, or was when a file was written (localtime)
 *	T program   that program asked what time it is (not how long something took)
 *	K object    code of that shared object looked at a file or opened one
 *	G name=object   code of that shared object asked for a variable
 *	M object    code of that shared object asked which machine this is, or who the user is
 *	H object    code of that program or shared object asked where it is: the working directory, or a name without links
 *	V what      any variable may have counted
 *	N what      network socket used (AF_INET, AF_INET6), or a Unix socket that is there, also in vain
 *	! what      something that the library knows it can't follow
 * Relative paths are made absolute against the process's own cwd. All but X, F, x, f are written once
 * per process. A process that fails to write a record removes the log: half a log must not be used. */
#ifndef KACHE_OBSERVE_OBSERVE_H
#define KACHE_OBSERVE_OBSERVE_H

#include "base/strs.h"

#include <stdbool.h>

#define KACHE_OBSERVE_ENV "KACHE_OBSERVE_LOG"

struct kache_observed {
	/* Each sorted and unique. Paths have no ".", ".." or empty component; ".." is resolved by
	 * text where that names the same file, else through the file system. */
	struct kache_strs reads, writes, absent, present, lists, env;
	struct kache_strs links;	/* symbolic links asked for their target: count by target */
	struct kache_strs others;	/* opened for reading, and neither file nor directory */
	struct kache_strs denied;	/* there, and could not be read */
	struct kache_strs programs;	/* began */
	struct kache_strs execs;	/* started by path */
	struct kache_strs searched;	/* started by name along PATH */
	struct kache_strs climbs;	/* paths as they were given, each up to its last "..": "/a/b/../.." */
	struct kache_strs clocks;	/* programs that asked what time it is */
	struct kache_strs lookers;	/* shared objects that looked at files or opened any */
	struct kache_strs asked;	/* "name=object": variables that code of shared objects asked for */
	struct kache_strs machines;	/* shared objects that asked for the machine's name or kernel, or the user's */
	struct kache_strs placed;	/* programs and shared objects that asked where they are */
	bool network;
	bool environment;		/* any variable may have counted */
	bool calendar;			/* a time became a date: __DATE__ and its like are in what came out */
	bool blind;			/* a program was started that did not report, or a '!' record */
	char *blind_why;		/* the first reason; NULL unless blind */
};
/* Reads the log, soon after the run: paths are looked at to tell programs apart. What a run did to
 * its own work is left out: a look at a path (R, O, S, P, L, U) after its first W or D, likewise A, and
 * everything below a directory that the run made. `absent` keeps a path that was missed before it was
 * written. An empty log is blind.
 * 0; KACHE_E_IO (errno; ENOENT also when a process could not write its records); KACHE_E_TOOBIG;
 * KACHE_E_CORRUPT. After a failure *out is empty. */
int kache_observed_read(const char *log, struct kache_observed *out);
void kache_observed_release(struct kache_observed *o);

#endif
