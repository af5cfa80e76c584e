/* One call of the compiler, from its command line to its result. */
#ifndef KACHE_WRAPPER_CALL_H
#define KACHE_WRAPPER_CALL_H

#include "base/err.h"
#include "conf/conf.h"
#include "key/rustargs.h"
#include "key/tokens.h"
#include "store/events.h"
#include "store/restore.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct kache_compiler {
	char *program;			/* what to run: rustup's proxy resolved */
	char *sysroot, *host, *version;	/* version: the line of `rustc -V` */
	struct kache_hash id;		/* of driver, LLVM and standard library, by content */
	bool clippy;
	char *inner;			/* clippy-driver: the rustc argument that follows it */
	char *memo;			/* the file that remembers all this */
};

struct kache_call {
	char **argv;			/* compiler, arguments…, NULL: as cargo wrote it */
	char *cwd;
	struct kache_conf *conf;
	struct kache_store *store;
	struct kache_rust_args args;
	struct kache_compiler compiler;
	struct kache_tokens tokens;
	struct kache_hash invocation;
	struct kache_buf describe;	/* "label value" lines of the invocation key */
	struct kache_buf input;		/* standard input, where the source is "-" */
	const char *kind;		/* "lib", "bin", … */
	char *package;			/* CARGO_PKG_NAME with '_', or the crate */
	char *profile;			/* "debug" of target/debug, or "" */
	char *profile_dir;		/* target/debug, absolute, or NULL */
	bool probe;			/* a build script's question: failing is an answer too */
	bool remap;
	uint64_t started_mono, started_ms;
	/* When the compiler was started. A file that is written from then on is not older than the first, one
	 * that was written before is not newer than the second, whichever clock the kernel stamps with. */
	int64_t started_coarse, started_real;
	struct kache_event event;
	char *event_detail;
};

/* Runs the compiler in place of this process and never returns: the way out of every doubt. */
_Noreturn void kache_call_exec(struct kache_call *c);
/* Counts a passthrough with its reason, then kache_call_exec. */
_Noreturn void kache_call_passthrough(struct kache_call *c, const char *reason, const char *detail);
/* Fills in times and appends the event. */
void kache_call_event(struct kache_call *c, const char *result, const char *reason, const char *detail);
/* Environment variable, "" if unset. */
const char *kache_env(const char *name);

/* wrapper/compiler.c: identity of c->argv[0], remembered in the store by file identity. */
int kache_call_compiler(struct kache_call *c, struct kache_error *err);
/* Whether its files are still those that id was made of. */
bool kache_call_compiler_same(const struct kache_call *c);
/* wrapper/invocation.c: tokens, kind, package and the invocation key. */
const char *kache_call_kind(const struct kache_call *c);
char *kache_call_package(const struct kache_call *c);	/* fresh memory */
void kache_call_tokens(struct kache_call *c);
void kache_call_invocation(struct kache_call *c);
/* wrapper/compiler.c: processor identity for target-cpu=native. */
void kache_cpu_identity(struct kache_buf *out);

#endif
