#include "config.h"
#include "daemon/client.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/strs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

int kache_daemon_address(const char *root, struct sockaddr_un *out, int *dir_fd)
{
	const char name[] = "/daemon.sock";
	int n;

	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*dir_fd = -1;
	n = snprintf(out->sun_path, sizeof out->sun_path, "%s%s", root, name);
	if (n > 0 && (size_t)n < sizeof out->sun_path)
		return KACHE_OK;
	*dir_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir_fd < 0)
		return KACHE_E_IO;
	snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d%s", *dir_fd, name);
	return KACHE_OK;
}

/* ---- fingerprint ---- */

/* What only a compile cares about may differ between two users of one daemon. */
static bool matters(const char *var)
{
	static const char *const prefixes[] = {
		"KACHE_", "AWS_", "http_proxy=", "https_proxy=", "HTTPS_PROXY=", "no_proxy=", "NO_PROXY=", "all_proxy=",
		"ALL_PROXY=", "SSL_CERT_FILE=", "SSL_CERT_DIR=", "HOME=", "XDG_CONFIG_HOME=", NULL
	};
	static const char *const compiles[] = {
		"KACHE_CACHE_DIR=", "KACHE_LOG=", "KACHE_LOG_FILE=", "KACHE_DISABLED=", "KACHE_READONLY=", "KACHE_RECACHE=", "KACHE_LINK=",
		"KACHE_CACHE_EXECUTABLES=", "KACHE_INCREMENTAL=", "KACHE_OBSERVE=", "KACHE_KEY_SALT=", "KACHE_KEY_ENV=",
		"KACHE_BASE_DIR=", "KACHE_REMAP=", "KACHE_PREFILL=", "KACHE_DAEMON=", "KACHE_DAEMON_IDLE=", "KACHE_CLEAN_INCREMENTAL=", "KACHE_REMOTE_TIMEOUT=", NULL
	};

	return !kache_starts_any(var, compiles) && kache_starts_any(var, prefixes);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_file(struct kache_buf *b, const char *path)
{
	struct kache_stat st = { 0 };

	kache_buf_str(b, path);
	if (!kache_stat(path, true, &st))
		kache_buf_fmt(b, " %llu %llu %llu %lld", (unsigned long long)st.dev, (unsigned long long)st.ino,
			      (unsigned long long)st.size, (long long)st.mtime);
	kache_buf_ch(b, '\0');
}

void kache_client_fingerprint(const struct kache_client_options *o, struct kache_hash *out)
{
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT;
	size_t n = 0, kept = 0;
	char **vars;

	while (environ[n])
		n++;
	vars = kache_calloc(n + 1, sizeof *vars);
	for (size_t i = 0; i < n; i++)
		if (matters(environ[i]))
			vars[kept++] = environ[i];
	if (kept)
		qsort(vars, kept, sizeof *vars, by_text);
	kache_buf_str(&b, PACKAGE_VERSION);
	kache_buf_ch(&b, '\0');
	for (size_t i = 0; i < kept; i++)
		kache_buf_add(&b, vars[i], strlen(vars[i]) + 1);
	free(vars);
	if (o->program)
		add_file(&b, o->program);
	for (const char *const *f = o->files; f && *f; f++)
		add_file(&b, *f);
	kache_hash_bytes(b.data, b.len, out);
	explicit_bzero(b.data, b.len);	/* credentials may have passed through here */
}

/* ---- starting ---- */

/* For the life of the daemon: not the build's variables, job tokens and descriptors. */
static void leave_the_build(void)
{
	static const char *const prefixes[] = { "CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS=", "MAKEFLAGS=", "MFLAGS=", "OUT_DIR=", NULL };
	char **to = environ;

	for (char **from = environ; *from; from++)
		if (!kache_starts_any(*from, prefixes))
			*to++ = *from;
	*to = NULL;
}

static int log_file(const char *root)
{
	KACHE_AUTO_FREE char *path = kache_asprintf("%s/daemon.log", root);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? open("/dev/null", O_WRONLY | O_CLOEXEC) : fd;
}

/* In the child: becomes kache-daemon with `link` as descriptor 3: the end of a pipe that closes when it is
 * ready, or the connection it is to serve. */
_Noreturn static void become(const struct kache_client_options *o, int link, bool serve)
{
	char *const argv[] = { (char *)"kache-daemon", (char *)"--cache-dir", (char *)o->root,
			       (char *)(serve ? "--serve" : "--ready"), (char *)"3", NULL };
	int null, log = log_file(o->root);

	leave_the_build();
	setsid();
	if (chdir("/"))
		_exit(126);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* None of the targets may be a source that is still needed. */
	if (link <= 3)
		link = fcntl(link, F_DUPFD_CLOEXEC, 10);
	if (log <= 3)
		log = fcntl(log, F_DUPFD_CLOEXEC, 10);
	if (null < 0 || link < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(log < 0 ? null : log, 2) < 0 ||
	    dup2(link, 3) < 0)
		_exit(126);
	/* Somebody's descriptors without the close-on-exec flag (cargo's job tokens) end here. */
	for (int fd = 4; fd < 256; fd++)
		close(fd);
	execv(o->program, argv);
	_exit(127);
}

/* Two forks, so that nobody has to wait for it and it outlives its starter. */
static int spawn(const struct kache_client_options *o, int link, bool serve)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return KACHE_E_IO;
	if (!pid) {
		pid = fork();
		if (!pid)
			become(o, link, serve);
		_exit(pid < 0);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return KACHE_E_IO;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? KACHE_OK : KACHE_E_IO;
}

static int wait_fd(int fd, short events, uint64_t deadline_ns)
{
	for (;;) {
		uint64_t now = kache_now_mono();
		struct pollfd p = { .fd = fd, .events = events };
		int n;

		if (now >= deadline_ns)
			return KACHE_E_BUSY;
		n = poll(&p, 1, (int)((deadline_ns - now + 999999) / 1000000));
		if (n > 0)
			return KACHE_OK;
		if (n < 0 && errno != EINTR)
			return KACHE_E_IO;
	}
}

static int start(const struct kache_client_options *o, uint64_t deadline_ns)
{
	int ready[2], rc;
	char c;

	if (pipe2(ready, O_CLOEXEC))
		return KACHE_E_IO;
	rc = spawn(o, ready[1], false);
	close(ready[1]);
	/* Ready, failed or beaten by another: in each case it closes its end. */
	if (!rc)
		rc = wait_fd(ready[0], POLLIN, deadline_ns);
	if (!rc)
		(void)!read(ready[0], &c, 1);
	close(ready[0]);
	return rc;
}

static int start_child(struct kache_client *c, struct kache_error *err)
{
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return kache_fail_errno(err, "socket");
	rc = spawn(&c->o, pair[1], true);
	close(pair[1]);
	if (rc) {
		close(pair[0]);
		return kache_fail(err, KACHE_E_IO, "%s can't be started", c->o.program);
	}
	c->fd = pair[0];
	c->child = true;
	return KACHE_OK;
}

/* ---- connecting ---- */

/* Somebody else's process may have put its socket there. */
static bool ours(int fd)
{
#ifdef SO_PEERCRED
	struct ucred cred;
	socklen_t len = sizeof cred;

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) && cred.uid == geteuid();
#else
	uid_t uid;
	gid_t gid;

	return !getpeereid(fd, &uid, &gid) && uid == geteuid();
#endif
}

static int connect_once(struct kache_client *c, struct kache_error *err)
{
	struct sockaddr_un address;
	int dir, fd, rc;

	if (kache_daemon_address(c->o.root, &address, &dir))
		return kache_fail_errno(err, "cache directory %s", c->o.root);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	rc = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof address);
	if (dir >= 0) {
		int saved = errno;

		close(dir);
		errno = saved;
	}
	if (!rc && ours(fd)) {
		c->fd = fd;
		return KACHE_OK;
	}
	if (!rc)
		rc = kache_fail(err, KACHE_E_INVALID, "%s/daemon.sock belongs to another user's process", c->o.root);
	else if (errno == ENOENT || errno == ECONNREFUSED)
		rc = kache_fail(err, KACHE_E_NOENT, "no daemon is running");
	else
		rc = kache_fail_errno(err, "daemon");
	if (fd >= 0)
		close(fd);
	return rc;
}

static int connect_or_start(struct kache_client *c, uint64_t deadline_ns, struct kache_error *err)
{
	int rc;

	if (c->fd >= 0)
		return KACHE_OK;
	if (c->o.own)
		return start_child(c, err);
	rc = connect_once(c, err);
	for (unsigned ms = 1; rc == KACHE_E_NOENT && c->o.start; ms *= 2) {
		const struct timespec pause = { .tv_nsec = (long)(ms > 64 ? 64 : ms) * 1000000 };

		if (start(&c->o, deadline_ns))
			return kache_fail(err, KACHE_E_BUSY, "the daemon does not start in time");
		rc = connect_once(c, err);
		if (rc != KACHE_E_NOENT)
			break;
		if (kache_now_mono() + (uint64_t)pause.tv_nsec >= deadline_ns || ms > 4096)
			return kache_fail(err, KACHE_E_BUSY, "the daemon does not start; %s/daemon.log may tell why", c->o.root);
		nanosleep(&pause, NULL);
	}
	return rc;
}

static void disconnect(struct kache_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->child = false;
}

static int send_all(int fd, const char *p, size_t len, uint64_t deadline_ns)
{
	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			int rc = wait_fd(fd, POLLOUT, deadline_ns);

			if (rc)
				return rc;
		} else if (n < 0 && errno != EINTR) {
			return KACHE_E_IO;
		}
	}
	return KACHE_OK;
}

static int receive(int fd, char *p, size_t len, uint64_t deadline_ns)
{
	while (len) {
		int rc = wait_fd(fd, POLLIN, deadline_ns);
		ssize_t n = rc ? 0 : recv(fd, p, len, MSG_DONTWAIT);

		if (rc)
			return rc;
		if (!n)
			return KACHE_E_NOENT;	/* it ended */
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return errno == ECONNRESET ? KACHE_E_NOENT : KACHE_E_IO;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return KACHE_OK;
}

static int exchange(struct kache_client *c, const struct kache_buf *request, uint64_t deadline_ns, struct kache_buf *body)
{
	unsigned char head[KACHE_WIRE_REPLY];
	uint16_t status;
	uint32_t len;
	int rc = send_all(c->fd, request->data, request->len, deadline_ns);

	if (rc == KACHE_E_IO && (errno == EPIPE || errno == ECONNRESET))
		rc = KACHE_E_NOENT;
	if (!rc)
		rc = receive(c->fd, (char *)head, sizeof head, deadline_ns);
	if (rc)
		return rc;
	if (kache_wire_reply_decode(head, &status, &len))
		return KACHE_E_INVALID;
	rc = receive(c->fd, kache_buf_reserve(body, len), len, deadline_ns);
	if (rc)
		return rc;
	body->len += len;
	body->data[body->len] = '\0';
	return status;
}

static int explain(const struct kache_client *c, int rc, struct kache_error *err)
{
	switch (rc) {
	case KACHE_E_BUSY:
		return kache_fail(err, rc, "the daemon does not answer in time");
	case KACHE_E_NOENT:
		return kache_fail(err, rc, "the daemon has ended; %s/daemon.log may tell why", c->o.root);
	case KACHE_E_INVALID:
		return kache_fail(err, rc, "the daemon speaks another language");
	default:
		return kache_fail_errno(err, "daemon");
	}
}

int kache_client_ask(struct kache_client *c, struct kache_wire_request *r, bool any, uint64_t deadline_ns,
		     struct kache_buf *body, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf request = KACHE_BUF_INIT;

	if (!any)
		r->fingerprint = c->fingerprint;
	kache_wire_request_encode(r, &request);
	for (int attempt = 0;; attempt++) {
		size_t before = body->len;
		int rc = connect_or_start(c, deadline_ns, err);

		if (rc)
			return rc;
		rc = exchange(c, &request, deadline_ns, body);
		if (rc == KACHE_WIRE_FOREIGN && c->o.program) {
			/* Two builds with different settings would go on ending each other's daemon. */
			disconnect(c);
			c->o.own = true;
		} else if (rc != KACHE_WIRE_STALE && rc != KACHE_WIRE_VERSION_OTHER && rc != KACHE_E_NOENT) {
			if (rc < 0) {
				disconnect(c);
				return explain(c, rc, err);
			}
			return rc;
		}
		/* It has ended, or is about to. */
		disconnect(c);
		body->len = before;
		if (attempt == 3 || (!c->o.start && !c->o.own))
			return rc >= 0 ? rc : explain(c, rc, err);
	}
}

int kache_client_tell(struct kache_client *c, struct kache_wire_request *r, uint64_t deadline_ns, struct kache_error *err)
{
	KACHE_AUTO_BUF struct kache_buf request = KACHE_BUF_INIT;
	int rc = connect_or_start(c, deadline_ns, err);

	r->fingerprint = (struct kache_hash){ 0 };
	kache_wire_request_encode(r, &request);
	if (!rc && send_all(c->fd, request.data, request.len, deadline_ns))
		rc = kache_fail_errno(err, "daemon");
	return rc;
}

void kache_client_init(struct kache_client *c, const struct kache_client_options *o)
{
	*c = (struct kache_client){ .o = *o, .fd = -1 };
	kache_client_fingerprint(o, &c->fingerprint);
}

void kache_client_release(struct kache_client *c)
{
	disconnect(c);
}
