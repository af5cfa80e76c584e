/* The crsh backend's table, options and life cycle. */
#include "config.h"
#include "crsh.h"

#include <stdlib.h>

enum { INFLIGHT = 8 };

const struct kb_host *crsh_host;

static const struct kb_opt options[] = {
	{ KB_OPT_STR, 0, 0, 0, "helper", NULL, NULL, NULL, NULL,
	  "program to run: an absolute path, or a name to look for; unset: ccache-storage- and the URL's scheme" },
	{ KB_OPT_STR, KB_OPT_SECRET, 0, 0, "attributes", NULL, NULL, NULL, "KACHE_CRSH_ATTRIBUTES",
	  "settings of the helper's own, as \"key=value key=value\"; a blank within a value is %20" },
	{ KB_OPT_STR, KB_OPT_SECRET, 0, 0, "query", NULL, NULL, NULL, NULL,
	  "what follows a ? in the URL for the helper" },
	{ KB_OPT_MSEC, 0, 0, 7u * 24 * 3600 * 1000, "idle-timeout", NULL, "10m", NULL, NULL,
	  "time without use after which the helper ends; 0s: never" },
	{ 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }
};

static int check(const kb_conf *conf, struct kb_call *call)
{
	struct crsh_settings s;
	int rc = crsh_settings_read(conf, &s, call);

	if (!rc)
		crsh_settings_release(&s);
	return rc;
}

static void close_handle(kb_handle *h)
{
	crsh_drop(h);
	crsh_settings_release(&h->settings);
	free(h->in);
	free(h);
}

static int open_handle(const kb_conf *conf, kb_handle **out, struct kb_limits *limits, struct kb_call *call)
{
	struct kb_handle *h = calloc(1, sizeof *h);
	int rc;

	if (!h)
		return crsh_host->fail(call, KB_E_LOCAL, "out of memory");
	h->fd = -1;
	h->in = malloc(CRSH_BUFFER);
	rc = h->in ? crsh_settings_read(conf, &h->settings, call) : crsh_host->fail(call, KB_E_LOCAL, "out of memory");
	if (!rc)
		rc = crsh_find(&h->settings, call);
	if (!rc)
		rc = crsh_ping(h, limits, call);
	if (rc) {
		close_handle(h);
		return rc;
	}
	limits->max_inflight = INFLIGHT;
	*out = h;
	return KB_OK;
}

/* What a helper's storage is like the protocol does not tell: that is why little is claimed. */
static const struct kb_backend crsh = {
	.magic = KB_MAGIC, .struct_size = sizeof crsh, .abi_major = KB_ABI_MAJOR, .abi_minor = KB_ABI_MINOR,
	.threads = KB_THREADS_PER_HANDLE, .caps = KB_CAP_WRITE,
	.name = "crsh", .version = PACKAGE_VERSION, .summary = "ccache's storage helpers", .schemes = "crsh",
	.opts = options, .opt_size = sizeof options[0],
	.check = check, .open = open_handle, .close = close_handle, .get = crsh_get, .put = crsh_put, .del = crsh_del,
	.ping = crsh_ping,
};

KB_ENTRY(crsh)
{
	crsh_host = kb_host_arg;
	return &crsh;
}
