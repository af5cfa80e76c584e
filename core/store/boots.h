/* What a power cut may have taken. A file system commits names, sizes and times in an order of its own: after the power went, a
 * file that was written in its last minutes may have its name, its size and its time, and zeros for content (linkers set the size
 * first and write through a mapping; ext4's data=ordered does not cover that). To sync every blob would cost more than most
 * compiles. So the start of the machine is noticed, and what was written in the last hour before the store came to rest is read
 * and hashed once before it is trusted again.
 *
 * The page lies at the end of inputs.map, whose modification time tells when the store was last in use. It is looked at once per
 * process, without a system call as long as the machine has not been started anew. */
#ifndef KACHE_STORE_BOOTS_H
#define KACHE_STORE_BOOTS_H

#include "base/file.h"

enum { KACHE_BOOTS_PAGE = 4096, KACHE_BOOTS_USED = 1024, KACHE_BOOTS_MAX = 30, KACHE_BOOT_ID = 16 };
/* How long before the last use something may have stayed in memory, in ns. Linux writes back after 30 s, with laptop_mode
 * after ten minutes (Documentation/admin-guide/sysctl/vm.rst). */
#define KACHE_BOOTS_SETTLED (INT64_C(3600) * 1000000000)

/* Times in ns since the epoch, oldest first. What was written in a window is in doubt unless it has been read since its end. */
struct kache_boots {
	struct { int64_t from, to; } windows[KACHE_BOOTS_MAX];
	uint32_t n;
};

/* This start of the machine. id: /proc/sys/kernel/random/boot_id, all 0 where that can't be read. */
struct kache_boot {
	int64_t now, started;
	unsigned char id[KACHE_BOOT_ID];
};

/* page: a copy of the first KACHE_BOOTS_USED bytes at `offset` of fd, which was last written at `used`. empty: the store has no
 * blobs that could be in doubt. boot: for tests; NULL asks the machine. Notes a new start in the file where fd >= 0; otherwise,
 * and while another process does that, the answer is this process's own. */
void kache_boots_read(const void *page, int fd, int64_t offset, int64_t used, bool empty, const struct kache_boot *boot,
		      struct kache_boots *out);

/* The end of the last window in which the file may have been written, or 0. by_birth: its content came with its birth and its
 * change time tells nothing, as with blobs, which get linked. */
int64_t kache_boots_doubt(const struct kache_boots *b, const struct kache_stat *st, bool by_birth);

#endif
