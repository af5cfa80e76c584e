/* What S3 servers answer: pages of listings and errors. The parser is taken in whole, without its backend. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "../../backends/s3/xml.c"

bool fuzz_accepted;

struct seen { size_t n, stop_after; };

static int each(void *arg, const char *key, uint64_t size, int64_t mtime_s)
{
	struct seen *s = arg;

	(void)size;
	(void)mtime_s;
	FUZZ_CHECK(key && strlen(key) <= TEXT_MAX);
	return ++s->n == s->stop_after;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen all = { 0, 0 }, one = { 0, 1 };
	char *token, *again, *text = s3_xml_text((const char *)data, size, "Code");
	int rc = s3_xml_list((const char *)data, size, each, &all, &token), stopped;

	FUZZ_CHECK(rc == 0 || rc == -1);
	FUZZ_CHECK(!token || (!rc && *token));
	stopped = s3_xml_list((const char *)data, size, each, &one, &again);
	FUZZ_CHECK(all.n ? stopped == 1 && one.n == 1 && !again : stopped == rc);
	FUZZ_CHECK(!text || strlen(text) <= TEXT_MAX);
	fuzz_accepted = !rc || text;
	free(text);
	free(token);
	free(again);
	return 0;
}
