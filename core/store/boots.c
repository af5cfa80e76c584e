#include "config.h"
#include "store/boots.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* The part of the page that is in use; a process that meets it half-written sees a wrong check. */
struct page {
	char magic[8];
	unsigned char id[KACHE_BOOT_ID];
	int64_t started;
	uint32_t n, spare;
	struct { int64_t from, to; } windows[KACHE_BOOTS_MAX];
	unsigned char check[KACHE_HASH_LEN];
};
_Static_assert(sizeof(struct page) <= KACHE_BOOTS_USED, "what is read holds it");

static const char magic[8] = "kboots1";
/* Clocks are set and drift: that alone is no new start. */
static const int64_t same_start = INT64_C(2000000000);

static void check_of(const struct page *p, struct kache_hash *out)
{
	kache_hash_bytes(p, offsetof(struct page, check), out);
}

static bool sound(const struct page *p)
{
	struct kache_hash h;

	check_of(p, &h);
	return !memcmp(p->magic, magic, sizeof magic) && p->n <= KACHE_BOOTS_MAX && !memcmp(p->check, h.b, sizeof p->check);
}

static void windows_of(const struct page *p, struct kache_boots *out)
{
	out->n = p->n;
	for (uint32_t i = 0; i < p->n; i++) {
		out->windows[i].from = p->windows[i].from;
		out->windows[i].to = p->windows[i].to;
	}
}

static void read_id(unsigned char id[KACHE_BOOT_ID])
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_hash h;

	memset(id, 0, KACHE_BOOT_ID);
	if (kache_file_read("/proc/sys/kernel/random/boot_id", 256, &b) || !b.len)
		return;
	kache_hash_bytes(b.data, b.len, &h);
	memcpy(id, h.b, KACHE_BOOT_ID);
}

static bool same_id(const struct page *p, const struct kache_boot *boot)
{
	static const unsigned char none[KACHE_BOOT_ID];

	return memcmp(boot->id, none, sizeof none) && !memcmp(p->id, boot->id, KACHE_BOOT_ID);
}

static bool same_time(const struct page *p, const struct kache_boot *boot)
{
	return llabs(p->started - boot->started) < same_start;
}

static bool save(struct page *p, int fd, int64_t offset)
{
	struct kache_hash h;

	memcpy(p->magic, magic, sizeof magic);
	check_of(p, &h);
	memcpy(p->check, h.b, sizeof p->check);
	if (pwrite(fd, p, sizeof *p, (off_t)offset) == (ssize_t)sizeof *p)
		return true;
	kache_debug("inputs.map: %s", strerror(errno));
	return false;
}

/* One more window; of too many the two oldest become one. */
static void add_window(struct page *p, int64_t from, int64_t to)
{
	if (from >= to)
		return;
	if (p->n == KACHE_BOOTS_MAX) {
		p->windows[0].to = p->windows[1].to;
		memmove(&p->windows[1], &p->windows[2], (KACHE_BOOTS_MAX - 2) * sizeof p->windows[0]);
		p->n--;
	}
	p->windows[p->n].from = from;
	p->windows[p->n++].to = to;
}

static void note(struct page *p, const struct kache_boot *boot, int64_t used, bool empty)
{
	int64_t from = 0;

	if (!sound(p))
		memset(p, 0, sizeof *p);
	else if (used <= boot->now)	/* a time to come says nothing about when */
		from = used - KACHE_BOOTS_SETTLED;
	if (!empty)
		add_window(p, from, boot->started);
	p->started = boot->started;
	memcpy(p->id, boot->id, KACHE_BOOT_ID);
}

void kache_boots_read(const void *page, int fd, int64_t offset, int64_t used, bool empty, const struct kache_boot *given,
		      struct kache_boots *out)
{
	struct kache_boot boot;
	struct page p, there;
	bool good;

	memcpy(&p, page, sizeof p);
	good = sound(&p);
	if (given) {
		boot = *given;
	} else {
		boot.now = kache_now_coarse();
		boot.started = boot.now - (int64_t)kache_now_boot();
	}
	if (good && same_time(&p, &boot)) {
		windows_of(&p, out);
		return;
	}
	if (!given)
		read_id(boot.id);
	if (good && same_id(&p, &boot)) {
		windows_of(&p, out);
		p.started = boot.started;	/* the clock was set */
		if (fd >= 0)
			save(&p, fd, offset);
		return;
	}
	if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB)) {
		/* Somebody else may have been faster. */
		if (pread(fd, &there, sizeof there, (off_t)offset) == (ssize_t)sizeof there && sound(&there) &&
		    (same_id(&there, &boot) || same_time(&there, &boot))) {
			p = there;
		} else {
			note(&p, &boot, used, empty);
			/* Unless it lasts, the next power cut takes the memory of this one. */
			if (save(&p, fd, offset))
				(void)fdatasync(fd);
		}
		flock(fd, LOCK_UN);
	} else {
		note(&p, &boot, used, empty);
	}
	windows_of(&p, out);
}

int64_t kache_boots_doubt(const struct kache_boots *b, const struct kache_stat *st, bool by_birth)
{
	/* A program may set the modification time to anything; nobody sets the other two. */
	const int64_t born = st->btime, changed = !by_birth ? st->ctime : born ? born : INT64_MAX;

	for (uint32_t i = b->n; i-- > 0;)
		if (born <= b->windows[i].to && changed >= b->windows[i].from)
			return b->windows[i].to;
	return 0;
}
