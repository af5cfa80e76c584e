/* The layer that cuts objects to pieces, above a backend that takes only small ones. */
#include "config.h"

#include "layers-fake.h"

static char data[20000];

/* How many are listed, and the size of the last. */
struct listing {
	int n;
	uint64_t size;
};

static int count_each(void *arg, struct kb_key key, const struct kb_stat *st)
{
	struct listing *l = arg;

	(void)key;
	l->n++;
	l->size = st ? st->size : UINT64_MAX;
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
	return kache_layer_chunk(b, 1000, true);
}

static int piece(int skip)
{
	for (int i = 0; i < OBJECTS; i++)
		if (fake.objects[i].name && strstr(fake.objects[i].name, ".c-") && !skip--)
			return i;
	return -1;
}

/* Everything is asked for every size; whether it went well. */
static int all_sizes(void)
{
	static const size_t sizes[] = { 0, 1, 3, 4, 5, 63, 64, 65, 66, 999, 1000, 1001, 5000, 20000 };
	int bad = 0;

	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		struct kache_remote *r = small_backend();
		struct listing l = { 0 };
		struct kb_stat st;

		bad += give(r, "a/object", data, sizes[k], 0) != KB_OK || ask(r, "a/object") != KB_OK || got.len != sizes[k] ||
		       (sizes[k] && memcmp(got.data, data, sizes[k]));
		bad += kache_remote_head(r, key_of("a/object"), &st, &call) != KB_OK || st.size != sizes[k];
		fresh_call(1000);
		bad += kache_remote_list(r, key_of(""), count_each, &l, &call) != KB_OK || l.n != 1;
		bad += l.size != UINT64_MAX && l.size != sizes[k];
		bad += kache_remote_del(r, key_of("a/object"), &call) != KB_OK || objects();
		kache_remote_close(r);
	}
	return bad;
}

static void sizes(void)
{
	struct kache_remote *r;
	char saved[4];

	ok(!all_sizes(), "objects of all sizes around the limit come back, are told and listed, and go without a trace");
	memcpy(saved, data, 4);
	memcpy(data, "KCH1", 4);
	ok(!all_sizes(), "also if they begin like a frame");
	r = small_backend();
	give(r, "k", data, 500, 0);
	ok(objects() == 2 && fake.objects[slot(&fake, key_of("k"))].len == 64, "which are cut to one piece");
	memcpy(data, saved, 4);
	give(r, "k", data, 500, 0);
	ok(objects() == 1 && fake.objects[slot(&fake, key_of("k"))].len == 500, "others lie there as they are");
	{
		struct kache_mem_sink sink;

		kache_mem_sink_init(&sink, &got, 5);
		fresh_call(1000);
		ok(kache_remote_get(r, key_of("k"), &sink.kb, &call) == KB_E_CORRUPT, "more than is acceptable");
		give(r, "k", data, 20, 0);
		fresh_call(1000);
		ok(kache_remote_get(r, key_of("k"), &sink.kb, &call) == KB_E_CORRUPT, "also if that is less than a frame");
		give(r, "k", data, 64, 0);
		fresh_call(1000);
		ok(kache_remote_get(r, key_of("k"), &sink.kb, &call) == KB_E_CORRUPT, "or as much");
	}
	kache_remote_close(r);
}

static void lose(int i)
{
	free(fake.objects[i].name);
	fake.objects[i].name = NULL;
}

static void damage(void)
{
	struct kache_remote *r = small_backend();

	give(r, "k", data, 5000, 0);
	lose(piece(2));
	ok(ask(r, "k") == KB_MISS, "an evicted piece makes it a miss");
	ok(!objects(), "and what is left of it is removed");
	give(r, "k", data, 5000, 0);
	fake.objects[piece(1)].data[7] ^= 1;
	ok(ask(r, "k") == KB_E_CORRUPT, "a flipped bit in a piece is damage: %s", call.err.text);
	ok(!objects(), "and makes room for a good one");
	give(r->next, "k", "KCH1 and sixty more bytes that are no frame at all, as it happens.", 64, 0);
	ok(ask(r, "k") == KB_OK && got.len == 64, "what only begins like a frame is an object");
	kache_remote_del(r->next, key_of("k"), &call);
	give(r, "k", data, 5000, 0);
	fake.n_script = fake.calls + 3;
	for (unsigned i = fake.calls; i < fake.n_script; i++)
		fake.script[i] = i + 1 < fake.n_script ? KB_OK : KB_E_TRANSIENT;
	ok(ask(r, "k") == KB_E_TRANSIENT && objects() == 6, "a piece that can't be had now is no reason to remove anything");
	kache_remote_close(r);

	r = backend(NULL, 0);
	r = kache_layer_chunk(r, 1000, false);
	give(r, "k", data, 5000, 0);
	lose(piece(2));
	ok(ask(r, "k") == KB_MISS && objects() == 5, "nothing is removed from a remote that is only read");
	kache_remote_close(r);
}

static struct kache_remote *under_test;

static void replace_meanwhile(void)
{
	struct kache_call saved = call;

	give(under_test, "k", data + 100, 5000, 0);
	call = saved;
}

static int count_pieces(void)
{
	int n = 0;

	while (piece(n) >= 0)
		n++;
	return n;
}

static void writers(void)
{
	struct kache_remote *r = small_backend();
	struct kache_mem_source src;
	const struct kb_put_opts opts = { .struct_size = sizeof opts, .ttl_s = 100 };
	unsigned before;

	/* A second writer that breaks off before its frame is written. */
	give(r, "k", data, 3000, 0);
	before = fake.calls;
	fake.n_script = before + 5;	/* size, frame, two pieces; then it ends */
	memset(fake.script, 0, sizeof fake.script);
	fake.script[before + 4] = KB_E_NOSPACE;
	ok(give(r, "k", data + 100, 3000, 0) == KB_E_NOSPACE, "a put that breaks off fails");
	ok(count_pieces() == 3, "and takes its pieces with it");
	ok(ask(r, "k") == KB_OK && got.len == 3000 && !memcmp(got.data, data, 3000), "the old object is still there");
	ok(give(r, "k", data + 100, 5000, 0) == KB_OK && count_pieces() == 5, "a good one replaces it, pieces and all");
	ok(give(r, "k", data, 10, 0) == KB_OK && objects() == 1, "so does a small one");
	give(r, "k", data, 5000, 0);
	before = fake.calls;
	ok(give(r, "k", data, 20000, KB_PUT_IF_ABSENT) == KB_EXISTS && fake.calls <= before + 2, "nothing travels for what is there already");
	under_test = r;
	kache_mem_source_init(&src, data, 3000);
	fresh_call(1000);
	kache_remote_put(r, key_of("ttl"), &src.kb, &opts, &call);
	ok(fake.last_ttl == 100, "the frame has the life that was asked for");
	kache_remote_close(r);

	/* The frame that was read is replaced before its pieces are. */
	r = under_test = small_backend();
	give(r, "k", data, 5000, 0);
	fake.meanwhile_at = fake.calls + 3;
	fake.meanwhile = replace_meanwhile;
	ok(ask(r, "k") == KB_OK && got.len == 5000 && !memcmp(got.data, data + 100, 5000), "a reader that is overtaken gets the new object");
	ok(count_pieces() == 5, "of which nothing is removed");
	kache_remote_close(r);
}

static void economy(void)
{
	struct kache_remote *r = small_backend();
	struct kb_stat st;

	give(r, "k", data, 900, 0);
	fresh_call(1000);
	ok(kache_remote_head(r, key_of("k"), &st, &call) == KB_OK && st.size == 900 && st.mtime_s == 1 && !fake.bytes_out,
	   "asking for a size does not fetch the object");
	kache_remote_del(r, key_of("k"), &call);
	ok(!fake.bytes_out, "nor does deleting it");
	ok(kache_remote_head(r, key_of("k"), &st, &call) == KB_MISS, "what is not there is not there");
	give(r, "k", data, 900, 0);
	fake.n_script = fake.calls + 1;
	fake.script[fake.calls] = KB_E_UNSUPPORTED;
	fresh_call(1000);
	ok(kache_remote_head(r, key_of("k"), &st, &call) == KB_OK && st.size == 900, "a server that tells no sizes is asked for the object");
	give(r, "k.c-0123456789abcdef-7x", data, 5, 0);
	give(r, "k.c-0123456789abcde-7", data, 5, 0);
	give(r, "0123456789abcdef-7", data, 5, 0);
	give(r, "k.c-0123456789abcdef-17", data, 5, 0);
	fresh_call(1000);
	{
		struct listing l = { 0 };

		kache_remote_list(r, key_of(""), count_each, &l, &call);
		ok(l.n == 4, "only what is named as pieces are is left out of listings");
	}
	kache_remote_close(r);
	fake.calls = 0;
	r = kache_layer_chunk(backend(NULL, 0), 1, true);
	ok(give(r, "k", data, 20000, 0) == KB_E_TOOBIG && !objects(), "too many pieces are too big: %s", call.err.text);
	kache_remote_close(r);
}

int main(void)
{
	kache_log_level = KACHE_LOG_ERROR;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	sizes();
	damage();
	writers();
	economy();
	kache_buf_release(&got);
	return done();
}
