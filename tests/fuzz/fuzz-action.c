/* ActionResults, as bazel-remote keeps them (protocol buffers). The reader is taken in whole, without its backend. */
#define _GNU_SOURCE
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "../../backends/http/bazel.c"

bool fuzz_accepted;

/* Nothing is sent here. */
const struct kb_host *web_host;
int web_no_memory(struct kb_call *call) { (void)call; abort(); }
int web_send(struct kb_handle *h, const struct web_request *r, struct http_reply *reply, struct kb_call *call)
{
	(void)h, (void)r, (void)reply, (void)call;
	abort();
}
int web_judge(const struct http_reply *r, const char *what, struct kb_call *call) { (void)r, (void)what, (void)call; abort(); }
int web_judge_put(struct kb_handle *h, const struct http_reply *r, uint64_t size, struct kb_call *call)
{
	(void)h, (void)r, (void)size, (void)call;
	abort();
}
void http_reply_release(struct http_reply *reply) { (void)reply; abort(); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char again[256];
	char hash[65], hash2[65];
	uint64_t bytes, bytes2;
	size_t len;

	fuzz_accepted = !web_action_decode(data, size, hash, &bytes);
	if (!fuzz_accepted)
		return 0;
	FUZZ_CHECK(strlen(hash) == 64 && strspn(hash, "0123456789abcdef") == 64);
	len = web_action_encode(hash, bytes, again);
	FUZZ_CHECK(len && len <= sizeof again && !web_action_decode(again, len, hash2, &bytes2));
	FUZZ_CHECK(!strcmp(hash, hash2) && bytes == bytes2);
	return 0;
}
