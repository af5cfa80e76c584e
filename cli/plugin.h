/* The larger verbs of kache plugin. */
#ifndef KACHE_CLI_PLUGIN_H
#define KACHE_CLI_PLUGIN_H

#include "base/buf.h"
#include "conf/conf.h"
#include "remote/dropin.h"
#include "remote/loader.h"

const char *kache_plugin_threads(uint32_t threads);
/* The n-th capability's name, or NULL behind the last; *bit is its bit. */
const char *kache_plugin_cap(size_t n, uint32_t *bit);

/* plugin-dump.c: all about a backend as key=value lines. */
void kache_plugin_dump(const struct kache_dropin *d, const struct kache_module *m, struct kache_buf *out);

/* plugin-test.c: tries a remote, which is a URL, the name of a configured one, or the backend of one. Prints each
 * step; returns an exit status. */
int kache_plugin_test(const struct kache_conf *conf, const char *what);

#endif
