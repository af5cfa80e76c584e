/* The argument model of gcc and clang: every flag classified by one table (ccargs.def).
 * Source: `gcc --help=…`, gcc(1), `clang --help`, and what their drivers were seen to do. */
#ifndef KACHE_KEY_CCARGS_H
#define KACHE_KEY_CCARGS_H

#include "base/strs.h"

#include <stdbool.h>

/* What a flag is to us. All but OUTPUT and DEPFILE enter the key as they are written. */
enum kache_cc_action {
	KACHE_CC_CODE,		/* affects the output or the diagnostics */
	KACHE_CC_CPP,		/* the preprocessor only */
	KACHE_CC_INPUT,		/* names files or directories that are read: the observer tells what of them */
	KACHE_CC_MAP,		/* gives other names to directories, in what comes out */
	KACHE_CC_LINK,		/* the linker only; a compile may complain that it is not used */
	KACHE_CC_COLOUR,	/* says whether diagnostics are coloured */
	KACHE_CC_ADDS,		/* names a file of further arguments, which may be of any kind */
	KACHE_CC_NATIVE,	/* asks the processor, where its value is "native" */
	KACHE_CC_PLACE,		/* the name of the output reaches what is in it, or a file beside it */
	KACHE_CC_RECORD,	/* likewise, and so does the whole command line */
	KACHE_CC_MANGLE,	/* likewise, with "#" for "/": "dir/#home#u#x.gcda" */
	KACHE_CC_COMPRESS,	/* what comes out is not to be read as it is */
	KACHE_CC_OUTPUT,	/* -o */
	KACHE_CC_DEPS,		/* -MD, -MMD */
	KACHE_CC_DEPFILE,	/* -MF */
	KACHE_CC_TARGET,	/* -MT, -MQ */
	KACHE_CC_LANGUAGE,	/* -x */
	KACHE_CC_MODE,		/* -c, -S */
	KACHE_CC_FOR_CPP,	/* -Wp, */
	KACHE_CC_FOR_AS,	/* -Wa, */
	KACHE_CC_TO_CPP,	/* -Xpreprocessor */
	KACHE_CC_TO_AS,		/* -Xassembler */
	KACHE_CC_TO_CLANG,	/* -Xclang: what its front end gets, a word at a time */
	KACHE_CC_TO_LLVM,	/* -mllvm */
	KACHE_CC_EMIT_PCH,	/* -emit-pch of clang's front end */
	KACHE_CC_NO_TIMES,	/* -fno-pch-timestamp, likewise */
	KACHE_CC_REFUSE		/* can't be cached, by the name that the table gives */
};

enum kache_cc_value {
	KACHE_CC_TEXT,
	KACHE_CC_PATH,		/* a file or directory that is read: by what is in it, and by its name where that is looked for */
	KACHE_CC_PATH_MAP	/* "OLD=NEW": names below OLD become such below NEW */
};
struct kache_cc_part {
	char *label, *value;	/* "-I" "include" */
	enum kache_cc_value kind;
};

struct kache_cc_args {
	const char *why;	/* NULL: one source is compiled to one object or assembly file; else a fixed reason */
	char *detail;		/* the flag that it is about, or NULL */
	struct kache_strs argv;	/* all arguments, @files expanded; without the compiler's name */

	char *source;
	char *language;		/* of -x, or by the source's name: "c", "c++", "assembler" …; never NULL without why */
	char *output;		/* as -o says, or the name that the compiler gives it */
	char *depfile;		/* NULL: no list of dependencies is asked for */
	char *host;		/* nvcc: the compiler that -ccbin names, or NULL */
	bool assembly;		/* -S */
	bool header;		/* a header is precompiled: its name or -x says so, and there need not be a -c */
	bool no_pch_times;	/* clang is not to go by the times of headers */
	bool target_given;	/* -MT or -MQ: the list does not name the output by itself */
	bool colour_given;
	bool native_cpu;
	bool place, record, mangled, compressed;	/* see KACHE_CC_PLACE, _RECORD, _MANGLE, _COMPRESS */
	bool adds;		/* see KACHE_CC_ADDS */
	struct kache_cc_part *parts;	/* of the key, in the order of the command line */
	size_t n_parts;
};

/* Classifies argv[0..argc) (without the compiler itself). cwd resolves @files. Never fails: what can't
 * be understood has a reason. */
void kache_cc_args_parse(int argc, char *const *argv, const char *cwd, struct kache_cc_args *out);
void kache_cc_args_release(struct kache_cc_args *a);
/* Words that another driver hands to gcc or clang as they are. Unless they do nothing but affect the object and the
 * diagnostics, out gets the reason. */
void kache_cc_args_forwarded(const struct kache_strs *words, const char *cwd, struct kache_cc_args *out);

#endif
