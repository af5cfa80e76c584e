/* A remote's settings: checked against the backend's own schema and the keys that the core owns.
 *
 * Where a value comes from, first one wins: the URL's query; the environment (core-owned keys); the
 * key in [cache.remote]; the environment (a backend's own options, as a fallback); the default. */
#ifndef KACHE_REMOTE_OPTIONS_H
#define KACHE_REMOTE_OPTIONS_H

#include "base/err.h"
#include "conf/conf.h"
#include "kache/backend.h"
#include "remote/url.h"

#include <stdbool.h>
#include <stdint.h>

struct kache_module;

/* The keys that the core owns, ended by a NULL name; a backend may not declare them, nor those that are
 * set aside for later. */
extern const struct kb_opt kache_core_options[];
bool kache_option_reserved(const char *name);

/* What to read from. pairs may be NULL. */
struct kache_options_source {
	const struct kache_url *url;
	const struct kache_conf_pair *pairs;
	size_t n_pairs;
};

/* 0 with *out, or KACHE_E_INVALID naming the key, its origin and what is accepted. */
int kache_options_parse(const struct kache_module *m, const struct kache_options_source *src, kb_conf **out,
			struct kache_error *err);
void kache_options_free(kb_conf *c);

/* Any declared option, a core-owned one or "url"; NULL or 0 where unset or of the other kind. These two
 * are kb_host.conf_str and conf_u64. */
const char *kache_options_str(const kb_conf *c, const char *name);
uint64_t kache_options_u64(const kb_conf *c, const char *name);
/* Is this option the core's, and not one of the same name that the backend declares? */
bool kache_options_core(const kb_conf *c, const char *name);
/* "URL", "environment KACHE_X", "file:3", "default"; NULL for an unknown name. */
const char *kache_options_origin(const kb_conf *c, const char *name);
/* "text", "0..64", "ro or rw" …: what an option accepts, for people; fresh memory. */
char *kache_option_accepts(const struct kb_opt *o);
/* Does the text fit the type and range? 0 with *number (0 for texts), or KACHE_E_INVALID. */
int kache_option_check(const struct kb_opt *o, const char *text, uint64_t *number);

#endif
