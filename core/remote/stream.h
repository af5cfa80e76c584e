/* Sources and sinks for backends: a file, or bytes in memory. */
#ifndef KACHE_REMOTE_STREAM_H
#define KACHE_REMOTE_STREAM_H

#include "base/buf.h"
#include "kache/backend.h"

#include <stdatomic.h>
#include <stdint.h>

struct kache_file_source {
	struct kb_source kb;		/* first; hand &kb on */
};
/* fd: a plain file of that size, read from its start. Not closed. */
void kache_file_source_init(struct kache_file_source *s, int fd, uint64_t size);

struct kache_mem_source {
	struct kb_source kb;
	const char *data;
	size_t at;
};
/* data stays the caller's and has to live as long as the source. */
void kache_mem_source_init(struct kache_mem_source *s, const void *data, size_t len);

struct kache_file_sink {
	struct kb_sink kb;
	uint64_t written;		/* through write; what came through fd is the file's size */
	atomic_ullong *progress;	/* grows with every write; NULL: nobody looks */
};
/* fd: a plain file open for reading and writing; begin empties it. Not closed. */
void kache_file_sink_init(struct kache_file_sink *s, int fd, uint64_t limit);

struct kache_mem_sink {
	struct kb_sink kb;
	struct kache_buf *out;
};
/* out is emptied by begin. */
void kache_mem_sink_init(struct kache_mem_sink *s, struct kache_buf *out, uint64_t limit);

#endif
