/* Shared by the three parts of the TOML parser; nobody else includes this. */
#ifndef KACHE_CONF_TOML_PARSER_H
#define KACHE_CONF_TOML_PARSER_H

#include "base/buf.h"
#include "conf/toml.h"

struct kache_toml_parser {
	const char *start, *at, *end;
	unsigned line;
	bool failed;
	struct kache_error *err;
};

/* Sets the error, once, with the current line; returns KACHE_E_INVALID. */
int kache_toml_error(struct kache_toml_parser *p, const char *what);
/* All of the text is UTF-8 (RFC 3629). */
int kache_toml_utf8(struct kache_toml_parser *p);
/* The string of any of the four kinds that starts at p->at, decoded into out. */
int kache_toml_string(struct kache_toml_parser *p, struct kache_buf *out);
/* Number, boolean, date or time at p->at. */
int kache_toml_scalar(struct kache_toml_parser *p, struct kache_toml *v);

#endif
