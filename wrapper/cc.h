/* What is particular to C, C++ and CUDA: see struct kache_language. */
#ifndef KACHE_WRAPPER_CC_H
#define KACHE_WRAPPER_CC_H

#include "wrapper/call.h"

struct kache_memo;

extern const struct kache_language kache_language_c;

/* What nvcc does otherwise than gcc and clang. */
struct kache_cc_driver {
	bool colours;		/* takes -fdiagnostics-color */
	bool own_path;		/* looks for programs along another PATH than ours */
	bool by_word;		/* looks for its parts beside itself, by the word that it is called by */
	/* Fills in c->cc. */
	void (*parse)(struct kache_call *c, int argc, char *const *argv);
	/* Fills in c->compiler from c->compiler.program. */
	int (*identify)(struct kache_call *c, struct kache_error *err);
	/* What else is in the invocation key. May be NULL. */
	void (*key)(struct kache_call *c, struct kache_hasher *h);
	/* Whether what was seen of that path (kind: KACHE_INPUT_…) is about temporary files of its own. May be NULL. */
	bool (*temporary)(const struct kache_call *c, uint32_t kind, const char *path);
	/* Refuses a run that is not what it seems. */
	int (*check)(struct kache_collector *k);
};
extern const struct kache_cc_driver kache_cc_nvcc;

/* "cc", "x86_64-linux-gnu-gcc-12", "/usr/bin/clang++", "nvcc": whether it has the name of a C, C++ or CUDA compiler. */
bool kache_is_cc(const char *program);
/* argv[0] is the compiler's name; own: it is that of this process, which was called through a link of that
 * name. The compiler is then the next of its name along PATH. Never returns. */
_Noreturn void kache_cc(char **argv, bool own);
/* The compiler behind a name: never kache itself, whatever it is called. NULL if there is none. */
char *kache_cc_find(const char *name);

/* wrapper/cc-compiler.c: c->compiler of c->compiler.program, remembered by file identity. */
int kache_cc_compiler(struct kache_call *c, struct kache_error *err);
/* wrapper/cc-base.c: tokens for directories of this place, where this call has to do with any. */
void kache_cc_bases(struct kache_call *c);
/* Which there are: they decide on names in what comes out. */
void kache_cc_key_bases(struct kache_call *c, struct kache_hasher *h);
/* A component of the key as it counts: with tokens, where it only says where something is found. Fresh memory. */
char *kache_cc_key_value(const struct kache_call *c, const struct kache_cc_part *part);
/* Whether path is a base directory itself, by one of its names. */
bool kache_cc_is_base(const struct kache_call *c, const char *path);
/* What tells the compiler to write other names. */
void kache_cc_base_args(const struct kache_call *c, struct kache_strs *argv);
/* wrapper/cc-same.c, after the files: of those with the same content, which are the same. */
int kache_cc_collect_same(struct kache_collector *k);
/* wrapper/cc-times.c, after the files: refuses a run in which the times of files may have been compared. */
int kache_cc_collect_times(struct kache_collector *k);
/* After all other inputs: where the result is for this place only, that is one, too. */
int kache_cc_collect_places(struct kache_collector *k);
/* The same for another kind of driver, which has the compiler `host` behind it: look asks them both. */
typedef int kache_cc_look(struct kache_call *c, struct kache_memo *m, struct kache_hasher *h, const char *host,
			  struct kache_error *err);
int kache_cc_remember(struct kache_call *c, const char *kind, const char *host, kache_cc_look *look, struct kache_error *err);
/* Adds to an identity: a program with its libraries; all that gcc or clang is made of, with family, version and host. */
int kache_cc_add_program(struct kache_call *c, struct kache_memo *m, struct kache_hasher *h, const char *label, const char *path);
int kache_cc_add_driver(struct kache_call *c, struct kache_memo *m, struct kache_hasher *h, const char *driver,
			struct kache_error *err);
/* wrapper/cc-inputs.c and wrapper/cc-output.c */
int kache_cc_collect(struct kache_collector *k);
/* Whether gcc's or clang's own compiler ran, and not another cache or a distributor in its place. */
bool kache_cc_ran(const struct kache_collector *k);
void kache_cc_outputs(const struct kache_call *c, const struct kache_run *run, struct kache_strs *names);
char *kache_cc_place(const struct kache_call *c, const char *name);
uint32_t kache_cc_role(const struct kache_call *c, const char *name);
/* Whether path, absolute, is one of the outputs, or lies where a file beside the object is kept with it. */
bool kache_cc_is_output(const struct kache_call *c, const char *path);

#endif
