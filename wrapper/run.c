#include "config.h"
#include "wrapper/run.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/path.h"
#include "wrapper/report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t child;

/* Beside this program, where both were built; else as they are installed together, wherever that is: this program in bin or in
 * libexec/kache; else where it was to be installed. */
static char *companion(const char *place, const char *installed, const char *name)
{
	static const char *const ways[] = { "/../", "/", "/../../" };
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	KACHE_AUTO_FREE char *dir = n > 0 ? kache_path_dir((self[n] = '\0', self)) : NULL;

	for (size_t i = 0; i < 3 && dir; i++) {
		char *path = kache_concat(dir, ways[i], i == 1 ? "" : place, name, NULL);

		if (!access(path, F_OK))
			return path;
		free(path);
	}
	return access(installed, F_OK) ? NULL : kache_strdup(installed);
}

char *kache_program(const char *name)
{
	KACHE_AUTO_FREE char *installed = kache_path_join(KACHE_LIBEXECDIR, name);

	return companion("libexec/kache/", installed, name);
}

char *kache_observer_path(void)
{
	return companion("lib/kache/", KACHE_OBSERVER, "kache-observe.so");
}

/* A terminal's Ctrl-C reaches the compiler by itself; what is sent to us alone is passed on. */
static void forward(int sig)
{
	if (child > 0)
		kill((pid_t)child, sig);
}

static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction sa = { .sa_handler = forward, .sa_flags = SA_RESTART };
	struct sigaction old;

	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(signals[i], &sa, NULL);
}

void kache_run_exit(int status)
{
	if (WIFSIGNALED(status)) {
		signal(WTERMSIG(status), SIG_DFL);
		raise(WTERMSIG(status));
		_exit(128 + WTERMSIG(status));
	}
	_exit(WEXITSTATUS(status));
}

static void child_main(struct kache_call *c, char **argv, const int out[2], const int err[2], const int in[2],
		       const char *observer, const char *log)
{
	const char *preload = getenv("LD_PRELOAD");

	dup2(out[1], STDOUT_FILENO);
	dup2(err[1], STDERR_FILENO);
	if (in[0] >= 0)
		dup2(in[0], STDIN_FILENO);
	if (observer) {
		KACHE_AUTO_FREE char *value = preload && *preload ? kache_asprintf("%s:%s", observer, preload)
								   : kache_strdup(observer);

		setenv("LD_PRELOAD", value, 1);
		setenv(KACHE_OBSERVE_ENV, log, 1);
	}
	execvp(argv[0], argv);
	fprintf(stderr, "kache: error: %s: %s\n", argv[0], strerror(errno));
	(void)c;
	_exit(127);
}

/* Complete lines of standard error go on at once: cargo starts dependents on the metadata notice. */
static void pass_lines(struct kache_call *c, const struct kache_buf *err, size_t *done, bool all)
{
	/* Not what it was told from the store; unless the compiler now says something else. */
	if (c->announced) {
		*done = c->lang->told(err);
		if (!*done && !all)
			return;
		c->announced = false;
	}
	while (*done < err->len) {
		const char *from = err->data + *done, *nl = memchr(from, '\n', err->len - *done);
		size_t len = nl ? (size_t)(nl - from) + 1 : err->len - *done;
		KACHE_AUTO_BUF struct kache_buf line = KACHE_BUF_INIT;

		if (!nl && !all)
			return;
		if (c->remap) {
			kache_text_localize(&c->tokens, from, len, &line);
			(void)kache_write_all(STDERR_FILENO, line.data, line.len);
		} else {
			(void)kache_write_all(STDERR_FILENO, from, len);
		}
		*done += len;
	}
}

static bool drain(int fd, struct kache_buf *to)
{
	char *at = kache_buf_reserve(to, 16384);
	ssize_t n = read(fd, at, 16384);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	to->len += (size_t)n;
	to->data[to->len] = '\0';
	return n > 0;
}

static void feed(const struct kache_buf *input, size_t *done, int *fd)
{
	ssize_t n = write(*fd, input->data + *done, input->len - *done);

	if (n > 0)
		*done += (size_t)n;
	if ((n < 0 && errno != EAGAIN && errno != EINTR) || *done == input->len) {
		close(*fd);
		*fd = -1;
	}
}

static void pump(struct kache_call *c, struct kache_run *run, int out, int err, int in)
{
	size_t out_done = 0, err_done = 0, in_done = 0;
	struct pollfd p[3] = { { out, POLLIN, 0 }, { err, POLLIN, 0 }, { in, POLLOUT, 0 } };

	if (in >= 0 && !c->input.len) {
		close(in);
		p[2].fd = -1;
	}
	while (p[0].fd >= 0 || p[1].fd >= 0) {
		if (poll(p, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			break;
		}
		if (p[0].revents && !drain(p[0].fd, &run->out))
			p[0].fd = -1;
		if (p[1].revents && !drain(p[1].fd, &run->err))
			p[1].fd = -1;
		if (p[2].fd >= 0 && p[2].revents)
			feed(&c->input, &in_done, &p[2].fd);
		if (run->out.len > out_done) {
			(void)kache_write_all(STDOUT_FILENO, run->out.data + out_done, run->out.len - out_done);
			out_done = run->out.len;
		}
		pass_lines(c, &run->err, &err_done, p[1].fd < 0);
	}
	if (p[2].fd >= 0)
		close(p[2].fd);
}

static void read_observed(struct kache_call *c, struct kache_run *run, const char *log)
{
	KACHE_AUTO_FREE char *program = kache_path_real(c->compiler.program);

	run->observed = !kache_observed_read(log, &run->seen);
	/* A static compiler reports nothing, even where its children do. A script is read by its shell. */
	if (run->observed && !kache_strs_find(&run->seen.programs, program ? program : c->compiler.program) &&
	    !kache_strs_find(&run->seen.programs, c->compiler.program) && !kache_strs_find(&run->seen.reads, c->compiler.program)) {
		kache_observed_release(&run->seen);
		run->observed = false;
	}
	kache_report_run(c, log);
	unlink(log);
}

static bool make_pipes(int out[2], int err[2], int in[2], bool with_input)
{
	return !pipe2(out, O_CLOEXEC) && !pipe2(err, O_CLOEXEC) && (!with_input || !pipe2(in, O_CLOEXEC));
}

int kache_run_compiler(struct kache_call *c, struct kache_run *run, struct kache_error *err)
{
	KACHE_AUTO_STRS struct kache_strs argv = { NULL, 0, 0 };
	KACHE_AUTO_FREE char *file = NULL;
	KACHE_AUTO_FREE char *log = NULL;
	KACHE_AUTO_FREE char *observer = NULL;
	int out[2], errs[2], in[2] = { -1, -1 };
	uint64_t start;
	pid_t pid;

	if (c->lang->command(c, run, &argv, &file, err))
		return err->code;
	if (strcmp(kache_conf_str(c->conf, KACHE_CONF_OBSERVE), "off") && !c->query)
		observer = kache_observer_path();
	log = observer ? kache_store_temp(c->store) : NULL;
	if (log && kache_file_replace(log, "", 0, 0600)) {
		free(log);
		free(observer);
		log = observer = NULL;
	}
	if (!make_pipes(out, errs, in, c->input.data != NULL))
		return kache_fail_errno(err, "pipe");
	c->started_coarse = kache_now_coarse();
	c->started_real = kache_now_real();
	start = kache_now_mono();
	catch_signals();
	pid = fork();
	if (pid < 0)
		return kache_fail_errno(err, "fork");
	if (!pid)
		child_main(c, argv.v, out, errs, in, observer, log);
	child = (sig_atomic_t)pid;
	close(out[1]);
	close(errs[1]);
	if (in[0] >= 0)
		close(in[0]);
	signal(SIGPIPE, SIG_IGN);
	pump(c, run, out[0], errs[0], in[1]);
	while (waitpid(pid, &run->status, 0) < 0 && errno == EINTR)
		;
	child = 0;
	run->compile_us = (kache_now_mono() - start) / 1000;
	close(out[0]);
	close(errs[0]);
	if (file)
		unlink(file);
	if (log)
		read_observed(c, run, log);
	else
		kache_report_run(c, NULL);
	return KACHE_OK;
}

void kache_run_release(struct kache_run *run)
{
	if (run->own_depinfo && run->depinfo)
		unlink(run->depinfo);
	free(run->depinfo);
	kache_buf_release(&run->out);
	kache_buf_release(&run->err);
	if (run->observed)
		kache_observed_release(&run->seen);
	*run = (struct kache_run){ 0 };
}
