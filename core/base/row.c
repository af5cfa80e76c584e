#include "config.h"
#include "base/row.h"

#include "base/buf.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* To open a directory and close it takes as long as the way to some four files. */
enum { WORTH = 8 };

/* By words: the ends of paths in one row differ, the beginnings are the same and long. */
static bool same(const char *a, const char *b, size_t len)
{
	uint64_t x, y;

	for (; len >= sizeof x; a += sizeof x, b += sizeof x, len -= sizeof x) {
		memcpy(&x, a, sizeof x);
		memcpy(&y, b, sizeof y);
		if (x != y)
			return false;
	}
	return !memcmp(a, b, len);
}

void kache_row_end(struct kache_row *r)
{
	if (r->fd >= 0)
		close(r->fd);
	free(r->dir);
	*r = (struct kache_row)KACHE_ROW_INIT;
}

int kache_row_stat(struct kache_row *r, const char *path, struct kache_stat *st)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (!len || !slash[1])
		return kache_stat(path, true, st);
	if (len != r->len || !same(path, r->dir, len)) {
		kache_row_end(r);
		r->dir = kache_strndup(path, len);
		r->len = len;
	}
	if (++r->files == WORTH)
		r->fd = kache_open(r->dir, O_PATH | O_DIRECTORY, 0);
	return r->fd < 0 ? kache_stat(path, true, st) : kache_stat_in(r->fd, slash + 1, st);
}
