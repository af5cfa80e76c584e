/* Opening a remote: URL -> backend -> options -> layers. */
#include "config.h"
#include "remote/remote.h"

#include "base/buf.h"
#include "base/strs.h"
#include "remote/dropin.h"
#include "remote/layer.h"
#include "remote/options.h"
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
	uint64_t max = kache_options_u64(conf, "max-object"), timeout = kache_options_u64(conf, "timeout");
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
		at = kache_layer_chunk(at, limits->max_object);
	at = kache_layer_coalesce(at);
	at = kache_layer_negative(at, kache_options_u64(conf, "negative-ttl"), NULL);
	at = kache_layer_breaker(at, kache_remote_health(outer), info.url);
	outer->next = kache_layer_gate(at, prefix, writable, max);
	kache_layer_retry_count(retry, kache_remote_stats(outer));
	*r = outer;
}

static int open_url(const struct kache_conf *conf, const struct kache_url *url, bool own_pairs, struct kache_call *call,
		    struct kache_remote **out, struct kache_error *err)
{
	struct kache_options_source src = { .url = url };
	struct kb_limits limits;
	struct kache_module *m;
	kb_conf *options;
	int rc = kache_dropin_load_scheme(conf, url->scheme, &m, err);

	if (rc)
		return rc;
	if (own_pairs)
		src.n_pairs = kache_conf_remote(conf, &src.pairs);
	rc = kache_options_parse(m, &src, &options, err);
	if (rc)
		return rc;
	rc = check_prefix(kache_options_str(options, "prefix"), kache_options_origin(options, "prefix"), err);
	if (rc) {
		kache_options_free(options);
		return rc;
	}
	if (kache_layer_backend(m, options, &limits, call, out)) {
		KACHE_AUTO_FREE char *shown = kache_url_show(url);

		return kache_fail(err, KACHE_E_REMOTE, "remote %s: %s", shown, call->err.text);
	}
	layers(m, options, &limits, url, out);
	return KACHE_OK;
}

int kache_remote_open(const struct kache_conf *conf, const char *url, uint64_t deadline_ns, int cancel_fd,
		      struct kache_remote **out, struct kache_error *err)
{
	const char *configured = kache_conf_str(conf, KACHE_CONF_REMOTE_URL), *text = url ? url : configured;
	struct kache_url parsed;
	struct kache_call call;
	int rc;

	*out = NULL;
	if (!text)
		return kache_fail(err, KACHE_E_INVALID, "no remote is configured; give --backend URL, set KACHE_BACKEND, or cache.remote.url in the configuration");
	if (kache_url_parse(text, &parsed, err)) {
		KACHE_AUTO_FREE char *why = kache_strdup(err ? err->text : "");

		return kache_fail(err, KACHE_E_INVALID, "%s: %s", url ? "--backend" : kache_conf_origin(conf, KACHE_CONF_REMOTE_URL),
				  why);
	}
	kache_call_init(&call, deadline_ns, cancel_fd);
	rc = open_url(conf, &parsed, !url, &call, out, err);
	kache_url_release(&parsed);
	return rc;
}
