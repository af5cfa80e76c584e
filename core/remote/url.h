/* Remote URLs, taken apart as far as the core needs it: scheme, query, and the rest for the backend. */
#ifndef KACHE_REMOTE_URL_H
#define KACHE_REMOTE_URL_H

#include "base/err.h"

#include <stddef.h>

struct kache_url {
	char *scheme;		/* lower case */
	char *base;		/* the URL without query */
	struct kache_url_param {
		char *key, *value;	/* percent-decoded */
	} *params;
	size_t n_params;
};

/* 0 or KACHE_E_INVALID with a text that does not repeat what may be secret. */
int kache_url_parse(const char *text, struct kache_url *out, struct kache_error *err);
void kache_url_release(struct kache_url *u);
/* Where the password of "user:password@host" begins, *end where it ends; NULL if there is none. rest: len bytes of a URL behind
 * its "://", without the query. Also behind a slash: it may be one of the password. */
const char *kache_url_password(const char *rest, size_t len, const char **end);
/* The URL fit for people's eyes: base with the password of its user part as "***"; fresh memory. */
char *kache_url_show(const struct kache_url *u);

#endif
