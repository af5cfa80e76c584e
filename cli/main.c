/* kache-cli: finds the command and runs it. */
#include "config.h"
#include "cli/cmd.h"

#include "base/log.h"
#include "base/path.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMAND(name) extern const struct kache_command kache_cmd_##name;
#include "cli/commands.def"
#undef COMMAND

const struct kache_command *const kache_commands[] = {
#define COMMAND(name) &kache_cmd_##name,
#include "cli/commands.def"
#undef COMMAND
	NULL
};

int kache_cli_fail(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("kache: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return KACHE_EXIT_FAILED;
}

int kache_cli_usage(const struct kache_command *cmd, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "kache %s: ", cmd->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (see kache %s --help)\n", cmd->name);
	return KACHE_EXIT_USAGE;
}

int kache_cli_print(const struct kache_buf *b)
{
	if (fwrite(b->data ? b->data : "", 1, b->len, stdout) != b->len || fflush(stdout))
		return errno == EPIPE ? KACHE_EXIT_FAILED : kache_cli_fail("standard output: %s", strerror(errno));
	return KACHE_EXIT_OK;
}

int kache_cli_conf(struct kache_conf **out)
{
	KACHE_AUTO_FREE char *cwd = getcwd(NULL, 0);
	struct kache_error err;

	if (kache_conf_load(cwd ? cwd : "/", out, &err))
		return kache_cli_fail("%s", err.text);
	kache_log_level = (enum kache_log_level)kache_log_parse(kache_conf_str(*out, KACHE_CONF_LOG));
	return KACHE_EXIT_OK;
}

int kache_cli_store(const struct kache_conf *c, bool create, struct kache_store **out)
{
	struct kache_error err;

	if (kache_store_open(kache_conf_str(c, KACHE_CONF_CACHE_DIR), create, out, &err))
		return kache_cli_fail("%s", err.text);
	return KACHE_EXIT_OK;
}

static const struct kache_command *find(const char *name)
{
	for (const struct kache_command *const *c = kache_commands; *c; c++)
		if (!strcmp((*c)->name, name))
			return *c;
	return NULL;
}

static int unknown(const char *name)
{
	const char *best = NULL;
	size_t distance = 3;

	for (const struct kache_command *const *c = kache_commands; *c; c++) {
		size_t d = kache_edit_distance(name, (*c)->name);

		if (d < distance) {
			distance = d;
			best = (*c)->name;
		}
	}
	if (best)
		fprintf(stderr, "kache: no command '%s'; did you mean '%s'?\n", name, best);
	else
		fprintf(stderr, "kache: no command '%s' (see kache help)\n", name);
	return KACHE_EXIT_USAGE;
}

static int help(int argc, char **argv)
{
	const struct kache_command *cmd;

	if (argc > 2) {
		cmd = find(argv[2]);
		if (!cmd)
			return unknown(argv[2]);
		fputs(cmd->usage, stdout);
		return KACHE_EXIT_OK;
	}
	puts("kache " PACKAGE_VERSION ": a content-addressed build cache\n\n"
	     "  RUSTC_WRAPPER=kache cargo build      build through the cache\n"
	     "  kache <command> [--help]\n");
	for (const struct kache_command *const *c = kache_commands; *c; c++)
		printf("  %-10s %s\n", (*c)->name, (*c)->summary);
	puts("\nkache(1) has the details, kache.conf(5) the settings.");
	return KACHE_EXIT_OK;
}

int main(int argc, char **argv)
{
	const struct kache_command *cmd;

	if (argc < 2 || !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return help(argc, argv);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V") || !strcmp(argv[1], "version")) {
		puts("kache " PACKAGE_VERSION);
		return KACHE_EXIT_OK;
	}
	cmd = find(argv[1]);
	if (!cmd)
		return unknown(argv[1]);
	for (int i = 2; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			fputs(cmd->usage, stdout);
			return KACHE_EXIT_OK;
		}
	}
	return cmd->run(argc - 1, argv + 1);
}
