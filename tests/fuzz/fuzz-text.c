/* Text with markers for directories, as it comes from an entry, and what a compiler says on its way into one. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "key/tokens.h"

#include <string.h>

bool fuzz_accepted;

static void round_trip(const struct kache_tokens *t, enum kache_text kind, const char *text, size_t len)
{
	KACHE_AUTO_BUF struct kache_buf packed = KACHE_BUF_INIT, back = KACHE_BUF_INIT, again = KACHE_BUF_INIT;

	if (!kache_text_pack(t, kind, "/t/debug/deps", text, len, &packed)) {
		FUZZ_CHECK(memchr(text, 1, len) || memchr(text, 2, len));
		return;
	}
	FUZZ_CHECK(kache_text_unpack(t, kind, "/t/debug/deps", packed.data, packed.len, &back));
	/* Names that the compiler was given have become directories: from there on nothing changes any more. */
	packed.len = 0;
	FUZZ_CHECK(kache_text_pack(t, kind, "/t/debug/deps", back.data, back.len, &packed));
	FUZZ_CHECK(kache_text_unpack(t, kind, "/t/debug/deps", packed.data, packed.len, &again));
	FUZZ_CHECK(again.len == back.len && (!back.len || !memcmp(again.data, back.data, back.len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct kache_tokens t;
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT, local = KACHE_BUF_INIT;
	const enum kache_text kind = size && data[0] & 1 ? KACHE_TEXT_DEPINFO : KACHE_TEXT_STREAM;
	const char *text = (const char *)data + (size ? 1 : 0);
	const size_t len = size ? size - 1 : 0;

	if (!t.n) {
		kache_tokens_add(&t, "ws", "/w/my project", "/proc/self/cwd", true);
		kache_tokens_add(&t, "cargo", "/w/cargo\"home", "/kache/cargo", true);
		kache_tokens_add(&t, "target", "/t/debug", "/kache/target", true);
		kache_tokens_add(&t, "sysroot", "/s", NULL, true);
	}
	fuzz_accepted = kache_text_unpack(&t, kind, "/t/debug/deps", text, len, &out);
	kache_text_localize(&t, text, len, &local);
	round_trip(&t, kind, text, len);
	return 0;
}
