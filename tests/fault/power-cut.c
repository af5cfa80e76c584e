/* What a power cut may leave of a store: power-cut STORE SEED|keep|zero|cut|empty|lost|blobs
 *
 * Nothing here was synced. So each file may be as it was, or have zeros from some page on under its size and its times, or be
 * shorter, or empty, or not be there. Last, inputs.map says that the machine has been started anew since. Prints what it did. */
#include "config.h"

#include "store/boots.h"
#include "store/map.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { KEEP, ZERO, CUT, EMPTY, LOST };

static uint64_t state;
static int fixed = -1;
static bool blobs_only;
static unsigned counts[5];

static uint64_t draw(uint64_t n)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (state >> 33) % n;
}

static void zero(const char *path, const struct stat *st, off_t from)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	int fd = open(path, O_WRONLY);
	char page[4096] = "";

	if (fd < 0)
		exit(99);
	for (off_t at = from; at < st->st_size; at += 4096) {
		size_t n = st->st_size - at < 4096 ? (size_t)(st->st_size - at) : 4096;

		if (pwrite(fd, page, n, at) != (ssize_t)n)
			exit(99);
	}
	if (futimens(fd, times))
		exit(99);
	close(fd);
}

static int each(const char *path, const struct stat *st, int type, struct FTW *at)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	const char *name = path + at->base;
	int what = fixed >= 0 ? fixed : (int)draw(5);
	off_t pages = (st->st_size + 4095) / 4096, from;

	/* The last three have been there for long. */
	if (type != FTW_F || !strcmp(name, "format") || !strcmp(name, "CACHEDIR.TAG") || !strcmp(name, "inputs.map"))
		return 0;
	if (blobs_only && !strstr(path, "/blobs/"))
		what = KEEP;
	from = fixed >= 0 || !pages ? 0 : (off_t)draw((uint64_t)pages) * 4096;
	counts[what]++;
	if (what == ZERO)
		zero(path, st, from);
	if ((what == CUT && truncate(path, fixed >= 0 ? st->st_size / 2 : from)) || (what == EMPTY && truncate(path, 0)))
		exit(99);
	if (what == CUT || what == EMPTY)
		utimensat(AT_FDCWD, path, times, 0);
	if (what == LOST)
		unlink(path);
	return 0;
}

/* As the first process after the start would find it: everything so far was written before. */
static void started_anew(const char *store)
{
	struct kache_boot boot = { .id = "another" };
	static const char nothing[KACHE_BOOTS_PAGE];
	struct kache_boots b;
	struct timespec now;
	char path[4096];
	int fd;

	snprintf(path, sizeof path, "%s/inputs.map", store);
	fd = open(path, O_RDWR);
	if (fd < 0)
		return;		/* lost with the rest */
	clock_gettime(CLOCK_REALTIME, &now);
	boot.now = boot.started = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	kache_boots_read(nothing, fd, KACHE_MAP_BYTES - KACHE_BOOTS_PAGE, 0, false, &boot, &b);
	if (b.n != 1 || b.windows[0].from || b.windows[0].to != boot.started)
		exit(99);
	close(fd);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "keep", "zero", "cut", "empty", "lost" };

	if (argc != 3)
		return 2;
	for (int i = 0; i < 5; i++)
		if (!strcmp(argv[2], names[i]))
			fixed = i;
	if (!strcmp(argv[2], "blobs")) {
		blobs_only = true;
		fixed = ZERO;
	}
	state = strtoull(argv[2], NULL, 10) + 1;
	if (nftw(argv[1], each, 16, FTW_PHYS))
		return 99;
	started_anew(argv[1]);
	for (int i = 0; i < 5; i++)
		printf("%s%s %u", i ? ", " : "", names[i], counts[i]);
	putchar('\n');
	return 0;
}
