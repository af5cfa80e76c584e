/* Entries: what one compile produced. In memory, and as bytes (entries/ab/<result key>).
 *
 * Byte format, little-endian: "KENT", u32 format version, fields in the order of the struct, and a
 * BLAKE3 of everything before it. Anything that does not parse to the last byte is KACHE_E_CORRUPT. */
#ifndef KACHE_STORE_ENTRY_H
#define KACHE_STORE_ENTRY_H

#include "base/buf.h"
#include "base/hash.h"
#include "base/strs.h"

#include <stdbool.h>
#include <stdint.h>

enum kache_role {		/* what an output is; decides how it may be restored */
	KACHE_ROLE_OTHER = 0,	/* asm, llvm-ir, obj …: always a copy */
	KACHE_ROLE_DEPINFO = 1,	/* kept inline, paths as tokens */
	KACHE_ROLE_METADATA = 2,
	KACHE_ROLE_RLIB = 3,
	KACHE_ROLE_STATICLIB = 4,
	KACHE_ROLE_DYLIB = 5,	/* cdylib, dylib */
	KACHE_ROLE_PROC_MACRO = 6,
	KACHE_ROLE_EXE = 7
};

/* The kind of a build script's run: good for this machine only, so that it is never sent anywhere. */
#define KACHE_KIND_SCRIPT_RUN "script-run"
/* What was made with incremental state: good for its target directory only, the same. */
#define KACHE_KIND_EDITED "edited"

struct kache_output {
	char *name;			/* file name within the output directory; never has a '/' */
	uint32_t role, mode;		/* enum kache_role; permission bits */
	uint64_t size;
	struct kache_hash blob;		/* not used for KACHE_ROLE_DEPINFO */
	char *inline_data;		/* KACHE_ROLE_DEPINFO: size bytes of template, else NULL */
};

struct kache_entry {
	struct kache_hash key;		/* result key */
	struct kache_hash invocation;
	char *crate;			/* --crate-name, "" for probes */
	char *package;			/* CARGO_PKG_NAME with '-' as '_', else crate; names the remote folder */
	char *kind;			/* "lib" "bin" "proc-macro" "build-script" "test" "check" "probe" "script-run" "edited" … */
	char *target;			/* target triple */
	char *profile;			/* "debug", "release" … as the target directory says, or "" */
	char *features;			/* comma-separated, sorted */
	char *compiler;			/* first line of -V, for people */
	uint64_t created_ms;		/* ms since the epoch */
	uint64_t compile_ms;		/* wall time of the compiler */
	int32_t exit_code;		/* 0 but for probes that are meant to fail */
	uint32_t width;			/* --diagnostic-width of the run, 0: none given */
	char *out, *err;		/* standard output and error, paths as tokens */
	size_t out_len, err_len;
	struct kache_output *outputs;
	size_t n_outputs;
};

/* Whether it is never sent anywhere. */
bool kache_entry_local(const struct kache_entry *e);
/* Releases what e owns and zeroes it. */
void kache_entry_release(struct kache_entry *e);
/* Room for one more output, zeroed; valid until the next call. */
struct kache_output *kache_entry_add_output(struct kache_entry *e);
void kache_entry_encode(const struct kache_entry *e, struct kache_buf *out);
/* 0, KACHE_E_CORRUPT or KACHE_E_VERSION. *e needs release only after 0. */
int kache_entry_decode(const void *data, size_t len, struct kache_entry *e);
/* Bytes of all outputs. */
uint64_t kache_entry_size(const struct kache_entry *e);

#endif
