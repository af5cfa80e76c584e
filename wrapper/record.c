#include "config.h"
#include "wrapper/record.h"

#include "base/file.h"
#include "base/strs.h"
#include "store/plan.h"
#include "wrapper/run.h"
#include "wrapper/rustc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* cargo's own calls of a unit; what a build script asks has another parent, or no such name. */
static bool is_unit(const struct kache_call *c)
{
	if (c->script.out_dir)
		return true;
	return c->args.class == KACHE_RUST_COMPILE && c->args.json_artifacts && !c->args.from_file && c->args.extra_filename &&
	       !c->probe;
}

/* Whether text begins with one of the words, which end with a NUL each. */
static bool begins(const char *text, const char *words)
{
	for (; *words; words += strlen(words) + 1)
		if (kache_starts(text, words))
			return true;
	return false;
}

bool kache_record_variable(const char *variable)
{
	static const char after_cargo[] = "=\0_BIN_\0_CFG_\0_CRATE\0_ENCODED\0_FEATURE_\0_MANIFEST_\0_PKG_\0_PRIMARY\0_TARGET_T\0";
	static const char others[] = "DEBUG=\0DEP_\0HOST=\0LD_LIB\0OPT_LEVEL=\0OUT_DIR=\0PROFILE=\0RUST\0TARGET=\0";

	return kache_starts(variable, "CARGO") ? begins(variable + strlen("CARGO"), after_cargo) : begins(variable, others);
}

static void put_list(struct kache_buf *b, char *const *list, bool variables)
{
	uint32_t n = 0;

	for (size_t i = 0; list[i]; i++)
		n += !variables || kache_record_variable(list[i]);
	kache_buf_u32(b, n);
	for (; *list; list++)
		if (!variables || kache_record_variable(*list))
			kache_buf_bytes(b, *list, strlen(*list));
}

void kache_record_call(const struct kache_call *c, const struct kache_hash *result)
{
	KACHE_AUTO_FREE char *path = NULL;
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT, all = KACHE_BUF_INIT;
	KACHE_AUTO_FD int fd = -1;
	struct kache_stat st;

	if (kache_prefilling || !is_unit(c))
		return;
	path = kache_plan_calls(c->store, (long)kache_cargo());
	fd = kache_open(path, O_WRONLY | O_APPEND | O_NOFOLLOW, 0);
	if (fd < 0)
		return;
	/* In another container that has the same store another cargo may have that number. */
	kache_buf_u64(&b, kache_stat("/proc/self/ns/pid", true, &st) ? 0 : st.ino);
	kache_buf_u64(&b, c->started_ms);
	kache_buf_add(&b, result->b, KACHE_HASH_LEN);
	kache_buf_bytes(&b, c->cwd, strlen(c->cwd));
	put_list(&b, c->argv, false);
	put_list(&b, environ, true);
	kache_buf_bytes(&all, b.data, b.len);
	(void)!write(fd, all.data, all.len);
}

void kache_prefill(struct kache_call *c)
{
	KACHE_AUTO_FREE char *program = NULL, *calls = NULL;
	char *const *rustc = c->argv + c->compiler.clippy;	/* clippy-driver is given it */
	int status;
	pid_t pid;

	if (kache_prefilling || !c->query || !rustc[1] || strcmp(rustc[1], "-vV") || rustc[2] ||
	    !kache_conf_bool(c->conf, KACHE_CONF_PREFILL))
		return;
	program = kache_program("kache-prefill");
	calls = kache_plan_calls(c->store, (long)kache_cargo());
	pid = program ? fork() : -1;
	if (!pid) {
		execl(program, program, c->store->root, calls, rustc[0], (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}
