/* One small object goes there and back. */
#include "config.h"
#include "cli/cmd.h"
#include "cli/plugin.h"

#include "base/clock.h"
#include "base/hash.h"
#include "remote/remote.h"
#include "remote/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECONDS = 30, OBJECT = 4096, CLOCK_S = 5 };

struct trial {
	struct kache_remote *remote;
	struct kache_call call;
	uint64_t begun;
	char name[64];
	struct kb_key key;
	unsigned char data[OBJECT];
};

static void show_time(char *out, size_t size, uint64_t ns)
{
	double ms = (double)ns / 1e6;

	if (ms < 1)
		snprintf(out, size, "%.0f us", ms * 1000);
	else if (ms < 1000)
		snprintf(out, size, "%.1f ms", ms);
	else
		snprintf(out, size, "%.1f s", ms / 1000);
}

static struct kache_call *begin(struct trial *t)
{
	t->begun = kache_now_mono();
	kache_call_init(&t->call, t->begun + (uint64_t)SECONDS * 1000000000, -1);
	return &t->call;
}

/* A line about a step that began with begin(); problem NULL: it went well. Returns whether it did. */
static bool tell(const struct trial *t, const char *step, const char *problem, const char *note)
{
	char took[32];

	show_time(took, sizeof took, kache_now_mono() - t->begun);
	if (problem)
		printf("%-8s failed after %s: %s\n", step, took, problem);
	else
		printf("%-8s ok, %s%s%s\n", step, took, note ? ", " : "", note ? note : "");
	fflush(stdout);
	return !problem;
}

/* A remote's answer to a step that has to give `wanted`. */
static bool judge(const struct trial *t, const char *step, int rc, int wanted, const char *note)
{
	KACHE_AUTO_FREE char *problem = NULL;

	if (rc < 0)
		problem = kache_asprintf("%s (%s)", t->call.err.text, kache_status_name(rc));
	else if (rc != wanted)
		problem = kache_asprintf("it answers '%s', not '%s'", kache_status_name(rc), kache_status_name(wanted));
	return tell(t, step, problem, note);
}

static bool put(struct trial *t)
{
	const struct kb_put_opts opts = { .struct_size = sizeof opts };
	struct kache_mem_source src;

	kache_mem_source_init(&src, t->data, sizeof t->data);
	return judge(t, "put", kache_remote_put(t->remote, t->key, &src.kb, &opts, begin(t)), KB_OK, "4096 bytes");
}

static bool head(struct trial *t)
{
	KACHE_AUTO_FREE char *note = NULL;
	struct kb_stat st = { .mtime_s = -1, .ttl_s = -1 };
	int rc = kache_remote_head(t->remote, t->key, &st, begin(t));
	int64_t off = st.mtime_s >= 0 ? st.mtime_s - kache_now_real() / 1000000000 : 0;

	if (rc == KB_OK && st.size != sizeof t->data) {
		note = kache_asprintf("it says %" PRIu64 " bytes", st.size);
		return tell(t, "head", note, NULL);
	}
	if (off > CLOCK_S || off < -CLOCK_S)
		note = kache_asprintf("its clock and this one are %" PRId64 " s apart", off < 0 ? -off : off);
	return judge(t, "head", rc, KB_OK, note);
}

static bool get(struct trial *t)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_mem_sink sink;
	int rc;

	kache_mem_sink_init(&sink, &b, 4 * sizeof t->data);
	rc = kache_remote_get(t->remote, t->key, &sink.kb, begin(t));
	if (rc == KB_OK && (b.len != sizeof t->data || memcmp(b.data, t->data, sizeof t->data)))
		return tell(t, "get", "the bytes are not those that were put", NULL);
	return judge(t, "get", rc, KB_OK, "the same bytes");
}

static bool del(struct trial *t)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	struct kache_mem_sink sink;
	int rc = kache_remote_del(t->remote, t->key, begin(t));

	if (rc == KB_E_UNSUPPORTED) {
		printf("%-8s not possible there: %s stays\n", "delete", t->name);
		return true;
	}
	if (!judge(t, "delete", rc, KB_OK, NULL))
		return false;
	kache_mem_sink_init(&sink, &b, 4 * sizeof t->data);
	return judge(t, "get", kache_remote_get(t->remote, t->key, &sink.kb, begin(t)), KB_MISS, "it is gone");
}

static int steps(struct trial *t)
{
	const struct kache_remote_info *info = kache_remote_info(t->remote);
	struct kb_limits limits = { .struct_size = sizeof limits };
	bool good = judge(t, "ping", kache_remote_ping(t->remote, &limits, begin(t)), KB_OK, NULL);

	if (!good)
		return KACHE_EXIT_FAILED;
	if (!info->writable || !(limits.caps & KB_CAP_WRITE))
		return kache_cli_fail("plugin: %s is read-only, by its mode or its credentials; nothing was stored there", info->url);
	if (!put(t))
		return KACHE_EXIT_FAILED;
	good = !info->can_head || head(t);
	good &= get(t);
	good &= del(t);		/* also where it can't be read */
	return good ? KACHE_EXIT_OK : KACHE_EXIT_FAILED;
}

/* A name and bytes that nobody else uses. */
static void make_object(struct trial *t)
{
	const struct { uint64_t real, mono; long pid; } seed = {
		(uint64_t)kache_now_real(), kache_now_mono(), (long)getpid()
	};
	char hex[KACHE_HEX_LEN + 1];
	struct kache_hash h;

	kache_hash_bytes(&seed, sizeof seed, &h);
	for (size_t i = 0; i < sizeof t->data; i += sizeof h.b) {
		memcpy(t->data + i, h.b, sizeof h.b);
		kache_hash_bytes(h.b, sizeof h.b, &h);
	}
	snprintf(t->name, sizeof t->name, "_test/%.32s", kache_hash_hex(&h, hex));
	t->key = (struct kb_key){ t->name, strlen(t->name) };
}

/* A configured remote of that name or that backend. */
static const struct kache_conf_remote *configured(const struct kache_conf *conf, const char *what)
{
	const struct kache_conf_remote *r;
	size_t n = kache_conf_remotes(conf, &r);

	for (size_t i = 0; i < n; i++) {
		struct kache_remote_hints hints;
		bool same = r[i].name && !strcmp(r[i].name, what);

		if (!same && !kache_remote_check(conf, &r[i], &hints, NULL)) {
			same = !strcmp(hints.backend, what);
			free(hints.url);
		}
		if (same)
			return &r[i];
	}
	return NULL;
}

int kache_plugin_test(const struct kache_conf *conf, const char *what)
{
	const struct kache_conf_remote *which = NULL;
	struct trial t = { .remote = NULL };
	struct kache_error err;
	int status, rc;

	if (!strchr(what, ':')) {
		which = configured(conf, what);
		if (!which)
			return kache_cli_fail("plugin: no configured remote is '%s' or uses that backend; give a URL", what);
	}
	make_object(&t);
	begin(&t);
	rc = which ? kache_remote_open_one(conf, which, &t.call, &t.remote, &status, &err)
		   : kache_remote_open(conf, what, t.call.kb.deadline_ns, -1, &t.remote, &err);
	if (!tell(&t, "open", rc ? err.text : NULL, rc ? NULL : kache_remote_info(t.remote)->url))
		return KACHE_EXIT_FAILED;
	status = steps(&t);
	kache_remote_close(t.remote);
	return status;
}
