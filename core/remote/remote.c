/* Opening a remote: URL -> backend -> options -> layers. */
#include "config.h"
#include "remote/remote.h"

#include "base/buf.h"
#include "base/strs.h"
#include "remote/dropin.h"
#include "remote/layer.h"
#include "remote/options.h"
#include "remote/ttl.h"
#include "remote/url.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PREFIX = 96 };	/* leaves room for folder, hash and suffix in a key */

struct kache_remote *kache_layer_new(const struct kache_remote_ops *ops, struct kache_remote *next, void *ctx)
{
	struct kache_remote *r = kache_calloc(1, sizeof *r);

	*r = (struct kache_remote){ .ops = ops, .next = next, .ctx = ctx };
	return r;
}

#define REMOTE_OP(name, params, args) \
	int kache_forward_##name params { r = r->next; return r->ops->name args; } \
	int kache_remote_##name params { return r->ops->name args; }
#include "remote/ops.def"
#undef REMOTE_OP

void kache_remote_close(struct kache_remote *r)
{
	while (r) {
		struct kache_remote *next = r->next;

		r->ops->close(r);
		free(r);
		r = next;
	}
}

static int check_prefix(const char *prefix, const char *origin, struct kache_error *err)
{
	size_t len = strlen(prefix);
	bool bad = len > MAX_PREFIX || prefix[strspn(prefix, "abcdefghijklmnopqrstuvwxyz0123456789/._-")];

	/* every component is something, and not "." or ".." */
	for (const char *p = prefix; *prefix && !bad; p += strcspn(p, "/") + 1) {
		size_t n = strcspn(p, "/");

		bad = !n || (n <= 2 && !memcmp(p, "..", n));
		if (!p[n])
			break;
	}
	if (bad)
		return kache_fail(err, KACHE_E_INVALID, "%s: prefix = '%s' is not accepted; it takes up to %d characters of a-z, 0-9, '/', '.', '_' and '-', without '..' and without '/' at either end",
				  origin, prefix, MAX_PREFIX);
	return KACHE_OK;
}

/* Objects are cut to pieces where the server takes only small ones. */
enum { CHUNK_BELOW = 64 << 20, CHUNKED_MAX = 256 << 20 };

static bool chunked(const kb_conf *conf, const struct kb_limits *limits)
{
	return strcmp(kache_options_str(conf, "chunk"), "off") && limits->max_object && limits->max_object < CHUNK_BELOW;
}

static unsigned inflight(const kb_conf *conf, const struct kb_limits *limits)
{
	uint64_t n = kache_options_u64(conf, "max-inflight");

	return (unsigned)(limits->max_inflight && limits->max_inflight < n ? limits->max_inflight : n);
}

/* The layers, innermost first; the outermost one, which keeps the books of others, is made before them. */
static void layers(struct kache_module *m, const kb_conf *conf, const struct kb_limits *limits,
		   const struct kache_url *url, struct kache_remote **r)
{
	uint64_t max = kache_options_u64(conf, "max-object"), timeout = kache_options_u64(conf, "transfer-timeout");
	const char *prefix = kache_options_str(conf, "prefix");
	bool writable = !strcmp(kache_options_str(conf, "mode"), "rw") && limits->caps & KB_CAP_WRITE;
	struct kache_remote *outer, *at = *r, *retry;
	struct kache_remote_info info;

	if (chunked(conf, limits))
		max = max ? max : CHUNKED_MAX;
	else if (limits->max_object && (!max || limits->max_object < max))
		max = limits->max_object;
	info = (struct kache_remote_info){
		.backend = m->be.name, .url = kache_url_show(url), .prefix = kache_strdup(prefix), .writable = writable,
		.can_list = m->be.list != NULL, .can_head = m->be.head != NULL, .max_object = max,
	};
	outer = kache_layer_stats(NULL, &info, timeout);
	at = kache_layer_attempt(at, kache_options_u64(conf, "attempt-timeout"));
	at = kache_layer_limit(at, inflight(conf, limits), (unsigned)kache_options_u64(conf, "rate"));
	at = retry = kache_layer_retry(at, (unsigned)kache_options_u64(conf, "retries"));
	if (chunked(conf, limits))
		at = kache_layer_chunk(at, limits->max_object, writable);
	at = kache_layer_coalesce(at);
	at = kache_layer_negative(at, kache_options_u64(conf, "negative-ttl"), NULL);
	at = kache_layer_breaker(at, kache_remote_health(outer), info.url);
	at = kache_layer_gate(at, prefix, writable, max);
	if (kache_options_core(conf, "ttl") && kache_options_u64(conf, "ttl"))
		at = kache_remote_ttl(at, (int64_t)(kache_options_u64(conf, "ttl") / 1000));
	outer->next = at;
	kache_layer_retry_count(retry, kache_remote_stats(outer));
	*r = outer;
}

/* A remote to open, as far as it is known without asking anybody. */
struct plan {
	struct kache_url url;
	struct kache_module *m;
	kb_conf *options;
};

static void release_plan(struct plan *p)
{
	kache_options_free(p->options);
	kache_url_release(&p->url);
}

static int make_plan(const struct kache_conf *conf, const struct kache_conf_remote *which, struct plan *p,
		     struct kache_error *err)
{
	struct kache_options_source src = { .url = &p->url, .pairs = which->options, .n_pairs = which->n_options };
	int rc;

	*p = (struct plan){ 0 };
	if (kache_url_parse(which->url, &p->url, err)) {
		KACHE_AUTO_FREE char *why = kache_strdup(err ? err->text : "");

		return kache_fail(err, KACHE_E_INVALID, "%s: %s", which->origin, why);
	}
	rc = kache_dropin_load_scheme(conf, p->url.scheme, &p->m, err);
	if (!rc)
		rc = kache_options_parse(p->m, &src, &p->options, err);
	if (!rc)
		rc = check_prefix(kache_options_str(p->options, "prefix"), kache_options_origin(p->options, "prefix"), err);
	if (rc)
		release_plan(p);
	return rc;
}

static int failed_at(const struct plan *p, const struct kache_call *call, struct kache_error *err)
{
	KACHE_AUTO_FREE char *shown = kache_url_show(&p->url);

	return kache_fail(err, KACHE_E_REMOTE, "remote %s: %s", shown, call->err.text);
}

int kache_remote_check(const struct kache_conf *conf, const struct kache_conf_remote *which, struct kache_remote_hints *out,
		       struct kache_error *err)
{
	struct kache_call call;
	struct plan p;
	int rc = make_plan(conf, which, &p, err);

	*out = (struct kache_remote_hints){ 0 };
	if (rc)
		return rc;
	kache_call_init(&call, UINT64_MAX, -1);
	if (p.m->be.check && p.m->be.check(p.options, &call.kb)) {
		rc = failed_at(&p, &call, err);
	} else {
		out->url = kache_url_show(&p.url);
		out->backend = p.m->be.name;
		out->writable = !strcmp(kache_options_str(p.options, "mode"), "rw") && p.m->be.caps & KB_CAP_WRITE;
		out->can_list = p.m->be.list != NULL;
		out->can_head = p.m->be.head != NULL;
		out->timeout_ms = kache_options_u64(p.options, "timeout");
		out->transfer_ms = kache_options_u64(p.options, "transfer-timeout");
	}
	release_plan(&p);
	return rc;
}

int kache_remote_open_one(const struct kache_conf *conf, const struct kache_conf_remote *which, struct kache_call *call,
			  struct kache_remote **out, int *status, struct kache_error *err)
{
	struct kb_limits limits;
	struct plan p;
	int rc = make_plan(conf, which, &p, err);

	*out = NULL;
	*status = KB_E_CONFIG;
	if (rc)
		return rc;
	*status = kache_layer_backend(p.m, p.options, &limits, call, out);
	if (*status)
		rc = failed_at(&p, call, err);
	else
		layers(p.m, p.options, &limits, &p.url, out);
	kache_url_release(&p.url);	/* the options are the layer's */
	return rc;
}

int kache_remote_open(const struct kache_conf *conf, const char *url, uint64_t deadline_ns, int cancel_fd,
		      struct kache_remote **out, struct kache_error *err)
{
	struct kache_conf_remote typed = { .url = (char *)url, .origin = (char *)"--backend" };
	const struct kache_conf_remote *configured;
	struct kache_call call;
	int status;

	*out = NULL;
	if (!url && !kache_conf_remotes(conf, &configured))
		return kache_remote_none(conf, err);
	kache_call_init(&call, deadline_ns, cancel_fd);
	return kache_remote_open_one(conf, url ? &typed : configured, &call, out, &status, err);
}

int kache_remote_none(const struct kache_conf *conf, struct kache_error *err)
{
	if (kache_conf_bool(conf, KACHE_CONF_LOCAL_ONLY))
		return kache_fail(err, KACHE_E_INVALID, "no remote is used, for cache.local_only is set (%s)",
				  kache_conf_origin(conf, KACHE_CONF_LOCAL_ONLY));
	return kache_fail(err, KACHE_E_INVALID, "no remote is configured; give --backend URL, set KACHE_BACKEND, or cache.remote.url in the configuration");
}
