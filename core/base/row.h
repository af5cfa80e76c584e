/* Files that come many of one directory in a row, as headers and libraries do: the way there is gone once. */
#ifndef KACHE_BASE_ROW_H
#define KACHE_BASE_ROW_H

#include "base/file.h"

struct kache_row {
	char *dir;	/* where the last file was */
	size_t len, files;
	int fd;		/* the directory, once it was worth opening; else -1 */
};
#define KACHE_ROW_INIT { NULL, 0, 0, -1 }

/* As kache_stat with links followed, of an absolute path. */
int kache_row_stat(struct kache_row *r, const char *path, struct kache_stat *st);
void kache_row_end(struct kache_row *r);

#endif
