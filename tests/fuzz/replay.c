/* Runs a fuzz target without a fuzzer: on each file of the folders named, on every beginning of it, and
 * with bytes of it changed. A seed has to be well-formed, unless its name begins with "bad-". TAP on
 * standard output; after a crash the last line names the file. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"
#include "base/strs.h"
#include "tap.h"

#include <dirent.h>

enum { MUTATED_MAX = 2048 };	/* larger seeds are run as they are */

/* Exactly as many bytes as the input, for valgrind and sanitizers to see a read beyond. */
static void run(const char *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	memcpy(copy, len ? data : "", len);
	(void)LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static void mutate(struct kache_buf *b)
{
	static const char bytes[] = "\0\n\r\"'[]{}=.#\\\x7f\x80\xff" "0Z";

	for (size_t len = 0; len < b->len; len++)
		run(b->data, len);
	for (size_t i = 0; i < b->len; i++) {
		char was = b->data[i];

		for (size_t k = i % 3; k < sizeof bytes - 1; k += 3) {
			b->data[i] = bytes[k];
			run(b->data, b->len);
		}
		b->data[i] = was;
	}
}

static void folder(const char *path)
{
	KACHE_AUTO_STRS struct kache_strs names = { 0 };
	DIR *dir = opendir(path);
	struct dirent *e;

	if (!dir) {
		perror(path);
		exit(99);
	}
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			kache_strs_take(&names, kache_path_join(path, e->d_name));
	closedir(dir);
	kache_strs_sort(&names);
	ok(names.n > 0, "%s has seeds", kache_path_base(path));
	for (size_t i = 0; i < names.n; i++) {
		KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
		bool good;

		printf("# %s\n", names.v[i]);
		fflush(stdout);
		if (kache_file_read(names.v[i], 1 << 24, &b)) {
			perror(names.v[i]);
			exit(99);
		}
		run(b.data, b.len);
		good = fuzz_accepted != kache_starts(kache_path_base(names.v[i]), "bad-");
		if (b.len <= MUTATED_MAX)
			mutate(&b);
		ok(good, "%s/%s", kache_path_base(path), kache_path_base(names.v[i]));
	}
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		folder(argv[i]);
	return done();
}
