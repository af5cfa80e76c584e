/* What this call used, told to the observer of a build script that made it. kache is static, so the observer can't look into it;
 * it tells by itself, in the observer's own records (observe/observe.h). Elsewhere all of this does nothing. */
#ifndef KACHE_WRAPPER_REPORT_H
#define KACHE_WRAPPER_REPORT_H

#include "wrapper/call.h"

/* Set beside KACHE_OBSERVE_ENV where calls of kache are to report: in the environment of a build script's run. */
#define KACHE_REPORT_ENV "KACHE_OBSERVE_NESTED"

/* At the start of the process: takes both variables out of the environment, since what this call starts is observed by itself. */
void kache_report_begin(void);
/* Appends records to an observer's log; where that fails the log goes, since half of one must not be used. */
void kache_report_append(const char *log, const struct kache_buf *text);
/* The inputs of a set that holds now, and the compiler. */
void kache_report_inputs(struct kache_call *c, const struct kache_manifest *m, const struct kache_input_set *set);
/* Files that this call puts in place. */
void kache_report_output(const char *path);
/* All that the compiler's own observer wrote down, a path; or NULL: there was none, so nobody can tell. */
void kache_report_run(struct kache_call *c, const char *log);
/* Writes all of it. Without this call the observer finds that a program did not report. */
void kache_report_end(void);
/* The same, and the program that this process becomes now reports by itself. program: as for execvp(3). */
void kache_report_hand_on(const char *program);

#endif
