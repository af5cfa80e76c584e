/* The layer that cuts objects to pieces, above a backend that takes only small ones. */
#include "config.h"

#include "layers-fake.h"

static int count_each(void *arg, struct kb_key key, const struct kb_stat *st)
{
	(void)key;
	(void)st;
	++*(int *)arg;
	return 0;
}

static int objects(void)
{
	int n = 0;

	for (int i = 0; i < OBJECTS; i++)
		n += fake.objects[i].name != NULL;
	return n;
}

static struct kache_remote *small_backend(void)
{
	struct kache_remote *b = backend(NULL, 0);

	fake.max_object = 1000;
	return kache_layer_chunk(b, 1000);
}

static int piece(int skip)
{
	for (int i = 0; i < OBJECTS; i++)
		if (fake.objects[i].name && strstr(fake.objects[i].name, ".c-") && !skip--)
			return i;
	return -1;
}

static void chunks(void)
{
	static const size_t sizes[] = { 0, 1, 951, 952, 953, 999, 1000, 1001, 5000, 20000 };
	struct kache_remote *r;
	char *data = kache_alloc(20000);
	struct kb_stat st;
	int n = 0, bad = 0, i;

	for (i = 0; i < 20000; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		r = small_backend();
		bad += give(r, "a/object", data, sizes[k], 0) != KB_OK || ask(r, "a/object") != KB_OK || got.len != sizes[k] ||
		       (sizes[k] && memcmp(got.data, data, sizes[k]));
		bad += kache_remote_head(r, key_of("a/object"), &st, &call) != KB_OK || st.size != sizes[k];
		fresh_call(1000);
		n = 0;
		bad += kache_remote_list(r, key_of(""), count_each, &n, &call) != KB_OK || n != 1;
		bad += kache_remote_del(r, key_of("a/object"), &call) != KB_OK || objects();
		kache_remote_close(r);
	}
	ok(!bad, "objects of all sizes around the limit come back, count as one, and go without a trace");

	r = small_backend();
	give(r, "k", data, 5000, 0);
	i = piece(2);
	free(fake.objects[i].name);
	fake.objects[i].name = NULL;
	ok(ask(r, "k") == KB_MISS, "an evicted piece makes it a miss");
	ok(slot(&fake, key_of("k")) < 0, "and removes what names it");
	kache_remote_close(r);
	r = small_backend();
	give(r, "k", data, 5000, 0);
	i = piece(1);
	fake.objects[i].data[7] ^= 1;
	ok(ask(r, "k") == KB_E_CORRUPT && !got.len, "a flipped bit in a piece delivers nothing");
	kache_remote_close(r);

	r = small_backend();
	give(r, "k", data, 100, 0);
	fake.objects[slot(&fake, key_of("k"))].data[60] ^= 1;
	ok(ask(r, "k") == KB_E_CORRUPT, "nor in a whole one");
	give(r->next, "k", "something else", 14, 0);
	ok(ask(r, "k") == KB_E_CORRUPT, "what is not framed is not taken for an object");
	kache_remote_close(r);

	/* A second writer that dies before its frame is written. */
	r = small_backend();
	give(r, "k", data, 3000, 0);
	fake.n_script = fake.calls + 3;
	fake.script[fake.calls] = fake.script[fake.calls + 1] = KB_OK;
	fake.script[fake.calls + 2] = KB_E_TRANSIENT;
	ok(give(r, "k", data + 100, 3000, 0) == KB_E_TRANSIENT, "a put that breaks off fails");
	ok(ask(r, "k") == KB_OK && got.len == 3000 && !memcmp(got.data, data, 3000), "and the old object is still there");
	ok(give(r, "k", data, (size_t)20000, 0) == KB_OK, "a good one replaces it");
	kache_remote_close(r);
	free(data);
}

int main(void)
{
	kache_log_level = KACHE_LOG_ERROR;
	chunks();
	kache_buf_release(&got);
	return done();
}
