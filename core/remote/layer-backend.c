/* The innermost layer: a module's handles, used as its thread model allows, and a check of what it says. */
#include "config.h"
#include "remote/layer.h"

#include "base/buf.h"
#include "remote/options.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_HANDLES = 32 };

struct backend {
	struct kache_module *m;
	kb_conf *conf;
	struct kb_limits limits;
	/* Handles not in use. Under the lock; under PER_HANDLE one call holds one handle, else all calls
	 * share the first. */
	pthread_mutex_t lock;
	pthread_cond_t freed;
	kb_handle *idle[MAX_HANDLES];
	unsigned n_idle, n_open, max_open;
	kb_handle *shared;
};

static int judge(const struct backend *b, struct kache_call *call, int rc)
{
	static const int known[] = {
		KB_OK, KB_MISS, KB_EXISTS, KB_E_TRANSIENT, KB_E_THROTTLED, KB_E_TIMEOUT, KB_E_CANCELLED, KB_E_AUTH,
		KB_E_CONFIG, KB_E_UNSUPPORTED, KB_E_TOOBIG, KB_E_NOSPACE, KB_E_CORRUPT, KB_E_LOCAL, KB_E_BUG,
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (known[i] != rc)
			continue;
		if (rc < 0 && !call->err.text[0])
			kache_call_fail(call, rc, "%s", kache_status_name(rc));
		return rc;
	}
	return kache_call_fail(call, KB_E_BUG, "%s %s returned the unknown status %d", b->m->be.name, b->m->be.version, rc);
}

static int open_handle(struct backend *b, struct kb_limits *limits, struct kache_call *call, kb_handle **out)
{
	int rc;

	*out = NULL;
	*limits = (struct kb_limits){ .struct_size = sizeof *limits, .caps = b->m->be.caps };
	kache_host_speaker(b->m->be.name);
	rc = judge(b, call, b->m->be.open(b->conf, out, limits, &call->kb));
	kache_host_speaker(NULL);
	if (rc == KB_OK && !*out)
		rc = kache_call_fail(call, KB_E_BUG, "%s %s opened nothing", b->m->be.name, b->m->be.version);
	if (rc > 0)
		rc = kache_call_fail(call, KB_E_BUG, "%s %s answered '%s' to open", b->m->be.name, b->m->be.version,
				     kache_status_name(rc));
	return rc;
}

static int wait_for_handle(struct backend *b, struct kache_call *call)
{
	struct timespec until = {
		.tv_sec = (time_t)(call->kb.deadline_ns / 1000000000u), .tv_nsec = (long)(call->kb.deadline_ns % 1000000000u),
	};

	while (!b->n_idle && b->n_open >= b->max_open)
		if (pthread_cond_timedwait(&b->freed, &b->lock, &until) == ETIMEDOUT)
			return kache_call_fail(call, KB_E_TIMEOUT, "no connection became free in time");
	return KB_OK;
}

static int acquire(struct backend *b, struct kache_call *call, kb_handle **out)
{
	struct kb_limits limits;
	int rc;

	if (b->m->be.threads == KB_THREADS_SERIAL)
		pthread_mutex_lock(&b->m->serial);
	*out = b->shared;
	if (*out)
		return KB_OK;
	pthread_mutex_lock(&b->lock);
	rc = wait_for_handle(b, call);
	if (!rc && b->n_idle)
		*out = b->idle[--b->n_idle];
	else if (!rc)
		b->n_open++;
	pthread_mutex_unlock(&b->lock);
	if (rc || *out)
		return rc;
	rc = open_handle(b, &limits, call, out);
	if (rc) {
		pthread_mutex_lock(&b->lock);
		b->n_open--;
		pthread_cond_signal(&b->freed);
		pthread_mutex_unlock(&b->lock);
	}
	return rc;
}

static void release(struct backend *b, kb_handle *h)
{
	if (b->m->be.threads == KB_THREADS_SERIAL)
		pthread_mutex_unlock(&b->m->serial);
	if (h == b->shared)
		return;
	pthread_mutex_lock(&b->lock);
	b->idle[b->n_idle++] = h;
	pthread_cond_signal(&b->freed);
	pthread_mutex_unlock(&b->lock);
}

static int missing(const struct backend *b, struct kache_call *call, const char *op)
{
	return kache_call_fail(call, KB_E_UNSUPPORTED, "the %s backend can't %s", b->m->be.name, op);
}

/* One call of a slot: a handle, the call, its judgement. */
#define INVOKE(op, ...) do { \
	struct backend *b = r->ctx; \
	kb_handle *h; \
	int rc; \
	if (!b->m->be.op) \
		return missing(b, call, #op); \
	rc = acquire(b, call, &h); \
	if (rc) \
		return rc; \
	call->err.text[0] = '\0'; \
	kache_host_speaker(b->m->be.name); \
	rc = judge(b, call, b->m->be.op(h, __VA_ARGS__)); \
	kache_host_speaker(NULL); \
	release(b, h); \
	return rc; \
} while (0)

static int get(struct kache_remote *r, struct kb_key key, struct kb_sink *sink, struct kache_call *call)
{
	INVOKE(get, key, sink, &call->kb);
}

static int put(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	       struct kache_call *call)
{
	INVOKE(put, key, src, opts, &call->kb);
}

static int head(struct kache_remote *r, struct kb_key key, struct kb_stat *st, struct kache_call *call)
{
	INVOKE(head, key, st, &call->kb);
}

static int del(struct kache_remote *r, struct kb_key key, struct kache_call *call)
{
	INVOKE(del, key, &call->kb);
}

static int list(struct kache_remote *r, struct kb_key prefix, kache_remote_each *each, void *arg, struct kache_call *call)
{
	INVOKE(list, prefix, &call->kb, each, arg);
}

static int ping(struct kache_remote *r, struct kb_limits *limits, struct kache_call *call)
{
	*limits = ((struct backend *)r->ctx)->limits;
	if (!((struct backend *)r->ctx)->m->be.ping)
		return KB_OK;	/* nothing more to learn than open told */
	INVOKE(ping, limits, &call->kb);
}

static void close_layer(struct kache_remote *r)
{
	struct backend *b = r->ctx;

	kache_host_speaker(b->m->be.name);
	if (b->shared)
		b->m->be.close(b->shared);
	while (b->n_idle)
		b->m->be.close(b->idle[--b->n_idle]);
	kache_host_speaker(NULL);
	pthread_cond_destroy(&b->freed);
	pthread_mutex_destroy(&b->lock);
	kache_options_free(b->conf);
	free(b);
}

static const struct kache_remote_ops ops = {
	.layer = "backend", .close = close_layer, .get = get, .put = put, .head = head, .del = del, .list = list, .ping = ping,
};

int kache_layer_backend(struct kache_module *m, kb_conf *conf, struct kb_limits *limits, struct kache_call *call,
			struct kache_remote **out)
{
	struct backend *b = kache_calloc(1, sizeof *b);
	struct kache_remote *r = kache_layer_new(&ops, NULL, b);
	pthread_condattr_t attr;
	kb_handle *h;
	int rc;

	b->m = m;
	b->conf = conf;
	pthread_mutex_init(&b->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->freed, &attr);
	pthread_condattr_destroy(&attr);
	rc = m->be.check ? judge(b, call, m->be.check(conf, &call->kb)) : KB_OK;
	if (!rc)
		rc = open_handle(b, limits, call, &h);
	if (rc) {
		kache_remote_close(r);
		return rc < 0 ? rc : KB_E_BUG;
	}
	b->limits = *limits;
	b->max_open = limits->max_inflight && limits->max_inflight < MAX_HANDLES ? limits->max_inflight : MAX_HANDLES;
	b->n_open = 1;
	if (m->be.threads == KB_THREADS_PER_HANDLE)
		b->idle[b->n_idle++] = h;
	else
		b->shared = h;
	*out = r;
	return KB_OK;
}
