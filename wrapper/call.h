/* One call of a compiler, from its command line to its result. */
#ifndef KACHE_WRAPPER_CALL_H
#define KACHE_WRAPPER_CALL_H

#include "base/err.h"
#include "conf/conf.h"
#include "key/ccargs.h"
#include "key/rustargs.h"
#include "key/tokens.h"
#include "store/events.h"
#include "store/restore.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct kache_compiler {
	char *family;			/* "gcc", "clang", of nvcc that of its host compiler; "" for rustc */
	char *program;			/* what to run: rustup's proxy resolved */
	char *sysroot, *host, *version;	/* version: the line of `rustc -V` */
	struct kache_hash id;		/* of driver, LLVM and standard library, by content */
	bool clippy;
	char *inner;			/* clippy-driver: the rustc argument that follows it */
	char *memo;			/* the file that remembers all this */
	struct kache_strs files;	/* C: those that id was made of */
	bool script;			/* begins with "#!": may add arguments to those that we see, and go by any of them */
	bool maps;			/* C: takes -ffile-prefix-map, and follows it wherever it writes a name */
};

struct kache_language;
struct kache_cc_driver;
struct kache_call {
	const struct kache_language *lang;
	char **argv;			/* compiler, arguments…, NULL: as the caller wrote it */
	char *cwd;
	struct kache_conf *conf;
	struct kache_store *store;
	struct kache_compiler compiler;
	struct kache_tokens tokens;
	struct kache_hash invocation;
	struct kache_buf describe;	/* "label value" lines of the invocation key */
	struct kache_buf input;		/* standard input, where it was read for the key; else data is NULL */
	const char *kind;		/* "lib", "bin", … */
	char *unit;			/* what is compiled, for people: the crate; NULL where a question has none */
	char *package;			/* CARGO_PKG_NAME with '_', or the unit; names the remote folder */
	char *profile;			/* "debug" of target/debug, or "" */
	const char *target;		/* triple, or NULL: the compiler's own */
	bool query;			/* a question to the compiler: an answer, and no file */
	bool announced;			/* the caller was told of the first outputs already; see kache_language.notice */
	unsigned width;			/* how diagnostics are laid out, 0: not told; see kache_language.serves */
	uint64_t started_us, started_ms;	/* since the epoch: one clock for both, and for how long it took */
	/* When the compiler was started. A file that is written from then on is not older than the first, one
	 * that was written before is not newer than the second, whichever clock the kernel stamps with. */
	int64_t started_coarse, started_real;
	struct kache_event event;
	char *event_detail;

	/* C, C++ and CUDA only */
	const struct kache_cc_driver *driver;
	struct kache_cc_args cc;
	/* Runs of build scripts only */
	struct {
		char *out_dir;
		struct kache_strs files;	/* outputs, as an entry names them */
	} script;
	/* Rust only */
	struct kache_rust_args args;
	char *profile_dir;		/* target/debug, absolute, or NULL */
	/* A published package, which nobody changes in place, on which neither a variable but its own has an influence nor a file
	 * of the user's: the same as long as it has this name. */
	bool lasting;
	bool probe;			/* a build script's question: failing is an answer too */
	char *asked;			/* the crate's name as the caller has it, where args has another; else NULL */
	bool edited;			/* compiled as asked for, with incremental state (wrapper/rust-edited.c) */
	bool remap;
};

struct kache_run;
struct kache_collector;
/* What is particular to one language. Everything else, from the look-up to the upload, is the same code. */
struct kache_language {
	bool job_server;	/* the compiler takes part in make's job server, and complains when that has trouble */
	bool local;		/* results are good for this machine only, and see to the paths in their outputs themselves */
	/* Everything up to the invocation key. NULL; or the reason why the call passes through, a fixed name,
	 * with *detail (may be NULL, valid as long as c). err is set where it is worth a warning. */
	const char *(*prepare)(struct kache_call *c, char **argv, const char **detail, struct kache_error *err);
	/* Whether e's diagnostics read here as the compiler's would. */
	bool (*serves)(const struct kache_call *c, const struct kache_entry *e);
	/* Whether the compiler's own incremental state serves better just now. May be NULL. */
	bool (*edited)(struct kache_call *c);
	/* Such a call has the invocation key of that state from now on, which is good for this target directory only. False: what
	 * comes of it can't be known. With edited. */
	bool (*edit)(struct kache_call *c);
	/* After its run: notes what came of it. */
	void (*note)(struct kache_call *c, struct kache_run *run);
	/* Old outputs are about to be replaced, by a compile or from the store. True: the compile need not be, since what it would
	 * make is in the store now. May be NULL. */
	bool (*replacing)(struct kache_call *c, bool compiled);
	/* Waits until what was written just before can be told from what changes under the compiler. */
	void (*settle)(const struct kache_call *c);
	/* The command line that really runs; *file is a temporary file that it needs, or stays NULL. */
	int (*command)(struct kache_call *c, struct kache_run *run, struct kache_strs *argv, char **file,
		       struct kache_error *err);
	/* After a run, good or not: outputs get the names that were asked for. May be NULL. */
	void (*ran)(const struct kache_call *c);
	/* The inputs of a run, see wrapper/collect.h. */
	int (*collect)(struct kache_collector *k);
	/* Names of the outputs of a good run, as an entry has them. */
	void (*outputs)(const struct kache_call *c, const struct kache_run *run, struct kache_strs *names);
	/* Where the output of that name belongs, fresh memory; NULL if there is no place for it here. */
	char *(*place)(const struct kache_call *c, const char *name);
	uint32_t (*role)(const struct kache_call *c, const char *name);
	/* May an output be one inode with its blob (docs/internals/keying.md, "Restore")? *old: 1 or 0, whether
	 * everything that it was made from is as old as a blob; -1 before the first question. NULL: never. */
	enum kache_linking (*linking)(const struct kache_call *c, uint32_t role, int *old);
	/* What the caller will do to the times of an output once this call is over, as in kache_map_put_output. May be NULL. */
	int64_t (*later)(const struct kache_call *c, uint32_t role);
	/* Does the caller go on as soon as it is told of the first outputs? Then how much of err (the compiler's standard error)
	 * tells of them, and *outputs how many of the entry's they are; else 0. May be NULL. */
	size_t (*notice)(const struct kache_call *c, const struct kache_entry *e, const struct kache_buf *err, size_t *outputs);
	/* The same of what a compiler has said up to now; 0: not all of it yet. With `notice` only. */
	size_t (*told)(const struct kache_buf *err);
	/* After a run: whether what ran is what the key holds. NULL: kache_call_compiler_same. */
	bool (*same)(const struct kache_call *c);
	/* Where an output belongs that something else stands for in its place (wrapper/script.h), or NULL. The hook may be NULL. */
	char *(*beside)(const struct kache_call *c, const char *name);
	/* After a compile whose outputs are stored. May be NULL. */
	void (*stored)(struct kache_call *c);
	bool clears;		/* the compiler removes an old output itself before it makes a new one */
	/* "kache explain": lines about this call. */
	void (*explain)(const struct kache_call *c);
};

/* kache-prefill alone sets it: the call is made ahead of its time, so that only a hit that leads to this entry counts, and what is
 * there afterwards; nobody waits for output. Otherwise the process ends with KACHE_NOT_PREFILLED. */
extern const struct kache_hash *kache_prefilling;
enum { KACHE_NOT_PREFILLED = 3 };

/* Fills in what every call starts with: arguments, time, directory, configuration. NULL, or the reason
 * why it passes through. */
const char *kache_call_begin(struct kache_call *c, char **argv, struct kache_error *err);
/* Opens the store: 0 or an error. */
int kache_call_store(struct kache_call *c, struct kache_error *err);
/* Whether the user's rules leave this call alone: the reason, with *detail. source may be NULL; words are
 * the arguments; executable: what comes out is linked. */
const char *kache_call_bypassed(struct kache_call *c, const char *source, const struct kache_strs *words, bool executable,
				const char **detail);
/* Reads standard input into c->input, for the key. False where it is a terminal, or too much; for the compiler all of it
 * is there again. */
bool kache_call_read_input(struct kache_call *c);
/* Runs the compiler in place of this process and never returns: the way out of every doubt. */
_Noreturn void kache_call_exec(struct kache_call *c);
/* How outputs are put in place and blobs made, as cache.link says. */
enum kache_link_policy kache_call_link_policy(const struct kache_call *c);
/* Counts a passthrough with its reason, then kache_call_exec. */
_Noreturn void kache_call_passthrough(struct kache_call *c, const char *reason, const char *detail);
/* Fills in times and appends the event. */
void kache_call_event(struct kache_call *c, const char *result, const char *reason, const char *detail);
/* Environment variable, "" if unset. */
const char *kache_env(const char *name);
/* Runs a compiler that is never cached, counted under that reason. */
_Noreturn void kache_uncached(char **argv, const char *reason);

/* wrapper/serve.c: looks up, and restores or compiles. argv[0] is the compiler as the caller named it.
 * Never returns: ends as the compiler ended, or would have. */
_Noreturn void kache_serve(const struct kache_language *lang, char **argv);
/* Waits for the next tick of the clock that stamps files, if path was written within this one. */
void kache_wait_for_tick(const char *path);

/* wrapper/key.c: components of the invocation key, hashed and described. */
void kache_key_bytes(struct kache_call *c, struct kache_hasher *h, const char *label, const char *value, size_t len);
void kache_key_text(struct kache_call *c, struct kache_hasher *h, const char *label, const char *value);
void kache_key_digest(struct kache_call *c, struct kache_hasher *h, const char *label, const void *data, size_t len);
/* What the user declares to count: cache.key_env and cache.key_salt. */
void kache_key_declared(struct kache_call *c, struct kache_hasher *h);
/* Processor identity for target-cpu=native. */
void kache_key_cpu(struct kache_call *c, struct kache_hasher *h);

/* wrapper/compiler.c: identity of c->argv[0]. */
int kache_call_compiler(struct kache_call *c, struct kache_error *err);
/* wrapper/memo.c: whether its files are still those that the identity was made of. */
bool kache_call_compiler_same(const struct kache_call *c);
/* Adds those files to out. */
void kache_call_compiler_files(const struct kache_call *c, struct kache_strs *out);
/* wrapper/invocation.c: tokens, kind, package and the invocation key. */
const char *kache_call_kind(const struct kache_call *c);
/* Below cargo's registry or its checkouts of git, where nothing is ever changed in place. */
bool kache_call_immutable(const char *path);
char *kache_call_package(const struct kache_call *c);	/* fresh memory */
/* target/debug of target/debug/deps, …/build/PKG-HASH and what is below it, …/examples. Fresh memory; NULL where it is none of
 * these. */
char *kache_call_profile_dir(const char *out_dir);
void kache_call_tokens(struct kache_call *c);
void kache_call_invocation(struct kache_call *c);

#endif
