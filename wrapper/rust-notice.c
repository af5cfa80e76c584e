/* Notices of outputs (rustc --json=artifacts). Cargo starts what depends on a library as soon as it is told of its metadata
 * ("pipelining"), while rustc is still at work on the rest. So on a hit metadata is put in place first, and cargo told of it, before the
 * rest is copied. It must not be told twice. */
#include "config.h"
#include "wrapper/rustc.h"

#include <string.h>

/* Behind the line that tells of metadata, or 0. No message has these quotes in a string without a backslash. */
size_t kache_rust_told(const struct kache_buf *err)
{
	static const char notice[] = "\"emit\":\"metadata\"";
	const char *at = err->len ? memmem(err->data, err->len, notice, sizeof notice - 1) : NULL;
	const char *end = at ? memchr(at, '\n', (size_t)(err->data + err->len - at)) : NULL;

	return end ? (size_t)(end + 1 - err->data) : 0;
}

size_t kache_rust_notice(const struct kache_call *c, const struct kache_entry *e, const struct kache_buf *err, size_t *outputs)
{
	/* With an argument file the compile that may have to follow needs space in the store. */
	if (!c->args.json_artifacts || c->args.from_file || !(c->args.emit & KACHE_EMIT_LINK))
		return 0;
	for (size_t i = 0; i < e->n_outputs; i++) {
		if (e->outputs[i].role != KACHE_ROLE_METADATA)
			continue;
		*outputs = i + 1;
		return kache_rust_told(err);
	}
	return 0;
}
