/* What Redis servers answer. The first byte chooses the question. */
#include "config.h"

#include "tests/fuzz/server.h"

#include "../../backends/redis/redis.h"

bool fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char in[REDIS_IN], out[REDIS_OUT];
	struct redis_conn c = { .node = (char *)(uintptr_t)"server:6379", .in = in, .out = out };
	struct kb_call call = fuzz_call();
	struct fuzz_sink sink = FUZZ_SINK_INIT;
	redisReply *reply = NULL;
	long long number;
	int rc;

	if (!size || size > FUZZ_ANSWER_MAX)
		return 0;
	redis_host = &fuzz_host;
	FUZZ_CHECK(redis_reader(&c));
	c.fd = fuzz_answer(data + 1, size - 1);
	switch (data[0] % 4) {
	case 0:
		rc = redis_take_value(&c, &sink.kb, &call);
		FUZZ_CHECK(rc != KB_OK || (sink.begun && sink.got == sink.said));
		break;
	case 1:
		rc = redis_put_reply(&c, &call);
		break;
	case 2:
		rc = redis_integer(&c, true, &number, &call);
		break;
	default:
		rc = redis_good(&c, false, &reply, &call);
		FUZZ_CHECK((rc == KB_OK) == (reply != NULL));
		if (reply)
			freeReplyObject(reply);
	}
	FUZZ_CHECK(memchr(c.redirect, 0, sizeof c.redirect));
	fuzz_accepted = rc >= 0;
	redisReaderFree(c.reader);
	close(c.fd);
	return 0;
}
