#include "config.h"
#include "store/entry.h"

#include "base/err.h"
#include "store/codec.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRY_FORMAT = 1, MAX_OUTPUTS = 4096 };

bool kache_entry_local(const struct kache_entry *e)
{
	return !strcmp(e->kind, KACHE_KIND_SCRIPT_RUN) || !strcmp(e->kind, KACHE_KIND_EDITED);
}

void kache_entry_release(struct kache_entry *e)
{
	free(e->crate);
	free(e->package);
	free(e->kind);
	free(e->target);
	free(e->profile);
	free(e->features);
	free(e->compiler);
	free(e->out);
	free(e->err);
	for (size_t i = 0; i < e->n_outputs; i++) {
		free(e->outputs[i].name);
		free(e->outputs[i].inline_data);
	}
	free(e->outputs);
	*e = (struct kache_entry){ 0 };
}

struct kache_output *kache_entry_add_output(struct kache_entry *e)
{
	e->outputs = kache_realloc(e->outputs, e->n_outputs + 1, sizeof *e->outputs);
	e->outputs[e->n_outputs] = (struct kache_output){ 0 };
	return &e->outputs[e->n_outputs++];
}

uint64_t kache_entry_size(const struct kache_entry *e)
{
	uint64_t total = 0;

	for (size_t i = 0; i < e->n_outputs; i++)
		total += e->outputs[i].size;
	return total;
}

void kache_entry_encode(const struct kache_entry *e, struct kache_buf *b)
{
	size_t start = kache_codec_begin(b, "KENT", ENTRY_FORMAT);

	kache_buf_add(b, e->key.b, KACHE_HASH_LEN);
	kache_buf_add(b, e->invocation.b, KACHE_HASH_LEN);
	kache_buf_text(b, e->crate);
	kache_buf_text(b, e->package);
	kache_buf_text(b, e->kind);
	kache_buf_text(b, e->target);
	kache_buf_text(b, e->profile);
	kache_buf_text(b, e->features);
	kache_buf_text(b, e->compiler);
	kache_buf_u64(b, e->created_ms);
	kache_buf_u64(b, e->compile_ms);
	kache_buf_u32(b, (uint32_t)e->exit_code);
	kache_buf_u32(b, e->width);
	kache_buf_bytes(b, e->out, e->out_len);
	kache_buf_bytes(b, e->err, e->err_len);
	kache_buf_u32(b, (uint32_t)e->n_outputs);
	for (size_t i = 0; i < e->n_outputs; i++) {
		const struct kache_output *o = &e->outputs[i];

		kache_buf_text(b, o->name);
		kache_buf_u32(b, o->role);
		kache_buf_u32(b, o->mode);
		kache_buf_u64(b, o->size);
		kache_buf_add(b, o->blob.b, KACHE_HASH_LEN);
		kache_buf_u8(b, o->inline_data != NULL);
		if (o->inline_data)
			kache_buf_bytes(b, o->inline_data, o->size);
	}
	kache_codec_end(b, start);
}

static void read_output(struct kache_reader *r, struct kache_output *o)
{
	size_t len;

	o->name = kache_read_string(r);
	o->role = kache_read_u32(r);
	o->mode = kache_read_u32(r) & 0777;
	o->size = kache_read_u64(r);
	kache_codec_hash(r, &o->blob);
	if (kache_read_u8(r)) {
		const char *data = kache_read_bytes(r, &len);

		o->inline_data = kache_strndup(data, len);
		r->bad |= len != o->size;
	}
	/* The name becomes a path in somebody's output directory. */
	r->bad |= !*o->name || strchr(o->name, '/') || !strcmp(o->name, ".") || !strcmp(o->name, "..");
	r->bad |= o->role > KACHE_ROLE_EXE || (o->role == KACHE_ROLE_DEPINFO) != (o->inline_data != NULL);
}

int kache_entry_decode(const void *data, size_t len, struct kache_entry *e)
{
	struct kache_reader r;
	const char *p;
	uint32_t n;
	int rc = kache_codec_open(&r, data, len, "KENT", ENTRY_FORMAT);

	*e = (struct kache_entry){ 0 };
	if (rc)
		return rc;
	kache_codec_hash(&r, &e->key);
	kache_codec_hash(&r, &e->invocation);
	e->crate = kache_read_string(&r);
	e->package = kache_read_string(&r);
	e->kind = kache_read_string(&r);
	e->target = kache_read_string(&r);
	e->profile = kache_read_string(&r);
	e->features = kache_read_string(&r);
	e->compiler = kache_read_string(&r);
	e->created_ms = kache_read_u64(&r);
	e->compile_ms = kache_read_u64(&r);
	e->exit_code = (int32_t)kache_read_u32(&r);
	e->width = kache_read_u32(&r);
	p = kache_read_bytes(&r, &e->out_len);
	e->out = kache_strndup(p, e->out_len);
	p = kache_read_bytes(&r, &e->err_len);
	e->err = kache_strndup(p, e->err_len);
	n = kache_read_u32(&r);
	r.bad |= n > MAX_OUTPUTS;
	for (uint32_t i = 0; i < n && !r.bad; i++)
		read_output(&r, kache_entry_add_output(e));
	if (r.bad || r.p != r.end) {
		kache_entry_release(e);
		return KACHE_E_CORRUPT;
	}
	return KACHE_OK;
}
