/* Plans: what a cargo command compiled, unit by unit, so that the next such command in an empty target directory can be served
 * before it asks (docs/internals/prefill.md). One file of a store for each command: plans/<key>. A plan promises nothing: whoever
 * uses one looks each unit up as a call of the compiler would.
 *
 * Strings have KACHE_PLAN_TARGET for the target directory and KACHE_PLAN_ROOT for the workspace's. */
#ifndef KACHE_STORE_PLAN_H
#define KACHE_STORE_PLAN_H

#include "base/err.h"
#include "base/strs.h"
#include "store/store.h"

#define KACHE_PLAN_TARGET '\001'
#define KACHE_PLAN_ROOT '\002'

/* A file of cargo's record of a unit. */
struct kache_plan_file {
	char *name, *data;
	size_t len;
};

struct kache_plan_unit {
	struct kache_hash result;	/* the entry that it got */
	char *record;			/* cargo's, the directory target/debug/.fingerprint/NAME-HASH */
	char *out_dir, *cwd;		/* of a build script's run OUT_DIR */
	char *manifest;			/* the package's Cargo.toml */
	struct kache_hash manifest_hash;
	bool here;			/* good for the directories that it was recorded in, and no others */
	uint8_t absent;			/* so many times after one another cargo's record of it was not there at the end */
	char *program, *alias;		/* in out_dir: a build script, and cargo's second name for it; else "" */
	struct kache_strs argv;		/* compiler, arguments */
	struct kache_strs set, unset;	/* NAME=VALUE and NAME: what cargo changes in the environment that it asked -vV in */
	struct kache_plan_file *files;
	size_t n_files;
	uint32_t *needs;		/* units before this one, whose outputs it reads */
	size_t n_needs;
};

struct kache_plan {
	char *root, *target;		/* where it was recorded */
	struct kache_plan_unit *units;	/* each behind those that it needs */
	size_t n;
};

/* Whether it is the one that holds cargo's hash of the unit and makes the others count. */
bool kache_plan_is_seal(const struct kache_plan_file *f);
void kache_plan_unit_release(struct kache_plan_unit *u);
void kache_plan_release(struct kache_plan *p);
void kache_plan_encode(const struct kache_plan *p, struct kache_buf *b);
/* 0, KACHE_E_CORRUPT, KACHE_E_VERSION; p is to be released in any case. */
int kache_plan_decode(const void *data, size_t len, struct kache_plan *p);

/* With the tokens in place of both directories where they stand as a path or begin one; fresh memory. NULL: text has a token
 * already. */
char *kache_plan_pack(const char *text, const char *root, const char *target);
/* The other way round. */
char *kache_plan_unpack(const char *text, const char *root, const char *target);

/* "<store>/plans/<key>", fresh memory. */
char *kache_plan_path(const struct kache_store *s, const struct kache_hash *key);
/* The plan of a command, which counts as used from now on. KACHE_E_NOENT, or as kache_plan_decode, and then it is removed. */
int kache_plan_get(struct kache_store *s, const struct kache_hash *key, struct kache_plan *p);
/* Replaces it, and removes plans that nobody has used for a month, and of more than these, in number or bytes, the longest
 * unused. */
#define KACHE_PLANS 256
#define KACHE_PLANS_BYTES (UINT64_C(64) << 20)
int kache_plan_put(struct kache_store *s, const struct kache_hash *key, const struct kache_plan *p);

/* Where the calls of the cargo process `pid` are noted while its command is recorded, fresh memory. It is there as long as that is
 * so; each call appends itself by one write(2), see wrapper/record.h. */
char *kache_plan_calls(const struct kache_store *s, long pid);

#endif
