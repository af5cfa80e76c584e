/* credential_process: a program of the user's that prints credentials. Run without a shell. */
#include "config.h"
#include "cred-parts.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGS_MAX = 64, OUTPUT_MAX = 64 << 10, LIMIT_MS = 10000, REAP_MS = 10 };

extern char **environ;

/* ---- words ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* One word of *s, as a shell would see it, but for variables and the like: to its place at `to`, NULL for an open
 * quote. In "…" only \" and \\ are more than two characters. */
static char *word(char **s, char *to)
{
	char quote = '\0', *p;

	for (p = *s; *p && (quote || !is_blank(*p)); p++) {
		if (quote && *p == quote)
			quote = '\0';
		else if (!quote && (*p == '\'' || *p == '"'))
			quote = *p;
		else if (*p == '\\' && p[1] && (!quote || (quote == '"' && (p[1] == '"' || p[1] == '\\'))))
			*to++ = *++p;
		else if (*p == '\\' && !p[1])
			return NULL;
		else
			*to++ = *p;
	}
	*s = p;
	return quote ? NULL : to;
}

/* In place; argv ends with NULL. False for what can't be split, or is too much. */
static bool split(char *s, char **argv)
{
	size_t n = 0;

	for (;;) {
		char *start, *end;
		bool last;

		while (is_blank(*s))
			s++;
		if (!*s)
			break;
		if (n == ARGS_MAX - 1)
			return false;
		start = s;
		end = word(&s, start);
		if (!end)
			return false;
		last = !*s;
		*end = '\0';
		argv[n++] = start;
		if (last)
			break;
		s++;
	}
	argv[n] = NULL;
	return n && *argv[0];
}

/* ---- the child ---- */

/* The environment with AWS_PROFILE; its last string is ours. Made before the fork, after which nothing may allocate. */
static char **child_env(const char *profile, char **ours)
{
	size_t n = 0, k = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 2, sizeof *env);
	if (!env || asprintf(ours, "AWS_PROFILE=%s", profile) < 0) {
		free(env);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "AWS_PROFILE=", 12))
			env[k++] = environ[i];
	env[k] = *ours;
	return env;
}

/* In a process group of its own, for all of it to be stopped. Every descriptor of ours is close-on-exec. */
static void be_child(char **argv, char **env, int out)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	setpgid(0, 0);
	sigemptyset(&none);
	signal(SIGPIPE, SIG_DFL);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(null, 2) < 0)
		_exit(126);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	execvpe(argv[0], argv, env);
	_exit(127);
}

static pid_t start(char **argv, const char *profile, int *out)
{
	char *ours = NULL, **env = child_env(profile, &ours);
	pid_t pid = -1;
	int p[2];

	if (env && !pipe2(p, O_CLOEXEC)) {
		pid = fork();
		if (!pid)
			be_child(argv, env, p[1]);
		close(p[1]);
		if (pid < 0)
			close(p[0]);
		else
			setpgid(pid, pid);
		*out = p[0];
	}
	free(env);
	free(ours);
	return pid;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Waits for fd (-1: for at most `ms`). KB_OK, KB_E_TIMEOUT or KB_E_CANCELLED. */
static int wait_for(int fd, int ms, uint64_t until, const struct kb_call *call)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = call->cancel_fd, .events = POLLIN } };

	for (;;) {
		uint64_t now = now_ns();
		int left = now < until ? (int)((until - now) / 1000000 + 1) : 0;
		int n;

		if (!left)
			return KB_E_TIMEOUT;
		n = poll(p, 2, ms >= 0 && ms < left ? ms : left);
		if (n > 0 && p[1].revents)
			return KB_E_CANCELLED;
		if ((n > 0 && p[0].revents) || (!n && ms >= 0))
			return KB_OK;
		if (n < 0 && errno != EINTR)
			return KB_E_LOCAL;
	}
}

/* Reads to the end. */
static int read_all(int fd, char *buf, size_t *len, uint64_t until, const struct kb_call *call)
{
	int rc;

	*len = 0;
	while (!(rc = wait_for(fd, -1, until, call))) {
		ssize_t n = read(fd, buf + *len, OUTPUT_MAX - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? KB_E_LOCAL : KB_OK;
		*len += (size_t)n;
		if (*len == OUTPUT_MAX)
			return KB_E_LOCAL;
	}
	return rc;
}

/* It may go on after having closed its output. Its status, -1 if that is not known. */
static int reap(pid_t pid, int *rc, uint64_t until, const struct kb_call *call)
{
	int status = 0;
	pid_t got;

	while (!*rc && !(got = waitpid(pid, &status, WNOHANG)))
		*rc = wait_for(-1, REAP_MS, until, call);
	if (!*rc)
		return got == pid ? status : -1;
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);		/* before it has a group */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return -1;
}

/* ---- what it says ---- */

static bool version_ok(const char *text, size_t len)
{
	json_t *o = json_loadb(text, len, 0, NULL);
	const json_t *version = json_object_get(o, "Version");
	bool good = json_is_integer(version) && json_integer_value(version) == 1;

	json_decref(o);
	return good;
}

static int judge(struct s3_context *x, const char *what, int rc, int status, const char *buf, size_t len, struct s3_cred *out)
{
	static const struct s3_json names = { NULL, "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration" };

	if (rc == KB_E_TIMEOUT)
		return x->host->fail(x->call, rc, "%s takes too long", what);
	if (rc == KB_E_CANCELLED)
		return x->host->fail(x->call, rc, "cancelled");
	if (rc)
		return x->host->fail(x->call, KB_E_AUTH, "%s: its output can't be read, or is too much", what);
	if (status == -1)
		return x->host->fail(x->call, KB_E_LOCAL, "%s: its end was missed", what);
	if (WIFSIGNALED(status))
		return x->host->fail(x->call, KB_E_AUTH, "%s is ended by signal %d", what, WTERMSIG(status));
	if (WEXITSTATUS(status) == 127)
		return x->host->fail(x->call, KB_E_CONFIG, "%s: there is no such program", what);
	if (WEXITSTATUS(status))
		return x->host->fail(x->call, KB_E_AUTH, "%s fails with status %d", what, WEXITSTATUS(status));
	if (!version_ok(buf, len))
		return x->host->fail(x->call, KB_E_AUTH, "%s: expected JSON with \"Version\": 1", what);
	return s3_cred_from_json(x, what, buf, len, &names, out);
}

static int run(struct s3_context *x, const char *what, char **argv, const char *profile, struct s3_cred *out)
{
	uint64_t until = now_ns() + (uint64_t)LIMIT_MS * 1000000;
	char *buf = malloc(OUTPUT_MAX);
	int fd = -1, rc, status;
	size_t len;
	pid_t pid;

	if (!buf)
		return s3_cred_no_memory(x);
	if (x->call->deadline_ns < until)
		until = x->call->deadline_ns;
	pid = start(argv, profile, &fd);
	if (pid < 0) {
		rc = x->host->fail(x->call, KB_E_LOCAL, "%s can't be started", what);
	} else {
		rc = read_all(fd, buf, &len, until, x->call);
		close(fd);
		status = reap(pid, &rc, until, x->call);
		x->offset_s = 0;
		rc = judge(x, what, rc, status, buf, len, out);
		explicit_bzero(buf, len);
	}
	free(buf);
	return rc;
}

int s3_cred_process(struct s3_context *x, const char *profile, const char *command, struct s3_cred *out)
{
	const char *what = s3_cred_name(x, "credential_process of profile %s", profile);
	char *line = strdup(command), *argv[ARGS_MAX];
	int rc;

	*out = (struct s3_cred){ .source = what };
	if (!line)
		rc = s3_cred_no_memory(x);
	else if (!split(line, argv))
		rc = x->host->fail(x->call, KB_E_CONFIG, "%s: expected a program and its arguments; is a quote open?", what);
	else
		rc = x->look ? KB_OK : run(x, what, argv, profile, out);
	s3_cred_wipe(line);
	return rc;
}
