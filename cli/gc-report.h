/* What gc and purge tell of what they removed. */
#ifndef KACHE_CLI_GC_REPORT_H
#define KACHE_CLI_GC_REPORT_H

#include "store/gc.h"

/* One line of text, or a JSON object, to standard output. Returns an exit status. */
int kache_cli_gc_report(const struct kache_gc_report *r, bool dry_run, bool json);

#endif
