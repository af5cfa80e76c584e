/* Running the compiler: output passed on as it comes and kept, the observer attached. */
#ifndef KACHE_WRAPPER_RUN_H
#define KACHE_WRAPPER_RUN_H

#include "observe/observe.h"
#include "wrapper/call.h"

struct kache_run {
	int status;			/* as of waitpid(2) */
	struct kache_buf out, err;	/* as the compiler wrote them, remapped names and all */
	char *depinfo;			/* where dep-info was written */
	bool own_depinfo;		/* in tmp/: cargo did not ask for it */
	bool observed;			/* seen is valid */
	struct kache_observed seen;
	uint64_t compile_us;
};

/* Runs the language's command line. Returns 0 with run filled, or an error before anything ran. */
int kache_run_compiler(struct kache_call *c, struct kache_run *run, struct kache_error *err);
void kache_run_release(struct kache_run *run);
/* Ends this process as the compiler ended: exit code, or the same signal. */
_Noreturn void kache_run_exit(int status);
/* Path of the observer library, fresh memory, or NULL where there is none for this system. */
char *kache_observer_path(void);
/* Path of another program of kache's, fresh memory, or NULL where it is not installed. */
char *kache_program(const char *name);

#endif
