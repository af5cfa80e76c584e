/* Sources and sinks that give little, stop, fail, refuse, and take down what is done with them. */
#include "config.h"
#include "conform/kit.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int source_read(struct kb_source *kb, void *buf, size_t len, size_t *got)
{
	struct kit_source *s = (struct kit_source *)kb;
	uint64_t end = s->end_at < kb->size ? s->end_at : kb->size;

	*got = 0;
	if (s->at >= s->fail_at)
		return KB_E_LOCAL;
	if (s->at >= end) {
		s->past |= s->at_end;
		s->at_end = true;
		return KB_OK;
	}
	if (len > end - s->at)
		len = (size_t)(end - s->at);
	if (s->fail_at - s->at < len)
		len = (size_t)(s->fail_at - s->at);
	if (s->most && len > s->most)
		len = s->most;
	memcpy(buf, s->data + s->at, len);
	s->at += len;
	*got = len;
	return KB_OK;
}

static int source_rewind(struct kb_source *kb)
{
	struct kit_source *s = (struct kit_source *)kb;

	s->at = 0;
	s->at_end = false;
	if (kb->fd >= 0 && lseek(kb->fd, 0, SEEK_SET))
		return KB_E_LOCAL;
	return KB_OK;
}

void kit_source_init(struct kit_source *s, const void *data, uint64_t size)
{
	*s = (struct kit_source){
		.kb = { .struct_size = sizeof s->kb, .fd = -1, .size = size, .read = source_read, .rewind = source_rewind },
		.data = data, .fail_at = UINT64_MAX, .end_at = UINT64_MAX,
	};
}

static int sink_begin(struct kb_sink *kb, uint64_t size)
{
	struct kit_sink *s = (struct kit_sink *)kb;

	(void)size;
	s->begins++;
	s->len = 0;
	if (kb->fd >= 0 && (ftruncate(kb->fd, 0) || lseek(kb->fd, 0, SEEK_SET)))
		return KB_E_LOCAL;
	return s->begin_rc;
}

/* Keeps no limit itself: that is the backend's to keep. */
static int sink_write(struct kb_sink *kb, const void *buf, size_t len)
{
	struct kit_sink *s = (struct kit_sink *)kb;

	s->early |= !s->begins;
	if (s->write_rc && s->len + len > s->refuse_at)
		return s->write_rc;
	s->over |= len > kb->limit || s->len > kb->limit - len;
	s->data = kache_realloc(s->data, s->len + len + 1, 1);
	memcpy(s->data + s->len, buf, len);
	s->len += len;
	return KB_OK;
}

void kit_sink_init(struct kit_sink *s, uint64_t limit)
{
	*s = (struct kit_sink){
		.kb = { .struct_size = sizeof s->kb, .fd = -1, .limit = limit, .begin = sink_begin, .write = sink_write },
	};
}

void kit_sink_release(struct kit_sink *s)
{
	free(s->data);
	s->data = NULL;
}
