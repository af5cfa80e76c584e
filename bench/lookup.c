/* lookup CACHE-DIR [IN-FLIGHT]: what a look-up costs that no remote delays, beside a bare echo over the same kind of
 * socket, interleaved. Prints "daemon_us echo_us" (medians). With IN-FLIGHT, so many look-ups are sent and left
 * unanswered first; their number and the daemon's resident memory in KiB are printed instead. */
#include "config.h"

#include "base/buf.h"
#include "base/clock.h"
#include "daemon/client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ROUNDS = 2000 };

static int by_value(const void *a, const void *b)
{
	return *(const uint64_t *)a < *(const uint64_t *)b ? -1 : *(const uint64_t *)a > *(const uint64_t *)b;
}

/* A connection, a request's bytes there, a reply's bytes back. */
static uint64_t echo(const struct sockaddr_un *a)
{
	char buf[256] = { 0 };
	uint64_t began = kache_now_mono();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (const struct sockaddr *)a, sizeof *a) || send(fd, buf, 90, MSG_NOSIGNAL) != 90 || recv(fd, buf, 12, MSG_WAITALL) != 12)
		exit(1);
	close(fd);
	return kache_now_mono() - began;
}

_Noreturn static void serve_echo(const struct sockaddr_un *a)
{
	char buf[256] = { 0 };
	int fd, listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(listener, (const struct sockaddr *)a, sizeof *a) || listen(listener, 16))
		_exit(1);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (recv(fd, buf, 90, MSG_WAITALL) == 90)
			(void)!send(fd, buf, 12, MSG_NOSIGNAL);
		close(fd);
	}
	_exit(0);
}

/* One look-up of something that no remote has, on a connection of its own, as a wrapper makes it. */
static int look_up(const char *root, unsigned n, bool wait, int *fd, uint64_t *ns)
{
	struct kache_client_options o = { .root = root };
	struct kache_wire_request r = { .op = KACHE_WIRE_MANIFEST, .timeout_ms = 60000, .folder = "bench" };
	KACHE_AUTO_BUF struct kache_buf body = KACHE_BUF_INIT;
	struct kache_error err = { 0, "" };
	struct kache_client c = { .o = o, .fd = -1 };
	uint64_t began = kache_now_mono();
	int rc;

	memcpy(&r.key, &n, sizeof n);
	rc = wait ? kache_client_ask(&c, &r, true, began + 5000000000u, &body, &err)
		  : kache_client_tell(&c, &r, began + 5000000000u, &err);
	*ns = kache_now_mono() - began;
	if (rc < 0)
		fprintf(stderr, "lookup: %s\n", err.text);
	if (wait)
		kache_client_release(&c);
	else
		*fd = c.fd;
	return rc;
}

static int in_flight(const char *root, unsigned n)
{
	uint64_t ns;
	int fd;

	for (unsigned i = 0; i < n; i++)
		if (look_up(root, i + 1, false, &fd, &ns))
			return 1;
	sleep(1);	/* until the daemon has taken them all up */
	printf("%u\n", n);
	fflush(stdout);
	sleep(2);	/* whoever started us looks at the daemon meanwhile */
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	static uint64_t daemon_ns[ROUNDS], echo_ns[ROUNDS];
	pid_t child;
	int fd;

	if (argc < 2)
		return 2;
	if (argc > 2)
		return in_flight(argv[1], (unsigned)strtoul(argv[2], NULL, 10));
	snprintf(a.sun_path, sizeof a.sun_path, "/tmp/kache-echo.%ld", (long)getpid());
	child = fork();
	if (!child)
		serve_echo(&a);
	usleep(200000);
	for (int i = 0; i < ROUNDS; i++) {
		if (look_up(argv[1], 7, true, &fd, &daemon_ns[i]) < 0)
			break;
		echo_ns[i] = echo(&a);
	}
	kill(child, SIGKILL);
	unlink(a.sun_path);
	qsort(daemon_ns, ROUNDS, sizeof *daemon_ns, by_value);
	qsort(echo_ns, ROUNDS, sizeof *echo_ns, by_value);
	printf("%.1f %.1f\n", (double)daemon_ns[ROUNDS / 2] / 1000, (double)echo_ns[ROUNDS / 2] / 1000);
	return 0;
}
