/* What Memcached servers answer, in both protocols. The first byte chooses protocol and question. */
#include "config.h"

#include "tests/fuzz/server.h"

#include "../../backends/memcached/memcached.h"

bool fuzz_accepted;

/* The value as memcached_op_get reads it, and what follows. */
static int rest_of_get(const struct memcached_wire *w, struct memcached_conn *c, uint64_t size, struct kb_call *call)
{
	while (size) {
		uint64_t n = c->end - c->at;
		int rc = n ? KB_OK : memcached_conn_fill(c, call);

		if (rc)
			return rc;
		n = c->end - c->at < size ? c->end - c->at : size;
		c->at += n;
		size -= n;
	}
	return w->get_end(c, call);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char in[MEMCACHED_BUFFER];
	static const struct memcached_address address = { .name = (char *)(uintptr_t)"server:11211" };
	struct memcached_request r = { .key = "kache:a/b", .key_len = 9 };
	const struct memcached_wire *w;
	struct memcached_conn c = { .address = &address, .in = in, .opaque = 1 };
	struct kb_call call = fuzz_call();
	char name[64], value[64];
	uint64_t bytes = 0;
	int rc = KB_OK;

	if (!size || size > FUZZ_ANSWER_MAX)
		return 0;
	memcached_host = &fuzz_host;
	w = data[0] & 1 ? &memcached_binary : &memcached_text;
	r.op = (enum memcached_op)(data[0] >> 1) % (MEMCACHED_LOGIN + 1);
	c.fd = fuzz_answer(data + 1, size - 1);
	if (r.op == MEMCACHED_STATS) {
		while (!(rc = w->stat(&c, name, value, &call)))
			FUZZ_CHECK(memchr(name, 0, sizeof name) && memchr(value, 0, sizeof value));
	} else {
		rc = w->reply(&c, &r, &bytes, &call);
		if (rc == KB_OK && r.op == MEMCACHED_GET)
			rc = rest_of_get(w, &c, bytes, &call);
	}
	FUZZ_CHECK(c.at <= c.end && c.end <= MEMCACHED_BUFFER);
	fuzz_accepted = rc >= 0;
	memcached_conn_drop(&c);
	return 0;
}
