/* Inputs: evaluating those that a manifest lists, and collecting those of a compile. */
#ifndef KACHE_WRAPPER_INPUTS_H
#define KACHE_WRAPPER_INPUTS_H

#include "wrapper/call.h"

/* What input (kind, name) is right now. 0; KACHE_E_NOENT for a file that is not there; another error
 * where it can't be told. */
int kache_input_now(struct kache_call *c, uint32_t kind, const char *name, struct kache_hash *out);

/* Finds the set that holds now. 0 with *index; KACHE_E_NOENT if none holds, and then *changed (if the
 * manifest has sets) is "kind name" of what differs from the newest, fresh memory. */
int kache_inputs_match(struct kache_call *c, const struct kache_manifest *m, size_t *index, char **changed);

/* Sets c->lasting by the inputs of the result. */
void kache_inputs_note(struct kache_call *c, const struct kache_manifest *m, const struct kache_input_set *set);

/* The result key of a set whose inputs are in canonical order. */
void kache_inputs_result(const struct kache_manifest *m, const struct kache_hash *invocation,
			 const struct kache_input_set *set, struct kache_hash *out);

struct kache_run;
/* After a compile: dep-info, observed files and rules into a new manifest with one set. 0, or
 * KACHE_E_INVALID with *reason (a fixed name) and *detail (fresh memory or NULL) where the inputs can't
 * all be told. */
int kache_inputs_collect(struct kache_call *c, const struct kache_run *run, struct kache_manifest *out,
			 const char **reason, char **detail);

/* True for variables that change nothing in any output (wrapper/env.c). */
bool kache_env_noise(const char *name);

#endif
