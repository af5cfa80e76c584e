/* Noting the calls of a cargo command for its plan (docs/internals/prefill.md). */
#ifndef KACHE_WRAPPER_RECORD_H
#define KACHE_WRAPPER_RECORD_H

#include "wrapper/call.h"

/* Before "rustc -vV" is answered, which is what cargo asks in a new target directory before all else: puts in place what this command
 * will ask for, and begins to record it (kache-prefill). Where nothing comes of it nothing has changed. */
void kache_prefill(struct kache_call *c);

/* A call of cargo's whose outputs, those of that entry, are in place. Appended in one write(2), as (base/buf.h):
 *	u32 length of what follows
 *	u64 the number space of processes (pid_namespaces(7)), u64 c->started_ms, hash, string cwd
 *	u32 count and strings: argv
 *	u32 count and strings: variables */
void kache_record_call(const struct kache_call *c, const struct kache_hash *result);

/* Whether cargo may set that variable ("NAME=…") for a compiler or a build script
 * (https://doc.rust-lang.org/cargo/reference/environment-variables.html). Others are not noted: there are secrets among them. */
bool kache_record_variable(const char *variable);
/* The number space of processes that this one is in, or 0. */
uint64_t kache_record_space(void);

#endif
