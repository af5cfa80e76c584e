/* What is particular to rustc: see struct kache_language. */
#ifndef KACHE_WRAPPER_RUSTC_H
#define KACHE_WRAPPER_RUSTC_H

#include "wrapper/call.h"

#include <sys/types.h>

extern const struct kache_language kache_language_rust;

/* "kache explain -- rustc …": how the call would be keyed and treated. Returns the exit status. */
int kache_explain(int argc, char **argv);

/* True if argv names a Rust compiler: rustc, clippy-driver, or what $RUSTC says. */
bool kache_is_rustc(const char *program);

/* wrapper/rust-edited.c, see struct kache_language */
bool kache_rust_edited(struct kache_call *c);
bool kache_rust_edit(struct kache_call *c);
void kache_rust_note(struct kache_call *c, struct kache_run *run);
bool kache_rust_replacing(struct kache_call *c, bool compiled);
/* wrapper/rust-output.c and wrapper/rust-inputs.c */
void kache_rust_outputs(const struct kache_call *c, const struct kache_run *run, struct kache_strs *names);
/* Where rustc writes the unit's dep-info, fresh memory; for calls with --out-dir. */
char *kache_rust_depinfo(const struct kache_call *c);
char *kache_rust_place(const struct kache_call *c, const char *name);
uint32_t kache_rust_role(const struct kache_call *c, const char *name);
enum kache_linking kache_rust_linking(const struct kache_call *c, uint32_t role, int *old);
int64_t kache_rust_later(const struct kache_call *c, uint32_t role);
/* wrapper/rust-autocfg.c: for a question of autocfg the arguments with the name that all of them have, and c->asked; else NULL. */
char **kache_rust_autocfg(struct kache_call *c, int argc, char *const *argv);
/* The name of an output as it was asked for, fresh memory. With c->asked only. */
char *kache_rust_asked_name(const struct kache_call *c, const char *name);
void kache_rust_ran(const struct kache_call *c);
/* wrapper/rust-notice.c, see struct kache_language */
size_t kache_rust_notice(const struct kache_call *c, const struct kache_entry *e, const struct kache_buf *err, size_t *outputs);
size_t kache_rust_told(const struct kache_buf *err);
/* Who called: the parent. (kache-prefill, which is called by the wrapper, has another one: main.c, prefill.c.) */
pid_t kache_cargo(void);
/* wrapper/rust-age.c: when that cargo was started, by the clock that stamps files, or a little later; INT64_MAX if it is none. */
int64_t kache_cargo_started(void);
/* Whether the unit's outputs may be as old as a blob. Makes its script's run so where that is harmless. */
bool kache_rust_may_be_old(const struct kache_call *c);
int kache_rust_collect(struct kache_collector *k);
/* Whether it lies in a directory of dependencies (-L dependency=), by its name in the call or by the one without links, by which
 * rustc loads macros. For the time of kache_rust_collect(). */
bool kache_rust_in_dep_dir(const struct kache_collector *k, const char *path);
/* wrapper/rust-macros.c: whether the compiler has loaded any procedural macro; and whether one that was loaded may have read a
 * variable (NULL: any) without being seen. */
bool kache_rust_loads_macro(const struct kache_collector *k);
bool kache_rust_macro_may_read(const struct kache_collector *k, const char *var);
/* Whether one that was loaded has what it takes to start programs. */
bool kache_rust_macro_may_start(const struct kache_collector *k);
/* After all other inputs, where a macro was loaded: variables, times and places that it may have asked for, or a refusal. */
int kache_rust_collect_macros(struct kache_collector *k);
/* wrapper/rust-programs.c: what was started along PATH, and what programs may have gone by, or told a macro, that is no file. To
 * be called before what was looked at is collected. */
int kache_rust_collect_programs(struct kache_collector *k);

#endif
