/* What a wrapper and the daemon say to each other, and what lies on a server in place of a large object. What is accepted
 * encodes to the same bytes again. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "base/buf.h"
#include "daemon/wire.h"
#include "remote/frame.h"

#include <string.h>

bool fuzz_accepted;

static bool request(const uint8_t *data, size_t size)
{
	KACHE_AUTO_BUF struct kache_buf again = KACHE_BUF_INIT;
	int len = kache_wire_request_length(data, size), rc;
	struct kache_wire_request r;

	FUZZ_CHECK(len <= KACHE_WIRE_REQUEST + KACHE_WIRE_BODY_MAX);
	FUZZ_CHECK(size < 12 ? len <= 0 : len);
	if (len <= 0 || (size_t)len > size)
		return false;
	rc = kache_wire_request_decode(data, (size_t)len, &r);
	FUZZ_CHECK(rc <= 0);
	if (rc)
		return false;
	FUZZ_CHECK(memchr(r.folder, 0, sizeof r.folder) && r.timeout_ms <= KACHE_WIRE_TIMEOUT_MAX);
	kache_wire_request_encode(&r, &again);
	FUZZ_CHECK(again.len == (size_t)len && !memcmp(again.data, data, again.len));
	return (size_t)len == size;
}

static bool reply(const uint8_t *data, size_t size)
{
	unsigned char again[KACHE_WIRE_REPLY];
	uint32_t len;
	uint16_t status;

	if (size != KACHE_WIRE_REPLY || kache_wire_reply_decode(data, &status, &len))
		return false;
	FUZZ_CHECK(len <= KACHE_WIRE_REPLY_MAX && kache_wire_status_name(status));
	kache_wire_reply_encode(status, len, again);
	/* Another version's status is not believed. */
	FUZZ_CHECK(!memcmp(again, data, sizeof again) || status == KACHE_WIRE_VERSION_OTHER);
	return true;
}

static bool frame(const uint8_t *data, size_t size)
{
	KACHE_AUTO_BUF struct kache_buf again = KACHE_BUF_INIT;
	struct kache_frame f;

	if (!kache_frame_decode(data, size, &f)) {
		FUZZ_CHECK(!f.pieces && f.size == size);
		return false;
	}
	FUZZ_CHECK(size == KACHE_FRAME_SIZE && kache_frame_begins(data, size));
	FUZZ_CHECK(f.pieces && f.n && f.n <= KACHE_FRAME_PIECES_MAX && f.piece && f.piece <= KACHE_FRAME_BYTES_MAX);
	FUZZ_CHECK((uint64_t)f.piece * f.n >= f.size && (uint64_t)f.piece * (f.n - 1) < f.size);
	kache_frame_encode(&f, &again);
	FUZZ_CHECK(again.len == size && !memcmp(again.data, data, size));
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const bool asked = request(data, size), answered = reply(data, size), framed = frame(data, size);

	fuzz_accepted = asked || answered || framed;
	return 0;
}
