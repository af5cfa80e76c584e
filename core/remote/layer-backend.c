/* The innermost layer: a module's handles, used as its thread model allows, and a check of what it says. */
#include "config.h"
#include "remote/layer.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "remote/options.h"
#include "remote/wait.h"

#include <inttypes.h>
#include <stdlib.h>

enum { MAX_HANDLES = 32, GRACE_MS = 250 };

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
	atomic_bool overstayed;		/* it has been said */
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

/* Under the lock: an idle handle, or leave to open one more (*out stays NULL). */
static int reserve(struct backend *b, struct kache_call *call, kb_handle **out)
{
	int rc = KB_OK;

	while (!b->n_idle && b->n_open >= b->max_open && !rc)
		rc = kache_call_wait(call, &b->freed, &b->lock, "no connection became free in time");
	if (!rc && b->n_idle)
		*out = b->idle[--b->n_idle];
	else if (!rc)
		b->n_open++;
	return rc;
}

static int acquire(struct backend *b, struct kache_call *call, kb_handle **out)
{
	struct kb_limits limits;
	int rc;

	call->unasked = false;
	*out = b->shared;
	if (*out)
		return kache_module_enter(b->m, call);
	pthread_mutex_lock(&b->lock);
	rc = reserve(b, call, out);
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
	kache_module_leave(b->m);
	if (h == b->shared)
		return;
	pthread_mutex_lock(&b->lock);
	b->idle[b->n_idle++] = h;
	pthread_cond_signal(&b->freed);
	pthread_mutex_unlock(&b->lock);
}

/* A call runs in its caller's thread and can't be stopped from outside: a backend that does not keep to its time makes
 * everybody wait. All that is left is to say whose fault that is, once. */
static void watch(struct backend *b, const struct kache_call *call, const char *op)
{
	uint64_t now = kache_now_mono(), end = call->kb.deadline_ns;

	if (now < end + (uint64_t)GRACE_MS * 1000000 || atomic_exchange(&b->overstayed, true))
		return;
	kache_warn("%s %s: %s returned %" PRIu64 " ms after its time was over: a fault of this backend", b->m->be.name,
		   b->m->be.version, op, (now - end) / 1000000);
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
	watch(b, call, #op); \
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

	kache_module_enter(b->m, NULL);
	kache_host_speaker(b->m->be.name);
	if (b->shared)
		b->m->be.close(b->shared);
	while (b->n_idle)
		b->m->be.close(b->idle[--b->n_idle]);
	kache_host_speaker(NULL);
	kache_module_leave(b->m);
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
	kb_handle *h;
	int rc;

	b->m = m;
	b->conf = conf;
	pthread_mutex_init(&b->lock, NULL);
	kache_cond_init(&b->freed);
	rc = kache_module_enter(m, call);
	if (!rc) {
		rc = m->be.check ? judge(b, call, m->be.check(conf, &call->kb)) : KB_OK;
		if (!rc)
			rc = open_handle(b, limits, call, &h);
		kache_module_leave(m);
	}
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
