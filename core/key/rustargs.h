/* The argument model of rustc and clippy-driver: every flag classified by one table (rustargs.c).
 * Source: `rustc --help -v`, `rustc -C help`, and what cargo passes. */
#ifndef KACHE_KEY_RUSTARGS_H
#define KACHE_KEY_RUSTARGS_H

#include "base/buf.h"
#include "base/strs.h"

#include <stdbool.h>

enum kache_rust_class {
	KACHE_RUST_COMPILE,	/* one source, outputs into --out-dir */
	KACHE_RUST_QUERY,	/* -vV, --print …: an answer on standard output, no source, no output file */
	KACHE_RUST_DECLINE	/* anything we do not model: run it untouched; why says which */
};

/* --emit kinds, and crate types, as bits */
enum {
	KACHE_EMIT_DEPINFO = 1, KACHE_EMIT_METADATA = 2, KACHE_EMIT_LINK = 4, KACHE_EMIT_ASM = 8, KACHE_EMIT_LLVM_IR = 16,
	KACHE_EMIT_LLVM_BC = 32, KACHE_EMIT_OBJ = 64, KACHE_EMIT_MIR = 128
};
enum {
	KACHE_CRATE_BIN = 1, KACHE_CRATE_LIB = 2, KACHE_CRATE_RLIB = 4, KACHE_CRATE_DYLIB = 8, KACHE_CRATE_CDYLIB = 16,
	KACHE_CRATE_STATICLIB = 32, KACHE_CRATE_PROC_MACRO = 64
};

struct kache_rust_extern {
	char *name, *path;	/* path as given; never NULL */
};

/* One component of the invocation key, in the order of the command line. */
struct kache_rust_part {
	char *label, *value;
	bool paths;		/* value may hold paths of this machine: to be tokenised */
};

struct kache_rust_args {
	enum kache_rust_class class;
	const char *why;	/* DECLINE: a fixed reason name, "unknown-flag" … */
	char *detail;		/* DECLINE: the flag, or NULL */
	struct kache_strs argv;	/* all arguments, @files expanded; without the compiler's name */
	bool from_file;		/* there was an @file */

	char *crate, *source;	/* source "-": standard input */
	char *out_dir;		/* as given; NULL if absent */
	char *extra_filename, *metadata, *target, *incremental;
	unsigned emit, crate_types;
	bool many_units;	/* asked for: not -C codegen-units=1 */
	bool test, json_artifacts, error_json, explicit_emit;
	bool remap_off;		/* coverage: real paths are wanted */
	bool native_cpu;
	bool rpath;		/* -C rpath: where libraries lie, as seen from the output, gets into it */
	bool to_stdout;		/* -o -: the only output goes to standard output */
	bool native_libs;	/* -l or -L native */
	unsigned width;		/* --diagnostic-width, 0: none */
	struct kache_strs features;	/* of --cfg feature="x"; sorted */
	struct kache_rust_extern *externs;
	size_t n_externs;
	struct kache_strs dep_dirs;	/* -L dependency= */
	struct kache_rust_part *parts;
	size_t n_parts;
	size_t incremental_at;	/* index in argv of the argument that carries it, where incremental is set */
	bool incremental_pair;	/* it is "-C" "incremental=…" in two arguments */
};

/* Classifies argv[0..argc) (without the compiler itself). cwd resolves @files. Never fails: what can't
 * be understood is KACHE_RUST_DECLINE. */
void kache_rust_args_parse(int argc, char *const *argv, const char *cwd, struct kache_rust_args *out);
void kache_rust_args_release(struct kache_rust_args *a);
/* True if an output of this compile is made by a linker or archives code of the whole closure. */
bool kache_rust_links(const struct kache_rust_args *a);

#endif
