/* Starting a helper. It is nobody's child here: it belongs to all who use it, and whoever started it may
 * end or live on. */
#include "config.h"
#include "crsh.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRY_MS = 5, GRACE_TRIES = 60 };
enum { REPORT_FD = 3 };		/* in the helper, until it is executed */

extern char **environ;

/* What a helper gets besides the environment of this process. */
struct environment { char **vars; size_t n; };

static void free_environment(struct environment *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->vars[i]);
	free(e->vars);
}

/* Takes var over; NULL is for lack of memory. */
static int add(struct environment *e, char *var)
{
	char **more = var ? realloc(e->vars, (e->n + 2) * sizeof *more) : NULL;

	if (!more) {
		free(var);
		return -1;
	}
	e->vars = more;
	e->vars[e->n++] = var;
	e->vars[e->n] = NULL;
	return 0;
}

__attribute__((format(printf, 2, 3)))
static int add_fmt(struct environment *e, const char *fmt, ...)
{
	char *var = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&var, fmt, ap);
	va_end(ap);
	return n < 0 ? -1 : add(e, var);
}

static int make_environment(const struct crsh_settings *s, struct environment *e)
{
	int bad = 0;

	*e = (struct environment){ NULL, 0 };
	for (char **p = environ; p && *p; p++)
		if (strncmp(*p, "CRSH_", 5))
			bad |= add(e, strdup(*p));
	bad |= add_fmt(e, "CRSH_IPC_ENDPOINT=%s", s->socket);
	bad |= add_fmt(e, "CRSH_URL=%s", s->url);
	bad |= add_fmt(e, "CRSH_IDLE_TIMEOUT=%llu", (unsigned long long)s->idle_s);
	bad |= add_fmt(e, "CRSH_NUM_ATTR=%zu", s->n_attributes);
	for (size_t i = 0; i < s->n_attributes; i++) {
		bad |= add_fmt(e, "CRSH_ATTR_KEY_%zu=%s", i, s->attributes[i].key);
		bad |= add_fmt(e, "CRSH_ATTR_VALUE_%zu=%s", i, s->attributes[i].value);
	}
	return bad;
}

/* In a process that was forked off one with threads: only what POSIX allows there. Reports {pid} before
 * the program runs and {-errno} if it can't. */
static _Noreturn void become(const char *program, char **vars, int report)
{
	char *argv[2] = { (char *)(uintptr_t)program, NULL };
	struct sigaction plain = { .sa_handler = SIG_DFL };
	int null, me = (int)getpid();
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &plain, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(077);
	null = fcntl(open("/dev/null", O_RDWR | O_CLOEXEC), F_DUPFD_CLOEXEC, REPORT_FD + 1);
	report = fcntl(report, F_DUPFD_CLOEXEC, REPORT_FD + 1);
	if (chdir("/") || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || dup3(report, REPORT_FD, O_CLOEXEC) < 0 ||
	    write(REPORT_FD, &me, sizeof me) != sizeof me)
		_exit(127);
	/* Not even a descriptor that somebody forgot may keep a pipe of the build from ending. */
	close_range(REPORT_FD + 1, ~0u, 0);
	execve(program, argv, vars);
	me = -errno;
	(void)!write(REPORT_FD, &me, sizeof me);
	_exit(127);
}

/* Forks twice, so that the helper is adopted by the system and leaves no zombie here. */
static pid_t fork_helper(const char *program, char **vars, int report)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	setsid();
	pid = fork();
	if (!pid)
		become(program, vars, report);
	_exit(pid < 0);
}

/* The next number of the report; KB_MISS at its end. */
static int next(int report, int *number, struct kb_call *call)
{
	ssize_t n;
	int rc = crsh_wait(report, POLLIN, call->deadline_ns, call);

	do
		n = rc ? 0 : read(report, number, sizeof *number);
	while (n < 0 && errno == EINTR);
	return rc ? rc : n == sizeof *number ? KB_OK : KB_MISS;
}

static int spawn(const struct crsh_settings *s, char **vars, int *pid, struct kb_call *call)
{
	int report[2], error = 0, status, rc;
	pid_t child;

	if (pipe2(report, O_CLOEXEC))
		return crsh_host->fail(call, KB_E_LOCAL, "a pipe: %s", strerror(errno));
	child = fork_helper(s->program, vars, report[1]);
	status = errno;
	close(report[1]);
	if (child < 0) {
		close(report[0]);
		return crsh_host->fail(call, KB_E_LOCAL, "starting %.150s: %s", s->program, strerror(status));
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	/* The pipe is closed by the execve, and says something more if that fails. */
	rc = next(report[0], pid, call);
	if (!rc)
		rc = next(report[0], &error, call);
	else if (rc == KB_MISS)
		rc = crsh_host->fail(call, KB_E_LOCAL, "starting %.150s: no process", s->program);
	close(report[0]);
	if (!rc)
		return crsh_host->fail(call, KB_E_CONFIG, "helper: %.150s: %s", s->program, strerror(-error));
	return rc == KB_MISS ? KB_OK : rc;
}

int crsh_start(const struct crsh_settings *s, int *pid, struct kb_call *call)
{
	struct environment e;
	int rc = make_environment(s, &e) ? crsh_host->fail(call, KB_E_LOCAL, "out of memory") : spawn(s, e.vars, pid, call);

	free_environment(&e);
	return rc;
}

/* Under this lock one of many starts the helper, and the others find it started. */
static int lock(const struct crsh_settings *s, int *fd, struct kb_call *call)
{
	char *path = NULL;
	int rc = KB_OK;

	if (asprintf(&path, "%s.lock", s->socket) < 0)
		return crsh_host->fail(call, KB_E_LOCAL, "out of memory");
	*fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*fd < 0)
		rc = crsh_host->fail(call, KB_E_LOCAL, "%.150s: %s", path, strerror(errno));
	while (!rc && flock(*fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			rc = crsh_host->fail(call, KB_E_LOCAL, "%.150s: %s", path, strerror(errno));
		else
			rc = crsh_pause(TRY_MS, call);
	}
	if (rc && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	free(path);
	return rc;
}

/* Until it listens. One that has ended without doing so has something against its settings. */
static int await(const struct crsh_settings *s, int pid, int *fd, struct kb_call *call)
{
	enum crsh_absent why;
	int left = GRACE_TRIES;

	for (;;) {
		int rc = crsh_connect(s->socket, fd, &why, call);

		if (rc || *fd >= 0)
			return rc;
		/* it may have left the work to a child of its own */
		if (kill(pid, 0) && errno == ESRCH && !left--)
			return crsh_host->fail(call, KB_E_TRANSIENT, "%.150s ended as soon as it was started", s->program);
		rc = crsh_pause(TRY_MS, call);
		if (rc == KB_E_TIMEOUT)
			return crsh_host->fail(call, rc, "%.150s was started and does not listen", s->program);
		if (rc)
			return rc;
	}
}

int crsh_reach(const struct crsh_settings *s, int *fd, struct kb_call *call)
{
	enum crsh_absent why;
	int rc = crsh_connect(s->socket, fd, &why, call), locked = -1, pid = 0;

	if (rc || *fd >= 0)
		return rc;
	if (!s->url)
		return crsh_host->fail(call, KB_E_TRANSIENT, "no helper listens on %.150s", s->socket);
	rc = lock(s, &locked, call);
	if (rc)
		return rc;
	rc = crsh_connect(s->socket, fd, &why, call);
	if (!rc && *fd < 0) {
		/* one that was killed leaves its socket, over which the next could not listen */
		if (why == CRSH_REFUSED)
			unlink(s->socket);
		if (why == CRSH_BUSY)
			rc = crsh_host->fail(call, KB_E_TRANSIENT, "the helper takes no more connections");
		else
			rc = crsh_start(s, &pid, call);
		if (!rc)
			rc = await(s, pid, fd, call);
	}
	close(locked);
	return rc;
}
