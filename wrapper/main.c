/* kache: how was it called? As a wrapper of a compiler it does the work here; as a command it runs
 * kache-cli, as git does with its commands. */
#include "config.h"
#include "wrapper/rustc.h"
#include "wrapper/run.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/path.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static char **real_compiler;

static void out_of_memory(void)
{
	if (real_compiler)
		execvp(real_compiler[0], real_compiler);
}

static int run_command(char **argv)
{
	static const char *const candidates[] = {
		"../libexec/kache/kache-cli", "kache-cli", KACHE_LIBEXECDIR "/kache-cli", NULL
	};
	KACHE_AUTO_FREE char *cli = kache_companion(candidates);

	if (cli)
		execv(cli, argv);
	kache_error_log("%s: %s", cli ? cli : KACHE_LIBEXECDIR "/kache-cli", strerror(errno));
	return 1;
}

/* "cc", "x86_64-linux-gnu-gcc-12", "/usr/bin/clang++": what the cc crate puts behind RUSTC_WRAPPER. */
static bool is_c_compiler(const char *program)
{
	static const char *const names[] = { "cc", "c++", "gcc", "g++", "clang", "clang++", "nvcc" };
	const char *base = kache_path_base(program), *dash;
	size_t len = strlen(base);

	while (len && (base[len - 1] == '.' || (base[len - 1] >= '0' && base[len - 1] <= '9')))
		len--;
	len = len && len < strlen(base) && base[len - 1] == '-' ? len - 1 : len;
	for (dash = base + len; dash > base && dash[-1] != '-'; dash--)
		;
	len -= (size_t)(dash - base);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strlen(names[i]) == len && !strncmp(names[i], dash, len))
			return true;
	return false;
}

int main(int argc, char **argv)
{
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
	if (is_c_compiler(argv[1]))
		kache_uncached(argv + 1, "c-compiler");
	if (!strcmp(argv[1], "explain"))
		return kache_explain(argc - 1, argv + 1);
	/* A driver that we do not know (miri, a wrapper's wrapper): a path, where a command is a word. */
	if (strchr(argv[1], '/'))
		kache_uncached(argv + 1, "unknown-driver");
	return run_command(argv);
}
