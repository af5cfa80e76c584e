/* Which environment variables can be left out of keys. */
#include "config.h"
#include "wrapper/inputs.h"

#include <string.h>

/* Read by rustc, cc or their libraries themselves and measured to change no output, or the job server,
 * the terminal, the locale. Those that do change outputs are in the invocation key (invocation.c). */
static const char *const noise[] = {
	"CARGO_MAKEFLAGS", "NUM_JOBS", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PATH", "PWD", "OLDPWD", "SHLVL", "_", "TMPDIR", "TMP", "TEMP",
	"RUST_BACKTRACE", "RUST_LIB_BACKTRACE", "RUST_MIN_STACK", "RUSTC_CTFE_BACKTRACE", "RUSTC_ICE", "RUSTC_LOG",
	"RUSTC_LOG_COLOR", "RUSTC_LOG_FORMAT_JSON", "RUSTC_LOG_BACKTRACE", "RUSTC_LOG_ENTRY_EXIT", "RUSTC_LOG_LINES",
	"RUSTC_LOG_OUTPUT_TARGET", "RUSTC_LOG_THREAD_IDS", "RUSTC_LOG_WRAPTREE", "RUSTC_GRAPHVIZ_FONT",
	"RUSTC_BLESS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_TRANSLATION_NO_DEBUG_ASSERT",
	"MALLOC_CONF", "MALLOC_ARENA_MAX", "LD_LIBRARY_PATH", "LD_PRELOAD", "LD_TRACE_LOADED_OBJECTS", "LD_BIND_NOW",
	"COLORTERM", "TERM", "TERMINFO", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "COLUMNS", "LINES",
	"LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_COLLATE", "LC_NUMERIC", "LC_TIME", "NLSPATH",
	"CI", "RUSTUP_TOOLCHAIN", "RUSTUP_HOME", "RUST_RECURSION_COUNT", "RUSTUP_TOOLCHAIN_SOURCE", "OUTPUT_CHARSET",
	"LLVM_IGNORED_ENV_VAR", "LLVM_PROFILE_FILE", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "SSH_AUTH_SOCK",
	"SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "WINDOWID", "DISPLAY", "WAYLAND_DISPLAY", "GCC_COLORS", "GCC_URLS",
	"TERM_URLS", "GCC_EXTRA_DIAGNOSTIC_OUTPUT", "COLLECT_GCC", "COLLECT_GCC_OPTIONS", "COLLECT_LTO_WRAPPER",
	"COLLECT_NO_DEMANGLE", "GOMP_SPINCOUNT", "POSIXLY_CORRECT", "GLIBC_TUNABLES", "LOCPATH", "GCONV_PATH",
	"TZ", "TZDIR", "CARGO_TERM_COLOR", "CARGO_TERM_PROGRESS_WHEN", "LD_DEBUG", "TEXTDOMAIN", "TEXTDOMAINDIR",
};

bool kache_env_noise(const char *name)
{
	if (!strncmp(name, "KACHE_", 6))
		return true;
	for (size_t i = 0; i < sizeof noise / sizeof *noise; i++)
		if (!strcmp(name, noise[i]))
			return true;
	return false;
}
