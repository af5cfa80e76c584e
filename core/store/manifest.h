/* Manifests: the input sets that one invocation had so far, newest first.
 *
 * Byte format (manifests/ab/<invocation key>), little-endian: "KMAN", u32 format version, the fields of
 * the struct, and a BLAKE3 of everything before it. Names are kept once and referred to by number. */
#ifndef KACHE_STORE_MANIFEST_H
#define KACHE_STORE_MANIFEST_H

#include "base/buf.h"
#include "base/hash.h"

#include <stdint.h>

enum kache_input_kind {
	KACHE_INPUT_FILE = 1,		/* name: token path; hash: content */
	KACHE_INPUT_ABSENT = 2,		/* name: token path where nothing may be; hash: first byte is below, the rest zero */
	KACHE_INPUT_LIST = 3,		/* name: token path of a directory; hash: of its sorted names and what each is */
	KACHE_INPUT_ENV = 4,		/* name: variable; hash: of its value, zero if unset */
	KACHE_INPUT_ENV_TOKEN = 5,	/* as ENV, of the value with paths as tokens */
	KACHE_INPUT_PRESENT = 6,	/* name: token path that exists; hash: 'f' or 'd', and what it may be asked for */
	/* name: beginnings of names, a blank between, "" for all; hash: of these variables, but for noise */
	KACHE_INPUT_ENVIRON = 7,
	KACHE_INPUT_PROGRAM = 8,	/* name: a program found along PATH; hash: of its path and content */
	KACHE_INPUT_LINK = 9,		/* name: token path of a symbolic link; hash: of its target */
	KACHE_INPUT_PLACE = 10,		/* name: a token; hash: of the directory that it stands for, by name */
	KACHE_INPUT_TIME = 11,		/* name: token path of a file; hash: of the second that it was last changed in */
	KACHE_INPUT_ORDER = 12,		/* the same as they come */
	KACHE_INPUT_ENVIRON_TOKEN = 13,	/* as ENVIRON, of the values with paths as tokens */
	KACHE_INPUT_REAL = 14,		/* name: token path of a directory, may end in ".."; hash: of where it is without links */
	/* name: token paths of files with the same content, "//" between; hash: which of them are one file, or of one second */
	KACHE_INPUT_SAME_FILE = 15,
	KACHE_INPUT_SAME_TIME = 16,
	KACHE_INPUT_STATUS = 17,	/* name: token path; hash: of its mode and of when it was last changed */
	KACHE_INPUT_BIRTH = 18,		/* name: token path; hash: of when it was made */
	KACHE_INPUT_LAST = KACHE_INPUT_BIRTH
};
/* What can't be reached, for want of rights or by links in a circle, is there for nobody, but compilers may take offence. No
 * manifest says "there". */
enum kache_input_absent { KACHE_ABSENT = 0, KACHE_ABSENT_THERE = 1, KACHE_ABSENT_CLOSED = 2 };

struct kache_input {
	uint32_t kind;
	uint32_t name;			/* index into names */
	struct kache_hash hash;
};

struct kache_input_set {
	struct kache_hash result;	/* the entry this set leads to */
	uint64_t created_ms;
	struct kache_input *inputs;
	size_t n;
};

#define KACHE_MANIFEST_SETS 12		/* older sets fall off */

struct kache_manifest {
	struct kache_hash invocation;
	char *crate, *package;		/* as in the entry */
	char *describe;			/* the components of the invocation key, one "label value" a line */
	char **names;
	size_t n_names, cap_names;	/* cap: what names has room for, if that is known */
	uint32_t *slots;		/* of kache_manifest_name(), open addressing: 1 + index of a name */
	size_t n_slots;
	struct kache_input_set *sets;
	size_t n_sets;
};

void kache_manifest_release(struct kache_manifest *m);
void kache_manifest_encode(const struct kache_manifest *m, struct kache_buf *out);
int kache_manifest_decode(const void *data, size_t len, struct kache_manifest *m);
/* Index of name, added if new. */
uint32_t kache_manifest_name(struct kache_manifest *m, const char *name);
/* Puts set first (taking its inputs), drops an older one with the same result and those beyond
 * KACHE_MANIFEST_SETS. Input names must be indexes of m. */
void kache_manifest_add(struct kache_manifest *m, struct kache_input_set *set);
/* Takes over the sets of other that m does not have yet, behind its own. */
void kache_manifest_merge(struct kache_manifest *m, const struct kache_manifest *other);
/* The result key that a set of m leads to: the invocation key and every input, in the set's order. */
void kache_manifest_result(const struct kache_manifest *m, const struct kache_hash *invocation,
			   const struct kache_input_set *set, struct kache_hash *out);
const char *kache_input_kind_name(uint32_t kind);

#endif
