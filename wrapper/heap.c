/* Memory for a process that lives a millisecond. musl's allocator maps and unmaps a page for each size
 * class that comes and goes: fifty system calls of a hit's hundred. This one hands out from one block
 * and takes back only what was handed out last, until a compile (a miss) asks for much: then big pieces
 * are mapped and unmapped on their own. Single-threaded, as the wrapper is; glibc and sanitizers keep
 * their own allocators. */
#include "config.h"

#include <stdlib.h>	/* tells whose C library it is */

#if !defined __GLIBC__ && defined __linux__

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 16, FIRST = 1 << 20, CHUNK = 4 << 20, BIG = 256 << 10 };

/* Before each piece; its size is what was asked for, rounded up. */
struct head {
	size_t size;
	size_t mapped;		/* 0: from the block; else bytes mapped for it alone */
};
_Static_assert(sizeof(struct head) == ALIGN, "pieces stay aligned");

static _Alignas(ALIGN) unsigned char first[FIRST];
static unsigned char *block = first, *at = first;
static size_t room = FIRST;

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static struct head *head_of(void *p)
{
	return (struct head *)(void *)((unsigned char *)p - sizeof(struct head));
}

static bool is_last(const struct head *h)
{
	return !h->mapped && (const unsigned char *)(h + 1) + h->size == at;
}

static void *big(size_t size)
{
	size_t bytes = (size + sizeof(struct head) + 4095) & ~(size_t)4095;
	struct head *h = map(bytes);

	if (!h) {
		errno = ENOMEM;
		return NULL;
	}
	h->size = bytes - sizeof *h;
	h->mapped = bytes;
	return h + 1;
}

static size_t rounded(size_t size)
{
	return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* Not called malloc, or the compiler makes calloc of malloc and memset, which is calling itself. */
static void *take(size_t size)
{
	struct head *h;

	if (size > PTRDIFF_MAX - 2 * (size_t)CHUNK) {
		errno = ENOMEM;
		return NULL;
	}
	size = rounded(size);
	if (size >= BIG)
		return big(size);
	if ((size_t)(block + room - at) < size + sizeof *h) {
		unsigned char *more = map(CHUNK);

		if (!more) {
			errno = ENOMEM;
			return NULL;
		}
		block = at = more;
		room = CHUNK;
	}
	h = (struct head *)(void *)at;
	h->size = size;
	h->mapped = 0;
	at += sizeof *h + size;
	return h + 1;
}

void *malloc(size_t size)
{
	return take(size);
}

void free(void *p)
{
	struct head *h;

	if (!p)
		return;
	h = head_of(p);
	if (h->mapped) {
		int saved = errno;

		munmap(h, h->mapped);
		errno = saved;
	} else if (is_last(h)) {
		at = (unsigned char *)h;
	}
}

void *calloc(size_t n, size_t size)
{
	size_t total;
	void *p;

	if (__builtin_mul_overflow(n, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	p = take(total);
	return p ? memset(p, 0, total) : NULL;	/* a piece may have been used before */
}

void *realloc(void *p, size_t size)
{
	struct head *h;
	void *new;

	if (!p)
		return take(size);
	h = head_of(p);
	if (is_last(h) && size < BIG) {
		size_t resized = rounded(size);

		if ((size_t)(block + room - (unsigned char *)(h + 1)) >= resized) {
			h->size = resized;
			at = (unsigned char *)(h + 1) + resized;
			return p;
		}
	}
	if (size <= h->size)
		return p;
	new = take(size);
	if (new) {
		memcpy(new, p, h->size);
		free(p);
	}
	return new;
}

#else
typedef int kache_heap_is_the_system_s;	/* ISO C wants a declaration in every file */
#endif
