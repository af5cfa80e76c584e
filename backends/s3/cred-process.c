/* credential_process: a program of the user's that prints credentials. Run without a shell. */
#define _GNU_SOURCE
#include "cred-parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGS_MAX = 64, OUTPUT_MAX = 64 << 10, LIMIT_MS = 10000 };

extern char **environ;

/* Words as a shell would see them: blanks part, '…', "…" and \ quote. In place; NULL-terminated. False for an open
 * quote or too many. */
static bool split(char *s, char **argv)
{
	size_t n = 0;
	char *to;

	for (;;) {
		char quote = '\0';

		while (*s == ' ' || *s == '\t')
			s++;
		if (!*s)
			break;
		if (n == ARGS_MAX - 1)
			return false;
		argv[n++] = to = s;
		for (; *s && (quote || (*s != ' ' && *s != '\t')); s++) {
			if (quote && *s == quote)
				quote = '\0';
			else if (!quote && (*s == '\'' || *s == '"'))
				quote = *s;
			else if (*s == '\\' && quote != '\'' && s[1])
				*to++ = *++s;
			else
				*to++ = *s;
		}
		if (quote)
			return false;
		if (*s)
			s++;
		*to = '\0';
	}
	argv[n] = NULL;
	return n > 0;
}

static pid_t start(char **argv, const char *profile, int *out)
{
	int p[2];
	pid_t pid;

	if (pipe2(p, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, 0);
		dup2(p[1], 1);
		dup2(null, 2);
		for (int other = 3; other < 1024; other++)	/* what libraries have opened without the flag */
			close(other);
		setenv("AWS_PROFILE", profile, 1);
		signal(SIGPIPE, SIG_DFL);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(p[1]);
	*out = p[0];
	return pid;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Reads to the end. KB_OK, KB_E_TIMEOUT, KB_E_CANCELLED, KB_E_LOCAL. */
static int read_all(int fd, char *buf, size_t *len, struct kb_call *call)
{
	uint64_t until = now_ns() + (uint64_t)LIMIT_MS * 1000000;

	if (call->deadline_ns < until)
		until = call->deadline_ns;
	for (*len = 0;;) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = call->cancel_fd, .events = POLLIN } };
		uint64_t now = now_ns();
		ssize_t n;

		if (now >= until)
			return KB_E_TIMEOUT;
		if (poll(p, 2, (int)((until - now) / 1000000 + 1)) < 0 && errno != EINTR)
			return KB_E_LOCAL;
		if (p[1].revents)
			return KB_E_CANCELLED;
		if (!p[0].revents)
			continue;
		n = read(fd, buf + *len, OUTPUT_MAX - *len);
		if (n <= 0)
			return n ? KB_E_LOCAL : KB_OK;
		*len += (size_t)n;
		if (*len == OUTPUT_MAX)
			return KB_E_LOCAL;
	}
}

int s3_cred_process(struct s3_context *x, const char *profile, const char *command, struct s3_cred *out)
{
	static const char *const names[4] = { "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration" };
	char *line = strdup(command), *argv[ARGS_MAX], *buf = malloc(OUTPUT_MAX + 1);
	int fd = -1, status = 0, rc;
	size_t len = 0;
	pid_t pid;

	if (!line || !buf) {
		rc = x->host->fail(x->call, KB_E_LOCAL, "out of memory");
	} else if (!split(line, argv)) {
		rc = x->host->fail(x->call, KB_E_CONFIG, "credential_process of profile %s can't be understood", profile);
	} else if ((pid = start(argv, profile, &fd)) < 0) {
		rc = x->host->fail(x->call, KB_E_LOCAL, "credential_process can't be started");
	} else {
		rc = read_all(fd, buf, &len, x->call);
		close(fd);
		if (rc)
			kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (rc)
			rc = x->host->fail(x->call, rc, "credential_process of profile %s %s", profile,
					   rc == KB_E_TIMEOUT ? "takes too long" : "was given up");
		else if (!WIFEXITED(status) || WEXITSTATUS(status))
			rc = x->host->fail(x->call, KB_E_AUTH, "credential_process of profile %s fails (status %d)", profile,
					   WIFEXITED(status) ? WEXITSTATUS(status) : -1);
		else
			rc = s3_cred_from_json(x, "credential_process", buf, len, names, out);
		explicit_bzero(buf, len);
	}
	free(line);
	free(buf);
	return rc;
}
