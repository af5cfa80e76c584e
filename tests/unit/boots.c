/* Starts of the machine: which files are in doubt, and that the memory of it lasts. */
#include "config.h"
#include "store/boots.h"

#include "store/map.h"
#include "tap.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define S INT64_C(1000000000)

static int fd;

static void look(int64_t now, int64_t started, int id, int64_t used, bool empty, bool writable, struct kache_boots *out)
{
	struct kache_boot boot = { .now = now * S, .started = started * S };
	char page[KACHE_BOOTS_PAGE] = "";

	boot.id[0] = (unsigned char)id;
	(void)!pread(fd, page, sizeof page, 64);
	kache_boots_read(page, writable ? fd : -1, 64, used * S, empty, &boot, out);
}

static int64_t doubt(const struct kache_boots *b, int64_t born, int64_t changed, bool by_birth)
{
	const struct kache_stat st = { .btime = born * S, .ctime = changed * S };

	return kache_boots_doubt(b, &st, by_birth) / S;
}

static void starts(void)
{
	struct kache_boots b;

	look(100000, 90000, 1, 0, true, true, &b);
	is_int(b.n, 0, "a store without blobs has nothing in doubt");
	look(100500, 90000, 1, 100400, false, true, &b);
	is_int(b.n, 0, "nor has it later");
	look(100500, 95000, 1, 100400, false, true, &b);
	is_int(b.n, 0, "a clock that was set is no new start");
	look(200500, 200000, 2, 110000, false, false, &b);
	is_int(b.n, 1, "a new start, noticed where nothing can be written");
	look(200500, 200000, 2, 110000, false, true, &b);
	is_int(b.n, 1, "and where it can");
	ok(b.windows[0].from == (110000 - 3600) * S && b.windows[0].to == 200000 * S, "an hour before the last use up to the start");
	look(200600, 200000, 2, 200550, false, true, &b);
	is_int(b.n, 1, "it is remembered");
	ok(b.windows[0].from == (110000 - 3600) * S, "as it was");

	is_int(doubt(&b, 106000, 106000, true), 0, "an old blob");
	is_int(doubt(&b, 107000, 107000, true), 200000, "one of the last hour");
	is_int(doubt(&b, 107000, 300000, true), 200000, "also if it was linked later");
	is_int(doubt(&b, 106000, 107000, true), 0, "an old one that was linked then");
	is_int(doubt(&b, 106000, 107000, false), 200000, "an old file that was changed then");
	is_int(doubt(&b, 106000, 106500, false), 110000 - 3600 > 106500 ? 0 : 200000, "around the edge");
	is_int(doubt(&b, 100000, 300000, false), 200000, "a file that may have been written then");
	is_int(doubt(&b, 200001, 200001, true), 0, "a blob of after the start");
	is_int(doubt(&b, 0, 300000, true), 200000, "a blob of an unknown age");

	for (int i = 3; i < 50; i++)
		look(i * 100000 + 500, i * 100000, i, (i - 1) * 100000 + 600, false, true, &b);
	is_int(b.n, KACHE_BOOTS_MAX, "no more windows than there is room for");
	ok(b.windows[0].from == (110000 - 3600) * S && b.windows[0].to > 1000000 * S, "the oldest were joined");
	is_int(b.windows[KACHE_BOOTS_MAX - 1].to / S, 4900000, "the newest is there");
	is_int(doubt(&b, 4700600, 4700600, true), 4800000, "the last hour before the last start but one");
	is_int(doubt(&b, 4703000, 4703000, true), 4800000, "what came after that, too");

	look(6000500, 6000000, 60, 7000000, false, true, &b);
	is_int(b.windows[b.n - 1].from, 0, "a last use in the future says nothing");
	if (ftruncate(fd, 0) || ftruncate(fd, 8192))
		exit(99);
	look(6000500, 6000000, 60, 6000400, false, true, &b);
	ok(b.n == 1 && !b.windows[0].from, "a page that is lost: everything is in doubt");
	look(6000500, 6000000, 60, 6000400, false, true, &b);
	is_int(b.n, 1, "once");
	if (pwrite(fd, "x", 1, 64 + 40) != 1)
		exit(99);
	look(6000500, 6000000, 60, 6000400, false, true, &b);
	ok(b.n == 1 && !b.windows[0].from, "a damaged page as well");
}

static void meanwhile(const char *path)
{
	int other = open(path, O_RDWR);
	struct kache_boots b;

	if (other < 0 || flock(other, LOCK_EX))
		exit(99);
	look(7000500, 7000000, 70, 6500000, false, true, &b);
	is_int(b.n, 2, "another process is noting it: nobody waits");
	flock(other, LOCK_UN);
	look(7000500, 7000000, 70, 6500000, false, true, &b);
	look(7000500, 7000000, 70, 7000400, false, true, &b);
	is_int(b.n, 2, "once only");
	close(other);
}

int main(void)
{
	char *dir = tap_dir(), path[4096];

	snprintf(path, sizeof path, "%s/map", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 8192))
		return 99;
	starts();
	meanwhile(path);
	close(fd);
	unlink(path);
	rmdir(dir);
	free(dir);
	return done();
}
