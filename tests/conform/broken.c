/* A backend that keeps objects in memory, shared by all handles; each BUG_x breaks one promise of the header. */
#define _GNU_SOURCE
#include <kache/backend.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef BUG_TWO_SYMBOLS
KB_EXPORT int broken_extra;
#endif

struct object {
	char *name, *data;
	size_t len;
	struct object *next;
};
static const struct kb_host *host;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct object *objects;
struct kb_handle { int fd; };

static const struct kb_opt options[] = {
	{ KB_OPT_STR, KB_OPT_SECRET, 0, 0, "password", NULL, NULL, NULL, NULL, "a secret" },
#ifdef BUG_BAD_DEFAULT
	{ KB_OPT_UINT, 0, 1, 5, "count", NULL, "9", NULL, NULL, "a number" },
#else
	{ KB_OPT_UINT, 0, 1, 5, "count", NULL, "3", NULL, NULL, "a number" },
#endif
#ifdef BUG_NO_HELP
	{ KB_OPT_BOOL, 0, 0, 0, "quiet", NULL, "false", NULL, NULL, "" },
#else
	{ KB_OPT_BOOL, 0, 0, 0, "quiet", NULL, "false", NULL, NULL, "a switch" },
#endif
	{ 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};

static int late(struct kb_call *call)
{
	struct pollfd p = { .fd = call->cancel_fd, .events = POLLIN };
	struct timespec t;

#ifndef BUG_IGNORES_CANCEL
	if (call->cancel_fd >= 0 && poll(&p, 1, 0) > 0)
		return host->fail(call, KB_E_CANCELLED, "cancelled");
#else
	if (call->cancel_fd >= 0 && poll(&p, 1, 0) > 0)
		sleep(3);
#endif
	clock_gettime(CLOCK_MONOTONIC, &t);
	if ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec >= call->deadline_ns) {
#ifdef BUG_HANGS
		sleep(60);
#endif
#ifdef BUG_SLOW_TO_END
		sleep(3);
#endif
		return host->fail(call, KB_E_TIMEOUT, "late");
	}
	return KB_OK;
}

static struct object *find(struct kb_key key)
{
	struct object *o = objects;

	while (o && (strlen(o->name) != key.len || memcmp(o->name, key.name, key.len)))
		o = o->next;
	return o;
}

static int open_it(const kb_conf *conf, kb_handle **out, struct kb_limits *limits, struct kb_call *call)
{
	struct kb_handle *h = calloc(1, sizeof *h);
	const char *password = host->conf_str(conf, "password");

	(void)call;
	(void)password;
#ifdef BUG_SECRET_IN_LOG
	if (password)
		host->log(4, "logging in with %s", password);
#endif
#ifdef BUG_CLAIMS_MORE
	limits->caps |= KB_CAP_TTL;
#else
	(void)limits;
#endif
#ifdef BUG_CHANGES_UMASK
	umask(0777);
#endif
	h->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	*out = h;
	return KB_OK;
}

static void close_it(kb_handle *h)
{
#ifndef BUG_LEAKS_FD
	close(h->fd);
#endif
	free(h);
}

static int deliver(struct kb_sink *sink, const char *data, size_t len, struct kb_call *call)
{
	int rc;

#ifndef BUG_IGNORES_LIMIT
	if (len > sink->limit)
		return host->fail(call, KB_E_CORRUPT, "larger than acceptable");
#else
	(void)call;
	sink->limit = UINT64_MAX;
#endif
	rc = sink->begin(sink, len);
	for (size_t at = 0; !rc && at < len; at += 4096)
		rc = sink->write(sink, data + at, len - at < 4096 ? len - at : 4096);
#ifdef BUG_IGNORES_SINK
	rc = KB_OK;
#endif
	return rc;
}

static int get(kb_handle *h, struct kb_key key, struct kb_sink *sink, struct kb_call *call)
{
	int rc = late(call);
	struct object *o;
	char *copy = NULL;
	size_t len = 0;

	(void)h;
	if (rc)
		return rc;
	pthread_mutex_lock(&lock);
	o = find(key);
	if (o) {
		len = o->len;
		copy = malloc(len + 1);
		memcpy(copy, o->data, len);
	}
	pthread_mutex_unlock(&lock);
	if (!copy) {
#if defined BUG_MISS_IS_ERROR
		return host->fail(call, KB_E_TRANSIENT, "not found");
#elif defined BUG_UNKNOWN_STATUS
		return 42;
#elif defined BUG_BEGINS_ON_MISS
		sink->begin(sink, 0);
		return KB_MISS;
#else
		return KB_MISS;
#endif
	}
	rc = deliver(sink, copy, len, call);
	free(copy);
	return rc;
}

static void store(struct kb_key key, const char *data, size_t len)
{
	struct object *o = find(key);

	if (!o) {
		o = calloc(1, sizeof *o);
		o->name = strndup(key.name, key.len);
		o->next = objects;
		objects = o;
	}
#ifdef BUG_TORN
	if (o->data && o->len == len) {	/* in place, a piece at a time */
		for (size_t at = 0; at < len; at += 1000) {
			memcpy(o->data + at, data + at, len - at < 1000 ? len - at : 1000);
			pthread_mutex_unlock(&lock);
			if (!(at % 5000))
				usleep(1);
			pthread_mutex_lock(&lock);
		}
		return;
	}
#endif
	free(o->data);
	o->data = malloc(len + 1);
	memcpy(o->data, data, len);
	o->len = len;
}

static int put(kb_handle *h, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts, struct kb_call *call)
{
	size_t len = 0, got;
	char *data;
	int rc = late(call);

	(void)h;
	if (rc)
		return rc;
	data = malloc(src->size + 1);
#ifndef BUG_NO_REWIND
	src->rewind(src);
#endif
	while (len < src->size) {
		if (src->read(src, data + len, src->size - len, &got)) {
#ifdef BUG_VISIBLE_ON_ERROR
			pthread_mutex_lock(&lock);
			store(key, data, len);
			pthread_mutex_unlock(&lock);
#endif
			free(data);
			return host->fail(call, KB_E_LOCAL, "the source fails");
		}
		if (!got)
			break;
		len += got;
	}
#ifndef BUG_KEEPS_PART
	if (len < src->size) {
		free(data);
		return host->fail(call, KB_E_LOCAL, "the source is short");
	}
#endif
#ifdef BUG_LOSES_LAST_BYTE
	if (len == 4096)
		len--;
#endif
#ifdef BUG_STOPS_AT_NUL
	if (len == 256)
		len = strnlen(data, len);
#endif
	pthread_mutex_lock(&lock);
	rc = KB_OK;
#ifndef BUG_IGNORES_IF_ABSENT
	if (opts->flags & KB_PUT_IF_ABSENT && find(key))
		rc = KB_EXISTS;
#else
	(void)opts;
#endif
#ifdef BUG_RACES_IF_ABSENT
	if (rc == KB_OK && opts->flags & KB_PUT_IF_ABSENT) {	/* looks, waits, writes */
		pthread_mutex_unlock(&lock);
		usleep(20000);
		pthread_mutex_lock(&lock);
	}
#endif
	if (rc == KB_OK)
		store(key, data, len);
	pthread_mutex_unlock(&lock);
	free(data);
	return rc;
}

static int head(kb_handle *h, struct kb_key key, struct kb_stat *st, struct kb_call *call)
{
	struct object *o;

	(void)h;
	(void)call;
	pthread_mutex_lock(&lock);
	o = find(key);
	if (o)
		*st = (struct kb_stat){ .size = o->len, .mtime_s = -1, .ttl_s = -1 };
	pthread_mutex_unlock(&lock);
#ifdef BUG_WRONG_SIZE
	st->size++;
#endif
	return o ? KB_OK : KB_MISS;
}

static int del(kb_handle *h, struct kb_key key, struct kb_call *call)
{
	struct object **at, *o;

	(void)h;
	(void)call;
	pthread_mutex_lock(&lock);
	for (at = &objects; (o = *at) && (strlen(o->name) != key.len || memcmp(o->name, key.name, key.len)); at = &o->next)
		;
	if (o) {
		*at = o->next;
		free(o->name);
		free(o->data);
		free(o);
	}
	pthread_mutex_unlock(&lock);
#ifdef BUG_DEL_MISSING_FAILS
	if (!o)
		return host->fail(call, KB_E_TRANSIENT, "not found");
#endif
	return KB_OK;
}

static int list(kb_handle *h, struct kb_key prefix, struct kb_call *call,
		int (*each)(void *, struct kb_key, const struct kb_stat *), void *arg)
{
#ifdef BUG_LISTS_ON
	int rc = KB_OK;
#else
	int rc = late(call);
#endif

	(void)h;
	(void)call;
	pthread_mutex_lock(&lock);
	for (struct object *o = objects; o && !rc; o = o->next)
		if (strlen(o->name) >= prefix.len && !memcmp(o->name, prefix.name, prefix.len))
			rc = each(arg, (struct kb_key){ o->name, strlen(o->name) }, NULL);
#ifdef BUG_INVENTS
	if (!rc) {
		char name[KB_KEY_MAX];
		int n = snprintf(name, sizeof name, "%.*sinvented", (int)prefix.len, prefix.name);

		rc = each(arg, (struct kb_key){ name, (size_t)n }, NULL);
	}
#endif
	pthread_mutex_unlock(&lock);
#ifdef BUG_FORGETS_STOP
	rc = KB_OK;
#endif
	return rc;
}

static const struct kb_backend table = {
	.magic = KB_MAGIC, .struct_size = sizeof table, .abi_major = KB_ABI_MAJOR, .abi_minor = KB_ABI_MINOR,
	.threads = KB_THREADS_PARALLEL, .caps = KB_CAP_WRITE | KB_CAP_ATOMIC_PUT | KB_CAP_PUT_IF_ABSENT | KB_CAP_READ_OWN,
	.opt_size = sizeof(struct kb_opt),
	.name = "broken", .version = "1", .summary = "broken on purpose", .schemes = "broken",
	.opts = options, .open = open_it, .close = close_it, .get = get, .put = put, .head = head, .del = del, .list = list,
};

#ifdef BUG_THREAD_AT_ENTRY
static void *idle(void *arg)
{
	sleep(1000);
	return arg;
}
#endif

KB_ENTRY(broken)
{
	host = kb_host_arg;
#ifdef BUG_THREAD_AT_ENTRY
	pthread_t id;

	pthread_create(&id, NULL, idle, NULL);
#endif
	return &table;
}
