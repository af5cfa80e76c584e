/* kache-script: stands where cargo looks for a build script, see wrapper/script.h. Hands the script that lies beside it, named
 * <crate>.real, to kache, as long as that is cargo's wrapper; else runs it, as if kache had never been there. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int main(int argc, char **argv)
{
	static const char suffix[] = ".real";
	const char *wrapper = getenv("RUSTC_WRAPPER");
	char path[4096];
	size_t len = strlen(argv[0]), dir = (size_t)(base_of(argv[0]) - argv[0]);

	(void)argc;
	if (len + sizeof suffix > sizeof path) {
		fprintf(stderr, "kache-script: %s: %s\n", argv[0], strerror(ENAMETOOLONG));
		return 127;
	}
	memcpy(path, argv[0], len);
	memcpy(path + len, suffix, sizeof suffix);
	/* Cargo calls its link "build-script-build", and the crate is "build_script_build". */
	for (char *p = path + dir; *p; p++)
		if (*p == '-')
			*p = '_';
	if (wrapper && !strcmp(base_of(wrapper), "kache") && !argv[1]) {
		char *call[] = { (char *)(size_t)wrapper, path, NULL };

		execvp(wrapper, call);
	}
	execv(path, argv);
	fprintf(stderr, "kache-script: %s: %s\n", path, strerror(errno));
	return 127;
}
