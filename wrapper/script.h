/* Runs of cargo's build scripts: what a script prints, and what it leaves in OUT_DIR (docs/internals/scripts.md).
 *
 * Cargo runs a script as a program, not by way of a wrapper. So where rustc was to leave one, kache leaves a starter
 * (kache-script, script-start.c), and the script beside it, as "<crate>.real"; the starter runs "kache <crate>.real" while kache
 * is cargo's wrapper, else the script. */
#ifndef KACHE_WRAPPER_SCRIPT_H
#define KACHE_WRAPPER_SCRIPT_H

#include "wrapper/call.h"

struct kache_collector;

#define KACHE_SCRIPT_SUFFIX ".real"

extern const struct kache_language kache_language_script;

/* Whether program is a script that a starter stands for. */
bool kache_is_script(const char *program);

/* Whether a directory is there and has nothing in it; and to leave it so. */
bool kache_script_is_empty(const char *dir);
void kache_script_remove_below(const char *dir);

/* Compiling one. Where that output of a Rust compile belongs beside its place, and a starter in it: fresh memory, or NULL. */
char *kache_script_beside(const struct kache_call *c, const char *name);
/* The starter as an output, whose blob is in the store now. 0 or an error. */
int kache_script_starter(struct kache_call *c, struct kache_output *out);
/* After a compile: moves the script aside and puts the starter in its place; on any failure all is as it was. */
void kache_script_set_aside(struct kache_call *c);

/* wrapper/script-inputs.c */
int kache_script_collect(struct kache_collector *k);
/* The value of KEY where a line of what a script prints is "cargo:KEY=VALUE" or "cargo::KEY=VALUE", white space around it aside, as
 * cargo reads it (BuildOutput::parse). Fresh memory; NULL: the line says something else. */
char *kache_script_told(const char *line, size_t len, const char *key);

#endif
