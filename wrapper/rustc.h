#ifndef KACHE_WRAPPER_RUSTC_H
#define KACHE_WRAPPER_RUSTC_H

#include "wrapper/call.h"

/* argv[0] is the compiler as cargo named it. Never returns: ends as the compiler ended, or would have. */
_Noreturn void kache_rustc(char **argv);

/* Runs a compiler that is never cached, counted under that reason. */
_Noreturn void kache_uncached(char **argv, const char *reason);

/* Everything up to the invocation key. 0; or the reason why the call passes through, a fixed name, with
 * *detail (may be NULL, valid as long as c). err is set where it is worth a warning. */
const char *kache_rustc_prepare(struct kache_call *c, char **argv, const char **detail, struct kache_error *err);

/* "kache explain -- rustc …": how the call would be keyed and treated. Returns the exit status. */
int kache_explain(int argc, char **argv);

/* True if argv names a Rust compiler: rustc, clippy-driver, or what $RUSTC says. */
bool kache_is_rustc(const char *program);

#endif
