#include "config.h"
#include "cli/user-file.h"
#include "cli/cmd.h"

#include "base/file.h"
#include "base/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int kache_cli_read(const char *file, size_t max, bool must, struct kache_buf *text)
{
	int rc = kache_file_read_waiting(file, max, text);

	if (rc == KACHE_E_TOOBIG)
		kache_cli_fail("%s: larger than %zu KiB", file, max >> 10);
	else if (rc && !must && kache_errno_missing())
		return KACHE_E_NOENT;
	else if (rc)
		kache_cli_fail("%s: %s", file, strerror(errno));
	return rc;
}

int kache_cli_replace(const char *file, const struct kache_buf *text, mode_t mode)
{
	KACHE_AUTO_FREE char *real = kache_path_real(file);
	const char *target = real ? real : file;
	struct stat st;

	if (!stat(target, &st))
		mode = st.st_mode & 0777;
	if (kache_file_replace(target, text->data, text->len, mode))
		return kache_cli_fail("%s: %s", file, strerror(errno));
	return KACHE_EXIT_OK;
}

char *kache_cargo_home(void)
{
	const char *cargo = getenv("CARGO_HOME"), *home = getenv("HOME");

	if (cargo && *cargo)
		return kache_strdup(cargo);
	return home && *home == '/' ? kache_path_join(home, ".cargo") : NULL;
}

char *kache_cargo_config(const char *dir)
{
	char *plain = kache_path_join(dir, "config");

	if (!access(plain, F_OK))
		return plain;
	free(plain);
	return kache_path_join(dir, "config.toml");
}
