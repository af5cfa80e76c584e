/* Packs: an input is the tar of one. Its meta.json is digits, each of them announces one of the blobs below. What the
 * sink is told to be complete has the bytes of its name; a pack that is right has all that was announced, once each; and
 * it is the same whether the tar comes at once or compressed and in pieces. */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include "base/buf.h"
#include "remote/unpack.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

bool fuzz_accepted;

static const char *const contents[] = { "", "good", "a blob of some length, which is more than the others have" };
enum { KINDS = sizeof contents / sizeof *contents };

struct seen {
	int announced, begun, ended;
	int fd;				/* what the blob under way is written to */
};

static struct kache_pack_blob blob_of(size_t i)
{
	struct kache_pack_blob b = { .size = strlen(contents[i]) };

	kache_hash_bytes(contents[i], strlen(contents[i]), &b.hash);
	return b;
}

static int meta(void *arg, const char *text, size_t len, struct kache_pack_blob **blobs, size_t *n, struct kache_error *err)
{
	struct seen *s = arg;

	for (size_t i = 0; i < len; i++)
		if (text[i] < '0' || text[i] >= '0' + KINDS)
			return kache_fail(err, KACHE_E_CORRUPT, "not a digit");
	*blobs = kache_calloc(len + 1, sizeof **blobs);
	for (size_t i = 0; i < len; i++)
		(*blobs)[i] = blob_of((size_t)(text[i] - '0'));
	*n = len;
	s->announced = (int)len;
	return KACHE_OK;
}

static int begin(void *arg, const struct kache_pack_blob *blob, int *fd, struct kache_error *err)
{
	struct seen *s = arg;

	(void)blob;
	(void)err;
	if (s->fd >= 0)
		close(s->fd);
	*fd = memfd_create("blob", MFD_CLOEXEC);
	s->fd = dup(*fd);
	FUZZ_CHECK(*fd >= 0 && s->fd >= 0);
	s->begun++;
	return KACHE_OK;
}

static int end(void *arg, const struct kache_pack_blob *blob, struct kache_error *err)
{
	struct seen *s = arg;
	char found[100];
	ssize_t n = pread(s->fd, found, sizeof found, 0);
	bool known = false;

	(void)err;
	for (size_t i = 0; i < KINDS; i++) {
		const struct kache_pack_blob b = blob_of(i);

		known |= kache_hash_eq(&b.hash, &blob->hash) && (size_t)n == b.size && !memcmp(found, contents[i], b.size);
	}
	FUZZ_CHECK(known);
	s->ended++;
	FUZZ_CHECK(s->ended == s->begun && s->ended <= s->announced);
	return KACHE_OK;
}

struct whole {
	const uint8_t *data;
	size_t size;
};

static int at_once(void *arg, const void **data, size_t *len)
{
	struct whole *w = arg;

	*data = w->data;
	*len = w->size;
	w->size = 0;
	return KACHE_OK;
}

static int in_pieces(const struct kache_pack_sink *sink, const uint8_t *data, size_t size, struct kache_error *err)
{
	struct kache_unpack *u = kache_unpack_new(sink);
	size_t bound = ZSTD_compressBound(size), step = size % 97 + 1;
	char *packed = kache_alloc(bound);
	size_t n = ZSTD_compress(packed, bound, data, size, 1);

	FUZZ_CHECK(u && !ZSTD_isError(n));
	for (size_t i = 0; i < n; i += step)
		kache_unpack_add(u, packed + i, n - i < step ? n - i : step);
	free(packed);
	return kache_unpack_end(u, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen one = { .fd = -1 }, two = { .fd = -1 }, none = { .fd = -1 };
	struct kache_pack_sink sink = { meta, begin, end, &one };
	struct kache_error err = { 0 };
	struct kache_unpack *u;
	int rc = kache_pack_read_tar(at_once, &(struct whole){ data, size }, &sink, &err);

	fuzz_accepted = !rc;
	FUZZ_CHECK(!rc || err.text[0]);
	FUZZ_CHECK(rc || (one.ended == one.announced && one.begun == one.ended));
	sink.arg = &two;
	FUZZ_CHECK(in_pieces(&sink, data, size, &err) == rc && one.ended == two.ended && one.announced == two.announced);
	sink.arg = &none;		/* the bytes as what is compressed */
	u = kache_unpack_new(&sink);
	FUZZ_CHECK(u);
	kache_unpack_add(u, data, size);
	FUZZ_CHECK(kache_unpack_end(u, &err) && !none.ended);
	if (one.fd >= 0)
		close(one.fd);
	if (two.fd >= 0)
		close(two.fd);
	return 0;
}
