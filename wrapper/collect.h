/* From what a run touched to the input set of a manifest. */
#ifndef KACHE_WRAPPER_COLLECT_H
#define KACHE_WRAPPER_COLLECT_H

#include "wrapper/call.h"
#include "wrapper/run.h"

struct kache_collector {
	struct kache_call *c;
	const struct kache_run *run;
	struct kache_manifest *m;
	struct kache_input_set set;
	size_t cap;
	const char *reason;
	char *detail;
	uint64_t looked_at;	/* bytes, see kache_collect_content() */
	bool by_content;	/* a program may have run that knows by times whether a file changed, as make and git do */
	const struct kache_strs *dep_dirs;	/* of Rust: see kache_rust_in_dep_dir() */
	char *there, *missing;	/* kache_collect_absent(): a directory that was there, and one that was put as missing */
};

/* The inputs can't all be told: notes the first reason (a fixed name). Always KACHE_E_INVALID. */
int kache_collect_refuse(struct kache_collector *k, const char *reason, const char *detail);
/* One input, unless it is there already. name: as manifests have it, with tokens. */
void kache_collect_put(struct kache_collector *k, uint32_t kind, const char *name, const struct kache_hash *hash);
/* The same with what it is right now. */
int kache_collect_now(struct kache_collector *k, uint32_t kind, const char *name);
/* A file that was read; a directory counts by its names. A file that changed since the compiler started
 * tells nothing certain. artifact: its times may have been set by cargo meanwhile. */
int kache_collect_file(struct kache_collector *k, const char *path, bool artifact);

/* What the directories are called that stand as tokens, for a result that may be good for these only: all of them, or those that
 * path is below. */
int kache_collect_places(struct kache_collector *k, const char *path);
/* kind: KACHE_INPUT_STATUS or KACHE_INPUT_BIRTH, of all files among the inputs so far, but for those of which the caller says
 * otherwise. Directories have a new time for every file that comes or goes in them, be it one of the compiler's own. */
int kache_collect_status(struct kache_collector *k, uint32_t kind,
			 bool (*no_status)(const struct kache_collector *k, const char *path));

/* Kernel files, and those that change on their own without meaning. */
bool kache_collect_noise(const char *path);
/* The same, more narrowly: kernel files that change nothing in what is made; and any kernel file. */
bool kache_collect_kernel_noise(const char *path);
bool kache_collect_kernel_file(const char *path);
/* The way to a file that was read: refused where a link or directory on it changed meanwhile. known: directories that were
 * looked at, gets more. */
int kache_collect_way(struct kache_collector *k, const char *path, struct kache_strs *known);
/* Directories that count by where they are: those that are searched, or that a name climbs out of ("a/b/.."). Nothing for what is
 * none, or gone, or of which the caller says that it is no input. arg: the caller's own. */
int kache_collect_reals(struct kache_collector *k, const struct kache_strs *paths,
			bool (*no_input)(const void *arg, const char *path), const void *arg);
/* A place where nothing was, or the topmost directory that was missing on the way there. */
int kache_collect_absent(struct kache_collector *k, const char *path);
/* A file that was looked at, where such things count by content (by_content), though nobody read it. Nothing elsewhere, and for
 * what is no file. Refused beyond a gigabyte of all: git looks at a whole repository. */
int kache_collect_content(struct kache_collector *k, const char *path, uint32_t kind);
/* What was looked at (PRESENT), listed (LIST), or asked for its target (LINK). name: as manifests have it. */
int kache_collect_seen(struct kache_collector *k, const char *path, uint32_t kind, const char *name);
/* A compiler, linker or tool of theirs, by its name: these ask the C library for each variable that they go by. */
bool kache_collect_tool(const char *program);
/* Whether a program was started from that path and is none: a script, whose interpreter has another name. but: those that are not
 * meant, by names without links; may be NULL. */
bool kache_collect_script(const struct kache_collector *k, const char *path, const struct kache_strs *but);
/* All variables, for the sake of a program that may go by any without asking for it: a shell that runs a script above all. What
 * was told of this machine is refused, where results are good for others. Sets by_content.
 * tokens: directories in values count by what they are called in keys. */
int kache_collect_environment(struct kache_collector *k, bool tokens);
/* Whether the observer saw all of the run, and that all of it was on this machine. */
int kache_collect_observed(struct kache_collector *k);
/* Temporary files of compilers, with names that never come back. */
bool kache_collect_temp(const char *path);
bool kache_collect_in_store(const struct kache_collector *k, const char *path);
/* One of these, or written by the run itself. */
bool kache_collect_no_input(const struct kache_collector *k, const char *path);

#endif
