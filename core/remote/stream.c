#include "config.h"
#include "remote/stream.h"

#include "base/err.h"
#include "base/file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { BELIEVED = 4 << 20 };	/* bytes that are made room for on the word of a server */

static int file_read(struct kb_source *kb, void *buf, size_t len, size_t *got)
{
	ssize_t n;

	do
		n = read(kb->fd, buf, len);
	while (n < 0 && errno == EINTR);
	*got = n > 0 ? (size_t)n : 0;
	return n < 0 ? KB_E_LOCAL : KB_OK;
}

static int file_rewind(struct kb_source *kb)
{
	return lseek(kb->fd, 0, SEEK_SET) ? KB_E_LOCAL : KB_OK;
}

void kache_file_source_init(struct kache_file_source *s, int fd, uint64_t size)
{
	s->kb = (struct kb_source){ .struct_size = sizeof s->kb, .fd = fd, .size = size, .read = file_read,
				    .rewind = file_rewind };
}

static int mem_read(struct kb_source *kb, void *buf, size_t len, size_t *got)
{
	struct kache_mem_source *s = (struct kache_mem_source *)kb;
	size_t left = (size_t)kb->size - s->at;

	*got = len < left ? len : left;
	if (*got)
		memcpy(buf, s->data + s->at, *got);
	s->at += *got;
	return KB_OK;
}

static int mem_rewind(struct kb_source *kb)
{
	((struct kache_mem_source *)kb)->at = 0;
	return KB_OK;
}

void kache_mem_source_init(struct kache_mem_source *s, const void *data, size_t len)
{
	*s = (struct kache_mem_source){
		.kb = { .struct_size = sizeof s->kb, .fd = -1, .size = len, .read = mem_read, .rewind = mem_rewind },
		.data = data,
	};
}

static int file_begin(struct kb_sink *kb, uint64_t size)
{
	struct kache_file_sink *s = (struct kache_file_sink *)kb;

	s->written = 0;
	if (size > kb->limit)
		return KB_E_CORRUPT;
	return ftruncate(kb->fd, 0) || lseek(kb->fd, 0, SEEK_SET) ? KB_E_LOCAL : KB_OK;
}

static int file_write(struct kb_sink *kb, const void *buf, size_t len)
{
	struct kache_file_sink *s = (struct kache_file_sink *)kb;

	if (len > kb->limit - s->written)
		return KB_E_CORRUPT;
	s->written += len;
	if (s->progress)
		atomic_fetch_add(s->progress, len);
	return kache_write_all(kb->fd, buf, len) ? KB_E_LOCAL : KB_OK;
}

void kache_file_sink_init(struct kache_file_sink *s, int fd, uint64_t limit)
{
	*s = (struct kache_file_sink){
		.kb = { .struct_size = sizeof s->kb, .fd = fd, .limit = limit, .begin = file_begin, .write = file_write },
	};
}

static int mem_begin(struct kb_sink *kb, uint64_t size)
{
	struct kache_buf *out = ((struct kache_mem_sink *)kb)->out;

	kache_buf_reset(out);
	if (size > kb->limit)
		return KB_E_CORRUPT;
	if (size && size <= BELIEVED)
		kache_buf_reserve(out, (size_t)size);
	return KB_OK;
}

static int mem_write(struct kb_sink *kb, const void *buf, size_t len)
{
	struct kache_mem_sink *s = (struct kache_mem_sink *)kb;

	if (len > kb->limit - s->out->len)
		return KB_E_CORRUPT;
	kache_buf_add(s->out, buf, len);
	return KB_OK;
}

void kache_mem_sink_init(struct kache_mem_sink *s, struct kache_buf *out, uint64_t limit)
{
	kache_buf_reset(out);
	*s = (struct kache_mem_sink){
		.kb = { .struct_size = sizeof s->kb, .fd = -1, .limit = limit, .begin = mem_begin, .write = mem_write },
		.out = out,
	};
}
