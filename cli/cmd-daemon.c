/* kache daemon: the process that talks to the remotes. */
#include "config.h"
#include "cli/cmd.h"
#include "cli/daemon-ask.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 10, STOP_S = 20, LINES = 20 };
static const char usage[] =
"usage: kache daemon [status [--json] | run | start | stop | restart | install | uninstall | log [-f] [-n LINES]]\n"
"\n"
"  status     what the daemon of this cache directory is doing (the default); exit status 1 if none runs\n"
"  run        be the daemon, in the foreground\n"
"  start      start it now, not with the next build\n"
"  stop       let it finish what it is doing and end\n"
"  restart    stop and start\n"
"  install    set up and start a service of this user (systemd, launchd)\n"
"  uninstall  remove the service\n"
"  log        the end of its log; -n LINES: so many lines (20), -f: go on as it grows\n";

static int run(int argc, char **argv);
const struct kache_command kache_cmd_daemon = {
	"daemon", "control the process that talks to remotes", usage, run
};

struct options {
	const struct kache_conf *conf;
	bool json, follow;
	unsigned lines;
};

/* ---- status ---- */

static uint64_t number(const json_t *o, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(o, name));
}

static void show_remote(const json_t *r)
{
	const char *state = json_string_value(json_object_get(r, "state"));
	const char *error = json_string_value(json_object_get(r, "last_error"));
	KACHE_AUTO_FREE char *in = kache_show_size(number(r, "bytes_in")), *out = kache_show_size(number(r, "bytes_out"));

	printf("Remote    %s: %s\n", json_string_value(json_object_get(r, "url")), state ? state : "ok");
	printf("          %" PRIu64 " hits, %" PRIu64 " misses, %" PRIu64 " stored, %" PRIu64 " errors, %s in, %s out\n",
	       number(r, "hits"), number(r, "misses"), number(r, "stored"), number(r, "errors"), in, out);
	if (error)
		printf("          last error: %s\n", error);
}

static int show_status(const struct kache_buf *body)
{
	json_t *o = json_loadb(body->data, body->len, 0, NULL);
	const json_t *q = json_object_get(o, "queue"), *remotes = json_object_get(o, "remotes");
	KACHE_AUTO_FREE char *sent = kache_show_size(number(q, "bytes"));

	if (!o)
		return kache_cli_fail("daemon: its answer can't be read");
	printf("Daemon    process %" PRIu64 ", kache %s, up %" PRIu64 " s, of %s\n", number(o, "pid"),
	       json_string_value(json_object_get(o, "version")), number(o, "uptime_s"),
	       json_string_value(json_object_get(o, "cache_dir")));
	printf("Look-ups  %" PRIu64 " under way\n", number(o, "lookups"));
	printf("Uploads   %" PRIu64 " waiting, %" PRIu64 " under way; since its start %" PRIu64 " sent (%s), %" PRIu64 " failed, %" PRIu64 " dropped%s\n",
	       number(q, "waiting"), number(q, "running"), number(q, "sent"), sent, number(q, "failed"), number(q, "dropped"),
	       json_is_true(json_object_get(q, "blocked")) ? "; waiting for the remote" : "");
	for (size_t i = 0; i < json_array_size(remotes); i++)
		show_remote(json_array_get(remotes, i));
	if (!json_array_size(remotes))
		puts("Remote    none is configured");
	json_decref(o);
	return KACHE_EXIT_OK;
}

static int status(const struct options *o)
{
	KACHE_AUTO_BUF struct kache_buf body = KACHE_BUF_INIT;
	struct kache_client c;
	struct kache_error err;
	int rc = kache_cli_daemon_open(o->conf, false, &c, &err);

	if (!rc)
		rc = kache_cli_daemon_ask(&c, KACHE_WIRE_STATUS, true, PATIENCE_S, &body, &err);
	kache_client_release(&c);
	if (rc == KACHE_E_NOENT) {
		if (o->json)
			puts("null");
		else
			printf("no daemon is running for %s\n", kache_conf_str(o->conf, KACHE_CONF_CACHE_DIR));
		return KACHE_EXIT_FAILED;
	}
	if (rc)
		return kache_cli_fail("daemon: %s", err.text);
	return o->json ? kache_cli_print(&body) : show_status(&body);
}

/* ---- run, start, stop ---- */

static int run_here(const struct options *o)
{
	KACHE_AUTO_FREE char *program = kache_cli_daemon_program();
	const char *root = kache_conf_str(o->conf, KACHE_CONF_CACHE_DIR);

	if (program)
		execl(program, "kache-daemon", "--cache-dir", root, (char *)NULL);
	return kache_cli_fail("daemon run: %s: %s", program ? program : "kache-daemon", strerror(errno));
}

static int start(const struct options *o)
{
	KACHE_AUTO_BUF struct kache_buf body = KACHE_BUF_INIT;
	struct kache_store *store;
	struct kache_client c;
	struct kache_error err;
	int rc = kache_cli_store(o->conf, true, &store);

	if (rc)
		return rc;
	kache_store_close(store);
	rc = kache_cli_daemon_open(o->conf, true, &c, &err);
	if (!rc)
		rc = kache_cli_daemon_ask(&c, KACHE_WIRE_PING, false, PATIENCE_S, &body, &err);
	kache_client_release(&c);
	return rc ? kache_cli_fail("daemon start: %s", err.text) : KACHE_EXIT_OK;
}

static int stop(const struct options *o)
{
	uint64_t until = kache_now_mono() + (uint64_t)STOP_S * 1000000000;
	KACHE_AUTO_BUF struct kache_buf body = KACHE_BUF_INIT;
	struct kache_client c;
	struct kache_error err;
	int rc = kache_cli_daemon_open(o->conf, false, &c, &err);

	if (!rc)
		rc = kache_cli_daemon_ask(&c, KACHE_WIRE_STOP, true, PATIENCE_S, &body, &err);
	if (rc == KACHE_E_NOENT) {
		puts("no daemon is running");
		return KACHE_EXIT_OK;
	}
	if (rc)
		return kache_cli_fail("daemon stop: %s", err.text);
	/* It closes its end when it is gone. */
	while (kache_now_mono() < until) {
		struct pollfd p = { .fd = c.fd, .events = POLLIN };
		char byte;

		if (poll(&p, 1, 100) > 0 && read(c.fd, &byte, 1) <= 0) {
			kache_client_release(&c);
			return KACHE_EXIT_OK;
		}
	}
	kache_client_release(&c);
	return kache_cli_fail("daemon stop: it has not ended within %d s", STOP_S);
}

static int restart(const struct options *o)
{
	int rc = stop(o);

	return rc ? rc : start(o);
}

/* ---- service ---- */

static int install(const struct options *o)
{
	KACHE_AUTO_FREE char *full = kache_cli_wrapper();

	if (!full)
		return kache_cli_fail("daemon install: kache is not in PATH");
	return kache_cli_service_install(full, o->conf);
}

static int uninstall(const struct options *o)
{
	(void)o;
	return kache_cli_service_uninstall();
}

/* ---- log ---- */

static int copy_new(int fd)
{
	char buf[8192];
	ssize_t n;

	while ((n = read(fd, buf, sizeof buf)) > 0)
		if (kache_write_all(STDOUT_FILENO, buf, (size_t)n))
			return KACHE_EXIT_FAILED;
	return KACHE_EXIT_OK;
}

static int show_log(const struct options *o)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/daemon.log", kache_conf_str(o->conf, KACHE_CONF_CACHE_DIR));
	KACHE_AUTO_FD int fd = kache_open(path, O_RDONLY, 0);
	KACHE_AUTO_BUF struct kache_buf text = KACHE_BUF_INIT;
	const struct timespec pause = { .tv_nsec = 250000000 };
	size_t from;
	unsigned lines = 0;
	int rc;

	if (fd < 0)
		return kache_cli_fail("daemon log: %s: %s", path, strerror(errno));
	if (kache_file_read(path, 64 << 20, &text) || lseek(fd, (off_t)text.len, SEEK_SET) < 0)
		return kache_cli_fail("daemon log: %s can't be read", path);
	for (from = text.len; from; from--)
		if (text.data[from - 1] == '\n' && from != text.len && ++lines == o->lines)
			break;
	if (kache_write_all(STDOUT_FILENO, text.data ? text.data + from : "", text.len - from))
		return KACHE_EXIT_FAILED;
	while (!(rc = copy_new(fd)) && o->follow)
		nanosleep(&pause, NULL);
	return rc;
}

static const struct {
	const char *name;
	int (*run)(const struct options *);
} verbs[] = {
	{ "status", status }, { "run", run_here }, { "start", start }, { "stop", stop }, { "restart", restart },
	{ "install", install }, { "uninstall", uninstall }, { "log", show_log },
};

static int run(int argc, char **argv)
{
	struct options o = { .lines = LINES };
	const char *verb = argc > 1 && argv[1][0] != '-' ? argv[1] : "status";
	struct kache_conf *conf;
	int rc;

	for (int i = argc > 1 && argv[1][0] != '-' ? 2 : 1; i < argc; i++) {
		char *end = NULL;

		if (!strcmp(argv[i], "--json") && !strcmp(verb, "status"))
			o.json = true;
		else if (!strcmp(argv[i], "-f") && !strcmp(verb, "log"))
			o.follow = true;
		else if (!strcmp(argv[i], "-n") && !strcmp(verb, "log") && i + 1 < argc &&
			 (o.lines = (unsigned)strtoul(argv[i + 1], &end, 10)) > 0 && !*end)
			i++;
		else
			return kache_cli_usage(&kache_cmd_daemon, "unknown argument %s of %s", argv[i], verb);
	}
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (strcmp(verbs[i].name, verb))
			continue;
		if ((rc = kache_cli_conf(&conf)))
			return rc;
		o.conf = conf;
		rc = verbs[i].run(&o);
		kache_conf_free(conf);
		return rc;
	}
	return kache_cli_usage(&kache_cmd_daemon, "unknown command %s", verb);
}
