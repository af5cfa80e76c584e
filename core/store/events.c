#include "config.h"
#include "store/events.h"

#include "base/json.h"

static void text(struct kache_json *j, const char *name, const char *value)
{
	if (value && *value)
		kache_json_str(j, name, value);
}

static void number(struct kache_json *j, const char *name, uint64_t value)
{
	if (value)
		kache_json_u64(j, name, value);
}

static void hash(struct kache_json *j, const char *name, const struct kache_hash *h)
{
	char hex[KACHE_HEX_LEN + 1];

	if (h)
		kache_json_str(j, name, kache_hash_hex(h, hex));
}

void kache_event_encode(const struct kache_event *e, struct kache_buf *out)
{
	struct kache_json j = { .out = out };

	kache_json_open(&j, NULL, '{');
	text(&j, "result", e->result);
	text(&j, "reason", e->reason);
	text(&j, "detail", e->detail);
	text(&j, "crate", e->crate);
	text(&j, "package", e->package);
	text(&j, "kind", e->kind);
	text(&j, "target", e->target);
	text(&j, "profile", e->profile);
	text(&j, "root", e->root);
	hash(&j, "key", e->key);
	hash(&j, "invocation", e->invocation);
	number(&j, "time_ms", e->time_ms);
	number(&j, "total_us", e->total_us);
	number(&j, "compile_us", e->compile_us);
	number(&j, "bytes", e->bytes);
	number(&j, "linked_bytes", e->linked_bytes);
	number(&j, "copied_bytes", e->copied_bytes);
	if (e->exit_code)
		kache_json_i64(&j, "exit_code", e->exit_code);
	kache_json_close(&j, '}');
	kache_buf_ch(out, '\n');
}
