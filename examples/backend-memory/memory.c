/* An example of a backend outside kache's tree: objects in the memory of the process that loads it.
 *
 * Of little use as a remote, since every process has its own memory, but complete: all operations, options, deadlines,
 * cancellation, threads. Read it beside kache/backend.h and kache-backend(3), start from a copy, and put your store where
 * the list is. `make check` runs kache's conformance kit on it. */
#include <kache/backend.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What the host offers: kept by the entry, used everywhere. */
static const struct kb_host *host;

struct object {
	struct object *next;
	unsigned char *data;
	size_t size;
	time_t mtime;
	size_t name_len;
	char name[];
};

/* All handles share one memory, so that several remotes in one process see the same objects. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct object *objects;
static uint64_t bytes;

struct kb_handle {
	uint64_t capacity;		/* bytes of all objects */
	uint64_t largest;		/* bytes of one */
};

/* Options are declared; the host parses, checks and documents them. */
static const struct kb_opt options[] = {
	{ KB_OPT_SIZE, 0, 1 << 20, UINT64_MAX, "capacity", NULL, "64MiB", NULL, NULL, "bytes that all objects together may have" },
	{ KB_OPT_SIZE, 0, 1, UINT64_MAX, "largest", NULL, "8MiB", NULL, NULL, "bytes that one object may have" },
	{ 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};

/* No I/O here: only whether the options make sense together. */
static int check(const kb_conf *conf, struct kb_call *call)
{
	if (host->conf_u64(conf, "largest") > host->conf_u64(conf, "capacity"))
		return host->fail(call, KB_E_CONFIG, "largest: is more than capacity");
	return KB_OK;
}

/* A backend that waits for a server polls its socket together with call->cancel_fd until call->deadline_ns; this
 * one is quick, and looks once. */
static int may_go_on(struct kb_call *call)
{
	struct pollfd p = { .fd = call->cancel_fd, .events = POLLIN };
	struct timespec now;

	if (call->cancel_fd >= 0 && poll(&p, 1, 0) > 0)
		return host->fail(call, KB_E_CANCELLED, "cancelled");
	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec >= call->deadline_ns)
		return host->fail(call, KB_E_TIMEOUT, "no time left");
	return KB_OK;
}

static int open_handle(const kb_conf *conf, kb_handle **out, struct kb_limits *limits, struct kb_call *call)
{
	struct kb_handle *h = calloc(1, sizeof *h);

	if (!h)
		return host->fail(call, KB_E_LOCAL, "out of memory");
	h->capacity = host->conf_u64(conf, "capacity");
	h->largest = host->conf_u64(conf, "largest");
	limits->max_object = h->largest;	/* larger ones are not even tried, or are cut to pieces by the host */
	*out = h;
	return KB_OK;
}

static void close_handle(kb_handle *h)
{
	free(h);
}

/* Under the lock: where the object is, or where it would be. Keys are not NUL-terminated. */
static struct object **find(struct kb_key key)
{
	struct object **at = &objects;

	while (*at && ((*at)->name_len != key.len || memcmp((*at)->name, key.name, key.len)))
		at = &(*at)->next;
	return at;
}

/* The sink may be slow, so the lock is not held while it is fed: a copy is. */
static int get(kb_handle *h, struct kb_key key, struct kb_sink *sink, struct kb_call *call)
{
	unsigned char *copy = NULL;
	struct object *o;
	size_t size = 0;
	int rc = may_go_on(call);

	(void)h;
	if (rc)
		return rc;
	pthread_mutex_lock(&lock);
	o = *find(key);
	if (o) {
		size = o->size;
		copy = malloc(size + 1);
		if (copy)
			memcpy(copy, o->data, size);
	}
	pthread_mutex_unlock(&lock);
	if (!o)
		return KB_MISS;		/* an answer, not an error; the sink is left alone */
	if (!copy)
		return host->fail(call, KB_E_LOCAL, "out of memory");
	if (size > sink->limit)
		rc = host->fail(call, KB_E_CORRUPT, "the object has more bytes than is acceptable");
	else
		rc = sink->begin(sink, size);
	if (!rc && size)
		rc = sink->write(sink, copy, size);	/* what a sink returns is returned */
	free(copy);
	return rc;
}

/* All of a source, into fresh memory. One that fails or ends early leaves nothing behind. */
static int take_all(struct kb_source *src, unsigned char **out, struct kb_call *call)
{
	size_t have = 0, size = (size_t)src->size;
	unsigned char *data = malloc(size + 1);

	*out = NULL;
	if (!data)
		return host->fail(call, KB_E_LOCAL, "out of memory");
	if (src->rewind(src)) {		/* a repetition starts from the first byte */
		free(data);
		return host->fail(call, KB_E_LOCAL, "the source can't be read");
	}
	while (have < size) {
		size_t got = 0;

		if (src->read(src, data + have, size - have, &got) || !got) {
			free(data);
			return host->fail(call, KB_E_LOCAL, "the source can't be read, or is shorter than its size");
		}
		have += got;
	}
	*out = data;
	return KB_OK;
}

/* Under the lock: the finished object takes the place of what is there, all at once. */
static int store(struct kb_handle *h, struct kb_key key, unsigned char *data, size_t size, struct kb_call *call)
{
	struct object **at = find(key), *o = *at;
	uint64_t before = o ? o->size : 0;

	if (bytes - before + size > h->capacity)
		return host->fail(call, KB_E_NOSPACE, "the memory is full (option capacity)");
	if (!o) {
		o = calloc(1, sizeof *o + key.len);
		if (!o)
			return host->fail(call, KB_E_LOCAL, "out of memory");
		o->name_len = key.len;
		memcpy(o->name, key.name, key.len);
		*at = o;
	}
	free(o->data);
	o->data = data;
	o->size = size;
	o->mtime = time(NULL);
	bytes += size - before;
	return KB_OK;
}

static int put(kb_handle *h, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	       struct kb_call *call)
{
	unsigned char *data;
	int rc = may_go_on(call);

	if (!rc && src->size > h->largest)
		rc = host->fail(call, KB_E_TOOBIG, "larger than the option largest allows");
	if (!rc)
		rc = take_all(src, &data, call);
	if (rc)
		return rc;
	pthread_mutex_lock(&lock);
	if (opts->flags & KB_PUT_IF_ABSENT && *find(key))
		rc = KB_EXISTS;
	else
		rc = store(h, key, data, (size_t)src->size, call);
	pthread_mutex_unlock(&lock);
	if (rc)
		free(data);
	return rc;
}

static int head(kb_handle *h, struct kb_key key, struct kb_stat *st, struct kb_call *call)
{
	struct object *o;

	(void)h;
	(void)call;
	pthread_mutex_lock(&lock);
	o = *find(key);
	if (o) {
		st->size = o->size;
		st->mtime_s = (int64_t)o->mtime;
		st->ttl_s = -1;		/* not known */
	}
	pthread_mutex_unlock(&lock);
	return o ? KB_OK : KB_MISS;
}

static int del(kb_handle *h, struct kb_key key, struct kb_call *call)
{
	struct object **at, *o;

	(void)h;
	(void)call;
	pthread_mutex_lock(&lock);
	at = find(key);
	o = *at;
	if (o) {
		*at = o->next;
		bytes -= o->size;
		free(o->data);
		free(o);
	}
	pthread_mutex_unlock(&lock);
	return KB_OK;			/* also where there was none */
}

static int list(kb_handle *h, struct kb_key prefix, struct kb_call *call,
		int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg)
{
	int rc = may_go_on(call);

	(void)h;
	pthread_mutex_lock(&lock);
	for (struct object *o = objects; o && !rc; o = o->next) {
		struct kb_stat st = { o->size, (int64_t)o->mtime, -1 };
		struct kb_key key = { o->name, o->name_len };

		if (o->name_len >= prefix.len && !memcmp(o->name, prefix.name, prefix.len))
			rc = each(arg, key, &st);
	}
	pthread_mutex_unlock(&lock);
	return rc;			/* what each returned other than 0 */
}

static const struct kb_backend table = {
	.magic = KB_MAGIC, .struct_size = sizeof table, .abi_major = KB_ABI_MAJOR, .abi_minor = KB_ABI_MINOR,
	.threads = KB_THREADS_PARALLEL,
	.caps = KB_CAP_WRITE | KB_CAP_ATOMIC_PUT | KB_CAP_PUT_IF_ABSENT | KB_CAP_READ_OWN,
	.opt_size = sizeof options[0],
	.name = "memory", .version = "1.0", .summary = "the memory of this process", .schemes = "memory",
	.opts = options, .check = check, .open = open_handle, .close = close_handle,
	.get = get, .put = put, .head = head, .del = del, .list = list,
};

/* The one symbol that leaves the module. */
KB_ENTRY(memory)
{
	host = kb_host_arg;
	return &table;
}
