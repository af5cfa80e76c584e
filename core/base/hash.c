#include "config.h"
#include "base/hash.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"

#include <blake3.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(blake3_hasher) <= sizeof(struct kache_hasher), "kache_hasher too small");
_Static_assert(BLAKE3_OUT_LEN == KACHE_HASH_LEN, "hash length");

static blake3_hasher *inner(struct kache_hasher *h)
{
	return (blake3_hasher *)(void *)h->opaque;
}

void kache_hasher_init(struct kache_hasher *h)
{
	blake3_hasher_init(inner(h));
}

#ifdef KACHE_BLAKE3_CHOICE
/* blake3_dispatch.c, whose authors open it to tests by BLAKE3_TESTING. To ask the processor what it can do is three CPUID, each of
 * which leads a virtual machine out to its host: 5 us and more, 40 us of a hit in all. What every x86-64 can does for little. */
extern int g_cpu_features;
enum { UNDEFINED = 1 << 30, SSE2 = 1 << 0, MUCH = 64 << 10 };

static void choose(size_t len)
{
	if (len < MUCH && g_cpu_features == UNDEFINED)
		g_cpu_features = SSE2;
	else if (len >= MUCH && g_cpu_features == SSE2)
		g_cpu_features = UNDEFINED;
}
#else
static void choose(size_t len)
{
	(void)len;
}
#endif

void kache_hasher_add(struct kache_hasher *h, const void *data, size_t len)
{
	choose(len);
	blake3_hasher_update(inner(h), data, len);
}

static void add_length(struct kache_hasher *h, uint64_t len)
{
	unsigned char le[8];

	for (int i = 0; i < 8; i++)
		le[i] = (unsigned char)(len >> (8 * i));
	kache_hasher_add(h, le, sizeof le);
}

void kache_hasher_field(struct kache_hasher *h, const char *label, const void *value, size_t len)
{
	size_t n = strlen(label);

	add_length(h, n);
	kache_hasher_add(h, label, n);
	add_length(h, len);
	kache_hasher_add(h, value, len);
}

void kache_hasher_str(struct kache_hasher *h, const char *label, const char *value)
{
	kache_hasher_field(h, label, value, strlen(value));
}

void kache_hasher_end(const struct kache_hasher *h, struct kache_hash *out)
{
	blake3_hasher_finalize((const blake3_hasher *)(const void *)h->opaque, out->b, KACHE_HASH_LEN);
}

void kache_hash_bytes(const void *data, size_t len, struct kache_hash *out)
{
	struct kache_hasher h;

	kache_hasher_init(&h);
	kache_hasher_add(&h, data, len);
	kache_hasher_end(&h, out);
}

int kache_hash_fd(int fd, struct kache_hash *out, uint64_t *size)
{
	enum { SMALL = 16 * 1024, CHUNK = 256 * 1024 };
	unsigned char small[SMALL];
	KACHE_AUTO_FREE unsigned char *big = NULL;
	unsigned char *at = small;
	size_t room = sizeof small;
	struct kache_hasher h;
	uint64_t total = 0;

	kache_hasher_init(&h);
	for (;;) {
		ssize_t n = read(fd, at, room);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return KACHE_E_IO;
		if (!n)
			break;
		kache_hasher_add(&h, at, (size_t)n);
		total += (uint64_t)n;
		/* Most inputs are small sources; only a big file is worth a big buffer. */
		if (!big && (size_t)n == room) {
			big = kache_alloc(CHUNK);
			at = big;
			room = CHUNK;
		}
	}
	kache_hasher_end(&h, out);
	if (size)
		*size = total;
	return KACHE_OK;
}

int kache_hash_file(const char *path, struct kache_hash *out, uint64_t *size)
{
	int fd = kache_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0), rc, saved;
	struct stat st;

	if (fd < 0)
		return KACHE_E_IO;
	if (fstat(fd, &st))
		rc = KACHE_E_IO;
	else if (!S_ISREG(st.st_mode))
		rc = KACHE_E_INVALID;
	else
		rc = kache_hash_fd(fd, out, size);
	saved = errno;
	close(fd);
	errno = saved;
	return rc;
}

bool kache_hash_eq(const struct kache_hash *a, const struct kache_hash *b)
{
	return !memcmp(a->b, b->b, KACHE_HASH_LEN);
}

char *kache_hash_hex(const struct kache_hash *h, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < KACHE_HASH_LEN; i++) {
		out[2 * i] = digits[h->b[i] >> 4];
		out[2 * i + 1] = digits[h->b[i] & 15];
	}
	out[KACHE_HEX_LEN] = '\0';
	return out;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool kache_hash_parse(const char *hex, size_t len, struct kache_hash *out)
{
	if (len != KACHE_HEX_LEN)
		return false;
	for (int i = 0; i < KACHE_HASH_LEN; i++) {
		int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out->b[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}
