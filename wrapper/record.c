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

bool kache_record_variable(const char *variable)
{
	static const char *const cargos[] = {
		"CARGO=", "CARGO_BIN_", "CARGO_CFG_", "CARGO_CRATE_NAME=", "CARGO_ENCODED_RUSTFLAGS=", "CARGO_FEATURE_", "CARGO_MANIFEST_",
		"CARGO_PKG_", "CARGO_PRIMARY_PACKAGE=", "CARGO_TARGET_TMPDIR=", "DEBUG=", "DEP_", "HOST=", "LD_LIBRARY_PATH=", "OPT_LEVEL=",
		"OUT_DIR=", "PROFILE=", "RUST", "TARGET=", NULL
	};

	return kache_starts_any(variable, cargos);
}

uint64_t kache_record_space(void)
{
	struct kache_stat st;

	return kache_stat("/proc/self/ns/pid", true, &st) ? 0 : st.ino;
}

static void put_list(struct kache_buf *b, char *const *list, bool variables)
{
	uint32_t n = 0;

	for (size_t i = 0; list[i]; i++)
		n += !variables || kache_record_variable(list[i]);
	kache_buf_u32(b, n);
	for (; *list; list++)
		if (!variables || kache_record_variable(*list))
			kache_buf_text(b, *list);
}

void kache_record_call(const struct kache_call *c, const struct kache_hash *result)
{
	KACHE_AUTO_FREE char *path = NULL;
	KACHE_AUTO_BUF struct kache_buf b = KACHE_BUF_INIT, all = KACHE_BUF_INIT;
	KACHE_AUTO_FD int fd = -1;

	if (kache_prefilling || !is_unit(c))
		return;
	path = kache_plan_calls(c->store, (long)kache_cargo());
	fd = kache_open(path, O_WRONLY | O_APPEND | O_NOFOLLOW, 0);
	if (fd < 0)
		return;
	/* In another container that has the same store another cargo may have that number. */
	kache_buf_u64(&b, kache_record_space());
	kache_buf_u64(&b, c->started_ms);
	kache_buf_add(&b, result->b, KACHE_HASH_LEN);
	kache_buf_text(&b, c->cwd);
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

	if (kache_prefilling || !c->query || !rustc[1] || strcmp(rustc[1], "-vV") || rustc[2] || c->store->readonly ||
	    !kache_conf_bool(c->conf, KACHE_CONF_PREFILL) || kache_conf_bool(c->conf, KACHE_CONF_READONLY) ||
	    kache_conf_bool(c->conf, KACHE_CONF_RECACHE))
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
