#include "config.h"
#include "wrapper/ask.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "daemon/client.h"
#include "daemon/queue-file.h"
#include "wrapper/run.h"
#include "wrapper/warn.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	HOLD_S = 30,		/* a daemon that did not answer is left alone for so long */
	SLACK_MS = 400,		/* the daemon's own clock runs out first, so that it can say why */
	ENTRY_TIMES = 20,	/* a download may take so many times the patience, while bytes flow */
	TELL_MS = 300
};

static struct kache_client client = { .fd = -1 };
static bool ready;

static bool daemon_off(const struct kache_call *c)
{
	return !strcmp(kache_conf_str(c->conf, KACHE_CONF_DAEMON), "off");
}

/* ---- the wrapper's own breaker ---- */

/* Other compiles of this and of other builds see it too: the file's time says since when. */
static char *down_file(const struct kache_call *c)
{
	return kache_store_file(c->store, "daemon.down");
}

static bool is_down(const struct kache_call *c)
{
	KACHE_AUTO_FREE char *path = down_file(c);
	struct kache_stat st;
	int64_t age;

	if (kache_stat(path, false, &st))
		return false;
	age = kache_now_real() - st.mtime;
	return age >= 0 && age < (int64_t)HOLD_S * 1000000000;
}

/* With cache.daemon = "require" the daemon is never left alone, and every compile that can't reach it says so. */
static bool required(const struct kache_call *c)
{
	return !strcmp(kache_conf_str(c->conf, KACHE_CONF_DAEMON), "require");
}

static void note_down(const struct kache_call *c, const struct kache_error *err)
{
	KACHE_AUTO_FREE char *path = down_file(c), *text = NULL;

	if (required(c)) {
		kache_warn("remote cache: %s (cache.daemon is require); going on with the local one", err->text);
		return;
	}
	(void)kache_file_replace(path, err->text, strlen(err->text), 0644);
	text = kache_asprintf("remote cache: %s; going on with the local one for %d s", err->text, HOLD_S);
	kache_warn_plain("remote", text);
}

static void note_up(const struct kache_call *c)
{
	KACHE_AUTO_FREE char *path = down_file(c);

	unlink(path);
}

bool kache_ask_possible(struct kache_call *c)
{
	return kache_conf_has_remote(c->conf) && !c->store->readonly && (required(c) || !is_down(c));
}

/* ---- asking ---- */

static bool get_ready(struct kache_call *c)
{
	static const char *files[3] = { KACHE_CONF_SYSTEM_FILE, NULL, NULL };
	struct kache_client_options o = { .root = c->store->root, .files = files, .start = true };
	char *program, *real;
	bool named;

	if (ready)
		return true;
	/* These live as long as the process. The daemon knows itself by its real path. */
	program = kache_program("kache-daemon");
	real = program ? kache_path_real(program) : NULL;
	if (!real) {
		free(program);
		if (required(c)) {
			struct kache_error err;

			kache_fail(&err, KACHE_E_NOENT, "kache-daemon is not installed beside kache");
			note_down(c, &err);
			return false;
		}
		kache_warn_plain("remote", "remote cache: kache-daemon is not installed beside kache; using the local one only");
		return false;
	}
	free(program);
	files[1] = kache_conf_user_file(&named);
	o.program = real;
	o.own = daemon_off(c);
	kache_client_init(&client, &o);
	ready = true;
	return true;
}

static int ask(struct kache_call *c, uint16_t op, const struct kache_hash *key, unsigned times, struct kache_buf *body)
{
	uint64_t patience = kache_conf_u64(c->conf, KACHE_CONF_REMOTE_TIMEOUT);
	struct kache_wire_request r = { .op = op, .timeout_ms = (uint32_t)patience, .key = *key };
	struct kache_error err;
	size_t len = strlen(c->package);
	int rc;

	if (!get_ready(c))
		return KACHE_E_NOENT;
	/* As kache_share_folder makes it: the package's name in the alphabet of keys. */
	kache_wire_folder(c->package, len, r.folder);
	rc = kache_client_ask(&client, &r, false, kache_now_mono() + (patience * times + SLACK_MS) * 1000000, body, &err);
	kache_debug("remote: %s %s: %s", op == KACHE_WIRE_MANIFEST ? "manifest of" : "entry of", r.folder,
		    rc < 0 ? err.text : kache_wire_status_name(rc));
	if (rc < 0) {
		note_down(c, &err);
		return rc;
	}
	if (rc == KACHE_WIRE_TIMEOUT)
		kache_debug("remote: no answer from the remote in time");
	return rc == KACHE_WIRE_OK ? KACHE_OK : KACHE_E_NOENT;
}

/* A remote is not trusted with meaning: each set has to lead to the result that its inputs give. */
static bool sound(const struct kache_call *c, const struct kache_manifest *m)
{
	for (size_t i = 0; i < m->n_sets; i++) {
		struct kache_hash result;

		kache_manifest_result(m, &c->invocation, &m->sets[i], &result);
		if (!kache_hash_eq(&result, &m->sets[i].result))
			return false;
	}
	return kache_hash_eq(&m->invocation, &c->invocation);
}

int kache_ask_manifest(struct kache_call *c, struct kache_manifest *m)
{
	KACHE_AUTO_BUF struct kache_buf body = KACHE_BUF_INIT;
	int rc = ask(c, KACHE_WIRE_MANIFEST, &c->invocation, 1, &body);

	if (rc)
		return rc;
	rc = kache_manifest_decode(body.data, body.len, m);
	if (rc)
		return rc;
	if (!sound(c, m)) {
		kache_manifest_release(m);
		return KACHE_E_CORRUPT;
	}
	return KACHE_OK;
}

int kache_ask_entry(struct kache_call *c, const struct kache_hash *result)
{
	KACHE_AUTO_BUF struct kache_buf body = KACHE_BUF_INIT;

	return ask(c, KACHE_WIRE_ENTRY, result, ENTRY_TIMES, &body);
}

void kache_ask_upload(struct kache_call *c, const struct kache_hash *result)
{
	struct kache_wire_request r = { .op = KACHE_WIRE_QUEUED };
	char folder[KACHE_WIRE_FOLDER_MAX + 1];
	struct kache_hash remotes;
	struct kache_error err;

	if (!kache_conf_has_remote(c->conf) || kache_conf_bool(c->conf, KACHE_CONF_READONLY))
		return;
	kache_wire_folder(c->package, strlen(c->package), folder);
	kache_conf_remote_id(c->conf, &remotes);
	if (kache_queue_put(c->store->root, result, &c->invocation, &remotes, folder))
		return;		/* a full disk: the next sync will find it missing */
	/* What is in the queue is sent sooner or later; only who is told sends it now. */
	if (is_down(c) || !get_ready(c))
		return;
	if (kache_client_tell(&client, &r, kache_now_mono() + (uint64_t)TELL_MS * 1000000, &err))
		kache_debug("remote: %s", err.text);
	else
		note_up(c);
}

void kache_ask_end(void)
{
	kache_client_release(&client);
}
