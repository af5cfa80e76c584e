/* The argument model of nvcc: every flag classified by one table (nvccargs.def), and what it hands on to the host compiler by
 * that compiler's own (ccargs.def).
 * Source: `nvcc --help`, `ptxas --help`, and what nvcc 13.0 was seen to do. */
#ifndef KACHE_KEY_NVCCARGS_H
#define KACHE_KEY_NVCCARGS_H

#include "key/ccargs.h"

/* What a flag is to us. All but OUTPUT and DEPFILE enter the key with their value. */
enum kache_nvcc_action {
	KACHE_NVCC_CODE,	/* affects the output or the diagnostics */
	KACHE_NVCC_INPUT,	/* names files or directories that are read: the observer tells what of them */
	KACHE_NVCC_LINK,	/* the linker or the library manager only */
	KACHE_NVCC_ARCH,	/* for which GPU: "native" asks the machine */
	KACHE_NVCC_MODE,	/* what to make, by the table's reason: "o", "ptx", "cubin", "fatbin" */
	KACHE_NVCC_OUTPUT,	/* -o */
	KACHE_NVCC_DIRECTORY,	/* -odir */
	KACHE_NVCC_DEPS,	/* -MD, -MMD */
	KACHE_NVCC_DEPFILE,	/* -MF */
	KACHE_NVCC_TARGET,	/* -MT */
	KACHE_NVCC_LANGUAGE,	/* -x */
	KACHE_NVCC_HOST,	/* -ccbin */
	KACHE_NVCC_OPTIONS,	/* -optf: its files' words stand here instead */
	KACHE_NVCC_FORWARD,	/* flags that nvcc does not know are the host compiler's */
	KACHE_NVCC_FOR_HOST,	/* -Xcompiler */
	KACHE_NVCC_FOR_PTXAS,	/* -Xptxas */
	KACHE_NVCC_FOR_FRONT,	/* -Xcudafe */
	KACHE_NVCC_REFUSE	/* can't be cached, by the name that the table gives */
};

/* Classifies argv[0..argc) (without the compiler itself) between what NVCC_PREPEND_FLAGS and NVCC_APPEND_FLAGS hold ("" where they
 * are not set). cwd resolves files of options. Never fails: what can't be understood has a reason. */
void kache_nvcc_args_parse(int argc, char *const *argv, const char *prepend, const char *append, const char *cwd,
			   struct kache_cc_args *out);
/* Whether the shell that nvcc starts its tools with would put something else in a text's place, between double quotes too. */
bool kache_nvcc_for_shell(const char *text);

#endif
