/* kache sync: the local store against a remote. */
#include "config.h"
#include "cli/cmd.h"
#include "cli/sync.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "remote/tiers.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 16, OPEN_SECONDS = 30, SETTLE_SECONDS = 10 };

struct options {
	const char *backend, *manifest_path;
	bool pull, push, all, workspace, dry_run, allow_partial, json;
};

static atomic_int stop_signal;	/* lock-free: the handler may write it */
static int stop_pipe[2] = { -1, -1 };

static void on_signal(int number)
{
	int saved = errno;

	stop_signal = number;
	(void)!write(stop_pipe[1], "x", 1);	/* nobody reads it: the other end stays readable */
	errno = saved;
}

/* The first signal ends the transfers and cleans up, the second has its default effect. */
static int catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	if (pipe2(stop_pipe, O_CLOEXEC | O_NONBLOCK))
		return kache_cli_fail("sync: %s", strerror(errno));
	sigemptyset(&act.sa_mask);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
		struct sigaction before;

		if (!sigaction(signals[i], NULL, &before) && before.sa_handler != SIG_IGN)
			sigaction(signals[i], &act, NULL);
	}
	return KACHE_EXIT_OK;
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "backend", required_argument, NULL, 'b' }, { "manifest-path", required_argument, NULL, 'm' },
		{ "pull", no_argument, NULL, 'l' }, { "push", no_argument, NULL, 'u' }, { "all", no_argument, NULL, 'a' },
		{ "workspace", no_argument, NULL, 'w' },
		{ "dry-run", no_argument, NULL, 'n' }, { "allow-partial", no_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 }
	};
	extern const struct kache_command kache_cmd_sync;
	int c;

	opterr = 0;
	optind = 0;
	while ((c = getopt_long(argc, argv, ":n", longs, NULL)) != -1) {
		switch (c) {
		case 'b': o->backend = optarg; break;
		case 'm': o->manifest_path = optarg; break;
		case 'l': o->pull = true; break;
		case 'u': o->push = true; break;
		case 'a': o->all = true; break;
		case 'w': o->workspace = true; break;
		case 'n': o->dry_run = true; break;
		case 'p': o->allow_partial = true; break;
		case 'j': o->json = true; break;
		case ':': return kache_cli_usage(&kache_cmd_sync, "%s needs a value", argv[optind - 1]);
		default: return kache_cli_usage(&kache_cmd_sync, "unknown option %s", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return kache_cli_usage(&kache_cmd_sync, "unexpected argument %s", argv[optind]);
	if (o->all && o->manifest_path)
		return kache_cli_usage(&kache_cmd_sync, "--all and --manifest-path exclude each other");
	if (o->all && o->workspace)
		return kache_cli_usage(&kache_cmd_sync, "--all and --workspace exclude each other");
	if (!o->pull && !o->push)
		o->pull = o->push = true;
	return KACHE_EXIT_OK;
}

/* Drops the direction that the remote can't have, unless it was all that was asked for. */
static int check_directions(struct kache_sync *s, bool writable)
{
	const struct kache_remote_info *info = kache_remote_info(s->share.remote);

	if (s->pull && !info->can_list)
		return kache_cli_fail("sync: the %s backend can't list what it has, so only --push works with it", info->backend);
	if (s->push && !writable) {
		if (!s->pull)
			return kache_cli_fail("sync: %s is read-only", info->url);
		kache_warn("sync: %s is read-only; pulling only", info->url);
		s->push = false;
	}
	if (s->pull && s->share.store->readonly) {
		if (!s->push)
			return kache_cli_fail("sync: the cache directory %s can't be written", s->share.store->root);
		kache_warn("sync: the cache directory %s can't be written; pushing only", s->share.store->root);
		s->pull = false;
	}
	return KACHE_EXIT_OK;
}

static void print_plan(const struct kache_sync_plan *plan)
{
	static const char *const verbs[] = { "pull", "push" };
	char hex[KACHE_HEX_LEN + 1];

	for (size_t i = 0; i < plan->n_packs; i++) {
		const struct kache_sync_job *j = &plan->jobs[i];

		printf("%s %s/%s %" PRIu64 "\n", verbs[j->kind], j->folder, kache_hash_hex(&j->hash, hex), j->size);
	}
}

static void json_summary(const struct options *o, const struct kache_sync_plan *plan, const struct kache_sync_totals *t,
			 const struct kache_remote_stats *stats, struct kache_buf *out)
{
	static const char *const names[] = { "pulled", "pushed", "manifests" };
	struct kache_json j = { .out = out };

	kache_json_open(&j, NULL, '{');
	kache_json_bool(&j, "dry_run", o->dry_run);
	kache_json_u64(&j, "in_both", plan->both);
	for (size_t i = 0; i < KACHE_SYNC_KINDS; i++) {
		size_t planned = 0;

		for (size_t k = 0; k < plan->n; k++)
			planned += plan->jobs[k].kind == i;
		kache_json_open(&j, names[i], '{');
		kache_json_u64(&j, "planned", planned);
		kache_json_u64(&j, "done", t->kind[i].done);
		kache_json_u64(&j, "unchanged", t->kind[i].nothing);
		kache_json_u64(&j, "skipped", t->kind[i].skipped);
		kache_json_u64(&j, "failed", t->kind[i].failed);
		kache_json_u64(&j, "bytes", t->kind[i].bytes);
		kache_json_close(&j, '}');
	}
	kache_json_u64(&j, "retries", atomic_load(&stats->retries));
	kache_json_bool(&j, "complete", !t->cancelled && !t->gave_up);
	kache_json_close(&j, '}');
	kache_buf_ch(out, '\n');
}

static void text_summary(const struct kache_sync_plan *plan, const struct kache_sync_totals *t, struct kache_buf *out)
{
	KACHE_AUTO_FREE char *in = kache_show_size(t->kind[KACHE_SYNC_PULL].bytes);
	KACHE_AUTO_FREE char *sent = kache_show_size(t->kind[KACHE_SYNC_PUSH].bytes);
	size_t failed = 0, skipped = 0;

	for (size_t i = 0; i < KACHE_SYNC_KINDS; i++) {
		failed += t->kind[i].failed;
		skipped += t->kind[i].skipped;
	}
	kache_buf_fmt(out, "pulled %zu (%s), pushed %zu (%s), %zu on both sides already, %zu manifests updated",
		      t->kind[KACHE_SYNC_PULL].done, in, t->kind[KACHE_SYNC_PUSH].done, sent,
		      plan->both + t->kind[KACHE_SYNC_PUSH].nothing, t->kind[KACHE_SYNC_MANIFEST].done);
	if (skipped)
		kache_buf_fmt(out, ", %zu skipped", skipped);
	kache_buf_fmt(out, ", %zu failed%s\n", failed, t->gave_up ? "; gave up" : "");
}

static void dry_summary(const struct kache_sync_plan *plan, struct kache_buf *out)
{
	size_t pull = 0;

	for (size_t i = 0; i < plan->n_packs; i++)
		pull += plan->jobs[i].kind == KACHE_SYNC_PULL;
	kache_buf_fmt(out, "would pull %zu, push %zu and compare %zu manifests; %zu are on both sides already\n", pull,
		      plan->n_packs - pull, plan->n - plan->n_packs, plan->both);
}

static int transfer(struct kache_sync *s, const struct options *o)
{
	KACHE_AUTO_BUF struct kache_buf out = KACHE_BUF_INIT;
	struct kache_sync_totals totals = { 0 };
	struct kache_sync_plan plan;
	struct kache_error err;
	int status, failed = 0;

	if (kache_sync_plan(s, &plan, &err)) {
		kache_sync_plan_release(&plan);
		return stop_signal ? KACHE_EXIT_FAILED : kache_cli_fail("sync: %s", err.text);
	}
	if (!o->dry_run)
		kache_sync_run(s, &plan, THREADS, &stop_signal, &totals);
	else if (!o->json)
		print_plan(&plan);
	if (o->json)
		json_summary(o, &plan, &totals, kache_remote_stats(s->share.remote), &out);
	else if (o->dry_run)
		dry_summary(&plan, &out);
	else
		text_summary(&plan, &totals, &out);
	status = kache_cli_print(&out);
	for (size_t i = 0; i < KACHE_SYNC_KINDS; i++)
		failed |= totals.kind[i].failed != 0;
	if (((failed || totals.gave_up) && !o->allow_partial) || totals.cancelled)
		status = KACHE_EXIT_FAILED;
	kache_sync_plan_release(&plan);
	return status;
}

/* The one that is named, or those of the configuration. */
static int open_remote(const struct kache_conf *conf, struct kache_sync *s, const struct options *o, bool *writable,
		       struct kache_error *err)
{
	uint64_t until = kache_now_mono() + (uint64_t)OPEN_SECONDS * 1000000000;
	struct kb_limits limits = { .struct_size = sizeof limits };
	const struct kache_conf_remote *remotes;
	struct kache_call call;
	int rc;

	if (o->backend || kache_conf_remotes(conf, &remotes) < 2) {
		rc = kache_remote_open(conf, o->backend, until, s->share.cancel_fd, &s->share.remote, err);
		*writable = !rc && kache_remote_info(s->share.remote)->writable;
		if (!rc)
			kache_remote_patient(s->share.remote);
		return rc;
	}
	rc = kache_tiers_open(conf, &s->share.remote, err);
	if (rc)
		return rc;
	kache_call_init(&call, until, s->share.cancel_fd);
	if (kache_remote_ping(s->share.remote, &limits, &call)) {
		kache_remote_close(s->share.remote);
		s->share.remote = NULL;
		return kache_fail(err, KACHE_E_REMOTE, "%s", call.err.text);
	}
	for (size_t i = 0; i < kache_tiers_count(s->share.remote); i++) {
		struct kache_tier_state t;

		kache_tiers_info(s->share.remote, i, &t);
		if (strcmp(t.state, "ok"))
			kache_warn("sync: going on without %s: %s", t.url, t.last_error);
	}
	*writable = limits.caps & KB_CAP_WRITE && kache_remote_info(s->share.remote)->writable;
	s->tiers = true;
	return KACHE_OK;
}

static int with_remote(const struct kache_conf *conf, struct kache_sync *s, const struct options *o)
{
	struct kache_error err;
	bool writable = false;
	int status;

	if (!s->all && kache_sync_lock(o->manifest_path, o->workspace, &s->folders, &err))
		return kache_cli_fail("sync: %s", err.text);
	if (open_remote(conf, s, o, &writable, &err))
		return kache_cli_fail("%s", err.text);
	status = kache_cli_store(conf, s->pull, &s->share.store);
	if (!status)
		status = check_directions(s, writable);
	if (!status)
		status = transfer(s, o);
	if (s->tiers && !stop_signal)
		kache_tiers_settle(s->share.remote, kache_now_mono() + (uint64_t)SETTLE_SECONDS * 1000000000);
	kache_store_close(s->share.store);
	kache_remote_close(s->share.remote);
	return status;
}

static int run(int argc, char **argv)
{
	struct options o = { 0 };
	struct kache_sync s = { 0 };
	struct kache_conf *conf;
	int status = parse(argc, argv, &o);

	if (!status)
		status = kache_cli_conf(&conf);
	if (status)
		return status;
	s.pull = o.pull;
	s.push = o.push;
	s.all = o.all;
	s.share.level = (unsigned)kache_conf_u64(conf, KACHE_CONF_COMPRESSION);
	status = catch_signals();
	s.share.cancel_fd = stop_pipe[0];
	if (!status)
		status = with_remote(conf, &s, &o);
	kache_strs_release(&s.folders);
	kache_conf_free(conf);
	if (stop_signal) {	/* everything is put away: now let the shell see why it ended */
		signal(stop_signal, SIG_DFL);
		raise(stop_signal);
	}
	return status;
}

const struct kache_command kache_cmd_sync = {
	.name = "sync",
	.summary = "exchange results with a remote",
	.usage =
"Usage: kache sync [--backend URL] [--pull] [--push] [--all | --workspace] [options]\n"
"\n"
"Brings what the remote has and the local store lacks, and the other way round. Only the\n"
"packages of the nearest Cargo.lock take part, unless --all.\n"
"\n"
"  --backend URL         the remote, as file:///path (default: the configured one)\n"
"  --pull, --push        only this direction\n"
"  --all                 every package\n"
"  --workspace           only the packages of the workspace itself, not what it depends on\n"
"  --manifest-path FILE  take the Cargo.lock that belongs to this Cargo.toml\n"
"  -n, --dry-run         show what would travel\n"
"  --allow-partial       exit 0 even if something could not be transferred\n"
"  --json                the summary as JSON\n",
	.run = run,
};
