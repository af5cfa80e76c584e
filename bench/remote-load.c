/* Puts or gets many objects on a remote with several threads, and prints how long it took:
 *
 *	remote-load URL put|get COUNT SIZE THREADS [TAG [PASSES]]
 *
 * Names are bench/<TAG><SIZE>-<number>. Puts are as those of packs, for which somebody may have been first.
 * All of it PASSES (1) times; what is printed is for one of them. The time begins when each thread has had an
 * answer: the daemon keeps its connections, too.
 * The whole stack is in use: layers, backend, server. What comes is counted, not kept. */
#include "config.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "remote/remote.h"
#include "remote/stream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct kache_remote *remote;
static bool put;
static unsigned count, passes = 1;
static size_t size;
static char *data;
static const char *tag = "";
static atomic_uint next, bad;
static atomic_ullong bytes;
static pthread_barrier_t together;

struct counting {
	struct kb_sink kb;
	uint64_t n;
};

static int begin(struct kb_sink *kb, uint64_t total)
{
	(void)total;
	((struct counting *)kb)->n = 0;
	return KB_OK;
}

static int count_bytes(struct kb_sink *kb, const void *buf, size_t len)
{
	(void)buf;
	((struct counting *)kb)->n += len;
	return KB_OK;
}

static int one(const char *name, struct kache_call *call)
{
	const struct kb_put_opts opts = { .struct_size = sizeof opts, .flags = KB_PUT_IF_ABSENT };
	const struct kb_key key = { name, strlen(name) };
	struct counting sink = { .kb = { .struct_size = sizeof sink.kb, .fd = -1, .limit = UINT64_MAX, .begin = begin, .write = count_bytes } };
	struct kache_mem_source src;
	int rc;

	if (put) {
		kache_mem_source_init(&src, data, size);
		return kache_remote_put(remote, key, &src.kb, &opts, call);
	}
	rc = kache_remote_get(remote, key, &sink.kb, call);
	return rc ? rc : sink.n == size ? KB_OK : KB_E_CORRUPT;
}

/* All at once, each for a name of its own, lest one connection serve several or one answer be enough for all. */
static void connect_first(size_t thread)
{
	KACHE_AUTO_FREE char *name = kache_asprintf("bench/none-%zu", thread);
	const struct kb_key key = { name, strlen(name) };
	struct kache_call call;
	struct kb_stat st;

	pthread_barrier_wait(&together);
	kache_call_init(&call, kache_now_mono() + (uint64_t)20000000000, -1);
	kache_remote_head(remote, key, &st, &call);
	pthread_barrier_wait(&together);
}

static void *work(void *arg)
{
	unsigned i;

	kache_thread_bulk();		/* as the threads of sync and of uploads */
	connect_first((size_t)arg);
	while ((i = atomic_fetch_add(&next, 1)) < count * passes) {
		KACHE_AUTO_FREE char *name = kache_asprintf("bench/%s%zu-%u", tag, size, i % count);
		struct kache_call call;

		kache_call_init(&call, kache_now_mono() + (uint64_t)60000000000, -1);
		if (one(name, &call)) {
			if (!atomic_fetch_add(&bad, 1))
				fprintf(stderr, "remote-load: %s: %s\n", name, call.err.text[0] ? call.err.text : "miss");
		} else {
			atomic_fetch_add(&bytes, size);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct kache_conf *conf;
	struct kache_error err;
	pthread_t threads[256];
	unsigned n;
	uint64_t began;
	double s;

	if (argc < 6 || argc > 8)
		return fputs("usage: remote-load URL put|get COUNT SIZE THREADS [TAG [PASSES]]\n", stderr), 2;
	put = !strcmp(argv[2], "put");
	count = (unsigned)strtoul(argv[3], NULL, 10);
	size = strtoul(argv[4], NULL, 10);
	n = (unsigned)strtoul(argv[5], NULL, 10);
	tag = argc > 6 ? argv[6] : "";
	passes = argc > 7 ? (unsigned)strtoul(argv[7], NULL, 10) : 1;
	if (!n || n > 256 || !count || !passes || kache_conf_load("/", &conf, &err) ||
	    kache_remote_open(conf, argv[1], kache_now_mono() + (uint64_t)20000000000, -1, &remote, &err))
		return fprintf(stderr, "remote-load: %s\n", err.text), 1;
	data = kache_alloc(size + 1);
	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 2654435761u >> 11);
	pthread_barrier_init(&together, NULL, n + 1);
	for (size_t i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, work, (void *)i);
	pthread_barrier_wait(&together);
	pthread_barrier_wait(&together);
	began = kache_now_mono();
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	s = (double)(kache_now_mono() - began) / 1e9;
	printf("%.4f\n", s / passes);
	kache_remote_close(remote);
	return atomic_load(&bad) != 0;
}
