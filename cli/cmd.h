/* Commands: one static table entry and one function each, in cmd-<name>.c. */
#ifndef KACHE_CLI_CMD_H
#define KACHE_CLI_CMD_H

#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"
#include "store/store.h"

#include <stdbool.h>
#include <sys/types.h>

enum { KACHE_EXIT_OK = 0, KACHE_EXIT_FAILED = 1, KACHE_EXIT_USAGE = 2 };

struct kache_command {
	const char *name;
	const char *summary;		/* one line of `kache help` */
	const char *usage;		/* the whole of `kache help NAME` and `kache NAME --help` */
	/* argv[0] is the command's name. Returns the exit status. */
	int (*run)(int argc, char **argv);
};

/* The table, in the order of `kache help`; NULL-terminated. */
extern const struct kache_command *const kache_commands[];

/* Shared by commands. Each prints its own one-line error and returns an exit status, or 0. */
int kache_cli_conf(struct kache_conf **out);
int kache_cli_store(const struct kache_conf *c, bool create, struct kache_store **out);
/* "kache NAME: text" and a hint at --help; returns KACHE_EXIT_USAGE. */
int kache_cli_usage(const struct kache_command *cmd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* "kache: text"; returns KACHE_EXIT_FAILED. */
int kache_cli_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Writes b to standard output; KACHE_EXIT_FAILED with a message if that fails. */
int kache_cli_print(const struct kache_buf *b);

#endif
