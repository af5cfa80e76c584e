/* Two threads that want the same at the same time: one does it, the other waits. After a get that found nothing or
 * failed the other has its answer; after one that found something it gets its own copy. Of two that store the same
 * content the second has nothing left to do. */
#include "config.h"
#include "remote/layer.h"

#include "base/buf.h"
#include "remote/wait.h"

#include <stdlib.h>
#include <string.h>

struct flight {
	bool put, over, unasked;
	int rc;
	uint32_t retry_after_ms;
	struct kache_error err;
	unsigned users;			/* leader and followers: the last one frees */
	size_t len;
	struct flight *next;
	char key[];
};

struct coalesce {
	pthread_mutex_t lock;
	pthread_cond_t landed;
	struct flight *flights;
};

static struct flight *find(struct coalesce *c, struct kb_key key, bool put)
{
	struct flight *f = c->flights;

	while (f && (f->put != put || f->len != key.len || memcmp(f->key, key.name, key.len)))
		f = f->next;
	return f;
}

static void release(struct flight *f)
{
	if (!--f->users)
		free(f);
}

static struct flight *begin(struct coalesce *c, struct kb_key key, bool put)
{
	struct flight *f = kache_calloc(1, sizeof *f + key.len);

	f->put = put;
	f->users = 1;
	f->len = key.len;
	memcpy(f->key, key.name, key.len);
	f->next = c->flights;
	c->flights = f;
	return f;
}

static void end(struct coalesce *c, struct flight *f, struct kache_call *call, int rc)
{
	struct flight **at = &c->flights;

	pthread_mutex_lock(&c->lock);
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	f->over = true;
	f->rc = rc;
	f->unasked = call->unasked;
	f->err = call->err;
	f->retry_after_ms = call->kb.retry_after_ms;
	pthread_cond_broadcast(&c->landed);
	release(f);
	pthread_mutex_unlock(&c->lock);
}

/* Joins a flight if there is one. True with *rc if the caller has its answer by it; else *mine may be its own to
 * do, or NULL where it is to go alone. */
static bool join(struct coalesce *c, struct kb_key key, bool put, struct flight **mine, int *rc, struct kache_call *call)
{
	bool answered = false;
	struct flight *f;

	*mine = NULL;
	pthread_mutex_lock(&c->lock);
	f = find(c, key, put);
	if (!f) {
		*mine = begin(c, key, put);
	} else {
		f->users++;
		*rc = KB_OK;
		while (!f->over && !*rc)
			*rc = kache_call_wait(call, &c->landed, &c->lock, "another thread's request did not end in time");
		answered = *rc || f->rc == KB_MISS || f->rc < 0 || put;
		/* Its leader's own time or patience was over, not the remote's answer. */
		if (!*rc && (f->rc == KB_E_CANCELLED || f->rc == KB_E_TIMEOUT || f->rc == KB_E_LOCAL || f->unasked))
			answered = false;
		else if (!*rc && answered) {
			*rc = put && f->rc == KB_OK ? KB_EXISTS : f->rc;
			call->err = f->err;
			call->kb.retry_after_ms = f->retry_after_ms;
			call->unasked = true;	/* one failure is not to count as many */
		}
		release(f);
	}
	pthread_mutex_unlock(&c->lock);
	return answered;
}

static int get(struct kache_remote *r, struct kb_key key, struct kb_sink *sink, struct kache_call *call)
{
	struct flight *mine;
	int rc;

	if (join(r->ctx, key, false, &mine, &rc, call))
		return rc;
	rc = kache_forward_get(r, key, sink, call);
	if (mine)
		end(r->ctx, mine, call, rc);
	return rc;
}

static int put(struct kache_remote *r, struct kb_key key, struct kb_source *src, const struct kb_put_opts *opts,
	       struct kache_call *call)
{
	struct flight *mine;
	int rc;

	/* Only where the content goes by the name may one stand for the other. */
	if (!opts || !(opts->flags & KB_PUT_IF_ABSENT))
		return kache_forward_put(r, key, src, opts, call);
	if (join(r->ctx, key, true, &mine, &rc, call))
		return rc;
	rc = kache_forward_put(r, key, src, opts, call);
	if (mine)
		end(r->ctx, mine, call, rc);
	return rc;
}

static void close_layer(struct kache_remote *r)
{
	struct coalesce *c = r->ctx;

	pthread_cond_destroy(&c->landed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static const struct kache_remote_ops ops = {
	.layer = "coalesce", .close = close_layer, .get = get, .put = put, .head = kache_forward_head, .del = kache_forward_del,
	.list = kache_forward_list, .ping = kache_forward_ping,
};

struct kache_remote *kache_layer_coalesce(struct kache_remote *next)
{
	struct coalesce *c = kache_calloc(1, sizeof *c);

	pthread_mutex_init(&c->lock, NULL);
	kache_cond_init(&c->landed);
	return kache_layer_new(&ops, next, c);
}
