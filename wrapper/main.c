/* kache: how was it called? As a wrapper of a compiler it does the work here; as a command it runs
 * kache-cli, as git does with its commands. */
#include "config.h"
#include "wrapper/cc.h"
#include "wrapper/rustc.h"
#include "wrapper/report.h"
#include "wrapper/run.h"
#include "wrapper/script.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/path.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static char **real_compiler;

pid_t kache_cargo(void)
{
	return getppid();
}

static void out_of_memory(void)
{
	if (real_compiler)
		execvp(real_compiler[0], real_compiler);
}

static int run_command(char **argv)
{
	KACHE_AUTO_FREE char *cli = kache_program("kache-cli");

	if (cli)
		execv(cli, argv);
	kache_error_log("%s: %s", cli ? cli : KACHE_LIBEXECDIR "/kache-cli", strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	kache_report_begin();
	/* A link with a compiler's name, found along PATH. */
	if (strcmp(kache_path_base(argv[0]), "kache") && kache_is_cc(argv[0]))
		kache_cc(argv, true);
	/* Both wrapper variables may name kache: it is one wrapper all the same. */
	while (argc > 2 && !strcmp(kache_path_base(argv[1]), "kache")) {
		argv++;
		argc--;
	}
	if (argc < 2)
		return run_command(argv);
	if (kache_is_rustc(argv[1])) {
		real_compiler = argv + 1;
		kache_oom_handler = out_of_memory;
		kache_serve(&kache_language_rust, argv + 1);
	}
	if (kache_is_cc(argv[1])) {
		real_compiler = argv + 1;
		kache_oom_handler = out_of_memory;
		kache_cc(argv + 1, false);
	}
	if (kache_is_script(argv[1])) {
		real_compiler = argv + 1;
		kache_oom_handler = out_of_memory;
		kache_serve(&kache_language_script, argv + 1);
	}
	if (!strcmp(argv[1], "explain"))
		return kache_explain(argc - 1, argv + 1);
	/* A driver that we do not know (miri, a wrapper's wrapper): a path, where a command is a word. */
	if (strchr(argv[1], '/'))
		kache_uncached(argv + 1, "unknown-driver");
	return run_command(argv);
}
