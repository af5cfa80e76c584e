/* Are the configured remotes there, and what may be done with them? */
#include "config.h"
#include "cli/doctor.h"

#include "base/clock.h"
#include "base/strs.h"
#include "remote/account.h"
#include "remote/remote.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SECONDS = 5, LATELY_S = 24 * 3600 };

/* What to do about a failure, by its kind. %s is where the remote comes from. */
static char *advice_for(int status, const struct kache_conf_remote *which, const char *backend)
{
	switch (status) {
	case KB_E_AUTH:
		return kache_asprintf("check its credentials; `kache plugin show %s` lists the options and variables for them", backend);
	case KB_E_CONFIG:
	case KB_E_UNSUPPORTED:
		return kache_asprintf("it is configured by %s; `kache plugin show %s` lists its options", which->origin, backend);
	case KB_E_NOSPACE:
		return kache_strdup("make room there");
	case KB_E_BUG:
		return kache_asprintf("the %s backend is broken; install one that fits this kache", backend);
	default:
		return kache_asprintf("is that server up, and reachable from here? It is named by %s", which->origin);
	}
}

static void say_failed(struct kache_doctor *d, const struct kache_conf_remote *which, const struct kache_remote_hints *hints,
		       int status, const char *text)
{
	KACHE_AUTO_FREE char *advice = advice_for(status, which, hints->backend);

	text += kache_starts(text, "remote ") ? strlen("remote ") : 0;
	kache_doctor_say(d, KACHE_DOCTOR_BAD, "remote", advice, "%s", text);
}

static void say_well(struct kache_doctor *d, const struct kache_remote *r, const struct kb_limits *limits,
		     const struct kache_conf_remote *which, bool wanted, double opened_ms, double answer_ms)
{
	const struct kache_remote_info *info = kache_remote_info(r);
	KACHE_AUTO_FREE char *who = which->name ? kache_asprintf("%s (%s)", which->name, info->url) : kache_strdup(info->url);

	if (wanted && !(limits->caps & KB_CAP_WRITE && info->writable))
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "remote", "if that is meant, set its mode to \"ro\"; else give it credentials that may write",
				 "%s can be reached, but not written", who);
	else
		kache_doctor_say(d, KACHE_DOCTOR_OK, "remote", NULL, "%s, %s, opened in %.1f ms, answers in %.1f ms", who,
				 wanted ? "may be written" : "read-only", opened_ms, answer_ms);
}

/* It answers now; but what did builds make of it? Some troubles show only in use, as rights to write to a web server. */
static void say_history(struct kache_doctor *d, const char *url)
{
	const struct kache_account_remote *r = NULL;
	struct kache_account a = { 0 };
	int64_t ago;

	if (!d->store)
		return;
	kache_account_load(d->store->root, &a);
	for (size_t i = 0; i < a.n && !r; i++)
		r = strcmp(a.v[i].url, url) ? NULL : &a.v[i];
	ago = r ? (int64_t)time(NULL) - r->last_error_s : 0;
	if (r && r->last_error && r->state && ago < LATELY_S &&
	    (!strcmp(r->state, "given up") || !strcmp(r->state, "disabled") || !strcmp(r->state, "writes disabled")))
		kache_doctor_say(d, KACHE_DOCTOR_NOTE, "remote", "`kache daemon restart` makes builds try again at once",
				 "%s: %s by the last build that used it, %lld min ago: %s", url, r->state, (long long)ago / 60, r->last_error);
	kache_account_release(&a);
}

static void one(struct kache_doctor *d, const struct kache_conf_remote *which)
{
	uint64_t begun = kache_now_mono(), opened;
	struct kb_limits limits = { .struct_size = sizeof limits };
	struct kache_remote_hints hints;
	struct kache_remote *r;
	struct kache_error err;
	struct kache_call call;
	int status;

	if (kache_remote_check(d->conf, which, &hints, &err)) {
		kache_doctor_say(d, KACHE_DOCTOR_BAD, "remote", "until then builds go on without it", "%s", err.text);
		return;
	}
	kache_call_init(&call, begun + (uint64_t)SECONDS * 1000000000, -1);
	if (kache_remote_open_one(d->conf, which, &call, &r, &status, &err)) {
		say_failed(d, which, &hints, status, err.text);
		free(hints.url);
		return;
	}
	opened = kache_now_mono();
	kache_call_init(&call, opened + (uint64_t)SECONDS * 1000000000, -1);
	status = kache_remote_ping(r, &limits, &call);
	if (status < 0) {
		KACHE_AUTO_FREE char *text = kache_asprintf("%s: %s", hints.url, call.err.text);

		say_failed(d, which, &hints, status, text);
	} else {
		say_well(d, r, &limits, which, hints.writable, (double)(opened - begun) / 1e6,
			 (double)(kache_now_mono() - opened) / 1e6);
		say_history(d, hints.url);
	}
	kache_remote_close(r);
	free(hints.url);
}

void kache_doctor_remote(struct kache_doctor *d)
{
	const struct kache_conf_remote *which;
	size_t n = d->conf ? kache_conf_remotes(d->conf, &which) : 0;

	if (d->conf && !n && kache_conf_bool(d->conf, KACHE_CONF_LOCAL_ONLY))
		kache_doctor_say(d, KACHE_DOCTOR_OK, "remote", NULL, "none is used, for cache.local_only is set (%s)",
				 kache_conf_origin(d->conf, KACHE_CONF_LOCAL_ONLY));
	else if (d->conf && !n)
		kache_doctor_say(d, KACHE_DOCTOR_OK, "remote", NULL, "none is configured");
	for (size_t i = 0; i < n; i++)
		one(d, &which[i]);
}
